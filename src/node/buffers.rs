//! Where connections read into: buffers that they have only while there is something in them.

use std::future::Future as _;
use std::io;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use bytes::BytesMut;

use super::transport::ReadHalf;

/// How much is read at once at least, if there is so much.
pub(super) const READ_SIZE: usize = 16 << 10;

/// How many wait for the next reader.
const SPARE: usize = 4;

/// Spare buffers of a node. Nearly all its connections are quiet at any time: to have one of their own would be most of
/// what they take.
#[derive(Debug, Default)]
pub(super) struct Buffers(Mutex<Vec<BytesMut>>);

impl Buffers {
    /// Appends what comes in next; 0 at its end. While it waits with an empty buffer, others have that. `heard` counts the bytes
    /// since there was nothing to read.
    pub(super) async fn fill(
        &self,
        read: &mut ReadHalf,
        buffer: &mut BytesMut,
        heard: &mut usize,
    ) -> io::Result<usize> {
        std::future::poll_fn(|cx| {
            if buffer.capacity() == 0 {
                *buffer = self.spare().pop().unwrap_or_default();
            }
            buffer.reserve(READ_SIZE);
            let polled = pin!(read.read_buf(buffer)).poll(cx);
            match &polled {
                Poll::Ready(read) => *heard += read.as_ref().map_or(0, |more| *more),
                Poll::Pending => {
                    *heard = 0;
                    if buffer.is_empty() {
                        self.give_back(std::mem::take(buffer));
                    }
                }
            }
            polled
        })
        .await
    }

    fn give_back(&self, buffer: BytesMut) {
        let mut spare = self.spare();
        if spare.len() < SPARE && buffer.capacity() <= READ_SIZE {
            spare.push(buffer);
        }
    }

    fn spare(&self) -> MutexGuard<'_, Vec<BytesMut>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
