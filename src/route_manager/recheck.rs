//! When the kernel is read anew although nothing was told: events heal at once, this is for what no event tells. Time
//! arrives as an argument.

use std::time::{Duration, Instant};

/// A clock that strikes in equal distances, or never.
#[derive(Debug, Default)]
pub(super) struct Recheck {
    every: Duration,
    next: Option<Instant>,
}

impl Recheck {
    /// Strikes first at `now` plus `every`; never if that is zero, or longer than time itself.
    pub(super) fn new(every: Duration, now: Instant) -> Self {
        Self { every, next: now.checked_add(every).filter(|_| !every.is_zero()) }
    }

    /// Strikes at `at`, if it would strike later or never.
    pub(super) fn hasten(&mut self, at: Instant) {
        self.next = Some(self.next.map_or(at, |next| next.min(at)));
    }

    /// When it strikes next.
    pub(super) const fn due(&self) -> Option<Instant> {
        self.next
    }

    /// Whether it strikes at `now`.
    pub(super) fn pass(&mut self, now: Instant) -> bool {
        let strikes = self.next.is_some_and(|next| next <= now);
        if strikes {
            // Not from when it was due: a machine that slept need not make up for it.
            *self = Self::new(self.every, now);
        }
        strikes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strikes_in_equal_distances() {
        let (start, minute) = (Instant::now(), Duration::from_secs(60));
        let mut recheck = Recheck::new(minute, start);
        assert_eq!(recheck.due(), Some(start + minute));
        assert!(!recheck.pass(start + minute - Duration::from_millis(1)));
        assert!(recheck.pass(start + minute));
        assert!(!recheck.pass(start + minute));
        // After a long sleep once, not once for every minute of it.
        assert!(recheck.pass(start + 100 * minute));
        assert!(!recheck.pass(start + 100 * minute));
        assert_eq!(recheck.due(), Some(start + 101 * minute));
    }

    #[test]
    fn one_stroke_can_come_earlier() {
        let (start, minute, second) = (Instant::now(), Duration::from_secs(60), Duration::from_secs(1));
        for every in [minute, Duration::ZERO] {
            let mut recheck = Recheck::new(every, start);
            recheck.hasten(start + 2 * second);
            recheck.hasten(start + 3 * second);
            assert_eq!(recheck.due(), Some(start + 2 * second));
            assert!(recheck.pass(start + 2 * second));
            assert_eq!(recheck.due(), Recheck::new(every, start + 2 * second).due());
        }
    }

    #[test]
    fn zero_is_never() {
        let now = Instant::now();
        for every in [Duration::ZERO, Duration::MAX] {
            let mut recheck = Recheck::new(every, now);
            assert_eq!(recheck.due(), None);
            assert!(!recheck.pass(now + Duration::from_secs(1 << 30)));
        }
    }
}
