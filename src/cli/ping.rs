//! `beamroute ping`: whether a node can be reached, as `net_adm:ping/1` asks it, and how long that takes.

use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;

use super::ask::{AskError, Asker, PATIENCE, block_on};
use super::syntax::Flat;
use super::{ExitCode, Failure, Printed, ReachArgs};
use crate::config::Config;
use crate::term::{as_atom, atom, tuple};

/// Of `beamroute ping`.
#[derive(Debug, Clone, Args)]
pub struct PingArgs {
    /// The node to reach [default: the one that `beamroute run` would be here]
    #[arg(value_name = "NODE@HOST")]
    pub node: Option<String>,
    /// Print JSON: node, pong, and the times in microseconds
    #[arg(long)]
    pub json: bool,
    /// How to reach it.
    #[command(flatten)]
    pub reach: ReachArgs,
}

struct Pong {
    node: String,
    connected: Duration,
    answered: Duration,
}

impl PingArgs {
    /// Connects, and asks `net_kernel` whether it would have us.
    ///
    /// # Errors
    /// A sentence for the operator: there is no pong.
    pub fn ping(self) -> Result<Printed, Failure> {
        let config = self.reach.resolve()?;
        let Pong { node, connected, answered } = block_on(ping(&config, self.node))??;
        if self.json {
            let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
            let (connect_us, answer_us) = (micros(connected), micros(answered));
            let pong = json!({"node": node, "pong": true, "connect_us": connect_us, "answer_us": answer_us});
            return Ok(Printed::text(format!("{pong:#}\n")));
        }
        let text = format!("pong from {node} in {}, connected in {}\n", short(answered), short(connected));
        Ok(Printed::text(text))
    }
}

async fn ping(config: &Config, node: Option<String>) -> Result<Pong, Failure> {
    let asker = Asker::start(config, node).await?;
    let begun = Instant::now();
    asker.dial(config).await?;
    let connected = begun.elapsed();
    let begun = Instant::now();
    let question = tuple([atom("is_auth"), atom(&asker.node.name())]);
    let answer = asker.call("net_kernel", question, PATIENCE).await;
    let answered = begun.elapsed();
    let node = asker.peer.clone();
    asker.stop().await;
    let answer = answer.map_err(|error: AskError| Failure::from(error))?;
    if as_atom(&answer) == Some("yes") {
        return Ok(Pong { node, connected, answered });
    }
    // What a node would say that has not authenticated us, and that cannot be.
    Err(Failure { code: ExitCode::Refused, message: format!("{node} answers {}, which is no pong", Flat(&answer)) })
}

fn short(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}
