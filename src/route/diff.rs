//! From what the kernel has to what it should have, in an order without gaps.
//!
//! Only objects with our protocol number, and connected routes that ours stand in for, are ever named here.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::{Change, Changes, Connected, Family, MAIN_TABLE, Object, Plan, Prefix, Queue, Route, World};

/// What leads from `world` to `plan`. Nothing that is right already is touched. `orphans` (objects of ours that no
/// readable state explains) stay, unless they are in the way of something wanted.
///
/// New objects go in before old ones go out. A deletion comes among the additions only
/// - when a table has passed to another interface: its old content must not carry the new one's traffic;
/// - right before an object is added again to stand further back in its [`Queue`]; the one that should be in front of
///   it carries the traffic meanwhile.
///
/// An IPv6 route that differs from one that goes only in what the kernel does not tell IPv6 routes apart by, source and
/// `onlink` flag (`rt6_duplicate_nexthop` in `net/ipv6/ip6_fib.c`), takes its place in one step: [`crate::netlink`] does
/// that, and leaves the deletion out.
///
/// While IPv6 routes of two interfaces exchange metrics they may share one for a moment, and merge into a multipath
/// route; both ways are valid, and deleting one by link and gateway leaves the other. A deletion names the source, so an
/// IPv4 route that differs only in that is safe (`fib_table_delete` compares it); the `onlink` flag is not compared, but
/// the older of two stands in front.
#[must_use]
pub fn diff(world: &World, plan: &Plan, orphans: &BTreeSet<Object>) -> Changes {
    let (unwanted, missing) = compare(&world.ours, &plan.objects);
    let mut going: BTreeSet<Object> = unwanted.iter().filter(|object| !orphans.contains(object)).copied().collect();
    let restored = restored(world, plan, &going);
    let mut additions = leave_tables(plan, &mut going);
    additions.extend(restored.into_iter().map(Change::RestoreConnected));
    additions.extend(arrive(world, plan, &unwanted, &missing, &mut going));
    let mut deletions: Vec<Object> = going.into_iter().collect();
    let place = places(world, &deletions);
    deletions.sort_by_key(|object| leaving_order(object, &place));
    let replaced = world.connected.iter().filter(|c| plan.stand_ins.contains(&(c.dst, c.ifindex)));
    let replaced = replaced.copied().map(Change::RemoveConnected);
    Changes { additions, deletions: deletions.into_iter().map(Change::Delete).chain(replaced).collect() }
}

/// What of `ours` is not `wanted`, and what is wanted and not there: one walk through both.
fn compare(ours: &BTreeSet<Object>, wanted: &[Object]) -> (Vec<Object>, BTreeSet<Object>) {
    let mut wanted: Vec<&Object> = wanted.iter().collect();
    wanted.sort_unstable();
    let (mut unwanted, mut missing) = (Vec::new(), Vec::new());
    let (mut ours, mut wanted) = (ours.iter().peekable(), wanted.into_iter().peekable());
    loop {
        match (ours.peek(), wanted.peek()) {
            (None, None) => return (unwanted, missing.into_iter().collect()),
            (Some(there), Some(object)) if there == object => {
                ours.next();
                wanted.next();
            }
            (Some(there), object) if object.is_none_or(|object| there < object) => {
                unwanted.push(**there);
                ours.next();
            }
            (_, object) => {
                missing.extend(object.map(|object| **object));
                wanted.next();
            }
        }
    }
}

/// Main's default routes first, then rules, so that no traffic is led into tables that are being emptied.
fn leaving_class(object: &Object) -> u8 {
    match object {
        Object::Route(route) if route.table == MAIN_TABLE && !route.is_on_link() => 0,
        Object::Rule(_) | Object::LocalNetworks { .. } => 1,
        Object::Route(route) if route.table == MAIN_TABLE => 4,
        Object::Route(route) if route.is_on_link() => 3,
        Object::Route(_) => 2,
    }
}

/// In main the worst goes first: while the best one that goes is there, it carries the traffic, and after it the best
/// one that stays; never a third one between them.
fn leaving_order(object: &Object, places: &BTreeMap<Object, usize>) -> (u8, Reverse<(u32, usize)>, Object) {
    let worst = match object {
        Object::Route(route) if route.table == MAIN_TABLE => (route.metric, places.get(object).copied().unwrap_or(0)),
        _ => (0, 0),
    };
    (leaving_class(object), Reverse(worst), *object)
}

