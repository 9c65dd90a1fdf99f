//! Our certificates as rustls wants them, and the connections that begin with them.

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll};
use std::time::SystemTime;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::server::NoServerSessionStorage;
use tokio_rustls::rustls::{CertificateError, ClientConfig, Error, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};
use tracing::{info, warn};

use super::certificate::{self, Age};
use super::verify::{Anybody, Trusted};
use super::{Failure, TlsError, TlsSettings, files};

/// The certificates of a node, which can be read again while it runs. Clones are the same.
#[derive(Debug, Clone)]
pub struct Tls {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    settings: TlsSettings,
    /// What the files said when they were last all right.
    loaded: RwLock<Loaded>,
}

/// A TLS connection.
#[derive(Debug)]
pub(in crate::node) struct Stream {
    inner: TlsStream<TcpStream>,
    checks_names: bool,
}

/// Both roles; each new connection takes what is there then.
#[derive(Clone)]
struct Loaded {
    acceptor: TlsAcceptor,
    connector: TlsConnector,
    certificate: CertificateDer<'static>,
}

impl std::fmt::Debug for Loaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Loaded(..)")
    }
}

impl Tls {
    /// Whether this program can speak TLS.
    pub const IS_BUILT: bool = true;

    /// Reads the files. The log says until when our certificate is valid, and warns of one that is not.
    ///
    /// # Errors
    /// [`TlsError`], in a sentence for the operator.
    pub fn open(settings: TlsSettings) -> Result<Self, TlsError> {
        let loaded = RwLock::new(load(&settings)?);
        Ok(Self { shared: Arc::new(Shared { settings, loaded }) })
    }

