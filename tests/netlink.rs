//! `netlink` against the running kernel, each test in a network namespace of its own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod follow;
mod kernel;
mod meddling;
mod netns;

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use beamroute::netlink::{Config, Missing, Netlink, NetlinkError, check_support};
use beamroute::route::{Change, Changes, Connected, Family, IfName, MAIN_TABLE, Object, Route, World};
use kernel::{
    add, addr, apply_all, assert_is_kernel, default, delete, drain_to_kernel, drain_until_kernel, index, mirror, net,
    on_link, open, rule, two_links,
};
use netns::{in_netns, ip, ip_args};
use nix::libc;

/// Everything that one interface needs, in the order of addition.
fn objects_of(world: &World) -> Vec<Object> {
    let va = index(world, "va");
    vec![
        rule("10.0.0.2", 100),
        rule("2001:db8::2", 1000),
        Object::Route(on_link("10.0.0.0/24", va, "10.0.0.2", 0, 100)),
        Object::Route(on_link("2001:db8::/64", va, "2001:db8::2", 1024, 1000)),
        Object::Route(on_link("10.0.0.0/24", va, "10.0.0.2", 10, MAIN_TABLE)),
        Object::Route(on_link("2001:db8::/64", va, "2001:db8::2", 10, MAIN_TABLE)),
        Object::Route(default("10.0.0.1", va, 0, 100)),
        Object::Route(default("2001:db8::1", va, 1024, 1000)),
        Object::Route(default("10.0.0.1", va, 10, MAIN_TABLE)),
        Object::Route(default("2001:db8::1", va, 10, MAIN_TABLE)),
        Object::Route(Route { onlink: true, ..default("192.0.2.1", va, 11, MAIN_TABLE) }),
        Object::Route(Route { onlink: true, ..default("2001:db8:77::1", va, 11, MAIN_TABLE) }),
    ]
}

#[test]
fn what_is_added_is_there_and_what_is_deleted_is_gone() {
    in_netns(|| {
        two_links();
        let (mut netlink, mut world) = open();
        let base = world.clone();
        assert!(world.has_ipv6_rules && world.ours.is_empty());
        let objects = objects_of(&world);
        apply_all(&mut netlink, &mut world, &add(objects.clone()));
        assert_eq!(world.ours.len(), objects.len());
        // Our own doings are no news.
        let drained = netlink.drain(&mut world).unwrap();
        assert!(!drained.changed && !drained.looked_again, "{drained:?}");
        // Doing it again changes nothing.
        apply_all(&mut netlink, &mut world, &add(objects.clone()));
        apply_all(&mut netlink, &mut world, &delete(objects.iter().rev().copied()));
        apply_all(&mut netlink, &mut world, &delete(objects));
        assert_eq!(world, base);
    });
}

#[test]
fn packets_go_where_the_routes_say() {
    in_netns(|| {
        two_links();
        let (mut netlink, mut world) = open();
        let (va, vc) = (index(&world, "va"), index(&world, "vc"));
        let far = addr("198.51.100.1");
        assert_eq!(netlink.route_get(far, None).unwrap(), None);
        assert_eq!(netlink.route_get(addr("2001:db8:ffff::1"), None).unwrap(), None);
        let objects = [
            rule("10.0.1.2", 101),
            Object::Route(on_link("10.0.1.0/24", vc, "10.0.1.2", 0, 101)),
            Object::Route(default("10.0.1.1", vc, 0, 101)),
            Object::Route(default("10.0.0.1", va, 10, MAIN_TABLE)),
            Object::Route(default("2001:db8::1", va, 10, MAIN_TABLE)),
        ];
        apply_all(&mut netlink, &mut world, &add(objects));
        assert_eq!(netlink.route_get(far, None).unwrap(), Some(va));
        assert_eq!(netlink.route_get(far, Some(addr("10.0.1.2"))).unwrap(), Some(vc));
        assert_eq!(netlink.route_get(addr("2001:db8:ffff::1"), None).unwrap(), Some(va));
    });
}

