//! The kernel's messages, as far as we look at them.
//!
//! `netlink-packet-route` decodes whole messages and gives up on the first attribute that it cannot read: an
//! interface whose name is not UTF-8 would be invisible, and so would be a rule that names it. We need some fifteen
//! attributes, so this reads just those, over `netlink-packet-core`'s checked buffers, and skips the rest. Layouts:
//! `include/uapi/linux/{netlink,rtnetlink,if_link,if_addr,fib_rules}.h`.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use nix::libc;
use rtnetlink::packet_core::{NetlinkBuffer, NlasIterator};

use super::constants::*;
use crate::route::{Address, Family, IfName, Link, MAIN_TABLE, Object, Prefix, Route, Rule};

/// One netlink message: the header's fields and what follows it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Message<'a> {
    pub kind: u16,
    pub flags: u16,
    pub sequence: u32,
    /// The port whose request caused it; 0 is the kernel itself.
    pub port: u32,
    pub body: &'a [u8],
}

/// What a message says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fact {
    Link {
        ifindex: u32,
        link: Link,
        master: Option<u32>,
    },
    LinkGone {
        ifindex: u32,
    },
    Address(Address),
    AddressGone(Address),
    Route(RouteFact),
    RouteGone(RouteFact),
    Rule(RuleFact),
    RuleGone(RuleFact),
    /// A nexthop object; the routes by it went along.
    NexthopGone,
}

/// A route as the kernel tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RouteFact {
    pub table: u32,
    pub dst: Prefix,
    pub protocol: u8,
    /// `RTN_*`.
    pub kind: u8,
    pub scope: u8,
    pub metric: u32,
    pub prefsrc: Option<IpAddr>,
    /// Selects by source or type of service, which [`Route`] cannot say.
    pub is_odd: bool,
    pub is_cached: bool,
    pub hop: Hop,
    /// The next hops of `RTA_MULTIPATH`.
    pub hops: Vec<Hop>,
}

/// Where a route leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Hop {
    pub ifindex: u32,
    pub gateway: Option<IpAddr>,
    pub onlink: bool,
}

/// A rule as the kernel tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RuleFact {
    pub table: u32,
    pub protocol: u8,
    /// Set when the rule says nothing but `from ADDRESS lookup TABLE`, or `lookup main suppress_prefixlength 0`.
    pub object: Option<Object>,
}

impl RouteFact {
    /// The route, if [`Route`] can say all that matters of it; one for each next hop of an IPv6 multipath route, whose
    /// hops the kernel keeps (and deletes) as routes of their own.
    pub fn routes(&self) -> impl Iterator<Item = Route> + '_ {
        let is_multipath = !self.hops.is_empty();
        let is_plain = self.kind == libc::RTN_UNICAST && !self.is_odd;
        let is_ours_to_say = is_plain && (!is_multipath || self.dst.family() == Family::V6);
        let hops = if is_multipath { self.hops.as_slice() } else { std::slice::from_ref(&self.hop) };
        hops.iter().filter(move |hop| is_ours_to_say && hop.ifindex != 0).map(|hop| Route {
            table: self.table,
            dst: self.dst,
            metric: self.metric,
            ifindex: hop.ifindex,
            gateway: hop.gateway,
            prefsrc: self.prefsrc,
            onlink: hop.onlink,
        })
    }
}

/// The messages of one datagram. Ends at the first that is cut or malformed, with `Err`.
pub(super) fn messages(datagram: &[u8]) -> impl Iterator<Item = Result<Message<'_>, Malformed>> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let Ok(buffer) = NetlinkBuffer::new_checked(rest) else {
            rest = &[];
            return Some(Err(Malformed));
        };
        let aligned = (buffer.length() as usize).next_multiple_of(4);
        let message = Message {
            kind: buffer.message_type(),
            flags: buffer.flags(),
            sequence: buffer.sequence_number(),
            port: buffer.port_number(),
            body: buffer.payload(),
        };
        rest = rest.get(aligned..).unwrap_or_default();
        Some(Ok(message))
    })
}

/// A message that does not follow its layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed netlink message")]
pub(super) struct Malformed;

