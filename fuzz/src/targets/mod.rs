//! The targets: each turns bytes into what a peer, a file or the kernel could have said.

mod bytes;
mod control;
mod epmd;
mod frames;
mod handshake;
mod netlink;
mod request;
mod terms;
mod texts;

pub use terms::canonical;

use crate::Target;

/// Tags and small pieces of the External Term Format.
const TERM_WORDS: &[&[u8]] = &[
    &[131],
    &[106],
    &[104, 0],
    &[104, 1],
    &[104, 2],
    &[105, 0, 0, 0, 1],
    &[108, 0, 0, 0, 1],
    &[107, 0, 1, 7],
    &[116, 0, 0, 0, 1],
    &[116, 0, 0, 0, 2],
    &[97, 1],
    &[98, 255, 255, 255, 255],
    &[110, 8, 0],
    &[111, 0, 0, 0, 1, 1],
    &[70, 63, 240, 0, 0, 0, 0, 0, 0],
    &[70, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0],
    &[109, 0, 0, 0, 0],
    &[77, 0, 0, 0, 1, 3, 160],
    b"\x77\x02ok",
    b"\x64\x00\x01\xe9",
    b"\x73\x01a",
    b"\x76\x00\x01a",
    b"\x58\x77\x03a@b\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01",
    b"\x5a\x00\x01\x77\x03a@b\x00\x00\x00\x01\x00\x00\x00\x01",
    b"\x59\x77\x03a@b\x00\x00\x00\x01\x00\x00\x00\x01",
    b"\x78\x77\x03a@b\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x01",
    b"\x71\x77\x01m\x77\x01f\x61\x01",
    b"\x43\x00\x00\x00\x01\x00\x77\x01m\x77\x01r\x77\x01x",
    &[80, 0, 0, 0, 1],
    &[68, 0],
    &[82, 0],
];

/// What our own copies and comparisons may cost on top: a term is some 40 bytes for each byte of a list of `[]`, and a
/// target holds several.
const TERM_FACTOR: usize = 600;

const TERM: Target =
    Target { name: "", run: |_| {}, max_bytes: 4096, words: TERM_WORDS, has_terms: true, bytes_per_byte: TERM_FACTOR };

const BYTES: Target =
    Target { name: "", run: |_| {}, max_bytes: 2048, words: &[], has_terms: false, bytes_per_byte: 64 };

pub fn all() -> Vec<Target> {
    vec![
        Target { name: "terms", run: terms::run, ..TERM },
        Target { name: "control", run: control::run, ..TERM },
        Target { name: "request", run: request::run, words: request::WORDS, ..TERM },
        Target { name: "frames", run: frames::run, max_bytes: 4096, ..BYTES },
        Target { name: "accepting", run: handshake::accepting, words: handshake::WORDS, ..BYTES },
        Target { name: "dialing", run: handshake::dialing, words: handshake::WORDS, ..BYTES },
        Target { name: "epmd_server", run: epmd::server, words: epmd::WORDS, max_bytes: 4096, ..BYTES },
        Target { name: "epmd_client", run: epmd::client, words: epmd::WORDS, max_bytes: 4096, ..BYTES },
        Target { name: "state", run: texts::state, words: texts::STATE_WORDS, bytes_per_byte: 600, ..BYTES },
        Target { name: "config", run: texts::config, words: texts::CONFIG_WORDS, bytes_per_byte: 2000, ..BYTES },
        Target { name: "netlink", run: netlink::route, words: netlink::WORDS, bytes_per_byte: 200, ..BYTES },
        Target { name: "conntrack", run: netlink::conntrack, words: netlink::WORDS, ..BYTES },
    ]
}
