//! What others did to what is ours or stands in its way, told apart from what the kernel does by itself.
//!
//! The kernel takes routes away when their link goes down or their source address goes, and makes its own connected
//! routes when these come; never a rule. It tells some of that as nobody's doing (port 0), as it tells deletions by
//! ioctl (`SIOCDELRT`), and some not at all. So what is nobody's is a program's, unless a link or an address of that
//! interface has changed in the same moment; in the moment before or after is for the caller to see ([`Meddling::upset`]).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::route::{Change, Family, Object, Route, World};

/// What others did, as far as it concerns us.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Meddling {
    /// The changes that would undo it, whether they are wanted or not, and whose doing that is.
    pub undoing: BTreeMap<Change, Doer>,
    /// Links that came, went, changed between up and down or joined another, or whose addresses came or went: what
    /// nobody did to their routes, also a moment before or after, was the kernel.
    pub upset: BTreeSet<u32>,
    /// Events were lost, so links may have changed untold.
    pub(super) has_gap: bool,
}

/// Who did something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Doer {
    /// Nobody whom the kernel names.
    Unnamed,
    /// A program for sure.
    Program,
}

/// What the kernel takes away together: the routes of a family over a link, those with a source address apart.
type Fate = (u32, Family, Option<IpAddr>);

impl Meddling {
    pub(super) fn note(&mut self, change: Change, doer: Doer) {
        let known = self.undoing.entry(change).or_insert(doer);
        *known = doer.max(*known);
    }

    /// Notes what a dump shows that no event has told: `old` is the world that events had led to.
    pub(super) fn compare(&mut self, old: &World, new: &World) {
        let staying = routes(old.ours.intersection(&new.ours));
        let safe: BTreeSet<Fate> = if self.has_gap {
            staying.flat_map(|route| [fate(route), bare(fate(route))]).collect()
        } else {
            BTreeSet::new()
        };
        for object in old.ours.difference(&new.ours) {
            let doer = match object {
                Object::Rule(_) | Object::LocalNetworks { .. } => Doer::Program,
                Object::Route(_) if !self.has_gap => Doer::Unnamed,
                // A link that went down would have taken the others as well.
                Object::Route(route) if safe.contains(&fate(route)) => Doer::Program,
                Object::Route(_) => continue,
            };
            self.note(Change::Add(*object), doer);
        }
        let left: BTreeSet<Object> = routes(old.ours.difference(&new.ours)).filter_map(without_source).collect();
        let new = new.ours.difference(&old.ours).filter(|object| !left.contains(object));
        new.for_each(|object| self.note(Change::Delete(*object), Doer::Program));
    }

    /// Leaves out what the kernel may have done by itself.
    pub(super) fn excuse(&mut self) {
        let Self { undoing, upset, .. } = self;
        let is_upset = |change: &Change| change.ifindex().is_some_and(|ifindex| upset.contains(&ifindex));
        undoing.retain(|change, doer| *doer == Doer::Program || !is_upset(change));
    }
}

fn routes<'a>(objects: impl Iterator<Item = &'a Object>) -> impl Iterator<Item = &'a Route> {
    objects.filter_map(|object| match object {
        Object::Route(route) => Some(route),
        Object::Rule(_) | Object::LocalNetworks { .. } => None,
    })
}

const fn fate(route: &Route) -> Fate {
    (route.ifindex, route.dst.family(), route.prefsrc)
}

const fn bare((ifindex, family, _): Fate) -> Fate {
    (ifindex, family, None)
}

/// What the kernel makes of an IPv6 route when its source address goes (`fib6_remove_prefsrc` in `net/ipv6/route.c`).
fn without_source(route: &Route) -> Option<Object> {
    let is_left = route.dst.family() == Family::V6 && route.prefsrc.is_some();
    is_left.then_some(Object::Route(Route { prefsrc: None, ..*route }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::{MAIN_TABLE, Prefix, Rule};

    fn route(dst: &str, ifindex: u32, prefsrc: Option<&str>) -> Object {
        let dst = Prefix::of(dst.parse().unwrap(), 24).unwrap();
        let prefsrc = prefsrc.map(|ip| ip.parse().unwrap());
        Object::Route(Route { table: MAIN_TABLE, dst, metric: 10, ifindex, gateway: None, prefsrc, onlink: false })
    }

    fn rule(src: &str) -> Object {
        Object::Rule(Rule { src: src.parse().unwrap(), table: 100, priority: 30_000 })
    }

    fn world(ours: &[Object]) -> World {
        let mut world = World::default();
        ours.iter().for_each(|object| _ = world.insert(*object));
        world
    }

    fn compared(old: &[Object], new: &[Object], has_gap: bool) -> Vec<(Change, Doer)> {
        let mut meddling = Meddling { has_gap, ..Meddling::default() };
        meddling.compare(&world(old), &world(new));
        meddling.undoing.into_iter().collect()
    }

    #[test]
    fn after_lost_events_only_what_the_kernel_would_not_have_done_alone() {
        let (near, far) = (route("10.0.0.0", 2, Some("10.0.0.5")), route("10.9.0.0", 2, None));
        let other = route("10.0.1.0", 3, Some("10.0.1.5"));
        let all = [near, far, other, rule("10.0.0.5")];
        let program = |change| vec![(change, Doer::Program)];
        // Link 2 may have been down for a moment.
        assert_eq!(compared(&all, &[other, rule("10.0.0.5")], true), []);
        // But then it would have taken both; its address alone takes what has it as the source.
        assert_eq!(compared(&all, &[near, other, rule("10.0.0.5")], true), program(Change::Add(far)));
        assert_eq!(compared(&all, &[far, other, rule("10.0.0.5")], true), []);
        // No link takes rules.
        assert_eq!(compared(&all, &[near, far, other], true), program(Change::Add(rule("10.0.0.5"))));
        assert_eq!(compared(&[], &[far], true), program(Change::Delete(far)));
        let both = vec![(Change::Add(near), Doer::Unnamed), (Change::Add(far), Doer::Unnamed)];
        assert_eq!(compared(&all, &[other, rule("10.0.0.5")], false), both);
    }

    #[test]
    fn a_route_that_loses_its_source_is_no_new_one() {
        let (with, without) = (route("2001:db8::", 2, Some("2001:db8::5")), route("2001:db8::", 2, None));
        assert_eq!(compared(&[with], &[without], true), []);
        assert_eq!(compared(&[with], &[without], false), [(Change::Add(with), Doer::Unnamed)]);
        assert_eq!(compared(&[], &[without], true), [(Change::Delete(without), Doer::Program)]);
    }

    #[test]
    fn an_upset_link_explains_what_nobody_did() {
        let (here, there) = (Change::Add(route("10.0.0.0", 2, None)), Change::Add(route("10.0.1.0", 3, None)));
        let sure = Change::Add(route("10.0.2.0", 2, None));
        let mut meddling = Meddling { upset: [2].into(), ..Meddling::default() };
        for (change, doer) in [(here, Doer::Unnamed), (there, Doer::Unnamed), (sure, Doer::Program)] {
            meddling.note(change, doer);
            // Who is named once is not forgotten.
            meddling.note(change, Doer::Unnamed);
        }
        meddling.excuse();
        assert_eq!(meddling.undoing, [(there, Doer::Unnamed), (sure, Doer::Program)].into());
    }
}
