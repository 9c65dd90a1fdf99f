//! Calls of ours: `gen_server:call/3` to a process on another node.

use std::time::Duration;

use eetf::{Atom, Term};

use super::Node;
use crate::dist::{Control, Target};
use crate::term::{as_tuple, atom, tuple};

/// Why a call brought no reply.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CallError {
    /// There is no connection to the node, and none could be made.
    #[error("not connected to {0}")]
    NotConnected(String),
    /// The process is not there, or ended before it replied; the exit reason.
    #[error("the process is down: {}", crate::term::Show(.0))]
    Down(Term),
    /// No reply in time.
    #[error("no reply in time")]
    Timeout,
}

impl Node {
    /// Calls the process registered as `name` on the node `peer`, to which it connects first as
    /// [`NodeConfig::auto_connect`](super::NodeConfig::auto_connect) allows; that takes of `patience` too.
    ///
    /// # Errors
    /// [`CallError`]. After a time-out a late reply is dropped.
    pub async fn call(&self, peer: &str, name: &str, request: Term, patience: Duration) -> Result<Term, CallError> {
        let end = tokio::time::Instant::now() + patience;
        let connected = tokio::time::timeout_at(end, self.connect_automatically(peer)).await;
        let not_connected = || CallError::NotConnected(peer.to_owned());
        connected.map_err(|_| CallError::Timeout)?.map_err(|_| not_connected())?;
        let connection = self.state().connection(peer).ok_or_else(not_connected)?;
        let reference = self.fresh_reference();
        let us = self.fresh_pid();
        let outcome = self.state().begin_call(reference.clone(), peer);
        let name = Atom::from(name);
        let target = Target::Name(name.clone());
        let alias = eetf::ImproperList { elements: vec![atom("alias")], last: Box::new(reference.clone().into()) };
        let from = tuple([us.clone().into(), alias.into()]);
        let message = tuple([atom("$gen_call"), from, request]);
        let monitor = Control::MonitorP { from: us.clone(), target: target.clone(), reference: reference.clone() };
        connection.send(&monitor, None);
        connection.send(&Control::RegSend { from: us.clone(), name }, Some(&message));
        let outcome = tokio::time::timeout_at(end, outcome).await;
        self.state().finish_call(&reference, Err(atom("timeout")));
        if !matches!(outcome, Ok(Ok(Err(_)))) {
            connection.send(&Control::DemonitorP { from: us, target, reference }, None);
        }
        match outcome {
            Ok(Ok(reply)) => reply.map_err(CallError::Down),
            Ok(Err(_)) | Err(_) => Err(CallError::Timeout),
        }
    }

    /// A reply, `{Tag, Reply}`: to our alias, or, from nodes that know none, to the pid that calls.
    pub(super) fn replied(&self, payload: &Term) {
        if let Some([tag, reply]) = as_tuple::<2>(payload)
            && let Some(reference) = super::message::alias_of(tag)
        {
            self.state().finish_call(&reference, Ok(reply.clone()));
        }
    }
}
