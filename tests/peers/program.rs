//! A daemon without a BEAM beside it, and the programs that talk to it.

use std::io::Write as _;
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::support::beam::home_with;
use crate::support::daemon::Options;
use crate::support::{
    Daemon, Epmd, Lines, Netns, PATIENCE, Process, eventually, have, output, repository, serial, skip,
};

/// The net_ticktime of daemons that are to be seen ticking.
pub const QUICK_TICKS: &[&str] = &["--net-ticktime", "4"];
/// More than twice as long as such a daemon keeps a silent peer.
pub const SILENCE: Duration = Duration::from_secs(10);

/// What a daemon needs, and a home directory with its cookie for the peers.
pub struct Ground {
    pub home: TempDir,
    pub net: Netns,
    pub epmd: Epmd,
    cookie: String,
}

impl Ground {
    pub fn new() -> Option<Self> {
        let cookie = format!("PeersOnly{}x{}", std::process::id(), serial());
        Some(Self { home: home_with(&cookie), net: Netns::two_interfaces()?, epmd: Epmd::start()?, cookie })
    }

    pub fn daemon(&self, flags: &[&str]) -> Daemon {
        self.options().flags(flags).start()
    }

    pub fn options(&self) -> Options {
        Daemon::options(&self.epmd.place()).netns(&self.net).cookie(&self.cookie)
    }

    /// A command that finds the epmd and the cookie.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        self.epmd.place().tell(&mut command).env("HOME", self.home.path()).env("LC_ALL", "C.UTF-8");
        command
    }

    pub fn routes(&self) -> String {
        self.net.ip(&["route"])
    }
}

/// A name for a peer.
pub fn fresh(letter: char) -> String {
    format!("{letter}{}x{}@127.0.0.1", std::process::id(), serial())
}

/// A peer that goes on while the test does other things.
pub struct Running {
    pub process: Process,
    pub lines: Lines,
    stdin: ChildStdin,
}

impl Running {
    pub fn start(command: &mut Command) -> Self {
        let mut process = Process::spawn(command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit()));
        let lines = Lines::read(process.0.stdout.take().unwrap());
        let stdin = process.0.stdin.take().unwrap();
        Self { process, lines, stdin }
    }

    /// The next line must be this one.
    #[track_caller]
    pub fn expect(&self, line: &str) {
        let got = self.lines.next(PATIENCE);
        assert_eq!(got.as_deref(), Some(line), "{}", self.lines.text());
    }

    /// An empty line on its stdin.
    pub fn nudge(&mut self) {
        self.stdin.write_all(b"\n").unwrap();
    }

    /// Waits for the end, which must be with exit status 0.
    #[track_caller]
    pub fn ends_well(&mut self) {
        let mut status = None;
        eventually("the peer ends", || {
            status = self.process.0.try_wait().unwrap();
            status.is_some()
        });
        assert!(status.unwrap().success(), "{status:?}\n{}", self.lines.text());
    }
}

/// A file of an OTP application, for the OTP whose `erl` is in PATH; skips the test if it is not there.
fn otp_file(application: &str, file: &str) -> Option<String> {
    if !have("erl") {
        return None;
    }
    let find = format!(
        "case code:lib_dir({application}) of {{error, _}} -> ok; D -> F = filename:join(D, \"{file}\"), \
         [io:format(\"~ts\", [F]) || filelib:is_file(F)] end, halt()."
    );
    let found = output(Command::new("erl").args(["-noinput", "-eval", &find]));
    if found.is_empty() {
        skip(&format!("this OTP has no {application} with {file}"));
        return None;
    }
    Some(found)
}

/// `ei_peer.c`, compiled. Static, because `scripts/matrix` compiles it in another Debian than the one where it runs.
pub struct EiPeer(TempDir);

impl EiPeer {
    pub fn compile() -> Option<Self> {
        if !have("gcc") {
            return None;
        }
        let (header, library) = (otp_file("erl_interface", "include/ei.h")?, otp_file("erl_interface", "lib/libei.a")?);
        let dir = tempfile::tempdir().unwrap();
        let mut gcc = Command::new("gcc");
        gcc.args(["-std=c11", "-D_DEFAULT_SOURCE", "-D_REENTRANT", "-Wall", "-Wextra", "-Werror", "-static"]);
        gcc.arg("-I").arg(Path::new(&header).parent().unwrap()).arg("-o").arg(dir.path().join("ei_peer"));
        output(gcc.arg(repository("tests/peers/ei_peer.c")).arg(library).arg("-lpthread"));
        Some(Self(dir))
    }

    pub fn command(&self, ground: &Ground, mode: &str, node: &str, name: &str) -> Command {
        let mut command = ground.command(self.0.path().join("ei_peer"));
        command.args([mode, node, name]);
        command
    }
}

/// `Peer.java`, compiled.
pub struct JavaPeer {
    dir: TempDir,
    jar: String,
}

impl JavaPeer {
    pub fn compile() -> Option<Self> {
        let jar = otp_file("jinterface", "priv/OtpErlang.jar")?;
        if !have("javac") || !have("java") {
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let mut javac = Command::new("javac");
        javac.args(["-Werror", "-Xlint:all", "-cp", &jar, "-d"]).arg(dir.path());
        output(javac.arg(repository("tests/peers/Peer.java")));
        Some(Self { dir, jar })
    }

    pub fn command(&self, ground: &Ground, mode: &str, node: &str, name: &str) -> Command {
        let mut command = ground.command("java");
        // Java does not take its home directory from HOME, and JInterface looks for the cookie in Java's.
        command.arg(format!("-Duser.home={}", ground.home.path().display()));
        command.arg("-cp").arg(format!("{}:{}", self.dir.path().display(), self.jar));
        command.args(["Peer", mode, node, name]);
        command
    }
}
