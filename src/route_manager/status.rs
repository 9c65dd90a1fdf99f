//! State → terms: the `status` map, VintageNet's properties and entries.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use nix::errno::Errno;

use super::arguments;
use super::hindrances::Hindrances;
use super::kernel::Kernel;
use super::metered::COUNTS;
use super::owners::{OwnerPolicy, Policies};
use super::steering::Steering;
use crate::node::Node;
use crate::route::{
    Change, DesiredState, Entry, ForeignDefault, IfName, Metric, Ranking, Reason, SetBy, Status, TableName, Wish,
    available_interfaces, connection, entries, extra_entries, interface_connection,
};
use crate::term::{Term, as_list, as_text, atom, binary, integer, list, map, tuple};

/// What the answers are made from.
pub(super) struct View<'a> {
    pub state: &'a DesiredState,
    pub ranking: &'a Ranking,
    pub steering: &'a Steering,
    pub policies: &'a Policies,
    pub kernel: &'a Kernel,
    pub node: &'a Node,
    /// Why the desired state is not on disk, if it is not.
    pub unsaved: Option<Term>,
}

impl View<'_> {
    /// The `status` map.
    pub(super) fn status(&self) -> Term {
        let shown = |entries: &[Entry]| list(entries.iter().map(entry).collect::<Vec<_>>());
        let saved = match &self.unsaved {
            None => atom("saved"),
            Some(reason) => tuple([atom("unsaved"), reason.clone()]),
        };
        keyed([
            ("node", atom(&self.node.name())),
            ("connection", atom(connection(self.state).as_str())),
            ("available_interfaces", self.available_interfaces()),
            ("interfaces", self.interfaces()),
            ("entries", shown(&entries(self.state, self.ranking))),
            ("extra_entries", shown(&extra_entries(self.state, self.ranking))),
            ("nodes", list(self.node.nodes(|_| true).iter().map(|name| atom(name)).collect::<Vec<_>>())),
            ("protocol", integer(i64::from(self.kernel.protocol()))),
            ("version", binary(env!("CARGO_PKG_VERSION"))),
            ("state", saved),
            ("orphaned", self.orphaned()),
            ("owners", map(self.policies.iter().map(|(node, policy)| (atom(node), owner_policy(*policy))))),
            ("metrics", map(self.state.metrics().iter().map(|(name, metric)| (name_term(name), metric_term(*metric))))),
            ("ranking", list(self.ranking.patterns.iter().map(|p| binary(p.to_string())).collect::<Vec<_>>())),
        ])
    }

    /// One of VintageNet's properties; `nil` for any other.
    pub(super) fn property(&self, path: &Term) -> Term {
        let is = |word: &Term, text: &[u8]| as_text(word).is_some_and(|word| word == text);
        match as_list(path).unwrap_or_default() {
            [word] if is(word, b"available_interfaces") => self.available_interfaces(),
            [word] if is(word, COUNTS.as_bytes()) => self.counts(),
            [word] if is(word, b"connection") => atom(connection(self.state).as_str()),
            [first, name, last] if is(first, b"interface") && is(last, b"connection") => {
                let known = arguments::ifname(name).ok().and_then(|name| interface_connection(self.state, name));
                known.map_or_else(nil, |status: Status| atom(status.as_str()))
            }
            _ => nil(),
        }
    }

    fn available_interfaces(&self) -> Term {
        list(available_interfaces(self.state, self.ranking).iter().map(name_term).collect::<Vec<_>>())
    }

    fn interfaces(&self) -> Term {
        let hindrances = self.kernel.hindrances(self.state);
        let interface = |name, wish| self.interface(name, wish, self.install(name, &hindrances));
        map(self.state.interfaces().iter().map(|(name, wish)| (name_term(name), interface(*name, wish))))
    }

    /// Whether all of interface `name`, which is known, is installed and counts.
    pub(super) fn install(&self, name: IfName, hindrances: &Hindrances) -> Install {
        let held = || self.ranking.held.contains_key(&name).then_some(Reason::Held);
        let reason = self.kernel.reason(name, hindrances).or_else(held);
        reason.map_or(Install::Installed, Install::Pending)
    }

    /// Interfaces of which something is not installed, or does not count yet, and why.
    pub(super) fn pending(&self) -> BTreeMap<IfName, Reason> {
        let mut pending = self.kernel.pending(self.state);
        for name in self.ranking.held.keys() {
            pending.entry(*name).or_insert(Reason::Held);
        }
        pending
    }

    fn interface(&self, name: IfName, wish: &Wish, install: Install) -> Term {
        let link = self.kernel.world().links.named(name);
        let metric = self.state.metric(name, self.ranking);
        let held_until = self.steering.held_until(name);
        keyed([
            ("type", atom(self.ranking.interface_type(name).as_str())),
            ("status", atom(wish.status.as_str())),
            ("why", wish.why.as_ref().map_or_else(nil, binary)),
            ("since", integer(i64::try_from(wish.since_ms).unwrap_or(i64::MAX))),
            ("weight", integer(i64::from(self.ranking.weight(name)))),
            ("metric", metric_term(metric)),
            ("table", integer(i64::from(wish.table))),
            ("ip_subnets", list(wish.subnets.iter().map(|s| subnet(s.ip(), s.prefix_len())).collect::<Vec<_>>())),
            ("default_gateway", wish.gateway.map_or_else(nil, address)),
            ("ifindex", link.map_or_else(nil, |(ifindex, _)| integer(i64::from(ifindex)))),
            ("link", link.map_or_else(nil, |(_, link)| atom(if link.is_up { "up" } else { "down" }))),
            ("install", install.to_term()),
            ("set_by", wish.set_by.as_ref().map_or_else(nil, set_by)),
            ("route_owner", wish.route_owner.as_deref().map_or_else(nil, atom)),
            ("status_owner", wish.status_owner.as_deref().map_or_else(nil, atom)),
            ("held_until", held_until.map_or_else(nil, |ms| integer(i64::try_from(ms).unwrap_or(i64::MAX)))),
            ("counts_as", self.ranking.held.get(&name).map_or_else(nil, |status| atom(status.as_str()))),
            (
                "shadowed_by",
                self.kernel.shadow_of(name, wish, metric).map_or_else(nil, |foreign| self.foreign(foreign)),
            ),
        ])
    }

    pub(super) fn foreign(&self, foreign: &ForeignDefault) -> Term {
        let link = self.kernel.world().links.get(&foreign.ifindex);
        keyed([
            ("gateway", foreign.gateway.map_or_else(nil, address)),
            ("ifname", link.map_or_else(nil, |link| name_term(&link.name))),
            ("metric", integer(i64::from(foreign.metric))),
            ("protocol", integer(i64::from(foreign.protocol))),
        ])
    }

    /// As the `ip` commands that would make them: they have no interface of ours that could name them otherwise.
    fn orphaned(&self) -> Term {
        let command = |object| Change::Add(object).command(self.kernel.world(), self.kernel.protocol());
        list(self.kernel.orphans().iter().map(|orphan| binary(command(*orphan))).collect::<Vec<_>>())
    }
}

