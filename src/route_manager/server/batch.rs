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

/// How long a batch of questions and repetitions is let grow.
const GROWTH: Duration = Duration::from_micros(30);

/// Whether to let a batch grow. A BEAM with many callers writes a packet for each reply that wakes one of them, if the replies
/// come one by one; if they come together, so do the next calls. It pays only if we had nothing to do before, and if more
/// calls do come: where they did not, it is not tried again so soon.
#[derive(Debug, Default)]
pub(super) struct Growth {
    ended: Option<Instant>,
    was_idle: bool,
    /// Batches that are not let grow.
    to_skip: u32,
    /// The next time that nothing has come, so many.
    penalty: u32,
}

impl Growth {
    /// After less than that since the last batch, we are what others wait for.
    const IDLE: Duration = Duration::from_micros(5);
    const MAX_PENALTY: u32 = 1024;

    /// A batch begins.
    fn begin(&mut self, now: Instant) {
        self.was_idle = self.ended.is_none_or(|ended| now.saturating_duration_since(ended) >= Self::IDLE);
    }

    /// A batch has ended.
    fn end(&mut self, now: Instant) {
        self.ended = Some(now);
    }

    /// Whether to wait with so many calls.
    fn is_worth_it(&mut self, calls: usize) -> bool {
        if calls < 2 || !self.was_idle {
            return false;
        }
        let is_skipped = self.to_skip > 0;
        self.to_skip = self.to_skip.saturating_sub(1);
        !is_skipped
    }

    /// So many calls there were before and after.
    fn learn(&mut self, before: usize, after: usize) {
        let has_paid = after >= before.saturating_mul(2);
        self.penalty = if has_paid { 0 } else { self.penalty.saturating_mul(2).clamp(1, Self::MAX_PENALTY) };
        self.to_skip = self.penalty;
    }
}

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
        self.growth.begin(Instant::now());
        let is_settled = !self.is_dirty && self.steering.is_settled();
        self.is_dirty |= self.kernel.look() || self.kernel.wants_retry();
        if is_settled {
            self.ahead += self.kernel.act_as_rehearsed(&self.state, self.steering.ranking());
        }
        self.is_dirty |= self.kernel.pass(Instant::now());
        self.end_grace_times();
        self.gather(first).await;
        // Whatever changes a route is never put off.
        if !self.is_dirty && self.growth.is_worth_it(self.waiting_calls()) {
            self.grow().await;
        }
        self.commit();
        if self.after.is_due {
            // The writers come first.
            others_turn().await;
        }
        self.follow_up();
        self.kernel.rehearse(&self.state, self.steering.ranking(), Instant::now());
        self.growth.end(Instant::now());
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
    async fn grow(&mut self) {
        let waiting = self.waiting_calls();
        // The whole thread: a timer of the runtime is thirty times as long, and to look again and again is what costs.
        std::thread::sleep(GROWTH);
        tokio::task::yield_now().await;
        self.slice(None);
        self.growth.learn(waiting, self.waiting_calls());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_is_given_up_where_nobody_comes() {
        let mut growth = Growth::default();
        assert!(!growth.is_worth_it(2), "nothing has begun");
        growth.begin(Instant::now());
        assert!(!growth.is_worth_it(1), "nobody else waits");
        let mut tries = 0;
        for _ in 0..5000 {
            if growth.is_worth_it(2) {
                tries += 1;
                growth.learn(2, 3);
            }
        }
        assert!((10..20).contains(&tries), "{tries}");
        growth.learn(2, 4);
        assert!(growth.is_worth_it(2), "it has paid");
    }

    #[test]
    fn nobody_waits_for_us_to_wait() {
        let (mut growth, now) = (Growth::default(), Instant::now());
        growth.end(now);
        growth.begin(now + Growth::IDLE / 2);
        assert!(!growth.is_worth_it(9));
        growth.begin(now + Growth::IDLE);
        assert!(growth.is_worth_it(9));
    }
}
