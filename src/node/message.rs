//! What arrives in a mailbox, and how to answer it.
//!
//! The forms are those of `gen.erl`, `sys.erl` and `erpc.erl` (the same in OTP 25, 27, 29).

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

use eetf::{Atom, ImproperList, Pid, Reference, Term};

use super::channel::Channel;
use super::net_kernel::{MonitorOptions, NodeEvent, NodeType, NodedownReason};
use super::system::system_reply;
use super::{Destination, NodeInfo, Rights};
use crate::dist::{self, Control, Flags, Flat, Target};
use crate::metrics::calls::Meter;
use crate::term::{self, as_atom, as_tuple, atom, list, tuple};

/// What arrives in a mailbox, in the order in which it was sent by each peer.
#[derive(Debug)]
pub enum Message {
    /// `gen_server:call`.
    Call(Caller, Term),
    /// `gen_server:cast`.
    Cast(Sender, Term),
    /// Several of these, not yet decoded; only if the process [takes them flat](super::Process::take_flat).
    Flat(FlatMessage),
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
    /// A process that we [monitored](super::Process::monitor) has ended, is not there, or its node is gone (`noproc`,
    /// `noconnection`).
    Down {
        /// What `monitor` gave.
        reference: Reference,
        /// The process, as it was named then.
        process: Destination,
        /// Why.
        reason: Term,
    },
    /// An exit signal, of a linked process or by `exit/2`; only if the process [traps exits](super::Process::trap_exits).
    Exit {
        /// Who sent it.
        from: Pid,
        /// Why.
        reason: Term,
    },
    /// A node came up; only after [`monitor_nodes`](super::Process::monitor_nodes).
    NodeUp(NodeNews),
    /// A node went down; only after [`monitor_nodes`](super::Process::monitor_nodes).
    NodeDown(NodeNews),
    /// In this place, so many news of nodes found no room in the mailbox
    /// ([`NodeConfig::mailbox_limit`](super::NodeConfig::mailbox_limit)), because the process had not read those before.
    /// [`Node::nodes`](super::Node::nodes) says how things stand.
    Lagged(u64),
}

impl Message {
    /// How many messages it stands for.
    #[must_use]
    pub const fn count(&self) -> usize {
        match self {
            Self::Flat(flat) => flat.count(),
            _ => 1,
        }
    }
}

/// News of a node. What was not asked for is `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeNews {
    /// Its name.
    pub node: String,
    /// Visible or hidden.
    pub node_type: Option<NodeType>,
    /// Why it is down.
    pub nodedown_reason: Option<NodedownReason>,
    /// The same number at nodeup and at nodedown of one connection.
    pub connection_id: Option<u32>,
}

impl NodeNews {
    pub(super) fn new(event: NodeEvent, of: &NodeInfo, options: MonitorOptions) -> Self {
        let node_type = if of.is_visible { NodeType::Visible } else { NodeType::Hidden };
        let reason = match event {
            NodeEvent::NodeDown(reason) => Some(reason),
            NodeEvent::NodeUp => None,
        };
        Self {
            node: of.name.clone(),
            node_type: options.node_type.map(|_| node_type),
            nodedown_reason: reason.filter(|_| options.nodedown_reason),
            connection_id: options.connection_id.then_some(of.connection_id),
        }
    }
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

impl From<Term> for Answer {
    fn from(value: Term) -> Self {
        Self::Value(value)
    }
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

/// Someone who waits for an answer, or several who get the same. Dropping it answers a `gen_server:call` with nothing, so that it runs into its
/// time-out; functions called by `rpc` and `erpc`, which may have none, end as if their process had died (`noproc`).
#[derive(Debug)]
pub struct Caller {
    pub(super) channel: Channel,
    /// The number of the process that was called.
    us: u32,
    /// `None` once it is answered.
    to: Option<To>,
    /// For [`Caller::about`].
    pub(super) meter: Option<Meter>,
}

/// What there is of it, moved from hand to hand: small.
#[derive(Debug)]
enum To {
    /// `gen_server:call`, one or several, not yet decoded.
    Flat(Flat),
    Decoded(Box<ReplyTo>),
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
    /// `rpc:server_call`, to a name: `{Name, Node, Result}`.
    Server { pid: Pid, name: Atom },
    /// A spawned process whose end is the answer.
    Spawned(Spawned),
}

impl ReplyTo {
    const fn pid(&self) -> &Pid {
        match self {
            Self::Gen { pid, .. } | Self::RexGen { pid, .. } | Self::Rex { pid } | Self::Server { pid, .. } => pid,
            Self::Spawned(spawned) => &spawned.parent,
        }
    }

