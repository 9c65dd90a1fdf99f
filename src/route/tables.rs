//! Which routing table an interface gets, and whom the orphans belong to.
//!
//! Orphans are objects with our protocol number, found at start, that no readable state explains. They stay, because
//! losing a file must never cut a device off, until a caller sets or clears the interface that they belong to. A rule
//! that belongs to none and has no effect either ([`useless_orphans`]) goes when any interface is set or cleared, or is
//! given its table.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::taken::Taken;
use super::{IfName, MAIN_TABLE, Object, Route, Rule, Subnet, World};

/// VintageNet's first table (0.13 `lib/vintage_net/route/calculator.ex`).
pub const FIRST_TABLE: u32 = 100;

/// `RT_TABLE_DEFAULT`, `RT_TABLE_MAIN`, `RT_TABLE_LOCAL` (`include/uapi/linux/rtnetlink.h`).
const RESERVED: [u32; 3] = [253, MAIN_TABLE, 255];

/// Whether an interface may have `table` at all.
pub(super) fn is_assignable(table: u32) -> bool {
    table >= FIRST_TABLE && !RESERVED.contains(&table)
}

/// The lowest table for interface `name` that nobody uses: no other wish, no foreign route or rule, no orphan of
/// another interface that has an effect. An orphan's route in it would carry this interface's traffic.
pub(super) fn lowest_free(name: IfName, taken: &Taken, world: &World, orphans: &BTreeSet<Object>) -> Option<u32> {
    // Nearly always there are none, and then the links need not be searched.
    let mut free = BTreeSet::new();
    if !orphans.is_empty() {
        free = orphans_of(name, &[], world, orphans);
        free.extend(useless_orphans(world, orphans));
    }
    let held: BTreeSet<u32> = orphans.difference(&free).map(Object::table).collect();
    let mut tables = taken.free_from(FIRST_TABLE).filter(|table| is_assignable(*table) && !held.contains(table));
    tables.find(|table| !world.is_foreign_table(*table))
}

/// The orphans that belong to interface `name`: routes over it, rules into the tables of these routes, and rules for
/// its addresses, be they on the link or among `subnets`, which its caller now names. Take them out of the orphans
/// when the interface is set or cleared; what is not wanted of them then goes.
#[must_use]
pub fn orphans_of(name: IfName, subnets: &[Subnet], world: &World, orphans: &BTreeSet<Object>) -> BTreeSet<Object> {
    let ifindex = world.links.named(name).map(|(ifindex, _)| ifindex);
    let is_over = |route: &Route| Some(route.ifindex) == ifindex;
    let tables: BTreeSet<u32> = orphans
        .iter()
        .filter(|orphan| matches!(orphan, Object::Route(route) if is_over(route)))
        .map(Object::table)
        .filter(|table| *table != MAIN_TABLE)
        .collect();
    let is_ours = |rule: &Rule| {
        tables.contains(&rule.table)
            || subnets.iter().any(|subnet| subnet.ip() == rule.src)
            || ifindex.is_some_and(|ifindex| world.address(ifindex, rule.src).is_some())
    };
    let belongs = |orphan: &&Object| match orphan {
        Object::LocalNetworks { .. } => false,
        Object::Route(route) => is_over(route),
        Object::Rule(rule) => is_ours(rule),
    };
    orphans.iter().filter(belongs).copied().collect()
}

