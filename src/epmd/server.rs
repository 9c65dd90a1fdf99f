//! The embedded port mapper: what a machine without epmd gets from us, for every node on it.
//!
//! One task owns the [`Registry`] and the listening sockets; each connection has a task that only reads bytes and asks
//! the owner. Answers NAMES, PORT2, ALIVE2 and DUMP as OTP's epmd does; KILL and STOP are closed upon, since they would
//! take other nodes' names away. Nothing here trusts a client: requests are bounded, unregistered connections have
//! [`IDLE`] and a limited number of seats, and a flood of silent ones pushes out silent ones of its own address.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::task::Poll;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{self, AbortHandle, JoinHandle, JoinSet};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::codec::{Reply, Request, RequestReader};
use crate::crowd::{Source, oldest_of_most};
use crate::listening;

use super::registry::{ConnectionId, Refusal, Registry, random_creation};

/// How long a connection may take until it has asked and been answered; registered ones stay.
pub const IDLE: Duration = Duration::from_secs(60);

/// How much it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Names.
    pub names: usize,
    /// Seats for connections that hold no name. When all are taken, the oldest of the address that has most has to go;
    /// of strangers, if there are any.
    pub seats: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { names: 512, seats: 64 }
    }
}

/// A port mapper with its ports open, not yet serving.
#[derive(Debug)]
pub struct Server {
    listeners: Vec<TcpListener>,
    port: u16,
    limits: Limits,
}

/// A serving mapper; dropping it does not stop it.
#[derive(Debug)]
pub struct Serving {
    stop: CancellationToken,
    task: JoinHandle<()>,
    /// The port it serves.
    pub port: u16,
}

impl Serving {
    /// Closes all its sockets; every name is forgotten.
    pub async fn stop(self) {
        self.stop.cancel();
        if self.task.await.is_err() {
            warn!("the embedded epmd had crashed");
        }
    }

    /// Whether its task has come to an end by itself.
    pub fn is_dead(&self) -> bool {
        self.task.is_finished()
    }
}

impl Server {
    /// Opens `port` on 127.0.0.1 and on the addresses of `also`. Port 0 lets the kernel choose.
    ///
    /// A wildcard address in `also` stands for all of its family. What cannot be opened besides 127.0.0.1 is left out
    /// with a warning: the machine's own nodes are served all the same.
    ///
    /// # Errors
    ///
    /// When 127.0.0.1 (or the IPv4 wildcard that stands for it) cannot be opened.
    pub fn bind(also: &[IpAddr], port: u16) -> io::Result<Server> {
        let addresses = addresses(also);
        let mut listeners = Vec::new();
        let mut port = port;
        for ip in addresses {
            let address = SocketAddr::new(ip, port);
            match listening::listen(address, true).and_then(TcpListener::from_std) {
                Ok(listener) => {
                    port = listener.local_addr()?.port();
                    listeners.push(listener);
                }
                Err(error) if listeners.is_empty() => return Err(error),
                Err(error) => warn!(%address, %error, "epmd: cannot listen there, left out"),
            }
        }
        Ok(Server { listeners, port, limits: Limits::default() })
    }

