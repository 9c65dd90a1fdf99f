//! The node's tables: connections, processes, names, monitors, links. Plain data; no I/O, no waiting.

mod places;
mod processes;
mod relations;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use eetf::Pid;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

pub(super) use places::{Admission, Verdict, Wanted};
pub(super) use processes::{EndSignal, Processes, Way, pid_numbers, process_number};
pub(super) use relations::{Lost, Relations, Watcher};

use places::Pending;

use super::NodeInfo;
use super::connection::Connection;
use super::dispatch::{NET_KERNEL, REX};
use super::incarnation::Incarnation;
use super::net_kernel::NodeEvent;
use super::watchers::Watchers;
use crate::dist::{Control, FlatTarget, Target};

/// First word of a reference that OTP 25 can take.
const MAX_FIRST_WORD: u32 = 1 << 18;

#[derive(Default)]
pub(super) struct State {
    /// What the node is called now.
    pub incarnation: Arc<Incarnation>,
    slots: BTreeMap<String, Slot>,
    pub processes: Processes,
    /// Monitors and links among our own processes.
    own: Relations,
    pub watchers: Watchers,
    /// Names whose last connection is gone but its nodedown not yet delivered everywhere.
    departing: HashMap<String, CancellationToken>,
    /// Whether a lost node is barred from automatic connects (`dist_auto_connect once`).
    bars_lost_nodes: bool,
    barred: HashSet<String>,
    last_reference: u64,
    last_unlink: u64,
    last_attempt: u64,
    last_connection: u32,
}

/// What stands under a node's name.
enum Slot {
    /// A handshake is under way, dialled or accepted.
    Pending(Pending),
    /// Connected.
    Up(Up),
}

struct Up {
    connection: Arc<Connection>,
    /// Whether nodeup has been delivered, and who waits for that.
    is_announced: bool,
    waiting: Vec<oneshot::Sender<Verdict>>,
    /// A newcomer under the same name that has yet to prove the cookie.
    newcomer: Option<(u64, CancellationToken)>,
    relations: Relations,
}

impl Up {
    fn newcomer_is(&self, attempt: u64) -> bool {
        self.newcomer.as_ref().is_some_and(|(newcomer, _)| *newcomer == attempt)
    }
}

impl State {
    pub(super) fn new(bars_lost_nodes: bool) -> Self {
        Self { bars_lost_nodes, ..Self::default() }
    }

    /// Begins a life of the node, or ends it: nothing of the network stays.
    pub(super) fn begin(&mut self, incarnation: Arc<Incarnation>) {
        self.incarnation = incarnation;
        self.slots.clear();
        self.departing.clear();
        self.barred.clear();
    }

    // --- connections ---

    pub(super) fn connection(&self, peer: &str) -> Option<Arc<Connection>> {
        match self.slots.get(peer)? {
            Slot::Up(up) => Some(Arc::clone(&up.connection)),
            Slot::Pending(_) => None,
        }
    }

    pub(super) fn connections(&self) -> Vec<Arc<Connection>> {
        self.ups().map(|up| Arc::clone(&up.connection)).collect()
    }

    pub(super) fn infos(&self) -> Vec<NodeInfo> {
        self.ups().map(|up| up.connection.info()).collect()
    }

    /// Handshakes under way that hold a name.
    pub(super) fn pending(&self) -> usize {
        self.slots.len() - self.ups().count()
    }

    /// What the next connection is called, in `connection_id` too.
    pub(super) fn next_connection_id(&mut self) -> u32 {
        self.last_connection = self.last_connection.wrapping_add(1);
        self.last_connection
    }

    /// Tells everybody who monitors nodes, and who waits for it, that `connection` is up. `us` sends the messages.
    pub(super) fn announce_up(&mut self, us: &Pid, connection: &Connection) {
        if self.up(&connection.peer.name).is_some_and(|up| up.connection.id == connection.id) {
            self.announce(us, NodeEvent::NodeUp, connection);
            self.announced(connection);
        }
    }

