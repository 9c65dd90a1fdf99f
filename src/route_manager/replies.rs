//! Refusals in the words that callers get.

use eetf::Atom;
use tracing::debug;

use super::request::Refusal;
use crate::node::Answer;
use crate::route::WishError;
use crate::term::{Term, atom, binary, integer, tuple};

/// What a function call gets that is refused.
pub(super) fn raised(refusal: &Refusal, module: &Atom, function: &Atom, args: &[Term]) -> Answer {
    match refusal {
        Refusal::Unknown => Answer::undef(module, function, args),
        Refusal::BadArgument(what) => {
            debug!(what, "refused a function call");
            Answer::error("badarg", module, function, args)
        }
    }
}

/// `{error, What}`, where several words make a tuple.
pub(super) fn error<const N: usize>(what: [Term; N]) -> Term {
    let what = match <[Term; 1]>::try_from(what.to_vec()) {
        Ok([word]) => word,
        Err(words) => tuple(words),
    };
    tuple([atom("error"), what])
}

/// What the caller of a wish gets that cannot be taken.
pub(super) fn refused(refused: WishError) -> Term {
    match refused {
        WishError::TooManyInterfaces(max) => {
            error([tuple([atom("too_many_interfaces"), integer(i64::try_from(max).unwrap_or(i64::MAX))])])
        }
        WishError::Gateway(_) => error([tuple([atom("badarg"), binary(format!("set_route: {refused}"))])]),
    }
}
