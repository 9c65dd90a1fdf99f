//! `beamroute demo` as its users run it: as root and not, with a BEAM and without, to its end and not.
//!
//! The "host" of each test is a network namespace of the test's own, so that nothing else changes it meanwhile.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

#[allow(dead_code)]
mod netns;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Lines};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use tempfile::TempDir;

/// Which way packets go, in the order of the story.
const WAYS: [&str; 6] = [
    "no route",
    "answered through 192.168.1.1 on eth0",
    "answered through 192.168.1.1 on eth0",
    "no answer in 300 ms",
    "answered through 10.0.0.1 on wlan0",
    "answered through 192.168.1.1 on eth0",
];

#[test]
fn without_a_beam_our_own_client_calls() {
    on_a_host(|| {
        let (nothing, before) = (TempDir::new().unwrap(), host());
        let output = demo(&[]).env("PATH", nothing.path()).output().unwrap();
        check_story(&output, "beamroute's own client");
        assert_eq!(host(), before);
    });
}

/// The build for users takes minutes; in its place stands the one that all tests have.
#[test]
fn the_script_builds_it_and_plays() {
    on_a_host(|| {
        let (bin, target) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let cargo = bin.path().join("cargo");
        let ours = env!("CARGO_BIN_EXE_beamroute");
        let builds = format!(
            "#!/bin/sh\n[ \"$*\" = 'build --locked --release' ] && mkdir {0}/release && ln -s {ours} {0}/release/beamroute\n",
            target.path().display()
        );
        fs::write(&cargo, builds).unwrap();
        fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755)).unwrap();
        let path = format!("{}:/usr/bin:/bin", bin.path().display());
        let mut script = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/demo"));
        script.args(["--client", "own"]).env("PATH", path).env("CARGO_TARGET_DIR", target.path()).stdin(Stdio::null());
        let mut output = script.output().unwrap();
        let said = "Building beamroute (the first time takes some minutes) ...\n";
        assert_eq!(text(&output.stderr), said);
        output.stderr.clear();
        check_story(&output, "beamroute's own client");
    });
}

#[test]
fn a_beam_that_does_not_start_is_done_without() {
    on_a_host(|| {
        let bin = TempDir::new().unwrap();
        std::os::unix::fs::symlink("/bin/false", bin.path().join("erl")).unwrap();
        check_story(&demo(&[]).env("PATH", bin.path()).output().unwrap(), "beamroute's own client (erl did not start");
        let output = demo(&["--client", "erl"]).env("PATH", bin.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).starts_with("beamroute demo: erl as the client: did not start as a node"));
    });
}

#[test]
fn erl_calls() {
    if !is_installed("erl") {
        return netns::skip("erl is not installed");
    }
    on_a_host(|| {
        let before = host();
        check_story(&demo(&["--client", "erl"]).output().unwrap(), "erl (OTP ");
        assert_eq!(host(), before);
    });
}

#[test]
fn elixir_calls_when_it_is_there() {
    if !is_installed("iex") {
        return netns::skip("Elixir is not installed");
    }
    on_a_host(|| {
        let before = host();
        let output = demo(&[]).env("ERL_AFLAGS", "-setcookie wrong").output().unwrap();
        check_story(&output, "Elixir 1.");
        assert!(text(&output.stdout).contains("GenServer.call(rm, {:set_connection_status, \"eth0\", :lan})  :ok"));
        assert_eq!(host(), before);
    });
}

#[test]
fn without_root() {
    let program = Unprivileged::new();
    let probe = program.command("unshare").args(["--user", "--net", "true"]).output().unwrap();
    if !probe.status.success() {
        return netns::skip("users may not make namespaces here");
    }
    let output = program.command(&program.beamroute()).arg("demo").output().unwrap();
    check_story(&output, "");
    assert_eq!(program.left_in_home(), BTreeSet::new(), "the user's own cookie is not touched");
}

