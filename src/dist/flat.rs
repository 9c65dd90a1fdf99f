//! Calls and casts of `gen_server` to a registered name, read where they lie: what nearly all frames are that a server gets.
//!
//! A term built of a call is thirty allocations, for a request that is most often two words and a name. Here a frame is taken
//! as it is if it has exactly this form, and every length in it is checked on the way:
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
const MAX_FRAME: usize = 4096;
const MAX_FIELDS: usize = 8;

/// Such a call or cast.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flat {
    frame: Bytes,
    places: Places,
}

/// Where in the frame its parts stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Places {
    from: Span,
    name: Span,
    caller: Option<Waiting>,
    request: Span,
}

/// Where in the frame something stands.
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

impl Flat {
    /// Takes the body of a frame.
    ///
    /// # Errors
    /// Gives it back if it has not that form.
    pub fn of(frame: Bytes) -> Result<Self, Bytes> {
        match Places::find(&frame) {
            Some(places) => Ok(Self { frame, places }),
            None => Err(frame),
        }
    }

    /// The frame again.
    #[must_use]
    pub fn into_frame(self) -> Bytes {
        self.frame
    }

    /// Bytes in the frame.
    #[must_use]
    pub fn frame_len(&self) -> usize {
        self.frame.len()
    }

    /// The registered name that it is for.
    #[must_use]
    pub fn name(&self) -> &str {
        self.reader(self.places.name).atom().unwrap_or_default()
    }

    /// Whether somebody waits for a reply.
    #[must_use]
    pub const fn is_call(&self) -> bool {
        self.places.caller.is_some()
    }

    /// What is asked, word by word.
    #[must_use]
    pub fn request(&self) -> Request<'_> {
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

    fn bytes(&self, span: Span) -> &[u8] {
        self.frame.get(usize::from(span.start)..usize::from(span.end)).unwrap_or_default()
    }

    fn reader(&self, span: Span) -> Reader<'_> {
        Reader::new(self.bytes(span))
    }
}

/// A request of plain values.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    reader: Reader<'a>,
}

impl<'a> Request<'a> {
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
        if frame.len() > MAX_FRAME || !frame.starts_with(REG_SEND) {
            return None;
        }
        let mut cursor = Cursor { frame, reader: Reader::new(frame.get(REG_SEND.len()..)?) };
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
