//! A node's lives: started, stopped, started again (`net_kernel:start/1,2`, `stop/0`).
//!
//! Processes, their names and their subscriptions belong to the node and hold across stop and start. All that has to do
//! with the network belongs to an incarnation: the name, the creation, the listeners, the registration, the connections, the
//! tasks. A node that is not started has one too, `nonode@nohost`, which nobody can reach.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::debug;

use super::config::Listen;
use super::net_kernel::{Start, TickTime};
use super::{CookieError, HostName, Node, NodeNameError, NodedownReason, listener, node_name};
use crate::epmd::{Epmd, EpmdError, EpmdHandle, EpmdState, random_creation};
use crate::listening;

/// How long the start waits for the creation that a port mapper gives, once its first answer is overdue.
const EPMD_PATIENCE: Duration = Duration::from_millis(200);

/// How long peers have to read what is queued for them when the node stops.
const FLUSH_PATIENCE: Duration = Duration::from_secs(2);

/// One life of a node.
#[derive(Debug)]
pub(super) struct Incarnation {
    /// The full node name.
    pub name: String,
    /// Tells pids of this life from those of others; 0 if the node is not started.
    pub creation: u32,
    /// Whether `PUBLISHED` is offered.
    pub is_visible: bool,
    /// Cancelled when nobody new may come in.
    pub stopping: CancellationToken,
    /// All that runs until the end.
    pub tasks: TaskTracker,
}

impl Default for Incarnation {
    /// A node that is not started.
    fn default() -> Self {
        let stopping = CancellationToken::new();
        stopping.cancel();
        let name = "nonode@nohost".to_owned();
        Self { name, creation: 0, is_visible: false, stopping, tasks: TaskTracker::new() }
    }
}

impl Incarnation {
    pub(super) const fn is_alive(&self) -> bool {
        self.creation != 0
    }
}

