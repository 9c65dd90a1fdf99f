//! Who hears from us which nodes come and go: processes of ours, and processes of other nodes, which ask with
//! `GenServer.call({:net_kernel, node}, {:monitor_nodes, true, opts})`. The subscriptions of those end with the process,
//! which we monitor, or with its node.

use std::collections::HashMap;

use eetf::{Pid, Reference, Term};

use super::connection::Connection;
use super::message::NodeNews;
use super::net_kernel::{MonitorOptions, NodeEvent, Subscriptions};

/// The subscriptions.
#[derive(Debug, Default)]
pub(super) struct Watchers {
    subscriptions: Subscriptions<Subscriber>,
    /// Our monitor on each subscriber elsewhere.
    monitors: HashMap<Pid, Reference>,
    /// The same, the other way round.
    monitored: HashMap<Reference, Pid>,
}

/// Who has subscribed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Subscriber {
    /// A process of ours.
    Local(u32),
    Remote(Pid),
}

/// What becomes of our monitor on a subscriber.
#[derive(Debug, PartialEq)]
pub(super) enum Watch {
    Begin(Reference),
    End(Reference),
}

impl Watchers {
    /// Subscribes a process of ours once more; false if it has done so 65,535 times.
    pub(super) fn subscribe(&mut self, id: u32, options: MonitorOptions) -> bool {
        self.subscriptions.subscribe(Subscriber::Local(id), options)
    }

    /// Ends all that a process of ours subscribed to with these options.
    pub(super) fn unsubscribe(&mut self, id: u32, options: MonitorOptions) {
        self.subscriptions.unsubscribe(&Subscriber::Local(id), options);
    }

    /// A process of ours has ended.
    pub(super) fn process_ended(&mut self, id: u32) {
        self.subscriptions.drop_subscriber(&Subscriber::Local(id));
    }

    /// `monitor_nodes(Flag, Options)` for `pid`: what the call returns. `fresh` is for a monitor, should it need one.
    pub(super) fn change(
        &mut self,
        pid: &Pid,
        flag: &Term,
        options: Option<&Term>,
        fresh: Reference,
    ) -> (Term, Option<Watch>) {
        let subscriber = Subscriber::Remote(pid.clone());
        let answer = self.subscriptions.change(subscriber.clone(), flag, options);
        let watch = match (self.subscriptions.has(&subscriber), self.monitors.contains_key(pid)) {
            (true, false) => {
                self.monitors.insert(pid.clone(), fresh.clone());
                self.monitored.insert(fresh.clone(), pid.clone());
                Some(Watch::Begin(fresh))
            }
            (false, true) => self.monitors.remove(pid).map(|reference| {
                self.monitored.remove(&reference);
                Watch::End(reference)
            }),
            _ => None,
        };
        (answer, watch)
    }

    /// A process on `peer` has ended, says the monitor `reference`.
    pub(super) fn ended(&mut self, peer: &str, reference: &Reference) {
        let pid = self.monitored.get(reference).filter(|pid| pid.node.name == peer).cloned();
        if let Some(pid) = pid {
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

    /// What to tell which of our processes, and in how many copies.
    pub(super) fn news(&self, event: NodeEvent, of: &Connection) -> Vec<(u32, u16, NodeNews)> {
        let hearing = self.subscriptions.hearing(of.peer.is_visible());
        let local = hearing.filter_map(|(subscriber, options, copies)| match subscriber {
            Subscriber::Local(id) => Some((*id, copies, NodeNews::new(event, &of.info(), options))),
            Subscriber::Remote(_) => None,
        });
        local.collect()
    }

    /// What to tell which process elsewhere, and in how many copies.
    pub(super) fn messages(&self, event: NodeEvent, of: &Connection) -> Vec<(Pid, u16, Term)> {
        let is_visible = of.peer.is_visible();
        let hearing = self.subscriptions.hearing(is_visible);
        let remote = hearing.filter_map(|(subscriber, options, copies)| match subscriber {
            Subscriber::Remote(pid) => {
                Some((pid.clone(), copies, options.message(event, &of.peer.name, is_visible, of.id)))
            }
            Subscriber::Local(_) => None,
        });
        remote.collect()
    }

    /// Subscribers here and elsewhere.
    pub(super) fn len(&self) -> usize {
        self.subscriptions.len()
    }

    fn forget(&mut self, pid: &Pid) {
        if let Some(reference) = self.monitors.remove(pid) {
            self.monitored.remove(&reference);
        }
        self.subscriptions.drop_subscriber(&Subscriber::Remote(pid.clone()));
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
        assert!(watchers.subscribe(100, MonitorOptions::default()));
        watchers.ended("q@h", &reference(1));
        assert_eq!(watchers.len(), 4, "no node speaks for another's processes");
        watchers.ended("p@h", &reference(1));
        assert_eq!(watchers.len(), 3);
        watchers.node_down("p@h");
        assert_eq!(watchers.len(), 2);
        watchers.node_down("q@h");
        watchers.process_ended(100);
        assert!(watchers.monitors.is_empty() && watchers.monitored.is_empty() && watchers.len() == 0);
    }
}
