//! The port mapper's requests and replies as bytes. Pure: no sockets, no clock, no tokio.
//!
//! A request is `u16 length, u8 op, ...`; a reply has no length and ends where its fields end, or, for the two
//! listings, where the connection does (OTP's protocol guide, "EPMD Protocol"; `erts/epmd/src/epmd_srv.c`).
//! Bytes come from anyone who can reach the port: nothing is allocated from a claimed length beyond [`MAX_BODY`],
//! and the outcome never depends on how TCP has cut the bytes.
//!
//! `erl_dist` has a client for this protocol but no server side and no decoder that works on a slice, so both
//! directions stand here; its [`NodeEntry`] is the entry type.

pub use erl_dist::epmd::{NodeEntry, NodeType, TransportProtocol};

/// The longest request body that OTP's epmd accepts.
pub const MAX_BODY: usize = 3057;
/// The longest name, in characters.
pub const MAX_NAME_CHARS: usize = 255;
/// The longest `extra` field we keep, in bytes. Every known node sends none.
pub const MAX_EXTRA: usize = 255;

/// What a client asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// `ALIVE2_REQ`: register this node for as long as the connection lives.
    Alive2(NodeEntry),
    /// `PORT_PLEASE2_REQ`: where does the node of this name (short part) listen?
    Port2(String),
    /// `NAMES_REQ`: all registered nodes.
    Names,
    /// `DUMP_REQ`: all that epmd knows, for people.
    Dump,
    /// `KILL_REQ`.
    Kill,
    /// `STOP_REQ`: forget the node of this name.
    Stop(String),
}

/// Why bytes are not a request or a reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The length field is 0 or above [`MAX_BODY`].
    #[error("body of {0} bytes (1 to {MAX_BODY} are allowed)")]
    Length(usize),
    /// Not an op we know.
    #[error("unknown op {0}")]
    Op(u8),
    /// Fields need more bytes than the body has.
    #[error("{0} is cut short")]
    Short(&'static str),
    /// Bytes left after the last field, or after the request.
    #[error("surplus bytes after {0}")]
    Surplus(&'static str),
    /// The name cannot be one.
    #[error("{0}")]
    Name(NameError),
    /// `extra` is longer than [`MAX_EXTRA`].
    #[error("extra field of {0} bytes")]
    Extra(usize),
    /// A listing is not in the documented form.
    #[error("a listing that is not one")]
    Listing,
}

/// Why a node name (short part) is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// No characters at all.
    #[error("an empty node name")]
    Empty,
    /// More than [`MAX_NAME_CHARS`] characters.
    #[error("a node name of more than {MAX_NAME_CHARS} characters")]
    Long,
    /// Not UTF-8.
    #[error("a node name that is not UTF-8")]
    Utf8,
    /// NUL, a line end or another control character: a listing is lines of text, and one name must stay one line.
    /// (OTP's epmd refuses NUL only.)
    #[error("a control character in a node name")]
    Control,
}

impl Request {
    /// The request with its length prefix.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Length`], [`DecodeError::Name`], [`DecodeError::Extra`]: a server would refuse it.
    pub fn encode(&self) -> Result<Vec<u8>, DecodeError> {
        let mut body = Vec::new();
        match self {
            Request::Alive2(entry) => {
                check_name(&entry.name).map_err(DecodeError::Name)?;
                body.push(ALIVE2_REQ);
                put_entry(&mut body, entry)?;
            }
            Request::Port2(name) => {
                check_name(name).map_err(DecodeError::Name)?;
                body.push(PORT2_REQ);
                body.extend_from_slice(name.as_bytes());
            }
            Request::Names => body.push(NAMES_REQ),
            Request::Dump => body.push(DUMP_REQ),
            Request::Kill => body.push(KILL_REQ),
            Request::Stop(name) => {
                check_name(name).map_err(DecodeError::Name)?;
                body.push(STOP_REQ);
                body.extend_from_slice(name.as_bytes());
            }
        }
        let length = u16::try_from(body.len())
            .ok()
            .filter(|n| usize::from(*n) <= MAX_BODY)
            .ok_or(DecodeError::Length(body.len()))?;
        let mut out = length.to_be_bytes().to_vec();
        out.append(&mut body);
        Ok(out)
    }

    /// Reads one body, the length prefix removed.
    ///
    /// # Errors
    ///
    /// Any [`DecodeError`]; the connection is to be closed then.
    pub fn decode_body(body: &[u8]) -> Result<Request, DecodeError> {
        let (&op, rest) = body.split_first().ok_or(DecodeError::Length(0))?;
        match op {
            ALIVE2_REQ => {
                let mut fields = Fields { rest, what: "ALIVE2" };
                let mut entry = fields.address()?;
                fields.name_and_extra(&mut entry)?;
                fields.end()?;
                Ok(Request::Alive2(entry))
            }
            // The C client sends a NUL after the name; OTP's epmd and we let one pass.
            PORT2_REQ => Ok(Request::Port2(name_from(rest.strip_suffix(&[0]).unwrap_or(rest))?)),
            STOP_REQ => Ok(Request::Stop(name_from(rest.strip_suffix(&[0]).unwrap_or(rest))?)),
            NAMES_REQ | DUMP_REQ | KILL_REQ if !rest.is_empty() => {
                Err(DecodeError::Surplus("a request without fields"))
            }
            NAMES_REQ => Ok(Request::Names),
            DUMP_REQ => Ok(Request::Dump),
            KILL_REQ => Ok(Request::Kill),
            other => Err(DecodeError::Op(other)),
        }
    }
}

