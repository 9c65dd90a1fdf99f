//! What is likely to be next, worked out while nobody waits: messages and all.
//!
//! When a link or an interface fails, or is there again, most of the daemon's code and data is in no cache, and what takes two
//! or three microseconds in a loop takes dozens. So what the next commit would change then is planned beforehand, and comes to
//! one comparison. Nothing is taken on trust: unless all that has happened is one of
//!
//! - a link that was down is up, and looks exactly as foreseen,
//! - another status counts of an interface, and the metric that follows from it is the one foreseen,
//!
//! the commit plans as always; and it does so all the same once the messages are out, or the callers have their replies.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use tracing::debug;

use super::Kernel;
use crate::netlink::{NetlinkError, Outcome, Prepared};
use crate::route::{
    Change, Changes, DesiredState, Family, IfName, Metric, OneLink, Plan, Ranking, Status, Touched, Wish, World,
    way_out,
};

/// How long nothing is planned before something is rehearsed: whoever has more to say says it sooner, and would wait for it.
const REST: Duration = Duration::from_millis(1);

/// So many links that are down at the most.
const MAX_LINKS: usize = 4;

/// Changes that are kept for one thing that may happen.
const MAX_CHANGES: usize = 64;

/// What may happen.
#[derive(Debug)]
pub(super) enum Likely {
    /// A link comes up.
    Up(u32),
    /// Another status counts of an interface.
    Counts(IfName, Status),
}

/// That it has happened.
#[derive(Debug)]
enum Cue {
    /// A link looks like this.
    Link {
        ifindex: u32,
        /// Those of the wish.
        addresses: Vec<IpAddr>,
        then: OneLink,
    },
    /// The wish for an interface is this one, and has this metric.
    Wish { name: IfName, then: Wish, metric: Metric },
}

/// What may happen, and what is to be changed then.
#[derive(Debug, Default)]
pub(super) struct Rehearsals {
    likely: Vec<Likely>,
    /// When it is time for them.
    from: Option<Instant>,
    /// Nothing has been planned since.
    is_current: bool,
    done: Vec<(Cue, Prepared)>,
}

/// Changes that were made as foreseen, and are in no plan yet.
#[derive(Debug)]
pub(super) struct Owed {
    changes: Changes,
    result: Result<Outcome, NetlinkError>,
}

impl Cue {
    /// For the log.
    const fn what(&self) -> &'static str {
        match self {
            Self::Link { .. } => "a link came up",
            Self::Wish { .. } => "another status counts",
        }
    }

    /// Whether this is all that has happened.
    fn is_given(&self, touched: &Touched, world: &World, state: &DesiredState, ranking: &Ranking) -> bool {
        match self {
            Self::Link { ifindex, addresses, then } => {
                touched.only_link() == Some(*ifindex) && world.one_link(*ifindex, addresses).as_ref() == Some(then)
            }
            Self::Wish { name, then, metric } => {
                let is_then = |wish: &Wish| wish.is_planned_like(then);
                touched.only_name() == Some(*name)
                    && state.interfaces().get(name).is_some_and(is_then)
                    && state.metric(*name, ranking) == *metric
            }
        }
    }
}

impl Rehearsals {
    /// When the next is due.
    pub(super) fn due(&self) -> Option<Instant> {
        self.from.filter(|_| !self.likely.is_empty())
    }

    /// What was foreseen for what has happened, if it was. Then nothing else that was foreseen holds any longer.
    fn take(&mut self, is_given: impl Fn(&Cue) -> bool) -> Option<(Cue, Prepared)> {
        let at = self.done.iter().position(|(cue, _)| is_given(cue))?;
        let given = self.done.swap_remove(at);
        self.clear();
        Some(given)
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.likely.clear();
        self.done.clear();
        self.is_current = false;
    }
}

impl Kernel {
    /// Does at once what was [rehearsed](Self::rehearse), if that is what has happened, and says how many changes that took.
    /// A [commit](Self::commit) has to follow.
    pub fn act_as_rehearsed(&mut self, state: &DesiredState, ranking: &Ranking) -> usize {
        let done = self.begin_as_rehearsed(state, ranking).unwrap_or(0);
        self.catch_up(state, ranking);
        done
    }

    /// The same, and `None` if that is not what has happened. Until [`Self::catch_up`], nothing else is known of it.
    pub(super) fn begin_as_rehearsed(&mut self, state: &DesiredState, ranking: &Ranking) -> Option<usize> {
        if self.touched.is_empty() {
            return None;
        }
        let is_given = |cue: &Cue| cue.is_given(&self.touched, &self.world, state, ranking);
        let (cue, mut foreseen) = self.rehearsals.take(is_given)?;
        let result = self.netlink.apply_prepared(&mut foreseen);
        debug!(what = cue.what(), "as foreseen");
        let done = result.as_ref().map_or(0, |outcome| outcome.applied.len());
        self.owed = Some(Owed { changes: foreseen.changes, result });
        Some(done)
    }

    /// Whether all that was to be done has been done, as foreseen, and only [`Self::catch_up`] is left.
    pub(super) fn is_only_behind(&self) -> bool {
        let is_all = |owed: &Owed| owed.result.as_ref().is_ok_and(Outcome::is_complete);
        self.owed.as_ref().is_some_and(is_all)
    }