impl Message<'_> {
    /// What the message says; `None` if it is of no concern to us.
    pub fn fact(&self) -> Result<Option<Fact>, Malformed> {
        Ok(match self.kind {
            libc::RTM_NEWLINK => link(self.body)?,
            libc::RTM_DELLINK => link_gone(self.body)?,
            libc::RTM_NEWADDR => address(self.body)?.map(Fact::Address),
            libc::RTM_DELADDR => address(self.body)?.map(Fact::AddressGone),
            libc::RTM_NEWROUTE => route(self.body)?.map(Fact::Route),
            libc::RTM_DELROUTE => route(self.body)?.map(Fact::RouteGone),
            libc::RTM_NEWRULE => rule(self.body)?.map(Fact::Rule),
            libc::RTM_DELRULE => rule(self.body)?.map(Fact::RuleGone),
            RTM_DELNEXTHOP => Some(Fact::NexthopGone),
            _ => None,
        })
    }

    /// `NLMSG_ERROR` and `NLMSG_DONE`: the (positive) error number, 0 for an acknowledgement.
    pub fn errno(&self) -> Result<i32, Malformed> {
        // The kernel allows a NLMSG_DONE without a body.
        if self.kind == NLMSG_DONE && self.body.is_empty() {
            return Ok(0);
        }
        field(self.body, 0).map(|b| i32::from_ne_bytes(b).saturating_neg())
    }

    /// The kernel's words in an extended acknowledgement (`NLMSGERR_ATTR_MSG`).
    pub fn text(&self) -> Option<String> {
        if self.flags & NLM_F_ACK_TLVS == 0 {
            return None;
        }
        // NLM_F_CAPPED: the request's header came back without its body (`struct nlmsgerr`).
        let attributes = if self.kind == NLMSG_DONE {
            4
        } else if self.flags & NLM_F_CAPPED != 0 {
            20
        } else {
            usize::try_from(u32_at(self.body, 4).ok()?.checked_next_multiple_of(4)?).ok()?.checked_add(4)?
        };
        NlasIterator::new(self.body.get(attributes..)?)
            .filter_map(Result::ok)
            .find(|a| a.kind() == NLMSGERR_ATTR_MSG)
            .map(|a| String::from_utf8_lossy(until_nul(a.value())).into_owned())
    }
}

/// `struct ifinfomsg`: family, pad, type (u16), index (i32), flags (u32), change (u32).
fn link(body: &[u8]) -> Result<Option<Fact>, Malformed> {
    // A bridge port's own messages come to the same group; the port is told of apart, as AF_UNSPEC.
    if u8_at(body, 0)? != AF_UNSPEC {
        return Ok(None);
    }
    let (ifindex, flags) = (u32_at(body, 4)?, u32_at(body, 8)?);
    let (mut name, mut master) = (None, None);
    for attribute in NlasIterator::new(body.get(16..).ok_or(Malformed)?) {
        let attribute = attribute.map_err(|_| Malformed)?;
        match attribute.kind() {
            libc::IFLA_IFNAME => name = IfName::new(until_nul(attribute.value())).ok(),
            libc::IFLA_MASTER => master = Some(u32_at(attribute.value(), 0)?),
            _ => {}
        }
    }
    let link = Link { name: name.ok_or(Malformed)?, is_up: flags & IFF_UP != 0 };
    Ok(Some(Fact::Link { ifindex, link, master }))
}

fn link_gone(body: &[u8]) -> Result<Option<Fact>, Malformed> {
    if u8_at(body, 0)? != AF_UNSPEC {
        return Ok(None);
    }
    Ok(Some(Fact::LinkGone { ifindex: u32_at(body, 4)? }))
}

