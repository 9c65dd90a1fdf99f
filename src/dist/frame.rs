//! Length-prefixed packets out of a byte stream, however it is cut.

use bytes::{Buf, Bytes, BytesMut};

/// How long the length field is: two bytes during the handshake, four after it (TLS uses four for both).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Header {
    /// `u16`.
    Two,
    /// `u32`.
    Four,
}

impl Header {
    const fn len(self) -> usize {
        match self {
            Self::Two => 2,
            Self::Four => 4,
        }
    }
}

/// Splits a buffer into packets. It holds no bytes itself, so the buffer can outlive it when the handshake ends.
#[derive(Debug, Clone, Copy)]
pub struct FrameDecoder {
    header: Header,
    limit: usize,
}

/// A packet, and what follows it.
pub type Split<'a> = (&'a [u8], &'a [u8]);

/// The peer declared a packet that we do not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a packet of {declared} bytes is over the limit of {limit}")]
pub struct FrameError {
    /// What the length field says.
    pub declared: usize,
    /// What we take.
    pub limit: usize,
}

impl FrameDecoder {
    /// Packets with this header and a body of at most `limit` bytes.
    #[must_use]
    pub const fn new(header: Header, limit: usize) -> Self {
        Self { header, limit }
    }

    /// Takes the next whole packet (without its header) from the front of `buffer`, if it is all there. Nothing is
    /// allocated for a packet that is not.
    ///
    /// # Errors
    /// [`FrameError`] as soon as the length field is there and too large.
    pub fn next(&self, buffer: &mut BytesMut) -> Result<Option<Bytes>, FrameError> {
        let Some(len) = self.split(buffer)?.map(|(body, _)| body.len()) else { return Ok(None) };
        buffer.advance(self.header.len());
        Ok(Some(buffer.split_to(len).freeze()))
    }

    /// The next whole packet (without its header) at the front of `bytes`, if it is all there, and what follows it.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub fn split<'a>(&self, bytes: &'a [u8]) -> Result<Option<Split<'a>>, FrameError> {
        let Some((header, rest)) = bytes.split_at_checked(self.header.len()) else { return Ok(None) };
        let declared = header.iter().fold(0, |len, byte| len << 8 | usize::from(*byte));
        if declared > self.limit {
            return Err(FrameError { declared, limit: self.limit });
        }
        Ok(rest.split_at_checked(declared))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn refuses_a_large_length_before_its_bytes_come() {
        let decoder = FrameDecoder::new(Header::Four, 100);
        let mut buffer = BytesMut::from(&[0xff, 0xff, 0xff, 0xff][..]);
        assert_eq!(decoder.next(&mut buffer), Err(FrameError { declared: 0xffff_ffff, limit: 100 }));
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_packets(
            packets in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..10),
            cuts in proptest::collection::vec(1_usize..20, 1..50),
            four in any::<bool>(),
        ) {
            let header = if four { Header::Four } else { Header::Two };
            let mut stream = Vec::new();
            for packet in &packets {
                let len = u16::try_from(packet.len()).unwrap();
                if four { stream.extend(u32::from(len).to_be_bytes()) } else { stream.extend(len.to_be_bytes()) }
                stream.extend(packet);
            }
            let decoder = FrameDecoder::new(header, 40);
            let (mut buffer, mut got, mut rest, mut cuts) = (BytesMut::new(), Vec::new(), &stream[..], cuts.iter().cycle());
            while !rest.is_empty() {
                let (piece, later) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
                buffer.extend_from_slice(piece);
                rest = later;
                while let Some(packet) = decoder.next(&mut buffer).unwrap() {
                    got.push(packet.to_vec());
                }
            }
            prop_assert_eq!(got, packets);
            prop_assert!(buffer.is_empty());
        }
    }
}
