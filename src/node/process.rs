//! A process: a pid, names, and a mailbox that some task reads.

use std::time::Duration;

use eetf::{Pid, Reference, Term};

use super::call::CallError;
use super::channel::{Channel, here};
use super::dialer::DialError;
use super::mailbox::{Inbox, mailbox};
use super::message::Message;
use super::net_kernel::MonitorOptions;
use super::state::Watcher;
use super::{Destination, FastPath, Node};
use crate::dist::{Control, KeptMonitor, Target};
use crate::term::{atom, integer, tuple};

/// Characters in an atom.
const MAX_NAME: usize = 255;

/// A process of the node. Its body is whoever reads its mailbox. When it is dropped, its monitors and links hear
/// `noproc`; see [`Process::exit`].
///
/// As in OTP, a message, monitor or link to a process on a node that is not connected connects to it first, as
/// [`NodeConfig::auto_connect`](super::NodeConfig::auto_connect) allows. That is what these functions wait for, and
/// messages also while very much waits for a node that reads slowly. Signals of one process to another arrive in the
/// order in which they were sent.
#[derive(Debug)]
pub struct Process {
    node: Node,
    id: u32,
    inbox: Inbox,
}

impl Node {
    /// Makes a process; the caller is its body. The node need not be started.
    #[must_use]
    pub fn spawn(&self) -> Process {
        self.spawn_with(None)
    }

    /// As [`Node::spawn`], for a process that never takes long with a message: of each connection only `share` messages
    /// wait in its mailbox, the others where they came from. So nobody waits for the flood of somebody else.
    #[must_use]
    pub fn spawn_fair(&self, share: usize) -> Process {
        self.spawn_with(Some(share))
    }

    fn spawn_with(&self, share: Option<usize>) -> Process {
        let (mailbox, inbox) = mailbox(self.inner.config.mailbox_limit, share);
        let id = self.state().processes.add(mailbox);
        Process { node: self.clone(), id, inbox }
    }
}

impl Process {
    /// Its node.
    #[must_use]
    pub const fn node(&self) -> &Node {
        &self.node
    }

