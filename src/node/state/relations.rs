//! Monitors and links between our processes and those of one node, ours included.

use std::collections::{BTreeMap, HashMap, HashSet};

use eetf::{Pid, Reference, Term};
use tokio::sync::oneshot;

use crate::dist::{KeptMonitor, Target};

/// What binds our processes to those of one node. It ends with the connection.
#[derive(Debug, Default)]
pub(in crate::node) struct Relations {
    /// Of processes there that watch ours, by our process.
    monitors: BTreeMap<u32, HashSet<KeptMonitor>>,
    /// Processes there that we watch.
    watched: HashMap<Reference, Watcher>,
    /// By our process and theirs.
    links: HashMap<u32, HashMap<Pid, Link>>,
    /// These by our process: its end must not look at all there are.
    by_process: HashMap<u32, HashSet<Reference>>,
}

/// What a process that has ended was bound by.
#[derive(Debug, Default)]
pub(in crate::node) struct Bonds {
    /// Active links.
    pub linked: Vec<Pid>,
    pub monitors: Vec<KeptMonitor>,
    /// What it watched.
    pub watched: Vec<(Reference, Target)>,
}

/// What became of a call of ours: its reply, or the reason of the DOWN.
pub(in crate::node) type CallOutcome = Result<Term, Term>;

/// Who of us watches.
#[derive(Debug)]
pub(in crate::node) enum Watcher {
    /// A call, until it is answered.
    Call(oneshot::Sender<CallOutcome>),
    /// A process, by id.
    Process { id: u32, target: Target },
    /// `net_kernel`, a process there that hears from us of nodes.
    Subscriber,
}

/// A link, as the two sides know it (`erl_proc_sig_queue.c`, `erl_monitor_link.c`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::node) enum Link {
    Active,
    /// Unlinked by us; until the peer has acknowledged this id, its signals over the link mean nothing.
    Unlinking(u64),
}

/// What bound our processes to a node that is gone.
#[derive(Debug)]
pub(in crate::node) struct Lost {
    pub watched: Vec<(Reference, Watcher)>,
    pub links: Vec<(u32, Pid)>,
}

impl Relations {
    // --- monitors ---

    /// Process `id` is watched.
    pub(in crate::node) fn add_monitor(&mut self, id: u32, monitor: KeptMonitor) {
        // Of two with one reference, which only a liar has, the last counts.
        self.monitors.entry(id).or_default().replace(monitor);
    }

    /// The monitor of this [reference](crate::dist::reference_bytes) ends: one of process `id`, if its name has not passed to
    /// another one meanwhile.
    pub(in crate::node) fn remove_monitor(&mut self, id: Option<u32>, reference: &[u8]) {
        let is_there = |monitors: &mut HashSet<KeptMonitor>| monitors.remove(reference);
        let found = id.and_then(|id| self.monitors.get_mut(&id)).is_some_and(is_there);
        if !found {
            let _ = self.monitors.values_mut().any(is_there);
        }
    }

    pub(in crate::node) fn watch(&mut self, reference: Reference, watcher: Watcher) {
        if let Watcher::Process { id, .. } = &watcher {
            self.by_process.entry(*id).or_default().insert(reference.clone());
        }
        self.watched.insert(reference, watcher);
    }

    pub(in crate::node) fn watcher(&self, reference: &Reference) -> Option<&Watcher> {
        self.watched.get(reference)
    }

    pub(in crate::node) fn unwatch(&mut self, reference: &Reference) -> Option<Watcher> {
        let watcher = self.watched.remove(reference)?;
        if let Watcher::Process { id, .. } = &watcher {
            self.forget(*id, reference);
        }
        Some(watcher)
    }

    fn forget(&mut self, id: u32, reference: &Reference) {
        if let Some(its) = self.by_process.get_mut(&id) {
            its.remove(reference);
            if its.is_empty() {
                self.by_process.remove(&id);
            }
        }
    }

    // --- links ---

    /// `LINK` came in. One that is being unlinked stays so: the peer has not seen our unlink yet.
    pub(in crate::node) fn linked(&mut self, id: u32, remote: Pid) {
        self.links.entry(id).or_default().entry(remote).or_insert(Link::Active);
    }

    /// We link. Says whether the peer has to be told.
    pub(in crate::node) fn link(&mut self, id: u32, remote: Pid) -> bool {
        self.links.entry(id).or_default().insert(remote, Link::Active) != Some(Link::Active)
    }

    /// We unlink. Says whether the peer has to be told.
    pub(in crate::node) fn unlink(&mut self, id: u32, remote: &Pid, unlink_id: u64) -> bool {
        match self.links.get_mut(&id).and_then(|links| links.get_mut(remote)) {
            Some(link @ Link::Active) => {
                *link = Link::Unlinking(unlink_id);
                true
            }
            _ => false,
        }
    }

    /// `UNLINK_ID_ACK` came in. One of an earlier unlink, before a new link, means nothing.
    pub(in crate::node) fn unlink_acked(&mut self, id: u32, remote: &Pid, unlink_id: u64) {
        self.remove_link(id, remote, Link::Unlinking(unlink_id));
    }

