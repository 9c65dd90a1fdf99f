//! Changes as an administrator would type them, for logs and for the `plan` request.

use std::fmt::Write;
use std::net::IpAddr;

use super::object::IPV6_CONNECTED_METRIC;
use super::{Change, Connected, Family, IfName, MAIN_TABLE, Object, Route, Rule, World};

impl Change {
    /// The `ip` command (iproute2) for this change, with the interface names of `world` and our `protocol` number.
    #[must_use]
    pub fn command(&self, world: &World, protocol: u8) -> String {
        match self {
            Self::Add(Object::LocalNetworks { family, priority }) => {
                local_networks("add", *family, *priority, protocol)
            }
            Self::Delete(Object::LocalNetworks { family, priority }) => {
                local_networks("del", *family, *priority, protocol)
            }
            Self::Add(Object::Route(r)) => route("append", r, &device(world, r.ifindex), protocol),
            Self::Delete(Object::Route(r)) => route("del", r, &device(world, r.ifindex), protocol),
            Self::Add(Object::Rule(r)) => rule("add", r, protocol),
            Self::Delete(Object::Rule(r)) => rule("del", r, protocol),
            Self::RestoreConnected(c) => connected("append", c, &device(world, c.ifindex)),
            Self::RemoveConnected(c) => connected("del", c, &device(world, c.ifindex)),
        }
    }
}

/// `ip` takes `if7` for the interface of that index when it knows no name, or when the name cannot be typed.
fn device(world: &World, ifindex: u32) -> String {
    let name = world.links.get(&ifindex).and_then(|link| typed(link.name));
    name.unwrap_or_else(|| format!("if{ifindex}"))
}

/// A name as a shell reads it: the kernel takes `a;id` for one. `None` if it is no text, or holds what a terminal obeys.
fn typed(name: IfName) -> Option<String> {
    let text = str::from_utf8(name.as_bytes()).ok().filter(|text| !text.chars().any(char::is_control))?;
    let is_plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._@:+-".contains(&byte));
    Some(if is_plain { text.to_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) })
}

const fn ip(family: Family) -> &'static str {
    match family {
        Family::V4 => "ip",
        Family::V6 => "ip -6",
    }
}

fn local_networks(verb: &str, family: Family, priority: u32, protocol: u8) -> String {
    let ip = ip(family);
    format!("{ip} rule {verb} lookup main suppress_prefixlength 0 priority {priority} protocol {protocol}")
}

fn rule(verb: &str, rule: &Rule, protocol: u8) -> String {
    let Rule { src, table, priority } = rule;
    format!("{} rule {verb} from {src} lookup {table} priority {priority} protocol {protocol}", ip(Family::of(*src)))
}

fn route(verb: &str, route: &Route, device: &str, protocol: u8) -> String {
    let mut text = format!("{} route {verb} {}", ip(route.dst.family()), route.dst);
    let table = (route.table != MAIN_TABLE).then_some(route.table);
    // A metric of 0 is not typed: it is what there is without one.
    let metric = (route.metric != 0).then_some(route.metric);
    option(&mut text, "via", route.gateway);
    option(&mut text, "dev", Some(device));
    option(&mut text, "table", table);
    option(&mut text, "proto", Some(protocol));
    option(&mut text, "metric", metric);
    scope_and_source(&mut text, route.dst.family(), route.is_on_link(), route.prefsrc);
    if route.onlink {
        text.push_str(" onlink");
    }
    text
}

fn connected(verb: &str, route: &Connected, device: &str) -> String {
    let family = route.dst.family();
    let mut text = format!("{} route {verb} {} dev {device} proto kernel", ip(family), route.dst);
    option(&mut text, "metric", (family == Family::V6).then_some(IPV6_CONNECTED_METRIC));
    scope_and_source(&mut text, family, true, route.prefsrc);
    text
}

/// IPv6 routes have no scope.
fn scope_and_source(text: &mut String, family: Family, is_on_link: bool, source: Option<IpAddr>) {
    option(text, "scope", (family == Family::V4 && is_on_link).then_some("link"));
    option(text, "src", source);
}

