//! Faults at random instants, under load, against a real daemon in a namespace of its own: after each one no acknowledged
//! call is missing from the kernel or the state, every caller has a reply, an error or a nodedown, the node is reachable
//! again within seconds, and nothing has leaked.
//!
//! Every kind comes once. `scripts/faults --minutes N [--seed S]` goes on for longer; `BEAMROUTE_FAULTS_SEED=S` plays one
//! seed. Timing is part of it, so a seed need not fail twice.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a panic is how a test fails")]

mod faults;
mod foreseen;
mod kernel;
mod ledger;
mod limits;
mod load;
mod peers;
mod scene;
mod shim;
#[path = "../support/mod.rs"]
mod support;
mod town;

use std::io::Write as _;
use std::time::{Duration, Instant};

use faults::{ALL, Kind};
use scene::{Report, Scene};
use support::dice::Dice;

/// One seed in so many stands still for 100 s.
const RARELY: u64 = 10;

#[test]
fn nothing_acknowledged_is_lost_whatever_goes_wrong() {
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().expect(name));
    let (seed, minutes) = (number("BEAMROUTE_FAULTS_SEED"), number("BEAMROUTE_FAULTS_MINUTES"));
    let mut sum = Report::default();
    match (seed, minutes) {
        (None, None) => {
            // Side by side, for most of the time nobody does anything.
            let half = |seed: u64| {
                let kinds = ALL.into_iter().skip(usize::try_from(seed).unwrap() - 1).step_by(2).collect();
                std::thread::spawn(move || play(seed, kinds))
            };
            // Both to their end, so that neither leaves anything behind if the other fails.
            for report in [half(1), half(2)].map(std::thread::JoinHandle::join) {
                let Some(report) = report.unwrap_or_else(|panic| std::panic::resume_unwind(panic)) else { return };
                sum.add(&report);
            }
        }
        _ => {
            let end = Instant::now() + Duration::from_secs(60 * minutes.unwrap_or(0));
            let first = seed.unwrap_or(1);
            for seed in first.. {
                let mut kinds = ALL.to_vec();
                kinds.extend((minutes.is_some() && seed % RARELY == first % RARELY).then_some(Kind::Stopped100s));
                let Some(report) = play(seed, kinds) else { return };
                sum.add(&report);
                if Instant::now() >= end {
                    break;
                }
            }
        }
    }
    sum.print();
}

/// All of `kinds`, in the order that the seed says.
fn play(seed: u64, mut kinds: Vec<Kind>) -> Option<Report> {
    say(&format!("BEAMROUTE_FAULTS_SEED={seed}"));
    let mut scene = Scene::new(seed)?;
    let mut dice = Dice::new(seed);
    while !kinds.is_empty() {
        let kind = kinds.swap_remove(dice.below(kinds.len()));
        scene.suffer(kind);
    }
    Some(scene.report.clone())
}

impl Report {
    fn add(&mut self, other: &Self) {
        for (kind, count) in &other.faults {
            *self.faults.entry(*kind).or_default() += count;
        }
        for (kind, count) in &other.limits {
            *self.limits.entry(kind).or_default() += count;
        }
        self.calls.made += other.calls.made;
        self.calls.acknowledged += other.calls.acknowledged;
        self.calls.not_saved += other.calls.not_saved;
        self.calls.down += other.calls.down;
        self.calls.hung += other.calls.hung;
        self.longest_unreachable = self.longest_unreachable.max(other.longest_unreachable);
        self.peak_kib = self.peak_kib.max(other.peak_kib);
        self.files_before = self.files_before.max(other.files_before);
        self.files_after = self.files_after.max(other.files_after);
        self.restarts += other.restarts;
        self.lost += other.lost;
    }

    fn print(&self) {
        let Self { calls, restarts, lost, .. } = self;
        let kinds: Vec<String> = self.faults.iter().map(|(kind, count)| format!("{kind:?} {count}")).collect();
        say(&format!("faults injected: {} ({})", self.faults.values().sum::<u32>(), kinds.join(", ")));
        say(&format!("calls made: {}, acknowledged: {}", calls.made, calls.acknowledged));
        say(&format!("not saved, and told so: {}; nodedown, or the caller killed: {}", calls.not_saved, calls.down));
        say(&format!("acknowledged calls lost: {lost}"));
        say(&format!("callers without an answer: {}", calls.hung));
        say(&format!("longest time until reachable again: {:.1} s", self.longest_unreachable.as_secs_f64()));
        say(&format!("starts after a death: {restarts}; memory was limited by: {:?}", self.limits));
        say(&format!("peak memory: {:.1} MiB", self.peak_kib as f64 / 1024.0));
        say(&format!("file descriptors without connections: {} before, {} after", self.files_before, self.files_after));
    }
}

/// Not by `println!`, which the test runner swallows when a test passes.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
