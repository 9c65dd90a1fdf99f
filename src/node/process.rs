//! Processes: a mailbox, what arrives in it, and how to answer.

use std::sync::Arc;

use eetf::{Atom, Pid, Reference, Term};
use tokio::sync::mpsc;

use super::Node;
use super::connection::Connection;
use super::rpc::Spawned;
use super::state::EndSignal;
use crate::dist::Control;
use crate::term::{as_atom, atom, list, tuple};

/// What arrives in a mailbox, in the order in which it was sent by each peer.
#[derive(Debug)]
pub enum Message {
    /// `gen_server:call`.
    Call(Caller, Term),
    /// `gen_server:cast`, and who sent it, if the peer said so.
    Cast(Option<Pid>, Term),
    /// `Module:Function(Args)` by `rpc` or `erpc`, for a module that the process exports.
    Apply {
        /// Who waits for the result.
        caller: Caller,
        /// The module, as exported with [`Process::export`].
        module: Atom,
        /// The function.
        function: Atom,
        /// The arguments.
        args: Vec<Term>,
    },
    /// A system message of `sys`: `get_state`, `{terminate, Reason}` and their like.
    System(Caller, Term),
    /// Any other message.
    Info(Term),
    /// A node came up; only after [`Process::monitor_nodes`].
    NodeUp(String),
    /// A node went down; only after [`Process::monitor_nodes`].
    NodeDown(String),
}

/// A process of the node. When it is dropped, its monitors and links hear `noproc`; see [`Process::exit`].
#[derive(Debug)]
pub struct Process {
    node: Node,
    id: u32,
    pid: Pid,
    mailbox: mpsc::Receiver<Message>,
}

impl Node {
    /// Makes a process; the caller is its body.
    #[must_use]
    pub fn spawn(&self) -> Process {
        let (sender, mailbox) = mpsc::channel(self.inner.config.mailbox_limit);
        let id = self.state().add_process(sender);
        Process { node: self.clone(), id, pid: self.pid(id), mailbox }
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
        self.mailbox.recv().await
    }

    /// The next message, if one is waiting.
    pub fn try_receive(&mut self) -> Option<Message> {
        self.mailbox.try_recv().ok()
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

/// How a call or an applied function ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// It returned.
    Value(Term),
    /// It failed, `error:Reason`, with a stack trace.
    Error(Term, Term),
    /// It called `exit(Reason)`.
    Exit(Term),
}

impl Answer {
    /// What Erlang gives for a function that does not exist.
    #[must_use]
    pub fn undef(module: &Atom, function: &Atom, args: &[Term]) -> Self {
        Self::error("undef", module, function, args)
    }

    /// `error:Reason` raised by `Module:Function(Args)`.
    #[must_use]
    pub fn error(reason: &str, module: &Atom, function: &Atom, args: &[Term]) -> Self {
        let frame = tuple([module.clone().into(), function.clone().into(), list(args), list([])]);
        Self::Error(atom(reason), list([frame]))
    }
}

/// Someone who waits for an answer. Dropping it answers nothing: a `gen_server:call` then runs into its time-out.
#[derive(Debug)]
pub struct Caller {
    pub(super) connection: Arc<Connection>,
    pub(super) us: Pid,
    pub(super) to: ReplyTo,
}

/// The forms of waiting.
#[derive(Debug)]
pub(super) enum ReplyTo {
    /// `gen_server:call`: `{Tag, Reply}`.
    Gen { pid: Pid, tag: Term },
    /// A gen call to `rex`: the result as `rpc:call` gives it.
    RexGen { pid: Pid, tag: Term },
    /// A plain message to `rex`: `{rex, Result}`.
    Rex { pid: Pid },
    /// A spawned process whose end is the answer.
    Spawned(Spawned),
}

impl Caller {
    /// The node of the caller.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.connection.peer.name
    }

    /// The calling process.
    #[must_use]
    pub const fn pid(&self) -> &Pid {
        match &self.to {
            ReplyTo::Gen { pid, .. } | ReplyTo::RexGen { pid, .. } | ReplyTo::Rex { pid } => pid,
            ReplyTo::Spawned(spawned) => spawned.parent(),
        }
    }

    /// Answers. The bytes go out when the task that answers next waits, all that have gathered in one write.
    pub fn reply(self, answer: Answer) {
        match self.to {
            ReplyTo::Gen { pid, tag } => {
                // A process that answers a gen_server call with an error has no other way than a value.
                let value = match answer {
                    Answer::Value(value) => value,
                    Answer::Error(reason, _) | Answer::Exit(reason) => tuple([atom("error"), reason]),
                };
                reply_gen(&self.connection, self.us, pid, tag, value);
            }
            ReplyTo::RexGen { pid, tag } => reply_gen(&self.connection, self.us, pid, tag, rpc_result(answer)),
            ReplyTo::Rex { pid } => {
                let message = tuple([atom("rex"), rpc_result(answer)]);
                let control = Control::send(self.connection.peer.flags, self.us, pid);
                self.connection.send(&control, Some(&message));
            }
            ReplyTo::Spawned(spawned) => spawned.end(&self.connection, answer),
        }
    }
}

/// What `rpc:call` makes of an answer (`rpc.erl`, OTP 25).
fn rpc_result(answer: Answer) -> Term {
    let badrpc = |reason| tuple([atom("badrpc"), tuple([atom("EXIT"), reason])]);
    match answer {
        Answer::Value(value) => value,
        Answer::Error(reason, stack) => badrpc(tuple([reason, stack])),
        Answer::Exit(reason) => badrpc(reason),
    }
}

/// `gen:reply/2`: to the alias that the tag holds if both sides know aliases, to the pid otherwise.
fn reply_gen(connection: &Connection, us: Pid, pid: Pid, tag: Term, value: Term) {
    let flags = connection.peer.flags;
    let control = match alias_of(&tag) {
        Some(alias) if flags.contains(crate::dist::Flags::ALIAS) => Control::AliasSend { from: us, alias },
        _ => Control::send(flags, us, pid),
    };
    connection.send(&control, Some(&tuple([tag, value])));
}

/// The alias in `[alias | Ref]` or `[[alias | Ref] | _]` (`gen.erl`).
pub(super) fn alias_of(tag: &Term) -> Option<Reference> {
    let Term::ImproperList(tag) = tag else { return None };
    match (tag.elements.as_slice(), &*tag.last) {
        ([head], Term::Reference(alias)) if as_atom(head) == Some("alias") => Some((**alias).clone()),
        ([inner @ Term::ImproperList(_)], _) => alias_of(inner),
        _ => None,
    }
}
