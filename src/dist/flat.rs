//! Calls and casts of `gen_server` to a registered name, read where they lie: what nearly all frames are that a server gets.
//!
//! A term built of a call is thirty allocations, for a request that is most often two words and a name. Here a frame is taken
//! as it is if it has exactly this form, and every length in it is checked on the way; those that come together stay together,
//! for what is done once for all of them costs nobody much:
//!
//! ```text
//! {6, From, _, Name}   {'$gen_call', {Pid, Ref | [alias | Ref]}, Request}   or   {'$gen_cast', Request}
//! Request: an atom, or a tuple of at most seven plain values, an atom first
//! Plain:   an atom, a binary, an integer of at most 32 bits
//! ```
//!
//! Everything else is for [`Message::decode`](super::Message::decode), which also says what is wrong with it. As there, what
//! follows the payload is ignored.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

use bytes::Bytes;
use eetf::{Pid, Reference, Term};

use super::Flags;
use super::control::altact;
use crate::term::{self, Plain, Reader, atom, binary, integer, tuple};

/// First byte of a frame, then the term's: a tuple of four, and 6, `DOP_REG_SEND`.
const REG_SEND: &[u8] = &[112, 131, 104, 4, 97, 6];
const CALL: &str = "$gen_call";
const CAST: &str = "$gen_cast";
/// Longer ones are decoded as all others.
const MAX_FRAME: usize = 2048;
const MAX_FIELDS: usize = 8;

/// Such calls and casts to one name, one or several that came together, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flat {
    bytes: Bytes,
    places: Vec<Places>,
}

/// One of them, where it lies.
#[derive(Debug, Clone, Copy)]
pub struct FlatCall<'a> {
    bytes: &'a [u8],
    places: &'a Places,
}

/// Puts together what came together.
#[derive(Debug, Default)]
pub struct Gathering {
    bytes: Vec<u8>,
    places: Vec<Places>,
}

/// Where its parts stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Places {
    from: Span,
    name: Span,
    caller: Option<Waiting>,
    request: Span,
}

/// Where something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    start: u16,
    end: u16,
}

/// Who waits for the reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Waiting {
    pid: Span,
    tag: Span,
    /// The alias inside the tag.
    alias: Option<Span>,
}

impl Gathering {
    /// How many may come together.
    pub const MOST: usize = 16;

    /// Takes the body of a frame, if it has that form and is for the same name as those before. Says whether it has.
    pub fn take(&mut self, frame: &[u8]) -> bool {
        if self.places.len() >= Self::MOST {
            return false;
        }
        let start = self.bytes.len();
        let Some(places) = Places::find(frame, start) else { return false };
        self.bytes.extend_from_slice(frame);
        self.places.push(places);
        let is_to_same = self.places.first().is_some_and(|first| self.bytes(first.name) == self.bytes(places.name));
        if !is_to_same {
            self.bytes.truncate(start);
            self.places.pop();
        }
        is_to_same
    }

    /// The registered name that they are for.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        Reader::new(self.bytes(self.places.first()?.name)).atom()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Gives them out, and begins anew.
    #[must_use]
    pub fn finish(&mut self) -> Flat {
        Flat { bytes: std::mem::take(&mut self.bytes).into(), places: std::mem::take(&mut self.places) }
    }

    fn bytes(&self, span: Span) -> &[u8] {
        self.bytes.get(usize::from(span.start)..usize::from(span.end)).unwrap_or_default()
    }
}

impl Flat {
    /// Takes the body of a frame, if it has that form.
    #[must_use]
    pub fn of(frame: &[u8]) -> Option<Self> {
        let mut gathering = Gathering::default();
        gathering.take(frame).then(|| gathering.finish())
    }

    /// How many.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there are none, which is never.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Bytes of the frames.
    #[must_use]
    pub fn frame_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// One after the other.
    pub fn iter(&self) -> impl Iterator<Item = FlatCall<'_>> {
        self.places.iter().map(|places| FlatCall { bytes: &self.bytes, places })
    }

    /// The first of them.
    #[must_use]
    pub fn first(&self) -> Option<FlatCall<'_>> {
        self.iter().next()
    }

    /// Each alone.
    pub fn split(&self) -> impl Iterator<Item = Self> {
        self.places.iter().map(|places| Self { bytes: self.bytes.clone(), places: vec![*places] })
    }
}

