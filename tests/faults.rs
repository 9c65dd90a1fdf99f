//! What VintageNet 0.13 does wrong, one test a fault: a real daemon in a private namespace must do it right. The README
//! has the same list, under "Where it differs from VintageNet".
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a panic is how a test fails")]

mod support;

use beamroute::netlink::{Config, Netlink};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use support::{Hammer, Link, Site, Talk, eventually, have};

/// Lines of `ip ARGS`, without what is always there.
fn shown(site: &Site, args: &str) -> Vec<String> {
    let text = site.net.ip(&args.split(' ').collect::<Vec<_>>()).replace(" linkdown", "");
    text.lines().map(|line| line.trim().to_owned()).collect()
}

/// The rules that are not the kernel's own, as `SOURCE TABLE`.
fn rules(site: &Site) -> Vec<String> {
    let all = [shown(site, "-4 rule"), shown(site, "-6 rule")].concat();
    let rule = |line: &String| {
        let words: Vec<&str> = line.split_whitespace().collect();
        format!("{} {}", words[2], words[4])
    };
    let mut rules: Vec<String> = all.iter().filter(|line| !line.contains("from all")).map(rule).collect();
    rules.sort();
    rules
}

fn installed(site: &Site, names: &[&str]) {
    for name in names {
        site.beam.expect(&[(&format!("I(<<\"{name}\">>, install)."), "installed")]);
    }
}

const INTERNET: &str = "gen_server:call(RM, {set_connection_status, eth0, internet}).";

#[test]
fn fault_01_equal_metrics_the_second_default_is_there_too() {
    let Some(site) = Site::new() else { return };
    let _daemon = site.start();
    site.beam.expect(&[
        ("Set(wlan0, 2).", "ok"),
        ("Set(eth0, 1).", "ok"),
        ("gen_server:call(RM, {set_metric, wlan0, 50}).", "ok"),
    ]);
    assert_eq!(
        shown(&site, "route show default"),
        [
            "default via 192.168.1.1 dev eth0 proto 110 metric 50",
            "default via 192.168.2.1 dev wlan0 proto 110 metric 50"
        ]
    );
    site.beam.expect(&[("Clear(eth0).", "ok")]);
    assert_eq!(shown(&site, "route show default"), ["default via 192.168.2.1 dev wlan0 proto 110 metric 50"]);
}

#[test]
fn fault_02_equal_metrics_on_one_lan() {
    let Some(site) = Site::with(&[Link::new("eth0", &["192.168.1.50/24"]), Link::new("eth10", &["192.168.1.51/24"])])
    else {
        return;
    };
    let _daemon = site.start();
    let eth10 = "gen_server:call(RM, {set_route, eth10, [{{192,168,1,51},24}], {192,168,1,1}}).";
    site.beam.expect(&[("Set(eth0, 1).", "ok"), (eth10, "ok")]);
    installed(&site, &["eth0", "eth10"]);
    let main = shown(&site, "route show proto 110");
    assert_eq!(main.iter().filter(|line| line.contains("metric 50")).count(), 4, "{main:?}");
    assert_eq!(rules(&site), ["192.168.1.50 100", "192.168.1.51 101"]);
}

#[test]
fn fault_03_ipv6_addresses_are_like_any_other() {
    let Some(site) = Site::new() else { return };
    let _daemon = site.start();
    let both = "gen_server:call(RM, {set_route, eth0, [{{16#fd00,1,0,0,0,0,0,16#50},64}, {{192,168,1,50},24}], {16#fd00,1,0,0,0,0,0,1}}).";
    site.beam.expect(&[("Set(wlan0, 2).", "ok"), (both, "ok")]);
    installed(&site, &["eth0", "wlan0"]);
    assert_eq!(rules(&site), ["192.168.1.50 101", "192.168.2.50 100", "fd00:1::50 101"]);
    assert_eq!(shown(&site, "route show default"), ["default via 192.168.2.1 dev wlan0 proto 110 metric 60"]);
    let v6 = shown(&site, "-6 route show default");
    assert!(v6[0].starts_with("default via fd00:1::1 dev eth0 proto 110 metric 50"), "{v6:?}");
}

