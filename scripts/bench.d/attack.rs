//! What attackers cost the others: see `scripts/bench attack`.
//!
//! Usage: `bench_attack PORT COOKIE PID CALLS ATTACK...` measures calls one after the other, first alone, then beside each
//! attack, and prints `ATTACK MEDIAN P99 PEAK_KIB` in microseconds and KiB. `bench_attack attack PORT COOKIE ATTACK` attacks
//! until it is killed.

use std::collections::VecDeque;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use beamroute::dist::{Control, Dialing, Flags, NameMessage, Step};
use beamroute::term::{Atom, Pid, Reference, Term, atom, tuple};
use socket2::{Domain, Socket, Type};
use zeroize::Zeroizing;

/// How many connections the attackers keep that say nothing.
const SILENT: usize = 10_000;
/// How many of them say a byte a second.
const SLOW: usize = 200;
/// How long an attack lasts before anything is measured.
const WARM_UP: Duration = Duration::from_secs(2);

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["attack", port, cookie, attack] => Target::new(port, cookie)?.attack(attack),
        [port, cookie, pid, calls, attacks @ ..] => {
            let target = Target::new(port, cookie)?;
            let calls = calls.parse()?;
            for attack in ["alone"].iter().chain(attacks) {
                let _attacker = Attacker::start(attack, port, cookie)?;
                std::fs::write(format!("/proc/{pid}/clear_refs"), "5").context("cannot reset the peak of memory")?;
                let [median, p99] = target.measure(attack, calls)?;
                println!("{attack} {median:.1} {p99:.1} {}", peak(pid)?);
            }
            Ok(())
        }
        _ => bail!("usage: see the head of this file"),
    }
}

/// The largest resident size since it was last reset, in KiB.
fn peak(pid: &str) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

/// A process of its own, on the processor that it is given; it ends with this.
struct Attacker(Option<Child>);

impl Attacker {
    fn start(attack: &str, port: &str, cookie: &str) -> Result<Self> {
        if attack == "alone" {
            return Ok(Self(None));
        }
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["attack", port, cookie, attack]).stdin(Stdio::null());
        let child = command.spawn()?;
        std::thread::sleep(WARM_UP);
        Ok(Self(Some(child)))
    }
}

impl Drop for Attacker {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The daemon.
struct Target {
    address: SocketAddr,
    cookie: String,
}

/// A node of ours that is connected to it.
struct Peer {
    name: String,
    stream: TcpStream,
}

impl Target {
    fn new(port: &str, cookie: &str) -> Result<Self> {
        Ok(Self { address: (Ipv4Addr::LOCALHOST, port.parse::<u16>()?).into(), cookie: cookie.to_owned() })
    }

    /// A TCP connection. Each host of `127.0.0.0/8` is a source address of its own.
    fn dial(&self, source: u8) -> Result<TcpStream> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.bind(&SocketAddr::from((Ipv4Addr::new(127, 0, 0, source), 0)).into())?;
        socket.connect(&self.address.into())?;
        socket.set_tcp_nodelay(true)?;
        Ok(socket.into())
    }

    /// A node after its handshake.
    fn connect(&self, name: &str, source: u8) -> Result<Peer> {
        let mut stream = self.dial(source)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        let name = name.to_owned();
        let ours = NameMessage { flags: Flags::OFFERED, creation: 1, name: name.clone() };
        let cookie = Zeroizing::new(self.cookie.as_bytes().to_vec());
        let mut dialing = Dialing::new(ours, "bench@127.0.0.1", cookie, 7);
        send_packet(&mut stream, &dialing.start())?;
        loop {
            let packet = receive_packet(&mut stream)?;
            match dialing.packet(&packet)? {
                Step::Send(packet) => send_packet(&mut stream, &packet)?,
                Step::Up => return Ok(Peer { name, stream }),
                // The one before has not gone yet.
                Step::Decide => send_packet(&mut stream, &dialing.alive(true))?,
                Step::Wait => {}
                step => bail!("the daemon does not want {name}: {step:?}"),
            }
        }
    }

    /// The median and the 99th percentile of calls that change something, in microseconds.
    fn measure(&self, attack: &str, calls: usize) -> Result<[f64; 2]> {
        let mut peer = self.connect(&format!("caller_{attack}@127.0.0.1"), 2)?;
        let requests = ["lan", "internet"].map(|status| peer.call(set_status(status)));
        let mut times = Vec::with_capacity(calls);
        for request in requests.iter().cycle().take(calls) {
            let begun = Instant::now();
            peer.stream.write_all(request)?;
            peer.receive()?;
            times.push(begun.elapsed().as_secs_f64() * 1e6);
            // As callers do: now and then. Whoever calls without a pause is a flood himself.
            std::thread::sleep(Duration::from_micros(500));
        }
        times.sort_by(f64::total_cmp);
        let at = |part: f64| times.get((times.len() as f64 * part) as usize).copied().context("no calls");
        Ok([at(0.5)?, at(0.99)?])
    }

