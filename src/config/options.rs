//! The options of `run`, written once: the flags, the environment variables and the keys of the file are all made
//! from [`Options`].
//!
//! To add an option: a field here (its comment is its help), its name in `layered!` below, and its default in
//! [`Config`](super::Config).

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::LazyLock;

use clap::{Args, CommandFactory, Parser};

use super::value::{
    Admin, DistAutoConnect, Flush, LogFormat, MaxInterfaces, Netns, OnExit, Protocol, RulePriority, Seccomp, Seconds,
    SocketOptions, TlsVerify,
};
use crate::epmd::EpmdMode;

/// What one layer (flags, environment, file) says; `None` is "nothing".
#[derive(Debug, Clone, Default, PartialEq, Args, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Long node name; the host must have a dot, and is this host's full name when left out
    #[arg(long, value_name = "NODE[@HOST]", conflicts_with = "sname")]
    pub name: Option<String>,
    /// Short node name; the host must have no dot [default: beamroute]
    #[arg(long, value_name = "NODE[@HOST]")]
    pub sname: Option<String>,
    /// File with the cookie, readable by its owner only [default: BEAMROUTE_COOKIE,
    /// then systemd's credential `cookie`, then ~/.erlang.cookie]
    #[arg(long, value_name = "PATH")]
    pub cookie_file: Option<PathBuf>,
    /// Address that peers connect to [default: 127.0.0.1 and, if it is loopback, the node's host]
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<IpAddr>,
    /// Port that peers connect to [default: one that is free]
    #[arg(long, value_name = "N")]
    pub port: Option<u16>,
    /// Which port mapper to use: auto (the one that runs, else our own), external, embedded (our own) or none [default: auto]
    #[arg(long, value_name = "MODE")]
    pub epmd: Option<EpmdMode>,
    /// Network namespace whose routes to keep; the node listens in this one [default: this one]
    #[arg(long, value_name = "NAME|PATH")]
    pub netns: Option<Netns>,
    /// User to become once everything is open that needs more than CAP_NET_ADMIN, with its groups [default: none]
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// Filter of system calls: enforce refuses those that the daemon has no use for, log only has the kernel log them
    /// [default: off; without a value: enforce]
    #[arg(long, value_name = "MODE", num_args = 0..=1, require_equals = true, default_missing_value = "enforce")]
    pub seccomp: Option<Seccomp>,
    /// Directory for what must survive a restart of the daemon [default: /run/beamroute]
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// How many interfaces may be known at once [default: 256]
    #[arg(long, value_name = "N")]
    pub max_interfaces: Option<MaxInterfaces>,
    /// Send traffic for other local networks (a second LAN, a container bridge) there, not to the gateway of the interface
    /// whose address it comes from: a rule `lookup main suppress_prefixlength 0` in front of ours
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
          value_parser = clap::builder::BoolishValueParser::new())]
    pub local_networks_first: Option<bool>,
    /// How often everything is read anew from the kernel, in case an event was missed; 0 is never [default: 60]
    #[arg(long, value_name = "SECONDS")]
    pub recheck: Option<Seconds>,
    /// What SIGTERM, SIGINT and stop do with our routes: keep them, or clear them all, foreign ones never; callers'
    /// wishes stay saved and come back with the next start [default: keep]
    #[arg(long, value_name = "WHAT")]
    pub on_exit: Option<OnExit>,
    /// End as with SIGTERM when standard input ends: with the program that holds the other end of its pipe, however that ends
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
          value_parser = clap::builder::BoolishValueParser::new())]
    pub exit_with_stdin: Option<bool>,
    /// What becomes of existing connections after a failover: none stay as they are; conntrack has the kernel forget those
    /// of the interface that lost, so that translated ones (NAT) move [default: none]
    #[arg(long, value_name = "WHAT")]
    pub flush: Option<Flush>,
    /// Be a visible node, not a hidden one: refused until this node speaks the protocol of global
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
          value_parser = clap::builder::BoolishValueParser::new())]
    pub visible: Option<bool>,
    /// Node to keep connected, dialled again whenever it is lost; may be repeated
    #[arg(long, value_name = "NODE@HOST")]
    pub connect: Option<Vec<String>>,
    /// Group of OTP's pg in which the connected nodes list our route_manager; may be repeated [default: none]
    #[arg(long, value_name = "NAME")]
    pub pg_group: Option<Vec<String>>,
    /// The scope of pg in which the groups are [default: pg]
    #[arg(long, value_name = "NAME")]
    pub pg_scope: Option<String>,
    /// Whether referring to a node connects to it: true, once, or never [default: true]
    #[arg(long, value_name = "WHEN")]
    pub dist_auto_connect: Option<DistAutoConnect>,
    /// After so many seconds of silence a peer is down [default: 60]
    #[arg(long, value_name = "SECONDS")]
    pub net_ticktime: Option<Seconds>,
    /// Options of the listening sockets and the connections that they accept, as `nodelay=true,recbuf=65536`
    /// [default: nodelay=true]
    #[arg(long, value_name = "OPTIONS")]
    pub dist_listen_options: Option<SocketOptions>,
    /// Options of the sockets of connections to other nodes, likewise [default: nodelay=true]
    #[arg(long, value_name = "OPTIONS")]
    pub dist_connect_options: Option<SocketOptions>,
    /// Speak TLS with other nodes, and nothing else, as `erl -proto_dist inet_tls` does
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
          value_parser = clap::builder::BoolishValueParser::new())]
    pub tls: Option<bool>,
    /// Our certificate in PEM, and those between it and its authority's
    #[arg(long, value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// Its private key in PEM, readable by its owner only [default: in the file of --tls-cert]
    #[arg(long, value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// Certificates in PEM of the authorities that nodes' certificates must lead to
    #[arg(long, value_name = "FILE")]
    pub tls_ca: Option<PathBuf>,
    /// Whether nodes must have such a certificate, whoever dials: peer or none [default: peer]
    #[arg(long, value_name = "WHAT")]
    pub tls_verify: Option<TlsVerify>,
    /// Whether it must be for the host of the node's name [default: true]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
          value_parser = clap::builder::BoolishValueParser::new())]
    pub tls_check_name: Option<bool>,
    /// Node that may connect: a name, a host, or `name@`, as for net_kernel:allow/1; may be repeated [default: all]
    #[arg(long, value_name = "NODE")]
    pub allow: Option<Vec<String>>,
    /// Who may stop and change the node itself: none or all [default: none]
    #[arg(long, value_name = "WHO")]
    pub admin: Option<Admin>,
    /// Address and port where `/metrics` is served to Prometheus, as 127.0.0.1:9569; to all who can connect [default: none]
    #[arg(long, value_name = "ADDR:PORT")]
    pub metrics: Option<SocketAddr>,
    /// Form of log lines: text or json; text has levels and no times where stderr is the journal [default: text]
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
    /// Protocol number that marks our routes and rules [default: 110]
    #[arg(long, value_name = "N")]
    pub protocol: Option<Protocol>,
    /// Priority of our rules [default: 30000]
    #[arg(long, value_name = "N")]
    pub rule_priority: Option<RulePriority>,
}

