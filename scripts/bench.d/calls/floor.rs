//! The floor of `scripts/bench`: answers every call with `ok` by copying the caller's bytes into a reply, without decoding,
//! tables or checks. Nobody should use it for anything else.
//!
//! Usage: `bench_calls floor NAME@HOST monitors|plain WAIT_US [EPMD_PORT]`. Prints its port. With monitors BEAMs send three frames a call.
//! WAIT_US: how long it waits for more when one read has brought two calls or more.

use std::collections::HashMap;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use beamroute::dist::Flags;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use super::wire;

const LISTENER: u64 = u64::MAX;

struct Peer {
    stream: TcpStream,
    received: Vec<u8>,
    replies: Vec<u8>,
}

pub fn run(args: &[String]) -> Result<()> {
    let (name, monitors, wait, epmd) = match args {
        [name, monitors, wait] => (name, monitors, wait, None),
        [name, monitors, wait, epmd] => (name, monitors, wait, Some(epmd.parse::<u16>()?)),
        _ => bail!("usage: see the head of this file"),
    };
    let flags = if monitors == "monitors" { Flags::OFFERED } else { Flags::OFFERED.without(wire::MONITORS) };
    let wait = Duration::from_micros(wait.parse()?);
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    let _registered = epmd.map(|epmd| register(epmd, name, port)).transpose()?;
    println!("{port}");
    let epoll = Epoll::new(EpollCreateFlags::empty())?;
    epoll.add(listener.as_fd(), EpollEvent::new(EpollFlags::EPOLLIN, LISTENER))?;
    let mut peers = HashMap::new();
    let mut events = [EpollEvent::empty(); 256];
    for n in 0.. {
        let ready = epoll.wait(&mut events, EpollTimeout::NONE)?;
        for event in events.get(..ready).unwrap_or_default() {
            if event.data() == LISTENER {
                let mut stream = listener.accept()?.0;
                wire::accept(&mut stream, name, flags)?;
                stream.set_nonblocking(true)?;
                epoll.add(stream.as_fd(), EpollEvent::new(EpollFlags::EPOLLIN, n))?;
                peers.insert(n, Peer { stream, received: Vec::new(), replies: Vec::new() });
            } else if peers.get_mut(&event.data()).is_none_or(|peer| serve(peer, wait).is_err()) {
                peers.remove(&event.data());
            }
        }
    }
    Ok(())
}

/// One read, or as many as come in `wait`; one write.
fn serve(peer: &mut Peer, wait: Duration) -> Result<()> {
    if read(peer)? > 1 && !wait.is_zero() {
        let end = Instant::now() + wait;
        while Instant::now() < end {
            read(peer)?;
        }
    }
    if !peer.replies.is_empty() {
        peer.stream.write_all(&peer.replies)?;
        peer.replies.clear();
    }
    Ok(())
}

fn read(peer: &mut Peer) -> Result<usize> {
    let mut bytes = [0; 64 << 10];
    let read = match peer.stream.read(&mut bytes) {
        Ok(0) => bail!("closed"),
        Ok(read) => read,
        Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(0),
        Err(error) => return Err(error.into()),
    };
    peer.received.extend_from_slice(bytes.get(..read).unwrap_or_default());
    let (mut rest, mut calls) = (peer.received.as_slice(), 0);
    while let Some(length) = wire::frame(rest) {
        let (frame, later) = rest.split_at(length);
        rest = later;
        match frame {
            // A tick, which wants one.
            [_, _, _, _] => peer.replies.extend([0; 4]),
            // {6, From, _, Name}, the only one that is answered.
            [_, _, _, _, 112, 131, 104, 4, 97, 6, ..] => {
                // A cast wants no answer.
                calls += usize::from(answer(frame, &mut peer.replies).is_some());
            }
            _ => {}
        }
    }
    let done = peer.received.len() - rest.len();
    peer.received.drain(..done);
    Ok(calls)
}

/// `{'$gen_call', {Pid, Tag}, Request}` → `{Tag, ok}` to the pid.
fn answer(frame: &[u8], out: &mut Vec<u8>) -> Option<()> {
    const CALL: &[u8] = b"\x83h\x03w\x09$gen_call";
    // The small atom may also be a longer one.
    let at = frame.windows(CALL.len()).position(|bytes| bytes == CALL)?;
    let from = frame.get(at + CALL.len()..)?.strip_prefix(b"h\x02")?;
    let pid = from.get(..pid_length(from)?)?;
    let tag = from.get(pid.len()..)?;
    let tag = tag.get(..tag_length(tag)?)?;
    let start = out.len();
    out.extend([0; 4]);
    out.extend(b"p\x83h\x03a\x02w\x00");
    out.extend_from_slice(pid);
    out.extend(b"\x83h\x02");
    out.extend_from_slice(tag);
    out.extend(b"w\x02ok");
    let length = u32::try_from(out.len() - start - 4).ok()?.to_be_bytes();
    out.get_mut(start..start + 4)?.copy_from_slice(&length);
    Some(())
}

/// Of an atom and 12 bytes.
fn pid_length(bytes: &[u8]) -> Option<usize> {
    (*bytes.first()? == 88).then_some(())?;
    Some(1 + atom_length(bytes.get(1..)?)? + 12)
}

/// Of a reference, or `[alias | Reference]`.
fn tag_length(bytes: &[u8]) -> Option<usize> {
    match *bytes.first()? {
        108 => {
            let head = 5 + atom_length(bytes.get(5..)?)?;
            Some(head + tag_length(bytes.get(head..)?)?)
        }
        90 => {
            let words = usize::from(*bytes.get(2)?);
            Some(3 + atom_length(bytes.get(3..)?)? + 4 + 4 * words)
        }
        _ => None,
    }
}

fn atom_length(bytes: &[u8]) -> Option<usize> {
    match *bytes {
        [119, length, ..] => Some(2 + usize::from(length)),
        [100 | 118, high, low, ..] => Some(3 + usize::from(u16::from_be_bytes([high, low]))),
        _ => None,
    }
}

/// ALIVE2_REQ, as a hidden node; lasts as long as the stream.
fn register(epmd: u16, name: &str, port: u16) -> Result<TcpStream> {
    let short = name.split('@').next().unwrap_or(name).as_bytes();
    let mut request = vec![120];
    request.extend(port.to_be_bytes());
    request.extend([72, 0, 0, 6, 0, 5]);
    request.extend(u16::try_from(short.len())?.to_be_bytes());
    request.extend_from_slice(short);
    request.extend([0, 0]);
    let mut stream = TcpStream::connect(("127.0.0.1", epmd))?;
    stream.write_all(&u16::try_from(request.len())?.to_be_bytes())?;
    stream.write_all(&request)?;
    let mut answer = [0; 2];
    stream.read_exact(&mut answer)?;
    ensure!(answer[1] == 0, "epmd refuses {name}");
    Ok(stream)
}
