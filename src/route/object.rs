//! What the kernel holds for us: routes, rules, and the connected routes we stand in for.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// `RT_TABLE_MAIN` (`include/uapi/linux/rtnetlink.h`).
pub const MAIN_TABLE: u32 = 254;

/// IPv4 or IPv6; IPv4 sorts first, as Erlang sorts 4-tuples before 8-tuples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// `AF_INET`.
    V4,
    /// `AF_INET6`.
    V6,
}

impl Family {
    /// The family of `ip`.
    #[must_use]
    pub const fn of(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// Bits in an address.
    #[must_use]
    pub const fn bits(self) -> u8 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }
}

/// A network: an address without host bits, and a prefix length that its family has.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Prefix {
    ip: IpAddr,
    len: u8,
}

impl Prefix {
    /// The network of `ip` with `len` leading bits; host bits are cleared. `None` if the family has fewer bits.
    #[must_use]
    pub fn of(ip: IpAddr, len: u8) -> Option<Self> {
        if len > Family::of(ip).bits() {
            return None;
        }
        let ip = match ip {
            IpAddr::V4(ip) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(len)).unwrap_or(0);
                IpAddr::V4(Ipv4Addr::from_bits(ip.to_bits() & mask))
            }
            IpAddr::V6(ip) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(len)).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & mask))
            }
        };
        Some(Self { ip, len })
    }

    /// `0.0.0.0/0` or `::/0`.
    #[must_use]
    pub const fn default_route(family: Family) -> Self {
        let ip = match family {
            Family::V4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            Family::V6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        Self { ip, len: 0 }
    }

    /// The network address.
    #[must_use]
    pub const fn ip(&self) -> IpAddr {
        self.ip
    }

    /// Leading bits that count.
    #[must_use]
    #[allow(clippy::len_without_is_empty)]
    pub const fn len(&self) -> u8 {
        self.len
    }

    /// The family of the network.
    #[must_use]
    pub const fn family(&self) -> Family {
        Family::of(self.ip)
    }

    /// Whether every address is in it.
    #[must_use]
    pub const fn is_default(&self) -> bool {
        self.len == 0
    }

    /// Whether `ip` is in this network.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        Self::of(ip, self.len).is_some_and(|p| p == *self)
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_default() { f.write_str("default") } else { write!(f, "{}/{}", self.ip, self.len) }
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A policy rule `from src lookup table`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Rule {
    /// The source address that the rule matches, all bits of it.
    pub src: IpAddr,
    /// The table that is looked up.
    pub table: u32,
    /// The rule's priority; smaller is looked at first.
    pub priority: u32,
}

/// A unicast route, as the kernel stores it (so an IPv6 metric is never 0).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Route {
    /// The table that holds the route.
    pub table: u32,
    /// The network that the route leads to.
    pub dst: Prefix,
    /// The metric, `RTA_PRIORITY`.
    pub metric: u32,
    /// The outgoing interface.
    pub ifindex: u32,
    /// The gateway; `None` for an on-link route.
    pub gateway: Option<IpAddr>,
    /// The preferred source address.
    pub prefsrc: Option<IpAddr>,
    /// `RTNH_F_ONLINK`: the gateway is taken to be on the link although no on-link route covers it.
    pub onlink: bool,
}

impl Route {
    /// What the kernel tells IPv6 routes apart by (`rt6_duplicate_nexthop` in `include/net/ip6_route.h`); `None` for IPv4.
    #[must_use]
    pub fn ipv6_key(&self) -> Option<Ipv6Key> {
        let key = (self.table, self.dst, self.metric, self.ifindex, self.gateway);
        (self.dst.family() == Family::V6).then_some(key)
    }

    /// What it leads to.
    #[must_use]
    pub const fn place(&self) -> OnLink {
        OnLink { ifindex: self.ifindex, dst: self.dst }
    }

    /// Whether this route leads straight to the link, without a gateway.
    #[must_use]
    pub const fn is_on_link(&self) -> bool {
        self.gateway.is_none()
    }