#[test]
fn fault_04_an_ipv6_gateway_goes_as_it_came() {
    let Some(site) = Site::new() else { return };
    let _daemon = site.start();
    let before = site.kernel();
    let set = "gen_server:call(RM, {set_route, eth0, [{{16#fd00,1,0,0,0,0,0,16#50},64}], {16#fd00,1,0,0,0,0,0,1}}).";
    site.beam.expect(&[(set, "ok")]);
    assert!(site.kernel().contains("default via fd00:1::1 dev eth0 proto 110"));
    site.beam.expect(&[("Clear(eth0).", "ok")]);
    assert_eq!(site.kernel(), before);
}

#[test]
fn fault_05_nothing_left_behind_is_in_the_way_after_a_restart() {
    let Some(site) = Site::new() else { return };
    let mut daemon = site.start();
    site.beam.expect(&[("Set(eth0, 1).", "ok"), ("Set(wlan0, 2).", "ok")]);
    let kernel = site.kernel();
    for has_state in [true, false] {
        daemon.kill();
        if !has_state {
            std::fs::remove_dir_all(site.state_dir()).unwrap();
        }
        daemon = site.start();
        site.beam.expect(&[("Set(eth0, 1).", "ok"), ("Set(wlan0, 2).", "ok")]);
        installed(&site, &["eth0", "wlan0"]);
        assert_eq!(site.kernel(), kernel, "with a state: {has_state}");
    }
}

#[test]
fn fault_06_tables_hold_their_own_interfaces_default_after_calls_in_another_order() {
    let Some(site) = Site::new() else { return };
    let mut daemon = site.start();
    site.beam.expect(&[("Set(eth0, 1).", "ok"), ("Set(wlan0, 2).", "ok")]);
    for has_state in [true, false] {
        daemon.kill();
        if !has_state {
            std::fs::remove_dir_all(site.state_dir()).unwrap();
        }
        daemon = site.start();
        site.beam.expect(&[("Set(wlan0, 2).", "ok"), ("Set(eth0, 1).", "ok")]);
        for (name, n) in [("eth0", 1), ("wlan0", 2)] {
            let table = site.beam.ok(&format!("I(<<\"{name}\">>, table)."));
            let default = format!("default via 192.168.{n}.1 dev {name} proto 110");
            assert_eq!(
                shown(&site, &format!("route show default table {table}")),
                [default],
                "with a state: {has_state}"
            );
            assert!(rules(&site).contains(&format!("192.168.{n}.50 {table}")));
        }
        assert_eq!(rules(&site).len(), 2);
    }
}

#[test]
fn fault_07_tables_are_freed() {
    let Some(site) = Site::new() else { return };
    let _daemon = site.options().flags(&["--max-interfaces", "8"]).start();
    eventually("the BEAM sees the daemon", || site.beam.ok("net_adm:ping(N).") == "pong");
    // Forty names, one after the other, then eight at once.
    let one = "[begin If = iolist_to_binary([\"tap\", integer_to_list(X)]), ok = Set(If, X), 100 = I(If, table), ok = Clear(If) end || X <- lists:seq(1, 40)], ok.";
    let eight = "lists:usort([Set(iolist_to_binary([\"tap\", integer_to_list(X)]), X) || X <- lists:seq(1, 8)]).";
    site.beam.expect(&[
        (one, "ok"),
        (eight, "[ok]"),
        ("Set(eth0, 1).", "{error,{too_many_interfaces,8}}"),
        ("Clear(tap3).", "ok"),
        ("Set(eth0, 1).", "ok"),
        ("I(<<\"eth0\">>, table).", "102"),
        ("I(<<\"eth0\">>, install).", "installed"),
    ]);
}

#[test]
fn fault_08_the_right_addresss_rule_goes() {
    let Some(site) = Site::new() else { return };
    site.net.ip(&["addr", "add", "192.168.1.51/24", "dev", "eth0"]);
    let _daemon = site.start();
    let set = |hosts: &str| {
        format!("gen_server:call(RM, {{set_route, eth0, [{{{{192,168,1,H}},24}} || H <- {hosts}], {{192,168,1,1}}}}).")
    };
    for (hosts, expected) in [
        ("[50, 51]", &["192.168.1.50 100", "192.168.1.51 100"][..]),
        ("[51]", &["192.168.1.51 100"]),
        ("[51, 50]", &["192.168.1.50 100", "192.168.1.51 100"]),
        ("[50]", &["192.168.1.50 100"]),
    ] {
        site.beam.expect(&[(&set(hosts), "ok")]);
        assert_eq!(rules(&site), expected, "{hosts}");
    }
}

