//! The short way to a node that runs.

use std::net::IpAddr;
use std::time::Duration;

use super::config::{AutoConnect, NodeConfig};
use super::incarnation::StartError;
use super::net_kernel::Start;
use super::{Cookie, CookieSource, NameKind, Node, Resolver};
use crate::epmd::{DEFAULT_PORT, EpmdMode};

/// Settings of a node to come: those that most programs need. [`NodeConfig`] has the others, see
/// [`NodeBuilder::configure`].
#[derive(Debug, Clone)]
#[must_use]
pub struct NodeBuilder {
    start: Start,
    cookie: Option<String>,
    config: NodeConfig,
}

impl Node {
    /// A node called `name@host`, or `name` on this host; a long name, unless [`NodeBuilder::short_name`] says otherwise.
    ///
    /// It is hidden, listens on 127.0.0.1, and registers with the epmd that runs, or serves one itself if none does.
    pub fn builder(name: impl Into<String>) -> NodeBuilder {
        let mut builder = NodeBuilder { start: Start::long(name), cookie: None, config: NodeConfig::default() };
        let port = std::env::var("ERL_EPMD_PORT").ok().and_then(|port| port.parse().ok()).unwrap_or(DEFAULT_PORT);
        builder.set_epmd_port(port);
        builder
    }
}

impl NodeBuilder {
    /// The host in the name has no dot, as with `erl -sname`.
    pub const fn short_name(mut self) -> Self {
        self.start.domain = NameKind::Short;
        self
    }

    /// The cookie. Otherwise it is the user's own, in `~/.erlang.cookie`, which is made if it is not there.
    pub fn cookie(mut self, cookie: impl Into<String>) -> Self {
        self.cookie = Some(cookie.into());
        self
    }

    /// Listens on these addresses.
    pub fn listen(mut self, addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        self.config.listen.addresses = addresses.into_iter().collect();
        self.config.listen.epmd.addresses.clone_from(&self.config.listen.addresses);
        self
    }

    /// Listens on this port; otherwise on one that the kernel chooses.
    pub const fn port(mut self, port: u16) -> Self {
        self.config.listen.port = port;
        self
    }

    /// Listens nowhere and registers nowhere: a node that only dials.
    pub const fn dial_only(mut self) -> Self {
        self.start.dist_listen = Some(false);
        self
    }

    /// Which port mapper to register with.
    pub const fn epmd(mut self, mode: EpmdMode) -> Self {
        self.config.listen.epmd.mode = mode;
        self
    }

    /// The port of port mappers, ours and those of other hosts; otherwise `ERL_EPMD_PORT` says it.
    pub fn epmd_port(mut self, port: u16) -> Self {
        self.set_epmd_port(port);
        self
    }

    /// Offers to be visible. Not for a cluster in use: a visible node that does not speak the protocol of `global`, as this
    /// one does not, keeps `global:sync/0` of its peers waiting, and when it is lost, their
    /// `prevent_overlapping_partitions` makes them cut each other off.
    pub const fn visible(mut self) -> Self {
        self.start.hidden = Some(false);
        self
    }

    /// A peer that is silent this long is down.
    pub const fn net_ticktime(mut self, ticktime: Duration) -> Self {
        self.config.net_ticktime = ticktime;
        self
    }

    /// Whether referring to a node that is not connected connects to it.
    pub const fn auto_connect(mut self, auto_connect: AutoConnect) -> Self {
        self.config.auto_connect = auto_connect;
        self
    }

    /// Changes whatever else can be set.
    pub fn configure(mut self, change: impl FnOnce(&mut NodeConfig)) -> Self {
        change(&mut self.config);
        self
    }

    /// The node, not started yet, and what [`Node::start`] takes to start it as said here.
    ///
    /// # Errors
    /// [`StartError::Cookie`]
    pub fn build(mut self) -> Result<(Node, Start), StartError> {
        let cookie = match &self.cookie {
            Some(cookie) => Cookie::parse(cookie.as_bytes(), "the program")?,
            None => {
                let path = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(Into::into);
                CookieSource::home(path("HOME"), path("XDG_CONFIG_HOME")).read()?
            }
        };
        self.config.set_cookie(&cookie);
        Ok((Node::new(self.config), self.start))
    }

    /// Starts it. When this returns, peers can connect.
    ///
    /// # Errors
    /// [`StartError`]
    pub async fn start(self) -> Result<Node, StartError> {
        let (node, start) = self.build()?;
        node.start(start).await?;
        Ok(node)
    }

    fn set_epmd_port(&mut self, port: u16) {
        self.config.listen.epmd.port = port;
        self.config.resolver = Resolver::new(port);
    }
}