    /// Whether this on-link route in main needs the kernel's connected route out of its way. An IPv6 route wins over
    /// that as long as its metric is smaller, so both may stay. An IPv4 one never wins over metric 0.
    #[must_use]
    pub(super) const fn stands_in(&self) -> bool {
        match self.dst.family() {
            Family::V4 => true,
            Family::V6 => self.metric >= IPV6_CONNECTED_METRIC,
        }
    }
}

/// Table, network, metric, link and gateway: see [`Route::ipv6_key`].
pub type Ipv6Key = (u32, Prefix, u32, u32, Option<IpAddr>);

/// The metric of the kernel's connected IPv6 routes (`IP6_RT_PRIO_ADDRCONF` in `include/net/ipv6.h`).
pub(super) const IPV6_CONNECTED_METRIC: u32 = 256;

/// A network on a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OnLink {
    /// The interface.
    pub ifindex: u32,
    /// The network.
    pub dst: Prefix,
}

/// The connected route that the kernel itself makes in main when an address is added (protocol `kernel`, scope link
/// in IPv4): IPv4 metric 0, IPv6 metric 256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Connected {
    /// The interface that has the address.
    pub ifindex: u32,
    /// The network of the address.
    pub dst: Prefix,
    /// The address, for IPv4; the kernel writes none for IPv6.
    pub prefsrc: Option<IpAddr>,
}

impl Connected {
    /// What it leads to.
    #[must_use]
    pub const fn place(&self) -> OnLink {
        OnLink { ifindex: self.ifindex, dst: self.dst }
    }
}

/// Something of ours in the kernel. The derived order is for sets only; the plan states the order of addition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Object {
    /// The rule `from all lookup main suppress_prefixlength 0`: every route of main but the default routes is looked at
    /// first, for traffic from any address.
    LocalNetworks {
        /// Whose traffic.
        family: Family,
        /// The rule's priority, in front of all others of ours.
        priority: u32,
    },
    /// A policy rule.
    Rule(Rule),
    /// A route.
    Route(Route),
}

/// Objects among which the kernel takes the one inserted first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Queue {
    /// Rules of equal priority for one source: `fib_nl_newrule` (`net/core/fib_rules.c`) inserts behind equal ones.
    Rules {
        /// The source address.
        src: IpAddr,
        /// The priority.
        priority: u32,
    },
    /// IPv4 routes in main with equal network and metric: `NLM_F_APPEND` inserts behind equal ones
    /// (`fib_table_insert` in `net/ipv4/fib_trie.c`). IPv6 would merge such routes into one; the plan never gives two of
    /// them one metric.
    Main {
        /// The network.
        dst: Prefix,
        /// The metric.
        metric: u32,
    },
}

impl Object {
    /// The table that it is in, or leads to.
    #[must_use]
    pub const fn table(&self) -> u32 {
        match self {
            Self::LocalNetworks { .. } => MAIN_TABLE,
            Self::Rule(rule) => rule.table,
            Self::Route(route) => route.table,
        }
    }

    /// The route, if it is one that stands in for the kernel's connected route.
    #[must_use]
    pub(super) fn as_stand_in(&self) -> Option<&Route> {
        match self {
            Self::Route(route) if route.table == MAIN_TABLE && route.is_on_link() && route.stands_in() => Some(route),
            _ => None,
        }
    }

    /// The queue that the object stands in, if its place may matter.
    #[must_use]
    pub fn queue(&self) -> Option<Queue> {
        match self {
            Self::Rule(rule) => Some(Queue::Rules { src: rule.src, priority: rule.priority }),
            Self::Route(route) if route.table == MAIN_TABLE && route.dst.family() == Family::V4 => {
                Some(Queue::Main { dst: route.dst, metric: route.metric })
            }
            Self::Route(_) | Self::LocalNetworks { .. } => None,
        }
    }
}

