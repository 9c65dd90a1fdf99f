//! Monitors, links and exit signals, as they come in; and what the end of a process or a connection sets off.

use eetf::{Pid, Reference, Term};

use super::channel::Channel;
use super::connection::Connection;
use super::dispatch::{Delivery, NET_KERNEL};
use super::message::Message;
use super::state::{EndSignal, Link, Monitor, Relations, Watcher};
use super::{Destination, Node};
use crate::dist::{Control, Target};
use crate::term::{as_atom, atom};

impl Node {
    // --- connections ---

    /// Nodeup, before anything of the peer is read.
    pub(super) fn announce_up(&self, connection: &Connection) {
        let us = self.pid(NET_KERNEL);
        self.state().announce_up(&us, connection);
    }

    /// Ends a connection: tables first, then what its loss sets off, then nodedown to those who monitor nodes (M8, M9).
    /// The second time it does nothing.
    pub(super) fn connection_down(&self, connection: &Connection) {
        let gone = self.state().vacate(connection);
        let Some((relations, is_announced)) = gone else { return };
        self.lose(&connection.peer.name, relations);
        let us = self.pid(NET_KERNEL);
        let mut state = self.state();
        state.watchers.node_down(&connection.peer.name);
        if is_announced {
            state.announce_down(&us, connection);
        }
    }

    /// Each monitor and link over a connection that is gone fires `noconnection`.
    fn lose(&self, peer: &str, relations: Relations) {
        for (reference, watcher) in relations.watched {
            self.fire(watcher, peer, reference, atom("noconnection"));
        }
        for ((id, remote), link) in relations.links {
            if link == Link::Active {
                self.lose_link(id, remote);
            }
        }
    }

    // --- monitors ---

    pub(super) fn monitored(&self, channel: &Channel, from: Pid, target: Target, reference: Reference) {
        match self.resolve(&target) {
            Some(id) => {
                let monitor = Monitor { id, target, watcher: channel.entry(from) };
                if let Some(relations) = self.state().relations(channel.peer()) {
                    relations.monitors.insert(reference, monitor);
                }
            }
            None => {
                let (control, payload) =
                    Control::monitor_exit(channel.flags(), target, from, reference, atom("noproc"));
                channel.send(control, payload);
            }
        }
    }

    pub(super) fn demonitored(&self, channel: &Channel, reference: &Reference) {
        if let Some(relations) = self.state().relations(channel.peer()) {
            relations.monitors.remove(reference);
        }
    }

    /// A monitor of ours has fired.
    pub(super) fn process_down(&self, channel: &Channel, reference: &Reference, reason: Term) {
        let watcher = self.state().relations(channel.peer()).and_then(|relations| relations.watched.remove(reference));
        if let Some(watcher) = watcher {
            self.fire(watcher, channel.peer(), reference.clone(), reason);
        }
    }

    /// A link that could not be made.
    pub(super) fn lose_link(&self, id: u32, to: Pid) {
        if let Some(delivery) = self.take_exit(id, to, atom("noconnection")) {
            delivery.now();
        }
    }

    fn fire(&self, watcher: Watcher, peer: &str, reference: Reference, reason: Term) {
        match watcher {
            Watcher::Call(caller) => {
                // The caller may have given up meanwhile.
                let _ = caller.send(Err(reason));
            }
            Watcher::Subscriber => self.state().watchers.ended(peer, &reference),
            Watcher::Process { id, target } => {
                let mailbox = self.state().processes.mailbox(id);
                if let Some(mailbox) = mailbox {
                    let process = Destination::of(target, peer);
                    mailbox.tell(Message::Down { reference, process, reason });
                }
            }
        }
    }

    // --- links ---

