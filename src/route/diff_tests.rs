use super::*;
use crate::route::fixture::{Fixture, connected, default_route, name, on_link, rule};
use crate::route::{Effect, Link, Status, orphans_of};

const LAN: &str = "192.168.1.50/24";
const WLAN: &str = "192.168.2.50/24";

/// One interface with its routes in the kernel.
fn installed() -> Fixture {
    let mut fixture = Fixture::new().link(2, "eth0", &[LAN]).route("eth0", &[LAN], Some("192.168.1.1"));
    fixture.apply();
    fixture
}

#[test]
fn the_connected_route_goes_after_ours_came_and_comes_back_before_ours_goes() {
    let mut fixture = Fixture::new().link(2, "eth0", &[LAN]).route("eth0", &[LAN], None);
    let commands = fixture.commands();
    assert_eq!(commands.len(), 4);
    assert_eq!(commands[3], "ip route del 192.168.1.0/24 dev eth0 proto kernel scope link src 192.168.1.50");
    fixture.apply();
    assert_eq!(fixture.world.connected, BTreeSet::new());
    assert_eq!(fixture.commands(), [""; 0]);
    assert_eq!(fixture.state.clear_route(name("eth0")), Effect::Changed);
    assert_eq!(
        fixture.commands(),
        [
            "ip route append 192.168.1.0/24 dev eth0 proto kernel scope link src 192.168.1.50",
            "ip rule del from 192.168.1.50 lookup 100 priority 30000 protocol 110",
            "ip route del 192.168.1.0/24 dev eth0 table 100 proto 110 scope link src 192.168.1.50",
            "ip route del 192.168.1.0/24 dev eth0 proto 110 metric 50 scope link src 192.168.1.50",
        ]
    );
    fixture.apply();
    assert_eq!(fixture.world.connected, BTreeSet::from([connected(LAN, 2)]));
}

#[test]
fn the_connected_route_does_not_come_back_where_the_kernel_makes_none() {
    for change in ["down", "address", "prefix route"] {
        let mut fixture = installed();
        let address = fixture.world.addresses.pop_first().unwrap();
        match change {
            "down" => {
                fixture.world.addresses.insert(address);
                let down = Link { is_up: false, ..fixture.world.links[&2] };
                fixture.world.links.insert(2, down);
            }
            "prefix route" => {
                fixture.world.addresses.insert(super::super::Address { has_no_prefix_route: true, ..address });
            }
            _ => {}
        }
        assert_eq!(fixture.state.clear_route(name("eth0")), Effect::Changed);
        assert!(fixture.commands().iter().all(|command| !command.contains("kernel")), "{change}");
    }
}

#[test]
fn a_new_status_moves_main_and_leaves_the_table_alone() {
    let mut fixture = installed();
    fixture.set_status("eth0", Status::Internet);
    assert_eq!(
        fixture.commands(),
        [
            "ip route append 192.168.1.0/24 dev eth0 proto 110 metric 10 scope link src 192.168.1.50",
            "ip route append default via 192.168.1.1 dev eth0 proto 110 metric 10",
            "ip route del default via 192.168.1.1 dev eth0 proto 110 metric 50",
            "ip route del 192.168.1.0/24 dev eth0 proto 110 metric 50 scope link src 192.168.1.50",
        ]
    );
}

#[test]
fn another_gateway_comes_before_the_old_one_goes() {
    let mut fixture = installed();
    fixture.set_route("eth0", &[LAN], Some("192.168.1.2"));
    assert_eq!(
        fixture.commands(),
        [
            "ip route append default via 192.168.1.2 dev eth0 table 100 proto 110",
            "ip route append default via 192.168.1.2 dev eth0 proto 110 metric 50",
            "ip route del default via 192.168.1.1 dev eth0 proto 110 metric 50",
            "ip route del default via 192.168.1.1 dev eth0 table 100 proto 110",
        ]
    );
}

