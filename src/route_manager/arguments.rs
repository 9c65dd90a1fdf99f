//! Terms → arguments, in every form that callers use.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

use std::net::IpAddr;

use super::owners::OwnerPolicy;
use crate::route::{IfName, Metric, Status, Subnet, is_unicast};
use crate::term::{Pid, Show, Term, as_atom, as_integer, as_ip, as_list, as_text, as_tuple};

/// More than any reason that a person wrote; the desired state keeps it.
const MAX_WHY_BYTES: usize = 4096;
/// More addresses than any interface has; the desired state keeps them.
const MAX_SUBNETS: usize = 1024;

/// What is wrong with an argument, in a sentence.
pub(super) type Wrong = String;

/// A binary, string or atom that names an interface.
pub(super) fn ifname(term: &Term) -> Result<IfName, Wrong> {
    let name = match as_atom(term) {
        Some(name) => name.as_bytes().to_vec(),
        None => as_text(term).ok_or_else(|| format!("{} is not an interface name", Show(term)))?,
    };
    IfName::new(&name).map_err(|error| format!("interface name {} {error}", Show(term)))
}

/// A list of `{Address, PrefixLength}`.
pub(super) fn subnets(term: &Term) -> Result<Vec<Subnet>, Wrong> {
    let subnets = as_list(term).ok_or_else(|| format!("{} is not a list of {{Address, PrefixLength}}", Show(term)))?;
    if subnets.len() > MAX_SUBNETS {
        return Err(format!("{} addresses are more than {MAX_SUBNETS}", subnets.len()));
    }
    subnets.iter().map(subnet).collect()
}

fn subnet(term: &Term) -> Result<Subnet, Wrong> {
    let [ip, prefix_len] = as_tuple(term).ok_or_else(|| format!("{} is not {{Address, PrefixLength}}", Show(term)))?;
    let ip = address(ip)?;
    let prefix_len = as_integer(prefix_len).and_then(|len| u32::try_from(len).ok());
    let prefix_len = prefix_len.ok_or_else(|| format!("prefix length in {} is not a number of bits", Show(term)))?;
    Subnet::new(ip, prefix_len).map_err(|error| error.to_string())
}

/// An address, or `nil` or `undefined` for none.
pub(super) fn gateway(term: &Term) -> Result<Option<IpAddr>, Wrong> {
    match as_atom(term) {
        Some("nil" | "undefined") => Ok(None),
        _ => match address(term) {
            Ok(ip) if is_unicast(ip) => Ok(Some(ip)),
            Ok(ip) => Err(format!("gateway {ip} is not a unicast address")),
            Err(wrong) => Err(format!("gateway: {wrong}")),
        },
    }
}

/// A 4- or 8-tuple, or text.
fn address(term: &Term) -> Result<IpAddr, Wrong> {
    let wrong = || format!("{} is not an IP address", Show(term));
    if let Term::Tuple(_) = term {
        return as_ip(term).ok_or_else(wrong);
    }
    let text = as_text(term).and_then(|text| String::from_utf8(text).ok());
    text.and_then(|text| text.parse().ok()).ok_or_else(wrong)
}

/// `disconnected`, `lan` or `internet`.
pub(super) fn status(term: &Term) -> Result<Status, Wrong> {
    let status = as_atom(term).and_then(Status::parse);
    status.ok_or_else(|| format!("status {} is not disconnected, lan or internet", Show(term)))
}

/// Text, or `nil` or `undefined` for none.
pub(super) fn why(term: &Term) -> Result<Option<String>, Wrong> {
    if matches!(as_atom(term), Some("nil" | "undefined")) {
        return Ok(None);
    }
    let text = as_text(term).ok_or_else(|| format!("reason {} is not text", Show(term)))?;
    if text.len() > MAX_WHY_BYTES {
        return Err(format!("a reason of {} bytes is longer than {MAX_WHY_BYTES}", text.len()));
    }
    Ok(Some(String::from_utf8_lossy(&text).into_owned()))
}

/// A number, `disabled`, or `default` for the ranking's own.
pub(super) fn metric(term: &Term) -> Result<Option<Metric>, Wrong> {
    let number = || as_integer(term).and_then(|n| u32::try_from(n).ok()).and_then(Metric::chosen);
    match as_atom(term) {
        Some("default") => Ok(None),
        Some("disabled") => Ok(Some(Metric::Disabled)),
        _ => number().map(Some).ok_or_else(|| {
            format!("metric {} is not a number from 1 to {}, disabled or default", Show(term), Metric::MAX)
        }),
    }
}

