//! What survives `kill -9`: a real daemon in a private namespace is killed and started again, a real BEAM node looks on.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a panic is how a test fails")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rand::RngExt as _;
use serde_json::Value;
use support::{Monitor, Site, eventually, have, serial, skip};

#[test]
fn nothing_moves_when_the_daemon_is_killed_and_started_again() {
    let Some(site) = Site::new() else { return };
    let mut daemon = site.start();
    site.beam.expect(&[
        ("Set(eth0, 1).", "ok"),
        ("Set(wlan0, 2).", "ok"),
        ("gen_server:call(RM, {set_connection_status, eth0, internet, <<\"first\">>}).", "ok"),
        ("gen_server:call(RM, {set_route, wlan0, [{{192,168,2,50},24}, {{10,3,0,5},16}], {192,168,2,9}}).", "ok"),
        ("gen_server:call(RM, {set_route, eth0, [{{192,168,1,50},24}, {{16#fd00,1,0,0,0,0,0,16#50},64}], {16#fd00,1,0,0,0,0,0,1}}).", "ok"),
        ("Set(<<255,1,\"x\">>, 7).", "ok"),
        ("gen_server:call(RM, {set_metric, wlan0, 3}).", "ok"),
        ("Set(ppp0, 3).", "ok"),
        ("Set(usb0, 4), Clear(ppp0).", "ok"),
        ("maps:get(state, gen_server:call(RM, status)).", "saved"),
        // Changes no route, and is saved all the same.
        ("gen_server:call(RM, {set_connection_status, eth0, internet, <<\"p\\\"ing\\n\"/utf8>>}).", "ok"),
    ]);
    let (status, kernel) = (site.status(), site.kernel());
    assert!(kernel.contains("default via fd00:1::1 dev eth0 table 100 proto 110"), "{kernel}");
    let monitor = Monitor::start(&site.net);
    for _ in 0..3 {
        daemon.kill();
        daemon = site.start();
        assert_eq!(site.status(), status);
        assert_eq!(monitor.since(), Vec::<String>::new(), "{}", daemon.log());
    }
    site.beam.expect(&[
        ("gen_server:call(RM, {get, [<<\"interface\">>, <<\"ppp0\">>, <<\"connection\">>]}).", "disconnected"),
        // The monitor does see what moves.
        ("Clear(wlan0).", "ok"),
    ]);
    assert!(monitor.since().iter().any(|line| line.contains("wlan0")));
}

#[test]
fn what_becomes_of_an_owners_wishes_survives_a_restart() {
    let Some(site) = Site::new() else { return };
    let mut daemon = site.start();
    let policy = "gen_server:call(RM, {set_owner_policy, {clear_after, 1}}).";
    site.beam.expect(&[("Set(eth0, 1).", "ok"), (policy, "ok")]);
    daemon.kill();
    daemon = site.start();
    // It is here again, and stays for now.
    site.beam.expect(&[("I(<<\"eth0\">>, install).", "installed"), ("erlang:disconnect_node(N).", "true")]);
    daemon.await_log("the owner is away; its policy applies");
    eventually("it is cleared", || !site.kernel().contains("proto 110"));
    // It is still its policy at its next absence, also after another restart.
    let owners = "maps:get(owners, gen_server:call(RM, status)) =:= #{node() => {clear_after, 1}}.";
    site.beam.expect(&[("Set(eth0, 1).", "ok"), (owners, "true")]);
    daemon.kill();
    daemon = site.start();
    site.beam.expect(&[(owners, "true"), ("I(<<\"eth0\">>, install).", "installed")]);
    assert!(!daemon.log().contains("the owner is away"), "{}", daemon.log());
    site.beam.ok("erlang:disconnect_node(N).");
    daemon.await_log("the owner is away; its policy applies");
    eventually("it is cleared again", || !site.kernel().contains("proto 110"));
    // Until it is taken back.
    site.beam.expect(&[("gen_server:call(RM, {set_owner_policy, keep}).", "ok")]);
    daemon.kill();
    let _daemon = site.start();
    site.beam.expect(&[("maps:get(owners, gen_server:call(RM, status)).", "#{}")]);
}

#[test]
fn a_recheck_without_a_difference_sends_nothing() {
    let Some(site) = Site::new() else { return };
    let daemon = site.options().flags(&["--recheck", "200ms"]).env("BEAMROUTE_LOG", "debug").start();
    eventually("the BEAM sees the daemon", || site.beam.ok("net_adm:ping(N).") == "pong");
    site.beam.expect(&[("Set(eth0, 1).", "ok"), ("Set(ppp0, 3).", "ok")]);
    let rechecks = || daemon.log().matches("reading everything anew").count();
    let (monitor, before) = (Monitor::start(&site.net), rechecks());
    eventually("three of them", || rechecks() >= before + 3);
    assert_eq!(monitor.since(), Vec::<String>::new(), "{}", daemon.log());
    site.beam.expect(&[("I(<<\"eth0\">>, install).", "installed")]);
}