    /// `UNLINK_ID` or an exit signal came in. Says whether the link was active; then it is gone.
    pub(in crate::node) fn unlinked(&mut self, id: u32, remote: &Pid) -> bool {
        self.remove_link(id, remote, Link::Active)
    }

    /// Removes a link if it is as it is thought to be; says whether it was.
    fn remove_link(&mut self, id: u32, remote: &Pid, thought: Link) -> bool {
        let Some(links) = self.links.get_mut(&id) else { return false };
        let is_so = links.get(remote) == Some(&thought);
        if is_so {
            links.remove(remote);
            if links.is_empty() {
                self.links.remove(&id);
            }
        }
        is_so
    }

    // --- ends ---

    /// Process `id` has ended: takes out what bound it.
    pub(in crate::node) fn end(&mut self, id: u32) -> Bonds {
        let links = self.links.remove(&id).unwrap_or_default();
        let linked = links.into_iter().filter(|(_, link)| *link == Link::Active).map(|(remote, _)| remote).collect();
        let monitors = self.monitors.remove(&id).unwrap_or_default().into_iter().collect();
        let mut bonds = Bonds { linked, monitors, ..Bonds::default() };
        for reference in self.by_process.remove(&id).unwrap_or_default() {
            if let Some(Watcher::Process { target, .. }) = self.watched.remove(&reference) {
                bonds.watched.push((reference, target));
            }
        }
        bonds
    }

    /// The node is gone: who watched there, and who was linked to whom.
    pub(in crate::node) fn lose(self) -> Lost {
        let active = |id, links: HashMap<Pid, Link>| {
            links.into_iter().filter(|(_, link)| *link == Link::Active).map(move |(remote, _)| (id, remote))
        };
        let links = self.links.into_iter().flat_map(|(id, links)| active(id, links)).collect();
        Lost { watched: self.watched.into_iter().collect(), links }
    }

    /// Monitors of theirs, monitors and calls of ours, links.
    pub(in crate::node) fn count(&self) -> [usize; 3] {
        // A subscriber is counted as one.
        let ours = self.watched.values().filter(|watcher| !matches!(watcher, Watcher::Subscriber)).count();
        [self.monitors.values().map(HashSet::len).sum(), ours, self.links.values().map(HashMap::len).sum()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dist::{Control, reference_bytes};
    use eetf::Atom;

    fn remote() -> Pid {
        Pid { node: Atom::from("p@h"), id: 7, serial: 0, creation: 5 }
    }

    fn linked() -> Relations {
        let mut relations = Relations::default();
        assert!(relations.link(100, remote()));
        relations
    }

    #[test]
    fn a_link_is_made_once_and_ends_with_an_exit() {
        let mut relations = linked();
        assert!(!relations.link(100, remote()), "the peer knows");
        relations.linked(100, remote());
        assert!(relations.unlinked(100, &remote()));
        assert!(!relations.unlinked(100, &remote()), "only once");
        assert!(relations.links.is_empty());
    }

    #[test]
    fn while_an_unlink_is_not_acknowledged_the_peer_s_signals_mean_nothing() {
        let mut relations = linked();
        assert!(relations.unlink(100, &remote(), 1));
        assert!(!relations.unlink(100, &remote(), 2), "the first one counts");
        assert!(!relations.unlinked(100, &remote()), "an exit signal of the peer");
        relations.linked(100, remote());
        assert!(!relations.unlinked(100, &remote()), "a link that crossed our unlink");
        relations.unlink_acked(100, &remote(), 2);
        assert_eq!(relations.count()[2], 1, "another id is not ours");
        relations.unlink_acked(100, &remote(), 1);
        assert!(relations.links.is_empty());
    }

    #[test]
    fn a_link_anew_is_not_ended_by_the_old_acknowledgement() {
        let mut relations = linked();
        assert!(relations.unlink(100, &remote(), 1));
        assert!(relations.link(100, remote()), "the peer is told again");
        relations.unlink_acked(100, &remote(), 1);
        assert!(relations.unlinked(100, &remote()));
    }

    #[test]
    fn the_end_of_a_process_takes_its_own_and_leaves_the_others() {
        let mut relations = linked();
        relations.linked(101, remote());
        let reference = |n| Reference { node: Atom::from("n@h"), id: vec![n], creation: 1 };
        let target = || Target::Pid(remote());
        let monitor = |n| {
            let control = Control::MonitorP { from: remote(), target: target(), reference: reference(n) };
            KeptMonitor::of(&control).unwrap()
        };
        for (n, id) in [(1, 100), (2, 101)] {
            relations.add_monitor(id, monitor(n));
            relations.watch(reference(n + 2), Watcher::Process { id, target: target() });
        }
        let bonds = relations.end(100);
        assert_eq!((bonds.linked.len(), bonds.monitors.len(), bonds.watched.len()), (1, 1, 1));
        assert_eq!(relations.count(), [1, 1, 1]);
        // Its name has passed to another process.
        relations.remove_monitor(Some(102), &reference_bytes(&reference(2)));
        assert_eq!(relations.count()[0], 0);
        assert!(relations.unwatch(&reference(4)).is_some());
        assert!(relations.by_process.is_empty(), "and the index with them");
    }
}
