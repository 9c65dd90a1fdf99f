//! No gap: while routes change, every look-up is answered, and by the old or the new interface only. Two threads look up
//! as fast as they can, on sockets of their own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a panic is how a test fails")]

mod support;

use std::time::Duration;

use rand::RngExt as _;
use support::{Hammer, Link, Site};

const ETH: &[&str] = &["eth0"];
const WLAN: &[&str] = &["wlan0"];
const BOTH: &[&str] = &["eth0", "wlan0"];

/// One family's addresses: two on `eth0` in one network, one on `wlan0` and on `usb0`.
struct Family {
    /// `{Address, PrefixLength}` of `eth0`, its second address, the first with another length; of `wlan0`, of `usb0`.
    subnets: [&'static str; 5],
    /// Two gateways of `eth0`, those of `wlan0` and `usb0`.
    gateways: [&'static str; 4],
    /// Far away; far away from `eth0`'s first address; in `eth0`'s network, without and with the address; in `wlan0`'s.
    questions: [&'static str; 5],
}

const V4: Family = Family {
    subnets: [
        "{{192,168,1,50},24}",
        "{{192,168,1,51},24}",
        "{{192,168,1,50},25}",
        "{{192,168,2,50},24}",
        "{{192,168,3,50},24}",
    ],
    gateways: ["{192,168,1,1}", "{192,168,1,2}", "{192,168,2,1}", "{192,168,3,1}"],
    questions: [
        "198.51.100.1",
        "198.51.100.1 from 192.168.1.50",
        "192.168.1.7",
        "192.168.1.7 from 192.168.1.50",
        "192.168.2.7",
    ],
};

const V6: Family = Family {
    subnets: [
        "{<<\"fd00:1::50\">>,64}",
        "{<<\"fd00:1::51\">>,64}",
        "{<<\"fd00:1::50\">>,80}",
        "{<<\"fd00:2::50\">>,64}",
        "{<<\"fd00:3::50\">>,64}",
    ],
    gateways: ["<<\"fd00:1::1\">>", "<<\"fd00:1::2\">>", "<<\"fd00:2::1\">>", "<<\"fd00:3::1\">>"],
    questions: ["2001:db8::1", "2001:db8::1 from fd00:1::50", "fd00:1::7", "fd00:1::7 from fd00:1::50", "fd00:2::7"],
};

/// What each question may be answered by, where only the first two are open.
const fn far(links: &'static [&'static str], bound: &'static [&'static str]) -> [&'static [&'static str]; 5] {
    [links, bound, ETH, ETH, WLAN]
}

fn site() -> Option<Site> {
    Site::with(&[
        Link::new("eth0", &["192.168.1.50/24", "192.168.1.51/24", "fd00:1::50/64", "fd00:1::51/64"]),
        Link::new("wlan0", &["192.168.2.50/24", "fd00:2::50/64"]),
        // Always there, never the best: the third that must not answer.
        Link::new("usb0", &["192.168.3.50/24", "fd00:3::50/64"]),
    ])
}

/// Every transition, three times.
fn transitions(site: &Site, family: &Family) {
    let set = |ifname: &str, subnet: usize, gateway: usize| {
        let (subnet, gateway) = (family.subnets[subnet], family.gateways[gateway]);
        format!("gen_server:call(RM, {{set_route, {ifname}, [{subnet}], {gateway}}}).")
    };
    let status =
        |ifname: &str, status: &str| format!("gen_server:call(RM, {{set_connection_status, {ifname}, {status}}}).");
    let metric = |ifname: &str, metric: &str| format!("gen_server:call(RM, {{set_metric, {ifname}, {metric}}}).");
    let mut daemon = site.start();
    for call in [set("usb0", 4, 3), set("wlan0", 3, 2), set("eth0", 0, 0), status("eth0", "internet")] {
        site.beam.expect(&[(&call, "ok")]);
    }
    let hammer = Hammer::start(&site.net, &family.questions);
    hammer.allow(&far(ETH, ETH));
    let call = |call: String, what: &str| {
        site.beam.expect(&[(&call, "ok")]);
        hammer.check(what);
    };
    for _ in 0..3 {
        call(metric("eth0", "3"), "metric change");
        // Behind the kernel's own IPv6 routes, and back.
        for (ifname, number) in [("usb0", "500"), ("wlan0", "400"), ("eth0", "300")] {
            call(metric(ifname, number), "a high metric");
        }
        // Nothing but eth0's own route leads into its network now, and the best default route leads elsewhere.
        // (Bound to an address that has no rule, a packet goes the best way.)
        hammer.allow(&far(BOTH, BOTH));
        call(metric("wlan0", "290"), "failover between high metrics");
        for (subnet, what) in [(1, "another preferred source"), (0, "the first preferred source")] {
            call(set("eth0", subnet, 0), what);
        }
        call(metric("wlan0", "400"), "failover back between high metrics");
        hammer.allow(&far(ETH, ETH));
        for ifname in ["eth0", "wlan0", "usb0"] {
            call(metric(ifname, "default"), "the ranking's metric");
        }
        call(set("eth0", 0, 1), "gateway change");
        call(set("eth0", 0, 0), "gateway change back");
        call(set("eth0", 1, 0), "another address of the same network");
        call(set("eth0", 0, 0), "the first address again");
        call(set("eth0", 2, 0), "subnet change");
        call(set("eth0", 0, 0), "subnet change back");
        hammer.allow(&far(BOTH, ETH));
        call(status("wlan0", "internet"), "another one has the Internet too");
        call(status("eth0", "lan"), "failover");
        hammer.allow(&far(WLAN, ETH));
        hammer.check("after the failover");
        hammer.allow(&far(BOTH, ETH));
        call(status("eth0", "internet"), "failover back");
        hammer.allow(&far(BOTH, BOTH));
        call(status("eth0", "disconnected"), "disconnected");
        hammer.allow(&far(WLAN, WLAN));
        hammer.check("after the disconnect");
        hammer.allow(&far(BOTH, BOTH));
        call(status("eth0", "internet"), "connected again");
        call("Clear(eth0).".to_owned(), "clear");
        hammer.allow(&far(WLAN, WLAN));
        hammer.check("after the clear");
        hammer.allow(&far(BOTH, BOTH));
        call(set("eth0", 0, 0), "set again");
        call(status("eth0", "internet"), "has the Internet again");
        call(status("wlan0", "lan"), "as at first");
        hammer.allow(&far(ETH, ETH));
        hammer.check("as at first");
        daemon.kill();
        hammer.check("kill");
        daemon = site.start();
        hammer.check("start");
    }
    // Killed in the middle of something.
    hammer.allow(&far(BOTH, BOTH));
    for round in 0..12 {
        let pause = Duration::from_micros(rand::rng().random_range(0..4000));
        let calls = format!(
            "spawn(fun() -> [catch gen_server:call(RM, R) || _ <- lists:seq(1, 50), R <- [{{set_connection_status, wlan0, internet}}, \
             {{clear_route, eth0}}, {{set_route, eth0, [{}], {}}}, {{set_connection_status, eth0, internet}}, \
             {{set_connection_status, wlan0, lan}}]] end), ok.",
            family.subnets[0], family.gateways[0]
        );
        site.beam.expect(&[(&calls, "ok")]);
        std::thread::sleep(pause);
        daemon.kill();
        daemon = site.start();
        hammer.check(&format!("killed in the middle, round {round}"));
    }
    hammer.sum_up();
}

