//! Calls that change routes.
//!
//! `bench_calls setup ADDRESS:PORT NODE` gives eth0 and wlan0 of `scripts/bench` their routes.
//! `bench_calls failover METRIC PEER ADDRESS:PORT NODE TIMES PAUSE` lets eth0 lose the internet and have it again, with PAUSE microseconds
//! between; notes the median from request to reply.
//! `bench_calls waiting ADDRESS:PORT NODE PID CALLS` stops the server, sends CALLS new metrics for eth0, lets the server go on
//! and waits for all answers; then takes the metric back. Who counts what it says to the kernel meanwhile knows how many batches
//! that took.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use beamroute::term::{Term, atom, binary, integer, list, tuple};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::note::note;
use super::wire::{Client, call, set_status};

pub fn set_up(args: &[String]) -> Result<()> {
    let [address, node] = args else { bail!("usage: see the head of this file") };
    let mut client = Client::connect(address, node, "setup@127.0.0.1")?;
    for (name, ip, gateway) in [("eth0", "192.0.2.74", "192.0.2.65"), ("wlan0", "192.0.2.138", "192.0.2.129")] {
        let subnets = list([tuple([address_term(ip)?, integer(26)])]);
        client.call(tuple([atom("set_route"), binary(name), subnets, address_term(gateway)?]))?;
        client.call(tuple([atom("set_connection_status"), binary(name), atom("internet")]))?;
    }
    Ok(())
}

fn address_term(text: &str) -> Result<Term> {
    let IpAddr::V4(ip) = text.parse()? else { bail!("not IPv4: {text}") };
    Ok(tuple(ip.octets().map(|byte| integer(byte.into()))))
}

pub fn failover(args: &[String]) -> Result<()> {
    let [metric, peer, address, node, times, pause] = args else { bail!("usage: see the head of this file") };
    let mut client = Client::connect(address, node, "failover@127.0.0.1")?;
    let pause = Duration::from_micros(pause.parse()?);
    let mut took = Vec::new();
    for status in ["lan", "internet"].iter().cycle().take(times.parse()?) {
        let request = set_status(status);
        if !pause.is_zero() {
            std::thread::sleep(pause);
        }
        let start = Instant::now();
        client.call(request)?;
        took.push(start.elapsed().as_secs_f64() * 1e6);
    }
    client.call(set_status("internet"))?;
    took.sort_by(f64::total_cmp);
    note(metric, peer, took.get(took.len() / 2).copied().context("no times")?, "us");
    Ok(())
}

pub fn waiting(args: &[String]) -> Result<()> {
    let [address, node, pid, calls] = args else { bail!("usage: see the head of this file") };
    let (pid, calls) = (Pid::from_raw(pid.parse()?), calls.parse::<usize>()?);
    let name = "waiting@127.0.0.1";
    let mut client = Client::connect(address, node, name)?;
    // Each differs from all before, so that none can be passed over.
    let metrics = (1_000..).take(calls).map(|metric| set_metric(integer(metric)));
    let frames: Vec<u8> = metrics.flat_map(|request| call(name, request)).collect();
    kill(pid, Signal::SIGSTOP)?;
    let sent = client.send(&frames);
    kill(pid, Signal::SIGCONT)?;
    sent?;
    for _ in 0..calls {
        client.answer()?;
    }
    client.call(set_metric(atom("default")))
}

fn set_metric(metric: Term) -> Term {
    tuple([atom("set_metric"), binary("eth0"), metric])
}
