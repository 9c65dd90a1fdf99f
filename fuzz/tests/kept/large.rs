//! Frames of the greatest size that a peer may send, made to cost as much as can be.

use beamroute::term::{Limits, Show, Term, decode};
use beamroute_fuzz::memory::peak_of;

/// The default frame limit.
const FRAME: usize = 16 << 20;

/// Bytes that a term may take for each of its terms, while a list or map grows.
const BYTES_PER_TERM: usize = 3 * size_of::<Term>();

/// What any frame may cost besides what it holds in binaries: the frame's own size once more.
const MAX_BYTES: usize = BYTES_PER_TERM * Limits::DEFAULT_TERMS + FRAME; // 184 MiB

fn bytes_held(what: &str, term: Vec<u8>) {
    let started = std::time::Instant::now();
    let mut shown = String::new();
    let peak = peak_of(|| match decode(&term, Limits::default()) {
        Ok(term) => shown = Show(&term).to_string().chars().take(20).collect(),
        Err(error) => shown = error.to_string(),
    });
    let each = peak as f64 / term.len() as f64;
    println!("{what}: {} bytes sent, {peak} held, {each:.1} each, {:?}: {shown}", term.len(), started.elapsed());
    assert!(peak <= MAX_BYTES, "{what}: {peak} bytes for {}", term.len());
}

fn count(rest: usize) -> [u8; 4] {
    u32::try_from(rest).unwrap().to_be_bytes()
}

fn with_version(term: Vec<u8>) -> Vec<u8> {
    [vec![131], term].concat()
}

fn list(element: &[u8], len: usize) -> Vec<u8> {
    [vec![108], count(len).to_vec(), element.repeat(len), vec![106]].concat()
}

/// As many as may be, and room for what is around them.
const MANY: usize = Limits::DEFAULT_TERMS - 1000;

/// `[[] | Tail]`, so often.
fn tails(times: usize, tail: Vec<u8>) -> Vec<u8> {
    [[108, 0, 0, 0, 1, 106].repeat(times), tail].concat()
}

#[test]
fn many_small_terms() {
    let reference = [&[90, 0, 1, 119, 1, b'a'][..], &[0; 8]].concat();
    bytes_held("nils", with_version(list(&[106], MANY)));
    bytes_held("atoms", with_version(list(&[119, 1, b'a'], MANY)));
    bytes_held("references", with_version(list(&reference, MANY)));
    bytes_held("small maps", with_version(list(&[116, 0, 0, 0, 1, 106, 106], MANY / 3)));
    let pairs: Vec<u8> = (0..MANY as u32 / 2).flat_map(|n| [&[98][..], &n.to_be_bytes(), &[106]].concat()).collect();
    bytes_held("a map", with_version([vec![116], count(pairs.len() / 6).to_vec(), pairs].concat()));
    bytes_held("too many nils", with_version(list(&[106], FRAME - 7)));
}

#[test]
fn lists_in_tails() {
    bytes_held("nils in 250 tails", with_version(tails(250, list(&[106], MANY))));
    bytes_held("a string in 250 tails", with_version(tails(250, [&[107, 255, 255][..], &[7; 65535]].concat())));
    let twice = [vec![108], count(MANY / 2).to_vec(), vec![106; MANY / 2], list(&[106], MANY / 2)].concat();
    bytes_held("nils, and as many in the tail", with_version(twice));
}

#[test]
fn keys_in_keys() {
    for keys in [8, 250] {
        let nested = |term: Vec<u8>| with_version([[116, 0, 0, 0, 1].repeat(keys), term, vec![106; keys]].concat());
        let big = [vec![109], count(FRAME - 3000).to_vec(), vec![7; FRAME - 3000]].concat();
        bytes_held(&format!("a binary in {keys} keys"), nested(big));
        bytes_held(&format!("nils in {keys} keys"), nested(list(&[106], MANY)));
    }
}

#[test]
fn large_leaves() {
    for (what, tag) in [("an integer", 111), ("bits", 77)] {
        bytes_held(what, with_version([vec![tag], count(FRAME - 10).to_vec(), vec![7; FRAME - 9]].concat()));
    }
}