#[test]
fn what_changed_while_nobody_looked_is_put_right() {
    let Some(site) = Site::new() else { return };
    let mut daemon = site.start();
    site.beam.expect(&[("Set(eth0, 1).", "ok"), ("Set(usb0, 4), Clear(usb0).", "ok")]);
    let kernel = site.kernel();
    daemon.kill();
    site.net.ip(&["route", "del", "default", "dev", "eth0"]);
    site.net.ip(&["rule", "add", "from", "10.7.7.7", "lookup", "100", "pref", "30000", "protocol", "110"]);
    site.net.ip(&["route", "add", "10.8.0.0/16", "dev", "eth0", "proto", "110"]);
    let stranger = "10.9.0.0/16 dev wlan0 proto 110";
    site.net.ip(&["route", "add", "10.9.0.0/16", "dev", "wlan0", "proto", "110"]);
    daemon = site.start();
    // Nothing is known of why wlan0 has a route of ours.
    let left: Vec<String> = site.kernel().lines().filter(|l| !l.starts_with(stranger)).map(str::to_owned).collect();
    assert_eq!(left, kernel.lines().collect::<Vec<_>>(), "{}", daemon.log());
    assert!(site.kernel().contains(stranger));
    let orphaned = site.beam.ok("maps:get(orphaned, gen_server:call(RM, status)).");
    assert!(orphaned.contains("10.9.0.0/16") && !orphaned.contains("eth0"), "{orphaned}");
    site.beam.expect(&[("Clear(wlan0).", "ok"), ("maps:get(orphaned, gen_server:call(RM, status)).", "[]")]);
    assert_eq!(site.kernel(), kernel);
}

/// What a caller may believe of an interface: status, why, and whether it has a route.
type Believed = BTreeMap<&'static str, (&'static str, Option<u64>, bool)>;

/// The same calls as `Run` in the BEAM makes.
fn call(state: &mut Believed, n: u64) {
    let name = ["eth0", "wlan0", "ppp0"][usize::try_from(n % 3).unwrap()];
    if (n / 3) % 4 == 3 {
        state.remove(name);
        return;
    }
    let wish = state.entry(name).or_insert(("lan", None, false));
    match (n / 3) % 4 {
        0 => (wish.0, wish.1) = ("internet", Some(n)),
        1 => wish.2 = true,
        _ => (wish.0, wish.1) = ("lan", Some(n)),
    }
}

const RUN: &str = "Run = fun(From) -> Go = fun(Go, I) -> \
    Third = I rem 3 + 1, If = lists:nth(Third, [<<\"eth0\">>, <<\"wlan0\">>, <<\"ppp0\">>]), \
    Request = case (I div 3) rem 4 of \
        0 -> {set_connection_status, If, internet, integer_to_binary(I)}; \
        1 -> {set_route, If, [{{192,168,Third,50},24}], {192,168,Third,1}}; \
        2 -> {set_connection_status, If, lan, integer_to_binary(I)}; \
        3 -> {clear_route, If} end, \
    case catch gen_server:call(RM, Request) of ok -> Go(Go, I + 1); {'EXIT', _} -> I end end, Go(Go, From) end, ok.";

#[test]
fn every_acknowledged_call_survives_a_kill_at_any_moment() {
    let Some(site) = Site::new() else { return };
    site.beam.ok(RUN);
    let mut daemon = site.start();
    let (mut next, mut believed) = (0, Believed::new());
    for round in 0..30 {
        let pause = Duration::from_micros(rand::rng().random_range(0..40_000));
        let failed = std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(pause);
                daemon.kill();
            });
            site.beam.ok(&format!("Run({next}).")).parse::<u64>().unwrap()
        });
        daemon = site.start();
        (next..failed).for_each(|n| call(&mut believed, n));
        let mut and_one = believed.clone();
        call(&mut and_one, failed);
        let status = site.beam.json("gen_server:call(RM, status)");
        let found = found(&status);
        assert!(
            found == believed || found == and_one,
            "round {round}: {found:?} is neither {believed:?} nor {and_one:?}"
        );
        believed = found;
        next = failed + 1;
        rules_are_right(&site, &status);
        assert_eq!(status["orphaned"], serde_json::json!([]));
    }
    assert!(next > 60, "only {next} calls");
    assert_eq!(site.aside(), Vec::<String>::new());
}

