//! What the embedded mapper knows: which names are held, and the next creation. Pure.

use std::collections::BTreeMap;

use super::codec::{NodeEntry, dump_line, names_line};

/// The names held at the moment, each by one connection.
#[derive(Debug)]
pub struct Registry {
    held: BTreeMap<ConnectionId, NodeEntry>,
    capacity: usize,
    creation: u32,
}

/// Number of a connection to the mapper, in order of arrival.
pub type ConnectionId = u64;

/// The lowest creation for nodes of version 6; 1 to 3 are the old range and 0 means "any".
pub const MIN_CREATION: u32 = 4;

/// Why a registration was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The name is held by a live connection.
    #[error("the name is taken")]
    Taken,
    /// No room for more names.
    #[error("too many names")]
    Full,
}

impl Registry {
    /// A registry for up to `capacity` names. Creations count up from `creation`, which the caller takes at random:
    /// so no two registrations get the same one, neither two in a row for one name nor two names at once, and a
    /// mapper that was restarted does not begin with the old ones.
    pub fn new(capacity: usize, creation: u32) -> Registry {
        Registry { held: BTreeMap::new(), capacity, creation }
    }

    /// Registers an entry for as long as `by` holds it, and gives its creation.
    ///
    /// # Errors
    ///
    /// [`Refusal`]; nothing has changed then.
    pub fn register(&mut self, by: ConnectionId, entry: NodeEntry) -> Result<u32, Refusal> {
        if self.find(&entry.name).is_some() {
            return Err(Refusal::Taken);
        }
        if self.held.len() >= self.capacity {
            return Err(Refusal::Full);
        }
        self.held.insert(by, entry);
        self.creation = self.creation.checked_add(1).unwrap_or(MIN_CREATION).max(MIN_CREATION);
        Ok(self.creation)
    }

    /// Forgets what `by` held.
    pub fn release(&mut self, by: ConnectionId) -> Option<NodeEntry> {
        self.held.remove(&by)
    }

    /// The entry of this name.
    pub fn find(&self, name: &str) -> Option<&NodeEntry> {
        self.held.values().find(|entry| entry.name == name)
    }

    /// The text that answers NAMES.
    pub fn names_text(&self) -> String {
        self.held.values().map(names_line).collect()
    }

    /// The text that answers DUMP.
    pub fn dump_text(&self) -> String {
        self.held.iter().map(|(by, entry)| dump_line(entry, *by)).collect()
    }
}

/// A creation taken at random, for a node that has no mapper to ask.
pub fn random_creation() -> u32 {
    rand::random_range(MIN_CREATION..=u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_live_as_long_as_their_connection() {
        let mut registry = Registry::new(2, 1000);
        let entry = |name| NodeEntry::new(name, 7);
        assert_eq!(registry.register(1, entry("a")), Ok(1001));
        assert_eq!(registry.register(2, entry("a")), Err(Refusal::Taken));
        assert_eq!(registry.register(2, entry("b")), Ok(1002));
        assert_eq!(registry.register(3, entry("c")), Err(Refusal::Full));
        assert_eq!(registry.register(3, entry("a")), Err(Refusal::Taken), "the truer reason");
        assert_eq!(registry.names_text(), "name a at port 7\nname b at port 7\n");
        assert_eq!(registry.release(1).map(|e| e.name), Some("a".into()));
        assert_eq!(registry.release(1), None);
        assert!(registry.find("a").is_none() && registry.find("b").is_some());
        assert_eq!(registry.register(3, entry("a")), Ok(1003), "another creation than before");
        assert_eq!(
            registry.dump_text(),
            "active name     <b> at port 7, fd = 2\n\0active name     <a> at port 7, fd = 3\n\0"
        );
    }

    #[test]
    fn creations_stay_in_range() {
        for (start, next) in [(0, 4), (3, 4), (4, 5), (u32::MAX - 1, u32::MAX), (u32::MAX, 4)] {
            let mut registry = Registry::new(1, start);
            assert_eq!(registry.register(1, NodeEntry::new("a", 1)), Ok(next), "after {start}");
        }
        for _ in 0..1000 {
            assert!(random_creation() >= MIN_CREATION);
        }
    }
}
