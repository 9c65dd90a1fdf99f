//! How far an interface reaches, as its caller says: nothing here is measured.

use std::fmt;

/// The connection status of an interface, worst first, so that the best of several is their maximum
/// (VintageNet 0.13 `lib/vintage_net/route/properties.ex`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Status {
    /// Not usable: no rules and no routes.
    Disconnected,
    /// The local network answers.
    Lan,
    /// The internet answers.
    Internet,
}

impl Status {
    /// The word that callers use, VintageNet's atom.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Disconnected => "disconnected",
            Self::Lan => "lan",
            Self::Internet => "internet",
        }
    }

    /// The status that `word` names; `None` for any other word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Disconnected, Self::Lan, Self::Internet].into_iter().find(|status| status.as_str() == word)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_order() {
        assert!(Status::Disconnected < Status::Lan && Status::Lan < Status::Internet);
        for status in [Status::Disconnected, Status::Lan, Status::Internet] {
            assert_eq!(Status::parse(status.as_str()), Some(status));
        }
        for word in ["", "Lan", "unknown", "internet "] {
            assert_eq!(Status::parse(word), None, "{word:?}");
        }
    }
}
