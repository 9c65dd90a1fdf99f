//! Whose turn it is to go when too many have come.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

/// Where somebody comes from: an IPv4 address, or an IPv6 network, for whoever has one address of a /64 has them all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Source(IpAddr);

impl Source {
    /// That of an address; one of IPv4 in IPv6's clothes is one of IPv4.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX))),
            ip @ IpAddr::V4(_) => ip,
        })
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            IpAddr::V4(ip) => write!(f, "{ip}"),
            IpAddr::V6(ip) => write!(f, "{ip}/64"),
        }
    }
}

/// The place of the one who has to go: the first (oldest) of the source that has most. So a flood from one source pushes
/// out itself.
#[must_use]
pub fn oldest_of_most(sources: impl Iterator<Item = Source>) -> Option<usize> {
    let mut crowds: BTreeMap<Source, (usize, Reverse<usize>)> = BTreeMap::new();
    for (place, source) in sources.enumerate() {
        crowds.entry(source).or_insert((0, Reverse(place))).0 += 1;
    }
    // Of sources with as many, the one that came first.
    let (_, Reverse(place)) = crowds.into_values().max()?;
    Some(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources<'a>(texts: &'a [&str]) -> impl Iterator<Item = Source> + 'a {
        texts.iter().map(|text| Source::of(text.parse().unwrap()))
    }

    #[test]
    fn whoever_has_most_goes_first() {
        assert_eq!(oldest_of_most(sources(&[])), None);
        assert_eq!(oldest_of_most(sources(&["192.0.2.1", "192.0.2.2", "192.0.2.2"])), Some(1));
        assert_eq!(oldest_of_most(sources(&["192.0.2.1", "2001:db8::1", "2001:db8::2"])), Some(1));
        assert_eq!(oldest_of_most(sources(&["2001:db8::1", "192.0.2.1", "::ffff:192.0.2.1"])), Some(1));
        for equals in [["192.0.2.2", "192.0.2.1", "192.0.2.3"], ["192.0.2.1", "192.0.2.3", "2001:db8::1"]] {
            assert_eq!(oldest_of_most(sources(&equals)), Some(0), "of equals the oldest: {equals:?}");
        }
    }

    #[test]
    fn sources_are_shown() {
        let shown: Vec<_> = sources(&["192.0.2.1", "2001:db8::1"]).map(|source| source.to_string()).collect();
        assert_eq!(shown, ["192.0.2.1", "2001:db8::/64"]);
    }
}
