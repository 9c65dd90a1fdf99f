//! Both roles of the handshake. An input is packets, each after its length; digests may be put right, so that what comes
//! after them is reached too.

use beamroute::dist::{Accepting, Dialing, Flags, HandshakeError, NameMessage, Status, Step, is_node_name};

use super::bytes::Input;

pub const WORDS: &[&[u8]] = &[
    b"N",
    b"n",
    b"s",
    b"r",
    b"a",
    b"\x03sok",
    b"\x05snok",
    b"\x06salive",
    b"\x05strue",
    b"\x06sfalse",
    b"\x10sok_simultaneous",
    b"\x0csnot_allowed",
    b"\x0esnamed:\x00\x03x@h\x00\x00\x00\x04",
    b"\x00\x03a@h",
    b"\x00\x03b@h",
    &[0x12, b'N', 0, 0, 0, 0x0d, 7, 0xdf, 0x7f, 0xbd, 0, 0, 0, 5, 0, 3, b'a', b'@', b'h'],
    &[0x16, b'N', 0, 0, 0, 0x0d, 7, 0xdf, 0x7f, 0xbd, 0, 0, 0, 9, 0, 0, 0, 5, 0, 3, b'b', b'@', b'h'],
    &[0x15, b'r', 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    &[0x11, b'a', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
];

const COOKIE: &[u8] = b"secret";
const CHALLENGE: u32 = 22;

fn name(name: &str) -> NameMessage {
    NameMessage { flags: Flags::OFFERED, creation: 7, name: name.to_owned() }
}

fn digest(challenge: u32) -> [u8; 16] {
    md5::compute([COOKIE, challenge.to_string().as_bytes()].concat()).0
}

/// Puts the digest right in a packet that should have one.
fn mended(packet: &[u8]) -> Vec<u8> {
    let mut packet = packet.to_vec();
    let at = match packet.first() {
        Some(b'r') => 5,
        Some(b'a') => 1,
        _ => return packet,
    };
    if let Some(field) = packet.get_mut(at..at + 16) {
        field.copy_from_slice(&digest(CHALLENGE));
    }
    packet
}

/// Whether a packet proves the cookie, by our own reckoning.
fn proves(packet: &[u8], tag: u8, at: usize) -> bool {
    packet.first() == Some(&tag) && packet.get(at..at + 16) == Some(&digest(CHALLENGE)[..])
}

/// A dialler's packets.
pub fn accepting(input: &[u8]) {
    let mut input = Input(input);
    let (mends, answer) = (input.byte() & 1 == 1, input.byte());
    let mut accepting = Accepting::new(name("b@h"), COOKIE.to_vec().into(), CHALLENGE);
    let mut is_over = false;
    while let Some(packet) = input.piece() {
        let packet = if mends { mended(packet) } else { packet.to_vec() };
        let step = accepting.packet(&packet);
        assert!(!is_over || step.is_err(), "{step:?} after the end");
        match step {
            Ok(Step::Decide) => {
                assert!(accepting.wants_name() || is_node_name(accepting.peer_name()));
                is_over = decide(&mut accepting, answer);
            }
            Ok(Step::Verified(ack)) => {
                assert!(proves(&packet, b'r', 5));
                assert_eq!(ack.len(), 17);
                let peer = accepting.peer();
                assert!(is_node_name(&peer.name) && peer.flags.contains(Flags::DEMANDED), "{peer:?}");
                is_over = true;
            }
            Ok(Step::Close) => is_over = true,
            Ok(Step::Send(_)) => {}
            Ok(step @ (Step::Wait | Step::Up)) => panic!("{step:?} is for diallers"),
            // As the node does: an error ends the connection.
            Err(error) => return no_long_words(&error),
        }
    }
}

fn decide(accepting: &mut Accepting, answer: u8) -> bool {
    let status = match answer % 5 {
        // The node gives a name to whoever has none, and never `ok`.
        _ if accepting.wants_name() => Status::Named { name: format!("x@{}", accepting.peer_name()), creation: 9 },
        0 => Status::Ok,
        1 => Status::OkSimultaneous,
        2 => Status::Nok,
        3 => Status::NotAllowed,
        _ => Status::Alive,
    };
    let packets = accepting.status(&status);
    let is_over = matches!(status, Status::Nok | Status::NotAllowed);
    assert_eq!(packets.len(), if is_over || status == Status::Alive { 1 } else { 2 });
    is_over
}

/// An acceptor's packets.
pub fn dialing(input: &[u8]) {
    let mut input = Input(input);
    let (mends, is_wanted) = (input.byte() & 1 == 1, input.byte() & 1 == 0);
    let mut dialing = Dialing::new(name("a@h"), "b@h", COOKIE.to_vec().into(), CHALLENGE);
    assert!(dialing.start().len() < 300);
    let mut is_over = false;
    while let Some(packet) = input.piece() {
        let packet = if mends { mended(packet) } else { packet.to_vec() };
        let step = dialing.packet(&packet);
        assert!(!is_over || step.is_err(), "{step:?} after the end");
        match step {
            Ok(Step::Decide) => {
                dialing.alive(is_wanted);
                is_over = !is_wanted;
            }
            Ok(Step::Up) => {
                assert!(proves(&packet, b'a', 1));
                let peer = dialing.peer();
                assert!(peer.name == "b@h" && peer.flags.contains(Flags::DEMANDED), "{peer:?}");
                is_over = true;
            }
            Ok(Step::Close) => return,
            Ok(Step::Send(reply)) => assert_eq!(reply.len(), 21),
            Ok(Step::Wait) => {}
            Ok(step @ Step::Verified(_)) => panic!("{step:?} is for acceptors"),
            Err(error) => return no_long_words(&error),
        }
    }
}

/// What is logged of a stranger is bounded by what a handshake packet may hold.
fn no_long_words(error: &HandshakeError) {
    assert!(error.to_string().len() < 64 << 10);
}
