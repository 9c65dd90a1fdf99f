//! `--tls` and what belongs to it.

use super::value::TlsVerify;
use super::{ConfigError, Options};
use crate::node::{Tls, TlsSettings};

/// What the options say of TLS; `None` is plain distribution. Reads no file.
///
/// # Errors
///
/// [`ConfigError::Tls`] if this program has no TLS, or something that it needs is missing.
pub(super) fn settings(options: &Options) -> Result<Option<TlsSettings>, ConfigError> {
    if options.tls != Some(true) {
        return Ok(None);
    }
    if !Tls::IS_BUILT {
        return Err(ConfigError::Tls("this beamroute is built without it (cargo build --features tls)"));
    }
    let certificate = options.tls_cert.clone();
    let certificate = certificate.ok_or(ConfigError::Tls("needs a certificate, see --tls-cert"))?;
    let verifies_peers = options.tls_verify.unwrap_or_default() == TlsVerify::Peer;
    if verifies_peers && options.tls_ca.is_none() {
        return Err(ConfigError::Tls("needs the authorities that nodes' certificates must lead to, see --tls-ca"));
    }
    Ok(Some(TlsSettings {
        key: options.tls_key.clone().unwrap_or_else(|| certificate.clone()),
        certificate,
        authorities: options.tls_ca.clone(),
        verifies_peers,
        checks_names: options.tls_check_name.unwrap_or(true),
    }))
}

/// A sentence, if something is asked for that counts for nothing, or is less than it seems.
pub(super) fn warning(options: &Options, settings: Option<&TlsSettings>) -> Option<String> {
    let given = options.given();
    let vain = given.iter().find(|key| key.starts_with("tls_"));
    match (settings, vain) {
        (None, Some(key)) => Some(format!("{key} counts only with tls, and that is not on")),
        (Some(TlsSettings { verifies_peers: false, .. }), _) => Some(
            "tls_verify is none: TLS keeps off those who only listen, and not those who put themselves in between"
                .into(),
        ),
        _ => None,
    }
}
