//! Address translation as `nft add rule inet nat postrouting masquerade` sets it up, without `nft`: one batch of
//! nftables messages (`include/uapi/linux/netfilter/nf_tables.h`).

use std::io::{Error, Result};

use rtnetlink::sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};

const REQUEST: u16 = 1;
const ACK: u16 = 4;
const CREATE: u16 = 0x400;
const NESTED: u16 = 0x8000;
const NFTABLES: u16 = 10;
const NFPROTO_INET: u8 = 1;

/// Has the calling thread's network namespace masquerade everything that leaves, and so track all connections.
pub fn masquerade() -> Result<()> {
    let name = attribute(1, b"nat\0");
    let hook = [attribute(1, &4u32.to_be_bytes()), attribute(2, &100u32.to_be_bytes())].concat();
    let chain = [name.clone(), attribute(3, b"post\0"), attribute(4 | NESTED, &hook), attribute(7, b"nat\0")].concat();
    let expression = [attribute(1, b"masq\0"), attribute(2 | NESTED, &[])].concat();
    let expressions = attribute(4 | NESTED, &attribute(1 | NESTED, &expression));
    let rule = [name.clone(), attribute(2, b"post\0"), expressions].concat();
    let batch = [
        message(16, REQUEST, 0, NFTABLES, &[]),
        message(NFTABLES << 8, REQUEST | CREATE, NFPROTO_INET, 0, &name),
        message(NFTABLES << 8 | 3, REQUEST | CREATE, NFPROTO_INET, 0, &chain),
        message(NFTABLES << 8 | 6, REQUEST | CREATE | ACK, NFPROTO_INET, 0, &rule),
        message(17, REQUEST, 0, NFTABLES, &[]),
    ];
    let mut socket = Socket::new(NETLINK_NETFILTER)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    socket.send(&batch.concat(), 0)?;
    let mut answer = Vec::with_capacity(65_536);
    socket.recv(&mut answer, 0)?;
    // An NLMSG_ERROR: the first of what went wrong, or the acknowledgement of the rule.
    match answer.get(16..20).map(|errno| i32::from_ne_bytes(errno.try_into().unwrap())) {
        Some(0) => Ok(()),
        errno => Err(Error::from_raw_os_error(-errno.unwrap_or_default())),
    }
}

fn message(kind: u16, flags: u16, family: u8, resource: u16, attributes: &[u8]) -> Vec<u8> {
    let bytes = u32::try_from(20 + attributes.len()).unwrap();
    let mut out = bytes.to_ne_bytes().to_vec();
    out.extend(kind.to_ne_bytes().into_iter().chain(flags.to_ne_bytes()).chain([0; 8]));
    out.extend([family, 0].into_iter().chain(resource.to_be_bytes()));
    out.extend_from_slice(attributes);
    out
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let bytes = u16::try_from(4 + value.len()).unwrap();
    let mut out: Vec<u8> = bytes.to_ne_bytes().into_iter().chain(kind.to_ne_bytes()).collect();
    out.extend_from_slice(value);
    out.resize(out.len().next_multiple_of(4), 0);
    out
}
