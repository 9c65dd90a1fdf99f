//! A process's mailbox: bounded for what peers send, never in the way of what the node itself tells.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::task::{Context, Poll};

use eetf::Term;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use super::message::{Message, NodeNews};
use super::net_kernel::NodeEvent;

/// A message and its place.
type Entry = (Message, Place);

/// What a message takes of the room in a mailbox.
#[derive(Debug)]
enum Place {
    /// Some of the places for what peers send; free again when this is dropped.
    Sent { _permit: OwnedSemaphorePermit },
    /// One of the places for news of nodes.
    News,
    /// None: it was asked for, or it is the last one.
    None,
}

/// The end that senders hold.
#[derive(Debug, Clone)]
pub(super) struct Mailbox {
    queue: mpsc::UnboundedSender<Entry>,
    shared: Arc<Shared>,
}

/// The end that the process holds.
#[derive(Debug)]
pub(super) struct Inbox {
    queue: mpsc::UnboundedReceiver<Entry>,
    shared: Arc<Shared>,
    /// What has to come next.
    next: Option<Message>,
}

#[derive(Debug)]
struct Shared {
    places: Arc<Semaphore>,
    news: Mutex<News>,
    limit: usize,
    /// How many places each connection has for itself, instead of those that all share.
    share: Option<usize>,
    /// Why the process has ended.
    ended: OnceLock<Term>,
    /// The process does nothing but wait for what comes next.
    is_awaited: AtomicBool,
    /// Messages put in and not yet taken out.
    waiting: AtomicUsize,
}

#[derive(Debug, Default)]
struct News {
    waiting: usize,
    missed: u64,
}

/// What a connection may have in mailboxes in which each connection has a share.
#[derive(Debug, Default)]
pub(super) struct Shares(Vec<(Weak<Shared>, Arc<Semaphore>)>);

impl Shares {
    fn of(&mut self, mailbox: &Arc<Shared>, share: usize) -> Arc<Semaphore> {
        let is_it = |(known, _): &&(Weak<Shared>, _)| known.as_ptr() == Arc::as_ptr(mailbox);
        if let Some((_, places)) = self.0.iter().find(is_it) {
            return Arc::clone(places);
        }
        self.0.retain(|(known, _)| known.strong_count() > 0);
        let places = Arc::new(Semaphore::new(share));
        self.0.push((Arc::downgrade(mailbox), Arc::clone(&places)));
        places
    }
}

/// Of so many bytes a message takes one place.
const BYTES_IN_A_PLACE: usize = 4096;

/// A mailbox in which `limit` messages of peers (or one entry of several) may wait, or `share` of each connection; and `limit` news of nodes.
pub(super) fn mailbox(limit: usize, share: Option<usize>) -> (Mailbox, Inbox) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let (limit, share) = (limit.clamp(1, Semaphore::MAX_PERMITS), share.map(|share| share.clamp(1, limit.max(1))));
    let places = Arc::new(Semaphore::new(limit));
    let shared = Arc::new(Shared {
        places,
        news: Mutex::default(),
        limit,
        share,
        ended: OnceLock::new(),
        is_awaited: AtomicBool::new(false),
        waiting: AtomicUsize::new(0),
    });
    (Mailbox { queue: sender, shared: Arc::clone(&shared) }, Inbox { queue: receiver, shared, next: None })
}

impl Shared {
    fn news(&self) -> MutexGuard<'_, News> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Mailbox {
    /// Waits for places, or until `closed`: what a connection has brought, in so many `bytes`, is delivered before its end
    /// (M8). Gives the message back if the process has ended.
    pub(super) async fn send(
        &self,
        message: Message,
        bytes: usize,
        shares: &mut Shares,
        closed: &CancellationToken,
    ) -> Option<Message> {
        let (places, wanted) = self.places(&message, bytes, shares);
        let place = tokio::select! {
            biased;
            place = places.acquire_many_owned(wanted) => match place {
                Ok(permit) => Place::Sent { _permit: permit },
                Err(_) => return Some(message),
            },
            () = closed.cancelled() => Place::None,
        };
        self.put(message, place)
    }

    /// As [`Mailbox::send`], if there are places now; otherwise, or if the process has ended, gives the message back.
    pub(super) fn try_send(&self, message: Message, bytes: usize, shares: &mut Shares) -> Option<Message> {
        let (places, wanted) = self.places(&message, bytes, shares);
        let Ok(permit) = places.try_acquire_many_owned(wanted) else { return Some(message) };
        self.put(message, Place::Sent { _permit: permit })
    }

    /// The places for a message, and how many of them it takes.
    fn places(&self, message: &Message, bytes: usize, shares: &mut Shares) -> (Arc<Semaphore>, u32) {
        let (places, most) = match self.shared.share {
            Some(share) => (shares.of(&self.shared, share), share),
            None => (Arc::clone(&self.shared.places), self.shared.limit),
        };
        (places, u32::try_from((message.count() + bytes / BYTES_IN_A_PLACE).min(most)).unwrap_or(u32::MAX))
    }