/// Whether all of an interface is in the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Install {
    /// It is.
    Installed,
    /// Something waits for what the reason names.
    Pending(Reason),
}

impl Install {
    pub(super) fn to_term(self) -> Term {
        match self {
            Self::Installed => atom("installed"),
            Self::Pending(why) => tuple([atom("pending"), reason(why)]),
        }
    }
}

/// VintageNet's form of an entry.
fn entry(entry: &Entry) -> Term {
    match entry {
        Entry::Rule { table, ip } => tuple([atom("rule"), integer(i64::from(*table)), address(*ip)]),
        Entry::Local { ifname, ip, prefix_len, metric, table } => tuple([
            atom("local_route"),
            name_term(ifname),
            address(*ip),
            integer(i64::from(*prefix_len)),
            integer(i64::from(*metric)),
            table_term(*table),
        ]),
        Entry::Default { ifname, gateway, metric, table } => tuple([
            atom("default_route"),
            name_term(ifname),
            address(*gateway),
            integer(i64::from(*metric)),
            table_term(*table),
        ]),
    }
}

fn reason(reason: Reason) -> Term {
    match reason {
        Reason::NoInterface => atom("no_interface"),
        Reason::LinkDown => atom("link_down"),
        Reason::NoAddress(ip) => tuple([atom("no_address"), address(ip)]),
        Reason::Tentative => atom("tentative"),
        Reason::Gateway(errno) => tuple([atom("gateway"), posix(errno)]),
        Reason::NoIpv6 => atom("no_ipv6"),
        Reason::Contested => atom("contested"),
        Reason::Held => atom("held"),
        Reason::Netlink(errno) => tuple([atom("netlink"), posix(errno)]),
    }
}

/// The atom that Erlang has for a POSIX error: its name in small letters.
pub(super) fn posix(errno: i32) -> Term {
    atom(&format!("{:?}", Errno::from_raw(errno)).to_lowercase())
}

fn set_by(who: &SetBy) -> Term {
    let pid = eetf::Pid::new(who.node.as_str(), who.id, who.serial, who.creation);
    tuple([atom(&who.node), pid.into()])
}

/// As callers write it.
fn owner_policy(policy: OwnerPolicy) -> Term {
    let after = |word, time: Duration| tuple([atom(word), integer(i64::try_from(time.as_secs()).unwrap_or(i64::MAX))]);
    match policy {
        OwnerPolicy::Keep => atom("keep"),
        OwnerPolicy::ClearAfter(time) => after("clear_after", time),
        OwnerPolicy::LanAfter(time) => after("lan_after", time),
    }
}

fn metric_term(metric: Metric) -> Term {
    metric.number().map_or_else(|| atom("disabled"), |number| integer(i64::from(number)))
}

fn table_term(table: TableName) -> Term {
    match table {
        TableName::Number(table) => integer(i64::from(table)),
        TableName::Main => atom("main"),
    }
}

fn subnet(ip: IpAddr, prefix_len: u8) -> Term {
    tuple([address(ip), integer(i64::from(prefix_len))])
}

pub(super) fn address(ip: IpAddr) -> Term {
    match ip {
        IpAddr::V4(ip) => tuple(ip.octets().map(|byte| integer(i64::from(byte)))),
        IpAddr::V6(ip) => tuple(ip.segments().map(|word| integer(i64::from(word)))),
    }
}

fn name_term(name: &IfName) -> Term {
    binary(name.as_bytes())
}

pub(super) fn nil() -> Term {
    atom("nil")
}

fn keyed<const N: usize>(pairs: [(&str, Term); N]) -> Term {
    map(pairs.map(|(key, value)| (atom(key), value)))
}
