//! The command socket: requests, dumps and batches, each answered before the call returns.
//!
//! rtnetlink works in `sendmsg` (`netlink_unicast_kernel` in `net/netlink/af_netlink.c`): when it returns, the
//! acknowledgements lie in our receive queue, and a dump continues inside `recvmsg`. So there is nothing to wait for
//! and no task to wake; all reads are non-blocking, and an empty queue where an answer is due is an error.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

use std::io;

use nix::libc;
use nix::sys::socket::{setsockopt, sockopt::RcvBufForce};
use rtnetlink::packet_core::NetlinkMessage;
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

use super::NetlinkError;
use super::batch::Request;
use super::constants::*;
use super::decode::{self, Message};
use super::error::socket;

/// Why the kernel did not do what one message asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub errno: i32,
    /// The kernel's words, or else those of the error number.
    pub text: String,
}

/// What came of reading one datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Received {
    Nothing,
    Datagram(usize),
    /// Messages were lost: the queue overflowed (`ENOBUFS`), or the datagram is larger than the buffer.
    Lost,
}

/// Requests, ready to be sent.
#[derive(Debug)]
pub(super) struct Messages {
    bytes: Vec<u8>,
    /// Where each begins.
    starts: Vec<usize>,
}

impl Messages {
    /// Encodes `requests`.
    pub fn of(requests: impl IntoIterator<Item = Request>) -> Self {
        let requests = requests.into_iter();
        let count = requests.size_hint().1.unwrap_or_default();
        let (mut bytes, mut starts) =
            (Vec::with_capacity(count.saturating_mul(USUAL_BYTES)), Vec::with_capacity(count));
        for request in requests {
            starts.push(bytes.len());
            request.encode(0, &mut bytes);
        }
        Self { bytes, starts }
    }

    /// Gives them sequence numbers from `first`, and says the last.
    fn number(&mut self, first: u32) -> u32 {
        let mut next = first;
        for start in &self.starts {
            let message = self.bytes.get_mut(*start..);
            if let Some(space) = message.and_then(|message| message.get_mut(8..12)) {
                space.copy_from_slice(&next.to_ne_bytes());
            }
            next = next.wrapping_add(1);
        }
        next.wrapping_sub(1)
    }
}

pub(super) struct CommandSocket {
    socket: Socket,
    port: u32,
    sequence: u32,
    buffer: Vec<u8>,
    /// Whether answers to an earlier request may still lie in the queue.
    is_unread: bool,
}

/// Kernel dumps fill datagrams of at most 32 KiB (`netlink_dump`); a link's event may be larger.
const BUFFER_BYTES: usize = 64 * 1024;

/// At most so many messages in one `sendmsg`: with default buffers the errors of 300 did not all fit.
const MAX_BATCH: usize = 128;
const RECEIVE_QUEUE_BYTES: usize = 1024 * 1024;

/// Of an IPv4 route with gateway and source. One of IPv6 has 36 more.
const USUAL_BYTES: usize = 76;

impl CommandSocket {
    /// Opens the socket in the calling thread's network namespace.
    pub fn open() -> Result<Self, NetlinkError> {
        Self::with_queue(RECEIVE_QUEUE_BYTES)
    }

    fn with_queue(bytes: usize) -> Result<Self, NetlinkError> {
        let (route_socket, port) = open_route_socket(bytes)?;
        // Before Linux 4.20 there is no strict checking; filters are then ignored, and we filter what comes anyway.
        if let Err(error) = route_socket.set_netlink_get_strict_chk(true) {
            tracing::warn!(%error, "no strict checking of netlink requests");
        }
        route_socket.set_cap_ack(true).map_err(socket("set NETLINK_CAP_ACK"))?;
        route_socket.set_ext_ack(true).map_err(socket("set NETLINK_EXT_ACK"))?;
        Ok(Self { socket: route_socket, port, sequence: 0, buffer: Vec::new(), is_unread: false })
    }

    /// The port id that events caused by this socket bear.
    pub fn port(&self) -> u32 {
        self.port
    }

    /// Sends `requests` in order and says of each whether it was refused. They are not a transaction: one that is
    /// refused does not stop the next.
    pub fn send_all(
        &mut self,
        doing: &'static str,
        requests: impl IntoIterator<Item = Request>,
    ) -> Result<Vec<Option<Refusal>>, NetlinkError> {
        self.send_messages(doing, &mut Messages::of(requests))
    }