    /// Tells the process something without waiting, in its order among the messages. Only for what no peer can send at
    /// will: there is no limit here. Gives the message back if the process has ended.
    pub(super) fn tell(&self, message: Message) -> Option<Message> {
        self.put(message, Place::None)
    }

    /// Gives the message back if the process has ended.
    fn put(&self, message: Message, place: Place) -> Option<Message> {
        self.shared.waiting.fetch_add(1, SeqCst);
        self.queue.send((message, place)).err().map(|returned| returned.0.0)
    }

    /// Whether the process has done all that came, and waits for more.
    pub(super) fn is_awaited(&self) -> bool {
        // In this order: what is taken out ends the waiting first.
        self.shared.waiting.load(SeqCst) == 0 && self.shared.is_awaited.load(SeqCst)
    }

    /// Tells of a node without waiting. News that find no room are counted, and the process hears how many it has missed
    /// in their place (M12).
    pub(super) fn tell_news(&self, event: NodeEvent, news: NodeNews) {
        let mut waiting = self.shared.news();
        if waiting.waiting >= self.shared.limit {
            waiting.missed += 1;
            return;
        }
        if waiting.missed > 0 {
            let lagged = Message::Lagged(std::mem::take(&mut waiting.missed));
            self.put(lagged, Place::None);
        }
        waiting.waiting += 1;
        let message = match event {
            NodeEvent::NodeUp => Message::NodeUp(news),
            NodeEvent::NodeDown(_) => Message::NodeDown(news),
        };
        // A process that has ended needs none.
        self.put(message, Place::News);
    }

    /// Ends the process: it receives nothing any more.
    pub(super) fn end(&self, reason: Term) {
        let _ = self.shared.ended.set(reason);
        self.shared.places.close();
        // Only to wake it.
        self.put(Message::Lagged(0), Place::None);
    }
}

impl Inbox {
    /// The next message; `None` when the process has been ended.
    pub(super) fn receive(&mut self) -> Receive<'_> {
        Receive(self)
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        if self.ended().is_some() {
            return Poll::Ready(None);
        }
        match self.next.take() {
            Some(next) => Poll::Ready(Some(next)),
            None => self.queue.poll_recv(cx).map(|entry| self.taken(entry?)),
        }
    }

    pub(super) fn try_receive(&mut self) -> Option<Message> {
        if self.ended().is_some() {
            return None;
        }
        match self.next.take() {
            Some(next) => Some(next),
            None => {
                let entry = self.queue.try_recv().ok()?;
                self.taken(entry)
            }
        }
    }

    /// Why the process has ended.
    pub(super) fn ended(&self) -> Option<&Term> {
        self.shared.ended.get()
    }

    fn taken(&mut self, (message, place): Entry) -> Option<Message> {
        self.shared.is_awaited.store(false, SeqCst);
        self.shared.waiting.fetch_sub(1, SeqCst);
        if matches!(place, Place::News) {
            let mut news = self.shared.news();
            news.waiting -= 1;
            // Those that found no room came after all that waited.
            if news.waiting == 0 && news.missed > 0 {
                self.next = Some(Message::Lagged(std::mem::take(&mut news.missed)));
            }
        }
        self.ended().is_none().then_some(message)
    }
}

/// The process waits for its next message.
#[derive(Debug)]
pub(super) struct Receive<'a>(&'a mut Inbox);

impl Future for Receive<'_> {
    type Output = Option<Message>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let polled = self.0.poll_receive(cx);
        self.0.shared.is_awaited.store(polled.is_pending(), SeqCst);
        polled
    }
}

