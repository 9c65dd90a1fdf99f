use super::*;
use crate::route::fixture::{Fixture, default_route, ip, name, rule};
use crate::route::site::ENETUNREACH;
use crate::route::{Link, MAIN_TABLE, Metric, Status, entries, extra_entries};

const LAN: &str = "192.168.1.50/24";

fn reason(fixture: &Fixture, text: &str) -> Option<Reason> {
    fixture.plan().pending().get(&name(text)).copied()
}

#[test]
fn one_interface_in_the_order_of_addition() {
    let fixture = Fixture::new().link(2, "eth0", &[LAN]).route("eth0", &[LAN], Some("192.168.1.1"));
    assert_eq!(
        fixture.planned(),
        [
            "ip rule add from 192.168.1.50 lookup 100 priority 30000 protocol 110",
            "ip route append 192.168.1.0/24 dev eth0 table 100 proto 110 scope link src 192.168.1.50",
            "ip route append 192.168.1.0/24 dev eth0 proto 110 metric 50 scope link src 192.168.1.50",
            "ip route append default via 192.168.1.1 dev eth0 table 100 proto 110",
            "ip route append default via 192.168.1.1 dev eth0 proto 110 metric 50",
        ]
    );
    assert_eq!(*fixture.plan().pending(), BTreeMap::new());
}

#[test]
fn further_networks_get_an_on_link_route_in_the_table_only() {
    let subnets = [LAN, "192.168.1.51/24", "10.0.0.5/8"];
    let fixture = Fixture::new().link(2, "eth0", &subnets).route("eth0", &subnets, None);
    let plan = fixture.plan();
    assert_eq!(extra_entries(&fixture.state, &Ranking::default()).len(), 1);
    let routes: Vec<String> = fixture.planned().into_iter().filter(|c| c.starts_with("ip route")).collect();
    assert_eq!(
        routes,
        [
            "ip route append 192.168.1.0/24 dev eth0 table 100 proto 110 scope link src 192.168.1.50",
            "ip route append 10.0.0.0/8 dev eth0 table 100 proto 110 scope link src 10.0.0.5",
            "ip route append 192.168.1.0/24 dev eth0 proto 110 metric 50 scope link src 192.168.1.50",
        ]
    );
    assert_eq!(plan.objects().len(), 6);
}

#[test]
fn what_cannot_be_is_pending_and_the_rule_is_there_all_the_same() {
    let mut fixture = Fixture::new().route("eth0", &[LAN], Some("192.168.1.1"));
    let mut wanted = |change: &dyn Fn(&mut World), expected: Option<Reason>, objects| {
        change(&mut fixture.world);
        assert_eq!(reason(&fixture, "eth0"), expected);
        assert_eq!(fixture.plan().objects().len(), objects, "{expected:?}");
        assert_eq!(entries(&fixture.state, &Ranking::default()).len(), 5);
    };
    wanted(&|_| (), Some(Reason::NoInterface), 1);
    let link = Link { name: name("eth0"), is_up: false };
    wanted(&|world| _ = world.links.insert(2, link), Some(Reason::LinkDown), 1);
    wanted(
        &|world| _ = world.links.insert(2, Link { is_up: true, ..link }),
        Some(Reason::NoAddress(ip("192.168.1.50"))),
        1,
    );
    let with_address = Fixture::new().link(2, "eth0", &[LAN]).world;
    wanted(&|world| world.addresses.clone_from(&with_address.addresses), None, 5);
}

#[test]
fn nothing_is_wanted_of_disconnected_or_disabled_interfaces() {
    let mut fixture = Fixture::new().route("eth0", &[LAN], Some("192.168.1.1"));
    let _ = fixture.state.set_metric(name("eth0"), Some(Metric::Disabled)).unwrap();
    let is_empty = |plan: &Plan| plan.objects().is_empty() && plan.pending().is_empty() && plan.tables().len() == 1;
    assert!(is_empty(&fixture.plan()));
    let _ = fixture.state.set_metric(name("eth0"), None).unwrap();
    fixture.set_status("eth0", Status::Disconnected);
    assert!(is_empty(&fixture.plan()));
}

