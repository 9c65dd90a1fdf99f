//! `[[permission]]` and `--allow`: who may do what, and the log line of what was done.

use std::fs;

use tempfile::TempDir;

use crate::support::{Beam, Daemon, Epmd, Netns, eventually, serial};

const COOKIE: &str = "permitted";
const SET: &str = "{set_route, eth0, [{{192,168,1,50},24}], {192,168,1,1}}";
const NOT_ALLOWED: &str = "{error,not_allowed}";

/// A daemon with this file, and `erl` nodes whose names begin so. Dropped in this order.
struct Site {
    beams: Vec<Beam>,
    daemon: Daemon,
    net: Netns,
    epmd: Epmd,
    _dir: TempDir,
}

impl Site {
    fn start(file: &str, names: &[&str], flags: &[&str]) -> Option<Self> {
        let (epmd, net, dir) = (Epmd::start()?, Netns::two_interfaces()?, tempfile::tempdir().unwrap());
        let path = dir.path().join("beamroute.toml");
        fs::write(&path, file).unwrap();
        let flags = [&["--config", path.to_str().unwrap()], flags].concat();
        let name = format!("p{}x{}@127.0.0.1", std::process::id(), serial());
        let options = Daemon::options(&epmd.place()).netns(&net).naming("--name", &name).cookie(COOKIE);
        let daemon = options.flags(&flags).start();
        let mut beams = Vec::new();
        for name in names {
            let name = format!("{name}{}x{}@127.0.0.1", std::process::id(), serial());
            let beam = Beam::named(&epmd.place(), COOKIE, "-name", &name, &[])?;
            beam.know(&daemon);
            beam.ok("RM = {route_manager, N}.");
            beams.push(beam);
        }
        Some(Self { beams, daemon, net, epmd, _dir: dir })
    }

    fn ours(&self) -> String {
        self.net.ip(&["route", "show", "proto", "110"])
    }
}

const FILE: &str = r#"
[[permission]]
nodes = "ops*@*"
may = ["read", "route", "admin"]
[[permission]]
nodes = ["look*@127.0.0.1", "glance*@*"]
may = "read"
[[permission]]
nodes = "set*@*"
may = ["route"]
[[permission]]
nodes = "none*@*"
may = []
"#;

#[test]
fn the_first_pattern_that_fits_the_callers_node_says_what_it_may() {
    let Some(site) = Site::start(FILE, &["look", "set", "none", "other", "ops"], &[]) else { return };
    let [look, set, none, other, ops] = site.beams.as_slice() else { panic!("five nodes") };
    let before = site.ours();
    let write = format!("gen_server:call(RM, {SET}).");
    for beam in [look, none] {
        beam.expect(&[
            (&write, NOT_ALLOWED),
            ("gen_server:call(RM, {set_connection_status, eth0, internet}).", NOT_ALLOWED),
            ("gen_server:call(RM, refresh_route_metrics).", NOT_ALLOWED),
            ("gen_server:call(RM, {set_owner_policy, keep}).", NOT_ALLOWED),
            ("rpc:call(N, 'Elixir.VintageNet.RouteManager', clear_route, [<<\"eth0\">>]).", NOT_ALLOWED),
            (&format!("gen_server:cast(RM, {SET})."), "ok"),
            ("gen_server:call(RM, stop).", NOT_ALLOWED),
            ("rpc:call(N, net_kernel, set_net_ticktime, [30]).", NOT_ALLOWED),
        ]);
    }
    assert_eq!(site.ours(), before);
    look.expect(&[
        ("is_map(gen_server:call(RM, status)).", "true"),
        ("gen_server:call(RM, subscribe).", "ok"),
        ("rpc:call(N, net_kernel, get_net_ticktime, []).", "60"),
    ]);
    for beam in [set, none] {
        beam.expect(&[
            ("gen_server:call(RM, status).", NOT_ALLOWED),
            ("gen_server:call(RM, plan).", NOT_ALLOWED),
            ("gen_server:call(RM, subscribe).", NOT_ALLOWED),
            ("gen_server:call(RM, {get, [<<\"connection\">>]}).", NOT_ALLOWED),
            // OTP 25 gives the pair as it is.
            ("lists:member(sys:get_state(RM), [not_allowed, {ok, not_allowed}]).", "true"),
            ("rpc:call(N, net_kernel, get_net_ticktime, []).", NOT_ALLOWED),
            // What is wrong is said all the same, and a ping is nobody's secret.
            ("element(1, gen_server:call(RM, dance)).", "error"),
            ("net_adm:ping(N).", "pong"),
        ]);
    }
    set.expect(&[(&write, "ok")]);
    assert_ne!(site.ours(), before);
    other.expect(&[(&write, "ok"), ("is_map(gen_server:call(RM, status)).", "true")]);
    other.expect(&[("gen_server:call(RM, stop).", NOT_ALLOWED)]);
    other.expect(&[("exit(rpc:call(N, erlang, whereis, [route_manager]), kill), net_adm:ping(N).", "pong")]);
    ops.expect(&[("gen_server:call(RM, status) =/= x.", "true"), ("gen_server:call(RM, stop).", "ok")]);
    eventually("the daemon is gone", || ops.ok("net_adm:ping(N).") == "pang");
}

