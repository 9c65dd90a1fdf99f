//! What the load generator and the floor responder share: the handshake over blocking sockets, and the request.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use anyhow::{Context as _, Result, bail};
use beamroute::dist::{Accepting, Control, Dialing, Flags, NameMessage, Status, Step};
use beamroute::term::{Pid, Reference, Term, atom, binary, tuple};
use bytes::Bytes;

/// The cookie of every bench.
pub const COOKIE: &[u8] = b"Bench";

/// A flag that BEAMs look at before they monitor (`DIST_MONITOR` in `dist.hrl`).
pub const MONITORS: Flags = Flags::from_bits(1 << 3);

fn message(name: &str, flags: Flags) -> NameMessage {
    NameMessage { flags, creation: 1, name: name.to_owned() }
}

/// Connects to `node`, which listens at `address`, as `name`.
pub fn dial(address: &str, node: &str, name: &str, flags: Flags) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(address).with_context(|| format!("connect to {address}"))?;
    stream.set_nodelay(true)?;
    let mut dialing = Dialing::new(message(name, flags), node, COOKIE.to_vec().into(), 7);
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
    let mut accepting = Accepting::new(message(name, flags), COOKIE.to_vec().into(), 7);
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

/// The frame of `gen_server:call(route_manager, {set_connection_status, <<"eth0">>, internet})` of a process of `name`.
pub fn call(name: &str) -> Vec<u8> {
    let node = beamroute::term::Atom::from(name);
    let from = Pid { node: node.clone(), id: 1, serial: 0, creation: 1 };
    let reference = Term::from(Reference { node, id: vec![1, 2, 3], creation: 1 });
    let request = tuple([atom("set_connection_status"), binary("eth0"), atom("internet")]);
    let payload = tuple([atom("$gen_call"), tuple([Term::from(from.clone()), reference]), request]);
    let mut frame = Vec::new();
    Control::RegSend { from, name: "route_manager".into() }.encode(Some(&payload), &mut frame);
    frame
}

/// Length of the whole frame at the front of `bytes`, if it is all there.
pub fn frame(bytes: &[u8]) -> Option<usize> {
    let length = 4 + usize::try_from(u32::from_be_bytes(*bytes.first_chunk()?)).ok()?;
    (bytes.len() >= length).then_some(length)
}
