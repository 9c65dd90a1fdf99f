//! Terms from Rust values.

use eetf::{Atom, BigInteger, Binary, FixInteger, List, Map, Term, Tuple};

/// The atom `name`.
#[must_use]
pub fn atom(name: &str) -> Term {
    Atom::from(name).into()
}

/// `true` or `false`.
#[must_use]
pub fn boolean(value: bool) -> Term {
    atom(if value { "true" } else { "false" })
}

/// A binary.
#[must_use]
pub fn binary(bytes: impl AsRef<[u8]>) -> Term {
    Binary { bytes: bytes.as_ref().to_vec() }.into()
}

/// An integer of any size up to 64 bits, in the form that decoding gives.
#[must_use]
pub fn integer(value: i64) -> Term {
    match i32::try_from(value) {
        Ok(value) => FixInteger { value }.into(),
        Err(_) => BigInteger::from(value).into(),
    }
}

/// A tuple.
#[must_use]
pub fn tuple(elements: impl Into<Vec<Term>>) -> Term {
    Tuple { elements: elements.into() }.into()
}

/// A proper list.
#[must_use]
pub fn list(elements: impl Into<Vec<Term>>) -> Term {
    List { elements: elements.into() }.into()
}

/// A list of the characters of `text`, as Erlang's strings are.
#[must_use]
pub fn string(text: &str) -> Term {
    list(text.chars().map(|c| integer(i64::from(u32::from(c)))).collect::<Vec<_>>())
}

/// A map.
#[must_use]
pub fn map(pairs: impl IntoIterator<Item = (Term, Term)>) -> Term {
    Map { map: pairs.into_iter().collect() }.into()
}
