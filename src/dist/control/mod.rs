//! Control messages (distribution protocol guide, "Protocol between Connected Nodes"; OTP 29's `erl_dist.c`).
//!
//! `erl_dist` has these types too, but it writes `{}` where OTP wants `''`, knows no op 37, refuses argument lists that
//! arrive as byte lists, and takes no notice of negotiated flags: hence ours.

mod decode;
mod encode;

use eetf::{Atom, Pid, Reference, Term};

use super::Flags;
use crate::term::{self, DecodeError, Limits};

/// Bits of op 37 (`DOP_ALTACT_SIG_FLG_*` in OTP 29's `dist.h`).
pub mod altact {
    /// Before other signals. Only for those who asked for it, as no process of ours can.
    pub const PRIORITY: i64 = 1;
    /// A trace token stands behind `to`.
    pub const TOKEN: i64 = 2;
    /// `to` is an alias.
    pub const ALIAS: i64 = 4;
    /// `to` is a registered name.
    pub const NAME: i64 = 8;
    /// The payload is the reason of an exit signal.
    pub const EXIT: i64 = 16;
}

/// First byte of a frame without a distribution header.
const PASS_THROUGH: u8 = 112;
/// First byte of a term.
const TERM_VERSION: u8 = 131;

/// A process as monitors name it: by pid, or by registered name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// A pid.
    Pid(Pid),
    /// A registered name.
    Name(Atom),
}

/// What one node tells another. Operations that carry a trace token are the same ones here; see [`Message::token`].
/// Fields are named as in the guide.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub enum Control {
    /// 1
    Link { from: Pid, to: Pid },
    /// 2, to a pid; its payload is the message.
    Send { to: Pid },
    /// 3
    Exit { from: Pid, to: Pid, reason: Term },
    /// 4, obsolete.
    Unlink { from: Pid, to: Pid },
    /// 6, to a registered name; its payload is the message.
    RegSend { from: Pid, name: Atom },
    /// 7
    GroupLeader { leader: Pid, member: Pid },
    /// 8
    Exit2 { from: Pid, to: Pid, reason: Term },
    /// 19
    MonitorP { from: Pid, target: Target, reference: Reference },
    /// 20
    DemonitorP { from: Pid, target: Target, reference: Reference },
    /// 21
    MonitorPExit { target: Target, to: Pid, reference: Reference, reason: Term },
    /// 22; its payload is the message.
    SendSender { from: Pid, to: Pid },
    /// 24; its payload is the reason.
    PayloadExit { from: Pid, to: Pid },
    /// 26; its payload is the reason.
    PayloadExit2 { from: Pid, to: Pid },
    /// 28; its payload is the reason.
    PayloadMonitorPExit { target: Target, to: Pid, reference: Reference },
    /// 29; its payload is the argument list.
    SpawnRequest {
        reference: Reference,
        from: Pid,
        leader: Pid,
        module: Atom,
        function: Atom,
        arity: i64,
        options: Term,
    },
    /// 31; `flags` say linked (1) and monitored (2), `result` is a pid or an error atom.
    SpawnReply { reference: Reference, to: Pid, flags: i64, result: Term },
    /// 33; its payload is the message.
    AliasSend { from: Pid, alias: Reference },
    /// 35
    UnlinkId { id: Term, from: Pid, to: Pid },
    /// 36
    UnlinkIdAck { id: Term, from: Pid, to: Pid },
    /// 37 (OTP 28 and later); `to` is a pid, an alias or a name, as `bits` say; its payload is the message or reason.
    AltactSend { bits: i64, from: Pid, to: Term },
}

impl Control {
    /// Whether a payload follows. It depends on the operation alone.
    #[must_use]
    pub const fn has_payload(&self) -> bool {
        matches!(
            self,
            Self::Send { .. }
                | Self::RegSend { .. }
                | Self::SendSender { .. }
                | Self::PayloadExit { .. }
                | Self::PayloadExit2 { .. }
                | Self::PayloadMonitorPExit { .. }
                | Self::SpawnRequest { .. }
                | Self::AliasSend { .. }
                | Self::AltactSend { .. }
        )
    }

    /// A message to `to`, as the peer wants it.
    #[must_use]
    pub fn send(flags: Flags, from: Pid, to: Pid) -> Self {
        if flags.contains(Flags::SEND_SENDER) { Self::SendSender { from, to } } else { Self::Send { to } }
    }

