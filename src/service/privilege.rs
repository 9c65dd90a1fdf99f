//! What the daemon may do: as much as it needs to start, then `CAP_NET_ADMIN`.
//!
//! ```text
//! restrict: no new privileges, no bounding, ambient and inheritable set; the user is looked up
//! (threads may start, and the namespace is entered, sockets are opened, the cookie is read)
//! give_up: the state directory handed over, the user changed, all capabilities but one dropped
//! ```
//!
//! Capabilities and `no_new_privs` belong to a thread and are inherited by those that it starts (`capabilities(7)`,
//! `prctl(2)`). So [`Privileges::restrict`] comes before there is a second thread, and a thread that starts before
//! [`Privileges::give_up`] is started by [`Privileges::without`]. The user is changed by libc in all threads at once
//! (`nptl(7)`), which ends the program if one of them may not: that is why those keep what this needs, until then.

use std::collections::HashSet;
use std::ffi::CString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::{Path, PathBuf};
use std::thread;

use caps::{CapSet, Capability, CapsHashSet};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::libc::{O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK};
use nix::sys::prctl;
use nix::unistd::{
    AccessFlags, Gid, Uid, User, faccessat, getegid, geteuid, getgrouplist, setgroups, setresgid, setresuid,
};
use tracing::debug;

use crate::route_manager::Journal;

/// Why the daemon's privileges are not what they should be.
#[derive(Debug, thiserror::Error)]
pub enum PrivilegeError {
    /// `--user` names nobody.
    #[error("user: there is no user {0} on this machine")]
    NoSuchUser(String),
    /// Others cannot change their user.
    #[error("user: only root can become {0}; start beamroute as root, or as {0} with CAP_NET_ADMIN")]
    NotRoot(String),
    /// The user would have to do without its state.
    #[error(
        "the user {user} cannot use the state directory {} ({why}); give it to that user (chown -R {user}), or choose \
         another one with --state-dir", dir.display()
    )]
    StateDir {
        /// The user.
        user: String,
        /// The directory.
        dir: PathBuf,
        /// What the system said.
        why: io::Error,
    },
    /// The system did not let us have less.
    #[error("cannot {doing}: {source}")]
    Refused {
        /// What was being done.
        doing: &'static str,
        /// Why not.
        source: io::Error,
    },
}

/// What is to be given up once all is open that needs it.
#[derive(Debug)]
pub struct Privileges {
    user: Option<Target>,
}

/// The user to become, and its groups.
#[derive(Debug)]
struct Target {
    name: String,
    uid: Uid,
    gid: Gid,
    groups: Vec<Gid>,
}

impl Privileges {
    /// Gives up what no start needs, and looks `user` up. To be called before there is any other thread.
    ///
    /// # Errors
    /// [`PrivilegeError`], if there is no such user, or we cannot become it.
    pub fn restrict(user: Option<&str>) -> Result<Self, PrivilegeError> {
        let user = user.map(Target::find).transpose()?.flatten();
        prctl::set_no_new_privs().map_err(refused("set no_new_privs"))?;
        // Each needs a privilege that a daemon which was started without root has not; nor can it use what is left.
        for capability in caps::all() {
            let _ = caps::drop(None, CapSet::Bounding, capability);
        }
        // Kernels before 4.3 have none.
        let _ = caps::clear(None, CapSet::Ambient);
        caps::clear(None, CapSet::Inheritable).map_err(|error| odd("clear the inheritable capabilities", &error))?;
        Ok(Self { user })
    }