fn found(status: &Value) -> Believed {
    let interfaces = status["interfaces"].as_object().unwrap().iter();
    interfaces
        .map(|(name, wish)| {
            let name = ["eth0", "wlan0", "ppp0"].into_iter().find(|known| known == name).unwrap();
            let reach = ["lan", "internet"].into_iter().find(|known| wish["status"] == **known).unwrap();
            let why = wish["why"].as_str().map(|why| why.parse().unwrap());
            (name, (reach, why, !wish["ip_subnets"].as_array().unwrap().is_empty()))
        })
        .collect()
}

/// The kernel has the rules that are wanted, and no other.
fn rules_are_right(site: &Site, status: &Value) {
    let entries = status["entries"].as_array().unwrap().iter().filter(|entry| entry[0] == "rule");
    let mut wanted: Vec<String> = entries.map(|entry| format!("from {} lookup {}", entry[2], entry[1])).collect();
    let rules = site.net.ip(&["rule"]);
    let mut rules: Vec<String> = rules
        .lines()
        .filter(|line| line.contains("proto 110"))
        .map(|line| line.split_whitespace().skip(1).take(4).collect::<Vec<_>>().join(" "))
        .map(|rule| rule.replace("from ", "from \"").replace(" lookup", "\" lookup"))
        .collect();
    wanted.sort();
    rules.sort();
    assert_eq!(rules, wanted);
}

#[test]
fn a_damaged_file_is_set_aside_and_cuts_nobody_off() {
    let Some(site) = Site::new() else { return };
    let mut daemon = site.start();
    site.beam.expect(&[("Set(eth0, 1).", "ok"), ("Set(wlan0, 2).", "ok")]);
    let kernel = site.kernel();
    daemon.kill();
    let file = site.state_dir().join(journal_name(&site.state_dir()));
    let mut text = fs::read(&file).unwrap();
    let middle = text.len() / 2;
    text[middle] ^= 1;
    fs::write(&file, &text).unwrap();
    daemon = site.start();
    assert_eq!(site.aside().len(), 1);
    assert_eq!(fs::read(site.state_dir().join(&site.aside()[0])).unwrap(), text);
    daemon.await_log(&site.aside()[0]);
    let orphans =
        |count: &str| site.beam.expect(&[("length(maps:get(orphaned, gen_server:call(RM, status))).", count)]);
    let alone = |site: &Site| {
        site.beam.expect(&[("maps:get(interfaces, gen_server:call(RM, status)).", "#{}")]);
        assert_eq!(site.kernel(), kernel);
        orphans("10");
    };
    alone(&site);
    // Nor does the next start, which finds a good file that says nothing.
    daemon.kill();
    daemon = site.start();
    alone(&site);
    site.beam.expect(&[("Set(eth0, 1).", "ok")]);
    assert_eq!(site.kernel(), kernel, "adopted as it is: {}", daemon.log());
    orphans("5");
    daemon.kill();
    daemon = site.start();
    assert_eq!(site.kernel(), kernel, "{}", daemon.log());
    orphans("5");
    site.beam.expect(&[("Clear(wlan0).", "ok")]);
    assert!(!site.kernel().contains("dev wlan0 table 101"));
    orphans("0");
}

#[test]
fn a_refused_call_leaves_what_an_earlier_run_left() {
    let Some(site) = Site::new() else { return };
    let mut daemon = site.start();
    site.beam.expect(&[("Set(eth0, 1).", "ok")]);
    daemon.kill();
    fs::remove_dir_all(site.state_dir()).unwrap();
    let daemon = site.options().flags(&["--max-interfaces", "1"]).start();
    site.beam.expect(&[
        ("net_adm:ping(N).", "pong"),
        ("Set(wlan0, 2).", "ok"),
        ("Set(eth0, 1).", "{error,{too_many_interfaces,1}}"),
        ("gen_server:call(RM, {set_connection_status, wlan0, internet}).", "ok"),
        ("length(maps:get(orphaned, gen_server:call(RM, status))).", "5"),
    ]);
    assert!(site.kernel().contains("default via 192.168.1.1 dev eth0"), "{}", daemon.log());
}