    /// Tells everybody who monitors nodes that a connection is gone.
    pub(super) fn announce_down(&mut self, us: &Pid, connection: &Connection) {
        self.announce(us, NodeEvent::NodeDown(connection.reason()), connection);
    }

    /// News go out under the lock: every subscriber sees them in the same order, and nobody waits here, because mailboxes
    /// take them without waiting and a peer that does not read is dropped.
    fn announce(&self, us: &Pid, event: NodeEvent, connection: &Connection) {
        for (id, copies, news) in self.watchers.news(event, connection) {
            if let Some(mailbox) = self.processes.mailbox(id) {
                (0..copies).for_each(|_| mailbox.tell_news(event, news.clone()));
            }
        }
        for (pid, copies, message) in self.watchers.messages(event, connection) {
            if let Some(to) = self.connection(&pid.node.name) {
                let control = Control::send(to.peer.flags, us.clone(), pid);
                (0..copies).for_each(|_| to.send(&control, Some(&message)));
            }
        }
    }

    fn ups(&self) -> impl Iterator<Item = &Up> {
        self.slots.values().filter_map(|slot| match slot {
            Slot::Up(up) => Some(up),
            Slot::Pending(_) => None,
        })
    }

    fn up(&mut self, peer: &str) -> Option<&mut Up> {
        match self.slots.get_mut(peer)? {
            Slot::Up(up) => Some(up),
            Slot::Pending(_) => None,
        }
    }

    // --- processes ---

    /// The living process of ours that this names.
    pub(super) fn resolve(&self, target: &Target) -> Option<u32> {
        match target {
            Target::Name(name) => self.named(&name.name),
            Target::Pid(pid) => self.living(self.own_number(pid)?),
        }
    }

    /// As [`Self::resolve`], of what has not been decoded.
    pub(super) fn resolve_flat(&self, target: FlatTarget<'_>) -> Option<u32> {
        match target {
            FlatTarget::Name(name) => self.named(name),
            FlatTarget::Pid(pid) => self.living(self.own_number(&pid.into())?),
        }
    }

    fn named(&self, name: &str) -> Option<u32> {
        match name {
            "net_kernel" => Some(NET_KERNEL),
            "rex" => Some(REX),
            name => self.processes.named(name),
        }
    }

    fn living(&self, number: u32) -> Option<u32> {
        (matches!(number, NET_KERNEL | REX) || self.processes.has(number)).then_some(number)
    }

    /// The number of a process, living or not, whose pid is of this life of the node, or of all of them.
    pub(super) fn own_number(&self, pid: &Pid) -> Option<u32> {
        let us = &self.incarnation;
        let is_of_now = pid.node.name == us.name && pid.creation == us.creation;
        if is_of_now || pid.node.name.is_empty() { process_number(pid) } else { None }
    }

    // --- monitors and links ---

    /// What binds us to the processes at the other end of a channel; `None` if the connection is gone.
    pub(super) fn relations(&mut self, way: &Way) -> Option<&mut Relations> {
        match way {
            None => Some(&mut self.own),
            Some(connection) => {
                let up = self.up(&connection.peer.name).filter(|up| up.connection.id == connection.id);
                up.map(|up| &mut up.relations)
            }
        }
    }

    pub(super) fn all_relations(&mut self) -> impl Iterator<Item = (Way, &mut Relations)> {
        let ups = self.slots.values_mut().filter_map(|slot| match slot {
            Slot::Up(up) => Some((Some(Arc::clone(&up.connection)), &mut up.relations)),
            Slot::Pending(_) => None,
        });
        std::iter::once((None, &mut self.own)).chain(ups)
    }

    // --- fresh names ---

    pub(super) fn fresh_reference(&mut self) -> [u32; 3] {
        self.last_reference += 1;
        let n = self.last_reference;
        let word = |shift: u32| u32::try_from((n >> shift) & 0xffff_ffff).unwrap_or_default();
        [word(0) % MAX_FIRST_WORD, word(18), word(50)]
    }

    pub(super) fn fresh_unlink_id(&mut self) -> u64 {
        self.last_unlink += 1;
        self.last_unlink
    }
}
