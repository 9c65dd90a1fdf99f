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

use std::ops::Range;

use bytes::Bytes;
use eetf::{Pid, Reference, Term};

use super::Flags;
use super::control::altact;
use crate::term::{Plain, Reader, atom, binary, integer, tuple};

/// First byte of a frame, then the term's: a tuple of four, and 6, `DOP_REG_SEND`.
const REG_SEND: &[u8] = &[112, 131, 104, 4, 97, 6];
const CALL: &str = "$gen_call";
const CAST: &str = "$gen_cast";
/// Longer ones are decoded as all others.
const MAX_FRAME: usize = 2048;
const MAX_FIELDS: usize = 8;
/// Bytes of the numbers of a pid, at its end.
const PID_NUMBERS: usize = 12;
/// `{37, Bits, From, To}`, but for the pid and the alias.
const ALTACT_TO_ALIAS: &[u8] = &[112, 131, 104, 4, 97, 37, 97, altact::ALIAS.to_le_bytes()[0]];

/// Such calls and casts to one name, one or several that came together, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flat {
    bytes: Bytes,
    frames: Vec<Frame>,
}

/// One of them, where it lies.
#[derive(Debug, Clone, Copy)]
pub struct FlatCall<'a> {
    frame: &'a [u8],
    places: &'a Places,
}

/// Puts together what came together.
#[derive(Debug, Default)]
pub struct Gathering {
    bytes: Vec<u8>,
    frames: Vec<Frame>,
    /// The one before, here or in an earlier gathering.
    last: Option<Model>,
}

/// A frame among others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Frame {
    start: u16,
    places: Places,
}

/// A frame that was read. Most often the next one differs from it in nothing but the numbers of its pids and its reference,
/// so that their parts stand in the same places: to see that takes a tenth of the time of reading it.
#[derive(Debug)]
struct Model {
    frame: Vec<u8>,
    places: Places,
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

    /// Takes the body of a frame, if it has that form and is for the same name as those before; says whether it has. Behind
    /// it, `more` bytes have come.
    pub fn take(&mut self, frame: &[u8], more: usize) -> bool {
        if self.frames.len() >= Self::MOST || !frame.starts_with(REG_SEND) {
            return false;
        }
        let Some(places) = self.places(frame) else { return false };
        let name = FlatCall { frame, places: &places }.part(places.name);
        if self.first().is_some_and(|first| first.part(first.places.name) != name) {
            return false;
        }
        let Ok(start) = u16::try_from(self.bytes.len()) else { return false };
        if self.frames.is_empty() {
            // As if the others were as long, which most often they are.
            let others = more.checked_div(frame.len()).unwrap_or_default().min(Self::MOST - 1);
            self.bytes.reserve_exact(frame.len().saturating_mul(others.saturating_add(1)));
            self.frames.reserve_exact(others.saturating_add(1));
        }
        self.bytes.extend_from_slice(frame);
        self.frames.push(Frame { start, places });
        true
    }

    fn places(&mut self, frame: &[u8]) -> Option<Places> {
        if let Some(last) = self.last.as_ref().filter(|last| last.is_like(frame)) {
            return Some(last.places);
        }
        let places = Places::find(frame)?;
        self.last = Some(Model { frame: frame.to_vec(), places });
        Some(places)
    }

    fn first(&self) -> Option<FlatCall<'_>> {
        self.frames.first().map(|frame| frame.of(&self.bytes))
    }

    /// The registered name that they are for.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.first().map(|first| first.name())
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Gives them out, and begins anew.
    #[must_use]
    pub fn finish(&mut self) -> Flat {
        Flat { bytes: std::mem::take(&mut self.bytes).into(), frames: std::mem::take(&mut self.frames) }
    }
}

impl Frame {
    fn of<'a>(&'a self, bytes: &'a [u8]) -> FlatCall<'a> {
        FlatCall { frame: bytes.get(usize::from(self.start)..).unwrap_or_default(), places: &self.places }
    }
}