impl Drop for Receive<'_> {
    fn drop(&mut self) {
        self.0.shared.is_awaited.store(false, SeqCst);
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.shared.places.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::NodedownReason;
    use crate::term::{atom, integer};

    fn news(node: &str) -> NodeNews {
        NodeNews { node: node.to_owned(), ..NodeNews::default() }
    }

    /// Polls once.
    async fn is_pending(mut future: Pin<&mut Receive<'_>>) -> bool {
        std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_pending())).await
    }

    fn is_info(message: Option<&Message>, text: &str) -> bool {
        matches!(message, Some(Message::Info(info)) if *info == atom(text))
    }

    #[tokio::test(start_paused = true)]
    async fn m12_news_never_wait_and_keep_their_order() {
        let ((mailbox, mut inbox), closed) = (mailbox(1, None), CancellationToken::new());
        let send =
            async |text: &str| mailbox.send(Message::Info(atom(text)), 100, &mut Shares::default(), &closed).await;
        assert!(send("first").await.is_none());
        let second = tokio::time::timeout(std::time::Duration::from_secs(1), send("x"));
        assert!(second.await.is_err(), "a full mailbox makes senders wait");
        mailbox.tell_news(NodeEvent::NodeUp, news("a@h"));
        assert!(is_info(inbox.receive().await.as_ref(), "first"));
        assert!(send("last").await.is_none());
        assert!(matches!(inbox.try_receive(), Some(Message::NodeUp(news)) if news.node == "a@h"));
        assert!(is_info(inbox.try_receive().as_ref(), "last"));
        drop(inbox);
        assert!(send("late").await.is_some());
    }

    #[test]
    fn m12_news_without_room_are_counted_where_they_are_missing() {
        let (mailbox, mut inbox) = mailbox(2, None);
        let down = NodeEvent::NodeDown(NodedownReason::ConnectionClosed);
        for node in ["a@h", "b@h", "c@h", "d@h"] {
            mailbox.tell_news(NodeEvent::NodeUp, news(node));
        }
        assert!(matches!(inbox.try_receive(), Some(Message::NodeUp(news)) if news.node == "a@h"));
        mailbox.tell_news(down, news("a@h"));
        let rest: Vec<_> = std::iter::from_fn(|| inbox.try_receive()).collect();
        let [Message::NodeUp(up), Message::Lagged(2), Message::NodeDown(down)] = rest.as_slice() else {
            panic!("{rest:?}")
        };
        assert_eq!((up.node.as_str(), down.node.as_str()), ("b@h", "a@h"));
    }

    #[test]
    fn m12_what_was_missed_last_is_told_too() {
        let (mailbox, mut inbox) = mailbox(1, None);
        for node in ["a@h", "b@h"] {
            mailbox.tell_news(NodeEvent::NodeUp, news(node));
        }
        assert!(matches!(inbox.try_receive(), Some(Message::NodeUp(_))));
        assert!(matches!(inbox.try_receive(), Some(Message::Lagged(1))));
        assert!(inbox.try_receive().is_none());
    }

    #[tokio::test]
    async fn a_process_that_was_ended_receives_nothing_more() {
        let ((mailbox, mut inbox), closed) = (mailbox(2, None), CancellationToken::new());
        mailbox.tell(Message::Info(integer(1)));
        mailbox.end(atom("killed"));
        assert!(inbox.receive().await.is_none() && inbox.try_receive().is_none());
        assert_eq!(inbox.ended(), Some(&atom("killed")));
        assert!(mailbox.send(Message::Info(integer(2)), 100, &mut Shares::default(), &closed).await.is_some());
    }

    #[tokio::test]
    async fn m8_what_a_closed_connection_had_brought_is_delivered() {
        let ((mailbox, mut inbox), closed) = (mailbox(1, None), CancellationToken::new());
        assert!(mailbox.send(Message::Info(integer(1)), 100, &mut Shares::default(), &closed).await.is_none());
        closed.cancel();
        assert!(mailbox.send(Message::Info(integer(2)), 100, &mut Shares::default(), &closed).await.is_none());
        assert_eq!(std::iter::from_fn(|| inbox.try_receive()).count(), 2);
    }

    #[tokio::test]
    async fn a_process_is_awaited_until_something_is_in_its_mailbox_or_it_does_something_else() {
        let (mailbox, mut inbox) = mailbox(2, None);
        assert!(!mailbox.is_awaited(), "it does not receive yet");
        {
            let mut receive = std::pin::pin!(inbox.receive());
            assert!(is_pending(receive.as_mut()).await && mailbox.is_awaited());
            mailbox.tell(Message::Info(integer(1)));
            assert!(!mailbox.is_awaited(), "it has yet to take the message");
            assert!(receive.await.is_some());
        }
        assert!(!mailbox.is_awaited(), "it has the message in hand");
        assert!(is_pending(std::pin::pin!(inbox.receive())).await && !mailbox.is_awaited(), "it gave up waiting");
    }

    #[tokio::test(start_paused = true)]
    async fn each_connection_has_its_share() {
        let ((mailbox, mut inbox), closed) = (mailbox(100, Some(2)), CancellationToken::new());
        let (mut flood, mut other) = (Shares::default(), Shares::default());
        let patience = std::time::Duration::from_secs(1);
        let full = async {
            for n in 0.. {
                mailbox.send(Message::Info(integer(n)), 100, &mut flood, &closed).await;
            }
        };
        assert!(tokio::time::timeout(patience, full).await.is_err(), "a share is not more than that");
        assert!(mailbox.send(Message::Info(atom("other")), 100, &mut other, &closed).await.is_none());
        let taken: Vec<_> = std::iter::from_fn(|| inbox.try_receive()).collect();
        assert_eq!(taken.len(), 3);
        assert!(is_info(taken.last(), "other"));
    }

    #[tokio::test(start_paused = true)]
    async fn large_messages_take_several_places() {
        let ((mailbox, mut inbox), closed) = (mailbox(4, None), CancellationToken::new());
        let mut shares = Shares::default();
        let patience = std::time::Duration::from_secs(1);
        assert!(mailbox.send(Message::Info(integer(1)), 2 * 4096, &mut shares, &closed).await.is_none());
        let larger = mailbox.send(Message::Info(integer(2)), 4096, &mut shares, &closed);
        assert!(tokio::time::timeout(patience, larger).await.is_err());
        assert!(inbox.try_receive().is_some());
        let largest = mailbox.send(Message::Info(integer(3)), usize::MAX, &mut shares, &closed);
        assert!(tokio::time::timeout(patience, largest).await.is_ok(), "a message alone is taken, however large");
    }
}
