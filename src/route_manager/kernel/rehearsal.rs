//! What the next commit would change if a link that is down came up as it is now, made while nobody waits.
//!
//! When that happens, most of the daemon's code and data is in no cache, and what takes two or three microseconds in a
//! loop takes dozens. So the likely case is planned when the link goes down, messages and all, and comes to one comparison.
//! Nothing is taken on trust: unless that link is all that has changed, and looks exactly as foreseen, the commit plans
//! as always; and it does so all the same once the messages are out.

use std::net::IpAddr;

use tracing::debug;

use super::Kernel;
use crate::netlink::Prepared;
use crate::route::{Changes, DesiredState, OneLink, Plan, Ranking, Reason, Touched, World};

/// So many links that are down at the most.
const MAX_LINKS: usize = 4;

/// One link that may come up.
#[derive(Debug)]
pub(super) struct Rehearsal {
    pub ifindex: u32,
    /// Those of the wish.
    pub addresses: Vec<IpAddr>,
}

/// What was foreseen: how a link must look, and what is to be changed then.
#[derive(Debug, Default)]
pub(super) struct Rehearsals(Vec<(Rehearsal, OneLink, Prepared)>);

impl Rehearsals {
    /// What to rehearse: the links that `plan`, made for `state`, has to wait for.
    pub(super) fn due(plan: &Plan, world: &World, state: &DesiredState) -> Vec<Rehearsal> {
        let down = plan.pending().iter().filter(|(_, reason)| **reason == Reason::LinkDown);
        let rehearsal = |name| {
            let (ifindex, _) = world.links.named(name)?;
            let addresses = state.interfaces().get(&name)?.subnets.iter().map(|subnet| subnet.ip()).collect();
            Some(Rehearsal { ifindex, addresses })
        };
        down.filter_map(|(name, _)| rehearsal(*name)).take(MAX_LINKS).collect()
    }

    /// Notes what is to be changed once the link of `rehearsal` is as it is in `world`.
    pub(super) fn add(&mut self, rehearsal: Rehearsal, world: &World, prepared: Prepared) {
        if let Some(then) = world.one_link(rehearsal.ifindex, &rehearsal.addresses) {
            self.0.push((rehearsal, then, prepared));
        }
    }

    /// What was foreseen for what has happened, if it was. Then nothing else that was foreseen holds any longer.
    pub(super) fn take(&mut self, touched: &Touched, world: &World) -> Option<Prepared> {
        if self.0.is_empty() {
            return None;
        }
        let ifindex = touched.only_link()?;
        let is_so = |(rehearsal, then, _): &(Rehearsal, OneLink, Prepared)| {
            rehearsal.ifindex == ifindex && world.one_link(ifindex, &rehearsal.addresses).as_ref() == Some(then)
        };
        let at = self.0.iter().position(is_so)?;
        let (_, _, prepared) = self.0.swap_remove(at);
        self.0.clear();
        Some(prepared)
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

impl Kernel {
    /// Does at once what was [rehearsed](Self::rehearse), if that is what has happened, and says how many changes that took.
    /// A [commit](Self::commit) has to follow.
    pub fn act_as_rehearsed(&mut self, state: &DesiredState, ranking: &Ranking) -> usize {
        let Some(mut foreseen) = self.rehearsals.take(&self.touched, &self.world) else { return 0 };
        let result = self.netlink.apply_prepared(&mut foreseen);
        debug!("as foreseen");
        self.catch_up(state, ranking, &foreseen.changes);
        self.applied(&foreseen.changes, result).0
    }

    /// Plans what has been done already, as it was foreseen. Should it be something else, the next round sees to it.
    fn catch_up(&mut self, state: &DesiredState, ranking: &Ranking, foreseen: &Changes) {
        let is_as_foreseen = self.changes(state, ranking) == *foreseen;
        debug_assert!(is_as_foreseen, "what was foreseen is not what is needed");
        self.touched.everything |= !is_as_foreseen;
    }

    /// Works out beforehand what is to be done once a link that is down comes up.
    pub fn rehearse(&mut self, state: &DesiredState, ranking: &Ranking) {
        self.rehearsals.clear();
        if self.fault.is_some() || !self.touched.is_empty() || !self.refused.is_empty() || !self.orphans.is_empty() {
            return;
        }
        for rehearsal in Rehearsals::due(&self.plan, &self.world, state) {
            let ifindex = rehearsal.ifindex;
            let Some(was) = self.world.bring_up(ifindex) else { continue };
            self.touched.links.insert(ifindex);
            let changes = self.changes(state, ranking);
            let prepared = self.netlink.prepare(changes);
            self.rehearsals.add(rehearsal, &self.world, prepared);
            self.world.let_down(was);
            self.touched.links.insert(ifindex);
            let _ = self.changes(state, ranking);
        }
    }
}
