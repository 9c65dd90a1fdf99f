//! Deadlines: of times that users choose, and of what may not be due at all.

use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// The end of a time from now on, which may be as long as there is.
pub fn after(time: Duration) -> Instant {
    // 136 years are as good as more.
    let now = Instant::now();
    now.checked_add(time).unwrap_or_else(|| now + Duration::from_secs(u32::MAX.into()))
}

/// An alarm for a loop that is most often woken by something else: set once, it stays set until the deadline is another.
#[derive(Debug)]
pub struct Alarm {
    sleep: Pin<Box<Sleep>>,
    is_set: bool,
}

impl Alarm {
    /// One that is not set. Needs a tokio runtime with time.
    #[must_use]
    pub fn new() -> Self {
        Self { sleep: Box::pin(tokio::time::sleep_until(Instant::now())), is_set: false }
    }

    /// As [`reached`].
    pub async fn reached(&mut self, deadline: Option<Instant>) {
        let Some(deadline) = deadline else { return std::future::pending().await };
        if !self.is_set || self.sleep.deadline() != deadline {
            self.sleep.as_mut().reset(deadline);
            self.is_set = true;
        }
        self.sleep.as_mut().await;
        self.is_set = false;
    }
}

/// Waits for `deadline`; for ever, if there is none.
pub async fn reached(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
