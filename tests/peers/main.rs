//! Peers that are no BEAM: `erl_call`, a C node on libei, and JInterface in both directions. The programs are compiled
//! here, with the libraries of the OTP whose `erl` is in PATH.
//!
//! Not among the tests of a plain `cargo test`, because few machines have all of it: `scripts/matrix` runs them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a panic is how a test fails")]

#[path = "../support/mod.rs"]
mod support;

mod ei;
mod erl_call;
mod jinterface_in;
mod jinterface_out;
mod program;
