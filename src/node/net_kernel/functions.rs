//! The exported functions of `net_kernel` that can be called by `rpc`: a name and arguments → what is asked, and the
//! right it needs.
//!
//! Which arguments raise what is OTP's (`net_kernel.erl`), with two differences: `start([Name, Domain])` with an unknown
//! domain is `function_clause` (T3), and a time of more than 2^32 - 1 seconds is `system_limit`, where a BEAM's ticker
//! crashes. Options of `getopts`, `setopts` and `monitor_nodes` stay terms: other answers go before theirs.

use std::num::NonZeroU32;

use eetf::{Atom, Pid, Term};
use num_bigint::Sign;

use super::Start;
use super::ticktime::TRANSITION_SECONDS;
use crate::node::Answer;
use crate::term::{as_atom, as_tuple, atom, list, tuple};

/// A call with arguments that its function takes.
#[derive(Debug, Clone, PartialEq)]
pub enum NetKernelCall {
    /// `allow(Nodes)`
    Allow(Term),
    /// `connect_node(Node)`
    ConnectNode(String),
    /// `get_net_ticktime()`
    GetNetTicktime,
    /// `set_net_ticktime(Ticktime, Transition)`
    SetNetTicktime {
        /// In seconds.
        ticktime: NonZeroU32,
        /// In seconds.
        transition: u32,
    },
    /// `getopts(Node, Options)`
    Getopts {
        /// Whose connection.
        node: String,
        /// Some list.
        options: Term,
    },
    /// `setopts(Node, Options)`
    Setopts {
        /// Whose connection.
        node: String,
        /// Some list.
        options: Term,
    },
    /// `setopts(new, Options)`
    SetoptsNew {
        /// Some list.
        options: Term,
    },
    /// `monitor_nodes(Flag)`, `monitor_nodes(Flag, Options)`
    MonitorNodes {
        /// Anything.
        flag: Term,
        /// Anything.
        options: Option<Term>,
    },
    /// `start([Name, ...])`, `start(Name, Options)`
    Start(Start),
    /// `stop()`
    Stop,
}

/// What a caller must be allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    /// To [read](super::super::Rights::read).
    Read,
    /// To [administer](super::super::Rights::admin).
    Admin,
    /// Nobody may from elsewhere.
    Never,
}

/// Why arguments are not taken: the reason of the exception.
pub(super) type Raise = Term;

impl NetKernelCall {
    /// Understands `net_kernel:Function(Args)`.
    ///
    /// # Errors
    /// The exception to answer with: `undef`, `function_clause`, and `start/2`'s own.
    pub fn parse(function: &str, args: &[Term]) -> Result<Self, Answer> {
        let raise = |reason| {
            let frame = tuple([atom("net_kernel"), atom(function), list(args), list([])]);
            Answer::Error(reason, list([frame]))
        };
        let undef = || Answer::undef(&Atom::from("net_kernel"), &Atom::from(function), args);
        let call = match (function, args) {
            ("allow", [nodes]) => Ok(Self::Allow(nodes.clone())),
            ("connect_node", [node]) => node_name(node).map(Self::ConnectNode),
            ("get_net_ticktime", []) => Ok(Self::GetNetTicktime),
            ("set_net_ticktime", [ticktime]) => {
                seconds(ticktime).map(|ticktime| Self::SetNetTicktime { ticktime, transition: TRANSITION_SECONDS })
            }
            ("set_net_ticktime", [ticktime, transition]) => set_net_ticktime(ticktime, transition),
            ("getopts", [node, options]) => opts(node, options).map(|(node, options)| Self::Getopts { node, options }),
            ("setopts", [node, options]) => opts(node, options).map(|(node, options)| match node.as_str() {
                "new" => Self::SetoptsNew { options },
                _ => Self::Setopts { node, options },
            }),
            ("monitor_nodes", [flag]) => Ok(Self::MonitorNodes { flag: flag.clone(), options: None }),
            ("monitor_nodes", [flag, options]) => {
                Ok(Self::MonitorNodes { flag: flag.clone(), options: Some(options.clone()) })
            }
            ("start", [parts]) => Start::from_list(parts).map(Self::Start),
            ("start", [name, options]) => Start::from_options(name, options).map(Self::Start),
            ("stop", []) => Ok(Self::Stop),
            _ => return Err(undef()),
        };
        call.map_err(raise)
    }

