//! Frames and terms: what closes the connection and what must not, however the bytes are cut.

use std::time::Duration;

use super::{Alone, subscriber};
use crate::support::Talk;
use crate::support::etf::Etf;
use crate::support::raw::{FLAGS, Raw, atom, frame, tuple};

const SOON: Duration = Duration::from_secs(5);

/// Control messages with an element that is missing, one too many, or of another kind.
const BAD_CONTROLS: &[&str] = &[
    "{}",
    "[]",
    "{1}",
    "{1, Me}",
    "{1, Me, Rm, Rm}",
    "{1, Me, route_manager}",
    "{1, me, Rm}",
    "{2, ''} hello",
    "{2, '', route_manager} hello",
    "{2, '', Rm, Rm} hello",
    "{3, Me, Rm}",
    "{6, Me, ''} hello",
    "{6, Me, '', Rm} hello",
    "{6, me, '', rex} hello",
    "{6, Me, '', rex, Rm} hello",
    "{7, Me}",
    "{8, Me, Rm}",
    "{11, Me, Rm}",
    "{12, '', Rm} hello",
    "{13, Me, Rm, why}",
    "{16, Me, '', rex} hello",
    "{18, Me, Rm, why}",
    "{19, Me, rex}",
    "{19, Me, rex, r}",
    "{19, Me, 1, R1}",
    "{19, rex, Me, R1, R1}",
    "{20, Me, rex}",
    "{20, Me, rex, 1}",
    "{21, rex, Me, R1}",
    "{22, Me} hello",
    "{22, Me, rex} hello",
    "{23, Me, Rm} hello",
    "{24, Me} why",
    "{25, Me, Rm} why",
    "{26, Me, rm} why",
    "{28, rex, Me} why",
    "{29, R1, Me, Me, {erlang, node, 0}} []",
    "{29, R1, Me, Me, {erlang, node}, []} []",
    "{29, R1, Me, Me, {erlang, node, a}, []} []",
    "{29, R1, Me, Me, {1, node, 0}, []} []",
    "{29, 1, Me, Me, {erlang, node, 0}, []} []",
    "{30, R1, Me, Me, {erlang, node, 0}, []} []",
    "{31, R1, Me, 0}",
    "{32, R1, Me, 0, Me}",
    "{33, Me, Me} hello",
    "{34, Me, R1} hello",
    "{35, 1, Me}",
    "{35, a, Me, Rm}",
    "{35, 1, Me, rex}",
    "{36, 1, Me}",
    "{38, Me, Rm}",
    "{99}",
    "{-1, Me, Rm}",
    "{a, Me, Rm}",
    "{4294967296, Me, Rm}",
];

#[test]
fn a_bad_control_message_closes_and_is_told_as_killed() {
    let Some(alone) = Alone::start(&[]) else { return };
    let known = Talk::start(&alone.daemon).scope;
    let mut subscriber = subscriber(&alone.daemon);
    for control in BAD_CONTROLS {
        let mut bad = Talk::under(&alone.daemon, "bad@127.0.0.1", FLAGS);
        bad.scope.insert("Rm".to_owned(), known["Rm"].clone());
        bad.say(control);
        assert!(bad.raw.is_closed_within(SOON), "{control}");
        subscriber.hears_up("bad@127.0.0.1");
        subscriber.hears_down("bad@127.0.0.1", "killed");
    }
    subscriber.is_served("and nobody else notices");
}