/// One message to the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Change {
    /// Add an object with our protocol number.
    Add(Object),
    /// Delete exactly this object, with our protocol number.
    Delete(Object),
    /// Put the kernel's own connected route back (protocol `kernel`, metric 0).
    RestoreConnected(Connected),
    /// Remove the kernel's own connected route, because one of ours stands in for it.
    RemoveConnected(Connected),
}

impl Change {
    /// The link that the change is about; rules have none.
    #[must_use]
    pub const fn ifindex(&self) -> Option<u32> {
        match self {
            Self::Add(Object::Route(route)) | Self::Delete(Object::Route(route)) => Some(route.ifindex),
            Self::RestoreConnected(connected) | Self::RemoveConnected(connected) => Some(connected.ifindex),
            Self::Add(_) | Self::Delete(_) => None,
        }
    }
}

/// What must be sent, in order: every addition is acknowledged before the first deletion goes out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// What goes in: [`Change::RestoreConnected`] and [`Change::Add`]. A [`Change::Delete`] is among them only where the
    /// kernel leaves no other way: see [`diff`](super::diff()).
    pub additions: Vec<Change>,
    /// What goes out: [`Change::Delete`] and [`Change::RemoveConnected`]. A [`Change::Add`] is among them only of what goes
    /// to the back of its [`Queue`].
    pub deletions: Vec<Change>,
}

impl Changes {
    /// Whether the kernel is already as it should be.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.additions.is_empty() && self.deletions.is_empty()
    }

    /// How many messages these are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.additions.len() + self.deletions.len()
    }

    /// The deletions that may still go out when the kernel has just refused the additions `failed`, and those that may
    /// not: what a refused object was to replace stays, and so does the order in the queue that it was to stand in.
    #[must_use]
    pub fn deletions_despite(&self, failed: &[Change]) -> (Vec<Change>, Vec<Change>) {
        let queue_of = |change: &Change| match change {
            Change::Add(object) | Change::Delete(object) => object.queue(),
            Change::RestoreConnected(_) | Change::RemoveConnected(_) => None,
        };
        let short: BTreeSet<Queue> = failed.iter().filter_map(queue_of).collect();
        let moved = self.deletions.iter().filter(|change| matches!(change, Change::Add(_))).filter_map(queue_of);
        let stays: BTreeSet<Queue> = moved.filter(|queue| short.contains(queue)).collect();
        self.deletions_unless(failed, |change| queue_of(change).is_some_and(|queue| stays.contains(&queue)))
    }

    /// The same for changes that were planned without `failed`: the order in the queues does not count on them.
    #[must_use]
    pub fn deletions_beside(&self, failed: &[Change]) -> (Vec<Change>, Vec<Change>) {
        self.deletions_unless(failed, |_| false)
    }

    fn deletions_unless(&self, failed: &[Change], waits: impl Fn(&Change) -> bool) -> (Vec<Change>, Vec<Change>) {
        let places: BTreeSet<Place> = failed.iter().map(Place::of).collect();
        self.deletions.iter().partition(|change| !waits(change) && !places.contains(&Place::of(change)))
    }
}

/// What a change is about, so that an addition is matched with the deletion that it makes possible.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    LocalNetworks(Family),
    Rule(IpAddr),
    Route { table: u32, dst: Prefix, ifindex: u32 },
}

impl Place {
    const fn of(change: &Change) -> Self {
        match change {
            Change::Add(Object::LocalNetworks { family, .. })
            | Change::Delete(Object::LocalNetworks { family, .. }) => Self::LocalNetworks(*family),
            Change::Add(Object::Rule(rule)) | Change::Delete(Object::Rule(rule)) => Self::Rule(rule.src),
            Change::Add(Object::Route(route)) | Change::Delete(Object::Route(route)) => {
                Self::Route { table: route.table, dst: route.dst, ifindex: route.ifindex }
            }
            Change::RestoreConnected(connected) | Change::RemoveConnected(connected) => {
                Self::Route { table: MAIN_TABLE, dst: connected.dst, ifindex: connected.ifindex }
            }
        }
    }
}
