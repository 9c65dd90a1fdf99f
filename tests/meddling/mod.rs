//! What others do to our routes and rules, told apart from what the kernel does by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use beamroute::netlink::{Config, Doer, Meddling, Netlink};
use beamroute::route::{Change, Changes, Connected, MAIN_TABLE, Object, World};

use crate::kernel::{add, addr, apply_all, default, drain_until_kernel, index, net, on_link, open, rule, two_links};
use crate::netns::{self, in_netns, ip};
use crate::objects_of;

fn meddling(netlink: &mut Netlink, world: &mut World) -> Meddling {
    netlink.drain(world).unwrap().meddling
}

fn undo(meddling: &Meddling) -> Changes {
    let (additions, deletions) = meddling.undoing.keys().partition(|change| matches!(change, Change::Add(_)));
    Changes { additions, deletions }
}

/// Deletes an IPv4 default route in main as old `route del` does.
fn delete_by_ioctl(ifname: &str, metric: u32) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/delrt.pl");
    let mut command = Command::new("perl");
    command.args([script, "0.0.0.0", "0.0.0.0", ifname, &metric.to_string()]);
    assert!(command.status().expect("perl").success());
}

fn connected(ifindex: u32) -> Connected {
    Connected { dst: net("10.0.0.0/24"), ifindex, prefsrc: Some(addr("10.0.0.2")) }
}

#[test]
fn what_others_do_to_ours_is_told() {
    in_netns(|| {
        two_links();
        let (mut netlink, mut world) = open();
        let va = index(&world, "va");
        let objects = objects_of(&world);
        apply_all(&mut netlink, &mut world, &add(objects));
        let own = Changes { deletions: vec![Change::RemoveConnected(connected(va))], ..Changes::default() };
        apply_all(&mut netlink, &mut world, &own);
        assert_eq!(meddling(&mut netlink, &mut world), Meddling::default(), "our own doings are nobody's");
        let route = |gateway, metric, table| Object::Route(default(gateway, va, metric, table));
        let (program, unnamed) = (Doer::Program, Doer::Unnamed);
        for (doing, change, doer) in [
            ("route del default dev va table 100", Change::Add(route("10.0.0.1", 0, 100)), program),
            ("-6 route del default dev va table 1000", Change::Add(route("2001:db8::1", 1024, 1000)), program),
            ("rule del from 10.0.0.2 lookup 100", Change::Add(rule("10.0.0.2", 100)), program),
            ("ioctl", Change::Add(route("10.0.0.1", 10, MAIN_TABLE)), unnamed),
            // The event tells of the other's route only.
            (
                "route replace default via 10.0.0.9 dev va metric 10",
                Change::Add(route("10.0.0.1", 10, MAIN_TABLE)),
                unnamed,
            ),
            (
                "route add default via 10.0.0.9 dev va metric 77 proto 110",
                Change::Delete(route("10.0.0.9", 77, MAIN_TABLE)),
                program,
            ),
            // Among its equals, so that it must be looked for.
            (
                "route append default via 10.0.0.9 dev va metric 11 proto 110",
                Change::Delete(route("10.0.0.9", 11, MAIN_TABLE)),
                program,
            ),
            (
                "-6 route add default via 2001:db8::9 dev va metric 77 proto 110",
                Change::Delete(route("2001:db8::9", 77, MAIN_TABLE)),
                program,
            ),
            (
                "rule add from 10.0.0.77 lookup 100 pref 30000 protocol 110",
                Change::Delete(rule("10.0.0.77", 100)),
                program,
            ),
            (
                "route add 10.0.0.0/24 dev va proto kernel scope link src 10.0.0.2",
                Change::RemoveConnected(connected(va)),
                program,
            ),
        ] {
            eprintln!("{doing}");
            if doing == "ioctl" && Command::new("perl").arg("-v").output().is_err() {
                netns::skip("perl is not installed");
                continue;
            }
            if doing == "ioctl" {
                delete_by_ioctl("va", 10)
            } else {
                ip(doing)
            }
            let told = meddling(&mut netlink, &mut world);
            assert_eq!(told.undoing, BTreeMap::from([(change, doer)]), "{doing}");
            assert!(told.upset.is_empty(), "{doing}: {told:?}");
            apply_all(&mut netlink, &mut world, &undo(&told));
            assert_eq!(meddling(&mut netlink, &mut world), Meddling::default(), "{doing}");
        }
    });
}

