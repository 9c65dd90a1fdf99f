//! Existing connections after a failover: those bound to the interface that lost are forgotten by the kernel, so that they
//! move with the next packet.
//!
//! A thread of its own does the work, because a table of connections may be long: nobody waits for it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::mpsc::{Receiver, Sender, channel};

use tracing::{debug, error, info, warn};

use crate::netlink::{Conntrack, Flushed};
use crate::route::{DesiredState, Family, IfName, World, way_out};

/// Watches the best way out, and has the connections of the one that has lost deleted.
#[derive(Debug)]
pub(super) struct Flush {
    failovers: Failovers,
    jobs: Sender<Failover>,
}

impl Flush {
    /// Deletes by `conntrack`; `None`, and a line in the log, if there is no thread to be had.
    pub(super) fn new(conntrack: Conntrack) -> Option<Self> {
        let (jobs, waiting) = channel();
        let thread = std::thread::Builder::new().name("conntrack".into());
        match thread.spawn(move || work(conntrack, &waiting)) {
            Ok(_) => Some(Self { failovers: Failovers::default(), jobs }),
            Err(error) => {
                error!(%error, "cannot start the thread that deletes conntrack entries");
                None
            }
        }
    }

    /// Takes in how things are now.
    pub(super) fn see(&mut self, world: &World, state: &DesiredState) {
        for failover in self.failovers.see(world, state) {
            if self.jobs.send(failover).is_err() {
                error!("the thread that deletes conntrack entries has ended");
            }
        }
    }
}

/// Ends when nobody can give it work any more.
fn work(mut conntrack: Conntrack, waiting: &Receiver<Failover>) {
    while let Ok(Failover { from, to, addresses }) = waiting.recv() {
        match conntrack.delete_answered_at(&addresses) {
            Ok(Flushed { deleted: 0, refused: 0 }) => debug!(%from, %to, "failover; no conntrack entries to delete"),
            Ok(Flushed { deleted, refused: 0 }) => {
                info!(%from, %to, count = deleted, "failover; deleted conntrack entries")
            }
            Ok(Flushed { deleted, refused }) => {
                warn!(%from, %to, count = deleted, refused, "failover; not all conntrack entries could be deleted");
            }
            Err(error) => warn!(%from, %to, %error, "failover; its conntrack entries stay"),
        }
    }
}

/// The best way out has moved.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Failover {
    from: IfName,
    to: IfName,
    /// The addresses of `from`, of one family.
    addresses: BTreeSet<IpAddr>,
}

/// The best ways out, as they were seen last.
#[derive(Debug, Default)]
struct Failovers {
    ways: BTreeMap<Family, Way>,
}

#[derive(Debug)]
struct Way {
    name: IfName,
    ifindex: u32,
    addresses: BTreeSet<IpAddr>,
}

impl Failovers {
    /// While there is no way out of ours, the last one has not lost to anyone.
    fn see(&mut self, world: &World, state: &DesiredState) -> Vec<Failover> {
        let mut failovers = Vec::new();
        for family in [Family::V4, Family::V6] {
            let Some(ifindex) = way_out(world, family) else { continue };
            let Some(link) = world.links.get(&ifindex) else { continue };
            let (name, addresses) = (link.name, addresses(world, state, link.name, ifindex, family));
            let Some(old) = self.ways.insert(family, Way { name, ifindex, addresses }) else { continue };
            // An interface that was made anew, or renamed, is still the same.
            if old.ifindex != ifindex && old.name != name {
                // An address that another one has, too, or by now, may have connections there.
                let is_elsewhere =
                    |ip: &IpAddr| world.addresses.iter().any(|a| a.ip == *ip && a.ifindex != old.ifindex);
                let addresses = old.addresses.into_iter().filter(|ip| !is_elsewhere(ip)).collect();
                failovers.push(Failover { from: old.name, to: name, addresses });
            }
        }
        failovers
    }
}

/// Those that the link has and those that it should have: when it loses, it may have lost them already. Link-local ones
/// lead nowhere that a way out is needed for.
fn addresses(world: &World, state: &DesiredState, name: IfName, ifindex: u32, family: Family) -> BTreeSet<IpAddr> {
    let wanted = state.interfaces().get(&name).map(|wish| wish.subnets.as_slice()).unwrap_or_default();
    let all = world.addresses_of(ifindex).map(|address| address.ip).chain(wanted.iter().map(|subnet| subnet.ip()));
    all.filter(|ip| Family::of(*ip) == family && !is_link_local(ip)).collect()
}

const fn is_link_local(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::{Address, Link, MAIN_TABLE, Object, Prefix, Route};

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn address(ifindex: u32, text: &str) -> Address {
        let network = Prefix::of(ip(text), 24).unwrap();
        let (is_tentative, has_no_prefix_route, is_secondary, priority) = (false, false, false, 0);
        Address { ifindex, ip: ip(text), network, is_tentative, has_no_prefix_route, is_secondary, priority }
    }

    fn way(ifindex: u32, metric: u32) -> Object {
        let (gateway, prefsrc, onlink) = (Some(ip("10.9.9.9")), None, false);
        let dst = Prefix::default_route(Family::V4);
        Object::Route(Route { table: MAIN_TABLE, dst, metric, ifindex, gateway, prefsrc, onlink })
    }

    fn world() -> World {
        let mut world = World::default();
        for (ifindex, name) in [(2, "eth0"), (3, "wlan0")] {
            world.links.insert(ifindex, Link { name: name.parse().unwrap(), is_up: true });
        }
        world.addresses = [address(2, "10.0.2.5"), address(2, "169.254.0.5"), address(3, "10.0.3.5")].into();
        world
    }

    #[test]
    fn only_a_move_from_one_to_another_is_a_failover() {
        let (mut world, state, mut failovers) = (world(), DesiredState::default(), Failovers::default());
        let failover = |from: &str, to: &str, addresses: &[&str]| Failover {
            from: from.parse().unwrap(),
            to: to.parse().unwrap(),
            addresses: addresses.iter().map(|text| ip(text)).collect(),
        };
        assert_eq!(failovers.see(&world, &state), []);
        world.insert(way(3, 20));
        assert_eq!(failovers.see(&world, &state), [], "the first one");
        world.insert(way(2, 10));
        assert_eq!(failovers.see(&world, &state), [failover("wlan0", "eth0", &["10.0.3.5"])]);
        world.remove(&way(3, 20));
        assert_eq!(failovers.see(&world, &state), []);
        world.remove(&way(2, 10));
        assert_eq!(failovers.see(&world, &state), [], "nobody has won");
        world.insert(way(2, 10));
        assert_eq!(failovers.see(&world, &state), [], "back again");
        // All is gone at once, and the address of it that the other one has got is not its own any more.
        world.insert(way(3, 20));
        world.addresses.insert(address(2, "10.0.4.5"));
        assert_eq!(failovers.see(&world, &state), []);
        world.remove(&way(2, 10));
        world.links.remove(&2);
        world.addresses = [address(3, "10.0.3.5"), address(3, "10.0.4.5")].into();
        assert_eq!(failovers.see(&world, &state), [failover("eth0", "wlan0", &["10.0.2.5"])]);
        // It was made anew, or renamed.
        world.remove(&way(3, 20));
        world.links.remove(&3);
        world.links.insert(4, Link { name: "wlan0".parse().unwrap(), is_up: true });
        world.insert(way(4, 20));
        assert_eq!(failovers.see(&world, &state), []);
        world.links.insert(4, Link { name: "wan".parse().unwrap(), is_up: true });
        assert_eq!(failovers.see(&world, &state), []);
    }
}
