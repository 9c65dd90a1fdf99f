//! `beamroute plan`: a daemon that answers is asked; without one, or when told to, what was saved is planned here.

use std::path::Path;

use clap::Args;

use super::{AskError, Question, ask_now};
use crate::cli::{ExitCode, FileArgs, Printed};
use crate::config::{Config, ConfigError, Options};
use crate::service::{self, Offline, ServiceError};
use crate::term::Term;

/// Of `beamroute plan`.
#[derive(Debug, Clone, Args)]
pub struct PlanArgs {
    /// The node to ask, and no other way [default: the one that `beamroute run` would be here]
    #[arg(long, value_name = "NODE@HOST")]
    pub node: Option<String>,
    /// Plan from the saved state, also while a node runs; it is not asked
    #[arg(long, conflicts_with = "node")]
    pub offline: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// The file.
    #[command(flatten)]
    pub file: FileArgs,
    /// As for `beamroute run`: they name the node to ask, and what is planned without it.
    #[command(flatten)]
    pub options: Options,
}

/// The options of `run` that have nothing to do with a plan. They may be given all the same.
pub(in crate::cli) const IRRELEVANT: [&str; 18] = [
    "admin",
    "allow",
    "connect",
    "dist_auto_connect",
    "dist_connect_options",
    "dist_listen_options",
    "listen",
    "log_format",
    "net_ticktime",
    "on_exit",
    "pg_group",
    "pg_scope",
    "exit_with_stdin",
    "recheck",
    "visible",
    "flush",
    "user",
    "seccomp",
];

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The node is there, or was named, and did not answer.
    #[error(transparent)]
    Ask(AskError),
    /// What was saved is of no use.
    #[error("{0}")]
    Saved(Box<ServiceError>),
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
            // It runs, and all that keeps us from asking it is the cookie or the certificates.
            PlanError::Offline { absence: AskError::Cookie(_) | AskError::Tls(_), error }
                if matches!(**error, ServiceError::Elsewhere(_)) =>
            {
                Self::Configuration
            }
            PlanError::Saved(error) | PlanError::Offline { error, .. } => Self::from(&**error),
        }
    }
}

impl PlanArgs {
    /// Asks the node, or else plans for it.
    ///
    /// # Errors
    /// [`PlanError`], in a sentence for the operator.
    pub fn plan(self) -> Result<Printed, PlanError> {
        let given = self.options.given();
        let config = self.file.resolve(self.options)?;
        let node = self.node.clone().unwrap_or_else(|| config.node_name.to_string());
        let is_own = self.node.is_none();
        let show = |answer: &Term| Question::Plan.show(answer, self.json);
        let saved = |why: &str, Offline { file, answer }| {
            let origin =
                format!("{node} {why}; this is what it would change at its start, by {}", sources(&file, &config));
            Printed { note: Some(origin), ..Printed::text(show(&answer)) }
        };
        if self.offline {
            let plan = service::plan_saved(&config).map_err(|error| PlanError::Saved(Box::new(error)))?;
            return Ok(saved("was not asked", plan));
        }
        match ask_now(&config, self.node, Question::Plan) {
            Ok(answer) => Ok(Printed {
                note: Some(format!("{node} runs, and answers{}", unused(&given, is_own))),
                ..Printed::text(show(&answer))
            }),
            Err(absence) if is_own && is_absence(&absence) => match service::plan_offline(&config) {
                Ok(plan) => Ok(saved("does not run", plan)),
                Err(error) => Err(PlanError::Offline { absence, error: Box::new(error) }),
            },
            Err(error) => Err(PlanError::Ask(error)),
        }
    }
}

/// Whether there may be no daemon at all. (Without a cookie, or certificates, it cannot be asked, should it run.)
const fn is_absence(error: &AskError) -> bool {
    matches!(error, AskError::NoNode(_) | AskError::Cookie(_) | AskError::Tls(_))
}

/// The options of `run` that name the node to ask, and how to reach it.
const TO_ASK: [&str; 5] = ["name", "sname", "cookie_file", "epmd", "port"];

/// Those that count for every node that is asked.
fn is_for_all(key: &str) -> bool {
    key == "cookie_file" || key.starts_with("tls")
}

/// Which of the `given` options counted for nothing when a node answered: by default ours, else one that was named.
fn unused(given: &[&str], is_own: bool) -> String {
    let is_used = |key: &str| is_for_all(key) || (is_own && TO_ASK.contains(&key));
    let unused = given.iter().filter(|key| !is_used(key)).map(|key| format!("--{}", key.replace('_', "-")));
    let unused: Vec<String> = unused.collect();
    if unused.is_empty() {
        return String::new();
    }
    format!(" by its own configuration; not used: {}", unused.join(", "))
}

fn sources(state: &Path, config: &Config) -> String {
    let ranking = config.file.as_ref().map_or_else(|| "the defaults".to_owned(), |file| file.display().to_string());
    format!("{} and {ranking}", state.display())
}
