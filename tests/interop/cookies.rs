//! Wrong cookies, and where the cookie may come from.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::support::raw::{FLAGS, Raw};
use crate::support::{Beam, Daemon, Epmd, Netns, Rig};

#[test]
fn a_node_with_a_wrong_cookie_is_refused_and_the_daemon_serves_on() {
    let Some(rig) = Rig::start() else { return };
    let Some(stranger) = Beam::start(&rig.epmd.place(), "anothercookie") else { return };
    stranger.know(&rig.daemon);
    stranger.expect(&[
        ("net_adm:ping(N).", "pang"),
        ("net_kernel:connect_node(N).", "false"),
        ("nodes(connected).", "[]"),
        ("{badrpc, nodedown} =:= rpc:call(N, erlang, node, []).", "true"),
        (
            "(catch gen_server:call(RM, status)) =:= {'EXIT', {{nodedown, N}, {gen_server, call, [RM, status]}}}.",
            "true",
        ),
    ]);
    rig.beam.expect(&[
        ("net_adm:ping(N).", "pong"),
        ("maps:get(nodes, gen_server:call(RM, status)) =:= [node()].", "true"),
    ]);
    // Told the right one, the same node gets in.
    stranger
        .expect(&[(&format!("erlang:set_cookie(N, '{}').", rig.daemon.cookie), "true"), ("net_adm:ping(N).", "pong")]);
}

#[test]
fn the_daemon_says_nothing_that_depends_on_the_cookie_before_the_dialler_has_proved_it() {
    let Some(rig) = Rig::start() else { return };
    let mut raw = Raw::dial(&rig.daemon, "liar@127.0.0.1");
    assert_eq!(raw.send_name(FLAGS), "ok");
    assert!(raw.prove("wrong").is_err(), "no acknowledgement");
    rig.beam.expect(&[("net_adm:ping(N).", "pong")]);
    rig.daemon.await_log("cookie");
}

#[test]
fn the_daemon_proves_its_cookie_too() {
    let Some(rig) = Rig::start() else { return };
    // `Raw::connect` checks the acknowledgement's digest.
    let mut raw = Raw::connect(&rig.daemon, "careful@127.0.0.1");
    raw.send(&raw.status_call());
    assert!(!raw.receive_frame().unwrap().is_empty());
}

#[test]
fn the_cookie_is_in_no_log_even_at_the_finest_level() {
    let Some(epmd) = Epmd::start() else { return };
    let Some(net) = Netns::two_interfaces() else { return };
    let daemon = Daemon::options(&epmd.place()).netns(&net).env("BEAMROUTE_LOG", "trace").start();
    let Some(beam) = Beam::start(&epmd.place(), &daemon.cookie) else { return };
    beam.know(&daemon);
    beam.expect(&[("net_adm:ping(N).", "pong")]);
    // `Daemon::drop` looks for the cookie in the log of every test.
    assert!(!daemon.log().is_empty());
    let arguments = fs::read(format!("/proc/{}/cmdline", daemon.pid)).unwrap();
    assert!(!String::from_utf8_lossy(&arguments).contains(&daemon.cookie));
}

#[test]
fn a_cookie_file_that_others_may_read_is_refused() {
    let Some(epmd) = Epmd::start() else { return };
    let Some(net) = Netns::two_interfaces() else { return };
    let options = Daemon::options(&epmd.place()).netns(&net).cookie_mode(0o644);
    let log = options.try_start().err().expect("a cookie file open to others is refused");
    assert!(log.contains("cookie"), "{log}");
}

#[test]
fn the_cookie_comes_from_the_environment_or_from_home_and_is_made_when_missing() {
    let Some(epmd) = Epmd::start() else { return };
    let Some(net) = Netns::two_interfaces() else { return };
    {
        let options = Daemon::options(&epmd.place()).netns(&net).no_cookie_file().cookie("FromTheEnvironment");
        let daemon = options.env("BEAMROUTE_COOKIE", "FromTheEnvironment").start();
        drop(Raw::connect(&daemon, "env@127.0.0.1"));
    }
    let mut daemon = Daemon::options(&epmd.place()).netns(&net).no_cookie_file().start();
    let file = daemon.dir().join(".erlang.cookie");
    let mode = fs::metadata(&file).expect("made when missing").permissions().mode();
    assert_eq!(mode & 0o777, 0o400);
    let cookie = fs::read_to_string(&file).unwrap().trim().to_owned();
    assert!(cookie.len() >= 16, "long enough");
    daemon.cookie = cookie;
    drop(Raw::connect(&daemon, "home@127.0.0.1"));
}
