//! One daemon per network namespace and protocol number: two would undo each other's routes.
//!
//! The claim is an abstract Unix socket, because such names live in a network namespace and end with their owner,
//! however it dies: no stale file, no race, whatever the state directory is.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use tokio::task::JoinHandle;
use tracing::warn;

use super::ServiceError;
use crate::netlink::{self, NetlinkError};

/// A name that is taken and held by nobody has just been let go: so often it is worth another try.
const TRIES: usize = 3;

/// After a failed accept, for want of file descriptors most likely.
const PAUSE: Duration = Duration::from_secs(1);

/// The right to manage what bears a protocol number in a network namespace, as long as it is held.
#[derive(Debug)]
pub struct Exclusive {
    socket: Option<UnixListener>,
    attendant: Option<JoinHandle<()>>,
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
                return Ok(Self { socket: Some(socket), attendant: None });
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
        Ok(Self { socket: None, attendant: None })
    }

    /// Lets go those who have come to see who holds the claim: their queue would be full some day, and the next would
    /// wait for ever. Needs a runtime.
    ///
    /// # Errors
    /// If the socket cannot be watched; the claim is held all the same.
    pub fn attend(&mut self) -> std::io::Result<()> {
        let Some(socket) = self.socket.as_ref().map(UnixListener::try_clone).transpose()? else { return Ok(()) };
        socket.set_nonblocking(true)?;
        let socket = tokio::net::UnixListener::from_std(socket)?;
        self.attendant = Some(tokio::spawn(async move {
            loop {
                if socket.accept().await.is_err() {
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }));
        Ok(())
    }
}

impl Drop for Exclusive {
    fn drop(&mut self) {
        if let Some(attendant) = &self.attendant {
            attendant.abort();
        }
    }
}

/// Whether a daemon, or someone who holds its name, manages `protocol` in `netns`. Only looks: it
/// must be there for those who may not connect as well.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_many_come_the_next_is_told_at_once() {
        let look = || {
            // Where it may not, it must do in this namespace.
            let _ = nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let mut first = Exclusive::claim(None, 251).unwrap();
                first.attend().unwrap();
                // More than any queue takes (`net.core.somaxconn`).
                for _ in 0..50 {
                    for _ in 0..100 {
                        let refused = Exclusive::claim(None, 251);
                        assert!(matches!(refused, Err(ServiceError::Running { protocol: 251, .. })), "{refused:?}");
                    }
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                drop(first);
                tokio::time::sleep(Duration::from_millis(1)).await;
                assert!(Exclusive::claim(None, 251).is_ok());
            });
        };
        let (done, is_done) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            look();
            done.send(()).unwrap();
        });
        is_done.recv_timeout(Duration::from_secs(60)).expect("someone waits for ever, or panicked above");
    }
}
