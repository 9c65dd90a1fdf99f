//! What becomes of a node's wishes when that node goes down. Time arrives as an argument.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A node's own choice, made with `set_owner_policy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OwnerPolicy {
    /// Nothing changes.
    #[default]
    Keep,
    /// Its interfaces are cleared when it has been away so long.
    ClearAfter(Duration),
    /// Its interfaces fall back to lan when it has been away so long.
    LanAfter(Duration),
}

/// The policies of nodes; who has none keeps.
pub type Policies = BTreeMap<String, OwnerPolicy>;

/// After a restart of ours nobody is connected. Whoever is still there has at least so long to connect again.
const RESTART_GRACE: Duration = Duration::from_secs(30);

/// Nodes that come and go under ever new names must not grow us.
const MAX_POLICIES: usize = 1024;

/// Policies of nodes, and the deadlines of those that are away.
#[derive(Debug, Default)]
pub(super) struct Owners {
    policies: Policies,
    deadlines: BTreeMap<String, Instant>,
}

impl Owners {
    /// Those of an earlier run, all of them away since `now`.
    pub(super) fn restore(policies: Policies, now: Instant) -> Self {
        let mut owners = Self { policies, ..Self::default() };
        for node in owners.policies.keys().cloned().collect::<Vec<_>>() {
            owners.node_down(&node, now);
        }
        owners.deadlines.values_mut().for_each(|deadline| *deadline = (*deadline).max(now + RESTART_GRACE));
        owners
    }

    /// The policies that hold.
    pub(super) const fn policies(&self) -> &Policies {
        &self.policies
    }

    /// Sets the policy of `node`, until it is set anew or has been applied. Says whether there was room for it.
    pub(super) fn set(&mut self, node: &str, policy: OwnerPolicy) -> bool {
        if policy == OwnerPolicy::Keep {
            self.policies.remove(node);
        } else if self.policies.len() < MAX_POLICIES || self.policies.contains_key(node) {
            self.policies.insert(node.to_owned(), policy);
        } else {
            return false;
        }
        true
    }

    pub(super) fn node_up(&mut self, node: &str) {
        self.deadlines.remove(node);
    }

    pub(super) fn node_down(&mut self, node: &str, now: Instant) {
        if let Some(OwnerPolicy::ClearAfter(after) | OwnerPolicy::LanAfter(after)) = self.policies.get(node) {
            self.deadlines.insert(node.to_owned(), now + *after);
        }
    }

    /// Takes up what was missed: these nodes are up, and no others.
    pub(super) fn see(&mut self, up: &[String], now: Instant) {
        let nodes: Vec<_> = self.policies.keys().cloned().collect();
        for node in nodes {
            if up.contains(&node) {
                self.node_up(&node);
            } else if !self.deadlines.contains_key(&node) {
                self.node_down(&node, now);
            }
        }
    }

    /// When [`Owners::due`] has to be called next.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadlines.values().min().copied()
    }

    /// The nodes whose grace is over at `now`, with their policies; each is named once.
    pub(super) fn due(&mut self, now: Instant) -> Vec<(String, OwnerPolicy)> {
        let over = self.deadlines.extract_if(.., |_, deadline| *deadline <= now);
        over.filter_map(|(node, _)| self.policies.remove(&node).map(|policy| (node, policy))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grace_runs_from_nodedown_and_a_return_ends_it() {
        let (mut owners, now, second) = (Owners::default(), Instant::now(), Duration::from_secs(1));
        assert!(owners.set("a@h", OwnerPolicy::ClearAfter(second)));
        assert!(owners.set("b@h", OwnerPolicy::LanAfter(3 * second)));
        owners.node_down("a@h", now);
        owners.node_down("b@h", now);
        owners.node_down("c@h", now);
        assert_eq!(owners.deadline(), Some(now + second));
        owners.node_up("b@h");
        assert!(owners.due(now).is_empty());
        assert_eq!(owners.due(now + second), [("a@h".to_owned(), OwnerPolicy::ClearAfter(second))]);
        assert_eq!(owners.deadline(), None);
    }

    #[test]
    fn what_was_missed_is_taken_up() {
        let (mut owners, now, second) = (Owners::default(), Instant::now(), Duration::from_secs(1));
        for node in ["a@h", "b@h", "c@h"] {
            assert!(owners.set(node, OwnerPolicy::ClearAfter(second)));
        }
        owners.node_down("a@h", now);
        owners.node_down("b@h", now);
        owners.see(&["a@h".to_owned()], now + second);
        assert_eq!(owners.deadlines.keys().collect::<Vec<_>>(), ["b@h", "c@h"]);
        assert_eq!(owners.deadline(), Some(now + second), "its grace goes on");
    }

    #[test]
    fn after_a_restart_everybody_is_away() {
        let (now, minute) = (Instant::now(), Duration::from_secs(60));
        let policies = Policies::from([
            ("a@h".to_owned(), OwnerPolicy::ClearAfter(Duration::ZERO)),
            ("b@h".to_owned(), OwnerPolicy::LanAfter(minute)),
        ]);
        let mut owners = Owners::restore(policies.clone(), now);
        assert_eq!(owners.policies(), &policies);
        assert_eq!(owners.deadline(), Some(now + RESTART_GRACE));
        owners.node_up("a@h");
        assert_eq!(owners.deadline(), Some(now + minute));
        assert_eq!(owners.due(now + minute), [("b@h".to_owned(), OwnerPolicy::LanAfter(minute))]);
        assert_eq!(owners.policies().len(), 1, "b@h has had its way");
    }

    #[test]
    fn keep_takes_a_policy_back() {
        let mut owners = Owners::default();
        assert!(owners.set("a@h", OwnerPolicy::ClearAfter(Duration::ZERO)));
        assert!(owners.set("a@h", OwnerPolicy::Keep));
        owners.node_down("a@h", Instant::now());
        assert_eq!(owners.deadline(), None);
    }
}
