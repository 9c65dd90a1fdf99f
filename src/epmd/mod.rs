//! The Erlang port mapper: its protocol, a client that keeps our name registered, and a mapper of our own.
//!
//! ```text
//! codec (pure)  ←  client (one question, bounded)   ←  mode: Epmd, the task that keeps the name registered
//!               ←  server (registry: pure)          ←
//! ```
//!
//! Stands on nothing of ours; knows neither routes nor the distribution protocol.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

pub mod client;
pub mod codec;
pub mod mode;
pub mod registry;
pub mod server;

pub use client::{DEFAULT_PORT, EpmdError, local_epmd, lookup, names};
pub use codec::NodeEntry;
pub use mode::{Epmd, EpmdConfig, EpmdHandle, EpmdMode, EpmdState};
pub use registry::random_creation;
pub use server::Limits;