    /// The pid. Each start of the node gives it a new one; monitors and links hold.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.node.pid(self.id)
    }

    /// Registers the process as `name`; says whether the name was free, and can be one: an atom of at most 255 characters
    /// that is not `undefined`. A process may have several names.
    pub fn register(&self, name: &str) -> bool {
        let is_name = name != "undefined" && (1..=MAX_NAME).contains(&name.chars().count());
        is_name && !super::builtin::is_reserved(name) && self.node.state().processes.register(name, self.id)
    }

    /// Gives a name back; says whether the process had it.
    pub fn unregister(&self, name: &str) -> bool {
        self.node.state().processes.unregister(name, self.id)
    }

    /// Takes on the calls of `rpc` and `erpc` for `module`: they arrive as [`Message::Apply`].
    pub fn export(&self, module: &str) {
        self.node.state().processes.export(module, self.id);
    }

    /// Whether exit signals arrive as [`Message::Exit`]. Otherwise, which is the default, they end the process, but for
    /// those with reason `normal`. `exit(Pid, kill)` ends it in any case.
    pub fn trap_exits(&self, traps_exits: bool) {
        self.node.state().processes.set_manners(self.id, |manners| manners.traps_exits = traps_exits);
    }

    /// Calls and casts to its names arrive as [`Message::Flat`] if they are plain enough, several at a time: for a process that
    /// has an answer to most of them without a term being built. Those that `fast_path` answers do not arrive at all.
    pub fn take_flat(&self, fast_path: impl FastPath) {
        self.node.state().processes.take_flat(self.id, Box::new(fast_path));
    }

    /// Makes `exit(Pid, kill)` of other nodes go past the process, unless their callers may
    /// [administer](super::Rights::admin) this node.
    pub fn shield(&self) {
        self.node.state().processes.set_manners(self.id, |manners| manners.is_shielded = true);
    }

    /// Asks for [`Message::NodeUp`] and [`Message::NodeDown`]. Subscriptions nest: each gives one copy more. False, and
    /// nothing more, if there are 65,535 with these options, or if the process has ended.
    pub fn monitor_nodes(&self, options: MonitorOptions) -> bool {
        let mut state = self.node.state();
        state.processes.has(self.id) && state.watchers.subscribe(self.id, options)
    }

    /// Ends all subscriptions with these options.
    pub fn demonitor_nodes(&self, options: MonitorOptions) {
        self.node.state().watchers.unsubscribe(self.id, options);
    }

    /// The next message; `None` when an exit signal has ended the process. Dropping this future loses no message.
    pub async fn receive(&mut self) -> Option<Message> {
        self.inbox.receive().await
    }

    /// The next message, if one is waiting.
    pub fn try_receive(&mut self) -> Option<Message> {
        self.inbox.try_receive()
    }

    /// Why an exit signal has ended the process, if one has.
    #[must_use]
    pub fn ended(&self) -> Option<&Term> {
        self.inbox.ended()
    }

    /// Sends a message. Whether somebody is there to receive it, nobody knows.
    ///
    /// # Errors
    /// [`DialError`] when there is no connection to the node and none could be made.
    pub async fn send(&self, to: impl Into<Destination>, message: Term) -> Result<(), DialError> {
        let to = to.into();
        let channel = self.node.channel_to(to.node()).await?;
        channel.send(self.control(&channel, &to), Some(message));
        channel.room().await;
        Ok(())
    }

    /// Sends a message to a process of this node or of one that is connected; to others it goes nowhere.
    pub fn send_now(&self, to: impl Into<Destination>, message: Term) {
        let to = to.into();
        if let Some(channel) = self.node.channel(to.node()) {
            channel.send(self.control(&channel, &to), Some(message));
        }
    }

    fn control(&self, channel: &Channel, to: &Destination) -> Control {
        let from = self.pid();
        match to.target() {
            Target::Name(name) => Control::RegSend { from, name },
            Target::Pid(pid) => Control::send(channel.flags(), from, pid),
        }
    }

    /// `gen_server:cast/2`.
    ///
    /// # Errors
    /// As [`Process::send`].
    pub async fn cast(&self, to: impl Into<Destination>, request: Term) -> Result<(), DialError> {
        self.send(to, tuple([atom("$gen_cast"), request])).await
    }

    /// `gen_server:call/3`; connecting takes of `patience` too.
    ///
    /// # Errors
    /// [`CallError`]. After a time-out a late reply is dropped.
    pub async fn call(&self, to: impl Into<Destination>, request: Term, patience: Duration) -> Result<Term, CallError> {
        self.node.call_from(self.pid(), to.into(), request, patience).await
    }

    /// Monitors a process: one [`Message::Down`] comes when it ends, at once if it is not there (`noproc`), or if its
    /// node cannot be reached or is lost (`noconnection`).
    pub async fn monitor(&self, process: impl Into<Destination>) -> Reference {
        let process = process.into();
        let reference = self.node.fresh_reference();
        let channel = self.node.channel_to(process.node()).await.ok();
        if !channel.is_some_and(|channel| self.monitor_over(&channel, &process, &reference)) {
            self.tell(Message::Down { reference: reference.clone(), process, reason: atom("noconnection") });
        }
        reference
    }

    /// As [`Process::monitor`], if the process is here or on a node that is connected.
    #[must_use]
    pub fn monitor_now(&self, process: impl Into<Destination>) -> Option<Reference> {
        let process = process.into();
        let reference = self.node.fresh_reference();
        let channel = self.node.channel(process.node())?;
        self.monitor_over(&channel, &process, &reference).then_some(reference)
    }

    /// Says whether there is one now, or a `Down` on its way.
    fn monitor_over(&self, channel: &Channel, process: &Destination, reference: &Reference) -> bool {
        let (us, target) = (self.pid(), process.target());
        let watcher = Watcher::Process { id: self.id, target: target.clone() };
        let mut state = self.node.state();
        if !state.processes.has(self.id) {
            return true;
        }
        let monitored = if channel.is_local() { state.resolve(&target) } else { None };
        let Some(relations) = state.relations(channel.way()) else { return false };
        if let Some(connection) = channel.way() {
            // Under the lock, so that what our end sends comes after it.
            relations.watch(reference.clone(), watcher);
            connection.send(&Control::MonitorP { from: us, target, reference: reference.clone() }, None);
        } else if let Some(id) = monitored {
            relations.watch(reference.clone(), watcher);
            let control = Control::MonitorP { from: here(self.id), target, reference: reference.clone() };
            if let Some(monitor) = KeptMonitor::of(&control) {
                relations.add_monitor(id, monitor);
            }
        } else {
            drop(state);
            let process = Destination::of(target, &self.node.name());
            self.tell(Message::Down { reference: reference.clone(), process, reason: atom("noproc") });
        }
        true
    }

    /// Ends a monitor. A [`Message::Down`] that is in the mailbox already stays there. Says whether there was one to end.
    pub fn demonitor(&self, reference: &Reference) -> bool {
        let Some((channel, target)) = self.node.unwatch(self.id, reference) else { return false };
        channel.send(Control::DemonitorP { from: self.pid(), target, reference: reference.clone() }, None);
        true
    }

    /// Links to a process: the end of either sends an exit signal to the other. `noproc` comes if it is not there,
    /// `noconnection` if its node cannot be reached or is lost.
    pub async fn link(&self, to: &Pid) {
        let linked = match self.node.channel_to(Some(&to.node.name)).await {
            Ok(channel) => self.link_over(&channel, to),
            Err(_) => Err("noconnection"),
        };
        if let Err(reason) = linked {
            self.node.exit_by_link(self.id, to.clone(), atom(reason));
        }
    }

    fn link_over(&self, channel: &Channel, to: &Pid) -> Result<(), &'static str> {
        let us = self.pid();
        let mut state = self.node.state();
        if *to == us || !state.processes.has(self.id) {
            return Ok(());
        }
        let other = state.resolve(&Target::Pid(to.clone()));
        let relations = state.relations(channel.way()).ok_or("noconnection")?;
        if let Some(connection) = channel.way() {
            // Under the lock, so that what our end sends comes after it.
            if relations.link(self.id, to.clone()) {
                connection.send(&Control::Link { from: us, to: to.clone() }, None);
            }
        } else {
            let other = other.ok_or("noproc")?;
            relations.link(self.id, here(other));
            relations.linked(other, here(self.id));
        }
        Ok(())
    }

    /// Ends a link; no exit signal of that process comes any more.
    pub fn unlink(&self, to: &Pid) {
        let Some(channel) = self.node.channel(Some(&to.node.name)) else { return };
        let us = self.pid();
        let mut state = self.node.state();
        let id = state.fresh_unlink_id();
        let other = state.own_number(to);
        let Some(relations) = state.relations(channel.way()) else { return };
        if let Some(connection) = channel.way() {
            if relations.unlink(self.id, to, id) {
                let id = integer(i64::try_from(id).unwrap_or(i64::MAX));
                connection.send(&Control::UnlinkId { id, from: us, to: to.clone() }, None);
            }
        } else if let Some(other) = other {
            relations.unlinked(self.id, &here(other));
            relations.unlinked(other, &here(self.id));
        }
    }

    /// `exit/2`: sends an exit signal to another process.
    ///
    /// # Errors
    /// As [`Process::send`].
    pub async fn send_exit(&self, to: &Pid, reason: Term) -> Result<(), DialError> {
        let channel = self.node.channel_to(Some(&to.node.name)).await?;
        let (control, payload) = Control::exit2(channel.flags(), self.pid(), to.clone(), reason);
        channel.send(control, payload);
        Ok(())
    }

    /// Makes an alias: what is sent to it arrives here until [`Process::unalias`]. It ends with the process.
    #[must_use]
    pub fn alias(&self) -> Reference {
        let alias = self.node.fresh_reference();
        self.node.state().processes.add_alias(alias.clone(), self.id);
        alias
    }

    /// Takes an alias back; says whether it was this process's.
    pub fn unalias(&self, alias: &Reference) -> bool {
        self.node.state().processes.remove_alias(alias, self.id)
    }

    /// Ends the process: links and monitors get `reason`.
    pub fn exit(self, reason: &Term) {
        self.node.end_process(self.id, reason);
    }

    fn tell(&self, message: Message) {
        let mailbox = self.node.state().processes.mailbox(self.id);
        mailbox.map(|mailbox| mailbox.tell(message));
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // After `exit` nobody is left to be told.
        self.node.end_process(self.id, &atom("noproc"));
    }
}

