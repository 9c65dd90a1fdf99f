//! `beamroute watch`, as lines and in a terminal.

use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Lines, Process, Rig, Site, beam::home_with, eventually, have};

/// `program WORDS`, with the cookie at home.
fn watch(place: crate::support::epmd::Place, cookie: &str, words: &[&str]) -> (Process, Lines, TempDir) {
    let home = home_with(cookie);
    let mut command = Command::new(words[0]);
    place.tell(&mut command).env("HOME", home.path()).env_remove("XDG_CONFIG_HOME").env("TERM", "xterm");
    let mut process = Process::spawn(command.args(&words[1..]).stdin(Stdio::piped()).stdout(Stdio::piped()));
    let lines = Lines::read(process.0.stdout.take().unwrap());
    (process, lines, home)
}

fn signal(child: &Child, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
}

fn code(process: &mut Process) -> Option<i32> {
    eventually("watch ends", || process.0.try_wait().unwrap().is_some());
    process.0.wait().unwrap().code()
}

const PROGRAM: &str = env!("CARGO_BIN_EXE_beamroute");

#[test]
fn lines_tell_how_things_stand_and_what_happens_over_a_restart() {
    let Some(site) = Site::new() else { return };
    let mut daemon = site.start();
    let cookie = daemon.cookie.clone();
    site.beam.expect(&[("Set(eth0, 1).", "ok")]);
    let (mut process, lines, _home) = watch(site.place(), &cookie, &[PROGRAM, "watch", "--node", &site.name]);
    let (mut as_json, objects, _home) =
        watch(site.place(), &cookie, &[PROGRAM, "watch", "--json", "--node", &site.name]);
    let sees = |text: &str| eventually(text, || lines.text().contains(text));
    sees(&format!("Z  {} is there; this is how things stand", site.name));
    sees("Z  eth0: installed\n");
    eventually("so does the other", || objects.text().contains("\"install\":\"installed\""));
    site.beam.expect(&[("gen_server:call(RM, {set_connection_status, eth0, internet}).", "ok")]);
    sees("Z  connection: lan -> internet\n");
    daemon.kill();
    sees("is gone (the connection is lost); its routes stay in the kernel; connecting again\n");
    // Long enough for attempts that find nobody.
    std::thread::sleep(Duration::from_secs(1));
    let _daemon = site.start();
    eventually("it is back", || lines.text().matches("is there;").count() == 2);
    site.beam.expect(&[("Clear(eth0).", "ok")]);
    sees("Z  eth0: forgotten\n");
    assert!(!lines.text().contains('\x1b'), "no colour when piped");
    signal(&process.0, Signal::SIGINT);
    assert_eq!(code(&mut process), Some(0));
    eventually("the same in JSON", || objects.text().contains("\"install\":null"));
    let events: Vec<Value> = objects.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(events.iter().all(|event| event["time_ms"].is_u64() && event["node"] == site.name.as_str()));
    let kinds: Vec<_> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(kinds.first(), Some(&"connected"));
    let gone = kinds.iter().position(|kind| *kind == "gone").unwrap();
    assert_eq!(kinds[gone + 1], "connected", "{kinds:?}");
    signal(&as_json.0, Signal::SIGTERM);
    assert_eq!(code(&mut as_json), Some(0));
}

#[test]
fn whoever_is_not_there_or_refuses_is_named_at_once() {
    let Some(rig) = Rig::start() else { return };
    for (node, cookie, status) in
        [("nobody@127.0.0.1", rig.daemon.cookie.as_str(), 3), (&*rig.daemon.node, "another", 6)]
    {
        let (mut process, lines, _home) = watch(rig.epmd.place(), cookie, &[PROGRAM, "watch", "--node", node]);
        assert_eq!(code(&mut process), Some(status));
        assert_eq!(lines.text(), "");
    }
}

const ENTER: &str = "\x1b[?1049h";
const LEAVE: &str = "\x1b[?1049l";

#[test]
fn the_terminal_is_as_it_was_however_one_leaves() {
    if !have("script") {
        return;
    }
    let Some(rig) = Rig::start() else { return };
    rig.beam.expect(&[("gen_server:call(RM, {set_route, \"eth0\", [{{192,168,1,50}, 24}], {192,168,1,1}}).", "ok")]);
    let pid_file = rig.daemon.dir().join("watch.pid");
    let watch_it = format!("{PROGRAM} watch --node {}", rig.daemon.node);
    let inner = format!("stty -g; sh -c 'echo $$ >{}; exec {watch_it}'; echo status $?; stty -g", pid_file.display());
    // A key, or a signal that comes from elsewhere.
    for leave in [Ok(&b"q"[..]), Ok(&[3]), Err(Signal::SIGTERM), Err(Signal::SIGINT), Err(Signal::SIGHUP)] {
        let words = ["script", "--quiet", "--command", &inner, "/dev/null"];
        let (mut process, lines, _home) = watch(rig.epmd.place(), &rig.daemon.cookie, &words);
        let sees = |text: &str| eventually(text, || lines.text().contains(text));
        sees(ENTER);
        sees("traffic goes by eth0 via 192.168.1.1");
        sees("q leaves");
        match leave {
            Ok(key) => process.0.stdin.as_mut().unwrap().write_all(key).unwrap(),
            Err(signal) => {
                let pid = std::fs::read_to_string(&pid_file).unwrap().trim().parse().unwrap();
                kill(Pid::from_raw(pid), signal).unwrap();
            }
        }
        sees("status 0");
        let after = || {
            let text = lines.text();
            text.split("status 0").nth(1)?.lines().nth(1).map(|line| line.trim().to_owned())
        };
        eventually("stty says how the terminal is", || after().is_some_and(|modes| modes.contains(':')));
        let text = lines.text();
        assert!(text.contains(&format!("\x1b[?25h{LEAVE}")), "{leave:?}: {text:?}");
        assert_eq!(after().as_deref(), text.lines().next().map(str::trim), "{leave:?}");
        drop(process.0.stdin.take());
        assert_eq!(code(&mut process), Some(0));
    }
}