#[test]
fn other_programs_keep_what_has_the_same_numbers() {
    in_netns(|| {
        two_links();
        ip("rule add from 10.0.0.2 lookup 100 pref 30000 protocol static");
        ip("-6 rule add from 2001:db8::2 lookup 1000 pref 30000 protocol static");
        ip("route add default via 10.0.0.1 dev va table 100 proto static");
        ip("route add default via 10.0.0.1 dev va metric 10 proto static");
        let (mut netlink, mut world) = open();
        let base = world.clone();
        assert_eq!(world.foreign_rules, [(100, 1), (1000, 1)].into());
        assert_eq!(world.foreign_routes, [(100, 1)].into());
        assert_eq!(world.foreign_defaults.len(), 1);
        let va = index(&world, "va");
        let objects = [
            rule("10.0.0.2", 100),
            rule("2001:db8::2", 1000),
            Object::Route(default("10.0.0.1", va, 0, 100)),
            Object::Route(default("10.0.0.1", va, 10, MAIN_TABLE)),
        ];
        apply_all(&mut netlink, &mut world, &add(objects));
        apply_all(&mut netlink, &mut world, &delete(objects));
        apply_all(&mut netlink, &mut world, &delete(objects));
        assert_eq!(world, base);
    });
}

#[test]
fn someone_elses_ipv6_route_of_that_metric_is_left_alone() {
    in_netns(|| {
        two_links();
        ip("-6 route add default via 2001:db8:1::1 dev vc metric 10 proto static");
        let (mut netlink, mut world) = open();
        let route = default("2001:db8::1", index(&world, "va"), 10, MAIN_TABLE);
        let old = Route { metric: 11, ..route };
        apply_all(&mut netlink, &mut world, &add([Object::Route(old)]));
        let mut changes = add([Object::Route(route)]);
        changes.deletions.push(Change::Delete(Object::Route(old)));
        let outcome = netlink.apply(&changes).unwrap();
        assert_eq!(outcome.refused[0].errno, libc::EEXIST);
        assert_eq!(outcome.withheld, changes.deletions);
        assert_is_kernel(&world);
    });
}

/// Equal metrics: ours are added, changed and deleted beside them, whichever came first.
#[test]
fn foreign_defaults_of_equal_metric_stay_as_they_are() {
    for was_first in [true, false] {
        in_netns(move || {
            two_links();
            let foreign = || {
                for (family, gateway) in [("-4", "10.0.1.1"), ("-6", "2001:db8:1::1")] {
                    for metric in [10, 50] {
                        ip(&format!("{family} route append default via {gateway} dev vc metric {metric} proto static"));
                    }
                }
            };
            let (mut netlink, mut world) = open();
            let va = index(&world, "va");
            let ours = |metric, host| {
                [format!("10.0.0.{host}"), format!("2001:db8::{host}")]
                    .map(|gateway| Object::Route(default(&gateway, va, metric, MAIN_TABLE)))
            };
            if was_first {
                foreign();
                drain_to_kernel(&mut netlink, &mut world);
            }
            let mut follow = |have: &[Object], want: &[Object]| {
                let changes =
                    Changes { deletions: delete(have.iter().copied()).deletions, ..add(want.iter().copied()) };
                let outcome = netlink.apply(&changes).unwrap();
                mirror(&mut world, &outcome);
                drain_until_kernel(&mut netlink, &mut world, &|| format!("{changes:#?}"));
                world.clone()
            };
            follow(&[], &ours(50, 1));
            if !was_first {
                foreign();
            }
            follow(&[], &[]);
            follow(&ours(50, 1), &ours(10, 1));
            follow(&ours(10, 1), &ours(10, 9));
            follow(&ours(10, 9), &ours(50, 9));
            let world = follow(&[ours(50, 9), ours(50, 1), ours(10, 9), ours(10, 1)].concat(), &[]);
            assert!(world.ours.is_empty(), "{:?}", world.ours);
            let left: Vec<_> = world.foreign_defaults.iter().map(|f| (f.family, f.metric, f.protocol)).collect();
            let all = [Family::V4, Family::V6].map(|family| [10, 50].map(|metric| (family, metric, 4)));
            assert_eq!(left, all.concat());
        });
    }
}

