//! What comes before the node: what needs privileges, then what does not.

use std::net::TcpListener;
use std::path::Path;

use tracing::warn;

use super::{Exclusive, ServiceError, files, metrics, netlink_config, networkd, plan_options, warn_of_host};
use crate::config::{Config, Cookie, Flush};
use crate::netlink::{self, Conntrack, Netlink};
use crate::node::{NodePattern, Tls};
use crate::route::{DesiredState, World};
use crate::route_manager::{Journal, Kernel, Restored};

/// Read and opened with the privileges of the start: the cookie's file may be root's, the namespace is entered here.
pub(super) struct Opened {
    pub cookie: Cookie,
    /// Those of nodes that have another one.
    pub cookies: Vec<(NodePattern, Cookie)>,
    pub tls: Option<Tls>,
    pub netlink: Netlink,
    pub world: World,
    pub exclusive: Exclusive,
    pub conntrack: Option<Conntrack>,
    pub metrics: Option<TcpListener>,
}

impl Opened {
    /// Changes nothing in the kernel.
    pub(super) fn new(config: &Config) -> Result<Self, ServiceError> {
        for warning in &config.warnings {
            warn!("{warning}");
        }
        files::make_room(&config.limits);
        let cookie = config.cookie.read()?;
        let cookies = config.read_cookies()?;
        let tls = config.tls.clone().map(Tls::open).transpose()?;
        if let Some(tls) = &tls {
            warn_of_host(tls, config.node_name.host());
        }
        let netlink_config = netlink_config(config);
        for missing in netlink::check_support(&netlink_config)? {
            if missing.is_fatal() {
                return Err(ServiceError::Missing(missing));
            }
            warn!("without {missing}, only IPv4 routes are kept");
        }
        // It works in the namespace that the machine has started in, and so do we then, most likely.
        if let Some(warning) = netlink_config.netns.is_none().then(|| networkd::warning(Path::new("/"))).flatten() {
            warn!("{warning}");
        }
        let exclusive = Exclusive::claim(netlink_config.netns.as_deref(), config.protocol)?;
        let conntrack = conntrack(config);
        let metrics = config.metrics.map(metrics::listen).transpose()?;
        let (netlink, world) = Netlink::open(&netlink_config)?;
        Ok(Self { cookie, cookies, tls, netlink, world, exclusive, conntrack, metrics })
    }
}

/// The work of an earlier run, taken up: the kernel has what was saved.
pub(super) struct Restoration {
    pub kernel: Kernel,
    pub state: DesiredState,
    pub journal: Journal,
}

impl Restoration {
    /// Needs no privilege but `CAP_NET_ADMIN`; the state directory is the user's.
    pub(super) fn new(config: &Config, netlink: Netlink, world: World) -> Result<Self, ServiceError> {
        let netns = netlink_config(config).netns;
        let max_interfaces = config.max_interfaces;
        let restored = Journal::open(&config.state_dir, netns.as_deref(), config.protocol, max_interfaces)?;
        let Restored { journal, state } = restored;
        let mut kernel = Kernel::new(netlink, world, plan_options(config), config.protocol, state.as_ref());
        kernel.recheck_every(config.recheck);
        let state = state.unwrap_or_else(|| DesiredState::new(max_interfaces));
        kernel.commit(&state, &config.ranking);
        Ok(Self { kernel, state, journal })
    }
}

/// The kernel's table of connections, if it is wanted and there.
fn conntrack(config: &Config) -> Option<Conntrack> {
    if config.flush != Flush::Conntrack {
        return None;
    }
    let opened = Conntrack::open(&netlink_config(config));
    opened.inspect_err(|error| warn!(%error, "connections will not be deleted after a failover")).ok()
}
