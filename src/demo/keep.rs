//! `--keep`: the node stays for the user's own calls, and what they change is shown as it changes.

use std::time::Duration;

use anyhow::{Result, bail};

use super::client::Syntax;
use super::network::INTERNET;
use super::screen::Screen;
use super::stage::{NODE, Stage};

/// Says how to reach the node.
///
/// # Errors
/// If nobody reads any more.
pub fn explain(stage: &Stage, screen: &mut Screen) -> Result<()> {
    let port = stage.epmd_port;
    screen.heading("The node stays until Ctrl-C. Paste one of these in another terminal:")?;
    screen.line("")?;
    // The cookie is that of the user who runs the demo: after sudo, root's.
    let sudo = if std::env::var_os("SUDO_USER").is_some() { "sudo " } else { "" };
    screen.line(&format!("    {sudo}ERL_EPMD_PORT={port} iex --hidden --name me@127.0.0.1"))?;
    screen.line(&format!("    {sudo}ERL_EPMD_PORT={port} erl -hidden -name me@127.0.0.1"))?;
    screen.line("")?;
    screen.line("and there, for example (or the same in Erlang):")?;
    screen.line("")?;
    screen.line(&format!("    {}", Syntax::Elixir.definition(NODE)))?;
    screen.line("    GenServer.call(rm, {:set_connection_status, \"eth0\", :disconnected})")?;
    screen.line("    GenServer.call(rm, :status)")?;
    screen.line("")?;
    screen.line("What changes in the kernel is shown here:")
}

/// Shows what changes, until the daemon ends (which nobody may ask of it).
///
/// # Errors
/// If the kernel does not answer, nobody reads any more, or the daemon has ended.
pub async fn watch(stage: &mut Stage, screen: &mut Screen) -> Result<()> {
    loop {
        tokio::select! {
            changed = stage.kernel.changed() => changed?,
            _ = stage.service.ended() => bail!("the node has ended"),
        }
        // One call makes several changes; they belong together.
        tokio::time::sleep(TOGETHER).await;
        let differences = stage.kernel.differences()?;
        if !differences.is_empty() {
            screen.line("")?;
            screen.differences(&differences)?;
            let way = stage.prober.probe(INTERNET).await?;
            screen.way(INTERNET, way)?;
        }
    }
}

const TOGETHER: Duration = Duration::from_millis(20);