#[test]
fn the_kernels_connected_routes_go_and_come_back() {
    in_netns(|| {
        two_links();
        let (mut netlink, mut world) = open();
        let base = world.clone();
        let va = index(&world, "va");
        let v4 = Connected { dst: net("10.0.0.0/24"), ifindex: va, prefsrc: Some(addr("10.0.0.2")) };
        let v6 = Connected { dst: net("2001:db8::/64"), ifindex: va, prefsrc: None };
        assert!(world.connected.contains(&v4) && world.connected.contains(&v6), "{:?}", world.connected);
        let ours = [
            Object::Route(on_link("10.0.0.0/24", va, "10.0.0.2", 10, MAIN_TABLE)),
            Object::Route(on_link("2001:db8::/64", va, "2001:db8::2", 300, MAIN_TABLE)),
        ];
        let mut take = add(ours);
        take.deletions.extend([v4, v6].map(Change::RemoveConnected));
        apply_all(&mut netlink, &mut world, &take);
        assert!(!world.connected.contains(&v4) && !world.connected.contains(&v6));
        let mut release = delete(ours);
        release.additions.extend([v4, v6].map(Change::RestoreConnected));
        apply_all(&mut netlink, &mut world, &release);
        assert_eq!(world, base);
        // And the kernel takes what we put back for its own: it goes with the address.
        ip("addr del 10.0.0.2/24 dev va");
        ip("addr del 2001:db8::2/64 dev va");
        drain_to_kernel(&mut netlink, &mut world);
        assert!(!world.connected.contains(&v4) && !world.connected.contains(&v6), "{:?}", world.connected);
    });
}

#[test]
fn a_route_stays_while_its_replacement_is_refused() {
    in_netns(|| {
        two_links();
        let (mut netlink, mut world) = open();
        let (va, vc) = (index(&world, "va"), index(&world, "vc"));
        let old = [("10.0.0.1", va), ("10.0.1.1", vc), ("2001:db8::1", va)]
            .map(|(gateway, ifindex)| Object::Route(default(gateway, ifindex, 10 + ifindex, MAIN_TABLE)));
        apply_all(&mut netlink, &mut world, &add(old));
        // A gateway that nothing leads to, in both families; the third is fine.
        let new = [("192.0.2.1", va), ("10.0.1.9", vc), ("2001:db8:77::1", va)]
            .map(|(gateway, ifindex)| Object::Route(default(gateway, ifindex, 10 + ifindex, MAIN_TABLE)));
        let changes = Changes { deletions: old.map(Change::Delete).into(), ..add(new) };
        let outcome = netlink.apply(&changes).unwrap();
        let refused: Vec<Change> = outcome.refused.iter().map(|r| r.change).collect();
        assert_eq!(refused, [Change::Add(new[0]), Change::Add(new[2])]);
        assert_eq!(outcome.refused[0].errno, libc::ENETUNREACH);
        assert_eq!(outcome.refused[0].text, "Nexthop has invalid gateway");
        assert!(!outcome.refused[1].text.is_empty());
        assert_eq!(outcome.withheld, [Change::Delete(old[0]), Change::Delete(old[2])]);
        assert_eq!(outcome.applied, [Change::Add(new[1]), Change::Delete(old[1])]);
        mirror(&mut world, &outcome);
        assert_is_kernel(&world);
    });
}

#[test]
fn the_connected_route_stays_while_ours_is_refused() {
    in_netns(|| {
        two_links();
        let (mut netlink, world) = open();
        let va = index(&world, "va");
        let own = Connected { dst: net("10.0.0.0/24"), ifindex: va, prefsrc: Some(addr("10.0.0.2")) };
        // Not an address of ours.
        let mut changes = add([Object::Route(on_link("10.0.0.0/24", va, "10.0.0.77", 10, MAIN_TABLE))]);
        changes.deletions.push(Change::RemoveConnected(own));
        let outcome = netlink.apply(&changes).unwrap();
        assert_eq!((outcome.refused.len(), &outcome.withheld), (1, &changes.deletions));
        assert_is_kernel(&world);
    });
}

