//! Handshake version 6 (distribution protocol guide, and `lib/kernel/src/dist_util.erl`).
//!
//! ```text
//! dialler                      acceptor
//!    name        ────────→
//!                ←────────     status
//!    (alive answer ──────→)
//!                ←────────     challenge
//!    reply       ────────→
//!                ←────────     ack
//! ```
//!
//! Each role is a value that eats packets and says what to do next. The acceptor sends nothing that depends on the
//! cookie before the dialler has proved that it knows it.

mod accept;
mod dial;
mod packet;

pub use accept::Accepting;
pub use dial::Dialing;
pub use packet::{NameMessage, Status};

use bytes::Bytes;

use super::Flags;

/// The longest handshake packet that we take: a name message with a name of 255 characters fits several times.
#[must_use]
pub const fn local_packet_limit() -> usize {
    4096
}

/// What the driver of a handshake does next.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Send this packet (length field not included) and wait for the next one.
    Send(Bytes),
    /// An acceptor: say which [`Status`] the node named here gets, [`Accepting::status`]. A dialler: the peer believes
    /// to be connected; say whether the attempt is still wanted, [`Dialing::alive`].
    Decide,
    /// Go on, nothing to send.
    Wait,
    /// An acceptor has verified the dialler: send this ack when the connection may come up, then frames follow.
    Verified(Bytes),
    /// A dialler has verified the acceptor: frames follow.
    Up,
    /// Stop quietly: refused, or no longer wanted.
    Close,
}

/// The other side of a finished handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Full node name.
    pub name: String,
    /// What both sides have.
    pub flags: Flags,
    /// The incarnation of the peer.
    pub creation: u32,
}

impl Peer {
    /// Whether `nodes/0` lists it; hidden otherwise.
    #[must_use]
    pub const fn is_visible(&self) -> bool {
        self.flags.contains(Flags::PUBLISHED)
    }
}

/// Why a handshake ended without a connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// A packet that is too short, of another kind than the state wants, or with fields that contradict each other.
    #[error("malformed {0} message")]
    Malformed(&'static str),
    /// A node name without exactly one `@`, with an empty side, a control character, or more than 255 characters.
    #[error("not a node name: {0:?}")]
    Name(String),
    /// The acceptor answered with a status that means no.
    #[error("refused by the peer with status {0:?}")]
    Refused(String),
    /// The node that answered is not the one that was dialled.
    #[error("dialled {dialled} but {answered} answered")]
    WrongNode {
        /// Whom we dialled.
        dialled: String,
        /// Who answered.
        answered: String,
    },
    /// The peer lacks flags that we demand.
    #[error("the peer lacks mandatory distribution flags (it offers {0:?})")]
    Flags(Flags),
    /// The digest is wrong: the cookies differ.
    #[error("the peer has another cookie")]
    Cookie,
}

/// `MD5(cookie, decimal text of the challenge)` (`gen_digest/2` in `dist_util.erl`).
fn digest(cookie: &[u8], challenge: u32) -> [u8; 16] {
    let mut context = md5::Context::new();
    context.consume(cookie);
    context.consume(challenge.to_string());
    context.finalize().0
}

fn is_digest_right(cookie: &[u8], challenge: u32, claimed: &[u8; 16]) -> bool {
    use subtle::ConstantTimeEq;
    digest(cookie, challenge).ct_eq(claimed).into()
}

/// Checks a full node name as it stands on the wire.
fn check_name(name: &str) -> Result<(), HandshakeError> {
    if is_node_name(name) { Ok(()) } else { Err(HandshakeError::Name(name.to_owned())) }
}

