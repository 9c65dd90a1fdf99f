//! The faults: how each comes and goes while the callers call.

use std::fmt::Write as _;
use std::fs;
use std::net::TcpStream;
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use nix::sys::signal::Signal;

use crate::kernel;
use crate::limits::MemoryLimit;
use crate::peers::knock;
use crate::scene::Scene;
use crate::shim::{Call, Done};
use crate::support::{output, within};
use crate::town::{LINKS, TICKTIME};

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Kill,
    Epmd,
    BeamKilled,
    PeersReset,
    PartitionShort,
    PartitionLong,
    TimeOfDay,
    ClockLeap,
    DiskFull,
    DiskReadOnly,
    EventsLost,
    NetlinkErrors,
    NetlinkEperm,
    DumpsInterrupted,
    FilesExhausted,
    MemoryLimited,
    Stopped,
    Stopped100s,
}

/// All but the one that takes its time.
pub const ALL: [Kind; 17] = [
    Kind::Kill,
    Kind::Epmd,
    Kind::BeamKilled,
    Kind::PeersReset,
    Kind::PartitionShort,
    Kind::PartitionLong,
    Kind::TimeOfDay,
    Kind::ClockLeap,
    Kind::DiskFull,
    Kind::DiskReadOnly,
    Kind::EventsLost,
    Kind::NetlinkErrors,
    Kind::NetlinkEperm,
    Kind::DumpsInterrupted,
    Kind::FilesExhausted,
    Kind::MemoryLimited,
    Kind::Stopped,
];

/// Far more than the longest queue of events takes.
const EVENTS: usize = 16_000;
/// How much may be said of one fault that lasts.
const LOG_LINES: usize = 12;
/// The strangers that come when no file descriptor is left.
const STRANGERS: usize = 40;
/// A frame that a peer begins and does not end.
const LARGE_FRAME: usize = 14 << 20;
const ENDLESS_FRAMES: usize = 4;

impl Scene {
    pub fn inject(&mut self, kind: Kind) {
        match kind {
            Kind::Kill => self.killed(),
            Kind::Epmd => {
                self.town.kill_epmd();
                self.pause(100, 800);
                self.perhaps_killed(25);
                self.pause(10, 800);
                self.town.replace_epmd();
            }
            Kind::BeamKilled => {
                self.load.beam.kill();
                self.pause(10, 300);
                self.load.beam.restart();
            }
            Kind::PeersReset => {
                for _ in 0..5 {
                    self.load.crash(self.dice.below(2));
                    self.pause(10, 100);
                }
            }
            Kind::PartitionShort => self.parted(TICKTIME as usize * 75, TICKTIME as usize * 300),
            Kind::PartitionLong => {
                let before = self.load.counts().down;
                self.parted(TICKTIME as usize * 650, TICKTIME as usize * 1000);
                assert!(self.load.counts().down > before, "someone noticed");
            }
            Kind::TimeOfDay => self.time_of_day(),
            Kind::ClockLeap => {
                let ms = *self.dice.pick(&[300, 1500, 5000, 3_600_000, 2_592_000_000]);
                self.note(format!("by {ms} ms"));
                self.town.shim.leap(Duration::from_millis(ms));
                self.pause(50, 200);
            }
            Kind::DiskFull => self.disk_full(),
            Kind::DiskReadOnly => self.disk_read_only(),
            Kind::EventsLost => self.events_lost(),
            Kind::NetlinkErrors => self.netlink_errors(),
            Kind::NetlinkEperm => self.netlink_eperm(),
            Kind::DumpsInterrupted => self.dumps_interrupted(),
            Kind::FilesExhausted => self.files_exhausted(),
            Kind::MemoryLimited => self.memory_limited(),
            Kind::Stopped => self.stopped(TICKTIME as usize * 1300, TICKTIME as usize * 1800),
            Kind::Stopped100s => self.stopped(100_000, 100_001),
        }
    }

