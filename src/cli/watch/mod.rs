//! `beamroute watch`: how things stand and what happens, as it happens.
//!
//! ```text
//! Follower (a task: connects, subscribes, asks status) → News → a screen, or lines, or JSON
//! ```

mod event;
mod follow;
mod screen;
mod terminal;

use std::io::{self, IsTerminal as _, Write as _};

use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::ask::{Asker, block_on};
use super::{ExitCode, Failure, NodeArgs, Printed};
use crate::config::Config;
pub(in crate::cli) use event::Event;
use follow::follow;
use screen::Screen;
use terminal::{Key, Terminal};

/// Of `beamroute watch`.
#[derive(Debug, Clone, Args)]
pub struct WatchArgs {
    /// Print a JSON object a line for each event
    #[arg(long)]
    pub json: bool,
    /// The node, and how to reach it.
    #[command(flatten)]
    pub node: NodeArgs,
}

impl WatchArgs {
    /// Watches until it is told to stop, or whoever reads it has gone.
    ///
    /// # Errors
    /// A sentence for the operator, if the node cannot be reached at first, or refuses us.
    pub fn watch(self) -> Result<Printed, Failure> {
        let NodeArgs { node, reach } = self.node;
        let config = reach.resolve()?;
        let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        let has_screen = io::stdout().is_terminal() && !is_dumb && !self.json;
        block_on(async {
            let asker = Asker::connect(&config, node).await?;
            if has_screen { on_screen(&config, asker).await } else { as_lines(&config, asker, self.json).await }
        })??;
        Ok(Printed::text(String::new()))
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self { code: ExitCode::Failed, message: format!("the terminal: {error}") }
    }
}

/// What ends it from outside.
struct Ends([Signal; 4]);

impl Ends {
    fn watch() -> io::Result<Self> {
        use SignalKind as Kind;
        let [interrupt, terminate] = [signal(Kind::interrupt())?, signal(Kind::terminate())?];
        Ok(Self([interrupt, terminate, signal(Kind::hangup())?, signal(Kind::quit())?]))
    }

    async fn ended(&mut self) {
        let Self([interrupt, terminate, hangup, quit]) = self;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
            _ = quit.recv() => {}
        }
    }
}

/// How much news may wait for a slow reader. The node's connection waits then, and the node bounds what it keeps.
const QUEUE: usize = 64;

async fn as_lines(config: &Config, asker: Asker, is_json: bool) -> Result<(), Failure> {
    let mut ends = Ends::watch()?;
    let (sender, mut news) = mpsc::channel(QUEUE);
    let node = asker.peer.clone();
    let mut following = std::pin::pin!(follow(config, asker, sender, false));
    loop {
        let news = tokio::select! {
            error = &mut following => return Err(error.into()),
            () = ends.ended() => return Ok(()),
            Some(news) = news.recv() => news,
        };
        let Some(event) = Event::of(&node, news) else { continue };
        let line = if is_json { event.json() } else { event.line() };
        // Whoever reads may have read enough.
        if writeln!(io::stdout(), "{line}").and_then(|()| io::stdout().flush()).is_err() {
            return Ok(());
        }
    }
}

async fn on_screen(config: &Config, asker: Asker) -> Result<(), Failure> {
    let mut ends = Ends::watch()?;
    let mut resized = signal(SignalKind::window_change())?;
    let mut stopped = signal(SignalKind::from_raw(nix::libc::SIGTSTP))?;
    let (sender, mut news) = mpsc::channel(QUEUE);
    let mut screen = Screen::new(&asker.peer);
    let mut following = std::pin::pin!(follow(config, asker, sender, true));
    let mut keys = terminal::keys();
    let mut terminal = Terminal::enter()?;
    loop {
        if terminal.draw(|rows, columns| screen.lines(rows, columns)).is_err() {
            // The terminal is gone.
            return Ok(());
        }
        tokio::select! {
            error = &mut following => {
                drop(terminal);
                return Err(Failure::from(error));
            }
            () = ends.ended() => return Ok(()),
            Some(news) = news.recv() => screen.take(news),
            _ = resized.recv() => {}
            _ = stopped.recv() => terminal.suspend()?,
            Some(key) = keys.recv() => match key {
                Key::Leave => return Ok(()),
                Key::Suspend => terminal.suspend()?,
                Key::Other => {}
            },
        }
    }
}
