//! What stands for TLS in a program without it: types that have no values.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::{Failure, TlsError, TlsSettings};

/// The certificates of a node: there is no value, since this program is built without the cargo feature `tls`.
#[derive(Debug, Clone)]
pub struct Tls(Infallible);

/// A TLS connection: there is none.
#[derive(Debug)]
pub(in crate::node) struct Stream(Infallible);

impl Tls {
    /// Whether this program can speak TLS.
    pub const IS_BUILT: bool = false;

    /// Refuses.
    ///
    /// # Errors
    /// [`TlsError::NotBuilt`]
    pub fn open(_: TlsSettings) -> Result<Self, TlsError> {
        Err(TlsError::NotBuilt)
    }

    /// Nothing can call it.
    ///
    /// # Errors
    /// None.
    pub const fn reload(&self) -> Result<(), TlsError> {
        match self.0 {}
    }

    /// Nothing can call it.
    #[must_use]
    pub const fn is_for(&self, _: &str) -> bool {
        match self.0 {}
    }

    pub(in crate::node) async fn accept(&self, _: TcpStream) -> io::Result<Stream> {
        match self.0 {}
    }

    pub(in crate::node) async fn dial(&self, _: TcpStream, _: &str) -> io::Result<Stream> {
        match self.0 {}
    }
}

impl Stream {
    pub(in crate::node) const fn socket(&self) -> &TcpStream {
        match self.0 {}
    }

    pub(in crate::node) const fn is_for(&self, _: &str) -> bool {
        match self.0 {}
    }
}

/// No error comes from TLS.
pub(in crate::node) const fn failure(_: &io::Error) -> Option<Failure> {
    None
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.0 {}
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        match self.0 {}
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.0 {}
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.0 {}
    }
}
