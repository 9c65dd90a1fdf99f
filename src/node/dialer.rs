//! Outbound connections.

use std::net::SocketAddr;

use tokio::net::TcpStream;

use super::Node;
use super::connection::{self, Up};
use super::handshake_io::{HandshakeIo, SetupError};
use crate::dist::{Dialing, Step};

/// Why a node could not be reached.
#[derive(Debug, thiserror::Error)]
#[error("cannot connect to {node}: {reason}")]
pub struct DialError {
    node: String,
    reason: String,
}

impl Node {
    /// Connects to `peer`, which listens at `address`. True at once if it is connected.
    ///
    /// # Errors
    /// [`DialError`] says what stood in the way.
    pub async fn dial(&self, peer: &str, address: SocketAddr) -> Result<(), DialError> {
        if self.state().connection(peer).is_some() {
            return Ok(());
        }
        let failed = |reason: String| DialError { node: peer.to_owned(), reason };
        if !self.inner.net_kernel.allow().admits_outbound(peer) {
            return Err(failed("it is not allowed".into()));
        }
        let begun = self.state().begin_dial(peer);
        let (attempt, abort) = begun.ok_or_else(|| failed("a connection is on its way".into()))?;
        let setup = tokio::select! {
            () = abort.cancelled() => Err(SetupError::GivenUp("the peer dialled us")),
            setup = self.shake_hands_with(peer, address, attempt) => setup,
        };
        match setup {
            Ok((up, io)) => {
                self.announce_up(&up.connection);
                self.spawn_task(connection::run(self.clone(), up, io.stream, io.buffer));
                Ok(())
            }
            Err(error) => {
                self.state().give_up(peer, attempt);
                Err(failed(error.to_string()))
            }
        }
    }

    async fn shake_hands_with(
        &self,
        peer: &str,
        address: SocketAddr,
        attempt: u64,
    ) -> Result<(Up, HandshakeIo), SetupError> {
        let setup_time = self.inner.config.setup_time;
        let options = self.inner.net_kernel.socket_defaults.borrow().connect.clone();
        let connect = tokio::time::timeout(setup_time, TcpStream::connect(address));
        let stream = connect.await.map_err(|_| SetupError::Timeout)??;
        let mut io = HandshakeIo::new(stream, setup_time);
        let mut dialing = Dialing::new(self.name_message(), peer, self.inner.config.cookie.clone(), rand::random());
        io.send(&[dialing.start()]).await?;
        loop {
            let packet = io.receive().await?;
            match dialing.packet(&packet)? {
                Step::Send(packet) => io.send(&[packet]).await?,
                Step::Up => return Ok((self.bring_up(dialing.peer(), attempt, &io.stream, &options)?, io)),
                Step::Close => return Err(SetupError::GivenUp("the peer's own attempt goes on")),
                Step::Wait | Step::Decide | Step::Verified(_) => {}
            }
        }
    }
}
