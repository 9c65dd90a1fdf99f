//! A line in the log for every change that was accepted: who asked, for what, why, and what came of it.

use tracing::{info, warn};

use super::request::Request;
use crate::node::Sender;
use crate::term::{Pid, Show, Term};

/// The changes that were accepted since they were last told.
#[derive(Debug, Default)]
pub(super) struct Audit(Vec<Accepted>);

#[derive(Debug)]
struct Accepted {
    node: String,
    pid: Option<Pid>,
    request: Request,
}

impl Audit {
    /// Notes that what `from` asked for changes something.
    pub(super) fn note(&mut self, from: &Sender, request: Request) {
        self.0.push(Accepted { node: from.node.clone(), pid: from.pid.clone(), request });
    }

    /// Whether there is anything to tell.
    pub(super) const fn has_news(&self) -> bool {
        !self.0.is_empty()
    }

    /// Tells all of them, now that they are in the kernel, or wait for it; `unsaved` is why they could not be saved.
    pub(super) fn tell(&mut self, unsaved: Option<i32>) {
        for Accepted { node, pid, request } in self.0.drain(..) {
            let pid = pid.map(|pid| Show(&Term::from(pid)).to_string());
            let why = request.why();
            match unsaved {
                None => info!(node, pid, %request, why, "accepted"),
                Some(errno) => warn!(node, pid, %request, why, errno, "accepted, but not saved"),
            }
        }
    }
}