#[test]
fn the_way_to_a_gateway() {
    // Gateway, addresses on the link, subnets of the wish; the flags in the table and in main, or why not.
    let onlink = |table, main| Ok((table, main));
    let missing = Err(Reason::NoAddress(ip("192.168.1.50")));
    for (gateway, link, wish, expected) in [
        ("192.168.1.1", vec![LAN], vec![LAN], onlink(false, false)),
        ("8.8.4.4", vec![LAN], vec![LAN], onlink(true, true)),
        ("10.0.0.1", vec![LAN, "10.0.0.5/8"], vec![LAN], onlink(false, false)),
        ("10.0.0.1", vec![LAN, "10.0.0.5/8"], vec![LAN, "10.0.0.5/8"], onlink(false, false)),
        ("192.168.1.1", vec!["192.168.1.77/24"], vec![LAN], missing),
        // Whatever leads to the gateway, and be it the flag.
        ("8.8.4.4", vec!["192.168.1.77/24"], vec![LAN], missing),
        ("8.8.4.4", vec!["10.0.0.5/8"], vec![LAN, "10.0.0.5/8"], onlink(true, true)),
        ("10.0.0.1", vec!["10.0.0.5/8"], vec![LAN, "10.0.0.5/8"], onlink(false, false)),
        ("fe80::1", vec![LAN], vec!["fd00::5/64"], Err(Reason::NoAddress(ip("fd00::5")))),
        ("192.168.1.1", vec!["10.0.0.5/8"], vec![LAN], missing),
        ("10.64.64.64", vec!["10.64.64.64/32"], vec!["10.64.64.64/32"], onlink(false, false)),
        ("fd00::1", vec![LAN, "fd00::5/64"], vec![LAN], Err(Reason::Gateway(ENETUNREACH))),
        ("192.168.1.1", vec!["fd00::5/64"], vec!["fd00::5/64"], Err(Reason::Gateway(ENETUNREACH))),
        ("fd00::1", vec!["fd00::5/64"], vec!["fd00::5/64"], onlink(false, false)),
        ("fd00:2::1", vec!["fd00::5/64"], vec!["fd00::5/64"], onlink(true, true)),
        ("fe80::1", vec!["fd00::5/64"], vec!["fd00::5/64"], onlink(false, false)),
    ] {
        let fixture = Fixture::new().link(2, "eth0", &link).route("eth0", &wish, Some(gateway));
        let plan = fixture.plan();
        let flags: Vec<bool> = plan
            .objects()
            .iter()
            .filter_map(|object| match object {
                Object::Route(route) if !route.is_on_link() => Some(route.onlink),
                _ => None,
            })
            .collect();
        let found = if let [table, main] = flags[..] { Ok((table, main)) } else { Err(plan.pending()[&name("eth0")]) };
        assert_eq!(found, expected, "{gateway} {link:?} {wish:?}");
        assert_eq!(entries(&fixture.state, &Ranking::default()).len(), wish.len() + 4, "the entries stay");
    }
}

#[test]
fn a_gateway_in_a_further_network_without_a_connected_route_needs_the_flag_in_main_only() {
    let subnets = [LAN, "10.0.0.5/8"];
    let mut fixture = Fixture::new().link(2, "eth0", &subnets).route("eth0", &subnets, Some("10.0.0.1"));
    fixture.world.connected.clear();
    let defaults: Vec<String> = fixture.planned().into_iter().filter(|c| c.contains("default")).collect();
    assert_eq!(
        defaults,
        [
            "ip route append default via 10.0.0.1 dev eth0 table 100 proto 110",
            "ip route append default via 10.0.0.1 dev eth0 proto 110 metric 50 onlink",
        ]
    );
}

#[test]
fn without_ipv6_the_rest_is_there() {
    let subnets = [LAN, "fd00::5/64"];
    let mut fixture = Fixture::new().link(2, "eth0", &subnets).route("eth0", &subnets, Some("192.168.1.1"));
    assert_eq!((fixture.plan().objects().len(), reason(&fixture, "eth0")), (7, None));
    fixture.world.has_ipv6_rules = false;
    assert_eq!((fixture.plan().objects().len(), reason(&fixture, "eth0")), (5, Some(Reason::NoIpv6)));
    fixture.set_route("eth0", &[LAN], Some("fd00::1"));
    assert_eq!((fixture.plan().objects().len(), reason(&fixture, "eth0")), (3, Some(Reason::NoIpv6)));
}

