//! Writing messages: `struct nlmsghdr` (`include/uapi/linux/netlink.h`), what the kind of message begins with, and
//! attributes, each padded to four bytes.

use std::net::IpAddr;

use super::constants::NLM_F_REQUEST;

/// A message that is appended to `bytes`, and has its length when it is dropped.
pub(super) struct Writer<'a> {
    bytes: &'a mut Vec<u8>,
    start: usize,
}

const ATTRIBUTE_HEADER_BYTES: u16 = 4;

impl<'a> Writer<'a> {
    /// A request of `kind`; `flags` besides `NLM_F_REQUEST`. `head` is what such messages begin with.
    pub fn new(bytes: &'a mut Vec<u8>, kind: u16, flags: u16, sequence: u32, head: &[u8]) -> Self {
        let start = bytes.len();
        let [[k0, k1], [f0, f1]] = [kind, NLM_F_REQUEST | flags].map(u16::to_ne_bytes);
        let [s0, s1, s2, s3] = sequence.to_ne_bytes();
        // The length comes last, and the kernel fills in our port.
        bytes.extend_from_slice(&[0, 0, 0, 0, k0, k1, f0, f1, s0, s1, s2, s3, 0, 0, 0, 0]);
        bytes.extend_from_slice(head);
        pad(bytes);
        Self { bytes, start }
    }

    /// Appends an attribute.
    pub fn attribute(&mut self, kind: u16, value: &[u8]) -> &mut Self {
        attribute(kind, value, self.bytes);
        self
    }

    /// Appends an attribute that is a number.
    pub fn number(&mut self, kind: u16, value: u32) -> &mut Self {
        self.attribute(kind, &value.to_ne_bytes())
    }

    /// Appends an attribute that is an address.
    pub fn ip(&mut self, kind: u16, value: IpAddr) -> &mut Self {
        match value {
            IpAddr::V4(ip) => self.attribute(kind, &ip.octets()),
            IpAddr::V6(ip) => self.attribute(kind, &ip.octets()),
        }
    }
}

impl Drop for Writer<'_> {
    fn drop(&mut self) {
        let length = u32::try_from(self.bytes.len() - self.start).unwrap_or(u32::MAX);
        if let Some(space) = self.bytes.get_mut(self.start..self.start + 4) {
            space.copy_from_slice(&length.to_ne_bytes());
        }
    }
}

/// Appends an attribute to `bytes`, padded.
pub(super) fn attribute(kind: u16, value: &[u8], bytes: &mut Vec<u8>) {
    let length = u16::try_from(value.len()).map_or(u16::MAX, |length| length.saturating_add(ATTRIBUTE_HEADER_BYTES));
    let [[l0, l1], [k0, k1]] = [length, kind].map(u16::to_ne_bytes);
    bytes.extend_from_slice(&[l0, l1, k0, k1]);
    bytes.extend_from_slice(value);
    pad(bytes);
}

fn pad(bytes: &mut Vec<u8>) {
    let padding = bytes.len().wrapping_neg() % 4;
    bytes.extend_from_slice([0; 3].get(..padding).unwrap_or_default());
}
