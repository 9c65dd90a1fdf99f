//! One interface's share of the plan: what of its wish the kernel can hold now, and why the rest has to wait.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};

use super::{Family, IfName, Link, MAIN_TABLE, Object, PlanOptions, Prefix, Reason, Route, Rule, Subnet, Wish, World};

/// `ENETUNREACH` (`include/uapi/asm-generic/errno.h`): what the kernel answers to a gateway that no route covers.
pub(super) const ENETUNREACH: i32 = 101;

/// What IPv6 makes of metric 0 (`IP6_RT_PRIO_USER` in `include/net/ipv6.h`, `ip6_route_info_create`).
const IPV6_DEFAULT_METRIC: u32 = 1024;

/// Where an object stands in the order of addition: the rules for local networks, rules for addresses, on-link routes in
/// tables, on-link routes in main, default routes in tables, default routes in main; each class of routes by metric,
/// then name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Turn {
    LocalNetworks(Family),
    /// One address on two interfaces: the rule of the higher table goes in first and so wins. That is VintageNet's
    /// choice as long as tables are given out in the order of calls (its rules go in front of older ones).
    Rule(IpAddr, Reverse<u32>),
    /// The position is that of the network among the interface's.
    Route(RouteClass, u32, IfName, usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum RouteClass {
    TableLink,
    MainLink,
    TableDefault,
    MainDefault,
}

/// What of an interface is planned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Share {
    pub objects: Vec<(Object, Turn)>,
    /// The first reason why something is not possible.
    pub pending: Option<Reason>,
}

/// One interface that should have routes, and where it stands.
pub(super) struct Site<'a> {
    pub name: IfName,
    pub wish: &'a Wish,
    pub metric: u32,
    /// The metric of its IPv6 routes in main.
    pub ipv6_metric: u32,
    pub link: Option<(u32, Link)>,
    pub world: &'a World,
}

/// Whether an interface with that wish takes an IPv6 metric of its own.
pub(super) fn has_ipv6_in_main(wish: &Wish) -> bool {
    let first = wish.subnets.first().map(Subnet::family);
    first == Some(Family::V6) || wish.gateway.is_some_and(|gateway| gateway.is_ipv6())
}

