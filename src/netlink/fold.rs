//! Folds what the kernel tells into a [`World`], one fact at a time: dumps into an empty one, events into the mirror.
//!
//! Some changes the kernel tells only in part, or not at all; a fold then asks to look again, that is, for new dumps.

use std::collections::{BTreeMap, btree_map::Entry};
use std::net::IpAddr;

use nix::libc;

use super::constants::*;
use super::decode::{Fact, RouteFact, RuleFact, is_builtin_table};
use crate::route::{
    Address, Change, Connected, Family, ForeignDefault, Link, MAIN_TABLE, Object, Queue, Route, Touched, World,
};

/// What a fold did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Effect {
    /// The world is another one now.
    pub changed: bool,
    /// More has changed than the event said.
    pub look_again: bool,
    /// More has changed than the event said; what, is known by the kernel's rules, and should be looked at some time.
    pub inferred: bool,
}

impl Effect {
    const NONE: Self = Self { changed: false, look_again: false, inferred: false };

    fn changed(changed: bool) -> Self {
        Self { changed, ..Self::NONE }
    }

    fn and_look_again(self, look_again: bool) -> Self {
        Self { look_again: self.look_again || look_again, ..self }
    }

    fn or(self, other: Self) -> Self {
        Self {
            changed: self.changed || other.changed,
            look_again: self.look_again || other.look_again,
            inferred: self.inferred || other.inferred,
        }
    }
}

/// What folding needs to know besides the world.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    /// The protocol number of what is ours.
    protocol: u8,
    /// The bridge, bond or VRF that a link belongs to.
    masters: BTreeMap<u32, u32>,
    /// What the facts were about.
    touched: Touched,
}

/// What a route is to us.
enum Class {
    Ours(Vec<Route>),
    Connected(Connected),
    ForeignDefault(ForeignDefault),
    InForeignTable,
    Nothing,
}

impl Folder {
    pub fn new(protocol: u8) -> Self {
        Self { protocol, masters: BTreeMap::new(), touched: Touched::default() }
    }

    /// Forgets what it knows, for new dumps.
    pub fn reset(&mut self) {
        self.masters.clear();
        self.touched = Touched::default();
    }

    /// What the facts were about that have come in since this was last asked.
    pub fn touched(&mut self) -> Touched {
        std::mem::take(&mut self.touched)
    }

    /// Folds a fact from a dump, or an event that needs no more care.
    pub fn add(&mut self, world: &mut World, fact: Fact) -> Effect {
        match fact {
            Fact::Link { ifindex, link, master } => self.link(world, ifindex, link, master),
            Fact::LinkGone { ifindex } => self.link_gone(world, ifindex),
            Fact::Address(address) => {
                self.touched.links.insert(address.ifindex);
                Effect::changed(set_address(world, address))
            }
            // The routes that prefer it as their source vanish untold (IPv4) or lose that preference (IPv6).
            Fact::AddressGone(address) => {
                self.touched.links.insert(address.ifindex);
                let had = remove_address(world, &address);
                Effect::changed(had).and_look_again(had && takes_routes_along(world, &address))
            }
            Fact::Route(fact) => self.route(world, &fact),
            Fact::RouteGone(fact) => self.route_gone(world, &fact),
            Fact::Rule(fact) => self.rule(world, fact),
            Fact::RuleGone(fact) => self.rule_gone(world, fact),
            // The routes by it vanish untold (`remove_nexthop` in `net/ipv4/nexthop.c`). None of ours has one.
            Fact::NexthopGone => {
                let may_go = !world.foreign_defaults.is_empty() || !world.foreign_routes.is_empty();
                Effect::NONE.and_look_again(may_go)
            }
        }
    }

    /// Folds an event; `replaces` is `NLM_F_REPLACE` in its header.
    pub fn event(&mut self, world: &mut World, fact: Fact, replaces: bool) -> Effect {
        let look_again = match &fact {
            // The event names the new route only, and which one it replaced is not said.
            Fact::Route(fact) if replaces => self.may_have_replaced(world, fact),
            // Which of the hops are new, and which protocol the others bear, is not said.
            Fact::Route(fact) if !fact.hops.is_empty() => {
                fact.dst.family() == Family::V6 && !matches!(self.class(fact), Class::Nothing)
            }
            // In front of its equals or behind them is not said.
            Fact::Route(fact) => self.joins_a_queue(world, fact),
            _ => false,
        };
        // One made way for the other: as many as before.
        let is_swap = |fact: &RouteFact| replaces && matches!(self.class(fact), Class::InForeignTable);
        match &fact {
            _ if look_again => Effect { look_again, ..Effect::NONE },
            Fact::Route(fact) if is_swap(fact) => Effect::NONE,
            _ => self.add(world, fact),
        }
    }

