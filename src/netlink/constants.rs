//! Numbers of rtnetlink that `libc` does not have for every target, by the names of the kernel's headers.

use nix::libc;

// include/uapi/linux/netlink.h
pub(super) const NLMSG_ERROR: u16 = 2;
pub(super) const NLMSG_DONE: u16 = 3;
pub(super) const NLM_F_REQUEST: u16 = 0x001;
pub(super) const NLM_F_ACK: u16 = 0x004;
pub(super) const NLM_F_DUMP_INTR: u16 = 0x010;
pub(super) const NLM_F_DUMP: u16 = 0x300;
pub(super) const NLM_F_REPLACE: u16 = 0x100;
pub(super) const NLM_F_EXCL: u16 = 0x200;
pub(super) const NLM_F_CREATE: u16 = 0x400;
pub(super) const NLM_F_APPEND: u16 = 0x800;
pub(super) const NLM_F_CAPPED: u16 = 0x100;
pub(super) const NLM_F_ACK_TLVS: u16 = 0x200;
pub(super) const NLMSGERR_ATTR_MSG: u16 = 1;

// include/uapi/linux/rtnetlink.h
pub(super) const AF_UNSPEC: u8 = 0;
pub(super) const RTM_NEWROUTE: u16 = 24;
pub(super) const RTM_DELROUTE: u16 = 25;
pub(super) const RTM_NEWRULE: u16 = 32;
pub(super) const RTM_DELRULE: u16 = 33;
pub(super) const RTA_DST: u16 = 1;
pub(super) const RTA_OIF: u16 = 4;
pub(super) const RTA_GATEWAY: u16 = 5;
pub(super) const RTA_PRIORITY: u16 = 6;
pub(super) const RTA_PREFSRC: u16 = 7;
pub(super) const RTA_TABLE: u16 = 15;
pub(super) const RTA_VIA: u16 = 18;
pub(super) const RTNH_F_ONLINK: u32 = 4;
pub(super) const RTM_F_CLONED: u32 = 0x200;
pub(super) const RTPROT_KERNEL: u8 = 2;
pub(super) const RTN_UNICAST: u8 = 1;
pub(super) const RT_SCOPE_UNIVERSE: u8 = 0;
pub(super) const RT_SCOPE_LINK: u8 = 253;
pub(super) const RT_TABLE_LOCAL: u32 = 255;
/// `RTNLGRP_*`: link, IPv4 address, route, rule, IPv6 address, route, rule.
pub(super) const GROUPS: [u32; 7] = [1, 5, 7, 8, 9, 11, 19];
/// `RTNLGRP_NEXTHOP`, since Linux 5.3.
pub(super) const NEXTHOP_GROUP: u32 = 32;
pub(super) const RTM_DELNEXTHOP: u16 = 105;

// include/uapi/linux/if.h and if_addr.h
pub(super) const IFF_UP: u32 = 1;
pub(super) const IFA_FLAGS: u16 = 8;
pub(super) const IFA_RT_PRIORITY: u16 = 9;
pub(super) const IFA_F_SECONDARY: u32 = 0x01;
pub(super) const IFA_F_OPTIMISTIC: u32 = 0x04;
pub(super) const IFA_F_DADFAILED: u32 = 0x08;
pub(super) const IFA_F_TENTATIVE: u32 = 0x40;
pub(super) const IFA_F_NOPREFIXROUTE: u32 = 0x200;

// include/uapi/linux/fib_rules.h
pub(super) const FIB_RULE_INVERT: u32 = 2;
pub(super) const FRA_SRC: u16 = 2;
pub(super) const FRA_PRIORITY: u16 = 6;
pub(super) const FRA_SUPPRESS_IFGROUP: u16 = 13;
pub(super) const FRA_SUPPRESS_PREFIXLEN: u16 = 14;
pub(super) const FRA_TABLE: u16 = 15;
pub(super) const FRA_PAD: u16 = 18;
pub(super) const FRA_PROTOCOL: u16 = 21;
pub(super) const FR_ACT_TO_TBL: u8 = 1;

pub(super) const NLA_F_NESTED: u16 = 0x8000;

// include/uapi/linux/netfilter/nfnetlink.h and nfnetlink_conntrack.h
pub(super) const NFNL_SUBSYS_CTNETLINK: u8 = 1;
pub(super) const NFNETLINK_V0: u8 = 0;
pub(super) const IPCTNL_MSG_CT_NEW: u8 = 0;
pub(super) const IPCTNL_MSG_CT_GET: u8 = 1;
pub(super) const IPCTNL_MSG_CT_DELETE: u8 = 2;
pub(super) const IPCTNL_MSG_CT_GET_STATS: u8 = 5;
pub(super) const CTA_TUPLE_ORIG: u16 = 1;
pub(super) const CTA_TUPLE_REPLY: u16 = 2;
pub(super) const CTA_ID: u16 = 12;
pub(super) const CTA_ZONE: u16 = 18;
pub(super) const CTA_TUPLE_IP: u16 = 1;
pub(super) const CTA_IP_V4_DST: u16 = 2;
pub(super) const CTA_IP_V6_DST: u16 = 4;

/// `IP6_RT_PRIO_ADDRCONF` (`include/net/ip6_route.h`): the metric of the kernel's own on-link routes.
pub(super) const IPV6_CONNECTED_METRIC: u32 = 256;

/// Datagrams are read without waiting: the kernel answers before `send` returns. `MSG_TRUNC` tells the whole length.
pub(super) const RECEIVE_FLAGS: i32 = libc::MSG_DONTWAIT | libc::MSG_TRUNC;
