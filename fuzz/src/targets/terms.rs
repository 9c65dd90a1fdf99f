//! `check` and `decode`, against each other, against `encode`, and against `eetf`.

use beamroute::term::{self, CheckError, DecodeError, Limits, Show, Term, check, decode, decode_prefix, encode};
use eetf::InternalFun;

/// A term without its version byte, and whatever follows.
pub fn run(input: &[u8]) {
    let limits = Limits::default();
    let whole = [&[131], input].concat();
    let len = match check(input, limits) {
        Ok(len) => len,
        Err(error) => return assert_eq!(decode(&whole, limits), Err(DecodeError::Check(error))),
    };
    let (bytes, rest) = input.split_at(len);
    assert_eq!(check(bytes, limits), Ok(len), "what follows a term does not matter");
    assert!(bytes.is_empty() || check(&bytes[..len - 1], limits).is_err(), "no term is the beginning of another");
    let (term, left) = match decode_prefix(&whole, limits) {
        Ok(decoded) => decoded,
        Err(DecodeError::DuplicateKey | DecodeError::Check(CheckError::TooDeep)) => return,
        Err(error) => panic!("checked, but not decoded: {error}"),
    };
    assert_eq!(left, rest);
    look_at(&term);
    let again = reencoded(&term);
    // `eetf` gets checked bytes only. It may refuse (it knows no Latin-1 atoms, say), but not panic.
    let _ = Term::decode(&[&[131], bytes].concat()[..]);
    let _ = Term::decode(&again[..]);
}

/// Encodes a term, and sees that it stays what it is; returns the bytes, version byte first.
fn reencoded(term: &Term) -> Vec<u8> {
    let mut bytes = vec![131];
    encode(term, &mut bytes);
    assert_eq!(check(&bytes[1..], Limits::default()), Ok(bytes.len() - 1), "what we write, we take");
    let again = decode(&bytes, Limits::default()).expect("what we write, we take");
    assert_eq!(canonical(&again), canonical(term));
    bytes
}

/// The ways in which a term is looked at before anything is known of it.
fn look_at(term: &Term) {
    assert!(Show(term).to_string().chars().count() <= 1001);
    let _ = (term::as_ip(term), term::as_text(term), term::as_integer(term), term::as_list(term));
}

/// One form for equal terms: the encoding, with the pairs of maps in order. (`eetf`'s maps with maps as keys may not
/// equal themselves.)
pub fn canonical(term: &Term) -> Vec<u8> {
    let mut out = Vec::new();
    let all = |tag: u8, terms: &[Term], out: &mut Vec<u8>| {
        out.push(tag);
        out.extend((terms.len() as u64).to_be_bytes());
        terms.iter().for_each(|term| out.extend(canonical(term)));
    };
    match term {
        Term::Tuple(tuple) => all(0, &tuple.elements, &mut out),
        Term::List(list) => all(1, &list.elements, &mut out),
        Term::ImproperList(list) => {
            all(2, &list.elements, &mut out);
            out.extend(canonical(&list.last));
        }
        Term::Map(map) => {
            let mut pairs: Vec<_> = map.map.iter().map(|(k, v)| (canonical(k), canonical(v))).collect();
            pairs.sort();
            out.push(3);
            out.extend((pairs.len() as u64).to_be_bytes());
            pairs.into_iter().for_each(|(key, value)| out.extend([key, value].concat()));
        }
        Term::InternalFun(fun) => {
            if let InternalFun::New { free_vars, .. } = &**fun {
                all(4, free_vars, &mut out);
            }
            let mut bare = fun.clone();
            if let InternalFun::New { free_vars, .. } = &mut *bare {
                free_vars.clear();
            }
            encode(&Term::InternalFun(bare), &mut out);
        }
        other => encode(other, &mut out),
    }
    out
}
