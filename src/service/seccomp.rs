//! `--seccomp`: the system calls that the daemon makes once it has started, and no others (`seccomp(2)`).
//!
//! A list of what is allowed, in [`calls`], because nobody can list what is dangerous. Everything else is `EPERM` and not
//! death: a libc that one day makes another call is then an operation that fails and says so, and not a device
//! without its routes. With code of their own in the process, intruders gain nothing by being told.
//!
//! The filter sees numbers, not what pointers point to: neither paths nor addresses. Files may be opened to read and to
//! append, which is all that the saved state needs, but whose files, that is up to the user and its capabilities.

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod calls;

use crate::config::Seccomp;

/// Why system calls are not filtered.
#[derive(Debug, thiserror::Error)]
pub enum SeccompError {
    /// There are no filters for this processor.
    #[error("seccomp: there is no filter for this machine ({}), only for x86_64 and aarch64", std::env::consts::ARCH)]
    Machine,
    /// The kernel, or what already confines us, does not let us.
    #[error("seccomp: the filter cannot be set: {0}")]
    Refused(String),
}

/// Filters the calls of all threads from now on, of those to come as well. Once only.
///
/// # Errors
/// [`SeccompError`]; then the daemon must not go on.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub(super) fn filter(mode: Seccomp) -> Result<(), SeccompError> {
    if mode == Seccomp::Off {
        return Ok(());
    }
    for program in calls::programs(mode).map_err(|error| SeccompError::Refused(error.to_string()))? {
        seccompiler::apply_filter_all_threads(&program).map_err(|error| SeccompError::Refused(error.to_string()))?;
    }
    tracing::debug!(?mode, "system calls are filtered");
    Ok(())
}

/// As there are none, off only.
///
/// # Errors
/// [`SeccompError::Machine`].
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(super) fn filter(mode: Seccomp) -> Result<(), SeccompError> {
    if mode == Seccomp::Off { Ok(()) } else { Err(SeccompError::Machine) }
}
