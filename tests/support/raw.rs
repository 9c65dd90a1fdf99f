//! A distribution peer written by hand, for what no BEAM node would send.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use super::Daemon;

/// What OTP 25 and 27 offer, without the atom cache, fragments and being published.
pub const FLAGS: u64 = 0xd_075f_5fbc;
/// The empty atom, where the protocol has a field that nobody reads.
pub const NO_COOKIE: &[u8] = &[119, 0];

/// A connection to the daemon at some stage.
pub struct Raw {
    stream: TcpStream,
    name: String,
}

impl Raw {
    /// Only the TCP connection.
    pub fn dial(daemon: &Daemon, name: &str) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", daemon.port)).unwrap();
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

    /// Sends the first message and gives the status text.
    pub fn send_name(&mut self, flags: u64) -> String {
        let mut body = vec![b'N'];
        body.extend(flags.to_be_bytes());
        body.extend(7_u32.to_be_bytes());
        body.extend(u16::try_from(self.name.len()).unwrap().to_be_bytes());
        body.extend(self.name.as_bytes());
        self.send_message(&body);
        let status = self.receive_message().expect("a status");
        assert_eq!(status.first(), Some(&b's'));
        String::from_utf8_lossy(&status[1..]).into_owned()
    }

    /// Reads the challenge, answers it with `cookie`, and gives whether the daemon's own proof is right; an error when
    /// it closes instead.
    pub fn prove(&mut self, cookie: &str) -> io::Result<bool> {
        let challenge = self.receive_message()?;
        assert_eq!(challenge.first(), Some(&b'N'));
        let theirs = u32::from_be_bytes(challenge[9..13].try_into().unwrap());
        let ours = 0x0123_4567_u32;
        let mut body = vec![b'r'];
        body.extend(ours.to_be_bytes());
        body.extend(digest(cookie, theirs));
        self.send_message(&body);
        let ack = self.receive_message()?;
        Ok(ack == [&[b'a'][..], &digest(cookie, ours)].concat())
    }

    /// One handshake message.
    pub fn send_message(&mut self, body: &[u8]) {
        let length = u16::try_from(body.len()).unwrap().to_be_bytes();
        self.stream.write_all(&[&length[..], body].concat()).unwrap();
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
                Err(error) => return !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut),
            }
        }
    }

    /// A whole frame with `gen_server:call(route_manager, status)` in it, the reply to go to a plain reference.
    pub fn status_call(&self) -> Vec<u8> {
        let pid = self.pid(1);
        let tag = [&[90, 0, 3][..], &atom(&self.name), &7_u32.to_be_bytes(), &[0; 11], &[9]].concat();
        let control = tuple(&[vec![97, 6], pid.clone(), NO_COOKIE.to_vec(), atom("route_manager")]);
        let message = tuple(&[atom("$gen_call"), tuple(&[pid, tag]), atom("status")]);
        frame(&[&[112, 131], &control[..], &[131], &message].concat())
    }

    /// A process of this node.
    pub fn pid(&self, id: u32) -> Vec<u8> {
        [&[88][..], &atom(&self.name), &id.to_be_bytes(), &0_u32.to_be_bytes(), &7_u32.to_be_bytes()].concat()
    }
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

fn digest(cookie: &str, challenge: u32) -> [u8; 16] {
    md5::compute(format!("{cookie}{challenge}")).0
}
