//! The process itself, under the names that all exporters have for it.

use std::fs;
use std::sync::LazyLock;
use std::time::SystemTime;

use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage};
use nix::sys::time::TimeValLike as _;

static STARTED: LazyLock<f64> = LazyLock::new(|| {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    since.as_secs_f64()
});

/// What the system says of us; what it keeps to itself is `None`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Process {
    /// Bytes in memory.
    pub resident: Option<u64>,
    /// Bytes of address space.
    pub virtual_memory: Option<u64>,
    /// Seconds of CPU, of user and system.
    pub cpu: Option<f64>,
    /// Seconds since 1970 at its start.
    pub start: Option<f64>,
    /// Open files.
    pub open_files: Option<u64>,
    /// As many may be open.
    pub max_files: Option<u64>,
}

impl Process {
    /// Notes the time of the start. Not from `/proc/stat`, which a service manager may hide (`ProcSubset=pid`).
    pub fn started() {
        LazyLock::force(&STARTED);
    }

    /// Looks.
    #[must_use]
    pub fn look() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        Self {
            resident: kib(&status, "VmRSS:"),
            virtual_memory: kib(&status, "VmSize:"),
            cpu: cpu(),
            start: Some(*STARTED),
            open_files: open_files(),
            max_files: getrlimit(Resource::RLIMIT_NOFILE).ok().map(|(soft, _)| soft),
        }
    }
}

/// A line of `status` with a number of KiB.
fn kib(status: &str, key: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
}

#[allow(clippy::cast_precision_loss, reason = "microseconds, of years at most")]
fn cpu() -> Option<f64> {
    let usage = getrusage(UsageWho::RUSAGE_SELF).ok()?;
    let micros = usage.user_time().num_microseconds().checked_add(usage.system_time().num_microseconds())?;
    Some(micros as f64 / 1e6)
}

fn open_files() -> Option<u64> {
    let open = fs::read_dir("/proc/self/fd").ok()?.count();
    // One of them was for looking.
    u64::try_from(open.saturating_sub(1)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process() {
        Process::started();
        let before = Process::look();
        let file = fs::File::open("/proc/self/status").unwrap();
        let process = Process::look();
        drop(file);
        assert!(process.resident.unwrap() > 100_000 && process.virtual_memory > process.resident, "{process:?}");
        assert!(process.open_files.unwrap() > 3 && process.open_files <= process.max_files, "{process:?}");
        assert!(process.cpu >= before.cpu && process.start == before.start, "{process:?}");
        assert_eq!(kib("VmRSS:\t    5 kB\n", "VmRSS:"), Some(5120));
    }
}
