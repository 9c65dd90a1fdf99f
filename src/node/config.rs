//! What a node has to be told.

use std::time::Duration;

use zeroize::Zeroizing;

use super::Resolver;
use super::net_kernel::Defaults;

/// Settings of a [`super::Node`].
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// Full node name, `name@host`.
    pub name: String,
    /// The cookie, shared with every peer.
    pub cookie: Zeroizing<Vec<u8>>,
    /// Offer `PUBLISHED`, so that peers list us in `nodes/0`.
    pub is_visible: bool,
    /// A peer that is silent this long is down; a tick goes out four times in it.
    pub net_ticktime: Duration,
    /// A handshake step takes at most this long, and dialling in all (`net_setuptime`).
    pub setup_time: Duration,
    /// Finds the nodes that we dial.
    pub resolver: Resolver,
    /// Whether referring to a node that is not connected connects to it.
    pub auto_connect: AutoConnect,
    /// The longest frame that is taken from a peer, in bytes.
    pub frame_limit: usize,
    /// Bytes that may wait for a peer that does not read, before it is dropped.
    pub outbox_limit: usize,
    /// Handshakes under way at once, on each listener; one more ends the oldest.
    pub handshake_limit: usize,
    /// Messages that may wait in one mailbox before its senders wait.
    pub mailbox_limit: usize,
    /// Options of the sockets of listeners and connections.
    pub socket_defaults: Defaults,
    /// Whether callers on other nodes may change this one (`allow`, `set_net_ticktime`, `setopts`, connecting to others and
    /// `halt`); all others are answered in any case.
    pub is_admin_allowed: bool,
}

impl NodeConfig {
    /// OTP's defaults, for a hidden node.
    #[must_use]
    pub fn new(name: impl Into<String>, cookie: Zeroizing<Vec<u8>>) -> Self {
        Self {
            name: name.into(),
            cookie,
            is_visible: false,
            net_ticktime: Duration::from_secs(60),
            setup_time: Duration::from_secs(7),
            resolver: Resolver::default(),
            auto_connect: AutoConnect::default(),
            frame_limit: 16 << 20,
            outbox_limit: 32 << 20,
            handshake_limit: 256,
            mailbox_limit: 16 << 10,
            socket_defaults: Defaults::default(),
            is_admin_allowed: false,
        }
    }
}

/// Whether referring to a node that is not connected connects to it: the Kernel parameter `dist_auto_connect`
/// (`do_auto_connect_2` and `delete_connection` in `net_kernel.erl`). [`Node::connect_node`](super::Node::connect_node)
/// always may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AutoConnect {
    /// Every time.
    #[default]
    Always,
    /// Not again after a connection to the node was lost, until one comes up by other means.
    Once,
    /// Only explicit connects.
    Never,
}