    /// Whether who waits has a time-out, and monitors the process.
    const fn has_timeout(&self) -> bool {
        matches!(self, Self::Gen { .. } | Self::Server { .. })
    }
}

impl Caller {
    /// The node of the caller.
    #[must_use]
    pub fn node(&self) -> &str {
        self.channel.peer()
    }

    /// How many wait.
    #[must_use]
    pub fn count(&self) -> usize {
        match &self.to {
            Some(To::Flat(calls)) => calls.calls(),
            Some(To::Decoded(_)) => 1,
            None => 0,
        }
    }

    /// Who calls; the first, if they are several.
    #[must_use]
    pub fn sender(&self) -> Sender {
        let pid = match &self.to {
            Some(To::Flat(calls)) => calls.first().and_then(|call| call.sender()),
            Some(To::Decoded(to)) => Some(to.pid().clone()),
            None => None,
        };
        Sender { node: self.node().to_owned(), pid }
    }

    /// Answers a system message for a process that is no `gen_server`, and cannot be stopped: `gen_server:stop` then
    /// fails, and does not wait for ever.
    pub(super) fn refuse_system(self, request: &Term) {
        let reply = system_reply(request, self.channel.pid(self.us), || atom("undefined"), false).reply;
        self.reply(reply);
    }

    /// As [`reply`](Self::reply), with a value that is not given away.
    pub fn reply_value(mut self, value: &Term) {
        self.count_value(value);
        match self.to.take() {
            Some(To::Flat(calls)) => self.answer_flat(&calls, value),
            Some(to) => self.answer(to, value.clone().into()),
            None => {}
        }
    }

    /// Answers. The bytes go out when the task that answers next waits, all that have gathered in one write.
    pub fn reply(mut self, answer: impl Into<Answer>) {
        let answer = answer.into();
        self.count_answer(&answer);
        if let Some(to) = self.to.take() {
            self.answer(to, answer);
        }
    }

    fn answer(&self, to: To, answer: Answer) {
        match to {
            To::Flat(calls) => self.answer_flat(&calls, &value_of(answer)),
            To::Decoded(to) => self.answer_decoded(*to, answer),
        }
    }

    fn answer_flat(&self, calls: &Flat, value: &Term) {
        let Some(connection) = self.channel.way() else { return };
        let mut both = Vec::with_capacity(64);
        self.channel.plain_pid(self.us).encode(&mut both);
        let pid = both.len();
        term::encode(value, &mut both);
        let (us, reply) = both.split_at(pid);
        connection.push(|out| {
            for call in calls.iter().filter(|call| call.is_of(&connection.peer.name)) {
                call.reply(connection.peer.flags, us, reply, out);
            }
        });
        // Those that were passed on for callers on other nodes, which are there even if this one is not.
        for call in calls.iter().filter(|call| call.is_call() && !call.is_of(&connection.peer.name)) {
            if let (Some(pid), Some(tag)) = (call.sender(), call.tag()) {
                reply_gen(&self.channel, self.channel.pid(self.us), pid, tag, value.clone());
            }
        }
    }

