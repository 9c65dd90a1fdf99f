//! Deadlines of times that users choose.

use std::time::Duration;

use tokio::time::Instant;

/// The end of a time from now on, which may be as long as there is.
pub(super) fn after(time: Duration) -> Instant {
    // 136 years are as good as more.
    let now = Instant::now();
    now.checked_add(time).unwrap_or_else(|| now + Duration::from_secs(u32::MAX.into()))
}
