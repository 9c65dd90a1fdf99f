//! What is printed is read as the same term.

use eetf::{Atom, BitBinary, ExternalFun, Float, ImproperList, Pid, Port, Reference, Term};
use proptest::prelude::*;

use super::{Flat, Pretty, parse};
use crate::term::{atom, binary, integer, list, map, tuple};

fn leaf() -> impl Strategy<Value = Term> {
    let node = || "[a-z]{1,4}@[a-z.]{1,6}".prop_map(Atom::from);
    prop_oneof![
        ".{0,12}".prop_map(|name| atom(&name)),
        prop::sample::select(&super::RESERVED[..]).prop_map(atom),
        any::<i64>().prop_map(integer),
        (-2..300_i64).prop_map(integer),
        "[+-]?[1-9][0-9]{20,60}".prop_map(|digits| parse(&digits).unwrap()),
        any::<f64>().prop_filter("no infinities", |f| f.is_finite()).prop_map(|value| Float { value }.into()),
        prop::collection::vec(any::<u8>(), 0..12).prop_map(binary),
        ".{0,12}".prop_map(binary),
        ".{0,12}".prop_map(|text| crate::term::string(&text)),
        (prop::collection::vec(any::<u8>(), 0..4), 1..8_u8, any::<u8>()).prop_map(|(mut bytes, bits, last)| {
            bytes.push(last & !(0xff >> bits));
            BitBinary { bytes, tail_bits_size: bits }.into()
        }),
        (node(), any::<[u32; 3]>())
            .prop_map(|(node, [id, serial, creation])| { Pid { node, id, serial, creation }.into() }),
        (node(), any::<u64>(), any::<u32>()).prop_map(|(node, id, creation)| Port { node, id, creation }.into()),
        (node(), prop::collection::vec(any::<u32>(), 1..=5), any::<u32>()).prop_map(|(node, id, creation)| Reference {
            node,
            id,
            creation
        }
        .into()),
        (".{1,4}", ".{1,4}", any::<u8>())
            .prop_map(|(m, f, arity)| { ExternalFun { module: Atom::from(m), function: Atom::from(f), arity }.into() }),
    ]
}

/// Any term that decoding can give, but for closures.
fn term() -> impl Strategy<Value = Term> {
    leaf().prop_recursive(4, 48, 6, |inner| {
        let some = || prop::collection::vec(inner.clone(), 0..6);
        let tail = inner.clone().prop_filter("no list", |tail| !matches!(tail, Term::List(_) | Term::ImproperList(_)));
        prop_oneof![
            some().prop_map(tuple),
            some().prop_map(list),
            // No maps in keys: eetf hashes a map in the order of its table, so that equal ones may not be found.
            prop::collection::vec((leaf(), inner.clone()), 0..4).prop_map(map),
            (prop::collection::vec(inner.clone(), 1..4), tail).prop_map(|(elements, last)| ImproperList {
                elements,
                last: Box::new(last)
            }
            .into()),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn printed_and_read_it_is_the_same(term in term()) {
        for text in [Flat(&term).to_string(), Pretty(&term).to_string()] {
            let read = parse(&text);
            prop_assert_eq!(read.as_ref(), Ok(&term), "{}", text);
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in ".{0,40}", odd in r#"[\[\]{}<>#$"'\\,.|/:0-9a-zA-Z@_ =-]{0,40}"#) {
        let _ = parse(&text);
        let _ = super::parse_call(&odd);
    }
}