/// Collects one request from the bytes of a connection, however they are cut.
///
/// A connection carries one request; anything after it is an error.
#[derive(Debug, Default)]
pub struct RequestReader {
    seen: Vec<u8>,
    done: bool,
}

impl RequestReader {
    /// Takes the next bytes. `None` means that more are needed.
    ///
    /// # Errors
    ///
    /// Any [`DecodeError`]; the connection is to be closed then.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Option<Request>, DecodeError> {
        if bytes.is_empty() {
            return Ok(None);
        }
        if self.done {
            return Err(DecodeError::Surplus("a request"));
        }
        // One byte more than the longest request is enough to see the surplus.
        let room = (MAX_BODY + 3).saturating_sub(self.seen.len());
        self.seen.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        let Some((length, rest)) = self.seen.split_first_chunk::<2>() else { return Ok(None) };
        let length = usize::from(u16::from_be_bytes(*length));
        if !(1..=MAX_BODY).contains(&length) {
            return Err(DecodeError::Length(length));
        }
        match rest.split_at_checked(length) {
            None => Ok(None),
            Some((body, [])) => {
                self.done = true;
                Request::decode_body(body).map(Some)
            }
            Some(_) => Err(DecodeError::Surplus("a request")),
        }
    }
}

/// What a port mapper answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// `ALIVE2_X_RESP`, to nodes whose highest version is 6 or more. `result` 0 is "registered".
    Alive2X {
        /// 0: registered; anything else: refused.
        result: u8,
        /// The creation that the node is to use.
        creation: u32,
    },
    /// `ALIVE2_RESP`, to older nodes.
    Alive2 {
        /// 0: registered; anything else: refused.
        result: u8,
        /// The creation that the node is to use, 1 to 3.
        creation: u16,
    },
    /// `PORT2_RESP` for a node that is registered.
    Port2(NodeEntry),
    /// `PORT2_RESP` with a result other than 0.
    NoPort2(u8),
    /// The answer to NAMES and to DUMP: the mapper's own port, and text up to the end of the connection.
    Listing {
        /// The port that the mapper listens on.
        epmd_port: u32,
        /// See [`names_line`] and [`dump_line`].
        text: String,
    },
}

impl Reply {
    /// The reply's bytes.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Name`] or [`DecodeError::Extra`] for an entry that cannot be written.
    pub fn encode(&self) -> Result<Vec<u8>, DecodeError> {
        let mut out = Vec::new();
        match self {
            Reply::Alive2X { result, creation } => {
                out.extend_from_slice(&[ALIVE2_X_RESP, *result]);
                out.extend_from_slice(&creation.to_be_bytes());
            }
            Reply::Alive2 { result, creation } => {
                out.extend_from_slice(&[ALIVE2_RESP, *result]);
                out.extend_from_slice(&creation.to_be_bytes());
            }
            Reply::Port2(entry) => {
                check_name(&entry.name).map_err(DecodeError::Name)?;
                out.extend_from_slice(&[PORT2_RESP, 0]);
                put_entry(&mut out, entry)?;
            }
            Reply::NoPort2(result) => out.extend_from_slice(&[PORT2_RESP, *result]),
            Reply::Listing { epmd_port, text } => {
                out.extend_from_slice(&epmd_port.to_be_bytes());
                out.extend_from_slice(text.as_bytes());
            }
        }
        Ok(out)
    }

    /// Reads a reply from what has arrived so far; `ended` says that no more will come. `None`: more is needed.
    ///
    /// # Errors
    ///
    /// Any [`DecodeError`].
    pub fn decode(bytes: &[u8], ended: bool) -> Result<Option<Reply>, DecodeError> {
        if !ended && bytes.first() == Some(&LISTING) {
            return Ok(None);
        }
        match Reply::fields(bytes) {
            Err(DecodeError::Short(_)) if !ended => Ok(None),
            other => other.map(Some),
        }
    }

    fn fields(bytes: &[u8]) -> Result<Reply, DecodeError> {
        let mut fields = Fields { rest: bytes, what: "a reply" };
        let reply = match fields.u8()? {
            ALIVE2_X_RESP => Reply::Alive2X { result: fields.u8()?, creation: fields.u32()? },
            ALIVE2_RESP => Reply::Alive2 { result: fields.u8()?, creation: fields.u16()? },
            PORT2_RESP => match fields.u8()? {
                0 => {
                    let mut entry = fields.address()?;
                    fields.name_and_extra(&mut entry)?;
                    Reply::Port2(entry)
                }
                result => Reply::NoPort2(result),
            },
            LISTING => {
                let mut fields = Fields { rest: bytes, what: "a listing" };
                let epmd_port = fields.u32()?;
                let text = String::from_utf8(fields.rest.to_vec()).map_err(|_| DecodeError::Listing)?;
                return Ok(Reply::Listing { epmd_port, text });
            }
            tag => return Err(DecodeError::Op(tag)),
        };
        fields.end()?;
        Ok(reply)
    }
}

