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
            out.extend_from_slice(&field.to_be_bytes());
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
        let before = self.rest;
        let name = self.atom_bytes().and_then(|name| std::str::from_utf8(name).ok());
        if name.is_none() {
            self.rest = before;
        }
        name
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
        let words = reader.reference_head()?;
        let (node, creation) = (reader.atom()?, reader.word()?);
        let words = reader.take(words.saturating_mul(4))?;
        *self = reader;
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
}

/// Passing over what is as it should be.
impl<'a> Reader<'a> {
    /// Passes over an [atom](Self::atom). Nearly all are ASCII, which is seen sooner than that they are UTF-8.
    pub fn skip_atom(&mut self) -> Option<()> {
        let before = self.rest;
        let is_text = |name: &[u8]| name.is_ascii() || std::str::from_utf8(name).is_ok();
        let skipped = self.atom_bytes().filter(|name| is_text(name));
        if skipped.is_none() {
            self.rest = before;
        }
        skipped.map(drop)
    }

    /// Passes over a [pid](Self::pid).
    pub fn skip_pid(&mut self) -> Option<()> {
        let mut reader = self.clone();
        reader.byte(tag::NEW_PID)?;
        reader.skip_atom()?;
        reader.take(12)?;
        *self = reader;
        Some(())
    }

    /// Passes over a [reference](Self::reference).
    pub fn skip_reference(&mut self) -> Option<()> {
        let mut reader = self.clone();
        let words = reader.reference_head()?;
        reader.skip_atom()?;
        reader.take(words.saturating_add(1).saturating_mul(4))?;
        *self = reader;
        Some(())
    }

    /// Passes over a reference whose bytes are those that [`super::encode`] writes.
    pub fn skip_reference_as_written(&mut self) -> Option<()> {
        let [tag::NEWER_REFERENCE, _, _, tag::SMALL_ATOM_UTF8, ..] = self.rest else { return None };
        self.skip_reference()
    }

    /// Passes over a [plain value](Self::plain).
    pub fn skip_plain(&mut self) -> Option<()> {
        match self.rest.first() {
            Some(&(tag::SMALL_INTEGER | tag::INTEGER | tag::BINARY)) => self.plain().map(drop),
            _ => self.skip_atom(),
        }
    }

    /// Whether a pid of that node is next.
    #[must_use]
    pub fn is_pid_of(&self, node: &str) -> bool {
        let mut reader = self.clone();
        reader.byte(tag::NEW_PID).and_then(|()| reader.atom_bytes()) == Some(node.as_bytes())
    }

    fn atom_bytes(&mut self) -> Option<&'a [u8]> {
        let (name, rest) = match self.rest {
            [tag::SMALL_ATOM_UTF8, len, rest @ ..] => rest.split_at_checked(usize::from(*len))?,
            [tag::ATOM, 0, len, rest @ ..] => {
                rest.split_at_checked(usize::from(*len)).filter(|(name, _)| name.is_ascii())?
            }
            _ => return None,
        };
        self.rest = rest;
        Some(name)
    }

    /// How many words a reference has, whose node follows.
    fn reference_head(&mut self) -> Option<usize> {
        let [tag::NEWER_REFERENCE, 0, words @ 1..=5, rest @ ..] = self.rest else { return None };
        self.rest = rest;
        Some(usize::from(*words))
    }

    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(taken)
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
