//! `beamroute check`: whether `run` would work here with this configuration. Looks only: changes nothing, and asks no daemon.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;

use clap::Args;
use nix::unistd::{AccessFlags, User, access};
use serde_json::json;

use super::ask::{block_on, columns};
use super::{ExitCode, FileArgs, Printed};
use crate::config::{Config, CookieSource, Flush, NameKind, Options};
use crate::epmd::{self, EpmdMode};
use crate::listening;
use crate::netlink::{self, Conntrack, Missing, check_support};
use crate::node::Tls;
use crate::route_manager::JournalError;
use crate::service::{self, Offline, ServiceError};
use crate::term::as_list;

/// Of `beamroute check`.
#[derive(Debug, Clone, Args)]
pub struct CheckArgs {
    /// Print JSON: ok, and for each thing that was checked its name, outcome and detail
    #[arg(long)]
    pub json: bool,
    /// The file.
    #[command(flatten)]
    pub file: FileArgs,
    /// As for `beamroute run`.
    #[command(flatten)]
    pub options: Options,
}

/// What came of one check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// As it should be.
    Ok,
    /// It will run, and perhaps not as it is meant.
    Warning,
    /// It would not run, and end with this exit status.
    Failed(ExitCode),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed(_) => "failed",
        })
    }
}

