//! What the kernel tells, for `fuzz/`: as [`Netlink`](super::Netlink) and [`Conntrack`](super::Conntrack) take it, but
//! from a slice.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::conntrack::deletion_of;
use super::constants::*;
use super::decode::{self, Fact};
use super::fold::Folder;
use super::replaces;
use crate::route::World;

/// Folds the messages of a datagram into a new world, first as a dump and then as events; returns how many of them told
/// a fact, or `None` if a message is cut or malformed.
#[must_use]
pub fn route_datagram(datagram: &[u8], protocol: u8) -> Option<usize> {
    let (mut folder, mut world) = (Folder::new(protocol), World::default());
    let mut facts = 0;
    for is_dump in [true, false] {
        for message in decode::messages(datagram) {
            let message = message.ok()?;
            if matches!(message.kind, NLMSG_ERROR | NLMSG_DONE) {
                message.errno().ok()?;
                message.text();
                continue;
            }
            let Some(fact) = message.fact().ok()? else { continue };
            facts += 1;
            if let Fact::Route(route) = &fact {
                route.routes().for_each(drop);
            }
            if is_dump {
                folder.add(&mut world, fact);
            } else {
                folder.is_early(&world, &fact);
                folder.upset(&world, &fact);
                folder.undoing(&world, &fact, message.port);
                folder.event(&mut world, fact, replaces(&message));
            }
        }
    }
    Some(facts)
}

/// The bodies of the requests that would delete the tracked connections that a datagram tells of.
#[must_use]
pub fn conntrack_deletions(datagram: &[u8], addresses: &BTreeSet<IpAddr>) -> Vec<Vec<u8>> {
    decode::messages(datagram).filter_map(Result::ok).filter_map(|m| deletion_of(&m, addresses)).collect()
}
