//! Where a message goes.

use eetf::{Atom, Pid};

use crate::dist::Target;

/// A process: by pid, by name here, or by name on a node. It can be made from a [`Pid`], from `"name"`, and from
/// `("name", "node@host")`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// This process.
    Pid(Pid),
    /// The process registered as `name`.
    Name {
        /// Its registered name.
        name: String,
        /// Its node; `None` is this one.
        node: Option<String>,
    },
}

impl Destination {
    /// The node where it lives; `None` is this one.
    #[must_use]
    pub fn node(&self) -> Option<&str> {
        match self {
            Self::Pid(pid) => Some(&pid.node.name),
            Self::Name { node, .. } => node.as_deref(),
        }
    }

    pub(super) fn target(&self) -> Target {
        match self {
            Self::Pid(pid) => Target::Pid(pid.clone()),
            Self::Name { name, .. } => Target::Name(Atom::from(name.as_str())),
        }
    }

    /// A target on `node`.
    pub(super) fn of(target: Target, node: &str) -> Self {
        match target {
            Target::Pid(pid) => Self::Pid(pid),
            Target::Name(name) => Self::Name { name: name.name, node: Some(node.to_owned()) },
        }
    }
}

impl From<Pid> for Destination {
    fn from(pid: Pid) -> Self {
        Self::Pid(pid)
    }
}

impl From<&Pid> for Destination {
    fn from(pid: &Pid) -> Self {
        Self::Pid(pid.clone())
    }
}

impl From<&str> for Destination {
    fn from(name: &str) -> Self {
        Self::Name { name: name.to_owned(), node: None }
    }
}

impl<N: Into<String>, P: Into<String>> From<(N, P)> for Destination {
    fn from((name, node): (N, P)) -> Self {
        Self::Name { name: name.into(), node: Some(node.into()) }
    }
}
