//! Servers in the manner of OTP's `gen_server`.

use std::future::Future;

use eetf::{Atom, Term};
use tracing::debug;

use super::message::{Answer, Caller, Message, Sender};
use super::process::Process;
use super::system::{refuse_io, system_reply};
use crate::term::{Show, atom};

/// What a server does after a message.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// Takes the next one.
    Continue,
    /// Ends, for this reason: links and monitors hear it.
    Stop(Term),
}

/// The behaviour of a server; [`Process::serve`] runs it.
///
/// Messages come one at a time. Whatever is not written here does what `gen_server` does with a module that lacks it:
/// calls are the only thing that a server must have an answer to. System messages (`sys:get_state/1`, `GenServer.stop/1`) are
/// answered for it.
///
/// ```no_run
/// use beamroute::node::{Caller, GenServer, Next, Node, Process};
/// use beamroute::term::Term;
///
/// struct Echo;
///
/// impl GenServer for Echo {
///     async fn call(&mut self, request: Term, caller: Caller, _: &Process) -> Next {
///         caller.reply(request);
///         Next::Continue
///     }
/// }
///
/// # async fn run() -> Result<(), beamroute::node::StartError> {
/// let node = Node::builder("echo@127.0.0.1").start().await?;
/// let process = node.spawn();
/// process.register("echo");
/// process.serve(Echo).await;
/// // Lets the last reply out.
/// let _ = node.stop().await;
/// # Ok(())
/// # }
/// ```
pub trait GenServer: Send {
    /// `gen_server:call`. [`Caller::reply`] answers, now or later: a caller can be kept.
    fn call(&mut self, request: Term, caller: Caller, process: &Process) -> impl Future<Output = Next> + Send;

    /// `gen_server:cast`.
    fn cast(&mut self, request: Term, _from: Sender, _process: &Process) -> impl Future<Output = Next> + Send {
        debug!(request = %Show(&request), "a cast that nobody handles");
        std::future::ready(Next::Continue)
    }

    /// Any other message: of processes, of monitors and links, of nodes.
    fn info(&mut self, message: Message, _process: &Process) -> impl Future<Output = Next> + Send {
        debug!(?message, "a message that nobody handles");
        std::future::ready(Next::Continue)
    }

    /// `Module:Function(Args)` by `rpc` or `erpc`, for a module that the process [exports](Process::export).
    fn apply(&mut self, function: Function, caller: Caller, _process: &Process) -> impl Future<Output = Next> + Send {
        caller.reply(Answer::undef(&function.module, &function.name, &function.args));
        std::future::ready(Next::Continue)
    }

    /// What `sys:get_state/1` shows.
    fn state(&self) -> Term {
        atom("undefined")
    }

    /// Whether `GenServer.stop/1` of this caller is obeyed.
    fn may_stop(&self, _caller: &Caller) -> bool {
        true
    }

    /// The server ends: because it said so, was stopped, or because of an exit signal.
    fn terminate(&mut self, _reason: &Term) {}
}

/// A function that somebody applies.
#[derive(Debug, Clone, PartialEq)]
pub struct Function {
    /// The module.
    pub module: Atom,
    /// The function.
    pub name: Atom,
    /// The arguments.
    pub args: Vec<Term>,
}

impl Process {
    /// Runs `server` as the body of this process until it ends, and gives the reason.
    pub async fn serve<S: GenServer>(mut self, mut server: S) -> Term {
        let reason = loop {
            let Some(message) = self.receive().await else {
                let reason = self.ended().cloned().unwrap_or_else(|| atom("killed"));
                break reason;
            };
            if let Next::Stop(reason) = turns(&mut server, message, &self).await {
                break reason;
            }
        };
        server.terminate(&reason);
        self.exit(&reason);
        reason
    }
}

async fn turns<S: GenServer>(server: &mut S, message: Message, process: &Process) -> Next {
    let Message::Flat(messages) = message else { return turn(server, message, process).await };
    for message in messages.open() {
        if let stop @ Next::Stop(_) = turn(server, message, process).await {
            return stop;
        }
        if process.ended().is_some() {
            break;
        }
    }
    Next::Continue
}

async fn turn<S: GenServer>(server: &mut S, message: Message, process: &Process) -> Next {
    match message {
        Message::Call(caller, request) => server.call(request, caller, process).await,
        Message::Cast(from, request) => server.cast(request, from, process).await,
        Message::Apply { caller, module, function, args } => {
            server.apply(Function { module, name: function, args }, caller, process).await
        }
        Message::System(caller, request) => {
            let may_stop = server.may_stop(&caller);
            let answer = system_reply(&request, process.pid(), || server.state(), may_stop);
            caller.reply(answer.reply);
            answer.terminate.map_or(Next::Continue, Next::Stop)
        }
        Message::Info(message) => match refuse_io(&message) {
            Some((to, refusal)) => {
                process.send_now(&to, refusal);
                Next::Continue
            }
            None => server.info(Message::Info(message), process).await,
        },
        message => server.info(message, process).await,
    }
}
