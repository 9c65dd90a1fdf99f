//! The ranking that counts, and how it is read again while we run.

use std::fmt;
use std::sync::Arc;

use tokio::sync::Notify;
use tracing::{error, info};

use crate::route::Ranking;

/// Reads the ranking from where it is configured; the error is a sentence that names file, key and reason.
pub type ReadRanking = Box<dyn FnMut() -> Result<Ranking, String> + Send + Sync>;

/// The ranking, where it comes from, and who asks for it to be read again.
pub struct Steering {
    ranking: Ranking,
    read: ReadRanking,
    asked: Arc<Notify>,
}

impl Steering {
    /// Begins with `ranking`, which `read` brings anew when `asked` is notified, or a caller asks.
    #[must_use]
    pub fn new(ranking: Ranking, read: ReadRanking, asked: Arc<Notify>) -> Self {
        Self { ranking, read, asked }
    }

    /// The ranking that counts.
    pub(super) const fn ranking(&self) -> &Ranking {
        &self.ranking
    }

    /// Waits until the ranking should be read again. Several requests may be one.
    pub(super) async fn asked(&self) {
        self.asked.notified().await;
    }

    /// Reads the ranking again. If it is bad, the old one stays, and the sentence says why.
    pub(super) fn read(&mut self) -> Result<(), String> {
        match (self.read)() {
            Ok(ranking) => {
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

impl fmt::Debug for Steering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Steering").field("ranking", &self.ranking).finish_non_exhaustive()
    }
}