/// Those of `orphans` that no interface can be named for, and that have no effect: rules into a table without a route,
/// ours or another's, for an address that no link has, or that no interface can have as its own (the loopback). Such a
/// rule is what is left of an interface that is gone, and would hold its table for ever.
#[must_use]
pub fn useless_orphans(world: &World, orphans: &BTreeSet<Object>) -> BTreeSet<Object> {
    let of_ours = world.ours.iter().filter_map(|object| match object {
        Object::Route(route) => Some(route.table),
        Object::Rule(_) | Object::LocalNetworks { .. } => None,
    });
    let used: BTreeSet<u32> = of_ours.chain(world.foreign_routes.keys().copied()).collect();
    let there: BTreeSet<IpAddr> = world.addresses.iter().map(|address| address.ip).collect();
    let is_used = |table: u32| used.contains(&table);
    let is_there = |src: IpAddr| !src.is_loopback() && there.contains(&src);
    let is_useless = |orphan: &&Object| match orphan {
        Object::Rule(rule) => !is_used(rule.table) && !is_there(rule.src),
        Object::Route(_) | Object::LocalNetworks { .. } => false,
    };
    orphans.iter().filter(is_useless).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::{Address, Link, Prefix};

    fn name(text: &str) -> IfName {
        text.parse().unwrap()
    }

    fn world() -> World {
        let mut world = World::default();
        for (ifindex, text) in [(2, "eth0"), (3, "wlan0")] {
            world.links.insert(ifindex, Link { name: name(text), is_up: true });
        }
        world
    }

    fn on_link(table: u32, ifindex: u32, network: &str) -> Object {
        let dst = Prefix::of(network.parse().unwrap(), 24).unwrap();
        Object::Route(Route { table, dst, metric: 0, ifindex, gateway: None, prefsrc: None, onlink: false })
    }

    fn rule(src: &str, table: u32) -> Object {
        Object::Rule(Rule { src: src.parse().unwrap(), table, priority: 30_000 })
    }

    #[test]
    fn the_lowest_number_that_nobody_uses() {
        let mut world = world();
        let free = |taken: &[u32], world: &World| {
            let mut all = Taken::new();
            taken.iter().for_each(|table| _ = all.insert(*table));
            lowest_free(name("eth0"), &all, world, &BTreeSet::new())
        };
        assert_eq!(free(&[], &world), Some(100));
        assert_eq!(free(&[100, 102], &world), Some(101));
        world.foreign_routes.insert(101, 1);
        world.foreign_rules.insert(103, 1);
        assert_eq!(free(&[100, 102], &world), Some(104));
        let low: Vec<u32> = (100..=252).collect();
        assert_eq!(free(&low, &world), Some(256));
    }

    #[test]
    fn an_orphans_table_is_free_for_its_own_interface_only() {
        let orphans = BTreeSet::from([on_link(100, 2, "10.0.0.0"), rule("10.0.0.5", 100)]);
        let free = |text| lowest_free(name(text), &Taken::new(), &world(), &orphans);
        assert_eq!(free("eth0"), Some(100));
        assert_eq!(free("wlan0"), Some(101));
        assert_eq!(free("ppp0"), Some(101));
    }

    #[test]
    fn orphans_belong_to_the_interface_of_their_routes_tables_and_addresses() {
        let eth0 = [on_link(100, 2, "10.0.0.0"), on_link(MAIN_TABLE, 2, "10.0.0.0"), rule("10.0.0.5", 100)];
        let wlan0 = [on_link(101, 3, "10.1.0.0"), rule("10.1.0.5", 101)];
        let nobodys = rule("10.9.0.5", 107);
        let orphans: BTreeSet<Object> = eth0.iter().chain(&wlan0).chain([&nobodys]).copied().collect();
        let of = |text, subnets: &[Subnet]| orphans_of(name(text), subnets, &world(), &orphans);
        assert_eq!(of("eth0", &[]), eth0.into());
        assert_eq!(of("wlan0", &[]), wlan0.into());
        assert_eq!(of("ppp0", &[]), BTreeSet::new());
        let subnet = Subnet::new("10.9.0.5".parse().unwrap(), 24).unwrap();
        assert_eq!(of("ppp0", &[subnet]), BTreeSet::from([nobodys]));
    }

    #[test]
    fn a_rule_without_an_effect_is_useless() {
        let mut world = world();
        let address = |ifindex, ip: &str| {
            let (ip, len) = (ip.parse().unwrap(), 24);
            let network = Prefix::of(ip, len).unwrap();
            let (is_tentative, has_no_prefix_route, is_secondary, priority) = (false, false, false, 0);
            Address { ifindex, ip, network, is_tentative, has_no_prefix_route, is_secondary, priority }
        };
        world.addresses.extend([address(1, "127.0.0.1"), address(2, "10.0.0.5")]);
        world.foreign_routes.insert(102, 1);
        let left = [rule("10.9.0.5", 107), rule("127.0.0.1", 107)];
        let useful = [
            // Its address may yet have routes: it is on a link.
            rule("10.0.0.5", 107),
            // Its table may carry traffic.
            rule("10.9.0.5", 100),
            on_link(100, 2, "10.9.0.0"),
            rule("10.9.0.5", 102),
        ];
        let orphans: BTreeSet<Object> = left.into_iter().chain(useful).collect();
        world.ours.clone_from(&orphans);
        assert_eq!(useless_orphans(&world, &orphans), left.into());
    }
}
