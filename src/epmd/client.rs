//! One question to a port mapper, and its answer.
//!
//! `erl_dist` knows how to ask; it reads without a bound and without a time-out, so every connection here goes
//! through a bounded socket (the answer may have [`MAX_ANSWER`] bytes) and every question has [`ANSWER_WITHIN`], which is
//! what a BEAM waits (`erl_epmd.erl`). Its requests are many small writes; they are gathered into one segment.
//!
//! Where to ask, as in OTP 25 (`erl_epmd:open/0`, `port_please/2`): we register with 127.0.0.1, whatever
//! `ERL_EPMD_ADDRESS` says (that only tells a mapper where to listen, besides loopback); a peer's port is asked of
//! the mapper on the peer's host. `ERL_EPMD_PORT` holds for both.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use erl_dist::epmd::{EpmdClient, EpmdError as AskError, NodeEntry};
use tokio::io::{AsyncReadExt as _, BufWriter, Join, Take, join};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt as _};

use super::codec;

/// How long a mapper has for its answer, connecting included.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// The longest answer we read: a listing of some thousand nodes.
pub const MAX_ANSWER: u64 = 256 * 1024;
/// The port of a mapper when `ERL_EPMD_PORT` says nothing.
pub const DEFAULT_PORT: u16 = erl_dist::epmd::DEFAULT_EPMD_PORT;

/// What can go wrong between us and a port mapper.
#[derive(Debug, thiserror::Error)]
pub enum EpmdError {
    /// Nobody answers there.
    #[error("no epmd on {epmd}: {source}")]
    Connect {
        /// The mapper's address.
        epmd: SocketAddr,
        /// What connecting said.
        source: io::Error,
    },
    /// Something listens there and says nothing.
    #[error("epmd on {epmd} has not answered for {} s", ANSWER_WITHIN.as_secs())]
    Silent {
        /// The mapper's address.
        epmd: SocketAddr,
    },
    /// The connection broke before the answer was whole.
    #[error("epmd on {epmd} broke the connection: {source}")]
    Broken {
        /// The mapper's address.
        epmd: SocketAddr,
        /// What reading or writing said.
        source: io::Error,
    },
    /// Bytes that are not an answer: not an epmd.
    #[error("what answers on {epmd} is not an epmd: {reason}")]
    NotEpmd {
        /// The mapper's address.
        epmd: SocketAddr,
        /// What was wrong with the answer.
        reason: String,
    },
    /// The mapper refused our name.
    #[error(
        "the name {name} is taken: another node of that name is running and registered with epmd on {epmd} \
         (`epmd -names` lists it; give this one another --name or --sname)"
    )]
    NameTaken {
        /// The short part of our name.
        name: String,
        /// The mapper's address.
        epmd: SocketAddr,
    },
    /// The name cannot be registered with any mapper.
    #[error("cannot register with epmd: {0}")]
    Name(#[from] codec::NameError),
    /// `--epmd embedded` could not open its port.
    #[error("cannot serve epmd on {address}: {source}{}", hint(source))]
    Serve {
        /// Where we wanted to listen.
        address: SocketAddr,
        /// What binding said.
        source: io::Error,
    },
}

impl EpmdError {
    /// Whether nothing came back at all.
    #[must_use]
    pub fn is_silence(&self) -> bool {
        match self {
            EpmdError::Silent { .. } => true,
            EpmdError::Connect { source, .. } => source.kind() == io::ErrorKind::TimedOut,
            _ => false,
        }
    }

    /// Whether the same question may well be answered a moment later.
    pub fn is_transient(&self) -> bool {
        match self {
            EpmdError::Connect { .. } | EpmdError::Silent { .. } | EpmdError::Broken { .. } => true,
            EpmdError::NotEpmd { .. } | EpmdError::NameTaken { .. } | EpmdError::Name(_) | EpmdError::Serve { .. } => {
                false
            }
        }
    }
}

