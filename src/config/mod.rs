//! What the operator wants, understood and checked: flags over environment over file over defaults.
//!
//! ```text
//! flags (cli) ─┐
//! environment ─┼→ Options, merged → Config::resolve → Config: types only, no strings that might be wrong
//! file (TOML) ─┘
//! ```
//!
//! Reads the file and the environment it is given; makes, opens and resolves nothing. What does (the cookie, the host's
//! addresses) is a method that the service calls at its start.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

pub mod cookie;
mod cookies;
pub mod layers;
mod limits;
pub mod listen;
mod nodes;
pub mod options;
mod permission;
mod pg;
pub mod ranking;
mod tls;
pub mod value;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use crate::node::{Cookie, CookieError, CookieSource, HostName, NameKind, NodeNameError};
pub use erl_dist::node::NodeName;
pub use layers::Variables;
pub use layers::file_keys;
pub use limits::{Limits, limits_with_defaults};
pub use listen::Listening;
pub use options::Options;
pub use ranking::RankingFile;
pub use value::{Admin, Flush, LogFormat, Netns, OnExit, Seccomp, TlsVerify};

use crate::epmd::{DEFAULT_PORT, EpmdConfig, EpmdMode};
use crate::node::{AutoConnect, NodePattern, Permissions, SocketDefaults, TlsSettings, node_name, peer_name};
use crate::route::Ranking;

/// Everything `beamroute run` goes by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The node's full name.
    pub node_name: NodeName,
    /// Whether hosts in node names have dots.
    pub name_kind: NameKind,
    /// Where the cookie comes from.
    pub cookie: CookieSource,
    /// Where those of nodes with another one come from. The first that fits a node counts.
    pub cookies: Vec<(NodePattern, CookieSource)>,
    /// `--listen`; see [`Config::listening`].
    pub listen: Option<IpAddr>,
    /// The port to listen on; 0 lets the kernel choose.
    pub port: u16,
    /// Which port mapper to use.
    pub epmd: EpmdMode,
    /// The port mapper's port.
    pub epmd_port: u16,
    /// `ERL_EPMD_ADDRESS`; see [`Config::epmd_config`].
    pub epmd_addresses: Option<Vec<IpAddr>>,
    /// The network namespace whose routes to keep; `None` is the process's own.
    pub netns: Option<Netns>,
    /// The user to become.
    pub user: Option<String>,
    /// What becomes of system calls that it has no use for.
    pub seccomp: Seccomp,
    /// Where the desired state is saved.
    pub state_dir: PathBuf,
    /// How many interfaces may be known at once.
    pub max_interfaces: usize,
    /// Traffic for other local networks goes there, not to a gateway.
    pub local_networks_first: bool,
    /// How often everything is read anew from the kernel; zero is never.
    pub recheck: Duration,
    /// What the end of the daemon leaves in the kernel.
    pub on_exit: OnExit,
    /// Whether the end of standard input ends the daemon.
    pub exits_with_stdin: bool,
    /// What becomes of existing connections after a failover.
    pub flush: Flush,
    /// The nodes to keep connected, each once.
    pub connect: Vec<NodeName>,
    /// The groups of OTP's `pg` that route_manager is in, each once.
    pub pg_groups: Vec<String>,
    /// Their scope.
    pub pg_scope: String,
    /// Whether referring to a node connects to it.
    pub auto_connect: AutoConnect,
    /// After so much silence a peer is down.
    pub net_ticktime: Duration,
    /// Options of sockets, on top of OTP's.
    pub socket_defaults: SocketDefaults,
    /// TLS for all connections.
    pub tls: Option<TlsSettings>,
    /// The nodes that may connect, as for `net_kernel:allow/1`, each once; all, if there are none.
    pub allow: Vec<String>,
    /// Who may do what, with what `admin` says.
    pub permissions: Permissions,
    /// How much others may take.
    pub limits: Limits,
    /// Where metrics are served.
    pub metrics: Option<SocketAddr>,
    /// The form of log lines.
    pub log_format: LogFormat,
    /// The protocol number that marks our routes and rules.
    pub protocol: u8,
    /// The priority of our rules.
    pub rule_priority: u32,
    /// The order of the ways out.
    pub ranking: Ranking,
    /// Where that is read again.
    pub ranking_file: RankingFile,
    /// The file that was read, if any.
    pub file: Option<PathBuf>,
    /// Sentences to log as warnings once there is a log.
    pub warnings: Vec<String>,
}

