//! The Erlang port mapper: its protocol, a client that keeps our name registered, and a mapper of our own.
//!
//! ```text
//! codec (pure)  ←  client: one request, bounded   ←  mode: Epmd, the task that keeps the name registered
//!               ←  server: the embedded mapper    ←
//! ```
//!
//! Stands on nothing of ours; knows neither routes nor the distribution protocol.

pub mod codec;
