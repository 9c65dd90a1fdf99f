//! The distribution protocol of one connection, without I/O: no sockets, no clocks, no tasks.
//!
//! ```text
//! bytes ─ FrameDecoder ─→ handshake packets ─ Accepting / Dialing ─→ Peer
//!                     └─→ frames ─ Message::decode ─→ control message and payload
//! ```
//!
//! Time arrives as an argument ([`Tick`]), randomness as a challenge. Constants come from
//! `lib/kernel/include/dist.hrl` (OTP 29), where `MANDATORY_25_DIGEST` is bit 26.
//!
//! Stands on [`crate::term`]. `erl_dist` has a handshake and a channel, and we use neither: its handshake hangs when
//! the answer is `alive` and checks neither names nor flags, its channel allocates what the length field says.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

mod control;
mod flags;
mod flat;
mod frame;
mod handshake;
mod monitor;
mod tick;

pub use control::{Control, Message, MessageError, Target, altact};
pub use flags::Flags;
pub use flat::{Flat, FlatCall, Gathering, Request};
pub use frame::{FrameDecoder, FrameError, Header};
pub use handshake::{
    Accepting, Dialing, HandshakeError, NameMessage, Peer, Status, Step, is_node_name, local_packet_limit,
};
pub use monitor::{FlatMonitor, FlatTarget, KeptMonitor, reference_bytes};
pub use tick::{Tick, TickAction};