#[test]
fn fault_09_other_peoples_rules_into_our_tables_stay() {
    let Some(site) = Site::new() else { return };
    site.net.ip_batch(
        &[],
        "rule add from 10.1.1.1 lookup 100 pref 100\nrule add from 192.168.1.50 lookup 101 pref 30000\n",
    );
    let mut daemon = site.start();
    for _ in 0..2 {
        site.beam.expect(&[("Set(eth0, 1).", "ok"), ("Set(wlan0, 2).", "ok")]);
        // Their tables are not taken, and they are told why.
        assert_eq!(rules(&site), ["10.1.1.1 100", "192.168.1.50 101", "192.168.1.50 102", "192.168.2.50 103"]);
        let said = "\"in_use\":\"[100, 101]\"";
        eventually("it says so", || {
            daemon.log().lines().any(|line| line.contains(said) && line.contains("\"table\":102"))
        });
        site.beam.expect(&[("Clear(eth0).", "ok"), ("Clear(wlan0).", "ok")]);
        assert_eq!(rules(&site), ["10.1.1.1 100", "192.168.1.50 101"]);
        daemon.kill();
        daemon = site.start();
    }
}

#[test]
fn fault_10_other_peoples_default_routes_stay() {
    let Some(site) = Site::new() else { return };
    let foreign = "default via 192.168.2.9 dev wlan0 proto static metric 50";
    site.net.ip(&["route", "add", "default", "via", "192.168.2.9", "dev", "wlan0", "proto", "static", "metric", "50"]);
    let _daemon = site.start();
    assert_eq!(shown(&site, "route show default"), [foreign]);
    site.beam.expect(&[("Set(eth0, 1).", "ok"), ("Set(wlan0, 2).", "ok"), (INTERNET, "ok")]);
    assert!(shown(&site, "route show default").contains(&foreign.to_owned()));
    site.beam.expect(&[("Clear(eth0).", "ok"), ("Clear(wlan0).", "ok")]);
    assert_eq!(shown(&site, "route show default"), [foreign]);
}

#[test]
fn fault_11_routes_come_back_after_a_flap_and_with_an_address() {
    let Some(site) = Site::new() else { return };
    let daemon = site.options().env("BEAMROUTE_LOG", "debug").start();
    eventually("the BEAM sees the daemon", || site.beam.ok("net_adm:ping(N).") == "pong");
    site.beam.expect(&[("Set(eth0, 1).", "ok")]);
    let ours = || shown(&site, "route show table all proto 110");
    let before = ours();
    assert_eq!(before.len(), 4);
    for (away, back) in [
        ("link set eth0 down\n", "link set eth0 up\n"),
        ("addr del 192.168.1.50/24 dev eth0\n", "addr add 192.168.1.50/24 dev eth0\n"),
    ] {
        site.net.ip_batch(&[], away);
        eventually("they are pending", || site.beam.ok("I(<<\"eth0\">>, install).").starts_with("{pending"));
        assert_eq!(ours(), [""; 0]);
        site.net.ip_batch(&[], back);
        eventually("they are back", || ours() == before);
    }
    // A link that comes up as it went down was expected to.
    let is_foreseen =
        || daemon.log().lines().any(|line| line.contains("as foreseen") && line.contains("a link came up"));
    eventually("what it takes was worked out beforehand", || {
        site.net.ip_batch(&[], "link set eth0 down\n");
        eventually("they are pending", || site.beam.ok("I(<<\"eth0\">>, install).").starts_with("{pending"));
        site.net.ip_batch(&[], "link set eth0 up\n");
        eventually("they are back", || ours() == before);
        is_foreseen()
    });
}

