//! `beamroute status`, `beamroute routes` and `beamroute plan` beside a running daemon.

use std::process::{Command, Output};

use crate::support::{Daemon, Rig, beam::home_with, eventually};

pub(crate) fn ask(rig: &Rig, what: &[&str], cookie: &str) -> Output {
    let home = home_with(cookie);
    let mut command = Command::new(env!("CARGO_BIN_EXE_beamroute"));
    rig.epmd.place().tell(&mut command).env("HOME", home.path()).env_remove("XDG_CONFIG_HOME");
    command.args(what).output().unwrap()
}

pub(crate) fn text(out: &Output) -> String {
    assert!(out.status.success(), "{out:?}");
    String::from_utf8(out.stdout.clone()).unwrap()
}

pub(crate) fn error(out: &Output) -> (Option<i32>, String) {
    (out.status.code(), String::from_utf8(out.stderr.clone()).unwrap())
}

#[test]
fn status_and_routes_as_tables_and_as_json() {
    let Some(rig) = Rig::start() else { return };
    rig.beam.expect(&[
        ("gen_server:call(RM, {set_route, \"eth0\", [{{192,168,1,50}, 24}], {192,168,1,1}}).", "ok"),
        ("gen_server:call(RM, {set_route, \"ppp0\", [{{10,2,2,50}, 32}], {10,2,2,1}}).", "ok"),
        ("gen_server:call(RM, {set_connection_status, \"eth0\", internet, \"ping 8.8.8.8\"}).", "ok"),
    ]);
    let node = ["--node", &rig.daemon.node];
    let of = |what: &[&'static str]| text(&ask(&rig, &[what, &node[..]].concat(), &rig.daemon.cookie));
    let status = of(&["status"]);
    let lines: Vec<_> = status.lines().collect();
    assert_eq!(lines[0], format!("{} is internet", rig.daemon.node));
    let beam = &rig.beam.node;
    let way = "traffic goes by eth0 via 192.168.1.1: ethernet with internet, line 1 of the ranking, metric 10, since ";
    let (before, after) = lines[1].split_once(" s, set by ").unwrap();
    assert!(before.starts_with(way) && after == format!("{beam} (ping 8.8.8.8)"), "{status}");
    for (line, words) in [
        (3, format!("eth0 ethernet internet 1 10 100 up 192.168.1.1 installed {beam} ping 8.8.8.8")),
        (4, format!("ppp0 mobile lan 7 70 101 - 10.2.2.1 pending: no_interface {beam} -")),
        (5, "ppp0: for an interface named ppp0".to_owned()),
    ] {
        let mut rest: Vec<_> = lines[line].split_whitespace().collect();
        // How long ago it was; the last line only loses its verb.
        rest.drain(if line == 5 { 1..2 } else { 3..5 });
        assert_eq!(rest.join(" "), words, "{status}");
    }
    let routes = of(&["routes"]);
    assert!(routes.contains("rule from 192.168.1.50 lookup 100\n"), "{routes}");
    assert!(routes.contains("default via 192.168.1.1 dev eth0 metric 10\n"), "{routes}");
    let json: serde_json::Value = serde_json::from_str(&of(&["status", "--json"])).unwrap();
    assert_eq!(json["interfaces"]["eth0"]["default_gateway"], "192.168.1.1");
    assert_eq!(json["interfaces"]["ppp0"]["install"], serde_json::json!(["pending", "no_interface"]));
    let keys = rig.beam.ok("lists:sort(maps:keys(gen_server:call(RM, status))).");
    let ours: Vec<_> = json.as_object().unwrap().keys().cloned().collect();
    assert_eq!(keys, format!("[{}]", ours.join(",")), "the keys of the status map");
    assert_eq!(serde_json::from_str::<serde_json::Value>(&of(&["routes", "--json"])).unwrap()[0][0], "rule");
    assert_eq!((of(&["plan"]).as_str(), of(&["plan", "--json"]).as_str()), ("nothing to change\n", "[]\n"));
    rig.beam.expect(&[("nodes(connected) =:= [N].", "true")]);
}

#[test]
fn the_plan_of_a_running_node_names_what_the_kernel_has_refused() {
    let Some(rig) = Rig::start() else { return };
    for (address, name) in [("fd00:1::50/64", "eth0"), ("fd00:2::50/64", "wlan0")] {
        rig.net.ip(&["addr", "add", address, "dev", name, "nodad"]);
    }
    let foreign = ["default", "via", "fd00:2::9", "dev", "wlan0", "metric", "50", "proto", "static"];
    rig.net.ip(&[&["-6", "route", "add"][..], &foreign].concat());
    let line = "ip -6 route append default via fd00:1::1 dev eth0 proto 110 metric 50";
    let install = "maps:get(install, maps:get(<<\"eth0\">>, maps:get(interfaces, gen_server:call(RM, status)))).";
    rig.beam.expect(&[
        ("gen_server:call(RM, {set_route, \"eth0\", [{<<\"fd00:1::50\">>, 64}], <<\"fd00:1::1\">>}).", "ok"),
        (install, "{pending,{gateway,eexist}}"),
        (
            "gen_server:call(RM, plan).",
            &format!("[{{{{add,{{default_route,<<\"eth0\">>,{{64768,1,0,0,0,0,0,1}},50,main}}}},<<\"{line}\">>}}]"),
        ),
    ]);
    let of =
        |what: &[&str]| text(&ask(&rig, &[&["plan", "--node", &rig.daemon.node], what].concat(), &rig.daemon.cookie));
    assert_eq!(of(&[]), format!("{line}\n"));
    let change = serde_json::json!(["add", ["default_route", "eth0", "fd00:1::1", 50, "main"]]);
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&of(&["--json"])).unwrap(),
        serde_json::json!([[change, line]])
    );
    rig.net.ip(&[&["-6", "route", "del"][..], &foreign].concat());
    eventually("it is healed", || rig.beam.ok(install) == "installed");
    assert_eq!(of(&[]), "nothing to change\n");
}

#[test]
fn what_goes_wrong_has_a_sentence_and_an_exit_status() {
    let Some(mut rig) = Rig::start() else { return };
    let node = rig.daemon.node.clone();
    let (code, why) = error(&ask(&rig, &["status", "--node", "nobody@127.0.0.1"], &rig.daemon.cookie));
    assert!(code == Some(3) && why.contains("no node of that name"), "{code:?} {why}");
    for what in ["status", "routes", "plan"] {
        let (code, why) = error(&ask(&rig, &[what, "--node", "bad"], &rig.daemon.cookie));
        assert_eq!((code, why.as_str()), (Some(2), "beamroute: --node \"bad\": not a node name: NODE@HOST\n"));
    }
    let (code, why) = error(&ask(&rig, &["status", "--node", &node], "another"));
    assert!(code == Some(6) && why.contains("cookie"), "{code:?} {why}");
    let beam = rig.beam.node.clone();
    let (code, why) = error(&ask(&rig, &["status", "--node", &beam], &rig.daemon.cookie));
    assert!(code == Some(1) && why.contains("noproc"), "{code:?} {why}");
    let (code, _) = error(&ask(&rig, &["status", "--nodes"], &rig.daemon.cookie));
    assert_eq!(code, Some(2));
    Daemon::kill(&mut rig.daemon);
    let (code, _) = error(&ask(&rig, &["status", "--node", &node], &rig.daemon.cookie));
    assert_eq!(code, Some(3));
}
