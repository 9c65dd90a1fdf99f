//! Inbound connections: accept, handshake, hand over.

use std::sync::Arc;
use std::time::{Duration, Instant};

use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tracing::{Instrument, Span, debug, field, info_span, warn};

use super::connection::{self, Connection, Up};
use super::dialer::Attempt;
use super::half_open::{HalfOpen, Place};
use super::handshake_io::{HandshakeIo, SetupError};
use super::net_kernel::{Emulated, SocketOption, socket_options};
use super::state::Admission;
use super::{Node, NodedownReason, host_of};
use crate::dist::{Accepting, Flags, HandshakeError, NameMessage, Status, Step};
use crate::metrics;

/// Accepts until the node stops. Each handshake is a task of its own; a slow one delays nobody.
pub(super) async fn run(node: Node, listener: TcpListener) {
    let config = &node.inner.config;
    let mut half_open = HalfOpen::new(config.handshake_limit, config.handshake_limit_per_address);
    let mut is_starved = false;
    let stopping = node.incarnation().stopping.clone();
    let mut defaults = node.inner.net_kernel.socket_defaults.subscribe();
    defaults.mark_changed();
    loop {
        let accepted = tokio::select! {
            () = stopping.cancelled() => return,
            Ok(()) = defaults.changed() => {
                set_options(&listener, &defaults.borrow_and_update().listen);
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((socket, from)) => {
                is_starved = false;
                node.spawn_task(accept(node.clone(), socket, half_open.begin(from.ip())));
                // However many wait: those who are in come in between.
                tokio::task::yield_now().await;
            }
            Err(error) => {
                // Out of file descriptors, most likely: others must get the time to close some. Said once, not at
                // every try.
                if !std::mem::replace(&mut is_starved, true) {
                    warn!(%error, "cannot accept connections; trying again");
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Accepted sockets begin with the listener's options.
fn set_options(listener: &TcpListener, options: &[SocketOption]) {
    if socket_options::apply(options, &SockRef::from(listener), &mut Emulated::default()).is_err() {
        warn!(?options, "the kernel refuses options of the listening socket");
    }
}

async fn accept(node: Node, socket: TcpStream, place: Place) {
    let address = socket.peer_addr().ok();
    let span = info_span!("handshake", address = address.map(field::display), peer = field::Empty);
    let stopping = node.incarnation().stopping.clone();
    let evicted = place.evicted.clone();
    // Given back before the connection begins.
    let setup = Box::pin(shake_hands(&node, socket, place).instrument(span.clone()));
    let setup = tokio::select! {
        () = stopping.cancelled() => return,
        () = evicted.cancelled() => return metrics::HANDSHAKES_REFUSED.add_one(),
        setup = setup => setup,
    };
    if setup.is_err() {
        metrics::HANDSHAKES_REFUSED.add_one();
    }
    match setup {
        Ok((up, io)) => {
            drop(span);
            connection::run(node, up, io.stream, io.buffer).await;
        }
        Err(error) if error.is_for_operators() => span.in_scope(|| warn!(%error, "refused a node")),
        Err(error) => span.in_scope(|| debug!(%error, "handshake failed")),
    }
}

async fn shake_hands(node: &Node, socket: TcpStream, place: Place) -> Result<(Up, HandshakeIo), SetupError> {
    let config = &node.inner.config;
    let mut io = HandshakeIo::accept(socket, config.tls.as_ref(), config.setup_time).await?;
    let mut accepting = Accepting::new(node.name_message(), config.cookie.clone(), rand::random());
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
    let named = accepting.wants_name().then(|| dynamic_name(accepting.peer_name()));
    let name = match &named {
        Some(Status::Named { name, .. }) => name,
        _ => accepting.peer_name(),
    };
    if !node.inner.net_kernel.allow().admits_inbound(name) {
        io.send(&accepting.status(&Status::NotAllowed)).await?;
        return Err(SetupError::GivenUp("a node that is not allowed"));
    }
    if !io.stream.is_for(host_of(name)) {
        io.send(&accepting.status(&Status::NotAllowed)).await?;
        return Err(SetupError::WrongHost);
    }
    accepting.set_cookie(node.inner.config.cookie_of(name));
    if let Some(status) = named {
        return answer(node, io, accepting, status, 0, place).await;
    }
    let admission = node.state().admit(accepting.peer_name());
    match admission {
        Admission::Ignore => Err(SetupError::GivenUp("another newcomer of that name is being heard")),
        Admission::Answer(Status::Nok, ..) => {
            io.send(&accepting.status(&Status::Nok)).await?;
            Err(SetupError::GivenUp("our own attempt goes on"))
        }
        Admission::Answer(status, id, abort) => {
            let attempt = Attempt::new(node.clone(), accepting.peer_name().to_owned(), id, abort);
            tokio::select! {
                () = attempt.abort.cancelled() => Err(SetupError::GivenUp("the peer dialled again")),
                setup = answer(node, io, accepting, status, id, place) => setup,
            }
        }
    }
}

/// Sends the status, proves the cookie both ways, and brings the connection up.
async fn answer(
    node: &Node,
    mut io: HandshakeIo,
    mut accepting: Accepting,
    status: Status,
    attempt: u64,
    place: Place,
) -> Result<(Up, HandshakeIo), SetupError> {
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
    // From here on no flood of newcomers ends it.
    drop(place);
    let peer = accepting.peer();
    let replaced = node.state().replaced_by(&peer.name, attempt);
    let replaces = replaced.is_some();
    if let Some(old) = replaced {
        old.close(NodedownReason::WaitPending);
        old.gone.cancelled().await;
    }
    node.departed(&peer.name).await;
    let options = node.inner.net_kernel.socket_defaults.borrow().listen.clone();
    let up = node.bring_up(peer, attempt, replaces, io.stream.socket(), &options)?;
    io.send(&[ack]).await?;
    node.announce_up(&up.connection);
    Ok((up, io))
}

/// As OTP names nodes that come without a name: something random before the host.
fn dynamic_name(host: &str) -> Status {
    let random: u64 = rand::random();
    Status::Named { name: format!("{random:X}@{host}"), creation: rand::random_range(4..=u32::MAX) }
}

impl Node {
    pub(super) fn name_message(&self) -> NameMessage {
        let us = self.incarnation();
        let published = if us.is_visible { Flags::PUBLISHED } else { Flags::default() };
        NameMessage { flags: Flags::OFFERED | published, creation: us.creation, name: us.name.clone() }
    }

    /// Enters a verified peer into the table, and sets its socket's options. An attempt that has replaced a connection
    /// takes its place among the [`connection_limit`](super::NodeConfig::connection_limit).
    pub(super) fn bring_up(
        &self,
        peer: crate::dist::Peer,
        attempt: u64,
        replaces: bool,
        socket: &TcpStream,
        options: &[SocketOption],
    ) -> Result<Up, SetupError> {
        // Held until the connection is in the table, so that it misses no change of the net_ticktime.
        let ticktime = self.inner.net_kernel.ticktime();
        let mut state = self.state();
        // Whoever stops the node has seen all connections that there are.
        if state.incarnation.stopping.is_cancelled() {
            return Err(SetupError::GivenUp("the node stops"));
        }
        let limit = self.inner.config.connection_limit;
        if !replaces && state.connections().len() >= limit {
            return Err(SetupError::Full(limit));
        }
        if !state.may_come_up(&peer.name, attempt) {
            return Err(SetupError::GivenUp("another connection came up first"));
        }
        let connection = Arc::new(Connection::new(
            peer,
            socket.peer_addr().ok(),
            state.next_connection_id(),
            &self.inner.config,
            ticktime.tick(Instant::now()),
        ));
        connection.adopt_socket(socket, options);
        state.come_up(Arc::clone(&connection));
        Ok(Up::new(self.clone(), connection))
    }
}
