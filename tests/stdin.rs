//! A daemon that ends with whoever started it: `--exit-with-stdin`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a panic is how a test fails")]

mod support;

use std::path::PathBuf;
use std::process::Command;

use support::{Daemon, Process, Site};
use tempfile::TempDir;

/// The program that holds the other end of the daemon's standard input.
struct Holder {
    dir: TempDir,
    process: Process,
}

impl Holder {
    /// It writes a line, so that what comes before the end is seen to mean nothing.
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("stdin");
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let script = "exec >\"$0\"; echo anything; exec sleep 1000";
        let process = Process::spawn(Command::new("sh").args(["-c", script]).arg(&pipe));
        Self { dir, process }
    }

    fn pipe(&self) -> PathBuf {
        self.dir.path().join("stdin")
    }

    /// A daemon whose standard input it holds.
    fn daemon(&self, site: &Site, flags: &[&str]) -> Daemon {
        let pipe = self.pipe();
        let script = format!("exec \"$@\" <'{}'", pipe.display());
        let daemon = site.options().flags(flags).wrap(&["sh", "-c", &script, "sh"]).start();
        site.beam.expect(&[("net_adm:ping(N).", "pong"), ("Set(eth0, 1).", "ok")]);
        daemon
    }
}

#[test]
fn it_ends_in_order_when_the_other_end_is_killed() {
    let Some(site) = Site::new() else { return };
    for (flags, keeps) in [(&["--exit-with-stdin"][..], true), (&["--exit-with-stdin", "--on-exit=clear"], false)] {
        let mut holder = Holder::start();
        let mut daemon = holder.daemon(&site, flags);
        holder.process.kill();
        assert_eq!(daemon.exit_code(), Some(0), "{}", daemon.log());
        daemon.await_log("end of stdin");
        assert_eq!(site.kernel().contains("default via 192.168.1.1"), keeps, "{}", site.kernel());
    }
}

#[test]
fn an_input_that_has_ended_before_the_start() {
    let Some(site) = Site::new() else { return };
    // Whether it gets ready first is a matter of microseconds.
    if let Ok(mut daemon) = site.options().flags(&["--exit-with-stdin"]).try_start() {
        assert_eq!(daemon.exit_code(), Some(0), "{}", daemon.log());
    }
}

#[test]
fn without_the_option_it_stays() {
    let Some(site) = Site::new() else { return };
    let mut holder = Holder::start();
    let mut daemon = holder.daemon(&site, &[]);
    holder.process.kill();
    site.beam.expect(&[("Set(wlan0, 2).", "ok"), ("I(<<\"wlan0\">>, install).", "installed")]);
    assert!(daemon.is_running());
}
