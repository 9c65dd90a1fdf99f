//! Statuses that callers say again: answered where they come in, as long as there is nothing to be done for them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::growth::Growth;
use super::request::status_alone;
use crate::metrics::{calls::Asked, clock};
use crate::node::{Caller, FastPath, FlatMessage};
use crate::route::{IfName, Status};
use crate::term::{Term, atom};

/// What the process has found to be repetitions, and nothing has changed since.
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
    /// This status is the one of the desired state, and saved if what was asked before is.
    pub(super) fn learn(&self, name: IfName, status: Status) {
        self.known().statuses.insert(name, status);
    }

    /// The desired state may change, or could not be saved.
    pub(super) fn forget(&self) {
        self.known().statuses.clear();
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
        if calls > 1 {
            known.growth.begin(clock::read());
            // The process lets the batch grow.
            if known.growth.is_worth_it(calls) {
                return Some(messages);
            }
        }
        if let Some(caller) = messages.into_callers() {
            repeating(caller).reply_value(&known.ok);
        }
        known.growth.end(clock::read());
        None
    }
}

/// Whether all say an interface's status, and `is_known` is true of each, and their node may say so.
pub(super) fn all_repeat(messages: &FlatMessage, is_known: impl Fn(IfName, Status) -> bool) -> bool {
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
