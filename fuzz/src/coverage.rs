//! Which edges of beamroute an input ran through, if it was built by `scripts/fuzz`.
//!
//! The compiler's SanitizerCoverage pass puts a counter at every edge, all in one section, and calls
//! `__sanitizer_cov_8bit_counters_init` with its bounds before `main` (LLVM's `SanitizerCoverage.html`). Without the
//! pass nobody calls, and there is no feedback.

use std::sync::atomic::{AtomicPtr, Ordering::Relaxed};

static START: AtomicPtr<u8> = AtomicPtr::new(std::ptr::null_mut());
static END: AtomicPtr<u8> = AtomicPtr::new(std::ptr::null_mut());

/// Called by every instrumented module with the bounds of the one section.
#[unsafe(no_mangle)]
extern "C" fn __sanitizer_cov_8bit_counters_init(start: *mut u8, end: *mut u8) {
    START.store(start, Relaxed);
    END.store(end, Relaxed);
}

/// What has been seen so far: for every edge a bit for each power of two of how often it ran.
pub struct Coverage {
    seen: Vec<u8>,
    /// How often does not matter.
    is_of_edges: bool,
}

impl Coverage {
    /// Nothing seen.
    pub fn of_counts() -> Self {
        Self { seen: vec![0; counters().len()], is_of_edges: false }
    }

    /// Nothing seen, and how often an edge ran will not matter.
    pub fn of_edges() -> Self {
        Self { is_of_edges: true, ..Self::of_counts() }
    }

    /// Whether there are counters at all.
    pub fn is_there(&self) -> bool {
        !self.seen.is_empty()
    }

    /// Edges seen.
    pub fn edges(&self) -> usize {
        self.seen.iter().filter(|bits| **bits != 0).count()
    }

    /// Sets all counters to zero, before a run.
    pub fn reset(&self) {
        counters().fill(0);
    }

    /// Takes a run in; how much of it is new.
    pub fn add(&mut self) -> usize {
        let mut new = 0;
        let counters = counters();
        let (runs, rest) = counters.as_chunks::<8>();
        for (at, run) in runs.iter().enumerate() {
            if u64::from_ne_bytes(*run) != 0 {
                new += add(run, &mut self.seen[at * 8..], self.is_of_edges);
            }
        }
        new + add(rest, &mut self.seen[runs.len() * 8..], self.is_of_edges)
    }
}

fn add(counts: &[u8], seen: &mut [u8], is_of_edges: bool) -> usize {
    let mut new = 0;
    for (count, seen) in counts.iter().zip(seen) {
        let bit = match *count {
            0 => 0,
            _ if is_of_edges => 1,
            count => 1 << count.ilog2(),
        };
        new += usize::from(*seen & bit != bit);
        *seen |= bit;
    }
    new
}

fn counters() -> &'static mut [u8] {
    let (start, end) = (START.load(Relaxed), END.load(Relaxed));
    if start.is_null() {
        return &mut [];
    }
    // SAFETY: the section lives as long as the process, and only the one fuzzing thread touches it.
    unsafe { std::slice::from_raw_parts_mut(start, end.offset_from(start) as usize) }
}
