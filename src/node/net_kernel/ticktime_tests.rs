//! S1 to S10 with fake time: one node's [`TickTime`] and the [`Tick`] of a connection that follows it.

use bytes::BytesMut;

use super::*;
use crate::dist::{FrameDecoder, Header, TickAction};

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn nonzero(n: u32) -> NonZeroU32 {
    NonZeroU32::new(n).unwrap()
}

fn change(term: &Term, seconds: i64) -> bool {
    *term == tuple([atom("ongoing_change_to"), integer(seconds)])
}

/// A node with one connection to a peer that hears everything at once.
struct Bench {
    time: TickTime,
    tick: Tick,
    start: Instant,
    /// When something went out, since the start.
    sent: Vec<Duration>,
    /// When the peer was found down.
    down: Option<Duration>,
}

impl Bench {
    fn new(ticktime: u64) -> Self {
        let start = Instant::now();
        let time = TickTime::new(secs(ticktime), 4);
        let tick = time.tick(start);
        Self { time, tick, start, sent: Vec::new(), down: None }
    }

    fn set(&mut self, ticktime: u32, transition: u32, at: Duration) -> TickTimeChange {
        self.time.set(nonzero(ticktime), transition, self.start + at)
    }

    /// Lets time pass until `until`; the peer is heard every `heard`, if ever.
    fn run(&mut self, from: Duration, until: Duration, heard: Option<Duration>) {
        let mut hear = heard.map(|every| self.start + from + every);
        let end = self.start + until;
        while self.down.is_none() {
            let due = [Some(self.tick.deadline()), self.time.deadline(), hear].into_iter().flatten().min().unwrap();
            if due > end {
                return;
            }
            if hear == Some(due) {
                self.tick.received(due);
                hear = heard.map(|every| due + every);
            }
            if let Some(ticktime) = self.time.poll(due) {
                self.tick.set_ticktime(ticktime, due);
                self.send(due);
            }
            match self.tick.poll(due) {
                TickAction::Nothing => {}
                TickAction::Send => self.send(due),
                TickAction::Down => self.down = Some(due - self.start),
            }
        }
    }

    fn send(&mut self, now: Instant) {
        self.tick.sent(now);
        self.sent.push(now - self.start);
    }

    fn longest_pause(&self, from: Duration, until: Duration) -> Duration {
        let mut times = vec![from];
        times.extend(self.sent.iter().filter(|at| (from..=until).contains(*at)));
        times.push(until);
        times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap()
    }
}

#[test]
fn g1_idle_is_the_value_in_force_in_seconds() {
    assert_eq!(TickTime::new(secs(60), 4).get(), integer(60));
    assert_eq!(TickTime::new(ms(59_999), 4).get(), integer(60));
    assert_eq!(TickTime::new(ms(1), 4).in_force(), ms(4));
}

#[test]
fn g2_during_a_transition_the_new_value_is_told() {
    for (new, transition) in [(4, 1), (120, 1)] {
        let mut bench = Bench::new(60);
        bench.set(new, transition, secs(0));
        assert!(change(&bench.time.get(), i64::from(new)));
    }
}

#[test]
fn s1_the_value_in_force_is_unchanged() {
    let mut bench = Bench::new(60);
    assert_eq!(bench.set(60, 5, secs(0)).to_term(), atom("unchanged"));
    assert_eq!(bench.time, TickTime::new(secs(60), 4));
    assert_eq!(bench.time.deadline(), None);
}

#[test]
fn s2_another_value_is_initiated_at_once() {
    let mut bench = Bench::new(60);
    assert_eq!(bench.set(8, 60, secs(3)).to_term(), atom("change_initiated"));
    assert_eq!(bench.time.deadline(), Some(bench.start + secs(3)));
}

#[test]
fn s3_a_running_change_is_told_and_goes_on() {
    let mut bench = Bench::new(60);
    bench.set(8, 1, secs(0));
    let before = bench.time.clone();
    for asked in [8, 60, 120] {
        assert!(change(&bench.set(asked, 0, secs(1)).to_term(), 8), "{asked}");
    }
    assert_eq!(bench.time, before);
}

#[test]
fn s4_longer_applies_at_once() {
    let mut bench = Bench::new(8);
    bench.set(16, 100, secs(7));
    bench.run(secs(7), secs(100), None);
    assert_eq!(bench.down, Some(secs(16)));
}

#[test]
fn s4_shorter_applies_when_the_period_ends() {
    let mut bench = Bench::new(60);
    bench.set(4, 10, secs(0));
    bench.run(secs(0), secs(10) - ms(1), None);
    assert_eq!(bench.time.in_force(), secs(60));
    assert_eq!(bench.down, None);
    bench.run(secs(10), secs(100), None);
    assert_eq!(bench.time.in_force(), secs(4));
    assert_eq!(bench.down, Some(secs(14)));
}

#[test]
fn s5_traffic_every_mtti_and_a_tick_at_the_end() {
    for (old, new, transition) in [(60, 8, 10), (8, 60, 10), (60, 90, 60), (4, 8, 0)] {
        let mut bench = Bench::new(old);
        bench.set(u32::try_from(new).unwrap(), transition, secs(1));
        let mtti = secs(old.min(new)) / 4;
        // The peer is heard all the time, so that only the transition makes us send.
        bench.run(secs(1), secs(200), Some(secs(1)));
        let period = mtti * (transition * 1000).div_ceil(u32::try_from(mtti.as_millis()).unwrap()).max(1);
        let end = secs(1) + period;
        assert!(bench.longest_pause(secs(1), end) <= mtti, "{old} to {new}: {:?}", bench.sent);
        assert!(bench.sent.contains(&end), "{old} to {new}: {:?}", bench.sent);
        assert_eq!(bench.time.get(), integer(i64::try_from(new).unwrap()));
        assert_eq!(bench.down, None);
    }
}

