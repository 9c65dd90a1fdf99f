//! What `ip rule` and `ip route` would show, and what of it has changed. Asked of the kernel anew each time, over a
//! socket of its own: not what the daemon believes.

use std::collections::BTreeSet;
use std::path::Path;

use crate::netlink::{self, DEFAULT_PROTOCOL, Netlink, NetlinkError};
use crate::route::{Change, Connected, Family, MAIN_TABLE, Object, Route, World};

/// A look at the routes of a namespace.
#[derive(Debug)]
pub struct Kernel {
    netlink: Netlink,
    seen: World,
}

/// One line of `ip rule` or `ip route`, before and after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// It is new.
    Came(String),
    /// It is gone.
    Went(String),
    /// It has another metric; the line as it is now, and the metric that it had.
    Metric(String, u32),
}

impl Kernel {
    /// Looks into `netns`.
    ///
    /// # Errors
    /// If the kernel does not answer.
    pub fn open(netns: &Path) -> Result<Self, NetlinkError> {
        let config = netlink::Config { netns: Some(netns.to_path_buf()), ..netlink::Config::default() };
        let (netlink, seen) = Netlink::open(&config)?;
        Ok(Self { netlink, seen })
    }

    /// What has changed since the last look.
    ///
    /// # Errors
    /// If the kernel does not answer.
    pub fn differences(&mut self) -> Result<Vec<Difference>, NetlinkError> {
        let now = self.netlink.snapshot()?;
        let differences = differences(&self.seen, &now);
        self.seen = now;
        Ok(differences)
    }

    /// Waits until somebody has changed something.
    ///
    /// # Errors
    /// If the socket fails.
    pub async fn changed(&mut self) -> Result<(), NetlinkError> {
        self.netlink.readable().await
    }
}

/// A rule or route that an administrator sees. The story is told in IPv4; the kernel's own IPv6 on-link routes, which
/// come and go with the links, are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Line {
    Ours(Object),
    Kernels(Connected),
}

impl Line {
    fn of(world: &World) -> BTreeSet<Self> {
        let connected = world.connected.iter().filter(|connected| connected.dst.family() == Family::V4);
        world.ours.iter().map(|object| Self::Ours(*object)).chain(connected.map(|c| Self::Kernels(*c))).collect()
    }

    /// The route, without its metric.
    fn route(&self) -> Option<(Route, u32)> {
        match self {
            Self::Ours(Object::Route(route)) => Some((Route { metric: 0, ..*route }, route.metric)),
            _ => None,
        }
    }

    /// Rules first, then table by table, and there interface by interface.
    const fn place(&self) -> (bool, u32, u32) {
        match self {
            Self::Ours(Object::LocalNetworks { .. }) => (false, 0, 0),
            Self::Ours(Object::Rule(rule)) => (false, rule.table, 0),
            Self::Ours(Object::Route(route)) => (true, route.table, route.ifindex),
            Self::Kernels(connected) => (true, MAIN_TABLE, connected.ifindex),
        }
    }

    fn text(&self, world: &World) -> String {
        let change = match self {
            Self::Ours(object) => Change::Add(*object),
            Self::Kernels(connected) => Change::RestoreConnected(*connected),
        };
        let command = change.command(world, DEFAULT_PROTOCOL);
        // What is added by `ip route append X` is shown by `ip route` as X.
        command.replacen("route append", "route", 1).replacen("rule add", "rule ", 1)
    }
}

fn differences(before: &World, now: &World) -> Vec<Difference> {
    let (old, new) = (Line::of(before), Line::of(now));
    let [mut gone, mut come]: [Vec<_>; 2] = [old.difference(&new).collect(), new.difference(&old).collect()];
    gone.sort_by_key(|line| line.place());
    come.sort_by_key(|line| line.place());
    let metric_of = |line: &Line, others: &[&Line]| {
        let (route, _) = line.route()?;
        others.iter().filter_map(|other| other.route()).find_map(|(other, metric)| (other == route).then_some(metric))
    };
    let went = gone.iter().filter(|line| metric_of(line, &come).is_none());
    let went = went.map(|line| Difference::Went(line.text(before)));
    let came = come.iter().map(|line| match metric_of(line, &gone) {
        Some(metric) => Difference::Metric(line.text(now), metric),
        None => Difference::Came(line.text(now)),
    });
    went.chain(came).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::{Link, Prefix, Rule};

    #[test]
    fn a_new_metric_is_one_line() {
        let mut before = World::default();
        before.links.insert(2, Link { name: "eth0".parse().unwrap(), is_up: true });
        let (src, dst) = ("192.168.1.50".parse().unwrap(), Prefix::of("192.168.1.50".parse().unwrap(), 24).unwrap());
        before.connected.insert(Connected { dst, ifindex: 2, prefsrc: Some(src) });
        let route = |metric| {
            let (ifindex, gateway, dst) = (2, "192.168.1.1".parse().ok(), Prefix::default_route(Family::V4));
            Object::Route(Route { table: MAIN_TABLE, dst, metric, ifindex, gateway, prefsrc: None, onlink: false })
        };
        before.insert(route(50));
        let mut now = before.clone();
        now.connected.clear();
        now.remove(&route(50));
        now.insert(route(10));
        now.insert(Object::Rule(Rule { src, table: 100, priority: 30_000 }));
        let expected = [
            Difference::Went("ip route 192.168.1.0/24 dev eth0 proto kernel scope link src 192.168.1.50".into()),
            Difference::Came("ip rule  from 192.168.1.50 lookup 100 priority 30000 protocol 110".into()),
            Difference::Metric("ip route default via 192.168.1.1 dev eth0 proto 110 metric 10".into(), 50),
        ];
        assert_eq!(differences(&before, &now), expected);
        assert_eq!(differences(&now, &now), []);
    }
}
