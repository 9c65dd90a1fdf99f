//! Which way a packet goes: an ICMP echo (RFC 792) from the device, and a receiver on each interface.
//!
//! The sender is bound to nothing, so the routes decide; the receiver that hears the reply tells by which interface
//! it came. `ping` may not be installed, and would not tell.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nix::libc;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::ReadBuf;
use tokio::net::UdpSocket;

use super::network::{UPLINKS, Uplink};
use crate::netlink;

/// Where a packet went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// The gateway behind this interface answered, so long after.
    By(Uplink, Duration),
    /// It went out, and no answer came within this time.
    NoAnswer(Duration),
    /// The kernel knows no way.
    NoRoute,
}

/// Sends echoes from a network namespace.
#[derive(Debug)]
pub struct Prober {
    sender: Socket,
    receivers: Vec<(Uplink, UdpSocket)>,
    sequence: u16,
}

/// How long to wait for an answer: the way there and back is one of microseconds.
const PATIENCE: Duration = Duration::from_millis(300);

impl Prober {
    /// Opens the sockets in `netns`; needs a tokio runtime.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn open(netns: &Path) -> Result<Self> {
        let sockets = netlink::within(Some(netns), || Ok(open_all()))?;
        let (sender, receivers) = sockets.context("cannot open sockets for ICMP")?;
        // To tokio, a socket for datagrams is a socket for datagrams.
        let register =
            |(uplink, socket): (_, Socket)| UdpSocket::from_std(socket.into()).map(|socket| (uplink, socket));
        let receivers = receivers.into_iter().map(register).collect::<io::Result<_>>()?;
        Ok(Self { sender, receivers, sequence: 0 })
    }

    /// Sends one echo request to `to`, and waits for its reply.
    ///
    /// # Errors
    /// If a socket fails.
    pub async fn probe(&mut self, to: Ipv4Addr) -> Result<Way> {
        self.sequence = self.sequence.wrapping_add(1);
        let request = Echo { sequence: self.sequence, payload: rand::random() };
        let began = Instant::now();
        match self.sender.send_to(&request.packet(), &SocketAddr::new(IpAddr::V4(to), 0).into()) {
            Ok(_) => {}
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENETUNREACH | libc::EHOSTUNREACH)) => {
                return Ok(Way::NoRoute);
            }
            Err(error) => return Err(error).context("cannot send an ICMP echo"),
        }
        let reply = poll_fn(|context| self.poll_reply(context, to, &request));
        match tokio::time::timeout(PATIENCE, reply).await {
            Ok(uplink) => Ok(Way::By(uplink?, began.elapsed())),
            Err(_) => Ok(Way::NoAnswer(PATIENCE)),
        }
    }

    fn poll_reply(&self, context: &mut Context<'_>, from: Ipv4Addr, request: &Echo) -> Poll<io::Result<Uplink>> {
        for (uplink, socket) in &self.receivers {
            let mut buffer = [0; 256];
            let mut packet = ReadBuf::new(&mut buffer);
            while let Poll::Ready(read) = socket.poll_recv(context, &mut packet) {
                read?;
                if request.is_answered_by(packet.filled(), from) {
                    return Poll::Ready(Ok(*uplink));
                }
                packet.clear();
            }
        }
        Poll::Pending
    }
}

fn open_all() -> io::Result<(Socket, Vec<(Uplink, Socket)>)> {
    let open = || Socket::new(Domain::IPV4, Type::RAW.nonblocking(), Some(Protocol::ICMPV4));
    let bound = |uplink: Uplink| {
        let socket = open()?;
        socket.bind_device(Some(uplink.ifname.as_bytes()))?;
        Ok((uplink, socket))
    };
    Ok((open()?, UPLINKS.into_iter().map(bound).collect::<io::Result<_>>()?))
}

/// An echo request, and what its reply must repeat.
struct Echo {
    sequence: u16,
    payload: [u8; 16],
}

/// ICMP types, RFC 792.
const ECHO_REPLY: u8 = 0;
const ECHO_REQUEST: u8 = 8;
/// Nobody else sends in our namespaces; the random payload tells requests apart.
const IDENTIFIER: u16 = 0xbea3;

impl Echo {
    fn packet(&self) -> Vec<u8> {
        let sum = checksum(&self.with_header(ECHO_REQUEST, 0));
        self.with_header(ECHO_REQUEST, sum)
    }

    fn with_header(&self, kind: u8, checksum: u16) -> Vec<u8> {
        let mut packet = vec![kind, 0];
        for word in [checksum, IDENTIFIER, self.sequence] {
            packet.extend(word.to_be_bytes());
        }
        packet.extend(self.payload);
        packet
    }

    /// Whether `packet`, with its IP header, is the reply from `from`.
    fn is_answered_by(&self, packet: &[u8], from: Ipv4Addr) -> bool {
        let Some(first) = packet.first() else { return false };
        let header_bytes = usize::from(first & 0x0f) * 4;
        let source = packet.get(12..16);
        let icmp = packet.get(header_bytes..).unwrap_or_default();
        let expected = self.with_header(ECHO_REPLY, 0);
        source == Some(&from.octets()) && icmp.get(..2) == expected.get(..2) && icmp.get(4..) == expected.get(4..)
    }
}

/// The Internet checksum (RFC 1071) of an even number of bytes.
fn checksum(packet: &[u8]) -> u16 {
    let words = packet.chunks_exact(2).filter_map(|pair| pair.try_into().ok()).map(u16::from_be_bytes);
    let sum: u32 = words.map(u32::from).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    !u16::try_from(folded).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_with_its_checksum_sums_to_nothing() {
        let echo = Echo { sequence: 7, payload: *b"0123456789abcdef" };
        assert_eq!(checksum(&echo.packet()), 0);
    }

    #[test]
    fn only_its_own_reply_answers_a_request() {
        let (echo, from) = (Echo { sequence: 7, payload: [1; 16] }, Ipv4Addr::new(198, 51, 100, 1));
        let reply = |kind, source: Ipv4Addr, echo: &Echo| {
            let mut packet = vec![0x45; 12];
            packet.extend(source.octets());
            packet.extend([0; 4]);
            packet.extend(echo.with_header(kind, 0xffff));
            packet
        };
        assert!(echo.is_answered_by(&reply(ECHO_REPLY, from, &echo), from));
        assert!(!echo.is_answered_by(&reply(ECHO_REQUEST, from, &echo), from));
        assert!(!echo.is_answered_by(&reply(ECHO_REPLY, Ipv4Addr::LOCALHOST, &echo), from));
        let other = Echo { sequence: 8, payload: [1; 16] };
        assert!(!echo.is_answered_by(&reply(ECHO_REPLY, from, &other), from));
        for length in 0..20 {
            assert!(!echo.is_answered_by(&reply(ECHO_REPLY, from, &echo)[..length], from));
        }
    }
}
