//! `beamroute names`: what the port mapper of a host knows, as `epmd -names` and `net_adm:names/1` say it.

use std::net::{SocketAddr, ToSocketAddrs as _};

use clap::Args;
use serde_json::json;

use super::ask::{FIREWALL, block_on, columns};
use super::{ExitCode, Failure, Printed};
use crate::config::{Surroundings, epmd_port};
use crate::epmd::{self, EpmdError};

/// Of `beamroute names`.
#[derive(Debug, Clone, Args)]
pub struct NamesArgs {
    /// The host whose nodes to list [default: this one]
    #[arg(value_name = "HOST")]
    pub host: Option<String>,
    /// Print JSON: a list of name and port
    #[arg(long)]
    pub json: bool,
}

impl NamesArgs {
    /// Asks the mapper on `ERL_EPMD_PORT`.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub fn names(self) -> Result<Printed, Failure> {
        let port = epmd_port(&Surroundings::of_this_process().variables)?;
        let addresses = addresses(self.host.as_deref(), port)?;
        let mut names = block_on(ask(&addresses))?.map_err(|error| no_epmd(&error))?;
        names.sort();
        if self.json {
            let names: Vec<_> = names.iter().map(|(name, port)| json!({"name": name, "port": port})).collect();
            return Ok(Printed::text(format!("{:#}\n", serde_json::Value::from(names))));
        }
        if names.is_empty() {
            return Ok(Printed { note: Some("epmd runs, and knows no node".into()), ..Printed::text(String::new()) });
        }
        let head = ["NAME", "PORT"].map(str::to_owned).to_vec();
        let escaped = names.iter().map(|(name, port)| vec![name.escape_debug().to_string(), port.to_string()]);
        let rows: Vec<_> = std::iter::once(head).chain(escaped).collect();
        Ok(Printed::text(columns(&rows)))
    }
}

fn addresses(host: Option<&str>, port: u16) -> Result<Vec<SocketAddr>, Failure> {
    let Some(host) = host else { return Ok(vec![epmd::local_epmd(port)]) };
    let hint = if host.contains('@') { "; a host is wanted, without the part up to the @" } else { "" };
    let unknown = |why: &str| Failure { code: ExitCode::NoSuchNode, message: format!("{host}: {why}{hint}") };
    let found = (host, port).to_socket_addrs().map_err(|error| unknown(&error.to_string()))?;
    Ok(found.collect())
}

/// The first of a host's addresses on which a mapper answers.
async fn ask(addresses: &[SocketAddr]) -> Result<Vec<(String, u16)>, Option<EpmdError>> {
    let mut last = None;
    for address in addresses {
        match epmd::names(*address).await {
            Ok(names) => return Ok(names),
            Err(error) => last = Some(error),
        }
    }
    Err(last)
}

fn no_epmd(error: &Option<EpmdError>) -> Failure {
    let why = error.as_ref().map_or_else(|| "the host has no address".to_owned(), ToString::to_string);
    let code = match error {
        Some(EpmdError::NotEpmd { .. }) => ExitCode::Failed,
        _ => ExitCode::NoSuchNode,
    };
    let next = match error {
        Some(error) if error.is_silence() => FIREWALL,
        _ => "a node brings one along (`beamroute run`, `erl -name`); ERL_EPMD_PORT names another port",
    };
    Failure { code, message: format!("{why}; {next}") }
}
