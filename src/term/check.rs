//! The check that stands in front of every decoder: no recursion, no allocation, one pass (two for deep nesting).

use super::tag;

/// What a term may cost at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Containers inside containers; at most [`Limits::MAX_DEPTH`].
    pub depth: usize,
    /// Terms in it, itself and the bytes of strings included. A term takes 56 bytes, up to three times that while a list
    /// or map of them grows, and may have been a single byte in the frame.
    pub terms: usize,
}

impl Limits {
    /// What [`Limits::terms`] is by default: much more than any message between people's programs, and 56 MiB.
    pub const DEFAULT_TERMS: usize = 1 << 20;

    /// The deepest nesting that can be allowed: decoding recurses, and a test thread has 2 MiB of stack.
    pub const MAX_DEPTH: usize = 256;
}

impl Default for Limits {
    fn default() -> Self {
        Self { depth: Self::MAX_DEPTH, terms: Self::DEFAULT_TERMS }
    }
}

/// Why bytes are not a term that we take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    /// The bytes end inside the term.
    #[error("the term is cut off")]
    Truncated,
    /// A container declares more elements, or a field more bytes, than are left.
    #[error("a length says more than the bytes that are left")]
    CountTooLarge,
    /// A tag that no peer may send here: unknown, compressed, or of the distribution header.
    #[error("tag {0} is not accepted")]
    Tag(u8),
    /// More nesting than [`Limits::depth`].
    #[error("the term is nested too deeply")]
    TooDeep,
    /// More terms than [`Limits::terms`].
    #[error("the term has too many others in it")]
    TooMany,
    /// An atom of more than 255 characters, or not in UTF-8.
    #[error("an atom is too long or not UTF-8")]
    Atom,
    /// A reference without words or with more than five, a bit count beyond 8, a float that is not finite.
    #[error("a field of a term is out of range")]
    Field,
}

/// The length in bytes of the term at the start of `bytes` (which has no version byte).
///
/// What this accepts, [`super::decode`] builds with memory in proportion to that length.
///
/// # Errors
/// [`CheckError`] says what is wrong; nothing was allocated.
pub fn check(bytes: &[u8], limits: Limits) -> Result<usize, CheckError> {
    // Nearly all terms are shallow, and clearing room for the deepest would cost as much as all the rest of the check.
    match check_within::<SHALLOW>(bytes, limits) {
        Err(CheckError::TooDeep) if limits.depth > SHALLOW => check_within::<{ Limits::MAX_DEPTH }>(bytes, limits),
        checked => checked,
    }
}

/// The nesting that the first try has room for.
const SHALLOW: usize = 16;

fn check_within<const DEPTH: usize>(bytes: &[u8], limits: Limits) -> Result<usize, CheckError> {
    let mut reader = Reader { rest: bytes, terms_left: limits.terms as u64 };
    let mut open = Nesting::<DEPTH>::new(limits);
    loop {
        let children = reader.head()?;
        // Every child takes at least one byte, so this bounds all that the decoder will allocate.
        if children > reader.rest.len() as u64 {
            return Err(CheckError::CountTooLarge);
        }
        if children > 0 {
            open.push(children)?;
        } else if open.leaf_done() {
            return Ok(bytes.len().saturating_sub(reader.rest.len()));
        }
    }
}

/// How many children each open container still waits for.
struct Nesting<const DEPTH: usize> {
    waiting: [u64; DEPTH],
    depth: usize,
    limit: usize,
}

impl<const DEPTH: usize> Nesting<DEPTH> {
    fn new(limits: Limits) -> Self {
        Self { waiting: [0; DEPTH], depth: 0, limit: limits.depth.min(DEPTH) }
    }

    fn push(&mut self, children: u64) -> Result<(), CheckError> {
        if self.depth >= self.limit {
            return Err(CheckError::TooDeep);
        }
        *self.waiting.get_mut(self.depth).ok_or(CheckError::TooDeep)? = children;
        self.depth = self.depth.saturating_add(1);
        Ok(())
    }

    /// Counts a finished child, and the containers that it completes; true when the outermost term is complete.
    fn leaf_done(&mut self) -> bool {
        while let Some(waiting) = self.depth.checked_sub(1).and_then(|top| self.waiting.get_mut(top)) {
            *waiting = waiting.saturating_sub(1);
            if *waiting > 0 {
                return false;
            }
            self.depth = self.depth.saturating_sub(1);
        }
        true
    }
}

struct Reader<'a> {
    rest: &'a [u8],
    terms_left: u64,
}