    /// A message to `alias`, as the peer wants it.
    #[must_use]
    pub fn alias_send(flags: Flags, from: Pid, alias: Reference) -> Self {
        if flags.contains(Flags::ALTACT_SIG) {
            Self::AltactSend { bits: altact::ALIAS, from, to: alias.into() }
        } else {
            Self::AliasSend { from, alias }
        }
    }

    /// The end of a monitored process, as the peer wants it, with its payload.
    #[must_use]
    pub fn monitor_exit(
        flags: Flags,
        target: Target,
        to: Pid,
        reference: Reference,
        reason: Term,
    ) -> (Self, Option<Term>) {
        if flags.contains(Flags::EXIT_PAYLOAD) {
            (Self::PayloadMonitorPExit { target, to, reference }, Some(reason))
        } else {
            (Self::MonitorPExit { target, to, reference, reason }, None)
        }
    }

    /// The end of a linked process, as the peer wants it, with its payload.
    #[must_use]
    pub fn exit(flags: Flags, from: Pid, to: Pid, reason: Term) -> (Self, Option<Term>) {
        if flags.contains(Flags::EXIT_PAYLOAD) {
            (Self::PayloadExit { from, to }, Some(reason))
        } else {
            (Self::Exit { from, to, reason }, None)
        }
    }

    /// `exit/2`, as the peer wants it, with its payload.
    #[must_use]
    pub fn exit2(flags: Flags, from: Pid, to: Pid, reason: Term) -> (Self, Option<Term>) {
        if flags.contains(Flags::EXIT_PAYLOAD) {
            (Self::PayloadExit2 { from, to }, Some(reason))
        } else {
            (Self::Exit2 { from, to, reason }, None)
        }
    }

    /// Appends a whole frame, length field included, to `out`.
    pub fn encode(&self, payload: Option<&Term>, out: &mut Vec<u8>) {
        self.encode_with_token(None, payload, out);
    }

    fn encode_with_token(&self, token: Option<&Term>, payload: Option<&Term>, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend([0; 4]);
        out.extend([PASS_THROUGH, TERM_VERSION]);
        term::encode(&encode::tuple(self, token), out);
        if let Some(payload) = payload {
            out.push(TERM_VERSION);
            term::encode(payload, out);
        }
        set_length(out, start);
    }
}

/// Enters the length of the frame that began at `start` with room for it, and ends here.
pub(super) fn set_length(out: &mut [u8], start: usize) {
    let Some((field, content)) = out.get_mut(start..).and_then(<[u8]>::split_first_chunk_mut) else { return };
    *field = u32::try_from(content.len()).unwrap_or(u32::MAX).to_be_bytes();
}

/// A frame's content: a control message and, for some operations, a payload.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// What is to be done.
    pub control: Control,
    /// The trace token of `seq_trace` that came with it; carries no meaning for us.
    pub token: Option<Term>,
    /// The message, exit reason or argument list.
    pub payload: Option<Term>,
}

/// Why a frame makes us drop the connection, as a BEAM would.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// The first byte is not 112: a distribution header, for one, that we did not negotiate.
    #[error("a frame begins with byte {0:?}")]
    Framing(Option<u8>),
    /// The control message cannot be decoded.
    #[error("bad control message: {0}")]
    Control(DecodeError),
    /// The payload cannot be decoded.
    #[error("bad payload: {0}")]
    Payload(DecodeError),
    /// An operation that we do not know, or one whose tuple has another shape.
    #[error("control message not understood: {0}")]
    Unknown(String),
}

impl Message {
    /// Decodes the body of a frame that is not a tick.
    ///
    /// # Errors
    /// [`MessageError`]; the connection cannot go on then.
    pub fn decode(body: &[u8], limits: Limits) -> Result<Self, MessageError> {
        let Some((&PASS_THROUGH, rest)) = body.split_first() else {
            return Err(MessageError::Framing(body.first().copied()));
        };
        let (term, after) = term::decode_prefix(rest, limits).map_err(MessageError::Control)?;
        let Some((control, token)) = decode::tuple(term) else {
            // Taken apart for nothing: decoded once more, only to be shown.
            let term = term::decode(rest, limits).map_err(MessageError::Control)?;
            return Err(MessageError::Unknown(term::Show(&term).to_string()));
        };
        let payload = if control.has_payload() {
            Some(term::decode(after, limits).map_err(MessageError::Payload)?)
        } else {
            None
        };
        Ok(Self { control, token, payload })
    }

    /// Appends the whole frame, length field included, to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.control.encode_with_token(self.token.as_ref(), self.payload.as_ref(), out);
    }
}
