//! Who is connected under which name, who is on its way, and who waits for that (`sys_dist` in OTP's
//! `net_kernel.erl`).

use std::sync::Arc;

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::{Relations, Slot, State, Up};
use crate::dist::Status;
use crate::node::connection::Connection;
use crate::node::dialer::Failure;

/// A handshake under way.
pub(super) struct Pending {
    attempt: u64,
    abort: CancellationToken,
    stage: Stage,
    waiting: Vec<oneshot::Sender<Verdict>>,
}

/// How far an attempt is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// We look for the node, which knows nothing of it yet.
    Looking,
    /// We have told the node our name.
    Dialled,
    /// The node dialled us.
    Accepted,
}

/// What became of an attempt, for those who waited.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::node) enum Verdict {
    /// Connected, and nodeup delivered.
    Up,
    /// We dialled in vain.
    Failed(Failure),
    /// The peer's own attempt came to nothing.
    Missed,
}

/// How things stand with a node that somebody wants.
pub(in crate::node) enum Wanted {
    Up,
    Pending(oneshot::Receiver<Verdict>),
    /// Closed by us, and about to go; cancelled when it has.
    Leaving(CancellationToken),
}

/// What an acceptor does with a name, and what its attempt is called from now on.
pub(in crate::node) enum Admission {
    Answer(Status, u64, CancellationToken),
    /// A second newcomer while one is being heard: close without a status.
    Ignore,
}

impl State {
    /// Decides over an inbound handshake (`accept_pending` in OTP's `net_kernel.erl`). As in OTP 29, it wins over an
    /// attempt of ours that the peer cannot know of.
    pub(in crate::node) fn admit(&mut self, peer: &str) -> Admission {
        let is_greater = self.incarnation.name.as_str() > peer;
        let (attempt, abort) = self.next_attempt();
        match self.slots.get_mut(peer) {
            Some(Slot::Up(up)) if up.newcomer.is_some() => return Admission::Ignore,
            Some(Slot::Up(up)) => {
                up.newcomer = Some((attempt, abort.clone()));
                return Admission::Answer(Status::Alive, attempt, abort);
            }
            Some(Slot::Pending(pending)) if is_greater && pending.stage != Stage::Looking => {
                return Admission::Answer(Status::Nok, attempt, abort);
            }
            _ => {}
        }
        let (status, waiting) = match self.slots.remove(peer) {
            Some(Slot::Pending(old)) => {
                old.abort.cancel();
                let is_known = old.stage != Stage::Looking;
                (if is_known { Status::OkSimultaneous } else { Status::Ok }, old.waiting)
            }
            _ => (Status::Ok, Vec::new()),
        };
        let pending = Pending { attempt, abort: abort.clone(), stage: Stage::Accepted, waiting };
        self.slots.insert(peer.to_owned(), Slot::Pending(pending));
        Admission::Answer(status, attempt, abort)
    }

    /// How things stand with `peer`; if it is on its way, with a place in the queue of those who wait.
    /// `None` if it is not.
    pub(in crate::node) fn want(&mut self, peer: &str) -> Option<Wanted> {
        let waiting = match self.slots.get_mut(peer) {
            None => return None,
            Some(Slot::Up(up)) if up.connection.is_closed() => {
                return Some(Wanted::Leaving(up.connection.gone.clone()));
            }
            Some(Slot::Up(up)) if up.is_announced => return Some(Wanted::Up),
            Some(Slot::Up(up)) => &mut up.waiting,
            Some(Slot::Pending(pending)) => &mut pending.waiting,
        };
        let (sender, receiver) = oneshot::channel();
        // Those who lost patience are nobody's concern.
        waiting.retain(|waiter| !waiter.is_closed());
        waiting.push(sender);
        Some(Wanted::Pending(receiver))
    }

    /// Whether `peer` is connected, and its nodeup delivered.
    pub(in crate::node) fn is_up(&self, peer: &str) -> bool {
        matches!(self.slots.get(peer), Some(Slot::Up(up)) if up.is_announced && !up.connection.is_closed())
    }

    /// Begins to dial `peer`, for which nothing may stand in the table.
    pub(in crate::node) fn begin_dial(&mut self, peer: &str) -> (u64, CancellationToken, oneshot::Receiver<Verdict>) {
        let (attempt, abort) = self.next_attempt();
        let (sender, receiver) = oneshot::channel();
        let pending = Pending { attempt, abort: abort.clone(), stage: Stage::Looking, waiting: vec![sender] };
        self.slots.insert(peer.to_owned(), Slot::Pending(pending));
        (attempt, abort, receiver)
    }

