//! Changes → terms: what `plan` answers, also when nobody runs who could be asked.

use super::kernel::Kernel;
use super::status::{address, nil};
use crate::route::{
    Change, Connected, DesiredState, Family, IfName, MAIN_TABLE, Object, Prefix, Ranking, Route, World,
};
use crate::term::{Term, atom, binary, integer, list, tuple};

/// The answer to `plan` of a daemon that starts with `state`, before it has changed anything. `kernel` has committed nothing.
#[must_use]
pub fn preview(mut kernel: Kernel, state: &DesiredState, ranking: &Ranking) -> Term {
    let changes = kernel.preview(state, ranking);
    planned(&changes, kernel.world(), kernel.protocol())
}

/// `[{Change, Command}]`: a change is `{add | delete, Entry}`, in the order in which they would be made, and a command what an
/// administrator would type for it.
pub(super) fn planned(changes: &[Change], world: &World, protocol: u8) -> Term {
    let pair = |change: &Change| tuple([term(change, world), binary(change.command(world, protocol))]);
    list(changes.iter().map(pair).collect::<Vec<_>>())
}

fn term(change: &Change, world: &World) -> Term {
    let (verb, entry) = match change {
        Change::Add(object) => ("add", entry(object, world)),
        Change::Delete(object) => ("delete", entry(object, world)),
        Change::RestoreConnected(connected) => ("add", connected_route(connected, world)),
        Change::RemoveConnected(connected) => ("delete", connected_route(connected, world)),
    };
    tuple([atom(verb), entry])
}

/// In VintageNet's form, where it has one.
fn entry(object: &Object, world: &World) -> Term {
    match object {
        Object::Rule(rule) => tuple([atom("rule"), number(rule.table), address(rule.src)]),
        Object::Route(route) => route_entry(route, world),
        Object::LocalNetworks { family, priority } => {
            let family = atom(if *family == Family::V4 { "inet" } else { "inet6" });
            tuple([atom("local_networks"), family, number(*priority)])
        }
    }
}

fn route_entry(route: &Route, world: &World) -> Term {
    let table = if route.table == MAIN_TABLE { atom("main") } else { number(route.table) };
    let (name, metric) = (name(route.ifindex, world), number(route.metric));
    if route.dst.is_default() {
        let gateway = route.gateway.map_or_else(nil, address);
        return tuple([atom("default_route"), name, gateway, metric, table]);
    }
    let [ip, bits] = network(&route.dst);
    tuple([atom("local_route"), name, ip, bits, metric, table])
}

/// The kernel's own, which ours stands in for.
fn connected_route(connected: &Connected, world: &World) -> Term {
    let [ip, bits] = network(&connected.dst);
    tuple([atom("connected_route"), name(connected.ifindex, world), ip, bits])
}

fn network(prefix: &Prefix) -> [Term; 2] {
    [address(prefix.ip()), integer(i64::from(prefix.len()))]
}

fn name(ifindex: u32, world: &World) -> Term {
    let name: Option<IfName> = world.links.get(&ifindex).map(|link| link.name);
    name.map_or_else(|| number(ifindex), |name| binary(name.as_bytes()))
}

fn number(number: u32) -> Term {
    integer(i64::from(number))
}
