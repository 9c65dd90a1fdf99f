//! The dialler's side.

use bytes::Bytes;
use zeroize::Zeroizing;

use super::packet::{Challenge, Reply, Status, alive_answer, decode_ack};
use super::{HandshakeError, NameMessage, Peer, Step, digest, is_digest_right};
use crate::dist::Flags;

/// A handshake that we began.
#[derive(Debug)]
pub struct Dialing {
    ours: NameMessage,
    dialled: String,
    cookie: Zeroizing<Vec<u8>>,
    challenge: u32,
    peer: Peer,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Status,
    Alive,
    Challenge,
    Ack,
    Done,
}

impl Dialing {
    /// Dials the node named `dialled`. `challenge` must be unpredictable.
    #[must_use]
    pub fn new(ours: NameMessage, dialled: &str, cookie: Zeroizing<Vec<u8>>, challenge: u32) -> Self {
        let peer = Peer { name: dialled.to_owned(), flags: Flags::default(), creation: 0 };
        Self { ours, dialled: dialled.to_owned(), cookie, challenge, peer, state: State::Status }
    }

    /// The first packet.
    #[must_use]
    pub fn start(&self) -> Bytes {
        self.ours.encode()
    }

    /// Takes one handshake packet, length field removed.
    ///
    /// # Errors
    /// Any error ends the connection.
    pub fn packet(&mut self, packet: &[u8]) -> Result<Step, HandshakeError> {
        match self.state {
            State::Status => self.status(packet),
            State::Challenge => self.challenge(packet),
            State::Ack => {
                if !is_digest_right(&self.cookie, self.challenge, &decode_ack(packet)?) {
                    return Err(HandshakeError::Cookie);
                }
                self.state = State::Done;
                Ok(Step::Up)
            }
            State::Alive | State::Done => Err(HandshakeError::Malformed("order: a packet nobody asked for, an")),
        }
    }

    /// Answers `alive`, whether this attempt is still wanted (`is_pending` in `dist_util:recv_status/1`).
    pub fn alive(&mut self, is_wanted: bool) -> Bytes {
        self.state = if is_wanted { State::Challenge } else { State::Done };
        alive_answer(is_wanted)
    }

    /// The peer, worth something after [`Step::Up`].
    #[must_use]
    pub fn peer(&self) -> Peer {
        self.peer.clone()
    }

    fn status(&mut self, packet: &[u8]) -> Result<Step, HandshakeError> {
        match Status::decode(packet)? {
            Status::Ok | Status::OkSimultaneous => {
                self.state = State::Challenge;
                Ok(Step::Wait)
            }
            Status::Alive => {
                self.state = State::Alive;
                Ok(Step::Decide)
            }
            Status::Nok => Ok(Step::Close),
            Status::NotAllowed => Err(HandshakeError::Refused("not_allowed".into())),
            Status::Named { .. } => Err(HandshakeError::Malformed("status")),
        }
    }

    fn challenge(&mut self, packet: &[u8]) -> Result<Step, HandshakeError> {
        let Challenge { challenge, from } = Challenge::decode(packet)?;
        if from.name != self.dialled {
            return Err(HandshakeError::WrongNode { dialled: self.dialled.clone(), answered: from.name });
        }
        if !from.flags.contains(Flags::DEMANDED) {
            return Err(HandshakeError::Flags(from.flags));
        }
        self.peer = Peer { name: from.name, flags: self.ours.flags & from.flags, creation: from.creation };
        self.state = State::Ack;
        let reply = Reply { challenge: self.challenge, digest: digest(&self.cookie, challenge) };
        Ok(Step::Send(reply.encode()))
    }
}
