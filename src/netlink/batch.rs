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

use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use rtnetlink::packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};

use super::constants::*;
use super::snapshot::address_family;
use super::socket::Request;
use crate::route::{Change, Connected, Family, MAIN_TABLE, Object, Route, Rule};

/// The message for `change`; what is ours bears `protocol`.
pub(super) fn request(change: &Change, protocol: u8) -> Request {
    match change {
        Change::Add(Object::Route(route)) => {
            let flags = match route.dst.family() {
                Family::V4 => NLM_F_CREATE | NLM_F_APPEND,
                Family::V6 => NLM_F_CREATE | NLM_F_EXCL,
            };
            add_route(route, protocol, flags)
        }
        Change::Add(Object::LocalNetworks { family, priority }) => {
            let message = RouteNetlinkMessage::NewRule(local_networks_message(*family, *priority, protocol));
            Request { message, flags: NLM_F_CREATE | NLM_F_EXCL }
        }
        Change::Delete(Object::LocalNetworks { family, priority }) => {
            let message = RouteNetlinkMessage::DelRule(local_networks_message(*family, *priority, protocol));
            Request { message, flags: 0 }
        }
        Change::Add(Object::Rule(rule)) => {
            let message = RouteNetlinkMessage::NewRule(rule_message(rule, protocol));
            Request { message, flags: NLM_F_CREATE | NLM_F_EXCL }
        }
        Change::Delete(Object::Route(route)) => delete_route(route, protocol),
        Change::Delete(Object::Rule(rule)) => {
            Request { message: RouteNetlinkMessage::DelRule(rule_message(rule, protocol)), flags: 0 }
        }
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
pub(super) fn add_route(route: &Route, protocol: u8, flags: u16) -> Request {
    Request { message: RouteNetlinkMessage::NewRoute(route_message(route, protocol)), flags }
}

/// Deletes `route`.
pub(super) fn delete_route(route: &Route, protocol: u8) -> Request {
    Request { message: RouteNetlinkMessage::DelRoute(route_message(route, protocol)), flags: 0 }
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

fn route_message(route: &Route, protocol: u8) -> RouteMessage {
    let mut message = RouteMessage::default();
    let family = route.dst.family();
    message.header = RouteHeader {
        address_family: address_family(family),
        destination_prefix_length: route.dst.len(),
        protocol: RouteProtocol::from(protocol),
        // IPv6 knows no scopes.
        scope: if route.is_on_link() && family == Family::V4 { RouteScope::Link } else { RouteScope::Universe },
        kind: RouteType::Unicast,
        flags: if route.onlink { RouteFlags::Onlink } else { RouteFlags::empty() },
        // RTA_TABLE says it, also above 255.
        table: RouteHeader::RT_TABLE_UNSPEC,
        ..RouteHeader::default()
    };
    let attributes = [
        Some(RouteAttribute::Table(route.table)),
        Some(RouteAttribute::Oif(route.ifindex)),
        (!route.dst.is_default()).then(|| RouteAttribute::Destination(RouteAddress::from(route.dst.ip()))),
        (route.metric != 0).then_some(RouteAttribute::Priority(route.metric)),
        route.gateway.map(|ip| RouteAttribute::Gateway(RouteAddress::from(ip))),
        route.prefsrc.map(|ip| RouteAttribute::PrefSource(RouteAddress::from(ip))),
    ];
    message.attributes = attributes.into_iter().flatten().collect();
    message
}

fn rule_message(rule: &Rule, protocol: u8) -> RuleMessage {
    let mut message = RuleMessage::default();
    let family = Family::of(rule.src);
    message.header.family = address_family(family);
    message.header.src_len = family.bits();
    message.header.action = RuleAction::ToTable;
    message.attributes = vec![
        RuleAttribute::Source(rule.src),
        RuleAttribute::Table(rule.table),
        RuleAttribute::Priority(rule.priority),
        RuleAttribute::Protocol(RouteProtocol::from(protocol)),
    ];
    message
}

fn local_networks_message(family: Family, priority: u32, protocol: u8) -> RuleMessage {
    let mut message = RuleMessage::default();
    message.header.family = address_family(family);
    message.header.action = RuleAction::ToTable;
    message.attributes = vec![
        RuleAttribute::Table(MAIN_TABLE),
        RuleAttribute::SuppressPrefixLen(0),
        RuleAttribute::Priority(priority),
        RuleAttribute::Protocol(RouteProtocol::from(protocol)),
    ];
    message
}

#[cfg(test)]
mod tests {
    use super::super::decode::{self, Fact};
    use super::super::socket::encode;
    use super::*;
    use proptest::prelude::*;
    use std::net::IpAddr;

    fn ip(is_v4: bool) -> BoxedStrategy<IpAddr> {
        if is_v4 {
            any::<[u8; 4]>().prop_map(IpAddr::from).boxed()
        } else {
            any::<[u8; 16]>().prop_map(IpAddr::from).boxed()
        }
    }

    fn routes() -> impl Strategy<Value = Route> {
        any::<bool>().prop_flat_map(|is_v4| {
            let gateway = prop::option::of(ip(is_v4));
            let prefsrc = prop::option::of(ip(is_v4));
            let numbers = (1u32.., 1u32..i32::MAX as u32, any::<u32>(), any::<bool>());
            (ip(is_v4), 0..=32u8, gateway, prefsrc, numbers).prop_map(
                |(ip, len, gateway, prefsrc, (table, ifindex, metric, onlink))| Route {
                    table,
                    dst: crate::route::Prefix::of(ip, len).unwrap(),
                    metric,
                    ifindex,
                    gateway,
                    prefsrc,
                    onlink,
                },
            )
        })
    }

    fn fact_of(request: Request) -> Fact {
        let mut bytes = Vec::new();
        encode(request.message, request.flags, 7, &mut bytes);
        let messages: Vec<_> = decode::messages(&bytes).collect();
        assert_eq!(messages.len(), 1);
        messages[0].unwrap().fact().unwrap().unwrap()
    }

    proptest! {
        #[test]
        fn a_route_reads_as_it_was_written(route in routes(), protocol in 5u8..) {
            for change in [Change::Add(Object::Route(route)), Change::Delete(Object::Route(route))] {
                let (Fact::Route(fact) | Fact::RouteGone(fact)) = fact_of(request(&change, protocol)) else {
                    panic!("not a route");
                };
                prop_assert_eq!(fact.routes().collect::<Vec<_>>(), [route]);
                prop_assert_eq!(fact.protocol, protocol);
                let is_ipv4_on_link = route.gateway.is_none() && route.dst.family() == Family::V4;
                prop_assert_eq!(fact.scope == RT_SCOPE_LINK, is_ipv4_on_link);
            }
        }

        #[test]
        fn a_rule_reads_as_it_was_written(
            src in any::<bool>().prop_flat_map(ip), table in 1u32.., priority: u32, protocol in 5u8..
        ) {
            let rule = Rule { src, table, priority };
            for change in [Change::Add(Object::Rule(rule)), Change::Delete(Object::Rule(rule))] {
                let (Fact::Rule(fact) | Fact::RuleGone(fact)) = fact_of(request(&change, protocol)) else {
                    panic!("not a rule");
                };
                prop_assert_eq!((fact.object, fact.protocol), (Some(Object::Rule(rule)), protocol));
            }
        }

        #[test]
        fn the_rule_for_local_networks_reads_as_it_was_written(is_v4: bool, priority: u32, protocol in 5u8..) {
            let rule = Object::LocalNetworks { family: if is_v4 { Family::V4 } else { Family::V6 }, priority };
            for change in [Change::Add(rule), Change::Delete(rule)] {
                let (Fact::Rule(fact) | Fact::RuleGone(fact)) = fact_of(request(&change, protocol)) else {
                    panic!("not a rule");
                };
                prop_assert_eq!((fact.object, fact.protocol), (Some(rule), protocol));
            }
        }

        #[test]
        fn no_bytes_make_it_panic(route in routes(), noise: Vec<u8>, at: prop::sample::Index, byte: u8, kind in 0u8..40) {
            let read = |bytes: &[u8]| decode::messages(bytes).flatten().for_each(|message| {
                let _ = (message.fact(), message.text(), message.errno());
            });
            read(&noise);
            let mut bytes = Vec::new();
            encode(request(&Change::Add(Object::Route(route)), 110).message, 0, 7, &mut bytes);
            read(&bytes[..at.index(bytes.len())]);
            let at = at.index(bytes.len());
            bytes[at] = byte;
            bytes[4] = kind;
            read(&bytes);
        }
    }

    #[test]
    fn flags_are_those_of_the_table_above() {
        let route = |text: &str| Route {
            table: 100,
            dst: crate::route::Prefix::of(text.parse().unwrap(), 8).unwrap(),
            metric: 10,
            ifindex: 1,
            gateway: None,
            prefsrc: None,
            onlink: false,
        };
        let rule = Rule { src: "10.0.0.1".parse().unwrap(), table: 100, priority: 30000 };
        let own = |text: &str| Connected { dst: route(text).dst, ifindex: 1, prefsrc: None };
        for (change, flags) in [
            (Change::Add(Object::Route(route("10.0.0.0"))), 0xc00),
            (Change::Add(Object::Route(route("2001::"))), 0x600),
            (Change::Add(Object::Rule(rule)), 0x600),
            (Change::RestoreConnected(own("10.0.0.0")), 0xc00),
            (Change::RestoreConnected(own("2001::")), 0x400),
            (Change::Delete(Object::Route(route("10.0.0.0"))), 0),
            (Change::Delete(Object::Rule(rule)), 0),
            (Change::RemoveConnected(own("10.0.0.0")), 0),
        ] {
            assert_eq!(request(&change, 110).flags, flags, "{change:?}");
        }
    }
}
