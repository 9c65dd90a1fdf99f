//! What carries a connection: a peer's byte stream, and its two halves once the handshake is over.
//!
//! The handshake, the reader and the writer know no more of it than this. An `enum` and not a `dyn`: a plain socket's
//! bytes go the way they would go without it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Waker};

use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWrite as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::tls;
use crate::dist::Header;

/// A stream to a peer.
#[derive(Debug)]
pub(super) enum Stream {
    /// As `inet_tcp_dist` and `inet6_tcp_dist`.
    Tcp(TcpStream),
    /// As `inet_tls_dist`. Larger by far.
    Tls(Box<tls::Stream>),
}

/// The half that is read.
#[derive(Debug)]
pub(super) enum ReadHalf {
    Tcp(OwnedReadHalf),
    Tls(tokio::io::ReadHalf<Box<tls::Stream>>),
}

/// The half that is written.
#[derive(Debug)]
pub(super) enum WriteHalf {
    Tcp(OwnedWriteHalf),
    Tls(tokio::io::WriteHalf<Box<tls::Stream>>),
}

impl Stream {
    /// The socket beneath, for its address and its options.
    pub(super) fn socket(&self) -> &TcpStream {
        match self {
            Self::Tcp(stream) => stream,
            Self::Tls(stream) => stream.socket(),
        }
    }

    /// The length field of handshake packets. (Frames have four bytes on all.)
    pub(super) const fn handshake_header(&self) -> Header {
        match self {
            Self::Tcp(_) => Header::Two,
            Self::Tls(_) => Header::Four,
        }
    }

    /// Whether a node on this host may be at its other end.
    pub(super) fn is_for(&self, host: &str) -> bool {
        match self {
            Self::Tcp(_) => true,
            Self::Tls(stream) => stream.is_for(host),
        }
    }

    /// Appends what comes in next; 0 at its end.
    pub(super) async fn read_buf(&mut self, buffer: &mut BytesMut) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read_buf(buffer).await,
            Self::Tls(stream) => stream.read_buf(buffer).await,
        }
    }

    /// Writes all of `bytes`.
    pub(super) async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.write_all(bytes).await,
            Self::Tls(stream) => {
                stream.write_all(bytes).await?;
                stream.flush().await
            }
        }
    }

    pub(super) fn into_split(self) -> (ReadHalf, WriteHalf) {
        match self {
            Self::Tcp(stream) => {
                let (read, write) = stream.into_split();
                (ReadHalf::Tcp(read), WriteHalf::Tcp(write))
            }
            Self::Tls(stream) => {
                let (read, write) = tokio::io::split(stream);
                (ReadHalf::Tls(read), WriteHalf::Tls(write))
            }
        }
    }
}

impl ReadHalf {
    /// Appends what comes in next; 0 at its end.
    pub(super) async fn read_buf(&mut self, buffer: &mut BytesMut) -> io::Result<usize> {
        match self {
            Self::Tcp(half) => half.read_buf(buffer).await,
            Self::Tls(half) => half.read_buf(buffer).await,
        }
    }
}

impl WriteHalf {
    /// Writes as much as the kernel takes at once, and says how much that was. What is wrong shows when the rest is written.
    pub(super) fn write_now(&self, bytes: &[u8]) -> usize {
        match self {
            Self::Tcp(half) => half.try_write(bytes).unwrap_or_default(),
            Self::Tls(_) => 0,
        }
    }

    /// Writes all of `bytes`: when it is done, the kernel has them.
    pub(super) async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Tcp(half) => half.write_all(bytes).await,
            Self::Tls(half) => {
                half.write_all(bytes).await?;
                half.flush().await
            }
        }
    }

    /// Tells the peer that nothing more comes.
    pub(super) async fn shutdown(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(half) => half.shutdown().await,
            Self::Tls(half) => half.shutdown().await,
        }
    }

    /// Says good-bye, as far as that goes without waiting. A socket does it when it is dropped; a TLS peer would think that
    /// somebody has cut it off.
    pub(super) fn farewell(&mut self) {
        if let Self::Tls(half) = self {
            let _ = Pin::new(half).poll_shutdown(&mut Context::from_waker(Waker::noop()));
        }
    }
}
