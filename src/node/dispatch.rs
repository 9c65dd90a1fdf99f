//! What peers send: control message → tables, mailboxes, answers.

use std::sync::Arc;

use eetf::{Atom, Pid, Term};
use tracing::debug;

use super::Node;
use super::connection::Connection;
use super::message::{Message, to_message};
use super::net_kernel::NetKernelCall;
use super::state::Monitor;
use crate::dist::{self, Control, Target};
use crate::term::{as_atom, atom, tuple};

/// Ids of the processes that every node has; mailboxes begin at 100.
pub(super) const NET_KERNEL: u32 = 1;
const REX: u32 = 2;

impl Node {
    /// Acts on one message of a peer. Waits only while a mailbox is full.
    pub(super) async fn dispatch(&self, connection: &Arc<Connection>, message: dist::Message) {
        let payload = message.payload.unwrap_or_else(|| atom("undefined"));
        match message.control {
            Control::RegSend { from, name } => self.deliver_to_name(connection, from, &name, payload).await,
            Control::Send { to } => self.deliver_to_pid(connection, None, &to, payload).await,
            Control::SendSender { from, to } => self.deliver_to_pid(connection, Some(from), &to, payload).await,
            Control::AliasSend { .. } => self.replied(&payload),
            Control::MonitorP { from, target, reference } => self.monitor(connection, from, target, reference),
            Control::DemonitorP { reference, .. } => self.state().remove_monitor(&connection.peer.name, &reference),
            Control::PayloadMonitorPExit { reference, .. } => self.process_down(connection, &reference, payload),
            Control::MonitorPExit { reference, reason, .. } => self.process_down(connection, &reference, reason),
            Control::Link { from, to } => self.link(connection, from, to),
            Control::UnlinkId { id, from, to } => {
                self.state().remove_link(&connection.peer.name, to.id, &from);
                // The ack must come before any other signal to that pid: it is queued here, at once.
                connection.send(&Control::UnlinkIdAck { id, from: to, to: from }, None);
            }
            Control::PayloadExit { from, to } | Control::Exit { from, to, .. } => {
                self.state().remove_link(&connection.peer.name, to.id, &from);
            }
            Control::SpawnRequest { reference, from, leader: _, module, function, arity, options } => {
                let request = super::rpc::SpawnRequest { reference, from, module, function, arity, options };
                self.spawn_request(connection, request, payload).await;
            }
            // Our processes trap exits and do nothing on them; group leaders, obsolete unlinks and acks of unlinks
            // that we never send mean nothing to us; op 37 is not negotiated.
            Control::PayloadExit2 { .. }
            | Control::Exit2 { .. }
            | Control::GroupLeader { .. }
            | Control::Unlink { .. }
            | Control::UnlinkIdAck { .. }
            | Control::SpawnReply { .. }
            | Control::AltactSend { .. } => {}
        }
    }

    /// Ends a connection: tables first, then nodedown to those who monitor nodes.
    pub(super) fn connection_down(&self, connection: &Connection) {
        let us = self.pid(NET_KERNEL);
        self.state().go_down(&us, connection);
    }

    /// Nodeup, before anything of the peer is read.
    pub(super) fn announce_up(&self, connection: &Connection) {
        let us = self.pid(NET_KERNEL);
        self.state().announce_up(&us, connection);
    }

    /// A monitor of ours has fired: of a call, or of a subscriber.
    fn process_down(&self, connection: &Connection, reference: &eetf::Reference, reason: Term) {
        let mut state = self.state();
        state.watchers.ended(&connection.peer.name, reference);
        state.finish_call(reference, Err(reason));
    }

    async fn deliver_to_name(&self, connection: &Arc<Connection>, from: Pid, name: &Atom, payload: Term) {
        let id = self.resolve(&Target::Name(name.clone()));
        match id {
            Some(NET_KERNEL) => self.net_kernel(connection, payload),
            Some(REX) => self.rex(connection, payload).await,
            Some(id) => self.deliver(connection, Some(from), id, payload).await,
            // As on a BEAM, what is sent to nobody is dropped.
            None => debug!(%from, name = %name.name, "message to a name that nobody has"),
        }
    }

    async fn deliver_to_pid(&self, connection: &Arc<Connection>, from: Option<Pid>, to: &Pid, payload: Term) {
        match self.resolve(&Target::Pid(to.clone())) {
            Some(NET_KERNEL) => self.net_kernel(connection, payload),
            Some(REX) => self.rex(connection, payload).await,
            Some(id) => self.deliver(connection, from, id, payload).await,
            None => self.replied(&payload),
        }
    }

    async fn deliver(&self, connection: &Arc<Connection>, from: Option<Pid>, id: u32, payload: Term) {
        let mailbox = self.state().mailbox(id);
        if let Some(mailbox) = mailbox {
            let message = to_message(connection, from, self.pid(id), payload);
            // The process may have ended since: the message is dropped, and monitors say so.
            let _ = mailbox.send(message).await;
        }
    }

    pub(super) fn resolve(&self, target: &Target) -> Option<u32> {
        match target {
            Target::Name(name) => match name.name.as_str() {
                "net_kernel" => Some(NET_KERNEL),
                "rex" => Some(REX),
                name => self.state().named(name),
            },
            Target::Pid(pid) => {
                let is_ours = pid.node.name == self.name() && pid.creation == self.inner.creation && pid.serial == 0;
                let is_alive = matches!(pid.id, NET_KERNEL | REX) || self.state().mailbox(pid.id).is_some();
                (is_ours && is_alive).then_some(pid.id)
            }
        }
    }

    fn monitor(&self, connection: &Connection, from: Pid, target: Target, reference: eetf::Reference) {
        match self.resolve(&target) {
            Some(id) => {
                let monitor = Monitor { id, target, watcher: from };
                self.state().add_monitor(&connection.peer.name, reference, monitor);
            }
            None => {
                let flags = connection.peer.flags;
                let (control, payload) = Control::monitor_exit(flags, target, from, reference, atom("noproc"));
                connection.send(&control, payload.as_ref());
            }
        }
    }

    fn link(&self, connection: &Connection, from: Pid, to: Pid) {
        match self.resolve(&Target::Pid(to.clone())) {
            Some(id) => self.state().add_link(&connection.peer.name, id, from),
            None => {
                let (control, payload) = Control::exit(connection.peer.flags, to, from, atom("noproc"));
                connection.send(&control, payload.as_ref());
            }
        }
    }

    /// `net_kernel` answers `net_adm:ping/1`, where `is_auth` after a handshake is always yes, and `monitor_nodes`.
    fn net_kernel(&self, connection: &Arc<Connection>, payload: Term) {
        let message = to_message(connection, None, self.pid(NET_KERNEL), payload);
        let Message::Call(caller, request) = message else { return };
        let is_ping = crate::term::as_tuple::<2>(&request).is_some_and(|[f, _]| as_atom(f) == Some("is_auth"));
        let value = match (NetKernelCall::from_gen_request(&request), caller.sender().pid) {
            _ if is_ping => atom("yes"),
            (Some(NetKernelCall::MonitorNodes { flag, options }), Some(pid)) => {
                self.watch_nodes(connection, &pid, &flag, options.as_ref())
            }
            _ => tuple([atom("error"), tuple([atom("unknown_request"), request])]),
        };
        caller.reply(super::Answer::Value(value));
    }

    async fn rex(&self, connection: &Arc<Connection>, payload: Term) {
        self.rex_message(connection, self.pid(REX), payload).await;
    }
}
