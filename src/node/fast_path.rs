//! Calls and casts that are answered where they come in, without a turn of the process that they are for.

use super::mailbox::Mailbox;
use super::message::FlatMessage;

/// Answers for a process what needs none of its turns: to wake it costs more than most answers.
///
/// It is asked only while the process waits in [`receive`](super::Process::receive) with nothing in its mailbox, so nothing
/// is overtaken. It must not wait; nor may its end come back to the node, which drops it under its lock.
pub trait FastPath: std::fmt::Debug + Send + Sync + 'static {
    /// Answers all of them, or gives them back, for the mailbox.
    fn answer(&self, messages: FlatMessage) -> Option<FlatMessage>;
}

/// A process that takes calls and casts flat.
#[derive(Debug)]
pub(super) struct FlatTaker {
    pub id: u32,
    pub mailbox: Mailbox,
    pub fast_path: Box<dyn FastPath>,
}

impl FlatTaker {
    /// Answers without the process; gives back what it has to see.
    pub(super) fn answer(&self, messages: FlatMessage) -> Option<FlatMessage> {
        if self.mailbox.is_awaited() { self.fast_path.answer(messages) } else { Some(messages) }
    }
}
