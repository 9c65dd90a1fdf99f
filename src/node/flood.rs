//! A stream of casts, which is heard now and then.
//!
//! Whoever reads at once what a BEAM casts makes it write a packet for some dozens of messages, and wake the reader for each
//! packet; that is half of what a cast costs the sender. If there is more to read each time, the sender writes more at once, and
//! gets rid of twice as many messages. Nobody waits for an answer; a call behind the stream waits for one pause at most.

use std::time::{Duration, Instant};

/// For how long nothing is read. It is the resolution of the runtime's timers, which may take twice as long.
pub(super) const PAUSE: Duration = Duration::from_millis(1);

/// So many casts in that time are a stream.
const MANY: usize = 128;

/// How many casts came in a row.
#[derive(Debug)]
pub(super) struct Flood {
    since: Instant,
    casts: usize,
}

impl Flood {
    pub(super) fn new(now: Instant) -> Self {
        Self { since: now, casts: 0 }
    }

    /// So many casts have come together.
    pub(super) fn note(&mut self, casts: usize, now: Instant) {
        if now.saturating_duration_since(self.since) > PAUSE {
            *self = Self::new(now);
        }
        self.casts += casts;
    }

    /// Somebody may wait for what has come.
    pub(super) const fn end(&mut self) {
        self.casts = 0;
    }

    /// Whether more should be let come before it is read, when all has been read.
    pub(super) const fn is_on(&self) -> bool {
        self.casts >= MANY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_casts_in_a_row_are_a_flood() {
        let now = Instant::now();
        let mut flood = Flood::new(now);
        for (ms, casts, is_on) in
            [(0, 100, false), (0, 28, true), (1, 1, true), (2, 1, false), (3, 127, true), (9, 127, false)]
        {
            flood.note(casts, now + Duration::from_millis(ms));
            assert_eq!(flood.is_on(), is_on, "after {ms} ms");
        }
        flood.note(1, now + Duration::from_millis(9));
        assert!(flood.is_on());
        flood.end();
        flood.note(127, now + Duration::from_millis(9));
        assert!(!flood.is_on(), "others before");
    }
}
