//! Checked bytes → [`Term`].

use eetf::{
    Atom, BigInteger, Binary, BitBinary, ExternalFun, FixInteger, Float, ImproperList, InternalFun, List, Map, Pid,
    Port, Reference, Term, Tuple,
};
use num_bigint::{BigInt, Sign};

use super::check::{CheckError, Limits, check};
use super::tag;

/// First byte of every term that is not inside another (`VERSION_MAGIC`).
const VERSION: u8 = 131;

/// Why bytes gave no term.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The version byte is missing or not 131.
    #[error("the term does not begin with the version byte 131")]
    Version,
    /// The check refused the term.
    #[error(transparent)]
    Check(#[from] CheckError),
    /// A map has a key twice, which a BEAM refuses too.
    #[error("a map has a key twice")]
    DuplicateKey,
}

/// Decodes the term (version byte first) at the start of `bytes`; returns it with the bytes behind it.
///
/// # Errors
/// [`DecodeError`]; nothing is built from bytes that fail the check.
pub fn decode_prefix(bytes: &[u8], limits: Limits) -> Result<(Term, &[u8]), DecodeError> {
    let (VERSION, term) = bytes.split_first().map(|(v, t)| (*v, t)).ok_or(DecodeError::Version)? else {
        return Err(DecodeError::Version);
    };
    let len = check(term, limits)?;
    let (term, rest) = term.split_at_checked(len).ok_or(CheckError::Truncated)?;
    let mut builder = Builder { rest: term, keys: 0, refused: None };
    let term = builder.term();
    term.map(|term| (term, rest)).ok_or(builder.refused.unwrap_or(CheckError::Truncated.into()))
}

/// Decodes the term (version byte first) that `bytes` begins with, and ignores what follows, as a BEAM does.
///
/// # Errors
/// As [`decode_prefix`].
pub fn decode(bytes: &[u8], limits: Limits) -> Result<Term, DecodeError> {
    decode_prefix(bytes, limits).map(|(term, _)| term)
}

/// Keys of maps inside keys of maps: every one of them is hashed with all that is in it.
const MAX_KEYS: usize = 8;

/// Builds a term from bytes that passed [`check`]. `None` without `refused` cannot happen then; it stands in for a panic.
struct Builder<'a> {
    rest: &'a [u8],
    /// The keys that we are in.
    keys: usize,
    refused: Option<DecodeError>,
}

impl<'a> Builder<'a> {
    /// Kept small, and apart from [`Builder::leaf`], because it recurses.
    fn term(&mut self) -> Option<Term> {
        match self.u8()? {
            tag::LIST => self.list(),
            tag::SMALL_TUPLE => {
                let len = usize::from(self.u8()?);
                self.tuple(len)
            }
            tag::LARGE_TUPLE => {
                let len = self.len32()?;
                self.tuple(len)
            }
            tag::MAP => self.map(),
            tag::NEW_FUN => self.fun(),
            tag::NATIVE_RECORD => self.native_record(),
            tag => self.leaf(tag),
        }
    }

    fn leaf(&mut self, tag: u8) -> Option<Term> {
        Some(match tag {
            tag::SMALL_INTEGER => FixInteger { value: i32::from(self.u8()?) }.into(),
            tag::INTEGER => FixInteger { value: i32::from_be_bytes(self.array()?) }.into(),
            tag::NEW_FLOAT => Float { value: f64::from_be_bytes(self.array()?) }.into(),
            tag::SMALL_BIG => {
                let len = usize::from(self.u8()?);
                self.big(len)?
            }
            tag::LARGE_BIG => {
                let len = self.len32()?;
                self.big(len)?
            }
            tag::ATOM | tag::SMALL_ATOM | tag::ATOM_UTF8 | tag::SMALL_ATOM_UTF8 => self.atom_body(tag)?.into(),
            tag::BINARY => {
                let len = self.len32()?;
                Binary { bytes: self.take(len)?.to_vec() }.into()
            }
            tag::BIT_BINARY => {
                let len = self.len32()?;
                let tail_bits_size = self.u8()?;
                bit_binary(self.take(len)?, tail_bits_size)
            }
            tag::STRING => {
                let len = usize::from(u16::from_be_bytes(self.array()?));
                let byte = |b: &u8| Term::from(FixInteger::from(*b));
                List { elements: self.take(len)?.iter().map(byte).collect() }.into()
            }
            tag::NIL => List::nil().into(),
            tag::NEW_PID => self.pid()?.into(),
            tag::NEW_PORT => {
                let node = self.atom()?;
                let id = u64::from(self.u32()?);
                Port { node, id, creation: self.u32()? }.into()
            }
            tag::V4_PORT => {
                let node = self.atom()?;
                let id = u64::from_be_bytes(self.array()?);
                Port { node, id, creation: self.u32()? }.into()
            }
            tag::NEWER_REFERENCE => self.reference()?,
            tag::EXPORT => {
                let (module, function) = (self.atom()?, self.atom()?);
                self.u8()?;
                ExternalFun { module, function, arity: self.u8()? }.into()
            }
            _ => return None,
        })
    }

