//! An Erlang node on tokio: listener, handshakes, connection table, processes, monitors, links, rpc.
//!
//! It knows nothing of routes. A process is a mailbox ([`Process`]) that some task of yours reads; what peers send to
//! it arrives as [`Message`]s, and a [`Caller`] is how to answer one.
//!
//! Each connection has one task that reads and one that writes. The table of connections, names and monitors
//! is one plain struct behind a mutex that is never held across an `.await`; a frame is delivered to the mailbox
//! by the task that read it, so order is kept. Mailboxes are bounded: a full one makes the reader of that connection
//! wait, and nobody else.

mod builtin;
mod call;
mod config;
mod connection;
mod cookie;
mod dialer;
mod dispatch;
mod handshake_io;
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
mod state;
mod watchers;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use eetf::{Atom, Pid, Reference};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use call::CallError;
pub use config::{AutoConnect, NodeConfig};
pub use cookie::{Cookie, CookieError, CookieSource};
pub use dialer::DialError;
pub use kernel::OptionsError;
pub use message::{Answer, Caller, Message, Sender};
pub use name::{HostName, NameKind, NodeNameError, node_name, peer_name};
pub use net_kernel::socket_options::Einval;
pub use net_kernel::{Defaults as SocketDefaults, OptionName, SocketOption, TickTimeChange};
pub use process::Process;
pub use resolver::Resolver;

use kernel::NetKernel;
use state::State;

/// A running node. Clones are the same node.
#[derive(Clone)]
pub struct Node {
    inner: Arc<Inner>,
}

struct Inner {
    config: NodeConfig,
    creation: u32,
    state: Mutex<State>,
    net_kernel: NetKernel,
    tasks: TaskTracker,
    /// Cancelled when the node stops: nobody new comes in.
    stopping: CancellationToken,
    /// Cancelled when a caller wants the node to end.
    halting: CancellationToken,
}

impl Node {
    /// A node that accepts nobody yet: register its processes, then [`Node::listen`]. Its incarnation is `creation`, as
    /// epmd gave it out (4 or more).
    #[must_use]
    pub fn new(config: NodeConfig, creation: u32) -> Self {
        let mut state = State::default();
        state.bars_lost_nodes = config.auto_connect == AutoConnect::Once;
        let inner = Inner {
            net_kernel: NetKernel::new(&config),
            config,
            creation,
            state: Mutex::new(state),
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
            halting: CancellationToken::new(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Accepts peers on `listener` until the node stops.
    pub fn listen(&self, listener: TcpListener) {
        self.spawn_task(listener::run(self.clone(), listener));
    }

    /// Lets nobody new in; connections go on.
    pub fn stop_accepting(&self) {
        self.inner.stopping.cancel();
    }

    /// The full node name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.inner.config.name
    }

    /// Names of connected nodes: visible ones, hidden ones, or all.
    #[must_use]
    pub fn nodes(&self, which: fn(&NodeInfo) -> bool) -> Vec<String> {
        let infos = self.state().infos();
        infos.into_iter().filter(which).map(|info| info.name).collect()
    }

    /// The net_ticktime in force.
    #[must_use]
    pub fn net_ticktime(&self) -> Duration {
        self.inner.net_kernel.ticktime().in_force()
    }

    /// Closes the connection to `peer`, if there is one; says whether there was.
    pub fn disconnect(&self, peer: &str) -> bool {
        let connection = self.state().connection(peer);
        connection.inspect(|connection| connection.close("disconnect")).is_some()
    }

    /// Stops: nobody new comes in, what was already queued for peers is written, connections are closed.
    pub async fn stop(&self) {
        self.stop_accepting();
        let connections = self.state().connections();
        for connection in &connections {
            connection.close_after_flush("net_kernel_terminated");
        }
        for connection in &connections {
            // A peer that does not read must not keep us from stopping.
            let _ = tokio::time::timeout(Duration::from_secs(2), connection.gone.cancelled()).await;
            connection.close("net_kernel_terminated");
        }
        self.inner.tasks.close();
        let _ = tokio::time::timeout(Duration::from_secs(2), self.inner.tasks.wait()).await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock; if it did, the data would still be whole.
        self.inner.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn spawn_task(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.inner.tasks.spawn(task);
    }

    fn pid(&self, id: u32) -> Pid {
        Pid { node: Atom::from(self.name()), id, serial: 0, creation: self.inner.creation }
    }

    fn fresh_pid(&self) -> Pid {
        let id = self.state().fresh_id();
        self.pid(id)
    }

    fn fresh_reference(&self) -> Reference {
        let id = self.state().fresh_reference();
        Reference { node: Atom::from(self.name()), id: id.to_vec(), creation: self.inner.creation }
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
