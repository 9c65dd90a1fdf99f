//! Whether a batch is let grow.

use std::time::{Duration, Instant};

/// For how long batches may be let grow, as exactly as the timer slack that `service::run` sets lets them be. A timer of the runtime
/// is ten times as long.
const WAITS: [Duration; 3] = [Duration::ZERO, Duration::from_micros(30), Duration::from_micros(100)];

/// How long one of them is tried; and if it is far worse than shorter ones.
const TRIAL: Duration = Duration::from_millis(10);
const SHORT_TRIAL: Duration = Duration::from_millis(3);

/// A longer pause than this between batches says nothing about how many calls can be served, and does not count.
const PAUSE: Duration = Duration::from_millis(5);

/// After a longer pause than this others may be calling.
const FORGOTTEN: Duration = Duration::from_millis(100);

/// Trials of the best one before the others are tried again: at first, and at most.
const FEWEST: usize = 4;
const MOST: usize = 32;

/// A longer wait that serves this part of the calls is as good, if batches grow in it: then it takes less of the processor.
const AS_GOOD: f64 = 0.95;

/// To so many times their calls, at least, they grow in a wait that is worth it.
const WORTH: f64 = 1.5;

/// One that serves less than this part of the calls is far worse, and so would be longer ones.
const FAR_WORSE: f64 = 0.6;

/// How long to let a batch grow. A BEAM with many callers writes a packet for each reply that wakes one of them, if the replies
/// come one by one; if they come together, so do the next calls, and more are served at half the cost. With few callers, or
/// others than BEAMs, whoever waits only makes everybody wait. So all that may be waited is tried now and then, and that with
/// which most calls were served is kept, of those in which batches grow.
#[derive(Debug)]
pub(super) struct Growth {
    /// Calls in a second, of each of [`WAITS`] that has been tried this time, and of the one kept; none if batches do not grow in
    /// it.
    rates: [f64; WAITS.len()],
    /// The one that is waited.
    now: usize,
    /// The one that was kept.
    kept: usize,
    /// Trials of it to go; none while others are tried. And so many it has in all.
    to_go: usize,
    interval: usize,
    /// The trial, and the calls in it.
    began: Option<Instant>,
    calls: usize,
    /// Of them, those that came before the waits, and those that had come after them.
    came: usize,
    grown: usize,
    /// Whether anything could be waited for in it.
    was_asked: bool,
    /// The last batch, and the calls in it.
    ended: Option<Instant>,
    last: usize,
}

impl Default for Growth {
    fn default() -> Self {
        Self {
            rates: [0.0; WAITS.len()],
            now: 0,
            kept: 0,
            to_go: 0,
            interval: FEWEST,
            began: None,
            calls: 0,
            came: 0,
            grown: 0,
            was_asked: false,
            ended: None,
            last: 0,
        }
    }
}

impl Growth {
    /// After a batch of so many calls even one call means that others are on their way.
    const MANY: usize = 4;

    /// How long to wait for more, if so many calls have come.
    pub(super) fn wait(&mut self, now: Instant, calls: usize) -> Option<Duration> {
        let may_grow = calls > 1 || calls == 1 && self.last >= Self::MANY;
        self.was_asked |= may_grow;
        // After a pause nobody is known to call so often.
        let is_busy = || self.ended.is_some_and(|ended| now.saturating_duration_since(ended) <= PAUSE);
        WAITS.get(self.now).copied().filter(|wait| may_grow && !wait.is_zero() && is_busy())
    }

    /// A batch of so many calls had grown to so many after a [`wait`](Self::wait).
    pub(super) const fn grew(&mut self, came: usize, grown: usize) {
        self.came += came;
        self.grown += grown;
    }

    /// A batch of so many calls has been answered.
    pub(super) fn end(&mut self, now: Instant, calls: usize) {
        let since = |then: Option<Instant>| then.map_or(Duration::MAX, |then| now.saturating_duration_since(then));
        let pause = since(self.ended);
        (self.ended, self.last) = (Some(now), calls);
        if pause > FORGOTTEN {
            *self = Self { ended: self.ended, last: calls, ..Self::default() };
            return self.begin(now);
        }
        if pause > PAUSE {
            self.began = self.began.map(|began| began + pause);
        }
        self.calls += calls;
        let trial = since(self.began);
        if trial >= TRIAL || trial >= SHORT_TRIAL && self.is_far_worse(self.rate(trial)) {
            if self.was_asked {
                self.learn(self.rate(trial));
            }
            self.begin(now);
        }
    }

    fn begin(&mut self, now: Instant) {
        (self.began, self.calls, self.was_asked) = (Some(now), 0, false);
        (self.came, self.grown) = (0, 0);
    }

    #[allow(clippy::cast_precision_loss, reason = "calls of some milliseconds")]
    fn rate(&self, trial: Duration) -> f64 {
        self.calls as f64 / trial.as_secs_f64()
    }

    #[allow(clippy::cast_precision_loss, reason = "calls of some milliseconds")]
    fn is_worth(&self) -> bool {
        self.grown as f64 > self.came as f64 * WORTH
    }

    fn best(&self) -> f64 {
        self.rates.iter().copied().fold(0.0, f64::max)
    }

    fn is_far_worse(&self, rate: f64) -> bool {
        self.to_go == 0 && rate < self.best() * FAR_WORSE
    }