/// `struct ifaddrmsg`: family, prefix length, flags (u8), scope, index (u32).
fn address(body: &[u8]) -> Result<Option<Address>, Malformed> {
    let Some(family) = family(u8_at(body, 0)?) else { return Ok(None) };
    let (len, ifindex) = (u8_at(body, 1)?, u32_at(body, 4)?);
    let mut flags = u32::from(u8_at(body, 2)?);
    let (mut local, mut peer, mut priority) = (None, None, 0);
    for attribute in NlasIterator::new(body.get(8..).ok_or(Malformed)?) {
        let attribute = attribute.map_err(|_| Malformed)?;
        match attribute.kind() {
            libc::IFA_LOCAL => local = Some(ip(family, attribute.value())?),
            libc::IFA_ADDRESS => peer = Some(ip(family, attribute.value())?),
            IFA_FLAGS => flags = u32_at(attribute.value(), 0)?,
            IFA_RT_PRIORITY => priority = u32_at(attribute.value(), 0)?,
            _ => {}
        }
    }
    // IFA_ADDRESS is the peer's where IFA_LOCAL stands beside it; IPv6 writes IFA_LOCAL only then.
    let ip = local.or(peer).ok_or(Malformed)?;
    let network = Prefix::of(peer.unwrap_or(ip), len).ok_or(Malformed)?;
    Ok(Some(Address {
        ifindex,
        ip,
        network,
        is_tentative: flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED) != 0 && flags & IFA_F_OPTIMISTIC == 0,
        has_no_prefix_route: flags & IFA_F_NOPREFIXROUTE != 0,
        // In IPv6 the same bit says that the address is temporary.
        is_secondary: family == Family::V4 && flags & IFA_F_SECONDARY != 0,
        priority,
    }))
}

/// `struct rtmsg`: family, dst_len, src_len, tos, table, protocol, scope, type (all u8), flags (u32).
pub(super) fn route(body: &[u8]) -> Result<Option<RouteFact>, Malformed> {
    let Some(family) = family(u8_at(body, 0)?) else { return Ok(None) };
    let flags = u32_at(body, 8)?;
    let mut fact = RouteFact {
        table: u32::from(u8_at(body, 4)?),
        dst: Prefix::default_route(family),
        protocol: u8_at(body, 5)?,
        kind: u8_at(body, 7)?,
        scope: u8_at(body, 6)?,
        metric: 0,
        prefsrc: None,
        is_odd: u8_at(body, 2)? != 0 || u8_at(body, 3)? != 0,
        is_cached: flags & RTM_F_CLONED != 0,
        hop: Hop { onlink: flags & RTNH_F_ONLINK != 0, ..Hop::default() },
        hops: Vec::new(),
    };
    let mut dst = None;
    for attribute in NlasIterator::new(body.get(12..).ok_or(Malformed)?) {
        let attribute = attribute.map_err(|_| Malformed)?;
        let value = attribute.value();
        match attribute.kind() {
            libc::RTA_DST => dst = Some(ip(family, value)?),
            libc::RTA_TABLE => fact.table = u32_at(value, 0)?,
            libc::RTA_PRIORITY => fact.metric = u32_at(value, 0)?,
            libc::RTA_PREFSRC => fact.prefsrc = Some(ip(family, value)?),
            libc::RTA_OIF => fact.hop.ifindex = u32_at(value, 0)?,
            libc::RTA_MULTIPATH => fact.hops = hops(family, value)?,
            kind => fact.hop.gateway = gateway(family, kind, value)?.or(fact.hop.gateway),
        }
    }
    if let Some(dst) = dst {
        fact.dst = Prefix::of(dst, u8_at(body, 1)?).ok_or(Malformed)?;
    }
    Ok(Some(fact))
}

/// `RTA_GATEWAY`, or `RTA_VIA` (an IPv4 route by an IPv6 gateway: `struct rtvia`).
fn gateway(family: Family, kind: u16, value: &[u8]) -> Result<Option<IpAddr>, Malformed> {
    match kind {
        libc::RTA_GATEWAY => ip(family, value).map(Some),
        RTA_VIA => match self::family(u8::try_from(u16::from_ne_bytes(field(value, 0)?)).unwrap_or(0)) {
            Some(family) => ip(family, value.get(2..).ok_or(Malformed)?).map(Some),
            None => Ok(None),
        },
        _ => Ok(None),
    }
}

