//! Commands that ask a running daemon: over the distribution protocol, as a hidden node of their own.

mod asker;
mod error;
mod json;
mod plan;
mod table;
mod words;

use clap::Args;

pub(super) use asker::{Asker, PATIENCE, block_on, is_error};
pub use error::AskError;
pub(super) use error::FIREWALL;
pub(super) use json::{text as json_text, to_json};
pub(super) use plan::IRRELEVANT;
pub use plan::{PlanArgs, PlanError};
pub(super) use table::{columns, status as status_table};

use super::{Failure, NodeArgs, Printed};
use crate::config::Config;
use crate::term::{Term, atom};

/// Of `beamroute status` and its like.
#[derive(Debug, Clone, Args)]
pub struct AskArgs {
    /// Print JSON, with the keys of the status map
    #[arg(long)]
    pub json: bool,
    /// The node, and how to reach it.
    #[command(flatten)]
    pub node: NodeArgs,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// The interfaces, and why traffic goes where it goes.
    Status,
    /// The entries, in VintageNet's order.
    Routes,
    /// What would change now.
    Plan,
}

impl Question {
    pub(super) fn request(self) -> Term {
        atom(if self == Self::Plan { "plan" } else { "status" })
    }

    pub(super) fn show(self, answer: &Term, is_json: bool) -> String {
        match self {
            _ if is_json => json::text(&self.part(answer)),
            Self::Status => table::status(answer),
            Self::Routes => table::routes(answer),
            Self::Plan => table::plan(answer),
        }
    }

    /// What of the answer it is about.
    fn part(self, answer: &Term) -> Term {
        match self {
            Self::Status | Self::Plan => answer.clone(),
            Self::Routes => table::entries(answer),
        }
    }
}

impl AskArgs {
    /// Asks, and gives what is to be printed.
    ///
    /// # Errors
    /// A sentence for the operator: see [`AskError`].
    pub fn ask(self, question: Question) -> Result<Printed, Failure> {
        let NodeArgs { node, reach } = self.node;
        Ok(Printed::text(question.show(&ask_now(&reach.resolve()?, node, question)?, self.json)))
    }
}

/// Starts a runtime, connects, asks, and goes.
fn ask_now(config: &Config, asked: Option<String>, question: Question) -> Result<Term, AskError> {
    block_on(async {
        let asker = Asker::connect(config, asked).await?;
        let answer = asker.ask(question.request()).await;
        asker.stop().await;
        answer
    })?
}