fn hint(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::AddrInUse => " (an epmd runs already? `--epmd auto` uses it)",
        io::ErrorKind::PermissionDenied => " (ports below 1024 need CAP_NET_BIND_SERVICE)",
        _ => "",
    }
}

/// The mapper that this host's nodes register with.
pub fn local_epmd(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// The entry under which we register: like every BEAM, hidden or not, as type 77 ("normal") and
/// without extra. Peers ignore the type; hidden is said in the handshake. Versions 6 to 6, since 5 is not spoken here
/// (BEAMs say 5 to 6; peers take the highest that both list).
pub fn entry(name: &str, port: u16) -> NodeEntry {
    NodeEntry::new(name, port)
}

/// A registration; dropping it unregisters the name.
#[derive(Debug)]
pub struct Registration {
    socket: Socket,
    /// The creation that came with it.
    pub creation: u32,
}

impl Registration {
    /// Returns when the mapper has gone, or has said something it has no reason to say.
    pub async fn lost(&mut self) {
        let mut byte = [0];
        // Whatever comes (end, error, a byte), this registration is no longer to be relied upon.
        let _ = self.socket.reader_mut().read(&mut byte).await;
    }
}

/// Registers an entry.
///
/// # Errors
///
/// [`EpmdError::NameTaken`] when another node holds the name; transient errors when nobody answers.
pub async fn register(epmd: SocketAddr, entry: NodeEntry) -> Result<Registration, EpmdError> {
    codec::check_name(&entry.name)?;
    let name = entry.name.clone();
    ask(epmd, async |client| match client.register(entry).await {
        Ok((socket, creation)) => Ok(Registration { socket: socket.into_inner(), creation: creation.get() }),
        Err(AskError::RegisterNodeError { .. }) => Err(EpmdError::NameTaken { name, epmd }),
        Err(other) => Err(refused(epmd, other)),
    })
    .await
}

/// Asks the mapper at `epmd` where the node of this name (short part) listens. `None`: not registered there.
///
/// # Errors
///
/// Transient errors when nobody answers, [`EpmdError::NotEpmd`] for nonsense.
pub async fn lookup(epmd: SocketAddr, name: &str) -> Result<Option<NodeEntry>, EpmdError> {
    codec::check_name(name)?;
    ask(epmd, async |client| client.get_node(name).await.map_err(|e| refused(epmd, e))).await
}

/// Asks the mapper at `epmd` for all names and ports it knows.
///
/// # Errors
///
/// Transient errors when nobody answers, [`EpmdError::NotEpmd`] for nonsense.
pub async fn names(epmd: SocketAddr) -> Result<Vec<(String, u16)>, EpmdError> {
    ask(epmd, async |client| client.get_names().await.map_err(|e| refused(epmd, e))).await
}

/// The two halves of a connection, the reading one with an end at [`MAX_ANSWER`].
type Socket = Join<Take<OwnedReadHalf>, BufWriter<OwnedWriteHalf>>;
/// The same with the traits that `erl_dist` wants.
type Bounded = Compat<Socket>;

async fn ask<T>(
    epmd: SocketAddr,
    question: impl AsyncFnOnce(EpmdClient<Bounded>) -> Result<T, EpmdError>,
) -> Result<T, EpmdError> {
    let asked = async {
        let socket = TcpStream::connect(epmd).await.map_err(|source| EpmdError::Connect { epmd, source })?;
        // Best effort: it only saves a delay.
        let _ = socket.set_nodelay(true);
        let (reader, writer) = socket.into_split();
        let bounded = join(reader.take(MAX_ANSWER), BufWriter::new(writer)).compat();
        question(EpmdClient::new(bounded)).await
    };
    timeout(ANSWER_WITHIN, asked).await.unwrap_or(Err(EpmdError::Silent { epmd }))
}

fn refused(epmd: SocketAddr, error: AskError) -> EpmdError {
    match error {
        AskError::Io(source) if source.kind() != io::ErrorKind::InvalidData => EpmdError::Broken { epmd, source },
        other => EpmdError::NotEpmd { epmd, reason: other.to_string() },
    }
}