    fn terms(&mut self, len: usize) -> Option<Vec<Term>> {
        let mut terms = Vec::with_capacity(len);
        for _ in 0..len {
            terms.push(self.term()?);
        }
        Some(terms)
    }

    fn tuple(&mut self, len: usize) -> Option<Term> {
        Some(Tuple { elements: self.terms(len)? }.into())
    }

    /// A tail that is a list again goes on with the same one: to build it apart and then append it would copy what comes
    /// last as often as there are tails.
    fn list(&mut self) -> Option<Term> {
        let mut elements = Vec::new();
        loop {
            let len = self.len32()?;
            elements.reserve(len);
            for _ in 0..len {
                elements.push(self.term()?);
            }
            match *self.rest.first()? {
                tag::LIST => self.u8()?,
                tag::STRING | tag::NIL => {
                    let Term::List(tail) = self.term()? else { return None };
                    elements.extend(tail.elements);
                    return Some(List { elements }.into());
                }
                _ if elements.is_empty() => return self.term(),
                _ => return Some(ImproperList { elements, last: Box::new(self.term()?) }.into()),
            };
        }
    }

    fn map(&mut self) -> Option<Term> {
        let len = self.len32()?;
        let mut map = std::collections::HashMap::with_capacity(len);
        for _ in 0..len {
            if self.keys == MAX_KEYS {
                self.refused = Some(CheckError::TooDeep.into());
                return None;
            }
            self.keys = self.keys.saturating_add(1);
            let key = self.term()?;
            self.keys = self.keys.saturating_sub(1);
            if map.insert(key, self.term()?).is_some() {
                self.refused = Some(DecodeError::DuplicateKey);
                return None;
            }
        }
        Some(Map { map }.into())
    }

    fn big(&mut self, len: usize) -> Option<Term> {
        let sign = if self.u8()? == 0 { Sign::Plus } else { Sign::Minus };
        let value = BigInt::from_bytes_le(sign, self.take(len)?);
        Some(match i32::try_from(&value) {
            Ok(value) => FixInteger { value }.into(),
            Err(_) => BigInteger { value }.into(),
        })
    }

    fn atom(&mut self) -> Option<Atom> {
        let tag = self.u8()?;
        self.atom_body(tag)
    }

    fn atom_body(&mut self, tag: u8) -> Option<Atom> {
        let len = match tag {
            tag::SMALL_ATOM | tag::SMALL_ATOM_UTF8 => usize::from(self.u8()?),
            _ => usize::from(u16::from_be_bytes(self.array()?)),
        };
        let bytes = self.take(len)?;
        let name = match tag {
            tag::ATOM | tag::SMALL_ATOM => bytes.iter().map(|b| char::from(*b)).collect(),
            _ => std::str::from_utf8(bytes).ok()?.to_owned(),
        };
        Some(Atom { name })
    }

    fn pid(&mut self) -> Option<Pid> {
        Some(Pid { node: self.atom()?, id: self.u32()?, serial: self.u32()?, creation: self.u32()? })
    }

    fn reference(&mut self) -> Option<Term> {
        let words = u16::from_be_bytes(self.array()?);
        let (node, creation) = (self.atom()?, self.u32()?);
        let id = (0..words).map(|_| self.u32()).collect::<Option<_>>()?;
        Some(Reference { node, id, creation }.into())
    }

    fn small_integer(&mut self) -> Option<i32> {
        match self.u8()? {
            tag::SMALL_INTEGER => self.u8().map(i32::from),
            _ => self.array().map(i32::from_be_bytes),
        }
    }

    fn fun(&mut self) -> Option<Term> {
        self.u32()?;
        let (arity, uniq, index, free) = (self.u8()?, self.array()?, self.u32()?, self.len32()?);
        let (module, old_index, old_uniq) = (self.atom()?, self.small_integer()?, self.small_integer()?);
        self.u8()?;
        let (pid, free_vars) = (self.pid()?, self.terms(free)?);
        Some(InternalFun::New { module, arity, pid, free_vars, index, uniq, old_index, old_uniq }.into())
    }

