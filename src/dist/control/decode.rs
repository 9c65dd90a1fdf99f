//! Control tuple → [`Control`].

use eetf::{Atom, Pid, Reference, Term};

use super::{Control, Target, altact};
use crate::term::as_integer;

/// Operations that carry a trace token, the same operation without one, and where the token stands from behind.
const WITH_TOKEN: [(i64, i64, usize); 10] = [
    (12, 2, 0),
    (13, 3, 1),
    (16, 6, 0),
    (18, 8, 1),
    (23, 22, 0),
    (25, 24, 0),
    (27, 26, 0),
    (30, 29, 0),
    (32, 31, 0),
    (34, 33, 0),
];

/// `None` if the operation is unknown, or its tuple has another shape.
pub(super) fn tuple(term: Term) -> Option<(Control, Option<Term>)> {
    let Term::Tuple(tuple) = term else { return None };
    let mut fields = tuple.elements;
    if fields.is_empty() {
        return None;
    }
    let op = as_integer(&fields.remove(0))?;
    let (op, token) = match WITH_TOKEN.iter().find(|(with, ..)| *with == op) {
        Some((_, without, from_behind)) => {
            let at = fields.len().checked_sub(*from_behind)?.checked_sub(1)?;
            (*without, Some(fields.remove(at)))
        }
        None if op == 37 => (op, altact_token(&mut fields)),
        None => (op, None),
    };
    let control = control(op, Fields { rest: fields.into_iter() })?;
    Some((control, token))
}

fn altact_token(fields: &mut Vec<Term>) -> Option<Term> {
    let has_token = fields.first().and_then(as_integer).is_some_and(|bits| bits & altact::TOKEN != 0);
    let token = (has_token && fields.len() > 3).then(|| fields.remove(3));
    // Later versions may append fields.
    fields.truncate(3);
    token
}

fn control(op: i64, mut f: Fields) -> Option<Control> {
    let control = match op {
        1 => Control::Link { from: f.pid()?, to: f.pid()? },
        2 => Control::Send { to: f.skip()?.pid()? },
        3 => Control::Exit { from: f.pid()?, to: f.pid()?, reason: f.term()? },
        4 => Control::Unlink { from: f.pid()?, to: f.pid()? },
        6 => Control::RegSend { from: f.pid()?, name: f.skip()?.atom()? },
        7 => Control::GroupLeader { leader: f.pid()?, member: f.pid()? },
        8 => Control::Exit2 { from: f.pid()?, to: f.pid()?, reason: f.term()? },
        19 => Control::MonitorP { from: f.pid()?, target: f.target()?, reference: f.reference()? },
        20 => Control::DemonitorP { from: f.pid()?, target: f.target()?, reference: f.reference()? },
        21 => {
            let (target, to, reference) = (f.target()?, f.pid()?, f.reference()?);
            Control::MonitorPExit { target, to, reference, reason: f.term()? }
        }
        22 => Control::SendSender { from: f.pid()?, to: f.pid()? },
        24 => Control::PayloadExit { from: f.pid()?, to: f.pid()? },
        26 => Control::PayloadExit2 { from: f.pid()?, to: f.pid()? },
        28 => Control::PayloadMonitorPExit { target: f.target()?, to: f.pid()?, reference: f.reference()? },
        29 => {
            let (reference, from, leader) = (f.reference()?, f.pid()?, f.pid()?);
            let (module, function, arity) = f.mfa()?;
            Control::SpawnRequest { reference, from, leader, module, function, arity, options: f.term()? }
        }
        31 => {
            let (reference, to) = (f.reference()?, f.pid()?);
            Control::SpawnReply { reference, to, flags: f.integer()?, result: f.term()? }
        }
        33 => Control::AliasSend { from: f.pid()?, alias: f.reference()? },
        35 => Control::UnlinkId { id: f.id()?, from: f.pid()?, to: f.pid()? },
        36 => Control::UnlinkIdAck { id: f.id()?, from: f.pid()?, to: f.pid()? },
        37 => Control::AltactSend { bits: f.integer()?, from: f.pid()?, to: f.term()? },
        _ => return None,
    };
    f.rest.next().is_none().then_some(control)
}

struct Fields {
    rest: std::vec::IntoIter<Term>,
}

impl Fields {
    fn term(&mut self) -> Option<Term> {
        self.rest.next()
    }

    /// Passes over the field that once held a cookie.
    fn skip(&mut self) -> Option<&mut Self> {
        self.rest.next().map(|_| self)
    }

    fn pid(&mut self) -> Option<Pid> {
        match self.term()? {
            Term::Pid(pid) => Some(pid),
            _ => None,
        }
    }

    fn atom(&mut self) -> Option<Atom> {
        match self.term()? {
            Term::Atom(atom) => Some(atom),
            _ => None,
        }
    }

    fn reference(&mut self) -> Option<Reference> {
        match self.term()? {
            Term::Reference(reference) => Some(*reference),
            _ => None,
        }
    }

    fn target(&mut self) -> Option<Target> {
        match self.term()? {
            Term::Pid(pid) => Some(Target::Pid(pid)),
            Term::Atom(name) => Some(Target::Name(name)),
            _ => None,
        }
    }

    fn integer(&mut self) -> Option<i64> {
        as_integer(&self.term()?)
    }

    /// An unlink id, 1 to 2^64-1.
    fn id(&mut self) -> Option<Term> {
        self.term().filter(|term| matches!(term, Term::FixInteger(_) | Term::BigInteger(_)))
    }

    fn mfa(&mut self) -> Option<(Atom, Atom, i64)> {
        let Term::Tuple(mfa) = self.term()? else { return None };
        match <[Term; 3]>::try_from(mfa.elements).ok()? {
            [Term::Atom(module), Term::Atom(function), arity] => Some((module, function, as_integer(&arity)?)),
            _ => None,
        }
    }
}
