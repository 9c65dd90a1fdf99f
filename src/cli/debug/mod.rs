//! `beamroute debug bundle`: what somebody needs to find a fault, in one file, and no secret.
//!
//! What cannot be had (no daemon, no `ip`) is in the bundle as a sentence; only a file that cannot be written is a failure.

mod parts;
mod secrets;
mod tar;

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use clap::{Args, Subcommand};
use serde_json::json;

use super::{ExitCode, Failure, NodeArgs, Printed};

/// Of `beamroute debug`.
#[derive(Debug, Clone, Args)]
pub struct DebugArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: DebugCommand,
}

/// The subcommands of `beamroute debug`.
#[derive(Debug, Clone, Subcommand)]
pub enum DebugCommand {
    /// Write a tar file for a report of a fault
    ///
    /// In it are the version, the configuration, what check says, status, plan, the last events, `ip -j` dumps of rules, routes,
    /// addresses and links of this machine, and the last lines of the journal.
    /// It has addresses and names of interfaces and nodes, and no cookie and no key.
    Bundle(BundleArgs),
}

/// Of `beamroute debug bundle`.
#[derive(Debug, Clone, Args)]
pub struct BundleArgs {
    /// The file to write, which must not be there yet, or - for standard output [default: beamroute-debug-TIME.tar]
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Print JSON: the file, and the names of what is in it
    #[arg(long)]
    pub json: bool,
    /// The node, and how to reach it.
    #[command(flatten)]
    pub node: NodeArgs,
}

impl DebugArgs {
    /// Does it.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub fn debug(self) -> Result<Printed, Failure> {
        match self.command {
            DebugCommand::Bundle(args) => args.bundle(),
        }
    }
}

impl BundleArgs {
    fn bundle(self) -> Result<Printed, Failure> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let parts = parts::collect(self.node);
        let archive = tar::archive(&parts, now);
        let file = self.file.unwrap_or_else(|| PathBuf::from(format!("beamroute-debug-{now}.tar")));
        let written = if file == Path::new("-") { io::stdout().write_all(&archive) } else { write(&file, &archive) };
        written.map_err(|error| Failure {
            code: if error.kind() == io::ErrorKind::PermissionDenied { ExitCode::Permission } else { ExitCode::Failed },
            message: format!("{}: {error}; name another file: beamroute debug bundle FILE", file.display()),
        })?;
        if file == Path::new("-") {
            return Ok(Printed::text(String::new()));
        }
        let names: Vec<_> = parts.iter().map(|(name, _)| name.as_str()).collect();
        if self.json {
            return Ok(Printed::text(format!("{:#}\n", json!({"file": file, "parts": names}))));
        }
        Ok(Printed::text(format!("{}: {}\n", file.display(), names.join(", "))))
    }
}

/// A new file, for its owner only.
fn write(file: &Path, content: &[u8]) -> io::Result<()> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?.write_all(content)
}
