//! The `net_kernel` of a node: what it keeps for all connections, and its functions as callers elsewhere get them.

use std::num::NonZeroU32;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use eetf::{Pid, Term};
use tokio::sync::watch;
use tracing::info;

use super::channel::Channel;
use super::dispatch::NET_KERNEL;
use super::message::Caller;
use super::net_kernel::functions::{already_started, not_allowed, right_towards};
use super::net_kernel::socket_options::{self, Einval};
use super::net_kernel::{
    AllowList, Defaults, Emulated, NetKernelCall, OptionName, Right, SocketOption, Subscriptions, TickTime,
    TickTimeChange,
};
use super::state::Watcher;
use super::watchers::Watch;
use super::{Answer, Ignored, Node, NodeConfig, Rights};
use crate::dist::{Control, Target};
use crate::term::{atom, boolean, tuple};

/// What `net_kernel` keeps.
#[derive(Debug)]
pub(super) struct NetKernel {
    allow: Mutex<AllowList>,
    /// What each life of the node begins with.
    first_allowed: AllowList,
    ticktime: Mutex<TickTime>,
    /// Listeners follow it.
    pub socket_defaults: watch::Sender<Defaults>,
}

/// What `get_net_ticktime` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetTicktime {
    /// This time is in force.
    InForce(Duration),
    /// A change to this time is under way.
    OngoingChangeTo(Duration),
}

/// Why socket options were not read or set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OptionsError {
    /// Our node is not started: `ignored`.
    #[error(transparent)]
    Ignored(#[from] Ignored),
    /// There is no connection to the node.
    #[error("not connected")]
    NotConnected,
    /// The kernel refuses.
    #[error("bad option or value")]
    Invalid,
}

impl From<Einval> for OptionsError {
    fn from(_: Einval) -> Self {
        Self::Invalid
    }
}

impl OptionsError {
    fn to_term(self) -> Term {
        let reason = match self {
            Self::Ignored(_) => return atom("ignored"),
            Self::NotConnected => "noconnection",
            Self::Invalid => "einval",
        };
        tuple([atom("error"), atom(reason)])
    }
}

fn ok_or_error(result: Result<(), OptionsError>) -> Term {
    result.map_or_else(OptionsError::to_term, |()| atom("ok"))
}

impl NetKernel {
    pub(super) fn new(config: &NodeConfig) -> Self {
        Self {
            allow: Mutex::default(),
            first_allowed: AllowList::of(&config.allow),
            ticktime: Mutex::new(TickTime::new(
                config.net_ticktime,
                u32::from(config.net_tickintensity.clamp(4, 1000)),
            )),
            socket_defaults: watch::Sender::new(config.socket_defaults.clone()),
        }
    }

    /// Begins a life of the node.
    pub(super) fn begin(&self, ticktime: TickTime) {
        *self.allow() = self.first_allowed.clone();
        *self.ticktime() = ticktime;
    }

