//! Ticks: when to send one, and when a silent peer is down (`lib/kernel/src/dist_util.erl`, `con_loop`).

use std::time::{Duration, Instant};

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TickAction {
    /// Nothing.
    Nothing,
    /// Send an empty frame.
    Send,
    /// The peer was silent for the whole net_ticktime: `net_tick_timeout`.
    Down,
}

/// The tick timer of one connection, as data: the caller brings the time.
#[derive(Debug, Clone)]
pub struct Tick {
    ticktime: Duration,
    intensity: u32,
    boundary: Instant,
    last_received: Instant,
    last_sent: Instant,
    /// A peer that was silent when the net_ticktime became shorter is given until then.
    spared_until: Option<Instant>,
}

impl Tick {
    /// Ticks in a net_ticktime (`net_tickintensity`, OTP's default).
    pub const INTENSITY: u32 = 4;

    /// Shorter than the interval of the shortest net_ticktime, 1 s.
    const ANSWER_GAP: Duration = Duration::from_millis(200);

    /// A connection that came up at `now`, with `intensity` ticks in its ticktime.
    #[must_use]
    pub fn new(ticktime: Duration, intensity: u32, now: Instant) -> Self {
        let boundary = later(now, parts(ticktime, intensity));
        Self { ticktime, intensity, boundary, last_received: now, last_sent: now, spared_until: None }
    }

    /// Follows a change of the net_ticktime: an interval of the new length begins (`net_kernel.erl`, `ticker_loop`).
    ///
    /// A peer is not down for a silence that was allowed until now: with a shorter time it has the new time
    /// from now on, though never more than it had left.
    pub fn set_ticktime(&mut self, ticktime: Duration, now: Instant) {
        if ticktime == self.ticktime {
            return;
        }
        let down_at = self.down_at();
        let is_shorter = ticktime < self.ticktime;
        self.ticktime = ticktime;
        self.boundary = later(now, self.interval());
        self.spared_until = if is_shorter {
            Some(down_at.min(later(now, ticktime)))
        } else {
            self.spared_until.filter(|until| *until > later(self.last_received, ticktime))
        };
    }

    /// A whole frame came in, a tick included. Half a frame is not traffic.
    pub fn received(&mut self, now: Instant) {
        self.last_received = now;
        self.spared_until = None;
    }

    /// A frame went out.
    pub fn sent(&mut self, now: Instant) {
        self.last_sent = now;
    }

    /// Whether a received tick should be answered: nothing went out just now. Keeps us alive towards a peer with a much
    /// shorter tick time, as nodes of the C interface do, and stops at once when the peer answers ticks too.
    #[must_use]
    pub fn wants_answer(&self, now: Instant) -> bool {
        now >= later(self.last_sent, Self::ANSWER_GAP)
    }

    /// When [`Tick::poll`] has to be called next.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.boundary.min(self.down_at())
    }

    /// What is due at `now`.
    ///
    /// At the end of each interval a tick is sent if nothing went out during it, and, because peers of a hidden node
    /// are treated so, also if nothing came in.
    pub fn poll(&mut self, now: Instant) -> TickAction {
        if now >= self.down_at() {
            return TickAction::Down;
        }
        if now < self.boundary {
            return TickAction::Nothing;
        }
        let start = self.boundary.checked_sub(self.interval()).unwrap_or(self.boundary);
        // After a pause (a suspended machine) the boundaries missed are not made up for.
        self.boundary = later(self.boundary, self.interval()).max(now);
        if self.last_sent <= start || self.last_received <= start { TickAction::Send } else { TickAction::Nothing }
    }

    fn down_at(&self) -> Instant {
        self.spared_until.unwrap_or(later(self.last_received, self.ticktime))
    }

    fn interval(&self) -> Duration {
        parts(self.ticktime, self.intensity)
    }
}

/// Beyond what an `Instant` holds, which is millions of years, it is now.
fn later(from: Instant, by: Duration) -> Instant {
    from.checked_add(by).unwrap_or(from)
}

fn parts(whole: Duration, count: u32) -> Duration {
    whole.checked_div(count).unwrap_or(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: Duration = Duration::from_secs(60);

    fn tick() -> (Tick, Instant) {
        let now = Instant::now();
        (Tick::new(T, Tick::INTENSITY, now), now)
    }

    fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn idle_connection_ticks_every_interval_and_goes_down_after_the_ticktime() {
        let (mut tick, start) = tick();
        let mut sent = 0;
        loop {
            let now = tick.deadline();
            match tick.poll(now) {
                TickAction::Send => {
                    sent += 1;
                    tick.sent(now);
                }
                TickAction::Down => {
                    assert_eq!(now - start, T);
                    break;
                }
                TickAction::Nothing => {}
            }
        }
        assert_eq!(sent, 3);
    }

    #[test]
    fn traffic_both_ways_needs_no_tick() {
        let (mut tick, start) = tick();
        for second in 1..600 {
            let now = start + secs(second);
            tick.received(now);
            tick.sent(now);
            assert_eq!(tick.poll(now), TickAction::Nothing, "second {second}");
        }
    }

    #[test]
    fn a_peer_that_only_ticks_or_only_listens() {
        let (mut tick, start) = tick();
        for interval in 1..40 {
            let now = start + secs(15 * interval);
            tick.received(now - secs(1));
            assert_eq!(tick.poll(now), TickAction::Send, "nothing was sent in interval {interval}");
            tick.sent(now);
        }
    }

    #[test]
    fn a_shorter_time_spares_a_silent_peer_for_that_time_at_most() {
        for (silent, down_after) in [(0, 4), (50, 4), (58, 2)] {
            let (mut tick, start) = tick();
            let now = start + secs(silent);
            tick.set_ticktime(secs(4), now);
            let down = now + secs(down_after);
            assert_ne!(tick.poll(down - Duration::from_millis(1)), TickAction::Down, "silent for {silent} s");
            assert_eq!(tick.poll(down), TickAction::Down, "silent for {silent} s");
        }
    }

    #[test]
    fn a_peer_that_is_heard_after_the_change_is_judged_by_the_new_time() {
        let (mut tick, start) = tick();
        tick.set_ticktime(secs(4), start + secs(50));
        tick.received(start + secs(51));
        assert_ne!(tick.poll(start + secs(54)), TickAction::Down);
        assert_eq!(tick.poll(start + secs(55)), TickAction::Down);
    }

    #[test]
    fn longer_after_shorter_takes_back_no_time() {
        let (mut tick, start) = tick();
        tick.set_ticktime(secs(4), start + secs(50));
        tick.set_ticktime(secs(8), start + secs(51));
        assert_ne!(tick.poll(start + secs(53)), TickAction::Down);
        assert_eq!(tick.poll(start + secs(54)), TickAction::Down);
        tick.set_ticktime(T, start + secs(54));
        assert_eq!(tick.deadline(), start + T);
    }

    #[test]
    fn the_same_time_again_changes_nothing() {
        let (mut tick, start) = tick();
        tick.set_ticktime(T, start + secs(14));
        assert_eq!(tick.deadline(), start + secs(15));
    }

    #[test]
    fn a_tick_is_answered_and_the_answer_to_that_is_not() {
        let (mut tick, start) = tick();
        for second in 1..15 {
            let now = start + secs(second);
            tick.received(now);
            assert!(tick.wants_answer(now), "a peer may have a net_ticktime of 4 s");
            tick.sent(now);
            assert!(!tick.wants_answer(now + Duration::from_millis(1)));
        }
    }
}
