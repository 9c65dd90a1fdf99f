//! Room for as many open files as the limits of the configuration let others have.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tracing::{debug, warn};

use crate::config::Limits;

/// A connection has its socket twice: to read and write, and for its options.
const FILES_PER_CONNECTION: usize = 2;

/// Addresses that a node listens on, mostly fewer.
const LISTENERS: usize = 4;

/// What else is open: netlink, journal, log, epmd, timers.
const OWN: usize = 64;

/// Raises the limit on open files (`RLIMIT_NOFILE`) to what `limits` may need. Shells and service managers give 1,024 and
/// leave the rest to ask for, as programs that use `select(2)` can do with no more.
pub(super) fn make_room(limits: &Limits) {
    let wanted = [
        limits.connections.saturating_mul(FILES_PER_CONNECTION),
        limits.half_open.saturating_mul(LISTENERS),
        limits.epmd.names,
        limits.epmd.seats,
        OWN,
    ];
    let wanted = u64::try_from(wanted.into_iter().fold(0, usize::saturating_add)).unwrap_or(u64::MAX);
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return };
    if soft >= wanted {
        return;
    }
    if hard < wanted {
        warn!(allowed = hard, wanted, "fewer files may be open than the limits on connections need (ulimit -n)");
    }
    match setrlimit(Resource::RLIMIT_NOFILE, wanted.min(hard), hard) {
        Ok(()) => debug!(from = soft, to = wanted.min(hard), "limit on open files"),
        Err(error) => warn!(%error, "cannot raise the limit on open files"),
    }
}