    /// Whether `fact` is a route that the kernel makes when a link comes up: it tells of these before it tells of the link.
    /// (Nobody can add one over a link that is down; and what the table local has, addresses tell.)
    pub fn is_early(&self, world: &World, fact: &Fact) -> bool {
        let is_down = |ifindex: u32| world.links.get(&ifindex).is_some_and(|link| !link.is_up);
        match fact {
            Fact::Route(route) if route.table == RT_TABLE_LOCAL => true,
            Fact::Route(route) => route.protocol == RTPROT_KERNEL && is_down(route.hop.ifindex),
            _ => false,
        }
    }

    /// The changes that would undo what `fact` tells that someone at `port` did to ours, or put in their way: see
    /// [`Meddling`](super::Meddling).
    pub fn undoing(&self, world: &World, fact: &Fact, port: u32) -> Vec<Change> {
        let is_ours = |object: &Object| world.ours.contains(object);
        match fact {
            Fact::RouteGone(fact) => match self.class(fact) {
                Class::Ours(routes) => routes.into_iter().map(Object::Route).filter(is_ours).map(Change::Add).collect(),
                _ => Vec::new(),
            },
            Fact::Route(fact) => match self.class(fact) {
                Class::Ours(routes) => {
                    let new = routes.into_iter().map(Object::Route).filter(|object| !is_ours(object));
                    new.map(Change::Delete).collect()
                }
                // Those of port 0 the kernel made; and an ioctl cannot make any of that protocol.
                Class::Connected(connected) if port != 0 && !world.connected.contains(&connected) => {
                    vec![Change::RemoveConnected(connected)]
                }
                _ => Vec::new(),
            },
            Fact::RuleGone(fact) => self.our_rule(fact).filter(is_ours).map(Change::Add).into_iter().collect(),
            Fact::Rule(fact) => {
                self.our_rule(fact).filter(|object| !is_ours(object)).map(Change::Delete).into_iter().collect()
            }
            Fact::Link { .. } | Fact::LinkGone { .. } | Fact::Address(_) | Fact::AddressGone(_) | Fact::NexthopGone => {
                Vec::new()
            }
        }
    }

    fn our_rule(&self, fact: &RuleFact) -> Option<Object> {
        fact.object.filter(|_| fact.protocol == self.protocol)
    }

    /// The link over which the kernel takes or makes routes because of `fact`.
    pub fn upset(&self, world: &World, fact: &Fact) -> Option<u32> {
        match fact {
            Fact::Link { ifindex, link, master } => {
                let was_up = world.links.get(ifindex).map(|old| old.is_up);
                let is_as_before = was_up == Some(link.is_up) && self.masters.get(ifindex) == master.as_ref();
                (!is_as_before).then_some(*ifindex)
            }
            Fact::LinkGone { ifindex } => Some(*ifindex),
            Fact::Address(new) => {
                let is_known = world.addresses_of(new.ifindex).any(|old| is_same(old, new));
                (!is_known).then_some(new.ifindex)
            }
            Fact::AddressGone(address) => Some(address.ifindex),
            Fact::Route(_) | Fact::RouteGone(_) | Fact::Rule(_) | Fact::RuleGone(_) | Fact::NexthopGone => None,
        }
    }

    /// Whether `fact` tells of a route of ours that is new in a queue where others stand.
    fn joins_a_queue(&self, world: &World, fact: &RouteFact) -> bool {
        if fact.protocol != self.protocol || fact.table != MAIN_TABLE {
            return false;
        }
        let others_wait = |queue: &Queue| world.order.contains_key(queue);
        let joins = |object: Object| !world.ours.contains(&object) && object.queue().as_ref().is_some_and(others_wait);
        fact.routes().map(Object::Route).any(joins)
    }

    /// Whether an event may change the world at all.
    pub fn concerns(&self, world: &World, fact: &Fact, replaces: bool) -> bool {
        match fact {
            Fact::Route(route) | Fact::RouteGone(route) => {
                !matches!(self.class(route), Class::Nothing) || (replaces && self.may_have_replaced(world, route))
            }
            _ => true,
        }
    }

    fn link(&mut self, world: &mut World, ifindex: u32, link: Link, master: Option<u32>) -> Effect {
        self.touched.links.insert(ifindex);
        let old = world.links.insert(ifindex, link);
        let old_master = match master {
            Some(master) => self.masters.insert(ifindex, master),
            None => self.masters.remove(&ifindex),
        };
        // A link that enters or leaves a VRF takes its IPv4 routes along untold.
        let moved = old.is_some() && old_master != master;
        let went_down = old.is_some_and(|old| old.is_up && !link.is_up);
        let inferred = went_down && !has_untold_ipv4(world);
        if inferred {
            self.lose_ipv4_routes(world, ifindex);
        }
        let effect = Effect { inferred, ..Effect::changed(old != Some(link)) };
        effect.and_look_again(moved || (went_down && !inferred))
    }

