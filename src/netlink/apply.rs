//! Making changes: all additions, then the deletions that those leave in order.
//!
//! A batch is no transaction, so the two phases and two rules stand in for one:
//!
//! - An old object stays while what was to replace it was refused: when an addition for a network, interface and table
//!   is refused, deletions for the same three are withheld; when a rule for a source address is refused, so are
//!   deletions of rules for it. Metric, gateway and preferred source may differ, that is what a replacement is.
//! - An error that means "it is already so" is a success ([`is_already_so`]).

use std::collections::BTreeMap;

use nix::libc;

use super::NetlinkError;
use super::batch::{self, Request};
use super::constants::*;
use super::snapshot::ipv6_routes;
use super::socket::{CommandSocket, Messages, Refusal};
use crate::route::{Change, Changes, Family, Ipv6Key, Object, Prefix, Route};

/// What became of some [`Changes`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// What is as asked for, in the order asked for: done now, or found so.
    pub applied: Vec<Change>,
    /// What the kernel refused.
    pub refused: Vec<Refused>,
    /// Deletions that were not tried, because the addition in their place was refused.
    pub withheld: Vec<Change>,
}

/// A change that the kernel refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The change.
    pub change: Change,
    /// The error number, positive.
    pub errno: i32,
    /// The kernel's own words, or the text of the error number.
    pub text: String,
}

impl Outcome {
    /// Whether all was done.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.refused.is_empty() && self.withheld.is_empty()
    }

    fn record(&mut self, change: Change, refusal: Option<Refusal>) {
        match refusal {
            Some(Refusal { errno, text }) if !is_already_so(&change, errno) => {
                tracing::debug!(?change, errno, text, "refused");
                self.refused.push(Refused { change, errno, text });
            }
            _ => self.applied.push(change),
        }
    }
}

/// Changes whose messages are ready to be sent.
#[derive(Debug)]
pub struct Prepared {
    /// What is to be changed.
    pub changes: Changes,
    /// Deletions are nobody's hurry, and depend on what becomes of these.
    pub(super) additions: Messages,
}

/// The messages for `changes`; what is ours bears `protocol`.
pub(super) fn messages<'a>(changes: impl IntoIterator<Item = &'a Change>, protocol: u8) -> Messages {
    Messages::of(changes.into_iter().map(|change| batch::request(change, protocol)))
}

/// Makes the changes; what is ours bears `protocol`. Also says whether something to be deleted was not there: then
/// whoever asked for it does not know the kernel as it is.
pub(super) fn apply(
    socket: &mut CommandSocket,
    protocol: u8,
    changes: &Changes,
    additions: &mut Messages,
) -> Result<(Outcome, bool), NetlinkError> {
    let mut outcome = Outcome { applied: Vec::with_capacity(changes.len()), ..Outcome::default() };
    let mut answers = send(socket, "add routes and rules", additions)?;
    settle_collisions(socket, protocol, &changes.additions, &mut answers)?;
    for (change, answer) in changes.additions.iter().zip(answers) {
        outcome.record(*change, answer);
    }
    let refused: Vec<Change> = outcome.refused.iter().map(|refused| refused.change).collect();
    let new_hops: BTreeMap<Ipv6Key, Route> = outcome.applied.iter().filter_map(ipv6_hop).collect();
    let (deletions, withheld) = changes.deletions_despite(&refused);
    // An IPv6 route that was replaced is gone, and to delete it would hit the new one: the kernel compares no sources.
    let is_gone =
        |change: &Change| ipv6_hop(change).is_some_and(|(hop, old)| new_hops.get(&hop).is_some_and(|new| *new != old));
    let mut messages = messages(deletions.iter().filter(|c| !is_gone(c)), protocol);
    let answers = send(socket, "delete routes and rules", &mut messages)?;
    let mut answers = answers.into_iter();
    let mut was_mistaken = false;
    for change in deletions {
        let answer = if is_gone(&change) { None } else { answers.next().flatten() };
        was_mistaken |= answer.is_some();
        outcome.record(change, answer);
    }
    outcome.withheld = withheld;
    Ok((outcome, was_mistaken))
}

/// Whether `errno` says that the kernel is as `change` would have it.
fn is_already_so(change: &Change, errno: i32) -> bool {
    match change {
        // IPv6 answers EEXIST also for other routes of that network and metric: `settle_collisions`.
        Change::Add(Object::Route(route)) => errno == libc::EEXIST && route.dst.family() == Family::V4,
        Change::Add(Object::Rule(_) | Object::LocalNetworks { .. }) | Change::RestoreConnected(_) => {
            errno == libc::EEXIST
        }
        // No such route; no such rule or table; no such interface; no such family.
        Change::Delete(_) | Change::RemoveConnected(_) => {
            matches!(errno, libc::ESRCH | libc::ENOENT | libc::ENODEV | libc::EAFNOSUPPORT)
        }
    }
}

/// The IPv6 route that is added or deleted, by what the kernel knows it by.
fn ipv6_hop(change: &Change) -> Option<(Ipv6Key, Route)> {
    match change {
        Change::Add(Object::Route(route)) | Change::Delete(Object::Route(route)) => Some((route.ipv6_key()?, *route)),
        _ => None,
    }
}

fn ipv6_addition(change: &Change) -> Option<&Route> {
    match change {
        Change::Add(Object::Route(route)) if route.dst.family() == Family::V6 => Some(route),
        _ => None,
    }
}

fn send(
    socket: &mut CommandSocket,
    doing: &'static str,
    messages: &mut Messages,
) -> Result<Vec<Option<Refusal>>, NetlinkError> {
    let answers = socket.send_messages(doing, messages)?;
    if answers.iter().flatten().any(|refusal| refusal.errno == libc::EPERM) {
        return Err(NetlinkError::MissingNetAdmin { doing });
    }
    Ok(answers)
}

