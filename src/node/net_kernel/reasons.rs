//! Why a node is down (`nodedown_reason` of `net_kernel:monitor_nodes/2`).

use std::fmt;

use eetf::Term;

use crate::term::atom;

/// What happened to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeEvent {
    /// It came up.
    NodeUp,
    /// It is gone.
    NodeDown(NodedownReason),
}

/// Why a connection is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NodedownReason {
    /// The peer closed or reset it, or it could not be read or written.
    ConnectionClosed,
    /// Nothing came in for the net_ticktime.
    NetTickTimeout,
    /// We were asked to disconnect.
    Disconnect,
    /// We dropped it, because the peer broke the protocol.
    Killed,
    /// The same node has connected anew.
    WaitPending,
    /// Options of its socket could not be set once it was up.
    ConnectionSetupFailed,
    /// A tick could not be written.
    SendNetTickFailed,
    /// Our node was stopped.
    NetKernelTerminated,
    /// We dropped it, because the peer did not read and too much was waiting for it. To processes elsewhere it is
    /// `killed`: OTP has no word for it, since it suspends senders instead.
    Busy,
}

impl NodedownReason {
    /// The word that processes elsewhere are told.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ConnectionClosed => "connection_closed",
            Self::NetTickTimeout => "net_tick_timeout",
            Self::Disconnect => "disconnect",
            Self::Killed | Self::Busy => "killed",
            Self::WaitPending => "wait_pending",
            Self::ConnectionSetupFailed => "connection_setup_failed",
            Self::SendNetTickFailed => "send_net_tick_failed",
            Self::NetKernelTerminated => "net_kernel_terminated",
        }
    }

    pub(in crate::node) fn to_term(self) -> Term {
        atom(self.as_str())
    }
}

impl fmt::Display for NodedownReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Busy { "busy" } else { self.as_str() })
    }
}
