//! What of the entries the kernel can hold now, as kernel objects, and why the rest has to wait.
//!
//! A rule needs nothing: the kernel takes it without the interface. A route needs its link up and its source address
//! there and not tentative; a default route needs one such address, and a way to its gateway. What is not possible is
//! pending with its reason and never keeps anything else out. Planning again after any event of links, addresses or routes heals it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};

use super::object::IPV6_CONNECTED_METRIC;
use super::{
    DesiredState, Family, IfName, Link, MAIN_TABLE, Object, Prefix, Ranking, Route, Rule, Subnet, Wish, World, entry,
};

/// What is wanted, and what of it is possible.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// What the kernel should hold, in the order of addition: the rules for local networks, rules for addresses, on-link routes in tables, on-link routes in main,
    /// default routes in tables, default routes in main; each class of routes by metric, then name.
    pub objects: Vec<Object>,
    /// Networks and links where one of `objects` in main takes the place of the kernel's connected route.
    pub stand_ins: BTreeSet<(Prefix, u32)>,
    /// The tables of known interfaces, with the interface's ifindex if it is there.
    pub tables: BTreeMap<u32, Option<u32>>,
    /// Interfaces of which something cannot be installed, and the first reason.
    pub pending: BTreeMap<IfName, Reason>,
}

/// Why something is not installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// There is no such interface.
    NoInterface,
    /// It is down.
    LinkDown,
    /// It does not have this address.
    NoAddress(IpAddr),
    /// Its IPv6 address is still being checked for duplicates.
    Tentative,
    /// The gateway cannot be reached; a POSIX error number.
    Gateway(i32),
    /// The kernel has no IPv6, or no policy rules for it.
    NoIpv6,
    /// Someone else keeps changing it. Never the plan's own finding.
    Contested,
    /// Its reported status does not count yet. Never the plan's own finding.
    Held,
    /// The kernel refused it; a POSIX error number. Never the plan's own finding.
    Netlink(i32),
}

/// What can be configured about the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlanOptions {
    /// The priority of our rules for addresses.
    pub rule_priority: u32,
    /// Whether traffic for other local networks goes there and not to a gateway: [`Object::LocalNetworks`], in front of
    /// the other rules.
    pub local_networks_first: bool,
}

impl Default for PlanOptions {
    /// In front of the kernel's own rule for main, 32766.
    fn default() -> Self {
        Self { rule_priority: 30_000, local_networks_first: false }
    }
}

/// `ENETUNREACH` (`include/uapi/asm-generic/errno.h`): what the kernel answers to a gateway that no route covers.
const ENETUNREACH: i32 = 101;

/// What IPv6 makes of metric 0 (`IP6_RT_PRIO_USER` in `include/net/ipv6.h`, `ip6_route_info_create`).
const IPV6_DEFAULT_METRIC: u32 = 1024;

/// Plans for `state` in `world`.
#[must_use]
pub fn plan(state: &DesiredState, ranking: &Ranking, world: &World, options: &PlanOptions) -> Plan {
    let links: BTreeMap<IfName, (u32, Link)> = world.links.iter().map(|(i, link)| (link.name, (*i, *link))).collect();
    let tables = state.interfaces().iter().map(|(name, wish)| (wish.table, links.get(name).map(|(index, _)| *index)));
    let mut plan = Plan { tables: tables.collect(), ..Plan::default() };
    let covered = covered_in_main(world);
    let mut wanted = Wanted::default();
    for site in sites(state, ranking, world, &links) {
        let networks = site.ifindex().and_then(|ifindex| covered.get(&ifindex)).map_or(&[][..], Vec::as_slice);
        if let Some(reason) = wanted.take(&site, networks, options) {
            plan.pending.insert(site.name, reason);
        }
    }
    plan.objects = local_networks(world, options).chain(wanted.in_order()).collect();
    plan.do_without(|_| false);
    plan
}

impl Plan {
    /// Does without those objects for now. The kernel's connected route is then not stood in for by one of them.
    pub fn do_without(&mut self, is_out: impl Fn(&Object) -> bool) {
        self.objects.retain(|object| !is_out(object));
        let standing = self.objects.iter().filter_map(Object::as_stand_in);
        self.stand_ins = standing.map(|route| (route.dst, route.ifindex)).collect();
    }
}

/// The rules that need no interface, if they are wanted.
fn local_networks(world: &World, options: &PlanOptions) -> impl Iterator<Item = Object> {
    let families = if world.has_ipv6_rules { &[Family::V4, Family::V6][..] } else { &[Family::V4] };
    let priority = options.rule_priority.saturating_sub(1);
    let wanted = families.iter().filter(|_| options.local_networks_first);
    wanted.map(move |family| Object::LocalNetworks { family: *family, priority })
}

/// By ifindex, the networks that the link reaches in main without us: by the kernel's connected routes, or by those it
/// gets back if ours that stand in for them go. (Those that stay cover their network themselves.)
fn covered_in_main(world: &World) -> BTreeMap<u32, Vec<Prefix>> {
    let mut covered: BTreeMap<u32, Vec<Prefix>> = BTreeMap::new();
    for connected in world.connected.iter().copied().chain(world.lacking()) {
        covered.entry(connected.ifindex).or_default().push(connected.dst);
    }
    covered
}

/// One interface that should have routes, and where it stands.
struct Site<'a> {
    name: IfName,
    wish: &'a Wish,
    metric: u32,
    /// The metric of its IPv6 routes in main.
    ipv6_metric: u32,
    link: Option<(u32, Link)>,
    world: &'a World,
}

