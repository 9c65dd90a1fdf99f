//! The port mapper: OTP's, which comes and goes, and our own.

use crate::support::epmd::Place;
use crate::support::{Beam, Daemon, Epmd, Netns, Rig, eventually};

#[test]
fn a_killed_epmd_that_comes_back_finds_us_registered_again() {
    for how in ["external", "auto"] {
        let Some(mut epmd) = Epmd::start() else { return };
        let Some(net) = Netns::two_interfaces() else { return };
        let place = epmd.place();
        let daemon = Daemon::options(&place).netns(&net).epmd(how).start();
        let line = format!("name {} at port {}", daemon.node.split('@').next().unwrap(), daemon.port);
        assert!(place.names().contains(&line), "{how}");
        epmd.kill();
        let _again = Epmd::start_at_once(place);
        eventually(how, || place.is_served() && place.names().contains(&line));
        let Some(beam) = Beam::start(&place, &daemon.cookie) else { return };
        beam.know(&daemon);
        beam.expect(&[("net_adm:ping(N).", "pong")]);
    }
}

#[test]
fn connections_outlive_the_epmd() {
    let Some(mut rig) = Rig::start() else { return };
    rig.beam.expect(&[("net_adm:ping(N).", "pong"), ("erlang:monitor_node(N, true).", "true")]);
    rig.epmd.kill();
    rig.beam.expect(&[
        ("gen_server:call(RM, {get, [<<\"connection\">>]}).", "disconnected"),
        ("driver:await(500).", "timeout"),
    ]);
}

#[test]
fn auto_without_an_epmd_serves_it() {
    let Some(net) = Netns::two_interfaces() else { return };
    let place = Place::free();
    let daemon = Daemon::options(&place).netns(&net).epmd("auto").start();
    let short = daemon.node.split('@').next().unwrap().to_owned();
    if !crate::support::have("epmd") {
        return;
    }
    let names = place.names();
    assert!(names.starts_with(&format!("epmd: up and running on port {} with data:", place.0)), "{names}");
    assert!(names.contains(&format!("name {short} at port {}", daemon.port)), "{names}");

    // Other nodes register with us, find each other, and are forgotten when they go.
    let Some(a) = Beam::start(&place, &daemon.cookie) else { return };
    let Some(mut b) = Beam::start(&place, &daemon.cookie) else { return };
    a.know(&daemon);
    a.expect(&[("net_adm:ping(N).", "pong"), (&format!("net_adm:ping('{}').", b.node), "pong")]);
    a.expect(&[("{ok, Names} = net_adm:names('127.0.0.1'), length(Names).", "3")]);
    b.kill();
    eventually("the dead node is gone from epmd", || a.ok("length(element(2, net_adm:names('127.0.0.1'))).") == "2");
}

#[test]
fn a_name_taken_twice_in_the_embedded_epmd_is_refused() {
    let Some(net) = Netns::two_interfaces() else { return };
    let place = Place::free();
    let daemon = Daemon::options(&place).netns(&net).epmd("auto").start();
    if !crate::support::have("erl") {
        return;
    }
    let mut command = std::process::Command::new("erl");
    command.args(["-noshell", "-name", &daemon.node]).args(crate::support::beam::QUIET.split(' '));
    let home = crate::support::beam::home_with(&daemon.cookie);
    let out = place.tell(&mut command).env("HOME", home.path()).args(["-eval", "halt(0)."]).output().unwrap();
    assert!(!out.status.success(), "erl takes a name that is taken");
}

#[test]
fn auto_begins_to_serve_when_the_epmd_it_used_is_gone_for_good() {
    let Some(mut epmd) = Epmd::start() else { return };
    let Some(net) = Netns::two_interfaces() else { return };
    let place = epmd.place();
    let daemon = Daemon::options(&place).netns(&net).epmd("auto").start();
    let line = format!("name {} at port {}", daemon.node.split('@').next().unwrap(), daemon.port);
    epmd.kill();
    eventually("the daemon serves epmd", || place.is_served() && place.names().contains(&line));
}

#[test]
fn external_without_an_epmd_says_that_it_waits_and_registers_when_one_comes() {
    if !crate::support::have("epmd") {
        return;
    }
    let Some(net) = Netns::two_interfaces() else { return };
    let place = Place::free();
    let daemon = Daemon::options(&place).netns(&net).epmd("external").start();
    assert!(daemon.log().contains("epmd"), "the ready line says that it waits: {}", daemon.log());
    // Routes never wait for epmd.
    let mut raw = crate::support::raw::Raw::connect(&daemon, "early@127.0.0.1");
    raw.send(&raw.status_call());
    assert!(!raw.receive_frame().unwrap().is_empty());
    let _epmd = Epmd::start_at(place);
    eventually("registered", || place.names().contains(daemon.node.split('@').next().unwrap()));
}

#[test]
fn a_name_that_another_node_has_is_refused_by_epmd_and_said() {
    let Some(rig) = Rig::start() else { return };
    let Some(net) = Netns::two_interfaces() else { return };
    let log = Daemon::options(&rig.epmd.place()).netns(&net).naming("--name", &rig.daemon.node).try_start();
    // Ready without a registration would be a lie; ending with the reason, or waiting for the name, is not.
    let log = log.map_or_else(|log| log, |daemon| daemon.log());
    assert!(log.contains("epmd") || log.contains("name"), "{log}");
    rig.beam.expect(&[("net_adm:ping(N).", "pong")]);
}