#[test]
fn a_bad_frame_closes_and_is_told_as_killed() {
    let Some(alone) = Alone::start(&[]) else { return };
    let mut subscriber = subscriber(&alone.daemon);
    let pid = Raw::dial(&alone.daemon, "bad@127.0.0.1").pid(1);
    let send = |payload: &[u8]| {
        let control = tuple(&[vec![97, 6], pid.clone(), atom(""), atom("route_manager")]);
        frame(&[&[112, 131], &control[..], payload].concat())
    };
    for (what, bytes) in [
        ("a distribution header", frame(&[131, 68, 0, 104, 0])),
        ("the first fragment", frame(&[&[131, 69][..], &[0; 16], &[0]].concat())),
        ("a later fragment", frame(&[&[131, 70][..], &[0; 16]].concat())),
        ("another first byte", frame(&[113, 131, 104, 0])),
        ("the first byte alone", frame(&[112])),
        ("no version byte", frame(&[112, 130, 104, 0])),
        ("no payload", send(&[])),
        ("a payload without a version byte", send(&[97, 1])),
        ("a payload cut off", send(&[131, 109, 0, 0, 0, 9, 1])),
        ("a payload with an unknown tag", send(&[131, 1])),
        ("a compressed payload", send(&[131, 80, 0, 0, 0, 2, 120, 156, 75, 100, 4, 0, 0, 200, 0, 99])),
        ("a cached atom", send(&[131, 82, 0])),
        ("a local term", send(&[131, 121, 0, 0, 0, 0, 97, 1])),
        ("a bit string of 9 bits in a byte", send(&[131, 77, 0, 0, 0, 1, 9, 0xff])),
        ("an atom that is not UTF-8", send(&[131, 119, 1, 0xff])),
        ("a reference without words", send(&[&[131, 90, 0, 0][..], &atom("a@b"), &[0; 4]].concat())),
        ("a reference of six words", send(&[&[131, 90, 0, 6][..], &atom("a@b"), &[0; 28]].concat())),
        ("a list that claims four thousand million elements", send(&[131, 108, 255, 255, 255, 255, 97, 1])),
        ("a length over the limit", 0x0100_0001_u32.to_be_bytes().to_vec()),
        ("the greatest length", vec![255; 4]),
    ] {
        let mut bad = Raw::connect(&alone.daemon, "bad@127.0.0.1");
        bad.send(&bytes);
        assert!(bad.is_closed_within(SOON), "{what}");
        subscriber.hears_up("bad@127.0.0.1");
        subscriber.hears_down("bad@127.0.0.1", "killed");
    }
    subscriber.is_served("and nobody else notices");
}

#[test]
fn what_must_not_close_the_connection() {
    let Some(alone) = Alone::start(&[]) else { return };
    let mut talk = Talk::start(&alone.daemon);
    let body = |text: &str, talk: &Talk| talk.frame(text)[4..].to_vec();
    let send = body("{6, Me, '', route_manager} hello", &talk);
    for (what, bytes) in [
        ("a tick", vec![0; 4]),
        ("many ticks", vec![0; 400]),
        ("bytes behind the payload", frame(&[&send[..], &[1, 2, 3]].concat())),
        ("bytes behind a control message alone", frame(&[&body("{7, Me, Rm}", &talk)[..], &[131, 97, 1]].concat())),
        ("op 4, which nobody sends any more", talk.frame("{4, Me, Rm}")),
    ] {
        talk.raw.send(&bytes);
        talk.is_served(what);
    }
}

/// A term as it comes, and as text. What is asked for comes back in the answer.
#[test]
fn every_kind_of_term_is_understood() {
    let Some(alone) = Alone::start(&[]) else { return };
    let mut talk = Talk::start(&alone.daemon);
    let node = atom(talk.raw.name());
    let with_node = |head: &[u8], tail: &[u8]| [head, &node, tail].concat();
    let fun = [&[1][..], &[7; 16], &[0; 4], &[0; 4], &atom("m"), &[97, 1, 97, 2], &talk.raw.pid(1)].concat();
    let fun = [&[112][..], &u32::try_from(fun.len() + 4).unwrap().to_be_bytes(), &fun].concat();
    let long = [&[111, 0, 0, 1, 0, 0][..], &[1; 256]].concat();
    let port = with_node(&[120], &[0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 7]);
    let old_port = with_node(&[89], &[0, 0, 0, 1, 0, 0, 0, 7]);
    let same: Vec<(&str, Vec<u8>)> = vec![
        ("a reference of one word", with_node(&[90, 0, 1], &[0, 0, 0, 7, 0, 0, 0, 1])),
        ("a reference of five words", with_node(&[90, 0, 5], &[&[0, 0, 0, 7][..], &[3; 20]].concat())),
        ("a port", port.clone()),
        ("a pid of anybody", [&[88][..], &atom("x@y"), &[0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3]].concat()),
        ("a float", vec![70, 63, 248, 0, 0, 0, 0, 0, 0]),
        ("five bits", vec![77, 0, 0, 0, 1, 5, 0b1010_1000]),
        ("a fun", fun),
        ("an export", [&[113][..], &atom("m"), &atom("f"), &[97, 2]].concat()),
        ("a map", vec![116, 0, 0, 0, 1, 119, 1, b'a', 97, 1]),
        ("a big number", long),
    ];
    let same = same.into_iter().map(|(what, bytes)| (what, bytes.clone(), bytes));
    for (what, bytes, shown) in same.chain([("an old port", old_port, port)]) {
        talk.bind("X", &bytes);
        // Not decoded here: the very bytes must be in the answer.
        talk.say("{22, Me, Rm} {'$gen_call', {Me, R1}, {echo, X}}");
        let answer = talk.raw.receive_frame().unwrap();
        assert!(answer.windows(shown.len()).any(|part| part == shown), "{what}: {shown:?} is not in {answer:?}");
    }
    for (what, bytes, text) in [
        ("a Latin-1 atom", vec![100, 0, 2, 0xe9, 0xdf], "'éß'"),
        ("a small Latin-1 atom", vec![115, 1, 0xe9], "'é'"),
        ("a long UTF-8 atom", vec![118, 0, 2, 0xc3, 0xa9], "'é'"),
        ("a byte string", vec![107, 0, 3, 1, 2, 255], "[1, 2, 255]"),
        ("an empty byte string", vec![107, 0, 0], "[]"),
        ("a list of bytes", vec![108, 0, 0, 0, 2, 97, 1, 97, 2, 106], "[1, 2]"),
        ("an improper list", vec![108, 0, 0, 0, 1, 97, 1, 97, 2], "[1 | 2]"),
        ("a large tuple", vec![105, 0, 0, 0, 1, 97, 1], "{1}"),
        ("a negative number", vec![98, 255, 255, 255, 255], "-1"),
        ("a small number, written long", vec![110, 1, 0, 5], "5"),
        ("2^64", vec![110, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], "18446744073709551616"),
    ] {
        talk.bind("X", &bytes);
        let call = "{22, Me, Rm} {'$gen_call', {Me, R1}, {echo, X}}";
        let answer = format!("{{22, Rm, Me}} {{R1, {{error, {{unknown_request, {{echo, {text}}}}}}}}}");
        talk.expect(&[(what, &[call], &[&answer])]);
    }
    // OTP 29 sends native records to nodes that never offered to understand them.
    let record = [&[67, 0, 0, 0, 1, 0][..], &atom("m"), &atom("name"), &atom("field"), &[97, 1]].concat();
    talk.bind("X", &record);
    talk.say("{22, Me, Rm} {'$gen_call', {Me, R1}, {echo, X}}");
    talk.hears("{22, Rm, Me} {R1, {error, {unknown_request, {echo, _}}}}");
    talk.is_served("a native record");
}

