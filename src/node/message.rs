//! What arrives in a mailbox, and how to answer it.
//!
//! The forms are those of `gen.erl`, `sys.erl` and `erpc.erl` (the same in OTP 25, 27, 29).

use std::sync::Arc;

use eetf::{Atom, Pid, Reference, Term};

use super::NodeInfo;
use super::connection::Connection;
use crate::dist::{Control, Flags, Target};
use crate::term::{as_atom, as_tuple, atom, list, tuple};

/// What arrives in a mailbox, in the order in which it was sent by each peer.
#[derive(Debug)]
pub enum Message {
    /// `gen_server:call`.
    Call(Caller, Term),
    /// `gen_server:cast`.
    Cast(Sender, Term),
    /// `Module:Function(Args)` by `rpc` or `erpc`, for a module that the process exports.
    Apply {
        /// Who waits for the result.
        caller: Caller,
        /// The module, as exported with [`export`](super::Process::export).
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
    /// A node came up; only after [`monitor_nodes`](super::Process::monitor_nodes).
    NodeUp(NodeInfo),
    /// A node went down; only after [`monitor_nodes`](super::Process::monitor_nodes).
    NodeDown {
        /// Which node.
        node: NodeInfo,
        /// Why, in the words of `net_kernel:monitor_nodes/2`: `connection_closed` and the like.
        reason: &'static str,
    },
}

/// Who sent something. The node is the one at the other end of the connection; the pid is what it claims.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sender {
    /// The node.
    pub node: String,
    /// The process, if the peer named it.
    pub pid: Option<Pid>,
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

    /// Who calls.
    #[must_use]
    pub fn sender(&self) -> Sender {
        let pid = match &self.to {
            ReplyTo::Gen { pid, .. } | ReplyTo::RexGen { pid, .. } | ReplyTo::Rex { pid } => pid,
            ReplyTo::Spawned(spawned) => &spawned.parent,
        };
        Sender { node: self.node().to_owned(), pid: Some(pid.clone()) }
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
        Some(alias) if flags.contains(Flags::ALIAS) => Control::AliasSend { from: us, alias },
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

/// Flags of `SPAWN_REPLY`.
pub(super) const LINKED: i64 = 1;
pub(super) const MONITORED: i64 = 2;

/// A process that exists only until its function has returned.
#[derive(Debug)]
pub(super) struct Spawned {
    pub us: Pid,
    pub parent: Pid,
    pub reference: Reference,
    pub flags: i64,
    /// `Res` of `erpc:execute_call/4`: tags the outcome in the exit reason.
    pub result: Option<Term>,
}

impl Spawned {
    /// Ends the process: its exit reason carries the answer to whoever linked or monitored.
    pub(super) fn end(self, connection: &Connection, answer: Answer) {
        let reason = self.exit_reason(answer);
        let flags = connection.peer.flags;
        if self.flags & LINKED != 0 {
            let (control, payload) = Control::exit(flags, self.us.clone(), self.parent.clone(), reason.clone());
            connection.send(&control, payload.as_ref());
        }
        if self.flags & MONITORED != 0 {
            let target = Target::Pid(self.us);
            let (control, payload) = Control::monitor_exit(flags, target, self.parent, self.reference, reason);
            connection.send(&control, payload.as_ref());
        }
    }

    fn exit_reason(&self, answer: Answer) -> Term {
        match (&self.result, answer) {
            (Some(res), Answer::Value(value)) => tuple([res.clone(), atom("return"), value]),
            (Some(res), Answer::Error(reason, stack)) => tuple([res.clone(), atom("error"), reason, stack]),
            (Some(res), Answer::Exit(reason)) => tuple([res.clone(), atom("exit"), reason]),
            (None, Answer::Value(_)) => atom("normal"),
            (None, Answer::Error(reason, stack)) => tuple([reason, stack]),
            (None, Answer::Exit(reason)) => reason,
        }
    }
}

/// Takes apart what `gen` and `sys` wrap.
pub(super) fn to_message(connection: &Arc<Connection>, from: Option<Pid>, us: Pid, payload: Term) -> Message {
    let sender = || Sender { node: connection.peer.name.clone(), pid: from.clone() };
    let Term::Tuple(mut wrapped) = payload else { return Message::Info(payload) };
    let kind = wrapped.elements.first().and_then(as_atom);
    let is_cast = kind == Some("$gen_cast") && wrapped.elements.len() == 2;
    let is_system = kind == Some("system");
    if is_cast {
        return wrapped.elements.pop().map_or(Message::Info(atom("undefined")), |cast| Message::Cast(sender(), cast));
    }
    if !(is_system || kind == Some("$gen_call")) || wrapped.elements.len() != 3 {
        return Message::Info(wrapped.into());
    }
    let Some((pid, tag)) = wrapped.elements.get(1).and_then(from_of) else { return Message::Info(wrapped.into()) };
    let caller = Caller { connection: Arc::clone(connection), us, to: ReplyTo::Gen { pid, tag } };
    match wrapped.elements.pop() {
        Some(request) if is_system => Message::System(caller, request),
        Some(request) => Message::Call(caller, request),
        None => Message::Info(wrapped.into()),
    }
}

/// `{Pid, Tag}` of a gen call.
fn from_of(from: &Term) -> Option<(Pid, Term)> {
    match as_tuple::<2>(from)? {
        [Term::Pid(pid), tag] => Some((pid.clone(), tag.clone())),
        _ => None,
    }
}
