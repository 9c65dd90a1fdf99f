//! `beamroute plan`: a daemon that answers is asked; without one, what was saved is planned here.

use std::path::PathBuf;

use clap::Args;

use super::{AskError, Question, ask_now};
use crate::cli::ExitCode;
use crate::config::{Config, ConfigError, Options, Surroundings};
use crate::service::{self, Offline, ServiceError};

/// Of `beamroute plan`.
#[derive(Debug, Clone, Args)]
pub struct PlanArgs {
    /// The node to ask, and no other way [default: the one that `beamroute run` would be here]
    #[arg(long, value_name = "NODE@HOST")]
    pub node: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Configuration file [default: /etc/beamroute/beamroute.toml, if it is there]
    #[arg(long, value_name = "FILE.toml")]
    pub config: Option<PathBuf>,
    /// As for `beamroute run`: they name the node to ask, and what is planned without it.
    #[command(flatten)]
    pub options: Options,
}

/// The options of `run` that have nothing to do with a plan. They may be given all the same.
pub(in crate::cli) const IRRELEVANT: [&str; 12] = [
    "admin",
    "connect",
    "dist_auto_connect",
    "dist_connect_options",
    "dist_listen_options",
    "listen",
    "log_format",
    "net_ticktime",
    "on_exit",
    "recheck",
    "visible",
    "flush",
];

/// A plan, and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// To be printed.
    pub text: String,
    /// A sentence for stderr: who was asked, or what was read instead.
    pub origin: String,
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The node is there, or was named, and did not answer.
    #[error(transparent)]
    Ask(AskError),
    /// The node is not there, and what was saved is of no use.
    #[error("{absence}; nor is there a plan without it: {error}")]
    Offline {
        /// Why the node was not asked.
        absence: AskError,
        /// Why nothing could be planned without it.
        error: Box<ServiceError>,
    },
}

impl From<&PlanError> for ExitCode {
    fn from(error: &PlanError) -> Self {
        match error {
            PlanError::Config(_) => Self::Configuration,
            PlanError::Ask(error) => Self::from(error),
            PlanError::Offline { error, .. } => Self::from(&**error),
        }
    }
}

impl PlanArgs {
    /// Asks the node, or else plans for it.
    ///
    /// # Errors
    /// [`PlanError`], in a sentence for the operator.
    pub fn plan(self) -> Result<Planned, PlanError> {
        let config = Config::resolve(self.options, self.config.as_deref(), &Surroundings::of_this_process())?;
        let node = self.node.clone().unwrap_or_else(|| config.node_name.to_string());
        let is_own = self.node.is_none();
        let (answer, origin) = match ask_now(&config, self.node, Question::Plan) {
            Ok(answer) => (answer, format!("{node} runs, and answers")),
            Err(absence) if is_own && is_absence(&absence) => match service::plan_offline(&config) {
                Ok(Offline { file, answer }) => (answer, origin(&node, &file.display().to_string(), &config)),
                Err(error) => return Err(PlanError::Offline { absence, error: Box::new(error) }),
            },
            Err(error) => return Err(PlanError::Ask(error)),
        };
        Ok(Planned { text: Question::Plan.show(&answer, self.json), origin })
    }
}

/// Whether there may be no daemon at all. (Without a cookie it cannot be asked, should it run.)
const fn is_absence(error: &AskError) -> bool {
    matches!(error, AskError::NoNode(_) | AskError::Cookie(_))
}

fn origin(node: &str, state: &str, config: &Config) -> String {
    let ranking = config.file.as_ref().map_or_else(|| "the defaults".to_owned(), |file| file.display().to_string());
    format!("{node} does not run; this is what it would change at its start, by {state} and {ranking}")
}
