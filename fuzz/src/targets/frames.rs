//! Packets out of a stream, cut anywhere.

use beamroute::dist::{FrameDecoder, FrameError, Header};
use bytes::BytesMut;

use super::bytes::Input;

/// Header and limit, then the stream in pieces.
pub fn run(input: &[u8]) {
    let mut input = Input(input);
    let (kind, limit) = (input.byte(), usize::from(input.byte()) * 8);
    let (header, bytes) = if kind & 1 == 0 { (Header::Two, 2) } else { (Header::Four, 4) };
    let decoder = FrameDecoder::new(header, limit);
    let (mut buffer, mut stream, mut got, mut failed) = (BytesMut::new(), Vec::new(), Vec::new(), None);
    while let Some(piece) = input.piece() {
        stream.extend(piece);
        if failed.is_none() {
            buffer.extend_from_slice(piece);
            failed = take_all(decoder, &mut buffer, &mut got).err();
            assert!(failed.is_some() || buffer.len() < limit + bytes, "it holds more than it waits for");
        }
    }
    let (mut whole, mut at_once) = (BytesMut::from(&stream[..]), Vec::new());
    assert_eq!(take_all(decoder, &mut whole, &mut at_once).err(), failed);
    assert_eq!(at_once, got);
    let taken: usize = got.iter().map(|packet| packet.len() + bytes).sum();
    assert_eq!(&whole[..], &stream[taken..], "no byte is lost");
}

fn take_all(decoder: FrameDecoder, buffer: &mut BytesMut, got: &mut Vec<Vec<u8>>) -> Result<(), FrameError> {
    while let Some(packet) = decoder.next(buffer)? {
        got.push(packet.to_vec());
    }
    Ok(())
}
