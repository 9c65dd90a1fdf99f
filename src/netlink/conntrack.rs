//! The connections that netfilter tracks (`nf_conntrack`): those whose replies come to some address are deleted, so that
//! the next packet of such a connection is looked at, and translated, as if it were the first.
//!
//! Layouts are those of `include/uapi/linux/netfilter/nfnetlink.h` and `nfnetlink_conntrack.h`, meanings those of
//! `net/netfilter/nf_conntrack_netlink.c`. The kernel answers in the call that asks, as with routes, but a table may
//! have hundreds of thousands of entries: whoever has callers waiting should ask from another thread.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use nix::libc;
use rtnetlink::packet_core::NlasIterator;
use rtnetlink::sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};

use super::constants::*;
use super::decode::{self, Message};
use super::encode::{self, Writer};
use super::error::socket;
use super::socket::{Received, receive};
use super::{Config, NetlinkError, netns};

/// The kernel's table of connections, to look at and to delete from.
pub struct Conntrack {
    socket: Socket,
    sequence: u32,
    buffer: Vec<u8>,
}

/// What became of connections.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Flushed {
    /// They are deleted.
    pub deleted: usize,
    /// The kernel would not delete them (`EBUSY`: they are handed over to a flow table).
    pub refused: usize,
}

/// What a kernel without it lacks.
const CONNECTION_TRACKING: &str = "connection tracking (CONFIG_NF_CONNTRACK, CONFIG_NF_CT_NETLINK)";

/// So many deletions in one `sendmsg`: the errors of all of them fit into the receive queue.
const MAX_BATCH: usize = 64;

impl Conntrack {
    /// Opens a socket in the configured namespace, and finds out whether the kernel tracks connections at all.
    ///
    /// # Errors
    /// [`NetlinkError::Unsupported`] if it does not, [`NetlinkError::MissingNetAdmin`] if we may not look.
    pub fn open(config: &Config) -> Result<Self, NetlinkError> {
        Self::of_subsystem(config, NFNL_SUBSYS_CTNETLINK)
    }

    fn of_subsystem(config: &Config, subsystem: u8) -> Result<Self, NetlinkError> {
        let unsupported = NetlinkError::Unsupported { missing: CONNECTION_TRACKING };
        let opened = netns::within(config.netns.as_deref(), || Ok(Socket::new(NETLINK_NETFILTER)))?;
        let mut netfilter = match opened {
            Err(error) if error.raw_os_error() == Some(libc::EPROTONOSUPPORT) => return Err(unsupported),
            opened => opened.map_err(socket("open a netfilter socket"))?,
        };
        netfilter.bind_auto().map_err(socket("bind a netfilter socket"))?;
        netfilter.connect(&SocketAddr::new(0, 0)).map_err(socket("connect a netfilter socket"))?;
        netfilter.set_cap_ack(true).map_err(socket("set NETLINK_CAP_ACK"))?;
        let mut conntrack = Self { socket: netfilter, sequence: 0, buffer: Vec::new() };
        // Of a subsystem that it has not, and cannot load as a module, the kernel says EINVAL (`nfnetlink_rcv_msg`).
        match conntrack.ask(subsystem, IPCTNL_MSG_CT_GET_STATS)? {
            0 => Ok(conntrack),
            libc::EINVAL | libc::EOPNOTSUPP => Err(unsupported),
            errno => Err(refused("look at tracked connections", errno)),
        }
    }

    /// Deletes the connections whose replies are addressed to one of `addresses`: those that were translated to it, and
    /// the machine's own from it.
    ///
    /// # Errors
    /// If the kernel does not answer, or may not be asked.
    pub fn delete_answered_at(&mut self, addresses: &BTreeSet<IpAddr>) -> Result<Flushed, NetlinkError> {
        let mut flushed = Flushed::default();
        let families: BTreeSet<u8> = addresses.iter().map(family_of).collect();
        for family in families {
            let entries = self.answered_at(addresses, family)?;
            for chunk in entries.chunks(MAX_BATCH) {
                for errno in self.delete(chunk)? {
                    match errno {
                        0 => flushed.deleted = flushed.deleted.saturating_add(1),
                        // It has ended by itself.
                        libc::ENOENT => {}
                        libc::EPERM => return Err(refused("delete tracked connections", errno)),
                        _ => flushed.refused = flushed.refused.saturating_add(1),
                    }
                }
            }
        }
        Ok(flushed)
    }

