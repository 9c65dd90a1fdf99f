//! How to start a node: `net_kernel:start/1,2`.

use std::num::NonZeroU32;

use eetf::Term;

use super::functions::{Raise, function_clause, in_range, natural, node_name};
use crate::node::NameKind;
use crate::term::{Show, as_atom, as_list, atom, tuple};

/// Ticks in a net_ticktime, unless told otherwise.
const INTENSITY: u16 = 4;

/// How to start a node. What is `None` is as the node's configuration says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// The node's name, with or without a host.
    pub name: String,
    /// The kind of host that it has or gets.
    pub domain: NameKind,
    /// In seconds.
    pub net_ticktime: Option<NonZeroU32>,
    /// Ticks in a net_ticktime, 4 to 1000; what is beyond is taken for the nearest of these.
    pub net_tickintensity: Option<u16>,
    /// Whether to listen, and to register with epmd. A node that does not can only dial.
    pub dist_listen: Option<bool>,
    /// Whether to be hidden. See [`NodeBuilder::visible`](crate::node::NodeBuilder::visible) for what it means not to be.
    pub hidden: Option<bool>,
}

impl Start {
    /// `start([Name | Domain, Tick])`, `Tick` being the interval between two ticks in milliseconds.
    pub(super) fn from_list(parts: &Term) -> Result<Self, Raise> {
        let (name, domain, tick_ms) = match as_list(parts).unwrap_or_default() {
            [name] => (name, NameKind::Long, 15_000),
            [name, domain] => (name, domain_of(domain).ok_or_else(function_clause)?, 15_000),
            [name, domain, tick] => {
                let domain = domain_of(domain).ok_or_else(function_clause)?;
                (name, domain, natural(tick).filter(|tick| *tick > 0).ok_or_else(function_clause)?)
            }
            _ => return Err(function_clause()),
        };
        let name = node_name(name)?;
        let net_ticktime = tick_ms.saturating_mul(u64::from(INTENSITY)).div_ceil(1000);
        let net_ticktime = Some(in_range(net_ticktime)?);
        Ok(Self { domain, net_ticktime, net_tickintensity: Some(INTENSITY), ..Self::long(name) })
    }

    /// `start(Name, Options)`. Of several bad options the first by name is told.
    pub(super) fn from_options(name: &Term, options: &Term) -> Result<Self, Raise> {
        let Term::Map(options) = options else { return Err(atom("invalid_options")) };
        let mut request = Self::long(as_atom(name).ok_or_else(|| atom("invalid_name"))?);
        let mut pairs: Vec<_> = options.map.iter().map(|(key, value)| (Show(key).to_string(), key, value)).collect();
        pairs.sort_by(|(a, ..), (b, ..)| a.cmp(b));
        for (_, key, value) in pairs {
            let invalid = || tuple([atom("invalid_option"), key.clone(), value.clone()]);
            match as_atom(key) {
                Some("name_domain") => request.domain = domain_of(value).ok_or_else(invalid)?,
                Some("net_ticktime") => {
                    let seconds = natural(value).filter(|seconds| *seconds > 0).ok_or_else(invalid)?;
                    request.net_ticktime = Some(in_range(seconds)?);
                }
                Some("net_tickintensity") => {
                    let intensity = natural(value).and_then(|n| u16::try_from(n).ok());
                    let intensity = intensity.filter(|n| (4..=1000).contains(n)).ok_or_else(invalid)?;
                    request.net_tickintensity = Some(intensity);
                }
                Some("dist_listen") => request.dist_listen = Some(flag(value).ok_or_else(invalid)?),
                Some("hidden") => request.hidden = Some(flag(value).ok_or_else(invalid)?),
                _ => return Err(invalid()),
            }
        }
        Ok(request)
    }

    /// A node with a long name: `name@host.domain`, or `name` on this host. The rest is as configured.
    #[must_use]
    pub fn long(name: impl Into<String>) -> Self {
        Self::of(name.into(), NameKind::Long)
    }

    /// A node with a short name: `name@host`, or `name` on this host. The rest is as configured.
    #[must_use]
    pub fn short(name: impl Into<String>) -> Self {
        Self::of(name.into(), NameKind::Short)
    }

    const fn of(name: String, domain: NameKind) -> Self {
        Self { name, domain, net_ticktime: None, net_tickintensity: None, dist_listen: None, hidden: None }
    }
}

fn domain_of(domain: &Term) -> Option<NameKind> {
    match as_atom(domain)? {
        "shortnames" => Some(NameKind::Short),
        "longnames" => Some(NameKind::Long),
        _ => None,
    }
}

fn flag(value: &Term) -> Option<bool> {
    match as_atom(value)? {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}
