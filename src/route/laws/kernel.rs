//! A model of the kernel's own rules, written from its source and not from the code under test: what it accepts, what it
//! tells apart, what a deletion hits. Functions are named where they are modelled.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::route::{
    Address, Change, Connected, Family, ForeignDefault, Links, MAIN_TABLE, Object, Prefix, Route, Rule, World,
};

pub(super) const OURS: u8 = 110;
const KERNEL: u8 = 2;
pub(super) const STATIC: u8 = 4;

#[derive(Debug, Clone, Default)]
pub(super) struct Kernel {
    pub links: Links,
    pub addresses: std::collections::BTreeSet<Address>,
    /// In the order of insertion.
    pub routes: Vec<(Route, u8)>,
    pub rules: Vec<Rule>,
    pub has_ipv6_rules: bool,
    /// Where its connected route would be, had nobody removed it, and who did.
    pub taken: BTreeMap<(Prefix, u32), Taker>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taker {
    Us,
    Admin,
}

impl Kernel {
    /// What a dump would show.
    pub fn world(&self) -> World {
        let mut world = World {
            links: self.links.clone(),
            addresses: self.addresses.clone(),
            has_ipv6_rules: self.has_ipv6_rules,
            ..World::default()
        };
        for rule in &self.rules {
            let _ = world.insert(Object::Rule(*rule));
        }
        for (route, protocol) in &self.routes {
            match *protocol {
                OURS => _ = world.insert(Object::Route(*route)),
                KERNEL if is_usual(route) => _ = world.connected.insert(connected(route)),
                KERNEL => {}
                _ => {
                    *world.foreign_routes.entry(route.table).or_default() += 1;
                    if route.table == MAIN_TABLE && route.dst.is_default() {
                        world.foreign_defaults.insert(ForeignDefault {
                            family: route.dst.family(),
                            metric: route.metric,
                            ifindex: route.ifindex,
                            gateway: route.gateway,
                            protocol: *protocol,
                        });
                    }
                }
            }
        }
        world
    }

    pub fn run(&mut self, change: &Change) -> Result<(), &'static str> {
        match change {
            Change::Add(Object::LocalNetworks { .. }) | Change::Delete(Object::LocalNetworks { .. }) => {
                unreachable!("switched off")
            }
            Change::Add(Object::Rule(rule)) => self.add_rule(*rule),
            Change::Delete(Object::Rule(rule)) => self.delete_rule(rule),
            Change::Add(Object::Route(route)) => self.add(*route, OURS),
            Change::Delete(Object::Route(route)) => self.delete(route, OURS),
            Change::RestoreConnected(c) => {
                let taker = self.taken.remove(&(c.dst, c.ifindex));
                assert_eq!(taker, Some(Taker::Us), "{c:?} is not ours to put back");
                assert_eq!(self.makes(c.dst, c.ifindex), Some(*c), "as the kernel itself would have it");
                self.add(as_route(c), KERNEL)
            }
            Change::RemoveConnected(c) => {
                self.taken.insert((c.dst, c.ifindex), Taker::Us);
                self.delete(&as_route(c), KERNEL)
            }
        }
    }

    /// An administrator deletes a route.
    pub fn steal(&mut self, position: usize) {
        let (route, protocol) = self.routes.remove(position);
        if protocol == KERNEL && is_usual(&route) {
            self.taken.insert((route.dst, route.ifindex), Taker::Admin);
        }
    }

    /// The daemon starts anew. Where a route of ours lies, it has to take the removal for its own.
    pub fn forget_takers(&mut self) {
        let stands_in = |(route, protocol): &&(Route, u8)| {
            let is_link = route.table == MAIN_TABLE && route.gateway.is_none();
            *protocol == OURS && is_link && (route.dst.family() == Family::V4 || route.metric >= 256)
        };
        let places: Vec<_> = self.routes.iter().filter(stands_in).map(|(r, _)| (r.dst, r.ifindex)).collect();
        for (place, taker) in &mut self.taken {
            *taker = if places.contains(place) { Taker::Us } else { Taker::Admin };
        }
    }