#[test]
fn equal_metrics_stand_by_name() {
    let mut fixture = Fixture::new().link(2, "eth0", &[LAN]).link(3, "eth10", &["192.168.1.51/24"]);
    fixture.set_route("eth10", &["192.168.1.51/24"], Some("192.168.1.1"));
    fixture.apply();
    fixture.set_route("eth0", &[LAN], Some("192.168.1.1"));
    // What stands in front stays until all that should be in front of it is there.
    assert_eq!(
        fixture.commands()[2..],
        [
            "ip route append 192.168.1.0/24 dev eth0 proto 110 metric 50 scope link src 192.168.1.50",
            "ip route append default via 192.168.1.1 dev eth0 table 101 proto 110",
            "ip route append default via 192.168.1.1 dev eth0 proto 110 metric 50",
            "ip route del default via 192.168.1.1 dev eth10 proto 110 metric 50",
            "ip route append default via 192.168.1.1 dev eth10 proto 110 metric 50",
            "ip route del 192.168.1.0/24 dev eth10 proto 110 metric 50 scope link src 192.168.1.51",
            "ip route append 192.168.1.0/24 dev eth10 proto 110 metric 50 scope link src 192.168.1.51",
            "ip route del 192.168.1.0/24 dev eth0 proto kernel scope link src 192.168.1.50",
        ]
    );
    let changes = diff(&fixture.world, &fixture.plan(), &BTreeSet::new());
    // Without the one that should be in front, nobody moves behind it.
    let refused = [Change::Add(default_route("192.168.1.1", 2, MAIN_TABLE, 50))];
    let (_, waiting) = changes.deletions_despite(&refused);
    let second = default_route("192.168.1.1", 3, MAIN_TABLE, 50);
    assert_eq!(waiting, [Change::Delete(second), Change::Add(second)]);
    fixture.apply();
    let queue = default_route("192.168.1.1", 2, MAIN_TABLE, 50).queue().unwrap();
    let stands: Vec<Object> = fixture.world.in_order(queue).copied().collect();
    assert_eq!(stands, [2, 3].map(|ifindex| default_route("192.168.1.1", ifindex, MAIN_TABLE, 50)));
    assert_eq!(fixture.commands(), [""; 0]);
}

#[test]
fn an_ipv6_source_is_exchanged_in_place() {
    let mut fixture = Fixture::new().link(2, "eth0", &["fd00::5/64", "fd00::6/64"]);
    fixture.set_route("eth0", &["fd00::5/64"], None);
    fixture.apply();
    fixture.set_route("eth0", &["fd00::6/64"], None);
    assert_eq!(
        fixture.commands(),
        [
            "ip -6 rule add from fd00::6 lookup 100 priority 30000 protocol 110",
            "ip -6 route append fd00::/64 dev eth0 table 100 proto 110 metric 1024 src fd00::6",
            "ip -6 route append fd00::/64 dev eth0 proto 110 metric 50 src fd00::6",
            "ip -6 rule del from fd00::5 lookup 100 priority 30000 protocol 110",
            "ip -6 route del fd00::/64 dev eth0 table 100 proto 110 metric 1024 src fd00::5",
            "ip -6 route del fd00::/64 dev eth0 proto 110 metric 50 src fd00::5",
        ]
    );
}

#[test]
fn a_table_that_passes_to_another_interface_is_emptied_first() {
    let mut fixture = installed().link(3, "wlan0", &[WLAN]);
    assert_eq!(fixture.state.clear_route(name("eth0")), Effect::Changed);
    fixture.set_route("wlan0", &[WLAN], Some("192.168.2.1"));
    let commands = fixture.commands();
    assert_eq!(
        commands[..3],
        [
            "ip rule del from 192.168.1.50 lookup 100 priority 30000 protocol 110",
            "ip route del default via 192.168.1.1 dev eth0 table 100 proto 110",
            "ip route del 192.168.1.0/24 dev eth0 table 100 proto 110 scope link src 192.168.1.50",
        ]
    );
    let of_main = |command: &&String| command.contains("via") && !command.contains("table");
    let main: Vec<&String> = commands.iter().filter(of_main).collect();
    assert!(main[0].contains("append") && main[1].contains("del"), "no gap in main: {main:?}");
}

