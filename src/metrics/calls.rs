//! Calls of other nodes, by what was asked and how it ended, and how long they took.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::{Counter, clock, is_on};

/// What was asked: the names of `route_manager`'s functions, and one for all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "their names say it all")]
pub enum Asked {
    SetRoute,
    ClearRoute,
    SetConnectionStatus,
    RefreshRouteMetrics,
    SetMetric,
    SetOwnerPolicy,
    Subscribe,
    Unsubscribe,
    Plan,
    Status,
    Get,
    Stop,
    Unknown,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// As the caller wanted.
    Ok,
    /// An argument was wrong.
    Badarg,
    /// The caller may not.
    NotAllowed,
    /// There is no such request.
    UnknownRequest,
    /// Some other `{error, _}`.
    Error,
}

impl Asked {
    /// All of them, in order.
    pub const ALL: [Self; 13] = [
        Self::SetRoute,
        Self::ClearRoute,
        Self::SetConnectionStatus,
        Self::RefreshRouteMetrics,
        Self::SetMetric,
        Self::SetOwnerPolicy,
        Self::Subscribe,
        Self::Unsubscribe,
        Self::Plan,
        Self::Status,
        Self::Get,
        Self::Stop,
        Self::Unknown,
    ];

    /// The function's name, or `unknown`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SetRoute => "set_route",
            Self::ClearRoute => "clear_route",
            Self::SetConnectionStatus => "set_connection_status",
            Self::RefreshRouteMetrics => "refresh_route_metrics",
            Self::SetMetric => "set_metric",
            Self::SetOwnerPolicy => "set_owner_policy",
            Self::Subscribe => "subscribe",
            Self::Unsubscribe => "unsubscribe",
            Self::Plan => "plan",
            Self::Status => "status",
            Self::Get => "get",
            Self::Stop => "stop",
            Self::Unknown => "unknown",
        }
    }

    /// The function of this name.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self::ALL.into_iter().find(|asked| asked.as_str() == name).unwrap_or(Self::Unknown)
    }

    /// Whether it is answered together with others, after a commit.
    const fn is_batched(self) -> bool {
        matches!(
            self,
            Self::SetRoute | Self::ClearRoute | Self::SetConnectionStatus | Self::SetMetric | Self::SetOwnerPolicy
        )
    }
}

impl Outcome {
    /// All of them, in order.
    pub const ALL: [Self; 5] = [Self::Ok, Self::Badarg, Self::NotAllowed, Self::UnknownRequest, Self::Error];

    /// As the page has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Badarg => "badarg",
            Self::NotAllowed => "not_allowed",
            Self::UnknownRequest => "unknown_request",
            Self::Error => "error",
        }
    }
}

const OUTCOMES: usize = Outcome::ALL.len();
static CALLS: [[Counter; OUTCOMES]; Asked::ALL.len()] =
    [const { [const { Counter::new() }; OUTCOMES] }; Asked::ALL.len()];

/// Upper bounds in nanoseconds. A call that changes routes takes a fraction of a millisecond; the rest is for bad days.
const BOUNDS: [u64; 14] = [
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    500_000_000,
    1_000_000_000,
    5_000_000_000,
];
/// Calls that took no longer than the bound, and longer than the one before; the last for all others.
static LATENCY: [Counter; BOUNDS.len() + 1] = [const { Counter::new() }; BOUNDS.len() + 1];
static LATENCY_SUM: AtomicU64 = AtomicU64::new(0);

/// One call, from its receipt to its answer.
#[derive(Debug, Clone, Copy)]
pub struct Meter {
    received: u64,
    asked: Option<Asked>,
}

impl Meter {
    /// Received when the clock was last read; `None` if nobody wants to know. It counts once it is known what it is about.
    #[must_use]
    pub fn start() -> Option<Self> {
        is_on().then(|| Self { received: clock::last(), asked: None })
    }

    /// It asks for this.
    pub const fn about(&mut self, asked: Asked) {
        self.asked = Some(asked);
    }

    /// So many are being answered: now, or, if it was one of a batch, when the clock was last read.
    pub fn answered(self, outcome: Outcome, times: usize) {
        let Some(asked) = self.asked else { return };
        if !asked.is_batched() {
            clock::tick();
        }
        if let Some(counter) = CALLS.get(asked as usize).and_then(|of_one| of_one.get(outcome as usize)) {
            counter.add(times);
        }
        let took = clock::last().saturating_sub(self.received);
        if let Some(counter) = LATENCY.get(BOUNDS.partition_point(|bound| *bound < took)) {
            counter.add(times);
        }
        LATENCY_SUM.fetch_add(took.saturating_mul(u64::try_from(times).unwrap_or(u64::MAX)), Relaxed);
    }
}

/// The calls so far: those that were answered as they should have been of every kind, others if there were any.
pub(super) fn counted() -> Vec<(Asked, Outcome, u64)> {
    let of_one = |(asked, counters): (Asked, &'static [Counter; OUTCOMES])| {
        Outcome::ALL.into_iter().zip(counters).map(move |(outcome, counter)| (asked, outcome, counter.get()))
    };
    let all = Asked::ALL.into_iter().zip(&CALLS).flat_map(of_one);
    let is_usual =
        |asked, outcome| outcome == if asked == Asked::Unknown { Outcome::UnknownRequest } else { Outcome::Ok };
    all.filter(|(asked, outcome, count)| *count > 0 || is_usual(*asked, *outcome)).collect()
}

/// Bounds in seconds and how many took no longer; how many there were; the seconds that all of them took.
pub(super) fn latency() -> (Vec<(f64, u64)>, u64, f64) {
    let mut count: u64 = 0;
    let mut buckets = Vec::with_capacity(LATENCY.len());
    let bounds = BOUNDS.iter().map(|bound| seconds(*bound)).chain([f64::INFINITY]);
    for (bound, counter) in bounds.zip(&LATENCY) {
        count = count.saturating_add(counter.get());
        buckets.push((bound, count));
    }
    (buckets, count, seconds(LATENCY_SUM.load(Relaxed)))
}

#[allow(clippy::cast_precision_loss, reason = "what is lost is less than a nanosecond in months")]
fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_the_order_of_their_numbers() {
        for (number, asked) in Asked::ALL.into_iter().enumerate() {
            assert_eq!(asked as usize, number);
        }
        for (number, outcome) in Outcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome as usize, number);
        }
        assert!(BOUNDS.is_sorted());
    }
}