/// The interfaces with routes by (metric, name).
fn sites<'a>(
    state: &'a DesiredState,
    ranking: &'a Ranking,
    world: &'a World,
    links: &BTreeMap<IfName, (u32, Link)>,
) -> Vec<Site<'a>> {
    let site = |(name, wish, metric)| {
        let link = links.get(&name).copied();
        Site { name, wish, metric, ipv6_metric: metric, link, world }
    };
    let mut sites: Vec<Site<'a>> = entry::active(state, ranking).map(site).collect();
    sites.sort_by_key(|site| (site.metric, site.name));
    // Equal IPv6 metrics would merge into one multipath route, so they rise strictly. Interfaces without IPv6 take none.
    let mut last = 0;
    for site in sites.iter_mut().filter(|site| site.has_ipv6_in_main()) {
        site.ipv6_metric = site.metric.max(last + 1);
        if site.ipv6_metric == IPV6_CONNECTED_METRIC {
            // The same network, link and metric as the kernel's own route: ours would be taken for it.
            site.ipv6_metric += 1;
        }
        last = site.ipv6_metric.min(u32::MAX - 1);
    }
    sites
}

impl Site<'_> {
    fn has_ipv6_in_main(&self) -> bool {
        let first = self.wish.subnets.first().map(Subnet::family);
        first == Some(Family::V6) || self.wish.gateway.is_some_and(|gateway| gateway.is_ipv6())
    }

    /// The subnets that get an on-link route: the first one of each network.
    fn networks(&self) -> impl Iterator<Item = &Subnet> {
        let mut seen = BTreeSet::new();
        self.wish.subnets.iter().filter(move |subnet| seen.insert(subnet.network()))
    }

    fn ifindex(&self) -> Option<u32> {
        self.link.map(|(ifindex, _)| ifindex)
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

    /// The default routes in the interface's table and in main. `covered` are the networks that main reaches over the
    /// link without us.
    ///
    /// The kernel looks for the gateway in the route's table, then in main, and wants to find it on this link
    /// (`fib_check_nh_v4_gw`, `ip6_route_check_nh`). Outside all subnets, as ppp has it, the caller's word must do: the
    /// `onlink` flag.
    fn way_out(&self, gateway: IpAddr, covered: &[Prefix]) -> Result<(Route, Route), Reason> {
        let family = Family::of(gateway);
        let ifindex = self.device(family)?;
        self.source(family)?;
        let around = || self.networks().filter(|subnet| subnet.network().contains(gateway));
        let first = self.wish.subnets.first().filter(|s| s.network().contains(gateway) && self.on_link(s).is_ok());
        let in_main = is_link_local(gateway) || first.is_some() || covered.iter().any(|dst| dst.contains(gateway));
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

/// The objects by class of addition.
#[derive(Default)]
struct Wanted {
    rules: Vec<Rule>,
    table_links: Vec<Route>,
    main_links: Vec<Route>,
    table_defaults: Vec<Route>,
    main_defaults: Vec<Route>,
}

impl Wanted {
    /// Takes in what is possible for `site` and tells the first reason why something is not.
    fn take(&mut self, site: &Site<'_>, covered: &[Prefix], options: &PlanOptions) -> Option<Reason> {
        self.take_rules(site, options);
        let links = self.take_links(site);
        let way_out = site.wish.gateway.map(|gateway| site.way_out(gateway, covered));
        match way_out {
            Some(Ok((in_table, in_main))) => {
                self.table_defaults.push(in_table);
                self.main_defaults.push(in_main);
                links
            }
            Some(Err(reason)) => links.or(Some(reason)),
            None => links,
        }
    }

    fn take_rules(&mut self, site: &Site<'_>, options: &PlanOptions) {
        let possible = |subnet: &&Subnet| subnet.family() == Family::V4 || site.world.has_ipv6_rules;
        let (table, priority) = (site.wish.table, options.rule_priority);
        self.rules.extend(site.wish.subnets.iter().filter(possible).map(|s| Rule { src: s.ip(), table, priority }));
    }

    /// The first network in the interface's table and in main, further ones in the table only.
    fn take_links(&mut self, site: &Site<'_>) -> Option<Reason> {
        let mut reason = None;
        for (position, subnet) in site.networks().enumerate() {
            let dst = subnet.network();
            let ifindex = match site.on_link(subnet) {
                Ok(ifindex) => ifindex,
                Err(why) => {
                    reason = reason.or(Some(why));
                    continue;
                }
            };
            let (main_metric, metric) = site.metrics(dst.family());
            let prefsrc = Some(subnet.ip());
            let route = Route { table: site.wish.table, dst, metric, ifindex, gateway: None, prefsrc, onlink: false };
            self.table_links.push(route);
            if position == 0 {
                self.main_links.push(Route { table: MAIN_TABLE, metric: main_metric, ..route });
            }
        }
        reason
    }

    fn in_order(mut self) -> Vec<Object> {
        // One address on two interfaces: the rule of the higher table goes in first and so wins. That is VintageNet's
        // choice as long as tables are given out in the order of calls (its rules go in front of older ones).
        self.rules.sort_by_key(|rule| (rule.src, Reverse(rule.table)));
        self.rules.dedup();
        let routes = [self.table_links, self.main_links, self.table_defaults, self.main_defaults];
        let rules = self.rules.into_iter().map(Object::Rule);
        rules.chain(routes.into_iter().flatten().map(Object::Route)).collect()
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
