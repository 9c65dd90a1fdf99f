//! The `beamroute` program.
fn main() {}