/// The IPv6 routes of one table, network and metric.
#[derive(Debug, Default)]
struct Peers {
    has_foreign: bool,
    ours: Vec<Route>,
}

/// Adds the IPv6 routes that met another of their network and metric (`EEXIST`), if that one is ours too: then it is
/// the route that this one replaces, or one that is about to move away. Someone else's is never touched.
fn settle_collisions(
    socket: &mut CommandSocket,
    protocol: u8,
    additions: &[Change],
    answers: &mut [Option<Refusal>],
) -> Result<(), NetlinkError> {
    let mut tables: BTreeMap<u32, BTreeMap<(Prefix, u32), Peers>> = BTreeMap::new();
    for (change, answer) in additions.iter().zip(answers) {
        let (Some(route), Some(refusal)) = (ipv6_addition(change), answer.as_ref()) else { continue };
        if refusal.errno != libc::EEXIST {
            // Perhaps for want of a route that collided.
            if !tables.is_empty() {
                *answer = one(socket, "add a route", batch::request(change, protocol))?;
            }
            continue;
        }
        if let std::collections::btree_map::Entry::Vacant(unseen) = tables.entry(route.table) {
            unseen.insert(peers_in(socket, protocol, route.table)?);
        }
        let peers = tables.entry(route.table).or_default().entry((route.dst, route.metric)).or_default();
        *answer = settle(socket, protocol, route, peers)?;
    }
    Ok(())
}

fn peers_in(
    socket: &mut CommandSocket,
    protocol: u8,
    table: u32,
) -> Result<BTreeMap<(Prefix, u32), Peers>, NetlinkError> {
    let mut all: BTreeMap<(Prefix, u32), Peers> = BTreeMap::new();
    for fact in ipv6_routes(socket, table)? {
        let peers = all.entry((fact.dst, fact.metric)).or_default();
        let before = peers.ours.len();
        if fact.protocol == protocol {
            peers.ours.extend(fact.routes());
        }
        peers.has_foreign |= peers.ours.len() == before;
    }
    Ok(all)
}

fn settle(
    socket: &mut CommandSocket,
    protocol: u8,
    route: &Route,
    peers: &mut Peers,
) -> Result<Option<Refusal>, NetlinkError> {
    if peers.ours.contains(route) {
        return Ok(None);
    }
    if peers.has_foreign {
        let text = "another program's route has this network and metric".to_owned();
        return Ok(Some(Refusal { errno: libc::EEXIST, text }));
    }
    let old =
        peers.ours.iter().position(|peer| peer.ipv6_key() == route.ipv6_key()).map(|at| peers.ours.swap_remove(at));
    let flags = match old {
        // The only one: replaced in one step.
        Some(_) if peers.ours.is_empty() => NLM_F_CREATE | NLM_F_REPLACE,
        // REPLACE would take the first of several. The others carry the traffic in the meantime.
        Some(old) => {
            one(socket, "delete a route", batch::delete_route(&old, protocol))?;
            NLM_F_CREATE
        }
        // Side by side, until the deletions.
        None => NLM_F_CREATE,
    };
    let refusal = one(socket, "add a route", batch::add_route(route, protocol, flags))?;
    if refusal.is_none() {
        peers.ours.push(*route);
    } else if let Some(old) = old {
        one(socket, "put a route back", batch::add_route(&old, protocol, NLM_F_CREATE))?;
        peers.ours.push(old);
    }
    Ok(refusal)
}

fn one(socket: &mut CommandSocket, doing: &'static str, request: Request) -> Result<Option<Refusal>, NetlinkError> {
    Ok(socket.send_all(doing, [request])?.into_iter().flatten().next())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::{Connected, MAIN_TABLE, Rule};

    fn route(ip: &str, len: u8) -> Route {
        Route {
            table: MAIN_TABLE,
            dst: Prefix::of(ip.parse().unwrap(), len).unwrap(),
            metric: 10,
            ifindex: 2,
            gateway: None,
            prefsrc: None,
            onlink: false,
        }
    }

    #[test]
    fn some_errors_mean_that_all_is_well() {
        let (v4, v6) = (Object::Route(route("10.0.0.0", 24)), Object::Route(route("2001:db8::", 64)));
        let rule = Object::Rule(Rule { src: "10.0.0.1".parse().unwrap(), table: 100, priority: 30000 });
        let own = Connected { dst: route("10.0.0.0", 24).dst, ifindex: 2, prefsrc: None };
        for (change, well) in [
            (Change::Add(v4), &[libc::EEXIST][..]),
            (Change::Add(rule), &[libc::EEXIST]),
            (Change::Add(v6), &[]),
            (Change::RestoreConnected(own), &[libc::EEXIST]),
            (Change::Delete(v4), &[libc::ESRCH, libc::ENOENT, libc::ENODEV, libc::EAFNOSUPPORT]),
            (Change::Delete(v6), &[libc::ESRCH, libc::ENOENT, libc::ENODEV, libc::EAFNOSUPPORT]),
            (Change::Delete(rule), &[libc::ESRCH, libc::ENOENT, libc::ENODEV, libc::EAFNOSUPPORT]),
            (Change::RemoveConnected(own), &[libc::ESRCH, libc::ENOENT, libc::ENODEV, libc::EAFNOSUPPORT]),
        ] {
            for errno in 1..134 {
                assert_eq!(is_already_so(&change, errno), well.contains(&errno), "{change:?} {errno}");
            }
        }
    }
}
