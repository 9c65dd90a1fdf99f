//! From a wish to the messages for the kernel.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context as _, Result, ensure};
use beamroute::netlink::{Config, Netlink};
use beamroute::route::{
    Address, Call, Changes, DesiredState, Effect, Gap, IfName, Link, OnLink, Plan, PlanOptions, Ranking, Status,
    Subnet, Touched, Wanted, World, changes, diff, plan,
};

use super::Path;

/// Interfaces with an address and a gateway each, and what they bring about.
struct Scene {
    state: DesiredState,
    world: World,
    ranking: Ranking,
    options: PlanOptions,
    orphans: BTreeSet<beamroute::route::Object>,
    plan: Plan,
    gap: Gap,
}

impl Scene {
    /// Nothing is installed yet.
    fn new(interfaces: u32) -> Result<Self> {
        let (mut world, orphans) = (World { has_ipv6_rules: true, ..World::default() }, BTreeSet::new());
        let mut state = DesiredState::new(4_096);
        for n in 0..interfaces {
            let (name, subnet) = (name(n)?, Subnet::new(address(n, 2), 24)?);
            add_link(&mut world, n + 2, name, subnet);
            let call = Call { world: &world, orphans: &orphans, now_ms: 0, who: None };
            let _ = state.set_route(name, vec![subnet], Some(address(n, 1)), &call)?;
        }
        let (ranking, options) = (Ranking::default(), PlanOptions::default());
        let plan = plan(&state, &ranking, &world, &options);
        let gap = Gap::between(&world, &plan);
        Ok(Self { state, world, ranking, options, orphans, plan, gap })
    }

    /// All is installed.
    fn settled(interfaces: u32) -> Result<Self> {
        let mut scene = Self::new(interfaces)?;
        let changes = scene.diff();
        ensure!(!changes.additions.is_empty(), "nothing to install");
        scene.applied(&changes);
        ensure!(scene.diff().is_empty(), "not settled");
        Ok(scene)
    }

    fn diff(&self) -> Changes {
        diff(&self.world, &self.plan, &self.orphans)
    }

    fn applied(&mut self, changes: &Changes) {
        for change in changes.additions.iter().chain(&changes.deletions) {
            self.world.apply(change);
            self.gap.note(change, &self.plan);
        }
    }

    fn set_status(&mut self, name: IfName, status: Status) -> Option<Effect> {
        let call = Call { world: &self.world, orphans: &self.orphans, now_ms: 0, who: None };
        self.state.set_status(name, status, None, &call).ok()
    }

    /// As the loop does for one request that changes something, up to what the kernel is asked to do, which it does.
    fn change_status(&mut self, name: IfName, status: Status) -> usize {
        let _ = self.set_status(name, status);
        let contested = &BTreeSet::new();
        let wanted = Wanted { state: &self.state, ranking: &self.ranking, options: &self.options, contested };
        let touched = Touched::names([name]);
        let moved = self.plan.update(&wanted, &self.world, &touched);
        let scope = touched.scope(moved);
        self.gap.revise(&scope.objects, &self.world, &self.plan);
        let changes = changes(&self.gap, &self.world, &self.plan, &self.orphans, &scope);
        self.applied(&changes);
        changes.len()
    }
}

fn name(n: u32) -> Result<IfName> {
    Ok(format!("eth{n}").parse()?)
}

fn address(n: u32, host: u32) -> IpAddr {
    Ipv4Addr::from_bits(0x0a00_0000 | n << 8 | host).into()
}

/// A link that is up, with its address and the route that the kernel makes for that.
fn add_link(world: &mut World, ifindex: u32, name: IfName, subnet: Subnet) {
    world.links.insert(ifindex, Link { name, is_up: true });
    let (ip, network) = (subnet.ip(), subnet.network());
    let (is_tentative, has_no_prefix_route, is_secondary, priority) = (false, false, false, 0);
    world.addresses.insert(Address { ifindex, ip, network, is_tentative, has_no_prefix_route, is_secondary, priority });
    world.connected.extend(world.own_connected(OnLink { ifindex, dst: network }));
}

/// A status that is already so.
pub fn unchanged_status() -> Result<Path> {
    let (mut scene, name) = (Scene::settled(2)?, name(0)?);
    let _ = scene.set_status(name, Status::Internet);
    ensure!(scene.set_status(name, Status::Internet) == Some(Effect::Unchanged), "it changes something");
    Ok(Box::new(move || usize::from(scene.set_status(name, Status::Internet) == Some(Effect::Unchanged))))
}

/// Everything is planned anew.
pub fn plan_64() -> Result<Path> {
    let scene = Scene::new(64)?;
    Ok(Box::new(move || plan(&scene.state, &scene.ranking, &scene.world, &scene.options).objects().len()))
}

/// Everything is missing.
pub fn diff_64() -> Result<Path> {
    let scene = Scene::new(64)?;
    Ok(Box::new(move || scene.diff().len()))
}

/// Everything is there.
pub fn diff_64_nothing_to_do() -> Result<Path> {
    let scene = Scene::settled(64)?;
    Ok(Box::new(move || scene.diff().len()))
}

pub fn failover_of_2() -> Result<Path> {
    failover(2)
}

pub fn failover_of_64() -> Result<Path> {
    failover(64)
}

/// One interface of many has the internet and loses it again. It is the last among its equals: nobody has to move behind it.
fn failover(interfaces: u32) -> Result<Path> {
    let (mut scene, name) = (Scene::settled(interfaces)?, name(interfaces - 1)?);
    let mut path = move || scene.change_status(name, Status::Internet) + scene.change_status(name, Status::Lan);
    let changes = path();
    ensure!(changes == 8, "{changes} changes");
    Ok(Box::new(path))
}

/// The messages that add all routes and rules of many interfaces. Needs a netlink socket, over which it only looks.
pub fn encode_batch_64() -> Result<Path> {
    let changes = Scene::new(64)?.diff();
    let (netlink, _) = Netlink::open(&Config::default()).context("a netlink socket")?;
    Ok(Box::new(move || netlink.prepare(changes.clone()).changes.len()))
}