impl<'a> Reader<'a> {
    /// Reads a tag and its own fields; returns how many terms follow as its children.
    fn head(&mut self) -> Result<u64, CheckError> {
        self.count(1)?;
        match self.u8()? {
            tag::SMALL_INTEGER => self.skip(1),
            tag::INTEGER => self.skip(4),
            tag::NEW_FLOAT => self.float(),
            tag::SMALL_BIG => {
                let len = u64::from(self.u8()?);
                self.big(len)
            }
            tag::LARGE_BIG => {
                let len = self.u32()?;
                self.big(len)
            }
            tag @ (tag::ATOM | tag::SMALL_ATOM | tag::ATOM_UTF8 | tag::SMALL_ATOM_UTF8) => self.atom_body(tag),
            tag::BINARY => {
                let len = self.u32()?;
                self.skip(len)
            }
            tag::BIT_BINARY => self.bit_binary(),
            tag::STRING => {
                let len = u64::from(self.u16()?);
                self.count(len)?;
                self.skip(len)
            }
            tag::NIL => Ok(0),
            tag::LIST => Ok(self.u32()?.saturating_add(1)),
            tag::SMALL_TUPLE => Ok(u64::from(self.u8()?)),
            tag::LARGE_TUPLE => self.u32(),
            tag::MAP => Ok(self.u32()?.saturating_mul(2)),
            tag::NEW_PID => self.node_then(12),
            tag::NEW_PORT => self.node_then(8),
            tag::V4_PORT => self.node_then(12),
            tag::NEWER_REFERENCE => self.reference(),
            tag::EXPORT => self.export(),
            tag::NEW_FUN => self.fun(),
            tag::NATIVE_RECORD => self.native_record(),
            tag => Err(CheckError::Tag(tag)),
        }
    }

    fn count(&mut self, terms: u64) -> Result<(), CheckError> {
        self.terms_left = self.terms_left.checked_sub(terms).ok_or(CheckError::TooMany)?;
        Ok(())
    }

