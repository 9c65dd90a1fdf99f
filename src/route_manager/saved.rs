//! The desired state on disk: an append-only journal that survives the death of the daemon.
//!
//! ```text
//! request → desired state → Journal::save → kernel → reply
//! ```
//!
//! What is saved is promised by the reply that follows, so it is written first. It is written before the kernel is
//! changed, too: whatever the kernel holds after a crash is then explained by what was saved, or by what was saved just
//! before. The other way round, routes of a wish that had not reached the disk would be taken for leftovers.
//!
//! A commit is one `write` of one line ([`format`](self::format)). There is no fsync: the kernel's routes do not survive
//! a boot either. What cannot be believed is set aside, never deleted, and then nothing is known: objects of ours in the
//! kernel become orphans. Failures to write are remembered and tried again; none is fatal.
//!
//! Stands on [`crate::route`].

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

mod format;
mod image;
mod place;
mod record;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tracing::{error, info, warn};

use self::format::{Chain, Content, Damage, MAX_BYTES, Owner};
use self::image::{Extent, Image};
use self::place::{Found, Identity, Place};
use super::owners::Policies;
use crate::route::{DesiredState, IfName};

/// A journal is written anew when it is longer than this, and than [`COMPACT_FACTOR`] times what it was when it was new.
const COMPACT_FROM: u64 = 64 << 10;

/// See [`COMPACT_FROM`]. On average a byte of state is then written at most 1.3 times.
const COMPACT_FACTOR: u64 = 4;

/// So many bytes of memory stay allocated for lines.
const MAX_IDLE: usize = 16 << 10;

/// How long a failed save waits for its next try, if no change comes before.
const RETRY: Duration = Duration::from_secs(1);

/// Keeps the desired state on disk.
#[derive(Debug)]
pub struct Journal {
    place: Place,
    owner: Owner,
    /// What the disk has.
    image: Image,
    /// What the owners of wishes want, with their next [`Journal::save`].
    policies: Policies,
    /// These may be others than the disk has.
    are_policies_touched: bool,
    /// So may what is wanted of these.
    touched: BTreeSet<IfName>,
    /// Used again for each line.
    line: Vec<u8>,
    /// Where to append; `None`: the next save writes a whole new file.
    tail: Option<Tail>,
    /// The file that is ours to replace. Any other in its place is set aside.
    own: Option<Identity>,
    /// Why the file in its place at start was not believed, until it is set aside.
    damage: Option<Damage>,
    fault: Option<Fault>,
}

/// What a daemon starts with.
#[derive(Debug)]
pub struct Restored {
    /// Where changes go.
    pub journal: Journal,
    /// What an earlier run wanted; `None` if nothing is known of one.
    pub state: Option<DesiredState>,
}

