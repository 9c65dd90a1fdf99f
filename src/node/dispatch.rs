//! What peers and our own processes send: control message → tables, mailboxes, answers.

use eetf::{Atom, Pid, Reference, Term};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::Node;
use super::channel::{Channel, here};
use super::fast_path::FlatTaker;
use super::mailbox::{Mailbox, Shares};
use super::message::{Answer, FlatMessage, Message, server_call, to_message, to_server_call};
use super::net_kernel::{NetKernelCall, NodedownReason};
use super::system::refuse_io;
use crate::dist::{self, Control, Flat, Target, altact};
use crate::term::{as_atom, as_tuple, atom, tuple};

/// Ids of the processes that every node has; mailboxes begin at 100.
pub(super) const NET_KERNEL: u32 = 1;
pub(super) const REX: u32 = 2;

/// A message on its way to a mailbox.
pub(super) struct Delivery {
    mailbox: Mailbox,
    message: Message,
    /// In how many bytes a connection has brought it.
    bytes: usize,
}

impl Delivery {
    pub(super) const fn new(mailbox: Mailbox, message: Message) -> Self {
        Self { mailbox, message, bytes: 0 }
    }

    /// Delivers calls and casts to a process that takes them flat; gives the delivery back if that has no room now.
    pub(super) fn of_flat(channel: &Channel, flat: Flat, to: &FlatTaker, shares: &mut Shares) -> Option<Self> {
        let bytes = flat.frame_bytes();
        let message = Message::Flat(to.answer(FlatMessage::new(channel.clone(), to.id, flat))?);
        let full = to.mailbox.try_send(message, bytes, shares);
        full.map(|message| Self { mailbox: to.mailbox.clone(), message, bytes })
    }

    /// Of so many bytes.
    pub(super) fn of_bytes(self, bytes: usize) -> Self {
        Self { bytes, ..self }
    }

    /// Delivers what a connection brings; gives it back if the mailbox is full.
    pub(super) fn if_there_is_room(self, shares: &mut Shares) -> Option<Self> {
        let Self { mailbox, message, bytes } = self;
        mailbox.try_send(message, bytes, shares).map(|message| Self { mailbox, message, bytes })
    }

    /// Waits while the mailbox is full for what a connection brings, or until `closed`.
    pub(super) async fn in_turn(self, shares: &mut Shares, closed: &CancellationToken) {
        returned(self.mailbox.send(self.message, self.bytes, shares, closed).await);
    }

    /// Whether it is full or not: for what our own processes send.
    pub(super) fn now(self) {
        returned(self.mailbox.tell(self.message));
    }
}

/// The process of the peer that is told what becomes of one of ours.
const fn watcher(control: &Control) -> Option<&Pid> {
    match control {
        Control::Link { from, .. } | Control::MonitorP { from, .. } | Control::SpawnRequest { from, .. } => Some(from),
        _ => None,
    }
}

/// The process has ended meanwhile. Monitors tell those who called it; a function that it exported is gone.
fn returned(message: Option<Message>) {
    if let Some(Message::Apply { caller, module, function, args }) = message {
        caller.reply(Answer::undef(&module, &function, &args));
    }
}

impl Node {
    /// Acts on a message. What it gives is to be delivered before the next one.
    #[must_use]
    pub(super) fn dispatch(&self, channel: &Channel, message: dist::Message) -> Option<Delivery> {
        if let Some(connection) = channel.way()
            && watcher(&message.control).is_some_and(|pid| pid.node.name != connection.peer.name)
        {
            // As a BEAM does: what it would have to be told could not be said over this connection.
            warn!("a process of a third node as a watcher; dropping the connection");
            connection.close(NodedownReason::Killed);
            return None;
        }
        let payload = message.payload.unwrap_or_else(|| atom("undefined"));
        match message.control {
            Control::RegSend { from, name } => return self.send_to_name(channel, from, name, payload),
            Control::Send { to } => return self.send_to_pid(channel, None, &to, payload),
            Control::SendSender { from, to } => return self.send_to_pid(channel, Some(from), &to, payload),
            Control::AliasSend { from, alias } => return self.send_to_alias(channel, from, &alias, payload),
            Control::AltactSend { bits, from, to } => return self.altact(channel, bits, from, to, payload),
            Control::MonitorP { from, target, reference } => self.monitored(channel, from, target, reference),
            Control::DemonitorP { target, reference, .. } => self.demonitored(channel, &target, &reference),
            Control::PayloadMonitorPExit { reference, .. } => self.process_down(channel, &reference, payload),
            Control::MonitorPExit { reference, reason, .. } => self.process_down(channel, &reference, reason),
            Control::Link { from, to } => self.linked(channel, from, to),
            Control::UnlinkId { id, from, to } => self.unlinked(channel, id, from, to),
            Control::UnlinkIdAck { id, from, to } => self.unlink_acked(channel, &id, from, &to),
            Control::PayloadExit { from, to } => return self.linked_exit(channel, from, &to, payload),
            Control::Exit { from, to, reason } => return self.linked_exit(channel, from, &to, reason),
            Control::PayloadExit2 { from, to } => return self.exit_signal(channel, from, &to, payload),
            Control::Exit2 { from, to, reason } => return self.exit_signal(channel, from, &to, reason),
            Control::SpawnRequest { reference, from, leader: _, module, function, arity, options } => {
                let request = super::rpc::SpawnRequest { reference, from, module, function, arity, options };
                return self.spawn_request(channel, request, payload);
            }
            // Our processes have no group leaders; unlinks without an id are obsolete; we send no spawn requests.
            Control::GroupLeader { .. } | Control::Unlink { .. } | Control::SpawnReply { .. } => {}
        }
        None
    }

