//! A process: a pid, names, and a mailbox that some task reads.

use eetf::{Pid, Term};

use super::Node;
use super::mailbox::{Inbox, mailbox};
use super::message::Message;
use super::state::EndSignal;
use crate::dist::Control;
use crate::term::atom;

/// A process of the node. When it is dropped, its monitors and links hear `noproc`; see [`Process::exit`].
#[derive(Debug)]
pub struct Process {
    node: Node,
    id: u32,
    pid: Pid,
    inbox: Inbox,
}

impl Node {
    /// Makes a process; the caller is its body.
    #[must_use]
    pub fn spawn(&self) -> Process {
        let (mailbox, inbox) = mailbox(self.inner.config.mailbox_limit);
        let id = self.state().add_process(mailbox);
        Process { node: self.clone(), id, pid: self.pid(id), inbox }
    }
}

impl Process {
    /// The pid.
    #[must_use]
    pub const fn pid(&self) -> &Pid {
        &self.pid
    }

    /// Registers the process as `name`; says whether the name was free. A process may have several names.
    pub fn register(&self, name: &str) -> bool {
        self.node.state().register(name, self.id)
    }

    /// Takes on the calls of `rpc` and `erpc` for `module`: they arrive as [`Message::Apply`].
    pub fn export(&self, module: &str) {
        self.node.state().export(module, self.id);
    }

    /// Asks for [`Message::NodeUp`] and [`Message::NodeDown`], of hidden nodes too.
    pub fn monitor_nodes(&self) {
        self.node.state().monitor_nodes(self.id);
    }

    /// The next message.
    pub async fn receive(&mut self) -> Option<Message> {
        self.inbox.receive().await
    }

    /// The next message, if one is waiting.
    pub fn try_receive(&mut self) -> Option<Message> {
        self.inbox.try_receive()
    }

    /// Ends the process: links and monitors get `reason`.
    pub fn exit(self, reason: &Term) {
        self.end(reason);
    }

    fn end(&self, reason: &Term) {
        let signals = self.node.state().end_process(self.id);
        for signal in signals {
            signal.send(&self.pid, reason);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // After `exit` nobody is left to be told.
        self.end(&atom("noproc"));
    }
}

impl EndSignal {
    fn send(self, ended: &Pid, reason: &Term) {
        match self {
            Self::Down { connection, target, to, reference } => {
                let flags = connection.peer.flags;
                let (control, payload) = Control::monitor_exit(flags, target, to, reference, reason.clone());
                connection.send(&control, payload.as_ref());
            }
            Self::Exit { connection, to } => {
                let (control, payload) = Control::exit(connection.peer.flags, ended.clone(), to, reason.clone());
                connection.send(&control, payload.as_ref());
            }
        }
    }
}
