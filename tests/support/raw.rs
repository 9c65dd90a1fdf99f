//! A distribution peer written by hand, for what no BEAM node would send.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, Type};

use super::epmd::Place;
use super::{Daemon, eventually};

/// What OTP 25 and 27 offer, without the atom cache, fragments and being published.
pub const FLAGS: u64 = 0xd_075f_5fbc;
/// The empty atom, where the protocol has a field that nobody reads.
pub const NO_COOKIE: &[u8] = &[119, 0];

/// Our challenge, for want of any danger.
pub const CHALLENGE: u32 = 0x0123_4567;

/// A connection to the daemon at some stage.
pub struct Raw {
    stream: TcpStream,
    name: String,
}

impl Raw {
    /// A connection that has finished the handshake with whatever listens there, or why there is none. Whatever stands
    /// under the name already is replaced. No step takes longer than `patience`.
    pub fn try_connect(address: SocketAddr, name: &str, cookie: &str, patience: Duration) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, patience)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_nodelay(true)?;
        let mut raw = Self { stream, name: name.to_owned() };
        raw.send_message(&name_message(name, FLAGS));
        match &raw.receive_message()?[..] {
            b"sok" | b"sok_simultaneous" => {}
            b"salive" => raw.send_message(b"strue"),
            other => return Err(io::Error::other(format!("status {}", String::from_utf8_lossy(other)))),
        }
        if raw.prove(cookie)? { Ok(raw) } else { Err(io::Error::other("the other side does not know the cookie")) }
    }

    /// Only the TCP connection.
    pub fn dial(daemon: &Daemon, name: &str) -> Self {
        Self::dial_port(daemon.port, name)
    }

    /// To whatever listens on a port of this machine.
    pub fn dial_port(port: u16, name: &str) -> Self {
        Self::dial_from(1, port, name)
    }

    /// The same from 127.0.0.`host`.
    pub fn dial_from(host: u8, port: u16, name: &str) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, host], 0)).into()).unwrap();
        socket.connect(&SocketAddr::from(([127, 0, 0, 1], port)).into()).unwrap();
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, name: name.to_owned() }
    }

    /// A connection that has finished the handshake.
    pub fn connect(daemon: &Daemon, name: &str) -> Self {
        let mut raw = Self::dial(daemon, name);
        assert_eq!(raw.send_name(FLAGS), "ok");
        assert!(raw.prove(&daemon.cookie).expect("an acknowledgement"), "the daemon knows the cookie");
        raw
    }

    /// As [`Raw::connect`], with these flags; whatever stands under the name already is replaced.
    pub fn connect_with(daemon: &Daemon, name: &str, flags: u64) -> Self {
        let mut raw = Self::dial(daemon, name);
        if raw.send_name(flags) == "alive" {
            raw.send_message(b"strue");
        }
        assert!(raw.prove(&daemon.cookie).expect("an acknowledgement"), "the daemon knows the cookie");
        raw
    }

    /// Sends the first message and gives the status text.
    pub fn send_name(&mut self, flags: u64) -> String {
        let body = name_message(&self.name, flags);
        self.send_message(&body);
        self.receive_status()
    }

    pub fn receive_status(&mut self) -> String {
        let status = self.receive_message().expect("a status");
        assert_eq!(status.first(), Some(&b's'));
        String::from_utf8_lossy(&status[1..]).into_owned()
    }

    /// Reads the challenge, answers it with `cookie`, and gives whether the daemon's own proof is right; an error when
    /// it closes instead.
    pub fn prove(&mut self, cookie: &str) -> io::Result<bool> {
        self.prove_and_send(cookie, &[])
    }

    /// As [`Raw::prove`], with more bytes behind the reply, in the same write.
    pub fn prove_and_send(&mut self, cookie: &str, more: &[u8]) -> io::Result<bool> {
        let body = self.reply(cookie)?;
        let length = u16::try_from(body.len()).unwrap().to_be_bytes();
        self.stream.write_all(&[&length[..], &body, more].concat())?;
        self.is_acknowledged(cookie)
    }

    /// Reads the challenge, and gives the message that answers it with `cookie`.
    pub fn reply(&mut self, cookie: &str) -> io::Result<Vec<u8>> {
        let challenge = self.receive_message()?;
        assert_eq!(challenge.first(), Some(&b'N'));
        let theirs = u32::from_be_bytes(challenge[9..13].try_into().unwrap());
        Ok([&[b'r'][..], &CHALLENGE.to_be_bytes(), &digest(cookie, theirs)].concat())
    }

    /// Reads the ack, and gives whether its proof is right.
    pub fn is_acknowledged(&mut self, cookie: &str) -> io::Result<bool> {
        let ack = self.receive_message()?;
        Ok(ack == [&[b'a'][..], &digest(cookie, CHALLENGE)].concat())
    }

    /// Goes on under another name.
    pub fn say_as(&mut self, name: &str) -> &mut Self {
        name.clone_into(&mut self.name);
        self
    }

    /// As the acceptor, after the status: sends the challenge under this peer's name, and proves `cookie`. False if the
    /// dialler closes before, or its own proof is wrong.
    pub fn challenge(&mut self, flags: u64, cookie: &str) -> bool {
        let name = name_message(&self.name, flags);
        let (flags, rest) = name.split_at(9);
        self.send_message(&[flags, &CHALLENGE.to_be_bytes(), rest].concat());
        let Ok(reply) = self.receive_message() else { return false };
        assert_eq!(reply.first(), Some(&b'r'));
        let theirs = u32::from_be_bytes(reply[1..5].try_into().unwrap());
        self.send_message(&[&[b'a'][..], &digest(cookie, theirs)].concat());
        reply[5..] == digest(cookie, CHALLENGE)
    }

    /// One handshake message.
    pub fn send_message(&mut self, body: &[u8]) {
        let length = u16::try_from(body.len()).unwrap().to_be_bytes();
        self.send(&[&length[..], body].concat());
    }

    pub fn receive_message(&mut self) -> io::Result<Vec<u8>> {
        let mut length = [0; 2];
        self.stream.read_exact(&mut length)?;
        let mut body = vec![0; u16::from_be_bytes(length).into()];
        self.stream.read_exact(&mut body)?;
        Ok(body)
    }

    /// Bytes as they are. The daemon may have closed already: then the error is the point.
    pub fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// The next frame; empty for a tick.
    pub fn receive_frame(&mut self) -> io::Result<Vec<u8>> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let mut body = vec![0; u32::from_be_bytes(length).try_into().unwrap()];
        self.stream.read_exact(&mut body)?;
        Ok(body)
    }

    /// The next frame, empty for a tick, if one begins to come within `time`.
    pub fn poll_frame(&mut self, time: Duration) -> io::Result<Option<Vec<u8>>> {
        self.stream.set_read_timeout(Some(time))?;
        match self.stream.peek(&mut [0]) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => {
                self.stream.set_read_timeout(Some(Duration::from_secs(20)))?;
                self.receive_frame().map(Some)
            }
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Ends the connection as a crash of the machine would that comes back at once: by a reset.
    pub fn reset(self) {
        let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
    }

    /// Reads until the daemon closes, or fails after `time`; gives whether it closed.
    pub fn is_closed_within(&mut self, time: Duration) -> bool {
        let end = std::time::Instant::now() + time;
        let mut bytes = [0; 4096];
        loop {
            let left = end.saturating_duration_since(std::time::Instant::now());
            if left.is_zero() {
                return false;
            }
            self.stream.set_read_timeout(Some(left)).unwrap();
            match self.stream.read(&mut bytes) {
                Ok(0) => return true,
                Ok(_) => {}
                // Whoever stops and continues us interrupts a read that has a time-out.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut),
            }
        }
    }

    /// A whole frame with `gen_server:call(route_manager, status)` in it, the reply to go to a plain reference.
    pub fn status_call(&self) -> Vec<u8> {
        self.call(atom("status"))
    }

    /// The same with another request.
    pub fn call(&self, request: Vec<u8>) -> Vec<u8> {
        let pid = self.pid(1);
        let tag = [&[90, 0, 3][..], &atom(&self.name), &7_u32.to_be_bytes(), &[0; 11], &[9]].concat();
        let control = tuple(&[vec![97, 6], pid.clone(), NO_COOKIE.to_vec(), atom("route_manager")]);
        let message = tuple(&[atom("$gen_call"), tuple(&[pid, tag]), request]);
        frame(&[&[112, 131], &control[..], &[131], &message].concat())
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// How long [`Raw::receive_frame`] and its like wait.
    pub fn set_patience(&mut self, time: Duration) {
        self.stream.set_read_timeout(Some(time)).unwrap();
    }

    /// A reference of this node, of any number of words.
    pub fn reference(&self, words: &[u32]) -> Vec<u8> {
        let count = u16::try_from(words.len()).unwrap().to_be_bytes();
        let words: Vec<_> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
        [&[90][..], &count, &atom(&self.name), &7_u32.to_be_bytes(), &words].concat()
    }

    /// A process of this node.
    pub fn pid(&self, id: u32) -> Vec<u8> {
        [&[88][..], &atom(&self.name), &id.to_be_bytes(), &0_u32.to_be_bytes(), &7_u32.to_be_bytes()].concat()
    }
}

/// A node that can be dialled: it listens, and is in epmd. What its peers then hear, the test says.
pub struct RawNode {
    listener: TcpListener,
    pub name: String,
    _registration: TcpStream,
}

impl RawNode {
    pub fn start(place: Place, name: &str) -> Self {
        Self::with(place, name, TcpListener::bind("127.0.0.1:0").unwrap())
    }

    pub fn with(place: Place, name: &str, listener: TcpListener) -> Self {
        let short = name.split('@').next().unwrap();
        let mut body = vec![120];
        body.extend(listener.local_addr().unwrap().port().to_be_bytes());
        body.extend([77, 0, 0, 6, 0, 5]);
        body.extend(u16::try_from(short.len()).unwrap().to_be_bytes());
        body.extend(short.as_bytes());
        body.extend([0, 0]);
        let mut epmd = TcpStream::connect(("127.0.0.1", place.0)).unwrap();
        epmd.write_all(&[&u16::try_from(body.len()).unwrap().to_be_bytes()[..], &body].concat()).unwrap();
        let mut answer = [0; 6];
        epmd.read_exact(&mut answer).unwrap();
        assert_eq!(answer[..2], [118, 0], "{name} is registered");
        listener.set_nonblocking(true).unwrap();
        Self { listener, name: name.to_owned(), _registration: epmd }
    }

    /// The next connection, if there is one already.
    pub fn try_accept(&self) -> Option<Raw> {
        let (stream, _) = self.listener.accept().ok()?;
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.set_nodelay(true).unwrap();
        Some(Raw { stream, name: self.name.clone() })
    }

    /// The next connection, after the dialler has said its name, which is given too.
    pub fn accept(&self) -> (Raw, String) {
        let mut raw = None;
        eventually("a connection", || {
            raw = self.try_accept();
            raw.is_some()
        });
        let mut raw = raw.unwrap();
        let name = raw.receive_message().unwrap();
        assert_eq!(name.first(), Some(&b'N'));
        (raw, String::from_utf8(name[15..].to_vec()).unwrap())
    }
}

/// The first message of a handshake.
pub fn name_message(name: &str, flags: u64) -> Vec<u8> {
    let length = u16::try_from(name.len()).unwrap().to_be_bytes();
    [&[b'N'][..], &flags.to_be_bytes(), &7_u32.to_be_bytes(), &length, name.as_bytes()].concat()
}

/// A body with its length in front.
pub fn frame(body: &[u8]) -> Vec<u8> {
    [&u32::try_from(body.len()).unwrap().to_be_bytes(), body].concat()
}

pub fn atom(name: &str) -> Vec<u8> {
    [&[119, u8::try_from(name.len()).unwrap()], name.as_bytes()].concat()
}

pub fn tuple(elements: &[Vec<u8>]) -> Vec<u8> {
    [vec![104, u8::try_from(elements.len()).unwrap()], elements.concat()].concat()
}

pub fn digest(cookie: &str, challenge: u32) -> [u8; 16] {
    md5::compute(format!("{cookie}{challenge}")).0
}
