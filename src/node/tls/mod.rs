//! TLS distribution, as `-proto_dist inet_tls`: what goes over TCP otherwise goes through TLS 1.2 or 1.3.
//!
//! Facts from `inet_tls_dist.erl` (OTP 25, 27, 29): the epmd registration is the same; the TLS handshake comes before the
//! distribution handshake, whose packets have lengths of four bytes; the dialler names the host of the node as SNI and
//! checks the certificate against it (`pkix_verify_hostname/2`: a dNSName of the subjectAltName, and the common name where
//! there is no subjectAltName); there is no ALPN. A BEAM that accepts checks a certificate against node names only if it
//! has a list of allowed nodes; we always do, unless told otherwise.
//!
//! What rustls holds is bounded as the socket's own buffers are: it takes some 64 KiB of what is written until the kernel
//! has them, and of what comes in a record. So what waits for a peer that does not read waits in the outbox.
//!
//! Without the cargo feature `tls`, [`Tls`] is a type without values, and opening one says why.

#[cfg(feature = "tls")]
mod certificate;
#[cfg(feature = "tls")]
mod files;
#[cfg(feature = "tls")]
mod session;
#[cfg(not(feature = "tls"))]
#[path = "absent.rs"]
mod session;
#[cfg(feature = "tls")]
mod verify;

use std::io;
use std::path::PathBuf;

pub use session::Tls;
pub(super) use session::{Stream, failure};

/// Where the certificates are, and what is asked of those of peers. Files are in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsSettings {
    /// Our certificate, and behind it those that lead to the authority's, if there are any between them.
    pub certificate: PathBuf,
    /// Its private key, without a password; may be the same file, as for OTP's `certfile`.
    pub key: PathBuf,
    /// The certificates of the authorities that we trust. Needed if peers must have certificates.
    pub authorities: Option<PathBuf>,
    /// Peers must have a certificate of an authority that we trust, whoever dials (`verify_peer`, `fail_if_no_peer_cert`).
    /// Otherwise nobody's is looked at, and whoever is between may be anybody.
    pub verifies_peers: bool,
    /// It must be for the host of the peer's node name.
    pub checks_names: bool,
}

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The program has none.
    #[error("this beamroute is built without TLS (cargo build --features tls)")]
    NotBuilt,
    /// A file cannot be read.
    #[error("TLS {what} file {}: {source}", file.display())]
    Read {
        /// What is in it.
        what: &'static str,
        /// The file.
        file: PathBuf,
        /// What reading said.
        source: io::Error,
    },
    /// Group or others may access the private key.
    #[error("TLS key file {path} must be accessible by owner only (its mode is {mode:04o}; chmod 400 {path})", path = file.display())]
    NotOwnerOnly {
        /// The file.
        file: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// What is in a file is not what belongs there.
    #[error("TLS {what} file {}: {reason}", file.display())]
    Content {
        /// What should be in it.
        what: &'static str,
        /// The file.
        file: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A certificate and a key that do not belong together.
    #[error("the TLS key in {} is not that of the certificate in {}", key.display(), certificate.display())]
    Mismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's.
        key: PathBuf,
    },
    /// Peers must have certificates, and no authority is named.
    #[error("TLS without a file of authorities can verify nobody")]
    NoAuthorities,
}

/// Why a TLS connection failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("TLS: {reason}")]
pub(super) struct Failure {
    /// In words.
    reason: String,
    /// One side would not have the other's certificate, version or ciphers; otherwise it is bytes that are no TLS.
    pub is_refusal: bool,
}