    /// Reads the files again, for connections to come; those that are up stay as they are.
    ///
    /// # Errors
    /// [`TlsError`]; the certificates of before count then.
    pub fn reload(&self) -> Result<(), TlsError> {
        let fresh = load(&self.shared.settings)?;
        *self.shared.loaded.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    /// Whether our certificate is for `host`, as nodes will want it that find it in our name.
    #[must_use]
    pub fn is_for(&self, host: &str) -> bool {
        certificate::is_for(&self.loaded().certificate, host)
    }

    /// The TLS handshake with a node that has dialled us.
    pub(in crate::node) async fn accept(&self, socket: TcpStream) -> io::Result<Stream> {
        let stream = self.loaded().acceptor.accept(socket).await?;
        let TlsSettings { checks_names, verifies_peers, .. } = self.shared.settings;
        Ok(Stream { inner: stream.into(), checks_names: checks_names && verifies_peers })
    }

    /// The TLS handshake with a node that we dial; `host` is what its name says.
    pub(in crate::node) async fn dial(&self, socket: TcpStream, host: &str) -> io::Result<Stream> {
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let stream = self.loaded().connector.connect(name, socket).await?;
        // Its certificate has been looked at.
        Ok(Stream { inner: stream.into(), checks_names: false })
    }

    fn loaded(&self) -> Loaded {
        self.shared.loaded.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Stream {
    pub(in crate::node) fn socket(&self) -> &TcpStream {
        self.inner.get_ref().0
    }

    /// Whether the peer's certificate is for this host, if that matters.
    pub(in crate::node) fn is_for(&self, host: &str) -> bool {
        let theirs = self.inner.get_ref().1.peer_certificates().and_then(<[_]>::first);
        !self.checks_names || theirs.is_some_and(|theirs| certificate::is_for(theirs, host))
    }
}

fn load(settings: &TlsSettings) -> Result<Loaded, TlsError> {
    let (chain, key) = (files::chain(&settings.certificate)?, files::key(&settings.key)?);
    let certificate = chain.first().cloned().unwrap_or_else(|| Vec::new().into());
    let provider = Arc::new(ring::default_provider());
    let unusable = |error| unusable(settings, &error);
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    let client = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    let (server, client) = (server.map_err(unusable)?, client.map_err(unusable)?.dangerous());
    let (server, client) = if settings.verifies_peers {
        let trusted = Arc::new(trusted(settings, &provider)?);
        let server = server.with_client_cert_verifier(Arc::clone(&trusted) as _);
        (server, client.with_custom_certificate_verifier(trusted))
    } else {
        let anybody = Anybody { algorithms: provider.signature_verification_algorithms };
        (server.with_no_client_auth(), client.with_custom_certificate_verifier(Arc::new(anybody)))
    };
    let mut server = server.with_single_cert(chain.clone(), key.clone_key()).map_err(unusable)?;
    let mut client = client.with_client_auth_cert(chain, key).map_err(unusable)?;
    // Who resumes a session shows no certificate, and would come in by one that counts no more.
    server.session_storage = Arc::new(NoServerSessionStorage {});
    server.send_tls13_tickets = 0;
    client.resumption = Resumption::disabled();
    tell_age(&settings.certificate, &certificate);
    Ok(Loaded { acceptor: Arc::new(server).into(), connector: Arc::new(client).into(), certificate })
}

fn trusted(settings: &TlsSettings, provider: &Arc<CryptoProvider>) -> Result<Trusted, TlsError> {
    let file = settings.authorities.as_deref().ok_or(TlsError::NoAuthorities)?;
    let trusted = Trusted::new(files::authorities(file)?, provider, settings.checks_names);
    trusted.map_err(|_| TlsError::NoAuthorities)
}

/// Why rustls would not have our certificate and key.
fn unusable(settings: &TlsSettings, error: &Error) -> TlsError {
    match error {
        Error::InconsistentKeys(_) => {
            TlsError::Mismatch { certificate: settings.certificate.clone(), key: settings.key.clone() }
        }
        Error::InvalidCertificate(error) => files::bad_chain(&settings.certificate, &told(error)),
        other => files::bad_key(&settings.key, other),
    }
}

fn tell_age(file: &Path, certificate: &CertificateDer<'_>) {
    let Ok(ours) = certificate::read(certificate) else { return };
    let (file, until) = (file.display(), certificate::until(&ours));
    match certificate::age(&ours, SystemTime::now()) {
        Age::Valid => info!(%file, %until, "TLS certificate"),
        Age::Expired => warn!(%file, %until, "the TLS certificate has expired: nodes that verify it will refuse it"),
        Age::NotYetValid => {
            warn!(%file, %until, "the TLS certificate is not valid yet: nodes that verify it will refuse it")
        }
    }
}

/// What of `error` comes from TLS.
pub(in crate::node) fn failure(error: &io::Error) -> Option<Failure> {
    let error = error.get_ref()?.downcast_ref::<Error>()?;
    let (reason, is_refusal) = match error {
        Error::NoCertificatesPresented => ("the peer has no certificate".to_owned(), true),
        Error::InvalidCertificate(error) => (told(error), true),
        Error::AlertReceived(alert) => (format!("the peer refuses us ({alert:?})"), true),
        Error::PeerIncompatible(_) => (error.to_string(), true),
        Error::InvalidMessage(_) => ("what the peer sends is not TLS".to_owned(), false),
        other => (other.to_string(), false),
    };
    Some(Failure { reason, is_refusal })
}

fn told(error: &CertificateError) -> String {
    match error {
        CertificateError::UnknownIssuer => "the certificate is of no authority that we trust".to_owned(),
        CertificateError::NotValidForName => "the certificate is not for the host of the node's name".to_owned(),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "the certificate has expired".to_owned(),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the certificate is not valid yet".to_owned()
        }
        CertificateError::BadSignature => "the certificate's signature is not its authority's".to_owned(),
        // Versions before 3, authorities' certificates used as a node's, and the like.
        CertificateError::Other(error) => format!("the certificate cannot be used: {}", error.0),
        other => format!("the certificate cannot be used: {other}"),
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.inner).poll_read(cx, buffer);
        // What TLS itself has to answer does not wait until we have something to say: a BEAM that asks to renegotiate, as
        // TLS 1.2 lets it, is silent until it is refused, and then connects anew.
        if self.inner.get_ref().1.wants_write() {
            let _ = Pin::new(&mut self.inner).poll_flush(cx);
        }
        read
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
