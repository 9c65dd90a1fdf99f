//! What goes into one batch, and when it ends.

use std::task::Poll;
use std::time::{Duration, Instant};

use super::RouteManager;
use crate::node::Message;

/// What a message costs, in the time that it takes to see that a status is repeated: some 0.3 us.
pub(super) const REPETITION: usize = 1;
/// A wish, folded into the state; any other message too.
pub(super) const WISH: usize = 8;
/// A question, which is answered in full.
pub(super) const QUESTION: usize = 64;

/// Effort in one batch at most, so that a flood of messages cannot put the first replies off for ever.
const MAX_BATCH: usize = 4096 * WISH;

/// Effort after which those who bring more messages have their turn.
const SLICE: usize = 128;

/// How many messages of each connection wait at most.
pub(super) const SHARE: usize = 16;

/// What one slice took.
#[derive(Debug, Clone, Copy, Default)]
struct Taken {
    messages: usize,
    /// Of them, those that nobody waits for.
    unawaited: usize,
}

impl RouteManager {
    /// One batch: all that waits, one commit, the replies.
    pub(super) async fn turn(&mut self, first: Option<Message>) {
        let is_settled = !self.is_dirty && self.steering.is_settled();
        self.is_dirty |= self.kernel.look() || self.kernel.wants_retry();
        if is_settled {
            self.ahead += self.kernel.act_as_rehearsed(&self.state, self.steering.ranking());
        }
        let now = Instant::now();
        self.is_dirty |= self.kernel.pass(now) || self.steering.due().is_some_and(|due| due <= now);
        self.end_grace_times();
        self.gather(first).await;
        let came = self.waiting_calls();
        // Whatever changes a route is not put off.
        let wait = if self.is_dirty { None } else { self.repetitions.growth(|growth| growth.wait(now, came)) };
        if let Some(wait) = wait {
            self.grow(wait).await;
        }
        let calls = self.waiting_calls();
        self.commit();
        if self.after.is_due {
            // The writers come first.
            others_turn().await;
        }
        self.follow_up();
        self.kernel.rehearse(&self.state, self.steering.ranking(), Instant::now());
        self.repetitions.growth(|growth| {
            // Unless a question has had some of them answered already.
            if wait.is_some() && calls >= came {
                growth.grew(came, calls);
            }
            growth.end(Instant::now(), calls);
        });
    }

    /// Takes what waits, and what comes in its place, until those who wait already would wait for others.
    async fn gather(&mut self, first: Option<Message>) {
        let (mut next, mut batch, mut are_many) = (first, 0, false);
        loop {
            let taken = self.slice(next.take());
            batch += self.effort;
            // Somebody may have more than the mailbox takes of it: then all has come when nothing comes any more.
            are_many |= taken.messages >= SHARE;
            let is_all = self.parted.is_empty() && (taken.messages == 0 || !are_many);
            // Or somebody waits, who would wait for the messages of others.
            if is_all || batch >= MAX_BATCH || batch >= SLICE && self.is_awaited_beside(taken.unawaited) {
                return;
            }
            // Those who have more may bring it, and it is one batch with this.
            tokio::task::yield_now().await;
        }
    }

    /// Lets more calls come, and takes them on.
    async fn grow(&mut self, wait: Duration) {
        // The whole thread: to look again and again is what costs.
        std::thread::sleep(wait);
        tokio::task::yield_now().await;
        self.slice(None);
    }

    fn waiting_calls(&self) -> usize {
        self.uncommitted.iter().map(|waiting| waiting.caller.count()).sum()
    }

    /// Answers what is in the mailbox in the end.
    pub(super) async fn finish(&mut self) {
        for _ in 0..MAX_BATCH / SLICE {
            if self.stopped.is_some() {
                return;
            }
            self.turn(None).await;
            // The last slice was not full.
            if self.effort < SLICE {
                return;
            }
        }
    }

    /// Takes what waits, and no more than a slice.
    fn slice(&mut self, first: Option<Message>) -> Taken {
        self.effort = 0;
        let mut taken = Taken::default();
        let mut next = first;
        while self.stopped.is_none() && self.effort < SLICE {
            let parted = self.parted.pop_front().map(Message::Flat);
            let Some(message) = parted.or_else(|| next.take()).or_else(|| self.process.try_receive()) else { break };
            let (waiting, parted, messages) = (self.uncommitted.len(), self.parted.len(), message.count());
            self.message(message);
            if self.parted.len() > parted {
                continue;
            }
            taken.messages += messages;
            taken.unawaited += usize::from(self.uncommitted.len() == waiting);
        }
        taken
    }

    /// Whether callers wait for this batch, and it goes on because of somebody else.
    fn is_awaited_beside(&self, unawaited: usize) -> bool {
        let mut nodes = self.uncommitted.iter().map(|waiting| waiting.caller.node());
        nodes.next().is_some_and(|first| unawaited > 0 || nodes.any(|node| node != first))
    }
}

/// Lets every task that is ready go on once. (`yield_now` would look for new work for them as well.)
async fn others_turn() {
    let mut was_polled = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut was_polled, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
