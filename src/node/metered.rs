//! Calls that are counted: by the process that answers them, which says what they are about.

use super::message::{Answer, Caller};
use crate::metrics::calls::{Asked, Outcome};
use crate::term::{Term, as_atom, as_tuple};

impl Caller {
    /// The call is to be counted as one of these. Those of our own processes are not.
    #[must_use]
    pub fn about(mut self, asked: Asked) -> Self {
        if let Some(meter) = self.meter.as_mut().filter(|_| !self.channel.is_local()) {
            meter.about(asked);
        }
        self
    }

    /// Counts it, now that it is answered with a value.
    pub(super) fn count_value(&self, value: &Term) {
        if let Some(meter) = self.meter {
            meter.answered(of_value(value), self.count());
        }
    }

    /// Counts it, now that it is answered.
    pub(super) fn count_answer(&self, answer: &Answer) {
        if let Some(meter) = self.meter {
            meter.answered(outcome(answer), self.count());
        }
    }
}

fn outcome(answer: &Answer) -> Outcome {
    match answer {
        Answer::Value(value) => of_value(value),
        Answer::Error(reason, _) => of_reason(reason),
        Answer::Exit(_) => Outcome::Error,
    }
}

/// `{error, Reason}`, or all is well.
fn of_value(value: &Term) -> Outcome {
    match as_tuple::<2>(value) {
        Some([error, reason]) if as_atom(error) == Some("error") => of_reason(reason),
        _ => Outcome::Ok,
    }
}

/// `Reason`, or `{Reason, About}`.
fn of_reason(reason: &Term) -> Outcome {
    let first = as_tuple::<2>(reason).map_or(reason, |[first, _]| first);
    match as_atom(first) {
        Some("badarg") => Outcome::Badarg,
        Some("not_allowed") => Outcome::NotAllowed,
        Some("unknown_request" | "undef") => Outcome::UnknownRequest,
        _ => Outcome::Error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::term::{atom, binary, list, tuple};

    #[test]
    fn how_a_call_ended() {
        let error = |reason| Answer::Value(tuple([atom("error"), reason]));
        for (answer, expected) in [
            (Answer::Value(atom("ok")), Outcome::Ok),
            (Answer::Value(list([])), Outcome::Ok),
            (error(tuple([atom("badarg"), binary("why")])), Outcome::Badarg),
            (error(tuple([atom("unknown_request"), atom("dance")])), Outcome::UnknownRequest),
            (error(atom("not_allowed")), Outcome::NotAllowed),
            (error(tuple([atom("not_saved"), atom("enospc")])), Outcome::Error),
            (Answer::Error(atom("undef"), list([])), Outcome::UnknownRequest),
            (Answer::Error(atom("badarg"), list([])), Outcome::Badarg),
            (Answer::Exit(atom("noproc")), Outcome::Error),
        ] {
            assert_eq!(outcome(&answer), expected, "{answer:?}");
        }
    }
}
