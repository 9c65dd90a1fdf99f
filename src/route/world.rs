//! What the kernel has, as far as planning looks at it: filled by [`crate::netlink`], read by the plan.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::{Change, Connected, Family, IfName, MAIN_TABLE, Object, Prefix, Queue, Route, Rule};

/// A mirror of the kernel's links, addresses, and of the routes and rules that matter to us.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct World {
    /// Links by ifindex.
    pub links: BTreeMap<u32, Link>,
    /// Addresses of links.
    pub addresses: BTreeSet<Address>,
    /// Routes and rules with our protocol number. [`World::insert`] and [`World::remove`] keep [`World::order`] right.
    pub ours: BTreeSet<Object>,
    /// The order in which the kernel looks at those of ours that stand in a queue. A dump lists them in this order, so
    /// inserting in the order of the dump is enough.
    pub order: BTreeMap<Queue, Vec<Object>>,
    /// The kernel's own connected routes in main: IPv4 with metric 0, IPv6 with metric 256.
    pub connected: BTreeSet<Connected>,
    /// How many routes with another protocol number each table holds; the local table and [`World::connected`] are left
    /// out.
    pub foreign_routes: BTreeMap<u32, u32>,
    /// Default routes in main with another protocol number.
    pub foreign_defaults: BTreeSet<ForeignDefault>,
    /// Tables named by rules that are not ours (the kernel's own three excepted), counted.
    pub foreign_rules: BTreeMap<u32, u32>,
    /// Whether the kernel has IPv6 with policy rules (`CONFIG_IPV6_MULTIPLE_TABLES`).
    pub has_ipv6_rules: bool,
}

/// A network interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// Its name; changes when it is renamed.
    pub name: IfName,
    /// `IFF_UP`: administratively up. Loss of carrier is not link down.
    pub is_up: bool,
}

/// An address of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    /// The link.
    pub ifindex: u32,
    /// The local address.
    pub ip: IpAddr,
    /// The network it was added with (of the peer, on a point-to-point link).
    pub network: Prefix,
    /// `IFA_F_TENTATIVE` (or `IFA_F_DADFAILED`): not usable as a source yet.
    pub is_tentative: bool,
    /// `IFA_F_NOPREFIXROUTE`: the kernel makes no connected route for it.
    pub has_no_prefix_route: bool,
}

/// A default route in main that is not ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ForeignDefault {
    /// IPv4 or IPv6.
    pub family: Family,
    /// Its metric.
    pub metric: u32,
    /// Its outgoing interface; 0 if it has none (unreachable, multipath).
    pub ifindex: u32,
    /// Its gateway.
    pub gateway: Option<IpAddr>,
    /// Its protocol number (`RTPROT_*`).
    pub protocol: u8,
}

impl World {
    /// The ifindex and link that bear `name`.
    #[must_use]
    pub fn link_named(&self, name: IfName) -> Option<(u32, Link)> {
        self.links.iter().find(|(_, link)| link.name == name).map(|(index, link)| (*index, *link))
    }

    /// The addresses of link `ifindex`.
    pub fn addresses_of(&self, ifindex: u32) -> impl Iterator<Item = &Address> {
        self.addresses.range(Address::first_of(ifindex)..).take_while(move |a| a.ifindex == ifindex)
    }

    /// The address `ip` on link `ifindex`.
    #[must_use]
    pub fn address(&self, ifindex: u32, ip: IpAddr) -> Option<&Address> {
        self.addresses_of(ifindex).find(|a| a.ip == ip)
    }

    /// The connected route that the kernel itself would make for `dst` on link `ifindex`: the link is up and has an
    /// address of that network with a prefix route (`fib_add_ifaddr` in `net/ipv4/fib_frontend.c`,
    /// `inet6_addr_add` in `net/ipv6/addrconf.c`). Of several addresses it names `preferred` if that is one of them.
    #[must_use]
    pub fn own_connected(&self, dst: Prefix, ifindex: u32, preferred: Option<IpAddr>) -> Option<Connected> {
        self.links.get(&ifindex).filter(|link| link.is_up)?;
        let made = |a: &&Address| a.network == dst && !a.has_no_prefix_route && !a.is_its_own_network();
        let chosen = self.addresses_of(ifindex).filter(made).min_by_key(|a| Some(a.ip) != preferred)?;
        let prefsrc = (dst.family() == Family::V4).then_some(chosen.ip);
        Some(Connected { dst, ifindex, prefsrc })
    }

    /// Whether someone else has routes in `table` or rules that name it.
    #[must_use]
    pub fn is_foreign_table(&self, table: u32) -> bool {
        self.foreign_routes.contains_key(&table) || self.foreign_rules.contains_key(&table)
    }

    /// Our rules among [`World::ours`].
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.ours.iter().filter_map(|o| match o {
            Object::Rule(rule) => Some(rule),
            Object::Route(_) => None,
        })
    }

    /// Our on-link routes in main among [`World::ours`]: those that stand in for connected routes.
    pub fn on_link_in_main(&self) -> impl Iterator<Item = &Route> {
        self.ours.iter().filter_map(|o| match o {
            Object::Route(route) if route.table == MAIN_TABLE && route.is_on_link() => Some(route),
            _ => None,
        })
    }

    /// Notes that the kernel has `object` of ours, last in its queue if it was not there before.
    pub fn insert(&mut self, object: Object) {
        if self.ours.insert(object)
            && let Some(queue) = object.queue()
        {
            self.order.entry(queue).or_default().push(object);
        }
    }

    /// Notes that the kernel no longer has `object`.
    pub fn remove(&mut self, object: &Object) {
        self.ours.remove(object);
        let Some(queue) = object.queue() else { return };
        if let Some(waiting) = self.order.get_mut(&queue) {
            waiting.retain(|o| o != object);
            if waiting.is_empty() {
                self.order.remove(&queue);
            }
        }
    }

    /// Notes that the kernel has acknowledged `change`.
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::Add(object) => self.insert(*object),
            Change::Delete(object) => self.remove(object),
            Change::RestoreConnected(connected) => _ = self.connected.insert(*connected),
            Change::RemoveConnected(connected) => _ = self.connected.remove(connected),
        }
    }

    /// Those of ours that stand in `queue`, as the kernel looks at them.
    pub(super) fn in_order(&self, queue: Queue) -> impl Iterator<Item = &Object> {
        self.order.get(&queue).into_iter().flatten().filter(|object| self.ours.contains(object))
    }
}

impl Address {
    /// Not above any address of link `ifindex`.
    const fn first_of(ifindex: u32) -> Self {
        let network = Prefix::default_route(Family::V4);
        Self { ifindex, ip: network.ip(), network, is_tentative: false, has_no_prefix_route: false }
    }

    /// An IPv4 address alone, such as `10.64.64.64/32`: there is nothing else to lead to. IPv6 makes a route even then.
    fn is_its_own_network(&self) -> bool {
        self.network.family() == Family::V4 && self.network.len() == 32 && self.network.ip() == self.ip
    }
}