    /// As [`Self::send_all`], with what was encoded before.
    pub fn send_messages(
        &mut self,
        doing: &'static str,
        messages: &mut Messages,
    ) -> Result<Vec<Option<Refusal>>, NetlinkError> {
        let mut first = self.sequence.wrapping_add(1);
        self.sequence = messages.number(first);
        let Messages { bytes, starts } = messages;
        let mut answers = Vec::with_capacity(starts.len());
        for chunk in starts.chunks(MAX_BATCH) {
            let end = starts.get(answers.len().saturating_add(chunk.len())).copied().unwrap_or(bytes.len());
            let Some((start, last)) = chunk.first().zip(chunk.last()) else { break };
            acknowledge(bytes, *last);
            match self.send_chunk(doing, bytes.get(*start..end).unwrap_or_default(), first, chunk.len()) {
                Ok(refusals) => answers.extend(refusals),
                // Some answers were lost. Ask again one by one: what was done already answers EEXIST or ESRCH.
                Err(NetlinkError::NoAnswer { .. }) if chunk.len() > 1 => {
                    tracing::warn!(messages = chunk.len(), "netlink answers lost, sending one by one");
                    for (at, start) in chunk.iter().enumerate() {
                        acknowledge(bytes, *start);
                        let end = chunk.get(at.saturating_add(1)).copied().unwrap_or(end);
                        let first = first.wrapping_add(u32::try_from(at).unwrap_or_default());
                        answers.extend(self.send_chunk(doing, bytes.get(*start..end).unwrap_or_default(), first, 1)?);
                    }
                }
                Err(error) => return Err(error),
            }
            first = first.wrapping_add(u32::try_from(chunk.len()).unwrap_or_default());
        }
        Ok(answers)
    }

    /// Sends so many messages, numbered from `first`, of which the last asks for an acknowledgement: errors come without
    /// being asked for, so one at the end says that all is done.
    fn send_chunk(
        &mut self,
        doing: &'static str,
        bytes: &[u8],
        first: u32,
        count: usize,
    ) -> Result<Vec<Option<Refusal>>, NetlinkError> {
        self.send(doing, bytes)?;
        let mut refusals = vec![None; count];
        self.read(doing, |message| {
            let index = message.sequence.wrapping_sub(first) as usize;
            let Some(refusal) = refusals.get_mut(index) else { return false };
            if let Some(found) = refusal_in(&message) {
                *refusal = Some(found);
            }
            index.checked_add(1) == Some(count)
        })?;
        Ok(refusals)
    }

