//! One round of `scripts/bench route`: the way from the desired state to the kernel's acknowledgement, without Erlang.
//!
//! Usage: `bench_route NETNS INTERFACES STATE_DIR clear|keep`. The namespace has the interfaces e0, e1, … with addresses
//! 10.H.L.2/24. Notes microseconds: `apply` is the first commit for all of them, `recompute` one that plans all anew and finds
//! nothing to change, `failover` one that moves the best route (the median of many). `keep` leaves the routes and saves the state.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use beamroute::netlink::{Config, DEFAULT_PROTOCOL, Netlink};
use beamroute::route::{Call, DesiredState, IfName, Metric, PlanOptions, Ranking, Subnet, Touched, World};
use beamroute::route_manager::{Journal, Kernel};

/// Times of what is short.
const TIMES: u32 = 101;

#[path = "calls/note.rs"]
#[allow(dead_code, reason = "the other tools use the rest")]
mod note;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [netns, interfaces, state_dir, what] = args.as_slice() else { bail!("usage: see the head of this file") };
    let (netns, interfaces) = (PathBuf::from(netns), interfaces.parse::<u32>()?);
    let config = Config { netns: Some(netns.clone()), ..Config::default() };
    let (netlink, world) = Netlink::open(&config)?;
    let mut state = wishes(interfaces, &world)?;
    let mut kernel = Kernel::new(netlink, world, PlanOptions::default(), DEFAULT_PROTOCOL, None);
    let ranking = Ranking::default();
    let note = |what: &str, us| note::note(&format!("{what}_{interfaces}"), "beamroute", us, "us");
    let start = Instant::now();
    let changes = kernel.commit(&state, &ranking);
    note("apply", micros(start));
    if changes != 6 * usize::try_from(interfaces)? {
        bail!("{changes} changes for {interfaces} interfaces: {:?}", kernel.pending(&state));
    }
    note(
        "recompute",
        median(|_| {
            kernel.touch(Touched::everything());
            let start = Instant::now();
            let changes = kernel.commit(&state, &ranking);
            Ok((changes == 0).then(|| micros(start)))
        })?,
    );
    let first: IfName = "e0".parse()?;
    note(
        "failover",
        median(|n| {
            let _ = state.set_metric(first, Metric::new(if n % 2 == 0 { 11 } else { 51 }))?;
            kernel.touch(Touched::names([first]));
            let start = Instant::now();
            let changes = kernel.commit(&state, &ranking);
            Ok((changes == 4).then(|| micros(start)))
        })?,
    );
    match what.as_str() {
        "keep" => Journal::open(state_dir.as_ref(), Some(&netns), DEFAULT_PROTOCOL, 65_535)?.journal.save(&state),
        _ => kernel.clear(),
    }
    Ok(())
}

/// Every interface with its address and gateway, as lan.
fn wishes(interfaces: u32, world: &World) -> Result<DesiredState> {
    let mut state = DesiredState::new(65_535);
    let orphans = BTreeSet::new();
    let call = Call { world, orphans: &orphans, now_ms: 0, who: None };
    for n in 0..interfaces {
        let address = |host| IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 | n << 8 | host));
        let subnet = Subnet::new(address(2), 24)?;
        let _ = state.set_route(format!("e{n}").parse()?, vec![subnet], Some(address(1)), &call)?;
    }
    Ok(state)
}

fn micros(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e6
}

/// The median of [`TIMES`] runs, each of which must have done what it should.
fn median(mut run: impl FnMut(u32) -> Result<Option<f64>>) -> Result<f64> {
    let mut times = Vec::new();
    for n in 0..TIMES {
        times.push(run(n)?.with_context(|| format!("run {n} did not do what is measured"))?);
    }
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().context("no runs")
}
