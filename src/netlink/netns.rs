//! Running something in another network namespace while the process stays in its own.
//!
//! A namespace belongs to a thread (`setns(2)`), a socket to the namespace that it was made in. So sockets are made
//! on a short-lived thread that moves there and ends.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::thread;

use nix::errno::Errno;
use nix::sched::{CloneFlags, setns};

use super::NetlinkError;

/// Where `ip netns add` puts the namespaces that have names (`NETNS_RUN_DIR` in iproute2's `ip/ipnetns.c`).
const RUN_DIR: &str = "/run/netns";

/// The file of a namespace given by name or by path: what has a `/` is a path (`/proc/PID/ns/net` too), anything else
/// a name in `/run/netns`.
#[must_use]
pub fn path_of(name_or_path: &Path) -> PathBuf {
    if name_or_path.as_os_str().as_encoded_bytes().contains(&b'/') {
        name_or_path.to_path_buf()
    } else {
        Path::new(RUN_DIR).join(name_or_path)
    }
}

/// Runs `work` in the network namespace `netns`, or right here if there is none to enter. Sockets that it makes stay in
/// that namespace; this process stays in its own.
///
/// # Errors
/// [`NetlinkError::Namespace`] if it cannot be entered, or what `work` says.
pub fn within<T: Send>(
    netns: Option<&Path>,
    work: impl FnOnce() -> Result<T, NetlinkError> + Send,
) -> Result<T, NetlinkError> {
    let Some(name_or_path) = netns else { return work() };
    let path = path_of(name_or_path);
    let enter_and_work = || {
        enter(&path).map_err(|(errno, why)| NetlinkError::Namespace { path: path.clone(), why, errno })?;
        work()
    };
    let why = "the thread that entered it ended early";
    let died = || NetlinkError::Namespace { path: path.clone(), why: why.into(), errno: Errno::ECANCELED as i32 };
    thread::scope(|scope| {
        let thread = thread::Builder::new()
            .name("netns".into())
            .spawn_scoped(scope, enter_and_work)
            .map_err(super::error::socket("start a thread for the network namespace"))?;
        thread.join().unwrap_or_else(|_| Err(died()))
    })
}

/// The error number, and what to do about it.
fn enter(path: &Path) -> Result<(), (i32, String)> {
    let file = File::open(path).map_err(|error| (error.raw_os_error().unwrap_or_default(), error.to_string()))?;
    setns(file, CloneFlags::CLONE_NEWNET).map_err(|errno| {
        let why = match errno {
            Errno::EPERM => "CAP_SYS_ADMIN is missing, here or in the user namespace that owns it (as its owner \
                             without root, start the whole program there: nsenter --user --net)"
                .into(),
            Errno::EINVAL => "this is not a network namespace".into(),
            other => other.to_string(),
        };
        (errno as i32, why)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_live_in_run_netns() {
        assert_eq!(path_of(Path::new("blue")), Path::new("/run/netns/blue"));
        assert_eq!(path_of(Path::new("/proc/1/ns/net")), Path::new("/proc/1/ns/net"));
        assert_eq!(path_of(Path::new("./blue")), Path::new("./blue"));
    }

    #[test]
    fn a_missing_namespace_is_named() {
        let error = within(Some(Path::new("no-such-namespace")), || Ok(())).unwrap_err();
        assert!(error.to_string().contains("/run/netns/no-such-namespace: No such file"), "{error}");
        let error = within(Some(Path::new("/dev/null")), || Ok(())).unwrap_err();
        assert!(error.to_string().contains("/dev/null: "), "{error}");
    }
}
