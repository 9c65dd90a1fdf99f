//! `[limits]` in the file: how much others may take.

use std::path::Path;

use serde::Deserialize as _;
use toml::{Table, Value};

use super::ConfigError;
use super::ranking::{Wrong, unknown};
use crate::epmd;
use crate::node::NodeConfig;

/// The key of the file.
pub(super) const KEY: &str = "limits";

/// How much others may take. What is beyond is refused, or ends what asked for it; nothing else suffers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The longest frame of a peer, in bytes.
    pub frame_bytes: usize,
    /// The terms in one message.
    pub terms: usize,
    /// Bytes that wait for a peer that does not read, before it is dropped.
    pub unread_bytes: usize,
    /// Connections.
    pub connections: usize,
    /// Handshakes under way, on each address that we listen on.
    pub half_open: usize,
    /// Of these, from one address.
    pub half_open_per_address: usize,
    /// Processes that subscribe.
    pub subscribers: usize,
    /// What an embedded epmd takes.
    pub epmd: epmd::Limits,
}

impl Default for Limits {
    fn default() -> Self {
        let node = NodeConfig::default();
        Self {
            frame_bytes: node.frame_limit,
            terms: node.term_limit,
            unread_bytes: node.outbox_limit,
            connections: node.connection_limit,
            half_open: node.handshake_limit,
            half_open_per_address: node.handshake_limit_per_address,
            subscribers: 1024,
            epmd: epmd::Limits::default(),
        }
    }
}

impl Limits {
    /// By the keys of the file, with the least that makes sense.
    fn fields(&mut self) -> [(&'static str, usize, &mut usize); 9] {
        [
            // What OTP's own messages need: a stack trace, say.
            ("frame_bytes", 64 << 10, &mut self.frame_bytes),
            ("terms", 1 << 10, &mut self.terms),
            ("unread_bytes", 1 << 20, &mut self.unread_bytes),
            ("connections", 1, &mut self.connections),
            ("half_open", 2, &mut self.half_open),
            ("half_open_per_address", 1, &mut self.half_open_per_address),
            ("subscribers", 0, &mut self.subscribers),
            ("epmd_names", 1, &mut self.epmd.names),
            ("epmd_connections", 2, &mut self.epmd.seats),
        ]
    }
}

/// The keys and their defaults, for the reference.
#[must_use]
pub fn limits_with_defaults() -> Vec<(&'static str, usize)> {
    Limits::default().fields().into_iter().map(|(key, _, value)| (key, *value)).collect()
}

/// More is none.
const MOST: usize = u32::MAX as usize;

/// What the file's `table` says of limits.
///
/// # Errors
///
/// [`ConfigError::Value`] with the key and the reason.
pub(super) fn read(table: &Table, file: &Path) -> Result<Limits, ConfigError> {
    let Some(value) = table.get(KEY) else { return Ok(Limits::default()) };
    limits(value).map_err(|(key, reason)| ConfigError::Value { file: file.to_owned(), key, reason })
}

fn limits(value: &Value) -> Result<Limits, Wrong> {
    let wrong = || (KEY.to_owned(), "written as [limits], with keys below it".to_owned());
    let mut limits = Limits::default();
    let table = value.as_table().ok_or_else(wrong)?;
    for (key, value) in table {
        let mut fields = limits.fields();
        let Some((_, least, field)) = fields.iter_mut().find(|(name, ..)| name == key) else {
            return Err((format!("{KEY}: {key}"), unknown("key", key, &fields.map(|(name, ..)| name))));
        };
        let number = usize::deserialize(value.clone()).ok().filter(|number| (*least..=MOST).contains(number));
        **field = number.ok_or_else(|| (format!("{KEY}: {key}"), format!("not a number from {least} to {MOST}")))?;
    }
    if !table.contains_key("half_open_per_address") {
        limits.half_open_per_address = limits.half_open / 2;
    } else if limits.half_open_per_address > limits.half_open {
        let reason = format!("more than half_open, which is {}", limits.half_open);
        return Err((format!("{KEY}: half_open_per_address"), reason));
    }
    Ok(limits)
}