    /// A link that goes down takes its IPv4 routes along untold (`fib_sync_down_dev` in `net/ipv4/fib_semantics.c`).
    fn lose_ipv4_routes(&mut self, world: &mut World, ifindex: u32) {
        let is_lost = |object: &&Object| matches!(object, Object::Route(r) if r.ifindex == ifindex && r.dst.family() == Family::V4);
        let lost: Vec<Object> = world.ours.iter().filter(is_lost).copied().collect();
        for object in lost {
            world.remove(&object);
            self.touched.objects.insert(object);
        }
        world.connected.retain(|c| c.ifindex != ifindex || c.dst.family() != Family::V4);
        world.foreign_defaults.retain(|d| d.ifindex != ifindex || d.family != Family::V4);
    }

    fn link_gone(&mut self, world: &mut World, ifindex: u32) -> Effect {
        self.touched.links.insert(ifindex);
        self.masters.remove(&ifindex);
        let had = world.links.remove(&ifindex).is_some();
        Effect::changed(had).and_look_again(had)
    }

    fn route(&mut self, world: &mut World, fact: &RouteFact) -> Effect {
        let class = self.class(fact);
        self.touch(&class);
        match class {
            Class::Ours(routes) => routes
                .into_iter()
                .map(|route| Effect::changed(world.insert(Object::Route(route))))
                .fold(Effect::NONE, Effect::or),
            Class::Connected(connected) => Effect::changed(world.connect(connected)),
            Class::ForeignDefault(default) => Effect::changed(world.foreign_defaults.insert(default)),
            Class::InForeignTable => {
                count(&mut world.foreign_routes, fact.table);
                Effect::changed(true)
            }
            Class::Nothing => Effect::NONE,
        }
    }

    fn route_gone(&mut self, world: &mut World, fact: &RouteFact) -> Effect {
        // IPv6 may tell of one hop of a multipath route, which the dump told of as a whole.
        let is_v6 = fact.dst.family() == Family::V6;
        let class = self.class(fact);
        self.touch(&class);
        match class {
            Class::Ours(routes) => routes
                .into_iter()
                .map(|route| Effect::changed(world.remove(&Object::Route(route))))
                .map(|effect| effect.and_look_again(is_v6 && !effect.changed))
                .fold(Effect::NONE, Effect::or),
            Class::Connected(connected) => Effect::changed(world.connected.remove(&connected)),
            Class::ForeignDefault(default) => {
                let had = world.foreign_defaults.remove(&default);
                Effect::changed(had).and_look_again(is_v6 && !had)
            }
            Class::InForeignTable => {
                let was_last = uncount(&mut world.foreign_routes, fact.table);
                Effect::changed(true).and_look_again(is_v6 && was_last)
            }
            Class::Nothing => Effect::NONE,
        }
    }

    fn touch(&mut self, class: &Class) {
        match class {
            Class::Ours(routes) => self.touched.objects.extend(routes.iter().copied().map(Object::Route)),
            Class::Connected(connected) => _ = self.touched.links.insert(connected.ifindex),
            Class::ForeignDefault(_) | Class::InForeignTable | Class::Nothing => {}
        }
    }

    fn rule(&mut self, world: &mut World, fact: RuleFact) -> Effect {
        match fact.object {
            Some(rule) if fact.protocol == self.protocol => {
                self.touched.objects.insert(rule);
                Effect::changed(world.insert(rule))
            }
            _ if is_builtin_table(fact.table) => Effect::NONE,
            _ => {
                count(&mut world.foreign_rules, fact.table);
                Effect::changed(true)
            }
        }
    }

    fn rule_gone(&mut self, world: &mut World, fact: RuleFact) -> Effect {
        match fact.object {
            Some(rule) if fact.protocol == self.protocol => {
                self.touched.objects.insert(rule);
                Effect::changed(world.remove(&rule))
            }
            _ if is_builtin_table(fact.table) => Effect::NONE,
            _ => {
                uncount(&mut world.foreign_rules, fact.table);
                Effect::changed(true)
            }
        }
    }

    fn class(&self, fact: &RouteFact) -> Class {
        if fact.is_cached || fact.table == RT_TABLE_LOCAL {
            return Class::Nothing;
        }
        if fact.protocol == self.protocol {
            let routes: Vec<Route> = fact.routes().collect();
            if !routes.is_empty() {
                return Class::Ours(routes);
            }
        }
        if !is_builtin_table(fact.table) {
            return Class::InForeignTable;
        }
        if fact.table != MAIN_TABLE {
            return Class::Nothing;
        }
        if fact.dst.is_default() {
            return Class::ForeignDefault(foreign_default(fact));
        }
        connected(fact).map_or(Class::Nothing, Class::Connected)
    }

