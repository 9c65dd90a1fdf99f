//! Plain values read where they lie: every length is checked, nothing is allocated, nothing is changed if it is not there.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

use eetf::{Atom, Pid, Reference};

use super::{encode_atom, tag};

/// First byte of every term that is not inside another.
const VERSION: u8 = 131;

/// A value without others in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plain<'a> {
    /// An atom.
    Atom(&'a str),
    /// A binary.
    Binary(&'a [u8]),
    /// An integer of at most 32 bits.
    Integer(i32),
}

/// A pid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct PlainPid<'a> {
    pub node: &'a str,
    pub id: u32,
    pub serial: u32,
    pub creation: u32,
}

impl PlainPid<'_> {
    /// Appends it, as [`super::encode`] does.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(tag::NEW_PID);
        encode_atom(self.node, out);
        for field in [self.id, self.serial, self.creation] {
            out.extend(field.to_be_bytes());
        }
    }
}

impl From<PlainPid<'_>> for Pid {
    fn from(PlainPid { node, id, serial, creation }: PlainPid<'_>) -> Self {
        Self { node: Atom::from(node), id, serial, creation }
    }
}

/// A reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlainReference<'a> {
    node: &'a str,
    creation: u32,
    /// Its words in network order.
    words: &'a [u8],
}

impl From<PlainReference<'_>> for Reference {
    fn from(PlainReference { node, creation, words }: PlainReference<'_>) -> Self {
        let id = words.as_chunks().0.iter().map(|word| u32::from_be_bytes(*word)).collect();
        Self { node: Atom::from(node), id, creation }
    }
}

/// Reads terms, without version bytes but where one is asked for, from the front of some bytes. What is not there leaves
/// them as they were.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// From the front of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What has not been read.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The version byte.
    pub fn version(&mut self) -> Option<()> {
        let [VERSION, rest @ ..] = self.rest else { return None };
        self.rest = rest;
        Some(())
    }

    /// The head of a tuple of at most 255; how many elements follow.
    pub fn tuple(&mut self) -> Option<usize> {
        let [tag::SMALL_TUPLE, fields, rest @ ..] = self.rest else { return None };
        self.rest = rest;
        Some(usize::from(*fields))
    }

    /// The head of a list of one element, which follows, and then its tail.
    pub fn list_of_one(&mut self) -> Option<()> {
        let [tag::LIST, 0, 0, 0, 1, rest @ ..] = self.rest else { return None };
        self.rest = rest;
        Some(())
    }

    /// An atom, in UTF-8, or in the part of Latin-1 that is UTF-8 too.
    pub fn atom(&mut self) -> Option<&'a str> {
        let (name, rest) = match self.rest {
            [tag::SMALL_ATOM_UTF8, len, rest @ ..] => {
                let (name, rest) = rest.split_at_checked(usize::from(*len))?;
                (std::str::from_utf8(name).ok()?, rest)
            }
            [tag::ATOM, 0, len, rest @ ..] => {
                let (name, rest) = rest.split_at_checked(usize::from(*len))?;
                (std::str::from_utf8(name).ok().filter(|name| name.is_ascii())?, rest)
            }
            _ => return None,
        };
        self.rest = rest;
        Some(name)
    }

    /// A pid.
    pub fn pid(&mut self) -> Option<PlainPid<'a>> {
        let mut reader = self.clone();
        reader.byte(tag::NEW_PID)?;
        let node = reader.atom()?;
        let pid = PlainPid { node, id: reader.word()?, serial: reader.word()?, creation: reader.word()? };
        *self = reader;
        Some(pid)
    }

    /// A reference.
    pub fn reference(&mut self) -> Option<PlainReference<'a>> {
        let mut reader = self.clone();
        reader.byte(tag::NEWER_REFERENCE)?;
        let [0, words @ 1..=5, rest @ ..] = reader.rest else { return None };
        reader.rest = rest;
        let (node, creation) = (reader.atom()?, reader.word()?);
        let (words, rest) = reader.rest.split_at_checked(usize::from(*words).saturating_mul(4))?;
        self.rest = rest;
        Some(PlainReference { node, creation, words })
    }

    /// A plain value.
    pub fn plain(&mut self) -> Option<Plain<'a>> {
        let (value, rest) = match self.rest {
            [tag::SMALL_INTEGER, value, rest @ ..] => (Plain::Integer(i32::from(*value)), rest),
            [tag::INTEGER, a, b, c, d, rest @ ..] => (Plain::Integer(i32::from_be_bytes([*a, *b, *c, *d])), rest),
            [tag::BINARY, a, b, c, d, rest @ ..] => {
                let len = usize::try_from(u32::from_be_bytes([*a, *b, *c, *d])).ok()?;
                let (bytes, rest) = rest.split_at_checked(len)?;
                (Plain::Binary(bytes), rest)
            }
            _ => return self.atom().map(Plain::Atom),
        };
        self.rest = rest;
        Some(value)
    }

    fn byte(&mut self, wanted: u8) -> Option<()> {
        let (first, rest) = self.rest.split_first()?;
        (*first == wanted).then(|| self.rest = rest)
    }

    fn word(&mut self) -> Option<u32> {
        let (word, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(u32::from_be_bytes(*word))
    }
}
