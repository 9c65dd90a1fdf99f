//! What is between what the kernel has of ours and what it should have.

use std::collections::BTreeSet;

use super::{Object, Plan, World};

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
        Self {
            missing: plan.wanted().filter(|object| !world.ours.contains(object)).copied().collect(),
            unwanted: world.ours.iter().filter(|object| !plan.wants(object)).copied().collect(),
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
