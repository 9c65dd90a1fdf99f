//! The ranking that counts, how it is read again while we run, and what is held.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::Notify;
use tracing::{debug, error, info};

use super::kernel::Kernel;
use crate::route::{Calm, DesiredState, IfName, Now, Ranking};

/// Reads the ranking from where it is configured; the error is a sentence that names file, key and reason.
pub type ReadRanking = Box<dyn FnMut() -> Result<Ranking, String> + Send + Sync>;

/// The ranking, where it comes from, and who asks for it to be read again.
pub struct Steering {
    /// With what is held.
    ranking: Ranking,
    calm: Calm,
    read: ReadRanking,
    asked: Arc<Notify>,
}

impl Steering {
    /// Begins with `ranking`, which `read` brings anew when `asked` is notified, or a caller asks. All that `state`
    /// holds counts.
    #[must_use]
    pub fn new(ranking: Ranking, state: &DesiredState, read: ReadRanking, asked: Arc<Notify>) -> Self {
        Self { ranking, calm: Calm::of(state), read, asked }
    }

    /// The ranking that counts.
    pub(super) const fn ranking(&self) -> &Ranking {
        &self.ranking
    }

    /// Is told when the ranking should be read again. Several requests may be one.
    pub(super) fn asked(&self) -> Arc<Notify> {
        Arc::clone(&self.asked)
    }

    /// Reads the ranking again. If it is bad, the old one stays, and the sentence says why.
    pub(super) fn read(&mut self) -> Result<(), String> {
        match (self.read)() {
            Ok(mut ranking) => {
                ranking.held.clone_from(&self.ranking.held);
                if ranking != self.ranking {
                    let order = ranking.patterns.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
                    info!(order, interfaces = ranking.interfaces.len(), "a new ranking");
                }
                self.ranking = ranking;
                Ok(())
            }
            Err(reason) => {
                error!(reason, "the configuration is refused; the ranking stays as it was");
                Err(reason)
            }
        }
    }
}

/// What is held.
impl Steering {
    /// Takes in what `state` says of interface `name`.
    pub(super) fn see(&mut self, name: IfName, state: &DesiredState, unix_ms: u64) {
        let status = state.interfaces().get(&name).map(|wish| wish.status);
        self.calm.see(name, status, &self.ranking, Now { at: Instant::now(), unix_ms });
    }

    /// Decides what counts now; gives the interfaces of which something else counts than before.
    pub(super) fn settle(&mut self, state: &DesiredState, kernel: &Kernel) -> Vec<IfName> {
        let before = std::mem::take(&mut self.ranking.held);
        let ranking = &self.ranking;
        let held = self.calm.settle(ranking, Instant::now(), |held| {
            let counted = Ranking { held, ..ranking.clone() };
            move |name| kernel.ways_out(name, state, &counted)
        });
        for (name, status) in &held {
            debug!(ifname = %name, counts_as = %status, until_ms = self.held_until(*name), "held");
        }
        let names = before.keys().chain(held.keys()).copied();
        let recounted = names.filter(|name| before.get(name) != held.get(name)).collect();
        self.ranking.held = held;
        recounted
    }

    /// Whether anything is held.
    pub(super) fn is_holding(&self) -> bool {
        !self.ranking.held.is_empty()
    }

    /// Whether everything counts, so that [settling](Self::settle) would change nothing.
    pub(super) fn is_settled(&self) -> bool {
        !self.is_holding() && self.due().is_none()
    }

    /// When what counts will change without anybody's doing.
    pub(super) fn due(&self) -> Option<Instant> {
        self.calm.due(&self.ranking)
    }

    /// When the status of `name` begins to count, in Unix milliseconds; `None` if it does.
    pub(super) fn held_until(&self, name: IfName) -> Option<u64> {
        self.calm.held_until(name, &self.ranking)
    }
}

impl fmt::Debug for Steering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Steering").field("ranking", &self.ranking).finish_non_exhaustive()
    }
}
