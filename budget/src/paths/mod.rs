//! The hot paths, each as a closure that goes it once. `benches/hot.rs` measures their time, `scripts/budget` counts their
//! instructions. Nothing here is random, and nothing but the way to the batch touches the kernel, which is only read.

use anyhow::Result;

mod messages;
mod routes;

/// Goes the path once, and gives something that depends on all of it.
pub type Path = Box<dyn FnMut() -> usize>;

/// Sets a path up.
pub type Start = fn() -> Result<Path>;

/// By name.
pub const ALL: [(&str, Start); 11] = [
    ("repeated_status_and_reply", messages::repeated_status_and_reply),
    ("decode_set_connection_status", messages::decode_set_connection_status),
    ("decode_set_route", messages::decode_set_route),
    ("encode_reply", messages::encode_reply),
    ("unchanged_status", routes::unchanged_status),
    ("plan_64", routes::plan_64),
    ("diff_64", routes::diff_64),
    ("diff_64_nothing_to_do", routes::diff_64_nothing_to_do),
    ("failover_of_2", routes::failover_of_2),
    ("failover_of_64", routes::failover_of_64),
    ("encode_batch_64", routes::encode_batch_64),
];