    fn attack(&self, attack: &str) -> Result<()> {
        match attack {
            "half_open" => self.half_open(),
            "slow_handshakes" => self.slow(|| self.dial(3), b"\0\x20Nsomething that never comes to an"),
            "slow_frames" => {
                let mut number = 0;
                let next = || {
                    number += 1;
                    Ok(self.connect(&format!("slow_{number}@127.0.0.1"), 3)?.stream)
                };
                self.slow(next, b"\0\xff\xff\xff\x70and so on for a very long time")
            }
            "casts" => self.flood(|peer| peer.cast(set_status("lan")), true),
            "changes" => {
                self.flood(|peer| [peer.cast(set_status("lan")), peer.cast(set_status("internet"))].concat(), true)
            }
            "never_reads" => self.flood(|peer| peer.call(atom("status")), false),
            _ => bail!("no such attack: {attack}"),
        }
    }

    /// Connects as fast as it can, and says nothing.
    fn half_open(&self) -> Result<()> {
        let mut open = VecDeque::with_capacity(SILENT);
        loop {
            if open.len() == SILENT {
                open.pop_front();
            }
            if let Ok(stream) = self.dial(3) {
                open.push_back(stream);
            }
        }
    }

    /// Says a byte a second over each of many connections, and opens again what is closed.
    fn slow(&self, mut open: impl FnMut() -> Result<TcpStream>, bytes: &[u8]) -> Result<()> {
        let mut all = Vec::new();
        loop {
            while all.len() < SLOW {
                all.push((open()?, bytes.iter()));
            }
            all.retain_mut(|(stream, left)| left.next().is_some_and(|byte| stream.write_all(&[*byte]).is_ok()));
            std::thread::sleep(Duration::from_secs(1));
        }
    }

    /// Sends the same as fast as it can. When it is thrown out, it comes back.
    fn flood(&self, message: impl Fn(&Peer) -> Vec<u8>, reads: bool) -> Result<()> {
        loop {
            let mut peer = self.connect("flood@127.0.0.1", 3)?;
            let message = message(&peer);
            let chunk = message.repeat((64 << 10) / message.len() + 1);
            let mut back = peer.stream.try_clone()?;
            let reader = std::thread::spawn(move || {
                let mut bytes = [0; 65_536];
                while reads && back.read(&mut bytes).is_ok_and(|count| count > 0) {}
            });
            while peer.stream.write_all(&chunk).is_ok() {}
            ensure!(reader.join().is_ok(), "the reader panicked");
        }
    }
}

impl Peer {
    fn pid(&self) -> Pid {
        Pid { node: Atom::from(self.name.as_str()), id: 1, serial: 0, creation: 1 }
    }

    fn frame(&self, message: &Term) -> Vec<u8> {
        let mut bytes = Vec::new();
        Control::RegSend { from: self.pid(), name: Atom::from("route_manager") }.encode(Some(message), &mut bytes);
        bytes
    }

    /// A `gen_server:call`, as a frame.
    fn call(&self, request: Term) -> Vec<u8> {
        let tag = Reference { node: Atom::from(self.name.as_str()), id: vec![1, 2, 3], creation: 1 };
        self.frame(&tuple([atom("$gen_call"), tuple([Term::Pid(self.pid()), Term::Reference(Box::new(tag))]), request]))
    }

    /// A `gen_server:cast`, as a frame.
    fn cast(&self, request: Term) -> Vec<u8> {
        self.frame(&tuple([atom("$gen_cast"), request]))
    }

    /// Waits for a frame that is no tick.
    fn receive(&mut self) -> Result<Vec<u8>> {
        loop {
            let mut length = [0; 4];
            self.stream.read_exact(&mut length)?;
            let mut body = vec![0; usize::try_from(u32::from_be_bytes(length))?];
            self.stream.read_exact(&mut body)?;
            if !body.is_empty() {
                return Ok(body);
            }
            self.stream.write_all(&[0; 4])?;
        }
    }
}

fn set_status(status: &str) -> Term {
    tuple([atom("set_connection_status"), beamroute::term::string("eth0"), atom(status), atom("nil")])
}

fn send_packet(stream: &mut TcpStream, packet: &[u8]) -> Result<()> {
    let length = u16::try_from(packet.len())?.to_be_bytes();
    Ok(stream.write_all(&[&length, packet].concat())?)
}

fn receive_packet(stream: &mut TcpStream) -> Result<Vec<u8>> {
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut packet = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut packet)?;
    Ok(packet)
}
