//! A look at everything that happens to routes and rules.

use std::process::Stdio;

use super::{Lines, Netns, PATIENCE, Process, eventually, serial};

/// `ip monitor route rule`, with marks in between.
pub struct Monitor<'a> {
    net: &'a Netns,
    _process: Process,
    lines: Lines,
}

impl<'a> Monitor<'a> {
    pub fn start(net: &'a Netns) -> Self {
        let mut command = net.ip_command();
        command.args(["monitor", "route", "rule"]).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut process = Process::spawn(&mut command);
        let lines = Lines::read(process.0.stdout.take().unwrap());
        let monitor = Self { net, _process: process, lines };
        eventually("the monitor listens", || {
            monitor.mark("203.0.113.1");
            monitor.lines.text().contains("203.0.113.1")
        });
        monitor.since();
        monitor
    }

    fn mark(&self, ip: &str) {
        self.net.try_ip(&["rule", "del", "pref", "32000", "from", ip, "lookup", "main"]);
        self.net.ip(&["rule", "add", "pref", "32000", "from", ip, "lookup", "main"]);
    }

    /// What has happened since the last time.
    pub fn since(&self) -> Vec<String> {
        let mark = format!("203.0.113.{}", serial() % 200 + 2);
        self.mark(&mark);
        let mut lines = Vec::new();
        loop {
            let line = self.lines.next(PATIENCE).expect("the mark");
            if line.contains(&mark) {
                return lines;
            }
            if !line.contains("203.0.113.") {
                lines.push(line);
            }
        }
    }
}
