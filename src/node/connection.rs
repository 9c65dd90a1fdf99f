//! One connection that is up: its reader, its writer, its end.

use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::pin;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::{Buf as _, BytesMut};
use eetf::Term;
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{Span, debug, field, info, trace, warn};

use super::buffers::READ_SIZE;
use super::channel::Channel;
use super::dispatch::Delivery;
use super::fast_path::FlatTaker;
use super::flood::{self, Flood};
use super::kernel::OptionsError;
use super::mailbox::Shares;
use super::net_kernel::socket_options::{apply, read};
use super::net_kernel::{Emulated, OptionName, SocketOption};
use super::outbox::Outbox;
use super::transport::{ReadHalf, Stream, WriteHalf};
use super::{Node, NodeConfig, NodeInfo, NodedownReason};
use crate::deadline::{after, reached};
use crate::dist::{Control, FlatMonitor, FrameDecoder, Gathering, Header, Message, Peer, Tick, TickAction};
use crate::metrics;
use crate::term::Limits;

/// Bytes that may wait for a peer before our own processes wait, as BEAMs have it (`dist_buf_busy_limit`).
const ROOM: usize = 1 << 20;

/// How long a message of a peer waits that does not read.
const RELUCTANCE: Duration = Duration::from_millis(1);

/// Bytes of frames that are taken before others have their turn.
const MOST_AT_ONCE: usize = 4 * READ_SIZE;

/// A frame of length 0.
const TICK: [u8; 4] = [0; 4];

/// A connection that is up, or was.
#[derive(Debug)]
pub(super) struct Connection {
    pub peer: Peer,
    /// Tells this connection from an older one to the same node.
    pub id: u32,
    /// Cancelled once nodedown has been delivered for it.
    pub gone: CancellationToken,
    /// For what is logged about it. Entered only then: to enter it for every frame costs more than most frames.
    span: Span,
    outbox: Outbox,
    tick: Mutex<Tick>,
    /// The tick's deadline may have come nearer.
    tick_changed: Notify,
    socket: Mutex<Socket>,
    reason: OnceLock<NodedownReason>,
    /// Whether `closed` is cancelled, for those who ask it at every frame.
    is_closed: AtomicBool,
    closed: CancellationToken,
    /// It is closed, or is to be when what is queued has been written.
    ending: CancellationToken,
}

/// The connection's socket, for its options alone.
#[derive(Debug, Default)]
struct Socket {
    /// A second handle, which must not outlive the connection: it would keep it open.
    handle: Option<OwnedFd>,
    emulated: Emulated,
}

impl Connection {
    pub(super) fn new(peer: Peer, address: Option<SocketAddr>, id: u32, config: &NodeConfig, tick: Tick) -> Self {
        let address = address.map(field::display);
        Self {
            // The handshake, in which it begins, is over soon.
            span: tracing::info_span!(parent: None, "connection", peer = %peer.name, address),
            peer,
            id,
            gone: CancellationToken::new(),
            outbox: Outbox::new(config.outbox_limit),
            tick: Mutex::new(tick),
            tick_changed: Notify::new(),
            socket: Mutex::default(),
            reason: OnceLock::new(),
            is_closed: AtomicBool::new(false),
            closed: CancellationToken::new(),
            ending: CancellationToken::new(),
        }
    }

    /// Sends a control message. To a connection that is closed it goes nowhere, as signals do.
    pub(super) fn send(&self, control: &Control, payload: Option<&Term>) {
        self.push(|out| control.encode(payload, out));
    }

    /// Waits while so much waits for the peer that a BEAM would suspend whoever sends to it.
    pub(super) async fn room(&self) {
        tokio::select! {
            () = self.closed.cancelled() => {}
            () = self.outbox.room(ROOM) => {}
        }
    }

    /// Whether so much waits for the peer that it should be heard slowly.
    fn is_unread(&self) -> bool {
        self.outbox.len() > ROOM
    }

