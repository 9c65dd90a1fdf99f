//! `net_kernel:set_net_ticktime/1,2` and `get_net_ticktime/0`: the net_ticktime of the node, and its change.
//!
//! Two nodes must agree on the tick time, yet are told one after the other. So a change has a transition period, in which
//! everybody sends as often as the smaller time asks for (every MTTI, the minimum transition traffic interval) and
//! expects no more than the larger one asks for (`net_kernel.erl`: `new_ticktime`, `aux_ticker`, `transition_period_end`).
//!
//! One [`TickTime`] stands for the node. Whoever owns it keeps a timer at [`TickTime::deadline`]; when
//! [`TickTime::poll`] gives a time, every connection that is up follows: [`Tick::set_ticktime`](crate::dist::Tick::set_ticktime),
//! and a tick goes out, whatever else was sent. A connection that comes up begins with [`TickTime::in_force`].

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use eetf::Term;

use crate::dist::Tick;
use crate::term::{atom, integer, tuple};

/// OTP's default transition period, `set_net_ticktime/1`, in seconds.
pub const TRANSITION_SECONDS: u32 = 60;

/// The net_ticktime of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TickTime {
    in_force: Duration,
    /// Ticks in it.
    intensity: u32,
    change: Option<Change>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Change {
    new: Duration,
    interval: Duration,
    next: Instant,
    end: Instant,
}

/// What `set_net_ticktime` answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TickTimeChange {
    /// It is the time in force already.
    Unchanged,
    /// The transition begins.
    ChangeInitiated,
    /// A transition to this time is under way; the request is ignored.
    OngoingChangeTo(Duration),
}

impl TickTime {
    /// A node whose net_ticktime is `ticktime`, taken up to a multiple of the tick intensity in milliseconds
    /// (`net_kernel.erl`, `make_init_opts`).
    #[must_use]
    pub fn new(ticktime: Duration, intensity: u32) -> Self {
        Self { in_force: rounded_up(ticktime, intensity), intensity, change: None }
    }

    /// The timer of a connection that comes up at `now`.
    #[must_use]
    pub fn tick(&self, now: Instant) -> Tick {
        Tick::new(self.in_force, self.intensity, now)
    }

    /// The time by which silent peers are judged now, and with which a new connection begins.
    #[must_use]
    pub const fn in_force(&self) -> Duration {
        self.in_force
    }

    /// The time that a running change leads to.
    #[must_use]
    pub fn ongoing_change_to(&self) -> Option<Duration> {
        self.change.as_ref().map(|change| change.new)
    }

    /// `get_net_ticktime()`: seconds, or `{ongoing_change_to, Seconds}`.
    #[must_use]
    pub fn get(&self) -> Term {
        self.ongoing_change_to().map_or_else(|| seconds(self.in_force), ongoing)
    }

    /// `set_net_ticktime(Ticktime, Transition)`, both in seconds. After `ChangeInitiated`, [`TickTime::poll`] is due at once.
    pub fn set(&mut self, ticktime: NonZeroU32, transition: u32, now: Instant) -> TickTimeChange {
        if let Some(new) = self.ongoing_change_to() {
            return TickTimeChange::OngoingChangeTo(new);
        }
        let new = rounded_up(Duration::from_secs(u64::from(ticktime.get())), self.intensity);
        let old = self.in_force;
        if new == old {
            return TickTimeChange::Unchanged;
        }
        // Whole milliseconds, because both times are multiples of the intensity. The end is no further away than
        // the sum of both arguments, some 136 years each, so nothing here overflows.
        let interval = new.min(old) / self.intensity;
        let (period_ms, interval_ms) = (u128::from(transition) * 1000, interval.as_millis().max(1));
        let intervals = u32::try_from(period_ms.div_ceil(interval_ms)).unwrap_or(u32::MAX).max(1);
        let end = now + interval.saturating_mul(intervals);
        self.change = Some(Change { new, interval, next: now, end });
        if new > old {
            self.in_force = new;
        }
        TickTimeChange::ChangeInitiated
    }

    /// When [`TickTime::poll`] has to be called next.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.change.as_ref().map(|change| change.next.min(change.end))
    }

    /// What is due at `now`: `Some` time means that every connection follows it and sends a tick.
    pub fn poll(&mut self, now: Instant) -> Option<Duration> {
        let change = self.change.as_mut()?;
        if now >= change.end {
            self.in_force = change.new;
            self.change = None;
        } else if now >= change.next {
            let next = change.next + change.interval;
            // After a pause, the ticks missed are not made up for.
            change.next = if next > now { next } else { now + change.interval };
        } else {
            return None;
        }
        Some(self.in_force)
    }
}

impl TickTimeChange {
    /// As the function returns it.
    #[must_use]
    pub fn to_term(self) -> Term {
        match self {
            Self::Unchanged => atom("unchanged"),
            Self::ChangeInitiated => atom("change_initiated"),
            Self::OngoingChangeTo(new) => ongoing(new),
        }
    }
}

fn ongoing(new: Duration) -> Term {
    tuple([atom("ongoing_change_to"), seconds(new)])
}

fn seconds(time: Duration) -> Term {
    integer(i64::try_from(time.as_secs()).unwrap_or(i64::MAX))
}

/// To whole milliseconds that the intensity divides, and to no more than what [`TickTime::set`] can ask for.
fn rounded_up(ticktime: Duration, intensity: u32) -> Duration {
    let ms = ticktime.as_nanos().div_ceil(1_000_000).max(1).next_multiple_of(u128::from(intensity));
    let longest = u64::from(u32::MAX) * 1000;
    Duration::from_millis(u64::try_from(ms).unwrap_or(longest).min(longest))
}

#[cfg(test)]
#[path = "ticktime_tests.rs"]
mod tests;