    /// Does `work`, which may start threads, with as good as no capabilities: what those threads are born with.
    ///
    /// # Errors
    /// [`PrivilegeError::Refused`].
    pub fn without<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, PrivilegeError> {
        let kept: &[Capability] = match self.user {
            // With the user, these go too.
            Some(_) => &[Capability::CAP_SETUID, Capability::CAP_SETGID],
            None => &[],
        };
        let restricted = || keep_only(kept).map(|()| work());
        thread::scope(|scope| {
            let thread = thread::Builder::new().name("privileges".into()).spawn_scoped(scope, restricted);
            let thread = thread.map_err(|source| PrivilegeError::Refused { doing: "start a thread", source })?;
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Becomes the user that was asked for, and keeps `CAP_NET_ADMIN` alone, on this thread and those that it starts.
    ///
    /// # Errors
    /// [`PrivilegeError`]; then the daemon must not go on.
    pub fn give_up(self, state_dir: &Path) -> Result<(), PrivilegeError> {
        let (uid, gid) = self.user.as_ref().map_or((geteuid(), getegid()), |user| (user.uid, user.gid));
        // What another user's daemon has left is root's as well, without the capabilities that overrule modes.
        let handed_over =
            if geteuid().is_root() { hand_over(state_dir, uid, gid, self.user.is_some()) } else { Ok(()) };
        if let Err(error) = &handed_over {
            debug!(dir = %state_dir.display(), %error, "the state directory stays as it is");
        }
        if let Some(user) = &self.user {
            user.become_it()?;
        }
        keep_only(&[Capability::CAP_NET_ADMIN])?;
        // What nobody can write is no reason not to start, with or without another user: the journal says so.
        let is_read_only = handed_over.is_err_and(|error| error.kind() == io::ErrorKind::ReadOnlyFilesystem);
        if let Some(user) = self.user.as_ref().filter(|_| !is_read_only) {
            user.check_access(state_dir)?;
        }
        let has_bounds = caps::read(None, CapSet::Bounding).map_or(true, |set| !set.is_empty());
        let bounding = if has_bounds { "as found" } else { "empty" };
        let user = self.user.map_or_else(|| uid.to_string(), |user| user.name);
        debug!(user, capabilities = "CAP_NET_ADMIN", bounding, no_new_privs = true, "privileges given up");
        Ok(())
    }
}

impl Target {
    /// `None` if we are that user already.
    fn find(name: &str) -> Result<Option<Self>, PrivilegeError> {
        let found = User::from_name(name).map_err(refused("look the user up"))?;
        let user = found.ok_or_else(|| PrivilegeError::NoSuchUser(name.to_owned()))?;
        if user.uid == geteuid() {
            return Ok(None);
        }
        if !geteuid().is_root() {
            return Err(PrivilegeError::NotRoot(name.to_owned()));
        }
        let name_for_libc = CString::new(name).map_err(|_| PrivilegeError::NoSuchUser(name.to_owned()))?;
        let groups = getgrouplist(&name_for_libc, user.gid).map_err(refused("look up the user's groups"))?;
        Ok(Some(Self { name: name.to_owned(), uid: user.uid, gid: user.gid, groups }))
    }

    /// The groups first: who is not root any more cannot change them.
    fn become_it(&self) -> Result<(), PrivilegeError> {
        // Else a change of user clears all capabilities. Not inherited, and not needed again.
        prctl::set_keepcaps(true).map_err(refused("keep capabilities over a change of user"))?;
        setgroups(&self.groups).map_err(refused("take on the user's groups"))?;
        setresgid(self.gid, self.gid, self.gid).map_err(refused("take on the user's group"))?;
        setresuid(self.uid, self.uid, self.uid).map_err(refused("become the user"))?;
        prctl::set_keepcaps(false).map_err(refused("keep capabilities no longer"))
    }

    /// Whether the user may use the directory, if it is there.
    fn check_access(&self, dir: &Path) -> Result<(), PrivilegeError> {
        let all = AccessFlags::R_OK | AccessFlags::W_OK | AccessFlags::X_OK;
        match faccessat(AT_FDCWD, dir, all, AtFlags::AT_EACCESS) {
            Ok(()) | Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(()),
            Err(errno) => {
                Err(PrivilegeError::StateDir { user: self.name.clone(), dir: dir.to_path_buf(), why: errno.into() })
            }
        }
    }
}

/// Gives the user a state directory that has nothing but our files, with these, unless others can write there; makes it
/// first if need be.
fn hand_over(dir: &Path, uid: Uid, gid: Gid, makes: bool) -> io::Result<()> {
    if makes {
        make(dir)?;
    } else if !dir.exists() {
        return Ok(());
    }
    let opened = open(dir, O_DIRECTORY)?;
    let names = fs::read_dir(dir)?.map(|entry| entry.map(|entry| entry.file_name())).collect::<io::Result<Vec<_>>>()?;
    let about = opened.metadata()?;
    let (uid, gid) = (uid.as_raw(), gid.as_raw());
    if about.uid() != uid {
        if about.mode() & 0o022 != 0 || !names.iter().all(|name| Journal::is_ours(name)) {
            return Ok(());
        }
        fchown(&opened, Some(uid), Some(gid))?;
    }
    for name in names.iter().filter(|name| Journal::is_ours(name)) {
        let file = open(&dir.join(name), O_NONBLOCK)?;
        let about = file.metadata()?;
        // Not what bears another name as well, elsewhere: whoever had the directory could have linked it.
        if about.is_file() && about.nlink() == 1 && about.uid() != uid {
            fchown(&file, Some(uid), Some(gid))?;
        }
    }
    Ok(())
}

/// Others must get through to the last one, which is for its owner only.
fn make(dir: &Path) -> io::Result<()> {
    if let Some(parent) = dir.parent() {
        fs::create_dir_all(parent)?;
    }
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Not through a symbolic link.
fn open(path: &Path, flags: i32) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(flags | O_NOFOLLOW).open(path)
}

/// Of the calling thread.
fn keep_only(wanted: &[Capability]) -> Result<(), PrivilegeError> {
    let doing = "give up capabilities";
    let permitted = caps::read(None, CapSet::Permitted).map_err(|error| odd(doing, &error))?;
    let kept: CapsHashSet = wanted.iter().copied().collect::<HashSet<_>>().intersection(&permitted).copied().collect();
    // In this order: what is effective must be permitted.
    for set in [CapSet::Effective, CapSet::Permitted] {
        caps::set(None, set, &kept).map_err(|error| odd(doing, &error))?;
    }
    Ok(())
}

fn refused(doing: &'static str) -> impl Fn(Errno) -> PrivilegeError {
    move |errno| PrivilegeError::Refused { doing, source: errno.into() }
}

fn odd(doing: &'static str, error: &caps::errors::CapsError) -> PrivilegeError {
    PrivilegeError::Refused { doing, source: io::Error::other(error.to_string()) }
}
