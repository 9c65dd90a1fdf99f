//! The unit under a real systemd.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::http::Page;
use crate::machine::Machine;
use crate::moves::{Moves, routes};
use crate::support::readme::blocks;
use crate::support::{eventually, have, repository};

/// Beside the unit: a name, the strictest of filters, metrics, a log that a test can read, and less patience.
const DROP_IN: &str = "[Service]\n\
    Environment=BEAMROUTE_NAME=gw@127.0.0.1 BEAMROUTE_SECCOMP=enforce BEAMROUTE_METRICS=127.0.0.1:9569\n\
    StandardError=append:/tmp/log\n\
    WatchdogSec=2\n";

const COOKIE: &str = "CredentialSecret";

/// Without a package: the binary is where `cargo install` has it.
#[test]
fn the_readmes_lines_install_the_unit() {
    let Some(machine) = Machine::start(Path::new("/")) else { return };
    let bin = machine.path("/root/.cargo/bin");
    fs::create_dir_all(&bin).unwrap();
    fs::copy(env!("CARGO_BIN_EXE_beamroute"), bin.join("beamroute")).unwrap();
    fs::write(machine.path("/root/.erlang.cookie"), COOKIE).unwrap();
    let blocks = blocks("systemd");
    let [(language, lines)] = &blocks[..] else { panic!("one block: {blocks:?}") };
    assert_eq!(language, "sh");
    for line in lines {
        let shown = machine.output("bash", &["-c", &format!("cd '{}' && {line}", repository("").display())]);
        if line.starts_with("systemctl status") {
            assert!(shown.contains("Status: \"0 peers; 0 of 0 routes and rules installed\""), "{shown}");
        }
    }
    assert_eq!([machine.show("ActiveState"), machine.show("UnitFileState")], ["active", "enabled"]);
    let cookie = machine.path("/etc/beamroute/cookie");
    assert_eq!(fs::metadata(cookie).unwrap().permissions().mode() & 0o777, 0o400);
}

/// Why `systemctl` failed, and the log of the service.
fn log(machine: &Machine) -> String {
    fs::read_to_string(machine.path("/tmp/log")).unwrap_or_default()
}

/// An expression on a BEAM beside the service.
fn on_a_beam(machine: &Machine, expression: &str) -> String {
    let script = format!("R = {expression}, io:format(\"~0p\", [R]), halt(0).");
    let args = ["-noinput", "-hidden", "-name", "me@127.0.0.1", "-setcookie", COOKIE, "-eval", &script];
    machine.output("erl", &args)
}

#[test]
fn the_whole_life_of_the_service() {
    if !have("erl") {
        return;
    }
    let Some(machine) = Machine::start(Path::new("/")) else { return };
    machine.install();
    fs::write(machine.path("/etc/systemd/system/beamroute.service.d/test.conf"), DROP_IN).unwrap();
    machine.output("systemctl", &["daemon-reload"]);
    without_a_cookie(&machine);
    started(&machine);
    let set =
        "gen_server:call({route_manager, 'gw@127.0.0.1'}, {set_route, eth0, [{{192,168,1,50},24}], {192,168,1,1}})";
    assert_eq!(on_a_beam(&machine, set), "ok");
    let kept = routes(&machine);
    assert!(kept.contains("default via 192.168.1.1 dev eth0"), "{kept}");
    eventually("the status is told", || machine.show("StatusText").contains("5 of 5 routes and rules installed"));
    reloaded(&machine);
    restarted(&machine, &kept);
    killed_by_the_watchdog(&machine, &kept);
    machine.output("systemctl", &["stop", "beamroute"]);
    assert_eq!([machine.show("ActiveState"), machine.show("Result")], ["inactive", "success"]);
    assert_eq!(routes(&machine), kept, "they stay");
    assert!(!log(&machine).contains(COOKIE), "{}", log(&machine));
}

fn without_a_cookie(machine: &Machine) {
    assert!(!machine.systemctl(&["start", "beamroute"]).status.success());
    assert_eq!([machine.show("ActiveState"), machine.show("ExecMainStatus")], ["failed", "5"]);
    let said = log(machine);
    let sentence = "write the cookie, which all nodes share, into the file of LoadCredential= (/etc/beamroute/cookie)";
    assert!(said.contains(sentence), "{said}");
    assert_eq!(machine.show("NRestarts"), "0", "another try helps nobody");
}

