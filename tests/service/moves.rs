//! What moves in a machine's routes and rules.

use std::process::Stdio;

use crate::machine::Machine;
use crate::support::{Lines, Process, eventually};

/// Of no interest to anybody.
const PROBE: &str = "198.51.100.1";

pub struct Moves {
    _monitor: Process,
    lines: Lines,
}

impl Moves {
    /// From now on.
    pub fn watch(machine: &Machine) -> Self {
        let mut monitor = machine.command("ip", &["-o", "monitor", "route", "rule"]);
        let mut monitor = Process::spawn(monitor.stdout(Stdio::piped()));
        let lines = Lines::read(monitor.0.stdout.take().unwrap());
        let moves = Self { _monitor: monitor, lines };
        // It listens when it tells of a route of ours.
        eventually("it listens", || {
            moves.probe(machine);
            moves.lines.text().contains(PROBE)
        });
        moves
    }

    fn probe(&self, machine: &Machine) {
        machine.output("ip", &["route", "add", PROBE, "dev", "lo"]);
        machine.output("ip", &["route", "del", PROBE, "dev", "lo"]);
    }

    /// All that moved. The kernel looks for a second or two whether a link-local address is free, and tells of its routes then.
    pub fn seen(&self) -> Vec<String> {
        let is_link_local = |line: &str| line.contains("proto kernel") && line.contains(" fe80::");
        let counts = |line: &&str| !line.contains(PROBE) && !is_link_local(line);
        self.lines.text().lines().filter(counts).map(str::to_owned).collect()
    }
}

/// The routes that are ours, and all rules.
pub fn routes(machine: &Machine) -> String {
    machine.output("ip", &["rule"]) + &machine.output("ip", &["route", "show", "table", "all", "proto", "110"])
}
