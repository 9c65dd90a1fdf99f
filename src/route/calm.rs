//! Flap damping: when a reported status begins to count. Time arrives as an argument.
//!
//! - An interface that is reported to have `internet` counts as `lan` until it has had it for its `hold_up`. Having
//!   been disconnected before makes no difference: as `lan` it is a way out behind all others at once.
//! - Being held up needs another way out: while no other interface counts as having `internet`, with a default route in
//!   main, nobody is; and so for IPv4 and IPv6 apart. Whoever was let through so is not held again until it has lost
//!   `internet`.
//! - An interface that had `internet` and ceases to, also when it is disconnected, counts as having it for its
//!   `hold_down` longer. If it has it again by then, nothing has happened. Clearing its route ends that at once.
//! - Nothing here is saved: after a restart, what was last reported counts.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::{DesiredState, Family, IfName, Ranking, Status};

/// What was reported of each known interface, and what of it counts.
#[derive(Debug, Clone, Default)]
pub struct Calm {
    tracks: BTreeMap<IfName, Track>,
    /// Those of them whose two statuses differ.
    undecided: BTreeSet<IfName>,
}

/// A moment, on both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// By the clock that never jumps.
    pub at: Instant,
    /// Unix time in milliseconds.
    pub unix_ms: u64,
}

#[derive(Debug, Clone, Copy)]
struct Track {
    reported: Status,
    counted: Status,
    /// Since when the two differ.
    since: Option<Now>,
}

impl Calm {
    /// Whatever `state` has been told counts.
    #[must_use]
    pub fn of(state: &DesiredState) -> Self {
        let track = |status| Track { reported: status, counted: status, since: None };
        let tracks = state.interfaces().iter().map(|(name, wish)| (*name, track(wish.status))).collect();
        Self { tracks, undecided: BTreeSet::new() }
    }

    /// Takes in the status that is reported of an interface now; `None` if it is not known any more. Several reports
    /// before the next [`Self::settle`] are worth as much as with one after each.
    pub fn see(&mut self, name: IfName, status: Option<Status>, ranking: &Ranking, now: Now) {
        let Some(status) = status else {
            self.tracks.remove(&name);
            self.undecided.remove(&name);
            return;
        };
        let unknown = Track { reported: Status::Disconnected, counted: Status::Disconnected, since: None };
        let track = self.tracks.entry(name).or_insert(unknown);
        if track.reported == status {
            return;
        }
        track.expire(name, ranking, now.at);
        track.reported = status;
        let is_internet = status == Status::Internet;
        match (track.counted == Status::Internet, is_internet) {
            (true, true) => track.since = None,
            (true, false) => track.since = track.since.or(Some(now)),
            (false, true) => (track.counted, track.since) = (Status::Lan, Some(now)),
            (false, false) => track.count(),
        }
        track.expire(name, ranking, now.at);
        if track.since.is_some() {
            self.undecided.insert(name);
        } else {
            self.undecided.remove(&name);
        }
    }

    /// Lets count what has been held for long enough, or what nobody else can stand in for. `ways_out` is asked, if
    /// need be, with what counts of those that ceased to have `internet`; its answer tells of an interface in which
    /// families it has a default route in main, as far as the kernel goes. Gives the interfaces whose reported status does
    /// not count, with the one that does.
    pub fn settle<F: Fn(IfName) -> Vec<Family>>(
        &mut self,
        ranking: &Ranking,
        now: Instant,
        ways_out: impl FnOnce(BTreeMap<IfName, Status>) -> F,
    ) -> BTreeMap<IfName, Status> {
        if self.undecided.is_empty() {
            return BTreeMap::new();
        }
        for (name, track) in &mut self.tracks {
            track.expire(*name, ranking, now);
        }
        if self.tracks.values().any(Track::is_held_up) {
            self.let_through(ways_out(self.held(|track| !track.is_held_up())));
        }
        let held = self.held(|_| true);
        self.undecided = held.keys().copied().collect();
        held
    }

    /// Lets count those held up who are the only way out in some family.
    fn let_through(&mut self, ways_out: impl Fn(IfName) -> Vec<Family>) {
        let counting = self.tracks.iter().filter(|(_, track)| track.counted == Status::Internet);
        let mut counting = counting.map(|(name, _)| ways_out(*name));
        let mut served: BTreeSet<Family> = BTreeSet::new();
        // Few need be asked: mostly the first has a way out, and no other family is in question.
        let mut is_served = |family: &Family| {
            while !served.contains(family) {
                let Some(families) = counting.next() else { return false };
                served.extend(families);
            }
            true
        };
        let held_up = self.tracks.iter().filter(|(_, track)| track.is_held_up()).map(|(name, _)| *name);
        let is_only = |name: &IfName| !ways_out(*name).iter().all(&mut is_served);
        let only: Vec<IfName> = held_up.filter(is_only).collect();
        for name in only {
            self.tracks.entry(name).and_modify(Track::count);
        }
    }

    fn held(&self, which: impl Fn(&Track) -> bool) -> BTreeMap<IfName, Status> {
        let held = self.tracks.iter().filter(|(_, track)| track.since.is_some() && which(track));
        held.map(|(name, track)| (*name, track.counted)).collect()
    }

    /// When the next status begins to count.
    #[must_use]
    pub fn due(&self, ranking: &Ranking) -> Option<Instant> {
        self.undecided.iter().filter_map(|name| self.tracks.get(name)?.until(*name, ranking)).min()
    }

    /// When the reported status of `name` begins to count, in Unix milliseconds; `None` if it does.
    #[must_use]
    pub fn held_until(&self, name: IfName, ranking: &Ranking) -> Option<u64> {
        let track = self.tracks.get(&name)?;
        let hold = u64::try_from(track.hold(name, ranking).as_millis()).unwrap_or(u64::MAX);
        Some(track.since?.unix_ms.saturating_add(hold))
    }
}

impl Track {
    const fn count(&mut self) {
        self.counted = self.reported;
        self.since = None;
    }

    /// Counts if its time has come.
    fn expire(&mut self, name: IfName, ranking: &Ranking, now: Instant) {
        if self.until(name, ranking).is_some_and(|until| until <= now) {
            self.count();
        }
    }

    fn is_held_up(&self) -> bool {
        self.reported == Status::Internet && self.since.is_some()
    }

    fn hold(&self, name: IfName, ranking: &Ranking) -> Duration {
        let config = ranking.config(name);
        config.map_or(Duration::ZERO, |config| if self.is_held_up() { config.hold_up } else { config.hold_down })
    }

    fn until(&self, name: IfName, ranking: &Ranking) -> Option<Instant> {
        self.since?.at.checked_add(self.hold(name, ranking))
    }
}

#[cfg(test)]
#[path = "calm_tests.rs"]
mod tests;
