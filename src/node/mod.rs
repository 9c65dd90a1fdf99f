//! An Erlang node on tokio: listener, handshakes, connection table, processes, monitors, links, rpc.
//!
//! It knows nothing of routes. A process is a mailbox ([`Process`]) that some task of yours reads; what peers send to
//! it arrives as [`Message`]s, and a [`Caller`] is how to answer one.
//!
//! Each connection has one task that reads and one that writes. The table of connections, names and monitors
//! is one plain struct behind a mutex that is never held across an `.await`; a frame is delivered to the mailbox
//! by the task that read it, so order is kept. Mailboxes are bounded: a full one makes the reader of that connection
//! wait, and nobody else.

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
mod gen_server;
mod handshake_io;
mod incarnation;
mod keeper;
mod kernel;
mod listener;
mod mailbox;
mod message;
mod name;
mod net_kernel;
mod outbox;
mod process;
mod resolver;
mod rpc;
mod signals;
mod state;
mod system;
mod watchers;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use eetf::{Atom, Pid, Reference};
use tokio_util::sync::CancellationToken;

pub use builder::NodeBuilder;
pub use call::CallError;
pub use config::{AutoConnect, Listen, NodeConfig};
pub use cookie::{Cookie, CookieError, CookieSource};
pub use counts::Counts;
pub use destination::Destination;
pub use dialer::DialError;
pub use gen_server::{Function, GenServer, Next};
pub use incarnation::{Ignored, NotFound, StartError};
pub use kernel::{NetTicktime, OptionsError};
pub use message::{Answer, Caller, Message, NodeNews, Sender};
pub use name::{HostName, NameKind, NodeNameError, node_name, peer_name};
pub use net_kernel::socket_options::Einval;
pub use net_kernel::{
    Defaults as SocketDefaults, MonitorOptions, NodeType, NodedownReason, OptionName, SocketOption, Start,
    TickTimeChange,
};
pub use process::Process;
pub use resolver::Resolver;
pub use system::{SystemReply, refuse_io, system_reply};

use incarnation::{Incarnation, Running};
use kernel::NetKernel;
use state::State;

/// A running node. Clones are the same node.
#[derive(Clone)]
pub struct Node {
    inner: Arc<Inner>,
}

struct Inner {
    config: NodeConfig,
    state: Mutex<State>,
    net_kernel: NetKernel,
    /// What it holds while it is started. Held by whoever starts or stops it.
    running: tokio::sync::Mutex<Option<Running>>,
    /// Cancelled when a caller wants the node to end.
    halting: CancellationToken,
}

impl Node {
    /// A node that is not started yet.
    #[must_use]
    pub fn new(config: NodeConfig) -> Self {
        let bars_lost_nodes = config.auto_connect == AutoConnect::Once;
        let inner = Inner {
            net_kernel: NetKernel::new(&config),
            config,
            state: Mutex::new(State::new(bars_lost_nodes)),
            running: tokio::sync::Mutex::default(),
            halting: CancellationToken::new(),
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
    pub fn nodes(&self, which: fn(&NodeInfo) -> bool) -> Vec<String> {
        let infos = self.state().infos();
        infos.into_iter().filter(which).map(|info| info.name).collect()
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

    fn pid(&self, id: u32) -> Pid {
        let us = self.incarnation();
        Pid { node: Atom::from(us.name.as_str()), id, serial: 0, creation: us.creation }
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

/// Where a peer is, for logs.
fn address_of(stream: &tokio::net::TcpStream) -> Option<SocketAddr> {
    stream.peer_addr().ok()
}