#[test]
fn s5_the_period_is_whole_mttis() {
    // ((TP * 1000 - 1) div MTTI + 1) * MTTI, and one MTTI for TP = 0.
    for (old, new, transition, period) in [
        (60, 4, 60, 60_000),
        (60, 8, 3, 4_000),
        (60, 8, 4, 4_000),
        (60, 8, 5, 6_000),
        (60, 8, 0, 2_000),
        (60, 90, 1, 15_000),
    ] {
        let mut bench = Bench::new(old);
        bench.set(new, transition, secs(0));
        let end = ms(period);
        bench.run(secs(0), end - ms(1), Some(secs(1)));
        assert!(change(&bench.time.get(), i64::from(new)), "{old} to {new} in {transition}");
        bench.run(end, end, Some(secs(1)));
        assert_eq!(bench.time.get(), integer(i64::from(new)), "{old} to {new} in {transition}");
    }
}

#[test]
fn s5_after_a_pause_one_tick_and_then_the_rhythm_again() {
    let mut time = TickTime::new(secs(60), 4);
    let start = Instant::now();
    time.set(nonzero(4), 60, start);
    assert_eq!(time.poll(start + secs(30)), Some(secs(60)));
    assert_eq!(time.poll(start + secs(30)), None);
    assert_eq!(time.deadline(), Some(start + secs(31)));
    assert_eq!(time.poll(start + secs(1000)), Some(secs(4)));
    assert_eq!(time.poll(start + secs(1000)), None);
    assert_eq!(time.deadline(), None);
}

#[test]
fn s6_sixty_to_four_in_one_second() {
    let mut bench = Bench::new(60);
    assert_eq!(bench.set(4, 1, secs(20)), TickTimeChange::ChangeInitiated);
    bench.run(secs(20), secs(21), None);
    assert_eq!(bench.time.get(), integer(4));
    bench.run(secs(21), secs(100), None);
    assert!(bench.longest_pause(secs(21), secs(24)) <= ms(1_000), "{:?}", bench.sent);
    let down = bench.down.unwrap();
    assert!(down > secs(24) && down < secs(26), "{down:?}");
}

#[test]
fn s7_the_longest_times_overflow_nothing() {
    for (old, new) in [(1, u32::MAX), (u64::MAX, 1), (u64::MAX, u32::MAX - 1)] {
        let mut bench = Bench::new(old);
        assert_eq!(bench.set(new, u32::MAX, secs(0)), TickTimeChange::ChangeInitiated);
        assert!(bench.time.poll(bench.start).is_some());
    }
}

#[test]
fn s9_a_connection_follows_from_where_it_came_up() {
    let mut bench = Bench::new(60);
    bench.set(4, 10, secs(0));
    bench.run(secs(0), secs(5), Some(secs(1)));
    // During the transition it begins with the time in force, the old one.
    bench.tick = bench.time.tick(bench.start + secs(5));
    bench.run(secs(5), secs(9), None);
    assert_eq!(bench.down, None);
    bench.run(secs(9), secs(100), None);
    assert_eq!(bench.down, Some(secs(14)));

    // After it, with the new one; and it follows the next change.
    bench.down = None;
    bench.tick = bench.time.tick(bench.start + secs(100));
    bench.set(8, 1, secs(103));
    bench.run(secs(103), secs(200), None);
    assert_eq!(bench.down, Some(secs(108)));
}

#[test]
fn s10_silence_is_down_between_three_and_five_quarters() {
    for ticktime in [4, 8, 60] {
        let mut bench = Bench::new(ticktime);
        bench.run(secs(0), secs(1000), None);
        let down = bench.down.unwrap();
        assert!(down > secs(ticktime) * 3 / 4 && down <= secs(ticktime) * 5 / 4, "{down:?}");
    }
}

#[test]
fn s10_only_ticks_or_only_data_keep_a_peer_up() {
    // Either is a frame, and a frame is all that counts; one in each interval, as a peer with the same time sends.
    let decoder = FrameDecoder::new(Header::Four, 1024);
    for frame in [&[0, 0, 0, 0][..], &[0, 0, 0, 1, 112]] {
        let mut bench = Bench::new(60);
        for interval in 1..100 {
            assert!(decoder.next(&mut BytesMut::from(frame)).unwrap().is_some());
            bench.run(secs(15) * (interval - 1), secs(15) * interval, Some(secs(15)));
        }
        assert_eq!(bench.down, None);
    }
}

#[test]
fn s10_half_a_frame_is_not_traffic() {
    let decoder = FrameDecoder::new(Header::Four, 1024);
    let mut buffer = BytesMut::new();
    let mut bench = Bench::new(4);
    for (second, byte) in [0, 0, 0, 9, 112, 131].into_iter().enumerate() {
        buffer.extend([byte]);
        let second = secs(u64::try_from(second).unwrap());
        if decoder.next(&mut buffer).unwrap().is_some() {
            bench.tick.received(bench.start + second);
        }
        bench.run(second, second + secs(1), None);
    }
    assert_eq!(bench.down, Some(secs(4)));
}
