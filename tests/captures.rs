//! Frames that real nodes of OTP 25, 27 and 29 exchanged: what they sent decodes, and encodes to the same bytes.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};

use beamroute::dist::{Control, Flat, FrameDecoder, Header, Message};
use beamroute::term::{Limits, Term};
use bytes::{Bytes, BytesMut};
use flate2::read::GzDecoder;
use serde_json::Value;

const CAPTURES: [(&str, &[u8]); 3] = [
    ("25", include_bytes!("fixtures/captures/otp25.jsonl.gz")),
    ("27", include_bytes!("fixtures/captures/otp27.jsonl.gz")),
    ("29", include_bytes!("fixtures/captures/otp29.jsonl.gz")),
];

/// Frames that are wrong on purpose, or of a framing that we do not negotiate.
const NOT_OURS: [&str; 5] = [
    "out_unknown_control_op",
    "published_hdr_connect",
    "published_hdr_ping",
    "published_pg_sync_and_join",
    "published_hdr_big_reply_fragmented",
];

fn frames(capture: &'static [u8]) -> Vec<Value> {
    let lines = BufReader::new(GzDecoder::new(capture)).lines().map(Result::unwrap);
    lines.skip(1).map(|line| serde_json::from_str(&line).unwrap()).collect()
}

fn bytes_of(frame: &Value) -> Vec<u8> {
    let hex = frame["hex"].as_str().unwrap_or_default();
    (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap()).collect()
}

/// The bodies of the pass-through frames, ticks left out.
fn bodies(capture: &'static [u8]) -> Vec<(Value, Bytes)> {
    let is_ours = |frame: &Value| frame["layer"] == "dist" && !NOT_OURS.contains(&frame["label"].as_str().unwrap());
    let mut bodies = Vec::new();
    for frame in frames(capture).into_iter().filter(is_ours) {
        let mut buffer = BytesMut::from(&bytes_of(&frame)[..]);
        while let Some(body) = FrameDecoder::new(Header::Four, 1 << 24).next(&mut buffer).unwrap() {
            if !body.is_empty() {
                bodies.push((frame.clone(), body));
            }
        }
        assert!(buffer.is_empty(), "{frame}");
    }
    bodies
}

#[test]
fn recorded_frames_decode_and_encode_to_themselves() {
    for (otp, capture) in CAPTURES {
        let (mut same, mut otherwise) = (0, BTreeMap::<String, u32>::new());
        for (frame, body) in bodies(capture) {
            let message =
                Message::decode(&body, Limits::default()).unwrap_or_else(|e| panic!("OTP {otp}: {e}: {frame}"));
            let mut again = Vec::new();
            message.encode(&mut again);
            let decoded = Message::decode(&Bytes::copy_from_slice(&again[4..]), Limits::default());
            assert_eq!(decoded.as_ref(), Ok(&message), "OTP {otp}: {frame}");
            if again[4..] == body {
                same += 1;
            } else if frame["dir"] == "beam->node" {
                *otherwise.entry(frame["label"].as_str().unwrap().to_owned()).or_default() += 1;
            }
        }
        println!("OTP {otp}: {same} frames to the byte, of the runtime's otherwise: {otherwise:?}");
        assert!(same > 300, "OTP {otp}: only {same}");
        // Native records become tuples, OTP 25 writes ports in the older form, maps (in a log event) have no order.
        for label in otherwise.keys() {
            assert!(
                ["native_record", "altact:native_record", "terms_misc", "out_spawn_undef"].contains(&label.as_str()),
                "OTP {otp}: {label}"
            );
        }
    }
}

#[test]
fn every_split_of_a_recorded_stream_gives_the_same_frames() {
    let stream: Vec<u8> = bodies(CAPTURES[2].1)
        .iter()
        .take(60)
        .flat_map(|(_, body)| [&u32::try_from(body.len()).unwrap().to_be_bytes()[..], body].concat())
        .collect();
    let decoder = FrameDecoder::new(Header::Four, 1 << 24);
    let split = |size: usize| {
        let (mut buffer, mut got) = (BytesMut::new(), Vec::new());
        for piece in stream.chunks(size) {
            buffer.extend_from_slice(piece);
            while let Some(body) = decoder.next(&mut buffer).unwrap() {
                got.push(body);
            }
        }
        got
    };
    let whole = split(stream.len());
    assert_eq!(whole.len(), 60);
    for size in 1..200 {
        assert_eq!(split(size), whole, "pieces of {size} bytes");
    }
}

#[test]
fn calls_that_are_taken_as_they_lie_are_what_they_would_be() {
    for (otp, capture) in CAPTURES {
        let mut calls = 0;
        for (frame, body) in bodies(capture) {
            let Some(flat) = Flat::of(&body) else { continue };
            let flat = flat.first().unwrap();
            calls += 1;
            let message = Message::decode(&body, Limits::default()).unwrap();
            assert!(matches!(&message.control, Control::RegSend { name, .. } if name.name == flat.name()), "{frame}");
            let Some(Term::Tuple(payload)) = message.payload else { panic!("{frame}") };
            assert_eq!(payload.elements.last(), Some(&flat.request().to_term()), "{frame}");
            assert_eq!(payload.elements.len() == 3, flat.is_call(), "{frame}");
        }
        assert!(calls > 0, "OTP {otp} makes such calls");
    }
}
