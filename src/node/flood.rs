//! A stream of casts, which is heard now and then.
//!
//! Whoever reads at once what a BEAM casts makes it write a packet for some dozens of messages, and wake the reader for each
//! packet; that is half of what a cast costs the sender. If there is more to read each time, the sender writes more at once, and
//! gets rid of twice as many messages. Where little can wait to be read (small windows, a slow network) it is the other way
//! round: so both are tried, and pauses are made if more comes with them. Nobody waits for an answer to a cast; a call behind
//! the stream waits for what comes before it, and a pause.

use std::time::{Duration, Instant};

/// For how long nothing is read. It is the resolution of the runtime's timers, which may take twice as long.
pub(super) const PAUSE: Duration = Duration::from_millis(1);

/// So many casts in a millisecond, and nothing else, are a stream.
const MANY: f64 = 128.0;

/// How long casts are counted.
const TRIAL: Duration = Duration::from_millis(8);

/// After so much longer than a trial the stream was over.
const OVER: u32 = 4;

/// Pauses are worth it if so many times as much comes with them.
const WORTH: f64 = 1.1;

/// How long it holds that they are worth it, and at most that they are not.
const HELD: Duration = Duration::from_secs(1);

/// How long it holds at first that they are not; each time that is found again, twice as long. A sender that had to collect its
/// garbage meanwhile is not left without them for long.
const DOUBTED: Duration = Duration::from_millis(30);

/// The casts that came in a row, and what is done about them.
#[derive(Debug, Default)]
pub(super) struct Flood {
    phase: Phase,
    /// Since when so many came.
    since: Option<Instant>,
    casts: u32,
    /// When the latest did.
    last: Option<Instant>,
    /// Whether pauses are worth it, and until when that holds.
    found: Option<(bool, Instant)>,
    /// How long it held that they are not.
    held: Duration,
}

/// A phase is a trial, or more. Rates are casts in a millisecond.
#[derive(Debug, Default, Clone, Copy)]
enum Phase {
    /// What comes is read at once, and may become a stream.
    #[default]
    Heard,
    /// It is one, and what comes without pauses is counted.
    Without,
    /// Pauses are made, and the sender gets used to them.
    Settling { without: f64 },
    /// What comes with pauses is counted.
    With { without: f64 },
    /// What was found is done.
    Found,
}

impl Flood {
    /// So many casts have come together. Gives whether pauses are worth it, if that was found now.
    pub(super) fn note(&mut self, casts: u32, now: Instant) -> Option<bool> {
        self.last = Some(now);
        let since = *self.since.get_or_insert(now);
        if since == now {
            return None;
        }
        self.casts = self.casts.saturating_add(casts);
        let counted = now.saturating_duration_since(since);
        if counted < TRIAL {
            return None;
        }
        let rate = f64::from(self.casts) / (counted.as_secs_f64() * 1_000.0);
        (self.since, self.casts) = (self.last, 0);
        if counted > TRIAL * OVER {
            self.phase = Phase::Heard;
            return None;
        }
        let found = if let Phase::With { without } = self.phase { Some(rate > without * WORTH) } else { None };
        if let Some(is_worth) = found {
            self.hold(is_worth, now);
        }
        let is_known = self.found.is_some_and(|(_, until)| now < until);
        self.phase = match self.phase {
            Phase::Heard | Phase::Without | Phase::Found if rate < MANY => Phase::Heard,
            Phase::Heard | Phase::Found if is_known => Phase::Found,
            Phase::Heard | Phase::Found => Phase::Without,
            Phase::Without => Phase::Settling { without: rate },
            Phase::Settling { without } => Phase::With { without },
            Phase::With { .. } => Phase::Found,
        };
        found
    }

    /// Somebody may wait for what has come.
    pub(super) fn end(&mut self) {
        if matches!(self.phase, Phase::Settling { .. } | Phase::With { .. }) {
            // Who does that often would be made to wait, and it would never be known whether that is worth it.
            self.last.into_iter().for_each(|last| self.hold(false, last));
        }
        *self = Self { found: self.found, held: self.held, ..Self::default() };
    }

    fn hold(&mut self, is_worth: bool, now: Instant) {
        self.held = if is_worth { Duration::ZERO } else { (self.held * 2).clamp(DOUBTED, HELD) };
        self.found = Some((is_worth, now + if is_worth { HELD } else { self.held }));
    }

    /// Whether more should be let come, when all has been read.
    pub(super) fn is_let_come(&self, now: impl FnOnce() -> Instant) -> bool {
        let makes_pauses = match self.phase {
            Phase::Heard | Phase::Without => false,
            Phase::Settling { .. } | Phase::With { .. } => true,
            Phase::Found => self.found.is_some_and(|(is_worth, _)| is_worth),
        };
        makes_pauses && self.last.is_some_and(|last| now().saturating_duration_since(last) < PAUSE)
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
            let _ = flood.note(if is_let_come { with } else { without }, *now);
            usize::from(is_let_come)
        };
        (0..ms).map(hear_one).sum()
    }

    #[test]
    fn pauses_are_made_while_more_comes_with_them() {
        let mut now = Instant::now();
        let mut flood = Flood::default();
        assert_eq!(hear(&mut flood, &mut now, 1_000, 100, 900), 0, "too few");
        assert!(hear(&mut flood, &mut now, 10_000, 500, 900) > 9_700, "it is a stream");
        assert!(hear(&mut flood, &mut now, 1_200, 500, 60) < 1_100, "it is another");
        for with in [60, 200, 510] {
            assert!(hear(&mut flood, &mut now, 10_000, 500, with) < 300, "{with} with them");
        }
        assert!(hear(&mut flood, &mut now, 10_000, 500, 900) > 8_700, "windows are large again");
        assert!(hear(&mut flood, &mut now, 1_000, 100, 100) <= 16, "it ends");
    }

    #[test]
    fn whoever_may_wait_for_an_answer_is_heard_at_once() {
        let mut now = Instant::now();
        let mut flood = Flood::default();
        assert_eq!(hear(&mut flood, &mut now, 17, 500, 900), 0, "what is over so soon is heard without pauses");
        assert_eq!(hear(&mut flood, &mut now, 100, 500, 900), 100);
        let (soon, later) = (now + PAUSE / 2, now + PAUSE);
        assert!(flood.is_let_come(|| soon) && !flood.is_let_come(|| later), "nothing has come since");
        flood.end();
        assert!(!flood.is_let_come(|| soon));
        assert_eq!(hear(&mut flood, &mut now, 9, 500, 900), 0, "it begins anew");
        assert_eq!(hear(&mut flood, &mut now, 8, 500, 900), 8, "and is known");
        now += Duration::from_secs(60);
        assert_eq!(hear(&mut flood, &mut now, 17, 500, 900), 0, "after silence");
    }

    #[test]
    fn who_often_calls_in_between_is_not_made_to_wait() {
        let mut now = Instant::now();
        let mut flood = Flood::default();
        let mut pauses = 0;
        for _ in 0..500 {
            pauses += hear(&mut flood, &mut now, 20, 500, 60);
            flood.end();
        }
        assert!(pauses < 100, "{pauses} in ten seconds");
    }
}