impl Node {
    /// The way to a node, if there is one now; `None` stands for this node.
    pub(super) fn channel(&self, node: Option<&str>) -> Option<Channel> {
        match node {
            Some(node) if node != self.incarnation().name => {
                let connection = self.state().connection(node).filter(|connection| !connection.is_closed())?;
                Some(Channel::new(self, Some(connection)))
            }
            _ => Some(Channel::local(self)),
        }
    }

    /// The way to a node, connecting to it if need be.
    pub(super) async fn channel_to(&self, node: Option<&str>) -> Result<Channel, DialError> {
        if let Some(channel) = self.channel(node) {
            return Ok(channel);
        }
        let peer = node.unwrap_or_default();
        self.connect_automatically(peer).await?;
        self.channel(node).ok_or_else(|| DialError::lost(peer))
    }

    /// Enters a monitor of ours; false if the connection is gone meanwhile.
    pub(super) fn watch(&self, channel: &Channel, reference: &Reference, watcher: Watcher) -> bool {
        let mut state = self.state();
        let relations = state.relations(channel.way());
        relations.map(|relations| relations.watch(reference.clone(), watcher)).is_some()
    }

    /// Takes a monitor of process `id` out.
    fn unwatch(&self, id: u32, reference: &Reference) -> Option<(Channel, Target)> {
        let mut state = self.state();
        let found = state.all_relations().find_map(|(way, relations)| match relations.watcher(reference) {
            Some(Watcher::Process { id: its, target }) if *its == id => {
                let target = target.clone();
                relations.unwatch(reference);
                Some((way, target))
            }
            _ => None,
        });
        drop(state);
        found.map(|(way, target)| (Channel::new(self, way), target))
    }
}
