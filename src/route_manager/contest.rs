//! What someone else keeps undoing: they delete what we add, or add what we delete. Time arrives as an argument.
//!
//! What is undone once is done again at once. What is undone again and again is left alone for a while, and then done
//! again after ever longer pauses: two programs that undo each other for ever help nobody. The fight is over when nobody
//! has undone it for as long as we had left it alone.
//!
//! Only what others did counts, never what our callers want changed; and what the kernel may have done by itself, when a
//! link or an address changed, does not.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use crate::netlink::Doer;
use crate::route::{Change, Object};

/// So many times within [`WINDOW`] are a fight.
const LIMIT: usize = 5;
/// See [`LIMIT`]. What we did must also stay at least so long for the fight to be over.
const WINDOW: Duration = Duration::from_secs(10);
/// How long it is first left alone; each further time doubles it.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// No longer than this.
const MAX_PAUSE: Duration = Duration::from_secs(60);

/// All fights, and what may become one.
#[derive(Debug, Default)]
pub(super) struct Contests {
    /// By our change, which others undo.
    fights: BTreeMap<Change, Fight>,
}

#[derive(Debug)]
enum Fight {
    /// It was undone at these times, and done again at once.
    Skirmish(VecDeque<(Instant, Doer)>),
    /// It is left alone, since it was undone by `doer`.
    Paused { until: Instant, pause: Duration, doer: Doer },
    /// It was done again. If it still stands then, the fight is over.
    Probation { until: Instant, pause: Duration },
}

impl Contests {
    /// Someone has undone `change`, which we want; says whether that is one too many, so that it is left alone from now on.
    pub(super) fn undone(&mut self, change: Change, doer: Doer, now: Instant) -> bool {
        let fight = self.fights.entry(change).or_insert_with(|| Fight::Skirmish(VecDeque::new()));
        let pause = match fight {
            Fight::Skirmish(times) => {
                times.push_back((now, doer));
                times.retain(|(time, _)| now.duration_since(*time) <= WINDOW);
                if times.len() < LIMIT {
                    return false;
                }
                FIRST_PAUSE
            }
            Fight::Paused { .. } => return false,
            Fight::Probation { pause, .. } => (*pause * 2).min(MAX_PAUSE),
        };
        *fight = Fight::Paused { until: now + pause, pause, doer };
        true
    }

    /// Something has happened to these links, or to their addresses: what nobody is known to have undone there, the kernel
    /// may have. It tells of the link after it has taken the routes.
    pub(super) fn excuse(&mut self, links: &BTreeSet<u32>, now: Instant) {
        let upset = |change: &Change| change.ifindex().is_some_and(|ifindex| links.contains(&ifindex));
        for (_, fight) in self.fights.iter_mut().filter(|(change, _)| upset(change)) {
            match fight {
                Fight::Skirmish(times) => times.retain(|(_, doer)| *doer == Doer::Program),
                // Tried again at once: the next pause is longer only if someone undoes it then.
                Fight::Paused { until, doer: Doer::Unnamed, .. } => *until = now.min(*until),
                Fight::Paused { .. } | Fight::Probation { .. } => {}
            }
        }
    }

    /// Whether `change` is put off now.
    pub(super) fn holds(&self, change: &Change) -> bool {
        matches!(self.fights.get(change), Some(Fight::Paused { .. }))
    }

    /// The changes that are put off now.
    pub(super) fn held(&self) -> impl Iterator<Item = &Change> {
        self.fights.iter().filter(|(_, fight)| matches!(fight, Fight::Paused { .. })).map(|(change, _)| change)
    }

    /// The objects that are not added now.
    pub(super) fn missed(&self) -> BTreeSet<Object> {
        let added = |change: &Change| if let Change::Add(object) = change { Some(*object) } else { None };
        self.held().filter_map(added).collect()
    }

    /// The changes that are fought over, also those that were made again a moment ago.
    pub(super) fn contested(&self) -> impl Iterator<Item = &Change> {
        self.fights.iter().filter(|(_, fight)| !matches!(fight, Fight::Skirmish(_))).map(|(change, _)| change)
    }

    /// When [`Contests::pass`] is due.
    pub(super) fn due(&self) -> Option<Instant> {
        self.fights.values().filter_map(Fight::due).min()
    }