#[test]
fn where_namespaces_are_forbidden_one_line_says_what_to_do() {
    // A user namespace that allows no further ones, and in it no capabilities.
    let program = Unprivileged::new();
    let inside = "echo 0 > /proc/sys/user/max_user_namespaces && exec setpriv --bounding-set=-all \"$0\" demo";
    let mut command = program.command("unshare");
    command.args(["--user", "--map-root-user", "sh", "-c", inside, &program.beamroute()]);
    let output = command.output().unwrap();
    let error = text(&output.stderr);
    if !error.contains("beamroute") {
        return netns::skip(&format!("such a place cannot be made here: {error}"));
    }
    assert_eq!(output.status.code(), Some(4), "{error}");
    assert!(error.contains("max_user_namespaces") && error.lines().count() == 1, "{error}");
    assert_eq!(text(&output.stdout), "");
}

#[test]
fn keep_leaves_a_node_that_the_printed_line_reaches() {
    if !is_installed("erl") {
        return netns::skip("erl is not installed");
    }
    on_a_host(|| {
        let (home, before) = (TempDir::new().unwrap(), host());
        let mut kept = Kept::start(&["--keep", "--client", "own"], home.path());
        let line = kept.line_with(" erl -hidden ");
        let call = "io:format(\"~p\", [gen_server:call({route_manager, 'beamroute_demo@127.0.0.1'}, \
                    {set_connection_status, \"eth0\", disconnected})]), halt().";
        kept.line_with("What changes");
        let pasted = format!("{line} -noinput -eval \"$CALL\"");
        let erl = Command::new("sh").args(["-c", &pasted]).env("CALL", call).env("HOME", home.path()).output().unwrap();
        assert_eq!(text(&erl.stdout), "ok", "{pasted}\n{}", text(&erl.stderr));
        assert!(kept.line_with("=>").ends_with(" ms"));
        assert!(kept.seen.iter().any(|line| line.contains("- ip route default via 192.168.1.1 dev eth0 proto 110")));
        assert!(kept.seen.last().unwrap().contains("answered through 10.0.0.1 on wlan0"), "{:?}", kept.seen);
        let cookie = fs::metadata(home.path().join(".erlang.cookie")).unwrap();
        assert_eq!(cookie.mode() & 0o777, 0o400);
        kept.signal(Signal::SIGTERM);
        assert_eq!(kept.child.wait().unwrap().code(), Some(0));
        assert_eq!(host(), before);
    });
}

#[test]
fn nothing_outlives_a_killed_demo() {
    let client = if is_installed("erl") { "erl" } else { "own" };
    on_a_host(move || {
        let (home, before) = (TempDir::new().unwrap(), host());
        let mut kept = Kept::start(&["--keep", "--client", client], home.path());
        kept.line_with("What changes");
        let children = children_of(kept.child.id());
        assert_eq!(children.len(), usize::from(client == "erl"));
        kept.signal(Signal::SIGKILL);
        kept.child.wait().unwrap();
        let until = Instant::now() + Duration::from_secs(20);
        while children.iter().any(|pid| is_running(*pid)) {
            assert!(Instant::now() < until, "the client still runs");
            thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(host(), before);
    });
}

#[test]
fn interrupted_it_ends_at_once_and_fails() {
    on_a_host(|| {
        let home = TempDir::new().unwrap();
        let mut kept = Kept::start(&["--client", "own"], home.path());
        kept.line_with("3  The Internet is lost");
        kept.signal(Signal::SIGINT);
        assert_eq!(kept.child.wait().unwrap().code(), Some(1));
    });
}

fn demo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_beamroute"));
    command.arg("demo").args(arguments);
    command
}