/// What a configuration is made from besides flags. Given, so that tests need not change the process.
pub struct Surroundings {
    /// The environment.
    pub variables: Variables,
    /// What this host calls itself.
    pub host: HostName,
    /// The file that is read when none is asked for, if it is there.
    pub default_file: PathBuf,
}

impl Surroundings {
    /// Those of this process.
    pub fn of_this_process() -> Surroundings {
        Surroundings {
            variables: std::env::vars_os().collect(),
            host: HostName::of_this_host(),
            default_file: PathBuf::from("/etc/beamroute/beamroute.toml"),
        }
    }
}

/// Why a configuration is refused. All of these end the program with status 5.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{}: {source}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// What reading said.
        source: io::Error,
    },
    /// Not TOML.
    #[error("{}:{line}: {reason}", file.display())]
    Syntax {
        /// The file.
        file: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What the parser said.
        reason: String,
    },
    /// A key that means nothing.
    #[error("{}: unknown key {key}{suggestion}", file.display())]
    UnknownKey {
        /// The file.
        file: PathBuf,
        /// The key.
        key: String,
        /// The nearest key there is.
        suggestion: String,
    },
    /// A value that its key cannot have.
    #[error("{}: {key}: {reason}", file.display())]
    Value {
        /// The file.
        file: PathBuf,
        /// The key.
        key: String,
        /// Why not.
        reason: String,
    },
    /// A cookie in the file.
    #[error(
        "{}: the cookie does not belong here, where everybody who may read the configuration sees it; \
         put it into a file of its own that only its owner can read, and name that with cookie_file", file.display()
    )]
    CookieInFile {
        /// The file.
        file: PathBuf,
    },
    /// A variable with a value that its flag would refuse.
    #[error("environment variable {variable}: {reason}")]
    Variable {
        /// The variable.
        variable: String,
        /// Why not.
        reason: String,
    },
    /// A long and a short name from the same place.
    #[error("{whence}: a node has a name or an sname, not both")]
    BothNames {
        /// Where.
        whence: String,
    },
    /// No node can have this name.
    #[error(transparent)]
    NodeName(#[from] NodeNameError),
    /// A node to connect to that cannot be connected to.
    #[error("connect: {node}: {reason}")]
    Connect {
        /// As given.
        node: String,
        /// Why not.
        reason: &'static str,
    },
    /// A node to be let in whose name says nothing.
    #[error("allow: {node}: not a node's name, a host, or the part of a name up to the @")]
    Allow {
        /// As given.
        node: String,
    },
    /// A group or scope that is no atom.
    #[error("{key}: {name:?}: {reason}")]
    Pg {
        /// The option.
        key: &'static str,
        /// As given.
        name: String,
        /// Why not.
        reason: &'static str,
    },
    /// TLS that cannot be.
    #[error("tls: {0}")]
    Tls(&'static str),
    /// There is no cookie.
    #[error(transparent)]
    Cookie(#[from] CookieError),
    /// Asked to be visible.
    #[error(
        "visible: refused, because this node does not speak the protocol of global: a visible one would keep its peers' \
         global:sync/0 waiting, and its end would make them cut each other off (prevent_overlapping_partitions); \
         leave it out to be hidden, as C nodes are"
    )]
    Visible,
    /// Without a port mapper, peers must know the port.
    #[error("epmd none needs a fixed port: without epmd, peers can only reach a port that they know (--port N)")]
    NoPort,
    /// No room in front of our rules.
    #[error("local_networks_first needs a rule in front of the others: rule_priority must be at least 2")]
    RulePriority,
    /// A tick time that cannot work.
    #[error("net_ticktime must be at least 1 s (a quarter of it is the time between ticks)")]
    TickTime,
}