#[test]
fn references_of_five_words_are_answered_wherever_they_stand() {
    let Some(alone) = Alone::start(&[]) else { return };
    let mut talk = Talk::start(&alone.daemon);
    let long = talk.raw.reference(&[1, 2, 3, 4, 5]);
    talk.bind("Long", &long);
    talk.expect(&[
        (
            "a tag",
            &["{6, Me, '', net_kernel} {'$gen_call', {Me, Long}, {is_auth, Node}}"],
            &["{22, Net, Me} {Long, yes}"],
        ),
        (
            "an alias",
            &["{6, Me, '', net_kernel} {'$gen_call', {Me, [alias | Long]}, {is_auth, Node}}"],
            &["{33, Net, Long} {[alias | Long], yes}"],
        ),
        (
            "a spawn",
            &["{29, Long, Me, Me, {erpc, execute_call, 4}, [monitor]} [Long, erlang, node, []]"],
            &["{31, Long, Me, 2, P}", "{28, P, Me, Long} {Long, return, N}"],
        ),
    ]);
}

#[test]
fn a_frame_cut_in_two_at_every_byte() {
    let Some(alone) = Alone::start(&[]) else { return };
    let mut talk = Talk::start(&alone.daemon);
    let whole = talk.frame("{6, Me, '', net_kernel} {'$gen_call', {Me, R1}, {is_auth, Node}}");
    for cut in 1..whole.len() {
        let (head, tail) = whole.split_at(cut);
        talk.raw.send(head);
        // Two segments, and time to read the first alone.
        std::thread::sleep(Duration::from_millis(2));
        talk.raw.send(tail);
        talk.hears("{22, Net, Me} {R1, yes}");
    }
    talk.is_served("all of them");
}

#[test]
fn the_first_frame_may_come_with_the_last_message_of_the_handshake() {
    // Cut anywhere: the length fields are of two bytes before, and of four behind.
    let Some(alone) = Alone::start(&[]) else { return };
    let name = "joined@127.0.0.1";
    let ask = Talk::under(&alone.daemon, name, FLAGS)
        .frame("{6, Me, '', net_kernel} {'$gen_call', {Me, R1}, {is_auth, Node}}");
    for cut in 0..23 + 10 {
        let mut raw = Raw::dial(&alone.daemon, name);
        if raw.send_name(FLAGS) == "alive" {
            raw.send_message(b"strue");
        }
        let reply = raw.reply(&alone.daemon.cookie).unwrap();
        let stream = [&[0, 21][..], &reply, &[0; 4], &ask].concat();
        raw.send(&stream[..cut]);
        std::thread::sleep(Duration::from_millis(2));
        raw.send(&stream[cut..]);
        assert!(raw.is_acknowledged(&alone.daemon.cookie).unwrap(), "cut at {cut}");
        let mut answer = raw.receive_frame().unwrap();
        while answer.is_empty() {
            answer = raw.receive_frame().unwrap();
        }
        assert_eq!(answer[..3], [112, 131, 104], "cut at {cut}");
    }
}

