//! What the daemon would change at its start, found out without it: from the saved state, the configuration and the kernel.
//!
//! Nothing is changed: the state directory is read, the kernel is only asked for dumps, and no lock and no name is taken
//! that could keep a daemon from starting.

use std::path::PathBuf;

use super::{ServiceError, exclusive, netlink_config, plan_options};
use crate::config::Config;
use crate::netlink::Netlink;
use crate::route_manager::{Journal, Kernel, preview};
use crate::term::Term;

/// A plan without a daemon.
#[derive(Debug, Clone, PartialEq)]
pub struct Offline {
    /// The saved state that it is made from.
    pub file: PathBuf,
    /// As `route_manager` answers the request `plan`.
    pub answer: Term,
}

/// Plans as a daemon with this configuration would at its start.
///
/// # Errors
/// [`ServiceError::Elsewhere`] if a daemon runs; else if there is no usable state, or the kernel cannot be read.
pub fn plan_offline(config: &Config) -> Result<Offline, ServiceError> {
    let (netns, protocol) = (netlink_config(config).netns, config.protocol);
    if exclusive::is_claimed(netns.as_deref(), protocol)? {
        return Err(ServiceError::Elsewhere(protocol));
    }
    plan_saved(config)
}

/// The same although a daemon may run, which may change all of it meanwhile.
///
/// # Errors
/// If there is no usable state, or the kernel cannot be read.
pub fn plan_saved(config: &Config) -> Result<Offline, ServiceError> {
    let netlink_config = netlink_config(config);
    let (netns, protocol) = (netlink_config.netns.as_deref(), config.protocol);
    let (file, state) = Journal::peek(&config.state_dir, netns, protocol, config.max_interfaces)?;
    let (netlink, world) = Netlink::open(&netlink_config)?;
    let kernel = Kernel::new(netlink, world, plan_options(config), protocol, Some(&state));
    Ok(Offline { file, answer: preview(kernel, &state, &config.ranking) })
}
