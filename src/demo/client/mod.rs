//! Who makes the calls: a BEAM if one is installed, else a second node of our own in this process. Either way each
//! call crosses a TCP connection of the distribution, after a handshake with the cookie.

mod beam;
mod own;
mod request;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::config::Cookie;

pub use request::{Request, Syntax};

use beam::Beam;
use own::Own;

/// What a client must know of the node.
#[derive(Debug)]
pub struct Target {
    /// Its name.
    pub node: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// The port of the epmd that knows it.
    pub epmd_port: u16,
    /// The cookie that both sides have.
    pub cookie: Cookie,
    /// The home of a BEAM whose `.erlang.cookie` holds it; the user's own, if there is none.
    pub home: Option<PathBuf>,
}

/// Which client to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Choice {
    /// A hidden node of Elixir's
    Elixir,
    /// A hidden node of Erlang's
    Erl,
    /// A second node inside this program
    Own,
}

/// A connected client.
#[derive(Debug)]
pub enum Client {
    /// A BEAM.
    Beam(Box<Beam>),
    /// Our own.
    Own(Own),
}

/// What a call brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The reply, as the client's language writes it.
    pub text: String,
    /// From the call to its reply, measured by the client.
    pub took: Duration,
}

impl Client {
    /// Starts the client that was asked for, else the first that is installed; should that not start, our own.
    ///
    /// # Errors
    /// If the one that was asked for does not start.
    pub async fn start(choice: Option<Choice>, target: &Target) -> Result<Self> {
        let syntax = match choice.unwrap_or_else(first_installed) {
            Choice::Own => return Ok(Self::Own(Own::start(target, None).await?)),
            Choice::Elixir => Syntax::Elixir,
            Choice::Erl => Syntax::Erlang,
        };
        match Beam::start(syntax, target).await {
            Ok(beam) => Ok(Self::Beam(Box::new(beam))),
            Err(error) if choice.is_none() => {
                let reason = format!("{} {error:#}", syntax.program());
                Ok(Self::Own(Own::start(target, Some(&reason)).await?))
            }
            Err(error) => Err(error).with_context(|| format!("{} as the client", syntax.program())),
        }
    }

    /// What it is.
    #[must_use]
    pub fn description(&self) -> &str {
        match self {
            Self::Beam(beam) => beam.version(),
            Self::Own(own) => own.description(),
        }
    }

    /// The language in which it is spoken to.
    #[must_use]
    pub const fn syntax(&self) -> Syntax {
        match self {
            Self::Beam(beam) => beam.syntax(),
            Self::Own(_) => Syntax::Erlang,
        }
    }

    /// Makes one call.
    ///
    /// # Errors
    /// If the client itself fails; a bad reply is a reply.
    pub async fn call(&mut self, request: &Request) -> Result<Reply> {
        match self {
            Self::Beam(beam) => beam.call(request).await,
            Self::Own(own) => Ok(own.call(request).await),
        }
    }

    /// Ends it.
    pub async fn stop(self) {
        match self {
            Self::Beam(beam) => beam.stop().await,
            Self::Own(own) => own.stop().await,
        }
    }
}

/// Those who have iex think in Elixir.
fn first_installed() -> Choice {
    if is_installed("iex") && is_installed("elixir") {
        Choice::Elixir
    } else if is_installed("erl") {
        Choice::Erl
    } else {
        Choice::Own
    }
}

fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
}
