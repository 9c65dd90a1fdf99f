//! What a node has to be told.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use zeroize::Zeroizing;

use super::net_kernel::Defaults;
use super::{Cookie, NodePattern, Permissions, Resolver, Tls};
use crate::epmd::{self, DEFAULT_PORT, EpmdConfig, EpmdMode};

/// Settings of a [`super::Node`].
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// The cookie, shared with every peer but those of `cookies`.
    pub cookie: Zeroizing<Vec<u8>>,
    /// The cookies of nodes that have another one, as `erlang:set_cookie/2` sets them. The first that fits counts.
    pub cookies: Vec<(NodePattern, Cookie)>,
    /// The certificates, if all connections are to be TLS (`-proto_dist inet_tls`).
    pub tls: Option<Tls>,
    /// Offer `PUBLISHED`, so that peers list us in `nodes/0`; see [`NodeBuilder::visible`](super::NodeBuilder::visible).
    pub is_visible: bool,
    /// A peer that is silent this long is down.
    pub net_ticktime: Duration,
    /// How often a tick goes out in it, 4 to 1000; what is beyond is taken for the nearest of these.
    pub net_tickintensity: u16,
    /// Where it listens, and with which port mapper it registers.
    pub listen: Listen,
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
    /// Terms that one message may have, in all.
    pub term_limit: usize,
    /// Connections at once; a peer that proves the cookie beyond that is told to go.
    pub connection_limit: usize,
    /// Handshakes under way at once, on each listener; one more ends the oldest of the address that has most.
    pub handshake_limit: usize,
    /// Of these, from one address (in IPv6: from one /64); one more ends the oldest of that address.
    pub handshake_limit_per_address: usize,
    /// Messages that may wait in one mailbox before its senders wait. One of more than 4 KiB counts as several.
    pub mailbox_limit: usize,
    /// Options of the sockets of listeners and connections.
    pub socket_defaults: Defaults,
    /// What callers on other nodes may do.
    pub permissions: Permissions,
    /// The nodes that may connect, as for `net_kernel:allow/1`; all, if there are none.
    pub allow: Vec<String>,
}

impl NodeConfig {
    /// OTP's defaults, for a hidden node that listens on loopback.
    #[must_use]
    pub fn new(cookie: &Cookie) -> Self {
        let mut config = Self::default();
        config.set_cookie(cookie);
        config
    }

    /// The cookie that is shared with `node`.
    pub(super) fn cookie_of(&self, node: &str) -> Zeroizing<Vec<u8>> {
        let own = self.cookies.iter().find(|(pattern, _)| pattern.fits(node));
        own.map_or_else(|| self.cookie.clone(), |(_, cookie)| Zeroizing::new(cookie.as_bytes().to_vec()))
    }

    pub(super) fn set_cookie(&mut self, cookie: &Cookie) {
        self.cookie = Zeroizing::new(cookie.as_bytes().to_vec());
    }
}

impl Default for NodeConfig {
    /// Without a cookie: no peer has an empty one.
    fn default() -> Self {
        Self {
            cookie: Zeroizing::default(),
            cookies: Vec::new(),
            tls: None,
            is_visible: false,
            net_ticktime: Duration::from_secs(60),
            net_tickintensity: 4,
            listen: Listen::default(),
            setup_time: Duration::from_secs(7),
            resolver: Resolver::default(),
            auto_connect: AutoConnect::default(),
            frame_limit: 16 << 20,
            outbox_limit: 32 << 20,
            term_limit: crate::term::Limits::default().terms,
            connection_limit: 1024,
            handshake_limit: 256,
            handshake_limit_per_address: 128,
            mailbox_limit: 16 << 10,
            socket_defaults: Defaults::default(),
            permissions: Permissions::default(),
            allow: Vec::new(),
        }
    }
}

/// Where a node listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// The addresses, the main one first.
    pub addresses: Vec<IpAddr>,
    /// The port, the same on all of them; 0 lets the kernel choose.
    pub port: u16,
    /// Which port mapper to use.
    pub epmd: EpmdConfig,
}

impl Default for Listen {
    /// 127.0.0.1, any port, and the epmd on the usual port, which is served if none runs.
    fn default() -> Self {
        let addresses = vec![IpAddr::V4(Ipv4Addr::LOCALHOST)];
        let epmd = EpmdConfig {
            mode: EpmdMode::Auto,
            addresses: addresses.clone(),
            port: DEFAULT_PORT,
            limits: epmd::Limits::default(),
        };
        Self { addresses, port: 0, epmd }
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