    /// `fib_add_ifaddr`, `inet6_addr_add`: the connected route that an address brings.
    fn made_for(address: &Address) -> Option<Route> {
        let Address { network: dst, ifindex, ip, priority, .. } = *address;
        let alone = dst.family() == Family::V4 && dst.len() == 32;
        let is_link_local = matches!(dst.ip(), IpAddr::V6(ip) if ip.is_unicast_link_local());
        if alone || is_link_local || address.has_no_prefix_route || address.is_secondary {
            return None;
        }
        let is_v4 = dst.family() == Family::V4;
        let metric = if priority == 0 && !is_v4 { 256 } else { priority };
        let prefsrc = is_v4.then_some(ip);
        Some(Route { table: MAIN_TABLE, dst, metric, ifindex, gateway: None, prefsrc, onlink: false })
    }

    /// The connected route of the usual metric that it makes, or made, for that network on that link.
    pub fn makes(&self, dst: Prefix, ifindex: u32) -> Option<Connected> {
        self.links.get(&ifindex).filter(|link| link.is_up)?;
        let of_link = self.addresses.iter().filter(|a| a.ifindex == ifindex);
        of_link.filter_map(Self::made_for).find(|r| r.dst == dst && is_usual(r)).map(|r| connected(&r))
    }

    /// `fib_nl_newrule`: behind equal priorities; all ours have one.
    fn add_rule(&mut self, rule: Rule) -> Result<(), &'static str> {
        if rule.src.is_ipv6() && !self.has_ipv6_rules {
            return Err("EAFNOSUPPORT");
        }
        if self.rules.contains(&rule) {
            return Err("EEXIST");
        }
        self.rules.push(rule);
        Ok(())
    }

    fn delete_rule(&mut self, rule: &Rule) -> Result<(), &'static str> {
        let found = self.rules.iter().position(|there| there == rule).ok_or("ENOENT")?;
        self.rules.remove(found);
        Ok(())
    }

    /// `fib_create_info` and `fib_table_insert`, `ip6_route_info_create` and `fib6_add_rt2node`, with
    /// `NLM_F_CREATE | NLM_F_APPEND`.
    pub fn add(&mut self, route: Route, protocol: u8) -> Result<(), &'static str> {
        if !self.links.get(&route.ifindex).ok_or("ENODEV")?.is_up {
            return Err("ENETDOWN");
        }
        self.check_source(&route)?;
        if let Some(gateway) = route.gateway {
            self.check_gateway(&route, gateway)?;
        }
        let is_same = |(there, by): &(Route, u8)| match route.dst.family() {
            Family::V4 => *there == route && *by == protocol,
            Family::V6 => key(there) == key(&route),
        };
        if let Some(there) = self.routes.iter_mut().find(|there| is_same(there)) {
            // `NLM_F_REPLACE`, which only ours among themselves get.
            let is_replaced = route.dst.family() == Family::V6 && there.1 == protocol && there.0 != route;
            there.0 = if is_replaced { route } else { there.0 };
            return if is_replaced { Ok(()) } else { Err("EEXIST") };
        }
        assert!(route.metric != 0 || route.dst.family() == Family::V4, "stored as 1024");
        self.routes.push((route, protocol));
        Ok(())
    }

    fn check_source(&self, route: &Route) -> Result<(), &'static str> {
        let Some(source) = route.prefsrc else { return Ok(()) };
        let mut addresses = self.addresses.iter().filter(|a| a.ifindex == route.ifindex && a.ip == source);
        addresses.next().filter(|a| !a.is_tentative).map(|_| ()).ok_or("EINVAL source")
    }

    /// `fib_check_nh_v4_gw`, `ip6_route_check_nh`: the table first, then main.
    fn check_gateway(&self, route: &Route, gateway: IpAddr) -> Result<(), &'static str> {
        let is_link_local = matches!(gateway, IpAddr::V6(ip) if ip.is_unicast_link_local());
        let covers = |(r, _): &&(Route, u8)| {
            [route.table, MAIN_TABLE].contains(&r.table)
                && r.ifindex == route.ifindex
                && r.gateway.is_none()
                && r.dst.contains(gateway)
        };
        let is_fine = route.onlink || is_link_local || self.routes.iter().any(|r| covers(&r));
        if is_fine { Ok(()) } else { Err("ENETUNREACH") }
    }

    /// `fib_table_delete` and `fib_nh_match`, `ip6_route_del`: the first that fits.
    fn delete(&mut self, route: &Route, protocol: u8) -> Result<(), &'static str> {
        let fits = |(there, by): &(Route, u8)| {
            let is_v4 = route.dst.family() == Family::V4;
            let metric = (is_v4 && route.metric == 0) || there.metric == route.metric;
            let source = !is_v4 || route.prefsrc.is_none() || there.prefsrc == route.prefsrc;
            let place = (there.table, there.dst, there.ifindex) == (route.table, route.dst, route.ifindex);
            // The scope of an on-link route is link, so a route with a gateway does not fit it.
            place && metric && source && there.gateway == route.gateway && *by == protocol
        };
        let found = self.routes.iter().position(fits).ok_or("ESRCH")?;
        self.routes.remove(found);
        Ok(())
    }

    /// What has happened when a link or its addresses are as they are now and were as in `before`: routes over links
    /// that are down and from addresses that are gone are gone, new addresses bring their connected routes. An address
    /// that is another one now, but for being checked, was deleted and added again.
    pub fn settle(&mut self, before: &World) {
        let (links, addresses) = (self.links.clone(), self.addresses.clone());
        let is_up = |ifindex: u32| links.get(&ifindex).is_some_and(|link| link.is_up);
        let was_up = |ifindex: u32| before.links.get(&ifindex).is_some_and(|link| link.is_up);
        let checked = |a: &Address| Address { is_tentative: false, ..*a };
        let stayed = |a: &Address| before.addresses.iter().any(|old| checked(old) == checked(a));
        let stays = |ifindex, ip| addresses.iter().any(|a| a.ifindex == ifindex && a.ip == ip && stayed(a));
        let is_made = |route: &Route| addresses.iter().filter_map(Self::made_for).any(|made| made == *route);
        self.routes.retain(|(route, protocol)| {
            let sourced = route.prefsrc.is_none_or(|ip| stays(route.ifindex, ip));
            is_up(route.ifindex) && sourced && (*protocol != KERNEL || is_made(route))
        });
        let mut kept = std::mem::take(&mut self.taken);
        kept.retain(|(dst, ifindex), _| was_up(*ifindex) && self.makes(*dst, *ifindex).is_some());
        for address in &self.addresses {
            let is_new = !was_up(address.ifindex) || !stayed(address);
            let Some(own) = Self::made_for(address).filter(|_| is_new && is_up(address.ifindex)) else { continue };
            if is_usual(&own) {
                kept.remove(&(own.dst, own.ifindex));
            }
            if !self.routes.iter().any(|(there, by)| *by == KERNEL && *there == own) {
                self.routes.push((own, KERNEL));
            }
        }
        self.taken = kept;
    }
}

/// Whether a connected route has the metric of those that bear none of their own.
fn is_usual(route: &Route) -> bool {
    route.metric == if route.dst.family() == Family::V4 { 0 } else { 256 }
}

/// Whether both are one IPv6 route for the kernel.
pub(super) fn is_twin(one: &Route, other: &Route) -> bool {
    one.dst.family() == Family::V6 && key(one) == key(other)
}

const fn key(route: &Route) -> (u32, Prefix, u32, u32, Option<IpAddr>) {
    (route.table, route.dst, route.metric, route.ifindex, route.gateway)
}

pub(super) fn as_route(connected: &Connected) -> Route {
    let metric = if connected.dst.family() == Family::V4 { 0 } else { 256 };
    let Connected { dst, ifindex, prefsrc } = *connected;
    Route { table: MAIN_TABLE, dst, metric, ifindex, gateway: None, prefsrc, onlink: false }
}

const fn connected(route: &Route) -> Connected {
    Connected { dst: route.dst, ifindex: route.ifindex, prefsrc: route.prefsrc }
}
