//! What the kernel has, as far as planning looks at it: filled by [`crate::netlink`], read by the plan.

use std::collections::BTreeSet;
use std::collections::btree_map::{BTreeMap, Entry};
use std::net::IpAddr;

use super::object::IPV6_CONNECTED_METRIC;
use super::{Change, Connected, Family, IfName, Links, MAIN_TABLE, Object, OnLink, Plan, Prefix, Queue, Route, Rule};

/// A mirror of the kernel's links, addresses, and of the routes and rules that matter to us.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct World {
    /// Links by ifindex and by name.
    pub links: Links,
    /// Addresses of links.
    pub addresses: BTreeSet<Address>,
    /// Routes and rules with our protocol number. [`World::insert`] and [`World::remove`] keep [`World::order`] right.
    pub ours: BTreeSet<Object>,
    /// The order in which the kernel looks at those of ours that stand in a queue. A dump lists them in this order, so
    /// inserting in the order of the dump is enough.
    pub order: BTreeMap<Queue, Vec<Object>>,
    /// The kernel's own connected routes in main: IPv4 with metric 0, IPv6 with metric 256.
    pub connected: BTreeSet<Connected>,
    /// Networks and links where such a route would be, had we not removed it. No dump tells this: [`World::renew`] keeps
    /// it, and [`World::adopt_stand_ins`] infers it after a restart.
    pub removed: BTreeSet<OnLink>,
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
    /// `IFA_F_SECONDARY`: IPv4 has a primary address of that network on the link, which makes the connected route.
    pub is_secondary: bool,
    /// `IFA_RT_PRIORITY`: the metric that its connected route was asked to have; 0 is the kernel's own choice.
    pub priority: u32,
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

/// `LOOPBACK_IFINDEX` (`include/net/flow.h`): `lo`, in every network namespace.
const LOOPBACK: u32 = 1;

impl World {
    /// The addresses of link `ifindex`.
    pub fn addresses_of(&self, ifindex: u32) -> impl Iterator<Item = &Address> {
        self.addresses.range(Address::first_of(ifindex)..).take_while(move |a| a.ifindex == ifindex)
    }

    /// The address `ip` on link `ifindex`.
    #[must_use]
    pub fn address(&self, ifindex: u32, ip: IpAddr) -> Option<&Address> {
        self.addresses_of(ifindex).find(|a| a.ip == ip)
    }

    /// The connected route that the kernel itself would make at `place`: the link is up and has an address of that
    /// network that brings one.
    #[must_use]
    pub fn own_connected(&self, place: OnLink) -> Option<Connected> {
        let OnLink { ifindex, dst } = place;
        self.links.get(&ifindex).filter(|link| link.is_up)?;
        if ifindex == LOOPBACK && dst.family() == Family::V4 {
            // There it is a route in the table local (`fib_add_ifaddr`).
            return None;
        }
        let bringing = self.addresses_of(ifindex).find(|a| a.network == dst && a.brings_connected())?;
        let prefsrc = (dst.family() == Family::V4).then_some(bringing.ip);
        Some(Connected { ifindex, dst, prefsrc })
    }

    /// The kernel's connected routes over link `ifindex`.
    pub fn connected_of(&self, ifindex: u32) -> impl Iterator<Item = &Connected> {
        let first = Connected { ifindex, dst: Prefix::default_route(Family::V4), prefsrc: None };
        self.connected.range(first..).take_while(move |c| c.ifindex == ifindex)
    }

    /// The connected routes that the kernel would have over link `ifindex` now, had we not removed them.
    pub(super) fn lacking_of(&self, ifindex: u32) -> impl Iterator<Item = Connected> {
        let removed = self.removed_of(ifindex).filter(|place| !self.is_connected(*place));
        removed.filter_map(|place| self.own_connected(place))
    }

    /// The networks that link `ifindex` reaches in main without us: by the kernel's connected routes, or by those it
    /// gets back if ours that stand in for them go. (Those that stay cover their network themselves.)
    pub(super) fn covered_in_main(&self, ifindex: u32) -> impl Iterator<Item = Prefix> {
        self.connected_of(ifindex).copied().chain(self.lacking_of(ifindex)).map(|connected| connected.dst)
    }

    /// Whether one of ours stands in for the kernel's connected route at `place`.
    pub(super) fn is_stood_in(&self, place: OnLink, is_counted: impl Fn(&Object) -> bool) -> bool {
        let at = |object: &&Object| object.as_stand_in().is_some_and(|route| route.place() == place);
        self.main_routes_to(place.dst).filter(at).any(is_counted)
    }

    /// Our routes in main to `dst`, the smallest metric first.
    pub(super) fn main_routes_to(&self, dst: Prefix) -> impl Iterator<Item = &Object> {
        let route =
            Route { table: MAIN_TABLE, dst, metric: 0, ifindex: 0, gateway: None, prefsrc: None, onlink: false };
        let leads_there =
            move |object: &&Object| matches!(object, Object::Route(r) if r.table == MAIN_TABLE && r.dst == dst);
        self.ours.range(Object::Route(route)..).take_while(leads_there)
    }

    fn is_connected(&self, place: OnLink) -> bool {
        let first = Connected { ifindex: place.ifindex, dst: place.dst, prefsrc: None };
        self.connected.range(first..).next().is_some_and(|c| c.place() == place)
    }

    /// Whether someone else has routes in `table` or rules that name it.
    #[must_use]
    pub fn is_foreign_table(&self, table: u32) -> bool {
        self.foreign_routes.contains_key(&table) || self.foreign_rules.contains_key(&table)
    }