#[test]
fn orphans_stay_until_their_interface_is_named() {
    let mut fixture = installed().link(3, "wlan0", &[WLAN]);
    fixture.state = crate::route::DesiredState::default();
    fixture.orphans = fixture.world.ours.clone();
    assert_eq!(fixture.commands(), [""; 0]);
    fixture.set_route("wlan0", &[WLAN], None);
    assert!(fixture.commands().iter().all(|command| !command.contains("eth0") && !command.contains("lookup 100")));
    let released = orphans_of(name("eth0"), &[], &fixture.world, &fixture.orphans);
    assert_eq!(released, fixture.orphans);
    // Wanted anew as they are: nothing moves.
    fixture.apply();
    fixture.set_route("eth0", &[LAN], Some("192.168.1.1"));
    fixture.orphans.clear();
    assert_eq!(fixture.commands(), [""; 0]);
}

#[test]
fn what_a_refused_object_was_to_replace_stays() {
    let mut fixture = installed();
    fixture.set_route("eth0", &["192.168.1.50/24", "10.9.9.9/8"], Some("192.168.1.2"));
    fixture.set_status("eth0", Status::Internet);
    let changes = diff(&fixture.world, &fixture.plan(), &BTreeSet::new());
    assert_eq!(changes.deletions_despite(&[]), (changes.deletions.clone(), Vec::new()));
    let failed = [Change::Add(default_route("192.168.1.2", 2, MAIN_TABLE, 10))];
    let (left, waiting) = changes.deletions_despite(&failed);
    assert_eq!(waiting, [Change::Delete(default_route("192.168.1.1", 2, MAIN_TABLE, 50))]);
    assert_eq!(left.len() + 1, changes.deletions.len());
    let failed = [Change::Add(on_link(LAN, 2, 10)), Change::Add(rule("192.168.1.50", 100))];
    assert!(!changes.deletions_despite(&failed).0.contains(&Change::Delete(on_link(LAN, 2, 50))));
    let first = Fixture::new().link(2, "eth0", &[LAN]).route("eth0", &[LAN], None);
    let changes = diff(&first.world, &first.plan(), &BTreeSet::new());
    assert_eq!(changes.deletions, [Change::RemoveConnected(connected(LAN, 2))]);
    assert_eq!(changes.deletions_despite(&[Change::Add(on_link(LAN, 2, 50))]), (Vec::new(), changes.deletions));
}

#[test]
fn the_connected_route_comes_back_only_if_we_removed_it() {
    // Its metric is its own, or someone has deleted it before we came.
    for priority in [600, 0] {
        let mut fixture = Fixture::new().link(2, "eth0", &[LAN]);
        let address = fixture.world.addresses.pop_first().unwrap();
        fixture.world.addresses.insert(super::super::Address { priority, ..address });
        fixture.world.connected.clear();
        fixture.set_route("eth0", &[LAN], None);
        fixture.apply();
        assert_eq!(fixture.state.clear_route(name("eth0")), Effect::Changed);
        assert!(fixture.commands().iter().all(|command| !command.contains("kernel")), "{priority}");
        // After a restart nobody knows any more, and only what the kernel would have comes back.
        fixture.world.adopt_stand_ins();
        assert_eq!(fixture.commands().iter().any(|command| command.contains("kernel")), priority == 0);
    }
}

#[test]
fn the_connected_route_comes_back_with_the_primary_address() {
    let other = "192.168.1.40/24";
    let mut fixture = Fixture::new().link(2, "eth0", &[LAN, other]).route("eth0", &[other], None);
    fixture.apply();
    assert_eq!(fixture.state.clear_route(name("eth0")), Effect::Changed);
    let back = "ip route append 192.168.1.0/24 dev eth0 proto kernel scope link src 192.168.1.50";
    assert_eq!(fixture.commands()[0], back);
    fixture.apply();
    assert_eq!(fixture.world.connected, BTreeSet::from([connected(LAN, 2)]));
    assert_eq!(fixture.world.removed, BTreeSet::new());
}

#[test]
fn the_connected_route_comes_back_also_when_ours_was_taken_away() {
    let mut fixture = installed();
    fixture.world.remove(&on_link(LAN, 2, 50));
    assert_eq!(fixture.state.clear_route(name("eth0")), Effect::Changed);
    fixture.apply();
    assert_eq!(fixture.world.connected, BTreeSet::from([connected(LAN, 2)]));
}
