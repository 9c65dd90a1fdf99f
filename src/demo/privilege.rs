//! The right to make network namespaces: root's, or a user namespace of our own.
//!
//! The user namespace maps our own user and group to themselves, so files keep their owners; what is gained is
//! capabilities over the network namespaces that are made inside. The process stays in the host's network namespace.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getegid, geteuid};

/// This machine does not let us make network namespaces; the sentence says what to do.
#[derive(Debug, thiserror::Error)]
#[error("cannot make a private network namespace ({why}): {remedy}")]
pub struct NotAllowed {
    why: String,
    remedy: &'static str,
}

impl NotAllowed {
    pub(super) fn because(why: impl ToString) -> Self {
        Self { why: why.to_string(), remedy: remedy() }
    }
}

/// Sees to it that this process may make network namespaces. To be called before there is any other thread: a user
/// namespace can only be entered alone.
///
/// # Errors
/// [`NotAllowed`], if neither root nor the kernel lets us.
pub fn acquire() -> Result<()> {
    if has_capabilities() {
        return Ok(());
    }
    let (user, group) = (geteuid(), getegid());
    unshare(CloneFlags::CLONE_NEWUSER).map_err(NotAllowed::because)?;
    // Without the first, an unprivileged process may not write the last (user_namespaces(7)).
    for (file, text) in [
        ("setgroups", "deny".into()),
        ("uid_map", format!("{user} {user} 1")),
        ("gid_map", format!("{group} {group} 1")),
    ] {
        fs::write(Path::new("/proc/self").join(file), text)
            .with_context(|| format!("cannot write /proc/self/{file}"))?;
    }
    Ok(())
}

/// Whether we have all that is needed: a root in a container may not.
fn has_capabilities() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok()).unwrap_or_default();
    effective & NEEDED == NEEDED
}

/// What stands in the way, of the things that are known to.
fn remedy() -> &'static str {
    let says = |file: &str, value: &str| fs::read_to_string(file).is_ok_and(|text| text.trim() == value);
    if says("/proc/sys/kernel/unprivileged_userns_clone", "0") {
        "run it as root, or let users make namespaces: sysctl -w kernel.unprivileged_userns_clone=1"
    } else if says("/proc/sys/user/max_user_namespaces", "0") {
        "run it as root, or let users make namespaces: sysctl -w user.max_user_namespaces=10000"
    } else if says("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1") {
        "run it as root, or let users make namespaces: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
    } else {
        "run it as root; in a container, one that has CAP_SYS_ADMIN, CAP_NET_ADMIN and CAP_NET_RAW (--privileged)"
    }
}

/// `CAP_NET_ADMIN`, `CAP_NET_RAW`, `CAP_SYS_ADMIN` (`include/uapi/linux/capability.h`).
const NEEDED: u64 = 1 << 12 | 1 << 13 | 1 << 21;
