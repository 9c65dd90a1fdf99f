//! Links by ifindex and by name.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;

use super::{IfName, Link};

/// The links of a network namespace; it reads as a map from ifindex to [`Link`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Links {
    by_ifindex: BTreeMap<u32, Link>,
    /// Two may bear one name while not all events have been read.
    by_name: BTreeSet<(IfName, u32)>,
}

impl Links {
    /// Takes in a link; gives what it was before.
    pub fn insert(&mut self, ifindex: u32, link: Link) -> Option<Link> {
        let old = self.by_ifindex.insert(ifindex, link);
        if old.is_none_or(|old| old.name != link.name) {
            old.map(|old| self.by_name.remove(&(old.name, ifindex)));
            self.by_name.insert((link.name, ifindex));
        }
        old
    }

    /// Takes out a link; gives what it was.
    pub fn remove(&mut self, ifindex: &u32) -> Option<Link> {
        let old = self.by_ifindex.remove(ifindex)?;
        self.by_name.remove(&(old.name, *ifindex));
        Some(old)
    }

    /// Takes out all.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// The ifindex and link that bear `name`; the newest, should there be two.
    #[must_use]
    pub fn named(&self, name: IfName) -> Option<(u32, Link)> {
        let (_, ifindex) = self.by_name.range((name, 0)..=(name, u32::MAX)).next_back()?;
        self.by_ifindex.get(ifindex).map(|link| (*ifindex, *link))
    }
}

impl Deref for Links {
    type Target = BTreeMap<u32, Link>;

    fn deref(&self) -> &Self::Target {
        &self.by_ifindex
    }
}