    /// Several times, and perhaps in the midst of taking up its work.
    fn killed(&mut self) {
        let downs = self.load.beam.downs();
        for n in 0..=self.dice.below(4) {
            self.kill_daemon();
            self.pause(1, 100);
            self.start_daemon();
            // Soon after, whoever monitors it may not have come back yet to be told again.
            let beam = &self.load.beam;
            assert!(n > 0 || within(Duration::from_secs(10), || beam.downs() > downs), "a monitor was told of the end");
            self.pause(1, 200);
        }
        if self.dice.percent(30) {
            self.kill_daemon();
            self.start_daemon();
            self.kill_daemon();
            self.start_daemon();
        }
    }

    /// One more fault in the midst of another.
    fn perhaps_killed(&mut self, percent: usize) {
        if self.dice.percent(percent) {
            self.note("killed meanwhile".to_owned());
            self.kill_daemon();
            self.pause(1, 100);
            self.start_daemon();
        }
    }

    /// For twice as long as that.
    fn parted(&mut self, from: usize, to: usize) {
        let at_daemon = self.dice.percent(50);
        self.town.cable(at_daemon, "down");
        self.pause(from, to);
        self.perhaps_killed(20);
        self.pause(from, to);
        self.town.cable(at_daemon, "up");
    }

    fn time_of_day(&mut self) {
        let year = 365 * 24 * 3600;
        for _ in 0..3 {
            let seconds = *self.dice.pick(&[-3600, 3600, 10 * year, -20 * year, -60 * year]);
            self.note(format!("off by {seconds} s"));
            self.town.shim.set_time_of_day(seconds);
            self.pause(50, 200);
            self.perhaps_killed(15);
            let wanted = u64::try_from(unix_seconds() + seconds).unwrap_or(0);
            let is_seen = within(Duration::from_secs(5), || self.has_wish_of(wanted));
            assert!(is_seen, "the daemon's time of day is another");
        }
        self.town.shim.set_time_of_day(0);
        // CLOCK_BOOTTIME is what a suspended machine shows in.
        assert_eq!(self.town.shim.other_clocks(), 0, "the daemon reads a clock that is not moved here");
    }

    /// Whether the status of an interface has changed at about this Unix time.
    fn has_wish_of(&self, seconds: u64) -> bool {
        let Ok(status) = knock(&self.town) else { return false };
        let times = LINKS.iter().filter_map(|link| status["interfaces"][link]["since"].as_u64());
        times.map(|ms| ms / 1000).any(|time| time.abs_diff(seconds) < 60)
    }

    fn disk_full(&mut self) {
        let filler = self.town.disk().join("filler");
        assert!(fs::write(&filler, vec![0; 1 << 20]).is_err(), "the disk is full");
        self.is_not_saved("enospc");
        self.perhaps_killed(40);
        self.pause(10, 200);
        fs::remove_file(filler).unwrap();
    }

    /// Whoever has a file open for writing keeps its disk from being made read-only; so this happens in between.
    fn disk_read_only(&mut self) {
        self.kill_daemon();
        assert!(self.town.remount("ro"), "the disk is read-only");
        self.start_daemon();
        self.is_not_saved("erofs");
        assert!(self.town.remount("rw"));
    }

    /// Callers are told, and what they asked for stands all the same.
    fn is_not_saved(&mut self, errno: &str) {
        let before = self.load.counts().not_saved;
        let is_told = within(Duration::from_secs(10), || self.load.counts().not_saved > before + 5);
        assert!(is_told, "callers are told that nothing is saved");
        self.load.pause();
        self.is_right("meanwhile", errno);
        self.load.go_on();
        self.pause(10, 100);
    }

