//! Parts of `kernel_vectors.rs`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a panic is how a test fails")]

pub mod check;
pub mod kernel;
pub mod model;
pub mod oracle;

use crate::support::Netns;

/// The namespaces of a vector, as they were when VintageNet started.
pub fn namespace(vector: &oracle::Vector) -> Option<Netns> {
    let net = Netns::new(&vector.topology)?;
    for args in &vector.pre {
        net.ip(&args.iter().map(String::as_str).collect::<Vec<_>>());
    }
    Some(net)
}
