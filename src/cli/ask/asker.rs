//! A hidden node of our own, for as long as a command takes.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::time::Duration;

use super::AskError;
use crate::config::Config;
use crate::epmd::EpmdMode;
use crate::node::{Destination, NameKind, Node, NodeConfig, Resolver, Start, Tls, host_of, peer_name};
use crate::term::{Show, Term, as_atom, as_tuple};

/// As long as `gen_server:call/2` waits.
pub(in crate::cli) const PATIENCE: Duration = Duration::from_secs(5);

/// A node that is connected to the one that is asked.
pub(in crate::cli) struct Asker {
    pub node: Node,
    /// The name of the node that is asked.
    pub peer: String,
}

/// Runs a command's task.
pub(in crate::cli) fn block_on<T>(task: impl Future<Output = T>) -> Result<T, AskError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(AskError::System)?;
    Ok(runtime.block_on(task))
}

impl Asker {
    /// Connects to `asked`, or to the node that `config` would make.
    pub(in crate::cli) async fn connect(config: &Config, asked: Option<String>) -> Result<Self, AskError> {
        let asker = Self::start(config, asked).await?;
        asker.dial(config).await?;
        Ok(asker)
    }

    /// A node that has not connected yet.
    pub(in crate::cli) async fn start(config: &Config, asked: Option<String>) -> Result<Self, AskError> {
        let is_own = asked.is_none();
        let peer = asked.unwrap_or_else(|| config.node_name.to_string());
        let host = host_of(&peer);
        if let Some(reason) = peer_name(&peer, NameKind::of_host(host)).err().filter(|_| !is_own) {
            return Err(AskError::Name { given: peer, reason });
        }
        let tls = config.tls.clone().map(Tls::open).transpose()?;
        let name = format!("beamroute-ask-{}@{host}", std::process::id());
        // Our own daemon goes by the same file, and by our name.
        let cookie = config.cookie_of(if is_own { &name } else { &peer }).read()?;
        let node = Node::new(NodeConfig { resolver: Resolver::new(config.epmd_port), tls, ..NodeConfig::new(&cookie) });
        let start = match NameKind::of_host(host) {
            NameKind::Long => Start::long(name),
            NameKind::Short => Start::short(name),
        };
        node.start(Start { dist_listen: Some(false), ..start }).await?;
        Ok(Self { node, peer })
    }

    /// Connects, if it is not connected.
    pub(in crate::cli) async fn dial(&self, config: &Config) -> Result<(), AskError> {
        let is_own = self.peer == config.node_name.to_string();
        let connected = match fixed_address(config, host_of(&self.peer)).filter(|_| is_own) {
            Some(address) => self.node.dial(&self.peer, address).await,
            None => self.node.connect(&self.peer).await,
        };
        connected.map_err(AskError::unconnected)
    }

    /// What `route_manager` answers.
    pub(in crate::cli) async fn ask(&self, request: Term) -> Result<Term, AskError> {
        let answer = self.call("route_manager", request, PATIENCE).await?;
        if is_error(&answer) {
            return Err(AskError::Error { node: self.peer.clone(), answer: Show(&answer).to_string() });
        }
        Ok(answer)
    }

    /// What a registered process answers, whatever that is.
    pub(in crate::cli) async fn call(&self, to: &str, request: Term, patience: Duration) -> Result<Term, AskError> {
        let answer = self.node.call(Destination::from((to, &*self.peer)), request, patience).await;
        answer.map_err(|error| AskError::NoAnswer { node: self.peer.clone(), to: to.to_owned(), error })
    }

    pub(in crate::cli) async fn stop(self) {
        // It was started.
        let _ = self.node.stop().await;
    }
}

/// `{error, _}`
pub(in crate::cli) fn is_error(answer: &Term) -> bool {
    as_tuple::<2>(answer).is_some_and(|[word, _]| as_atom(word) == Some("error"))
}

/// Without a port mapper, our own daemon is where the configuration says.
fn fixed_address(config: &Config, host: &str) -> Option<SocketAddr> {
    let is_fixed = config.epmd == EpmdMode::None;
    is_fixed.then(|| (host, config.port).to_socket_addrs().ok()?.next()).flatten()
}