#[test]
fn fault_12_what_cannot_be_installed_yet_is_pending() {
    let Some(site) = Site::new() else { return };
    let mut daemon = site.start();
    site.net.ip(&["link", "set", "wlan0", "down"]);
    site.beam.expect(&[
        ("Set(wlan0, 2).", "ok"),
        ("Set(ppp0, 3).", "ok"),
        ("Set(eth0, 7).", "ok"),
        ("I(<<\"wlan0\">>, install).", "{pending,link_down}"),
        ("I(<<\"ppp0\">>, install).", "{pending,no_interface}"),
        ("I(<<\"eth0\">>, install).", "{pending,{no_address,{192,168,7,50}}}"),
        ("Set(eth0, 1).", "ok"),
        ("I(<<\"eth0\">>, install).", "installed"),
    ]);
    site.net.ip(&["link", "set", "wlan0", "up"]);
    eventually("it heals", || site.beam.ok("I(<<\"wlan0\">>, install).") == "installed");
    assert!(daemon.is_running());
}

#[test]
fn fault_13_a_gateway_outside_the_subnet_works_as_ppp_wants_it() {
    let Some(site) = Site::new() else { return };
    let _daemon = site.start();
    let set = "gen_server:call(RM, {set_route, eth0, [{{10,64,64,64},32}], {192,0,2,1}}).";
    site.beam.expect(&[(set, "ok"), ("I(<<\"eth0\">>, install).", "{pending,{no_address,{10,64,64,64}}}")]);
    assert_eq!(shown(&site, "route show default"), [""; 0]);
    site.net.ip(&["addr", "add", "10.64.64.64/32", "dev", "eth0"]);
    eventually("it heals", || site.beam.ok("I(<<\"eth0\">>, install).") == "installed");
    assert_eq!(shown(&site, "route show default"), ["default via 192.0.2.1 dev eth0 proto 110 metric 50 onlink"]);
}

/// `tests/gap.rs` has all transitions.
#[test]
fn fault_14_a_failover_has_no_moment_without_a_default_route() {
    let Some(site) = Site::new() else { return };
    let daemon = site.options().env("BEAMROUTE_LOG", "debug").start();
    site.beam.expect(&[("Set(eth0, 1).", "ok"), ("Set(wlan0, 2).", "ok")]);
    let hammer = Hammer::start(&site.net, &["198.51.100.1", "198.51.100.2"]);
    hammer.allow(&[&["eth0", "wlan0"], &["eth0", "wlan0"]]);
    let failovers =
        "[gen_server:call(RM, {set_connection_status, wlan0, S}) || _ <- lists:seq(1, 100), S <- [internet, lan]], ok.";
    site.beam.expect(&[(failovers, "ok")]);
    // One by one, most are worked out beforehand.
    let is_foreseen = || daemon.log().lines().any(|line| line.contains("as foreseen") && line.contains("status"));
    eventually("one was foreseen", || {
        for (status, best) in [("internet", "wlan0"), ("lan", "eth0")] {
            site.beam.expect(&[(&format!("gen_server:call(RM, {{set_connection_status, wlan0, {status}}})."), "ok")]);
            assert!(shown(&site, "route show default")[0].contains(best), "{status}");
        }
        is_foreseen()
    });
    hammer.check("over 200 failovers");
}

#[test]
fn fault_15_a_second_subnet_has_its_on_link_route_in_the_table() {
    let Some(site) = Site::new() else { return };
    site.net.ip(&["addr", "add", "10.3.0.5/16", "dev", "eth0"]);
    let _daemon = site.start();
    let set = "gen_server:call(RM, {set_route, eth0, [{{192,168,1,50},24}, {{10,3,0,5},16}], {192,168,1,1}}).";
    site.beam.expect(&[(set, "ok")]);
    let table = shown(&site, "route show table 100");
    assert!(table.contains(&"10.3.0.0/16 dev eth0 proto 110 scope link src 10.3.0.5".to_owned()), "{table:?}");
    let way = shown(&site, "route get 10.3.9.9 from 10.3.0.5");
    assert!(!way[0].contains("via"), "{way:?}");
}

