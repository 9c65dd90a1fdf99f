//! The daemon under test.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

use super::epmd::Place;
use super::{Lines, Netns, PATIENCE, Process, eventually, serial};

/// The value of `--seccomp` for every daemon, if it is set.
const SECCOMP: &str = "BEAMROUTE_TEST_SECCOMP";

/// How a daemon is to be started.
pub struct Options {
    place: Place,
    /// The command, and the value of `--netns`, if there is one.
    netns: Option<(Command, Option<String>)>,
    naming: (String, String),
    epmd: &'static str,
    flags: Vec<String>,
    state_dir: Option<PathBuf>,
    env: Vec<(String, String)>,
    cookie: String,
    /// The mode of the cookie file; `None` for no such file.
    cookie_mode: Option<u32>,
}

/// A running `beamroute run`, killed when dropped; its log is printed when the test panics.
pub struct Daemon {
    process: Process,
    log: Lines,
    pub node: String,
    pub port: u16,
    pub pid: i32,
    pub cookie: String,
    dir: TempDir,
}

impl Options {
    /// In this namespace.
    #[must_use]
    pub fn netns(mut self, net: &Netns) -> Self {
        self.netns = Some((net.outside(env!("CARGO_BIN_EXE_beamroute")), Some(net.argument())));
        self
    }

    /// In this namespace, given as a path.
    #[must_use]
    pub fn netns_path(mut self, net: &Netns) -> Self {
        self.netns = Some((net.outside(env!("CARGO_BIN_EXE_beamroute")), Some(net.path().display().to_string())));
        self
    }

    /// In the namespace in which `command` execs what it is given as its last arguments: there the node listens, too.
    #[must_use]
    pub fn inside(mut self, mut command: Command) -> Self {
        command.arg(env!("CARGO_BIN_EXE_beamroute"));
        self.netns = Some((command, None));
        self
    }

    /// `--name` or `--sname`, and its value.
    #[must_use]
    pub fn naming(mut self, kind: &str, name: &str) -> Self {
        self.naming = (kind.to_owned(), name.to_owned());
        self
    }

    /// Runs it by another program, which gets the whole command line as its last arguments and must exec it.
    #[must_use]
    pub fn wrap(mut self, program: &[&str]) -> Self {
        let (inner, netns) = self.netns.take().expect("give the namespace first");
        let mut command = Command::new(program[0]);
        command.args(&program[1..]).arg(inner.get_program()).args(inner.get_args());
        self.netns = Some((command, netns));
        self
    }

    /// The value of `--epmd`; `external` if not told otherwise.
    #[must_use]
    pub const fn epmd(mut self, how: &'static str) -> Self {
        self.epmd = how;
        self
    }

    #[must_use]
    pub fn flags(mut self, flags: &[&str]) -> Self {
        self.flags.extend(flags.iter().map(ToString::to_string));
        self
    }

    /// Where the state is saved, if it is to outlive the daemon.
    #[must_use]
    pub fn state_dir(mut self, dir: &Path) -> Self {
        self.state_dir = Some(dir.to_path_buf());
        self
    }

    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    #[must_use]
    pub fn cookie(mut self, cookie: &str) -> Self {
        cookie.clone_into(&mut self.cookie);
        self
    }

    /// The cookie that it will have.
    pub fn the_cookie(&self) -> &str {
        &self.cookie
    }

    /// The mode of the cookie file.
    #[must_use]
    pub const fn cookie_mode(mut self, mode: u32) -> Self {
        self.cookie_mode = Some(mode);
        self
    }

    /// Without `--cookie-file`.
    #[must_use]
    pub const fn no_cookie_file(mut self) -> Self {
        self.cookie_mode = None;
        self
    }

    /// Starts it and waits until it is ready.
    pub fn start(self) -> Daemon {
        self.try_start().unwrap_or_else(|log| panic!("the daemon did not become ready:\n{log}"))
    }

