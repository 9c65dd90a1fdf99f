//! The daemon: starts the parts in order, waits for a reason to end, ends them in order.
//!
//! The kernel comes first, brought to the saved state, and epmd after it: routes never wait for a port mapper.

mod exclusive;
mod files;
mod log;
mod metrics;
mod networkd;
mod notify;
mod offline;
mod opening;
mod privilege;
mod seccomp;
mod stdin;
mod supervision;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::config::{Config, CookieError, Listening, NameKind, OnExit, RankingFile};
use crate::epmd::EpmdState;
use crate::netlink::{self, Missing, NetlinkError};
use crate::node::{Listen, Node, NodeConfig, Resolver, Start, StartError, Tls, TlsError, host_of};
use crate::pg::{Membership, Scope};
use crate::route::PlanOptions;
use crate::route_manager::{Ended, JournalError, ReadRanking, RouteManager, Settings, Steering};

pub use exclusive::Exclusive;
pub use log::{init as init_log, is_in_journal};
use notify::{Notifier, Surroundings};
pub use offline::{Offline, plan_offline, plan_saved};
use opening::{Opened, Restoration};
pub use privilege::{PrivilegeError, Privileges};
pub use seccomp::SeccompError;
use supervision::{Files, Supervision};

/// Why the daemon does not run.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// No usable cookie.
    #[error(transparent)]
    Cookie(#[from] CookieError),
    /// No usable certificates.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The kernel, or this process, lacks something that nothing works without.
    #[error("cannot manage routes without {0}")]
    Missing(Missing),
    /// The kernel does not answer as it should.
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
    /// Another daemon does this work already.
    #[error(
        "a beamroute with pid {pid} already manages routes with protocol number {protocol} in this network namespace; \
         stop it, or choose another number with --protocol"
    )]
    Running {
        /// Its process.
        pid: i32,
        /// Its protocol number, and ours.
        protocol: u8,
    },
    /// A daemon does this work, so what was saved is not all that counts.
    #[error(
        "a beamroute manages routes with protocol number {0} in this network namespace, under another name or another \
         cookie, or it hangs; see --node and --cookie-file"
    )]
    Elsewhere(u8),
    /// Another daemon keeps its state in our file, or the saved state cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The privileges are not what they should be.
    #[error(transparent)]
    Privilege(#[from] PrivilegeError),
    /// System calls cannot be filtered.
    #[error(transparent)]
    Seccomp(#[from] SeccompError),
    /// The page for Prometheus has no port.
    #[error("metrics: cannot listen on {address}: {source}; choose another address or port with --metrics")]
    Metrics {
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// The node cannot listen, or the port mapper refused its name.
    #[error(transparent)]
    Node(#[from] StartError),
    /// Another process of the node has the name of the scope.
    #[error("pg_scope: {0:?}: a process of this node has that name already; choose another scope")]
    Scope(String),
    /// The operating system would not give what every program gets.
    #[error("cannot {doing}: {source}")]
    System {
        /// What was being done.
        doing: &'static str,
        /// Why not.
        source: std::io::Error,
    },
}

/// Runs the daemon until SIGTERM, SIGINT, or a caller who may stop it; gives the exit status that was asked for. What
/// `privileges` has left is given up as soon as routes can be kept without, before the node listens.
///
/// # Errors
/// [`ServiceError`], if it cannot start.
pub fn run(config: Config, privileges: Privileges) -> Result<u8, ServiceError> {
    // As exact as it can be: by default a sleep of 30 us takes 80. If it is refused, it takes that.
    let _ = nix::sys::prctl::set_timerslack(1);
    // One thread: a call is decoded, planned, applied and answered without waking another.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|source| ServiceError::System { doing: "start the runtime", source })?;
    runtime.block_on(async {
        // From here on a signal ends the daemon in order, also while it starts.
        let mut signals = Signals::watch()?;
        let mut hangup = watch(SignalKind::hangup())?;
        let around = Surroundings::of_this_process();
        let notifier = Notifier::open(&around).map(Arc::new);
        let opened = Opened::new(&config)?;
        privileges.give_up(&config.state_dir)?;
        seccomp::filter(config.seccomp)?;
        if config.exits_with_stdin {
            signals.watch_stdin()?;
        }
        let mut starting = Starting::new(config, opened)?;
        tokio::select! {
            listens = starting.listen() => listens?,
            _ = signals.ending() => {
                notifier.iter().for_each(|notifier| supervision::stopping(notifier));
                starting.end_early().await;
                return Ok(0);
            }
        }
        let mut service = starting.started().await;
        service.log_ready();
        service.supervised_by(notifier, around.watchdog());
        let status = loop {
            tokio::select! {
                signal = signals.ending() => {
                    info!(signal, "stopping");
                    break 0;
                }
                status = service.ended() => break status,
                _ = hangup.recv() => service.reload(),
            }
        };
        service.stop().await;
        Ok(status)
    })
}

/// The parts that run.
pub struct Service {
    node: Node,
    epmd: EpmdState,
    manager: JoinHandle<Ended>,
    membership: Option<Membership>,
    shutdown: CancellationToken,
    reload: Arc<Notify>,
    tls: Option<Tls>,
    address: SocketAddr,
    listening: Listening,
    metrics: Option<JoinHandle<()>>,
    supervision: Option<Supervision>,
    files: Arc<watch::Sender<Files>>,
    _exclusive: Exclusive,
}

/// All of it, before anyone can reach it. The kernel has what was saved.
struct Starting {
    config: Config,
    node: Node,
    manager: RouteManager,
    scope: Option<Scope>,
    reload: Arc<Notify>,
    tls: Option<Tls>,
    listening: Listening,
    metrics: Option<std::net::TcpListener>,
    files: Arc<watch::Sender<Files>>,
    exclusive: Exclusive,
}

impl Starting {
    fn new(config: Config, opened: Opened) -> Result<Self, ServiceError> {
        let Opened { cookie, cookies, tls, netlink, world, mut exclusive, conntrack, metrics } = opened;
        let Restoration { kernel, state, journal } = Restoration::new(&config, netlink, world)?;
        if let Err(error) = exclusive.attend() {
            warn!(%error, "those who ask for the protocol number are not attended to");
        }
        let listening = config.listening();
        let epmd = config.epmd_config(&listening);
        let limits = config.limits;
        let node_config = NodeConfig {
            listen: Listen { addresses: listening.addresses.clone(), port: config.port, epmd },
            net_ticktime: config.net_ticktime,
            socket_defaults: config.socket_defaults.clone(),
            cookies,
            permissions: config.permissions.clone(),
            allow: config.allow.clone(),
            frame_limit: limits.frame_bytes,
            term_limit: limits.terms,
            outbox_limit: limits.unread_bytes,
            connection_limit: limits.connections,
            handshake_limit: limits.half_open,
            handshake_limit_per_address: limits.half_open_per_address,
            resolver: Resolver::new(config.epmd_port),
            auto_connect: config.auto_connect,
            tls: tls.clone(),
            ..NodeConfig::new(&cookie)
        };
        let node = Node::new(node_config);
        let clears_on_exit = config.on_exit == OnExit::Clear;
        let settings =
            Settings { max_interfaces: config.max_interfaces, max_subscribers: limits.subscribers, clears_on_exit };
        let reload = Arc::new(Notify::new());
        let files = Arc::new(watch::Sender::default());
        let reread = read_ranking(config.ranking_file.clone(), Arc::clone(&files));
        let steering = Steering::new(config.ranking.clone(), &state, reread, Arc::clone(&reload));
        let mut manager = RouteManager::new(node.clone(), kernel, state, steering, journal, settings);
        if let Some(conntrack) = conntrack {
            manager.flush_connections(conntrack);
        }
        let scope = scope(&node, &config.pg_scope, &config.pg_groups)?;
        Ok(Self { config, node, manager, scope, reload, tls, listening, metrics, files, exclusive })
    }

    /// Lets peers in: the processes have their mailboxes, whoever connects from here on is answered.
    async fn listen(&mut self) -> Result<(), ServiceError> {
        let name = self.config.node_name.to_string();
        let is_long = self.config.name_kind == NameKind::Long;
        Ok(self.node.start(if is_long { Start::long(name) } else { Start::short(name) }).await?)
    }

    /// A signal came while the node was starting.
    async fn end_early(self) {
        if self.config.on_exit == OnExit::Clear {
            let shutdown = CancellationToken::new();
            shutdown.cancel();
            self.manager.run(shutdown).await;
        }
    }

    /// To be called when the node listens.
    async fn started(self) -> Service {
        let Self { config, node, manager, scope, reload, tls, listening, metrics, files, exclusive } = self;
        let shutdown = CancellationToken::new();
        let membership = scope.map(|scope| scope.join(manager.pid(), &config.pg_groups));
        let manager = tokio::spawn(manager.run(shutdown.clone()));
        let epmd = node.epmd_state().await.unwrap_or(EpmdState::Disabled);
        let address = node.address().await.unwrap_or(SocketAddr::from(([127, 0, 0, 1], config.port)));
        for peer in &config.connect {
            node.keep_connected(&peer.to_string());
        }
        let metrics = metrics.map(|listener| tokio::spawn(metrics::serve(listener, node.clone())));
        let (supervision, _exclusive) = (None, exclusive);
        Service {
            node,
            epmd,
            manager,
            membership,
            shutdown,
            reload,
            tls,
            address,
            listening,
            metrics,
            supervision,
            files,
            _exclusive,
        }
    }
}

impl Service {
    /// Starts everything, and keeps the privileges that this process has. When it returns, `route_manager` answers.
    ///
    /// # Errors
    /// [`ServiceError`]; what had been started is stopped again.
    pub async fn start(config: Config) -> Result<Self, ServiceError> {
        let opened = Opened::new(&config)?;
        let mut starting = Starting::new(config, opened)?;
        starting.listen().await?;
        Ok(starting.started().await)
    }

    /// The node, for callers inside the program.
    #[must_use]
    pub const fn node(&self) -> &Node {
        &self.node
    }

    /// Where peers reach the node.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Tells the service manager, if there is one, from now on how things stand.
    fn supervised_by(&mut self, notifier: Option<Arc<Notifier>>, watchdog: Option<Duration>) {
        let begin = |notifier| Supervision::begin(notifier, watchdog, self.node.clone(), self.files.subscribe());
        self.supervision = notifier.map(begin);
    }

    /// Has the ranking read again, and certificates; the log says what became of it.
    pub fn reload(&self) {
        if let Some(supervision) = &self.supervision {
            supervision.reloading();
        }
        info!("reading the ranking again");
        let certificates = self.tls.as_ref().and_then(|tls| match tls.reload() {
            Ok(()) => {
                warn_of_host(tls, host_of(&self.node.name()));
                None
            }
            Err(error) => {
                warn!(%error, "the TLS certificates of before stay");
                Some(error.to_string())
            }
        });
        self.files.send_modify(|files| files.begin(certificates));
        self.reload.notify_one();
    }

    /// Says that the node is ready, and who cannot reach it.
    pub fn log_ready(&self) {
        let epmd = match self.epmd {
            EpmdState::Disabled => "none",
            EpmdState::Waiting => "waiting for one",
            EpmdState::Registered => "registered",
            EpmdState::Serving => "serving",
        };
        let listening = self.listening.addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        let port = self.address.port();
        info!(node = %self.node.name(), listening, port, pid = std::process::id(), epmd, "ready");
        if let Some(address) = self.listening.unreachable {
            let listening = &self.listening.addresses;
            warn!(%address, ?listening, "peers find this node's host at an address where it does not listen: see --listen");
        }
    }

    /// Waits until a caller who may has stopped us, and gives the exit status.
    pub async fn ended(&mut self) -> u8 {
        tokio::select! {
            ended = &mut self.manager => match ended {
                Ok(_) => {
                    info!("stopping, as a caller asked");
                    0
                }
                Err(error) => {
                    tracing::error!(%error, "route_manager crashed; stopping");
                    1
                }
            },
            status = self.node.halted() => status,
        }
    }

    /// Lets nobody new in, leaves the groups, answers what is queued, tells monitors and links, unregisters.
    pub async fn stop(self) {
        if let Some(supervision) = self.supervision {
            supervision.stopping();
        }
        if let Some(metrics) = self.metrics {
            metrics.abort();
        }
        self.node.stop_accepting();
        // First, so that nobody looks for us there who comes from now on.
        if let Some(membership) = self.membership {
            membership.leave().await;
        }
        self.shutdown.cancel();
        if !self.manager.is_finished() {
            // A crash was logged by the task that crashed.
            let _ = self.manager.await;
        }
        // It was started, so it can be stopped.
        let _ = self.node.stop().await;
    }
}

/// What keeps nodes apart although every file is all right.
fn warn_of_host(tls: &Tls, host: &str) {
    if !tls.is_for(host) {
        warn!(host, "the TLS certificate is not for the host of our node name: nodes that check it will refuse us");
    }
}

/// The process of the `pg` scope, if there are groups to join. Our other processes have their names already.
fn scope(node: &Node, name: &str, groups: &[String]) -> Result<Option<Scope>, ServiceError> {
    if groups.is_empty() {
        return Ok(None);
    }
    Scope::register(node, name).map(Some).ok_or_else(|| ServiceError::Scope(name.to_owned()))
}

fn netlink_config(config: &Config) -> netlink::Config {
    let netns = config.netns.as_ref().map(|netns| netns.path().to_path_buf());
    netlink::Config { netns, protocol: config.protocol, ..netlink::Config::default() }
}

const fn plan_options(config: &Config) -> PlanOptions {
    PlanOptions { rule_priority: config.rule_priority, local_networks_first: config.local_networks_first }
}

/// The way to read the ranking again. What else has changed in the file is only named.
fn read_ranking(mut file: RankingFile, files: Arc<watch::Sender<Files>>) -> ReadRanking {
    Box::new(move || {
        let reread = file.read().map_err(|error| error.to_string());
        files.send_modify(|files| files.end(reread.as_ref().err().cloned()));
        let reread = reread?;
        if !reread.needs_restart.is_empty() {
            let keys = reread.needs_restart.join(", ");
            warn!(keys, "changed in the configuration file; these count from the next start on");
        }
        Ok(reread.ranking)
    })
}

fn watch(kind: SignalKind) -> Result<Signal, ServiceError> {
    signal(kind).map_err(|source| ServiceError::System { doing: "watch signals", source })
}

/// What ends the daemon from outside.
struct Signals {
    term: Signal,
    int: Signal,
    stdin: Option<stdin::End>,
}

impl Signals {
    fn watch() -> Result<Self, ServiceError> {
        Ok(Self { term: watch(SignalKind::terminate())?, int: watch(SignalKind::interrupt())?, stdin: None })
    }

    /// From now on the end of standard input counts as well. Starts a thread.
    fn watch_stdin(&mut self) -> Result<(), ServiceError> {
        let stdin = stdin::end().map_err(|source| ServiceError::System { doing: "watch standard input", source })?;
        self.stdin = Some(stdin);
        Ok(())
    }

    async fn ending(&mut self) -> &'static str {
        tokio::select! {
            _ = self.term.recv() => "SIGTERM",
            _ = self.int.recv() => "SIGINT",
            () = stdin::ended(self.stdin.as_mut()) => "end of stdin",
        }
    }
}