impl<'a> FlatCall<'a> {
    /// The registered name that it is for.
    #[must_use]
    pub fn name(&self) -> &'a str {
        self.reader(self.places.name).atom().unwrap_or_default()
    }

    /// Whether somebody waits for a reply.
    #[must_use]
    pub const fn is_call(&self) -> bool {
        self.places.caller.is_some()
    }

    /// What is asked, word by word.
    #[must_use]
    pub fn request(&self) -> Request<'a> {
        Request { reader: self.reader(self.places.request) }
    }

    /// Who waits for the reply, or else who has sent it.
    #[must_use]
    pub fn sender(&self) -> Option<Pid> {
        self.reader(self.places.caller.map_or(self.places.from, |caller| caller.pid)).pid().map(Pid::from)
    }

    /// The tag of the reply.
    #[must_use]
    pub fn tag(&self) -> Option<Term> {
        let caller = self.places.caller?;
        let reference = |span| self.reader(span).reference().map(|reference| Term::from(Reference::from(reference)));
        match caller.alias {
            None => reference(caller.tag),
            Some(alias) => {
                let last = Box::new(reference(alias)?);
                Some(eetf::ImproperList { elements: vec![atom("alias")], last }.into())
            }
        }
    }

    /// Whether who waits lives on that node.
    #[must_use]
    pub fn is_of(&self, node: &str) -> bool {
        self.places.caller.is_some_and(|caller| self.reader(caller.pid).is_pid_of(node))
    }

    /// Appends the frame of the reply `{Tag, Value}` of `us` to `out`, as [`Control::send`](super::Control::send) and
    /// [`alias_send`](super::Control::alias_send) with a payload would make it: to the alias if both sides know aliases.
    pub fn reply(&self, flags: Flags, us: term::PlainPid<'_>, value: &Term, out: &mut Vec<u8>) {
        let Some(caller) = self.places.caller else { return };
        let start = out.len();
        out.extend([0; 4]);
        match caller.alias.filter(|_| flags.contains(Flags::ALIAS)) {
            Some(alias) if flags.contains(Flags::ALTACT_SIG) => {
                out.extend(b"p\x83h\x04a\x25a");
                out.push(altact::ALIAS.to_le_bytes()[0]);
                us.encode(out);
                out.extend(self.bytes(alias));
            }
            Some(alias) => {
                out.extend(b"p\x83h\x03a\x21");
                us.encode(out);
                out.extend(self.bytes(alias));
            }
            None if flags.contains(Flags::SEND_SENDER) => {
                out.extend(b"p\x83h\x03a\x16");
                us.encode(out);
                out.extend(self.bytes(caller.pid));
            }
            None => {
                out.extend(b"p\x83h\x03a\x02w\x00");
                out.extend(self.bytes(caller.pid));
            }
        }
        out.extend(b"\x83h\x02");
        out.extend(self.bytes(caller.tag));
        term::encode(value, out);
        super::control::set_length(out, start);
    }

    fn bytes(&self, span: Span) -> &'a [u8] {
        self.bytes.get(usize::from(span.start)..usize::from(span.end)).unwrap_or_default()
    }

    fn reader(&self, span: Span) -> Reader<'a> {
        Reader::new(self.bytes(span))
    }
}

/// A request of plain values.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    reader: Reader<'a>,
}

impl<'a> Request<'a> {
    /// Its bytes: where they are the same, so is what is asked.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.reader.rest()
    }

    /// Its first word, and as many values as follow it, if they are `N`.
    #[must_use]
    pub fn words<const N: usize>(&self) -> Option<(&'a str, [Plain<'a>; N])> {
        let mut reader = self.reader.clone();
        let fields = reader.tuple().unwrap_or(1);
        if fields != N.checked_add(1)? {
            return None;
        }
        let name = reader.atom()?;
        let mut words = [Plain::Integer(0); N];
        for word in &mut words {
            *word = reader.plain()?;
        }
        Some((name, words))
    }

    /// The same as a term.
    #[must_use]
    pub fn to_term(&self) -> Term {
        let mut reader = self.reader.clone();
        let fields = reader.tuple();
        let terms = std::iter::from_fn(|| reader.plain()).map(|plain| match plain {
            Plain::Atom(name) => atom(name),
            Plain::Binary(bytes) => binary(bytes),
            Plain::Integer(value) => integer(i64::from(value)),
        });
        match fields {
            Some(fields) => tuple(terms.take(fields).collect::<Vec<_>>()),
            None => { terms }.next().unwrap_or_else(|| atom("undefined")),
        }
    }
}

impl Places {
    /// In a frame that will stand behind `before` bytes.
    fn find(frame: &[u8], before: usize) -> Option<Self> {
        if frame.len() > MAX_FRAME || !frame.starts_with(REG_SEND) {
            return None;
        }
        let end = before.checked_add(frame.len())?;
        let mut cursor = Cursor { end, reader: Reader::new(frame.get(REG_SEND.len()..)?) };
        let from = cursor.span(Reader::skip_pid)?;
        // Once a cookie.
        cursor.reader.skip_atom()?;
        let name = cursor.span(Reader::skip_atom)?;
        cursor.reader.version()?;
        let fields = cursor.reader.tuple()?;
        let caller = match (cursor.reader.atom()?, fields) {
            (CALL, 3) => Some(cursor.caller()?),
            (CAST, 2) => None,
            _ => return None,
        };
        let request = cursor.span(is_request)?;
        Some(Self { from, name, caller, request })
    }
}

struct Cursor<'a> {
    /// Where the last byte stands.
    end: usize,
    reader: Reader<'a>,
}

impl<'a> Cursor<'a> {
    fn at(&self) -> Option<u16> {
        u16::try_from(self.end.checked_sub(self.reader.rest().len())?).ok()
    }

    /// What `read` passes over.
    fn span(&mut self, read: impl FnOnce(&mut Reader<'a>) -> Option<()>) -> Option<Span> {
        let start = self.at()?;
        read(&mut self.reader)?;
        Some(Span { start, end: self.at()? })
    }

    /// `{Pid, Ref}` or `{Pid, [alias | Ref]}`.
    fn caller(&mut self) -> Option<Waiting> {
        (self.reader.tuple()? == 2).then_some(())?;
        let pid = self.span(Reader::skip_pid)?;
        let start = self.at()?;
        let is_alias = self.reader.list_of_one().is_some();
        if is_alias && self.reader.atom()? != "alias" {
            return None;
        }
        let reference = self.span(Reader::skip_reference)?;
        let tag = Span { start, end: reference.end };
        Some(Waiting { pid, tag, alias: is_alias.then_some(reference) })
    }
}

fn is_request(reader: &mut Reader<'_>) -> Option<()> {
    match reader.tuple() {
        Some(fields @ 1..=MAX_FIELDS) => {
            reader.skip_atom()?;
            (1..fields).try_for_each(|_| reader.skip_plain())
        }
        Some(_) => None,
        None => reader.skip_atom(),
    }
}

#[cfg(test)]
#[path = "flat_tests.rs"]
mod tests;
