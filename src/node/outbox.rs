//! Bytes on their way to a peer.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// A queue of encoded frames. Whoever has something to say appends to it; one task writes it out, all that has
/// gathered at a time.
#[derive(Debug)]
pub(super) struct Outbox {
    frames: Mutex<Frames>,
    ready: Notify,
    /// The task that writes is at work, and looks here again before it waits.
    is_attended: AtomicBool,
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
        Self {
            frames: Mutex::default(),
            ready: Notify::new(),
            is_attended: AtomicBool::new(false),
            written: Notify::new(),
            limit,
        }
    }

    /// Lets `encode` append whole frames.
    pub(super) fn push(&self, encode: impl FnOnce(&mut Vec<u8>)) -> Result<(), Full> {
        let mut frames = self.frames();
        encode(&mut frames.waiting);
        let is_full = frames.len() > self.limit;
        drop(frames);
        if !self.is_attended.load(SeqCst) {
            self.ready.notify_one();
        }
        if is_full { Err(Full) } else { Ok(()) }
    }

    /// Takes all that there is to write; what was taken before has been written. `spent` is an emptied buffer to go on with.
    pub(super) fn take(&self, spent: &mut Vec<u8>) -> Option<Vec<u8>> {
        let mut frames = self.frames();
        let (written, waiting) = (frames.writing, frames.waiting.len());
        frames.writing = waiting;
        let taken = (waiting > 0).then(|| std::mem::replace(&mut frames.waiting, std::mem::take(spent)));
        drop(frames);
        if written > 0 {
            self.written.notify_waiters();
        }
        taken
    }

    /// The task that writes is at work: until it is [`ready`](Self::ready) to wait again, it need not be woken.
    pub(super) fn attend(&self) {
        self.is_attended.store(true, SeqCst);
    }

    /// For [`Self::ready`].
    pub(super) fn notified(&self) -> Notified<'_> {
        self.ready.notified()
    }

    /// Waits until there is something to take. `notified` lasts from one time to the next: to begin to wait costs more than
    /// to write a reply.
    pub(super) async fn ready<'a>(&'a self, mut notified: Pin<&mut Notified<'a>>) {
        std::future::poll_fn(|cx| {
            // First this, then the look: whoever appends something in between wakes us.
            self.is_attended.store(false, SeqCst);
            while self.frames().waiting.is_empty() {
                std::task::ready!(notified.as_mut().poll(cx));
                notified.set(self.notified());
            }
            Poll::Ready(())
        })
        .await;
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
        assert_eq!(outbox.take(&mut Vec::new()).unwrap().len(), 8);
        assert_eq!(push(2), Ok(()));
        assert_eq!(push(1), Err(Full));
        assert_eq!(outbox.take(&mut Vec::new()).unwrap().len(), 3, "the first is written");
        assert_eq!(push(7), Ok(()));
    }

    #[tokio::test]
    async fn who_attends_looks_and_who_waits_is_woken() {
        let outbox = Outbox::new(100);
        let push = || outbox.push(|out| out.push(0)).unwrap();
        let mut notified = std::pin::pin!(outbox.notified());
        let mut spent = Vec::new();
        outbox.attend();
        push();
        let patience = std::time::Duration::from_millis(20);
        assert!(tokio::time::timeout(patience, outbox.ready.notified()).await.is_err(), "woken for nothing");
        outbox.ready(notified.as_mut()).await;
        assert!(outbox.take(&mut spent).is_some());
        assert!(tokio::time::timeout(patience, outbox.ready(notified.as_mut())).await.is_err(), "ready for nothing");
        for _ in 0..2 {
            let later = async {
                tokio::task::yield_now().await;
                push();
            };
            tokio::join!(outbox.ready(notified.as_mut()), later);
            assert!(outbox.take(&mut spent).is_some());
        }
        assert!(tokio::time::timeout(patience, outbox.ready(notified.as_mut())).await.is_err());
    }

    #[tokio::test]
    async fn room_comes_when_something_has_been_written() {
        let outbox = Outbox::new(100);
        outbox.push(|out| out.resize(8, 0)).unwrap();
        outbox.room(8).await;
        let written = async {
            outbox.take(&mut Vec::new());
            tokio::task::yield_now().await;
            outbox.push(|out| out.resize(1, 0)).unwrap();
            outbox.take(&mut Vec::new())
        };
        assert_eq!(tokio::join!(outbox.room(7), written).1.unwrap().len(), 1);
    }
}
