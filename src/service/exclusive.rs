//! One daemon per network namespace and protocol number: two would undo each other's routes.
//!
//! The claim is an abstract Unix socket, because such names live in a network namespace and end with their owner,
//! however it dies: no stale file, no race, whatever the state directory is.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::Path;

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use tracing::warn;

use super::ServiceError;
use crate::netlink::{self, NetlinkError};

/// A name that is taken and held by nobody has just been let go: so often it is worth another try.
const TRIES: usize = 3;

/// The right to manage what bears a protocol number in a network namespace, as long as it is held.
#[derive(Debug)]
pub struct Exclusive {
    _socket: Option<UnixListener>,
}

impl Exclusive {
    /// Claims `protocol` in `netns` (our own, if there is none).
    ///
    /// # Errors
    /// [`ServiceError::Running`] if a process of root's or of our own user holds it. Anybody may bind such a name, so
    /// what another user holds is no reason not to start.
    pub fn claim(netns: Option<&Path>, protocol: u8) -> Result<Self, ServiceError> {
        let system = |source| ServiceError::System { doing: "claim the protocol number", source };
        let address = SocketAddr::from_abstract_name(format!("beamroute-{protocol}")).map_err(system)?;
        for _ in 0..TRIES {
            if let Ok(socket) = netlink::within(netns, || Ok(UnixListener::bind_addr(&address)))? {
                return Ok(Self { _socket: Some(socket) });
            }
            match holder(netns, &address)? {
                Some((pid, uid)) if uid == 0 || uid == nix::unistd::geteuid().as_raw() => {
                    return Err(ServiceError::Running { pid, protocol });
                }
                Some(_) => break,
                // It has let go in between.
                None => {}
            }
        }
        warn!(protocol, "another user holds the name that keeps a second daemon out; going on without it");
        Ok(Self { _socket: None })
    }
}

/// Whether a daemon, or someone who holds its name, manages `protocol` in `netns`. Only looks: to connect would take a
/// place in the queue of a socket that nobody accepts from.
///
/// # Errors
/// If the namespace cannot be entered.
pub(super) fn is_claimed(netns: Option<&Path>, protocol: u8) -> Result<bool, NetlinkError> {
    let list = netlink::within(netns, || Ok(std::fs::read("/proc/thread-self/net/unix")))?;
    let name = format!(" @beamroute-{protocol}");
    let mut lines = list.as_deref().unwrap_or_default().split(|byte| *byte == b'\n');
    Ok(lines.any(|line| line.ends_with(name.as_bytes())))
}

/// Process and user that hold the name; nobody if they have just let go.
fn holder(netns: Option<&Path>, address: &SocketAddr) -> Result<Option<(i32, u32)>, ServiceError> {
    let stream = netlink::within(netns, || Ok(UnixStream::connect_addr(address)))?;
    let credentials = stream.ok().and_then(|stream| getsockopt(&stream, PeerCredentials).ok());
    Ok(credentials.map(|credentials| (credentials.pid(), credentials.uid())))
}
