//! What this kernel, and this process's privileges, lack.

use std::net::{IpAddr, Ipv4Addr};

use nix::libc;

use super::error::NetlinkError;
use super::snapshot::{POLICY_ROUTING, rules};
use super::socket::CommandSocket;
use super::{Config, batch, netns};
use crate::route::{Change, Family, Object, Rule};

/// Something that is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// The privilege to change routes.
    NetAdmin,
    /// Policy rules for IPv4: nothing works without.
    PolicyRouting,
    /// IPv6, or policy rules for it: IPv4 works all the same.
    Ipv6Rules,
}

impl Missing {
    /// Whether routes cannot be managed at all without it.
    #[must_use]
    pub const fn is_fatal(self) -> bool {
        !matches!(self, Self::Ipv6Rules)
    }
}

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NetAdmin => "the capability CAP_NET_ADMIN in this network namespace",
            Self::PolicyRouting => POLICY_ROUTING,
            Self::Ipv6Rules => "IPv6 with policy rules (CONFIG_IPV6, CONFIG_IPV6_MULTIPLE_TABLES)",
        })
    }
}

/// Finds out what is missing, changing nothing.
///
/// # Errors
/// If the namespace cannot be entered or the kernel does not answer.
pub fn check_support(config: &Config) -> Result<Vec<Missing>, NetlinkError> {
    let mut socket = netns::within(config.netns.as_deref(), CommandSocket::open)?;
    let mut missing = Vec::new();
    if !has_net_admin(&mut socket, config.protocol)? {
        missing.push(Missing::NetAdmin);
    }
    for (family, what) in [(Family::V4, Missing::PolicyRouting), (Family::V6, Missing::Ipv6Rules)] {
        if rules(&mut socket, family, drop)?.is_none() {
            missing.push(what);
        }
    }
    Ok(missing)
}

/// Deletes a rule that cannot be there: the privilege is looked at first (`rtnetlink_rcv_msg` in
/// `net/core/rtnetlink.c`).
fn has_net_admin(socket: &mut CommandSocket, protocol: u8) -> Result<bool, NetlinkError> {
    // 192.0.2.0/24 is for documentation (RFC 5737), and our rules lie in front of the kernel's, at 32766.
    let rule = Rule { src: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 255)), table: u32::MAX - 1, priority: u32::MAX - 1 };
    let request = batch::request(&Change::Delete(Object::Rule(rule)), protocol);
    let answers = socket.send_all("try to delete a rule", [request])?;
    Ok(!answers.iter().flatten().any(|refusal| matches!(refusal.errno, libc::EPERM | libc::EACCES)))
}
