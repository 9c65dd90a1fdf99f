//! Commands that ask a running daemon: over the distribution protocol, as a hidden node of their own.

mod json;
mod plan;
mod table;

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

pub(super) use plan::IRRELEVANT;
pub use plan::{PlanArgs, PlanError, Planned};

use super::ExitCode;
use crate::config::{Config, ConfigError, Options, Surroundings, TlsVerify};
use crate::epmd::EpmdMode;
use crate::node::{
    CallError, CookieError, DialError, NameKind, Node, NodeConfig, Resolver, Start, StartError, Tls, TlsError, host_of,
    peer_name,
};
use crate::term::{Show, Term, as_atom, as_tuple, atom};

/// As long as `gen_server:call/2` waits.
const PATIENCE: Duration = Duration::from_secs(5);

/// Of `beamroute status` and its like.
#[derive(Debug, Clone, Args)]
pub struct AskArgs {
    /// The node to ask [default: the one that `beamroute run` would be here]
    #[arg(long, value_name = "NODE@HOST")]
    pub node: Option<String>,
    /// Print JSON, with the keys of the status map
    #[arg(long)]
    pub json: bool,
    /// Configuration file [default: /etc/beamroute/beamroute.toml, if it is there]
    #[arg(long, value_name = "FILE.toml")]
    pub config: Option<PathBuf>,
    /// File that holds the cookie [default: as for run]
    #[arg(long, value_name = "PATH")]
    pub cookie_file: Option<PathBuf>,
    /// TLS, as for run.
    #[command(flatten)]
    pub tls: TlsArgs,
}

/// How a node is asked that speaks TLS: as the node itself speaks to others.
#[derive(Debug, Clone, Default, Args)]
pub struct TlsArgs {
    /// Speak TLS, with a certificate of our own; this and the next as for run
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
          value_parser = clap::builder::BoolishValueParser::new())]
    pub tls: Option<bool>,
    /// Our certificate
    #[arg(long, value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// Its private key
    #[arg(long, value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// Certificates of the authorities that the node's certificate must lead to
    #[arg(long, value_name = "FILE")]
    pub tls_ca: Option<PathBuf>,
    /// Whether the node must have such a certificate: peer or none
    #[arg(long, value_name = "WHAT")]
    pub tls_verify: Option<TlsVerify>,
    /// Whether it must be for the host of the node's name
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
          value_parser = clap::builder::BoolishValueParser::new())]
    pub tls_check_name: Option<bool>,
}

