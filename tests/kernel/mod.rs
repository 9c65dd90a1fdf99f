//! Links, objects and comparisons for tests that look at the kernel's routes.

use std::net::IpAddr;

use beamroute::netlink::{Config, Netlink, Outcome};
use beamroute::route::{Change, Changes, Family, Object, Prefix, Route, Rule, World};

use crate::netns::{ip, wait_for_addresses};

/// Two cables, `va`–`vb` and `vc`–`vd`, with addresses on `va` and `vc`.
pub fn two_links() {
    for (a, b) in [("va", "vb"), ("vc", "vd")] {
        ip(&format!("link add {a} type veth peer name {b}"));
        ip(&format!("link set {a} addrgenmode none up"));
        ip(&format!("link set {b} addrgenmode none up"));
    }
    ip("addr add 10.0.0.2/24 dev va");
    ip("addr add 10.0.1.2/24 dev vc");
    ip("addr add 2001:db8::2/64 dev va nodad");
    ip("addr add 2001:db8:1::2/64 dev vc nodad");
    wait_for_addresses();
}

pub fn open() -> (Netlink, World) {
    Netlink::open(&Config::default()).unwrap()
}

pub fn index(world: &World, name: &str) -> u32 {
    world.links.named(name.parse().unwrap()).unwrap_or_else(|| panic!("no {name}: {world:?}")).0
}

pub fn addr(ip: &str) -> IpAddr {
    ip.parse().unwrap()
}

pub fn net(text: &str) -> Prefix {
    let (ip, len) = text.split_once('/').unwrap();
    Prefix::of(addr(ip), len.parse().unwrap()).unwrap()
}

pub fn on_link(dst: &str, ifindex: u32, src: &str, metric: u32, table: u32) -> Route {
    let (gateway, prefsrc) = (None, Some(addr(src)));
    Route { table, dst: net(dst), metric, ifindex, gateway, prefsrc, onlink: false }
}

pub fn default(gateway: &str, ifindex: u32, metric: u32, table: u32) -> Route {
    let gateway = addr(gateway);
    let dst = Prefix::default_route(Family::of(gateway));
    Route { table, dst, metric, ifindex, gateway: Some(gateway), prefsrc: None, onlink: false }
}

pub fn rule(src: &str, table: u32) -> Object {
    Object::Rule(Rule { src: addr(src), table, priority: 30000 })
}

pub fn add(objects: impl IntoIterator<Item = Object>) -> Changes {
    Changes { additions: objects.into_iter().map(Change::Add).collect(), deletions: Vec::new() }
}

pub fn delete(objects: impl IntoIterator<Item = Object>) -> Changes {
    Changes { additions: Vec::new(), deletions: objects.into_iter().map(Change::Delete).collect() }
}

pub fn mirror(world: &mut World, outcome: &Outcome) {
    for change in &outcome.applied {
        world.apply(change);
    }
}

/// Applies all of `changes`, and checks that the kernel is then what the mirror says.
pub fn apply_all(netlink: &mut Netlink, world: &mut World, changes: &Changes) {
    let outcome = netlink.apply(changes).unwrap();
    assert!(outcome.is_complete(), "{outcome:?}");
    mirror(world, &outcome);
    assert_is_kernel(world);
}

/// Checks `world` against what a newcomer sees.
pub fn assert_is_kernel(world: &World) {
    assert_eq!(*world, seen_beside(world));
}

/// What a newcomer sees, with what only `world` can know.
fn seen_beside(world: &World) -> World {
    World { removed: world.removed.clone(), ..open().1 }
}

/// Drains, and checks that the mirror is then right.
pub fn drain_to_kernel(netlink: &mut Netlink, world: &mut World) {
    let before = world.clone();
    let drained = netlink.drain(world).unwrap();
    assert!(drained.changed || before == *world, "{drained:?}");
    assert_is_kernel(world);
    assert!(!netlink.drain(world).unwrap().changed);
}

/// Drains until the mirror is right: what the kernel tells in the background may take a moment.
pub fn drain_until_kernel(netlink: &mut Netlink, world: &mut World, after: &dyn Fn() -> String) {
    for n in 0.. {
        netlink.drain(world).unwrap();
        let kernel = seen_beside(world);
        if *world == kernel {
            return;
        }
        assert!(n < 200, "after {}\nmirror {world:?}\nkernel {kernel:?}", after());
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
}
