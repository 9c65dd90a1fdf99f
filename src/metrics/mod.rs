//! What is counted while the daemon works, and its names: counters in place, and [`TABLE`], from which the page, its
//! `HELP` lines and the README's section are made.
//!
//! Counters are statics, because a process is one daemon and counting must cost nothing to reach: an addition without a
//! lock, on memory that no other thread touches. What happens once per call is counted only if somebody asked for a
//! page ([`switch_on`]); what happens once per batch or connection always.
//!
//! No crate: `metrics` with `metrics-exporter-prometheus` brings hyper, an allocation per name and a map behind a lock,
//! where the daemon's goal is 3 MiB.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

pub mod calls;
pub mod clock;
mod page;
mod process;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use tokio::sync::Notify;

pub use page::{Kind, Metric, TABLE, page, table_as_markdown};
pub use process::Process;

/// Something that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// At 0.
    #[must_use]
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// One more.
    pub fn add_one(&self) {
        self.add(1);
    }

    /// So many more.
    pub fn add(&self, number: usize) {
        self.0.fetch_add(number as u64, Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Connections that came up.
pub static CONNECTIONS: Counter = Counter::new();
/// Connections that ended because nothing came for `net_ticktime`.
pub static TICKS_MISSED: Counter = Counter::new();
/// Nodes that dialled us and did not come in.
pub static HANDSHAKES_REFUSED: Counter = Counter::new();
/// Batches that the kernel has acknowledged.
pub static BATCHES: Counter = Counter::new();
/// Batches that failed as a whole.
pub static BATCHES_FAILED: Counter = Counter::new();
/// Changes that the kernel has acknowledged.
pub static CHANGES: Counter = Counter::new();
/// Changes that the kernel has refused.
pub static CHANGES_REFUSED: Counter = Counter::new();
/// Times that routes were put right without a caller.
pub static HEALS: Counter = Counter::new();

/// Told after every change that may be one of the gauges.
pub static NEWS: Notify = Notify::const_new();

static IS_ON: AtomicBool = AtomicBool::new(false);

/// From now on, each call is counted.
pub fn switch_on() {
    IS_ON.store(true, Relaxed);
}

fn is_on() -> bool {
    IS_ON.load(Relaxed)
}

/// What is not counted but looked at when somebody asks.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Gauges {
    /// Connections that are up.
    pub connections: usize,
    /// What `route_manager` says, if it has answered.
    pub routes: Option<Routes>,
    /// The process, as far as `/proc` is there.
    pub process: Process,
}

/// How far the kernel is where callers want it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Routes {
    /// Routes and rules that callers' wishes amount to.
    pub wanted: u64,
    /// Those of ours that the kernel has.
    pub installed: u64,
    /// Interfaces that callers have spoken of.
    pub interfaces: u64,
    /// Of those, the ones of which something waits.
    pub interfaces_pending: u64,
}

impl Routes {
    /// Wanted, and not there yet.
    #[must_use]
    pub const fn pending(&self) -> u64 {
        self.wanted.saturating_sub(self.installed)
    }
}
