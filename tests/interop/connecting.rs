//! `net_kernel`, `net_adm` and node monitors.

use crate::support::{Beam, Daemon, Epmd, Netns, Rig};

#[test]
fn net_kernel_connect_node_and_nodes_hidden() {
    let Some(rig) = Rig::start() else { return };
    rig.beam.expect(&[
        ("nodes(connected).", "[]"),
        ("net_kernel:connect_node(N).", "true"),
        ("nodes().", "[]"),
        ("nodes(connected) == [N].", "true"),
        ("nodes(hidden) == [N].", "true"),
        ("net_kernel:connect_node(N).", "true"),
        ("length(nodes(connected)).", "1"),
    ]);
}

#[test]
fn net_adm_ping() {
    let Some(rig) = Rig::start() else { return };
    rig.beam.expect(&[("net_adm:ping(N).", "pong"), ("net_adm:ping(N).", "pong"), ("driver:flush().", "[]")]);
}

#[test]
fn erlang_disconnect_node_and_connect_again() {
    let Some(rig) = Rig::start() else { return };
    rig.beam.expect(&[
        ("net_adm:ping(N).", "pong"),
        ("erlang:monitor_node(N, true).", "true"),
        ("erlang:disconnect_node(N).", "true"),
        ("driver:await(5000) == {nodedown, N}.", "true"),
        ("nodes(connected).", "[]"),
        ("net_adm:ping(N).", "pong"),
        ("nodes(connected) == [N].", "true"),
        ("driver:flush().", "[]"),
    ]);
}

#[test]
fn monitor_node_tells_of_a_killed_daemon() {
    let Some(mut rig) = Rig::start() else { return };
    rig.beam.expect(&[
        ("net_kernel:monitor_nodes(true, [{node_type, hidden}, nodedown_reason]).", "ok"),
        ("net_adm:ping(N).", "pong"),
        ("driver:await(5000) == {nodeup, N, [{node_type, hidden}]}.", "true"),
        ("erlang:monitor_node(N, true).", "true"),
    ]);
    rig.daemon.kill();
    rig.beam.holds(&[
        "lists:sort([driver:await(5000), driver:await(5000)]) == \
         [{nodedown, N}, {nodedown, N, [{nodedown_reason, connection_closed}, {node_type, hidden}]}] orelse driver:flush().",
        "nodes(connected) == [].",
        "net_adm:ping(N) == pang.",
    ]);
}

#[test]
fn net_adm_names_lists_the_node() {
    let Some(rig) = Rig::start() else { return };
    let short = rig.daemon.node.split('@').next().unwrap();
    let port = rig.daemon.port;
    rig.beam.expect(&[(
        &format!("{{ok, Names}} = net_adm:names('127.0.0.1'), lists:keyfind(\"{short}\", 1, Names)."),
        &format!("{{\"{short}\",{port}}}"),
    )]);
    let names = rig.epmd.place().names();
    assert!(names.lines().any(|line| line == format!("name {short} at port {port}")), "{names}");
}

#[test]
fn two_nodes_at_once_are_served_apart() {
    let Some(rig) = Rig::start() else { return };
    let Some(mut other) = Beam::start(&rig.epmd.place(), &rig.daemon.cookie) else { return };
    other.know(&rig.daemon);
    other.expect(&[("net_adm:ping(N).", "pong")]);
    rig.beam.expect(&[("net_adm:ping(N).", "pong")]);
    rig.beam.holds(&[&format!("lists:member('{}', maps:get(nodes, gen_server:call(RM, status))).", other.node)]);
    other.kill();
    rig.beam.expect(&[("net_adm:ping(N).", "pong"), ("nodes(connected) == [N].", "true")]);
    let gone = format!("lists:member('{}', maps:get(nodes, gen_server:call(RM, status))).", other.node);
    crate::support::eventually("the killed node is gone from nodes", || rig.beam.ok(&gone) == "false");
}

#[test]
fn a_node_that_dies_and_comes_back_under_its_name_is_accepted() {
    let Some(rig) = Rig::start() else { return };
    let name = format!("again{}@127.0.0.1", std::process::id());
    for _ in 0..3 {
        let Some(beam) = Beam::named(&rig.epmd.place(), &rig.daemon.cookie, "-name", &name, &[]) else { return };
        beam.know(&rig.daemon);
        beam.expect(&[("net_adm:ping(N).", "pong"), ("nodes(hidden) == [N].", "true")]);
    }
}

#[test]
fn a_frozen_node_dials_again_under_a_new_life_and_gets_in() {
    // Its old connection is up as far as the daemon knows: status `alive`, answered `true`.
    let Some(rig) = Rig::start() else { return };
    let name = format!("frozen{}@127.0.0.1", std::process::id());
    let mut old = crate::support::raw::Raw::connect(&rig.daemon, &name);
    let mut new = crate::support::raw::Raw::dial(&rig.daemon, &name);
    assert_eq!(new.send_name(crate::support::raw::FLAGS), "alive");
    new.send_message(b"strue");
    assert!(new.prove(&rig.daemon.cookie).unwrap());
    assert!(old.is_closed_within(std::time::Duration::from_secs(5)), "the old connection goes");
    new.send(&new.status_call());
    assert!(!new.receive_frame().unwrap().is_empty());
}

#[test]
fn an_attempt_while_alive_that_fails_leaves_the_old_connection() {
    use crate::support::raw::{FLAGS, Raw};
    let Some(rig) = Rig::start() else { return };
    let name = format!("alive{}@127.0.0.1", std::process::id());
    let mut old = Raw::connect(&rig.daemon, &name);
    let mut denied = Raw::dial(&rig.daemon, &name);
    assert_eq!(denied.send_name(FLAGS), "alive");
    denied.send_message(b"sfalse");
    assert!(denied.is_closed_within(std::time::Duration::from_secs(5)));
    let mut wrong = Raw::dial(&rig.daemon, &name);
    assert_eq!(wrong.send_name(FLAGS), "alive");
    wrong.send_message(b"strue");
    assert!(wrong.prove("wrong").is_err(), "a wrong cookie gets no acknowledgement");
    old.send(&old.status_call());
    assert!(!old.receive_frame().unwrap().is_empty(), "the old connection serves");
}

#[test]
fn a_daemon_in_a_namespace_given_by_path() {
    let Some(epmd) = Epmd::start() else { return };
    let Some(net) = Netns::two_interfaces() else { return };
    let daemon = Daemon::options(&epmd.place()).netns_path(&net).start();
    let Some(beam) = Beam::start(&epmd.place(), &daemon.cookie) else { return };
    beam.know(&daemon);
    beam.expect(&[("at_node:set_route(N, eth0, [{\"192.168.1.50\", 24}], \"192.168.1.1\").", "ok")]);
    assert!(
        net.ip(&["route"]).contains("default via 192.168.1.1 dev eth0 proto 110 metric 50"),
        "{}",
        net.ip(&["route"])
    );
}
