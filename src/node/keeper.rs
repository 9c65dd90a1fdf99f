//! Nodes that we want to be connected to all the time.

use std::time::Duration;

use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::Node;

/// The first and the longest wait between two attempts.
const FIRST_DELAY: Duration = Duration::from_millis(200);
const LAST_DELAY: Duration = Duration::from_secs(30);

impl Node {
    /// Keeps a connection to `peer` until the node stops, dialling again whenever it is lost.
    pub fn keep_connected(&self, peer: &str) {
        if peer != self.name() {
            let (node, peer) = (self.clone(), peer.to_owned());
            self.spawn_task(async move {
                let stopping = node.incarnation().stopping.clone();
                let _ = stopping.run_until_cancelled(keep(&node, &peer)).await;
            });
        }
    }
}

async fn keep(node: &Node, peer: &str) {
    let mut delay = FIRST_DELAY;
    let mut is_failing = false;
    loop {
        match node.connect(peer).await {
            Ok(()) => {
                if std::mem::take(&mut is_failing) {
                    info!(peer, "connected at last");
                }
                let since = Instant::now();
                let connection = node.state().connection(peer);
                if let Some(connection) = connection {
                    connection.gone.cancelled().await;
                }
                // One that drops us at once is not asked more and more often.
                if since.elapsed() > delay {
                    delay = FIRST_DELAY;
                }
            }
            Err(error) if is_failing => debug!(%error, "still not connected"),
            Err(error) => {
                warn!(%error, "not connected; trying until it is");
                is_failing = true;
            }
        }
        tokio::time::sleep(jittered(delay, rand::random())).await;
        delay = (delay * 2).min(LAST_DELAY);
    }
}

/// A quarter more or less, so that many nodes do not come back in step. `chance` is between 0 and 1.
fn jittered(delay: Duration, chance: f64) -> Duration {
    delay.mul_f64(0.75 + chance / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_vary_by_a_quarter() {
        let delay = Duration::from_secs(8);
        for (chance, seconds) in [(0.0, 6), (0.5, 8), (1.0, 10)] {
            assert_eq!(jittered(delay, chance), Duration::from_secs(seconds));
        }
    }
}
