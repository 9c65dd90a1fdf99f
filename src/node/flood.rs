//! A stream of casts, which is heard now and then.
//!
//! Whoever reads at once what a BEAM casts makes it write a packet for some dozens of messages, and wake the reader for each
//! packet; that is half of what a cast costs the sender. If there is more to read each time, the sender writes more at once, and
//! gets rid of twice as many messages. Where little can wait to be read (small windows, a slow network) it is the other way
//! round: so both are tried, and pauses are made while more comes with them. Nobody waits for an answer to a cast; a call behind
//! the stream waits for one pause at most.

use std::time::{Duration, Instant};

/// For how long nothing is read. It is the resolution of the runtime's timers, which may take twice as long.
pub(super) const PAUSE: Duration = Duration::from_millis(1);

/// So many casts in a millisecond are a stream.
const MANY: f64 = 128.0;

/// How long casts are counted.
const TRIAL: Duration = Duration::from_millis(8);

/// For how many trials what came of them holds.
const KEPT: u32 = 128;

/// Pauses are worth it if so many times as much comes with them.
const WORTH: f64 = 1.1;

/// The casts that came in a row, and what is done about them.
#[derive(Debug, Default)]
pub(super) struct Flood {
    phase: Phase,
    /// Since when so many came.
    since: Option<Instant>,
    casts: u32,
    /// When the latest did.
    last: Option<Instant>,
}

/// Rates are casts in a millisecond.
#[derive(Debug, Default, Clone, Copy)]
enum Phase {
    /// What comes is read at once, and may become a stream.
    #[default]
    Heard,
    /// Pauses are made, to see what comes of it; in the first trial the sender and the windows get used to them.
    Tried { without: f64, is_settled: bool },
    /// What was found to be better is done, for so many trials.
    Kept { pauses: bool, left: u32 },
}

impl Flood {
    /// So many casts have come together.
    pub(super) fn note(&mut self, casts: u32, now: Instant) {
        self.last = Some(now);
        let Some(since) = self.since else {
            self.since = Some(now);
            return;
        };
        self.casts = self.casts.saturating_add(casts);
        let counted = now.saturating_duration_since(since);
        if counted >= TRIAL {
            let rate = f64::from(self.casts) / (counted.as_secs_f64() * 1_000.0);
            *self = Self { phase: self.phase.after(rate), since: self.last, casts: 0, last: self.last };
        }
    }

    /// Somebody may wait for what has come.
    pub(super) const fn end(&mut self) {
        *self = Self { phase: Phase::Heard, since: None, casts: 0, last: None };
    }

    /// Whether more should be let come, when all has been read.
    pub(super) fn is_let_come(&self, now: impl FnOnce() -> Instant) -> bool {
        matches!(self.phase, Phase::Tried { .. } | Phase::Kept { pauses: true, .. })
            && self.last.is_some_and(|last| now().saturating_duration_since(last) < PAUSE)
    }
}

impl Phase {
    /// What follows a trial in which so many came.
    fn after(self, rate: f64) -> Self {
        match self {
            _ if rate < MANY => Self::Heard,
            Self::Heard => Self::Tried { without: rate, is_settled: false },
            Self::Tried { without, is_settled: false } => Self::Tried { without, is_settled: true },
            Self::Tried { without, .. } => Self::Kept { pauses: rate > without * WORTH, left: KEPT },
            Self::Kept { left: 0, .. } => Self::Heard,
            Self::Kept { pauses, left } => Self::Kept { pauses, left: left - 1 },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Casts come for so many milliseconds, so many in each without pauses and with them; gives in how many there was a pause.
    fn hear(flood: &mut Flood, now: &mut Instant, ms: usize, without: u32, with: u32) -> usize {
        let hear_one = |_| {
            let is_let_come = flood.is_let_come(|| *now);
            *now += PAUSE;
            flood.note(if is_let_come { with } else { without }, *now);
            usize::from(is_let_come)
        };
        (0..ms).map(hear_one).sum()
    }

    #[test]
    fn pauses_are_made_while_more_comes_with_them() {
        let mut now = Instant::now();
        let mut flood = Flood::default();
        assert_eq!(hear(&mut flood, &mut now, 1_000, 100, 900), 0, "too few");
        assert!(hear(&mut flood, &mut now, 10_000, 500, 900) > 9_800, "it is a stream");
        assert!(hear(&mut flood, &mut now, 1_200, 500, 200) < 1_100, "it is another");
        assert!(hear(&mut flood, &mut now, 10_000, 500, 200) < 200, "windows are small");
        assert!(hear(&mut flood, &mut now, 10_000, 500, 510) < 200, "it is worth nothing");
        assert!(hear(&mut flood, &mut now, 10_000, 500, 900) > 8_800, "windows are large again");
        assert!(hear(&mut flood, &mut now, 1_000, 100, 100) <= 16, "it ends");
    }

    #[test]
    fn whoever_may_wait_for_an_answer_is_heard_at_once() {
        let mut now = Instant::now();
        let mut flood = Flood::default();
        assert_eq!(hear(&mut flood, &mut now, 9, 500, 900), 0, "what is over so soon is heard without pauses");
        assert_eq!(hear(&mut flood, &mut now, 100, 500, 900), 100);
        let (soon, later) = (now + PAUSE / 2, now + PAUSE);
        assert!(flood.is_let_come(|| soon) && !flood.is_let_come(|| later), "nothing has come since");
        flood.end();
        assert!(!flood.is_let_come(|| soon));
        assert_eq!(hear(&mut flood, &mut now, 9, 500, 900), 0, "it begins anew");
        assert_eq!(hear(&mut flood, &mut now, 8, 500, 900), 8);
        now += Duration::from_secs(60);
        assert_eq!(hear(&mut flood, &mut now, 9, 500, 900), 0, "after silence");
    }
}
