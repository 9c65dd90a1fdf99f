//! The node's tables: connections, processes, names, monitors, links. Plain data; no I/O, no waiting.

mod places;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use eetf::{Pid, Reference, Term};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

pub(super) use places::{Admission, Verdict, Wanted};

use places::Pending;

use super::NodeInfo;
use super::connection::Connection;
use super::mailbox::Mailbox;
use super::message::Message;
use super::net_kernel::NodeEvent;
use super::watchers::Watchers;
use crate::dist::{Control, Target};
use crate::term::atom;

/// Pids stay below 2^15, which OTP 25 can take; small ids are left to the processes every node has.
const FIRST_ID: u32 = 100;
const MAX_ID: u32 = 1 << 15;
/// First word of a reference that OTP 25 can take.
const MAX_FIRST_WORD: u32 = 1 << 18;

#[derive(Default)]
pub(super) struct State {
    slots: BTreeMap<String, Slot>,
    processes: HashMap<u32, Mailbox>,
    names: BTreeMap<String, u32>,
    modules: HashMap<String, u32>,
    node_monitors: HashSet<u32>,
    pub(super) watchers: Watchers,
    /// Calls of ours that wait for an answer, with the node they went to.
    calls: HashMap<Reference, (String, oneshot::Sender<CallOutcome>)>,
    /// Names whose last connection is gone but its nodedown not yet delivered everywhere.
    departing: HashMap<String, CancellationToken>,
    /// Whether a lost node is barred from automatic connects (`dist_auto_connect once`).
    pub bars_lost_nodes: bool,
    barred: HashSet<String>,
    last_id: u32,
    last_reference: u64,
    last_attempt: u64,
    last_connection: u32,
}

/// What became of a call of ours: its reply, or the reason of the DOWN.
pub(super) type CallOutcome = Result<Term, Term>;

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
    /// Remote monitors on our processes.
    monitors: HashMap<Reference, Monitor>,
    /// Links between our processes and remote ones.
    links: HashSet<(u32, Pid)>,
}

impl Up {
    fn newcomer_is(&self, attempt: u64) -> bool {
        self.newcomer.as_ref().is_some_and(|(newcomer, _)| *newcomer == attempt)
    }
}

/// A remote process that watches one of ours.
pub(super) struct Monitor {
    /// The watched process.
    pub id: u32,
    /// How the watcher named it: the DOWN must name it alike.
    pub target: Target,
    pub watcher: Pid,
}

/// A signal to a remote process about the end of one of ours.
pub(super) enum EndSignal {
    Down { connection: Arc<Connection>, target: Target, to: Pid, reference: Reference },
    Exit { connection: Arc<Connection>, to: Pid },
}

impl State {
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

    /// Forgets a connection, and calls over it end. Then its nodedown is told. The second time it does nothing.
    pub(super) fn go_down(&mut self, us: &Pid, connection: &Connection) {
        let Some(is_announced) = self.vacate(connection) else { return };
        let name = &connection.peer.name;
        for (_, (_, sender)) in self.calls.extract_if(|_, (peer, _)| peer == name) {
            let _ = sender.send(Err(atom("noconnection")));
        }
        self.watchers.node_down(name);
        if is_announced {
            self.announce(us, NodeEvent::NodeDown { reason: &atom(connection.reason()) }, connection);
        }
    }

