//! Which interface traffic leaves by, as far as that is our doing.

use super::{Family, Object, Prefix, Queue, World};

/// The link of the default route in main that the kernel prefers; `None` if there is none, or if it is not ours.
#[must_use]
pub fn way_out(world: &World, family: Family) -> Option<u32> {
    let dst = Prefix::default_route(family);
    let route = |object: &Object| if let Object::Route(route) = object { Some(*route) } else { None };
    let best = world.main_routes_to(dst).next().and_then(route)?;
    if world.outranking(family, best.metric).is_some() {
        return None;
    }
    let mut equals = world.in_order(Queue::Main { dst, metric: best.metric });
    Some(equals.find_map(route).unwrap_or(best).ifindex)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::{ForeignDefault, MAIN_TABLE, Route};

    fn default(gateway: &str, metric: u32, ifindex: u32) -> Object {
        let gateway = gateway.parse().unwrap();
        let dst = Prefix::default_route(Family::of(gateway));
        let table = MAIN_TABLE;
        Object::Route(Route { table, dst, metric, ifindex, gateway: Some(gateway), prefsrc: None, onlink: false })
    }

    #[test]
    fn the_smallest_metric_and_of_equals_the_first() {
        let mut world = World::default();
        assert_eq!(way_out(&world, Family::V4), None);
        world.insert(default("10.0.3.1", 20, 3));
        world.insert(default("10.0.2.1", 20, 2));
        world.insert(default("fd00::1", 10, 4));
        assert_eq!((way_out(&world, Family::V4), way_out(&world, Family::V6)), (Some(3), Some(4)));
        world.insert(default("10.0.5.1", 10, 5));
        assert_eq!(way_out(&world, Family::V4), Some(5));
        let foreign = ForeignDefault { family: Family::V4, metric: 10, ifindex: 6, gateway: None, protocol: 16 };
        world.foreign_defaults.insert(foreign);
        assert_eq!((way_out(&world, Family::V4), way_out(&world, Family::V6)), (None, Some(4)));
        world.foreign_defaults = [ForeignDefault { metric: 11, ..foreign }].into();
        assert_eq!(way_out(&world, Family::V4), Some(5));
    }
}
