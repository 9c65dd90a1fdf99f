//! Node names: short ones, hosts that map to 127.0.1.1, and names that are refused.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::epmd::Place;
use crate::support::{Beam, Daemon, Epmd, Netns, output, port, skip};

#[test]
fn a_short_name_meets_erl_sname() {
    let Some(epmd) = Epmd::start() else { return };
    let Some(net) = Netns::two_interfaces() else { return };
    let host = output(Command::new("hostname").arg("-s")).trim().to_owned();
    let is_loopback = std::net::ToSocketAddrs::to_socket_addrs(&(host.as_str(), 0))
        .is_ok_and(|mut all| all.all(|address| address.ip().is_loopback()));
    if !is_loopback {
        return skip(&format!("the host name {host} does not stand for a loopback address"));
    }
    let short = format!("s{}", std::process::id());
    let daemon = Daemon::options(&epmd.place()).netns(&net).naming("--sname", &short).start();
    assert_eq!(daemon.node, format!("{short}@{host}"));
    let Some(beam) = Beam::named(&epmd.place(), &daemon.cookie, "-sname", "shorty", &[]) else { return };
    beam.know(&daemon);
    beam.expect(&[
        ("net_adm:ping(N).", "pong"),
        ("net_kernel:longnames().", "false"),
        ("rpc:call(N, erlang, node, []) == N.", "true"),
    ]);
}

#[test]
fn a_host_that_maps_to_127_0_1_1_as_on_debian() {
    // The daemon serves epmd itself, so it must listen there with both.
    let place = Place::free();
    let Some(net) = Netns::two_interfaces() else { return };
    let hosts = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(hosts.path(), "127.0.0.1 localhost\n127.0.1.1 gw.example.test gw\n").unwrap();
    let private = format!("mount --bind {} /etc/hosts", hosts.path().display());
    let mut probe = Command::new("unshare");
    probe.args(["-m", "sh", "-c", &format!("{private} && getent ahostsv4 gw.example.test")]);
    let probe = probe.stdin(Stdio::null()).output().unwrap();
    if !String::from_utf8_lossy(&probe.stdout).contains("127.0.1.1") {
        return skip("no private mount namespace with an /etc/hosts of our own (not root)");
    }
    let daemon = Daemon::options(&place)
        .netns(&net)
        .epmd("auto")
        .naming("--name", "br@gw.example.test")
        .wrap(&["unshare", "-m", "sh", "-c", &format!("{private} && exec \"$@\""), "sh"])
        .start();
    assert_eq!(daemon.node, "br@gw.example.test");
    // A peer dials what its own resolver says: 127.0.1.1. And one that has another idea of the host finds us too.
    for address in ["127.0.1.1", "127.0.0.1"] {
        assert!(std::net::TcpStream::connect((address, daemon.port)).is_ok(), "{address}:{}", daemon.port);
    }
    let inetrc = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(inetrc.path(), "{host, {127,0,1,1}, [\"gw.example.test\", \"gw\"]}.\n{lookup, [file]}.\n").unwrap();
    let config = format!("\"{}\"", inetrc.path().display());
    // OTP asks the epmd of the host, so on 127.0.1.1.
    let Some(beam) = Beam::named(
        &place,
        &daemon.cookie,
        "-name",
        &format!("t{}@127.0.0.1", std::process::id()),
        &["-kernel", "inetrc", &config],
    ) else {
        return;
    };
    beam.know(&daemon);
    beam.expect(&[("inet:getaddr(\"gw.example.test\", inet).", "{ok,{127,0,1,1}}"), ("net_adm:ping(N).", "pong")]);
}

#[test]
fn names_that_mix_long_and_short_are_refused_with_the_reason() {
    let Some(epmd) = Epmd::start() else { return };
    let Some(net) = Netns::two_interfaces() else { return };
    for (kind, name) in
        [("--name", "br@nodots"), ("--sname", "br@gw.example.test"), ("--name", "br@"), ("--name", "@h.x")]
    {
        let log = Daemon::options(&epmd.place()).netns(&net).naming(kind, name).try_start().err();
        let log = log.unwrap_or_else(|| panic!("{kind} {name} must be refused"));
        assert!(log.contains("name"), "{kind} {name}: {log}");
    }
}

#[test]
fn a_second_daemon_for_the_same_namespace_is_refused() {
    let Some(epmd) = Epmd::start() else { return };
    let Some(net) = Netns::two_interfaces() else { return };
    let first = Daemon::options(&epmd.place()).netns(&net).start();
    let log = Daemon::options(&epmd.place()).netns(&net).try_start().err().expect("two daemons on one namespace");
    assert!(log.contains(&first.node) || log.contains(&first.pid.to_string()), "it names the first: {log}");
    // Another protocol number makes it another daemon.
    let _second = Daemon::options(&epmd.place()).netns(&net).flags(&["--protocol", "111"]).start();
}

#[test]
fn no_epmd_and_a_fixed_port() {
    let Some(epmd) = Epmd::start() else { return };
    let Some(net) = Netns::two_interfaces() else { return };
    let port = port::free();
    let daemon = Daemon::options(&epmd.place()).netns(&net).epmd("none").flags(&["--port", &port.to_string()]).start();
    assert_eq!(daemon.port, port);
    assert!(!epmd.place().names().contains(daemon.node.split('@').next().unwrap()));
    let mut raw = crate::support::raw::Raw::connect(&daemon, "noepmd@127.0.0.1");
    raw.send(&raw.status_call());
    assert!(!raw.receive_frame().unwrap().is_empty());
}

#[test]
fn every_flag_is_an_environment_variable_too() {
    let Some(epmd) = Epmd::start() else { return };
    let Some(net) = Netns::two_interfaces() else { return };
    let daemon = Daemon::options(&epmd.place())
        .netns(&net)
        .env("BEAMROUTE_MAX_INTERFACES", "1")
        .env("BEAMROUTE_ADMIN", "all")
        .start();
    let Some(beam) = Beam::start(&epmd.place(), &daemon.cookie) else { return };
    beam.know(&daemon);
    beam.expect(&[
        ("at_node:set_connection_status(N, eth0, lan).", "ok"),
        ("at_node:set_connection_status(N, wlan0, lan).", "{error,{too_many_interfaces,1}}"),
        ("at_node:stop(N).", "ok"),
    ]);
}

#[test]
fn a_configuration_file_with_an_unknown_key_is_refused_with_the_nearest() {
    let Some(epmd) = Epmd::start() else { return };
    let Some(net) = Netns::two_interfaces() else { return };
    let file = tempfile::NamedTempFile::new().unwrap();
    let path: &Path = file.path();
    std::fs::write(path, "max_interface = 3\n").unwrap();
    let log = Daemon::options(&epmd.place()).netns(&net).flags(&["--config", path.to_str().unwrap()]).try_start();
    let log = log.err().expect("an unknown key is refused");
    assert!(log.contains("max_interface") && log.contains("max_interfaces"), "{log}");
    std::fs::write(path, "max_interfaces = 1\n").unwrap();
    let daemon = Daemon::options(&epmd.place()).netns(&net).flags(&["--config", path.to_str().unwrap()]).start();
    let Some(beam) = Beam::start(&epmd.place(), &daemon.cookie) else { return };
    beam.know(&daemon);
    beam.expect(&[
        ("at_node:set_connection_status(N, eth0, lan).", "ok"),
        ("at_node:set_connection_status(N, wlan0, lan).", "{error,{too_many_interfaces,1}}"),
    ]);
}
