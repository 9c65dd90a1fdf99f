//! From a frame to a request, and from an answer to a frame.

use anyhow::{Context as _, Result};
use beamroute::dist::{Control, Flags, FrameDecoder, Gathering, Header, Message};
use beamroute::route::{IfName, Status};
use beamroute::route_manager::Request;
use beamroute::term::{
    Atom, Limits, Pid, Plain, PlainPid, Reference, Term, as_tuple, atom, binary, integer, list, tuple,
};
use bytes::BytesMut;

use super::Path;

const NODE: &str = "nerves@192.0.2.7";

/// As a BEAM asks: with an alias for the answer and a reason.
pub fn decode_set_connection_status() -> Result<Path> {
    decode(tuple([atom("set_connection_status"), binary("eth0"), atom("internet"), binary("dhcp")]))
}

/// With one address and a gateway.
pub fn decode_set_route() -> Result<Path> {
    let ip = |numbers: [i64; 4]| tuple(numbers.map(integer));
    let subnets = list([tuple([ip([192, 0, 2, 10]), integer(26)])]);
    decode(tuple([atom("set_route"), binary("eth0"), subnets, ip([192, 0, 2, 1])]))
}

fn pid(id: u32) -> Pid {
    Pid { node: Atom::from(NODE), id, serial: 0, creation: 1_700_000_000 }
}

fn reference() -> Reference {
    Reference { node: Atom::from(NODE), id: vec![12_345, 67_890, 24_680], creation: 1_700_000_000 }
}

/// `{'$gen_call', {Pid, Reference}, Request}`, as a frame.
fn frame(request: Term) -> Vec<u8> {
    let tag = Term::from(reference());
    let payload = tuple([atom("$gen_call"), tuple([Term::from(pid(100)), tag]), request]);
    let mut frame = Vec::new();
    Control::RegSend { from: pid(100), name: "route_manager".into() }.encode(Some(&payload), &mut frame);
    frame
}

/// From the stream's bytes to the request.
fn decode(request: Term) -> Result<Path> {
    let (frame, frames) = (frame(request), FrameDecoder::new(Header::Four, 16 << 20));
    let path = move || {
        let body = frames.next(&mut BytesMut::from(frame.as_slice())).ok()??;
        let message = Message::decode(&body, Limits::default()).ok()?;
        let payload = message.payload?;
        let [_, _, request] = as_tuple(&payload)?;
        Some(usize::from(Request::from_call(request).ok()?.is_read()))
    };
    path().context("it is not decoded")?;
    Ok(Box::new(move || path().unwrap_or_default()))
}

/// The commonest request, read where it lies, and its reply.
pub fn repeated_status_and_reply() -> Result<Path> {
    let request = tuple([atom("set_connection_status"), binary("eth0"), atom("internet")]);
    let (frame, frames) = (frame(request), FrameDecoder::new(Header::Four, 16 << 20));
    let (mut us, mut ok, mut out) = (Vec::new(), Vec::new(), Vec::new());
    PlainPid { node: NODE, id: 7, serial: 0, creation: 1 }.encode(&mut us);
    beamroute::term::encode(&atom("ok"), &mut ok);
    let mut gathering = Gathering::default();
    let mut path = move || {
        let body = frames.next(&mut BytesMut::from(frame.as_slice())).ok()??;
        let flat = gathering.take(&body, 0).then(|| gathering.finish())?;
        let call = flat.first()?;
        let (_, [Plain::Binary(name), Plain::Atom(status)]) = call.request().words()? else { return None };
        let known = (IfName::new(name).ok()?, Status::parse(status)?);
        out.clear();
        call.reply(Flags::OFFERED, &us, &ok, &mut out);
        Some(out.len() + known.0.as_bytes().len())
    };
    path().context("it is not read")?;
    Ok(Box::new(move || path().unwrap_or_default()))
}

/// `{Tag, ok}` to an alias, into a buffer that is used again.
pub fn encode_reply() -> Result<Path> {
    let mut out = Vec::new();
    Ok(Box::new(move || {
        out.clear();
        let reply = tuple([Term::from(reference()), atom("ok")]);
        Control::alias_send(Flags::OFFERED, pid(7), reference()).encode(Some(&reply), &mut out);
        out.len()
    }))
}
