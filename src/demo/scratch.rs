//! A directory for this one run: the daemon's state, and the home and cookie of a client.
//!
//! It goes when it is dropped. After `kill -9` it stays, and the next demo of the same user takes it away: a lock on it
//! tells whether its owner lives.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use nix::fcntl::{Flock, FlockArg};
use zeroize::Zeroizing;

/// The directory, as long as this lives.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    _lock: Option<Flock<File>>,
}

impl Scratch {
    /// Makes one, open to its owner only, and removes those whose owners are gone.
    ///
    /// # Errors
    /// If there is no place for it.
    pub fn new() -> Result<Self> {
        let parent = std::env::temp_dir();
        remove_abandoned(&parent);
        let path = parent.join(format!("{PREFIX}{:016x}", rand::random::<u64>()));
        let failed = || format!("cannot make the directory {}", path.display());
        DirBuilder::new().mode(0o700).create(&path).with_context(failed)?;
        let lock = lock(&path);
        Ok(Self { path, _lock: lock })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes `.erlang.cookie` with a cookie at random.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn make_cookie(&self) -> Result<PathBuf> {
        let cookie = Zeroizing::new((0..20).map(|_| rand::random_range(b'A'..=b'Z')).collect::<Vec<u8>>());
        let file = self.path.join(".erlang.cookie");
        let written = OpenOptions::new().write(true).create_new(true).mode(0o400).open(&file);
        written.and_then(|mut file| file.write_all(&cookie)).context("cannot write a cookie")?;
        Ok(file)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // If it cannot be removed now, the next demo tries again.
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn lock(directory: &Path) -> Option<Flock<File>> {
    Flock::lock(File::open(directory).ok()?, FlockArg::LockExclusiveNonblock).ok()
}

/// Another demo may be between making its directory and locking it, so only those that have a past are taken.
fn remove_abandoned(parent: &Path) {
    let user = nix::unistd::geteuid().as_raw();
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let Ok(about) = entry.metadata() else { continue };
        let is_old = about.modified().is_ok_and(|time| time.elapsed().is_ok_and(|age| age.as_secs() > 60));
        let is_ours = entry.file_name().to_string_lossy().starts_with(PREFIX) && about.is_dir() && about.uid() == user;
        if is_old && is_ours && lock(&entry.path()).is_some() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

const PREFIX: &str = "beamroute-demo-";
