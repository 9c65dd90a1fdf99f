//! What the kernel tells. An input may be a datagram as it is, or messages whose headers are made here.

use std::collections::BTreeSet;
use std::net::IpAddr;

use beamroute::netlink::fuzz::{conntrack_deletions, route_datagram};

use super::bytes::Input;

pub const WORDS: &[&[u8]] = &[
    // Attributes: RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_PRIORITY, RTA_PREFSRC, RTA_TABLE, RTA_MULTIPATH, RTA_VIA.
    &[8, 0, 1, 0, 10, 0, 0, 0],
    &[8, 0, 4, 0, 2, 0, 0, 0],
    &[8, 0, 5, 0, 10, 0, 0, 1],
    &[8, 0, 6, 0, 10, 0, 0, 0],
    &[8, 0, 7, 0, 10, 0, 0, 5],
    &[8, 0, 15, 0, 100, 0, 0, 0],
    &[20, 0, 9, 0, 16, 0, 0, 0, 2, 0, 0, 0, 8, 0, 5, 0, 10, 0, 0, 1],
    &[22, 0, 18, 0, 10, 0, 0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0],
    // IFLA_IFNAME, IFLA_MASTER.
    &[9, 0, 3, 0, b'e', b't', b'h', b'0', 0, 0, 0, 0],
    &[8, 0, 10, 0, 3, 0, 0, 0],
    // FRA_PROTOCOL, FRA_SUPPRESS_PREFIXLEN.
    &[5, 0, 21, 0, 110, 0, 0, 0],
    &[8, 0, 14, 0, 0, 0, 0, 0],
    // struct rtmsg of an IPv4 route of ours, of a rule from an address.
    &[2, 24, 0, 0, 254, 110, 0, 1, 0, 0, 0, 0],
    &[2, 0, 32, 0, 100, 0, 0, 1, 0, 0, 0, 0],
    &[10, 64, 0, 0, 254, 2, 0, 1, 0, 0, 0, 0],
    // CTA_TUPLE_ORIG, CTA_TUPLE_REPLY, CTA_ID.
    &[20, 0, 1, 128, 16, 0, 1, 128, 8, 0, 1, 0, 10, 0, 0, 2, 8, 0, 2, 0],
    &[20, 0, 2, 128, 16, 0, 1, 128, 8, 0, 1, 0, 10, 0, 0, 2, 8, 0, 2, 0, 192, 168, 1, 50],
    &[8, 0, 12, 0, 1, 2, 3, 4],
    &[192, 168, 1, 50],
    &[0, 0, 0, 0],
];

/// `RTM_*` of all kinds that we look at, and `NLMSG_ERROR`, `NLMSG_DONE`.
const ROUTE_KINDS: [u16; 11] = [16, 17, 20, 21, 24, 25, 32, 33, 105, 2, 3];

/// A datagram of rtnetlink.
pub fn route(input: &[u8]) {
    let _ = route_datagram(&datagram(input, &ROUTE_KINDS), 110);
}

/// A datagram of ctnetlink (`IPCTNL_MSG_CT_NEW`).
pub fn conntrack(input: &[u8]) {
    let asked: BTreeSet<IpAddr> = ["192.168.1.50", "fd00::1"].into_iter().flat_map(str::parse).collect();
    for body in conntrack_deletions(&datagram(input, &[0x0100]), &asked) {
        let tuple = body.get(4..8).expect("a request without a tuple would delete all connections");
        assert_eq!(u16::from_ne_bytes([tuple[2], tuple[3]]) & 0x3fff, 1, "CTA_TUPLE_ORIG comes first");
    }
}

fn datagram(input: &[u8], kinds: &[u16]) -> Vec<u8> {
    let mut input = Input(input);
    if input.byte() & 1 == 0 {
        return input.0.to_vec();
    }
    let mut out: Vec<u8> = Vec::new();
    while !input.0.is_empty() {
        let kind = kinds[usize::from(input.byte()) % kinds.len()];
        let flags = u16::from(input.byte());
        let body = input.piece().unwrap_or_default();
        out.extend((16 + body.len() as u32).to_ne_bytes());
        out.extend(kind.to_ne_bytes());
        // The bits that matter are NLM_F_REPLACE, NLM_F_CAPPED and NLM_F_ACK_TLVS.
        out.extend((flags & 0xf | (flags & 0xf0) << 4).to_ne_bytes());
        out.extend([1, 0, 0, 0, 0, 0, 0, 0]);
        out.extend(body);
        out.resize(out.len().next_multiple_of(4), 0);
    }
    out
}
