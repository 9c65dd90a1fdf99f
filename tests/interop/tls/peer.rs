//! A TLS peer written by hand, for what no BEAM node would send.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, version};

use super::Files;
use crate::support::Daemon;
use crate::support::raw::{CHALLENGE, FLAGS, NO_COOKIE, atom, digest, frame, name_message, tuple};

/// A TLS connection to the daemon at some stage.
pub struct Peer {
    stream: StreamOwned<ClientConnection, TcpStream>,
    name: String,
}

impl Peer {
    /// Only TLS, of version 1.2 or 1.3.
    pub fn dial(daemon: &Daemon, files: &Files, is_newer: bool) -> Self {
        let versions = if is_newer { [&version::TLS13] } else { [&version::TLS12] };
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&files.ca).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_client_auth_cert(
                vec![CertificateDer::from_pem_file(&files.cert).unwrap()],
                PrivateKeyDer::from_pem_file(&files.key).unwrap(),
            )
            .unwrap();
        let mut session = ClientConnection::new(Arc::new(config), "127.0.0.1".try_into().unwrap()).unwrap();
        let mut socket = TcpStream::connect(("127.0.0.1", daemon.port)).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        session.complete_io(&mut socket).unwrap();
        let name = format!("by-hand-{}@127.0.0.1", crate::support::serial());
        Self { stream: StreamOwned::new(session, socket), name }
    }

    /// A connection that has finished both handshakes.
    pub fn connect(daemon: &Daemon, files: &Files, is_newer: bool) -> Self {
        let mut peer = Self::dial(daemon, files, is_newer);
        peer.send(&frame(&name_message(&peer.name, FLAGS)));
        assert_eq!(peer.receive().unwrap(), b"sok");
        let challenge = peer.receive().unwrap();
        let theirs = u32::from_be_bytes(challenge[9..13].try_into().unwrap());
        let reply = [&[b'r'][..], &CHALLENGE.to_be_bytes(), &digest(&daemon.cookie, theirs)].concat();
        peer.send(&frame(&reply));
        assert_eq!(peer.receive().unwrap(), [&[b'a'][..], &digest(&daemon.cookie, CHALLENGE)].concat());
        peer
    }

    /// The next packet or frame.
    pub fn receive(&mut self) -> io::Result<Vec<u8>> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let mut body = vec![0; u32::from_be_bytes(length).try_into().unwrap()];
        self.stream.read_exact(&mut body)?;
        Ok(body)
    }

    /// The daemon may have closed already: then the error is the point.
    pub fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
        let _ = self.stream.flush();
    }

    /// Sends what will be `bytes` but for the end of the last record, and then nothing any more.
    pub fn send_cut_off(mut self, bytes: &[u8]) {
        self.stream.conn.writer().write_all(bytes).unwrap();
        let mut records = Vec::new();
        while self.stream.conn.wants_write() {
            self.stream.conn.write_tls(&mut records).unwrap();
        }
        self.stream.sock.write_all(&records[..records.len() - 5]).unwrap();
        self.stream.sock.shutdown(Shutdown::Write).unwrap();
        // Whatever the daemon still says is read, so that it is not told by a reset.
        let _ = io::copy(&mut self.stream.sock, &mut io::sink());
    }

    /// Bytes below TLS.
    pub fn send_below(&mut self, bytes: &[u8]) {
        let _ = self.stream.sock.write_all(bytes);
    }

    /// Reads until the daemon says that nothing more comes; an error if it is only cut off, or says nothing.
    pub fn read_to_end(&mut self) -> io::Result<usize> {
        self.stream.read_to_end(&mut Vec::new())
    }

    /// A frame with a message to `route_manager`: a call with as many bytes, which are sent back with the error.
    pub fn call(&self, bytes: usize) -> Vec<u8> {
        let length = u32::try_from(bytes).unwrap().to_be_bytes();
        let pid = [&[88][..], &atom(&self.name), &1_u32.to_be_bytes(), &[0; 4], &7_u32.to_be_bytes()].concat();
        let tag = [&[90, 0, 3][..], &atom(&self.name), &7_u32.to_be_bytes(), &[0; 11], &[9]].concat();
        let control = tuple(&[vec![97, 6], pid.clone(), NO_COOKIE.to_vec(), atom("route_manager")]);
        let request = [&[109][..], &length, &vec![b'x'; bytes]].concat();
        let message = tuple(&[atom("$gen_call"), tuple(&[pid, tag]), request]);
        frame(&[&[112, 131], &control[..], &[131], &message].concat())
    }
}
