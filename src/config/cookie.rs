//! Which cookie an operator means.

use std::path::PathBuf;

use super::layers::{Variables, get};
use crate::node::{Cookie, CookieError, CookieSource};

const VARIABLE: &str = "BEAMROUTE_COOKIE";

/// The credential that a unit's `LoadCredential=cookie:FILE` makes of a file (`systemd.exec(5)`).
const CREDENTIAL: &str = "cookie";

/// The file that was asked for, else the environment's cookie, else the credential of our unit, else OTP's files.
///
/// # Errors
///
/// When `BEAMROUTE_COOKIE` is set to what cannot be a cookie.
pub fn source(file: Option<PathBuf>, variables: &Variables) -> Result<CookieSource, CookieError> {
    if let Some(file) = file {
        return Ok(CookieSource::File(file));
    }
    if let Some(text) = get(variables, VARIABLE) {
        return Cookie::parse(text.as_encoded_bytes(), VARIABLE).map(CookieSource::Given);
    }
    let path = |name| get(variables, name).map(PathBuf::from);
    let home = CookieSource::home(path("HOME"), path("XDG_CONFIG_HOME"));
    Ok(match path("CREDENTIALS_DIRECTORY") {
        Some(credentials) => CookieSource::credential(credentials.join(CREDENTIAL), home),
        None => home,
    })
}
