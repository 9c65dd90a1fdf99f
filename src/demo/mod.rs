//! `beamroute demo`: the main job shown at work, in private network namespaces, by real calls over the distribution.
//!
//! One process. The node and its epmd listen on the host's loopback, its routes live in a namespace that only this
//! process holds. Nothing that is printed is known beforehand: replies and times are the client's, rules and routes are
//! asked of the kernel, ways are where an ICMP echo was answered. If the story goes otherwise than it should, the demo
//! says so and fails.
//!
//! | file | job |
//! | --- | --- |
//! | `privilege` | the right to make namespaces |
//! | `network` | the device, its interfaces and their gateways |
//! | `stage` | what runs: network, daemon, client, and eyes on the kernel |
//! | `client` | who makes the calls |
//! | `kernel`, `echo` | what has changed, and which way a packet goes |
//! | `story`, `keep` | what happens |
//! | `screen` | how it looks |
//! | `scratch` | files for this run |

mod client;
mod echo;
mod keep;
mod kernel;
mod network;
mod privilege;
mod scratch;
mod screen;
mod stage;
mod story;

use anyhow::{Context as _, Result, bail};
use tokio::signal::unix::{Signal, SignalKind, signal};

pub use client::Choice;
pub use privilege::NotAllowed;

use crate::config::LogFormat;
use crate::service;

use screen::Screen;
use stage::Stage;

/// What is asked of the demo.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// Leave the node running after the story, until a signal.
    pub keep: bool,
    /// Who makes the calls.
    pub client: Option<Choice>,
}

/// Tells the story. To be called before there is any thread besides this one.
///
/// # Errors
/// [`NotAllowed`] or [`ServiceError`](crate::service::ServiceError) beneath, or in words what went otherwise than it
/// should.
pub fn run(options: Options) -> Result<()> {
    privilege::acquire()?;
    // The demo speaks for itself; its log is for those who ask for it. Not before: it has a thread.
    let is_log_wanted = std::env::var_os("BEAMROUTE_LOG").is_some();
    let _log = is_log_wanted.then(|| service::init_log(LogFormat::Text));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    runtime.block_on(async {
        let mut signals = Signals::watch().context("cannot watch signals")?;
        let mut screen = Screen::stdout();
        let mut stage = tokio::select! {
            told = tell(options, &mut screen) => told?,
            () = signals.ending() => bail!("interrupted"),
        };
        if options.keep {
            keep::explain(&stage, &mut screen)?;
            tokio::select! {
                watched = keep::watch(&mut stage, &mut screen) => watched?,
                () = signals.ending() => {}
            }
        }
        stage.strike().await;
        screen.line("The node has stopped, and its namespaces are gone.")
    })
}

async fn tell(options: Options, screen: &mut Screen) -> Result<Stage> {
    let mut stage = Stage::set(options).await?;
    story::tell(&mut stage, screen).await?;
    Ok(stage)
}

/// The signals that end the demo.
struct Signals {
    term: Signal,
    int: Signal,
}

impl Signals {
    fn watch() -> std::io::Result<Self> {
        Ok(Self { term: signal(SignalKind::terminate())?, int: signal(SignalKind::interrupt())? })
    }

    async fn ending(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.int.recv() => {}
        }
    }
}