#[test]
fn ipv6_routes_are_replaced_at_their_metric() {
    in_netns(|| {
        two_links();
        ip("addr add 2001:db8::3/64 dev va nodad");
        netns::wait_for_addresses();
        let (mut netlink, mut world) = open();
        let (va, vc) = (index(&world, "va"), index(&world, "vc"));
        let mut have = Vec::new();
        let source = |src| on_link("2001:db8::/64", va, src, 10, MAIN_TABLE);
        for want in [
            vec![source("2001:db8::2"), default("2001:db8::1", va, 10, MAIN_TABLE)],
            // Another source, another gateway.
            vec![source("2001:db8::3"), default("2001:db8::9", va, 10, MAIN_TABLE)],
            // Two interfaces in a row, which then change places.
            vec![default("2001:db8::9", va, 10, MAIN_TABLE), default("2001:db8:1::1", vc, 11, MAIN_TABLE)],
            vec![default("2001:db8:1::1", vc, 10, MAIN_TABLE), default("2001:db8::9", va, 11, MAIN_TABLE)],
            // A source that appears, with a sibling in passing.
            vec![
                Route { prefsrc: Some(addr("2001:db8:1::2")), ..default("2001:db8:1::1", vc, 10, MAIN_TABLE) },
                default("2001:db8::9", va, 11, MAIN_TABLE),
            ],
            vec![],
        ] {
            let want: Vec<Object> = want.into_iter().map(Object::Route).collect();
            let new = want.iter().filter(|o| !have.contains(*o)).copied();
            let old = have.iter().filter(|o| !want.contains(o)).copied();
            let changes = Changes { deletions: delete(old).deletions, ..add(new) };
            apply_all(&mut netlink, &mut world, &changes);
            let drained = netlink.drain(&mut world).unwrap();
            assert!(!drained.changed && !drained.looked_again, "{drained:?}");
            have = want;
        }
    });
}

#[test]
fn what_others_do_is_seen() {
    in_netns(|| {
        two_links();
        let (mut netlink, mut world) = open();
        let objects = objects_of(&world);
        apply_all(&mut netlink, &mut world, &add(objects));
        for doing in [
            "link set vc name wlan0",
            "rule del from 10.0.0.2 lookup 100 pref 30000 protocol 110",
            "-6 rule del from 2001:db8::2 lookup 1000 pref 30000 protocol 110",
            "rule add from 10.0.0.2 lookup 777 pref 5",
            "rule add from 10.0.0.2 lookup 777 pref 6",
            "rule del from 10.0.0.2 lookup 777 pref 6",
            "route del default dev va table 100 proto 110",
            "-6 route del default dev va table 1000 proto 110",
            "route add default via 10.0.1.1 dev wlan0 metric 5",
            "route replace default via 10.0.1.9 dev wlan0 metric 5",
            "route replace default via 10.0.0.9 dev va metric 10 proto static",
            "route add 192.0.2.0/24 via 10.0.1.1 table 500",
            "route replace 192.0.2.0/24 via 10.0.1.9 table 500",
            "route del 192.0.2.0/24 table 500",
            "-6 route add default metric 700 nexthop via 2001:db8::7 nexthop via 2001:db8:1::7",
            "-6 route del default via 2001:db8::7 dev va metric 700",
            "-6 route append default via 2001:db8:1::8 dev wlan0 metric 10 proto static",
            "-6 route del default via 2001:db8:1::8 dev wlan0 metric 10 proto static",
            "-6 route add default table 500 nexthop via 2001:db8::7 nexthop via 2001:db8:1::7",
            "-6 route del default via 2001:db8::7 dev va table 500",
            "-6 route del default table 500",
            "addr add 10.0.9.2/24 dev wlan0 noprefixroute",
            "addr change 10.0.9.2/24 dev wlan0 valid_lft 1000 preferred_lft 900",
            "addr del 10.0.1.2/24 dev wlan0",
            "addr add 10.0.1.2/24 dev wlan0",
            "addr del 2001:db8::2/64 dev va",
            "addr del 10.0.0.2/24 dev va",
            "link set wlan0 down",
            "link set wlan0 up",
            "link add br0 type bridge",
            "link set wlan0 master br0",
            "link set wlan0 nomaster",
            "link set va down",
            "link del va",
        ] {
            ip(doing);
            eprintln!("ip {doing}");
            drain_to_kernel(&mut netlink, &mut world);
        }
        assert!(world.links.values().any(|l| l.name == "wlan0".parse::<IfName>().unwrap()));
    });
}

