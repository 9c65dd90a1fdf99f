//! What carries a connection: a peer's byte stream, and its two halves once the handshake is over.
//!
//! The handshake, the reader and the writer know no more of it than this. An `enum` and not a `dyn`: a plain socket's
//! bytes go the way they would go without it.

use std::io;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use crate::dist::Header;

/// A stream to a peer.
#[derive(Debug)]
pub(super) enum Stream {
    /// As `inet_tcp_dist` and `inet6_tcp_dist`.
    Tcp(TcpStream),
}

/// The half that is read.
#[derive(Debug)]
pub(super) enum ReadHalf {
    Tcp(OwnedReadHalf),
}

/// The half that is written.
#[derive(Debug)]
pub(super) enum WriteHalf {
    Tcp(OwnedWriteHalf),
}

impl Stream {
    /// The socket beneath, for its address and its options.
    pub(super) const fn socket(&self) -> &TcpStream {
        match self {
            Self::Tcp(stream) => stream,
        }
    }

    /// The length field of handshake packets. (Frames have four bytes on all.)
    pub(super) const fn handshake_header(&self) -> Header {
        match self {
            Self::Tcp(_) => Header::Two,
        }
    }

    /// Appends what comes in next; 0 at its end.
    pub(super) async fn read_buf(&mut self, buffer: &mut BytesMut) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read_buf(buffer).await,
        }
    }

    /// Writes all of `bytes`.
    pub(super) async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.write_all(bytes).await,
        }
    }

    pub(super) fn into_split(self) -> (ReadHalf, WriteHalf) {
        match self {
            Self::Tcp(stream) => {
                let (read, write) = stream.into_split();
                (ReadHalf::Tcp(read), WriteHalf::Tcp(write))
            }
        }
    }
}

impl ReadHalf {
    /// Appends what comes in next; 0 at its end.
    pub(super) async fn read_buf(&mut self, buffer: &mut BytesMut) -> io::Result<usize> {
        match self {
            Self::Tcp(half) => half.read_buf(buffer).await,
        }
    }
}

impl WriteHalf {
    /// Writes all of `bytes`.
    pub(super) async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Tcp(half) => half.write_all(bytes).await,
        }
    }

    /// Tells the peer that nothing more comes.
    pub(super) async fn shutdown(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(half) => half.shutdown().await,
        }
    }
}
