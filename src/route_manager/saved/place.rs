//! Where a journal lies: its directory, its name, what is set aside next to it.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::libc::{ENOTDIR, O_NOFOLLOW, O_NONBLOCK};
use tracing::warn;

use super::format::{Damage, MAX_BYTES, Owner};
use super::record::Escaped;

/// The path of a journal.
#[derive(Debug)]
pub(super) struct Place {
    dir: PathBuf,
    name: String,
    /// Both, since each save looks there.
    path: PathBuf,
}

/// What tells a file from all others: device and inode.
pub(super) type Identity = (u64, u64);

/// A journal that was opened.
pub(super) struct Found {
    pub file: File,
    pub identity: Identity,
    /// Whether it can be appended to.
    pub is_writable: bool,
}

impl Place {
    /// The place of `owner`'s journal in `dir`.
    pub(super) fn new(dir: &Path, owner: &Owner) -> Self {
        let mut name = format!("{PREFIX}{}", owner.protocol);
        if !owner.netns.is_empty() {
            name += "@";
            name += &shortened(&owner.netns);
        }
        Self { dir: dir.to_path_buf(), path: dir.join(&name), name }
    }

    /// The journal.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens what is there, for appending if that is possible; `None` if there is nothing.
    pub(super) fn open(&self) -> Result<Option<Found>, Damage> {
        match self.open_file(true) {
            Ok(file) => found(file, true).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(_) => self.read_only(),
        }
    }

    /// Opens what is there, for reading; `None` if there is nothing.
    pub(super) fn read_only(&self) -> Result<Option<Found>, Damage> {
        match self.open_file(false) {
            Ok(file) => found(file, false).map(Some),
            // In the second case something else is in the way of the directory: no journal either.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn open_file(&self, is_writable: bool) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).append(is_writable).custom_flags(O_NOFOLLOW | O_NONBLOCK).open(&self.path)
    }

    /// What is there now.
    pub(super) fn identity(&self) -> Option<Identity> {
        fs::symlink_metadata(&self.path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
    }

    /// Makes the directory, for its owner only.
    pub(super) fn make_dir(&self) -> io::Result<()> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&self.dir);
        made.map_err(|error| match error.kind() {
            // What exists is not a directory.
            io::ErrorKind::AlreadyExists => io::Error::from_raw_os_error(ENOTDIR),
            _ => error,
        })
    }

    /// Puts a new file with `text` in the journal's place, in one step: whoever looks sees the old or the new one whole.
    pub(super) fn replace(&self, text: &[u8]) -> io::Result<Found> {
        let new = self.dir.join(format!("{}.new", self.name));
        let written = self.write_new(&new, text).and_then(|found| fs::rename(&new, &self.path).map(|()| found));
        if written.is_err() {
            // It may be what fills the disk.
            let _ = fs::remove_file(&new);
        }
        written
    }

    fn write_new(&self, new: &Path, text: &[u8]) -> io::Result<Found> {
        match fs::remove_file(new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(new)?;
        // Nobody else knows it yet. Where there are no locks, we do without.
        let _ = file.try_lock();
        file.write_all(text)?;
        let metadata = file.metadata()?;
        Ok(Found { file, identity: (metadata.dev(), metadata.ino()), is_writable: true })
    }

    /// Gives what lies in the journal's place a name of its own, which it returns. Of the older ones set aside,
    /// [`MAX_ASIDE`] are kept.
    pub(super) fn set_aside(&self) -> io::Result<PathBuf> {
        let mut numbers = self.numbers_aside()?;
        numbers.sort_unstable();
        let aside = |number: u64| self.dir.join(format!("{}.damaged-{number}", self.name));
        let path = aside(numbers.last().map_or(1, |last| last.saturating_add(1)));
        fs::rename(&self.path, &path)?;
        let surplus = numbers.len().saturating_add(1).saturating_sub(MAX_ASIDE);
        for number in numbers.into_iter().take(surplus) {
            if let Err(error) = fs::remove_file(aside(number)) {
                warn!(file = %aside(number).display(), %error, "cannot remove an old damaged state file");
            }
        }
        Ok(path)
    }

    fn numbers_aside(&self) -> io::Result<Vec<u64>> {
        let prefix = format!("{}.damaged-", self.name);
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let name = entry?.file_name();
            numbers.extend(name.to_str().and_then(|name| name.strip_prefix(&prefix)?.parse::<u64>().ok()));
        }
        Ok(numbers)
    }
}

fn found(file: File, is_writable: bool) -> Result<Found, Damage> {
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(Damage::NotAFile);
    }
    Ok(Found { file, identity: (metadata.dev(), metadata.ino()), is_writable })
}

impl Found {
    /// Whether this process holds the file alone. Where there are no locks, it does.
    pub(super) fn is_ours_alone(&self) -> bool {
        !matches!(self.file.try_lock(), Err(TryLockError::WouldBlock))
    }

    /// All of it, unless it is too large to be a journal.
    pub(super) fn read(&self) -> Result<Vec<u8>, Damage> {
        let mut text = Vec::new();
        (&self.file).take(MAX_BYTES + 1).read_to_end(&mut text)?;
        if text.len() as u64 > MAX_BYTES { Err(Damage::TooLarge) } else { Ok(text) }
    }
}

/// The network namespace for [`Owner`]. A name and its path mean the same.
pub(super) fn netns_text(netns: Option<&Path>) -> String {
    let Some(path) = netns else { return String::new() };
    Escaped(path.strip_prefix("/run/netns").unwrap_or(path).as_os_str().as_bytes()).to_string()
}

/// Long paths do not fit into a file name; their digest does.
fn shortened(netns: &str) -> String {
    match netns.get(..MAX_NETNS_IN_NAME) {
        Some(start) if start.len() < netns.len() => format!("{start}~{:x}", md5::compute(netns)),
        _ => netns.to_owned(),
    }
}

/// What the names of all our files begin with.
pub(super) const PREFIX: &str = "routes-";

/// How many damaged files are kept.
pub(super) const MAX_ASIDE: usize = 8;

/// Leaves room for the rest of a name of at most 255 bytes.
const MAX_NETNS_IN_NAME: usize = 150;
