//! Parts of `kernel_vectors.rs`.

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