    fn take(&mut self, len: u64) -> Result<&'a [u8], CheckError> {
        let len = usize::try_from(len).map_err(|_| CheckError::CountTooLarge)?;
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(CheckError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    fn skip(&mut self, len: u64) -> Result<u64, CheckError> {
        self.take(len).map(|_| 0)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], CheckError> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(CheckError::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    fn u8(&mut self) -> Result<u8, CheckError> {
        self.array().map(u8::from_be_bytes)
    }

    fn u16(&mut self) -> Result<u16, CheckError> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u64, CheckError> {
        self.array().map(|b| u64::from(u32::from_be_bytes(b)))
    }

    fn float(&mut self) -> Result<u64, CheckError> {
        if f64::from_be_bytes(self.array()?).is_finite() { Ok(0) } else { Err(CheckError::Field) }
    }

    fn big(&mut self, len: u64) -> Result<u64, CheckError> {
        // The sign: 0 is plus.
        self.u8()?;
        self.skip(len)
    }

    fn bit_binary(&mut self) -> Result<u64, CheckError> {
        let len = self.u32()?;
        let bits = self.u8()?;
        // `<<>>` is never a bit string, and a last byte has one to eight bits.
        if len == 0 || !(1..=8).contains(&bits) {
            return Err(CheckError::Field);
        }
        self.skip(len)
    }

    fn atom_body(&mut self, tag: u8) -> Result<u64, CheckError> {
        let len = match tag {
            tag::SMALL_ATOM | tag::SMALL_ATOM_UTF8 => u64::from(self.u8()?),
            _ => u64::from(self.u16()?),
        };
        let name = self.take(len)?;
        let is_too_long = match tag {
            tag::ATOM | tag::SMALL_ATOM => name.len() > 255,
            _ => {
                let name = std::str::from_utf8(name).map_err(|_| CheckError::Atom)?;
                name.len() > 255 && name.chars().count() > 255
            }
        };
        if is_too_long { Err(CheckError::Atom) } else { Ok(0) }
    }

    fn atom(&mut self) -> Result<u64, CheckError> {
        match self.u8()? {
            tag @ (tag::ATOM | tag::SMALL_ATOM | tag::ATOM_UTF8 | tag::SMALL_ATOM_UTF8) => self.atom_body(tag),
            tag => Err(CheckError::Tag(tag)),
        }
    }

    fn node_then(&mut self, len: u64) -> Result<u64, CheckError> {
        self.atom()?;
        self.skip(len)
    }

    fn reference(&mut self) -> Result<u64, CheckError> {
        let words = self.u16()?;
        if !(1..=5).contains(&words) {
            return Err(CheckError::Field);
        }
        self.node_then(u64::from(words).saturating_add(1).saturating_mul(4))
    }

    fn small_integer(&mut self) -> Result<u64, CheckError> {
        match self.u8()? {
            tag::SMALL_INTEGER => self.skip(1),
            tag::INTEGER => self.skip(4),
            tag => Err(CheckError::Tag(tag)),
        }
    }

    fn export(&mut self) -> Result<u64, CheckError> {
        self.atom()?;
        self.atom()?;
        match self.u8()? {
            tag::SMALL_INTEGER => self.skip(1),
            tag => Err(CheckError::Tag(tag)),
        }
    }

    /// Size, arity, uniq, index, number of free variables, module, old index, old uniq, pid; then the free variables.
    fn fun(&mut self) -> Result<u64, CheckError> {
        self.skip(4 + 1 + 16 + 4)?;
        let free = self.u32()?;
        self.atom()?;
        self.small_integer()?;
        self.small_integer()?;
        match self.u8()? {
            tag::NEW_PID => self.node_then(12)?,
            tag => return Err(CheckError::Tag(tag)),
        };
        Ok(free)
    }

    /// Number of fields, flags, module, name, the fields' names; then their values (OTP 29).
    fn native_record(&mut self) -> Result<u64, CheckError> {
        let fields = self.u32()?;
        self.skip(1)?;
        self.atom()?;
        self.atom()?;
        if fields > self.rest.len() as u64 {
            return Err(CheckError::CountTooLarge);
        }
        for _ in 0..fields {
            self.atom()?;
        }
        Ok(fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(bytes: &[u8]) -> Result<usize, CheckError> {
        check(bytes, Limits::default())
    }

    #[test]
    fn says_how_long_a_term_is() {
        for (bytes, len) in [
            (&[97, 1, 9, 9][..], 2),
            (&[106], 1),
            (&[104, 0], 2),
            (&[104, 2, 97, 1, 106, 0], 5),
            (&[108, 0, 0, 0, 1, 97, 1, 97, 2], 9),
            (&[116, 0, 0, 0, 1, 97, 1, 106], 8),
            (&[107, 0, 2, 1, 2, 3], 5),
            (&[119, 1, b'a'], 3),
            (&[100, 0, 1, 0xe9], 4),
        ] {
            assert_eq!(checked(bytes), Ok(len), "{bytes:?}");
        }
    }

    #[test]
    fn refuses_what_would_cost_or_panic() {
        for (bytes, error) in [
            (&[][..], CheckError::Truncated),
            (&[105, 255, 255, 255, 255, 106], CheckError::CountTooLarge),
            (&[108, 255, 255, 255, 255, 106], CheckError::CountTooLarge),
            (&[116, 0, 0, 0, 2, 106, 106], CheckError::CountTooLarge),
            (&[109, 0, 0, 0, 9, 1], CheckError::Truncated),
            (&[68, 0], CheckError::Tag(68)),
            (&[80, 0, 0, 0, 0], CheckError::Tag(80)),
            (&[82, 0], CheckError::Tag(82)),
            (&[121, 0], CheckError::Tag(121)),
            (&[77, 0, 0, 0, 0, 0], CheckError::Field),
            (&[77, 0, 0, 0, 1, 9, 1], CheckError::Field),
            (&[70, 0x7f, 0xf0, 0, 0, 0, 0, 0, 0], CheckError::Field),
            (&[119, 1, 0xff], CheckError::Atom),
            (&[90, 0, 6, 119, 1, b'a'], CheckError::Field),
        ] {
            assert_eq!(checked(bytes), Err(error), "{bytes:?}");
        }
    }

    #[test]
    fn terms_are_counted() {
        let limits = Limits { terms: 5, ..Limits::default() };
        for (bytes, is_taken) in [
            (&[104, 4, 106, 106, 106, 106][..], true),
            (&[104, 5, 106, 106, 106, 106, 106], false),
            (&[107, 0, 4, 1, 2, 3, 4], true),
            (&[107, 0, 5, 1, 2, 3, 4, 5], false),
            (&[116, 0, 0, 0, 2, 97, 1, 106, 97, 2, 106], true),
        ] {
            assert_eq!(check(bytes, limits).is_ok(), is_taken, "{bytes:?}");
        }
        let million = [vec![105, 0, 16, 0, 0], vec![106; 1 << 20]].concat();
        assert_eq!(checked(&million), Err(CheckError::TooMany));
    }

    #[test]
    fn depth_is_limited() {
        let nested = |depth: usize| [vec![[104_u8, 1]; depth].concat(), vec![106]].concat();
        assert!(checked(&nested(Limits::MAX_DEPTH)).is_ok());
        assert_eq!(checked(&nested(Limits::MAX_DEPTH + 1)), Err(CheckError::TooDeep));
        assert_eq!(checked(&nested(1_000_000)), Err(CheckError::TooDeep));
    }
}
