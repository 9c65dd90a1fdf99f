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
#[derive(Debug, Clone, Default)]
pub(super) struct Repetitions(Arc<Mutex<Known>>);

#[derive(Debug)]
struct Known {
    statuses: BTreeMap<IfName, Status>,
    growth: Growth,
    ok: Term,
}

impl Default for Known {
    fn default() -> Self {
        Self { statuses: BTreeMap::new(), growth: Growth::default(), ok: atom("ok") }
    }
}

impl Repetitions {
    /// These statuses are those of the desired state, saved and brought to the kernel.
    pub(super) fn learn(&self, statuses: impl Iterator<Item = (IfName, Status)>) {
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
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FastPath for Repetitions {
    fn answer(&self, messages: FlatMessage) -> Option<FlatMessage> {
        let mut known = self.known();
        if !all_repeat(&messages, |name, status| known.statuses.get(&name) == Some(&status)) {
            return Some(messages);
        }
        let calls = messages.calls();
        // The process lets the batch grow.
        if known.growth.wait(calls).is_some() {
            return Some(messages);
        }
        known.growth.end(clock::read(), calls);
        if let Some(caller) = messages.into_callers() {
            repeating(caller).reply_value(&known.ok);
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

/// Callers that say a status again.
pub(super) fn repeating(callers: Caller) -> Caller {
    callers.about(Asked::SetConnectionStatus)
}