    /// Plans what has been done already, as it was foreseen. Should it not be what is needed, that is made good.
    pub fn catch_up(&mut self, state: &DesiredState, ranking: &Ranking) {
        let Some(Owed { changes, result }) = self.owed.take() else { return };
        let is_as_foreseen = self.changes(state, ranking) == changes;
        debug_assert!(is_as_foreseen, "what was foreseen is not what is needed");
        self.applied(&changes, result);
        if !is_as_foreseen {
            self.touched.everything = true;
            self.commit(state, ranking);
        }
    }

    /// Has it [rehearsed](Self::rehearse) what is to be done once a link that is down comes up, or another status counts of the
    /// interface that traffic leaves by, or of the one that was last spoken of.
    pub fn expect(&mut self, state: &DesiredState, ranking: &Ranking) {
        if self.rehearsals.is_current {
            return;
        }
        // Who cannot see, or keep up, waits for longer than until the next rehearsal: see [`Self::changed`].
        if self.is_well() && self.touched.is_empty() && self.refused.is_empty() && self.orphans.is_empty() {
            let links = down(&self.plan, &self.world).map(Likely::Up);
            // What is held has its own time.
            let statuses = ranking.held.is_empty().then(|| self.likely_statuses(state, ranking));
            self.rehearsals.likely = links.chain(statuses.into_iter().flatten()).collect();
            self.rehearsals.from = Some(Instant::now() + REST);
            self.rehearsals.is_current = true;
        }
    }

    /// Works out one thing that was [expected](Self::expect), if it is time. `state` and `ranking` are as they were then.
    pub fn rehearse(&mut self, state: &DesiredState, ranking: &Ranking, now: Instant) {
        if self.rehearsals.due().is_none_or(|due| now < due) {
            return;
        }
        // Something has happened, and the next commit is not far.
        if !self.touched.is_empty() {
            return self.rehearsals.likely.clear();
        }
        match self.rehearsals.likely.pop() {
            Some(Likely::Up(ifindex)) => self.rehearse_link(ifindex, state, ranking),
            Some(Likely::Counts(name, status)) => self.rehearse_status(name, status, state, ranking),
            None => {}
        }
    }

    fn rehearse_link(&mut self, ifindex: u32, state: &DesiredState, ranking: &Ranking) {
        let name = self.world.links.get(&ifindex).map(|link| link.name);
        let Some(wish) = name.and_then(|name| state.interfaces().get(&name)) else { return };
        let Some(was) = self.world.bring_up(ifindex) else { return };
        self.touched.links.insert(ifindex);
        let changes = self.changes(state, ranking);
        let addresses: Vec<IpAddr> = wish.subnets.iter().map(|subnet| subnet.ip()).collect();
        if let Some(then) = self.world.one_link(ifindex, &addresses) {
            self.note_rehearsal(Cue::Link { ifindex, addresses, then }, changes);
        }
        self.world.let_down(was);
        self.touched.links.insert(ifindex);
        let _ = self.changes(state, ranking);
    }

    fn rehearse_status(&mut self, name: IfName, status: Status, state: &DesiredState, ranking: &Ranking) {
        let Some(wish) = state.interfaces().get(&name) else { return };
        let counted = Ranking { held: BTreeMap::from([(name, status)]), ..ranking.clone() };
        let metric = state.metric(name, &counted);
        if metric == state.metric(name, ranking) {
            return;
        }
        self.touched.names.insert(name);
        let changes = self.changes(state, &counted);
        self.note_rehearsal(Cue::Wish { name, then: Wish { status, ..wish.clone() }, metric }, changes);
        self.touched.names.insert(name);
        let _ = self.changes(state, ranking);
    }

    /// The interfaces that traffic leaves by may fall, and the one that was last spoken of may rise. The last is the first to be
    /// rehearsed.
    fn likely_statuses(&self, state: &DesiredState, ranking: &Ranking) -> Vec<Likely> {
        let ways_out = [Family::V4, Family::V6].into_iter().filter_map(|family| way_out(&self.world, family));
        let best: BTreeSet<IfName> =
            ways_out.filter_map(|ifindex| Some(self.world.links.get(&ifindex)?.name)).collect();
        let falls = best.into_iter().flat_map(|name| [(name, Status::Disconnected), (name, Status::Lan)]);
        let rise = self.last_name.map(|name| (name, Status::Internet));
        let counts_at_once = |(name, status): &(IfName, Status)| {
            let Some(before) = state.interfaces().get(name).map(|wish| wish.status) else { return false };
            let held = ranking.config(*name).map(|config| match (before, *status) {
                (_, Status::Internet) => config.hold_up,
                (Status::Internet, _) => config.hold_down,
                _ => Duration::ZERO,
            });
            before != *status && held.is_none_or(|held| held.is_zero())
        };
        falls.chain(rise).filter(counts_at_once).map(|(name, status)| Likely::Counts(name, status)).collect()
    }

    fn note_rehearsal(&mut self, cue: Cue, changes: Changes) {
        if changes.len() > MAX_CHANGES {
            // Nor are the others smaller.
            return self.rehearsals.likely.clear();
        }
        let is_certain = |change: &Change| !self.may_have_hit_another(change);
        if !changes.is_empty() && changes.additions.iter().chain(&changes.deletions).all(is_certain) {
            self.rehearsals.done.push((cue, self.netlink.prepare(changes)));
        }
    }
}

/// The links that `plan` has to wait for.
fn down(plan: &Plan, world: &World) -> impl Iterator<Item = u32> {
    plan.down().iter().filter_map(|name| Some(world.links.named(*name)?.0)).take(MAX_LINKS)
}
