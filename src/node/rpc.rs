//! Functions called from elsewhere: spawn requests (`erpc`, `rpc`, `spawn`), and `rex` for those that still use it.
//!
//! Wire forms: `lib/kernel/src/erpc.erl`, `rpc.erl` (the same in OTP 25, 27, 29).

use std::sync::Arc;

use eetf::{Atom, Pid, Reference, Term};

use super::Node;
use super::connection::Connection;
use super::message::{Answer, Caller, LINKED, MONITORED, Message, ReplyTo, Spawned, to_message};
use crate::dist::Control;
use crate::term::{as_atom, as_list, as_tuple, atom, list, tuple};

/// A decoded `SPAWN_REQUEST`; its payload, the arguments, comes apart from it.
pub(super) struct SpawnRequest {
    pub reference: Reference,
    pub from: Pid,
    pub module: Atom,
    pub function: Atom,
    pub arity: i64,
    pub options: Term,
}

impl Node {
    pub(super) async fn spawn_request(&self, connection: &Arc<Connection>, request: SpawnRequest, args: Term) {
        let us = self.fresh_pid();
        let refuse = |why: &str| spawn_reply(&request, 0, atom(why));
        let Some(flags) = spawn_flags(&request.options) else {
            return connection.send(&refuse("badopt"), None);
        };
        let args = match as_list(&args) {
            Some(args) if i64::try_from(args.len()) == Ok(request.arity) => args.to_vec(),
            _ => return connection.send(&refuse("badarg"), None),
        };
        // The reply goes first: a peer ignores a DOWN for a process that it does not know of yet.
        connection.send(&spawn_reply(&request, flags, us.clone().into()), None);
        let spawned = |result| Spawned {
            us: us.clone(),
            parent: request.from.clone(),
            reference: request.reference.clone(),
            flags,
            result,
        };
        let caller = |result| self.caller(connection, &us, ReplyTo::Spawned(spawned(result)));
        match (request.module.name.as_str(), request.function.name.as_str(), args.as_slice()) {
            ("erpc", "execute_call", [res, module, function, args]) => {
                self.apply(caller(Some(res.clone())), module, function, args).await;
            }
            ("erpc", "execute_cast", [module, function, args]) => {
                self.apply(caller(None), module, function, args).await;
            }
            _ => {
                let (module, function) = (request.module.clone().into(), request.function.clone().into());
                self.apply(caller(None), &module, &function, &list(args)).await;
            }
        }
    }

    /// What comes to the name `rex`: `rpc:block_call`, `erl_call`, `ei_rpc`, JInterface.
    pub(super) async fn rex_message(&self, connection: &Arc<Connection>, us: Pid, payload: Term) {
        match to_message(connection, None, us.clone(), payload) {
            Message::Call(caller, request) => {
                let ReplyTo::Gen { pid, tag } = caller.to else { return };
                let caller = self.caller(connection, &us, ReplyTo::RexGen { pid, tag });
                match as_tuple::<5>(&request) {
                    Some([call, module, function, args, _leader])
                        if matches!(as_atom(call), Some("call" | "block_call")) =>
                    {
                        self.apply(caller, module, function, args).await;
                    }
                    _ => caller.reply(Answer::Value(tuple([atom("error"), tuple([atom("unknown_request"), request])]))),
                }
            }
            Message::Info(message) => {
                let Some([Term::Pid(pid), request]) = as_tuple::<2>(&message) else { return };
                if as_atom(request) == Some("features_request") {
                    let reply = tuple([atom("features_reply"), atom(self.name()), list([atom("erpc")])]);
                    let control = Control::send(connection.peer.flags, us, pid.clone());
                    return connection.send(&control, Some(&reply));
                }
                let Some([call, module, function, args, _leader]) = as_tuple::<5>(request) else { return };
                if as_atom(call) == Some("call") {
                    let caller = self.caller(connection, &us, ReplyTo::Rex { pid: pid.clone() });
                    self.apply(caller, module, function, args).await;
                }
            }
            _ => {}
        }
    }

    fn caller(&self, connection: &Arc<Connection>, us: &Pid, to: ReplyTo) -> Caller {
        Caller { connection: Arc::clone(connection), us: us.clone(), to }
    }

    /// `Module:Function(Args)`: by the process that exports the module, by the node itself, or by nobody.
    async fn apply(&self, caller: Caller, module: &Term, function: &Term, args: &Term) {
        let (Term::Atom(m), Term::Atom(f), Some(a)) = (module, function, as_list(args)) else {
            let apply = [module.clone(), function.clone(), args.clone()];
            return caller.reply(Answer::error("badarg", &Atom::from("erlang"), &Atom::from("apply"), &apply));
        };
        let exporter = self.state().exporter(&m.name);
        let Some(mailbox) = exporter else {
            return self.builtin(caller, m, f, a);
        };
        let message = Message::Apply { caller, module: m.clone(), function: f.clone(), args: a.to_vec() };
        if let Some(Message::Apply { caller, module, function, args }) = mailbox.send(message).await {
            // The process ended meanwhile, and its module with it.
            caller.reply(Answer::undef(&module, &function, &args));
        }
    }
}

fn spawn_reply(request: &SpawnRequest, flags: i64, result: Term) -> Control {
    Control::SpawnReply { reference: request.reference.clone(), to: request.from.clone(), flags, result }
}

/// The flags that spawn options ask for; `None` if one is unknown. Options that tune a BEAM's heap mean nothing here.
fn spawn_flags(options: &Term) -> Option<i64> {
    as_list(options)?.iter().try_fold(0, |flags, option| match (as_atom(option), as_tuple::<2>(option)) {
        (Some("link"), _) => Some(flags | LINKED),
        (Some("monitor"), _) => Some(flags | MONITORED),
        (None, Some([name, _])) => match as_atom(name)? {
            "monitor" => Some(flags | MONITORED),
            "priority" | "fullsweep_after" | "min_heap_size" | "min_bin_vheap_size" | "max_heap_size"
            | "message_queue_data" | "async_dist" => Some(flags),
            _ => None,
        },
        _ => None,
    })
}
