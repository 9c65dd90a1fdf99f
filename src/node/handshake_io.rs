//! Handshake packets over a stream, with OTP's setup timer.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::deadline::after;
use super::transport::Stream;
use crate::dist::{FrameDecoder, FrameError, HandshakeError, Header, local_packet_limit};

/// Why a handshake failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum SetupError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Frame(#[from] FrameError),
    #[error("{0}")]
    Handshake(#[from] HandshakeError),
    #[error("it closed the connection during the handshake")]
    Closed,
    #[error("no answer within the setup time")]
    Timeout,
    #[error("the host {0} is not known: {1}")]
    Host(String, io::Error),
    #[error("{0}")]
    Epmd(#[from] crate::epmd::EpmdError),
    #[error("no node of that name is registered with the epmd of its host")]
    Unregistered,
    #[error("all {0} places for connections are taken")]
    Full(usize),
    #[error("given up: {0}")]
    GivenUp(&'static str),
}

impl SetupError {
    /// Whether a node was there, and would not have us.
    pub(super) fn is_refusal(&self) -> bool {
        match self {
            // A wrong cookie is answered by closing.
            Self::Handshake(_) | Self::Frame(_) | Self::Closed => true,
            _ => false,
        }
    }
}

/// A stream during its handshake.
pub(super) struct HandshakeIo {
    pub stream: Stream,
    /// What came in and is not yet a packet; after the handshake, the first frames.
    pub buffer: BytesMut,
    setup_time: Duration,
    deadline: Instant,
}

impl HandshakeIo {
    pub(super) fn new(socket: TcpStream, setup_time: Duration) -> Self {
        // Without it every reply waits for the peer's delayed acknowledgement.
        let _ = socket.set_nodelay(true);
        Self { stream: Stream::Tcp(socket), buffer: BytesMut::new(), setup_time, deadline: after(setup_time) }
    }

    /// The next packet. Bytes alone do not restart the timer.
    pub(super) async fn receive(&mut self) -> Result<Bytes, SetupError> {
        let decoder = FrameDecoder::new(self.stream.handshake_header(), local_packet_limit());
        loop {
            if let Some(packet) = decoder.next(&mut self.buffer)? {
                return Ok(packet);
            }
            let read = tokio::time::timeout_at(self.deadline, self.stream.read_buf(&mut self.buffer));
            if read.await.map_err(|_| SetupError::Timeout)?? == 0 {
                return Err(SetupError::Closed);
            }
        }
    }

    /// Sends packets in one write, and restarts the timer.
    pub(super) async fn send(&mut self, packets: &[Bytes]) -> Result<(), SetupError> {
        let mut out = Vec::new();
        for packet in packets {
            // Our own packets are far below the limit of the length field.
            let length = u16::try_from(packet.len()).unwrap_or(u16::MAX);
            match self.stream.handshake_header() {
                Header::Two => out.extend(length.to_be_bytes()),
                Header::Four => out.extend(u32::from(length).to_be_bytes()),
            }
            out.extend_from_slice(packet);
        }
        let write = tokio::time::timeout_at(self.deadline, self.stream.write_all(&out));
        write.await.map_err(|_| SetupError::Timeout)??;
        self.deadline = after(self.setup_time);
        Ok(())
    }
}
