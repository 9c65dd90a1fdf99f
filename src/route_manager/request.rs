//! Term → [`Request`].

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

use std::fmt;
use std::net::IpAddr;

use super::arguments::{self, Wrong};
use super::owners::OwnerPolicy;
use crate::dist;
use crate::route::{IfName, Metric, Status, Subnet};
use crate::term::{Pid, Plain, Term, as_atom};

/// What can be asked of `route_manager`, by call or by function.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// Replace the interface's addresses and gateway.
    SetRoute {
        /// The interface.
        ifname: IfName,
        /// Its addresses.
        subnets: Vec<Subnet>,
        /// Its way out.
        gateway: Option<IpAddr>,
    },
    /// Forget the interface.
    ClearRoute(IfName),
    /// Say how far the interface reaches.
    SetConnectionStatus {
        /// The interface.
        ifname: IfName,
        /// How far.
        status: Status,
        /// In the caller's words.
        why: Option<String>,
    },
    /// Read the ranking again and plan again.
    RefreshRouteMetrics,
    /// Override the ranking for one interface; `None` returns to it.
    SetMetric {
        /// The interface.
        ifname: IfName,
        /// Its metric.
        metric: Option<Metric>,
    },
    /// What becomes of the wishes of the caller's node when that node goes down.
    SetOwnerPolicy(OwnerPolicy),
    /// Tell a process, or the caller, what happens from now on.
    Subscribe(Option<Pid>),
    /// Tell it no more.
    Unsubscribe(Option<Pid>),
    /// What would change now.
    Plan,
    /// The whole state, as a map.
    Status,
    /// One of VintageNet's properties, or `["events"]`, the last of those that subscribers hear.
    Get(Term),
    /// End the daemon.
    Stop,
}

/// Why a request is not carried out. Nothing has changed then.
#[derive(Debug, Clone, PartialEq)]
pub enum Refusal {
    /// There is no such request.
    Unknown,
    /// An argument is wrong; the sentence says which, and what is wrong with it.
    BadArgument(String),
}

impl Request {
    /// Takes apart what `gen_server:call` brought: `Name`, or `{Name, Arguments...}`.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn from_call(request: &Term) -> Result<Self, Refusal> {
        match request {
            Term::Atom(name) => Self::from_function(&name.name, &[]),
            Term::Tuple(tuple) => {
                let (name, arguments) = tuple.elements.split_first().ok_or(Refusal::Unknown)?;
                // `{status}` is not `status`.
                if arguments.is_empty() {
                    return Err(Refusal::Unknown);
                }
                Self::from_function(as_atom(name).ok_or(Refusal::Unknown)?, arguments)
            }
            _ => Err(Refusal::Unknown),
        }
    }

    /// Takes `function(arguments...)`.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn from_function(function: &str, arguments: &[Term]) -> Result<Self, Refusal> {
        let parsed = parse(function, arguments).ok_or(Refusal::Unknown)?;
        parsed.map_err(|wrong| Refusal::BadArgument(format!("{function}: {wrong}")))
    }

    /// The interface that it is about, if it is about one alone.
    #[must_use]
    pub const fn about(&self) -> Option<IfName> {
        match self {
            Self::SetRoute { ifname, .. }
            | Self::ClearRoute(ifname)
            | Self::SetConnectionStatus { ifname, .. }
            | Self::SetMetric { ifname, .. } => Some(*ifname),
            _ => None,
        }
    }

    /// The reason that the caller gives.
    #[must_use]
    pub fn why(&self) -> Option<&str> {
        match self {
            Self::SetConnectionStatus { why, .. } => why.as_deref(),
            _ => None,
        }
    }

    /// Whether it only reads; everything else is answered after a commit.
    #[must_use]
    pub const fn is_read(&self) -> bool {
        matches!(self, Self::Status | Self::Get(_) | Self::Plan | Self::Subscribe(_) | Self::Unsubscribe(_))
    }
}

/// As it stands in the log.
impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SetRoute { ifname, subnets, gateway } => {
                write!(f, "set_route {ifname}")?;
                subnets.iter().try_for_each(|subnet| write!(f, " {}/{}", subnet.ip(), subnet.prefix_len()))?;
                gateway.map_or(Ok(()), |gateway| write!(f, " via {gateway}"))
            }
            Self::ClearRoute(ifname) => write!(f, "clear_route {ifname}"),
            Self::SetConnectionStatus { ifname, status, .. } => write!(f, "set_connection_status {ifname} {status}"),
            Self::SetMetric { ifname, metric } => match metric {
                None => write!(f, "set_metric {ifname} default"),
                Some(metric) => match metric.number() {
                    None => write!(f, "set_metric {ifname} disabled"),
                    Some(number) => write!(f, "set_metric {ifname} {number}"),
                },
            },
            Self::RefreshRouteMetrics => f.write_str("refresh_route_metrics"),
            Self::SetOwnerPolicy(policy) => write!(f, "set_owner_policy {policy:?}"),
            Self::Subscribe(_) => f.write_str("subscribe"),
            Self::Unsubscribe(_) => f.write_str("unsubscribe"),
            Self::Plan => f.write_str("plan"),
            Self::Status => f.write_str("status"),
            Self::Get(_) => f.write_str("get"),
            Self::Stop => f.write_str("stop"),
        }
    }
}

