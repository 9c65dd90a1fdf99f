//! What the kernel has, as far as planning looks at it: filled by [`crate::netlink`], read by the plan.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::{Connected, Family, IfName, Object, Prefix, Rule};

/// A mirror of the kernel's links, addresses, and of the routes and rules that matter to us.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct World {
    /// Links by ifindex.
    pub links: BTreeMap<u32, Link>,
    /// Addresses of links.
    pub addresses: BTreeSet<Address>,
    /// Routes and rules with our protocol number.
    pub ours: BTreeSet<Object>,
    /// The kernel's own connected routes in main: IPv4 with metric 0, IPv6 with metric 256.
    pub connected: BTreeSet<Connected>,
    /// How many routes with another protocol number each table holds; the local table is left out.
    pub foreign_routes: BTreeMap<u32, u32>,
    /// Default routes in main with another protocol number.
    pub foreign_defaults: BTreeSet<ForeignDefault>,
    /// Tables named by rules that are not ours (the kernel's own three excepted), counted.
    pub foreign_rules: BTreeMap<u32, u32>,
    /// Whether the kernel has IPv6 with policy rules (`CONFIG_IPV6_MULTIPLE_TABLES`).
    pub has_ipv6_rules: bool,
}

/// A network interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// Its name; changes when it is renamed.
    pub name: IfName,
    /// `IFF_UP`: administratively up. Loss of carrier is not link down.
    pub is_up: bool,
}

/// An address of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    /// The link.
    pub ifindex: u32,
    /// The local address.
    pub ip: IpAddr,
    /// The network it was added with (of the peer, on a point-to-point link).
    pub network: Prefix,
    /// `IFA_F_TENTATIVE` (or `IFA_F_DADFAILED`): not usable as a source yet.
    pub is_tentative: bool,
    /// `IFA_F_NOPREFIXROUTE`: the kernel makes no connected route for it.
    pub has_no_prefix_route: bool,
}

/// A default route in main that is not ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ForeignDefault {
    /// IPv4 or IPv6.
    pub family: Family,
    /// Its metric.
    pub metric: u32,
    /// Its outgoing interface; 0 if it has none (unreachable, multipath).
    pub ifindex: u32,
    /// Its gateway.
    pub gateway: Option<IpAddr>,
    /// Its protocol number (`RTPROT_*`).
    pub protocol: u8,
}

impl World {
    /// The ifindex and link that bear `name`.
    #[must_use]
    pub fn link_named(&self, name: IfName) -> Option<(u32, Link)> {
        self.links.iter().find(|(_, link)| link.name == name).map(|(index, link)| (*index, *link))
    }

    /// The address `ip` on link `ifindex`.
    #[must_use]
    pub fn address(&self, ifindex: u32, ip: IpAddr) -> Option<&Address> {
        self.addresses.iter().find(|a| a.ifindex == ifindex && a.ip == ip)
    }

    /// Whether someone else has routes in `table` or rules that name it.
    #[must_use]
    pub fn is_foreign_table(&self, table: u32) -> bool {
        self.foreign_routes.contains_key(&table) || self.foreign_rules.contains_key(&table)
    }

    /// Our rules among [`World::ours`].
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.ours.iter().filter_map(|o| match o {
            Object::Rule(rule) => Some(rule),
            Object::Route(_) => None,
        })
    }
}