#[test]
fn who_may_only_read_may_not_repeat_what_is_known_either() {
    let Some(site) = Site::start(FILE, &["look", "set"], &[]) else { return };
    let [look, set] = site.beams.as_slice() else { panic!("two nodes") };
    // Names as binaries: these calls are answered without being decoded, if they say what is known.
    let known = "gen_server:call(RM, {set_connection_status, <<\"eth0\">>, internet}).";
    let write = format!("gen_server:call(RM, {SET}).");
    set.expect(&[(&write, "ok"), (known, "ok"), (known, "ok")]);
    let eth0 = || look.ok("maps:get(<<\"eth0\">>, maps:get(interfaces, gen_server:call(RM, status))).");
    let (before, routes) = (eth0(), site.ours());
    assert!(before.contains("internet"), "{before}");
    for (status, why) in [("internet", ""), ("internet", ", <<\"x\">>"), ("lan", "")] {
        let request = format!("{{set_connection_status, <<\"eth0\">>, {status}{why}}}");
        look.expect(&[
            (&format!("gen_server:call(RM, {request})."), NOT_ALLOWED),
            (&format!("rpc:call(N, route_manager, set_connection_status, [<<\"eth0\">>, {status}])."), NOT_ALLOWED),
            (&format!("gen_server:cast(RM, {request})."), "ok"),
        ]);
    }
    // The casts came before this question.
    assert_eq!((eth0(), site.ours()), (before, routes));
}

#[test]
fn nodes_that_are_not_allowed_do_not_get_in() {
    // The flag goes over the file.
    for (flags, answer) in [(&[][..], "pong"), (&["--allow", "127.0.0.9"], "pang")] {
        let Some(site) = Site::start("allow = [\"in@\", \"gw1\"]", &[], flags) else { return };
        let name = format!("in@127.0.0.{}", 2 + serial() % 200);
        let beam = Beam::named(&site.epmd.place(), COOKIE, "-name", &name, &[]).unwrap();
        beam.know(&site.daemon);
        beam.expect(&[("net_adm:ping(N).", answer)]);
    }
}

#[test]
fn every_accepted_change_is_a_line_in_the_log() {
    let Some(site) = Site::start("", &["t"], &[]) else { return };
    let [beam] = site.beams.as_slice() else { panic!("one node") };
    beam.ok(&format!("gen_server:call(RM, {SET})."));
    beam.ok("gen_server:call(RM, {set_connection_status, eth0, internet, <<\"ping\">>}).");
    let accepted = || -> Vec<serde_json::Value> {
        let log = site.daemon.log();
        let lines = log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        lines.map(|line| line["fields"].clone()).filter(|fields| fields["message"] == "accepted").collect()
    };
    eventually("both are told", || accepted().len() == 2);
    // Again changes nothing; a cast does.
    beam.ok(&format!("gen_server:call(RM, {SET})."));
    beam.ok("gen_server:call(RM, {set_connection_status, eth0, up}).");
    beam.ok("gen_server:cast(RM, {clear_route, eth0}), gen_server:call(RM, {get, [<<\"connection\">>]}).");
    eventually("so is the third", || accepted().len() == 3);
    let (node, pid) = (beam.ok("atom_to_list(node())."), beam.ok("pid_to_list(self())."));
    let told = accepted();
    let requests: Vec<&str> = told.iter().filter_map(|line| line["request"].as_str()).collect();
    assert_eq!(
        requests,
        ["set_route eth0 192.168.1.50/24 via 192.168.1.1", "set_connection_status eth0 internet", "clear_route eth0"]
    );
    assert_eq!(told[1]["why"], "ping");
    assert_eq!(told[0]["why"], serde_json::Value::Null);
    for line in &told[..2] {
        assert_eq!(format!("{:?}", line["node"].as_str().unwrap()), node);
        assert!(line["pid"].as_str().unwrap().contains(pid.trim_matches('"').trim_start_matches("<0")), "{line} {pid}");
    }
}