    /// News go out under the lock: every subscriber sees them in the same order, and nobody waits here, because mailboxes
    /// take them without a limit and a peer that does not read is dropped.
    fn announce(&self, us: &Pid, event: NodeEvent<'_>, connection: &Connection) {
        let peer = &connection.peer;
        for mailbox in self.node_monitors.iter().filter_map(|id| self.processes.get(id)) {
            mailbox.tell(match event {
                NodeEvent::NodeUp => Message::NodeUp(connection.info()),
                NodeEvent::NodeDown { .. } => {
                    Message::NodeDown { node: connection.info(), reason: connection.reason() }
                }
            });
        }
        for (pid, message) in self.watchers.messages(event, &peer.name, peer.is_visible(), connection.id) {
            if let Some(to) = self.connection(&pid.node.name) {
                to.send(&Control::send(to.peer.flags, us.clone(), pid), Some(&message));
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

    pub(super) fn fresh_id(&mut self) -> u32 {
        loop {
            self.last_id = if self.last_id + 1 < MAX_ID { (self.last_id + 1).max(FIRST_ID) } else { FIRST_ID };
            if !self.processes.contains_key(&self.last_id) {
                return self.last_id;
            }
        }
    }

    pub(super) fn fresh_reference(&mut self) -> [u32; 3] {
        self.last_reference += 1;
        let n = self.last_reference;
        let word = |shift: u32| u32::try_from((n >> shift) & 0xffff_ffff).unwrap_or_default();
        [word(0) % MAX_FIRST_WORD, word(18), word(50)]
    }

    pub(super) fn add_process(&mut self, mailbox: Mailbox) -> u32 {
        let id = self.fresh_id();
        self.processes.insert(id, mailbox);
        id
    }

    /// Registers `name`; says whether it was free.
    pub(super) fn register(&mut self, name: &str, id: u32) -> bool {
        if self.names.contains_key(name) {
            return false;
        }
        self.names.insert(name.to_owned(), id);
        true
    }

    /// Lets process `id` answer `Module:F(Args)`.
    pub(super) fn export(&mut self, module: &str, id: u32) {
        self.modules.insert(module.to_owned(), id);
    }

    pub(super) fn monitor_nodes(&mut self, id: u32) {
        self.node_monitors.insert(id);
    }

    pub(super) fn mailbox(&self, id: u32) -> Option<Mailbox> {
        self.processes.get(&id).cloned()
    }

    pub(super) fn named(&self, name: &str) -> Option<u32> {
        self.names.get(name).copied()
    }

    pub(super) fn registered(&self) -> Vec<String> {
        self.names.keys().cloned().collect()
    }

    pub(super) fn exporter(&self, module: &str) -> Option<Mailbox> {
        self.mailbox(*self.modules.get(module)?)
    }

    /// Ends a process; says who must hear of it.
    pub(super) fn end_process(&mut self, id: u32) -> Vec<EndSignal> {
        self.processes.remove(&id);
        self.names.retain(|_, named| *named != id);
        self.modules.retain(|_, exporter| *exporter != id);
        self.node_monitors.remove(&id);
        let mut signals = Vec::new();
        for slot in self.slots.values_mut() {
            let Slot::Up(up) = slot else { continue };
            let connection = &up.connection;
            // OTP sends the exit of a link before the DOWN of a monitor.
            for (_, to) in up.links.extract_if(|(linked, _)| *linked == id) {
                signals.push(EndSignal::Exit { connection: Arc::clone(connection), to });
            }
            for (reference, monitor) in up.monitors.extract_if(|_, monitor| monitor.id == id) {
                let connection = Arc::clone(connection);
                signals.push(EndSignal::Down { connection, target: monitor.target, to: monitor.watcher, reference });
            }
        }
        signals
    }

    // --- monitors and links ---

    pub(super) fn add_monitor(&mut self, peer: &str, reference: Reference, monitor: Monitor) {
        if let Some(up) = self.up(peer) {
            up.monitors.insert(reference, monitor);
        }
    }

    pub(super) fn remove_monitor(&mut self, peer: &str, reference: &Reference) {
        if let Some(up) = self.up(peer) {
            up.monitors.remove(reference);
        }
    }

    pub(super) fn add_link(&mut self, peer: &str, id: u32, remote: Pid) {
        if let Some(up) = self.up(peer) {
            up.links.insert((id, remote));
        }
    }

    pub(super) fn remove_link(&mut self, peer: &str, id: u32, remote: &Pid) {
        if let Some(up) = self.up(peer) {
            up.links.remove(&(id, remote.clone()));
        }
    }

    // --- calls of ours ---

    pub(super) fn begin_call(&mut self, reference: Reference, peer: &str) -> oneshot::Receiver<CallOutcome> {
        let (sender, receiver) = oneshot::channel();
        self.calls.insert(reference, (peer.to_owned(), sender));
        receiver
    }

    pub(super) fn finish_call(&mut self, reference: &Reference, outcome: CallOutcome) {
        if let Some((_, sender)) = self.calls.remove(reference) {
            // The caller may have given up meanwhile.
            let _ = sender.send(outcome);
        }
    }
}
