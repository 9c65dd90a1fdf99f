//! The files of certificates and keys, read with the cookie's care.

use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use nix::libc;
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

use super::{TlsError, certificate};

/// What the files are called in errors.
const CERTIFICATE: &str = "certificate";
const KEY: &str = "key";
const AUTHORITIES: &str = "authorities";

/// A file that is larger is none of ours; all authorities of a Debian fit.
const MAX_FILE: u64 = 1 << 20;

/// Our certificate and those behind it.
pub(super) fn chain(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    certificates(CERTIFICATE, file)
}

pub(super) fn authorities(file: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(AUTHORITIES, file)? {
        roots.add(certificate).map_err(|error| content(AUTHORITIES, file, error.to_string()))?;
    }
    Ok(roots)
}

/// The private key. Nothing of what is in the file is in an error.
pub(super) fn key(file: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let text = read(KEY, file, true)?;
    let reason = || "no private key in PEM that can be used (BEGIN PRIVATE KEY, without a password)".to_owned();
    PrivateKeyDer::from_pem_slice(&text).map_err(|_| content(KEY, file, reason()))
}

/// `reason` why the key in `file` is of no use.
pub(super) fn bad_key(file: &Path, reason: &impl std::fmt::Display) -> TlsError {
    content(KEY, file, reason.to_string())
}

/// `reason` why the certificate in `file` is of no use.
pub(super) fn bad_chain(file: &Path, reason: &impl std::fmt::Display) -> TlsError {
    content(CERTIFICATE, file, reason.to_string())
}

fn certificates(what: &'static str, file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read(what, file, false)?;
    let all = CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>();
    let all = all.map_err(|_| content(what, file, "not PEM".into()))?;
    if all.is_empty() {
        return Err(content(what, file, "no certificate in it (BEGIN CERTIFICATE)".into()));
    }
    for der in &all {
        certificate::read(der).map_err(|reason| content(what, file, reason))?;
    }
    Ok(all)
}

fn content(what: &'static str, file: &Path, reason: String) -> TlsError {
    TlsError::Content { what, file: file.to_owned(), reason }
}

fn read(what: &'static str, file: &Path, is_secret: bool) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    let failed = |source| TlsError::Read { what, file: file.to_owned(), source };
    // Opened first and then looked at, so that what is checked is what is read; a pipe must not block.
    let mut open = std::fs::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(file).map_err(failed)?;
    let about = open.metadata().map_err(failed)?;
    if !about.is_file() {
        return Err(failed(io::Error::other("not a regular file")));
    }
    if about.len() > MAX_FILE {
        return Err(failed(io::Error::other(format!("longer than {MAX_FILE} bytes"))));
    }
    let mode = about.mode() & 0o7777;
    if is_secret && mode & 0o077 != 0 {
        return Err(TlsError::NotOwnerOnly { file: file.to_owned(), mode });
    }
    // All at once: growing would leave copies of a key behind.
    let mut text = Zeroizing::new(Vec::with_capacity(usize::try_from(about.len()).unwrap_or(0).saturating_add(1)));
    (&mut open).take(MAX_FILE).read_to_end(&mut text).map_err(failed)?;
    Ok(text)
}