    /// Starts it and waits until it is ready, or has ended; then its log is the error.
    pub fn try_start(self) -> Result<Daemon, String> {
        let Self { place, netns, naming, epmd, flags, state_dir, env, cookie, cookie_mode } = self;
        let (mut command, netns) = netns.expect("tests never touch the host's routes: give a namespace");
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("cookie");
        command.args(["run", &naming.0, &naming.1, "--epmd", epmd, "--log-format", "json"]);
        if let Some(netns) = netns {
            command.args(["--netns", &netns]);
        }
        if let Some(mode) = cookie_mode {
            fs::write(&file, &cookie).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            command.arg("--cookie-file").arg(&file);
        }
        let state_dir = state_dir.unwrap_or_else(|| dir.path().join("state"));
        command.arg("--state-dir").arg(state_dir).args(&flags);
        place.tell(&mut command).env("HOME", dir.path()).env_remove("RUST_LOG");
        // Ours would be taken for settings.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("BEAMROUTE_")) {
            command.env_remove(name);
        }
        // The whole suite under the filter: every daemon that it starts, but for those that a test says otherwise of.
        let seccomp = std::env::var(SECCOMP).ok().filter(|_| env.iter().all(|(name, _)| name != "BEAMROUTE_SECCOMP"));
        command.envs(seccomp.iter().map(|mode| ("BEAMROUTE_SECCOMP", mode)));
        command.envs(env);
        let mut process = Process::spawn(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()));
        let log = Lines::read(process.0.stderr.take().unwrap());
        let end = Instant::now() + PATIENCE;
        loop {
            // The log ends when the daemon does.
            let line = log.next(end.saturating_duration_since(Instant::now()));
            let Some(line) = line else { return Err(log.text()) };
            let fields = serde_json::from_str::<Value>(&line).unwrap_or_default()["fields"].take();
            if let (Some(node), Some(port)) = (fields["node"].as_str(), fields["port"].as_u64()) {
                let pid = fields["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok());
                assert_eq!(pid, Some(process.pid()), "the ready line tells the process id: {line}");
                if seccomp.is_some_and(|mode| mode != "off") {
                    let status = fs::read_to_string(format!("/proc/{}/status", process.pid())).unwrap();
                    assert!(status.contains("\nSeccomp:\t2\n"), "{SECCOMP} is set, and there is no filter:\n{status}");
                }
                let (node, port) = (node.to_owned(), u16::try_from(port).unwrap());
                return Ok(Daemon { pid: process.pid(), process, log, node, port, cookie, dir });
            }
        }
    }
}

impl Daemon {
    /// A daemon with a long name that registers with the epmd at `place`.
    pub fn options(place: &Place) -> Options {
        let name = format!("br{}x{}@127.0.0.1", std::process::id(), serial());
        Options {
            place: *place,
            netns: None,
            naming: ("--name".to_owned(), name),
            epmd: "external",
            flags: Vec::new(),
            state_dir: None,
            env: Vec::new(),
            cookie_mode: Some(0o400),
            cookie: format!("TopSecret{}x{}", std::process::id(), serial()),
        }
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid), signal).unwrap();
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Waits for the end and gives the exit status; `None` when a signal ended it.
    pub fn exit_code(&mut self) -> Option<i32> {
        eventually("the daemon ends", || self.process.0.try_wait().unwrap().is_some());
        self.process.0.wait().unwrap().code()
    }

    pub fn is_running(&mut self) -> bool {
        self.process.0.try_wait().unwrap().is_none()
    }

    pub fn log(&self) -> String {
        self.log.text()
    }

    /// Waits until the log has `text`.
    pub fn await_log(&self, text: &str) {
        eventually(text, || self.log.text().contains(text));
    }

    /// A directory that goes with the daemon.
    pub fn dir(&self) -> &std::path::Path {
        self.dir.path()
    }

    /// Open file descriptors, to see that nothing leaks.
    pub fn open_files(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid)).unwrap().count()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.process.kill();
        // The reader needs a moment to see the end.
        std::thread::sleep(Duration::from_millis(10));
        let log = self.log.text();
        if std::thread::panicking() {
            eprintln!("--- log of {} ---\n{log}---", self.node);
        } else {
            assert!(!log.contains(&self.cookie), "the cookie of {} is in its log:\n{log}", self.node);
        }
    }
}