    pub(super) fn linked(&self, channel: &Channel, from: Pid, to: Pid) {
        match self.resolve(&Target::Pid(to.clone())) {
            Some(id) => {
                if let Some(relations) = self.state().relations(channel.peer()) {
                    relations.linked(id, channel.entry(from));
                }
            }
            None => {
                let (control, payload) = Control::exit(channel.flags(), to, from, atom("noproc"));
                channel.send(control, payload);
            }
        }
    }

    pub(super) fn unlinked(&self, channel: &Channel, id: Term, from: Pid, to: Pid) {
        if self.is_ours(&to)
            && let Some(relations) = self.state().relations(channel.peer())
        {
            relations.unlinked(to.id, &channel.entry(from.clone()));
        }
        // The ack must come before any other signal to that pid: it is queued here, at once.
        channel.send(Control::UnlinkIdAck { id, from: to, to: from }, None);
    }

    pub(super) fn unlink_acked(&self, channel: &Channel, id: &Term, from: Pid, to: &Pid) {
        let id = match id {
            Term::FixInteger(id) => u64::try_from(id.value).ok(),
            Term::BigInteger(id) => u64::try_from(&id.value).ok(),
            _ => None,
        };
        if let (Some(id), Some(relations)) = (id, self.state().relations(channel.peer())) {
            relations.unlink_acked(to.id, &channel.entry(from), id);
        }
    }

    // --- exit signals ---

    /// A linked process has ended.
    pub(super) fn linked_exit(&self, channel: &Channel, from: Pid, to: &Pid, reason: Term) -> Option<Delivery> {
        let is_linked = self.is_ours(to)
            && self
                .state()
                .relations(channel.peer())
                .is_some_and(|relations| relations.unlinked(to.id, &channel.entry(from.clone())));
        if is_linked { self.take_exit(to.id, from, reason) } else { None }
    }

    /// `exit/2`.
    pub(super) fn exit_signal(&self, channel: &Channel, from: Pid, to: &Pid, reason: Term) -> Option<Delivery> {
        let id = self.resolve(&Target::Pid(to.clone()))?;
        let manners = self.state().processes.manners(id)?;
        if as_atom(&reason) != Some("kill") {
            return self.take_exit(id, from, reason);
        }
        let is_local = matches!(channel, Channel::Local { .. });
        if is_local || !manners.is_shielded || self.permits(super::net_kernel::Right::Admin) {
            self.end_process(id, &atom("killed"));
        }
        None
    }

    /// What an exit signal does to a process: a message if it traps exits; nothing, if the reason is `normal`; its end.
    fn take_exit(&self, id: u32, from: Pid, reason: Term) -> Option<Delivery> {
        let state = self.state();
        let (manners, mailbox) = (state.processes.manners(id)?, state.processes.mailbox(id)?);
        drop(state);
        if manners.traps_exits {
            return Some(Delivery { mailbox, message: Message::Exit { from, reason } });
        }
        if as_atom(&reason) != Some("normal") {
            self.end_process(id, &reason);
        }
        None
    }

    /// Ends a process: links and monitors hear `reason`. If it has ended before, nothing happens.
    pub(super) fn end_process(&self, id: u32, reason: &Term) {
        let signals = self.state().end_process(id, reason);
        for signal in signals.into_iter().flatten() {
            self.send_end(id, signal, reason);
        }
    }

    fn send_end(&self, id: u32, signal: EndSignal, reason: &Term) {
        let ended = self.pid(id);
        let (channel, (control, payload)) = match signal {
            EndSignal::Down { over, target, to, reference } => {
                let channel = Channel::new(self, over);
                let sent = Control::monitor_exit(channel.flags(), target, to, reference, reason.clone());
                (channel, sent)
            }
            EndSignal::Exit { over, to } => {
                let channel = Channel::new(self, over);
                let sent = Control::exit(channel.flags(), ended, to, reason.clone());
                (channel, sent)
            }
            EndSignal::Demonitor { over, target, reference } => {
                (Channel::new(self, over), (Control::DemonitorP { from: ended, target, reference }, None))
            }
        };
        channel.send(control, payload);
    }
}