    /// The daemon stands still while the kernel tells it more than its queue takes. Of the theft that follows it hears
    /// nothing, and if nobody calls, nothing else makes it look.
    fn events_lost(&mut self) {
        let said = |scene: &mut Self| scene.daemon().log().matches("route events were lost").count();
        let before = said(self);
        let is_calm = self.dice.percent(60);
        if is_calm {
            self.load.pause();
        }
        self.daemon().signal(Signal::SIGSTOP);
        self.town.net.ip_batch(&[], events());
        self.steal();
        self.daemon().signal(Signal::SIGCONT);
        assert!(within(Duration::from_secs(10), || said(self) > before), "events were lost");
        if is_calm {
            self.is_right("without a call", "saved");
            self.load.go_on();
        }
    }

    /// When nothing goes wrong any more all comes right, though nobody calls again. Until then the log says once what is
    /// wrong, and not at every call.
    fn heals_by_itself(&mut self) {
        let said = |scene: &mut Self| scene.daemon().log().lines().count();
        let before = said(self);
        self.pause(200, 800);
        self.load.pause();
        let new = said(self) - before;
        assert!(new < LOG_LINES, "{new} lines in the log");
        if let Ok(status) = knock(&self.town) {
            let is_pending = |link: &str| status["interfaces"][link]["install"][0] == "pending";
            let wrong = kernel::wrong(&self.town.net, &status);
            assert!(wrong.is_empty() || LINKS.into_iter().any(is_pending), "nobody says so: {wrong:?}");
        }
        self.town.shim.calm();
        self.is_right("without another call", "saved");
        self.load.go_on();
    }

    /// Someone deletes what is ours: not to know of it would be seen.
    fn steal(&mut self) {
        self.note("stolen".to_owned());
        self.town.net.ip_batch(&[], "route flush proto 110 table all\n");
    }

    fn netlink_errors(&mut self) {
        // Both at once is too much: a daemon that is killed before it could put the kernel's connected route back, for an
        // interface that was cleared, knows that it is to by its own route there; and that would be stolen.
        let has_thieves = self.dice.percent(50);
        let before = self.town.shim.done();
        for _ in 0..6 {
            let call = *self.dice.pick(&[Call::Send, Call::Receive]);
            let error = *self.dice.pick(&[Errno::ENOBUFS, Errno::EINTR, Errno::EPERM, Errno::ENOMEM]);
            let (skip, count) = (self.dice.below(4), 1 + self.dice.below(4));
            self.note(format!("{call:?}: after {skip}, {count} times {error:?}"));
            self.town.shim.fail(call, i32::try_from(skip).unwrap(), i32::try_from(count).unwrap(), error);
            match self.dice.below(10) {
                0..=1 if has_thieves => self.steal(),
                0..=1 => self.killed_until_it_starts(),
                _ => {}
            }
            self.town.shim.spend(Duration::from_millis(500));
        }
        let (call, error) =
            (*self.dice.pick(&[Call::Send, Call::Receive]), *self.dice.pick(&[Errno::ENOBUFS, Errno::EPERM]));
        self.note(format!("{call:?}: {error:?} until further notice"));
        self.town.shim.fail(call, 0, i32::MAX, error);
        self.heals_by_itself();
        let done = self.town.shim.done();
        let count = |done: Done| done.sends_failed + done.receptions_failed;
        assert!(count(done) > count(before), "calls have failed");
    }

    /// A daemon that the kernel refuses everything says so and ends; it is then started again.
    fn killed_until_it_starts(&mut self) {
        self.note("killed meanwhile".to_owned());
        self.kill_daemon();
        while !self.starts() {
            self.pause(50, 100);
        }
    }

    fn netlink_eperm(&mut self) {
        let before = self.town.shim.done();
        for _ in 0..3 {
            let sends = 1 + self.dice.below(8);
            self.note(format!("{sends} sends without the capability"));
            self.town.shim.take_power(i32::try_from(sends).unwrap());
            if self.dice.percent(15) {
                self.killed_until_it_starts();
            }
            self.town.shim.spend(Duration::from_millis(700));
        }
        self.note("no send has the capability".to_owned());
        self.town.shim.take_power(i32::MAX);
        self.heals_by_itself();
        assert!(self.town.shim.done().refused > before.refused, "the kernel was asked without the capability");
    }