#[test]
fn without_a_place_to_save_routes_are_applied_and_the_caller_is_told() {
    let Some(site) = Site::new() else { return };
    let mut daemon = site.start();
    let again = "gen_server:call(RM, {set_connection_status, <<\"eth0\">>, lan}).";
    site.beam.expect(&[(again, "ok"), (again, "ok"), (again, "ok")]);
    fs::remove_dir_all(site.state_dir()).unwrap();
    fs::write(site.state_dir(), "in the way").unwrap();
    let not_saved = "{error,{not_saved,enotdir}}";
    site.beam.expect(&[
        ("Set(eth0, 1).", not_saved),
        // The first of them is looked at, the others would be answered at once.
        (again, not_saved),
        (again, not_saved),
        ("I(<<\"eth0\">>, install).", "installed"),
        ("maps:get(state, gen_server:call(RM, status)).", "{unsaved,enotdir}"),
        // Also one that changes nothing: the state that it asks for is not saved.
        ("Clear(wlan0).", not_saved),
        ("gen_server:call(RM, refresh_route_metrics).", "ok"),
        ("element(1, element(2, Set(eth0, 0))).", "not_saved"),
        ("Set(eth0, 1).", not_saved),
    ]);
    assert!(site.kernel().contains("default via 192.168.1.1 dev eth0 table 100 proto 110"));
    fs::remove_file(site.state_dir()).unwrap();
    eventually("the state is saved", || site.beam.ok("maps:get(state, gen_server:call(RM, status)).") == "saved");
    let (status, kernel) = (site.status(), site.kernel());
    daemon.kill();
    let _daemon = site.start();
    assert_eq!((site.status(), site.kernel()), (status, kernel));
}

#[test]
fn a_full_disk_is_survived() {
    let Some(site) = Site::new() else { return };
    let works =
        have("unshare") && std::process::Command::new("unshare").args(["-m", "true"]).status().unwrap().success();
    if !works {
        return skip("no private mount namespace without root");
    }
    fs::create_dir(site.state_dir()).unwrap();
    let mount = format!("mount -t tmpfs -o size=16k none {} && exec \"$@\"", site.state_dir().display());
    let daemon = site.options().wrap(&["unshare", "-m", "sh", "-c", &mount, "sh"]).start();
    let inside = PathBuf::from(format!("/proc/{}/root{}", daemon.pid, site.state_dir().display()));
    let why = |letter: char| {
        format!("gen_server:call(RM, {{set_connection_status, eth0, internet, binary:copy(<<\"{letter}\">>, 4000)}}).")
    };
    site.beam.expect(&[("Set(eth0, 1).", "ok")]);
    assert!(fs::write(inside.join("filler"), vec![0; 1 << 20]).is_err());
    site.beam.expect(&[
        (&why('a'), "{error,{not_saved,enospc}}"),
        ("I(<<\"eth0\">>, status).", "internet"),
        ("maps:get(state, gen_server:call(RM, status)).", "{unsaved,enospc}"),
    ]);
    assert!(site.kernel().contains("default via 192.168.1.1 dev eth0 proto 110 metric 10"));
    // What was saved before is still good.
    let text = fs::read_to_string(inside.join(journal_name(&inside))).unwrap();
    assert!(text.ends_with("\n") && text.lines().count() > 1 && !text.contains("aaaa"), "{text}");
    fs::remove_file(inside.join("filler")).unwrap();
    eventually("the state is saved", || site.beam.ok("maps:get(state, gen_server:call(RM, status)).") == "saved");
    assert!(fs::read_to_string(inside.join(journal_name(&inside))).unwrap().contains("aaaa"));
}

fn journal_name(dir: &Path) -> String {
    let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with("routes-110")).min().unwrap()
}

#[test]
fn a_second_daemon_is_refused_and_another_protocol_number_is_not() {
    let Some(site) = Site::new() else { return };
    let mut first = site.start();
    site.beam.expect(&[("Set(eth0, 1).", "ok")]);
    let others = format!("or{}x{}@127.0.0.1", std::process::id(), serial());
    let other = |protocol: &str| {
        let options = site.options().naming("--name", &others);
        options.flags(&["--protocol", protocol, "--rule-priority", "29000"]).try_start()
    };
    let log = other("110").err().unwrap();
    assert!(log.contains(&format!("a beamroute with pid {} already", first.pid)), "{log}");
    let mut second = other("111").unwrap();
    let theirs = format!(
        "gen_server:call({{route_manager, '{others}'}}, {{set_route, wlan0, [{{{{192,168,2,50}},24}}], {{192,168,2,1}}}})."
    );
    site.beam.expect(&[(&theirs, "ok")]);
    let kernel = site.kernel();
    assert!(kernel.contains("dev wlan0 table 101 proto 111"), "{kernel}");
    first.kill();
    second.kill();
    let (_first, _second) = (site.start(), other("111").unwrap());
    assert_eq!(site.kernel(), kernel);
    site.beam.expect(&[
        ("maps:keys(maps:get(interfaces, gen_server:call(RM, status))).", "[<<\"eth0\">>]"),
        (
            &format!("maps:keys(maps:get(interfaces, gen_server:call({{route_manager, '{others}'}}, status)))."),
            "[<<\"wlan0\">>]",
        ),
        ("maps:get(orphaned, gen_server:call(RM, status)).", "[]"),
    ]);
}
