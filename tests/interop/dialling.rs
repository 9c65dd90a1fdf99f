//! The daemon dials: `--connect NODE` with real `erl` nodes that it finds through epmd.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::daemon::Options;
use crate::support::epmd::Place;
use crate::support::{Beam, Daemon, Epmd, Netns, eventually, have, output, serial, skip};

fn fresh(letter: char, host: &str) -> String {
    format!("{letter}{}x{}@{host}", std::process::id(), serial())
}

/// An `erl` that the daemon is told to connect to, and that has asked to hear of nodes.
fn erl(epmd: &Epmd, daemon: &Options, name: &str, flags: &[&str]) -> Option<Beam> {
    let beam = Beam::named(&epmd.place(), daemon.the_cookie(), "-name", name, flags)?;
    beam.ok("net_kernel:monitor_nodes(true, [{node_type, all}, nodedown_reason]).");
    Some(beam)
}

fn await_nodeup(beam: &Beam, daemon: &Daemon) {
    beam.know(daemon);
    beam.expect(&[
        ("driver:await(15000) =:= {nodeup, N, [{node_type, hidden}]}.", "true"),
        ("nodes(hidden) =:= [N].", "true"),
        ("maps:get(nodes, gen_server:call(RM, status)) =:= [node()].", "true"),
    ]);
}

#[test]
fn connect_dials_an_erl_that_runs() {
    let Some(epmd) = Epmd::start() else { return };
    let Some(net) = Netns::two_interfaces() else { return };
    let name = fresh('d', "127.0.0.1");
    let options = Daemon::options(&epmd.place()).netns(&net).flags(&["--connect", &name]);
    let Some(beam) = erl(&epmd, &options, &name, &[]) else { return };
    let daemon = options.start();
    await_nodeup(&beam, &daemon);
    beam.expect(&[("net_kernel:connect_node(N).", "true"), ("driver:flush().", "[]")]);
    assert!(!daemon.log().contains("\"WARN\""), "nothing to warn of:\n{}", daemon.log());
}

#[test]
fn connect_waits_for_an_erl_that_starts_later_and_comes_back_when_it_is_killed() {
    let Some(epmd) = Epmd::start() else { return };
    let Some(net) = Netns::two_interfaces() else { return };
    let name = fresh('d', "127.0.0.1");
    let options = || Daemon::options(&epmd.place()).netns(&net).flags(&["--connect", &name]).cookie("restartcookie");
    let mut daemon = options().start();
    daemon.await_log("not connected; trying until it is");
    for _ in 0..2 {
        // The daemon may be quicker than anything that the node could ask for.
        let Some(beam) = erl(&epmd, &options(), &name, &[]) else { return };
        beam.know(&daemon);
        eventually("connected", || beam.ok("nodes(hidden) =:= [N].") == "true");
        beam.expect(&[("maps:get(nodes, gen_server:call(RM, status)) =:= [node()].", "true")]);
    }
    let warnings = daemon.log().matches("not connected; trying until it is").count();
    assert!(warnings <= 3, "once each time it goes:\n{}", daemon.log());
    daemon.await_log("connected at last");
    daemon.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(daemon.exit_code(), Some(0), "it stops while it waits for the next attempt");
}

#[test]
fn erl_and_the_daemon_dial_each_other_at_the_same_moment() {
    let Some(epmd) = Epmd::start() else { return };
    let Some(net) = Netns::two_interfaces() else { return };
    // The daemon's name is the smaller one, then the greater one.
    for letter in ['z', 'a'] {
        let name = fresh(letter, "127.0.0.1");
        let options = Daemon::options(&epmd.place()).netns(&net).flags(&["--connect", &name]);
        let Some(beam) = erl(&epmd, &options, &name, &[]) else { return };
        let daemon = options.start();
        await_nodeup(&beam, &daemon);
        for _ in 0..20 {
            // The daemon dials about 200 ms later, and so does the node.
            beam.expect(&[
                ("erlang:disconnect_node(N).", "true"),
                ("{nodedown, N, _} = driver:await(5000), ok.", "ok"),
                ("timer:sleep(140 + rand:uniform(120)), net_kernel:connect_node(N).", "true"),
                ("driver:await(5000) =:= {nodeup, N, [{node_type, hidden}]}.", "true"),
                ("nodes(hidden) =:= [N].", "true"),
                ("maps:get(nodes, gen_server:call(RM, status)) =:= [node()].", "true"),
            ]);
        }
        std::thread::sleep(Duration::from_millis(500));
        beam.expect(&[("driver:flush().", "[]"), ("nodes(hidden) =:= [N].", "true")]);
    }
}