    fn learn(&mut self, rate: f64) {
        let counted = if self.now == 0 || self.is_worth() { rate } else { 0.0 };
        if self.to_go > 0 {
            self.to_go -= 1;
            if self.to_go == 0 {
                // It needs no other trial, and callers have got used to it.
                self.rates = std::array::from_fn(|at| if at == self.kept { counted } else { 0.0 });
                self.now = usize::from(self.kept == 0);
            }
            return;
        }
        // And so would be longer ones.
        let is_far_worse = self.rates.iter().take(self.now).any(|shorter| rate < shorter * FAR_WORSE);
        if let Some(tried) = self.rates.get_mut(self.now) {
            *tried = counted;
        }
        let next = (self.now + 1..WAITS.len()).find(|at| *at != self.kept);
        if let Some(next) = next.filter(|_| !is_far_worse) {
            self.now = next;
            return;
        }
        let best = self.best();
        self.now = self.rates.iter().rposition(|rate| *rate >= best * AS_GOOD).unwrap_or_default();
        // Of two that are nearly alike now this is kept, now that: to try them all the time would be worth less than either.
        self.interval =
            if self.now == self.kept { (self.interval * 2).min(MOST) } else { (self.interval / 2).max(FEWEST) };
        (self.kept, self.to_go) = (self.now, self.interval);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Serves for five seconds callers of whom two calls come, so many are a batch, and that takes so many microseconds, depending on
    /// the wait; gives the parts of the time in which each was waited.
    fn serve(growth: &mut Growth, now: &mut Instant, of: impl Fn(usize) -> (usize, u64)) -> [f64; WAITS.len()] {
        let mut waited = [0.0; WAITS.len()];
        let end = *now + Duration::from_secs(5);
        while *now < end {
            let wait = growth.wait(*now, 2);
            let at = wait.map_or(0, |wait| WAITS.iter().position(|known| *known == wait).unwrap());
            let (calls, us) = of(at);
            let took = Duration::from_micros(us);
            *now += took;
            if wait.is_some() {
                growth.grew(2, calls);
            }
            growth.end(*now, calls);
            waited[at] += took.as_secs_f64() / 5.0;
        }
        waited
    }

    #[test]
    fn what_serves_most_calls_is_waited_most_of_the_time() {
        let (mut growth, mut now) = (Growth::default(), Instant::now());
        let waited = serve(&mut growth, &mut now, |at| ([4, 16, 40][at], [50, 160, 330][at]));
        assert!(waited[2] > 0.9, "{waited:?}");
        // Others call now.
        for _ in 0..2 {
            let waited = serve(&mut growth, &mut now, |at| (8, [60, 140, 210][at]));
            assert!(waited[0] > 0.9 && waited[2] < 0.1, "{waited:?}");
        }
        // Where as many are served, the processor is spared.
        let waited = serve(&mut growth, &mut now, |at| ([8, 16, 32][at], [60, 120, 240][at]));
        assert!(waited[2] > 0.85, "{waited:?}");
        // More is served in the longest, but not because batches grow in it.
        let waited = serve(&mut growth, &mut now, |at| ([2, 8, 2][at], [20, 57, 13][at]));
        assert!(waited[1] > 0.85, "{waited:?}");
        // Those who call by the clock are served as they come, and nobody joins them.
        let waited = serve(&mut growth, &mut now, |_| (2, 500));
        assert!(waited[0] > 0.85, "{waited:?}");
        // Also if they pause: what was good for others is forgotten.
        serve(&mut growth, &mut now, |at| ([4, 16, 40][at], [50, 160, 330][at]));
        let batches = std::cell::Cell::new(0);
        let waited = serve(&mut growth, &mut now, |_| {
            batches.set(batches.get() + 1);
            (2, if batches.get() % 16 == 0 { 6_000 } else { 500 })
        });
        assert!(waited[0] > 0.85, "{waited:?}");
    }

    #[test]
    fn what_is_kept_is_judged_by_how_it_did_and_not_by_its_beginning() {
        let (mut growth, mut now) = (Growth::default(), Instant::now());
        let good = |at| ([4, 16, 40][at], [50, 160, 330][at]);
        serve(&mut growth, &mut now, good);
        // From now on callers need ten milliseconds to get used to that.
        let (before, batches) = (std::cell::Cell::new(2), std::cell::Cell::new(0));
        let waited = serve(&mut growth, &mut now, |at| {
            batches.set(if before.replace(at) == at { batches.get() + 1 } else { 0 });
            if at == 2 && batches.get() < 31 { (8, 330) } else { good(at) }
        });
        assert!(waited[2] > 0.85, "{waited:?}");
    }

    #[test]
    fn nothing_is_waited_for_one_call_or_after_a_pause() {
        let (mut growth, mut now) = (Growth::default(), Instant::now());
        assert!(growth.wait(now, 64).is_none(), "nothing has been tried");
        serve(&mut growth, &mut now, |at| ([4, 16, 40][at], [50, 160, 330][at]));
        assert!(growth.wait(now, 1).is_some(), "after a batch of many");
        assert!(growth.wait(now, 0).is_none(), "nobody waits");
        assert!(growth.wait(now + PAUSE, 64).is_some() && growth.wait(now + PAUSE * 2, 64).is_none());
        growth.end(now, 1);
        assert!(growth.wait(now, 1).is_none() && growth.wait(now, 2).is_some());
        now += FORGOTTEN * 2;
        growth.end(now, 64);
        assert!(growth.wait(now, 64).is_none());
    }
}