    /// Op 37: a message to a name, an alias or a pid, or an exit signal. Priority means nothing to processes that have
    /// not asked for it.
    fn altact(&self, channel: &Channel, bits: i64, from: Pid, to: Term, payload: Term) -> Option<Delivery> {
        let has = |bit| bits & bit != 0;
        match to {
            Term::Atom(name) if has(altact::NAME) => self.send_to_name(channel, from, name, payload),
            Term::Reference(alias) if has(altact::ALIAS) && !has(altact::EXIT) => {
                self.send_to_alias(channel, from, &alias, payload)
            }
            Term::Reference(alias) if has(altact::ALIAS) => {
                let id = self.state().processes.alias(&alias)?;
                self.exit_signal(channel, from, &here(id), payload)
            }
            Term::Pid(to) if has(altact::EXIT) => self.exit_signal(channel, from, &to, payload),
            Term::Pid(to) => self.send_to_pid(channel, Some(from), &to, payload),
            _ => None,
        }
    }

    fn send_to_name(&self, channel: &Channel, from: Pid, name: Atom, payload: Term) -> Option<Delivery> {
        let target = Target::Name(name);
        let Some(id) = self.resolve(&target) else {
            // As on a BEAM, what is sent to nobody is dropped.
            debug!(%from, "a message to a name that nobody has");
            return None;
        };
        // Whoever serves functions serves `rpc:server_call` too. To others it is a message like any other.
        if let (Target::Name(name), Some((pid, request))) = (&target, server_call(channel, &payload))
            && self.state().processes.is_exporter(id)
        {
            let mailbox = self.state().processes.mailbox(id)?;
            let message = to_server_call(channel, id, name, pid, request);
            return Some(Delivery::new(mailbox, message));
        }
        self.send_to_id(channel, Some(from), id, payload)
    }

    fn send_to_pid(&self, channel: &Channel, from: Option<Pid>, to: &Pid, payload: Term) -> Option<Delivery> {
        match self.resolve(&Target::Pid(to.clone())) {
            Some(id) => self.send_to_id(channel, from, id, payload),
            None => {
                self.replied(channel, &payload);
                None
            }
        }
    }

    /// An alias is one of a process, or of a call that waits.
    fn send_to_alias(&self, channel: &Channel, from: Pid, alias: &Reference, payload: Term) -> Option<Delivery> {
        let id = self.state().processes.alias(alias);
        match id {
            Some(id) => self.send_to_id(channel, Some(from), id, payload),
            None => {
                self.replied(channel, &payload);
                None
            }
        }
    }

    pub(super) fn send_to_id(&self, channel: &Channel, from: Option<Pid>, id: u32, payload: Term) -> Option<Delivery> {
        match id {
            NET_KERNEL | REX if refuse_io(&payload).is_some() => {
                let (to, refusal) = refuse_io(&payload)?;
                channel.send(Control::send(channel.flags(), self.pid(id), to), Some(refusal));
                None
            }
            NET_KERNEL => {
                self.net_kernel(channel, payload);
                None
            }
            REX => self.rex_message(channel, payload),
            id => {
                // A call answered by a node that knows no alias comes to the pid that called.
                if self.replied(channel, &payload) {
                    return None;
                }
                let mailbox = self.state().processes.mailbox(id)?;
                Some(Delivery::new(mailbox, to_message(channel, from, id, payload)))
            }
        }
    }

    pub(super) fn resolve(&self, target: &Target) -> Option<u32> {
        self.state().resolve(target)
    }

    /// `net_kernel` answers `net_adm:ping/1`, where `is_auth` after a handshake is always yes, and `monitor_nodes`.
    fn net_kernel(&self, channel: &Channel, payload: Term) {
        let message = to_message(channel, None, NET_KERNEL, payload);
        let (caller, request) = match message {
            Message::Call(caller, request) => (caller, request),
            Message::System(caller, request) => return caller.refuse_system(&request),
            _ => return,
        };
        let is_ping = as_tuple::<2>(&request).is_some_and(|[f, _]| as_atom(f) == Some("is_auth"));
        let value = match (NetKernelCall::from_gen_request(&request), caller.sender().pid) {
            _ if is_ping => atom("yes"),
            (Some(NetKernelCall::MonitorNodes { flag, options }), Some(pid)) => {
                self.watch_nodes(channel, &pid, &flag, options.as_ref())
            }
            _ => tuple([atom("error"), tuple([atom("unknown_request"), request])]),
        };
        caller.reply(value);
    }
}