/// Why a journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// A daemon for another network namespace of the same name has it.
    #[error(
        "{} is in use by another beamroute, which sees another network namespace under the same name; \
         give one of them another --state-dir", .0.display()
    )]
    InUse(PathBuf),
    /// [`Journal::peek`] found nothing.
    #[error("there is no saved state {}", .0.display())]
    Missing(PathBuf),
    /// [`Journal::peek`] could not look.
    #[error("the saved state {} cannot be read: {source}", file.display())]
    Unreadable {
        /// The journal.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// [`Journal::peek`] found what a daemon would set aside.
    #[error("the saved state {} cannot be used: {why}", file.display())]
    Damaged {
        /// The journal.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

/// The text of a journal as a start reads it, for `fuzz/`: the text that says the same, written anew.
///
/// # Errors
/// What is wrong with it, in a sentence.
#[cfg(feature = "fuzz")]
#[doc(hidden)]
pub fn rewrite(text: &[u8], protocol: u8, netns: &str, max_interfaces: usize) -> Result<Vec<u8>, String> {
    let owner = Owner { protocol, netns: netns.to_owned() };
    let Content { image, .. } = format::read(text, &owner).map_err(|damage| damage.to_string())?;
    let state = image.restore(max_interfaces).map_err(|error| error.to_string())?;
    let same = Image::of(&state, image.policies());
    format::write(&owner, &same).map(|(text, _)| text).map_err(|error| error.to_string())
}

/// The open end of the file.
#[derive(Debug)]
struct Tail {
    file: std::fs::File,
    bytes: u64,
    chain: Chain,
    compact_at: u64,
}

/// The last save failed.
#[derive(Debug, Clone, Copy)]
struct Fault {
    errno: i32,
    retry_at: Instant,
}

/// A second is never more than an `Instant` holds.
fn retry_at() -> Instant {
    let now = Instant::now();
    now.checked_add(RETRY).unwrap_or(now)
}

impl Journal {
    /// Reads the journal for routes with `protocol` in `netns` (the process's own, if there is none) in `dir`, and makes
    /// it if there is none.
    ///
    /// # Errors
    /// [`JournalError::InUse`]. Whatever else is wrong is logged, and the daemon runs without.
    pub fn open(
        dir: &Path,
        netns: Option<&Path>,
        protocol: u8,
        max_interfaces: usize,
    ) -> Result<Restored, JournalError> {
        let owner = Owner { protocol, netns: place::netns_text(netns) };
        let place = Place::new(dir, &owner);
        let mut journal = Self {
            place,
            owner,
            image: Image::default(),
            policies: Policies::default(),
            are_policies_touched: false,
            touched: BTreeSet::new(),
            line: Vec::new(),
            tail: None,
            own: None,
            damage: None,
            fault: None,
        };
        let state = match journal.read(max_interfaces) {
            Ok(state) => state,
            Err(Refused::InUse) => return Err(JournalError::InUse(journal.place.path().to_path_buf())),
            Err(Refused::Damaged(damage)) => {
                journal.damage = Some(damage);
                None
            }
        };
        if state.is_none() {
            // At once, so that it is known from the start whether saving works.
            journal.save(&DesiredState::new(max_interfaces));
        }
        if let Some(why) = &journal.damage {
            let file = journal.place.path();
            warn!(file = %file.display(), %why, "the saved state cannot be used, nor set aside; starting without");
        }
        Ok(Restored { journal, state })
    }

    /// What an earlier run wanted, and the file that says so. Only reads: nothing is set aside, and the file is not locked,
    /// which could keep a daemon from starting.
    ///
    /// # Errors
    /// [`JournalError`], but for [`JournalError::InUse`].
    pub fn peek(
        dir: &Path,
        netns: Option<&Path>,
        protocol: u8,
        max_interfaces: usize,
    ) -> Result<(PathBuf, DesiredState), JournalError> {
        let owner = Owner { protocol, netns: place::netns_text(netns) };
        let place = Place::new(dir, &owner);
        let refused = |damage| match damage {
            Damage::Unreadable(source) => JournalError::Unreadable { file: place.path().to_path_buf(), source },
            damage => JournalError::Damaged { file: place.path().to_path_buf(), why: damage.to_string() },
        };
        let text = place.read_only().and_then(|found| found.map(|found| found.read()).transpose()).map_err(refused)?;
        let text = text.ok_or_else(|| JournalError::Missing(place.path().to_path_buf()))?;
        let content = format::read(&text, &owner).map_err(refused)?;
        let state = content.image.restore(max_interfaces).map_err(|error| refused(error.into()))?;
        Ok((place.path().to_path_buf(), state))
    }

    /// Whether a file of this name in a state directory is one of ours.
    #[must_use]
    pub fn is_ours(name: &OsStr) -> bool {
        name.as_encoded_bytes().starts_with(place::PREFIX.as_bytes())
    }

    /// The owners' policies: what an earlier run was told, or [`Journal::set_policies`] since.
    #[must_use]
    pub(super) const fn policies(&self) -> &Policies {
        &self.policies
    }

    /// The owners' policies are these from now on; they are saved with the state.
    pub(super) fn set_policies(&mut self, policies: &Policies) {
        self.policies.clone_from(policies);
        self.are_policies_touched = true;
    }

    /// The next [`Journal::save_touched`] has to look at interface `name`.
    pub fn touch(&mut self, name: IfName) {
        self.touched.insert(name);
    }

    /// Whether there may be something to save, or to try again.
    #[must_use]
    pub fn is_due(&self, now: Instant) -> bool {
        self.are_policies_touched || !self.touched.is_empty() || self.retry_at().is_some_and(|due| due <= now)
    }

    /// Brings `state` to the disk. Writes nothing if it is there already. [`Journal::unsaved`] says whether it worked.
    pub fn save(&mut self, state: &DesiredState) {
        self.save_extent(state, &Extent::All);
    }

    /// The same, if of what is wanted of interfaces only what was [touched](Journal::touch) is new: the others are not looked at.
    pub fn save_touched(&mut self, state: &DesiredState) {
        let interfaces = std::mem::take(&mut self.touched);
        self.save_extent(state, &Extent::Touched { interfaces, policies: self.are_policies_touched });
    }

    /// What cannot be appended is all written anew, then or at the next save that works: what was touched need not be remembered.
    fn save_extent(&mut self, state: &DesiredState, extent: &Extent) {
        self.touched.clear();
        self.are_policies_touched = false;
        let saved = match self.append(state, extent) {
            Ok(true) => Ok(()),
            Ok(false) => self.write_anew(Image::of(state, &self.policies)),
            Err(error) => {
                warn!(%error, "cannot append to the saved state; writing it anew");
                self.tail = None;
                self.write_anew(Image::of(state, &self.policies))
            }
        };
        let path = self.place.path();
        match saved {
            Ok(()) if self.fault.take().is_some() => info!(file = %path.display(), "the desired state is saved again"),
            Ok(()) => {}
            Err(error) => {
                if self.fault.is_none() {
                    error!(file = %path.display(), %error, "the desired state cannot be saved; trying again");
                }
                let errno = error.raw_os_error().unwrap_or(nix::libc::EIO);
                self.fault = Some(Fault { errno, retry_at: retry_at() });
            }
        }
    }

    /// Writes the journal anew if it has grown long. For after the replies: nobody waits for it.
    pub fn compact(&mut self) {
        let Some(tail) = self.tail.as_mut().filter(|tail| tail.bytes > tail.compact_at) else { return };
        tail.compact_at = tail.bytes.saturating_mul(2);
        let image = std::mem::take(&mut self.image);
        // The old file is as good as before if this fails.
        match self.replace(&image) {
            Ok(tail) => self.tail = Some(tail),
            Err(error) => warn!(%error, "cannot shorten the saved state; appending to it"),
        }
        self.image = image;
    }

    /// The error number of the last save, if it failed.
    #[must_use]
    pub fn unsaved(&self) -> Option<i32> {
        self.fault.map(|fault| fault.errno)
    }

    /// When to call [`Journal::save`] although nothing has changed.
    #[must_use]
    pub fn retry_at(&self) -> Option<Instant> {
        self.fault.map(|fault| fault.retry_at)
    }

    fn read(&mut self, max_interfaces: usize) -> Result<Option<DesiredState>, Refused> {
        let Some(found) = self.place.open()? else { return Ok(None) };
        if !found.is_ours_alone() {
            return Err(Refused::InUse);
        }
        let Content { image, first_bytes, whole_bytes, chain } = format::read(&found.read()?, &self.owner)?;
        let state = image.restore(max_interfaces).map_err(Damage::from)?;
        self.policies = image.policies().clone();
        self.image = image;
        self.own = Some(found.identity);
        let mut tail = found.is_writable.then(|| Tail::new(found, first_bytes, whole_bytes, chain));
        // Nobody was promised what is torn, and the next line must not be glued to it.
        self.tail = tail.take_if(|tail| tail.file.set_len(whole_bytes).is_ok());
        Ok(Some(state))
    }

    /// Appends what the disk lacks; `false` if only a new file will do.
    fn append(&mut self, state: &DesiredState, extent: &Extent) -> io::Result<bool> {
        let records = self.image.missing(state, &self.policies, extent);
        if cfg!(debug_assertions) && self.fault.is_none() {
            let all = self.image.missing(state, &self.policies, &Extent::All);
            assert_eq!(records, all, "what was touched is not all that is missing");
        }
        let is_sound = self.fault.is_none() && self.own.is_some();
        if records.is_empty() && is_sound {
            return Ok(true);
        }
        let Some(tail) = &mut self.tail else { return Ok(false) };
        self.line.clear();
        // After many changes at once.
        self.line.shrink_to(MAX_IDLE);
        let mut chain = tail.chain;
        chain.batch(&records, &mut self.line)?;
        let bytes = tail.bytes.saturating_add(self.line.len() as u64);
        if bytes > MAX_BYTES {
            return Ok(false);
        }
        if let Err(error) = tail.file.write_all(&self.line) {
            // If this fails as well, a restart drops the torn line, and nothing is appended to it.
            let _ = tail.file.set_len(tail.bytes);
            return Err(error);
        }
        if self.place.identity() != self.own {
            // Someone has moved or removed it: what we wrote cannot be found.
            return Ok(false);
        }
        (tail.bytes, tail.chain) = (bytes, chain);
        records.into_iter().try_for_each(|record| self.image.apply(record)).map_err(io::Error::other)?;
        Ok(true)
    }

    fn write_anew(&mut self, image: Image) -> io::Result<()> {
        self.tail = None;
        self.tail = Some(self.replace(&image)?);
        self.image = image;
        Ok(())
    }

    /// Puts a new file in place.
    fn replace(&mut self, image: &Image) -> io::Result<Tail> {
        let (text, chain) = format::write(&self.owner, image)?;
        let bytes = text.len() as u64;
        if bytes > MAX_BYTES {
            return Err(io::Error::from_raw_os_error(nix::libc::EFBIG));
        }
        self.place.make_dir()?;
        if self.place.identity().is_some_and(|there| self.own != Some(there)) {
            let aside = self.place.set_aside()?;
            let why = self.damage.take().map_or_else(|| "it is not ours".to_owned(), |damage| damage.to_string());
            warn!(file = %aside.display(), why, "what lay in the place of the saved state is set aside, unused");
        }
        let found = self.place.replace(&text)?;
        self.own = Some(found.identity);
        Ok(Tail::new(found, bytes, bytes, chain))
    }
}

impl Tail {
    fn new(found: Found, first_bytes: u64, bytes: u64, chain: Chain) -> Self {
        let compact_at = COMPACT_FROM.max(first_bytes.saturating_mul(COMPACT_FACTOR));
        Self { file: found.file, bytes, chain, compact_at }
    }
}

/// Why a file was not read.
enum Refused {
    InUse,
    Damaged(Damage),
}

impl<E: Into<Damage>> From<E> for Refused {
    fn from(damage: E) -> Self {
        Self::Damaged(damage.into())
    }
}

#[cfg(test)]
#[path = "saved/tests.rs"]
mod tests;