    /// Waits a little if so much waits for the peer: whoever does not read is heard slowly, so that until it is dropped others
    /// pay little for the answers that it lets lie. Not for ever: it may read when it has written all.
    async fn be_read(&self) {
        if !self.is_unread() {
            return;
        }
        let _ = Box::pin(tokio::time::timeout(RELUCTANCE, self.room())).await;
    }

    /// Closes at once; the first reason counts.
    pub(super) fn close(&self, reason: NodedownReason) {
        let _ = self.reason.set(reason);
        self.is_closed.store(true, Relaxed);
        self.closed.cancel();
        self.ending.cancel();
    }

    /// Closes because of what the peer has sent.
    fn refuse(&self, error: &dyn std::fmt::Display) {
        warn!(parent: &self.span, %error, "dropping the connection");
        self.close(NodedownReason::Killed);
    }

    /// Whether it was closed and has yet to go.
    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.load(Relaxed)
    }

    /// Closes when what is queued has been written.
    pub(super) fn close_after_flush(&self, reason: NodedownReason) {
        let _ = self.reason.set(reason);
        self.ending.cancel();
    }

    pub(super) fn info(&self) -> NodeInfo {
        NodeInfo { name: self.peer.name.clone(), is_visible: self.peer.is_visible(), connection_id: self.id }
    }

    /// Why it ended, in the words of `net_kernel:monitor_nodes/2`.
    pub(super) fn reason(&self) -> NodedownReason {
        self.reason.get().copied().unwrap_or(NodedownReason::ConnectionClosed)
    }

    /// Takes the socket's options in hand and sets `options`.
    pub(super) fn adopt_socket(&self, of: &TcpStream, options: &[SocketOption]) {
        let mut socket = self.socket();
        socket.handle = of.as_fd().try_clone_to_owned().ok();
        let Socket { handle: Some(handle), emulated } = &mut *socket else { return };
        if apply(options, &SockRef::from(&*handle), emulated).is_err() {
            warn!(peer = %self.peer.name, ?options, "the kernel refuses socket options");
        }
    }

    pub(super) fn getopts(&self, names: &[OptionName]) -> Result<Vec<SocketOption>, OptionsError> {
        let socket = self.socket();
        let handle = socket.handle.as_ref().ok_or(OptionsError::NotConnected)?;
        Ok(read(names, &SockRef::from(handle), &socket.emulated)?)
    }

    pub(super) fn setopts(&self, options: &[SocketOption]) -> Result<(), OptionsError> {
        let mut socket = self.socket();
        let Socket { handle: Some(handle), emulated } = &mut *socket else { return Err(OptionsError::NotConnected) };
        Ok(apply(options, &SockRef::from(&*handle), emulated)?)
    }

    /// Lets the socket close with its stream.
    pub(super) fn release_socket(&self) {
        self.socket().handle = None;
    }

    /// The node's net_ticktime is `ticktime` now, or soon will be another: a tick goes out in any case.
    pub(super) fn follow_ticktime(&self, ticktime: Duration) {
        self.tick().set_ticktime(ticktime, Instant::now());
        // Two may wait: the writer while it writes, and for what comes after. And if none does, the next.
        self.tick_changed.notify_waiters();
        self.tick_changed.notify_one();
        self.push(|out| out.extend(TICK));
    }

    fn socket(&self) -> MutexGuard<'_, Socket> {
        self.socket.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long a write may take before the connection ends, if that was asked for.
    fn send_timeout(&self) -> Option<Duration> {
        let emulated = self.socket().emulated;
        emulated.send_timeout.filter(|_| emulated.send_timeout_close)
    }

    /// Lets `encode` append whole frames.
    pub(super) fn push(&self, encode: impl FnOnce(&mut Vec<u8>)) {
        if !self.is_closed() && self.outbox.push(encode).is_err() {
            warn!(parent: &self.span, "peer does not read; dropping the connection");
            self.close(NodedownReason::Busy);
        }
    }

    fn tick(&self) -> MutexGuard<'_, Tick> {
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
        self.connection.release_socket();
        self.node.connection_down(&self.connection);
        self.node.state().departed(&self.connection.peer.name);
        self.connection.gone.cancel();
    }
}

