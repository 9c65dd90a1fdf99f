//! What is counted: which request a call was, and how far the kernel is.

use super::request::{Refusal, Request};
use super::status::View;
use crate::metrics::calls::Asked;
use crate::route::{entries, extra_entries};
use crate::term::{Term, atom, integer, list, tuple};

/// The property that has the counts of [`View::counts`], for the daemon itself. No name that VintageNet could have.
pub const COUNTS: &str = "beamroute:counts";

/// What was asked.
pub(super) const fn asked(request: &Request) -> Asked {
    match request {
        Request::SetRoute { .. } => Asked::SetRoute,
        Request::ClearRoute(_) => Asked::ClearRoute,
        Request::SetConnectionStatus { .. } => Asked::SetConnectionStatus,
        Request::RefreshRouteMetrics => Asked::RefreshRouteMetrics,
        Request::SetMetric { .. } => Asked::SetMetric,
        Request::SetOwnerPolicy(_) => Asked::SetOwnerPolicy,
        Request::Subscribe(_) => Asked::Subscribe,
        Request::Unsubscribe(_) => Asked::Unsubscribe,
        Request::Plan => Asked::Plan,
        Request::Status => Asked::Status,
        Request::Get(_) => Asked::Get,
        Request::Stop => Asked::Stop,
    }
}

/// What was asked badly.
pub(super) fn asked_by(refusal: &Refusal) -> Asked {
    match refusal {
        Refusal::Unknown => Asked::Unknown,
        Refusal::BadArgument(what) => asked_in(what),
    }
}

/// The request that a sentence about a bad argument begins with.
pub(super) fn asked_in(what: &str) -> Asked {
    Asked::named(what.split_once(':').map_or(what, |(name, _)| name))
}

impl View<'_> {
    /// `{Wanted, Installed, Interfaces, Pending}`: routes and rules, then interfaces.
    pub(super) fn counts(&self) -> Term {
        let wanted =
            entries(self.state, self.ranking).len().saturating_add(extra_entries(self.state, self.ranking).len());
        let interfaces = self.state.interfaces().len();
        let numbers = [wanted, self.kernel.installed(), interfaces, self.pending().len()];
        tuple(numbers.map(|number| integer(i64::try_from(number).unwrap_or(i64::MAX))))
    }
}

/// The request for the counts.
#[must_use]
pub fn counts_request() -> Term {
    tuple([atom("get"), list([crate::term::binary(COUNTS)])])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::term::binary;

    #[test]
    fn bad_arguments_are_of_their_request() {
        let refusal = |call: &Term| Request::from_call(call).unwrap_err();
        let bad = tuple([atom("set_metric"), binary("eth0"), atom("much")]);
        assert_eq!(asked_by(&refusal(&bad)), Asked::SetMetric);
        assert_eq!(asked_by(&refusal(&atom("dance"))), Asked::Unknown);
        let Ok(request) = Request::from_call(&counts_request()) else { panic!("no request") };
        assert_eq!(asked(&request), Asked::Get);
    }
}