    fn answer_decoded(&self, to: ReplyTo, answer: Answer) {
        let us = self.channel.pid(self.us);
        match to {
            ReplyTo::Gen { pid, tag } => reply_gen(&self.channel, us, pid, tag, value_of(answer)),
            ReplyTo::RexGen { pid, tag } => reply_gen(&self.channel, us, pid, tag, rpc_result(answer)),
            ReplyTo::Rex { pid } => self.channel.send_to(us, pid, tuple([atom("rex"), rpc_result(answer)])),
            ReplyTo::Server { pid, name } => {
                let node = us.node.clone();
                self.channel.send_to(us, pid, tuple([name.into(), node.into(), value_of(answer)]));
            }
            ReplyTo::Spawned(spawned) => spawned.end(&self.channel, answer),
        }
    }

    /// Who calls with a gen call, and the tag of the reply, for somebody else to answer.
    pub(super) fn into_gen(mut self) -> Option<(Pid, Term)> {
        let Some(To::Decoded(to)) = self.to.take() else { return None };
        match *to {
            ReplyTo::Gen { pid, tag } => Some((pid, tag)),
            _ => None,
        }
    }

    /// Answers never: the function that was called does not return.
    pub(super) fn forget(mut self) {
        self.to = None;
    }

    pub(super) fn new(channel: Channel, us: u32, to: ReplyTo) -> Self {
        Self { channel, us, to: Some(To::Decoded(Box::new(to))), meter: Meter::start() }
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        match self.to.take() {
            None | Some(To::Flat(_)) => {}
            Some(To::Decoded(to)) if to.has_timeout() => {}
            Some(to) => self.answer(to, Answer::Exit(atom("noproc"))),
        }
    }
}

/// Messages that could be [`Message::Call`] or [`Message::Cast`], and lie in the bytes in which they came together; never none.
#[derive(Debug)]
pub struct FlatMessage {
    channel: Channel,
    us: u32,
    flat: Flat,
    meter: Option<Meter>,
}

impl FlatMessage {
    pub(super) fn new(channel: Channel, us: u32, flat: Flat) -> Self {
        Self { channel, us, flat, meter: Meter::start() }
    }

    /// The node at the other end.
    #[must_use]
    pub fn node(&self) -> &str {
        self.channel.peer()
    }

    /// What callers on that node may do.
    #[must_use]
    pub fn rights(&self) -> Rights {
        self.channel.rights()
    }

    /// How many there are.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.flat.len()
    }

    /// How many of them wait for an answer.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.flat.calls()
    }

    /// What is asked, one after the other.
    pub fn requests(&self) -> impl Iterator<Item = dist::Request<'_>> {
        self.flat.iter().map(|call| call.request())
    }

    /// All who wait, for the same answer; nobody, if all are casts.
    #[must_use]
    pub fn into_callers(self) -> Option<Caller> {
        let Self { channel, us, flat, meter } = self;
        let is_awaited = flat.calls() > 0;
        is_awaited.then(|| Caller { channel, us, to: Some(To::Flat(flat)), meter })
    }

    /// Each alone.
    pub fn split(&self) -> impl Iterator<Item = Self> {
        self.flat.split().map(|flat| Self { channel: self.channel.clone(), us: self.us, flat, meter: self.meter })
    }

    /// The messages as everybody else gets them.
    pub fn open(&self) -> impl Iterator<Item = Message> {
        self.split().filter_map(Self::opened)
    }

    fn opened(self) -> Option<Message> {
        let first = self.flat.first()?;
        let (request, pid) = (first.request().to_term(), first.sender());
        let sender = Sender { node: self.node().to_owned(), pid };
        Some(match self.into_callers() {
            Some(caller) => Message::Call(caller, request),
            None => Message::Cast(sender, request),
        })
    }
}

