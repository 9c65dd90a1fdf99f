//! What is left in the kernel from an earlier run, and no saved wish explains: which of it goes, and which stays.

use std::collections::BTreeSet;

use crate::route::{DesiredState, IfName, Object, World, orphans_of};

/// The objects of ours in `world` that must stay until a caller speaks for their interface, because nothing is known of
/// why they are there. The rest is wanted, or is left over from a wish that has changed, and goes.
///
/// Without a state, all must stay. With one, those of interfaces that it knows, or knows to be cleared, are explained.
/// An interface that it has never heard of is another matter: its wish could not be saved, or was in a file that is
/// lost, and the state began anew since.
pub(super) fn orphans(world: &World, state: Option<&DesiredState>) -> BTreeSet<Object> {
    // Whether the rule for local networks is wanted, the configuration knows.
    let is_explained = |object: &&Object| matches!(object, Object::LocalNetworks { .. });
    let Some(state) = state else { return world.ours.iter().filter(|o| !is_explained(o)).copied().collect() };
    let known: BTreeSet<IfName> = state.interfaces().keys().copied().chain(state.cleared()).collect();
    let unknown = world.links.values().map(|link| link.name).filter(|name| !known.contains(name));
    let mut orphans: BTreeSet<Object> = BTreeSet::new();
    if !world.ours.is_empty() {
        orphans.extend(unknown.flat_map(|name| orphans_of(name, &[], world, &world.ours)));
    }
    // A known interface's table has nothing else in it: it would carry that interface's traffic.
    let taken: BTreeSet<u32> = state.interfaces().values().map(|wish| wish.table).collect();
    orphans.retain(|orphan| !taken.contains(&orphan.table()));
    orphans
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::{Call, Effect, Link, MAIN_TABLE, Prefix, Route, Rule};

    fn on_link(table: u32, ifindex: u32, network: &str) -> Object {
        let dst = Prefix::of(network.parse().unwrap(), 24).unwrap();
        Object::Route(Route { table, dst, metric: 0, ifindex, gateway: None, prefsrc: None, onlink: false })
    }

    fn rule(src: &str, table: u32) -> Object {
        Object::Rule(Rule { src: src.parse().unwrap(), table, priority: 30_000 })
    }

    fn world(ours: &[Object]) -> World {
        let mut world = World { ours: ours.iter().copied().collect(), ..World::default() };
        for (ifindex, text) in [(2, "eth0"), (3, "wlan0")] {
            world.links.insert(ifindex, Link { name: text.parse().unwrap(), is_up: true });
        }
        world
    }

    fn knowing(names: &[&str]) -> DesiredState {
        let mut state = DesiredState::new(8);
        for name in names {
            let (world, orphans) = (&World::default(), &BTreeSet::new());
            let call = Call { world, orphans, now_ms: 0, who: None };
            let effect = state.set_route(name.parse().unwrap(), Vec::new(), None, &call);
            assert_eq!(effect, Ok(Effect::Changed));
        }
        state
    }

    #[test]
    fn only_what_no_state_explains_stays() {
        let eth0 = [on_link(100, 2, "10.0.0.0"), on_link(MAIN_TABLE, 2, "10.0.0.0"), rule("10.0.0.5", 100)];
        let wlan0 = [on_link(101, 3, "10.1.0.0"), on_link(MAIN_TABLE, 3, "10.1.0.0"), rule("10.1.0.5", 101)];
        let nowhere = rule("10.9.0.5", 107);
        let local = Object::LocalNetworks { family: crate::route::Family::V4, priority: 29_999 };
        let all: Vec<Object> = eth0.iter().chain(&wlan0).chain([&nowhere]).copied().collect();
        let world = world(&[all.as_slice(), &[local]].concat());
        let orphans = |state: Option<&DesiredState>| orphans(&world, state);
        assert_eq!(orphans(None), all.iter().copied().collect());
        assert_eq!(orphans(Some(&knowing(&["eth0"]))), wlan0.into());
        assert_eq!(orphans(Some(&knowing(&["eth0", "wlan0"]))), BTreeSet::new());
        let mut cleared = knowing(&["wlan0", "eth0"]);
        let _ = cleared.clear_route("wlan0".parse().unwrap());
        assert_eq!(orphans(Some(&cleared)), BTreeSet::new());
        // Nothing is known of either, and a rule that leads nowhere helps nobody.
        assert_eq!(orphans(Some(&DesiredState::new(8))), eth0.into_iter().chain(wlan0).collect());
    }

    #[test]
    fn a_known_interfaces_table_is_its_own() {
        let stranger = on_link(100, 3, "10.1.0.0");
        let world = world(&[stranger, rule("10.0.0.5", 100)]);
        assert_eq!(orphans(&world, Some(&knowing(&["eth0"]))), BTreeSet::new());
    }
}