/// Where those of `objects` that have equals beside them stand among these.
fn places(world: &World, objects: &[Object]) -> BTreeMap<Object, usize> {
    let queues: BTreeSet<Queue> = objects.iter().filter_map(Object::queue).collect();
    queues.into_iter().flat_map(|queue| world.in_order(queue).copied().zip(0..)).collect()
}

/// The deletions of what another interface has left in a table that is not its own any more, rules first.
fn leave_tables(plan: &Plan, going: &mut BTreeSet<Object>) -> Vec<Change> {
    let is_left = |route: &Route| plan.tables.get(&route.table).is_some_and(|owner| *owner != Some(route.ifindex));
    let left: BTreeSet<u32> = going
        .iter()
        .filter_map(|object| match object {
            Object::Route(route) if is_left(route) => Some(route.table),
            _ => None,
        })
        .collect();
    let leaves = |object: &Object| match object {
        Object::LocalNetworks { .. } => false,
        Object::Rule(rule) => left.contains(&rule.table),
        Object::Route(route) => is_left(route),
    };
    let mut leaving: Vec<Object> = going.iter().filter(|object| leaves(object)).copied().collect();
    going.retain(|object| !leaves(object));
    leaving.sort_by_key(|object| leaving_order(object, &BTreeMap::new()));
    leaving.into_iter().map(Change::Delete).collect()
}

/// The connected routes to put back: we removed them, and nothing of ours stands in for them any more.
fn restored(world: &World, plan: &Plan, going: &BTreeSet<Object>) -> Vec<Connected> {
    if world.removed.is_empty() {
        return Vec::new();
    }
    let staying = world.stand_ins().filter(|route| !going.contains(&Object::Route(**route)));
    let staying: BTreeSet<(Prefix, u32)> = staying.map(|route| (route.dst, route.ifindex)).collect();
    let covered = [&staying, &plan.stand_ins];
    world.lacking().filter(|c| covered.iter().all(|places| !places.contains(&(c.dst, c.ifindex)))).collect()
}

/// The additions of what is wanted and not there, in the plan's order, with the deletions that must come right before.
/// What an IPv6 route takes the place of goes, also if it is an orphan.
fn arrive(
    world: &World,
    plan: &Plan,
    unwanted: &[Object],
    missing: &BTreeSet<Object>,
    going: &mut BTreeSet<Object>,
) -> Vec<Change> {
    let mut twins: BTreeMap<Ipv6Key, Object> =
        unwanted.iter().filter_map(|object| Some((ipv6_key(object)?, *object))).collect();
    let misplaced = misplaced(world, plan);
    let mut changes = Vec::new();
    for object in &plan.objects {
        if misplaced.contains(object) {
            changes.extend([Change::Delete(*object), Change::Add(*object)]);
            continue;
        }
        if !missing.contains(object) {
            continue;
        }
        if let Some(twin) = ipv6_key(object).and_then(|key| twins.remove(&key)) {
            going.insert(twin);
        }
        changes.push(Change::Add(*object));
    }
    changes
}

/// Objects that are there, but in front of one that should be in front of them. In each queue, the longest run of the
/// wanted order that is there in this order stays; all behind it is added again.
fn misplaced(world: &World, plan: &Plan) -> BTreeSet<Object> {
    let mut queues: BTreeMap<Queue, Vec<Object>> = BTreeMap::new();
    for object in &plan.objects {
        if let Some(queue) = object.queue() {
            queues.entry(queue).or_default().push(*object);
        }
    }
    queues.retain(|_, waiting| waiting.len() > 1);
    let mut misplaced = BTreeSet::new();
    for (queue, waiting) in queues {
        let mut present = world.in_order(queue);
        let keeps = waiting.iter().take_while(|object| present.any(|there| there == *object)).count();
        misplaced.extend(waiting.into_iter().skip(keeps).filter(|object| world.ours.contains(object)));
    }
    misplaced
}

/// What the kernel tells IPv6 routes apart by.
type Ipv6Key = (u32, Prefix, u32, u32, Option<std::net::IpAddr>);

fn ipv6_key(object: &Object) -> Option<Ipv6Key> {
    match object {
        Object::Route(r) if r.dst.family() == Family::V6 => Some((r.table, r.dst, r.metric, r.ifindex, r.gateway)),
        _ => None,
    }
}

#[cfg(test)]
#[path = "diff_tests.rs"]
mod tests;