    fn dumps_interrupted(&mut self) {
        let before = self.town.shim.done();
        for _ in 0..3 {
            let datagrams = 1 + self.dice.below(40);
            self.note(format!("{datagrams} datagrams of dumps"));
            self.town.shim.interrupt(i32::try_from(datagrams).unwrap());
            // Now it has to dump.
            self.town.shim.fail(Call::Receive, 0, 1, Errno::ENOBUFS);
            if self.dice.percent(50) {
                self.steal();
            }
            self.town.shim.spend(Duration::from_millis(700));
        }
        assert!(self.town.shim.done().interrupted > before.interrupted, "dumps were interrupted");
    }

    /// Those who are connected are served; the others must wait.
    fn files_exhausted(&mut self) {
        let pid = self.daemon().pid.to_string();
        let limit = |files: &str| output(Command::new("prlimit").args(["--pid", &pid, &format!("--nofile={files}:")]));
        let before = output(Command::new("prlimit").args(["--pid", &pid, "--nofile", "--noheadings", "--output=SOFT"]));
        let left = self.dice.below(4);
        let files = self.daemon().open_files() + left;
        limit(&files.to_string());
        let town = Arc::clone(&self.town);
        let strangers = std::thread::spawn(move || {
            town.enter_peers();
            let address = town.look_up().unwrap();
            (0..STRANGERS).filter_map(|_| TcpStream::connect(address).ok()).collect::<Vec<_>>()
        });
        let strangers = strangers.join().unwrap();
        self.note(format!("{left} left for {} strangers", strangers.len()));
        self.pause(100, 500);
        self.load.crash(0);
        self.pause(200, 600);
        assert!(self.daemon().log().contains("cannot accept connections"), "none was left");
        drop(strangers);
        limit(before.trim());
    }

    fn memory_limited(&mut self) {
        let is_ample = self.dice.percent(50);
        let mib = if is_ample { 256 } else { 8 + self.dice.below(40) as u64 };
        let limit = MemoryLimit::set(self, mib << 10);
        *self.report.limits.entry(limit.kind()).or_default() += 1;
        self.note(format!("to {mib} MiB more, by {}", limit.kind()));
        let town = Arc::clone(&self.town);
        let peers = std::thread::spawn(move || {
            town.enter_peers();
            let names = (0..ENDLESS_FRAMES).map(|n| format!("large{n}@10.77.0.2"));
            let mut peers: Vec<_> = names.filter_map(|name| town.connect(&name).ok()).collect();
            let length = u32::try_from(LARGE_FRAME + 1000).unwrap().to_be_bytes();
            let bytes = [&length[..], &vec![112; LARGE_FRAME]].concat();
            peers.iter_mut().for_each(|peer| peer.send(&bytes));
            peers
        });
        let peers = peers.join().unwrap();
        self.pause(100, 300);
        self.weigh();
        drop(peers);
        let has_died = self.revive();
        assert!(!(is_ample && has_died), "there was memory enough");
        limit.lift(self);
    }

    fn stopped(&mut self, from: usize, to: usize) {
        let before = self.load.counts().down;
        self.daemon().signal(Signal::SIGSTOP);
        self.pause(from, to);
        self.daemon().signal(Signal::SIGCONT);
        assert!(self.load.counts().down > before, "someone noticed");
    }
}

fn unix_seconds() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

/// Changes of routes that concern nobody.
fn events() -> &'static str {
    static SCRIPT: OnceLock<String> = OnceLock::new();
    SCRIPT.get_or_init(|| {
        let mut script = String::new();
        for what in ["add", "del"] {
            for n in 0..EVENTS / 2 {
                writeln!(script, "route {what} blackhole 10.200.{}.{}/32 table 77 proto static", n / 256, n % 256)
                    .unwrap();
            }
        }
        script
    })
}