    /// `eetf` has no native records: `{'$native_record', Module, Name, [{Field, Value}]}` stands for one, so that it
    /// can be shown and refused like any other value.
    fn native_record(&mut self) -> Option<Term> {
        let fields = self.len32()?;
        self.u8()?;
        let (module, name) = (self.atom()?, self.atom()?);
        let names = (0..fields).map(|_| self.atom()).collect::<Option<Vec<_>>>()?;
        let field = |name: Atom| Some(Tuple { elements: vec![name.into(), self.term()?] }.into());
        let elements = names.into_iter().map(field).collect::<Option<_>>()?;
        let elements = vec![Atom::from("$native_record").into(), module.into(), name.into(), List { elements }.into()];
        Some(Tuple { elements }.into())
    }

    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*taken)
    }

    fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_be_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    fn len32(&mut self) -> Option<usize> {
        usize::try_from(self.u32()?).ok()
    }
}

/// The bits of the last byte that do not count are 0, so that equal terms compare equal.
fn bit_binary(bytes: &[u8], tail_bits_size: u8) -> Term {
    let mut bytes = bytes.to_vec();
    if let Some(last) = bytes.last_mut() {
        *last &= u8::MAX.checked_shl(8_u32.saturating_sub(tail_bits_size.into())).unwrap_or(0);
    }
    BitBinary { bytes, tail_bits_size }.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::term::{atom, integer, list, tuple};

    fn decoded(bytes: &[u8]) -> Term {
        decode(&[&[131], bytes].concat(), Limits::default()).unwrap()
    }

    #[test]
    fn normalises() {
        assert_eq!(decoded(&[107, 0, 2, 1, 2]), list([integer(1), integer(2)]));
        assert_eq!(decoded(&[108, 0, 0, 0, 1, 97, 1, 107, 0, 1, 2]), list([integer(1), integer(2)]));
        assert_eq!(decoded(&[110, 1, 1, 5]), integer(-5));
        assert_eq!(decoded(&[100, 0, 1, 0xe9]), atom("é"));
        assert_eq!(decoded(&[108, 0, 0, 0, 0, 97, 7]), integer(7));
        assert_eq!(decoded(&[108, 0, 0, 0, 1, 97, 1, 108, 0, 0, 0, 1, 97, 2, 106]), list([integer(1), integer(2)]));
        assert_eq!(decoded(&[77, 0, 0, 0, 1, 3, 0xff]), decoded(&[77, 0, 0, 0, 1, 3, 0xe0]));
        assert_eq!(decoded(&[110, 1, 7, 5]), integer(-5), "any sign but 0 is minus, to a BEAM too");
    }

    #[test]
    fn no_map_has_a_key_twice() {
        // 1 twice, in two forms; then inside another map.
        for twice in
            [&[116, 0, 0, 0, 2, 97, 1, 106, 98, 0, 0, 0, 1, 106][..], &[116, 0, 0, 0, 2, 106, 97, 1, 106, 97, 2]]
        {
            assert_eq!(decode(&[&[131], twice].concat(), Limits::default()), Err(DecodeError::DuplicateKey));
            let inside = [&[131, 104, 1], twice].concat();
            assert_eq!(decode(&inside, Limits::default()), Err(DecodeError::DuplicateKey));
        }
    }

    #[test]
    fn keys_in_keys_are_limited() {
        let keys = |depth: usize| [vec![131], [116, 0, 0, 0, 1].repeat(depth), vec![106; depth + 1]].concat();
        assert!(decode(&keys(MAX_KEYS), Limits::default()).is_ok());
        assert_eq!(decode(&keys(MAX_KEYS + 1), Limits::default()), Err(CheckError::TooDeep.into()));
        let beside = [vec![131, 104, 9], keys(MAX_KEYS)[1..].repeat(9)].concat();
        assert!(decode(&beside, Limits::default()).is_ok());
    }

    #[test]
    fn native_record_of_otp_29() {
        let mut bytes = vec![67, 0, 0, 0, 1, 0, 119, 3];
        bytes.extend(b"rec\x77\x02pt\x77\x01x\x61\x03");
        let field = list([tuple([atom("x"), integer(3)])]);
        assert_eq!(decoded(&bytes), tuple([atom("$native_record"), atom("rec"), atom("pt"), field]));
    }

    #[test]
    fn version_byte_is_demanded() {
        assert_eq!(decode(&[97, 1], Limits::default()), Err(DecodeError::Version));
        assert_eq!(decode(&[], Limits::default()), Err(DecodeError::Version));
    }

    #[test]
    fn deepest_term_neither_overflows_nor_panics() {
        let deep = [vec![[104_u8, 1]; Limits::MAX_DEPTH].concat(), vec![106]].concat();
        drop(decoded(&deep));
    }
}
