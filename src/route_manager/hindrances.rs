//! What keeps from the kernel what is planned: little, mostly nothing, however much is planned.

use std::collections::{BTreeMap, BTreeSet};

use crate::route::{IfName, Reason};

/// What is in the way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Hindrances {
    /// The interfaces of which something is fought over.
    pub contested: BTreeSet<IfName>,
    /// Those of which something was refused, and the first reason.
    pub refused: BTreeMap<IfName, Reason>,
    /// Why nothing can be changed at all: an error number.
    pub fault: Option<i32>,
}

impl Hindrances {
    /// Why something of interface `name` is not installed, for which the plan gives the reason `planned`, or none.
    pub(super) fn reason(&self, name: IfName, planned: Option<Reason>) -> Option<Reason> {
        let contested = self.contested.contains(&name).then_some(Reason::Contested);
        let refused = || self.refused.get(&name).copied();
        contested.or(planned).or_else(refused).or_else(|| self.fault.map(Reason::Netlink))
    }

    /// The interfaces that something else is in the way of than of all others.
    pub(super) fn names(&self) -> impl Iterator<Item = IfName> {
        self.contested.iter().chain(self.refused.keys()).copied()
    }
}
