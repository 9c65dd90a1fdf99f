//! Sockets that listen: of the node, of the embedded epmd, of the page of metrics.
//!
//! An address may come later than we do, with a lease or a link. What listens on it then needs `IP_FREEBIND` (`ip(7)`;
//! `IPV6_FREEBIND` since Linux 4.15): it is bound at once, and reached as soon as an interface has the address. A port that
//! is in use is an error all the same.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Socket, Type};
use tracing::warn;

/// Connections that wait to be accepted; as tokio has it.
const BACKLOG: i32 = 1024;

/// Listens on `address`, which no interface need have yet; the log says so then. An IPv6 wildcard takes IPv4 too, unless it
/// is `v6_only`.
pub(crate) fn listen(address: SocketAddr, v6_only: bool) -> io::Result<TcpListener> {
    let socket = match bind(address, v6_only, false) {
        Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {
            let is_news = |later: &io::Error| later.kind() == io::ErrorKind::AddrInUse;
            let socket = bind(address, v6_only, true).map_err(|later| if is_news(&later) { later } else { error })?;
            warn!(%address, "no interface has this address yet; it is listened on, and reached when one has");
            socket
        }
        bound => bound?,
    };
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Whether no interface has the address, so that nobody reaches what listens on it.
pub(crate) fn is_absent(address: SocketAddr) -> bool {
    bind(SocketAddr::new(address.ip(), 0), true, false)
        .is_err_and(|error| error.kind() == io::ErrorKind::AddrNotAvailable)
}

fn bind(address: SocketAddr, v6_only: bool, early: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking().cloexec(), None)?;
    // A start must not wait for the connections that the run before it had closed.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() && v6_only {
        socket.set_only_v6(true)?;
    }
    match address {
        SocketAddr::V4(_) if early => socket.set_freebind_v4(true)?,
        SocketAddr::V6(_) if early => socket.set_freebind_v6(true)?,
        _ => {}
    }
    socket.bind(&address.into())?;
    Ok(socket)
}
