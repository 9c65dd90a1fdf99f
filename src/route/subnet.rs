//! An address of an interface and the network around it, as callers give them.

use std::net::IpAddr;

use super::{Family, Prefix};

/// An interface's address with its prefix length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Subnet {
    ip: IpAddr,
    prefix_len: u8,
}

/// Why an address and a prefix length make no subnet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SubnetError {
    /// The family has no such prefix length, or it is 0: that would be a second default route in disguise.
    #[error("prefix length {prefix_len} is not in 1..{max}")]
    PrefixLength {
        /// What was asked for.
        prefix_len: u32,
        /// The bits of the family.
        max: u8,
    },
    /// No interface has such an address of its own.
    #[error("{0} is not a unicast address")]
    NotUnicast(IpAddr),
    /// Every machine has it, on its loopback: a rule for it would lead the machine's own traffic astray.
    #[error("{0} is a loopback address")]
    Loopback(IpAddr),
    /// On no network is IPv4 spoken that way.
    #[error("{0} is an IPv4 address written as IPv6")]
    MappedV4(IpAddr),
}

impl Subnet {
    /// The address `ip` in a network of `prefix_len` leading bits.
    ///
    /// # Errors
    /// [`SubnetError`] says which rule is broken.
    pub fn new(ip: IpAddr, prefix_len: u32) -> Result<Self, SubnetError> {
        let max = Family::of(ip).bits();
        let len = u8::try_from(prefix_len).ok().filter(|len| (1..=max).contains(len));
        let prefix_len = len.ok_or(SubnetError::PrefixLength { prefix_len, max })?;
        if ip.is_loopback() {
            return Err(SubnetError::Loopback(ip));
        }
        if is_mapped_v4(ip) {
            return Err(SubnetError::MappedV4(ip));
        }
        if !is_unicast(ip) {
            return Err(SubnetError::NotUnicast(ip));
        }
        Ok(Self { ip, prefix_len })
    }

    /// The address, host bits included.
    #[must_use]
    pub const fn ip(&self) -> IpAddr {
        self.ip
    }

    /// Leading bits of the network.
    #[must_use]
    pub const fn prefix_len(&self) -> u8 {
        self.prefix_len
    }

    /// The network around the address.
    #[must_use]
    pub fn network(&self) -> Prefix {
        // `new` has checked the length, so the fallback is never taken.
        Prefix::of(self.ip, self.prefix_len).unwrap_or(Prefix::default_route(Family::of(self.ip)))
    }

    /// IPv4 or IPv6.
    #[must_use]
    pub const fn family(&self) -> Family {
        Family::of(self.ip)
    }
}

/// Whether `ip` can be one machine's address on a network.
#[must_use]
pub const fn is_unicast(ip: IpAddr) -> bool {
    let is_broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    !ip.is_unspecified() && !ip.is_multicast() && !is_broadcast && !ip.is_loopback() && !is_mapped_v4(ip)
}

/// `::ffff:10.0.0.1`: for sockets that speak both, never on the wire (RFC 4291, section 2.5.5.2).
const fn is_mapped_v4(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.to_ipv4_mapped().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefix_lengths_of_the_family_only() {
        for (ip, good, bad) in [("10.0.0.1", [1, 8, 32], [0, 33, 256]), ("fd00::1", [1, 64, 128], [0, 129, u32::MAX])] {
            let ip: IpAddr = ip.parse().unwrap();
            for len in good {
                assert_eq!(u32::from(Subnet::new(ip, len).unwrap().prefix_len()), len);
            }
            for len in bad {
                assert!(matches!(Subnet::new(ip, len), Err(SubnetError::PrefixLength { .. })), "{ip}/{len}");
            }
        }
    }

    #[test]
    fn addresses_that_no_interface_has() {
        for ip in ["0.0.0.0", "255.255.255.255", "224.0.0.1", "::", "ff02::1"] {
            let ip: IpAddr = ip.parse().unwrap();
            assert_eq!(Subnet::new(ip, 24), Err(SubnetError::NotUnicast(ip)));
        }
        for text in ["127.0.0.1", "127.255.255.254", "::1"] {
            assert_eq!(Subnet::new(text.parse().unwrap(), 8), Err(SubnetError::Loopback(text.parse().unwrap())));
        }
        for text in ["::ffff:10.1.0.5", "::ffff:127.0.0.1", "::ffff:0.0.0.0"] {
            assert_eq!(Subnet::new(text.parse().unwrap(), 96), Err(SubnetError::MappedV4(text.parse().unwrap())));
        }
        for text in ["128.0.0.1", "126.255.255.255", "::2", "::fffe:10.1.0.5", "64:ff9b::10.1.0.5"] {
            assert!(Subnet::new(text.parse().unwrap(), 24).is_ok(), "{text}");
        }
    }

    #[test]
    fn the_network_has_no_host_bits() {
        let subnet = Subnet::new("192.168.1.50".parse().unwrap(), 24).unwrap();
        assert_eq!(
            (subnet.network().to_string(), subnet.ip().to_string()),
            ("192.168.1.0/24".into(), "192.168.1.50".into())
        );
    }
}