impl Config {
    /// Puts the layers together and checks the whole. `file` is `--config`.
    ///
    /// # Errors
    ///
    /// [`ConfigError`], in one sentence that names the file, variable or flag, and what to do.
    pub fn resolve(flags: Options, file: Option<&Path>, around: &Surroundings) -> Result<Config, ConfigError> {
        let variables = &around.variables;
        let environment = layers::from_environment(variables)?;
        let asked = layers::asked_file(file, variables);
        let default = &around.default_file;
        let file = asked.clone().or_else(|| default.exists().then(|| default.clone()));
        let from_file = file.as_deref().map(layers::from_file).transpose()?.unwrap_or_default();
        let options = flags.over(environment).over(from_file.options);

        if options.visible == Some(true) {
            return Err(ConfigError::Visible);
        }
        let (given, name_kind) = match (&options.name, &options.sname) {
            (Some(name), _) => (name.as_str(), NameKind::Long),
            (None, Some(name)) => (name.as_str(), NameKind::Short),
            (None, None) => ("beamroute", NameKind::Short),
        };
        let node_name = node_name(given, name_kind, &around.host)?;
        let tls = tls::settings(&options)?;
        let tls_warning = tls::warning(&options, tls.as_ref());
        let mut config = Config {
            tls,
            connect: nodes_to_connect(options.connect.as_deref().unwrap_or_default(), &node_name, name_kind)?,
            pg_groups: pg::groups(options.pg_group.as_deref().unwrap_or_default())?,
            pg_scope: pg::scope(options.pg_scope.as_deref())?,
            auto_connect: options.dist_auto_connect.map_or_else(AutoConnect::default, |when| when.0),
            node_name,
            name_kind,
            cookie: cookie::source(options.cookie_file, variables)?,
            listen: options.listen,
            port: options.port.unwrap_or(0),
            epmd: options.epmd.unwrap_or_default(),
            epmd_port: epmd_port(variables)?,
            epmd_addresses: epmd_addresses(variables)?,
            netns: options.netns,
            user: options.user,
            seccomp: options.seccomp.unwrap_or_default(),
            state_dir: options.state_dir.unwrap_or_else(|| PathBuf::from("/run/beamroute")),
            max_interfaces: options.max_interfaces.map_or(256, |max| max.0),
            local_networks_first: options.local_networks_first.unwrap_or(false),
            recheck: options.recheck.map_or(Duration::from_secs(60), |seconds| seconds.0),
            on_exit: options.on_exit.unwrap_or_default(),
            exits_with_stdin: options.exit_with_stdin.unwrap_or(false),
            flush: options.flush.unwrap_or_default(),
            net_ticktime: options.net_ticktime.map_or(Duration::from_secs(60), |seconds| seconds.0),
            socket_defaults: SocketDefaults::new(
                &options.dist_listen_options.map_or_else(Vec::new, |options| options.0),
                &options.dist_connect_options.map_or_else(Vec::new, |options| options.0),
            ),
            allow: allowed_nodes(options.allow.as_deref().unwrap_or_default())?,
            permissions: match options.admin.unwrap_or_default() {
                Admin::None => from_file.permissions,
                Admin::All => from_file.permissions.with_admin_for_all(),
            },
            cookies: from_file.cookies,
            limits: from_file.limits,
            metrics: options.metrics,
            log_format: options.log_format.unwrap_or_default(),
            protocol: options.protocol.map_or(110, |protocol| protocol.0),
            rule_priority: options.rule_priority.map_or(30_000, |priority| priority.0),
            ranking: from_file.ranking,
            ranking_file: RankingFile::new(asked, default.clone(), from_file.others),
            file,
            warnings: layers::unknown_variables(variables),
        };
        config.warnings.extend(tls_warning);
        if config.pg_groups.is_empty() && options.pg_scope.is_some() {
            config.warnings.push("pg_scope counts for the groups of pg_group only, and there are none".into());
        }
        let is_shut_out = |node: &&NodeName| !config.allow.is_empty() && !config.allow.contains(&node.to_string());
        if let Some(node) = config.connect.iter().find(is_shut_out) {
            return Err(ConfigError::Connect { node: node.to_string(), reason: "not among the nodes of allow" });
        }
        if config.epmd == EpmdMode::None && config.port == 0 {
            return Err(ConfigError::NoPort);
        }
        if config.local_networks_first && config.rule_priority < 2 {
            return Err(ConfigError::RulePriority);
        }
        if config.net_ticktime < Duration::from_secs(1) {
            return Err(ConfigError::TickTime);
        }
        Ok(config)
    }

    /// Where the cookie comes from that is shared with `node`.
    #[must_use]
    pub fn cookie_of(&self, node: &str) -> &CookieSource {
        self.cookies.iter().find(|(pattern, _)| pattern.fits(node)).map_or(&self.cookie, |(_, source)| source)
    }

