//! Bytes on their way to a peer.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// A queue of encoded frames. Whoever has something to say appends to it; one task writes it out, all that has
/// gathered at a time.
#[derive(Debug)]
pub(super) struct Outbox {
    frames: Mutex<Frames>,
    ready: Notify,
    /// What was being written has been.
    written: Notify,
    limit: usize,
}

#[derive(Debug, Default)]
struct Frames {
    waiting: Vec<u8>,
    /// Bytes taken to be written: they wait for the peer as well.
    writing: usize,
}

impl Frames {
    const fn len(&self) -> usize {
        self.waiting.len() + self.writing
    }
}

/// The peer does not read: more bytes wait than the limit allows.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

impl Outbox {
    pub(super) fn new(limit: usize) -> Self {
        Self { frames: Mutex::default(), ready: Notify::new(), written: Notify::new(), limit }
    }

    /// Lets `encode` append whole frames.
    pub(super) fn push(&self, encode: impl FnOnce(&mut Vec<u8>)) -> Result<(), Full> {
        let mut frames = self.frames();
        encode(&mut frames.waiting);
        let is_full = frames.len() > self.limit;
        drop(frames);
        self.ready.notify_one();
        if is_full { Err(Full) } else { Ok(()) }
    }

    /// Waits until there is something to write, and takes all of it; what was taken before has been written. `spent` is an
    /// emptied buffer to go on with.
    pub(super) async fn take(&self, spent: Vec<u8>) -> Vec<u8> {
        let mut spent = Some(spent);
        self.frames().writing = 0;
        self.written.notify_waiters();
        loop {
            if let Some(frames) = self.try_take(&mut spent) {
                return frames;
            }
            self.ready.notified().await;
        }
    }

    /// Waits while more than `most` bytes wait for the peer.
    pub(super) async fn room(&self, most: usize) {
        loop {
            let written = self.written.notified();
            if self.frames().len() <= most {
                return;
            }
            written.await;
        }
    }

    /// Bytes that wait for the peer.
    pub(super) fn len(&self) -> usize {
        self.frames().len()
    }

    /// Takes what is there now.
    pub(super) fn take_now(&self) -> Vec<u8> {
        std::mem::take(&mut self.frames().waiting)
    }

    fn try_take(&self, spent: &mut Option<Vec<u8>>) -> Option<Vec<u8>> {
        let mut frames = self.frames();
        if frames.waiting.is_empty() {
            return None;
        }
        frames.writing = frames.waiting.len();
        Some(std::mem::replace(&mut frames.waiting, spent.take().unwrap_or_default()))
    }

    fn frames(&self) -> MutexGuard<'_, Frames> {
        self.frames.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_being_written_counts_too() {
        let outbox = Outbox::new(10);
        let push = |bytes: usize| outbox.push(|out| out.resize(out.len() + bytes, 0));
        assert_eq!(push(8), Ok(()));
        assert_eq!(outbox.take(Vec::new()).await.len(), 8);
        assert_eq!(push(2), Ok(()));
        assert_eq!(push(1), Err(Full));
        assert_eq!(outbox.take(Vec::new()).await.len(), 3, "the first is written");
        assert_eq!(push(7), Ok(()));
    }

    #[tokio::test]
    async fn room_comes_when_something_has_been_written() {
        let outbox = Outbox::new(100);
        outbox.push(|out| out.resize(8, 0)).unwrap();
        outbox.room(8).await;
        let written = async {
            outbox.take(Vec::new()).await;
            tokio::task::yield_now().await;
            outbox.push(|out| out.resize(1, 0)).unwrap();
            outbox.take(Vec::new()).await
        };
        assert_eq!(tokio::join!(outbox.room(7), written).1.len(), 1);
    }
}