    /// The foreign default route that the kernel prefers to one of ours with `metric`. At the same metric the one that was
    /// there first wins, and a foreign one may have been.
    #[must_use]
    pub fn outranking(&self, family: Family, metric: u32) -> Option<&ForeignDefault> {
        let foreign = self.foreign_defaults.iter();
        foreign.filter(|foreign| foreign.family == family && foreign.metric <= metric).min_by_key(|f| f.metric)
    }

    /// Our rules among [`World::ours`].
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.ours.iter().filter_map(|o| match o {
            Object::Rule(rule) => Some(rule),
            Object::Route(_) | Object::LocalNetworks { .. } => None,
        })
    }

    /// Notes that the kernel has `object` of ours, last in its queue if it was not there before; says whether that is
    /// news.
    pub fn insert(&mut self, object: Object) -> bool {
        let is_new = self.ours.insert(object);
        if let (true, Some(queue)) = (is_new, object.queue()) {
            self.order.entry(queue).or_default().push(object);
        }
        is_new
    }

    /// Notes that the kernel no longer has `object`; says whether that is news.
    pub fn remove(&mut self, object: &Object) -> bool {
        if let Some(Entry::Occupied(mut waiting)) = object.queue().map(|queue| self.order.entry(queue)) {
            waiting.get_mut().retain(|o| o != object);
            if waiting.get().is_empty() {
                waiting.remove();
            }
        }
        self.ours.remove(object)
    }

    /// Notes that the kernel has a connected route, and says whether that is news.
    pub fn connect(&mut self, connected: Connected) -> bool {
        self.removed.remove(&connected.place());
        self.connected.insert(connected)
    }

    /// Notes that we have removed a connected route, or may have.
    pub fn note_removed(&mut self, connected: &Connected) {
        self.removed.insert(connected.place());
    }

    /// Forgets those removals that have become void: the kernel has made the route again, or would not any more.
    pub fn forget_void_removals(&mut self) {
        let links: BTreeSet<u32> = self.removed.iter().map(|place| place.ifindex).collect();
        self.forget_void_removals_on(links);
    }

    /// The same for these links only.
    pub fn forget_void_removals_on(&mut self, links: impl IntoIterator<Item = u32>) {
        for ifindex in links {
            let is_void = |place: &OnLink| self.is_connected(*place) || self.own_connected(*place).is_none();
            for place in self.removed_of(ifindex).filter(is_void).collect::<Vec<_>>() {
                self.removed.remove(&place);
            }
        }
    }

    /// After a restart: where a route of ours stands in for the kernel's, which is not there, we have removed that. If
    /// someone else had, before we came, nobody can know.
    pub fn adopt_stand_ins(&mut self) {
        let places: Vec<OnLink> = self.ours.iter().filter_map(Object::as_stand_in).map(Route::place).collect();
        self.removed.extend(places);
        self.forget_void_removals();
    }

    /// After a restart: where one of ours should stand in, and nothing stands, someone has deleted ours while nobody looked.
    pub fn adopt_planned(&mut self, plan: &Plan) {
        self.removed.extend(plan.stand_ins());
        self.forget_void_removals();
    }

    /// Takes over what a new dump says, and says whether that is news.
    pub fn renew(&mut self, dump: Self) -> bool {
        let mut new = Self { removed: self.removed.clone(), ..dump };
        new.forget_void_removals();
        let is_news = new != *self;
        *self = new;
        is_news
    }

    /// Notes that the kernel has acknowledged `change`.
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::Add(object) => _ = self.insert(*object),
            Change::Delete(object) => _ = self.remove(object),
            Change::RestoreConnected(connected) => _ = self.connect(*connected),
            Change::RemoveConnected(connected) => {
                self.connected.remove(connected);
                self.note_removed(connected);
            }
        }
    }

    /// Those of ours that stand in `queue`, as the kernel looks at them.
    pub(super) fn in_order(&self, queue: Queue) -> impl Iterator<Item = &Object> + Clone {
        self.order.get(&queue).into_iter().flatten()
    }
}

impl Address {
    /// Not above any address of link `ifindex`.
    const fn first_of(ifindex: u32) -> Self {
        let network = Prefix::default_route(Family::V4);
        Self {
            ifindex,
            ip: network.ip(),
            network,
            is_tentative: false,
            has_no_prefix_route: false,
            is_secondary: false,
            priority: 0,
        }
    }

    /// Whether the kernel makes a connected route of the kind that [`World::connected`] has, on a link that is up
    /// (`fib_add_ifaddr` in `net/ipv4/fib_frontend.c`, `inet6_addr_add` in `net/ipv6/addrconf.c`). One with a metric of
    /// its own is none of ours to touch, nor is one of IPv6's link-local network.
    fn brings_connected(&self) -> bool {
        let is_usual = match self.network.ip() {
            IpAddr::V4(_) => self.priority == 0,
            IpAddr::V6(ip) => matches!(self.priority, 0 | IPV6_CONNECTED_METRIC) && !ip.is_unicast_link_local(),
        };
        is_usual && !self.is_secondary && !self.has_no_prefix_route && !self.is_its_own_network()
    }

    /// An IPv4 address alone, such as `10.64.64.64/32`: there is nothing else to lead to. IPv6 makes a route even then.
    fn is_its_own_network(&self) -> bool {
        self.network.family() == Family::V4 && self.network.len() == 32 && self.network.ip() == self.ip
    }
}