#[test]
fn what_the_kernel_does_is_nobodys() {
    in_netns(|| {
        two_links();
        let (mut netlink, mut world) = open();
        let va = index(&world, "va");
        let objects = objects_of(&world);
        for doing in [
            "link set va down\nlink set va up\n",
            "addr del 10.0.0.2/24 dev va\naddr add 10.0.0.2/24 dev va\n",
            "addr del 2001:db8::2/64 dev va\naddr add 2001:db8::2/64 dev va nodad\n",
            "link set va mtu 1000\nlink set va mtu 1500\n",
        ] {
            // All in one look, and a look after each.
            for scripts in [vec![doing], doing.lines().collect()] {
                netns::ip_script("link set va up\naddr add 10.0.0.2/24 dev va\naddr add 2001:db8::2/64 dev va nodad\n");
                netns::wait_for_addresses();
                drain_until_kernel(&mut netlink, &mut world, &|| doing.to_owned());
                put_back(&mut netlink, &mut world, &objects);
                if world.connected.contains(&connected(va)) {
                    let deletions = vec![Change::RemoveConnected(connected(va))];
                    apply_all(&mut netlink, &mut world, &Changes { deletions, ..Changes::default() });
                }
                let mut upset = BTreeSet::new();
                for script in scripts {
                    netns::ip_script(script);
                    let told = meddling(&mut netlink, &mut world);
                    assert_eq!(told.undoing, BTreeMap::new(), "{script}");
                    upset.extend(told.upset);
                }
                assert!(upset.contains(&va), "{doing}");
                assert!(objects.iter().any(|object| !world.ours.contains(object)), "{doing} takes nothing");
            }
        }
    });
}

/// Brings the kernel to `objects`, of what is ours.
fn put_back(netlink: &mut Netlink, world: &mut World, objects: &[Object]) {
    let missing = objects.iter().filter(|object| !world.ours.contains(object)).copied();
    let additions = missing.map(Change::Add).collect();
    let unwanted = world.ours.iter().filter(|object| !objects.contains(object)).copied();
    let deletions = unwanted.map(Change::Delete).collect();
    apply_all(netlink, world, &Changes { additions, deletions });
}

/// Whether a link was down in between nobody can say; but it would have taken more than one route.
#[test]
fn what_is_lost_with_its_events_is_told_if_no_link_explains_it() {
    in_netns(|| {
        two_links();
        let config = Config { event_queue_bytes: 256, ..Config::default() };
        let (mut netlink, mut world) = Netlink::open(&config).unwrap();
        let va = index(&world, "va");
        let objects = objects_of(&world);
        apply_all(&mut netlink, &mut world, &add(objects.clone()));
        let noise: String = (0..40).map(|n| format!("rule add from 10.9.0.{n} lookup 777 pref 100\n")).collect();
        let gone = |changes: &[Object]| changes.iter().map(|object| (Change::Add(*object), Doer::Program)).collect();
        let mut told_after = |world: &mut World, script: &str| {
            netns::ip_script(&format!("{noise}{script}"));
            let drained = netlink.drain(world).unwrap();
            assert!(drained.looked_again, "{drained:?}");
            netns::ip_script(&noise.replace("add", "del"));
            netlink.drain(world).unwrap();
            netns::wait_for_addresses();
            drain_until_kernel(&mut netlink, world, &|| script.to_owned());
            put_back(&mut netlink, world, &objects);
            drained.meddling.undoing
        };
        let (table, source) = (default("10.0.0.1", va, 0, 100), on_link("10.0.0.0/24", va, "10.0.0.2", 10, MAIN_TABLE));
        let script = "route del default dev va table 100\nrule del from 10.0.0.2 lookup 100\n";
        assert_eq!(told_after(&mut world, script), gone(&[Object::Route(table), rule("10.0.0.2", 100)]));
        let script = "route del 10.0.0.0/24 dev va metric 10\n";
        assert_eq!(told_after(&mut world, script), gone(&[Object::Route(source)]));
        let script = "link set va down\nlink set va up\naddr add 2001:db8::2/64 dev va nodad\n";
        assert_eq!(told_after(&mut world, script), BTreeMap::new());
        let script = "addr del 10.0.0.2/24 dev va\naddr add 10.0.0.2/24 dev va\n";
        assert_eq!(told_after(&mut world, script), BTreeMap::new());
    });
}

#[test]
fn a_foreign_default_goes_with_its_nexthop_object() {
    in_netns(|| {
        two_links();
        ip("nexthop add id 7 via 10.0.0.9 dev va");
        ip("route add default nhid 7 metric 5");
        let (mut netlink, mut world) = open();
        assert_eq!(world.foreign_defaults.len(), 1);
        ip("nexthop del id 7");
        let drained = netlink.drain(&mut world).unwrap();
        assert!(drained.changed && drained.looked_again, "{drained:?}");
        assert!(world.foreign_defaults.is_empty());
    });
}
