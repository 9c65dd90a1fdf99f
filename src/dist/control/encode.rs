//! [`Control`] → control tuple.

use eetf::{Pid, Reference, Term};

use super::{Control, Target};
use crate::term::{atom, integer, tuple as tuple_of};

/// The field that once held a cookie: C nodes want exactly this atom, everybody else passes over it.
const NO_COOKIE: &str = "";

pub(super) fn tuple(control: &Control, token: Option<&Term>) -> Term {
    let (op, mut fields) = fields(control);
    let op = match token {
        None => op,
        Some(token) => {
            let (op, at) = with_token(op, fields.len());
            fields.insert(at, token.clone());
            op
        }
    };
    fields.insert(0, integer(op));
    tuple_of(fields)
}

/// The same operation with a trace token, and where the token goes among its fields.
fn with_token(op: i64, fields: usize) -> (i64, usize) {
    match op {
        2 | 3 | 6 | 8 => (op.saturating_add(10), if matches!(op, 3 | 8) { fields.saturating_sub(1) } else { fields }),
        37 => (op, fields),
        _ => (op.saturating_add(1), fields),
    }
}

fn fields(control: &Control) -> (i64, Vec<Term>) {
    use Control as C;
    match control {
        C::Link { from, to } => (1, vec![pid(from), pid(to)]),
        C::Send { to } => (2, vec![atom(NO_COOKIE), pid(to)]),
        C::Exit { from, to, reason } => (3, vec![pid(from), pid(to), reason.clone()]),
        C::Unlink { from, to } => (4, vec![pid(from), pid(to)]),
        C::RegSend { from, name } => (6, vec![pid(from), atom(NO_COOKIE), name.clone().into()]),
        C::GroupLeader { leader, member } => (7, vec![pid(leader), pid(member)]),
        C::Exit2 { from, to, reason } => (8, vec![pid(from), pid(to), reason.clone()]),
        C::MonitorP { from, target, reference } => (19, vec![pid(from), who(target), reference_of(reference)]),
        C::DemonitorP { from, target, reference } => (20, vec![pid(from), who(target), reference_of(reference)]),
        C::MonitorPExit { target, to, reference, reason } => {
            (21, vec![who(target), pid(to), reference_of(reference), reason.clone()])
        }
        C::SendSender { from, to } => (22, vec![pid(from), pid(to)]),
        C::PayloadExit { from, to } => (24, vec![pid(from), pid(to)]),
        C::PayloadExit2 { from, to } => (26, vec![pid(from), pid(to)]),
        C::PayloadMonitorPExit { target, to, reference } => (28, vec![who(target), pid(to), reference_of(reference)]),
        C::SpawnRequest { reference, from, leader, module, function, arity, options } => {
            let mfa = tuple_of([module.clone().into(), function.clone().into(), integer(*arity)]);
            (29, vec![reference_of(reference), pid(from), pid(leader), mfa, options.clone()])
        }
        C::SpawnReply { reference, to, flags, result } => {
            (31, vec![reference_of(reference), pid(to), integer(*flags), result.clone()])
        }
        C::AliasSend { from, alias } => (33, vec![pid(from), reference_of(alias)]),
        C::UnlinkId { id, from, to } => (35, vec![id.clone(), pid(from), pid(to)]),
        C::UnlinkIdAck { id, from, to } => (36, vec![id.clone(), pid(from), pid(to)]),
        C::AltactSend { bits, from, to } => (37, vec![integer(*bits), pid(from), to.clone()]),
    }
}

fn pid(pid: &Pid) -> Term {
    pid.clone().into()
}

fn reference_of(reference: &Reference) -> Term {
    reference.clone().into()
}

fn who(target: &Target) -> Term {
    match target {
        Target::Pid(pid) => pid.clone().into(),
        Target::Name(name) => name.clone().into(),
    }
}