/// Many things in any order, some of which fail: whatever `ip` did, the mirror is right afterwards.
#[test]
fn no_order_of_events_leads_astray() {
    in_netns(|| {
        two_links();
        let (mut netlink, mut world) = open();
        let rounds = std::env::var("BEAMROUTE_ROUNDS").map_or(25, |n| n.parse().unwrap());
        let mut random = 7_u64;
        let mut pick = |n: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % n
        };
        for _ in 0..rounds {
            let mut script = String::new();
            for _ in 0..=pick(6) {
                let (verb, dev) =
                    (["add", "del", "append", "replace"][pick(4) as usize], ["va", "vc"][pick(2) as usize]);
                let (metric, host) = ([5, 10, 256][pick(3) as usize], pick(2) + 1);
                let proto = ["110", "static", "kernel"][pick(3) as usize];
                let table = ["main", "main", "100", "5000"][pick(4) as usize];
                let net4 = if dev == "va" { "10.0.0" } else { "10.0.1" };
                let net6 = if dev == "va" { "2001:db8:" } else { "2001:db8:1:" };
                let rest = format!("dev {dev} metric {metric} proto {proto} table {table}");
                let set = if verb == "del" { "del" } else { "replace" };
                let once = if verb == "del" { "del" } else { "add" };
                script += &match pick(13) {
                    0 => format!("link set {dev} down"),
                    1 | 2 => format!("link set {dev} up"),
                    3 => format!("addr {set} {net4}.{host}/24 dev {dev}"),
                    4 => format!("addr {set} {net6}:{host}/64 dev {dev} nodad"),
                    5 => format!("route {verb} default via {net4}.9 {rest}"),
                    6 => format!("-6 route {verb} default via {net6}:9 {rest}"),
                    7 => format!("route {verb} {net4}.0/24 {rest} src {net4}.{host}"),
                    8 => format!("-6 route {verb} {net6}:/64 {rest}"),
                    9 => format!("rule {once} from {net4}.{host} lookup {table} pref 9 protocol {proto}"),
                    10 => format!("-6 rule {once} from {net6}:{host} lookup {table} pref 9 protocol {proto}"),
                    11 => format!(
                        "-6 route {verb} default table {table} proto {proto} nexthop via 2001:db8::9 nexthop via 2001:db8:1::9"
                    ),
                    _ => format!(
                        "route {verb} default table {table} proto {proto} nexthop via 10.0.0.9 nexthop via 10.0.1.9"
                    ),
                };
                script += "\n";
            }
            netns::ip_script(&script);
            drain_until_kernel(&mut netlink, &mut world, &|| script.clone());
            // And then we have our turn.
            let mut changes = Changes::default();
            let mut candidates = objects_of(&world);
            candidates.extend(world.ours.iter().copied());
            for object in candidates {
                match (pick(5), world.ours.contains(&object)) {
                    (0, true) => changes.deletions.push(Change::Delete(object)),
                    (0, false) => changes.additions.push(Change::Add(object)),
                    _ => {}
                }
            }
            let outcome = netlink.apply(&changes).unwrap();
            mirror(&mut world, &outcome);
            drain_until_kernel(&mut netlink, &mut world, &|| format!("{script}{changes:#?}\n{outcome:#?}"));
        }
    });
}

