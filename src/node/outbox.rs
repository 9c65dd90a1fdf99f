//! Bytes on their way to a peer.

use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

/// A queue of encoded frames. Whoever has something to say appends to it; one task writes it out, all that has
/// gathered at a time.
#[derive(Debug)]
pub(super) struct Outbox {
    frames: Mutex<Vec<u8>>,
    ready: Notify,
    /// Everything that waited has been taken.
    taken: Notify,
    limit: usize,
}

/// The peer does not read: more bytes wait than the limit allows.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

impl Outbox {
    pub(super) fn new(limit: usize) -> Self {
        Self { frames: Mutex::default(), ready: Notify::new(), taken: Notify::new(), limit }
    }

    /// Lets `encode` append whole frames.
    pub(super) fn push(&self, encode: impl FnOnce(&mut Vec<u8>)) -> Result<(), Full> {
        let mut frames = self.frames.lock().unwrap_or_else(PoisonError::into_inner);
        encode(&mut frames);
        let is_full = frames.len() > self.limit;
        drop(frames);
        self.ready.notify_one();
        if is_full { Err(Full) } else { Ok(()) }
    }

    /// Waits until there is something to write, and takes all of it; `spent` is an emptied buffer to go on with.
    pub(super) async fn take(&self, spent: Vec<u8>) -> Vec<u8> {
        let mut spent = Some(spent);
        loop {
            if let Some(frames) = self.try_take(&mut spent) {
                return frames;
            }
            self.ready.notified().await;
        }
    }

    /// Waits while more than `most` bytes wait to be taken.
    pub(super) async fn room(&self, most: usize) {
        loop {
            let taken = self.taken.notified();
            if self.frames.lock().unwrap_or_else(PoisonError::into_inner).len() <= most {
                return;
            }
            taken.await;
        }
    }

    /// Takes what is there now.
    pub(super) fn take_now(&self) -> Vec<u8> {
        std::mem::take(&mut self.frames.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn try_take(&self, spent: &mut Option<Vec<u8>>) -> Option<Vec<u8>> {
        let mut frames = self.frames.lock().unwrap_or_else(PoisonError::into_inner);
        if frames.is_empty() {
            return None;
        }
        let full = std::mem::replace(&mut *frames, spent.take().unwrap_or_default());
        drop(frames);
        self.taken.notify_waiters();
        Some(full)
    }
}