#[test]
fn a_wrong_cookie_is_said_once_and_the_right_one_gets_in() {
    let Some(epmd) = Epmd::start() else { return };
    let Some(net) = Netns::two_interfaces() else { return };
    let name = fresh('d', "127.0.0.1");
    let Some(beam) = Beam::named(&epmd.place(), "another", "-name", &name, &[]) else { return };
    beam.ok("net_kernel:monitor_nodes(true, [{node_type, all}]).");
    let daemon = Daemon::options(&epmd.place()).netns(&net).flags(&["--connect", &name]).start();
    beam.know(&daemon);
    daemon.await_log("not connected; trying until it is");
    std::thread::sleep(Duration::from_secs(1));
    beam.expect(&[("driver:flush().", "[]"), ("nodes(connected).", "[]")]);
    assert_eq!(daemon.log().matches("not connected; trying until it is").count(), 1, "{}", daemon.log());
    beam.expect(&[
        (&format!("erlang:set_cookie(N, '{}').", daemon.cookie), "true"),
        ("driver:await(20000) =:= {nodeup, N, [{node_type, hidden}]}.", "true"),
    ]);
}

#[test]
fn connect_with_short_names() {
    let Some(epmd) = Epmd::start() else { return };
    let Some(net) = Netns::two_interfaces() else { return };
    let host = output(Command::new("hostname").arg("-s")).trim().to_owned();
    let is_loopback = std::net::ToSocketAddrs::to_socket_addrs(&(host.as_str(), 0))
        .is_ok_and(|mut all| all.all(|address| address.ip().is_loopback()));
    if !is_loopback {
        return skip(&format!("the host name {host} does not stand for a loopback address"));
    }
    let (name, short) = (fresh('d', &host), format!("s{}x{}", std::process::id(), serial()));
    let options = Daemon::options(&epmd.place()).netns(&net).naming("--sname", &short).flags(&["--connect", &name]);
    let Some(beam) = Beam::named(&epmd.place(), options.the_cookie(), "-sname", &name, &[]) else { return };
    let daemon = options.start();
    beam.know(&daemon);
    eventually("connected", || beam.ok("nodes(hidden) =:= [N].") == "true");
    for (kind, ours, theirs) in [("--sname", &short[..], "x@a.example"), ("--name", "x@127.0.0.1", "y@short")] {
        let options = Daemon::options(&epmd.place()).netns(&net).naming(kind, ours).flags(&["--connect", theirs]);
        let log = options.try_start().err().expect("a node that can never be reached");
        assert!(log.contains(&format!("connect: {theirs}: a ")), "{log}");
    }
}

#[test]
fn an_erl_over_inet6_tcp_in_both_directions() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        return skip("no IPv6 loopback");
    }
    if !have("erl") {
        return;
    }
    let place = Place::free();
    let Some(net) = Netns::two_interfaces() else { return };
    let name = fresh('d', "::1");
    // The daemon serves epmd, on both loopback addresses.
    let options = Daemon::options(&place).netns(&net).epmd("embedded").naming("--name", &fresh('b', "::1")).flags(&[
        "--listen",
        "::1",
        "--connect",
        &name,
    ]);
    let cookie = options.the_cookie().to_owned();
    let daemon = options.start();
    let flags = ["-proto_dist", "inet6_tcp", "-kernel", "inet_dist_use_interface", "{0,0,0,0,0,0,0,1}"];
    let Some(beam) = Beam::named(&place, &cookie, "-name", &name, &flags) else { return };
    beam.know(&daemon);
    eventually("the daemon has dialled", || beam.ok("nodes(hidden) =:= [N].") == "true");
    beam.expect(&[("maps:get(nodes, gen_server:call(RM, status)) =:= [node()].", "true")]);
    let other = fresh('e', "::1");
    let Some(other) = Beam::named(&place, &cookie, "-name", &other, &flags) else { return };
    other.know(&daemon);
    other.expect(&[("net_adm:ping(N).", "pong")]);
}

#[test]
fn connect_refuses_what_is_no_node_name() {
    for (name, reason) in [("gw", "connect: gw: not a node name"), ("a@h.x", "connect: a@h.x: a long name")] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_beamroute"));
        command.args(["run", "--sname", "x@h", "--connect", name]).env("BEAMROUTE_COOKIE", "secret");
        let out = command.stdin(Stdio::null()).output().unwrap();
        let log = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(5), "{log}");
        assert!(log.contains(reason), "{log}");
    }
}
