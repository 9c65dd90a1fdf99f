//! The text of a journal.
//!
//! ```text
//! 5d1fa3b2 {"beamroute":"desired state","version":1,"protocol":110,"netns":"","records":1}
//! 90c2e1aa [{"wish":{"ifname":"eth0","status":"lan",…}}]
//! 07d3b5e4 [{"status":{"ifname":"eth0","status":"internet",…}}]
//! 1f00d3c7 [{"clear":"eth0"},{"metric":{"ifname":"ppp0","metric":5}}]
//! ```
//!
//! A line is a batch: it counts as a whole or not at all. It begins with the CRC-32 of all text after the blanks up to
//! and including this line, so that no line can be changed, lost, moved or taken from another file unnoticed. The first
//! line says whose state it is and how many of the following lines were written together with it; all others were
//! appended one by one, and the last may be torn.

use serde::{Deserialize, Serialize};

use super::image::Image;
use super::record::Record;
use crate::route::RestoreError;

/// More than this is neither written nor read: over 60,000 interfaces with all that can be said of them.
pub(super) const MAX_BYTES: u64 = 64 << 20;

/// Whose state a journal is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owner {
    /// The protocol number that marks its routes.
    pub protocol: u8,
    /// The network namespace, as configured and escaped; empty for the daemon's own.
    pub netns: String,
}

/// The checksum of all lines so far.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Chain(u32);

/// A journal that can be believed.
#[derive(Debug)]
pub(super) struct Content {
    /// What it says.
    pub image: Image,
    /// Bytes that were written together, at first.
    pub first_bytes: u64,
    /// Bytes of whole lines; what follows is torn.
    pub whole_bytes: u64,
    /// Where the next line goes on.
    pub chain: Chain,
}

/// Why a journal is not believed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Damage {
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] std::io::Error),
    #[error("it is not a regular file")]
    NotAFile,
    #[error("it is larger than {MAX_BYTES} bytes")]
    TooLarge,
    #[error("line {0} does not fit its checksum")]
    Checksum(usize),
    #[error("line {line} makes no sense: {what}")]
    Nonsense { line: usize, what: String },
    #[error("it was written in version {0} of the format; this program knows version {VERSION}")]
    Version(u64),
    #[error("it is about the routes with protocol number {0}")]
    Protocol(u8),
    #[error("it is about the network namespace {0:?}")]
    Netns(String),
    #[error("it ends early")]
    Cut,
    #[error(transparent)]
    Tables(#[from] RestoreError),
}

/// The first line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    beamroute: String,
    version: u64,
    protocol: u8,
    netns: String,
    records: usize,
}

/// What every version's first line has.
#[derive(Deserialize)]
struct AnyHeader {
    version: u64,
}

impl Chain {
    /// Appends a batch to `text`.
    pub(super) fn batch(&mut self, records: &[Record], text: &mut Vec<u8>) -> std::io::Result<()> {
        self.line(&records, text)
    }

    /// In place, without a buffer of its own.
    fn line(&mut self, body: &impl Serialize, text: &mut Vec<u8>) -> std::io::Result<()> {
        let start = text.len();
        text.extend_from_slice(&[b' '; CHECKSUM_BYTES + 1]);
        let body_start = text.len();
        serde_json::to_writer(&mut *text, body)?;
        self.add(text.get(body_start..).unwrap_or_default());
        if let Some(place) = text.get_mut(start..).and_then(|line| line.first_chunk_mut()) {
            *place = self.to_text();
        }
        text.push(b'\n');
        Ok(())
    }

    /// The body of a line that fits.
    fn check<'a>(&mut self, line: &'a [u8]) -> Option<&'a [u8]> {
        let (checksum, rest) = line.split_at_checked(CHECKSUM_BYTES)?;
        let body = rest.strip_prefix(b" ")?;
        self.add(body);
        // As text, so that there is one way to write it.
        (checksum == self.to_text()).then_some(body)
    }

    fn add(&mut self, body: &[u8]) {
        let mut hasher = crc32fast::Hasher::new_with_initial(self.0);
        hasher.update(body);
        self.0 = hasher.finalize();
    }

    /// In hexadecimal digits.
    fn to_text(self) -> [u8; CHECKSUM_BYTES] {
        let mut digits = self.0.to_be_bytes().into_iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
        let digit = |_| digits.next().and_then(|digit| b"0123456789abcdef".get(usize::from(digit)));
        std::array::from_fn(digit).map(|digit| digit.copied().unwrap_or(b'0'))
    }
}

/// A whole journal that says `image`.
pub(super) fn write(owner: &Owner, image: &Image) -> std::io::Result<(Vec<u8>, Chain)> {
    let records: Vec<Record> = image.records().collect();
    let header = Header {
        beamroute: MAGIC.to_owned(),
        version: VERSION,
        protocol: owner.protocol,
        netns: owner.netns.clone(),
        records: records.len(),
    };
    let (mut text, mut chain) = (Vec::new(), Chain::default());
    chain.line(&header, &mut text)?;
    for record in records {
        chain.batch(&[record], &mut text)?;
    }
    Ok((text, chain))
}

/// Reads a journal of `owner`.
pub(super) fn read(text: &[u8], owner: &Owner) -> Result<Content, Damage> {
    let end = text.iter().rposition(|byte| *byte == b'\n').ok_or(Damage::Cut)?;
    let (mut image, mut chain) = (Image::default(), Chain::default());
    // Lines that were written together, and their bytes.
    let (mut first, mut first_bytes) = (1, 0_u64);
    let mut lines: usize = 0;
    for line in text.get(..end).unwrap_or_default().split(|byte| *byte == b'\n') {
        lines = lines.saturating_add(1);
        let body = chain.check(line).ok_or(Damage::Checksum(lines))?;
        if lines == 1 {
            first = header(body, owner)?.saturating_add(1);
        } else {
            let records = batch(body).map(Vec::into_iter);
            let applied = records.and_then(|mut records| records.try_for_each(|record| image.apply(record)));
            applied.map_err(|what| Damage::Nonsense { line: lines, what })?;
        }
        if lines <= first {
            first_bytes = first_bytes.saturating_add(line.len() as u64).saturating_add(1);
        }
    }
    if lines < first {
        return Err(Damage::Cut);
    }
    Ok(Content { image, first_bytes, whole_bytes: (end as u64).saturating_add(1), chain })
}

fn batch(body: &[u8]) -> Result<Vec<Record>, String> {
    serde_json::from_slice(body).map_err(|error| error.to_string())
}

/// How many of the following lines belong to it.
fn header(body: &[u8], owner: &Owner) -> Result<usize, Damage> {
    let nonsense = |error: serde_json::Error| Damage::Nonsense { line: 1, what: error.to_string() };
    let AnyHeader { version } = serde_json::from_slice(body).map_err(nonsense)?;
    if version != VERSION {
        return Err(Damage::Version(version));
    }
    let header: Header = serde_json::from_slice(body).map_err(nonsense)?;
    if header.beamroute != MAGIC {
        return Err(Damage::Nonsense { line: 1, what: format!("it is about {:?}", header.beamroute) });
    }
    if header.protocol != owner.protocol {
        return Err(Damage::Protocol(header.protocol));
    }
    if header.netns != owner.netns {
        return Err(Damage::Netns(header.netns));
    }
    Ok(header.records)
}

const MAGIC: &str = "desired state";
const VERSION: u64 = 1;
const CHECKSUM_BYTES: usize = 8;

#[cfg(test)]
#[path = "format_tests.rs"]
pub(super) mod tests;
