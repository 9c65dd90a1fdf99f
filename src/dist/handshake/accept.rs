//! The acceptor's side.

use bytes::Bytes;
use zeroize::Zeroizing;

use super::packet::{Challenge, Reply, decode_alive_answer, encode_ack};
use super::{HandshakeError, NameMessage, Peer, Status, Step, check_name, digest, is_digest_right};
use crate::dist::Flags;

/// A handshake that a peer began.
#[derive(Debug)]
pub struct Accepting {
    ours: NameMessage,
    cookie: Zeroizing<Vec<u8>>,
    challenge: u32,
    peer: NameMessage,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Name,
    Deciding,
    AliveAnswer,
    Reply,
    Done,
}

impl Accepting {
    /// Waits for a dialler's name. `challenge` must be unpredictable.
    #[must_use]
    pub const fn new(ours: NameMessage, cookie: Zeroizing<Vec<u8>>, challenge: u32) -> Self {
        let peer = NameMessage { flags: Flags::from_bits(0), creation: 0, name: String::new() };
        Self { ours, cookie, challenge, peer, state: State::Name }
    }

    /// The cookie shared with the peer, if it is another one: its name is known after the first packet.
    pub fn set_cookie(&mut self, cookie: Zeroizing<Vec<u8>>) {
        self.cookie = cookie;
    }

    /// Takes one handshake packet, length field removed.
    ///
    /// # Errors
    /// Any error ends the connection. After [`HandshakeError::Flags`] and [`HandshakeError::Name`] the dialler may be
    /// told [`Status::NotAllowed`].
    pub fn packet(&mut self, packet: &[u8]) -> Result<Step, HandshakeError> {
        match self.state {
            State::Name => self.name(packet),
            State::AliveAnswer if decode_alive_answer(packet)? => {
                self.state = State::Reply;
                Ok(Step::Send(self.challenge_packet()))
            }
            State::AliveAnswer => {
                self.state = State::Done;
                Ok(Step::Close)
            }
            State::Reply => self.reply(packet),
            State::Deciding | State::Done => Err(HandshakeError::Malformed("order: a packet nobody asked for, an")),
        }
    }

    /// Answers the name with `status`; returns the packets to send, in order.
    pub fn status(&mut self, status: &Status) -> Vec<Bytes> {
        let packet = status.encode();
        match status {
            Status::Nok | Status::NotAllowed => {
                self.state = State::Done;
                vec![packet]
            }
            Status::Alive => {
                self.state = State::AliveAnswer;
                vec![packet]
            }
            Status::Ok | Status::OkSimultaneous | Status::Named { .. } => {
                if let Status::Named { name, creation } = status {
                    self.peer.name.clone_from(name);
                    self.peer.creation = *creation;
                }
                self.state = State::Reply;
                vec![packet, self.challenge_packet()]
            }
        }
    }

    /// Who dials, as it says; nothing is proved before [`Step::Verified`].
    #[must_use]
    pub fn peer_name(&self) -> &str {
        &self.peer.name
    }

    /// Whether the dialler sent only its host and wants to be [`Status::Named`].
    #[must_use]
    pub const fn wants_name(&self) -> bool {
        self.peer.flags.contains(Flags::NAME_ME)
    }

    /// The peer, worth something after [`Step::Verified`].
    #[must_use]
    pub fn peer(&self) -> Peer {
        Peer { name: self.peer.name.clone(), flags: self.ours.flags & self.peer.flags, creation: self.peer.creation }
    }

    fn name(&mut self, packet: &[u8]) -> Result<Step, HandshakeError> {
        self.peer = NameMessage::decode(packet)?;
        if self.wants_name() {
            // Only the host was sent, so any name part makes a name that can be checked.
            check_name(&format!("x@{}", self.peer.name))?;
        } else {
            check_name(&self.peer.name)?;
        }
        if !self.peer.flags.contains(Flags::DEMANDED) {
            return Err(HandshakeError::Flags(self.peer.flags));
        }
        self.state = State::Deciding;
        Ok(Step::Decide)
    }

    fn reply(&mut self, packet: &[u8]) -> Result<Step, HandshakeError> {
        let reply = Reply::decode(packet)?;
        if !is_digest_right(&self.cookie, self.challenge, &reply.digest) {
            return Err(HandshakeError::Cookie);
        }
        self.state = State::Done;
        Ok(Step::Verified(encode_ack(digest(&self.cookie, reply.challenge))))
    }

    fn challenge_packet(&self) -> Bytes {
        Challenge { challenge: self.challenge, from: self.ours.clone() }.encode()
    }
}