/// A BEAM closes on a watcher that is not of the node that speaks. Nothing may be said to such a one, and nobody else
/// may notice.
#[test]
fn processes_of_a_third_node_are_not_spoken_to() {
    let Some(alone) = Alone::start(&[]) else { return };
    let mut talk = Talk::start(&alone.daemon);
    let mut victim = Talk::under(&alone.daemon, "victim@127.0.0.1", FLAGS);
    let known = talk.scope.clone();
    let forged: Etf = victim.scope["Me"].clone();
    for control in ["{19, Forged, nobody, R1}", "{1, Forged, Net}", "{19, Forged, Rm, R1}"] {
        let mut liar = Talk::under(&alone.daemon, "liar@127.0.0.1", FLAGS);
        liar.scope.insert("Net".to_owned(), known["Net"].clone());
        liar.scope.insert("Rm".to_owned(), known["Rm"].clone());
        liar.scope.insert("Forged".to_owned(), forged.clone());
        liar.say(control);
        assert!(liar.raw.is_closed_within(SOON), "{control}");
    }
    victim.is_served("the victim hears nothing");
    talk.is_served("nor does anybody");
}

#[test]
fn a_tick_is_answered_if_nothing_was_sent_lately() {
    let Some(alone) = Alone::start(&[]) else { return };
    let mut raw = Raw::connect(&alone.daemon, "ticking@127.0.0.1");
    // There is no answer right behind what was sent, or two peers that both answer would never end.
    std::thread::sleep(Duration::from_millis(300));
    // It would come by itself after 15 seconds.
    raw.set_patience(SOON);
    raw.send(&[0; 4]);
    assert!(raw.receive_frame().unwrap().is_empty(), "a tick for a tick");
}

#[test]
fn a_peer_that_does_not_read_is_dropped_as_killed() {
    let Some(alone) = Alone::start(&[]) else { return };
    let mut subscriber = subscriber(&alone.daemon);
    let mut deaf = Talk::under(&alone.daemon, "deaf@127.0.0.1", FLAGS);
    subscriber.hears_up("deaf@127.0.0.1");
    let mebibyte = [&[109, 0, 16, 0, 0][..], &[7; 1 << 20]].concat();
    deaf.bind("X", &mebibyte);
    let echo = deaf.frame("{6, Me, '', route_manager} {'$gen_call', {Me, R1}, {echo, X}}");
    for _ in 0..60 {
        deaf.raw.send(&echo);
    }
    subscriber.hears_down("deaf@127.0.0.1", "killed");
    subscriber.is_served("others");
}

/// OTP 25 takes pids below 2^15 and references whose first word is below 2^18.
#[test]
fn pids_and_references_of_ours_are_such_as_otp_25_takes() {
    let Some(alone) = Alone::start(&[]) else { return };
    let mut talk = Talk::start(&alone.daemon);
    let rm = talk.scope["Rm"].clone();
    let spawn = talk.frame("{29, R1, Me, Me, {erlang, node, 0}, []} []").repeat(1000);
    let mut ids = std::collections::BTreeSet::new();
    // More than there are.
    for _ in 0..34 {
        talk.raw.send(&spawn);
        for _ in 0..1000 {
            let [Etf::Tuple(reply)] = &talk.next()[..] else { panic!("a spawn reply") };
            let Some(Etf::Bytes(pid)) = reply.last() else { panic!("{reply:?}") };
            assert!(*reply.last().unwrap() != rm, "the pid of a process that lives");
            let number = |from_end: usize| {
                let at = pid.len() - from_end;
                u32::from_be_bytes(pid[at..at + 4].try_into().unwrap())
            };
            assert!(number(12) < 1 << 15 && number(8) < 1 << 13 && number(4) > 3, "{pid:?}");
            ids.insert(pid.clone());
        }
    }
    assert!(ids.len() > 32_000, "{} different ones", ids.len());
    talk.say("{6, Me, '', net_kernel} {'$gen_call', {Me, R1}, {monitor_nodes, true}}");
    let [Etf::Tuple(monitor)] = &talk.next()[..] else { panic!("a monitor") };
    let Some(Etf::Bytes(reference)) = monitor.last() else { panic!("{monitor:?}") };
    assert_eq!(reference[..3], [90, 0, 3]);
    let first = reference.len() - 12;
    assert!(u32::from_be_bytes(reference[first..first + 4].try_into().unwrap()) < 1 << 18, "{reference:?}");
}
