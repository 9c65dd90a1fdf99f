//! Monitors and links between our processes and those of one node, ours included.

use std::collections::HashMap;

use eetf::{Pid, Reference, Term};
use tokio::sync::oneshot;

use crate::dist::Target;

/// What binds our processes to those of one node. It ends with the connection.
#[derive(Debug, Default)]
pub(in crate::node) struct Relations {
    /// Processes there that watch ours.
    pub monitors: HashMap<Reference, Monitor>,
    /// Processes there that we watch.
    pub watched: HashMap<Reference, Watcher>,
    /// By our process and theirs.
    pub links: HashMap<(u32, Pid), Link>,
}

/// A process that watches one of ours.
#[derive(Debug)]
pub(in crate::node) struct Monitor {
    /// The watched process.
    pub id: u32,
    /// How the watcher named it: the DOWN must name it alike.
    pub target: Target,
    pub watcher: Pid,
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

impl Relations {
    /// `LINK` came in. One that is being unlinked stays so: the peer has not seen our unlink yet.
    pub(in crate::node) fn linked(&mut self, id: u32, remote: Pid) {
        self.links.entry((id, remote)).or_insert(Link::Active);
    }

    /// We link. Says whether the peer has to be told.
    pub(in crate::node) fn link(&mut self, id: u32, remote: Pid) -> bool {
        self.links.insert((id, remote), Link::Active) != Some(Link::Active)
    }

    /// We unlink. Says whether the peer has to be told.
    pub(in crate::node) fn unlink(&mut self, id: u32, remote: &Pid, unlink_id: u64) -> bool {
        match self.links.get_mut(&(id, remote.clone())) {
            Some(link @ Link::Active) => {
                *link = Link::Unlinking(unlink_id);
                true
            }
            _ => false,
        }
    }

    /// `UNLINK_ID_ACK` came in. One of an earlier unlink, before a new link, means nothing.
    pub(in crate::node) fn unlink_acked(&mut self, id: u32, remote: &Pid, unlink_id: u64) {
        let key = (id, remote.clone());
        if self.links.get(&key) == Some(&Link::Unlinking(unlink_id)) {
            self.links.remove(&key);
        }
    }

    /// `UNLINK_ID` or an exit signal came in. Says whether the link was active; then it is gone.
    pub(in crate::node) fn unlinked(&mut self, id: u32, remote: &Pid) -> bool {
        let key = (id, remote.clone());
        let is_active = self.links.get(&key) == Some(&Link::Active);
        if is_active {
            self.links.remove(&key);
        }
        is_active
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
        assert_eq!(relations.links.len(), 1, "another id is not ours");
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
}