#[test]
fn a_link_that_goes_down_and_up_between_two_looks_has_lost_its_routes() {
    // What goes is inferred, unless others have routes of which nobody knows the link.
    for foreign in
        [None, Some("route add 10.99.0.0/24 dev va table 777"), Some("route add default nexthop dev va nexthop dev vc")]
    {
        in_netns(move || {
            two_links();
            foreign.map(ip);
            let (mut netlink, mut world) = open();
            let objects = objects_of(&world);
            apply_all(&mut netlink, &mut world, &add(objects.clone()));
            ip("link set va down");
            ip("link set va up");
            ip("addr add 2001:db8::2/64 dev va nodad");
            netns::wait_for_addresses();
            let drained = netlink.drain(&mut world).unwrap();
            assert!(drained.changed && drained.may_heal, "{drained:?}");
            assert_eq!((drained.looked_again, drained.inferred), (foreign.is_some(), foreign.is_none()));
            // The IPv6 address may be there before the kernel tells.
            drain_until_kernel(&mut netlink, &mut world, &|| format!("{foreign:?}"));
            // The rules alone outlive it.
            assert_eq!(world.ours.len(), 2);
            apply_all(&mut netlink, &mut world, &add(objects));
        });
    }
}

#[test]
fn lost_events_are_made_good() {
    in_netns(|| {
        two_links();
        let config = Config { event_queue_bytes: 256, ..Config::default() };
        let (mut netlink, mut world) = Netlink::open(&config).unwrap();
        let objects = objects_of(&world);
        apply_all(&mut netlink, &mut world, &add(objects));
        ip("link set vc name wlan0");
        for n in 0..40 {
            ip(&format!("rule add from 10.9.0.{n} lookup 777 pref 100"));
        }
        ip("route del default dev va table 100 proto 110");
        let drained = netlink.drain(&mut world).unwrap();
        assert!(drained.changed && drained.looked_again, "{drained:?}");
        assert_is_kernel(&world);
        assert_eq!(world.foreign_rules, [(777, 40)].into());
    });
}

#[test]
fn no_answer_of_a_large_batch_is_lost() {
    in_netns(|| {
        two_links();
        let (mut netlink, mut world) = open();
        let va = index(&world, "va");
        let route = |n: u32, gateway| default(gateway, va, 1000 + n, 100);
        // No on-link route in the table leads to 192.0.2.1: refused, each with the kernel's words.
        let outcome = netlink.apply(&add((0..300).map(|n| Object::Route(route(n, "192.0.2.1"))))).unwrap();
        assert_eq!(outcome.refused.len(), 300);
        assert!(outcome.refused.iter().all(|r| r.errno == libc::ENETUNREACH));
        let objects = (0..300).map(|n| Object::Route(route(n, if n % 3 == 0 { "192.0.2.1" } else { "10.0.0.1" })));
        let outcome = netlink.apply(&add(objects)).unwrap();
        assert_eq!((outcome.refused.len(), outcome.applied.len()), (100, 200));
        mirror(&mut world, &outcome);
        assert_is_kernel(&world);
    });
}

#[test]
fn names_need_not_be_text() {
    in_netns(|| {
        let name = b"v\xff\xfe0";
        let words = [b"link", &b"add"[..], name, b"type", b"veth", b"peer", b"name", b"vb"];
        ip_args(words.map(|word| OsString::from_vec(word.to_vec())));
        let mut words: Vec<OsString> = ["rule", "add", "pref", "7", "lookup", "700", "iif"].map(OsString::from).into();
        words.push(OsString::from_vec(name.to_vec()));
        ip_args(words);
        let (mut netlink, mut world) = open();
        assert!(world.links.named(IfName::new(name).unwrap()).is_some());
        assert_eq!(world.foreign_rules, [(700, 1)].into());
        ip("link del vb");
        drain_to_kernel(&mut netlink, &mut world);
    });
}

