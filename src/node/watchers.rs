//! Processes of other nodes that hear from us which nodes come and go: `GenServer.call({:net_kernel, node},
//! {:monitor_nodes, true, opts})`. A subscription ends with its process, which we monitor, or with its node.

use std::collections::HashMap;

use eetf::{Pid, Reference, Term};

use super::net_kernel::{NodeEvent, Subscriptions};

/// The subscriptions of processes elsewhere.
#[derive(Debug, Default)]
pub(super) struct Watchers {
    subscriptions: Subscriptions<Pid>,
    /// Our monitor on each subscriber.
    monitors: HashMap<Pid, Reference>,
}

/// What becomes of our monitor on a subscriber.
#[derive(Debug, PartialEq)]
pub(super) enum Watch {
    Begin(Reference),
    End(Reference),
}

impl Watchers {
    /// `monitor_nodes(Flag, Options)` for `pid`: what the call returns. `fresh` is for a monitor, should it need one.
    pub(super) fn change(
        &mut self,
        pid: &Pid,
        flag: &Term,
        options: Option<&Term>,
        fresh: Reference,
    ) -> (Term, Option<Watch>) {
        let answer = self.subscriptions.change(pid.clone(), flag, options);
        let watch = match (self.subscriptions.has(pid), self.monitors.contains_key(pid)) {
            (true, false) => {
                self.monitors.insert(pid.clone(), fresh.clone());
                Some(Watch::Begin(fresh))
            }
            (false, true) => self.monitors.remove(pid).map(Watch::End),
            _ => None,
        };
        (answer, watch)
    }

    /// A process on `peer` has ended, says the monitor `reference`.
    pub(super) fn ended(&mut self, peer: &str, reference: &Reference) {
        let ended = |(pid, monitor): (&Pid, &Reference)| (monitor == reference).then(|| pid.clone());
        if let Some(pid) = self.monitors.iter().find_map(ended).filter(|pid| pid.node.name == peer) {
            self.forget(&pid);
        }
    }

    /// The node `peer` is gone, and its processes for us.
    pub(super) fn node_down(&mut self, peer: &str) {
        let gone: Vec<_> = self.monitors.keys().filter(|pid| pid.node.name == peer).cloned().collect();
        for pid in gone {
            self.forget(&pid);
        }
    }

    /// What to tell whom.
    pub(super) fn messages(&self, event: NodeEvent<'_>, node: &str, is_visible: bool, id: u32) -> Vec<(Pid, Term)> {
        self.subscriptions.messages(event, node, is_visible, id)
    }

    fn forget(&mut self, pid: &Pid) {
        self.monitors.remove(pid);
        self.subscriptions.drop_subscriber(pid);
    }
}

#[cfg(test)]
mod tests {
    use eetf::Atom;

    use super::*;
    use crate::term::{atom, boolean};

    fn pid(node: &str, id: u32) -> Pid {
        Pid { node: Atom::from(node), id, serial: 0, creation: 1 }
    }

    fn reference(id: u32) -> Reference {
        Reference { node: Atom::from("n@h"), id: vec![id], creation: 1 }
    }

    fn heard(watchers: &Watchers) -> usize {
        watchers.messages(NodeEvent::NodeUp, "x@h", true, 1).len()
    }

    #[test]
    fn m5_one_monitor_for_all_subscriptions_of_a_process() {
        let (mut watchers, pid) = (Watchers::default(), pid("p@h", 1));
        let mut change = |flag, n| watchers.change(&pid, &boolean(flag), None, reference(n));
        assert_eq!(change(true, 1), (atom("ok"), Some(Watch::Begin(reference(1)))));
        assert_eq!(change(true, 2), (atom("ok"), None));
        assert_eq!(change(false, 3), (atom("ok"), Some(Watch::End(reference(1)))));
        assert_eq!(change(false, 4), (atom("ok"), None));
        assert_eq!(watchers.change(&pid, &atom("maybe"), None, reference(5)), (atom("error"), None));
    }

    #[test]
    fn m5_subscriptions_end_with_the_process_or_its_node() {
        let mut watchers = Watchers::default();
        for (node, id) in [("p@h", 1), ("p@h", 2), ("q@h", 3)] {
            watchers.change(&pid(node, id), &boolean(true), None, reference(id));
        }
        watchers.ended("q@h", &reference(1));
        assert_eq!(heard(&watchers), 3, "no node speaks for another's processes");
        watchers.ended("p@h", &reference(1));
        assert_eq!(heard(&watchers), 2);
        watchers.node_down("p@h");
        assert_eq!(heard(&watchers), 1);
        watchers.node_down("q@h");
        assert!(watchers.monitors.is_empty() && watchers.subscriptions.is_empty());
    }
}
