//! Real `erl`, `elixir` and `iex` nodes against the daemon; every test is named after what a user types or lives through.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a panic is how a test fails")]

#[path = "../support/mod.rs"]
mod support;

mod asking;
mod bad_input;
mod calls;
mod commands;
mod connecting;
mod cookies;
mod dialling;
mod elixir;
mod epmd;
mod events;
mod forms;
mod hardship;
mod limits;
mod links;
mod monitor_nodes;
mod names;
mod net_kernel;
mod offline;
mod permissions;
mod pg;
mod processes;
mod raw_peer;
mod reach;
mod readme;
mod replay;
mod rpc;
mod status;
mod steering;
mod subscribers;
mod syntax;
mod ticks;
#[cfg(feature = "tls")]
mod tls;
mod two_daemons;
mod watching;
mod white_box;