    /// Asks one question; `answer` gets what the kernel tells before its acknowledgement.
    pub fn ask(
        &mut self,
        doing: &'static str,
        message: RouteNetlinkMessage,
        mut answer: impl FnMut(Message<'_>),
    ) -> Result<Option<Refusal>, NetlinkError> {
        let sequence = self.next_sequence();
        let mut bytes = Vec::new();
        encode(message, NLM_F_ACK, sequence, &mut bytes);
        self.send(doing, &bytes)?;
        let mut refusal = None;
        self.read(doing, |message| {
            if message.sequence != sequence {
                return false;
            }
            if message.kind == NLMSG_ERROR {
                refusal = refusal_in(&message);
                return true;
            }
            answer(message);
            false
        })?;
        Ok(refusal)
    }

    /// Lists what `message` asks for. `Ok(Err(_))` is the kernel's refusal, `Ok(Ok(false))` a dump that was
    /// interrupted by a change (`NLM_F_DUMP_INTR`): what `each` got may have holes or doubles.
    pub fn dump(
        &mut self,
        doing: &'static str,
        message: RouteNetlinkMessage,
        mut each: impl FnMut(Message<'_>),
    ) -> Result<Result<bool, Refusal>, NetlinkError> {
        let sequence = self.next_sequence();
        let mut bytes = Vec::new();
        encode(message, NLM_F_DUMP, sequence, &mut bytes);
        self.send(doing, &bytes)?;
        let (mut refusal, mut is_whole) = (None, true);
        self.read(doing, |message| {
            if message.sequence != sequence {
                return false;
            }
            is_whole &= message.flags & NLM_F_DUMP_INTR == 0;
            if matches!(message.kind, NLMSG_ERROR | NLMSG_DONE) {
                refusal = refusal_in(&message);
                return true;
            }
            each(message);
            false
        })?;
        Ok(refusal.map_or(Ok(is_whole), Err))
    }

    fn next_sequence(&mut self) -> u32 {
        self.sequence = self.sequence.wrapping_add(1);
        self.sequence
    }

    fn send(&mut self, doing: &'static str, bytes: &[u8]) -> Result<(), NetlinkError> {
        while self.is_unread {
            // A read that gave up left answers, or a dump that would make the next one EBUSY.
            self.is_unread = receive(&self.socket, &mut self.buffer).map_err(socket(doing))? != Received::Nothing;
        }
        loop {
            match self.socket.send(bytes, 0) {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(socket(doing)(error)),
            }
        }
    }

    /// Reads messages until `is_last` says so.
    fn read(&mut self, doing: &'static str, mut is_last: impl FnMut(Message<'_>) -> bool) -> Result<(), NetlinkError> {
        self.is_unread = true;
        loop {
            let Received::Datagram(len) = receive(&self.socket, &mut self.buffer).map_err(socket(doing))? else {
                return Err(NetlinkError::NoAnswer { doing });
            };
            for message in decode::messages(self.buffer.get(..len).unwrap_or_default()) {
                match message {
                    Ok(message) if is_last(message) => {
                        self.is_unread = false;
                        return Ok(());
                    }
                    Ok(_) => {}
                    Err(error) => tracing::warn!(%error, doing, "skipped"),
                }
            }
        }
    }
}

/// A netlink route socket that hears the kernel only, and its port id.
pub(super) fn open_route_socket(queue_bytes: usize) -> Result<(Socket, u32), NetlinkError> {
    let mut route_socket = Socket::new(NETLINK_ROUTE).map_err(socket("open a netlink socket"))?;
    let address = route_socket.bind_auto().map_err(socket("bind a netlink socket"))?;
    route_socket.connect(&SocketAddr::new(0, 0)).map_err(socket("connect a netlink socket"))?;
    // Without the privilege for more, as much as net.core.rmem_max allows.
    if setsockopt(&route_socket, RcvBufForce, &queue_bytes).is_err() {
        let bytes = i32::try_from(queue_bytes).unwrap_or(i32::MAX);
        route_socket.set_rx_buf_sz(bytes).map_err(socket("set the receive queue's size"))?;
    }
    Ok((route_socket, address.port_number()))
}

/// Reads one datagram, if there is one.
pub(super) fn receive(socket: &Socket, buffer: &mut Vec<u8>) -> io::Result<Received> {
    if buffer.is_empty() {
        // Not where the socket is opened, which may be in a thread that ends: its memory would not be untouched memory.
        *buffer = vec![0; BUFFER_BYTES];
    }
    loop {
        match socket.recv(&mut buffer.as_mut_slice(), RECEIVE_FLAGS) {
            Ok(len) if len > buffer.len() => return Ok(Received::Lost),
            Ok(len) => return Ok(Received::Datagram(len)),
            Err(error) => match error.raw_os_error() {
                Some(libc::EINTR) => {}
                Some(libc::EAGAIN) => return Ok(Received::Nothing),
                Some(libc::ENOBUFS) => return Ok(Received::Lost),
                _ => return Err(error),
            },
        }
    }
}

/// Appends a message, padded, to `bytes`.
fn encode(message: RouteNetlinkMessage, flags: u16, sequence: u32, bytes: &mut Vec<u8>) {
    let mut message = NetlinkMessage::from(message);
    message.header.flags = NLM_F_REQUEST | flags;
    message.header.sequence_number = sequence;
    message.finalize();
    let start = bytes.len();
    bytes.resize(start.saturating_add(message.buffer_len()), 0);
    if let Some(space) = bytes.get_mut(start..) {
        message.serialize(space);
    }
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

/// Sets `NLM_F_ACK` in the message that begins at `start` (`struct nlmsghdr` in `include/uapi/linux/netlink.h`).
fn acknowledge(bytes: &mut [u8], start: usize) {
    if let Some([low, high]) = bytes.get_mut(start..).and_then(|message| message.get_mut(6..8)) {
        [*low, *high] = (u16::from_ne_bytes([*low, *high]) | NLM_F_ACK).to_ne_bytes();
    }
}

fn refusal_in(message: &Message<'_>) -> Option<Refusal> {
    let errno = match message.errno() {
        Ok(0) => return None,
        Ok(errno) => errno,
        Err(_) => libc::EBADMSG,
    };
    let text = message.text().unwrap_or_else(|| nix::errno::Errno::from_raw(errno).desc().to_owned());
    Some(Refusal { errno, text })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::batch;
    use crate::route::{Change, Object, Rule};

    #[test]
    fn lost_answers_are_asked_for_again() {
        let refusals = std::thread::spawn(|| {
            // Without the privilege for it the same requests are refused all the same, for want of privilege.
            let _ = nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET);
            let mut socket = CommandSocket::with_queue(1).unwrap();
            let rule = Rule { src: "192.0.2.255".parse().unwrap(), table: u32::MAX - 1, priority: u32::MAX - 1 };
            let request = batch::request(&Change::Delete(Object::Rule(rule)), 110);
            let mut bytes = Vec::new();
            for sequence in 1..=100 {
                let start = bytes.len();
                request.encode(sequence, &mut bytes);
                acknowledge(&mut bytes, start);
            }
            let lost = socket.send_chunk("test", &bytes, 1, 100);
            assert!(matches!(lost, Err(NetlinkError::NoAnswer { .. })));
            socket.send_all("test", vec![request; 300]).unwrap()
        });
        let refusals = refusals.join().unwrap();
        assert_eq!(refusals.len(), 300);
        assert!(refusals.iter().all(|r| matches!(r, Some(Refusal { errno: libc::ENOENT | libc::EPERM, .. }))));
    }
}