/// `None` if no function has this name and arity.
fn parse(function: &str, arguments: &[Term]) -> Option<Result<Request, Wrong>> {
    Some(match (function, arguments) {
        ("set_route", [ifname, subnets, gateway]) => set_route(ifname, subnets, gateway),
        ("clear_route", [ifname]) => arguments::ifname(ifname).map(Request::ClearRoute),
        ("set_connection_status", [ifname, status]) => set_connection_status(ifname, status, None),
        ("set_connection_status", [ifname, status, why]) => set_connection_status(ifname, status, Some(why)),
        ("refresh_route_metrics", []) => Ok(Request::RefreshRouteMetrics),
        ("set_metric", [ifname, metric]) => set_metric(ifname, metric),
        ("set_owner_policy", [policy]) => arguments::owner_policy(policy).map(Request::SetOwnerPolicy),
        ("subscribe", []) => Ok(Request::Subscribe(None)),
        ("subscribe", [pid]) => arguments::pid(pid).map(|pid| Request::Subscribe(Some(pid))),
        ("unsubscribe", []) => Ok(Request::Unsubscribe(None)),
        ("unsubscribe", [pid]) => arguments::pid(pid).map(|pid| Request::Unsubscribe(Some(pid))),
        ("plan", []) => Ok(Request::Plan),
        ("status", []) => Ok(Request::Status),
        ("get", [property]) => Ok(Request::Get(property.clone())),
        ("stop", []) => Ok(Request::Stop),
        _ => return None,
    })
}

/// The arguments of a `set_connection_status` without a reason, if they have their commonest form. What they mean is what
/// [`Request::from_call`] finds.
pub(super) fn status_alone(request: &dist::Request<'_>) -> Option<(IfName, Status)> {
    let ("set_connection_status", [Plain::Binary(ifname), Plain::Atom(status)]) = request.words()? else { return None };
    Some((IfName::new(ifname).ok()?, Status::parse(status)?))
}

fn set_route(ifname: &Term, subnets: &Term, gateway: &Term) -> Result<Request, Wrong> {
    Ok(Request::SetRoute {
        ifname: arguments::ifname(ifname)?,
        subnets: arguments::subnets(subnets)?,
        gateway: arguments::gateway(gateway)?,
    })
}

fn set_connection_status(ifname: &Term, status: &Term, why: Option<&Term>) -> Result<Request, Wrong> {
    Ok(Request::SetConnectionStatus {
        ifname: arguments::ifname(ifname)?,
        status: arguments::status(status)?,
        why: why.map_or(Ok(None), arguments::why)?,
    })
}

fn set_metric(ifname: &Term, metric: &Term) -> Result<Request, Wrong> {
    Ok(Request::SetMetric { ifname: arguments::ifname(ifname)?, metric: arguments::metric(metric)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::term::{atom, binary, tuple};

    #[test]
    fn calls_and_functions_are_the_same_requests() {
        let call = Request::from_call(&tuple([atom("clear_route"), binary("eth0")]));
        assert_eq!(call, Request::from_function("clear_route", &[binary("eth0")]));
        assert_eq!(Request::from_call(&atom("status")), Ok(Request::Status));
        let [with, without] = [
            Request::from_call(&tuple([atom("set_connection_status"), binary("eth0"), atom("lan"), binary("why")])),
            Request::from_call(&tuple([atom("set_connection_status"), binary("eth0"), atom("lan")])),
        ];
        assert!(matches!(with, Ok(Request::SetConnectionStatus { why: Some(_), .. })));
        assert!(matches!(without, Ok(Request::SetConnectionStatus { why: None, .. })));
    }

    #[test]
    fn refusals_name_the_request() {
        let bad = Request::from_call(&tuple([atom("set_connection_status"), binary("eth0"), atom("up")]));
        let said = "set_connection_status: status up is not disconnected, lan or internet";
        assert_eq!(bad, Err(Refusal::BadArgument(said.into())));
        for unknown in [atom("dance"), tuple([]), tuple([atom("status")]), tuple([atom("clear_route")]), binary("x")] {
            assert_eq!(Request::from_call(&unknown), Err(Refusal::Unknown));
        }
    }
}