/// What a started node holds besides its incarnation.
#[derive(Debug)]
pub(super) struct Running {
    epmd: Option<EpmdHandle>,
    address: Option<SocketAddr>,
}

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No usable cookie.
    #[error(transparent)]
    Cookie(#[from] CookieError),
    /// It is started already, under this name.
    #[error("the node is already started, as {0}")]
    AlreadyStarted(String),
    /// No node can have this name.
    #[error(transparent)]
    Name(#[from] NodeNameError),
    /// The node cannot listen.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// The port mapper refused the name, or cannot be served.
    #[error(transparent)]
    Epmd(#[from] EpmdError),
}

/// The node was not started: `{error, not_found}` (T5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the node is not started")]
pub struct NotFound;

/// The node is not started: where OTP's functions answer `ignored` (T6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the node is not started")]
pub struct Ignored;

impl Node {
    /// Starts the distribution: listens, registers with epmd, and takes on a new creation. When it returns, peers can
    /// connect. Allowed nodes are forgotten, and the net_ticktime is the one given.
    ///
    /// # Errors
    /// [`StartError`]; nothing has changed then.
    pub async fn start(&self, start: Start) -> Result<(), StartError> {
        let mut running = self.inner.running.lock().await;
        if running.is_some() {
            return Err(StartError::AlreadyStarted(self.name()));
        }
        let config = &self.inner.config;
        let name = node_name(&start.name, start.domain, &HostName::of_this_host())?;
        let (mut listeners, mut epmd) = (Listeners::default(), None);
        if start.dist_listen.unwrap_or(true) {
            listeners = Listeners::bind(&config.listen)?;
            let port = listeners.address.map_or(0, |address| address.port());
            epmd = Some(Epmd::start(config.listen.epmd.clone(), name.name(), port).await?);
        }
        let creation = match &mut epmd {
            Some(epmd) => epmd.creation(EPMD_PATIENCE).await,
            None => random_creation(),
        };
        let intensity = u32::from(start.net_tickintensity.unwrap_or(config.net_tickintensity).clamp(4, 1000));
        let ticktime = start.net_ticktime.map_or(config.net_ticktime, |s| Duration::from_secs(s.get().into()));
        self.inner.net_kernel.begin(TickTime::new(ticktime, intensity));
        let incarnation = Incarnation {
            name: name.to_string(),
            creation,
            is_visible: !start.hidden.unwrap_or(!config.is_visible),
            stopping: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        self.state().begin(incarnation.into());
        for listener in listeners.all {
            self.spawn_task(listener::run(self.clone(), listener));
        }
        *running = Some(Running { epmd, address: listeners.address });
        debug!(node = %name, creation, "started");
        Ok(())
    }

    /// Begins to stop: nobody new comes in, nobody is dialled any more, and a change of the net_ticktime under way stays as
    /// it is. Connections go on until [`Node::stop`].
    pub fn stop_accepting(&self) {
        self.incarnation().stopping.cancel();
    }

    /// Stops the distribution. What was already queued for peers is written; then connections are closed, monitors and
    /// links on remote processes fire `noconnection`, and those who monitor nodes hear a nodedown of each,
    /// `net_kernel_terminated`. When it returns, epmd knows the name no more, and no task or socket is left.
    /// Processes live on, and the node can be started again.
    ///
    /// # Errors
    /// [`NotFound`], if the node is not started.
    pub async fn stop(&self) -> Result<(), NotFound> {
        let node = self.clone();
        // A task of its own, because half a stop would be none: the caller may be dropped meanwhile.
        tokio::spawn(async move { node.stop_whole().await }).await.unwrap_or(Err(NotFound))
    }

    async fn stop_whole(&self) -> Result<(), NotFound> {
        let mut running = self.inner.running.lock().await;
        let Running { epmd, .. } = running.take().ok_or(NotFound)?;
        let incarnation = self.incarnation();
        incarnation.stopping.cancel();
        let connections = self.state().connections();
        for connection in &connections {
            connection.close_after_flush(NodedownReason::NetKernelTerminated);
        }
        let flushed = async {
            for connection in &connections {
                connection.gone.cancelled().await;
            }
        };
        // A peer that does not read must not keep us from stopping.
        let _ = tokio::time::timeout(FLUSH_PATIENCE, flushed).await;
        // Also those that had just come up.
        let connections = self.state().connections();
        for connection in &connections {
            connection.close(NodedownReason::NetKernelTerminated);
        }
        incarnation.tasks.close();
        incarnation.tasks.wait().await;
        if let Some(epmd) = epmd {
            epmd.stop().await;
        }
        self.state().begin(Incarnation::default().into());
        Ok(())
    }

    /// Whether the node is started.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.incarnation().is_alive()
    }

    /// Where peers reach the node: the first address it listens on.
    pub async fn address(&self) -> Option<SocketAddr> {
        self.inner.running.lock().await.as_ref()?.address
    }

    /// How things stand with the port mapper; `None` if the node is not started or does not listen.
    pub async fn epmd_state(&self) -> Option<EpmdState> {
        Some(self.inner.running.lock().await.as_ref()?.epmd.as_ref()?.state())
    }

    pub(super) fn if_alive(&self) -> Result<(), Ignored> {
        if self.is_alive() { Ok(()) } else { Err(Ignored) }
    }
}

/// The sockets that peers come in by.
#[derive(Debug, Default)]
struct Listeners {
    all: Vec<TcpListener>,
    address: Option<SocketAddr>,
}

impl Listeners {
    /// Listens on all addresses, with one port.
    fn bind(listen: &Listen) -> Result<Self, StartError> {
        let mut listeners = Self::default();
        for ip in &listen.addresses {
            let port = listeners.address.map_or(listen.port, |address| address.port());
            let address = SocketAddr::new(*ip, port);
            let failed = |source| StartError::Listen { address, source };
            let listener = listening::listen(address, false).and_then(TcpListener::from_std).map_err(failed)?;
            if listeners.address.is_none() {
                listeners.address = Some(listener.local_addr().map_err(failed)?);
            }
            listeners.all.push(listener);
        }
        Ok(listeners)
    }
}