    /// The same with other limits.
    #[must_use]
    pub fn limited(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// The port, the same on all addresses.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Serves until stopped. To be called within a tokio runtime.
    pub fn serve(self) -> Serving {
        let stop = CancellationToken::new();
        let port = self.port;
        let task = tokio::spawn(run(self, stop.clone()));
        Serving { stop, task, port }
    }
}

/// 127.0.0.1 first, or the wildcard that includes it; nothing twice, nothing that a wildcard includes.
fn addresses(also: &[IpAddr]) -> Vec<IpAddr> {
    let any = |v4: bool| also.iter().any(|ip| ip.is_unspecified() && ip.is_ipv4() == v4);
    let (any_v4, any_v6) = (any(true), any(false));
    let first = if any_v4 { Ipv4Addr::UNSPECIFIED } else { Ipv4Addr::LOCALHOST };
    let mut out = vec![IpAddr::V4(first)];
    for ip in also {
        let included = !ip.is_unspecified() && if ip.is_ipv4() { any_v4 } else { any_v6 };
        if !included && !out.contains(ip) {
            out.push(*ip);
        }
    }
    out
}

/// A connection's question to the owner, and the way back. No answer: close.
struct Question {
    from: ConnectionId,
    request: Request,
    peer: Peer,
    answer: oneshot::Sender<Answer>,
}

/// Where a connection comes from.
#[derive(Debug, Clone, Copy)]
struct Peer {
    address: SocketAddr,
    is_loopback: bool,
    /// Loopback, or one of this machine's own addresses.
    is_local: bool,
}

struct Answer {
    bytes: Vec<u8>,
    /// The connection now holds a name and is to stay open.
    registered: bool,
}

/// A connection without a name.
struct Seat {
    id: ConnectionId,
    is_local: bool,
    source: Source,
    task: AbortHandle,
}

/// The owner's state.
struct Owner {
    registry: Registry,
    epmd_port: u16,
    limits: Limits,
    /// Connections without a name, oldest first.
    waiting: Vec<Seat>,
    connections: JoinSet<()>,
    ids: HashMap<task::Id, ConnectionId>,
    next: ConnectionId,
    questions: mpsc::Sender<Question>,
}

async fn run(server: Server, stop: CancellationToken) {
    let limits = server.limits;
    let mut listeners = VecDeque::from(server.listeners);
    let (questions, mut asked) = mpsc::channel(limits.seats.max(1));
    let mut owner = Owner {
        registry: Registry::new(limits.names, random_creation()),
        epmd_port: server.port,
        limits,
        waiting: Vec::new(),
        connections: JoinSet::new(),
        ids: HashMap::new(),
        next: 0,
        questions,
    };
    loop {
        tokio::select! {
            // In this order: ends first, so that a name is free as soon as its holder has gone; new connections last.
            biased;
            () = stop.cancelled() => break,
            Some(ended) = owner.connections.join_next_with_id() => owner.ended(ended),
            Some(question) = asked.recv() => owner.answer(question),
            accepted = accept(&mut listeners) => match accepted {
                Ok((socket, from)) => {
                    owner.admit(socket, from);
                    // However many wait: the node's own work comes in between.
                    task::yield_now().await;
                }
                Err(error) => {
                    // Out of descriptors, most likely: give others time to close some.
                    debug!(%error, "epmd: cannot accept");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
        }
    }
    // The set's drop ends the connections' tasks and closes their sockets.
}

/// A connection on any of them; the one that had its turn is looked at last the next time.
async fn accept(listeners: &mut VecDeque<TcpListener>) -> io::Result<(TcpStream, SocketAddr)> {
    std::future::poll_fn(|cx| {
        for _ in 0..listeners.len() {
            let accepted = listeners.front().map_or(Poll::Pending, |listener| listener.poll_accept(cx));
            listeners.rotate_left(1);
            if accepted.is_ready() {
                return accepted;
            }
        }
        Poll::Pending
    })
    .await
}

impl Owner {
    fn admit(&mut self, socket: TcpStream, from: SocketAddr) {
        if self.waiting.len() >= self.limits.seats.max(1) {
            self.make_room();
        }
        let ip = from.ip().to_canonical();
        let is_own = socket.local_addr().is_ok_and(|own| own.ip().to_canonical() == ip);
        let peer = Peer { address: from, is_loopback: ip.is_loopback(), is_local: ip.is_loopback() || is_own };
        self.next = self.next.wrapping_add(1);
        let id = self.next;
        let task = self.connections.spawn(connection(id, socket, peer, self.questions.clone()));
        self.ids.insert(task.id(), id);
        self.waiting.push(Seat { id, is_local: peer.is_local, source: Source::of(ip), task });
    }

    fn make_room(&mut self) {
        // Strangers go before the machine's own.
        let are_all_local = self.waiting.iter().all(|seat| seat.is_local);
        let candidates = || (0..).zip(&self.waiting).filter(|(_, seat)| are_all_local || !seat.is_local);
        let chosen = oldest_of_most(candidates().map(|(_, seat)| seat.source));
        if let Some((place, _)) = chosen.and_then(|chosen| candidates().nth(chosen)) {
            self.waiting.remove(place).task.abort();
        }
    }

    /// However a connection's task has ended, its seat or its name is free.
    fn ended(&mut self, ended: Result<(task::Id, ()), task::JoinError>) {
        let task = match &ended {
            Ok((task, ())) => *task,
            Err(error) => error.id(),
        };
        if let Err(error) = ended
            && error.is_panic()
        {
            warn!(%error, "epmd: a connection's task crashed");
        }
        let Some(id) = self.ids.remove(&task) else { return };
        self.waiting.retain(|seat| seat.id != id);
        if let Some(entry) = self.registry.release(id) {
            debug!(name = %entry.name, "epmd: unregistered");
        }
    }

    fn answer(&mut self, question: Question) {
        let Question { from, request, peer, answer } = question;
        let (reply, registered) = match request {
            Request::Alive2(_) if !peer.is_local => {
                debug!(peer = %peer.address, "epmd: registration from another machine refused");
                return;
            }
            // Its seat was given away between its question and now: its task is being ended.
            Request::Alive2(_) if !self.waiting.iter().any(|seat| seat.id == from) => return,
            Request::Alive2(entry) => {
                let (name, is_new) = (entry.name.clone(), entry.highest_version >= 6);
                let creation = self.registry.register(from, entry);
                match creation {
                    Ok(_) => {
                        self.waiting.retain(|seat| seat.id != from);
                        debug!(%name, "epmd: registered");
                    }
                    Err(Refusal::Taken) => debug!(%name, "epmd: name is taken"),
                    Err(Refusal::Full) => warn!(%name, max = self.limits.names, "epmd: too many names"),
                }
                (alive_reply(creation, is_new), creation.is_ok())
            }
            Request::Port2(name) => match self.registry.find(&name) {
                Some(entry) => (Reply::Port2(entry.clone()), false),
                None => (Reply::NoPort2(1), false),
            },
            Request::Names => (self.listing(self.registry.names_text()), false),
            Request::Dump if peer.is_loopback => (self.listing(self.registry.dump_text()), false),
            Request::Dump | Request::Kill | Request::Stop(_) => {
                debug!(peer = %peer.address, "epmd: not answered: {request:?}");
                return;
            }
        };
        match reply.encode() {
            // A receiver that has gone ends its task, which releases the name.
            Ok(bytes) => drop(answer.send(Answer { bytes, registered })),
            Err(error) => debug!(%error, "epmd: cannot write that answer"),
        }
    }

    fn listing(&self, text: String) -> Reply {
        Reply::Listing { epmd_port: u32::from(self.epmd_port), text }
    }
}

/// Refused registrations get result 1 and creation 99, as from OTP's epmd. Old nodes' creations are 1 to 3.
fn alive_reply(creation: Result<u32, Refusal>, is_new: bool) -> Reply {
    let result = u8::from(creation.is_err());
    let creation = creation.unwrap_or(99);
    if is_new {
        Reply::Alive2X { result, creation }
    } else {
        Reply::Alive2 { result, creation: if result == 0 { ((creation % 3) as u16).saturating_add(1) } else { 99 } }
    }
}

/// One connection: a request, its answer, and then either the end or the long wait of a registered node.
async fn connection(id: ConnectionId, mut socket: TcpStream, peer: Peer, questions: mpsc::Sender<Question>) {
    let registered = timeout(IDLE, exchange(id, &mut socket, peer, &questions)).await.unwrap_or(false);
    if registered {
        let mut byte = [0];
        // The end of the connection or anything said on it ends the registration.
        let _ = socket.read(&mut byte).await;
    }
}

/// Whether the connection now holds a name.
async fn exchange(id: ConnectionId, socket: &mut TcpStream, peer: Peer, questions: &mpsc::Sender<Question>) -> bool {
    let mut reader = RequestReader::default();
    let mut bytes = [0; 1024];
    let request = loop {
        let pushed = match socket.read(&mut bytes).await {
            Ok(0) | Err(_) => return false,
            Ok(n) => reader.push(bytes.get(..n).unwrap_or_default()),
        };
        match pushed {
            Ok(None) => {}
            Ok(Some(request)) => break request,
            Err(error) => {
                debug!(peer = %peer.address, %error, "epmd: not a request");
                return false;
            }
        }
    };
    let (answer, answered) = oneshot::channel();
    if questions.send(Question { from: id, request, peer, answer }).await.is_err() {
        return false;
    }
    let Ok(answer) = answered.await else { return false };
    if socket.write_all(&answer.bytes).await.is_err() {
        return false;
    }
    if !answer.registered {
        let _ = socket.shutdown().await;
    }
    answer.registered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_to_listen_on() {
        let ips = |list: &[&str]| list.iter().map(|ip| ip.parse().unwrap()).collect::<Vec<IpAddr>>();
        for (also, expected) in [
            (&[][..], &["127.0.0.1"][..]),
            (&["127.0.0.1", "127.0.1.1"], &["127.0.0.1", "127.0.1.1"]),
            (&["192.0.2.1", "192.0.2.1", "::1"], &["127.0.0.1", "192.0.2.1", "::1"]),
            (&["192.0.2.1", "0.0.0.0", "::1"], &["0.0.0.0", "::1"]),
            (&["::", "::1"], &["127.0.0.1", "::"]),
        ] {
            assert_eq!(addresses(&ips(also)), ips(expected), "{also:?}");
        }
    }

    #[test]
    fn old_nodes_get_old_creations() {
        assert_eq!(alive_reply(Ok(u32::MAX), true), Reply::Alive2X { result: 0, creation: u32::MAX });
        assert_eq!(alive_reply(Err(Refusal::Taken), true), Reply::Alive2X { result: 1, creation: 99 });
        for creation in 4..10 {
            let Reply::Alive2 { result: 0, creation } = alive_reply(Ok(creation), false) else { panic!() };
            assert!((1..=3).contains(&creation));
        }
    }
}