#[test]
fn no_transition_has_a_gap_in_ipv4() {
    let Some(site) = site() else { return };
    transitions(&site, &V4);
}

#[test]
fn no_transition_has_a_gap_in_ipv6() {
    let Some(site) = site() else { return };
    transitions(&site, &V6);
}

#[test]
fn sixty_four_interfaces_at_once_have_no_gap() {
    let names: Vec<String> = (0..64).map(|n| format!("eth{n}")).collect();
    let links: Vec<Link> =
        names.iter().enumerate().map(|(n, name)| Link::new(name, &[&format!("10.{n}.0.5/24")])).collect();
    let Some(site) = Site::with(&links) else { return };
    let _daemon = site.start();
    let all = |request: &str, numbers: &str| {
        // All are sent before the first is answered.
        let call = format!(
            "Ids = [gen_server:send_request(RM, {request}) || I <- {numbers}, \
             If <- [list_to_binary(\"eth\" ++ integer_to_list(I))]], \
             lists:usort([gen_server:receive_response(Id, 30000) || Id <- Ids])."
        );
        assert_eq!(site.beam.ok(&format!("(fun() -> {} end)().", call.trim_end_matches('.'))), "[{reply,ok}]");
    };
    all("{set_route, If, [{{10,I,0,5},24}], {10,I,0,1}}", "lists:seq(0, 63)");
    let bound: Vec<String> = (0..64).map(|n| format!("198.51.100.1 from 10.{n}.0.5")).collect();
    let lan: Vec<String> = (0..64).map(|n| format!("10.{n}.0.9")).collect();
    let questions: Vec<&str> =
        ["198.51.100.1", "198.51.100.2"].into_iter().chain(bound.iter().chain(&lan).map(String::as_str)).collect();
    let own: Vec<[&str; 1]> = names.iter().map(|name| [name.as_str()]).collect();
    // The first two by `best`, each bound one by its own link (or, when that is cleared, by `bound`), each network by its link.
    let allow = |hammer: &Hammer, best: &[&str], bound: &[&str]| {
        let own = || own.iter().map(|name| &name[..]);
        let either: Vec<Vec<&str>> = own().map(|own| [own, bound].concat()).collect();
        let answers: Vec<&[&str]> =
            [best, best].into_iter().chain(either.iter().map(Vec::as_slice)).chain(own()).collect();
        hammer.allow(&answers);
    };
    let hammer = Hammer::start(&site.net, &questions);
    for _ in 0..3 {
        // In this order eth0 is the best at every moment.
        allow(&hammer, &["eth0"], &[]);
        all("{set_connection_status, If, internet}", "lists:seq(0, 63)");
        hammer.check("64 have the Internet");
        all("{set_connection_status, If, lan}", "lists:seq(63, 0, -1)");
        hammer.check("64 have lost it");
        all("{set_route, If, [{{10,I,0,5},24}], {10,I,0,2}}", "lists:seq(0, 63)");
        hammer.check("64 have other gateways");
        allow(&hammer, &["eth0", "eth10"], &["eth0", "eth10"]);
        all("{clear_route, If}", "lists:seq(0, 63) -- [10]");
        hammer.check("63 are cleared");
        allow(&hammer, &["eth10"], &["eth10"]);
        hammer.check("eth10 is left");
        allow(&hammer, &["eth0", "eth10"], &["eth0", "eth10"]);
        all("{set_route, If, [{{10,I,0,5},24}], {10,I,0,1}}", "lists:seq(0, 63)");
        hammer.check("64 are back");
    }
    hammer.sum_up();
}
