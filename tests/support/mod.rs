//! What the black-box tests stand on: real BEAM nodes, an epmd, network namespaces, the daemon, and a raw peer.
//!
//! Everything is ended by its drop guard, by process id. A test that cannot run says `SKIPPED` and passes; with
//! `BEAMROUTE_NO_SKIP=1`, as in CI, it fails.
#![allow(dead_code, unused_imports, reason = "each test binary uses a part")]

pub mod beam;
pub mod daemon;
pub mod dice;
pub mod epmd;
pub mod etf;
pub mod hammer;
pub mod model;
pub mod monitor;
pub mod netns;
pub mod port;
pub mod raw;
pub mod readme;
pub mod site;
pub mod talk;

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

pub use beam::Beam;
pub use daemon::Daemon;
pub use epmd::Epmd;
pub use hammer::Hammer;
pub use monitor::Monitor;
pub use netns::{Link, Netns};
pub use site::Site;
pub use talk::Talk;

/// How long anything that should happen at once may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Says loudly that a test cannot run, and fails it where skips are failures.
pub fn skip(why: &str) {
    assert!(std::env::var_os("BEAMROUTE_NO_SKIP").is_none(), "BEAMROUTE_NO_SKIP is set, but: {why}");
    // Not by `eprintln!`, which the test runner swallows when a test passes.
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {why}");
}

/// Whether `tool` is installed; if not, says that the test is skipped.
pub fn have(tool: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|dir| dir.join(tool).is_file());
    if !found {
        skip(&format!("{tool} is not installed"));
    }
    found
}

/// A number that no other call in this process gets.
pub fn serial() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A file of this repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Asks `probe` until it says yes; panics with `what` when it never does.
pub fn eventually(what: &str, probe: impl FnMut() -> bool) {
    assert!(within(PATIENCE, probe), "never happened: {what}");
}

/// Asks `probe` for `time` long until it says yes.
pub fn within(time: Duration, mut probe: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + time;
    loop {
        if probe() {
            return true;
        }
        if Instant::now() > end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The text of a stream, line by line, read by a thread of its own so that a child never blocks on a full pipe.
pub struct Lines {
    lines: Receiver<String>,
    all: Arc<Mutex<String>>,
}

impl Lines {
    pub fn read(stream: impl Read + Send + 'static) -> Self {
        let (send, lines) = channel();
        let all = Arc::new(Mutex::new(String::new()));
        let copy = Arc::clone(&all);
        std::thread::spawn(move || {
            let mut stream = BufReader::new(stream);
            let mut line = Vec::new();
            while stream.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
                let text = String::from_utf8_lossy(&line).trim_end_matches('\n').to_owned();
                let mut all = copy.lock().unwrap();
                all.push_str(&text);
                all.push('\n');
                drop(all);
                let _ = send.send(text);
                line.clear();
            }
        });
        Self { lines, all }
    }

    /// The next line, if one comes in time.
    pub fn next(&self, time: Duration) -> Option<String> {
        self.lines.recv_timeout(time).ok()
    }

    /// Everything read so far.
    pub fn text(&self) -> String {
        self.all.lock().unwrap().clone()
    }
}

/// A child process that is killed, by its id, when dropped.
pub struct Process(pub Child);

impl Process {
    pub fn spawn(command: &mut Command) -> Self {
        Self(command.spawn().unwrap_or_else(|e| panic!("cannot start {command:?}: {e}")))
    }

    pub fn pid(&self) -> i32 {
        i32::try_from(self.0.id()).unwrap()
    }

    /// SIGKILL, and wait for the end.
    pub fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs a command to its end and gives its output as text; panics when it fails.
pub fn output(command: &mut Command) -> String {
    let out = command.stdin(Stdio::null()).output().unwrap_or_else(|e| panic!("cannot start {command:?}: {e}"));
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(out.status.success(), "{command:?}: {}\n{text}{}", out.status, String::from_utf8_lossy(&out.stderr));
    text
}

/// An epmd, a namespace with two interfaces, a daemon in it, and a BEAM node: what most tests need.
/// The fields are dropped in this order.
pub struct Rig {
    pub beam: Beam,
    pub daemon: Daemon,
    pub net: Netns,
    pub epmd: Epmd,
}

impl Rig {
    /// Starts all four, or says why the test is skipped. In the BEAM, `N` is bound to the daemon's node name and
    /// `RM` to `{route_manager, N}`.
    pub fn start() -> Option<Self> {
        Self::with(&[])
    }

    /// As [`Rig::start`], with more flags for the daemon.
    pub fn with(flags: &[&str]) -> Option<Self> {
        let epmd = Epmd::start()?;
        let net = Netns::two_interfaces()?;
        let daemon = Daemon::options(&epmd.place()).netns(&net).flags(flags).start();
        let beam = Beam::start(&epmd.place(), &daemon.cookie)?;
        beam.know(&daemon);
        Some(Self { beam, daemon, net, epmd })
    }
}