    pub(super) fn allow(&self) -> MutexGuard<'_, AllowList> {
        self.allow.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Taken before the node's state, if both are needed.
    pub(super) fn ticktime(&self) -> MutexGuard<'_, TickTime> {
        self.ticktime.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Node {
    /// Adds to the nodes that may connect to us and that we connect to (`net_kernel:allow/1`): full names, hosts (`h`), or
    /// name parts (`a@`). As long as nothing was added, everybody may. It is no substitute for the cookie.
    ///
    /// # Errors
    /// [`Ignored`], if the node is not started.
    pub fn allow<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Result<(), Ignored> {
        self.if_alive()?;
        self.inner.net_kernel.allow().extend(names);
        Ok(())
    }

    /// The net_ticktime in force, or the one that a running change leads to (`net_kernel:get_net_ticktime/0`).
    ///
    /// # Errors
    /// [`Ignored`], if the node is not started.
    pub fn get_net_ticktime(&self) -> Result<NetTicktime, Ignored> {
        self.if_alive()?;
        let ticktime = self.inner.net_kernel.ticktime();
        Ok(ticktime
            .ongoing_change_to()
            .map_or_else(|| NetTicktime::InForce(ticktime.in_force()), NetTicktime::OngoingChangeTo))
    }

    /// Changes the net_ticktime within `transition` seconds, in which every connection ticks as often as the shorter of
    /// both times asks for (`net_kernel:set_net_ticktime/2`). Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`Ignored`], if the node is not started.
    pub fn set_net_ticktime(&self, seconds: NonZeroU32, transition: u32) -> Result<TickTimeChange, Ignored> {
        self.if_alive()?;
        let change = self.inner.net_kernel.ticktime().set(seconds, transition, Instant::now());
        if change == TickTimeChange::ChangeInitiated {
            info!(seconds, transition, "changing the net_ticktime");
            let node = self.clone();
            let stopping = self.incarnation().stopping.clone();
            self.spawn_task(async move {
                tokio::select! {
                    () = stopping.cancelled() => {}
                    () = node.change_ticktime() => {}
                }
            });
        }
        Ok(change)
    }

    /// Runs a transition to its end.
    async fn change_ticktime(&self) {
        loop {
            let deadline = self.inner.net_kernel.ticktime().deadline();
            let Some(deadline) = deadline else { return };
            tokio::time::sleep_until(deadline.into()).await;
            let mut ticktime = self.inner.net_kernel.ticktime();
            if let Some(in_force) = ticktime.poll(Instant::now()) {
                for connection in self.state().connections() {
                    connection.follow_ticktime(in_force);
                }
            }
        }
    }

    /// `net_kernel:Function(Args)` for a caller elsewhere.
    pub(super) fn net_kernel_function(&self, caller: Caller, function: &str, args: &[Term]) {
        match NetKernelCall::parse(function, args) {
            Err(raised) => caller.reply(raised),
            Ok(NetKernelCall::ConnectNode(peer)) => self.connect_for(caller, peer),
            Ok(call) => {
                let value = self.net_kernel_call(call, caller.node());
                caller.reply(Answer::Value(value));
            }
        }
    }

    fn net_kernel_call(&self, call: NetKernelCall, caller: &str) -> Term {
        if !self.permits(call.right(&self.name(), caller), caller) {
            return not_allowed();
        }
        match call {
            NetKernelCall::Allow(nodes) => self.inner.net_kernel.allow().add(&nodes),
            NetKernelCall::GetNetTicktime => self.inner.net_kernel.ticktime().get(),
            NetKernelCall::SetNetTicktime { ticktime, transition } => {
                let change = self.set_net_ticktime(ticktime, transition);
                change.map_or_else(|_| atom("ignored"), TickTimeChange::to_term)
            }
            NetKernelCall::Getopts { node, options } => {
                // That there is no connection is said first, whatever the options.
                let names = OptionName::parse_list(&options).map_err(OptionsError::from);
                let told = self.getopts(&node, &[]).and(names).and_then(|names| self.getopts(&node, &names));
                told.map_or_else(OptionsError::to_term, |options| socket_options::to_ok(&options))
            }
            NetKernelCall::Setopts { node, options } => {
                let options = SocketOption::parse_list(&options).map_err(OptionsError::from);
                ok_or_error(self.setopts(&node, &[]).and(options).and_then(|options| self.setopts(&node, &options)))
            }
            NetKernelCall::SetoptsNew { options } => {
                let options = SocketOption::parse_list(&options).map_err(OptionsError::from);
                ok_or_error(options.and_then(|options| self.setopts_new(&options)))
            }
            // The process that asks ends with its call, and its subscription with it (M5).
            NetKernelCall::MonitorNodes { flag, options } => {
                Subscriptions::default().change((), &flag, options.as_ref())
            }
            NetKernelCall::Start(_) => already_started(&self.pid(NET_KERNEL)),
            NetKernelCall::ConnectNode(_) | NetKernelCall::Stop => not_allowed(),
        }
    }

    /// Whether callers on the node `caller` have this right.
    pub(super) fn permits(&self, right: Right, caller: &str) -> bool {
        match right {
            Right::Read => self.rights_of(caller).read,
            Right::Admin => self.rights_of(caller).admin,
            Right::Never => false,
        }
    }

    /// What callers on `node` may do; those on this node may do everything.
    #[must_use]
    pub fn rights_of(&self, node: &str) -> Rights {
        if node == self.name() { Rights::ALL } else { self.inner.config.permissions.of(node) }
    }

    /// `connect_node` for a caller elsewhere, beside everything else that its connection has to do (R2).
    fn connect_for(&self, caller: Caller, peer: String) {
        let node = self.clone();
        self.spawn_task(async move {
            let value = node.connect_if_allowed(&peer, caller.node()).await;
            caller.reply(Answer::Value(value.map_or_else(not_allowed, boolean)));
        });
    }

    /// Whether there is a connection to `peer` now; `None` if `caller` may not ask for one.
    pub(super) async fn connect_if_allowed(&self, peer: &str, caller: &str) -> Option<bool> {
        if peer == self.name() || self.state().is_up(peer) {
            return Some(true);
        }
        let is_name = peer.split_once('@').is_some_and(|(name, host)| !name.is_empty() && !host.is_empty());
        if !is_name {
            return Some(false);
        }
        if !self.permits(right_towards(peer, &self.name(), caller), caller) {
            return None;
        }
        Some(self.connect_node(peer).await == Ok(true))
    }

    /// Options of the socket of the connection to `peer`, in the order asked (`net_kernel:getopts/2`).
    ///
    /// # Errors
    /// [`OptionsError`]
    pub fn getopts(&self, peer: &str, names: &[OptionName]) -> Result<Vec<SocketOption>, OptionsError> {
        self.if_alive()?;
        let connection = self.state().connection(peer);
        connection.ok_or(OptionsError::NotConnected)?.getopts(names)
    }

    /// Sets options of the socket of the connection to `peer` (`net_kernel:setopts/2`).
    ///
    /// # Errors
    /// [`OptionsError`]; then nothing has changed.
    pub fn setopts(&self, peer: &str, options: &[SocketOption]) -> Result<(), OptionsError> {
        self.if_alive()?;
        let connection = self.state().connection(peer);
        connection.ok_or(OptionsError::NotConnected)?.setopts(options)
    }

    /// Sets options of the listeners and of all connections to come (`net_kernel:setopts(new, _)`).
    ///
    /// # Errors
    /// [`OptionsError`]; then nothing has changed: the kernel is asked on a socket that nobody uses.
    pub fn setopts_new(&self, options: &[SocketOption]) -> Result<(), OptionsError> {
        self.if_alive()?;
        let trial = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).map_err(|_| Einval)?;
        socket_options::apply(options, &socket2::SockRef::from(&trial), &mut Emulated::default())?;
        self.inner.net_kernel.socket_defaults.send_modify(|defaults| defaults.add(options));
        Ok(())
    }

    /// `GenServer.call({:net_kernel, node}, {:monitor_nodes, flag, options})`: the calling process subscribes.
    pub(super) fn watch_nodes(&self, channel: &Channel, pid: &Pid, flag: &Term, options: Option<&Term>) -> Term {
        if pid.node.name != channel.peer() || channel.is_local() {
            // Its end would not be told by the node that asks. Our own processes have `Process::monitor_nodes`.
            return tuple([atom("error"), atom("not_allowed")]);
        }
        let (us, fresh) = (self.pid(NET_KERNEL), self.fresh_reference());
        let (answer, watch) = self.state().watchers.change(pid, flag, options, fresh);
        let target = Target::Pid(pid.clone());
        match watch {
            Some(Watch::Begin(reference)) => {
                self.watch(channel, &reference, Watcher::Subscriber);
                channel.send(Control::MonitorP { from: us, target, reference }, None);
            }
            Some(Watch::End(reference)) => {
                if let Some(relations) = self.state().relations(channel.way()) {
                    relations.unwatch(&reference);
                }
                channel.send(Control::DemonitorP { from: us, target, reference }, None);
            }
            None => {}
        }
        answer
    }
}