#[test]
fn a_tentative_address_waits() {
    let mut fixture = Fixture::new().link(2, "eth0", &["fd00::5/64"]).route("eth0", &["fd00::5/64"], None);
    let address = fixture.world.addresses.pop_first().unwrap();
    fixture.world.addresses.insert(super::super::Address { is_tentative: true, ..address });
    assert_eq!((fixture.plan().objects().len(), reason(&fixture, "eth0")), (1, Some(Reason::Tentative)));
}

#[test]
fn ipv6_metrics_in_main_rise_strictly_and_skip_the_kernels_own() {
    let mut fixture = Fixture::new();
    for (index, (text, metric)) in
        (1u32..).zip([("eth8", 50), ("eth9", 50), ("eth2", 51), ("eth3", 255), ("eth4", 255), ("eth5", 256)])
    {
        let subnet = format!("fd00:{index}::5/64");
        fixture = fixture.link(index, text, &[&subnet]).route(text, &[&subnet], None);
        let _ = fixture.state.set_metric(name(text), Metric::new(metric)).unwrap();
    }
    // One without IPv6 takes no number, though it stands between the others.
    fixture = fixture.link(9, "eth00", &[LAN]).route("eth00", &[LAN], None);
    let _ = fixture.state.set_metric(name("eth00"), Metric::new(50)).unwrap();
    let plan = fixture.plan();
    let main: Vec<(u32, u32)> = plan
        .objects()
        .iter()
        .filter_map(|object| match object {
            Object::Route(route) if route.table == MAIN_TABLE && route.ifindex != 9 => {
                Some((route.ifindex, route.metric))
            }
            _ => None,
        })
        .collect();
    assert_eq!(main, [(1, 50), (2, 51), (3, 52), (4, 255), (5, 257), (6, 258)]);
    let replaced: BTreeSet<u32> = plan.stand_ins().iter().map(|place| place.ifindex).collect();
    assert_eq!(replaced, [5, 6, 9].into(), "IPv4, and IPv6 beyond the kernel's 256");
}

#[test]
fn one_address_on_two_interfaces_looks_into_the_younger_table_first() {
    let fixture = Fixture::new().route("eth0", &[LAN], None).route("eth1", &[LAN], None);
    assert_eq!(
        fixture.planned(),
        [
            "ip rule add from 192.168.1.50 lookup 101 priority 30000 protocol 110",
            "ip rule add from 192.168.1.50 lookup 100 priority 30000 protocol 110",
        ]
    );
}

#[test]
fn few_objects_have_the_turns_that_they_have_among_many() {
    let mut fixture = Fixture::new();
    fixture.state = DesiredState::new(64);
    for n in 0..64 {
        let (link, address) = (format!("eth{n}"), format!("10.0.{n}.2/24"));
        fixture = fixture.link(2 + n, &link, &[&address]).route(&link, &[&address], Some(&format!("10.0.{n}.1")));
    }
    let plan = fixture.plan();
    let all: BTreeSet<Object> = plan.wanted().copied().collect();
    let strangers = [rule("10.0.0.1", 1), rule("192.0.2.1", 100), default_route("10.0.0.1", 99, MAIN_TABLE, 1)];
    assert!(all.len() == 320 && !strangers.iter().any(|stranger| all.contains(stranger)));
    let alone = all.iter().chain(&strangers).map(|object| BTreeSet::from([*object]));
    let many = [1, 3, 15, 20, 40, 100].map(|step| all.iter().step_by(step).copied().chain(strangers).collect());
    for some in alone.chain(many) {
        let turns = plan.turns_of(&some);
        assert_eq!(turns.len(), some.intersection(&all).count());
        assert!(turns.iter().all(|(turn, object)| plan.wanted.get(object) == Some(turn)));
    }
}
