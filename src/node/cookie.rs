//! The cookie: where it comes from, and what keeps it out of sight.
//!
//! Rules of OTP 25 (`auth.erl`): a file that its owner alone can access, printable ASCII, line ends after it let pass;
//! `~/.erlang.cookie`, then `erlang/.erlang.cookie` in the user's configuration directory (XDG), else made, with mode
//! 0400. Unlike OTP's, a new file appears under its name only when it is whole, and never over another: of two
//! programs that start at once, both get the same cookie.
//!
//! Errors name the file, never what is in it.

use std::fmt;
use std::fs::Metadata;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::libc;
use nix::unistd::geteuid;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// The secret that nodes share. Overwritten when dropped; compared in constant time; not shown by `Debug`.
#[derive(Clone)]
pub struct Cookie(Zeroizing<Vec<u8>>);

impl Cookie {
    /// Checks a cookie's text, line ends after it left out. `whence` is named in the error.
    ///
    /// # Errors
    ///
    /// [`CookieError::Empty`], [`CookieError::Characters`], [`CookieError::Long`].
    pub fn parse(text: &[u8], whence: &str) -> Result<Cookie, CookieError> {
        let whence = || whence.to_owned();
        let length = text.iter().position(|byte| !(b' '..=b'~').contains(byte)).unwrap_or(text.len());
        let (cookie, rest) = text.split_at_checked(length).unwrap_or((text, &[]));
        if !rest.iter().all(|byte| matches!(byte, b'\n' | b'\r' | b' ')) {
            return Err(CookieError::Characters { whence: whence() });
        }
        match cookie.len() {
            0 => Err(CookieError::Empty { whence: whence() }),
            // A cookie is an atom to BEAMs.
            1..=255 => Ok(Cookie(Zeroizing::new(cookie.to_vec()))),
            _ => Err(CookieError::Long { whence: whence() }),
        }
    }

    /// The bytes, for a digest.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cookie(..)")
    }
}

impl PartialEq for Cookie {
    fn eq(&self, other: &Cookie) -> bool {
        self.0.as_slice().ct_eq(other.0.as_slice()).into()
    }
}

impl Eq for Cookie {}

/// Why there is no cookie.
#[derive(Debug, thiserror::Error)]
pub enum CookieError {
    /// The file cannot be read.
    #[error("cookie file {}: {source}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// What reading said.
        source: io::Error,
    },
    /// A directory, a pipe, a device.
    #[error("cookie file {} is not a regular file", file.display())]
    NotRegular {
        /// The file.
        file: PathBuf,
    },
    /// Group or others may access it.
    #[error("cookie file {path} must be accessible by owner only (its mode is {mode:04o}; chmod 400 {path})", path = file.display())]
    NotOwnerOnly {
        /// The file.
        file: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Somebody else's, so that they can change it.
    #[error("cookie file {} belongs to user {uid}, and not to root or the user of this process", file.display())]
    Foreign {
        /// The file.
        file: PathBuf,
        /// Whose it is.
        uid: u32,
    },
    /// The unit's default: there was no file to load.
    #[error(
        "no cookie: the credential {} is empty, as the unit makes it when its file is missing; write the cookie, which all \
         nodes share, into the file of LoadCredential= (/etc/beamroute/cookie), readable by root only", file.display()
    )]
    NoCredential {
        /// The file.
        file: PathBuf,
    },
    /// Nothing in it.
    #[error("the cookie in {whence} is empty")]
    Empty {
        /// The file or the variable.
        whence: String,
    },
    /// Not printable ASCII, or more than one line.
    #[error("bad characters in the cookie in {whence} (one line of printable ASCII is allowed)")]
    Characters {
        /// The file or the variable.
        whence: String,
    },
    /// Too long for an atom.
    #[error("the cookie in {whence} is too long (at most 255 characters)")]
    Long {
        /// The file or the variable.
        whence: String,
    },
    /// The file is missing and cannot be made.
    #[error("cannot make the cookie file {}: {source}", file.display())]
    Create {
        /// The file.
        file: PathBuf,
        /// What writing said.
        source: io::Error,
    },
    /// No place to look for one.
    #[error("no cookie: HOME is not set, so there is no ~/.erlang.cookie; give --cookie-file or BEAMROUTE_COOKIE")]
    NoHome,
}

/// Where to take the cookie from. Reading it is left to the program's start, since a missing `~/.erlang.cookie` is made
/// then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CookieSource {
    /// `--cookie-file`
    File(PathBuf),
    /// This one.
    Given(Cookie),
    /// OTP's files: the one at home, and the one in the configuration directory.
    Home {
        /// `$HOME/.erlang.cookie`
        home: Option<PathBuf>,
        /// `${XDG_CONFIG_HOME:-$HOME/.config}/erlang/.erlang.cookie`
        xdg: Option<PathBuf>,
    },
    /// What a service manager has made of a file, if it has.
    Credential {
        /// `$CREDENTIALS_DIRECTORY/cookie`
        file: PathBuf,
        /// If that is not there.
        otherwise: Box<CookieSource>,
    },
}

