//! Why there is no answer, and what to do next.

use crate::cli::ExitCode;
use crate::config::ConfigError;
use crate::node::{CallError, CookieError, DialError, StartError, TlsError};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// There is no usable cookie.
    #[error(transparent)]
    Cookie(#[from] CookieError),
    /// There are no usable certificates.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// We cannot be a node here.
    #[error(transparent)]
    Start(#[from] StartError),
    /// No node can have the name that was given.
    #[error("--node {given:?}: {reason}")]
    Name {
        /// As given.
        given: String,
        /// Why not.
        reason: &'static str,
    },
    /// The node is not there.
    #[error("{error}; {hint}", error = .0, hint = absence_hint(.0))]
    NoNode(DialError),
    /// The node would not have us.
    #[error("{error}; {hint}", error = .0, hint = refusal_hint(.0))]
    Refused(DialError),
    /// It and we do not agree on TLS.
    #[error("{0}; see --tls, --tls-cert and --tls-ca")]
    Insecure(DialError),
    /// It gave no answer.
    #[error("{to} on {node} has no answer: {error}; {}", next_step(to, error))]
    NoAnswer {
        /// The node.
        node: String,
        /// The process.
        to: String,
        /// Why not.
        error: CallError,
    },
    /// It answered with an error.
    #[error("{node} says {answer}{}", permission_hint(answer))]
    Error {
        /// The node.
        node: String,
        /// What it says.
        answer: String,
    },
    /// The operating system would not give what every program gets.
    #[error("cannot start the runtime: {0}")]
    System(std::io::Error),
}

/// Nothing is there, or nothing comes through.
const fn absence_hint(error: &DialError) -> &'static str {
    if error.is_silence() { FIREWALL } else { IS_IT_RUNNING }
}

const IS_IT_RUNNING: &str = "is it running? `beamroute names HOST` lists the nodes of a host";

/// Where nothing at all has come back.
pub(in crate::cli) const FIREWALL: &str =
    "does a firewall stand between? epmd's port must be open, and the node's own, which --port fixes";

/// A node refuses for its name or for the cookie.
fn refusal_hint(error: &DialError) -> &'static str {
    if error.to_string().ends_with(" answered") {
        "a node is called by the name that it has itself; long and short names do not meet"
    } else {
        "both need the same cookie, see --cookie-file"
    }
}

fn permission_hint(answer: &str) -> &'static str {
    if answer.contains("not_allowed") { "; its configuration says who may: see [[permission]] and --admin" } else { "" }
}

/// What to try when there was no answer.
fn next_step(to: &str, error: &CallError) -> &'static str {
    match error {
        CallError::NotConnected(_) => IS_IT_RUNNING,
        CallError::Down(_) if to == "route_manager" => {
            "is it a beamroute? `beamroute call --to NAME` calls other processes"
        }
        CallError::Down(_) => {
            "the function registered(), called as 'erlang:registered()', tells the names of a node's processes"
        }
        CallError::Timeout => {
            "see its log; `beamroute ping` tells whether the node itself answers, --timeout waits longer"
        }
    }
}

impl AskError {
    pub(super) const fn unconnected(error: DialError) -> Self {
        if error.is_about_tls() {
            Self::Insecure(error)
        } else if error.is_refused() {
            Self::Refused(error)
        } else {
            Self::NoNode(error)
        }
    }
}

impl From<&AskError> for ExitCode {
    fn from(error: &AskError) -> Self {
        match error {
            AskError::Config(_) | AskError::Cookie(_) | AskError::Tls(_) => Self::Configuration,
            AskError::Name { .. } => Self::Usage,
            AskError::NoNode(_) => Self::NoSuchNode,
            AskError::Refused(_) | AskError::Insecure(_) | AskError::Error { .. } => Self::Refused,
            AskError::NoAnswer { error: CallError::NotConnected(_), .. } => Self::NoSuchNode,
            AskError::Start(_) | AskError::NoAnswer { .. } | AskError::System(_) => Self::Failed,
        }
    }
}
