//! The monitor socket: what others, and the kernel itself, change.
//!
//! It is joined to its groups before the first dump, so that nothing falls between the two. Reading it never waits:
//! when nothing has happened a look costs one system call.

use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};

use rtnetlink::sys::Socket;
use tokio::io::Interest;
use tokio::io::unix::{AsyncFd, AsyncFdReadyGuard};

use super::NetlinkError;
use super::constants::{GROUPS, NEXTHOP_GROUP};
use super::decode::{self, Message};
use super::error::socket;
use super::socket::{BUFFER_BYTES, Received, open_route_socket, receive};

/// One read of everything that waits stops after so many datagrams; the rest waits for the next.
const MAX_DATAGRAMS: usize = 4096;

pub(super) struct Monitor {
    socket: Arc<Socket>,
    /// Made when someone first waits: only then a runtime is needed.
    readiness: OnceLock<AsyncFd<Arc<Socket>>>,
    buffer: Vec<u8>,
}

impl Monitor {
    /// Opens the socket in the calling thread's network namespace.
    pub fn open(queue_bytes: usize) -> Result<Self, NetlinkError> {
        let (route_socket, _) = open_route_socket(queue_bytes)?;
        for group in GROUPS {
            route_socket.add_membership(group).map_err(socket("join a group of route events"))?;
        }
        // Without it the kernel has no nexthop objects.
        let _ = route_socket.add_membership(NEXTHOP_GROUP);
        let buffer = vec![0; BUFFER_BYTES];
        Ok(Self { socket: Arc::new(route_socket), readiness: OnceLock::new(), buffer })
    }

    /// Gives every waiting event to `each`, oldest first. `Ok(false)`: some were lost, or are still there.
    pub fn read(&mut self, mut each: impl FnMut(Message<'_>)) -> Result<bool, NetlinkError> {
        let Self { socket: route_socket, readiness, buffer } = self;
        // Taken before reading: what arrives after the queue was found empty makes us ready anew.
        let ready = readiness.get().and_then(ready_now);
        let mut is_complete = true;
        for _ in 0..MAX_DATAGRAMS {
            let len = match receive(route_socket, buffer).map_err(socket("read route events"))? {
                Received::Datagram(len) => len,
                Received::Lost => {
                    is_complete = false;
                    continue;
                }
                Received::Nothing => {
                    if let Some(mut ready) = ready {
                        ready.clear_ready();
                    }
                    return Ok(is_complete);
                }
            };
            for message in decode::messages(buffer.get(..len).unwrap_or_default()) {
                match message {
                    Ok(message) => each(message),
                    Err(error) => {
                        tracing::warn!(%error, "a route event");
                        is_complete = false;
                    }
                }
            }
        }
        Ok(false)
    }

    /// Waits until there is something to read.
    pub async fn readable(&self) -> Result<(), NetlinkError> {
        let readiness = match self.readiness.get() {
            Some(readiness) => readiness,
            None => {
                let made = register(&self.socket).map_err(socket("watch the monitor socket"))?;
                self.readiness.get_or_init(|| made)
            }
        };
        readiness.readable().await.map(drop).map_err(socket("wait for route events"))
    }
}

/// tokio's newer constructors are `unsafe`, which we forbid. What they ask for holds: a [`Socket`] keeps its descriptor,
/// and keeps it open, until the last `Arc` is gone.
#[allow(deprecated)]
fn register(route_socket: &Arc<Socket>) -> std::io::Result<AsyncFd<Arc<Socket>>> {
    AsyncFd::with_interest(Arc::clone(route_socket), Interest::READABLE)
}

fn ready_now(readiness: &AsyncFd<Arc<Socket>>) -> Option<AsyncFdReadyGuard<'_, Arc<Socket>>> {
    match readiness.poll_read_ready(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(guard) => guard.ok(),
        Poll::Pending => None,
    }
}
