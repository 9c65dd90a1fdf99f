//! A small world for the tests of plan and diff.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::route::{
    Address, Call, Change, Connected, DesiredState, Family, IfName, Link, MAIN_TABLE, Object, OnLink, Plan,
    PlanOptions, Prefix, Ranking, Route, Rule, Status, Subnet, World, plan,
};

pub(crate) fn name(text: &str) -> IfName {
    text.parse().unwrap()
}

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// `10.0.0.5/24`, host bits kept.
pub(crate) fn subnet(text: &str) -> Subnet {
    let (address, len) = text.split_once('/').unwrap();
    Subnet::new(ip(address), len.parse().unwrap()).unwrap()
}

pub(crate) fn prefix(text: &str) -> Prefix {
    subnet(text).network()
}

/// A desired state and a world, both easily changed.
pub(crate) struct Fixture {
    pub state: DesiredState,
    pub world: World,
    pub orphans: BTreeSet<Object>,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let world = World { has_ipv6_rules: true, ..World::default() };
        Self { state: DesiredState::default(), world, orphans: BTreeSet::new() }
    }

    /// A link that is up, with addresses and the connected routes that they bring.
    pub(crate) fn link(mut self, ifindex: u32, text: &str, addresses: &[&str]) -> Self {
        self.world.links.insert(ifindex, Link { name: name(text), is_up: true });
        for address in addresses {
            let (ip, network) = (subnet(address).ip(), prefix(address));
            let is_like = |other: &Address| ip.is_ipv4() && other.network == network;
            let is_secondary = self.world.addresses_of(ifindex).any(is_like);
            let (is_tentative, has_no_prefix_route, priority) = (false, false, 0);
            let address = Address { ifindex, ip, network, is_tentative, has_no_prefix_route, is_secondary, priority };
            self.world.addresses.insert(address);
            self.world.connected.extend(self.world.own_connected(OnLink { ifindex, dst: network }));
        }
        self
    }

    pub(crate) fn set_route(&mut self, text: &str, subnets: &[&str], gateway: Option<&str>) {
        let subnets = subnets.iter().map(|text| subnet(text)).collect();
        let call = Call { world: &self.world, orphans: &self.orphans, now_ms: 0, who: None };
        let _ = self.state.set_route(name(text), subnets, gateway.map(ip), &call).unwrap();
    }

    pub(crate) fn set_status(&mut self, text: &str, status: Status) {
        let call = Call { world: &self.world, orphans: &self.orphans, now_ms: 0, who: None };
        let _ = self.state.set_status(name(text), status, None, &call).unwrap();
    }

    /// [`Self::set_route`], for a chain.
    pub(crate) fn route(mut self, text: &str, subnets: &[&str], gateway: Option<&str>) -> Self {
        self.set_route(text, subnets, gateway);
        self
    }

    pub(crate) fn plan(&self) -> Plan {
        plan(&self.state, &Ranking::default(), &self.world, &PlanOptions::default())
    }

    /// What would be sent, additions first, as commands.
    pub(crate) fn commands(&self) -> Vec<String> {
        let changes = crate::route::diff(&self.world, &self.plan(), &self.orphans);
        let all = changes.additions.iter().chain(&changes.deletions);
        all.map(|change| change.command(&self.world, 110)).collect()
    }

    /// Sends it, successfully.
    pub(crate) fn apply(&mut self) {
        let changes = crate::route::diff(&self.world, &self.plan(), &self.orphans);
        for change in changes.additions.iter().chain(&changes.deletions) {
            self.world.apply(change);
        }
    }

    /// What is planned, as commands.
    pub(crate) fn planned(&self) -> Vec<String> {
        self.plan().objects().iter().map(|object| Change::Add(*object).command(&self.world, 110)).collect()
    }
}

pub(crate) fn rule(src: &str, table: u32) -> Object {
    Object::Rule(Rule { src: ip(src), table, priority: 30_000 })
}

pub(crate) fn default_route(gateway: &str, ifindex: u32, table: u32, metric: u32) -> Object {
    let gateway = ip(gateway);
    let dst = Prefix::default_route(Family::of(gateway));
    Object::Route(Route { table, dst, metric, ifindex, gateway: Some(gateway), prefsrc: None, onlink: false })
}

pub(crate) fn connected(address: &str, ifindex: u32) -> Connected {
    let prefsrc = Some(subnet(address).ip()).filter(IpAddr::is_ipv4);
    Connected { dst: prefix(address), ifindex, prefsrc }
}

/// The on-link route of an address in main.
pub(crate) fn on_link(address: &str, ifindex: u32, metric: u32) -> Object {
    let (prefsrc, dst) = (Some(subnet(address).ip()), prefix(address));
    Object::Route(Route { table: MAIN_TABLE, dst, metric, ifindex, gateway: None, prefsrc, onlink: false })
}