#[test]
fn sockets_may_be_in_another_namespace() {
    in_netns(|| {
        ip("link add va type veth peer name vb");
        let config = Config { netns: Some(netns::path()), ..Config::default() };
        std::thread::spawn(move || {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
            let (_, world) = Netlink::open(&config).unwrap();
            assert_eq!(world.links.len(), 3);
            assert_eq!(open().1.links.len(), 1);
            assert_eq!(check_support(&config).unwrap(), []);
        })
        .join()
        .unwrap();
    });
}

#[test]
fn a_wait_ends_when_something_happens() {
    in_netns(|| {
        two_links();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let wait = Duration::from_millis(50);
            let (mut netlink, mut world) = open();
            // What the kernel still has to tell about the addresses.
            tokio::time::sleep(wait).await;
            netlink.drain(&mut world).unwrap();
            for n in 0..3 {
                assert!(tokio::time::timeout(wait, netlink.readable()).await.is_err(), "nothing has happened");
                apply_all(&mut netlink, &mut world, &add([rule(&format!("10.0.0.{n}"), 100)]));
                assert!(tokio::time::timeout(wait, netlink.readable()).await.is_err(), "nobody else has done anything");
                ip(&format!("rule add pref {n} lookup 700"));
                tokio::time::timeout(Duration::from_secs(5), netlink.readable()).await.unwrap().unwrap();
                assert!(netlink.drain(&mut world).unwrap().changed);
                // Read before anyone waits for it.
                ip(&format!("rule del pref {n} lookup 700"));
                assert!(netlink.drain(&mut world).unwrap().changed);
            }
        });
    });
}

#[test]
fn a_tentative_address_is_waited_for() {
    in_netns(|| {
        two_links();
        ip("addr add 2001:db8:5::2/64 dev va");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (mut netlink, mut world) = open();
            let va = index(&world, "va");
            let route = Object::Route(on_link("2001:db8:5::/64", va, "2001:db8:5::2", 10, MAIN_TABLE));
            assert!(world.address(va, addr("2001:db8:5::2")).unwrap().is_tentative);
            assert_eq!(netlink.apply(&add([route])).unwrap().refused[0].errno, libc::EINVAL);
            while world.address(va, addr("2001:db8:5::2")).unwrap().is_tentative {
                tokio::time::timeout(Duration::from_secs(9), netlink.readable()).await.unwrap().unwrap();
                netlink.drain(&mut world).unwrap();
            }
            apply_all(&mut netlink, &mut world, &add([route]));
        });
    });
}

#[test]
fn a_missing_capability_is_named() {
    in_netns(|| {
        // Where the test was built, others may not be let in.
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let test = dir.path().join("test");
        // By another process: what a child of another test inherits while we write, nobody can run (ETXTBSY).
        let copied = Command::new("cp").arg(std::env::current_exe().unwrap()).arg(&test).status().unwrap();
        assert!(copied.success());
        let output = Command::new(&test)
            .args(["--exact", "without_privilege", "--ignored", "--nocapture"])
            .uid(65534)
            .gid(65534)
            .output();
        match output {
            Err(error) => netns::skip(&format!("cannot run {} as nobody: {error}", test.display())),
            Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr)),
        }
    });
}

#[test]
#[ignore = "run by a_missing_capability_is_named, as nobody"]
fn without_privilege() {
    assert_eq!(check_support(&Config::default()).unwrap(), [Missing::NetAdmin]);
    // Looking is allowed.
    let (mut netlink, _) = open();
    let error = netlink.apply(&add([rule("10.0.0.2", 100)])).unwrap_err();
    assert!(matches!(error, NetlinkError::MissingNetAdmin { .. }));
    assert!(error.to_string().contains("CAP_NET_ADMIN"), "{error}");
    let config = Config { netns: Some("/proc/self/ns/net".into()), ..Config::default() };
    let error = Netlink::open(&config).unwrap_err();
    assert!(error.to_string().contains("CAP_SYS_ADMIN"), "{error}");
}
