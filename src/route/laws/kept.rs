//! Planning by what is touched, as the daemon does it, beside planning everything.

use std::collections::BTreeSet;

use crate::route::{
    Address, Changes, DesiredState, Gap, IfName, Object, Plan, PlanOptions, Ranking, Touched, Wanted, World, changes,
};

/// A plan that is kept up to date, and what it was last made for.
#[derive(Default)]
pub(super) struct Kept {
    pub plan: Plan,
    gap: Gap,
    mirror: World,
    /// Whose wishes are others.
    pub wished: BTreeSet<IfName>,
    /// It may be wrong in all.
    pub is_old: bool,
}

impl Kept {
    pub fn new() -> Self {
        Self { is_old: true, ..Self::default() }
    }

    /// What has happened since.
    fn touched(&mut self, mirror: &World) -> Touched {
        let before = std::mem::replace(&mut self.mirror, mirror.clone());
        if std::mem::take(&mut self.is_old) || before.has_ipv6_rules != mirror.has_ipv6_rules {
            return Touched::everything();
        }
        let of_link = |world: &World, ifindex: u32| {
            let addresses: Vec<Address> = world.addresses_of(ifindex).copied().collect();
            (world.links.get(&ifindex).copied(), addresses, world.connected_of(ifindex).copied().collect::<Vec<_>>())
        };
        Touched {
            names: std::mem::take(&mut self.wished),
            links: (2..10).filter(|ifindex| of_link(&before, *ifindex) != of_link(mirror, *ifindex)).collect(),
            objects: before.ours.symmetric_difference(&mirror.ours).copied().collect(),
            ..Touched::default()
        }
    }

    /// What leads to the plan that is kept.
    pub fn changes(&mut self, state: &DesiredState, mirror: &World, orphans: &BTreeSet<Object>) -> Changes {
        let touched = self.touched(mirror);
        let (ranking, options, contested) = (&Ranking::default(), &PlanOptions::default(), &BTreeSet::new());
        let before = self.plan.pending().clone();
        let moved = self.plan.update(&Wanted { state, ranking, options, contested }, mirror, &touched);
        let replanned = self.plan.take_replanned();
        for name in before.keys().chain(self.plan.pending().keys()) {
            let is_as_before = before.get(name) == self.plan.pending().get(name);
            assert!(is_as_before || replanned.everything || replanned.names.contains(name), "{name} is not told of");
        }
        let scope = touched.scope(moved);
        match scope.everything {
            true => self.gap = Gap::between(mirror, &self.plan),
            false => self.gap.revise(&scope.objects, mirror, &self.plan),
        }
        changes(&self.gap, mirror, &self.plan, orphans, &scope)
    }

    /// All of `changes` has been made.
    pub fn done(&mut self, changes: &Changes, mirror: &World) {
        self.gap.note_all(&[changes.additions.as_slice(), &changes.deletions].concat(), &self.plan);
        self.mirror = mirror.clone();
    }
}
