//! The monitor socket: what others, and the kernel itself, change.
//!
//! It is joined to its groups before the first dump, so that nothing falls between the two. Reading it never waits:
//! when nothing has happened a look costs one system call.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};

use nix::libc;
use rtnetlink::sys::Socket;
use socket2::{SockFilter, SockRef};
use tokio::io::Interest;
use tokio::io::unix::{AsyncFd, AsyncFdReadyGuard};

use super::NetlinkError;
use super::constants::*;
use super::decode::{self, Message};
use super::error::socket;
use super::socket::{Received, open_route_socket, receive};

/// One read of everything that waits stops after so many datagrams; the rest waits for the next.
const MAX_DATAGRAMS: usize = 4096;

pub(super) struct Monitor {
    socket: Arc<Socket>,
    /// Made when someone first waits: only then a runtime is needed.
    readiness: OnceLock<AsyncFd<Arc<Socket>>>,
    buffer: Vec<u8>,
}

impl Monitor {
    /// Opens the socket in the calling thread's network namespace. What the socket with port `own_port` does is nothing new.
    pub fn open(queue_bytes: usize, own_port: u32) -> Result<Self, NetlinkError> {
        let (route_socket, _) = open_route_socket(queue_bytes)?;
        // Saves time and room in the queue; what comes all the same is passed over.
        let _ = SockRef::from(&route_socket).attach_filter(&news(own_port));
        for group in GROUPS {
            route_socket.add_membership(group).map_err(socket("join a group of route events"))?;
        }
        // Without it the kernel has no nexthop objects.
        let _ = route_socket.add_membership(NEXTHOP_GROUP);
        Ok(Self { socket: Arc::new(route_socket), readiness: OnceLock::new(), buffer: Vec::new() })
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
        // It has one place for whoever waits: nothing to enter and to leave for each wait. (Reading takes the place, too, but
        // nobody waits meanwhile: it wants us for itself.)
        let ready = std::future::poll_fn(|cx| readiness.poll_read_ready(cx)).await;
        ready.map(drop).map_err(socket("wait for route events"))
    }
}

/// Lets everything in but what `own_port` has done, and the routes of table local, of which the kernel tells three or more for
/// each address and each link that comes up. (`struct nlmsghdr` is 16 bytes; its type is at 4, the port at 12. `struct rtmsg`
/// has the table at 4.)
fn news(own_port: u32) -> [SockFilter; 9] {
    // Classic BPF loads numbers as the network has them.
    let kind = |kind: u16| u32::from(u16::from_be_bytes(kind.to_ne_bytes()));
    let code = |code: u32| code as u16;
    let load = |size, at| SockFilter::new(code(libc::BPF_LD | libc::BPF_ABS | size), 0, 0, at);
    let skip_if = |k, yes, no| SockFilter::new(code(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K), yes, no, k);
    let answer = |bytes| SockFilter::new(code(libc::BPF_RET | libc::BPF_K), 0, 0, bytes);
    [
        load(libc::BPF_W, 12),
        skip_if(u32::from_be_bytes(own_port.to_ne_bytes()), 6, 0),
        load(libc::BPF_H, 4),
        skip_if(kind(RTM_NEWROUTE), 1, 0),
        skip_if(kind(RTM_DELROUTE), 0, 2),
        load(libc::BPF_B, 20),
        skip_if(RT_TABLE_LOCAL, 1, 0),
        answer(u32::MAX),
        answer(0),
    ]
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
