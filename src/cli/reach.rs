//! What commands have in common: the file, and how they reach a node, as `run` would, by the same cookie and certificates.

use std::path::PathBuf;

use clap::Args;

use crate::config::{Config, ConfigError, Options, Surroundings, TlsVerify};

/// Which file the configuration is in.
#[derive(Debug, Clone, Default, Args)]
pub struct FileArgs {
    /// Configuration file [default: /etc/beamroute/beamroute.toml, if it is there]
    #[arg(long, value_name = "FILE.toml")]
    pub config: Option<PathBuf>,
}

impl FileArgs {
    /// The configuration that this file, the flags in `options` and the process's surroundings make.
    ///
    /// # Errors
    /// See [`Config::resolve`].
    pub fn resolve(&self, options: Options) -> Result<Config, ConfigError> {
        Config::resolve(options, self.config.as_deref(), &Surroundings::of_this_process())
    }
}

/// The node that a command is about.
#[derive(Debug, Clone, Default, Args)]
pub struct NodeArgs {
    /// The node to ask [default: the one that `beamroute run` would be here]
    #[arg(long, value_name = "NODE@HOST")]
    pub node: Option<String>,
    /// How to reach it.
    #[command(flatten)]
    pub reach: ReachArgs,
}

/// What commands that ask a node have in common.
#[derive(Debug, Clone, Default, Args)]
pub struct ReachArgs {
    /// The file.
    #[command(flatten)]
    pub file: FileArgs,
    /// File that holds the cookie [default: as for run]
    #[arg(long, value_name = "PATH")]
    pub cookie_file: Option<PathBuf>,
    /// TLS, as for run.
    #[command(flatten)]
    pub tls: TlsArgs,
}

impl ReachArgs {
    /// The configuration that these flags and the process's surroundings make.
    ///
    /// # Errors
    /// See [`Config::resolve`].
    pub fn resolve(self) -> Result<Config, ConfigError> {
        let options = Options { cookie_file: self.cookie_file, ..self.tls.into_options() };
        self.file.resolve(options)
    }
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
