//! System messages: what `sys:get_state/1`, `sys:get_status/1` and `GenServer.stop/1` send (`sys.erl`).

use eetf::{Pid, Term};

use crate::term::{as_atom, as_tuple, atom, list, string, tuple};

/// What to answer to a system message, and for which reason to end afterwards, if at all.
#[derive(Debug, PartialEq)]
pub struct SystemReply {
    /// The reply.
    pub reply: Term,
    /// The process has been asked to end with this reason.
    pub terminate: Option<Term>,
}

/// Answers a system message for the process `pid`, whose state is `state`.
pub fn system_reply(request: &Term, pid: Pid, state: impl FnOnce() -> Term, may_terminate: bool) -> SystemReply {
    let error = |reason| tuple([atom("error"), reason]);
    let reply = match (as_atom(request), as_tuple::<2>(request)) {
        // OTP 27 and 29 want the pair; 25 returns it as it is.
        (Some("get_state"), _) => tuple([atom("ok"), state()]),
        (Some("get_status"), _) => status(pid, state()),
        (_, Some([terminate, reason])) if as_atom(terminate) == Some("terminate") => {
            if may_terminate {
                return SystemReply { reply: atom("ok"), terminate: Some(reason.clone()) };
            }
            error(atom("not_allowed"))
        }
        _ => error(tuple([atom("unknown_system_msg"), request.clone()])),
    };
    SystemReply { reply, terminate: None }
}

/// `{status, Pid, {module, Module}, [PDict, SysState, Parent, Debug, Misc]}`.
fn status(pid: Pid, state: Term) -> Term {
    let pid = Term::from(pid);
    let misc = list([tuple([atom("data"), list([tuple([string("State"), state])])])]);
    let module = tuple([atom("module"), atom("gen_server")]);
    tuple([atom("status"), pid.clone(), module, list([list([]), atom("running"), pid, list([]), misc])])
}

/// The reply to an I/O request, for processes that are nobody's device: without it, whoever asks would hang. `None` if
/// the message is something else.
#[must_use]
pub fn refuse_io(message: &Term) -> Option<(Pid, Term)> {
    let [tag, Term::Pid(from), reference, _request] = as_tuple::<4>(message)? else { return None };
    let refusal = tuple([atom("error"), atom("enotsup")]);
    (as_atom(tag) == Some("io_request")).then(|| (from.clone(), tuple([atom("io_reply"), reference.clone(), refusal])))
}
