//! What the tools of `scripts/bench` share: the handshake over blocking sockets, requests and answers. The cookie is in
//! `BEAMROUTE_COOKIE`.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use beamroute::dist::{Accepting, Control, Dialing, Flags, NameMessage, Status, Step};
use beamroute::term::{Pid, Reference, Term, atom, binary, tuple};
use bytes::Bytes;

/// A flag that BEAMs look at before they monitor (`DIST_MONITOR` in `dist.hrl`).
pub const MONITORS: Flags = Flags::from_bits(1 << 3);

fn cookie() -> Result<Vec<u8>> {
    Ok(std::env::var("BEAMROUTE_COOKIE").context("BEAMROUTE_COOKIE")?.into_bytes())
}

fn message(name: &str, flags: Flags) -> NameMessage {
    NameMessage { flags, creation: 1, name: name.to_owned() }
}

/// Connects to `node`, which listens at `address`, as `name`.
pub fn dial(address: &str, node: &str, name: &str, flags: Flags) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(address).with_context(|| format!("connect to {address}"))?;
    stream.set_nodelay(true)?;
    let mut dialing = Dialing::new(message(name, flags), node, cookie()?.into(), 7);
    send(&mut stream, &[dialing.start()])?;
    loop {
        match dialing.packet(&receive(&mut stream)?)? {
            Step::Send(packet) => send(&mut stream, &[packet])?,
            Step::Up => return Ok(stream),
            Step::Wait => {}
            step => bail!("{node}: {step:?}"),
        }
    }
}

/// Lets somebody in as the node `name`.
pub fn accept(stream: &mut TcpStream, name: &str, flags: Flags) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut accepting = Accepting::new(message(name, flags), cookie()?.into(), 7);
    loop {
        match accepting.packet(&receive(stream)?)? {
            Step::Decide => send(stream, &accepting.status(&Status::Ok))?,
            Step::Verified(ack) => return send(stream, &[ack]),
            step => bail!("{step:?}"),
        }
    }
}

fn receive(stream: &mut TcpStream) -> Result<Vec<u8>> {
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut packet = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut packet)?;
    Ok(packet)
}

fn send(stream: &mut TcpStream, packets: &[Bytes]) -> Result<()> {
    let mut out = Vec::new();
    for packet in packets {
        out.extend(u16::try_from(packet.len())?.to_be_bytes());
        out.extend_from_slice(packet);
    }
    Ok(stream.write_all(&out)?)
}

/// `{set_connection_status, <<"eth0">>, Status}`.
pub fn set_status(status: &str) -> Term {
    tuple([atom("set_connection_status"), binary("eth0"), atom(status)])
}

/// The frame of `gen_server:call(route_manager, Request)` of a process of `name`.
pub fn call(name: &str, request: Term) -> Vec<u8> {
    let node = beamroute::term::Atom::from(name);
    let from = Pid { node: node.clone(), id: 1, serial: 0, creation: 1 };
    let reference = Term::from(Reference { node, id: vec![1, 2, 3], creation: 1 });
    let payload = tuple([atom("$gen_call"), tuple([Term::from(from.clone()), reference]), request]);
    let mut frame = Vec::new();
    Control::RegSend { from, name: "route_manager".into() }.encode(Some(&payload), &mut frame);
    frame
}

/// A node that makes one call after the other.
pub struct Client {
    name: String,
    stream: TcpStream,
}

impl Client {
    pub fn connect(address: &str, node: &str, name: &str) -> Result<Self> {
        let stream = dial(address, node, name, Flags::OFFERED.without(Flags::ALIAS))?;
        let client = Self { name: name.to_owned(), stream };
        client.set_patience(Duration::from_secs(60))?;
        Ok(client)
    }

    /// How long an answer may take.
    pub fn set_patience(&self, time: Duration) -> Result<()> {
        Ok(self.stream.set_read_timeout(Some(time))?)
    }

    /// Calls, and fails unless the answer is `ok`.
    pub fn call(&mut self, request: Term) -> Result<()> {
        let frame = call(&self.name, request);
        self.send(&frame)?;
        self.answer()
    }

    pub fn send(&mut self, frames: &[u8]) -> Result<()> {
        Ok(self.stream.write_all(frames)?)
    }

    /// Waits for a frame that is no tick.
    pub fn answer(&mut self) -> Result<()> {
        loop {
            let mut length = [0; 4];
            self.stream.read_exact(&mut length)?;
            let mut body = vec![0; usize::try_from(u32::from_be_bytes(length))?];
            self.stream.read_exact(&mut body)?;
            if !body.is_empty() {
                ensure!(body.ends_with(b"ok"), "answered {body:?}");
                return Ok(());
            }
        }
    }
}

/// Length of the whole frame at the front of `bytes`, if it is all there.
pub fn frame(bytes: &[u8]) -> Option<usize> {
    let length = 4 + usize::try_from(u32::from_be_bytes(*bytes.first_chunk()?)).ok()?;
    (bytes.len() >= length).then_some(length)
}