fn check_story(output: &Output, client: &str) {
    let (story, errors) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{story}{errors}");
    assert_eq!(errors, "");
    assert!(!story.contains('\x1b'), "{story}");
    assert!(story.contains(&format!("over the distribution by {client}")), "{story}");
    let ways: Vec<_> = story.lines().filter_map(|line| line.split_once("=> a packet to 198.51.100.1: ")).collect();
    assert_eq!(ways.len(), WAYS.len(), "{story}");
    for ((_, way), expected) in ways.iter().zip(WAYS) {
        assert!(way.starts_with(expected), "{way:?} is not {expected:?}\n{story}");
    }
    for changed in [
        "+ ip rule  from 192.168.1.50 lookup 100 priority 30000 protocol 110",
        "- ip route 192.168.1.0/24 dev eth0 proto kernel scope link src 192.168.1.50",
        "+ ip route default via 100.64.0.1 dev wwan0 table 102 proto 110",
        "~ ip route default via 10.0.0.1 dev wlan0 proto 110 metric 20  (was 60)",
        "~ ip route default via 192.168.1.1 dev eth0 proto 110 metric 50  (was 10)",
    ] {
        assert!(story.contains(changed), "{changed}\n{story}");
    }
}

/// What the demo must leave as it was.
fn host() -> String {
    let ip = |arguments: &[&str]| text(&Command::new("ip").args(arguments).output().unwrap().stdout);
    let looks: [&[&str]; 6] = [
        &["rule"],
        &["-6", "rule"],
        &["route", "show", "table", "all"],
        &["-6", "route", "show", "table", "all"],
        &["-oneline", "link"],
        &["netns", "list"],
    ];
    looks.map(ip).concat()
}

/// A network of the test's own, and a /run of its own as well: named namespaces are files there.
fn on_a_host(test: impl FnOnce() + Send + 'static) {
    netns::in_netns(|| {
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        let none: Option<&str> = None;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
        mount(Some("tmpfs"), "/run", Some("tmpfs"), MsFlags::empty(), none).unwrap();
        test();
    });
}

/// A demo that is watched while it runs.
struct Kept {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    seen: Vec<String>,
}

impl Kept {
    fn start(arguments: &[&str], home: &Path) -> Self {
        let mut child = demo(arguments).env("HOME", home).env("TMPDIR", home).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines, seen: Vec::new() }
    }

    /// Reads on until a line has `word` in it.
    fn line_with(&mut self, word: &str) -> String {
        for line in self.lines.by_ref() {
            self.seen.push(line.unwrap());
            if let Some(line) = self.seen.last().filter(|line| line.contains(word)) {
                return line.clone();
            }
        }
        panic!("no line with {word:?} in {:#?}", self.seen);
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A user who is not root: ourselves, or, if we are root, nobody.
struct Unprivileged {
    home: TempDir,
}

impl Unprivileged {
    const NOBODY: u32 = 65534;

    fn new() -> Self {
        let home = TempDir::new().unwrap();
        let program = home.path().join("beamroute");
        // Where the program was built, others may not be let in.
        fs::copy(env!("CARGO_BIN_EXE_beamroute"), &program).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        if geteuid().is_root() {
            std::os::unix::fs::chown(home.path(), Some(Self::NOBODY), Some(Self::NOBODY)).unwrap();
        }
        Self { home }
    }

    fn beamroute(&self) -> String {
        self.home.path().join("beamroute").display().to_string()
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(if geteuid().is_root() { "setpriv" } else { program });
        if geteuid().is_root() {
            let id = Self::NOBODY.to_string();
            command.args(["--reuid", &id, "--regid", &id, "--clear-groups", "--", program]);
        }
        command.env("HOME", self.home.path()).env("TMPDIR", self.home.path()).current_dir("/");
        command
    }

    fn left_in_home(&self) -> BTreeSet<PathBuf> {
        let entries = fs::read_dir(self.home.path()).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| !path.ends_with("beamroute")).collect()
    }
}

fn is_installed(program: &str) -> bool {
    std::env::split_paths(&std::env::var_os("PATH").unwrap()).any(|directory| directory.join(program).is_file())
}

/// Field 4 of /proc/PID/stat, counted behind the name, which may have blanks in it (proc(5)).
fn children_of(parent: u32) -> Vec<u32> {
    let pids = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    pids.filter(|pid| stat(*pid).is_some_and(|stat| stat[1] == parent.to_string())).collect()
}

fn is_running(pid: u32) -> bool {
    stat(pid).is_some_and(|stat| stat[0] != "Z")
}

fn stat(pid: u32) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(stat.rsplit_once(')')?.1.split_whitespace().map(str::to_owned).collect())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
