//! Whether a batch is let grow.

use std::time::{Duration, Instant};

/// Whether to let a batch grow. A BEAM with many callers writes a packet for each reply that wakes one of them, if the replies
/// come one by one; if they come together, so do the next calls. It pays only if we had nothing to do before, and if more
/// calls do come: where they did not, it is not tried again so soon.
#[derive(Debug, Default)]
pub(super) struct Growth {
    ended: Option<Instant>,
    was_idle: bool,
    /// Batches that are not let grow.
    to_skip: u32,
    /// The next time that nothing has come, so many.
    penalty: u32,
}

impl Growth {
    /// After less than that since the last batch, we are what others wait for.
    const IDLE: Duration = Duration::from_micros(5);
    const MAX_PENALTY: u32 = 1024;

    /// A batch begins.
    pub(super) fn begin(&mut self, now: Instant) {
        self.was_idle = self.ended.is_none_or(|ended| now.saturating_duration_since(ended) >= Self::IDLE);
    }

    /// A batch has ended.
    pub(super) fn end(&mut self, now: Instant) {
        self.ended = Some(now);
    }

    /// Whether to wait with so many calls.
    pub(super) fn is_worth_it(&mut self, calls: usize) -> bool {
        if calls < 2 || !self.was_idle {
            return false;
        }
        let is_skipped = self.to_skip > 0;
        self.to_skip = self.to_skip.saturating_sub(1);
        !is_skipped
    }

    /// So many calls there were before and after.
    pub(super) fn learn(&mut self, before: usize, after: usize) {
        let has_paid = after >= before.saturating_mul(2);
        self.penalty = if has_paid { 0 } else { self.penalty.saturating_mul(2).clamp(1, Self::MAX_PENALTY) };
        self.to_skip = self.penalty;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_is_given_up_where_nobody_comes() {
        let mut growth = Growth::default();
        assert!(!growth.is_worth_it(2), "nothing has begun");
        growth.begin(Instant::now());
        assert!(!growth.is_worth_it(1), "nobody else waits");
        let mut tries = 0;
        for _ in 0..5000 {
            if growth.is_worth_it(2) {
                tries += 1;
                growth.learn(2, 3);
            }
        }
        assert!((10..20).contains(&tries), "{tries}");
        growth.learn(2, 4);
        assert!(growth.is_worth_it(2), "it has paid");
    }

    #[test]
    fn nobody_waits_for_us_to_wait() {
        let (mut growth, now) = (Growth::default(), Instant::now());
        growth.end(now);
        growth.begin(now + Growth::IDLE / 2);
        assert!(!growth.is_worth_it(9));
        growth.begin(now + Growth::IDLE);
        assert!(growth.is_worth_it(9));
    }
}