/// One line of the NAMES text. `net_adm:names/0` takes it apart literally.
pub fn names_line(entry: &NodeEntry) -> String {
    format!("name {} at port {}\n", entry.name, entry.port)
}

/// One line of the DUMP text, with the NUL that OTP's epmd leaves after each. `number` stands where it prints a
/// file descriptor.
pub fn dump_line(entry: &NodeEntry, number: u64) -> String {
    format!("active name     <{}> at port {}, fd = {number}\n\0", entry.name, entry.port)
}

/// Takes the NAMES text apart again.
///
/// # Errors
///
/// [`DecodeError::Listing`] when a line is not `name N at port P`.
pub fn parse_names(text: &str) -> Result<Vec<(String, u16)>, DecodeError> {
    text.lines()
        .map(|line| {
            let (name, port) = line.strip_prefix("name ")?.rsplit_once(" at port ")?;
            Some((name.to_owned(), port.parse().ok()?))
        })
        .collect::<Option<Vec<_>>>()
        .ok_or(DecodeError::Listing)
}

/// Whether a node can be registered under this name (the part before `@`).
///
/// # Errors
///
/// Says what is wrong with it.
pub fn check_name(name: &str) -> Result<(), NameError> {
    if name.is_empty() {
        Err(NameError::Empty)
    } else if name.chars().any(char::is_control) {
        Err(NameError::Control)
    } else if name.chars().count() > MAX_NAME_CHARS {
        Err(NameError::Long)
    } else {
        Ok(())
    }
}

fn name_from(bytes: &[u8]) -> Result<String, DecodeError> {
    let name = std::str::from_utf8(bytes).map_err(|_| DecodeError::Name(NameError::Utf8))?;
    check_name(name).map_err(DecodeError::Name)?;
    Ok(name.to_owned())
}

fn put_entry(out: &mut Vec<u8>, entry: &NodeEntry) -> Result<(), DecodeError> {
    let name_bytes = u16::try_from(entry.name.len()).map_err(|_| DecodeError::Name(NameError::Long))?;
    let extra_bytes = u16::try_from(entry.extra.len())
        .ok()
        .filter(|n| usize::from(*n) <= MAX_EXTRA)
        .ok_or(DecodeError::Extra(entry.extra.len()))?;
    out.extend_from_slice(&entry.port.to_be_bytes());
    out.push(entry.node_type.into());
    out.push(entry.protocol.into());
    out.extend_from_slice(&entry.highest_version.to_be_bytes());
    out.extend_from_slice(&entry.lowest_version.to_be_bytes());
    out.extend_from_slice(&name_bytes.to_be_bytes());
    out.extend_from_slice(entry.name.as_bytes());
    out.extend_from_slice(&extra_bytes.to_be_bytes());
    out.extend_from_slice(&entry.extra);
    Ok(())
}

/// A cursor that cannot run past the end.
struct Fields<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Fields<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8], DecodeError> {
        let (head, rest) = self.rest.split_at_checked(n).ok_or(DecodeError::Short(self.what))?;
        self.rest = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(DecodeError::Short(self.what))?;
        self.rest = rest;
        Ok(*head)
    }

    fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_be_bytes)
    }

    /// The fixed fields that ALIVE2 and PORT2 share, up to the name.
    fn address(&mut self) -> Result<NodeEntry, DecodeError> {
        Ok(NodeEntry {
            port: self.u16()?,
            node_type: self.u8()?.into(),
            protocol: self.u8()?.into(),
            highest_version: self.u16()?,
            lowest_version: self.u16()?,
            name: String::new(),
            extra: Vec::new(),
        })
    }

    fn name_and_extra(&mut self, entry: &mut NodeEntry) -> Result<(), DecodeError> {
        let name_bytes = usize::from(self.u16()?);
        let name = self.take(name_bytes)?;
        let extra_bytes = usize::from(self.u16()?);
        let extra = self.take(extra_bytes)?;
        entry.name = name_from(name)?;
        if extra_bytes > MAX_EXTRA {
            return Err(DecodeError::Extra(extra_bytes));
        }
        entry.extra = extra.to_vec();
        Ok(())
    }

    fn end(&self) -> Result<(), DecodeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(DecodeError::Surplus(self.what)) }
    }
}

/// The upper half of a mapper's port, as u32: no reply tag is 0, so a listing cannot be mistaken.
const LISTING: u8 = 0;
const DUMP_REQ: u8 = 100;
const KILL_REQ: u8 = 107;
const NAMES_REQ: u8 = 110;
const STOP_REQ: u8 = 115;
const ALIVE2_X_RESP: u8 = 118;
const PORT2_RESP: u8 = 119;
const ALIVE2_REQ: u8 = 120;
const ALIVE2_RESP: u8 = 121;
const PORT2_REQ: u8 = 122;

#[cfg(test)]
#[path = "codec_tests.rs"]
mod tests;