    /// The bodies of the requests that delete these connections.
    fn answered_at(&mut self, addresses: &BTreeSet<IpAddr>, family: u8) -> Result<Vec<Vec<u8>>, NetlinkError> {
        let doing = "list tracked connections";
        let sequence = self.next_sequence();
        let mut request = Vec::new();
        Writer::new(&mut request, subsystem_type(IPCTNL_MSG_CT_GET), NLM_F_DUMP, sequence, &nfgenmsg(family));
        self.send(doing, &request)?;
        let (mut bodies, mut errno) = (Vec::new(), Ok(0));
        self.read(doing, |message| {
            if message.sequence != sequence {
                return false;
            }
            if matches!(message.kind, NLMSG_ERROR | NLMSG_DONE) {
                errno = message.errno();
                return true;
            }
            bodies.extend(deletion_of(&message, addresses));
            false
        })?;
        match errno {
            Ok(0) => Ok(bodies),
            Ok(errno) => Err(refused(doing, errno)),
            Err(_) => Err(NetlinkError::NoAnswer { doing }),
        }
    }

    /// The error number for each, 0 for those that are done.
    fn delete(&mut self, bodies: &[Vec<u8>]) -> Result<Vec<i32>, NetlinkError> {
        let doing = "delete tracked connections";
        let mut request = Vec::new();
        let first = self.sequence.wrapping_add(1);
        for (body, left) in bodies.iter().zip((0..bodies.len()).rev()) {
            // Errors come without being asked for.
            let ack = if left == 0 { NLM_F_ACK } else { 0 };
            let sequence = self.next_sequence();
            Writer::new(&mut request, subsystem_type(IPCTNL_MSG_CT_DELETE), ack, sequence, body);
        }
        self.send(doing, &request)?;
        let mut errors = vec![0; bodies.len()];
        let last = self.sequence;
        self.read(doing, |message| {
            let index = message.sequence.wrapping_sub(first) as usize;
            if let (NLMSG_ERROR, Some(error)) = (message.kind, errors.get_mut(index)) {
                *error = message.errno().unwrap_or(libc::EBADMSG);
            }
            message.kind == NLMSG_ERROR && message.sequence == last
        })?;
        Ok(errors)
    }

    /// Asks for something of which only the error number is of interest.
    fn ask(&mut self, subsystem: u8, kind: u8) -> Result<i32, NetlinkError> {
        let doing = "look at tracked connections";
        let sequence = self.next_sequence();
        let (mut request, mut errno) = (Vec::new(), Ok(0));
        let kind = u16::from_be_bytes([subsystem, kind]);
        Writer::new(&mut request, kind, NLM_F_ACK, sequence, &nfgenmsg(AF_UNSPEC));
        self.send(doing, &request)?;
        self.read(doing, |message| {
            let is_last = message.sequence == sequence && message.kind == NLMSG_ERROR;
            if is_last {
                errno = message.errno();
            }
            is_last
        })?;
        errno.map_err(|_| NetlinkError::NoAnswer { doing })
    }

    fn next_sequence(&mut self) -> u32 {
        self.sequence = self.sequence.wrapping_add(1);
        self.sequence
    }

    fn send(&mut self, doing: &'static str, bytes: &[u8]) -> Result<(), NetlinkError> {
        // What an earlier request has left, if reading it failed.
        while receive(&self.socket, &mut self.buffer).map_err(socket(doing))? != Received::Nothing {}
        loop {
            match self.socket.send(bytes, 0) {
                Ok(_) => return Ok(()),
                Err(error) if error.raw_os_error() == Some(libc::EINTR) => {}
                Err(error) => return Err(socket(doing)(error)),
            }
        }
    }

    /// Reads messages until `is_last` says so.
    fn read(&mut self, doing: &'static str, mut is_last: impl FnMut(Message<'_>) -> bool) -> Result<(), NetlinkError> {
        loop {
            let Received::Datagram(len) = receive(&self.socket, &mut self.buffer).map_err(socket(doing))? else {
                return Err(NetlinkError::NoAnswer { doing });
            };
            let messages = decode::messages(self.buffer.get(..len).unwrap_or_default());
            for message in messages.filter_map(Result::ok) {
                if is_last(message) {
                    return Ok(());
                }
            }
        }
    }
}

impl std::fmt::Debug for Conntrack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Conntrack").finish_non_exhaustive()
    }
}

fn refused(doing: &'static str, errno: i32) -> NetlinkError {
    NetlinkError::refused(doing, errno, nix::errno::Errno::from_raw(errno).desc().to_owned())
}

const fn family_of(ip: &IpAddr) -> u8 {
    // Both numbers are small.
    (if ip.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 }) as u8
}

const fn subsystem_type(kind: u8) -> u16 {
    u16::from_be_bytes([NFNL_SUBSYS_CTNETLINK, kind])
}

/// `struct nfgenmsg`: family, version, resource.
const fn nfgenmsg(family: u8) -> [u8; 4] {
    [family, NFNETLINK_V0, 0, 0]
}

