//! Our node as a library, with real BEAM peers: the examples, and processes that monitor, link, call and are called.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

#[path = "library/examples.rs"]
mod examples;
#[path = "library/peers.rs"]
mod peers;
mod support;
