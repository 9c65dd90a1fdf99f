//! What is between what the kernel has of ours and what it should have.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use super::{Change, Object, Plan, World};

/// What is missing, and what is too much. Kept up to date object by object ([`Gap::revise`]), or made anew.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gap {
    /// Wanted, and not there.
    missing: BTreeSet<Object>,
    /// There, and not wanted.
    unwanted: BTreeSet<Object>,
}

impl Gap {
    /// Compares everything.
    #[must_use]
    pub fn between(world: &World, plan: &Plan) -> Self {
        // Sorted lists become maps at once, which is several times as fast as one by one.
        let (mut missing, mut unwanted) = (Vec::new(), Vec::new());
        let (mut there, mut wanted) = (world.ours.iter().peekable(), plan.wanted().peekable());
        loop {
            let order = match (there.peek(), wanted.peek()) {
                (None, None) => break,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(there), Some(wanted)) => there.cmp(wanted),
            };
            match order {
                Ordering::Less => unwanted.extend(there.next().copied()),
                Ordering::Greater => missing.extend(wanted.next().copied()),
                Ordering::Equal => _ = (there.next(), wanted.next()),
            }
        }
        Self { missing: missing.into_iter().collect(), unwanted: unwanted.into_iter().collect() }
    }

    /// What is wanted and not there.
    pub fn missing(&self) -> impl Iterator<Item = &Object> {
        self.missing.iter()
    }

    /// Whether `object` is wanted and not there.
    #[must_use]
    pub fn lacks(&self, object: &Object) -> bool {
        self.missing.contains(object)
    }

    /// The same in the order of `plan`, which led to it.
    pub(super) fn in_order(&self, plan: &Plan) -> impl Iterator<Item = &Object> {
        let mut missing = plan.turns_of(&self.missing);
        missing.sort_unstable();
        missing.into_iter().map(|(_, object)| object)
    }

    /// What is there and not wanted.
    #[must_use]
    pub const fn unwanted(&self) -> &BTreeSet<Object> {
        &self.unwanted
    }

    /// Does without what `is_out` says, as if it were not wanted.
    pub fn do_without(&mut self, is_out: impl Fn(&Object) -> bool) {
        self.missing.retain(|object| !is_out(object));
    }

    /// Takes in that the kernel has acknowledged `change`, which led to `plan`.
    pub fn note(&mut self, change: &Change, plan: &Plan) {
        match change {
            Change::Add(object) => _ = self.missing.remove(object),
            // To go to the back of its queue, if it is wanted all the same.
            Change::Delete(object) => {
                if !self.unwanted.remove(object) && plan.wants(object) {
                    self.missing.insert(*object);
                }
            }
            Change::RestoreConnected(_) | Change::RemoveConnected(_) => {}
        }
    }

    /// Takes in that the kernel has acknowledged all `changes` that were asked for, which led to `plan`.
    pub fn note_all(&mut self, changes: &[Change], plan: &Plan) {
        let is_addition = |change: &&Change| matches!(change, Change::Add(_));
        let is_deletion = |change: &&Change| matches!(change, Change::Delete(_));
        let first_deletion = changes.iter().position(|change| is_deletion(&change)).unwrap_or(changes.len());
        let (first, last) = changes.split_at_checked(first_deletion).unwrap_or((changes, &[]));
        // An addition after a deletion may be of what was deleted a moment ago. All others are of what is missing; and deletions
        // are then of what is not wanted.
        let is_all = first.iter().filter(is_addition).count() == self.missing.len()
            && last.iter().filter(is_deletion).count() == self.unwanted.len();
        if is_all && !last.iter().any(|change| is_addition(&change)) {
            self.missing.clear();
            self.unwanted.clear();
        } else {
            changes.iter().for_each(|change| self.note(change, plan));
        }
    }

    /// Compares `objects` again, which have come or gone, or are wanted or not any more.
    pub fn revise<'a>(&mut self, objects: impl IntoIterator<Item = &'a Object>, world: &World, plan: &Plan) {
        for object in objects {
            self.missing.remove(object);
            self.unwanted.remove(object);
            match (world.ours.contains(object), plan.wants(object)) {
                (false, true) => _ = self.missing.insert(*object),
                (true, false) => _ = self.unwanted.insert(*object),
                (true, true) | (false, false) => {}
            }
        }
    }
}