/// `struct rtnexthop`: length (u16), flags (u8), hops (u8), ifindex (i32), attributes.
fn hops(family: Family, mut value: &[u8]) -> Result<Vec<Hop>, Malformed> {
    let mut hops = Vec::new();
    while !value.is_empty() {
        let len = usize::from(u16::from_ne_bytes(field(value, 0)?));
        let mut hop =
            Hop { ifindex: u32_at(value, 4)?, gateway: None, onlink: u32::from(u8_at(value, 2)?) & RTNH_F_ONLINK != 0 };
        for attribute in NlasIterator::new(value.get(8..len).ok_or(Malformed)?) {
            let attribute = attribute.map_err(|_| Malformed)?;
            hop.gateway = gateway(family, attribute.kind(), attribute.value())?.or(hop.gateway);
        }
        hops.push(hop);
        value = value.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(hops)
}

/// `struct fib_rule_hdr`: family, dst_len, src_len, tos, table, 2 reserved, action (all u8), flags (u32).
fn rule(body: &[u8]) -> Result<Option<RuleFact>, Malformed> {
    let Some(family) = family(u8_at(body, 0)?) else { return Ok(None) };
    let mut fact = RuleFact { table: u32::from(u8_at(body, 4)?), protocol: 0, object: None };
    let (mut src, mut priority, mut suppressed) = (None, 0, NOTHING_SUPPRESSED);
    let (src_len, selects_more) = (u8_at(body, 2)?, u8_at(body, 1)? != 0 || u8_at(body, 3)? != 0);
    let mut is_plain = !selects_more && u8_at(body, 7)? == FR_ACT_TO_TBL && u32_at(body, 8)? & FIB_RULE_INVERT == 0;
    for attribute in NlasIterator::new(body.get(12..).ok_or(Malformed)?) {
        let attribute = attribute.map_err(|_| Malformed)?;
        let value = attribute.value();
        match attribute.kind() {
            FRA_SRC => src = Some(ip(family, value)?),
            FRA_TABLE => fact.table = u32_at(value, 0)?,
            FRA_PRIORITY => priority = u32_at(value, 0)?,
            FRA_PROTOCOL => fact.protocol = u8_at(value, 0)?,
            FRA_SUPPRESS_PREFIXLEN => suppressed = u32_at(value, 0)?,
            FRA_SUPPRESS_IFGROUP => is_plain &= u32_at(value, 0)? == NOTHING_SUPPRESSED,
            FRA_PAD => {}
            _ => is_plain = false,
        }
    }
    let table = fact.table;
    fact.object = match (src, suppressed) {
        _ if !is_plain => None,
        (Some(src), NOTHING_SUPPRESSED) if src_len == family.bits() => {
            Some(Object::Rule(Rule { src, table, priority }))
        }
        (None, 0) if src_len == 0 && table == MAIN_TABLE => Some(Object::LocalNetworks { family, priority }),
        _ => None,
    };
    Ok(Some(fact))
}

/// What is always told of a rule that suppresses nothing: -1.
const NOTHING_SUPPRESSED: u32 = u32::MAX;

/// Whether `table` is one of the kernel's three (or unspecified): nobody takes those for an interface.
pub(super) const fn is_builtin_table(table: u32) -> bool {
    matches!(table, 0 | 253 | MAIN_TABLE | 255)
}

fn family(byte: u8) -> Option<Family> {
    match i32::from(byte) {
        libc::AF_INET => Some(Family::V4),
        libc::AF_INET6 => Some(Family::V6),
        _ => None,
    }
}

fn ip(family: Family, value: &[u8]) -> Result<IpAddr, Malformed> {
    Ok(match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::from(field::<4>(value, 0)?)),
        Family::V6 => IpAddr::V6(Ipv6Addr::from(field::<16>(value, 0)?)),
    })
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|b| *b == 0).next().unwrap_or_default()
}

fn u8_at(bytes: &[u8], at: usize) -> Result<u8, Malformed> {
    bytes.get(at).copied().ok_or(Malformed)
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32, Malformed> {
    field(bytes, at).map(u32::from_ne_bytes)
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], Malformed> {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).copied().ok_or(Malformed)
}
