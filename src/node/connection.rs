//! One connection that is up: its reader, its writer, its end.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use bytes::BytesMut;
use eetf::Term;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, info, warn};

use super::message::Message as NodeMessage;
use super::outbox::Outbox;
use super::{Node, NodeConfig};
use crate::dist::{Control, FrameDecoder, Header, Message, Peer, Tick, TickAction};
use crate::term::Limits;

/// How much is read at once at most; also what a quiet connection keeps.
const READ_SIZE: usize = 16 << 10;

/// A frame of length 0.
const TICK: [u8; 4] = [0; 4];

/// A connection that is up, or was.
#[derive(Debug)]
pub(super) struct Connection {
    pub peer: Peer,
    /// Tells this connection from an older one to the same node.
    pub id: u64,
    /// Cancelled once nodedown has been delivered for it.
    pub gone: CancellationToken,
    outbox: Outbox,
    tick: Mutex<Tick>,
    reason: OnceLock<&'static str>,
    closed: CancellationToken,
    flushing: CancellationToken,
}

impl Connection {
    pub(super) fn new(peer: Peer, id: u64, config: &NodeConfig) -> Self {
        Self {
            peer,
            id,
            gone: CancellationToken::new(),
            outbox: Outbox::new(config.outbox_limit),
            tick: Mutex::new(Tick::new(config.net_ticktime, Instant::now())),
            reason: OnceLock::new(),
            closed: CancellationToken::new(),
            flushing: CancellationToken::new(),
        }
    }

    /// Sends a control message. To a connection that is closed it goes nowhere, as signals do.
    pub(super) fn send(&self, control: &Control, payload: Option<&Term>) {
        self.push(|out| control.encode(payload, out));
    }

    /// Closes at once; the first reason counts.
    pub(super) fn close(&self, reason: &'static str) {
        let _ = self.reason.set(reason);
        self.closed.cancel();
    }

    /// Closes when what is queued has been written.
    pub(super) fn close_after_flush(&self, reason: &'static str) {
        let _ = self.reason.set(reason);
        self.flushing.cancel();
    }

    /// Why it ended, in the words of `net_kernel:monitor_nodes/2`.
    pub(super) fn reason(&self) -> &'static str {
        self.reason.get().copied().unwrap_or("connection_closed")
    }

    fn push(&self, encode: impl FnOnce(&mut Vec<u8>)) {
        if !self.closed.is_cancelled() && self.outbox.push(encode).is_err() {
            warn!(peer = %self.peer.name, "peer does not read; dropping the connection");
            self.close("killed");
        }
    }

    fn tick(&self) -> std::sync::MutexGuard<'_, Tick> {
        self.tick.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's place in the node's table. However its task ends, by a panic too, the place is given up with it.
pub(super) struct Up {
    node: Node,
    pub connection: Arc<Connection>,
}

impl Up {
    pub(super) const fn new(node: Node, connection: Arc<Connection>) -> Self {
        Self { node, connection }
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let mut state = self.node.state();
        if state.go_down(&self.connection) {
            for mailbox in state.node_monitors() {
                // Nobody can wait here; a monitor whose mailbox is full misses the news of a task that crashed.
                let _ = mailbox.try_send(NodeMessage::NodeDown(self.connection.peer.name.clone()));
            }
        }
        drop(state);
        self.connection.gone.cancel();
    }
}

/// Runs a connection until it ends. `buffer` holds what came in behind the handshake.
pub(super) async fn run(node: Node, up: Up, stream: TcpStream, buffer: BytesMut) {
    let connection = Arc::clone(&up.connection);
    let span = tracing::info_span!("connection", peer = %connection.peer.name);
    let (read, write) = stream.into_split();
    info!(parent: &span, hidden = !connection.peer.is_visible(), "nodeup");
    let writer = {
        let connection = Arc::clone(&connection);
        async move { write_frames(&connection, write).await }.instrument(span.clone())
    };
    let reader = async {
        read_frames(&node, &connection, read, buffer).await;
        connection.close("connection_closed");
    };
    tokio::join!(reader.instrument(span.clone()), writer);
    node.connection_down(&connection).await;
    info!(parent: &span, reason = connection.reason(), "nodedown");
}

async fn read_frames(node: &Node, connection: &Arc<Connection>, mut read: OwnedReadHalf, mut buffer: BytesMut) {
    let decoder = FrameDecoder::new(Header::Four, node.inner.config.frame_limit);
    loop {
        loop {
            let body = match decoder.next(&mut buffer) {
                Ok(Some(body)) => body,
                Ok(None) => break,
                Err(error) => {
                    warn!(%error, "dropping the connection");
                    return connection.close("killed");
                }
            };
            connection.tick().received(Instant::now());
            if body.is_empty() {
                answer_tick(connection);
                continue;
            }
            match Message::decode(&body, Limits::default()) {
                Ok(message) => node.dispatch(connection, message).await,
                Err(error) => {
                    warn!(%error, "dropping the connection");
                    return connection.close("killed");
                }
            }
            if connection.closed.is_cancelled() {
                return;
            }
        }
        buffer.reserve(READ_SIZE);
        tokio::select! {
            biased;
            () = connection.closed.cancelled() => return,
            got = read.read_buf(&mut buffer) => match got {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) => return debug!(%error, "read failed"),
            },
        }
    }
}

fn answer_tick(connection: &Connection) {
    let wants_answer = connection.tick().wants_answer(Instant::now());
    if wants_answer {
        connection.push(|out| out.extend(TICK));
    }
}

/// Writes what the outbox holds, and keeps the ticks: both must go on while the other waits.
async fn write_frames(connection: &Connection, mut write: OwnedWriteHalf) {
    let mut spent = Vec::new();
    loop {
        tokio::select! {
            biased;
            () = connection.closed.cancelled() => return,
            frames = connection.outbox.take(std::mem::take(&mut spent)) => {
                if !write_all(connection, &mut write, &frames).await {
                    return connection.close("connection_closed");
                }
                connection.tick().sent(Instant::now());
                spent = frames;
                spent.clear();
                spent.shrink_to(READ_SIZE);
            }
            () = connection.flushing.cancelled() => {
                write_all(connection, &mut write, &connection.outbox.take_now()).await;
                let _ = write.shutdown().await;
                // Closing with bytes unread makes the kernel reset the connection, and the peer lose what it has not
                // read yet. So the reader goes on until the peer has closed too, or whoever stops us loses patience.
                return connection.closed.cancelled().await;
            }
            () = tick_due(connection) => match tick_action(connection) {
                TickAction::Nothing => {}
                TickAction::Send => connection.push(|out| out.extend(TICK)),
                TickAction::Down => return connection.close("net_tick_timeout"),
            },
        }
    }
}

/// Writes all of `frames`, unless the connection ends meanwhile, by silence of the peer too.
async fn write_all(connection: &Connection, write: &mut OwnedWriteHalf, frames: &[u8]) -> bool {
    let writing = write.write_all(frames);
    tokio::pin!(writing);
    loop {
        tokio::select! {
            biased;
            () = connection.closed.cancelled() => return false,
            written = &mut writing => return written.is_ok(),
            () = tick_due(connection) => if tick_action(connection) == TickAction::Down {
                connection.close("net_tick_timeout");
                return false;
            },
        }
    }
}

async fn tick_due(connection: &Connection) {
    let deadline = connection.tick().deadline();
    tokio::time::sleep_until(deadline.into()).await;
}

fn tick_action(connection: &Connection) -> TickAction {
    connection.tick().poll(Instant::now())
}
