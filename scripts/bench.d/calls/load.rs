//! The load generator of `scripts/bench`: a peer in compiled code that calls `route_manager`.
//!
//! Usage: `bench_calls load METRIC PEER ADDRESS:PORT NODE PID CONNECTIONS IN_FLIGHT CALLS`. Every connection is a node of its own
//! and keeps IN_FLIGHT calls under way. Notes calls a second, the server's processor time for 100,000 calls and, with one call in
//! flight, microseconds per call, their median and 99th percentile. Fails unless every call has had the answer `ok`.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use beamroute::dist::Flags;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use super::{note, wire};

/// How long nothing may come.
const PATIENCE: Duration = Duration::from_secs(10);

struct Caller {
    stream: TcpStream,
    frame: Vec<u8>,
    received: Vec<u8>,
    asked: Instant,
    answers: usize,
}

/// What is still to be asked, and how long the answers took.
struct Work {
    left: usize,
    times: Vec<Duration>,
}

pub fn run(args: &[String]) -> Result<()> {
    let [metric, peer, address, node, pid, connections, in_flight, calls] = args else {
        bail!("usage: see the head of this file")
    };
    let (connections, in_flight, calls): (usize, usize, u32) =
        (connections.parse()?, in_flight.parse()?, calls.parse()?);
    let mut callers = Vec::new();
    for n in 0..connections {
        callers.push(Caller::connect(address, node, &format!("load{n}_{}@127.0.0.1", std::process::id()))?);
    }
    // The first calls make the state what they ask for.
    let count = usize::try_from(calls)?;
    let mut warm = Work { left: count / 10, times: Vec::new() };
    call(&mut callers, in_flight, &mut warm)?;
    let mut work = Work { left: count, times: Vec::with_capacity(count) };
    let (cpu, start) = (note::cpu_us(pid)?, Instant::now());
    call(&mut callers, in_flight, &mut work)?;
    let each = start.elapsed().as_secs_f64() * 1e6 / f64::from(calls);
    let cpu = (note::cpu_us(pid)? - cpu) / f64::from(calls);
    work.times.sort_unstable();
    let at = |percent: usize| work.times.get(work.times.len() * percent / 100).map_or(0.0, |t| t.as_secs_f64() * 1e6);
    note::note(&format!("{metric}_rate"), peer, 1e3 / each, "k/s");
    note::note(&format!("{metric}_cpu"), peer, cpu / 10.0, "s");
    // With more under way, nobody knows which call an answer is for.
    if in_flight == 1 {
        note::note(&format!("{metric}_us"), peer, each, "us");
        note::note(&format!("{metric}_median"), peer, at(50), "us");
        note::note(&format!("{metric}_p99"), peer, at(99), "us");
    }
    Ok(())
}

fn call(callers: &mut [Caller], in_flight: usize, work: &mut Work) -> Result<()> {
    let total = work.left;
    for caller in &mut *callers {
        caller.answers = 0;
        caller.ask(in_flight, work)?;
    }
    if let [caller] = callers {
        while caller.answers < total {
            caller.listen(work)?;
        }
        return Ok(());
    }
    let epoll = Epoll::new(EpollCreateFlags::empty())?;
    for (n, caller) in (0_u64..).zip(&*callers) {
        epoll.add(caller.stream.as_fd(), EpollEvent::new(EpollFlags::EPOLLIN, n))?;
    }
    let mut events = vec![EpollEvent::empty(); callers.len()];
    while callers.iter().map(|caller| caller.answers).sum::<usize>() < total {
        let ready = epoll.wait(&mut events, EpollTimeout::try_from(PATIENCE)?)?;
        ensure!(ready > 0, "no answer for {PATIENCE:?}");
        for event in events.get(..ready).unwrap_or_default() {
            callers.get_mut(usize::try_from(event.data())?).context("an unknown event")?.listen(work)?;
        }
    }
    Ok(())
}

impl Caller {
    fn connect(address: &str, node: &str, name: &str) -> Result<Self> {
        let stream = wire::dial(address, node, name, Flags::OFFERED.without(Flags::ALIAS))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let frame = wire::call(name, wire::set_status("internet"));
        Ok(Self { stream, frame, received: Vec::new(), asked: Instant::now(), answers: 0 })
    }

    fn ask(&mut self, times: usize, work: &mut Work) -> Result<()> {
        let times = times.min(work.left);
        work.left -= times;
        self.asked = Instant::now();
        match times {
            0 => Ok(()),
            1 => Ok(self.stream.write_all(&self.frame)?),
            _ => Ok(self.stream.write_all(&self.frame.repeat(times))?),
        }
    }

    /// Reads once; for every answer there is another call.
    fn listen(&mut self, work: &mut Work) -> Result<()> {
        let mut bytes = [0; 16 << 10];
        let read = self.stream.read(&mut bytes)?;
        ensure!(read > 0, "the node has closed the connection");
        let took = self.asked.elapsed();
        self.received.extend_from_slice(bytes.get(..read).unwrap_or_default());
        let (mut rest, mut answers) = (self.received.as_slice(), 0);
        while let Some(length) = wire::frame(rest) {
            let (frame, later) = rest.split_at(length);
            // A tick is empty.
            if length > 4 {
                ensure!(frame.ends_with(b"ok"), "answered {frame:?}");
                answers += 1;
            }
            rest = later;
        }
        let done = self.received.len() - rest.len();
        self.received.drain(..done);
        self.answers += answers;
        work.times.extend(std::iter::repeat_n(took, answers));
        self.ask(answers, work)
    }
}