/// Whether this is a full node name: exactly one `@` between two parts, at most 255 characters, none a control
/// character.
#[must_use]
pub fn is_node_name(name: &str) -> bool {
    let is_right = name.split_once('@').is_some_and(|(short, host)| {
        !short.is_empty() && !host.is_empty() && !host.contains('@') && name.chars().count() <= 255
    });
    is_right && !name.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COOKIE: &[u8] = b"secret";

    fn name(name: &str, flags: Flags) -> NameMessage {
        NameMessage { flags, creation: 7, name: name.to_owned() }
    }

    /// Runs both roles against each other; the last packets' senders are checked by the receivers.
    fn run(acceptor_cookie: &'static [u8]) -> Result<(Peer, Peer), HandshakeError> {
        let mut dialing = Dialing::new(name("a@h", Flags::OFFERED), "b@h", COOKIE.to_vec().into(), 11);
        let mut accepting = Accepting::new(name("b@h", Flags::OFFERED), acceptor_cookie.to_vec().into(), 22);
        assert_eq!(accepting.packet(&dialing.start())?, Step::Decide);
        assert_eq!(accepting.peer_name(), "a@h");
        let [status, challenge] = accepting.status(&Status::Ok).try_into().unwrap();
        assert_eq!(dialing.packet(&status)?, Step::Wait);
        let Step::Send(reply) = dialing.packet(&challenge)? else { panic!() };
        let Step::Verified(ack) = accepting.packet(&reply)? else { panic!() };
        assert_eq!(dialing.packet(&ack)?, Step::Up);
        Ok((accepting.peer(), dialing.peer()))
    }

    #[test]
    fn both_roles_agree() {
        let (dialler, acceptor) = run(COOKIE).unwrap();
        assert_eq!((dialler.name.as_str(), acceptor.name.as_str()), ("a@h", "b@h"));
        assert_eq!(dialler.flags, acceptor.flags);
        assert!(!dialler.is_visible());
    }

    #[test]
    fn another_cookie_is_refused() {
        assert_eq!(run(b"other"), Err(HandshakeError::Cookie));
    }

    #[test]
    fn alive_is_answered_before_the_challenge() {
        let mut dialing = Dialing::new(name("a@h", Flags::OFFERED), "b@h", COOKIE.to_vec().into(), 11);
        let mut accepting = Accepting::new(name("b@h", Flags::OFFERED), COOKIE.to_vec().into(), 22);
        accepting.packet(&dialing.start()).unwrap();
        let [status] = accepting.status(&Status::Alive).try_into().unwrap();
        assert_eq!(dialing.packet(&status), Ok(Step::Decide));
        let answer = dialing.alive(true);
        assert_eq!(&answer[..], b"strue");
        let Step::Send(challenge) = accepting.packet(&answer).unwrap() else { panic!() };
        assert!(matches!(dialing.packet(&challenge).unwrap(), Step::Send(_)));

        let mut accepting = Accepting::new(name("b@h", Flags::OFFERED), COOKIE.to_vec().into(), 22);
        accepting.packet(&dialing.start()).unwrap();
        accepting.status(&Status::Alive);
        assert_eq!(accepting.packet(b"sfalse"), Ok(Step::Close));
    }

    #[test]
    fn nameless_dialler_gets_a_name() {
        let mut accepting = Accepting::new(name("b@h", Flags::OFFERED), COOKIE.to_vec().into(), 22);
        let nameless = name("h", Flags::OFFERED | Flags::NAME_ME);
        assert_eq!(accepting.packet(&nameless.encode()), Ok(Step::Decide));
        assert!(accepting.wants_name());
        let packets = accepting.status(&Status::Named { name: "X1@h".into(), creation: 9 });
        assert_eq!(&packets[0][..], b"snamed:\0\x04X1@h\0\0\0\x09");
        assert_eq!(accepting.peer().creation, 9);
    }

    #[test]
    fn bad_names_and_missing_flags() {
        for bad in ["a", "@h", "a@", "a@h@h", "a@h\n"] {
            let mut accepting = Accepting::new(name("b@h", Flags::OFFERED), COOKIE.to_vec().into(), 22);
            let refused = accepting.packet(&name(bad, Flags::OFFERED).encode());
            assert!(matches!(refused, Err(HandshakeError::Name(_))), "{bad}");
        }
        let mut accepting = Accepting::new(name("b@h", Flags::OFFERED), COOKIE.to_vec().into(), 22);
        let lacking = Flags::OFFERED.without(Flags::MANDATORY_25_DIGEST).without(Flags::from_bits(1 << 24));
        let refused = accepting.packet(&name("a@h", lacking).encode());
        assert!(matches!(refused, Err(HandshakeError::Flags(_))));
    }

    #[test]
    fn order_is_enforced() {
        let mut accepting = Accepting::new(name("b@h", Flags::OFFERED), COOKIE.to_vec().into(), 22);
        assert!(accepting.packet(b"r0000aaaaaaaaaaaaaaaa").is_err());
        for packet in [&b""[..], b"N", b"n\0\x05\0\0\0\0a@h", b"N\0\0\0\0\0\0\0\0\0\0\0\0\xff\xffa@h"] {
            let mut accepting = Accepting::new(name("b@h", Flags::OFFERED), COOKIE.to_vec().into(), 22);
            assert!(accepting.packet(packet).is_err(), "{packet:?}");
        }
    }
}
