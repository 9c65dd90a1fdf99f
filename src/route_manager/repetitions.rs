//! Statuses that callers say again: answered where they come in, as long as there is nothing to be done for them.
//!
//! Such an `ok` promises what was promised the first time: that the status is saved, and was brought to the kernel. Whether the
//! kernel still has it, the process sees by the kernel's events; while it does not see them, or the kernel refuses a
//! batch as a whole, every call is a turn of the process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::growth::Growth;
use super::request::status_alone;
use crate::metrics::{calls::Asked, clock};
use crate::node::{Caller, FastPath, FlatMessage};
use crate::route::{IfName, Status};
use crate::term::{Term, atom};

/// What the process has found to be repetitions, and nothing has changed since; and how long batches are let grow, those that are
/// answered here and those of the process.
#[derive(Debug, Clone)]
pub(super) struct Repetitions(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    known: Mutex<Known>,
    /// The atom `ok`.
    ok: Term,
}

#[derive(Debug, Default)]
struct Known {
    statuses: BTreeMap<IfName, Status>,
    growth: Growth,
}

impl Default for Repetitions {
    fn default() -> Self {
        Self(Arc::new(Shared { known: Mutex::default(), ok: atom("ok") }))
    }
}

impl Repetitions {
    /// These statuses are those of the desired state, saved and brought to the kernel.
    pub(super) fn learn(&self, statuses: BTreeMap<IfName, Status>) {
        self.known().statuses.extend(statuses);
    }

    /// What is wished for this interface may change, or for all of them.
    pub(super) fn forget(&self, name: Option<IfName>) {
        let mut known = self.known();
        match name {
            Some(name) => _ = known.statuses.remove(&name),
            None => known.statuses.clear(),
        }
    }

    /// Of all batches, those that are answered here too.
    pub(super) fn growth<T>(&self, of: impl FnOnce(&mut Growth) -> T) -> T {
        of(&mut self.known().growth)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FastPath for Repetitions {
    fn answer(&self, messages: FlatMessage) -> Option<FlatMessage> {
        let mut known = self.known();
        if !all_repeat(&messages, |name, status| known.statuses.get(&name) == Some(&status)) {
            return Some(messages);
        }
        let (now, calls) = (clock::read(), messages.calls());
        // The process lets the batch grow.
        if known.growth.wait(now, calls).is_some() {
            return Some(messages);
        }
        known.growth.end(now, calls);
        drop(known);
        if let Some(callers) = repeating(messages) {
            callers.reply_value(&self.0.ok);
        }
        None
    }
}

/// Whether all say an interface's status, and `is_known` is true of each, and their node may say so.
pub(super) fn all_repeat(messages: &FlatMessage, mut is_known: impl FnMut(IfName, Status) -> bool) -> bool {
    let mut last = None;
    let are_known = messages.requests().all(|request| {
        // Most often they are alike.
        last == Some(request.bytes()) || {
            last = Some(request.bytes());
            status_alone(&request).is_some_and(|(name, status)| is_known(name, status))
        }
    });
    are_known && messages.rights().write
}

/// Those who say a status again, and wait for the answer.
pub(super) fn repeating(messages: FlatMessage) -> Option<Caller> {
    messages.into_callers().map(|callers| callers.about(Asked::SetConnectionStatus))
}
