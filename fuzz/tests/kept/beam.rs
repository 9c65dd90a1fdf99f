//! What a BEAM takes and refuses (`beam/judge.escript`), and what we do.

use beamroute::term::{Limits, decode_prefix};
use beamroute_fuzz::{canonical, corpus::from_hex};

/// Terms that we refuse although a BEAM takes them: forms that no peer with the flags that we demand has written since
/// OTP 23, and those that no frame without a distribution header may have.
const OLD_TAGS: [u8; 8] = [80, 99, 101, 102, 103, 114, 117, 121];

/// `#{#{1 => [], 2 => []} => 7, #{2 => [], 1 => []} => 8}`: `eetf` hashes a map in the order of its iteration, so that whether it
/// finds the same map again is left to chance.
const MAP_TWICE: &str = "7400000002740000000261016a61026a6107740000000261026a61016a6108";

#[test]
fn as_a_beam_judges() {
    let text = include_str!("../../beam/verdicts.txt");
    let mut wrong = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.ends_with(MAP_TWICE)) {
        let mut fields = line.split(' ');
        let verdict = fields.next();
        let mut terms = fields.map(|field| [vec![131], from_hex(field).unwrap()].concat());
        let bytes = terms.next().unwrap();
        let ours =
            decode_prefix(&bytes, Limits::default()).ok().filter(|(_, rest)| rest.is_empty()).map(|(term, _)| term);
        match (verdict, ours) {
            (Some("ok"), Some(term)) => {
                let same = terms.next().unwrap();
                let (same, _) = decode_prefix(&same, Limits::default()).unwrap();
                if canonical(&term) != canonical(&same) {
                    wrong.push(format!("another term: {line}"));
                }
            }
            (Some("no"), None) => {}
            // Its own pids and references, with numbers that it cannot have given.
            (Some("no"), Some(_)) if bytes.windows(13).any(|name| name == b"nonode@nohost") => {}
            (Some("ok"), None) if bytes.iter().any(|byte| OLD_TAGS.contains(byte)) => {}
            (_, ours) => wrong.push(format!("{} {line}", if ours.is_some() { "taken:" } else { "refused:" })),
        }
    }
    assert!(wrong.is_empty(), "{} differ\n{}", wrong.len(), wrong.join("\n"));
}
