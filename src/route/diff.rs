//! From what the kernel has to what it should have, in an order without gaps.
//!
//! Only objects with our protocol number, and connected routes that ours stand in for, are ever named here.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::{Change, Changes, Connected, Gap, Ipv6Key, MAIN_TABLE, Object, Plan, Queue, Route, Scope, World};

/// What leads from `world` to `plan`. Nothing that is right already is touched. `orphans` (objects of ours that no
/// readable state explains) stay, unless they are in the way of something wanted.
///
/// New objects go in before old ones go out. A deletion comes among the additions only when a table has passed to
/// another interface: its old content must not carry the new one's traffic.
///
/// Objects that must stand further back in their [`Queue`] are added again among the deletions: by then all that should
/// be in front of them is there. The last in the queue is deleted first, so that the front changes once.
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
    changes(&Gap::between(world, plan), world, plan, orphans, &Scope::everything())
}

/// The same, if `gap` is known, and all beside `scope` is in order: the order in the queues, and the kernel's connected
/// routes.
#[must_use]
pub fn changes(gap: &Gap, world: &World, plan: &Plan, orphans: &BTreeSet<Object>, scope: &Scope) -> Changes {
    // Sorted lists: mostly they are short, and made for each change.
    let mut going: Vec<Object> = gap.unwanted().difference(orphans).copied().collect();
    let links = links_of(world, plan, scope);
    let restored = restored(world, plan, &links, &going);
    let mut additions = leave_tables(plan, &mut going);
    additions.extend(restored.into_iter().map(Change::RestoreConnected));
    additions.extend(arrive(gap, plan, &mut going));
    let moves = moves(world, plan, gap, scope, &mut going);
    let place = places(world, &going);
    going.sort_by_cached_key(|object| leaving_order(object, &place));
    let of_links = links.iter().flat_map(|ifindex| world.connected_of(*ifindex));
    let replaced = of_links.filter(|connected| plan.stand_ins().contains(&connected.place()));
    let replaced = replaced.copied().map(Change::RemoveConnected);
    let deletions = going.into_iter().map(Change::Delete);
    Changes { additions, deletions: moves.into_iter().chain(deletions).chain(replaced).collect() }
}

/// The links on which the kernel's connected routes may have to come or go.
fn links_of(world: &World, plan: &Plan, scope: &Scope) -> Vec<u32> {
    if scope.everything {
        let removed = world.removed.iter().map(|place| place.ifindex);
        return sorted(removed.chain(plan.stand_ins().iter().map(|place| place.ifindex)));
    }
    let stand_ins = scope.objects.iter().filter_map(Object::as_stand_in).map(|route| route.ifindex);
    sorted(scope.links.iter().copied().chain(stand_ins))
}

/// Each once.
fn sorted<T: Ord>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut items: Vec<T> = items.collect();
    items.sort_unstable();
    items.dedup();
    items
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

/// Where those of `objects` that share a queue stand in it. (Where one stands that is alone makes no difference.)
fn places(world: &World, objects: &[Object]) -> BTreeMap<Object, usize> {
    let mut queues: Vec<Queue> = objects.iter().filter_map(Object::queue).collect();
    queues.sort_unstable();
    let shared = queues.chunk_by(|a, b| a == b).filter(|same| same.len() > 1).filter_map(|same| same.first());
    shared.flat_map(|queue| world.in_order(*queue).copied().zip(0..)).collect()
}

/// The deletions of what another interface has left in a table that is not its own any more, rules first.
fn leave_tables(plan: &Plan, going: &mut Vec<Object>) -> Vec<Change> {
    let is_left = |route: &Route| plan.tables().get(&route.table).is_some_and(|owner| *owner != Some(route.ifindex));
    let left = sorted(going.iter().filter_map(|object| match object {
        Object::Route(route) if is_left(route) => Some(route.table),
        _ => None,
    }));
    if left.is_empty() {
        return Vec::new();
    }
    let leaves = |object: &Object| match object {
        Object::LocalNetworks { .. } => false,
        Object::Rule(rule) => left.binary_search(&rule.table).is_ok(),
        Object::Route(route) => is_left(route),
    };
    let mut leaving: Vec<Object> = going.iter().filter(|object| leaves(object)).copied().collect();
    going.retain(|object| !leaves(object));
    leaving.sort_by_key(|object| leaving_order(object, &BTreeMap::new()));
    leaving.into_iter().map(Change::Delete).collect()
}

/// The connected routes to put back: we removed them, and nothing of ours stands in for them any more.
fn restored(world: &World, plan: &Plan, links: &[u32], going: &[Object]) -> Vec<Connected> {
    let is_free = |connected: &Connected| {
        let place = connected.place();
        !plan.stand_ins().contains(&place) && !world.is_stood_in(place, |object| going.binary_search(object).is_err())
    };
    links.iter().flat_map(|ifindex| world.lacking_of(*ifindex)).filter(is_free).collect()
}

/// The additions of what is wanted and not there, in the plan's order. What an IPv6 route takes the place of goes, also
/// if it is an orphan.
fn arrive(gap: &Gap, plan: &Plan, going: &mut Vec<Object>) -> Vec<Change> {
    let mut twins: BTreeMap<Ipv6Key, Object> =
        gap.unwanted().iter().filter_map(|object| Some((ipv6_key(object)?, *object))).collect();
    going.extend(gap.missing().filter_map(|object| twins.remove(&ipv6_key(object)?)));
    going.sort_unstable();
    going.dedup();
    gap.in_order(plan).copied().map(Change::Add).collect()
}

/// What puts the queues in order. In each, the longest run of the wanted order that is there in this order stays; all
/// behind it is deleted, together with what of the queue goes, and added again.
fn moves(world: &World, plan: &Plan, gap: &Gap, scope: &Scope, going: &mut Vec<Object>) -> Vec<Change> {
    let queues =
        if scope.everything { plan.queues().collect() } else { sorted(scope.objects.iter().filter_map(Object::queue)) };
    let mut moves = Vec::new();
    for queue in queues {
        let wanted = plan.in_order(&queue);
        let standing = world.in_order(queue).chain(wanted.clone().filter(|object| gap.lacks(object)));
        let mut rest = standing.clone();
        // Nearly always; the queue may be long.
        if wanted.clone().all(|object| rest.any(|there| there == object)) {
            continue;
        }
        let standing: Vec<Object> = standing.copied().collect();
        let mut rest = standing.iter();
        let wanted = wanted.filter(|object| standing.contains(object));
        let again: Vec<Object> = wanted.skip_while(|object| rest.any(|there| there == *object)).copied().collect();
        if again.is_empty() {
            continue;
        }
        let is_going = |object: &Object| going.binary_search(object).is_ok();
        let leave = standing.iter().rev().filter(|object| is_going(object) || again.contains(object));
        moves.extend(leave.copied().map(Change::Delete));
        moves.extend(again.into_iter().map(Change::Add));
        going.retain(|object| object.queue() != Some(queue));
    }
    moves
}

fn ipv6_key(object: &Object) -> Option<Ipv6Key> {
    match object {
        Object::Route(route) => route.ipv6_key(),
        Object::Rule(_) | Object::LocalNetworks { .. } => None,
    }
}

#[cfg(test)]
#[path = "diff_tests.rs"]
mod tests;
