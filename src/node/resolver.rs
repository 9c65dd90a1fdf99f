//! Where a node is: the addresses of its host, and the port that the epmd of that host knows.
//!
//! As `inet_tcp_dist:do_setup/7` and `erl_epmd:port_please/2`, with one difference: all addresses of the host are
//! tried in order, of both families, so that a node under `-proto_dist inet6_tcp` is found without being told.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{Instant, timeout};

use super::handshake_io::SetupError;
use crate::epmd;

/// Host names looked up at once. A lookup cannot be interrupted and holds a thread.
const LOOKUPS: usize = 64;

/// Finds nodes by name.
#[derive(Debug, Clone)]
pub struct Resolver {
    epmd_port: u16,
    lookups: Arc<Semaphore>,
}

impl Default for Resolver {
    fn default() -> Self {
        Self::new(epmd::DEFAULT_PORT)
    }
}

impl Resolver {
    /// Asks the epmd on `epmd_port` of a node's host (`ERL_EPMD_PORT`).
    #[must_use]
    pub fn new(epmd_port: u16) -> Self {
        Self { epmd_port, lookups: Arc::new(Semaphore::new(LOOKUPS)) }
    }

    /// Connects to the node `name@host`, within `patience`.
    pub(super) async fn connect(&self, peer: &str, patience: Duration) -> Result<TcpStream, SetupError> {
        let end = crate::deadline::after(patience);
        let (name, host) = peer.split_once('@').ok_or(SetupError::GivenUp("not a node name"))?;
        let ips = self.addresses(host).await.map_err(|source| SetupError::Host(host.to_owned(), source))?;
        let mut port = None;
        let mut error = SetupError::Unregistered;
        for (tried, ip) in ips.iter().enumerate() {
            // An address that swallows packets must leave time for the next one.
            let left = u32::try_from(ips.len() - tried).unwrap_or(u32::MAX);
            let share = end.saturating_duration_since(Instant::now()) / left;
            match timeout(share, self.connect_to(*ip, name, &mut port)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(failed)) => error = failed,
                Err(_) => error = SetupError::Timeout,
            }
        }
        Err(error)
    }

    /// One address. `known` is the port that the epmd on an earlier address of the same host told: an epmd often
    /// listens on fewer addresses than its nodes.
    async fn connect_to(&self, ip: IpAddr, name: &str, known: &mut Option<u16>) -> Result<TcpStream, SetupError> {
        let found = epmd::lookup(SocketAddr::new(ip, self.epmd_port), name).await;
        if let Ok(Some(entry)) = &found {
            *known = Some(entry.port);
        }
        match (*known, found) {
            (Some(port), _) => Ok(TcpStream::connect(SocketAddr::new(ip, port)).await?),
            (None, Ok(_)) => Err(SetupError::Unregistered),
            (None, Err(error)) => Err(SetupError::Epmd(error)),
        }
    }

    async fn addresses(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        if let Ok(ip) = host.parse() {
            return Ok(vec![ip]);
        }
        let permit = Arc::clone(&self.lookups).acquire_owned().await.map_err(io::Error::other)?;
        let host = host.to_owned();
        let (answer, answered) = oneshot::channel();
        // Not one of the runtime's threads: those would have to end before the program can.
        std::thread::Builder::new().name("lookup".into()).spawn(move || {
            let found = (host.as_str(), 0).to_socket_addrs().map(|all| all.map(|address| address.ip()).collect());
            // The caller may have lost patience.
            let _ = answer.send(found);
            drop(permit);
        })?;
        let mut ips: Vec<IpAddr> = answered.await.map_err(io::Error::other)??;
        ips.dedup();
        Ok(ips)
    }
}