/// The merge of two layers, field by field. A field that is forgotten here does not compile.
macro_rules! layered {
    ($($field:ident),* $(,)?) => {
        impl Options {
            /// This layer, and what it leaves open from the one below.
            ///
            /// `name` and `sname` are one question: the upper layer answers both.
            #[must_use]
            pub fn over(self, mut below: Options) -> Options {
                if self.name.is_some() || self.sname.is_some() {
                    (below.name, below.sname) = (None, None);
                }
                Options { $($field: self.$field.or(below.$field)),* }
            }

            /// The names of those that this layer says something about, with underscores.
            #[must_use]
            pub fn given(&self) -> Vec<&'static str> {
                let all = [$((stringify!($field), self.$field.is_some())),*];
                all.into_iter().filter(|(_, is_given)| *is_given).map(|(name, _)| name).collect()
            }
        }
    };
}

layered!(
    name,
    sname,
    cookie_file,
    listen,
    port,
    epmd,
    netns,
    user,
    seccomp,
    state_dir,
    max_interfaces,
    local_networks_first,
    recheck,
    on_exit,
    exit_with_stdin,
    flush,
    visible,
    connect,
    pg_group,
    pg_scope,
    dist_auto_connect,
    net_ticktime,
    dist_listen_options,
    dist_connect_options,
    tls,
    tls_cert,
    tls_key,
    tls_ca,
    tls_verify,
    tls_check_name,
    allow,
    admin,
    metrics,
    log_format,
    protocol,
    rule_priority,
);

/// A parser for the options alone, to read one environment variable with the flags' own rules.
#[derive(Debug, Parser)]
#[command(no_binary_name = true, disable_help_flag = true)]
pub(super) struct Alone {
    #[command(flatten)]
    pub(super) options: Options,
}

/// All options' names, with underscores, as in the file.
pub fn keys() -> &'static [String] {
    // Made once: the definition of all options is what takes long.
    static KEYS: LazyLock<Vec<String>> =
        LazyLock::new(|| Alone::command().get_arguments().map(|argument| argument.get_id().to_string()).collect());
    &KEYS
}

/// The environment variable of an option.
pub fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.to_ascii_uppercase())
}

/// What our environment variables begin with.
pub const PREFIX: &str = "BEAMROUTE_";
