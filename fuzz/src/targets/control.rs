//! Control messages with their payloads.

use beamroute::dist::{FrameDecoder, Header, Message};
use beamroute::term::Limits;
use bytes::{Bytes, BytesMut};

use super::terms::canonical;

/// The body of a frame.
pub fn run(input: &[u8]) {
    let body = Bytes::copy_from_slice(input);
    let message = match Message::decode(&body, Limits::default()) {
        Ok(message) => message,
        Err(error) => return assert!(error.to_string().len() < 8192),
    };
    let mut frame = Vec::new();
    message.encode(&mut frame);
    let mut buffer = BytesMut::from(&frame[..]);
    let again = FrameDecoder::new(Header::Four, frame.len()).next(&mut buffer).expect("its own limit");
    assert!(buffer.is_empty());
    let again = Message::decode(&again.expect("a whole frame"), Limits::default()).expect("what we write, we take");
    assert_eq!(message.control.has_payload(), message.payload.is_some());
    assert_eq!(again.payload.as_ref().map(canonical), message.payload.as_ref().map(canonical));
    assert_eq!(again.token.as_ref().map(canonical), message.token.as_ref().map(canonical));
    // Maps with maps as keys may not equal themselves.
    if !input.contains(&116) {
        assert_eq!(again.control, message.control);
    }
}
