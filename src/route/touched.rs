//! What has happened since routes were last planned, so that nothing else need be looked at.

use std::collections::BTreeSet;

use super::{Change, IfName, Object};

/// What may be different from the last time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Touched {
    /// Anything may be: the rest need not be read.
    pub everything: bool,
    /// Interfaces of which callers, or the ranking, now want something else.
    pub names: BTreeSet<IfName>,
    /// Links that have changed: themselves, their addresses, or the kernel's routes over them.
    pub links: BTreeSet<u32>,
    /// Objects of ours that came or went, or may have.
    pub objects: BTreeSet<Object>,
}

/// Where changes may be needed, and nowhere else.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    /// Anywhere: the rest need not be read.
    pub everything: bool,
    /// Links on which the kernel's connected routes may have to come or go.
    pub links: BTreeSet<u32>,
    /// Objects of ours that came or went, in the kernel or in the plan, or got another turn; some perhaps twice.
    pub objects: Vec<Object>,
}

impl Scope {
    /// Anywhere.
    #[must_use]
    pub fn everything() -> Self {
        Self { everything: true, ..Self::default() }
    }
}

impl Touched {
    /// Anything may be different.
    #[must_use]
    pub fn everything() -> Self {
        Self { everything: true, ..Self::default() }
    }

    /// These interfaces are wanted otherwise.
    #[must_use]
    pub fn names(names: impl IntoIterator<Item = IfName>) -> Self {
        Self { names: names.into_iter().collect(), ..Self::default() }
    }

    /// Where changes may be needed, once it is planned anew and that has `moved` objects.
    #[must_use]
    pub fn scope(self, mut moved: Vec<Object>) -> Scope {
        let Self { everything, links, objects, .. } = self;
        moved.extend(objects);
        Scope { everything, links, objects: moved }
    }

    /// Whether nothing has happened.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The link that alone has changed.
    #[must_use]
    pub fn only_link(&self) -> Option<u32> {
        let is_of_links = !self.everything && self.names.is_empty() && self.objects.is_empty();
        self.links.first().copied().filter(|_| is_of_links && self.links.len() == 1)
    }

    /// The interface that alone is wanted otherwise.
    #[must_use]
    pub fn only_name(&self) -> Option<IfName> {
        let is_of_names = !self.everything && self.links.is_empty() && self.objects.is_empty();
        self.names.first().copied().filter(|_| is_of_names && self.names.len() == 1)
    }

    /// Takes in what else has happened.
    pub fn extend(&mut self, more: Self) {
        let Self { everything, names, links, objects } = more;
        self.everything |= everything;
        join(&mut self.names, names);
        join(&mut self.links, links);
        join(&mut self.objects, objects);
    }

    /// Takes in that the kernel has acknowledged `change`.
    pub fn note(&mut self, change: &Change) {
        match change {
            Change::Add(object) | Change::Delete(object) => _ = self.objects.insert(*object),
            Change::RestoreConnected(connected) | Change::RemoveConnected(connected) => {
                self.links.insert(connected.ifindex);
            }
        }
    }
}

fn join<T: Ord>(all: &mut BTreeSet<T>, more: BTreeSet<T>) {
    if all.is_empty() { *all = more } else { all.extend(more) }
}