impl Site<'_> {
    /// What is possible, and the first reason why something is not.
    pub fn share(&self, options: &PlanOptions) -> Share {
        // For each subnet a rule and a route, and the ways out.
        let objects = Vec::with_capacity(2 * self.wish.subnets.len() + 3);
        let mut share = Share { objects, pending: None };
        self.rules(options, &mut share);
        self.links(&mut share);
        if let Some(gateway) = self.wish.gateway {
            match self.way_out(gateway) {
                Ok((in_table, in_main)) => {
                    share.objects.push(self.turn(RouteClass::TableDefault, 0, in_table));
                    share.objects.push(self.turn(RouteClass::MainDefault, 0, in_main));
                }
                Err(reason) => share.pending = share.pending.or(Some(reason)),
            }
        }
        share
    }

    fn turn(&self, class: RouteClass, position: usize, route: Route) -> (Object, Turn) {
        (Object::Route(route), Turn::Route(class, self.metric, self.name, position))
    }

    fn rules(&self, options: &PlanOptions, share: &mut Share) {
        let possible = |subnet: &&Subnet| subnet.family() == Family::V4 || self.world.has_ipv6_rules;
        let (table, priority) = (self.wish.table, options.rule_priority);
        share.objects.extend(self.wish.subnets.iter().filter(possible).map(|subnet| {
            let src = subnet.ip();
            (Object::Rule(Rule { src, table, priority }), Turn::Rule(src, Reverse(table)))
        }));
    }

    /// The first network in the interface's table and in main, further ones in the table only.
    fn links(&self, share: &mut Share) {
        for (position, subnet) in self.networks().enumerate() {
            let dst = subnet.network();
            let ifindex = match self.on_link(subnet) {
                Ok(ifindex) => ifindex,
                Err(why) => {
                    share.pending = share.pending.or(Some(why));
                    continue;
                }
            };
            let (main_metric, metric) = self.metrics(dst.family());
            let prefsrc = Some(subnet.ip());
            let route = Route { table: self.wish.table, dst, metric, ifindex, gateway: None, prefsrc, onlink: false };
            share.objects.push(self.turn(RouteClass::TableLink, position, route));
            if position == 0 {
                let in_main = Route { table: MAIN_TABLE, metric: main_metric, ..route };
                share.objects.push(self.turn(RouteClass::MainLink, position, in_main));
            }
        }
    }

    /// The subnets that get an on-link route: the first one of each network.
    fn networks(&self) -> impl Iterator<Item = &Subnet> {
        let mut seen = BTreeSet::new();
        let subnets = &self.wish.subnets;
        subnets.iter().filter(move |subnet| subnets.len() == 1 || seen.insert(subnet.network()))
    }

    /// The metric in main and in the interface's table, as the kernel has it.
    const fn metrics(&self, family: Family) -> (u32, u32) {
        match family {
            Family::V4 => (self.metric, 0),
            Family::V6 => (self.ipv6_metric, IPV6_DEFAULT_METRIC),
        }
    }

    /// The ifindex over which routes of `family` can be installed.
    fn device(&self, family: Family) -> Result<u32, Reason> {
        if family == Family::V6 && !self.world.has_ipv6_rules {
            return Err(Reason::NoIpv6);
        }
        match self.link {
            None => Err(Reason::NoInterface),
            Some((_, link)) if !link.is_up => Err(Reason::LinkDown),
            Some((ifindex, _)) => Ok(ifindex),
        }
    }

    /// The ifindex over which the on-link route of `subnet` can be installed: the kernel refuses a source that is not
    /// there (`fib_valid_prefsrc`, `ip6_route_info_create`).
    fn on_link(&self, subnet: &Subnet) -> Result<u32, Reason> {
        let ifindex = self.device(subnet.family())?;
        match self.world.address(ifindex, subnet.ip()) {
            None => Err(Reason::NoAddress(subnet.ip())),
            Some(address) if address.is_tentative => Err(Reason::Tentative),
            Some(_) => Ok(ifindex),
        }
    }

    /// Whether the link has one of the wish's addresses of `family`: without one, a default route would draw all traffic
    /// onto the link with a foreign source.
    fn source(&self, family: Family) -> Result<(), Reason> {
        let subnets = || self.wish.subnets.iter().filter(|subnet| subnet.family() == family);
        let first = subnets().next().ok_or(Reason::Gateway(ENETUNREACH))?;
        if subnets().any(|subnet| self.on_link(subnet).is_ok()) { Ok(()) } else { self.on_link(first).map(drop) }
    }

    /// The default routes in the interface's table and in main.
    ///
    /// The kernel looks for the gateway in the route's table, then in main, and wants to find it on this link
    /// (`fib_check_nh_v4_gw`, `ip6_route_check_nh`). Outside all subnets, as ppp has it, the caller's word must do: the
    /// `onlink` flag.
    fn way_out(&self, gateway: IpAddr) -> Result<(Route, Route), Reason> {
        let family = Family::of(gateway);
        let ifindex = self.device(family)?;
        self.source(family)?;
        let around = || self.networks().filter(|subnet| subnet.network().contains(gateway));
        let first = self.wish.subnets.first().filter(|s| s.network().contains(gateway) && self.on_link(s).is_ok());
        let is_covered = || self.world.covered_in_main(ifindex).any(|dst: Prefix| dst.contains(gateway));
        let in_main = is_link_local(gateway) || first.is_some() || is_covered();
        let in_table = in_main || around().any(|subnet| self.on_link(subnet).is_ok());
        if let (false, Some(Err(reason))) = (in_table, around().map(|subnet| self.on_link(subnet)).next()) {
            return Err(reason);
        }
        let (metric, own_metric) = self.metrics(family);
        let dst = Prefix::default_route(family);
        let route = |table, metric, onlink| Route {
            table,
            dst,
            metric,
            ifindex,
            gateway: Some(gateway),
            prefsrc: None,
            onlink,
        };
        Ok((route(self.wish.table, own_metric, !in_table), route(MAIN_TABLE, metric, !in_main)))
    }
}

/// Reachable on any link, without a route (RFC 4291, section 2.5.6).
const fn is_link_local(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if Ipv6Addr::is_unicast_link_local(&ip))
}