/// Runs a connection until it ends. `buffer` holds what came in behind the handshake.
pub(super) async fn run(node: Node, up: Up, stream: Stream, buffer: BytesMut) {
    let connection = Arc::clone(&up.connection);
    let (read, mut write) = stream.into_split();
    metrics::CONNECTIONS.add_one();
    metrics::NEWS.notify_one();
    info!(parent: &connection.span, hidden = !connection.peer.is_visible(), "nodeup");
    // Where they are made they stay: each move of them would be room in every connection's memory.
    let mut reader = pin!(async {
        read_frames(&node, &connection, read, buffer).await;
        connection.close(NodedownReason::ConnectionClosed);
    });
    let mut writer = pin!(async {
        write_frames(&connection, &mut write).await;
        write.farewell();
    });
    let (mut reads, mut writes) = (true, true);
    // The writer's turn follows the reader's: what that has to say needs to wake nobody.
    std::future::poll_fn(|cx| {
        connection.outbox.attend();
        reads = reads && reader.as_mut().poll(cx).is_pending();
        writes = writes && writer.as_mut().poll(cx).is_pending();
        if reads || writes { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    connection.release_socket();
    node.connection_down(&connection);
    metrics::NEWS.notify_one();
    info!(parent: &connection.span, reason = %connection.reason(), "nodedown");
}

async fn read_frames(node: &Node, connection: &Arc<Connection>, mut read: ReadHalf, mut buffer: BytesMut) {
    let mut incoming = Incoming::new(node, connection);
    let closed = connection.closed.cancelled();
    tokio::pin!(closed);
    let mut heard = 0;
    loop {
        let mut rest = &*buffer;
        loop {
            match incoming.take(&mut rest) {
                Pause::None => break,
                Pause::Full(delivery) => {
                    // Rare, and more memory than all else that a connection needs for itself.
                    Box::pin(delivery.in_turn(&mut incoming.shares, &connection.closed)).await;
                    connection.be_read().await;
                }
                Pause::Unread => connection.be_read().await,
                Pause::Turn => {
                    heard = 0;
                    tokio::task::yield_now().await;
                }
                Pause::Ended => return,
            }
            if connection.is_closed() {
                return;
            }
        }
        // A peer that never pauses is left all the same.
        if connection.is_closed() {
            return;
        }
        let taken = buffer.len() - rest.len();
        buffer.advance(taken);
        tokio::select! {
            biased;
            got = node.inner.buffers.fill(&mut read, &mut buffer, &mut heard) => match got {
                Ok(0) => return,
                // There may be more, perhaps without end.
                Ok(_) if heard >= READ_SIZE => {
                    heard = 0;
                    tokio::task::yield_now().await;
                }
                Ok(_) => {}
                Err(error) => return debug!(parent: &connection.span, %error, "read failed"),
            },
            () = &mut closed => return,
            // All has been read. In a box: rare, too.
            () = std::future::ready(()), if incoming.flood.is_let_come(Instant::now) => {
                trace!(parent: &connection.span, "a pause in a stream of casts");
                let _ = Box::pin(tokio::time::timeout(flood::PAUSE, connection.closed.cancelled())).await;
            }
        }
    }
}

/// Where the frames of a connection go.
struct Incoming<'a> {
    node: &'a Node,
    connection: &'a Connection,
    decoder: FrameDecoder,
    channel: Channel,
    limits: Limits,
    shares: Shares,
    /// What is to be delivered together.
    gathering: Gathering,
    /// To whom.
    taker: Option<Arc<FlatTaker>>,
    flood: Flood,
}

/// Why no more frames are taken.
enum Pause {
    /// There are no more whole ones.
    None,
    /// A mailbox has no room for this.
    Full(Delivery),
    /// The peer should read before it is heard again.
    Unread,
    /// Others have their turn.
    Turn,
    /// The connection is closed.
    Ended,
}

impl<'a> Incoming<'a> {
    fn new(node: &'a Node, connection: &'a Arc<Connection>) -> Self {
        let decoder = FrameDecoder::new(Header::Four, node.inner.config.frame_limit);
        let channel = Channel::new(node, Some(Arc::clone(connection)));
        let limits = Limits { terms: node.inner.config.term_limit, ..Limits::default() };
        let (shares, gathering) = (Shares::default(), Gathering::default());
        Self { node, connection, decoder, channel, limits, shares, gathering, taker: None, flood: Flood::default() }
    }

    /// Takes whole frames from the front of `rest`, until something has to be waited for. It does not wait itself: most often
    /// there is no need to, and to be able to costs more than a frame.
    fn take(&mut self, rest: &mut &[u8]) -> Pause {
        let (mut is_alive, len) = (false, rest.len());
        loop {
            // What came may be much more than is read at once as a rule.
            if len - rest.len() >= MOST_AT_ONCE {
                return self.flush().unwrap_or(Pause::Turn);
            }
            let (frame, later) = match self.decoder.split(rest) {
                Ok(Some(split)) => split,
                Ok(None) => break,
                // What came before it counts.
                Err(error) => return self.flush().unwrap_or_else(|| self.refuse(&error)),
            };
            // Whole frames are a sign of life, all that came together one; then what came during a wait.
            if !std::mem::replace(&mut is_alive, true) {
                self.connection.tick().received(metrics::clock::read());
            }
            if self.gather(frame, later.len()) {
                *rest = later;
                continue;
            }
            // Who watches a process may begin or end that before what has come is delivered: BEAMs do it at every call, and calls
            // that come together should stay so.
            if FlatMonitor::of(frame).is_some_and(|monitor| self.node.monitored_flat(&self.channel, &monitor)) {
                *rest = later;
                continue;
            }
            // What came before is delivered before.
            if !self.gathering.is_empty() {
                match self.flush() {
                    Some(pause) => return pause,
                    None => continue,
                }
            }
            *rest = later;
            match self.act(frame) {
                Pause::None => {}
                pause => return pause,
            }
        }
        self.flush().unwrap_or(Pause::None)
    }

    fn refuse(&self, error: &dyn std::fmt::Display) -> Pause {
        self.connection.refuse(error);
        Pause::Ended
    }

    /// Puts a call or cast to those that are delivered together, if it is for a process that takes them so.
    fn gather(&mut self, frame: &[u8], more: usize) -> bool {
        let is_first = self.gathering.is_empty();
        let is_taken = self.gathering.take(frame, more);
        if is_first && let Some(name) = self.gathering.name() {
            self.taker = self.node.state().processes.flat_taker(name);
            if self.taker.is_none() {
                let _ = self.gathering.finish();
                return false;
            }
        }
        is_taken
    }

    /// Delivers what was gathered, if there is anything; says why no more frames are to be taken now.
    fn flush(&mut self) -> Option<Pause> {
        let taker = self.taker.take()?;
        let gathered = self.gathering.finish();
        if gathered.iter().any(|call| call.is_call()) {
            self.flood.end();
        } else {
            let casts = u32::try_from(gathered.iter().count()).unwrap_or(u32::MAX);
            if let Some(is_worth) = self.flood.note(casts, Instant::now()) {
                debug!(parent: &self.connection.span, is_worth, "a stream of casts: read with pauses, to see whether more come");
            }
        }
        match Delivery::of_flat(&self.channel, gathered, &taker, &mut self.shares) {
            Some(delivery) => Some(Pause::Full(delivery)),
            None => self.connection.is_unread().then_some(Pause::Unread),
        }
    }

    /// Does what a frame means to the node itself, and delivers what it brings to a process.
    fn act(&mut self, frame: &[u8]) -> Pause {
        if frame.is_empty() {
            answer_tick(self.connection);
            return Pause::None;
        }
        self.flood.end();
        let message = self
            .connection
            .span
            .in_scope(|| Message::decode(frame, self.limits).map(|message| self.node.dispatch(&self.channel, message)));
        let delivery = match message {
            Ok(delivery) => delivery.map(|delivery| delivery.of_bytes(frame.len())),
            Err(error) => return self.refuse(&error),
        };
        match delivery.and_then(|delivery| delivery.if_there_is_room(&mut self.shares)) {
            Some(delivery) => Pause::Full(delivery),
            None if self.connection.is_closed() => Pause::Ended,
            None if self.connection.is_unread() => Pause::Unread,
            None => Pause::None,
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
async fn write_frames(connection: &Connection, write: &mut WriteHalf) {
    let mut spent = Vec::new();
    // These last from one round to the next: to begin to wait costs more than to write a reply.
    let (notified, ending, due) = (connection.outbox.notified(), connection.ending.cancelled(), tick_due(connection));
    tokio::pin!(notified, ending, due);
    loop {
        while let Some(frames) = connection.outbox.take(&mut spent) {
            if connection.is_closed() {
                return;
            }
            let rest = frames.get(write.write_now(&frames)..).unwrap_or_default();
            if !rest.is_empty() && !write_all(connection, write, rest).await {
                let is_tick = frames == TICK;
                return connection.close(if is_tick {
                    NodedownReason::SendNetTickFailed
                } else {
                    NodedownReason::ConnectionClosed
                });
            }
            connection.tick().sent(Instant::now());
            spent = frames;
            spent.clear();
            spent.shrink_to(READ_SIZE);
        }
        tokio::select! {
            biased;
            () = connection.outbox.ready(notified.as_mut()) => {}
            () = &mut ending => {
                if connection.is_closed() {
                    return;
                }
                write_all(connection, write, &connection.outbox.take_now()).await;
                let _ = write.shutdown().await;
                // Closing with bytes unread makes the kernel reset the connection, and the peer lose what it has not
                // read yet. So the reader goes on until the peer has closed too, or whoever stops us loses patience.
                return connection.closed.cancelled().await;
            }
            () = &mut due => {
                due.set(tick_due(connection));
                match tick_action(connection) {
                    TickAction::Nothing => {}
                    TickAction::Send => connection.push(|out| out.extend(TICK)),
                    TickAction::Down => return connection.close(NodedownReason::NetTickTimeout),
                }
            }
        }
    }
}

/// Writes all of `frames`, unless the connection ends meanwhile, by silence of the peer too. In a box: without TLS, few connections
/// ever need the memory for it.
async fn write_all(connection: &Connection, write: &mut WriteHalf, frames: &[u8]) -> bool {
    Box::pin(wait_to_write(connection, write, frames)).await
}

async fn wait_to_write(connection: &Connection, write: &mut WriteHalf, frames: &[u8]) -> bool {
    let writing = write.write_all(frames);
    let overdue = reached(connection.send_timeout().map(after));
    tokio::pin!(writing, overdue);
    loop {
        tokio::select! {
            biased;
            // Most often it is done before anything else is looked at.
            written = &mut writing => return written.is_ok(),
            () = connection.closed.cancelled() => return false,
            () = &mut overdue => return false,
            () = tick_due(connection) => if tick_action(connection) == TickAction::Down {
                connection.close(NodedownReason::NetTickTimeout);
                return false;
            },
        }
    }
}

async fn tick_due(connection: &Connection) {
    loop {
        let deadline = connection.tick().deadline();
        tokio::select! {
            biased;
            () = tokio::time::sleep_until(deadline.into()) => return,
            () = connection.tick_changed.notified() => {}
        }
    }
}

fn tick_action(connection: &Connection) -> TickAction {
    let action = connection.tick().poll(Instant::now());
    if action == TickAction::Down {
        metrics::TICKS_MISSED.add_one();
    }
    action
}
