//! Ports for those that must be told one before they listen on it.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU16, Ordering};

/// Below what `ip_local_port_range` begins with by default: outgoing connections and listeners on port 0 never get one of these.
const FIRST: u16 = 10_000;
const COUNT: u16 = 22_000;

/// Where this process begins. Most test binaries that run at the same time begin elsewhere.
static NEXT: LazyLock<AtomicU16> = LazyLock::new(|| AtomicU16::new((std::process::id() % 22 * 1_000) as u16));

/// A port that nobody listens on, and that stays so until the caller, or whom it tells, listens there: no other call in
/// this process gets it.
pub fn free() -> u16 {
    loop {
        let port = FIRST + NEXT.fetch_add(1, Ordering::Relaxed) % COUNT;
        if TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok() {
            return port;
        }
    }
}
