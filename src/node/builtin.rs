//! The functions that the node itself answers over `rpc` and `erpc`. Whatever is not here is undefined.

use eetf::{Atom, Term};
use tracing::info;

use super::message::Caller;
use super::net_kernel::Right;
use super::net_kernel::functions::{not_allowed, right_towards};
use super::{Answer, Node, NodeInfo};
use crate::dist::Target;
use crate::term::{as_atom, as_integer, as_list, atom, boolean, list, string};

/// What `erlang:system_info(otp_release)` says: the newest release whose protocol is spoken here.
const OTP_RELEASE: &str = "29";

/// Names of the processes that every node has.
const RESERVED: [&str; 2] = ["net_kernel", "rex"];

pub(super) fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name)
}

impl Node {
    /// `Module:Function(Args)` for a caller elsewhere.
    pub(super) fn builtin(&self, caller: Caller, module: &Atom, function: &Atom, args: &[Term]) {
        let answer = match (module.name.as_str(), function.name.as_str(), args) {
            ("net_kernel", function, args) => return self.net_kernel_function(caller, function, args),
            ("net_adm", "ping", [peer]) => match as_atom(peer) {
                Some(peer) => return self.ping_for(caller, peer.to_owned()),
                None => Answer::error("function_clause", module, function, args),
            },
            ("erlang", "halt", [] | [_] | [_, _]) => match halt_status(args) {
                // It never returns: the caller sees the node go down.
                Some(status) if self.permits(Right::Admin, caller.node()) => return self.halt(caller, status),
                Some(_) => Answer::Value(not_allowed()),
                None => Answer::error("badarg", module, function, args),
            },
            ("erlang", "disconnect_node", [peer]) => Answer::Value(self.disconnect_for(caller.node(), peer)),
            ("erlang", name, args) => match self.erlang(name, args) {
                Some(Ok(value)) => Answer::Value(value),
                Some(Err(Badarg)) => Answer::error("badarg", module, function, args),
                None => Answer::undef(module, function, args),
            },
            _ => Answer::undef(module, function, args),
        };
        caller.reply(answer);
    }

    /// Functions of `erlang` that only look.
    fn erlang(&self, function: &str, args: &[Term]) -> Option<Result<Term, Badarg>> {
        Some(match (function, args) {
            ("node", []) => Ok(atom(&self.name())),
            ("nodes", []) => Ok(atoms(&self.nodes(|info| info.is_visible))),
            ("nodes", [which]) => self.nodes_of(which).ok_or(Badarg),
            ("is_alive", []) => Ok(boolean(true)),
            ("registered", []) => Ok(atoms(&self.registered())),
            ("whereis", [name]) => self.whereis(name).ok_or(Badarg),
            ("is_process_alive", [process]) => self.is_process_alive(process).map(boolean).ok_or(Badarg),
            ("system_info", [item]) if as_atom(item) == Some("otp_release") => Ok(string(OTP_RELEASE)),
            ("system_info", [_]) => Err(Badarg),
            _ => return None,
        })
    }

    /// `erlang:nodes/1`: an atom or a list of them.
    fn nodes_of(&self, which: &Term) -> Option<Term> {
        let kinds = match as_list(which) {
            Some(kinds) => kinds.iter().map(as_atom).collect::<Option<Vec<_>>>()?,
            None => vec![as_atom(which)?],
        };
        let mut found = Vec::new();
        for kind in kinds {
            let which: fn(&NodeInfo) -> bool = match kind {
                "visible" => |info| info.is_visible,
                "hidden" => |info| !info.is_visible,
                "connected" | "known" => |_| true,
                "this" => |_| false,
                _ => return None,
            };
            found.extend(self.nodes(which));
            if matches!(kind, "this" | "known") {
                found.push(self.name());
            }
        }
        found.sort();
        found.dedup();
        Some(atoms(&found))
    }

    fn registered(&self) -> Vec<String> {
        let mut names = self.state().processes.names();
        names.extend(RESERVED.map(str::to_owned));
        names
    }

    fn whereis(&self, name: &Term) -> Option<Term> {
        let name = Target::Name(Atom::from(as_atom(name)?));
        Some(self.resolve(&name).map_or_else(|| atom("undefined"), |id| self.pid(id).into()))
    }

    fn is_process_alive(&self, process: &Term) -> Option<bool> {
        let Term::Pid(pid) = process else { return None };
        let us = self.incarnation();
        let is_ours = pid.node.name == us.name && pid.creation == us.creation;
        is_ours.then(|| self.resolve(&Target::Pid(pid.clone())).is_some())
    }

    /// `erlang:disconnect_node/1`. A node that disconnects itself does not see the answer.
    fn disconnect_for(&self, caller: &str, peer: &Term) -> Term {
        match as_atom(peer) {
            None => boolean(false),
            Some(peer) if !self.permits(right_towards(peer, &self.name(), caller), caller) => not_allowed(),
            Some(peer) => boolean(self.disconnect(peer)),
        }
    }

    /// `net_adm:ping/1`: as `connect_node`, in other words. A node that the caller may not have us connect to is not
    /// reached.
    fn ping_for(&self, caller: Caller, peer: String) {
        let node = self.clone();
        self.spawn_task(async move {
            let is_there = node.connect_if_allowed(&peer, caller.node()).await;
            caller.reply(Answer::Value(atom(if is_there == Some(true) { "pong" } else { "pang" })));
        });
    }

    fn halt(&self, caller: Caller, status: u8) {
        info!(node = caller.node(), status, "halt, as a caller asked");
        caller.forget();
        self.inner.halting.send_replace(Some(status));
    }

    /// Waits until a caller who may has asked the node to halt, and gives the exit status: whoever runs it should then end.
    pub async fn halted(&self) -> u8 {
        let mut halting = self.inner.halting.subscribe();
        match halting.wait_for(Option::is_some).await {
            Ok(status) => status.unwrap_or_default(),
            Err(_) => std::future::pending().await,
        }
    }
}

/// The exit status that `halt/0,1,2` asks for: `abort` ends with a signal and a text with a crash dump, for which there
/// is 1 here.
fn halt_status(args: &[Term]) -> Option<u8> {
    if let Some(options) = args.get(1) {
        as_list(options)?;
    }
    match args.first() {
        None => Some(0),
        Some(status) => match (as_integer(status), as_atom(status)) {
            // Only the lowest byte of a status gets to whoever waits for the program.
            (Some(status), _) if status >= 0 => u8::try_from(status % 256).ok(),
            (None, Some("abort")) => Some(1),
            (None, None) => as_list(status).map(|_| 1),
            _ => None,
        },
    }
}

/// `error:badarg`.
struct Badarg;

fn atoms(names: &[String]) -> Term {
    list(names.iter().map(|name| atom(name)).collect::<Vec<_>>())
}
