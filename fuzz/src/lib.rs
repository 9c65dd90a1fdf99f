//! Hostile bytes for beamroute's decoders.
//!
//! A [`Target`] is a function of bytes that panics when something is wrong with beamroute: a decoder panicked, or two
//! ways to the same answer disagree. `tests/kept` runs all targets over the kept inputs; `scripts/fuzz` looks for
//! more of them, guided by which code an input reached, and watches over time and memory as well.

pub mod corpus;
pub mod coverage;
pub mod memory;
pub mod mutate;
mod targets;

pub use targets::canonical;

#[global_allocator]
static ALLOCATOR: memory::Counting = memory::Counting;

/// Something that takes bytes from outside.
#[derive(Clone, Copy)]
pub struct Target {
    /// What scripts call it.
    pub name: &'static str,
    /// Takes an input; panics on a fault.
    pub run: fn(&[u8]),
    /// Longer inputs are not made.
    pub max_bytes: usize,
    /// Words of its language.
    pub words: &'static [&'static [u8]],
    /// Whether terms make sense inside its inputs.
    pub has_terms: bool,
    /// Bytes that it may hold for each byte of an input, all copies of the target's own included.
    pub bytes_per_byte: usize,
}

/// Bytes that any target may hold besides.
pub const BYTES_BESIDES: usize = 128 << 10;

/// Seconds that any input may take: thousands of times what any does, so that a busy machine is no finding.
pub const MAX_SECONDS: u64 = 10;

/// All targets.
pub fn targets() -> Vec<Target> {
    targets::all()
}

/// Runs a target, and panics as well if it held more than it may.
///
/// # Panics
/// On a fault.
pub fn run(target: &Target, input: &[u8]) {
    let peak = memory::peak_of(|| (target.run)(input));
    let allowed = BYTES_BESIDES + target.bytes_per_byte * input.len();
    assert!(peak <= allowed, "{peak} bytes held for {} bytes, {allowed} are allowed", input.len());
}