impl CookieSource {
    /// The credential in `file` if it is there.
    #[must_use]
    pub fn credential(file: PathBuf, otherwise: CookieSource) -> CookieSource {
        CookieSource::Credential { file, otherwise: Box::new(otherwise) }
    }

    /// OTP's files under this `HOME` and `XDG_CONFIG_HOME`.
    #[must_use]
    pub fn home(home: Option<PathBuf>, xdg_config_home: Option<PathBuf>) -> CookieSource {
        let configuration = xdg_config_home
            .filter(|path| path.is_absolute())
            .or_else(|| home.as_ref().map(|home| home.join(".config")));
        CookieSource::Home {
            home: home.map(|home| home.join(FILE_NAME)),
            xdg: configuration.map(|path| path.join("erlang").join(FILE_NAME)),
        }
    }

    /// Reads the cookie; makes `~/.erlang.cookie` when there is none.
    ///
    /// # Errors
    ///
    /// [`CookieError`], in a sentence for the operator.
    pub fn read(&self) -> Result<Cookie, CookieError> {
        let (home, xdg) = match self {
            CookieSource::Given(cookie) => return Ok(cookie.clone()),
            CookieSource::File(file) => return read(file, owner_only),
            CookieSource::Credential { file, otherwise } => {
                return match read(file, closed_to_others) {
                    Err(error) if is_missing(&error) => otherwise.read(),
                    Err(CookieError::Empty { .. }) => Err(CookieError::NoCredential { file: file.clone() }),
                    found => found,
                };
            }
            CookieSource::Home { home, xdg } => (home, xdg),
        };
        for file in [home, xdg].into_iter().flatten() {
            match read(file, owner_only) {
                Err(error) if is_missing(&error) => {}
                found => return found,
            }
        }
        let file = home.as_ref().or(xdg.as_ref()).ok_or(CookieError::NoHome)?;
        create(file).map_err(|source| CookieError::Create { file: file.clone(), source })?;
        // Not the one we wrote: somebody else may have been quicker.
        read(file, owner_only)
    }
}

fn is_missing(error: &CookieError) -> bool {
    matches!(error, CookieError::Read { source, .. } if source.kind() == io::ErrorKind::NotFound)
}

/// As OTP wants it.
fn owner_only(file: &Path, about: &Metadata) -> Result<(), CookieError> {
    let mode = about.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(CookieError::NotOwnerOnly { file: file.to_owned(), mode });
    }
    Ok(())
}

/// As systemd makes credentials: ours, or root's and opened to us by an ACL, whose mask then stands where the group's
/// permissions were (`acl(5)`).
fn closed_to_others(file: &Path, about: &Metadata) -> Result<(), CookieError> {
    let (uid, mode) = (about.uid(), about.mode() & 0o7777);
    if uid != 0 && uid != geteuid().as_raw() {
        return Err(CookieError::Foreign { file: file.to_owned(), uid });
    }
    let group = if uid == 0 { 0o040 } else { 0 };
    if mode & 0o077 & !group != 0 {
        return Err(CookieError::NotOwnerOnly { file: file.to_owned(), mode });
    }
    Ok(())
}

/// `check` says who else may access it.
fn read(file: &Path, check: fn(&Path, &Metadata) -> Result<(), CookieError>) -> Result<Cookie, CookieError> {
    let failed = |source| CookieError::Read { file: file.to_owned(), source };
    // Opened first and then looked at, so that what is checked is what is read; a pipe must not block.
    let mut open = std::fs::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(file).map_err(failed)?;
    let about = open.metadata().map_err(failed)?;
    if !about.is_file() {
        return Err(CookieError::NotRegular { file: file.to_owned() });
    }
    check(file, &about)?;
    let mut text = Zeroizing::new(Vec::with_capacity(MAX_FILE));
    (&mut open).take(MAX_FILE as u64).read_to_end(&mut text).map_err(failed)?;
    Cookie::parse(&text, &file.display().to_string())
}

/// Makes the file with a cookie at random. That it is there already is no error.
fn create(file: &Path) -> io::Result<()> {
    let cookie = Zeroizing::new((0..20).map(|_| rand::random_range(b'A'..=b'Z')).collect::<Vec<u8>>());
    let mut name = file.as_os_str().to_owned();
    name.push(format!(".{:08x}", rand::random::<u32>()));
    let whole = PathBuf::from(name);
    let made = write_new(&whole, &cookie).and_then(|()| std::fs::hard_link(&whole, file));
    // Whatever has happened, the other name is not needed any more.
    let _ = std::fs::remove_file(&whole);
    match made {
        // File systems without hard links: without the promise of wholeness then.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied || error.kind() == io::ErrorKind::Unsupported => {
            write_new(file, &cookie)
        }
        other => other,
    }
    .or_else(|error| if error.kind() == io::ErrorKind::AlreadyExists { Ok(()) } else { Err(error) })
}

fn write_new(file: &Path, text: &[u8]) -> io::Result<()> {
    std::fs::OpenOptions::new().write(true).create_new(true).mode(0o400).open(file)?.write_all(text)
}

const FILE_NAME: &str = ".erlang.cookie";
/// A cookie and its line end fit; nothing that is longer is a cookie.
const MAX_FILE: usize = 1024;
