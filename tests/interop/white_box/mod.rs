//! The protocol byte by byte, in the manner of OTP's own white-box suite: no BEAM, only the daemon and peers written by
//! hand. What they say and must hear stands in tables, as Erlang text.

mod callers;
mod frames;
mod handshake;
mod operations;

use crate::support::epmd::Place;
use crate::support::{Daemon, Netns, Talk};

/// The epmd of a daemon that serves it itself, the daemon, and its namespace.
pub struct Alone {
    pub daemon: Daemon,
    pub place: Place,
    _net: Netns,
}

impl Alone {
    pub fn start(flags: &[&str]) -> Option<Self> {
        let place = Place::free();
        let net = Netns::two_interfaces()?;
        let daemon = Daemon::options(&place).netns(&net).epmd("embedded").flags(flags).start();
        Some(Self { daemon, place, _net: net })
    }
}

/// A peer that has asked to hear of all nodes, and why they go.
pub fn subscriber(daemon: &Daemon) -> Talk {
    let mut talk = Talk::under(daemon, "subscriber@127.0.0.1", crate::support::raw::FLAGS);
    let options = "[nodedown_reason, {node_type, all}]";
    talk.say(&format!("{{6, Me, '', net_kernel}} {{'$gen_call', {{Me, R4}}, {{monitor_nodes, true, {options}}}}}"));
    talk.hears("{19, _, Me, _}");
    talk.hears("{22, _, Me} {R4, ok}");
    talk
}

impl Talk {
    /// The next news of a subscriber is that `name` is up.
    #[track_caller]
    pub fn hears_up(&mut self, name: &str) {
        self.hears(&format!("{{22, _, Me}} {{nodeup, '{name}', [{{node_type, hidden}}]}}"));
    }

    /// The next news of a subscriber is that `name` is down.
    #[track_caller]
    pub fn hears_down(&mut self, name: &str, reason: &str) {
        let info = format!("[{{nodedown_reason, {reason}}}, {{node_type, hidden}}]");
        self.hears(&format!("{{22, _, Me}} {{nodedown, '{name}', {info}}}"));
    }
}
