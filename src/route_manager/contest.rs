//! Objects of ours that someone else keeps deleting. Time arrives as an argument.
//!
//! What is deleted once is put back at once. What is deleted again and again is left alone for a while, and then put back
//! after ever longer pauses: two programs that undo each other for ever help nobody. The fight is over when the object
//! has stayed for as long as we had left it alone.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use crate::route::Object;

/// So many deletions within [`WINDOW`] are a fight.
const LIMIT: usize = 5;
/// See [`LIMIT`]. An object must also stay at least so long for the fight to be over.
const WINDOW: Duration = Duration::from_secs(10);
/// How long a contested object is first left alone; each further deletion doubles it.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// No longer than this.
const MAX_PAUSE: Duration = Duration::from_secs(60);

/// All fights, and what may become one.
#[derive(Debug, Default)]
pub(super) struct Contests {
    fights: BTreeMap<Object, Fight>,
}

#[derive(Debug)]
enum Fight {
    /// It was deleted at these times, and put back at once.
    Skirmish(VecDeque<Instant>),
    /// It is left alone.
    Paused { until: Instant, pause: Duration },
    /// It was put back. If it is still there then, the fight is over.
    Probation { until: Instant, pause: Duration },
}

impl Contests {
    /// Someone has deleted `object`, which we want.
    pub(super) fn lost(&mut self, object: Object, now: Instant) {
        let fight = self.fights.entry(object).or_insert_with(|| Fight::Skirmish(VecDeque::new()));
        let pause = match fight {
            Fight::Skirmish(times) => {
                times.push_back(now);
                times.retain(|time| now.duration_since(*time) <= WINDOW);
                if times.len() < LIMIT {
                    return;
                }
                FIRST_PAUSE
            }
            Fight::Paused { .. } => return,
            Fight::Probation { pause, .. } => (*pause * 2).min(MAX_PAUSE),
        };
        *fight = Fight::Paused { until: now + pause, pause };
    }

    /// The objects that are left alone now.
    pub(super) fn held(&self) -> BTreeSet<Object> {
        let held = self.fights.iter().filter(|(_, fight)| matches!(fight, Fight::Paused { .. }));
        held.map(|(object, _)| *object).collect()
    }

    /// Whether `object` is left alone now.
    #[cfg(test)]
    fn holds(&self, object: &Object) -> bool {
        matches!(self.fights.get(object), Some(Fight::Paused { .. }))
    }

    /// The objects that are fought over, also those that were put back a moment ago.
    pub(super) fn contested(&self) -> impl Iterator<Item = &Object> {
        self.fights.iter().filter(|(_, fight)| !matches!(fight, Fight::Skirmish(_))).map(|(object, _)| object)
    }

    /// When [`Contests::pass`] is due.
    pub(super) fn due(&self) -> Option<Instant> {
        self.fights.values().filter_map(Fight::due).min()
    }

    /// Lets the time be `now`; says whether an object is to be put back, or a fight is over.
    pub(super) fn pass(&mut self, now: Instant) -> bool {
        let mut has_changed = false;
        self.fights.retain(|_, fight| match fight {
            Fight::Skirmish(times) => times.back().is_some_and(|last| now.duration_since(*last) <= WINDOW),
            Fight::Paused { until, pause } if *until <= now => {
                has_changed = true;
                *fight = Fight::Probation { until: now + (*pause).max(WINDOW), pause: *pause };
                true
            }
            Fight::Probation { until, .. } if *until <= now => {
                has_changed = true;
                false
            }
            Fight::Paused { .. } | Fight::Probation { .. } => true,
        });
        has_changed
    }
}

impl Fight {
    const fn due(&self) -> Option<Instant> {
        match self {
            Self::Skirmish(_) => None,
            Self::Paused { until, .. } | Self::Probation { until, .. } => Some(*until),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::Rule;

    const SECOND: Duration = Duration::from_secs(1);

    fn rule(table: u32) -> Object {
        Object::Rule(Rule { src: "10.0.0.5".parse().unwrap(), table, priority: 30_000 })
    }

    fn contested(now: Instant) -> Contests {
        let mut contests = Contests::default();
        for _ in 0..LIMIT {
            assert!(!contests.holds(&rule(100)));
            contests.lost(rule(100), now);
        }
        contests
    }

    #[test]
    fn five_times_in_ten_seconds_and_no_fewer() {
        let start = Instant::now();
        let mut contests = Contests::default();
        // One in 2.6 s: never more than four in 10 s.
        for n in 0..40 {
            contests.lost(rule(100), start + n * Duration::from_millis(2600));
            assert!(!contests.holds(&rule(100)) && contests.due().is_none(), "{n}");
        }
        let contests = contested(start);
        assert!(contests.holds(&rule(100)) && !contests.holds(&rule(101)));
        assert_eq!(contests.due(), Some(start + SECOND));
    }

    #[test]
    fn each_attempt_comes_later_than_the_one_before_up_to_a_minute() {
        let mut now = Instant::now();
        let mut contests = contested(now);
        for pause in [1, 2, 4, 8, 16, 32, 60, 60, 60] {
            assert!(!contests.pass(now + pause * SECOND - Duration::from_millis(1)));
            now += pause * SECOND;
            assert_eq!(contests.due(), Some(now));
            assert!(contests.pass(now), "{pause}");
            assert!(!contests.holds(&rule(100)));
            assert_eq!(contests.contested().count(), 1, "not over yet");
            contests.lost(rule(100), now);
            assert!(contests.holds(&rule(100)));
        }
    }

    #[test]
    fn it_is_over_when_the_object_has_stayed() {
        let now = Instant::now();
        let mut contests = contested(now);
        assert!(contests.pass(now + SECOND));
        assert!(!contests.pass(now + SECOND * 10));
        assert!(contests.pass(now + SECOND * 11));
        assert_eq!((contests.contested().count(), contests.due()), (0, None));
        contests.lost(rule(100), now + SECOND * 12);
        assert!(!contests.holds(&rule(100)), "all is forgiven");
        contests.pass(now + SECOND * 23);
        assert!(contests.fights.is_empty(), "and forgotten");
    }
}
