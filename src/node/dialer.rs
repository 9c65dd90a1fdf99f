//! Outbound connections: who dials, who waits for whom, and the dialler's side of the handshake.
//!
//! As `net_kernel:connect_node/1` and `handle_call({connect, ..})` in `net_kernel.erl` (OTP 25): one attempt to a
//! node at a time, dialled or accepted, and everybody who wants the node waits for that one.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout_at;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::connection::{self, Up};
use super::handshake_io::{HandshakeIo, SetupError};
use super::state::{Verdict, Wanted};
use super::{AutoConnect, Ignored, NameKind, Node, host_of};
use crate::deadline::after;
use crate::dist::{Dialing, Step, is_node_name};

/// Why a node could not be reached.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot connect to {node}: {failure}")]
pub struct DialError {
    node: String,
    failure: Failure,
}

/// What an attempt came to nothing by.
#[derive(Debug, Clone, Default, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub(super) struct Failure {
    reason: String,
    is_refused: bool,
    is_about_tls: bool,
    is_silence: bool,
}

impl Failure {
    const NONE: Self = Self { reason: String::new(), is_refused: false, is_about_tls: false, is_silence: false };
}

impl From<&str> for Failure {
    fn from(reason: &str) -> Self {
        Self { reason: reason.to_owned(), ..Self::NONE }
    }
}

impl From<&SetupError> for Failure {
    fn from(error: &SetupError) -> Self {
        Self {
            reason: error.to_string(),
            is_refused: error.is_refusal(),
            is_about_tls: error.is_about_tls(),
            is_silence: error.is_silence(),
        }
    }
}

impl DialError {
    /// The connection came up, and went.
    pub(super) fn lost(node: &str) -> Self {
        Self { node: node.to_owned(), failure: "the connection was lost at once".into() }
    }

    /// Whether the node is there, and has refused us: most often because of the cookie.
    #[must_use]
    pub const fn is_refused(&self) -> bool {
        self.failure.is_refused
    }

    /// Whether it has to do with TLS: certificates, or that one of the two does not speak it.
    #[must_use]
    pub const fn is_about_tls(&self) -> bool {
        self.failure.is_about_tls
    }

    /// Whether nothing came back at all, as when a firewall drops what we send.
    #[must_use]
    pub const fn is_silence(&self) -> bool {
        self.failure.is_silence
    }
}

/// A handshake under way, dialled or accepted. When it is dropped and nothing has come of it, its place in the table
/// is free again, and those who wait hear of it.
pub(super) struct Attempt {
    node: Node,
    pub peer: String,
    pub id: u64,
    /// Cancelled when another attempt has taken the place.
    pub abort: CancellationToken,
    failure: Failure,
}

impl Attempt {
    pub(super) const fn new(node: Node, peer: String, id: u64, abort: CancellationToken) -> Self {
        Self { node, peer, id, abort, failure: Failure::NONE }
    }

    /// Whether it still holds the place.
    fn is_ours(&self) -> bool {
        self.node.state().may_come_up(&self.peer, self.id)
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        let failure = std::mem::take(&mut self.failure);
        self.node.state().give_up(&self.peer, self.id, &failure);
    }
}

/// An attempt that another one has replaced.
const TAKEN: SetupError = SetupError::GivenUp("the peer dialled us");

/// How much longer than an attempt those wait who want it: its own end says more than that theirs has come.
const GRACE: Duration = Duration::from_millis(50);

/// Why somebody wants a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wish {
    /// `connect_node/1`: always allowed.
    Explicit,
    /// By referring to the node: as [`AutoConnect`] says.
    Automatic,
}

impl Node {
    /// Connects to `peer`, as `net_kernel:connect_node/1`: true when it is connected and nodeup has been delivered,
    /// or if it is this node; false for whatever stood in the way. It takes at most the setup time. Any number of
    /// callers share one attempt, and one that the peer has begun counts as well.
    ///
    /// # Errors
    /// [`Ignored`], if our node is not started.
    pub async fn connect_node(&self, peer: &str) -> Result<bool, Ignored> {
        self.if_alive()?;
        let connected = self.connect(peer).await;
        Ok(connected.inspect_err(|error| debug!(%error, "connect_node")).is_ok())
    }

    /// As [`Node::connect_node`], with the reason.
    ///
    /// # Errors
    /// [`DialError`] says what stood in the way.
    pub async fn connect(&self, peer: &str) -> Result<(), DialError> {
        self.reach(peer, None, Wish::Explicit).await
    }

    /// As [`Node::connect`], to a node that listens at `address`.
    ///
    /// # Errors
    /// [`DialError`] says what stood in the way.
    pub async fn dial(&self, peer: &str, address: SocketAddr) -> Result<(), DialError> {
        self.reach(peer, Some(address), Wish::Explicit).await
    }

    /// What referring to a node does before anything is sent to it.
    pub(super) async fn connect_automatically(&self, peer: &str) -> Result<(), DialError> {
        self.reach(peer, None, Wish::Automatic).await
    }

