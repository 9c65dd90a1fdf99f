//! An Erlang node for Rust programs: BEAMs connect to it, call it, monitor it, link to it, and are called by it.
//!
//! It speaks the distribution protocol of OTP 25 to 29 as a hidden node, over tokio, and knows nothing of routes.
//!
//! # A first node
//!
//! [`Node::builder`] starts one. A [`Process`] is a pid and a mailbox; whoever reads the mailbox is its body. A
//! [`GenServer`] is the comfortable way to be one:
//!
//! ```no_run
//! use beamroute::node::{Caller, GenServer, Next, Node, Process};
//! use beamroute::term::{Term, integer};
//!
//! struct Counter(i64);
//!
//! impl GenServer for Counter {
//!     async fn call(&mut self, _request: Term, caller: Caller, _: &Process) -> Next {
//!         self.0 += 1;
//!         caller.reply(integer(self.0));
//!         Next::Continue
//!     }
//! }
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> anyhow::Result<()> {
//!     let node = Node::builder("counter@127.0.0.1").start().await?;
//!     let process = node.spawn();
//!     process.register("counter");
//!     process.serve(Counter(0)).await;
//!     node.stop().await?;
//!     Ok(())
//! }
//! ```
//!
//! Now `iex --name me@127.0.0.1` may say `GenServer.call({:counter, :"counter@127.0.0.1"}, :next)`.
//!
//! # Calling a BEAM
//!
//! As in OTP, referring to a node connects to it:
//!
//! ```no_run
//! # use std::time::Duration;
//! # use beamroute::node::{CallError, Message, Node};
//! # use beamroute::term::atom;
//! # async fn run(node: Node) -> Result<(), CallError> {
//! let mut process = node.spawn();
//! let server = ("shop", "beam@127.0.0.1");
//! let reply = process.call(server, atom("stock"), Duration::from_secs(5)).await?;
//! let reference = process.monitor(server).await;
//! while let Some(message) = process.receive().await {
//!     match message {
//!         Message::Down { reference: of, reason, .. } if of == reference => break,
//!         other => println!("{reply:?} {other:?}"),
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # What there is
//!
//! | wanted | here |
//! | --- | --- |
//! | messages | [`Process::send`], [`cast`](Process::cast), [`call`](Process::call); [`Process::receive`] |
//! | names, aliases | [`Process::register`], [`Process::alias`] |
//! | monitors, links, exit signals | [`Process::monitor`], [`link`](Process::link), [`send_exit`](Process::send_exit), [`trap_exits`](Process::trap_exits) |
//! | servers | [`GenServer`], [`Process::serve`] |
//! | functions for `rpc` and `erpc` | [`Process::export`] |
//! | `net_kernel` | [`Node::start`], [`stop`](Node::stop), [`connect_node`](Node::connect_node), [`allow`](Node::allow), [`set_net_ticktime`](Node::set_net_ticktime), [`getopts`](Node::getopts), [`setopts`](Node::setopts), [`Process::monitor_nodes`] |
//! | TLS distribution | [`NodeConfig::tls`], [`Tls`], with the cargo feature `tls` |
//! | terms | [`crate::term`] |
//!
//! Every node also answers, without any process of yours: `net_adm:ping/1`, the functions of `net_kernel` and a few of
//! `erlang` over `rpc`, `erpc` and `rex`. What changes the node is refused unless
//! [`NodeConfig::permissions`] say so.
//!
//! # What bounds it
//!
//! A frame, a mailbox and what waits for a peer that does not read are bounded ([`NodeConfig`]). A full mailbox makes the
//! connections that send to it wait, and nobody else; messages among processes of one node and news that were asked
//! for never wait. Whoever has the cookie may do whatever your processes do for their callers: it is no encryption.
//!
//! # How it is made
//!
//! Each connection has one task that reads and one that writes. The table of connections, names and monitors
//! is one plain struct behind a mutex that is never held across an `.await`; a frame is delivered to the mailbox
//! by the task that read it, so order is kept.

mod buffers;
mod builder;
mod builtin;
mod call;
mod channel;
mod config;
mod connection;
mod cookie;
mod counts;
mod destination;
mod dialer;
mod dispatch;
mod fast_path;
mod flood;
mod gen_server;
mod half_open;
mod handshake_io;
mod incarnation;
mod keeper;
mod kernel;
mod listener;
mod mailbox;
mod message;
mod metered;
mod name;
mod net_kernel;
mod outbox;
mod permissions;
mod process;
mod resolver;
mod rpc;
mod signals;
mod state;
mod system;
mod tls;
mod transport;
mod watchers;

use std::sync::{Arc, Mutex, MutexGuard};

use eetf::{Atom, Pid, Reference};

pub use builder::NodeBuilder;
pub use call::CallError;
pub use config::{AutoConnect, Listen, NodeConfig};
pub use cookie::{Cookie, CookieError, CookieSource};
pub use counts::Counts;
pub use destination::Destination;
pub use dialer::DialError;
pub use fast_path::FastPath;
pub use gen_server::{Function, GenServer, Next};
pub use incarnation::{Ignored, NotFound, StartError};
pub use kernel::{NetTicktime, OptionsError};
pub use message::{Answer, Caller, FlatMessage, Message, NodeNews, Sender};
pub use name::{HostName, NameKind, NodeNameError, host_of, node_name, peer_name};
pub use net_kernel::socket_options::Einval;
pub use net_kernel::{
    Defaults as SocketDefaults, MonitorOptions, NodeType, NodedownReason, OptionName, SocketOption, Start,
    TickTimeChange,
};
pub use permissions::{NodePattern, Permissions, Rights};
pub use process::Process;
pub use resolver::Resolver;
pub use system::{SystemReply, refuse_io, system_reply};
pub use tls::{Tls, TlsError, TlsSettings};

use buffers::Buffers;
use incarnation::{Incarnation, Running};
use kernel::NetKernel;
use state::State;

/// A node. Clones are the same node. Once started, it runs until [`Node::stop`], also when all clones are gone.
#[derive(Clone)]
pub struct Node {
    inner: Arc<Inner>,
}

struct Inner {
    config: NodeConfig,
    state: Mutex<State>,
    net_kernel: NetKernel,
    buffers: Buffers,
    /// What it holds while it is started. Held by whoever starts or stops it.
    running: tokio::sync::Mutex<Option<Running>>,
    /// The exit status with which a caller wants the program to end.
    halting: tokio::sync::watch::Sender<Option<u8>>,
}

impl Node {
    /// A node that is not started yet.
    #[must_use]
    pub fn new(config: NodeConfig) -> Self {
        let bars_lost_nodes = config.auto_connect == AutoConnect::Once;
        let inner = Inner {
            net_kernel: NetKernel::new(&config),
            config,
            buffers: Buffers::default(),
            state: Mutex::new(State::new(bars_lost_nodes)),
            running: tokio::sync::Mutex::default(),
            halting: tokio::sync::watch::Sender::new(None),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The full node name; `nonode@nohost` while the node is not started.
    #[must_use]
    pub fn name(&self) -> String {
        self.incarnation().name.clone()
    }

    /// Names of connected nodes: visible ones, hidden ones, or all.
    #[must_use]
    pub fn nodes(&self, which: impl Fn(&NodeInfo) -> bool) -> Vec<String> {
        let infos = self.state().infos();
        infos.into_iter().filter(|info| which(info)).map(|info| info.name).collect()
    }

    /// Closes the connection to `peer`, if there is one; says whether there was.
    pub fn disconnect(&self, peer: &str) -> bool {
        let connection = self.state().connection(peer);
        connection.inspect(|connection| connection.close(NodedownReason::Disconnect)).is_some()
    }

    fn incarnation(&self) -> Arc<Incarnation> {
        Arc::clone(&self.state().incarnation)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock; if it did, the data would still be whole.
        self.inner.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Runs a task of this life of the node.
    fn spawn_task(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.incarnation().tasks.spawn(task);
    }

    /// The pid of a process by its number.
    fn pid(&self, id: u32) -> Pid {
        let us = self.incarnation();
        let (id, serial) = state::pid_numbers(id);
        Pid { node: Atom::from(us.name.as_str()), id, serial, creation: us.creation }
    }

    fn fresh_pid(&self) -> Pid {
        let id = self.state().processes.fresh_id();
        self.pid(id)
    }

    fn fresh_reference(&self) -> Reference {
        let mut state = self.state();
        let id = state.fresh_reference().to_vec();
        Reference { node: Atom::from(state.incarnation.name.as_str()), id, creation: state.incarnation.creation }
    }
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Node").field(&self.name()).finish()
    }
}

/// A connected node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeInfo {
    /// Full node name.
    pub name: String,
    /// Both sides are published; hidden otherwise.
    pub is_visible: bool,
    /// Tells this connection from others to the same node.
    pub connection_id: u32,
}