/// `tests/local_networks.rs` has the rest.
#[test]
fn fault_16_bound_traffic_reaches_other_local_networks_if_asked_for() {
    let Some(site) = Site::new() else { return };
    let way = || shown(&site, "route get 192.168.2.7 from 192.168.1.50")[0].clone();
    let mut daemon = site.start();
    site.beam.expect(&[("Set(eth0, 1).", "ok"), ("Set(wlan0, 2).", "ok")]);
    assert!(way().contains("via 192.168.1.1 dev eth0"), "as in VintageNet: {}", way());
    daemon.kill();
    let _daemon = site.options().flags(&["--local-networks-first"]).start();
    assert!(way().contains("dev wlan0") && !way().contains("via"), "{}", way());
}

#[test]
fn fault_17_the_own_lan_stays_reachable() {
    let Some(site) = Site::new() else { return };
    let _daemon = site.start();
    let before = shown(&site, "route show");
    let disconnect = "gen_server:call(RM, {set_connection_status, eth0, disconnected}).";
    for let_go in [disconnect, "Clear(eth0)."] {
        site.beam.expect(&[("Set(eth0, 1).", "ok"), (INTERNET, "ok")]);
        assert_ne!(shown(&site, "route show"), before);
        site.beam.expect(&[(let_go, "ok")]);
        assert_eq!(shown(&site, "route show"), before, "{let_go}");
    }
}

#[test]
fn fault_18_what_someone_deletes_is_repaired() {
    let Some(site) = Site::new() else { return };
    let _daemon = site.start();
    site.beam.expect(&[("Set(eth0, 1).", "ok")]);
    let ours = || [shown(&site, "rule"), shown(&site, "route show table all proto 110")].concat();
    let before = ours();
    for deletion in [
        "rule del from 192.168.1.50",
        "route del default dev eth0",
        "route del default dev eth0 table 100",
        "route del 192.168.1.0/24 dev eth0 table 100",
        "route flush proto 110 table all",
    ] {
        site.net.ip(&deletion.split(' ').collect::<Vec<_>>());
        eventually(deletion, || ours() == before);
    }
    // The kernel deletes the first that fits, and what has no source fits any.
    for imitation in ["192.168.1.0/24 dev eth0 metric 50 proto 110", "192.168.1.0/24 dev eth0 table 100 proto 110"] {
        site.net.ip(&["route", "append"].into_iter().chain(imitation.split(' ')).collect::<Vec<_>>());
        eventually(imitation, || ours() == before);
    }
}

/// The reply comes after the look that follows a deletion which may have hit another route than the one that was meant.
///
/// Our route and its imitation of an earlier run have no wish that explains them. Once a caller wants ours, the imitation is
/// deleted, and the kernel takes ours, which it finds first. The daemon runs when nobody else wants its processor, which is
/// the test's: after the reply it does nothing before the test has looked.
#[test]
fn fault_18_a_reply_waits_for_the_look_after_a_doubtful_deletion() {
    let Some(site) = Site::new() else { return };
    if !have("chrt") || !have("taskset") {
        return;
    }
    let look = || {
        let config = Config { netns: Some(site.net.path()), ..Config::default() };
        Netlink::open(&config).unwrap().1.ours
    };
    let mut first = site.start();
    site.beam.expect(&[("Set(eth0, 1).", "ok")]);
    let wanted = look();
    first.kill();
    std::fs::remove_dir_all(site.state_dir()).unwrap();
    let imitation = "route append 192.168.1.0/24 dev eth0 metric 50 proto 110";
    site.net.ip(&imitation.split(' ').collect::<Vec<_>>());
    assert_eq!(look().len(), wanted.len() + 1);
    let processor = one_processor();
    let daemon = site.options().wrap(&["taskset", "-c", &processor.to_string(), "chrt", "-i", "0"]).start();
    let mut talk = Talk::start(&daemon);
    assert_eq!(look().len(), wanted.len() + 1, "all of it stays until a caller wants it");
    talk.say(
        "{6, Me, '', route_manager} {'$gen_call', {Me, 7}, {set_route, eth0, [{{192,168,1,50},24}], {192,168,1,1}}}",
    );
    talk.hears("{22, _, Me} {7, ok}");
    assert_eq!(look(), wanted);
}