    /// Reads the cookies of nodes that have another one.
    ///
    /// # Errors
    ///
    /// The first [`CookieError`].
    pub fn read_cookies(&self) -> Result<Vec<(NodePattern, Cookie)>, CookieError> {
        self.cookies.iter().map(|(pattern, source)| Ok((pattern.clone(), source.read()?))).collect()
    }

    /// Where the node listens. Looks its host up, which may take two seconds.
    pub fn listening(&self) -> Listening {
        listen::listening(self.listen, &listen::resolve(self.node_name.host()))
    }

    /// What [`Epmd::start`](crate::epmd::Epmd::start) needs: an embedded mapper listens where `ERL_EPMD_ADDRESS` says, else where the node does.
    pub fn epmd_config(&self, listening: &Listening) -> EpmdConfig {
        let addresses = self.epmd_addresses.clone().unwrap_or_else(|| listening.addresses.clone());
        EpmdConfig { mode: self.epmd, addresses, port: self.epmd_port, limits: self.limits.epmd }
    }
}

/// A file's text as a start takes it, for `fuzz/`.
///
/// # Errors
/// As [`Config::resolve`].
#[cfg(feature = "fuzz")]
#[doc(hidden)]
pub fn resolve_text(text: &str, around: &Surroundings) -> Result<Config, ConfigError> {
    let layer = layers::from_text(text, Path::new("fuzz.toml"))?;
    Config::resolve(layer.options, None, around)
}

/// The nodes of `--connect`.
fn nodes_to_connect(given: &[String], ours: &NodeName, kind: NameKind) -> Result<Vec<NodeName>, ConfigError> {
    let mut nodes: Vec<NodeName> = Vec::new();
    for word in words(given) {
        let refused = |reason| ConfigError::Connect { node: word.to_owned(), reason };
        let node = peer_name(word, kind).map_err(refused)?;
        if node == *ours {
            return Err(refused("this node itself"));
        }
        if !nodes.contains(&node) {
            nodes.push(node);
        }
    }
    Ok(nodes)
}

/// The entries of `--allow`: full names, hosts, or name parts (`a@`).
fn allowed_nodes(given: &[String]) -> Result<Vec<String>, ConfigError> {
    let mut entries: Vec<String> = Vec::new();
    for word in words(given) {
        let is_odd = word == "@" || word.matches('@').count() > 1 || word.contains(['*', '\'', '"']);
        if is_odd {
            return Err(ConfigError::Allow { node: word.to_owned() });
        }
        if !entries.iter().any(|entry| entry == word) {
            entries.push(word.to_owned());
        }
    }
    Ok(entries)
}

/// The words of an option that may be repeated: in one value they have commas or blanks between them.
fn words(given: &[String]) -> impl Iterator<Item = &str> {
    given.iter().flat_map(|value| value.split([',', ' ', '\t', '\n'])).filter(|word| !word.is_empty())
}

/// `ERL_EPMD_PORT`, as for `erl` and `epmd`.
pub(crate) fn epmd_port(variables: &Variables) -> Result<u16, ConfigError> {
    let Some(value) = layers::get(variables, "ERL_EPMD_PORT") else { return Ok(DEFAULT_PORT) };
    match value.to_str().map(str::parse) {
        Some(Ok(port @ 1..)) => Ok(port),
        _ => Err(ConfigError::Variable { variable: "ERL_EPMD_PORT".into(), reason: "not a port (1 to 65535)".into() }),
    }
}

/// `ERL_EPMD_ADDRESS`: addresses with commas or blanks between them (`epmd.c`), besides loopback.
fn epmd_addresses(variables: &Variables) -> Result<Option<Vec<IpAddr>>, ConfigError> {
    let Some(value) = layers::get(variables, "ERL_EPMD_ADDRESS") else { return Ok(None) };
    let value = value.to_string_lossy();
    let words = value.split([',', ' ']).filter(|word| !word.is_empty());
    words
        .map(|word| {
            let reason = || format!("{word:?} is not an IP address");
            word.parse().map_err(|_| ConfigError::Variable { variable: "ERL_EPMD_ADDRESS".into(), reason: reason() })
        })
        .collect::<Result<Vec<_>, _>>()
        .map(Some)
}