/// Everything that was checked, in order.
#[derive(Debug, Default)]
pub(super) struct Findings(Vec<(&'static str, Outcome, String)>);

impl Findings {
    fn add(&mut self, check: &'static str, outcome: Outcome, detail: impl fmt::Display) {
        self.0.push((check, outcome, detail.to_string()));
    }

    /// `found`'s detail, or its error.
    fn result<E>(&mut self, check: &'static str, found: Result<String, E>)
    where
        E: fmt::Display,
        for<'a> ExitCode: From<&'a E>,
    {
        match found {
            Ok(detail) => self.add(check, Outcome::Ok, detail),
            Err(error) => self.add(check, Outcome::Failed(ExitCode::from(&error)), error),
        }
    }

    fn failures(&self) -> impl Iterator<Item = ExitCode> {
        self.0.iter().filter_map(|(_, outcome, _)| match outcome {
            Outcome::Failed(code) => Some(*code),
            Outcome::Ok | Outcome::Warning => None,
        })
    }

    /// One line each.
    pub(super) fn table(&self) -> String {
        let rows = self.0.iter().map(|(check, outcome, detail)| {
            let outcome = outcome.to_string();
            vec![outcome, (*check).to_owned(), detail.clone()]
        });
        columns(&rows.collect::<Vec<_>>())
    }

    fn json(&self) -> String {
        let checks = self
            .0
            .iter()
            .map(|(check, outcome, detail)| json!({"check": check, "outcome": outcome.to_string(), "detail": detail}));
        let is_ok = self.failures().next().is_none();
        format!("{:#}\n", json!({"ok": is_ok, "checks": checks.collect::<Vec<_>>()}))
    }
}

impl CheckArgs {
    /// Checks all; the exit status is the one that `run` would end with.
    #[must_use]
    pub fn check(self) -> Printed {
        let findings = match self.file.resolve(self.options) {
            Ok(config) => check(&config),
            Err(error) => {
                let mut findings = Findings::default();
                findings.add("configuration", Outcome::Failed(ExitCode::from(&error)), error);
                findings
            }
        };
        let code = findings.failures().next().unwrap_or(ExitCode::Done);
        let text = if self.json { findings.json() } else { findings.table() };
        let note = match findings.failures().count() {
            0 => None,
            failed => {
                Some(format!("{failed} of {} checks failed; `beamroute run` would not start here", findings.0.len()))
            }
        };
        Printed { text, note, code }
    }
}

/// What a configuration that is right in itself meets here.
pub(super) fn check(config: &Config) -> Findings {
    let mut findings = Findings::default();
    let file = config.file.as_ref();
    let file =
        file.map_or_else(|| "no file: defaults, environment and flags".to_owned(), |file| file.display().to_string());
    findings.add("configuration", Outcome::Ok, file);
    for warning in &config.warnings {
        findings.add("configuration", Outcome::Warning, warning);
    }
    let kind = if config.name_kind == NameKind::Long { "long" } else { "short" };
    findings.add("node name", Outcome::Ok, format!("{} ({kind} names)", config.node_name));
    secrets(config, &mut findings);
    if let Some(name) = &config.user {
        match User::from_name(name) {
            Ok(Some(_)) => findings.add("user", Outcome::Ok, name),
            _ => findings.add("user", Outcome::Failed(ExitCode::Configuration), format!("there is no user {name}")),
        }
    }
    kernel(config, &mut findings);
    state(config, &mut findings);
    addresses(config, &mut findings);
    findings
}

/// Cookies and certificates: that they can be read, never what they are.
fn secrets(config: &Config, findings: &mut Findings) {
    findings.result("cookie", cookie(&config.cookie));
    for (nodes, source) in &config.cookies {
        findings.result("cookie", cookie(source).map(|whence| format!("of {nodes}: {whence}")));
    }
    if let Some(settings) = config.tls.clone() {
        let certificate = settings.certificate.display().to_string();
        findings.result("tls", Tls::open(settings).map(|_| certificate).map_err(ServiceError::from));
    }
}

fn cookie(source: &CookieSource) -> Result<String, ServiceError> {
    let whence = match source {
        CookieSource::File(file) => file.display().to_string(),
        CookieSource::Credential { file, otherwise } => match file.exists() {
            true => file.display().to_string(),
            false => return cookie(otherwise),
        },
        CookieSource::Given(_) => "of the environment (BEAMROUTE_COOKIE)".to_owned(),
        CookieSource::Home { home, xdg } => match [home, xdg].into_iter().flatten().find(|file| file.exists()) {
            Some(file) => file.display().to_string(),
            // Reading would make it.
            None if home.is_some() => return Ok("none yet: ~/.erlang.cookie is made at the start".to_owned()),
            None => String::new(),
        },
    };
    source.read()?;
    Ok(whence)
}

fn kernel(config: &Config, findings: &mut Findings) {
    let netns = config.netns.as_ref().map(|netns| netns.path().to_path_buf());
    let netlink = netlink::Config { netns, protocol: config.protocol, ..netlink::Config::default() };
    let missing = match check_support(&netlink) {
        Ok(missing) => missing,
        Err(error) => {
            findings.result("kernel", Err(ServiceError::from(error)));
            return;
        }
    };
    for (check, what, fine) in [
        ("privileges", Missing::NetAdmin, "CAP_NET_ADMIN"),
        ("kernel", Missing::PolicyRouting, "policy rules (CONFIG_IP_ADVANCED_ROUTER, CONFIG_IP_MULTIPLE_TABLES)"),
        ("kernel", Missing::Ipv6Rules, "policy rules for IPv6 (CONFIG_IPV6_MULTIPLE_TABLES)"),
    ] {
        match (missing.contains(&what), what.is_fatal()) {
            (false, _) => findings.add(check, Outcome::Ok, fine),
            (true, false) => {
                findings.add(check, Outcome::Warning, format!("without {what}, only IPv4 routes are kept"))
            }
            (true, true) => {
                let hint =
                    if what == Missing::NetAdmin { "; check as the user that runs it, such as root" } else { "" };
                let error = ServiceError::Missing(what);
                findings.add(check, Outcome::Failed(ExitCode::from(&error)), format!("{error}{hint}"));
            }
        }
    }
    if config.flush == Flush::Conntrack {
        match Conntrack::open(&netlink) {
            Ok(_) => findings.add("flush", Outcome::Ok, "the kernel's table of connections"),
            Err(error) => findings.add("flush", Outcome::Warning, format!("connections would not be deleted: {error}")),
        }
    }
}

/// What was saved, and whether a daemon has it in hand.
fn state(config: &Config, findings: &mut Findings) {
    match service::plan_offline(config) {
        Ok(Offline { file, answer }) => {
            let changes = as_list(&answer).map_or(0, <[_]>::len);
            findings.add(
                "state",
                Outcome::Ok,
                format!("{}; a start would change {changes} routes and rules", file.display()),
            );
        }
        Err(ServiceError::Elsewhere(protocol)) => {
            let detail = format!("a beamroute runs here with protocol number {protocol}; another one would be refused");
            findings.add("state", Outcome::Warning, detail);
        }
        Err(ServiceError::Journal(JournalError::Missing(_))) => directory(&config.state_dir, findings),
        Err(error) => findings.result("state", Err(error)),
    }
}

fn directory(dir: &Path, findings: &mut Findings) {
    // The first of it that is there: the others are made.
    let there = dir.ancestors().find(|dir| dir.exists()).unwrap_or(dir);
    match access(there, AccessFlags::W_OK | AccessFlags::X_OK) {
        Ok(()) => findings.add("state", Outcome::Ok, format!("nothing saved yet in {}", dir.display())),
        Err(error) => {
            let detail = format!("{} cannot be written ({}): see --state-dir", there.display(), error.desc());
            findings.add("state", Outcome::Warning, detail);
        }
    }
}

/// Where peers find the node.
fn addresses(config: &Config, findings: &mut Findings) {
    let listening = config.listening();
    let all: Vec<_> = listening.addresses.iter().map(ToString::to_string).collect();
    match listening.unreachable {
        None => match listening.addresses.iter().find(|ip| listening::is_absent(SocketAddr::new(**ip, 0))) {
            Some(ip) => {
                let detail = format!("no interface has {ip} yet: peers reach the node when one has");
                findings.add("listen", Outcome::Warning, detail);
            }
            None => findings.add("listen", Outcome::Ok, all.join(" ")),
        },
        Some(address) => {
            let all = all.join(" ");
            let detail =
                format!("peers find this node's host at {address}, and it would listen on {all}: see --listen");
            findings.add("listen", Outcome::Warning, detail);
        }
    }
    if config.epmd == EpmdMode::None {
        return findings.add("epmd", Outcome::Ok, format!("none; peers must know port {}", config.port));
    }
    let asked = block_on(epmd::names(epmd::local_epmd(config.epmd_port)));
    let port = config.epmd_port;
    match (asked, config.epmd) {
        (Ok(Ok(_)), EpmdMode::Embedded) => {
            let detail = format!("another epmd has port {port}: see --epmd auto");
            findings.add("epmd", Outcome::Warning, detail);
        }
        (Ok(Ok(names)), _) => {
            let name = config.node_name.name();
            let taken = names.iter().any(|(known, _)| known == name);
            let detail = if taken { ", and has our name already: a node of that name runs" } else { "" };
            let outcome = if taken { Outcome::Warning } else { Outcome::Ok };
            findings.add("epmd", outcome, format!("runs on port {port}{detail}"));
        }
        (_, EpmdMode::External) => {
            findings.add("epmd", Outcome::Warning, format!("none on port {port}: the node would wait for one"));
        }
        _ => findings.add("epmd", Outcome::Ok, format!("none on port {port}: the node serves it itself")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failure_gives_the_exit_status() {
        let mut findings = Findings::default();
        findings.add("a", Outcome::Ok, "fine");
        findings.add("b", Outcome::Failed(ExitCode::Permission), "no");
        findings.add("c", Outcome::Failed(ExitCode::Configuration), "no");
        assert_eq!(findings.failures().collect::<Vec<_>>(), [ExitCode::Permission, ExitCode::Configuration]);
        assert_eq!(findings.table(), "ok      a  fine\nfailed  b  no\nfailed  c  no\n");
        let json: serde_json::Value = serde_json::from_str(&findings.json()).unwrap();
        assert_eq!(json["checks"][1], json!({"check": "b", "outcome": "failed", "detail": "no"}));
        assert_eq!(json["ok"], false);
    }
}