/// Keeps this thread to one of its processors.
fn one_processor() -> usize {
    let us = Pid::from_raw(0);
    let ours = sched_getaffinity(us).unwrap();
    let first = (0..CpuSet::count()).find(|number| ours.is_set(*number).unwrap()).unwrap();
    let mut only = CpuSet::new();
    only.set(first).unwrap();
    sched_setaffinity(us, &only).unwrap();
    first
}

#[test]
fn fault_19_an_invalid_status_changes_nothing() {
    let Some(site) = Site::new() else { return };
    let mut daemon = site.start();
    site.beam.expect(&[("Set(eth0, 1).", "ok"), (INTERNET, "ok")]);
    let (status, kernel) = (site.status(), site.kernel());
    for wrong in ["online", "<<\"internet\">>", "1", "undefined"] {
        let call = format!("element(1, element(2, gen_server:call(RM, {{set_connection_status, eth0, {wrong}}}))).");
        let function = format!(
            "catch rpc:call(N, 'Elixir.VintageNet.RouteManager', set_connection_status, [<<\"eth0\">>, {wrong}])."
        );
        site.beam.expect(&[(&call, "badarg")]);
        assert!(site.beam.ok(&function).contains("badarg"), "{wrong}");
        assert_eq!((site.status(), site.kernel()), (status.clone(), kernel.clone()), "{wrong}");
    }
    assert!(daemon.is_running());
}

#[test]
fn fault_20_prefix_length_zero_is_refused() {
    let Some(site) = Site::new() else { return };
    let _daemon = site.start();
    site.beam.expect(&[("Set(eth0, 1).", "ok")]);
    let (status, kernel) = (site.status(), site.kernel());
    for subnet in ["{{192,168,1,50},0}", "{{16#fd00,1,0,0,0,0,0,16#50},0}"] {
        let call = format!("gen_server:call(RM, {{set_route, eth0, [{subnet}], {{192,168,1,1}}}}).");
        let answer = site.beam.ok(&call);
        assert!(answer.starts_with("{error,{badarg,<<\"") && answer.contains("prefix length 0"), "{answer}");
        assert_eq!((site.status(), site.kernel()), (status.clone(), kernel.clone()));
    }
}

#[test]
fn fault_21_ours_bear_a_mark_of_their_own() {
    let Some(site) = Site::new() else { return };
    let own = ["route", "add", "10.9.0.0/16", "via", "192.168.1.9", "dev", "eth0", "table", "107"];
    site.net.ip(&own);
    let before = site.kernel();
    let _daemon = site.start();
    site.beam.expect(&[("Set(eth0, 1).", "ok"), ("Set(wlan0, 2).", "ok"), (INTERNET, "ok")]);
    let kernel = site.kernel();
    let new: Vec<&str> = kernel.lines().filter(|line| !before.contains(line)).collect();
    assert_eq!(new.len(), 10, "{new:?}");
    assert!(new.iter().all(|line| line.contains("proto 110")), "{new:?}");
    site.beam.expect(&[("Clear(eth0).", "ok"), ("Clear(wlan0).", "ok")]);
    // An administrator's own, `proto boot`, is there.
    assert!(site.kernel().contains("10.9.0.0/16 via 192.168.1.9 dev eth0 table 107"));
}

#[test]
fn fault_22_properties_are_what_they_were_after_a_crash() {
    let Some(site) = Site::new() else { return };
    let mut daemon = site.start();
    site.beam.expect(&[("Set(eth0, 1).", "ok"), ("Set(wlan0, 2).", "ok"), (INTERNET, "ok"), ("Clear(wlan0).", "ok")]);
    let properties = || {
        let get = |property: &str| site.beam.ok(&format!("gen_server:call(RM, {{get, {property}}})."));
        [
            "[<<\"available_interfaces\">>]",
            "[<<\"connection\">>]",
            "[<<\"interface\">>, <<\"eth0\">>, <<\"connection\">>]",
            "[<<\"interface\">>, <<\"wlan0\">>, <<\"connection\">>]",
        ]
        .map(get)
    };
    let before = properties();
    assert_eq!(before, ["[<<\"eth0\">>]", "internet", "internet", "disconnected"]);
    daemon.kill();
    let _daemon = site.start();
    assert_eq!(properties(), before);
}
