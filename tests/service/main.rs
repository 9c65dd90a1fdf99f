//! What the service manager, the journal and Prometheus get: a real daemon with a notify socket of the test's, the unit
//! under a real systemd, the page of metrics while values move.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a panic is how a test fails")]

mod early;
mod http;
mod journal;
mod machine;
mod manager;
mod metrics;
mod moves;
mod names;
mod notify;
#[path = "../support/mod.rs"]
mod support;
mod systemd;
mod unit;
mod walk;
