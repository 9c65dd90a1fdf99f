//! Inbound connections: accept, handshake, hand over.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tracing::{Instrument, Span, debug, field, info_span, warn};

use super::connection::{self, Connection};
use super::handshake_io::{HandshakeIo, SetupError};
use super::state::Admission;
use super::{Node, address_of};
use crate::dist::{Accepting, Flags, HandshakeError, NameMessage, Status, Step};

/// Accepts until the node stops. Each handshake is a task of its own; a slow one delays nobody.
pub(super) async fn run(node: Node, listener: TcpListener) {
    let handshakes = Arc::new(Semaphore::new(node.inner.config.handshake_limit));
    loop {
        let accepted = tokio::select! {
            () = node.inner.stopping.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => match Arc::clone(&handshakes).try_acquire_owned() {
                Ok(permit) => {
                    let node_of_task = node.clone();
                    node.spawn_task(async move {
                        accept(node_of_task, stream, permit).await;
                    });
                }
                Err(_) => warn!("too many handshakes under way; a connection was closed"),
            },
            Err(error) => {
                // Out of file descriptors, most likely: others must get the time to close some.
                warn!(%error, "cannot accept");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn accept(node: Node, stream: TcpStream, permit: tokio::sync::OwnedSemaphorePermit) {
    let span = info_span!("handshake", address = address_of(&stream).map(field::display), peer = field::Empty);
    let setup = tokio::select! {
        () = node.inner.stopping.cancelled() => return,
        setup = shake_hands(&node, stream).instrument(span.clone()) => setup,
    };
    drop(permit);
    match setup {
        Ok((connection, io)) => connection::run(node, connection, io.stream, io.buffer).await,
        // What an operator must see: a node that would have come in with the right cookie or a newer release.
        Err(SetupError::Handshake(error @ (HandshakeError::Cookie | HandshakeError::Flags(_)))) => {
            span.in_scope(|| warn!(%error, "refused a node"));
        }
        Err(error) => span.in_scope(|| debug!(%error, "handshake failed")),
    }
}

async fn shake_hands(node: &Node, stream: TcpStream) -> Result<(Arc<Connection>, HandshakeIo), SetupError> {
    let mut io = HandshakeIo::new(stream, node.inner.config.setup_time);
    let mut accepting = Accepting::new(node.name_message(), node.inner.config.cookie.clone(), rand::random());
    let name = io.receive().await?;
    let named = accepting.packet(&name);
    Span::current().record("peer", accepting.peer_name());
    if let Err(error) = named {
        if matches!(error, HandshakeError::Name(_) | HandshakeError::Flags(_)) {
            io.send(&accepting.status(&Status::NotAllowed)).await?;
        }
        return Err(error.into());
    }
    if accepting.peer_name() == node.name() {
        io.send(&accepting.status(&Status::NotAllowed)).await?;
        return Err(SetupError::GivenUp("a node with our own name"));
    }
    if accepting.wants_name() {
        return answer(node, io, accepting, None).await;
    }
    let admission = node.state().admit(node.name(), accepting.peer_name());
    match admission {
        Admission::Ignore => Err(SetupError::GivenUp("another newcomer of that name is being heard")),
        Admission::Answer(Status::Nok, ..) => {
            io.send(&accepting.status(&Status::Nok)).await?;
            Err(SetupError::GivenUp("our own attempt goes on"))
        }
        Admission::Answer(status, attempt, abort) => {
            let peer = accepting.peer_name().to_owned();
            let setup = tokio::select! {
                () = abort.cancelled() => Err(SetupError::GivenUp("the peer dialled again")),
                setup = answer(node, io, accepting, Some((status, attempt))) => setup,
            };
            if setup.is_err() {
                node.state().give_up(&peer, attempt);
            }
            setup
        }
    }
}

/// Sends the status, proves the cookie both ways, and brings the connection up. Without an admission the peer gets a
/// name that nobody else can have.
async fn answer(
    node: &Node,
    mut io: HandshakeIo,
    mut accepting: Accepting,
    admission: Option<(Status, u64)>,
) -> Result<(Arc<Connection>, HandshakeIo), SetupError> {
    let (status, attempt) = match admission {
        Some(admission) => admission,
        None => (dynamic_name(accepting.peer_name()), 0),
    };
    io.send(&accepting.status(&status)).await?;
    let ack = loop {
        let packet = io.receive().await?;
        match accepting.packet(&packet)? {
            Step::Send(packet) => io.send(&[packet]).await?,
            Step::Verified(ack) => break ack,
            Step::Close => return Err(SetupError::GivenUp("no longer wanted by the peer")),
            Step::Wait | Step::Decide | Step::Up => {}
        }
    };
    let peer = accepting.peer();
    let replaced = node.state().replaced_by(&peer.name, attempt);
    if let Some(old) = replaced {
        old.close("wait_pending");
        old.gone.cancelled().await;
    }
    let connection = node.bring_up(peer, attempt)?;
    if let Err(error) = io.send(&[ack]).await {
        node.state().go_down(&connection);
        return Err(error);
    }
    node.announce_up(&connection).await;
    Ok((connection, io))
}

/// As OTP names nodes that come without a name: something random before the host.
fn dynamic_name(host: &str) -> Status {
    let random: u64 = rand::random();
    Status::Named { name: format!("{random:X}@{host}"), creation: rand::random_range(4..=u32::MAX) }
}

impl Node {
    pub(super) fn name_message(&self) -> NameMessage {
        let published = if self.inner.config.is_visible { Flags::PUBLISHED } else { Flags::default() };
        let flags = Flags::OFFERED | published;
        NameMessage { flags, creation: self.inner.creation, name: self.name().to_owned() }
    }

    /// Enters a verified peer into the table.
    pub(super) fn bring_up(&self, peer: crate::dist::Peer, attempt: u64) -> Result<Arc<Connection>, SetupError> {
        let mut state = self.state();
        if !state.may_come_up(&peer.name, attempt) {
            return Err(SetupError::GivenUp("another connection came up first"));
        }
        let connection = Arc::new(Connection::new(peer, rand::random(), &self.inner.config));
        state.come_up(Arc::clone(&connection));
        Ok(connection)
    }
}
