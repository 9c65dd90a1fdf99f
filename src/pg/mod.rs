//! A process that speaks the protocol of OTP's `pg`, so that BEAM nodes find one of ours by the name of a group.
//!
//! It is registered under the name of the scope, as `pg` is, and tells the process of that name on each connected node
//! which of our processes are in which groups. It keeps no groups of others, and there is nothing to ask it:
//! `get_members` is answered on the BEAM, from its own table.
//!
//! # The protocol
//!
//! `lib/kernel/src/pg.erl` of OTP 25.2 and 27.3; in OTP 29.0 the same words are understood by
//! `lib/kernel/src/data_publisher.erl` and answered to whoever uses them, who then counts as version 0.
//!
//! | message | sent to | meaning |
//! | --- | --- | --- |
//! | `{discover, Us}` | the name, at nodeup | who has this scope? Answered by a `sync` and, if we are new, a `discover` |
//! | `{discover, Peer, Version}` | us, by OTP 29 | the same |
//! | `{sync, Us, [{Group, Pids}]}`, a cast | a pid that has said `discover` | all that is in our groups |
//! | `{leave, Us, Pid, Groups}` | the name, wherever there is one | these are so no longer |
//! | `{join, Us, Group, Pids}` | | not needed: we are in our groups before we know anybody |
//!
//! Who has said `discover` monitors us, so nodedown, and a process of ours that ends, need no message. We monitor the
//! name: when its process ends, the one that comes after it has to be asked again. A message of another form ends a `pg`
//! of OTP 25 and 27, so nothing else is sent; what comes here in another form is ignored.
//!
//! # Hidden
//!
//! A BEAM's `pg` asks visible nodes only: at nodeup, when it starts, and when it is restarted. So it is always we who ask,
//! also again where nobody has the name, after 0.2 s at first and at most 30 s: a scope that starts later is found then.
//!
//! Stands on [`crate::node`]; knows nothing of routes. All groups of a scope are sent to us, and a frame has a limit
//! ([`NodeConfig::frame_limit`](crate::node::NodeConfig::frame_limit)): where there are very many members, ours better
//! have a scope of their own.

mod message;
mod peers;

use std::time::Instant;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, trace, warn};

use crate::deadline::reached;
use crate::node::{Answer, Destination, Message, MonitorOptions, Node, NodeType, Process, refuse_io, system_reply};
use crate::term::{Pid, Reference, Show, Term, as_atom, atom, tuple};
use message::{discover, discoverer, leave, sync};
use peers::Peers;

/// The scope that a BEAM has unless it says otherwise.
pub const DEFAULT_SCOPE: &str = "pg";

/// The process of a scope, before it knows any member.
#[derive(Debug)]
pub struct Scope {
    name: String,
    process: Process,
    /// Cancelled by [`Membership::leave`].
    leaving: CancellationToken,
}

/// One process of ours that is in groups of a scope.
#[derive(Debug)]
pub struct Membership {
    leaving: CancellationToken,
    task: JoinHandle<()>,
}

impl Scope {
    /// Registers the process of scope `name`; `None` if the name is taken, or can be nobody's. Registered before the node
    /// is started, it misses no nodeup.
    #[must_use]
    pub fn register(node: &Node, name: &str) -> Option<Self> {
        let process = node.spawn();
        if !process.register(name) {
            return None;
        }
        process.trap_exits(true);
        process.shield();
        process.monitor_nodes(MonitorOptions { node_type: Some(NodeType::All), ..MonitorOptions::default() });
        Some(Self { name: name.to_owned(), process, leaving: CancellationToken::new() })
    }

    /// The process of this scope on `node`.
    fn on(&self, node: &str) -> Destination {
        (self.name.as_str(), node).into()
    }

