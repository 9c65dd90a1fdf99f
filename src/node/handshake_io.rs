//! Handshake packets over a stream, with OTP's setup timer.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::tls::{self, Tls};
use super::transport::Stream;
use crate::deadline::after;
use crate::dist::{FrameDecoder, FrameError, HandshakeError, Header, local_packet_limit};

/// Why a handshake failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum SetupError {
    #[error("{0}")]
    Io(io::Error),
    #[error("{0}")]
    Tls(tls::Failure),
    #[error("no end of the TLS handshake within the setup time; does the peer run with -proto_dist inet_tls?")]
    TlsTimeout,
    #[error("the TLS handshake was broken off; does the peer run with -proto_dist inet_tls?")]
    TlsBroken,
    #[error("it speaks plain distribution, and this node TLS (-proto_dist inet_tls)")]
    Plain,
    #[error("it speaks TLS distribution, and this node does not (--tls)")]
    SpeaksTls,
    #[error("its TLS certificate is not for the host of its node name")]
    WrongHost,
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
            _ => self.is_about_tls(),
        }
    }

    /// Whether TLS is what has kept the nodes apart.
    pub(super) const fn is_about_tls(&self) -> bool {
        matches!(
            self,
            Self::Tls(_) | Self::TlsTimeout | Self::TlsBroken | Self::Plain | Self::SpeaksTls | Self::WrongHost
        )
    }

    /// Whether the other side, or its epmd, has said nothing at all.
    pub(super) fn is_silence(&self) -> bool {
        match self {
            Self::Timeout => true,
            Self::Io(error) => error.kind() == io::ErrorKind::TimedOut,
            Self::Epmd(error) => error.is_silence(),
            _ => false,
        }
    }

    /// What an operator must see of those who dial us: a node that would have come in with the right cookie, a newer release,
    /// another certificate, or another `-proto_dist`.
    pub(super) const fn is_for_operators(&self) -> bool {
        match self {
            Self::Full(_) | Self::Handshake(HandshakeError::Cookie | HandshakeError::Flags(_)) => true,
            Self::Tls(failure) => failure.is_refusal,
            Self::Plain | Self::SpeaksTls | Self::WrongHost => true,
            _ => false,
        }
    }
}

impl From<io::Error> for SetupError {
    fn from(error: io::Error) -> Self {
        match tls::failure(&error) {
            Some(failure) => Self::Tls(failure),
            // TLS says so when it is cut off.
            None if error.kind() == io::ErrorKind::UnexpectedEof => Self::Closed,
            None => Self::Io(error),
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
    /// The side that accepts. With TLS, its handshake comes first, and has the setup time.
    pub(super) async fn accept(socket: TcpStream, tls: Option<&Tls>, setup_time: Duration) -> Result<Self, SetupError> {
        let securing = async |tls: &Tls, socket: TcpStream| {
            is_tls(&socket).await?;
            Ok(tls.accept(socket).await?)
        };
        Self::begin(socket, tls, after(setup_time), setup_time, securing).await
    }

    /// The side that dials a node on `host`. With TLS, its handshake comes first, and must be over by `end`.
    pub(super) async fn dial(
        socket: TcpStream,
        tls: Option<&Tls>,
        host: &str,
        end: Instant,
        setup_time: Duration,
    ) -> Result<Self, SetupError> {
        let securing = async |tls: &Tls, socket| {
            tls.dial(socket, host).await.map_err(|error| match error.into() {
                // As a node does that takes our first packet for one of its own.
                SetupError::Closed | SetupError::Io(_) => SetupError::TlsBroken,
                other => other,
            })
        };
        Self::begin(socket, tls, end, setup_time, securing).await
    }

    async fn begin(
        socket: TcpStream,
        tls: Option<&Tls>,
        end: Instant,
        setup_time: Duration,
        securing: impl AsyncFnOnce(&Tls, TcpStream) -> Result<tls::Stream, SetupError>,
    ) -> Result<Self, SetupError> {
        // Without it every reply waits for the peer's delayed acknowledgement.
        let _ = socket.set_nodelay(true);
        let stream = match tls {
            None => Stream::Tcp(socket),
            Some(tls) => {
                let secured = tokio::time::timeout_at(end, securing(tls, socket)).await;
                Stream::Tls(Box::new(secured.map_err(|_| SetupError::TlsTimeout)??))
            }
        };
        Ok(Self { stream, buffer: BytesMut::new(), setup_time, deadline: after(setup_time) })
    }

    /// The next packet. Bytes alone do not restart the timer.
    pub(super) async fn receive(&mut self) -> Result<Bytes, SetupError> {
        let decoder = FrameDecoder::new(self.stream.handshake_header(), local_packet_limit());
        loop {
            if let Some(packet) = decoder.next(&mut self.buffer).map_err(|error| self.refused(error))? {
                return Ok(packet);
            }
            let read = tokio::time::timeout_at(self.deadline, self.stream.read_buf(&mut self.buffer));
            if read.await.map_err(|_| SetupError::Timeout)?? == 0 {
                return Err(SetupError::Closed);
            }
        }
    }

    /// What a packet of that length means.
    fn refused(&self, error: FrameError) -> SetupError {
        match (&self.stream, self.buffer.first_chunk()) {
            (Stream::Tcp(_), Some([HANDSHAKE | ALERT, 3])) => SetupError::SpeaksTls,
            _ => error.into(),
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

/// How TLS records begin that a node may send first; then comes the version, which is 3 and something.
const HANDSHAKE: u8 = 22;
const ALERT: u8 = 21;

/// Waits for the first byte. In plain distribution it is the upper half of a short length.
async fn is_tls(socket: &TcpStream) -> Result<(), SetupError> {
    let mut first = [0];
    match (socket.peek(&mut first).await?, first) {
        (0, _) => Err(SetupError::Closed),
        (_, [0]) => {
            tell_plain(socket);
            Err(SetupError::Plain)
        }
        _ => Ok(()),
    }
}

/// What OTP's TLS tells a plain node as well. What it has said is read, or else closing would swallow the answer.
fn tell_plain(socket: &TcpStream) {
    let unexpected_message = [ALERT, 3, 3, 0, 2, 2, 10];
    let _ = socket.try_read(&mut [0; 1024]);
    let _ = socket.try_write(&unexpected_message);
}
