//! What becomes of a node's wishes when that node goes down. Time arrives as an argument.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::route::{Status, Wish};

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

/// What becomes of an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is cleared.
    Clear,
    /// Its status is this.
    Fall(Status),
}

impl OwnerPolicy {
    /// What becomes of an interface when `node` is gone; `None`: nothing.
    pub(super) fn fate(self, node: &str, wish: &Wish) -> Option<Fate> {
        let owns = |owner: &Option<String>| owner.as_deref() == Some(node);
        let (owns_route, owns_status) = (owns(&wish.route_owner), owns(&wish.status_owner));
        match self {
            Self::Keep => None,
            Self::ClearAfter(_) if owns_route || (owns_status && !wish.has_route()) => Some(Fate::Clear),
            // The route is another's, and stays wanted; what nobody vouches for must not be used.
            Self::ClearAfter(_) => fall(owns_status, wish, Status::Disconnected),
            Self::LanAfter(_) => fall(owns_status, wish, Status::Lan),
        }
    }
}

/// To fall is for those that are above.
fn fall(owns: bool, wish: &Wish, to: Status) -> Option<Fate> {
    (owns && wish.status > to).then_some(Fate::Fall(to))
}

/// The policies of nodes; who has none keeps.
pub type Policies = BTreeMap<String, OwnerPolicy>;

/// After a restart of ours nobody is connected. Whoever is still there has at least so long to connect again.
const RESTART_GRACE: Duration = Duration::from_secs(30);

/// Nodes that come and go under ever new names must not grow us.
const MAX_POLICIES: usize = 1024;

/// Policies of nodes, and those of these nodes that are away.
#[derive(Debug, Default)]
pub(super) struct Owners {
    policies: Policies,
    away: BTreeMap<String, Away>,
}

/// The absence of a node that has a policy.
#[derive(Debug, Clone, Copy)]
struct Away {
    since: Instant,
    /// When the policy applies; `None`: it has been applied to this absence.
    due: Option<Instant>,
}

impl Owners {
    /// Those of an earlier run, all of them away since `now`.
    pub(super) fn restore(policies: Policies, now: Instant) -> Self {
        let mut owners = Self { policies, ..Self::default() };
        for node in owners.policies.keys().cloned().collect::<Vec<_>>() {
            owners.node_down(&node, now);
        }
        let deadlines = owners.away.values_mut().filter_map(|away| away.due.as_mut());
        deadlines.for_each(|due| *due = (*due).max(now + RESTART_GRACE));
        owners
    }

    /// The policies that hold.
    pub(super) const fn policies(&self) -> &Policies {
        &self.policies
    }

    /// Sets the policy of `node` for this and every later absence. Says whether there was room for it, which a node makes
    /// that is away and does not own anything.
    pub(super) fn set(&mut self, node: &str, policy: OwnerPolicy, now: Instant, owns: impl Fn(&str) -> bool) -> bool {
        if policy == OwnerPolicy::Keep {
            self.forget(node);
            return true;
        }
        let is_full = self.policies.len() >= MAX_POLICIES && !self.policies.contains_key(node);
        if is_full && !self.make_room(owns) {
            return false;
        }
        self.policies.insert(node.to_owned(), policy);
        if self.away.contains_key(node) {
            self.node_down(node, now);
        }
        true
    }

    pub(super) fn node_up(&mut self, node: &str) {
        self.away.remove(node);
    }

    pub(super) fn node_down(&mut self, node: &str, now: Instant) {
        if let Some(OwnerPolicy::ClearAfter(after) | OwnerPolicy::LanAfter(after)) = self.policies.get(node) {
            self.away.insert(node.to_owned(), Away { since: now, due: Some(now + *after) });
        }
    }

    /// Takes up what was missed: these nodes are up, and no others.
    pub(super) fn see(&mut self, up: &[String], now: Instant) {
        let nodes: Vec<_> = self.policies.keys().cloned().collect();
        for node in nodes {
            if up.contains(&node) {
                self.node_up(&node);
            } else if !self.away.contains_key(&node) {
                self.node_down(&node, now);
            }
        }
    }