    /// Says that an attempt of ours is about to tell the peer our name; false if it has lost its place.
    pub(in crate::node) fn show_name(&mut self, peer: &str, attempt: u64) -> bool {
        match self.slots.get_mut(peer) {
            Some(Slot::Pending(pending)) if pending.attempt == attempt => {
                pending.stage = Stage::Dialled;
                true
            }
            _ => false,
        }
    }

    fn next_attempt(&mut self) -> (u64, CancellationToken) {
        self.last_attempt += 1;
        (self.last_attempt, CancellationToken::new())
    }

    /// Ends an attempt, if nothing has come of it: whoever waits hears why.
    pub(in crate::node) fn give_up(&mut self, peer: &str, attempt: u64, failure: &Failure) {
        match self.slots.get_mut(peer) {
            Some(Slot::Pending(pending)) if pending.attempt == attempt => {
                let is_theirs = pending.stage == Stage::Accepted;
                for waiter in std::mem::take(&mut pending.waiting) {
                    let verdict = if is_theirs { Verdict::Missed } else { Verdict::Failed(failure.clone()) };
                    // They may have lost patience.
                    let _ = waiter.send(verdict);
                }
                self.slots.remove(peer);
            }
            Some(Slot::Up(up)) if up.newcomer_is(attempt) => up.newcomer = None,
            _ => {}
        }
    }

    /// The connection that a verified newcomer replaces.
    pub(in crate::node) fn replaced_by(&self, peer: &str, attempt: u64) -> Option<Arc<Connection>> {
        match self.slots.get(peer)? {
            Slot::Up(up) if up.newcomer_is(attempt) => Some(Arc::clone(&up.connection)),
            _ => None,
        }
    }

    /// Whether a verified attempt may still come up.
    pub(in crate::node) fn may_come_up(&self, peer: &str, attempt: u64) -> bool {
        match self.slots.get(peer) {
            // Only a node that came without a name has no place.
            None => attempt == 0,
            Some(Slot::Pending(pending)) => pending.attempt == attempt,
            Some(Slot::Up(_)) => false,
        }
    }

    pub(in crate::node) fn come_up(&mut self, connection: Arc<Connection>) {
        let name = connection.peer.name.clone();
        self.barred.remove(&name);
        let waiting = match self.slots.remove(&name) {
            Some(Slot::Pending(pending)) => pending.waiting,
            _ => Vec::new(),
        };
        let relations = Relations::default();
        let up = Up { connection, is_announced: false, waiting, newcomer: None, relations };
        self.slots.insert(name, Slot::Up(up));
    }

    /// Says that the nodeup of a connection has been delivered.
    pub(super) fn announced(&mut self, connection: &Connection) {
        if let Some(up) = self.up(&connection.peer.name)
            && up.connection.id == connection.id
        {
            up.is_announced = true;
            for waiter in std::mem::take(&mut up.waiting) {
                let _ = waiter.send(Verdict::Up);
            }
        }
    }

    /// Takes a connection out of the table. Its newcomer, if it has one, gets its place (`up_pending_nodedown` in
    /// `net_kernel.erl`). Gives what it bound, and whether its nodeup had been delivered; `None` if it was not there.
    pub(in crate::node) fn vacate(&mut self, connection: &Connection) -> Option<(Relations, bool)> {
        let name = &connection.peer.name;
        self.up(name).filter(|up| up.connection.id == connection.id)?;
        let Some(Slot::Up(Up { newcomer, waiting, relations, is_announced, .. })) = self.slots.remove(name) else {
            return None;
        };
        if let Some((attempt, abort)) = newcomer {
            let pending = Pending { attempt, abort, stage: Stage::Accepted, waiting };
            self.slots.insert(name.clone(), Slot::Pending(pending));
        }
        self.departing.insert(name.clone(), connection.gone.clone());
        if self.bars_lost_nodes {
            self.barred.insert(name.clone());
        }
        Some((relations, is_announced))
    }

    /// Cancelled when the nodedown of the last connection to `peer` has been delivered; `None` if it has.
    pub(in crate::node) fn departing(&self, peer: &str) -> Option<CancellationToken> {
        self.departing.get(peer).cloned()
    }

    /// Says that it has.
    pub(in crate::node) fn departed(&mut self, peer: &str) {
        self.departing.remove(peer);
    }

    /// Whether a connection to `peer` was lost and none has come up since; always false unless
    /// [`State::bars_lost_nodes`].
    pub(in crate::node) fn is_barred(&self, peer: &str) -> bool {
        self.barred.contains(peer)
    }
}
