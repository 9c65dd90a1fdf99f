//! How things stand: what is not installed and why, what is fought over, what outranks ours.

use std::collections::{BTreeMap, BTreeSet};

use super::Kernel;
use crate::netlink::Refused;
use crate::route::{
    Change, Connected, DesiredState, Family, ForeignDefault, IfName, Metric, Object, Ranking, Reason, Touched, Wish,
};
use crate::route_manager::hindrances::Hindrances;
use crate::route_manager::news::Shadows;

impl Kernel {
    /// Interfaces of which something is not installed, and the reason.
    #[must_use]
    pub fn pending(&self, state: &DesiredState) -> BTreeMap<IfName, Reason> {
        let hindrances = self.hindrances(state);
        let all = state.interfaces().keys().filter(|_| hindrances.fault.is_some());
        let names = self.plan.pending().keys().chain(all).copied().chain(hindrances.names());
        names.filter_map(|name| Some((name, self.reason(name, &hindrances)?))).collect()
    }

    /// What is in the way now.
    pub(in crate::route_manager) fn hindrances(&self, state: &DesiredState) -> Hindrances {
        // What the plan does without it has as pending. Of the rest, some may have become void.
        let held = self.contests.held().filter(|change| self.is_to_do(change));
        let contested = held.filter_map(|change| self.loser(change, state)).collect();
        let mut refused = BTreeMap::new();
        for change in self.refused.values() {
            if let Some(name) = self.owner(&change.change, state) {
                refused.entry(name).or_insert(reason(change));
            }
        }
        Hindrances { contested, refused, fault: self.fault }
    }

    /// Why something of interface `name`, which is known, is not installed; `None` if all is.
    pub(in crate::route_manager) fn reason(&self, name: IfName, hindrances: &Hindrances) -> Option<Reason> {
        hindrances.reason(name, self.plan.pending().get(&name).copied())
    }

    /// The interfaces that were planned anew since this was last called. How others stand can differ only in what is [in the
    /// way](Self::hindrances).
    pub(in crate::route_manager) fn take_replanned(&mut self) -> Touched {
        self.plan.take_replanned()
    }

    /// How many of the objects planned the kernel has.
    #[must_use]
    pub(in crate::route_manager) fn installed(&self) -> usize {
        self.world.ours.iter().filter(|object| self.plan.wants(object)).count()
    }

    /// The interface that a refused addition is for.
    fn owner(&self, change: &Change, state: &DesiredState) -> Option<IfName> {
        match change {
            Change::Add(Object::Rule(rule)) => {
                state.interfaces().iter().find(|(_, wish)| wish.table == rule.table).map(|(name, _)| *name)
            }
            Change::Add(Object::Route(route)) => self.world.links.get(&route.ifindex).map(|link| link.name),
            Change::Add(Object::LocalNetworks { .. })
            | Change::Delete(_)
            | Change::RestoreConnected(_)
            | Change::RemoveConnected(_) => None,
        }
    }

    /// Interfaces of which something is fought over; `None` stands for what belongs to all of them, or to none.
    #[must_use]
    pub(in crate::route_manager) fn contested(&self, state: &DesiredState) -> BTreeSet<Option<IfName>> {
        let is_known = |name: &IfName| state.interfaces().contains_key(name);
        let loser = |change: &Change| match change {
            Change::Add(Object::LocalNetworks { .. }) => Some(None),
            Change::Add(_) => self.loser(change, state).map(Some),
            _ => Some(self.loser(change, state).filter(is_known)),
        };
        self.contests.contested().filter_map(loser).collect()
    }

    /// The interface that a contested change is about.
    fn loser(&self, change: &Change, state: &DesiredState) -> Option<IfName> {
        match change {
            Change::Add(object) | Change::Delete(object) => self.owner(&Change::Add(*object), state),
            Change::RemoveConnected(Connected { ifindex, .. })
            | Change::RestoreConnected(Connected { ifindex, .. }) => {
                self.world.links.get(ifindex).map(|link| link.name)
            }
        }
    }

    /// The foreign default route that outranks that of `name`, whose `wish` has `metric`. Where none can be, as the
    /// interface is not there or has no address of that family, nothing is outranked.
    #[must_use]
    pub(in crate::route_manager) fn shadow_of(
        &self,
        name: IfName,
        wish: &Wish,
        metric: Metric,
    ) -> Option<&ForeignDefault> {
        let (family, metric) = (Family::of(wish.gateway?), metric.number()?);
        let is_possible = wish.subnets.iter().any(|subnet| subnet.family() == family);
        self.world.links.named(name).filter(|_| is_possible)?;
        self.world.outranking(family, metric)
    }

    /// All that outrank one of ours.
    #[must_use]
    pub(in crate::route_manager) fn shadows(&self, state: &DesiredState, ranking: &Ranking) -> Shadows {
        if self.world.foreign_defaults.is_empty() {
            return Shadows::new();
        }
        let shadow = |name, wish| self.shadow_of(name, wish, state.metric(name, ranking)).copied();
        state.interfaces().iter().filter_map(|(name, wish)| Some((*name, shadow(*name, wish)?))).collect()
    }
}

fn reason(refused: &Refused) -> Reason {
    match refused.change {
        Change::Add(Object::Route(route)) if !route.is_on_link() => Reason::Gateway(refused.errno),
        _ => Reason::Netlink(refused.errno),
    }
}
