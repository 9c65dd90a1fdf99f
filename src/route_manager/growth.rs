//! Whether a batch is let grow.

use std::time::{Duration, Instant};

/// For how long batches may be let grow; the kernel adds its timer slack of 50 us. A timer of the runtime is ten times as long.
const WAITS: [Duration; 3] = [Duration::ZERO, Duration::from_micros(30), Duration::from_micros(100)];

/// How long one of them is tried; and if it is far worse than shorter ones.
const TRIAL: Duration = Duration::from_millis(10);
const SHORT_TRIAL: Duration = Duration::from_millis(3);

/// A longer pause than this between batches says nothing about how many calls can be served.
const PAUSE: Duration = Duration::from_millis(5);

/// After a longer pause than this others may be calling.
const FORGOTTEN: Duration = Duration::from_millis(100);

/// Trials of the best one before all are tried again: at first, and at most.
const FEWEST: usize = 4;
const MOST: usize = 32;

/// A longer wait that serves this part of the calls is as good: it takes less of the processor.
const AS_GOOD: f64 = 0.97;

/// One that serves less than this part of the calls is far worse, and so would be longer ones.
const FAR_WORSE: f64 = 0.6;

/// How long to let a batch grow. A BEAM with many callers writes a packet for each reply that wakes one of them, if the replies
/// come one by one; if they come together, so do the next calls, and more are served at half the cost. With few callers, or
/// others than BEAMs, whoever waits only makes everybody wait. So all that may be waited is tried now and then, and that with
/// which most calls were served is kept.
#[derive(Debug)]
pub(super) struct Growth {
    /// Calls in a second, of each of [`WAITS`] that has been tried this time.
    rates: [f64; WAITS.len()],
    /// The one that is waited.
    now: usize,
    /// The one that was kept.
    kept: usize,
    /// Trials of it to go; none while all are tried. And so many it has in all.
    to_go: usize,
    interval: usize,
    /// The trial, and the calls in it.
    began: Option<Instant>,
    calls: usize,
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
    pub(super) fn wait(&mut self, calls: usize) -> Option<Duration> {
        let is_awaited = calls > 1 || calls == 1 && self.last >= Self::MANY;
        self.was_asked |= is_awaited;
        // After a pause nobody is known to call so often.
        let is_busy = || self.ended.is_some_and(|ended| ended.elapsed() <= PAUSE);
        WAITS.get(self.now).copied().filter(|wait| is_awaited && !wait.is_zero() && is_busy())
    }

    /// A batch of so many calls has been answered.
    pub(super) fn end(&mut self, now: Instant, calls: usize) {
        let since = |then: Option<Instant>| then.map_or(Duration::MAX, |then| now.saturating_duration_since(then));
        let (pause, trial) = (since(self.ended), since(self.began));
        (self.ended, self.last) = (Some(now), calls);
        if pause > FORGOTTEN {
            *self = Self { ended: self.ended, last: calls, ..Self::default() };
        }
        self.calls += calls;
        if pause > PAUSE {
            self.begin(now);
        } else if trial >= TRIAL || trial >= SHORT_TRIAL && self.is_far_worse(self.rate(trial)) {
            if self.was_asked {
                self.learn(self.rate(trial));
            }
            self.begin(now);
        }
    }

    fn begin(&mut self, now: Instant) {
        (self.began, self.calls, self.was_asked) = (Some(now), 0, false);
    }

    #[allow(clippy::cast_precision_loss, reason = "calls of some milliseconds")]
    fn rate(&self, trial: Duration) -> f64 {
        self.calls as f64 / trial.as_secs_f64()
    }

    fn best(&self) -> f64 {
        self.rates.iter().copied().fold(0.0, f64::max)
    }

    fn is_far_worse(&self, rate: f64) -> bool {
        self.to_go == 0 && rate < self.best() * FAR_WORSE
    }

    fn learn(&mut self, rate: f64) {
        if self.to_go > 0 {
            self.to_go -= 1;
            if self.to_go == 0 {
                (self.rates, self.now) = ([0.0; WAITS.len()], 0);
            }
            return;
        }
        let are_all_tried = self.now + 1 == WAITS.len() || self.is_far_worse(rate);
        if let Some(tried) = self.rates.get_mut(self.now) {
            *tried = rate;
        }
        if !are_all_tried {
            self.now += 1;
            return;
        }
        let best = self.best();
        self.now = self.rates.iter().rposition(|rate| *rate >= best * AS_GOOD).unwrap_or_default();
        self.interval = if self.now == self.kept { (self.interval * 2).min(MOST) } else { FEWEST };
        (self.kept, self.to_go) = (self.now, self.interval);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Serves for five seconds callers of whom so many calls come in a batch, and in so many microseconds, depending on the wait;
    /// gives the parts of the time in which each was waited.
    fn serve(growth: &mut Growth, now: &mut Instant, of: impl Fn(usize) -> (usize, u64)) -> [f64; WAITS.len()] {
        let mut waited = [0.0; WAITS.len()];
        let end = *now + Duration::from_secs(5);
        while *now < end {
            let at = growth.wait(2).map_or(0, |wait| WAITS.iter().position(|known| *known == wait).unwrap());
            let (calls, us) = of(at);
            let took = Duration::from_micros(us);
            *now += took;
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
        // Where it makes no difference, the processor is spared.
        let waited = serve(&mut growth, &mut now, |_| (8, 60));
        assert!(waited[2] > 0.85, "{waited:?}");
    }

    #[test]
    fn nothing_is_waited_for_one_call_or_after_a_pause() {
        let (mut growth, mut now) = (Growth::default(), Instant::now());
        assert!(growth.wait(64).is_none(), "nothing has been tried");
        serve(&mut growth, &mut now, |at| ([4, 16, 40][at], [50, 160, 330][at]));
        assert!(growth.wait(1).is_some(), "after a batch of many");
        assert!(growth.wait(0).is_none(), "nobody waits");
        growth.end(now, 1);
        assert!(growth.wait(1).is_none() && growth.wait(2).is_some());
        growth.end(now + FORGOTTEN * 2, 64);
        assert!(growth.wait(64).is_none());
    }
}