    /// Whether something that the world holds may have made way for `fact`: same table, network and metric.
    fn may_have_replaced(&self, world: &World, fact: &RouteFact) -> bool {
        let same = |table, dst, metric| table == fact.table && dst == fact.dst && metric == fact.metric;
        let connected_metric = if fact.dst.family() == Family::V4 { 0 } else { IPV6_CONNECTED_METRIC };
        (fact.table == MAIN_TABLE && fact.dst.is_default())
            || (!is_builtin_table(fact.table) && (!fact.hops.is_empty() || fact.protocol == self.protocol))
            || world.connected.iter().any(|c| same(MAIN_TABLE, c.dst, connected_metric))
            || world.ours.iter().any(|o| matches!(o, Object::Route(r) if same(r.table, r.dst, r.metric)))
    }
}

fn set_address(world: &mut World, address: Address) -> bool {
    if world.addresses.contains(&address) {
        return false;
    }
    remove_address(world, &address);
    world.addresses.insert(address)
}

/// Removes the address whatever its flags; one link may have an address twice, in different networks.
fn remove_address(world: &mut World, address: &Address) -> bool {
    let found = world.addresses_of(address.ifindex).find(|a| is_same(a, address)).copied();
    found.is_some_and(|found| world.addresses.remove(&found))
}

/// Whether routes may go with the address, or lose their preferred source, and that is not told: those that prefer it, and
/// in IPv4 all over its link when it was the last there (`fib_inetaddr_event`).
fn takes_routes_along(world: &World, address: &Address) -> bool {
    let prefers = |object: &Object| {
        matches!(object, Object::Route(r) if r.prefsrc == Some(address.ip)
            || (address.ip.is_ipv4() && r.ifindex == address.ifindex && r.dst.family() == Family::V4))
    };
    let is_foreign_v4 = |d: &ForeignDefault| d.family == Family::V4;
    let may_be_foreign =
        address.ip.is_ipv4() && (!world.foreign_routes.is_empty() || world.foreign_defaults.iter().any(is_foreign_v4));
    may_be_foreign || world.ours.iter().any(prefers)
}

/// Whether the world has IPv4 routes of which it does not know the link.
fn has_untold_ipv4(world: &World) -> bool {
    let is_untold = |d: &ForeignDefault| d.family == Family::V4 && d.ifindex == 0;
    !world.foreign_routes.is_empty() || world.foreign_defaults.iter().any(is_untold)
}

fn is_same(one: &Address, other: &Address) -> bool {
    (one.ifindex, one.ip, one.network) == (other.ifindex, other.ip, other.network)
}

fn foreign_default(fact: &RouteFact) -> ForeignDefault {
    let leads_somewhere = fact.kind == libc::RTN_UNICAST && fact.hops.is_empty();
    let hop = if leads_somewhere { fact.hop } else { super::decode::Hop::default() };
    ForeignDefault {
        family: fact.dst.family(),
        metric: fact.metric,
        ifindex: hop.ifindex,
        gateway: hop.gateway,
        protocol: fact.protocol,
    }
}

/// The kernel's own connected route in main, except for link-local networks, which are none of ours.
fn connected(fact: &RouteFact) -> Option<Connected> {
    let is_plain = fact.protocol == RTPROT_KERNEL && fact.kind == libc::RTN_UNICAST && !fact.is_odd;
    let leads_to_link = fact.hops.is_empty() && fact.hop.gateway.is_none() && fact.hop.ifindex != 0;
    let is_connected = match fact.dst.ip() {
        IpAddr::V4(_) => fact.metric == 0 && fact.scope == RT_SCOPE_LINK,
        IpAddr::V6(ip) => fact.metric == IPV6_CONNECTED_METRIC && !ip.is_unicast_link_local(),
    };
    (is_plain && leads_to_link && is_connected).then_some(Connected {
        dst: fact.dst,
        ifindex: fact.hop.ifindex,
        prefsrc: fact.prefsrc,
    })
}

fn count(counts: &mut BTreeMap<u32, u32>, table: u32) {
    let n = counts.entry(table).or_default();
    *n = n.saturating_add(1);
}

/// Whether it was the last.
fn uncount(counts: &mut BTreeMap<u32, u32>, table: u32) -> bool {
    match counts.entry(table) {
        Entry::Occupied(mut n) if *n.get() > 1 => {
            *n.get_mut() -= 1;
            false
        }
        Entry::Occupied(n) => {
            n.remove();
            true
        }
        Entry::Vacant(_) => true,
    }
}