impl TlsArgs {
    fn into_options(self) -> Options {
        let Self { tls, tls_cert, tls_key, tls_ca, tls_verify, tls_check_name } = self;
        Options { tls, tls_cert, tls_key, tls_ca, tls_verify, tls_check_name, ..Options::default() }
    }
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

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// There is no usable cookie.
    #[error(transparent)]
    Cookie(#[from] CookieError),
    /// There are no usable certificates.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// We cannot be a node here.
    #[error(transparent)]
    Start(#[from] StartError),
    /// No node can have the name that was given.
    #[error("--node {given:?}: {reason}")]
    Name {
        /// As given.
        given: String,
        /// Why not.
        reason: &'static str,
    },
    /// The node is not there.
    #[error("{0}; is it running? `epmd -names` lists the nodes of this host")]
    NoNode(DialError),
    /// The node would not have us.
    #[error("{0}; both need the same cookie, see --cookie-file")]
    Refused(DialError),
    /// It and we do not agree on TLS.
    #[error("{0}; see --tls, --tls-cert and --tls-ca")]
    Insecure(DialError),
    /// It gave no answer.
    #[error("{node} has no answer: {error}")]
    NoAnswer {
        /// The node.
        node: String,
        /// Why not.
        error: CallError,
    },
    /// It answered with an error.
    #[error("{node} says {answer}")]
    Error {
        /// The node.
        node: String,
        /// What it says.
        answer: String,
    },
    /// The operating system would not give what every program gets.
    #[error("cannot start the runtime: {0}")]
    System(std::io::Error),
}

impl AskError {
    const fn unconnected(error: DialError) -> Self {
        if error.is_about_tls() {
            Self::Insecure(error)
        } else if error.is_refused() {
            Self::Refused(error)
        } else {
            Self::NoNode(error)
        }
    }
}

impl From<&AskError> for ExitCode {
    fn from(error: &AskError) -> Self {
        match error {
            AskError::Config(_) | AskError::Cookie(_) | AskError::Tls(_) => Self::Configuration,
            AskError::Name { .. } => Self::Usage,
            AskError::NoNode(_) => Self::NoSuchNode,
            AskError::Refused(_) | AskError::Insecure(_) | AskError::Error { .. } => Self::Refused,
            AskError::NoAnswer { error: CallError::NotConnected(_), .. } => Self::NoSuchNode,
            AskError::Start(_) | AskError::NoAnswer { .. } | AskError::System(_) => Self::Failed,
        }
    }
}

impl Question {
    fn request(self) -> Term {
        atom(if self == Self::Plan { "plan" } else { "status" })
    }

    fn show(self, answer: &Term, is_json: bool) -> String {
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
    /// [`AskError`], in a sentence for the operator.
    pub fn ask(self, question: Question) -> Result<String, AskError> {
        let options = Options { cookie_file: self.cookie_file, ..self.tls.into_options() };
        let config = Config::resolve(options, self.config.as_deref(), &Surroundings::of_this_process())?;
        Ok(question.show(&ask_now(&config, self.node, question)?, self.json))
    }
}

fn ask_now(config: &Config, asked: Option<String>, question: Question) -> Result<Term, AskError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(AskError::System)?;
    runtime.block_on(ask(config, asked, question.request()))
}

async fn ask(config: &Config, asked: Option<String>, request: Term) -> Result<Term, AskError> {
    let is_own = asked.is_none();
    let peer = asked.unwrap_or_else(|| config.node_name.to_string());
    let host = host_of(&peer);
    if let Some(reason) = peer_name(&peer, NameKind::of_host(host)).err().filter(|_| !is_own) {
        return Err(AskError::Name { given: peer, reason });
    }
    let tls = config.tls.clone().map(Tls::open).transpose()?;
    let name = format!("beamroute-ask-{}@{host}", std::process::id());
    // Our own daemon goes by the same file, and by our name.
    let cookie = config.cookie_of(if is_own { &name } else { &peer }).read()?;
    let node = Node::new(NodeConfig { resolver: Resolver::new(config.epmd_port), tls, ..NodeConfig::new(&cookie) });
    let start = match NameKind::of_host(host) {
        NameKind::Long => Start::long(name),
        NameKind::Short => Start::short(name),
    };
    node.start(Start { dist_listen: Some(false), ..start }).await?;
    let connected = match fixed_address(config, host).filter(|_| is_own) {
        Some(address) => node.dial(&peer, address).await,
        None => node.connect(&peer).await,
    };
    connected.map_err(AskError::unconnected)?;
    let answer = node.call(("route_manager", &*peer), request, PATIENCE).await;
    // It is connected, and so it was started.
    let _ = node.stop().await;
    match answer {
        Ok(answer) => match as_tuple::<2>(&answer) {
            Some([word, _]) if as_atom(word) == Some("error") => {
                Err(AskError::Error { node: peer, answer: Show(&answer).to_string() })
            }
            _ => Ok(answer),
        },
        Err(error) => Err(AskError::NoAnswer { node: peer, error }),
    }
}

/// Without a port mapper, our own daemon is where the configuration says.
fn fixed_address(config: &Config, host: &str) -> Option<SocketAddr> {
    let is_fixed = config.epmd == EpmdMode::None;
    is_fixed.then(|| (host, config.port).to_socket_addrs().ok()?.next()).flatten()
}
