//! The other end of `shim.c`: compiles it, and says what is to go wrong next.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use tempfile::TempDir;

use crate::support::{have, output, repository, within};

/// Where the fields of `struct control` are.
const REALTIME: u64 = 0;
const MONOTONIC: u64 = 8;
const SEND: u64 = 16;
const RECEIVE: u64 = 28;
const POWERLESS: u64 = 40;
const INTERRUPTED: u64 = 44;
const DONE: u64 = 48;
const OTHER_CLOCKS: u64 = 64;
const SIZE: u64 = 72;

pub struct Shim {
    control: File,
    dir: TempDir,
}

/// Which system calls on netlink sockets fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    Send,
    Receive,
}

/// How often what was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Done {
    pub sends_failed: i32,
    pub receptions_failed: i32,
    pub refused: i32,
    pub interrupted: i32,
}

impl Shim {
    /// Compiles it, or says why it cannot.
    pub fn compile() -> Option<Self> {
        if !have("cc") {
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new("cc");
        command.args(["-Wall", "-Wextra", "-Werror", "-O2", "-shared", "-fPIC", "-o"]).arg(dir.path().join("shim.so"));
        output(command.arg(repository("tests/injection/shim.c")).arg("-ldl"));
        let path = dir.path().join("control");
        let control = OpenOptions::new().read(true).write(true).create_new(true).open(path).unwrap();
        control.set_len(SIZE).unwrap();
        Some(Self { control, dir })
    }

    /// What the daemon's environment has to have.
    pub fn environment(&self) -> [(&'static str, PathBuf); 2] {
        [("LD_PRELOAD", self.dir.path().join("shim.so")), ("FAULTS_CONTROL", self.dir.path().join("control"))]
    }

    /// How far the time of day is off, in seconds.
    pub fn set_time_of_day(&self, seconds: i64) {
        self.write(REALTIME, &(seconds * 1_000_000_000).to_ne_bytes());
    }

    /// Lets the monotonic clock leap forward by so much more.
    pub fn leap(&self, time: Duration) {
        let mut before = [0; 8];
        self.control.read_exact_at(&mut before, MONOTONIC).unwrap();
        let after = i64::from_ne_bytes(before) + i64::try_from(time.as_nanos()).unwrap();
        self.write(MONOTONIC, &after.to_ne_bytes());
    }

    /// After `skip` more of these calls, `count` fail with `error`.
    pub fn fail(&self, call: Call, skip: i32, count: i32, error: Errno) {
        let at = if call == Call::Send { SEND } else { RECEIVE };
        self.write(at, &skip.to_ne_bytes());
        self.write(at + 8, &(error as i32).to_ne_bytes());
        self.write(at + 4, &count.to_ne_bytes());
    }

    /// So many sends are done without `CAP_NET_ADMIN`.
    pub fn take_power(&self, sends: i32) {
        self.write(POWERLESS, &sends.to_ne_bytes());
    }

    /// So many datagrams of dumps are marked as interrupted.
    pub fn interrupt(&self, datagrams: i32) {
        self.write(INTERRUPTED, &datagrams.to_ne_bytes());
    }

    /// Waits until everything that was to go wrong has, or `time` is over; then nothing goes wrong any more.
    pub fn spend(&self, time: Duration) {
        let end = Instant::now() + time;
        let fields = [SEND + 4, RECEIVE + 4, POWERLESS, INTERRUPTED];
        within(end - Instant::now(), || fields.iter().all(|field| self.read(*field) <= 0));
        self.calm();
    }

    /// From now on nothing goes wrong.
    pub fn calm(&self) {
        for field in [SEND + 4, RECEIVE + 4, POWERLESS, INTERRUPTED] {
            self.write(field, &0_i32.to_ne_bytes());
        }
    }

    pub fn done(&self) -> Done {
        let [sends_failed, receptions_failed, refused, interrupted] = [0, 4, 8, 12].map(|at| self.read(DONE + at));
        Done { sends_failed, receptions_failed, refused, interrupted }
    }

    /// Clocks that the daemon has read beside the two that are moved, a bit for each number.
    pub fn other_clocks(&self) -> i32 {
        self.read(OTHER_CLOCKS)
    }

    fn write(&self, at: u64, bytes: &[u8]) {
        self.control.write_all_at(bytes, at).unwrap();
    }

    fn read(&self, at: u64) -> i32 {
        let mut bytes = [0; 4];
        self.control.read_exact_at(&mut bytes, at).unwrap();
        i32::from_ne_bytes(bytes)
    }
}
