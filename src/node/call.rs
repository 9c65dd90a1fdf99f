//! Calls of ours: `gen_server:call/3`.

use std::time::Duration;

use eetf::{Pid, Reference, Term};
use tokio::time::timeout_at;

use super::channel::Channel;
use super::message::{alias_of, alias_tag};
use super::state::Watcher;
use super::{Destination, Node};
use crate::deadline::after;
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
    /// Calls a process, as [`Process::call`](super::Process::call), from nobody in particular.
    ///
    /// # Errors
    /// [`CallError`]. After a time-out a late reply is dropped.
    pub async fn call(&self, to: impl Into<Destination>, request: Term, patience: Duration) -> Result<Term, CallError> {
        let us = self.fresh_pid();
        self.call_from(us, to.into(), request, patience).await
    }

    pub(super) async fn call_from(
        &self,
        us: Pid,
        to: Destination,
        request: Term,
        patience: Duration,
    ) -> Result<Term, CallError> {
        let end = after(patience);
        let connected = timeout_at(end, self.channel_to(to.node())).await.map_err(|_| CallError::Timeout)?;
        let not_connected = || CallError::NotConnected(to.node().unwrap_or_default().to_owned());
        let channel = connected.map_err(|_| not_connected())?;
        let (sender, outcome) = tokio::sync::oneshot::channel();
        let (target, reference) = (to.target(), self.fresh_reference());
        let mut call = Call { node: self, channel, us, target, reference, is_down: false };
        if !self.watch(&call.channel, &call.reference, Watcher::Call(sender)) {
            return Err(not_connected());
        }
        call.send(request);
        let _ = timeout_at(end, call.channel.room()).await;
        let outcome = timeout_at(end, outcome).await;
        call.is_down = matches!(outcome, Ok(Ok(Err(_))));
        match outcome {
            Ok(Ok(reply)) => reply.map_err(CallError::Down),
            Ok(Err(_)) | Err(_) => Err(CallError::Timeout),
        }
    }

    /// A reply, `{Tag, Reply}`: to our alias, or, from nodes that know none, to the pid that calls. Says whether a call
    /// was waiting for it.
    pub(super) fn replied(&self, channel: &Channel, payload: &Term) -> bool {
        let Some([tag, reply]) = as_tuple::<2>(payload) else { return false };
        let Some(reference) = alias_of(tag) else { return false };
        let mut state = self.state();
        let Some(relations) = state.relations(channel.way()) else { return false };
        if !matches!(relations.watcher(&reference), Some(Watcher::Call(_))) {
            return false;
        }
        if let Some(Watcher::Call(caller)) = relations.unwatch(&reference) {
            // The caller may have given up meanwhile.
            let _ = caller.send(Ok(reply.clone()));
        }
        true
    }
}

/// A call under way. When it ends, in whatever way, its monitor ends too.
struct Call<'a> {
    node: &'a Node,
    channel: Channel,
    us: Pid,
    target: Target,
    reference: Reference,
    /// The monitor has fired.
    is_down: bool,
}

impl Call<'_> {
    fn send(&self, request: Term) {
        let from = tuple([self.us.clone().into(), alias_tag(&self.reference)]);
        let message = tuple([atom("$gen_call"), from, request]);
        let us = || self.us.clone();
        let (target, reference) = (self.target.clone(), self.reference.clone());
        self.channel.send(Control::MonitorP { from: us(), target, reference }, None);
        let control = match self.target.clone() {
            Target::Name(name) => Control::RegSend { from: us(), name },
            Target::Pid(pid) => Control::send(self.channel.flags(), us(), pid),
        };
        self.channel.send(control, Some(message));
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        let (target, reference) = (self.target.clone(), self.reference.clone());
        if let Some(relations) = self.node.state().relations(self.channel.way()) {
            relations.unwatch(&reference);
        }
        if !self.is_down {
            self.channel.send(Control::DemonitorP { from: self.us.clone(), target, reference }, None);
        }
    }
}
