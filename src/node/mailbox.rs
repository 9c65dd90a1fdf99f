//! A process's mailbox: bounded for what peers send, never in the way of what the node itself tells.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::message::Message;

/// A message and its place; news of the node's own take none.
type Entry = (Message, Option<OwnedSemaphorePermit>);

/// The end that senders hold.
#[derive(Debug, Clone)]
pub(super) struct Mailbox {
    queue: mpsc::UnboundedSender<Entry>,
    places: Arc<Semaphore>,
}

/// The end that the process holds.
#[derive(Debug)]
pub(super) struct Inbox {
    queue: mpsc::UnboundedReceiver<Entry>,
    places: Arc<Semaphore>,
}

/// A mailbox in which `limit` messages may wait.
pub(super) fn mailbox(limit: usize) -> (Mailbox, Inbox) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let places = Arc::new(Semaphore::new(limit.min(Semaphore::MAX_PERMITS)));
    (Mailbox { queue: sender, places: Arc::clone(&places) }, Inbox { queue: receiver, places })
}

impl Mailbox {
    /// Waits for a place. Gives the message back if the process has ended.
    pub(super) async fn send(&self, message: Message) -> Option<Message> {
        match Arc::clone(&self.places).acquire_owned().await {
            Ok(place) => self.queue.send((message, Some(place))).err().map(|returned| returned.0.0),
            Err(_) => Some(message),
        }
    }

    /// Tells the process something without waiting, in its order among the messages. Only for what no peer can send at
    /// will: there is no limit here.
    pub(super) fn tell(&self, news: Message) {
        // A process that has ended needs none.
        let _ = self.queue.send((news, None));
    }
}

impl Inbox {
    pub(super) async fn receive(&mut self) -> Option<Message> {
        self.queue.recv().await.map(|(message, _place)| message)
    }

    pub(super) fn try_receive(&mut self) -> Option<Message> {
        self.queue.try_recv().ok().map(|(message, _place)| message)
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.places.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::term::atom;

    #[tokio::test(start_paused = true)]
    async fn m12_news_never_wait_and_keep_their_order() {
        let (mailbox, mut inbox) = mailbox(1);
        assert!(mailbox.send(Message::Info(atom("first"))).await.is_none());
        let second = tokio::time::timeout(std::time::Duration::from_secs(1), mailbox.send(Message::Info(atom("x"))));
        assert!(second.await.is_err(), "a full mailbox makes senders wait");
        for node in ["a@h", "b@h"] {
            mailbox.tell(Message::Info(atom(node)));
        }
        assert!(matches!(inbox.receive().await, Some(Message::Info(_))));
        assert!(mailbox.send(Message::Info(atom("last"))).await.is_none());
        for node in ["a@h", "b@h"] {
            assert!(matches!(inbox.try_receive(), Some(Message::Info(news)) if news == atom(node)));
        }
        drop(inbox);
        assert!(mailbox.send(Message::Info(atom("late"))).await.is_some());
    }
}
