//! The handshake's messages as bytes.

use bytes::{BufMut, Bytes, BytesMut};

use super::HandshakeError;
use crate::dist::Flags;

/// `send_name`: who dials. Also the part of `send_challenge` that says who answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameMessage {
    /// Capabilities on offer.
    pub flags: Flags,
    /// Incarnation of the sender.
    pub creation: u32,
    /// Full node name (Latin-1 on the wire; only ASCII names are portable).
    pub name: String,
}

impl NameMessage {
    /// The packet, without length field.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut packet = BytesMut::new();
        packet.put_u8(b'N');
        packet.put_u64(self.flags.bits());
        packet.put_u32(self.creation);
        put_name(&mut packet, &self.name);
        packet.freeze()
    }

    pub(super) fn decode(packet: &[u8]) -> Result<Self, HandshakeError> {
        let mut fields = Fields::of(packet, b'N', "name")?;
        let (flags, creation) = (Flags::from_bits(fields.u64()?), fields.u32()?);
        Ok(Self { flags, creation, name: fields.name()? })
    }
}

/// `send_challenge`.
pub(super) struct Challenge {
    pub challenge: u32,
    pub from: NameMessage,
}

impl Challenge {
    pub(super) fn encode(&self) -> Bytes {
        let mut packet = BytesMut::new();
        packet.put_u8(b'N');
        packet.put_u64(self.from.flags.bits());
        packet.put_u32(self.challenge);
        packet.put_u32(self.from.creation);
        put_name(&mut packet, &self.from.name);
        packet.freeze()
    }

    pub(super) fn decode(packet: &[u8]) -> Result<Self, HandshakeError> {
        let mut fields = Fields::of(packet, b'N', "challenge")?;
        let flags = Flags::from_bits(fields.u64()?);
        let (challenge, creation) = (fields.u32()?, fields.u32()?);
        Ok(Self { challenge, from: NameMessage { flags, creation, name: fields.name()? } })
    }
}

/// `send_challenge_reply`: the dialler's digest and its own challenge.
pub(super) struct Reply {
    pub challenge: u32,
    pub digest: [u8; 16],
}

impl Reply {
    pub(super) fn encode(&self) -> Bytes {
        let mut packet = BytesMut::new();
        packet.put_u8(b'r');
        packet.put_u32(self.challenge);
        packet.put_slice(&self.digest);
        packet.freeze()
    }

    pub(super) fn decode(packet: &[u8]) -> Result<Self, HandshakeError> {
        let mut fields = Fields::of(packet, b'r', "challenge reply")?;
        Ok(Self { challenge: fields.u32()?, digest: fields.array()? })
    }
}

pub(super) fn encode_ack(digest: [u8; 16]) -> Bytes {
    [&b"a"[..], &digest].concat().into()
}

pub(super) fn decode_ack(packet: &[u8]) -> Result<[u8; 16], HandshakeError> {
    Fields::of(packet, b'a', "challenge ack")?.array()
}

/// What an acceptor answers to a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// No connection, and none on its way.
    Ok,
    /// We were dialling too and give our attempt up.
    OkSimultaneous,
    /// We are dialling too and our name is the greater: use that connection.
    Nok,
    /// Refused.
    NotAllowed,
    /// A connection under that name is up; the dialler says whether it wants a new one.
    Alive,
    /// The name and creation for a dialler without a name.
    Named {
        /// Full node name.
        name: String,
        /// Incarnation.
        creation: u32,
    },
}

impl Status {
    pub(super) fn encode(&self) -> Bytes {
        let mut packet = BytesMut::from(&b"s"[..]);
        packet.put_slice(match self {
            Self::Ok => b"ok",
            Self::OkSimultaneous => b"ok_simultaneous",
            Self::Nok => b"nok",
            Self::NotAllowed => b"not_allowed",
            Self::Alive => b"alive",
            Self::Named { .. } => b"named:",
        });
        if let Self::Named { name, creation } = self {
            put_name(&mut packet, name);
            packet.put_u32(*creation);
        }
        packet.freeze()
    }

    /// Decodes what an acceptor sent to us; a status that we do not know is an error.
    pub(super) fn decode(packet: &[u8]) -> Result<Self, HandshakeError> {
        let text = status_text(packet)?;
        Ok(match text {
            b"ok" => Self::Ok,
            b"ok_simultaneous" => Self::OkSimultaneous,
            b"nok" => Self::Nok,
            b"not_allowed" => Self::NotAllowed,
            b"alive" => Self::Alive,
            _ => return Err(HandshakeError::Refused(text.escape_ascii().to_string())),
        })
    }
}

pub(super) fn alive_answer(is_wanted: bool) -> Bytes {
    Bytes::from_static(if is_wanted { b"strue" } else { b"sfalse" })
}

pub(super) fn decode_alive_answer(packet: &[u8]) -> Result<bool, HandshakeError> {
    match status_text(packet)? {
        b"true" => Ok(true),
        b"false" => Ok(false),
        _ => Err(HandshakeError::Malformed("alive answer")),
    }
}

fn status_text(packet: &[u8]) -> Result<&[u8], HandshakeError> {
    packet.strip_prefix(b"s").ok_or(HandshakeError::Malformed("status"))
}

fn put_name(packet: &mut BytesMut, name: &str) {
    // Names are checked to 255 characters before they come here.
    let latin1: Vec<u8> = name.chars().map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?')).collect();
    packet.put_u16(u16::try_from(latin1.len()).unwrap_or(u16::MAX));
    packet.put_slice(&latin1);
}

struct Fields<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Fields<'a> {
    fn of(packet: &'a [u8], tag: u8, what: &'static str) -> Result<Self, HandshakeError> {
        match packet.split_first() {
            Some((first, rest)) if *first == tag => Ok(Self { rest, what }),
            _ => Err(HandshakeError::Malformed(what)),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], HandshakeError> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(HandshakeError::Malformed(self.what))?;
        self.rest = rest;
        Ok(*taken)
    }

    fn u32(&mut self) -> Result<u32, HandshakeError> {
        self.array().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Result<u64, HandshakeError> {
        self.array().map(u64::from_be_bytes)
    }

    /// A name with its length; bytes behind it are for later versions of the protocol, and ignored.
    fn name(&mut self) -> Result<String, HandshakeError> {
        let len = usize::from(u16::from_be_bytes(self.array()?));
        let name = self.rest.get(..len).ok_or(HandshakeError::Malformed(self.what))?;
        Ok(name.iter().map(|b| char::from(*b)).collect())
    }
}
