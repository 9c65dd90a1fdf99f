//! Dumps: links, addresses, rules and routes, folded into a [`World`].

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

use nix::libc;
use rtnetlink::packet_route::address::AddressMessage;
use rtnetlink::packet_route::link::{LinkAttribute, LinkExtentMask, LinkMessage};
use rtnetlink::packet_route::route::{RouteAttribute, RouteMessage};
use rtnetlink::packet_route::rule::RuleMessage;
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};

use super::NetlinkError;
use super::decode::{Fact, RouteFact};
use super::fold::Folder;
use super::socket::{CommandSocket, Refusal};
use crate::route::{Family, World};

/// What a kernel without policy routing lacks.
pub(super) const POLICY_ROUTING: &str = "policy routing (CONFIG_IP_ADVANCED_ROUTER, CONFIG_IP_MULTIPLE_TABLES)";

/// Dumps everything, so often again if a change interrupts it. The result may already be old: see
/// [`Netlink::snapshot`](super::Netlink::snapshot).
pub(super) fn snapshot(socket: &mut CommandSocket, folder: &mut Folder, tries: usize) -> Result<World, NetlinkError> {
    for _ in 0..tries {
        folder.reset();
        let mut world = World::default();
        if fill(socket, folder, &mut world)? {
            return Ok(world);
        }
        tracing::debug!("a dump was interrupted by a change, dumping again");
    }
    Err(NetlinkError::Interrupted { doing: "list links, addresses, rules and routes" })
}

/// All IPv6 routes in `table`, whoever made them.
pub(super) fn ipv6_routes(socket: &mut CommandSocket, table: u32) -> Result<Vec<RouteFact>, NetlinkError> {
    let doing = "list IPv6 routes of a table";
    let mut message = route_request(Family::V6);
    if let RouteNetlinkMessage::GetRoute(request) = &mut message {
        request.attributes.push(RouteAttribute::Table(table));
    }
    let mut routes = Vec::new();
    let is_whole = socket.dump(doing, message, |message| match message.fact() {
        Ok(Some(Fact::Route(fact))) if fact.table == table && fact.dst.family() == Family::V6 => routes.push(fact),
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "skipped a route"),
    })?;
    match is_whole {
        Ok(true) => Ok(routes),
        Ok(false) => Err(NetlinkError::Interrupted { doing }),
        // A table that does not exist yet has no routes (strict checking answers ENOENT).
        Err(Refusal { errno: libc::ENOENT, .. }) => Ok(Vec::new()),
        Err(refusal) => Err(NetlinkError::refused(doing, refusal.errno, refusal.text)),
    }
}

/// Whether the kernel has policy rules for `family`, and whether the dump was whole; `None`: it has not.
pub(super) fn rules(
    socket: &mut CommandSocket,
    family: Family,
    each: impl FnMut(Fact),
) -> Result<Option<bool>, NetlinkError> {
    let mut request = RuleMessage::default();
    request.header.family = address_family(family);
    match dump(socket, "list rules", RouteNetlinkMessage::GetRule(request), each)? {
        Ok(is_whole) => Ok(Some(is_whole)),
        Err(refusal) if is_unsupported(refusal.errno) => Ok(None),
        Err(refusal) => Err(NetlinkError::refused("list rules", refusal.errno, refusal.text)),
    }
}

pub(super) fn address_family(family: Family) -> AddressFamily {
    match family {
        Family::V4 => AddressFamily::Inet,
        Family::V6 => AddressFamily::Inet6,
    }
}

/// Without rules of a family its dump ends in the one for all families (`fib_nl_dumprule` in `net/core/fib_rules.c`),
/// which answers `EAFNOSUPPORT`; without rules at all there is no dump, `EOPNOTSUPP`.
fn is_unsupported(errno: i32) -> bool {
    matches!(errno, libc::EAFNOSUPPORT | libc::EOPNOTSUPP)
}

/// Whether all dumps were whole; the first that is not ends it.
fn fill(socket: &mut CommandSocket, folder: &mut Folder, world: &mut World) -> Result<bool, NetlinkError> {
    let is_whole = must(socket, "list links", link_request(), |fact| {
        folder.add(world, fact);
    })?;
    if !is_whole {
        return Ok(false);
    }
    let addresses = RouteNetlinkMessage::GetAddress(AddressMessage::default());
    let is_whole = must(socket, "list addresses", addresses, |fact| {
        folder.add(world, fact);
    })?;
    if !is_whole {
        return Ok(false);
    }
    for family in [Family::V4, Family::V6] {
        let has_rules = rules(socket, family, |fact| {
            folder.add(world, fact);
        })?;
        match (family, has_rules) {
            (_, Some(true)) => {}
            (_, Some(false)) => return Ok(false),
            (Family::V4, None) => return Err(NetlinkError::Unsupported { missing: POLICY_ROUTING }),
            (Family::V6, None) => continue,
        }
        world.has_ipv6_rules |= family == Family::V6;
        let is_whole = must(socket, "list routes", route_request(family), |fact| {
            if matches!(&fact, Fact::Route(route) if route.dst.family() == family) {
                folder.add(world, fact);
            }
        })?;
        if !is_whole {
            return Ok(false);
        }
    }
    Ok(true)
}

fn must(
    socket: &mut CommandSocket,
    doing: &'static str,
    message: RouteNetlinkMessage,
    each: impl FnMut(Fact),
) -> Result<bool, NetlinkError> {
    dump(socket, doing, message, each)?.map_err(|refusal| NetlinkError::refused(doing, refusal.errno, refusal.text))
}

fn dump(
    socket: &mut CommandSocket,
    doing: &'static str,
    message: RouteNetlinkMessage,
    mut each: impl FnMut(Fact),
) -> Result<Result<bool, Refusal>, NetlinkError> {
    socket.dump(doing, message, |message| match message.fact() {
        Ok(Some(fact)) => each(fact),
        Ok(None) => {}
        Err(error) => tracing::warn!(%error, doing, "skipped"),
    })
}

fn link_request() -> RouteNetlinkMessage {
    let mut request = LinkMessage::default();
    request.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
    RouteNetlinkMessage::GetLink(request)
}

fn route_request(family: Family) -> RouteNetlinkMessage {
    let mut request = RouteMessage::default();
    request.header.address_family = address_family(family);
    RouteNetlinkMessage::GetRoute(request)
}
