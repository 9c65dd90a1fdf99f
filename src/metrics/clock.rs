//! The time, read where it is read anyway, and remembered: a call's receipt costs no reading of its own.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
/// Nanoseconds from [`BEGIN`] to the last reading.
static LAST: AtomicU64 = AtomicU64::new(0);

/// Reads the clock.
pub fn read() -> Instant {
    let now = Instant::now();
    if super::is_on() {
        let since = now.saturating_duration_since(*BEGIN).as_nanos();
        LAST.store(u64::try_from(since).unwrap_or(u64::MAX), Relaxed);
    }
    now
}

/// Reads the clock if anybody wants to know.
pub fn tick() {
    if super::is_on() {
        read();
    }
}

/// When it was last read, in nanoseconds from some time on.
pub(super) fn last() -> u64 {
    LAST.load(Relaxed)
}