fn started(machine: &Machine) {
    let cookie = machine.path("/etc/beamroute/cookie");
    fs::write(&cookie, COOKIE).unwrap();
    fs::set_permissions(&cookie, fs::Permissions::from_mode(0o400)).unwrap();
    let out = machine.systemctl(&["start", "beamroute"]);
    assert!(out.status.success(), "{}\n{}", String::from_utf8_lossy(&out.stderr), log(machine));
    assert_eq!([machine.show("ActiveState"), machine.show("SubState")], ["active", "running"]);
    assert_eq!(machine.show("StatusText"), "0 peers; 0 of 0 routes and rules installed");
    // All that every thread has left, whoever it is.
    let pid = machine.show("MainPID");
    let tasks = fs::read_dir(machine.path(&format!("/proc/{pid}/task"))).unwrap();
    for task in tasks {
        let status = fs::read_to_string(task.unwrap().path().join("status")).unwrap();
        let of = |key: &str| status.lines().find_map(|line| line.strip_prefix(key)).unwrap().trim().to_owned();
        assert!(!of("Uid:").split_whitespace().any(|uid| uid == "0"), "{status}");
        for set in ["CapPrm:", "CapEff:", "CapBnd:"] {
            assert!(["0000000000001000", "0000000000000000"].contains(&of(set).as_str()), "{status}");
        }
        assert_eq!([of("CapAmb:"), of("CapInh:")], ["0000000000000000"; 2], "{status}");
        assert_eq!([of("NoNewPrivs:"), of("Seccomp:")], ["1", "2"], "{status}");
    }
    let get = "exec 3<>/dev/tcp/127.0.0.1/9569; printf 'GET /metrics HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3";
    let reply = machine.output("bash", &["-c", get]);
    let page = Page::parse(reply.split_once("\r\n\r\n").unwrap().1);
    // Also with a /proc that shows little.
    assert!(page.of("process_resident_memory_bytes") > 1e6 && page.of("process_open_fds") > 3.0, "{page:?}");
    assert_eq!(page.of("process_max_fds"), 8192.0);
    assert!(!log(machine).contains("limit on open files") && !log(machine).contains("WARN"), "{}", log(machine));
}

fn reloaded(machine: &Machine) {
    let file = machine.path("/etc/beamroute/beamroute.toml");
    for (text, is_fine) in [("ranking = [\"*:lan\"]\n", true), ("rankin = []\n", false), ("", true)] {
        fs::write(&file, text).unwrap();
        machine.output("systemctl", &["reload", "beamroute"]);
        eventually("the reload is over", || {
            let is_refused = machine.show("StatusText").contains("/etc/beamroute/beamroute.toml: unknown key rankin");
            machine.show("ActiveState") == "active" && is_refused != is_fine
        });
    }
}

fn restarted(machine: &Machine, kept: &str) {
    let moves = Moves::watch(machine);
    let before = machine.show("MainPID");
    machine.output("systemctl", &["restart", "beamroute"]);
    assert_ne!(machine.show("MainPID"), before);
    assert_eq!(routes(machine), kept);
    eventually("the state is there", || machine.show("StatusText").contains("5 of 5 routes and rules installed"));
    assert_eq!(moves.seen(), [""; 0], "nothing moves");
}

/// It cannot answer while it is stopped; that nobody else feeds it is shown where the owner alone is stuck
/// (`src/service/supervision.rs`).
fn killed_by_the_watchdog(machine: &Machine, kept: &str) {
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(machine.show("NRestarts"), "0", "it was fed");
    let pid = fs::read_link(machine.path(&format!("/proc/{}/ns/pid", machine.show("MainPID")))).unwrap();
    let here = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    let is_it = |of: &i32| {
        let command = fs::read_to_string(format!("/proc/{of}/comm")).unwrap_or_default();
        command == "beamroute\n" && fs::read_link(format!("/proc/{of}/ns/pid")).is_ok_and(|ns| ns == pid)
    };
    let [daemon] = here.filter(is_it).collect::<Vec<i32>>()[..] else { panic!("there is one") };
    kill(Pid::from_raw(daemon), Signal::SIGSTOP).unwrap();
    eventually("it is started again", || machine.show("NRestarts") == "1" && machine.show("ActiveState") == "active");
    assert_eq!(routes(machine), kept);
}
