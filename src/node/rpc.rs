//! Functions called from elsewhere: spawn requests (`erpc`, `rpc`, `spawn`), and `rex` for those that still use it.
//!
//! Wire forms: `lib/kernel/src/erpc.erl`, `rpc.erl` (the same in OTP 25, 27, 29).

use eetf::{Atom, Pid, Reference, Term};

use super::Node;
use super::channel::Channel;
use super::dispatch::{Delivery, REX};
use super::message::{Answer, Caller, LINKED, MONITORED, Message, ReplyTo, Spawned, to_message};
use crate::dist::{Control, Target};
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
    pub(super) fn spawn_request(&self, channel: &Channel, request: SpawnRequest, args: Term) -> Option<Delivery> {
        let id = self.state().processes.fresh_id();
        let us = channel.pid(id);
        let refuse = |why: &str| {
            channel.send(spawn_reply(&request, 0, atom(why)), None);
            None
        };
        let Some(flags) = spawn_flags(&request.options) else { return refuse("badopt") };
        let args = match as_list(&args) {
            Some(args) if i64::try_from(args.len()) == Ok(request.arity) => args.to_vec(),
            _ => return refuse("badarg"),
        };
        // The reply goes first: a peer ignores a DOWN for a process that it does not know of yet.
        channel.send(spawn_reply(&request, flags, us.clone().into()), None);
        let spawned = |result| Spawned {
            us: us.clone(),
            parent: request.from.clone(),
            reference: request.reference.clone(),
            flags,
            result,
        };
        let caller = |result| Caller::new(channel.clone(), id, ReplyTo::Spawned(spawned(result)));
        match (request.module.name.as_str(), request.function.name.as_str(), args.as_slice()) {
            ("erpc", "execute_call", [res, module, function, args]) => {
                self.apply(caller(Some(res.clone())), module, function, args)
            }
            ("erpc", "execute_cast", [module, function, args]) => self.apply(caller(None), module, function, args),
            _ => {
                let (module, function) = (request.module.clone().into(), request.function.clone().into());
                self.apply(caller(None), &module, &function, &list(args))
            }
        }
    }

    /// What comes to the name `rex`: `rpc:block_call`, `erl_call`, `ei_rpc`, JInterface.
    pub(super) fn rex_message(&self, channel: &Channel, payload: Term) -> Option<Delivery> {
        let us = channel.pid(REX);
        match to_message(channel, None, REX, payload) {
            Message::Call(call, request) => {
                let (pid, tag) = call.into_gen()?;
                let caller = Caller::new(channel.clone(), REX, ReplyTo::RexGen { pid, tag });
                match as_tuple::<5>(&request) {
                    Some([call, module, function, args, _leader])
                        if matches!(as_atom(call), Some("call" | "block_call")) =>
                    {
                        self.apply(caller, module, function, args)
                    }
                    _ => {
                        caller.reply(tuple([atom("error"), tuple([atom("unknown_request"), request])]));
                        None
                    }
                }
            }
            Message::System(caller, request) => {
                caller.refuse_system(&request);
                None
            }
            Message::Info(message) => {
                let [Term::Pid(pid), request] = as_tuple::<2>(&message)? else { return None };
                if as_atom(request) == Some("features_request") {
                    let reply = tuple([atom("features_reply"), atom(&self.name()), list([atom("erpc")])]);
                    channel.send(Control::send(channel.flags(), us, pid.clone()), Some(reply));
                    return None;
                }
                if let Some([sbcast, Term::Atom(name), message]) = as_tuple::<3>(request)
                    && as_atom(sbcast) == Some("sbcast")
                {
                    return self.sbcast(channel, us, pid, name, message);
                }
                let [call, module, function, args, _leader] = as_tuple::<5>(request)?;
                if as_atom(call) != Some("call") {
                    return None;
                }
                let caller = Caller::new(channel.clone(), REX, ReplyTo::Rex { pid: pid.clone() });
                self.apply(caller, module, function, args)
            }
            _ => None,
        }
    }

    /// `rpc:sbcast/3`: a message to a name, and whether there is one (`rpc.erl`).
    fn sbcast(&self, channel: &Channel, us: Pid, from: &Pid, name: &Atom, message: &Term) -> Option<Delivery> {
        let id = self.resolve(&Target::Name(name.clone()));
        let told = id.map_or_else(|| tuple([atom("nonexisting_name"), name.clone().into()]), |_| atom(&self.name()));
        let reply = tuple([atom("rex"), atom(&self.name()), told]);
        channel.send(Control::send(channel.flags(), us, from.clone()), Some(reply));
        self.send_to_id(channel, Some(from.clone()), id?, message.clone())
    }

    /// `Module:Function(Args)`: by the process that exports the module, by the node itself, or by nobody.
    fn apply(&self, caller: Caller, module: &Term, function: &Term, args: &Term) -> Option<Delivery> {
        let (Term::Atom(m), Term::Atom(f), Some(a)) = (module, function, as_list(args)) else {
            let apply = [module.clone(), function.clone(), args.clone()];
            caller.reply(Answer::error("badarg", &Atom::from("erlang"), &Atom::from("apply"), &apply));
            return None;
        };
        let exporter = self.state().processes.exporter(&m.name);
        match exporter {
            None => {
                self.builtin(caller, m, f, a);
                None
            }
            Some(mailbox) => {
                let message = Message::Apply { caller, module: m.clone(), function: f.clone(), args: a.to_vec() };
                Some(Delivery::new(mailbox, message))
            }
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
