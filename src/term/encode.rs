//! [`Term`] → bytes, as a BEAM writes them: UTF-8 atoms, lists of bytes as strings, the smallest form that fits.

use eetf::{InternalFun, Pid, Reference, Term};
use num_bigint::{BigInt, Sign};

use super::{PlainPid, tag};

/// Appends `term`, without a version byte, to `out`.
///
/// Counts and lengths beyond 32 bits cannot occur: no such term fits in a frame. An atom longer than the format
/// allows (which no decoder gives, and no code of ours makes) is cut at 65,535 bytes.
pub fn encode(term: &Term, out: &mut Vec<u8>) {
    match term {
        Term::Atom(atom) => encode_atom(&atom.name, out),
        Term::FixInteger(integer) => small_integer(integer.value, out),
        Term::BigInteger(integer) => big_integer(&integer.value, out),
        Term::Float(float) => {
            out.push(tag::NEW_FLOAT);
            out.extend(float.value.to_be_bytes());
        }
        Term::Pid(pid) => encode_pid(pid, out),
        Term::Port(port) => {
            out.push(tag::V4_PORT);
            encode_atom(&port.node.name, out);
            out.extend(port.id.to_be_bytes());
            out.extend(port.creation.to_be_bytes());
        }
        Term::Reference(reference) => encode_reference(reference, out),
        Term::ExternalFun(fun) => {
            out.push(tag::EXPORT);
            encode_atom(&fun.module.name, out);
            encode_atom(&fun.function.name, out);
            out.extend([tag::SMALL_INTEGER, fun.arity]);
        }
        Term::InternalFun(fun) => internal_fun(fun, out),
        Term::Binary(binary) => {
            out.push(tag::BINARY);
            out.extend(len32(binary.bytes.len()));
            out.extend(&binary.bytes);
        }
        Term::BitBinary(bits) => {
            out.push(tag::BIT_BINARY);
            out.extend(len32(bits.bytes.len()));
            out.push(bits.tail_bits_size);
            out.extend(&bits.bytes);
        }
        Term::ByteList(list) => byte_list(&list.bytes, out),
        Term::List(list) => proper_list(&list.elements, out),
        Term::ImproperList(list) => {
            out.push(tag::LIST);
            out.extend(len32(list.elements.len()));
            all(&list.elements, out);
            encode(&list.last, out);
        }
        Term::Tuple(tuple) => {
            match u8::try_from(tuple.elements.len()) {
                Ok(len) => out.extend([tag::SMALL_TUPLE, len]),
                Err(_) => {
                    out.push(tag::LARGE_TUPLE);
                    out.extend(len32(tuple.elements.len()));
                }
            }
            all(&tuple.elements, out);
        }
        Term::Map(map) => {
            out.push(tag::MAP);
            out.extend(len32(map.map.len()));
            for (key, value) in &map.map {
                encode(key, out);
                encode(value, out);
            }
        }
    }
}

/// Appends the atom `name`.
pub fn encode_atom(name: &str, out: &mut Vec<u8>) {
    if let Ok(len) = u8::try_from(name.len()) {
        out.extend_from_slice(&[tag::SMALL_ATOM_UTF8, len]);
        out.extend_from_slice(name.as_bytes());
    } else {
        let len = u16::try_from(name.len()).unwrap_or(u16::MAX);
        out.push(tag::ATOM_UTF8);
        out.extend(len.to_be_bytes());
        out.extend(name.as_bytes().iter().take(usize::from(len)));
    }
}

fn all(terms: &[Term], out: &mut Vec<u8>) {
    for term in terms {
        encode(term, out);
    }
}

fn len32(len: usize) -> [u8; 4] {
    u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes()
}

fn encode_pid(pid: &Pid, out: &mut Vec<u8>) {
    let Pid { node, id, serial, creation } = pid;
    PlainPid { node: &node.name, id: *id, serial: *serial, creation: *creation }.encode(out);
}

fn encode_reference(reference: &Reference, out: &mut Vec<u8>) {
    out.push(tag::NEWER_REFERENCE);
    out.extend(u16::try_from(reference.id.len()).unwrap_or(u16::MAX).to_be_bytes());
    encode_atom(&reference.node.name, out);
    out.extend(reference.creation.to_be_bytes());
    for word in &reference.id {
        out.extend(word.to_be_bytes());
    }
}

fn small_integer(value: i32, out: &mut Vec<u8>) {
    match u8::try_from(value) {
        Ok(byte) => out.extend([tag::SMALL_INTEGER, byte]),
        Err(_) => {
            out.push(tag::INTEGER);
            out.extend(value.to_be_bytes());
        }
    }
}

fn big_integer(value: &BigInt, out: &mut Vec<u8>) {
    if let Ok(value) = i32::try_from(value) {
        return small_integer(value, out);
    }
    let (sign, magnitude) = value.to_bytes_le();
    match u8::try_from(magnitude.len()) {
        Ok(len) => out.extend([tag::SMALL_BIG, len]),
        Err(_) => {
            out.push(tag::LARGE_BIG);
            out.extend(len32(magnitude.len()));
        }
    }
    out.push(u8::from(sign == Sign::Minus));
    out.extend(magnitude);
}