fn option(text: &mut String, word: &str, value: Option<impl std::fmt::Display>) {
    if let Some(value) = value {
        // Writing to a string cannot fail.
        let _ = write!(text, " {word} {value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::{Link, Prefix};

    #[test]
    fn names_that_a_shell_would_take_apart_are_quoted() {
        for (name, typed) in [
            ("eth0", "eth0"),
            ("Wlan0.100", "Wlan0.100"),
            ("br-lan@x+_", "br-lan@x+_"),
            ("a;id", "'a;id'"),
            ("$(id)", "'$(id)'"),
            ("it's", "'it'\\''s'"),
            ("'", "''\\'''"),
            ("a\\b", "'a\\b'"),
            ("ünï", "'ünï'"),
            ("a\u{1b}[2J", "if2"),
        ] {
            let mut world = World::default();
            world.links.insert(2, Link { name: name.parse().unwrap(), is_up: true });
            assert_eq!(device(&world, 2), typed);
        }
        let mut world = World::default();
        world.links.insert(2, Link { name: IfName::new(b"a\xff").unwrap(), is_up: true });
        assert_eq!(device(&world, 2), "if2");
    }

    #[test]
    fn reads_like_what_an_administrator_types() {
        let mut world = World::default();
        world.links.insert(2, Link { name: "eth0".parse().unwrap(), is_up: true });
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let way_out = |gateway: &str, table, metric, onlink| {
            let gateway = ip(gateway);
            let dst = Prefix::default_route(Family::of(gateway));
            Object::Route(Route { table, dst, metric, ifindex: 2, gateway: Some(gateway), prefsrc: None, onlink })
        };
        let on_link = |src: &str, len, table, metric, ifindex| {
            let (prefsrc, dst) = (Some(ip(src)), Prefix::of(ip(src), len).unwrap());
            Object::Route(Route { table, dst, metric, ifindex, gateway: None, prefsrc, onlink: false })
        };
        let rule = |src| Object::Rule(Rule { src: ip(src), table: 100, priority: 30_000 });
        let own = |src: &str, len, prefsrc: Option<&str>| Connected {
            dst: Prefix::of(ip(src), len).unwrap(),
            ifindex: 2,
            prefsrc: prefsrc.map(ip),
        };
        for (change, command) in [
            (
                Change::Add(way_out("10.0.0.1", 100, 10, false)),
                "ip route append default via 10.0.0.1 dev eth0 table 100 proto 110 metric 10",
            ),
            (
                Change::Delete(way_out("8.8.4.4", MAIN_TABLE, 50, true)),
                "ip route del default via 8.8.4.4 dev eth0 proto 110 metric 50 onlink",
            ),
            (
                Change::Add(way_out("fe80::1", 100, 1024, false)),
                "ip -6 route append default via fe80::1 dev eth0 table 100 proto 110 metric 1024",
            ),
            (
                Change::Add(on_link("192.168.1.50", 24, 100, 0, 2)),
                "ip route append 192.168.1.0/24 dev eth0 table 100 proto 110 scope link src 192.168.1.50",
            ),
            (
                Change::Delete(on_link("fd00::5", 64, MAIN_TABLE, 50, 7)),
                "ip -6 route del fd00::/64 dev if7 proto 110 metric 50 src fd00::5",
            ),
            (Change::Add(rule("192.168.1.50")), "ip rule add from 192.168.1.50 lookup 100 priority 30000 protocol 110"),
            (
                Change::Add(Object::LocalNetworks { family: Family::V6, priority: 29_999 }),
                "ip -6 rule add lookup main suppress_prefixlength 0 priority 29999 protocol 110",
            ),
            (Change::Delete(rule("fd00::5")), "ip -6 rule del from fd00::5 lookup 100 priority 30000 protocol 110"),
            (
                Change::RestoreConnected(own("192.168.1.50", 24, Some("192.168.1.50"))),
                "ip route append 192.168.1.0/24 dev eth0 proto kernel scope link src 192.168.1.50",
            ),
            (
                Change::RemoveConnected(own("fd00::5", 64, None)),
                "ip -6 route del fd00::/64 dev eth0 proto kernel metric 256",
            ),
        ] {
            assert_eq!(change.command(&world, 110), command);
        }
    }
}