    async fn reach(&self, peer: &str, address: Option<SocketAddr>, wish: Wish) -> Result<(), DialError> {
        let failed = |failure: Failure| DialError { node: peer.to_owned(), failure };
        if peer == self.name() {
            return Ok(());
        }
        if !is_node_name(peer) {
            return Err(failed("not a node name".into()));
        }
        let end = after(self.inner.config.setup_time.saturating_add(GRACE));
        loop {
            let verdict = match self.want(peer, address, wish).map_err(|reason| failed(reason.into()))? {
                Wanted::Up => return Ok(()),
                Wanted::Pending(waiting) => timeout_at(end, waiting).await,
                Wanted::Leaving(gone) => timeout_at(end, gone.cancelled()).await.map(|()| Ok(Verdict::Missed)),
            };
            match verdict {
                Ok(Ok(Verdict::Up)) => return Ok(()),
                Ok(Ok(Verdict::Failed(failure))) => return Err(failed(failure)),
                // What the peer began came to nothing. That says little of what we can do.
                Ok(Ok(Verdict::Missed) | Err(_)) => {}
                Err(_) => return Err(failed((&SetupError::Timeout).into())),
            }
        }
    }

    /// How things stand with `peer`. Begins to dial if nobody does.
    fn want(&self, peer: &str, address: Option<SocketAddr>, wish: Wish) -> Result<Wanted, &'static str> {
        let mut state = self.state();
        if state.incarnation.stopping.is_cancelled() {
            return Err("the distribution is not running");
        }
        if let Some(wanted) = state.want(peer) {
            return Ok(wanted);
        }
        if wish == Wish::Automatic {
            match self.inner.config.auto_connect {
                AutoConnect::Never => return Err("not connected, and nodes are not connected automatically"),
                AutoConnect::Once if state.is_barred(peer) => {
                    return Err("the connection was lost, and nodes are connected automatically only once");
                }
                AutoConnect::Once | AutoConnect::Always => {}
            }
        }
        if address.is_none() && NameKind::of_host(host_of(peer)) != NameKind::of_host(host_of(&state.incarnation.name))
        {
            return Err("one of us has a long name, the other a short one");
        }
        // The list is asked of attempts only: what is connected stays.
        if !self.inner.net_kernel.allow().admits_outbound(peer) {
            return Err("it is not allowed");
        }
        let (id, abort, waiting) = state.begin_dial(peer);
        drop(state);
        let attempt = Attempt::new(self.clone(), peer.to_owned(), id, abort);
        self.spawn_task(self.clone().run_dialled(attempt, address));
        Ok(Wanted::Pending(waiting))
    }

    /// Dials, and serves the connection if there comes one.
    async fn run_dialled(self, mut attempt: Attempt, address: Option<SocketAddr>) {
        let stopping = self.incarnation().stopping.clone();
        let setup = tokio::select! {
            () = stopping.cancelled() => Err(SetupError::GivenUp("the node stops")),
            () = attempt.abort.cancelled() => Err(TAKEN),
            setup = Box::pin(self.dial_out(&attempt, address)) => setup,
        };
        match setup {
            Ok((up, io)) => {
                drop(attempt);
                self.announce_up(&up.connection);
                connection::run(self, up, io.stream, io.buffer).await;
            }
            Err(error) => attempt.failure = (&error).into(),
        }
    }

    /// All of it within the setup time.
    async fn dial_out(&self, attempt: &Attempt, address: Option<SocketAddr>) -> Result<(Up, HandshakeIo), SetupError> {
        let config = &self.inner.config;
        let end = after(config.setup_time);
        let connecting = async {
            match address {
                Some(address) => Ok(TcpStream::connect(address).await?),
                None => config.resolver.connect(&attempt.peer, config.setup_time).await,
            }
        };
        let socket = timeout_at(end, connecting).await.unwrap_or(Err(SetupError::Timeout))?;
        let (tls, host) = (config.tls.as_ref(), host_of(&attempt.peer));
        let io = HandshakeIo::dial(socket, tls, host, end, config.setup_time).await?;
        timeout_at(end, self.introduce(attempt, io)).await.unwrap_or(Err(SetupError::Timeout))
    }

    /// The handshake of the distribution.
    async fn introduce(&self, attempt: &Attempt, mut io: HandshakeIo) -> Result<(Up, HandshakeIo), SetupError> {
        let options = self.inner.net_kernel.socket_defaults.borrow().connect.clone();
        let cookie = self.inner.config.cookie_of(&attempt.peer);
        let mut dialing = Dialing::new(self.name_message(), &attempt.peer, cookie, rand::random());
        if !self.state().show_name(&attempt.peer, attempt.id) {
            return Err(TAKEN);
        }
        io.send(&[dialing.start()]).await?;
        if !shake_hands(&mut io, &mut dialing, attempt).await? {
            // `nok`: the peer dials us, and its name is the greater. When its attempt arrives, it takes our place, with
            // those who wait; if it never does, the setup time ends the waiting.
            drop(io);
            return std::future::pending().await;
        }
        self.departed(&attempt.peer).await;
        Ok((self.bring_up(dialing.peer(), attempt.id, false, io.stream.socket(), &options)?, io))
    }

    /// Waits until the nodedown of the last connection to `peer` has been delivered.
    pub(super) async fn departed(&self, peer: &str) {
        let departing = self.state().departing(peer);
        if let Some(gone) = departing {
            gone.cancelled().await;
        }
    }
}

/// The dialler's side after the name; false if the peer wants its own attempt to be the one.
async fn shake_hands(io: &mut HandshakeIo, dialing: &mut Dialing, attempt: &Attempt) -> Result<bool, SetupError> {
    loop {
        let packet = io.receive().await?;
        match dialing.packet(&packet)? {
            Step::Send(packet) => io.send(&[packet]).await?,
            Step::Decide => {
                let is_ours = attempt.is_ours();
                io.send(&[dialing.alive(is_ours)]).await?;
                if !is_ours {
                    return Err(TAKEN);
                }
            }
            Step::Up => return Ok(true),
            Step::Close => return Ok(false),
            Step::Wait | Step::Verified(_) => {}
        }
    }
}