    /// The request of `GenServer.call({:net_kernel, node}, {:monitor_nodes, true, opts})`, which BEAMs do not know.
    #[must_use]
    pub fn from_gen_request(request: &Term) -> Option<Self> {
        let (tag, flag, options) = match (as_tuple::<2>(request), as_tuple::<3>(request)) {
            (Some([tag, flag]), _) => (tag, flag, None),
            (_, Some([tag, flag, options])) => (tag, flag, Some(options.clone())),
            _ => return None,
        };
        (as_atom(tag)? == "monitor_nodes").then(|| Self::MonitorNodes { flag: flag.clone(), options })
    }

    /// The right that the node `caller` needs for this on our node `ours`.
    #[must_use]
    pub fn right(&self, ours: &str, caller: &str) -> Right {
        match self {
            Self::GetNetTicktime | Self::Getopts { .. } | Self::MonitorNodes { .. } => Right::Read,
            Self::ConnectNode(node) => right_towards(node, ours, caller),
            Self::Allow(_)
            | Self::SetNetTicktime { .. }
            | Self::Setopts { .. }
            | Self::SetoptsNew { .. }
            | Self::Start(_) => Right::Admin,
            Self::Stop => Right::Never,
        }
    }
}

/// The right to have our node connect to `node`, or disconnect from it: third nodes are not the caller's business.
#[must_use]
pub fn right_towards(node: &str, ours: &str, caller: &str) -> Right {
    if node == ours || node == caller { Right::Read } else { Right::Admin }
}

/// `{error, not_allowed}`: what a caller without the right gets, and everybody for `stop` (T4).
#[must_use]
pub fn not_allowed() -> Term {
    tuple([atom("error"), atom("not_allowed")])
}

/// What `start` answers on a node that is started, `{error, {already_started, Pid}}`, as OTP 26 and later say it.
#[must_use]
pub fn already_started(net_sup: &Pid) -> Term {
    tuple([atom("error"), tuple([atom("already_started"), net_sup.clone().into()])])
}

fn set_net_ticktime(ticktime: &Term, transition: &Term) -> Result<NetKernelCall, Raise> {
    let transition = natural(transition).ok_or_else(function_clause)?;
    // 136 years are as good as more.
    let transition = u32::try_from(transition).unwrap_or(u32::MAX);
    Ok(NetKernelCall::SetNetTicktime { ticktime: seconds(ticktime)?, transition })
}

fn opts(node: &Term, options: &Term) -> Result<(String, Term), Raise> {
    match options {
        Term::List(_) | Term::ImproperList(_) => Ok((node_name(node)?, options.clone())),
        _ => Err(function_clause()),
    }
}

pub(super) fn node_name(node: &Term) -> Result<String, Raise> {
    as_atom(node).map(str::to_owned).ok_or_else(function_clause)
}

fn seconds(time: &Term) -> Result<NonZeroU32, Raise> {
    in_range(natural(time).filter(|time| *time > 0).ok_or_else(function_clause)?)
}

pub(super) fn in_range(seconds: u64) -> Result<NonZeroU32, Raise> {
    u32::try_from(seconds).ok().and_then(NonZeroU32::new).ok_or_else(|| atom("system_limit"))
}

/// An integer of 0 or more; the largest there is for what is larger.
pub(super) fn natural(term: &Term) -> Option<u64> {
    match term {
        Term::FixInteger(integer) => u64::try_from(integer.value).ok(),
        Term::BigInteger(integer) if integer.value.sign() != Sign::Minus => {
            Some(u64::try_from(&integer.value).unwrap_or(u64::MAX))
        }
        _ => None,
    }
}

pub(super) fn function_clause() -> Raise {
    atom("function_clause")
}

#[cfg(test)]
#[path = "functions_tests.rs"]
mod tests;
