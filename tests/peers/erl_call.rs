//! `erl_call`, which is libei's `ei_rpc` in a program of OTP's own.

use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;

use crate::program::Ground;
use crate::support::{Daemon, Process, have, output, skip, within};

/// What an `erl_call` comes to.
struct Called {
    status: Option<i32>,
    stdout: String,
    stderr: String,
}

fn erl_call(ground: &Ground, arguments: &[&str], stdin: &str) -> Called {
    let mut command = ground.command("erl_call");
    command.args(arguments).args(["-timeout", "20"]);
    let mut child = Process::spawn(command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()));
    let _ = child.0.stdin.take().unwrap().write_all(stdin.as_bytes());
    let stdout = std::io::read_to_string(child.0.stdout.take().unwrap()).unwrap();
    let stderr = std::io::read_to_string(child.0.stderr.take().unwrap()).unwrap();
    Called { status: child.0.wait().unwrap().code(), stdout, stderr }
}

/// `erl_call -a Apply`, which must succeed.
#[track_caller]
fn apply(ground: &Ground, how: &[&str], call: &str) -> String {
    let called = erl_call(ground, &[how, &["-a", call]].concat(), "");
    assert_eq!(called.status, Some(0), "{call}: {}{}", called.stdout, called.stderr);
    called.stdout.trim_end().to_owned()
}

fn ground() -> Option<Ground> {
    have("erl_call").then(Ground::new)?
}

fn quoted(daemon: &Daemon) -> String {
    format!("'{}'", daemon.node)
}

#[test]
fn apply_with_arguments() {
    let Some(ground) = ground() else { return };
    let daemon = ground.daemon(&[]);
    let how = ["-name", &daemon.node];
    for (call, answer) in [
        ("erlang node", quoted(&daemon).as_str()),
        ("erlang node []", quoted(&daemon).as_str()),
        ("route_manager set_route [\"eth0\", [{{192,168,1,50},24}], {192,168,1,1}]", "ok"),
        ("route_manager set_connection_status [eth0, internet, \"checked\"]", "ok"),
        ("route_manager get [[\"connection\"]]", "internet"),
        ("Elixir.VintageNet.RouteManager set_connection_status [eth0, lan]", "ok"),
        (
            "route_manager clear_route [\"a/b\"]",
            "{badrpc, {'EXIT', {badarg, [{route_manager, clear_route, [\"a/b\"], []}]}}}",
        ),
        ("os cmd [\"id\"]", "{badrpc, {'EXIT', {undef, [{os, cmd, [\"id\"], []}]}}}"),
    ] {
        assert_eq!(apply(&ground, &how, call), answer, "{call}");
    }
    assert!(ground.routes().contains("default via 192.168.1.1 dev eth0 proto 110 metric 50"), "{}", ground.routes());
    let status = apply(&ground, &how, "route_manager status");
    assert!(status.contains(&format!("node => {}", quoted(&daemon))), "{status}");
}

#[test]
fn under_a_name_of_its_own_or_a_random_one_by_name_or_address() {
    let Some(ground) = ground() else { return };
    let daemon = ground.daemon(&[]);
    let hidden = |how: &[&str]| apply(&ground, how, "erlang nodes [hidden]");
    assert!(hidden(&["-name", &daemon.node, "-h", "mine"]).starts_with("[mine@"));
    for how in [&["-name", daemon.node.as_str(), "-r"][..], &["-n", &daemon.node]] {
        assert!(hidden(how).starts_with("[c"), "{how:?}");
    }
    let address = format!("127.0.0.1:{}", daemon.port);
    assert_eq!(apply(&ground, &["-address", &address], "erlang node"), quoted(&daemon));
}

#[test]
fn a_short_name() {
    let Some(ground) = ground() else { return };
    let host = output(std::process::Command::new("hostname").arg("-s")).trim().to_owned();
    let is_loopback = std::net::ToSocketAddrs::to_socket_addrs(&(host.as_str(), 0))
        .is_ok_and(|mut all| all.all(|address| address.ip().is_loopback()));
    if !is_loopback {
        return skip(&format!("the host name {host} does not stand for a loopback address"));
    }
    let short = format!("s{}", std::process::id());
    let daemon = ground.options().naming("--sname", &short).start();
    let answer = apply(&ground, &["-sname", &short], "erlang node");
    assert_eq!(answer.trim_matches('\''), daemon.node);
}

#[test]
fn what_would_run_code_on_a_beam_is_undef() {
    let Some(ground) = ground() else { return };
    let daemon = ground.daemon(&[]);
    let evaluated = erl_call(&ground, &["-name", &daemon.node, "-e"], "1 + 1.\n");
    assert!(evaluated.stdout.contains("{undef, [{erl_eval, eval_str, "), "{}{}", evaluated.stdout, evaluated.stderr);
    assert_eq!(apply(&ground, &["-name", &daemon.node], "erlang node"), quoted(&daemon));
}

#[test]
fn halt_is_refused_unless_callers_may() {
    let Some(ground) = ground() else { return };
    let mut daemon = ground.daemon(&[]);
    erl_call(&ground, &["-name", &daemon.node, "-q"], "");
    daemon.await_log("nodedown");
    assert!(!within(Duration::from_millis(500), || !daemon.is_running()), "halted");
    assert_eq!(apply(&ground, &["-name", &daemon.node], "erlang node"), quoted(&daemon));
    daemon.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(daemon.exit_code(), Some(0));
    let mut daemon = ground.daemon(&["--admin", "all"]);
    erl_call(&ground, &["-name", &daemon.node, "-q"], "");
    assert_eq!(daemon.exit_code(), Some(0));
}

#[test]
fn another_cookie_is_refused() {
    let Some(ground) = ground() else { return };
    let daemon = ground.daemon(&[]);
    let called = erl_call(&ground, &["-name", &daemon.node, "-c", "another", "-a", "erlang node"], "");
    assert_eq!(called.status, Some(1), "{}{}", called.stdout, called.stderr);
    daemon.await_log("the peer has another cookie");
}