/// A pid.
pub(super) fn pid(term: &Term) -> Result<Pid, Wrong> {
    match term {
        Term::Pid(pid) => Ok(pid.clone()),
        other => Err(format!("{} is not a pid", Show(other))),
    }
}

/// `keep`, `{clear_after, Seconds}` or `{lan_after, Seconds}`.
pub(super) fn owner_policy(term: &Term) -> Result<OwnerPolicy, Wrong> {
    let wrong = || format!("{} is not keep, {{clear_after, Seconds}} or {{lan_after, Seconds}}", Show(term));
    if as_atom(term) == Some("keep") {
        return Ok(OwnerPolicy::Keep);
    }
    let [kind, seconds] = as_tuple(term).ok_or_else(wrong)?;
    let seconds = as_integer(seconds).and_then(|s| u32::try_from(s).ok()).ok_or_else(wrong)?;
    let after = std::time::Duration::from_secs(u64::from(seconds));
    match as_atom(kind) {
        Some("clear_after") => Ok(OwnerPolicy::ClearAfter(after)),
        Some("lan_after") => Ok(OwnerPolicy::LanAfter(after)),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::term::{atom, binary, integer, list, string, tuple};

    fn ip4() -> Term {
        tuple([integer(192), integer(0), integer(2), integer(10)])
    }

    #[test]
    fn names_in_every_form() {
        for term in [binary("eth0"), string("eth0"), atom("eth0")] {
            assert_eq!(ifname(&term).unwrap().as_bytes(), b"eth0");
        }
        for term in
            [binary(""), binary("sixteen-bytes-xx"), binary("a b"), string("a/b"), atom("."), integer(1), list([])]
        {
            assert!(ifname(&term).is_err(), "{}", Show(&term));
        }
    }

    #[test]
    fn addresses_in_every_form() {
        let v4: IpAddr = "192.0.2.10".parse().unwrap();
        for term in [ip4(), binary("192.0.2.10"), string("192.0.2.10")] {
            assert_eq!(address(&term), Ok(v4));
        }
        let words = [0x2001, 0xdb8, 0, 0, 0, 0, 0, 1].map(integer);
        assert_eq!(address(&tuple(words)), Ok("2001:db8::1".parse().unwrap()));
        for term in
            [tuple([]), tuple([integer(256), integer(0), integer(0), integer(1)]), binary("192.0.2"), atom("nil")]
        {
            assert!(address(&term).is_err(), "{}", Show(&term));
        }
        assert_eq!((gateway(&atom("nil")), gateway(&atom("undefined"))), (Ok(None), Ok(None)));
    }

    #[test]
    fn subnets_say_what_is_wrong() {
        assert!(subnets(&list([tuple([ip4(), integer(24)])])).is_ok());
        for (len, said) in [(33, "prefix length 33"), (0, "prefix length 0"), (-1, "prefix length")] {
            let wrong = subnets(&list([tuple([ip4(), integer(len)])])).unwrap_err();
            assert!(wrong.contains(said), "{wrong}");
        }
        assert!(subnets(&list([ip4()])).is_err());
        assert!(subnets(&atom("x")).is_err());
    }

    #[test]
    fn metrics_and_policies() {
        assert_eq!(metric(&atom("default")), Ok(None));
        assert_eq!(metric(&atom("disabled")), Ok(Some(Metric::Disabled)));
        assert_eq!(metric(&integer(5)), Ok(Metric::new(5)));
        assert!(metric(&integer(0)).is_err() && metric(&integer(1 << 40)).is_err());
        assert_eq!(metric(&integer(4_000_000_000)), Ok(Metric::new(4_000_000_000)));
        let wrong = metric(&integer(4_000_000_001)).unwrap_err();
        assert_eq!(wrong, "metric 4000000001 is not a number from 1 to 4000000000, disabled or default");
        let after = tuple([atom("clear_after"), integer(3)]);
        assert_eq!(owner_policy(&after), Ok(OwnerPolicy::ClearAfter(std::time::Duration::from_secs(3))));
        assert!(owner_policy(&tuple([atom("lan_after"), integer(-1)])).is_err());
    }
}