/// A BEAM writes a list of bytes as a string as long as its length fits in 16 bits.
fn proper_list(elements: &[Term], out: &mut Vec<u8>) {
    let byte = |term: &Term| match term {
        Term::FixInteger(integer) => u8::try_from(integer.value).ok(),
        _ => None,
    };
    let could_be_string = !elements.is_empty() && elements.len() <= usize::from(u16::MAX);
    let bytes = if could_be_string { elements.iter().map(byte).collect::<Option<Vec<u8>>>() } else { None };
    match bytes {
        Some(bytes) => byte_list(&bytes, out),
        None => {
            if !elements.is_empty() {
                out.push(tag::LIST);
                out.extend(len32(elements.len()));
                all(elements, out);
            }
            out.push(tag::NIL);
        }
    }
}

fn byte_list(bytes: &[u8], out: &mut Vec<u8>) {
    match u16::try_from(bytes.len()) {
        Ok(0) => out.push(tag::NIL),
        Ok(len) => {
            out.push(tag::STRING);
            out.extend(len.to_be_bytes());
            out.extend(bytes);
        }
        Err(_) => {
            out.push(tag::LIST);
            out.extend(len32(bytes.len()));
            out.extend(bytes.iter().flat_map(|byte| [tag::SMALL_INTEGER, *byte]));
            out.push(tag::NIL);
        }
    }
}

fn internal_fun(fun: &InternalFun, out: &mut Vec<u8>) {
    match fun {
        InternalFun::New { module, arity, pid, free_vars, index, uniq, old_index, old_uniq } => {
            out.push(tag::NEW_FUN);
            let size_at = out.len();
            out.extend([0; 4]);
            out.push(*arity);
            out.extend(uniq);
            out.extend(index.to_be_bytes());
            out.extend(len32(free_vars.len()));
            encode_atom(&module.name, out);
            small_integer(*old_index, out);
            small_integer(*old_uniq, out);
            encode_pid(pid, out);
            all(free_vars, out);
            let size = len32(out.len().saturating_sub(size_at));
            if let Some(field) = out.get_mut(size_at..).and_then(|rest| rest.get_mut(..4)) {
                field.copy_from_slice(&size);
            }
        }
        // No decoder of ours gives one: its tag (117) went out of use before OTP 25.
        InternalFun::Old { module, .. } => encode_atom(&module.name, out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::term::{Limits, decode, integer, list, tuple};
    use eetf::Atom;
    use proptest::prelude::*;

    fn encoded(term: &Term) -> Vec<u8> {
        let mut out = Vec::new();
        encode(term, &mut out);
        out
    }

    #[test]
    fn faults_of_the_crate_are_not_ours() {
        assert_eq!(encoded(&list([integer(-1)])), [108, 0, 0, 0, 1, 98, 255, 255, 255, 255, 106]);
        let long = list(vec![integer(7); 70_000]);
        let bytes = [vec![131], encoded(&long)].concat();
        assert_eq!(decode(&bytes, Limits::default()).unwrap(), long);
    }

    fn any_term() -> impl Strategy<Value = Term> {
        let leaf = prop_oneof![
            any::<i32>().prop_map(|n| integer(i64::from(n))),
            any::<i64>().prop_map(integer),
            "\\PC{0,20}".prop_map(|name| Term::from(Atom { name })),
            proptest::collection::vec(any::<u8>(), 0..20).prop_map(|bytes| eetf::Binary { bytes }.into()),
            any::<(u32, u32, u32)>().prop_map(|(a, b, c)| Pid::new("n@h", a, b, c).into()),
            proptest::collection::vec(any::<u32>(), 1..=5).prop_map(|id| Reference::from(("n@h", id)).into()),
            (-1e300..1e300_f64).prop_map(|value| eetf::Float { value }.into()),
        ];
        // A key is a leaf: `eetf` hashes a map in iteration order, so a map that holds a map as key may not equal itself.
        leaf.clone().prop_recursive(6, 60, 8, move |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..8).prop_map(list),
                proptest::collection::vec(inner.clone(), 0..8).prop_map(tuple),
                proptest::collection::hash_map(leaf.clone(), inner, 0..4).prop_map(|map| eetf::Map { map }.into()),
            ]
        })
    }

    proptest! {
        #[test]
        fn decode_gives_back_what_encode_wrote(term in any_term()) {
            let bytes = [vec![131], encoded(&term)].concat();
            prop_assert_eq!(decode(&bytes, Limits::default()).unwrap(), term);
        }

        #[test]
        fn eetf_reads_what_we_write(term in any_term()) {
            let bytes = [vec![131], encoded(&term)].concat();
            prop_assert!(Term::decode(bytes.as_slice()).is_ok());
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&[vec![131], bytes].concat(), Limits::default());
        }
    }
}