    /// Has `member`, a process of this node, in `groups` from now on. The node must be started: a pid lasts as long as that.
    #[must_use]
    pub fn join(self, member: Pid, groups: &[String]) -> Membership {
        info!(scope = self.name, groups = groups.join(" "), "joined pg groups");
        let leaving = self.leaving.clone();
        let groups = groups.iter().map(|group| atom(group)).collect();
        let speaker = Speaker { scope: self, member, groups, peers: Peers::default() };
        Membership { leaving, task: tokio::spawn(speaker.run()) }
    }
}

impl Membership {
    /// Leaves the groups, and ends the process of the scope. What says so has been sent when this returns, though not
    /// written; [`Node::stop`] writes it.
    pub async fn leave(self) {
        self.leaving.cancel();
        // If it has crashed, its monitors have told the same.
        let _ = self.task.await;
    }
}

/// The body of the process.
struct Speaker {
    scope: Scope,
    member: Pid,
    groups: Vec<Term>,
    peers: Peers,
}

impl Speaker {
    async fn run(mut self) {
        let leaving = self.scope.leaving.clone();
        loop {
            let due = self.peers.due();
            tokio::select! {
                biased;
                () = leaving.cancelled() => break,
                () = reached(due.map(Into::into)) => {}
                message = self.scope.process.receive() => match message {
                    Some(message) => self.message(message),
                    None => return warn!(scope = self.scope.name, "killed; no groups are joined until the next start"),
                },
            }
            for node in self.peers.due_now(Instant::now()) {
                self.ask(node);
            }
        }
        for node in self.peers.watched() {
            self.scope.process.send_now(self.scope.on(node), leave(self.us(), &self.member, &self.groups));
        }
        self.scope.process.exit(&atom("shutdown"));
    }

    /// The monitor comes first: then it is the monitored process that is asked, or we hear that it is gone.
    fn ask(&mut self, node: String) {
        // Without it the connection has just been lost, and the nodedown is on its way.
        let Some(monitor) = self.scope.process.monitor_now(self.scope.on(&node)) else { return };
        self.scope.process.send_now(self.scope.on(&node), discover(self.us()));
        self.peers.watch(node, monitor);
    }

    fn us(&self) -> Pid {
        self.scope.process.pid()
    }

    fn message(&mut self, message: Message) {
        match message {
            Message::NodeUp(news) => self.peers.node_up(&news.node, Instant::now()),
            Message::NodeDown(news) => self.peers.node_down(&news.node),
            Message::Lagged(_) => {
                let connected = self.scope.process.node().nodes(|_| true);
                self.peers.see(&connected, Instant::now());
            }
            Message::Down { reference, reason, .. } => self.ended(&reference, &reason),
            Message::Info(message) => self.info(&message),
            Message::Cast(_, request) => trace!(request = %Show(&request), "the groups of others"),
            Message::Call(caller, request) => {
                caller.reply(tuple([atom("error"), tuple([atom("unknown_request"), request])]));
            }
            Message::System(caller, request) => {
                // It ends with the daemon only: whoever may can stop that.
                let answer = system_reply(&request, self.us(), || atom("undefined"), false);
                caller.reply(answer.reply);
            }
            Message::Apply { caller, module, function, args } => {
                caller.reply(Answer::undef(&module, &function, &args));
            }
            // Whoever links to it or sends it exit signals is not obeyed. It takes nothing flat.
            Message::Exit { .. } | Message::Flat(_) => {}
        }
    }

    fn info(&mut self, message: &Term) {
        if let Some(peer) = discoverer(message) {
            let groups = sync(self.us(), &self.member, &self.groups);
            self.scope.process.send_now(peer, tuple([atom("$gen_cast"), groups]));
        } else if let Some((to, refusal)) = refuse_io(message) {
            self.scope.process.send_now(&to, refusal);
        } else {
            trace!(message = %Show(message), "the groups of others, or nothing");
        }
    }

    fn ended(&mut self, monitor: &Reference, reason: &Term) {
        let was_there = as_atom(reason) != Some("noproc");
        if let Some(node) = self.peers.ended(monitor, was_there, Instant::now()) {
            debug!(scope = self.scope.name, peer = node, reason = %Show(reason), "no pg there");
        }
    }
}
