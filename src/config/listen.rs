//! Where the node (and an embedded epmd) listens when nobody has said.
//!
//! Loopback only: a cookie is no encryption. Debian maps a machine's own name to 127.0.1.1, so that address is taken
//! too when the node's host resolves to it. Anything else has to be asked for with `--listen`.

use std::net::{IpAddr, Ipv4Addr, ToSocketAddrs as _};
use std::sync::mpsc;
use std::time::Duration;

/// How long the resolver has for our own host's name.
const RESOLVE_WITHIN: Duration = Duration::from_secs(2);

/// Where to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listening {
    /// The addresses, the main one first.
    pub addresses: Vec<IpAddr>,
    /// The node's host has an address at which we do not listen: peers that look it up will not reach us.
    /// The ready line then names `--listen`.
    pub unreachable: Option<IpAddr>,
}

/// The addresses to listen on: the one asked for, or the default ones for a host that resolves so.
pub fn listening(asked: Option<IpAddr>, resolved: &[IpAddr]) -> Listening {
    let addresses = asked.map_or_else(|| default_listen(resolved), |ip| vec![ip]);
    let reached = |ip: &IpAddr| {
        addresses.iter().any(|own| own == ip || (own.is_unspecified() && (own.is_ipv6() || ip.is_ipv4())))
    };
    // Peers take the first address that they find; BEAMs look for IPv4 only, unless told otherwise.
    let first = resolved.iter().find(|ip| ip.is_ipv4()).or(resolved.first());
    let unreachable = first.filter(|ip| !reached(ip)).copied();
    Listening { addresses, unreachable }
}

/// 127.0.0.1, and the addresses within 127/8 that the node's host resolves to.
pub fn default_listen(resolved: &[IpAddr]) -> Vec<IpAddr> {
    let mut addresses = vec![IpAddr::V4(Ipv4Addr::LOCALHOST)];
    for ip in resolved {
        if ip.is_ipv4() && ip.is_loopback() && !addresses.contains(ip) {
            addresses.push(*ip);
        }
    }
    addresses
}

/// The addresses of a node name's host; none when it cannot be resolved within two seconds.
pub fn resolve(host: &str) -> Vec<IpAddr> {
    if let Ok(ip) = host.parse() {
        return vec![ip];
    }
    let host = host.to_owned();
    let (answer, answered) = mpsc::channel();
    // getaddrinfo cannot be interrupted: a thread that nobody waits for.
    std::thread::spawn(move || {
        let found = (host.as_str(), 0).to_socket_addrs().map(|found| found.map(|a| a.ip()).collect::<Vec<_>>());
        let _ = answer.send(found.unwrap_or_default());
    });
    let mut found = answered.recv_timeout(RESOLVE_WITHIN).unwrap_or_default();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_and_asked() {
        let ips = |list: &[&str]| list.iter().map(|ip| ip.parse().unwrap()).collect::<Vec<IpAddr>>();
        for (asked, resolved, addresses, unreachable) in [
            (None, &[][..], &["127.0.0.1"][..], None),
            (None, &["127.0.0.1"], &["127.0.0.1"], None),
            (None, &["127.0.1.1"], &["127.0.0.1", "127.0.1.1"], None),
            (None, &["::1", "127.0.1.1"], &["127.0.0.1", "127.0.1.1"], None),
            (None, &["192.0.2.7"], &["127.0.0.1"], Some("192.0.2.7")),
            (None, &["2001:db8::1"], &["127.0.0.1"], Some("2001:db8::1")),
            (Some("192.0.2.7"), &["192.0.2.7"], &["192.0.2.7"], None),
            (Some("192.0.2.7"), &["192.0.2.8"], &["192.0.2.7"], Some("192.0.2.8")),
            (Some("0.0.0.0"), &["192.0.2.8"], &["0.0.0.0"], None),
            (Some("::"), &["192.0.2.8"], &["::"], None),
        ] {
            let unreachable = unreachable.map(|ip: &str| ip.parse().unwrap());
            let got = listening(asked.map(|ip: &str| ip.parse().unwrap()), &ips(resolved));
            assert_eq!(got, Listening { addresses: ips(addresses), unreachable }, "{asked:?} {resolved:?}");
        }
    }

    #[test]
    fn addresses_resolve_to_themselves() {
        assert_eq!(resolve("127.0.1.1"), ["127.0.1.1".parse::<IpAddr>().unwrap()]);
    }
}
