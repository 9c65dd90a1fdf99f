//! Who may do what on this node, by the name of the node that asks. Whoever has the cookie has a name of its own choosing,
//! so this keeps apart those who mean well, and with other means (a network, TLS) those who do not.

use crate::glob;

/// What callers on a node may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rights {
    /// Ask how things are, and be told.
    pub read: bool,
    /// Change what the node's processes keep: for `route_manager`, the routes.
    pub write: bool,
    /// Change or stop the node itself: `allow`, `set_net_ticktime`, `setopts`, connections to third nodes, `halt`, and the end
    /// of its processes.
    pub admin: bool,
}

impl Rights {
    /// All of them.
    pub const ALL: Self = Self { read: true, write: true, admin: true };
}

/// A node's name, where each `*` stands for any characters, also for none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodePattern(String);

impl NodePattern {
    /// A pattern: `ops@gw1`, `*@10.0.0.7`, `*`. `None` for what no node's name could fit: it must have one `@`, or a `*` in
    /// its place, something around it, and no blanks.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let is_plain = !text.contains(|c: char| c.is_whitespace() || c.is_control());
        let is_possible = match text.split_once('@') {
            Some((name, host)) => !name.is_empty() && !host.is_empty() && !host.contains('@'),
            None => text.contains('*'),
        };
        (is_plain && is_possible).then(|| Self(text.to_owned()))
    }

    /// Whether it fits that name.
    #[must_use]
    pub fn fits(&self, node: &str) -> bool {
        glob::fits(self.0.as_bytes(), node.as_bytes())
    }

    /// Whether every name that fits `other` fits this one as well.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        self.fits(&other.0)
    }
}

impl std::fmt::Display for NodePattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// The rights of other nodes. By default all may read and write, and nobody may administer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permissions {
    /// The first that fits counts.
    pub rules: Vec<(NodePattern, Rights)>,
    /// Of those that none fits.
    pub others: Rights,
}

impl Default for Permissions {
    fn default() -> Self {
        Self { rules: Vec::new(), others: Rights { read: true, write: true, admin: false } }
    }
}

impl Permissions {
    /// What callers on `node` may do.
    #[must_use]
    pub fn of(&self, node: &str) -> Rights {
        self.rules.iter().find(|(pattern, _)| pattern.fits(node)).map_or(self.others, |(_, rights)| *rights)
    }

    /// Has everybody administer the node.
    #[must_use]
    pub fn with_admin_for_all(mut self) -> Self {
        self.others.admin = true;
        self.rules.iter_mut().for_each(|(_, rights)| rights.admin = true);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> NodePattern {
        NodePattern::new(text).unwrap()
    }

    #[test]
    fn the_first_that_fits_counts() {
        let read = Rights { read: true, ..Rights::default() };
        let rules = vec![(pattern("ops@*"), Rights::ALL), (pattern("*@10.0.0.*"), read)];
        let permissions = Permissions { rules, others: Rights::default() };
        for (node, rights) in [
            ("ops@10.0.0.7", Rights::ALL),
            ("me@10.0.0.7", read),
            ("me@10.0.1.7", Rights::default()),
            ("xops@h", Rights::default()),
        ] {
            assert_eq!(permissions.of(node), rights, "{node}");
        }
        assert!(permissions.with_admin_for_all().of("me@10.0.1.7").admin);
        assert_eq!(Permissions::default().of("a@b"), Rights { admin: false, ..Rights::ALL });
    }

    #[test]
    fn what_can_be_no_nodes_name() {
        for text in ["", "a", "@", "a@", "@h", "a@h@i", "a b@h", "a@h\n"] {
            assert_eq!(NodePattern::new(text), None, "{text:?}");
        }
        for text in ["*", "a@h", "*@h", "a@*", "*@*", "a*"] {
            assert!(NodePattern::new(text).is_some(), "{text:?}");
        }
    }
}
