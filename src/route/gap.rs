//! What is between what the kernel has of ours and what it should have.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use super::{Change, Object, Plan, World};

/// What is missing, and what is too much. Kept up to date object by object ([`Gap::revise`]), or made anew.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gap {
    /// Wanted, and not there.
    pub missing: BTreeSet<Object>,
    /// There, and not wanted.
    pub unwanted: BTreeSet<Object>,
}

impl Gap {
    /// Compares everything.
    #[must_use]
    pub fn between(world: &World, plan: &Plan) -> Self {
        let (mut missing, mut unwanted) = (BTreeSet::new(), BTreeSet::new());
        let (mut there, mut wanted) = (world.ours.iter().peekable(), plan.wanted().peekable());
        loop {
            let order = match (there.peek(), wanted.peek()) {
                (None, None) => return Self { missing, unwanted },
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(there), Some(wanted)) => there.cmp(wanted),
            };
            match order {
                Ordering::Less => unwanted.extend(there.next()),
                Ordering::Greater => missing.extend(wanted.next()),
                Ordering::Equal => _ = (there.next(), wanted.next()),
            }
        }
    }

    /// Takes in that the kernel has acknowledged `change`.
    pub fn note(&mut self, change: &Change, plan: &Plan) {
        match change {
            Change::Add(object) => {
                self.missing.remove(object);
                set(&mut self.unwanted, object, !plan.wants(object));
            }
            Change::Delete(object) => {
                self.unwanted.remove(object);
                set(&mut self.missing, object, plan.wants(object));
            }
            Change::RestoreConnected(_) | Change::RemoveConnected(_) => {}
        }
    }

    /// Compares `objects` again, which have come or gone, or are wanted or not any more.
    pub fn revise<'a>(&mut self, objects: impl IntoIterator<Item = &'a Object>, world: &World, plan: &Plan) {
        for object in objects {
            let (is_there, is_wanted) = (world.ours.contains(object), plan.wants(object));
            set(&mut self.missing, object, is_wanted && !is_there);
            set(&mut self.unwanted, object, is_there && !is_wanted);
        }
    }
}

fn set(objects: &mut BTreeSet<Object>, object: &Object, is_in: bool) {
    if is_in {
        objects.insert(*object);
    } else {
        objects.remove(object);
    }
}
