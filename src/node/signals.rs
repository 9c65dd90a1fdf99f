//! Monitors, links and exit signals, as they come in; and what the end of a process or a connection sets off.

use std::collections::VecDeque;

use eetf::{Pid, Reference, Term};

use super::channel::{Channel, here};
use super::connection::Connection;
use super::dispatch::{Delivery, NET_KERNEL};
use super::message::Message;
use super::state::{EndSignal, Lost, Relations, Watcher};
use super::{Destination, Node};
use crate::dist::{Control, FlatMonitor, KeptMonitor, Target, reference_bytes};
use crate::term::{as_atom, atom};

/// What an exit signal does to a process.
enum Taken {
    /// It is a message to it.
    Message(Box<Delivery>),
    /// It ends the process.
    Ends,
    Nothing,
}

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
        let Lost { watched, links } = relations.lose();
        for (reference, watcher) in watched {
            self.fire(watcher, peer, reference, atom("noconnection"));
        }
        for (id, remote) in links {
            self.exit_by_link(id, remote, atom("noconnection"));
        }
    }

    // --- monitors ---

    /// Begins or ends a monitor of one of our processes, without its being decoded; says whether that could be done.
    pub(super) fn monitored_flat(&self, channel: &Channel, monitor: &FlatMonitor<'_>) -> bool {
        let mut state = self.state();
        let id = state.resolve_flat(monitor.target);
        if monitor.begins && !monitor.is_of(channel.peer()) {
            return false;
        }
        // If the connection is gone, so are its monitors.
        let Some(relations) = state.relations(channel.way()) else { return true };
        match (monitor.begins, id) {
            (true, Some(id)) => relations.add_monitor(id, monitor.keep()),
            (true, None) => return false,
            (false, id) => relations.remove_monitor(id, monitor.reference()),
        }
        true
    }

    pub(super) fn monitored(&self, channel: &Channel, from: Pid, target: Target, reference: Reference) {
        let mut state = self.state();
        if let Some(id) = state.resolve(&target) {
            // Under the lock that has found it: its end must find the monitor.
            let monitor = KeptMonitor::of(&Control::MonitorP { from: channel.entry(from), target, reference });
            if let (Some(monitor), Some(relations)) = (monitor, state.relations(channel.way())) {
                relations.add_monitor(id, monitor);
            }
            return;
        }
        drop(state);
        let (control, payload) = Control::monitor_exit(channel.flags(), target, from, reference, atom("noproc"));
        channel.send(control, payload);
    }

    pub(super) fn demonitored(&self, channel: &Channel, target: &Target, reference: &Reference) {
        let mut state = self.state();
        let id = state.resolve(target);
        if let Some(relations) = state.relations(channel.way()) {
            relations.remove_monitor(id, &reference_bytes(reference));
        }
    }

    /// A monitor of ours has fired.
    pub(super) fn process_down(&self, channel: &Channel, reference: &Reference, reason: Term) {
        let watcher = self.state().relations(channel.way()).and_then(|relations| relations.unwatch(reference));
        if let Some(watcher) = watcher {
            self.fire(watcher, channel.peer(), reference.clone(), reason);
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
        let mut state = self.state();
        if let Some(id) = state.resolve(&Target::Pid(to.clone())) {
            // Under the lock that has found it, as with monitors.
            if let Some(relations) = state.relations(channel.way()) {
                relations.linked(id, channel.entry(from));
            }
            return;
        }
        drop(state);
        let (control, payload) = Control::exit(channel.flags(), to, from, atom("noproc"));
        channel.send(control, payload);
    }

    pub(super) fn unlinked(&self, channel: &Channel, id: Term, from: Pid, to: Pid) {
        let mut state = self.state();
        if let Some(number) = state.own_number(&to)
            && let Some(relations) = state.relations(channel.way())
        {
            relations.unlinked(number, &channel.entry(from.clone()));
        }
        drop(state);
        // The ack must come before any other signal to that pid: it is queued here, at once.
        channel.send(Control::UnlinkIdAck { id, from: to, to: from }, None);
    }

    pub(super) fn unlink_acked(&self, channel: &Channel, id: &Term, from: Pid, to: &Pid) {
        let id = match id {
            Term::FixInteger(id) => u64::try_from(id.value).ok(),
            Term::BigInteger(id) => u64::try_from(&id.value).ok(),
            _ => None,
        };
        let mut state = self.state();
        let number = state.own_number(to);
        if let (Some(id), Some(number), Some(relations)) = (id, number, state.relations(channel.way())) {
            relations.unlink_acked(number, &channel.entry(from), id);
        }
    }

    // --- exit signals ---

    /// A linked process has ended.
    pub(super) fn linked_exit(&self, channel: &Channel, from: Pid, to: &Pid, reason: Term) -> Option<Delivery> {
        let mut state = self.state();
        let id = state.own_number(to)?;
        let is_linked = state.relations(channel.way())?.unlinked(id, &channel.entry(from.clone()));
        drop(state);
        if is_linked { self.obey(id, from, reason) } else { None }
    }

    /// `exit/2`.
    pub(super) fn exit_signal(&self, channel: &Channel, from: Pid, to: &Pid, reason: Term) -> Option<Delivery> {
        let state = self.state();
        let id = state.resolve(&Target::Pid(to.clone()))?;
        let manners = state.processes.manners(id)?;
        drop(state);
        let is_its_own = channel.is_local() && from == *to;
        match as_atom(&reason) {
            Some("kill") => {
                if channel.is_local()
                    || !manners.is_shielded
                    || self.permits(super::net_kernel::Right::Admin, &from.node.name)
                {
                    self.end_process(id, &atom("killed"));
                }
                None
            }
            // A process that sends it to itself means it.
            Some("normal") if is_its_own && !manners.traps_exits => {
                self.end_process(id, &reason);
                None
            }
            _ => self.obey(id, from, reason),
        }
    }

    /// A link of ours could not be made, or has been lost.
    pub(super) fn exit_by_link(&self, id: u32, from: Pid, reason: Term) {
        if let Some(delivery) = self.obey(id, from, reason) {
            delivery.now();
        }
    }

    fn obey(&self, id: u32, from: Pid, reason: Term) -> Option<Delivery> {
        match self.take_exit(id, from, &reason) {
            Taken::Message(delivery) => return Some(*delivery),
            Taken::Ends => self.end_process(id, &reason),
            Taken::Nothing => {}
        }
        None
    }

    /// What an exit signal does to a process: a message if it traps exits; nothing, if the reason is `normal`; its end.
    fn take_exit(&self, id: u32, from: Pid, reason: &Term) -> Taken {
        let state = self.state();
        let (Some(manners), Some(mailbox)) = (state.processes.manners(id), state.processes.mailbox(id)) else {
            return Taken::Nothing;
        };
        drop(state);
        if manners.traps_exits {
            let message = Message::Exit { from, reason: reason.clone() };
            return Taken::Message(Box::new(Delivery::new(mailbox, message)));
        }
        if as_atom(reason) == Some("normal") { Taken::Nothing } else { Taken::Ends }
    }

    /// Ends a process: links and monitors hear `reason`. If it has ended before, nothing happens. Those of our own that
    /// end by their links to it follow one after the other: a chain of links may be long.
    pub(super) fn end_process(&self, id: u32, reason: &Term) {
        let mut ending = VecDeque::from([id]);
        while let Some(id) = ending.pop_front() {
            let signals = self.state().end_process(id, reason);
            for signal in signals.into_iter().flatten() {
                match signal {
                    EndSignal::Exit { over: None, to } => ending.extend(self.end_linked(id, &to, reason)),
                    signal => self.send_end(id, signal, reason),
                }
            }
        }
    }

    /// One of our own was linked to `ended`. Gives it, if it ends by that.
    fn end_linked(&self, ended: u32, to: &Pid, reason: &Term) -> Option<u32> {
        let mut state = self.state();
        let id = state.own_number(to)?;
        let is_linked = state.relations(&None)?.unlinked(id, &here(ended));
        drop(state);
        if !is_linked {
            return None;
        }
        match self.take_exit(id, self.pid(ended), reason) {
            Taken::Message(delivery) => delivery.now(),
            Taken::Ends => return Some(id),
            Taken::Nothing => {}
        }
        None
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