/// The body of the request that deletes the connection that `message` tells of, if its replies come to one of
/// `addresses`. It names the connection by its own tuple as it was told, and by its number, which no later connection of
/// the same tuple has. A request without a tuple would delete all connections, so there is none.
pub(super) fn deletion_of(message: &Message<'_>, addresses: &BTreeSet<IpAddr>) -> Option<Vec<u8>> {
    if message.kind != subsystem_type(IPCTNL_MSG_CT_NEW) {
        return None;
    }
    let (header, attributes) = message.body.split_at_checked(NFGENMSG_BYTES)?;
    let reply = attribute(attributes, CTA_TUPLE_REPLY)?;
    let answered_at = destination(attribute(reply, CTA_TUPLE_IP)?)?;
    if !addresses.contains(&answered_at) {
        return None;
    }
    let mut body = nfgenmsg(*header.first()?).to_vec();
    encode::attribute(CTA_TUPLE_ORIG | NLA_F_NESTED, attribute(attributes, CTA_TUPLE_ORIG)?, &mut body);
    for kind in [CTA_ZONE, CTA_ID] {
        if let Some(value) = attribute(attributes, kind) {
            encode::attribute(kind, value, &mut body);
        }
    }
    Some(body)
}

fn destination(ip: &[u8]) -> Option<IpAddr> {
    let v4 = attribute(ip, CTA_IP_V4_DST).and_then(|value| <[u8; 4]>::try_from(value).ok());
    let v6 = || attribute(ip, CTA_IP_V6_DST).and_then(|value| <[u8; 16]>::try_from(value).ok());
    v4.map(|bytes| Ipv4Addr::from(bytes).into()).or_else(|| v6().map(|bytes| Ipv6Addr::from(bytes).into()))
}

fn attribute(attributes: &[u8], kind: u16) -> Option<&[u8]> {
    let found = NlasIterator::new(attributes).map_while(Result::ok).find(|attribute| attribute.kind() == kind)?;
    let end = usize::from(found.length());
    // What it holds is the rest of the buffer, and `value` would not outlive it.
    found.into_inner().get(NLA_HEADER_BYTES..end)
}

const NFGENMSG_BYTES: usize = 4;
const NLA_HEADER_BYTES: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_without_it_says_so() {
        let opened = std::thread::spawn(|| {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).ok()?;
            // A number that no subsystem has (NFNL_SUBSYS_COUNT): the kernel's answer is that to a missing module.
            Some([NFNL_SUBSYS_CTNETLINK, 99].map(|subsystem| Conntrack::of_subsystem(&Config::default(), subsystem)))
        });
        let Some([_, none]) = opened.join().unwrap() else {
            assert!(std::env::var_os("BEAMROUTE_NO_SKIP").is_none(), "BEAMROUTE_NO_SKIP, but no network namespace");
            return;
        };
        let error = none.unwrap_err();
        assert!(matches!(error, NetlinkError::Unsupported { .. }), "{error}");
        assert!(error.to_string().contains("CONFIG_NF_CONNTRACK"), "{error}");
    }

    /// A tuple with these addresses.
    fn tuple(kind: u16, src: [u8; 4], dst: [u8; 4]) -> Vec<u8> {
        let (mut ip, mut tuple, mut out) = (Vec::new(), Vec::new(), Vec::new());
        encode::attribute(CTA_IP_V4_DST - 1, &src, &mut ip);
        encode::attribute(CTA_IP_V4_DST, &dst, &mut ip);
        encode::attribute(CTA_TUPLE_IP | NLA_F_NESTED, &ip, &mut tuple);
        encode::attribute(kind | NLA_F_NESTED, &tuple, &mut out);
        out
    }

    #[test]
    fn only_what_is_answered_there_and_never_without_a_tuple() {
        let (lan, uplink, far) = ([10, 0, 0, 2], [192, 168, 1, 50], [203, 0, 113, 1]);
        let told = |parts: &[Vec<u8>]| [&nfgenmsg(2)[..], &parts.concat()].concat();
        let check = |body: &[u8], at: [u8; 4]| {
            let message = Message { kind: subsystem_type(IPCTNL_MSG_CT_NEW), flags: 0, sequence: 1, port: 0, body };
            deletion_of(&message, &BTreeSet::from([IpAddr::from(at)]))
        };
        let (orig, reply) = (tuple(CTA_TUPLE_ORIG, lan, far), tuple(CTA_TUPLE_REPLY, far, uplink));
        let mut id = Vec::new();
        encode::attribute(CTA_ID, &[1, 2, 3, 4], &mut id);
        let whole = told(&[orig.clone(), reply.clone(), id.clone()]);
        assert_eq!(check(&whole, uplink), Some(told(&[orig.clone(), id.clone()])));
        for other in [lan, far] {
            assert_eq!(check(&whole, other), None);
        }
        assert_eq!(check(&told(&[reply, id]), uplink), None, "it would delete all");
        assert_eq!(check(&told(&[orig]), uplink), None);
        for end in 0..whole.len() {
            // What is cut says less, and never something else.
            let cut = check(&whole[..end], uplink);
            assert!(cut.is_none_or(|body| body.starts_with(&whole[..8])), "{end}");
        }
    }
}