    /// When [`Owners::due`] has to be called next.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.away.values().filter_map(|away| away.due).min()
    }

    /// The nodes whose grace is over at `now`, with their policies; each is named once in an absence.
    pub(super) fn due(&mut self, now: Instant) -> Vec<(String, OwnerPolicy)> {
        let policies = &self.policies;
        let over = self.away.iter_mut().filter_map(|(node, away)| away.due.take_if(|due| *due <= now).map(|_| node));
        over.filter_map(|node| policies.get(node).map(|policy| (node.clone(), *policy))).collect()
    }

    fn forget(&mut self, node: &str) {
        self.policies.remove(node);
        self.away.remove(node);
    }

    /// Forgets who has been away the longest of those that do not own anything.
    fn make_room(&mut self, owns: impl Fn(&str) -> bool) -> bool {
        let idle = self.away.iter().filter(|(node, _)| !owns(node));
        let Some(node) = idle.min_by_key(|(_, away)| away.since).map(|(node, _)| node.clone()) else { return false };
        self.forget(&node);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Owners {
        fn with(policies: &[(&str, OwnerPolicy)]) -> Self {
            let policies = policies.iter().map(|(node, policy)| ((*node).to_owned(), *policy)).collect();
            Self { policies, ..Self::default() }
        }
    }

    #[test]
    fn grace_runs_from_nodedown_and_a_return_ends_it() {
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let policies = [("a@h", OwnerPolicy::ClearAfter(second)), ("b@h", OwnerPolicy::LanAfter(3 * second))];
        let mut owners = Owners::with(&policies);
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
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let mut owners = Owners::with(&["a@h", "b@h", "c@h"].map(|node| (node, OwnerPolicy::ClearAfter(second))));
        owners.node_down("a@h", now);
        owners.node_down("b@h", now);
        owners.see(&["a@h".to_owned()], now + second);
        assert_eq!(owners.away.keys().collect::<Vec<_>>(), ["b@h", "c@h"]);
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
        assert_eq!(owners.policies(), &policies, "for its next absence");
    }

    #[test]
    fn keep_takes_a_policy_back() {
        let now = Instant::now();
        let mut owners = Owners::with(&[("a@h", OwnerPolicy::ClearAfter(Duration::ZERO))]);
        assert!(owners.set("a@h", OwnerPolicy::Keep, now, |_| true));
        owners.node_down("a@h", now);
        assert_eq!((owners.deadline(), owners.policies().len()), (None, 0));
    }

    #[test]
    fn each_owner_takes_its_own_along() {
        let wish = |route: &str, status: &str, is: Status| Wish {
            status: is,
            why: None,
            since_ms: 0,
            set_by: None,
            route_owner: (!route.is_empty()).then(|| route.to_owned()),
            status_owner: (!status.is_empty()).then(|| status.to_owned()),
            subnets: Vec::new(),
            gateway: None,
            table: 100,
        };
        let [down, lan, up] = [Status::Disconnected, Status::Lan, Status::Internet];
        let after = Duration::ZERO;
        for (route, status, is, clear_after, lan_after) in [
            ("a@h", "a@h", up, Some(Fate::Clear), Some(Fate::Fall(lan))),
            ("a@h", "b@h", up, Some(Fate::Clear), None),
            ("a@h", "", lan, Some(Fate::Clear), None),
            ("b@h", "a@h", up, Some(Fate::Fall(down)), Some(Fate::Fall(lan))),
            ("b@h", "a@h", lan, Some(Fate::Fall(down)), None),
            ("b@h", "a@h", down, None, None),
            ("", "a@h", down, Some(Fate::Clear), None),
            ("b@h", "b@h", up, None, None),
            ("", "", up, None, None),
        ] {
            let wish = wish(route, status, is);
            assert_eq!(OwnerPolicy::ClearAfter(after).fate("a@h", &wish), clear_after, "{wish:?}");
            assert_eq!(OwnerPolicy::LanAfter(after).fate("a@h", &wish), lan_after, "{wish:?}");
            assert_eq!(OwnerPolicy::Keep.fate("a@h", &wish), None);
        }
    }

    #[test]
    fn a_policy_applies_once_to_each_absence() {
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let policy = OwnerPolicy::ClearAfter(second);
        let mut owners = Owners::with(&[("a@h", policy)]);
        for round in 1..4_u32 {
            let down = now + 10 * round * second;
            owners.node_down("a@h", down);
            assert_eq!(owners.due(down + second), [("a@h".to_owned(), policy)]);
            owners.see(&[], down + second);
            assert!(owners.due(down + 9 * second).is_empty() && owners.deadline().is_none());
            owners.node_up("a@h");
        }
    }

    #[test]
    fn who_is_away_and_owns_nothing_makes_room_the_longest_away_first() {
        let (now, policy) = (Instant::now(), OwnerPolicy::LanAfter(Duration::ZERO));
        let names: Vec<String> = (0..MAX_POLICIES).map(|n| format!("n{n}@h")).collect();
        let mut owners = Owners::default();
        assert!(names.iter().all(|name| owners.set(name, policy, now, |_| false)));
        assert!(!owners.set("a@h", policy, now, |_| false), "all are here");
        for (at, name) in ["n7@h", "n5@h", "n3@h"].iter().enumerate() {
            owners.node_down(name, now + Duration::from_secs(at as u64));
        }
        let owns = |node: &str| node == "n7@h";
        assert!(owners.set("a@h", policy, now, owns) && owners.set("b@h", policy, now, owns));
        assert!(!owners.set("c@h", policy, now, owns), "the third owns something");
        let gone: Vec<_> = names.iter().filter(|name| !owners.policies().contains_key(*name)).collect();
        assert_eq!(gone, ["n3@h", "n5@h"]);
        assert!(owners.set("n1@h", OwnerPolicy::Keep, now, owns) && owners.set("c@h", policy, now, owns));
    }
}