impl Model {
    /// Whether the frame is the same but for numbers, which nobody looks at to find its parts.
    fn is_like(&self, frame: &[u8]) -> bool {
        if frame.len() != self.frame.len() {
            return false;
        }
        let mut start = 0;
        for numbers in self.numbers().into_iter().flatten() {
            if frame.get(start..numbers.start) != self.frame.get(start..numbers.start) {
                return false;
            }
            start = numbers.end;
        }
        frame.get(start..) == self.frame.get(start..)
    }

    /// Where the numbers of its pids and its reference stand, in order.
    fn numbers(&self) -> [Option<Range<usize>>; 3] {
        let last = |span: Span, len: usize| Some(usize::from(span.end).checked_sub(len)?..usize::from(span.end));
        let caller = self.places.caller;
        let of_reference = || {
            let reference = caller.map(|caller| caller.alias.unwrap_or(caller.tag))?;
            // Its creation, and as many words as its head says.
            let words = *self.frame.get(usize::from(reference.start).checked_add(2)?)?;
            last(reference, usize::from(words).saturating_add(1).saturating_mul(4))
        };
        let of_pid = |span| last(span, PID_NUMBERS);
        [of_pid(self.places.from), caller.and_then(|caller| of_pid(caller.pid)), of_reference()]
    }
}

impl Flat {
    /// Takes the body of a frame, if it has that form.
    #[must_use]
    pub fn of(frame: &[u8]) -> Option<Self> {
        let mut gathering = Gathering::default();
        gathering.take(frame, 0).then(|| gathering.finish())
    }

    /// How many.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.frames.len()
    }

    /// Whether there are none, which is never.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// How many of them are calls.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.frames.iter().filter(|frame| frame.places.caller.is_some()).count()
    }

    /// Bytes of the frames.
    #[must_use]
    pub fn frame_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// One after the other.
    pub fn iter(&self) -> impl Iterator<Item = FlatCall<'_>> {
        self.frames.iter().map(|frame| frame.of(&self.bytes))
    }

    /// The first of them.
    #[must_use]
    pub fn first(&self) -> Option<FlatCall<'_>> {
        self.iter().next()
    }

    /// Each alone.
    pub fn split(&self) -> impl Iterator<Item = Self> {
        self.frames.iter().map(|frame| Self { bytes: self.bytes.clone(), frames: vec![*frame] })
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
    /// Pid and value are [encoded](crate::term::encode) already, once for all who get the same.
    pub fn reply(&self, flags: Flags, us: &[u8], value: &[u8], out: &mut Vec<u8>) {
        let Some(caller) = self.places.caller else { return };
        let pid = self.part(caller.pid);
        let (control, from, to): (&[u8], _, _) = match caller.alias.filter(|_| flags.contains(Flags::ALIAS)) {
            Some(alias) if flags.contains(Flags::ALTACT_SIG) => (ALTACT_TO_ALIAS, us, self.part(alias)),
            Some(alias) => (b"p\x83h\x03a\x21", us, self.part(alias)),
            None if flags.contains(Flags::SEND_SENDER) => (b"p\x83h\x03a\x16", us, pid),
            None => (b"p\x83h\x03a\x02w\x00", &[], pid),
        };
        let parts = [control, from, to, b"\x83h\x02", self.part(caller.tag), value];
        let len = parts.iter().map(|part| part.len()).sum::<usize>();
        out.reserve(len.saturating_add(4));
        out.extend_from_slice(&u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes());
        for part in parts {
            out.extend_from_slice(part);
        }
    }

    fn part(&self, span: Span) -> &'a [u8] {
        self.frame.get(usize::from(span.start)..usize::from(span.end)).unwrap_or_default()
    }

    fn reader(&self, span: Span) -> Reader<'a> {
        Reader::new(self.part(span))
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
    fn find(frame: &[u8]) -> Option<Self> {
        if frame.len() > MAX_FRAME {
            return None;
        }
        let mut cursor = Cursor { frame, reader: Reader::new(frame.strip_prefix(REG_SEND)?) };
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
    frame: &'a [u8],
    reader: Reader<'a>,
}

impl<'a> Cursor<'a> {
    fn at(&self) -> Option<u16> {
        u16::try_from(self.frame.len().checked_sub(self.reader.rest().len())?).ok()
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
