use std::net::IpAddr;

use proptest::prelude::*;
use rtnetlink::packet_core::NetlinkMessage;
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use rtnetlink::packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};

use super::super::decode::{self, Fact};
use super::*;

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

/// The same message as the rtnetlink crates write it.
fn by_rtnetlink(request: &Request, sequence: u32) -> Vec<u8> {
    let is_addition = request.is_addition;
    let message = match &request.object {
        Object::Route(route) => {
            let message = route_message(route, request.protocol);
            if is_addition { RouteNetlinkMessage::NewRoute(message) } else { RouteNetlinkMessage::DelRoute(message) }
        }
        rule => {
            let message = rule_message(rule, request.protocol);
            if is_addition { RouteNetlinkMessage::NewRule(message) } else { RouteNetlinkMessage::DelRule(message) }
        }
    };
    let mut message = NetlinkMessage::from(message);
    message.header.flags = NLM_F_REQUEST | request.flags;
    message.header.sequence_number = sequence;
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn family_of(family: Family) -> AddressFamily {
    match family {
        Family::V4 => AddressFamily::Inet,
        Family::V6 => AddressFamily::Inet6,
    }
}

fn route_message(route: &Route, protocol: u8) -> RouteMessage {
    let mut message = RouteMessage::default();
    let family = route.dst.family();
    message.header = RouteHeader {
        address_family: family_of(family),
        destination_prefix_length: route.dst.len(),
        protocol: RouteProtocol::from(protocol),
        scope: if route.is_on_link() && family == Family::V4 { RouteScope::Link } else { RouteScope::Universe },
        kind: RouteType::Unicast,
        flags: if route.onlink { RouteFlags::Onlink } else { RouteFlags::empty() },
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

fn rule_message(rule: &Object, protocol: u8) -> RuleMessage {
    let mut message = RuleMessage::default();
    message.header.action = RuleAction::ToTable;
    let protocol = RuleAttribute::Protocol(RouteProtocol::from(protocol));
    (message.header.family, message.attributes) = match *rule {
        Object::Rule(Rule { src, table, priority }) => {
            message.header.src_len = Family::of(src).bits();
            let attributes = vec![
                RuleAttribute::Source(src),
                RuleAttribute::Table(table),
                RuleAttribute::Priority(priority),
                protocol,
            ];
            (family_of(Family::of(src)), attributes)
        }
        Object::LocalNetworks { family, priority } => {
            let suppress = RuleAttribute::SuppressPrefixLen(0);
            let attributes =
                vec![RuleAttribute::Table(MAIN_TABLE), suppress, RuleAttribute::Priority(priority), protocol];
            (family_of(family), attributes)
        }
        Object::Route(_) => unreachable!("a route is no rule"),
    };
    message
}

fn fact_of(request: Request) -> Fact {
    let mut bytes = Vec::new();
    request.encode(7, &mut bytes);
    assert_eq!(bytes, by_rtnetlink(&request, 7));
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
        request(&Change::Add(Object::Route(route)), 110).encode(7, &mut bytes);
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
