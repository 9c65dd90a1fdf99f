//! Deadlines: of times that users choose, and of what may not be due at all.

use std::time::Duration;

use tokio::time::Instant;

/// The end of a time from now on, which may be as long as there is.
pub fn after(time: Duration) -> Instant {
    // 136 years are as good as more.
    let now = Instant::now();
    now.checked_add(time).unwrap_or_else(|| now + Duration::from_secs(u32::MAX.into()))
}

/// Waits for `deadline`; for ever, if there is none.
pub async fn reached(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