    /// Lets the time be `now`; says whether a change is to be made again, or a fight is over.
    pub(super) fn pass(&mut self, now: Instant) -> bool {
        let mut has_changed = false;
        self.fights.retain(|_, fight| match fight {
            Fight::Skirmish(times) => times.back().is_some_and(|(last, _)| now.duration_since(*last) <= WINDOW),
            Fight::Paused { until, pause, .. } if *until <= now => {
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
    use crate::route::{Connected, Family, MAIN_TABLE, Prefix, Route, Rule};

    const SECOND: Duration = Duration::from_secs(1);

    fn rule(table: u32) -> Change {
        Change::Add(Object::Rule(Rule { src: "10.0.0.5".parse().unwrap(), table, priority: 30_000 }))
    }

    fn route(ifindex: u32) -> Object {
        let (dst, gateway, prefsrc) = (Prefix::default_route(Family::V4), None, None);
        Object::Route(Route { table: MAIN_TABLE, dst, metric: 10, ifindex, gateway, prefsrc, onlink: false })
    }

    /// One change of each kind over link 2.
    fn over_a_link() -> [Change; 3] {
        let connected = Connected { dst: Prefix::default_route(Family::V4), ifindex: 2, prefsrc: None };
        [Change::Add(route(2)), Change::Delete(route(2)), Change::RemoveConnected(connected)]
    }

    fn undo(contests: &mut Contests, change: Change, times: usize, doer: Doer, now: Instant) {
        (0..times).for_each(|_| _ = contests.undone(change, doer, now));
    }

    fn contested(now: Instant) -> Contests {
        let mut contests = Contests::default();
        for _ in 0..LIMIT {
            assert!(!contests.holds(&rule(100)));
            contests.undone(rule(100), Doer::Program, now);
        }
        contests
    }

    #[test]
    fn five_times_in_ten_seconds_and_no_fewer() {
        let start = Instant::now();
        let mut contests = Contests::default();
        // One in 2.6 s: never more than four in 10 s.
        for n in 0..40 {
            contests.undone(rule(100), Doer::Program, start + n * Duration::from_millis(2600));
            assert!(!contests.holds(&rule(100)) && contests.due().is_none(), "{n}");
        }
        let contests = contested(start);
        assert!(contests.holds(&rule(100)) && !contests.holds(&rule(101)));
        assert_eq!(contests.held().collect::<Vec<_>>(), [&rule(100)]);
        assert_eq!(contests.due(), Some(start + SECOND));
    }

    #[test]
    fn every_kind_of_change_has_a_fight_of_its_own() {
        let now = Instant::now();
        let mut contests = Contests::default();
        for change in over_a_link() {
            undo(&mut contests, change, LIMIT - 1, Doer::Program, now);
        }
        assert_eq!(contests.held().count(), 0);
        for (n, change) in over_a_link().iter().enumerate() {
            contests.undone(*change, Doer::Program, now);
            assert!(contests.holds(change) && contests.held().count() == n + 1, "{change:?}");
        }
    }

    #[test]
    fn what_a_link_explains_is_no_fight() {
        let now = Instant::now();
        let links = BTreeSet::from([2]);
        for change in over_a_link() {
            let mut contests = Contests::default();
            // The events of one flap may be split over two reads, so that the loss is told before the link.
            for _ in 0..20 {
                undo(&mut contests, change, LIMIT - 1, Doer::Unnamed, now);
                contests.excuse(&links, now);
            }
            assert!(contests.fights.values().all(|fight| matches!(fight, Fight::Skirmish(times) if times.is_empty())));
            // Another link explains nothing, and no link what a program is known to have done.
            undo(&mut contests, change, 2, Doer::Unnamed, now);
            contests.excuse(&[3].into(), now);
            undo(&mut contests, change, LIMIT - 3, Doer::Program, now);
            assert!(!contests.holds(&change));
            contests.excuse(&links, now);
            undo(&mut contests, change, 2, Doer::Program, now);
            assert!(!contests.holds(&change), "two are excused");
            contests.undone(change, Doer::Program, now);
            assert!(contests.holds(&change));
            contests.excuse(&links, now);
            assert_eq!(contests.due(), Some(now + SECOND));
        }
        // Rules have no link.
        let mut contests = Contests::default();
        undo(&mut contests, rule(100), LIMIT - 1, Doer::Unnamed, now);
        contests.excuse(&(0..10).collect(), now);
        contests.undone(rule(100), Doer::Unnamed, now);
        assert!(contests.holds(&rule(100)));
    }

    #[test]
    fn a_link_that_flaps_during_a_fight_leaves_nothing_out() {
        let mut now = Instant::now();
        let [change, ..] = over_a_link();
        let mut contests = Contests::default();
        undo(&mut contests, change, LIMIT, Doer::Program, now);
        now += SECOND;
        assert!(contests.pass(now));
        // The kernel takes it, and tells of the link a moment later.
        contests.undone(change, Doer::Unnamed, now);
        assert!(contests.holds(&change));
        contests.excuse(&[2].into(), now);
        assert!(contests.pass(now) && !contests.holds(&change));
        assert_eq!(contests.contested().count(), 1, "the fight is not over");
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
            contests.undone(rule(100), Doer::Program, now);
            assert!(contests.holds(&rule(100)));
        }
    }

    #[test]
    fn it_is_over_when_nobody_has_undone_it_for_long() {
        let now = Instant::now();
        let mut contests = contested(now);
        assert!(contests.pass(now + SECOND));
        assert!(!contests.pass(now + SECOND * 10));
        assert!(contests.pass(now + SECOND * 11));
        assert_eq!((contests.contested().count(), contests.due()), (0, None));
        contests.undone(rule(100), Doer::Program, now + SECOND * 12);
        assert!(!contests.holds(&rule(100)), "all is forgiven");
        contests.pass(now + SECOND * 23);
        assert!(contests.fights.is_empty(), "and forgotten");
    }
}
