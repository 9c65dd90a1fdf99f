//! From a [`Change`] to the message that makes it.
//!
//! | message | flags | because |
//! | --- | --- | --- |
//! | add IPv4 route | `CREATE APPEND` | `EXCL` refuses, and `REPLACE` takes away, another interface's route of that metric |
//! | add IPv6 route | `CREATE EXCL` | without `EXCL` a gateway route of the same metric is merged with ours into one multipath route, even someone else's |
//! | restore connected | `CREATE` (IPv4 `APPEND` too) | the kernel itself lets those of two interfaces lie side by side |
//! | add rule | `CREATE EXCL` | without `EXCL` the same rule would be there twice |
//! | delete | none | |
//!
//! An IPv4 delete compares only what it names (`fib_table_delete`, `fib_nh_match`), so it names everything, scope
//! included: without it, deleting an on-link route could hit one with a gateway.

use nix::libc;

use super::constants::*;
use super::encode::Writer;
use crate::route::{Change, Connected, Family, MAIN_TABLE, Object, Route, Rule};

/// A message that changes something, and its `NLM_F_*` flags besides `NLM_F_REQUEST` and `NLM_F_ACK`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Request {
    object: Object,
    protocol: u8,
    is_addition: bool,
    flags: u16,
}

/// The message for `change`; what is ours bears `protocol`.
pub(super) fn request(change: &Change, protocol: u8) -> Request {
    match change {
        Change::Add(object @ Object::Route(route)) => {
            let flags = match route.dst.family() {
                Family::V4 => NLM_F_CREATE | NLM_F_APPEND,
                Family::V6 => NLM_F_CREATE | NLM_F_EXCL,
            };
            addition(*object, protocol, flags)
        }
        Change::Add(rule @ (Object::Rule(_) | Object::LocalNetworks { .. })) => {
            addition(*rule, protocol, NLM_F_CREATE | NLM_F_EXCL)
        }
        Change::Delete(object) => deletion(*object, protocol),
        Change::RestoreConnected(connected) => {
            let flags = match connected.dst.family() {
                Family::V4 => NLM_F_CREATE | NLM_F_APPEND,
                Family::V6 => NLM_F_CREATE,
            };
            add_route(&route_of(connected), RTPROT_KERNEL, flags)
        }
        Change::RemoveConnected(connected) => delete_route(&route_of(connected), RTPROT_KERNEL),
    }
}

/// Adds `route` with flags other than the usual.
pub(super) const fn add_route(route: &Route, protocol: u8, flags: u16) -> Request {
    addition(Object::Route(*route), protocol, flags)
}

/// Deletes `route`.
pub(super) const fn delete_route(route: &Route, protocol: u8) -> Request {
    deletion(Object::Route(*route), protocol)
}

const fn addition(object: Object, protocol: u8, flags: u16) -> Request {
    Request { object, protocol, is_addition: true, flags }
}

const fn deletion(object: Object, protocol: u8) -> Request {
    Request { object, protocol, is_addition: false, flags: 0 }
}

impl Request {
    /// Appends the message to `bytes`.
    pub fn encode(&self, sequence: u32, bytes: &mut Vec<u8>) {
        let (addition, deletion, head) = match &self.object {
            Object::Route(route) => (RTM_NEWROUTE, RTM_DELROUTE, route_head(route, self.protocol)),
            Object::Rule(rule) => {
                let family = Family::of(rule.src);
                (RTM_NEWRULE, RTM_DELRULE, rule_head(family, family.bits()))
            }
            Object::LocalNetworks { family, .. } => (RTM_NEWRULE, RTM_DELRULE, rule_head(*family, 0)),
        };
        let kind = if self.is_addition { addition } else { deletion };
        let mut message = Writer::new(bytes, kind, self.flags, sequence, &head);
        match &self.object {
            Object::Route(route) => route_attributes(route, &mut message),
            Object::Rule(Rule { src, table, priority }) => {
                message.ip(FRA_SRC, *src).number(FRA_TABLE, *table).number(FRA_PRIORITY, *priority);
                message.attribute(FRA_PROTOCOL, &[self.protocol]);
            }
            Object::LocalNetworks { priority, .. } => {
                message.number(FRA_TABLE, MAIN_TABLE).number(FRA_SUPPRESS_PREFIXLEN, 0).number(FRA_PRIORITY, *priority);
                message.attribute(FRA_PROTOCOL, &[self.protocol]);
            }
        }
    }
}

/// `struct rtmsg`.
fn route_head(route: &Route, protocol: u8) -> [u8; 12] {
    let family = route.dst.family();
    // IPv6 knows no scopes.
    let is_link = route.is_on_link() && family == Family::V4;
    let scope = if is_link { RT_SCOPE_LINK } else { RT_SCOPE_UNIVERSE };
    let [f0, f1, f2, f3] = if route.onlink { RTNH_F_ONLINK } else { 0 }.to_ne_bytes();
    // RTA_TABLE says the table, also above 255.
    [address_family(family), route.dst.len(), 0, 0, 0, protocol, scope, RTN_UNICAST, f0, f1, f2, f3]
}

fn route_attributes(route: &Route, message: &mut Writer<'_>) {
    message.number(RTA_TABLE, route.table).number(RTA_OIF, route.ifindex);
    if !route.dst.is_default() {
        message.ip(RTA_DST, route.dst.ip());
    }
    if route.metric != 0 {
        message.number(RTA_PRIORITY, route.metric);
    }
    for (kind, ip) in [(RTA_GATEWAY, route.gateway), (RTA_PREFSRC, route.prefsrc)] {
        if let Some(ip) = ip {
            message.ip(kind, ip);
        }
    }
}

/// `struct fib_rule_hdr`.
const fn rule_head(family: Family, src_len: u8) -> [u8; 12] {
    [address_family(family), 0, src_len, 0, 0, 0, 0, FR_ACT_TO_TBL, 0, 0, 0, 0]
}

const fn address_family(family: Family) -> u8 {
    // Both numbers are small.
    (match family {
        Family::V4 => libc::AF_INET,
        Family::V6 => libc::AF_INET6,
    }) as u8
}

/// The route that the kernel makes for `connected`.
fn route_of(connected: &Connected) -> Route {
    Route {
        table: MAIN_TABLE,
        dst: connected.dst,
        metric: if connected.dst.family() == Family::V4 { 0 } else { IPV6_CONNECTED_METRIC },
        ifindex: connected.ifindex,
        gateway: None,
        prefsrc: connected.prefsrc,
        onlink: false,
    }
}

#[cfg(test)]
#[path = "batch_tests.rs"]
mod tests;
