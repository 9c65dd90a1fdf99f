//! Addresses to listen on that come later than the daemon does.

use std::process::Command;

use serde_json::Value;

use crate::support::epmd::Place;
use crate::support::{Daemon, Link, Netns, eventually, have};

const NODE: &str = "gw@192.168.1.50";
const PAGE: &str = "[2001:db8::50]:9569";

/// In a namespace whose interface has no address; it listens there, too. Nobody else has ports there.
fn daemon(net: &Netns, place: &Place, flags: &[&str]) -> Result<Daemon, String> {
    let options = Daemon::options(place).inside(net.command("env")).naming("--name", NODE).cookie("early");
    let flags = [&["--listen", "192.168.1.50", "--port", "9200"], flags].concat();
    options.epmd("auto").flags(&flags).env("BEAMROUTE_SECCOMP", "enforce").try_start()
}

/// A command on the other end of the cable.
fn over_there(net: &Netns, program: &str, args: &[&str], place: &Place) -> Command {
    let mut command = net.command_peer(program);
    place.tell(command.args(args)).env("BEAMROUTE_COOKIE", "early");
    command
}

#[test]
fn an_address_that_comes_later_is_reached_then() {
    let Some(net) = Netns::new(&[Link::new("eth0", &[])]) else { return };
    if !have("curl") {
        return;
    }
    net.ip(&["link", "set", "lo", "up"]);
    for address in ["192.168.1.1/24", "2001:db8::1/64"] {
        assert!(net.try_ip_peer(&["addr", "add", address, "dev", "eth0", "nodad"]).status.success());
    }
    let place = Place::free();
    let daemon = daemon(&net, &place, &["--metrics", PAGE]).unwrap_or_else(|log| panic!("{log}"));
    // The node, the embedded epmd, and the page.
    let address = format!("192.168.1.50:{}", place.0);
    for absent in ["192.168.1.50:9200", &address, PAGE] {
        let line =
            daemon.log().lines().find(|line| line.contains(absent) && line.contains("no interface has")).is_some();
        assert!(line, "{absent}: {}", daemon.log());
    }
    let check = || {
        let mut check = net.command(env!("CARGO_BIN_EXE_beamroute"));
        check.args(["check", "--name", NODE, "--listen", "192.168.1.50", "--json"]).env("BEAMROUTE_COOKIE", "early");
        check.env("BEAMROUTE_STATE_DIR", daemon.dir()).env("BEAMROUTE_EPMD", "embedded");
        let all: Value = serde_json::from_slice(&place.tell(&mut check).output().unwrap().stdout).unwrap();
        let listen = all["checks"].as_array().unwrap().iter().find(|check| check["check"] == "listen").unwrap();
        listen["outcome"].as_str().unwrap().to_owned() + ": " + listen["detail"].as_str().unwrap()
    };
    assert_eq!(check(), "warning: no interface has 192.168.1.50 yet: peers reach the node when one has");
    let ping = || over_there(&net, env!("CARGO_BIN_EXE_beamroute"), &["ping", NODE], &place).output().unwrap();
    net.ip(&["addr", "add", "192.168.1.50/24", "dev", "eth0"]);
    net.ip(&["addr", "add", "2001:db8::50/64", "dev", "eth0", "nodad"]);
    assert_eq!(check(), "ok: 192.168.1.50");
    eventually("the node answers", || String::from_utf8_lossy(&ping().stdout).starts_with("pong"));
    let url = format!("http://{PAGE}/metrics");
    let page = || over_there(&net, "curl", &["-gs", "-m", "5", &url], &place).output().unwrap();
    eventually("the page is there", || {
        String::from_utf8_lossy(&page().stdout).contains("beamroute_connections_total 1")
    });
}

#[test]
fn a_port_in_use_is_said_also_where_no_interface_has_the_address() {
    let Some(net) = Netns::new(&[Link::new("eth0", &[])]) else { return };
    net.ip(&["link", "set", "lo", "up"]);
    let place = Place::free();
    let _first = daemon(&net, &place, &[]).unwrap_or_else(|log| panic!("{log}"));
    let Err(log) = daemon(&net, &place, &["--protocol", "111"]) else { panic!("two have one port") };
    assert!(log.contains("cannot listen on 192.168.1.50:9200: Address already in use (os error 98)"), "{log}");
}