/// A process that answers a call with an error has no other way than a value.
fn value_of(answer: Answer) -> Term {
    match answer {
        Answer::Value(value) => value,
        Answer::Error(reason, _) | Answer::Exit(reason) => tuple([atom("error"), reason]),
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

/// `gen:reply/2`: to the alias that the tag holds if both sides know aliases, to the pid otherwise. The caller may live on
/// another node than the one that has passed its call on.
fn reply_gen(channel: &Channel, us: Pid, pid: Pid, tag: Term, value: Term) {
    channel.reach(&pid.node.name.clone(), move |channel| {
        let flags = channel.flags();
        let control = match alias_of(&tag) {
            Some(alias) if flags.contains(Flags::ALIAS) => Control::alias_send(flags, us, alias),
            _ => Control::send(flags, us, pid),
        };
        channel.send(control, Some(tuple([tag, value])));
    });
}

/// The tag of a call whose reply is to go to an alias: `[alias | Ref]` (`gen.erl`).
pub(super) fn alias_tag(alias: &Reference) -> Term {
    ImproperList { elements: vec![atom("alias")], last: Box::new(alias.clone().into()) }.into()
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
    pub(super) fn end(self, channel: &Channel, answer: Answer) {
        let reason = self.exit_reason(answer);
        let flags = channel.flags();
        if self.flags & LINKED != 0 {
            let (control, payload) = Control::exit(flags, self.us.clone(), self.parent.clone(), reason.clone());
            channel.send(control, payload);
        }
        if self.flags & MONITORED != 0 {
            let target = Target::Pid(self.us);
            let (control, payload) = Control::monitor_exit(flags, target, self.parent, self.reference, reason);
            channel.send(control, payload);
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
pub(super) fn to_message(channel: &Channel, from: Option<Pid>, us: u32, payload: Term) -> Message {
    let sender = || Sender { node: channel.peer().to_owned(), pid: from.clone() };
    let Term::Tuple(mut wrapped) = payload else { return Message::Info(payload) };
    let kind = wrapped.elements.first().and_then(as_atom);
    let is_cast = kind == Some("$gen_cast") && wrapped.elements.len() == 2;
    let is_system = kind == Some("system");
    // `gen_event` calls with the pid of the caller where others have a word.
    let is_call = kind == Some("$gen_call") || is_gen_event_call(&wrapped.elements);
    if is_cast {
        return wrapped.elements.pop().map_or(Message::Info(atom("undefined")), |cast| Message::Cast(sender(), cast));
    }
    if !(is_system || is_call) || wrapped.elements.len() != 3 {
        return Message::Info(wrapped.into());
    }
    let Some((pid, tag)) = wrapped.elements.get(1).and_then(from_of) else { return Message::Info(wrapped.into()) };
    let caller = Caller::new(channel.clone(), us, ReplyTo::Gen { pid, tag });
    match wrapped.elements.pop() {
        Some(request) if is_system => Message::System(caller, request),
        Some(request) => Message::Call(caller, request),
        None => Message::Info(wrapped.into()),
    }
}

/// What `rpc:server_call/4` and `rpc:multi_server_call/3` send to a name: a bare `{Pid, Request}`.
pub(super) fn server_call<'a>(channel: &Channel, payload: &'a Term) -> Option<(&'a Pid, &'a Term)> {
    match as_tuple::<2>(payload)? {
        [Term::Pid(pid), request] if pid.node.name == channel.peer() => Some((pid, request)),
        _ => None,
    }
}

/// That call. The reply begins with a word that the caller knows, by custom the name (`rpc.erl`).
pub(super) fn to_server_call(channel: &Channel, us: u32, name: &Atom, pid: &Pid, request: &Term) -> Message {
    let to = ReplyTo::Server { pid: pid.clone(), name: name.clone() };
    Message::Call(Caller::new(channel.clone(), us, to), request.clone())
}

/// `{Pid, {Pid, Tag}, Request}`.
fn is_gen_event_call(elements: &[Term]) -> bool {
    let [Term::Pid(label), from, _] = elements else { return false };
    matches!(as_tuple::<2>(from), Some([Term::Pid(pid), _]) if pid == label)
}

/// `{Pid, Tag}` of a gen call.
fn from_of(from: &Term) -> Option<(Pid, Term)> {
    match as_tuple::<2>(from)? {
        [Term::Pid(pid), tag] => Some((pid.clone(), tag.clone())),
        _ => None,
    }
}
