//! The handshake in both roles: every status, every order, every name, and the cookies.

use std::time::{Duration, Instant};

use super::{Alone, subscriber};
use crate::support::raw::{FLAGS, Raw, RawNode, name_message};
use crate::support::{Talk, eventually, serial};

const SOON: Duration = Duration::from_secs(5);

/// What must be there, the eleven flags that are mandatory since OTP 25, and what stands for them.
const UNLINK_ID: u64 = 1 << 25;
const V4_NC: u64 = 1 << 34;
const MANDATORY_25_DIGEST: u64 = 1 << 26;
const ELEVEN: [u32; 11] = [2, 4, 7, 8, 9, 10, 11, 16, 17, 18, 24];

fn fresh() -> String {
    format!("h{}x{}@127.0.0.1", std::process::id(), serial())
}

#[test]
fn every_mandatory_flag_alone_is_missed() {
    let Some(alone) = Alone::start(&[]) else { return };
    let all = FLAGS & !MANDATORY_25_DIGEST;
    for bit in ELEVEN.into_iter().chain([25, 34]) {
        let mut raw = Raw::dial(&alone.daemon, &fresh());
        assert_eq!(raw.send_name(all & !(1 << bit)), "not_allowed", "without bit {bit}");
        assert!(raw.is_closed_within(SOON), "without bit {bit}");
    }
    for (what, flags) in [
        ("all of them and no digest", all),
        ("the digest alone for the eleven", MANDATORY_25_DIGEST | UNLINK_ID | V4_NC),
        ("the eleven alone", ELEVEN.iter().fold(UNLINK_ID | V4_NC, |flags, bit| flags | 1 << bit)),
        ("flags that nobody knows", FLAGS | 1 << 63 | 1 << 40 | 1 << 27 | 1 << 1),
        ("header, fragments and atom cache, which we do not offer", FLAGS | 1 << 13 | 1 << 23),
        ("what OTP 29 offers", 0x6d_07df_7fbd & !1),
    ] {
        let mut talk = Talk::under(&alone.daemon, &fresh(), flags);
        talk.say("{6, Me, '', net_kernel} {'$gen_call', {Me, R1}, {is_auth, Node}}");
        let heard = talk.next();
        assert_eq!(heard.len(), 2, "{what}: {heard:?}");
    }
}

#[test]
fn published_on_one_side_alone_is_hidden() {
    let Some(alone) = Alone::start(&[]) else { return };
    for flags in [FLAGS, FLAGS | 1] {
        let mut talk = Talk::with(&alone.daemon, flags);
        talk.say("{6, Me, '', rex} {Me, {call, erlang, nodes, [], Me}}");
        talk.hears("{22, Rex, Me} {rex, []}");
        talk.say("{6, Me, '', rex} {Me, {call, erlang, nodes, [hidden], Me}}");
        talk.hears("{22, Rex, Me} {rex, [Node | _]}");
    }
}

#[test]
fn names_by_letter() {
    let Some(alone) = Alone::start(&[]) else { return };
    let long = |n: usize| format!("{}@127.0.0.1", "x".repeat(n - 10));
    for (name, status) in [
        (long(255), "ok"),
        (long(256), "not_allowed"),
        ("a@b".to_owned(), "ok"),
        ("a b@h".to_owned(), "ok"),
        ("noat".to_owned(), "not_allowed"),
        ("a@".to_owned(), "not_allowed"),
        ("@b".to_owned(), "not_allowed"),
        ("@".to_owned(), "not_allowed"),
        (String::new(), "not_allowed"),
        ("a@b@c".to_owned(), "not_allowed"),
        ("a@@b".to_owned(), "not_allowed"),
        ("a\n@b".to_owned(), "not_allowed"),
        ("a\0@b".to_owned(), "not_allowed"),
        ("a\x7f@b".to_owned(), "not_allowed"),
        (alone.daemon.node.clone(), "not_allowed"),
    ] {
        let mut raw = Raw::dial(&alone.daemon, &name);
        assert_eq!(raw.send_name(FLAGS), status, "{name:?}");
        assert!(status == "ok" || raw.is_closed_within(SOON), "{name:?}");
    }
    let mut raw = Raw::dial(&alone.daemon, "behind@127.0.0.1");
    raw.send_message(&[&name_message("behind@127.0.0.1", FLAGS)[..], &[1, 2, 3]].concat());
    assert_eq!(raw.receive_status(), "ok", "what comes behind the name is for later versions");
    assert!(raw.prove(&alone.daemon.cookie).unwrap());
}

#[test]
fn a_node_without_a_name_gets_one() {
    let Some(alone) = Alone::start(&[]) else { return };
    let mut subscriber = subscriber(&alone.daemon);
    let mut raw = Raw::dial(&alone.daemon, "127.0.0.1");
    raw.send_message(&name_message("127.0.0.1", FLAGS | 1 << 33));
    let status = raw.receive_message().unwrap();
    let rest = status.strip_prefix(b"snamed:").expect("a name");
    let length = usize::from(u16::from_be_bytes([rest[0], rest[1]]));
    let name = std::str::from_utf8(&rest[2..2 + length]).unwrap().to_owned();
    let creation = u32::from_be_bytes(rest[2 + length..].try_into().unwrap());
    assert!(name.ends_with("@127.0.0.1") && name.len() > 10 && creation > 3, "{name} {creation}");
    assert!(raw.prove(&alone.daemon.cookie).unwrap());
    subscriber.hears_up(&name);
    drop(raw);
    subscriber.hears_down(&name, "connection_closed");
}

#[test]
fn messages_in_the_wrong_order_or_form_close() {
    let Some(alone) = Alone::start(&[]) else { return };
    let mut subscriber = subscriber(&alone.daemon);
    let name = name_message("order@127.0.0.1", FLAGS);
    let reply = [&[b'r'][..], &[0; 20]].concat();
    for (what, messages) in [
        ("nothing", vec![vec![]]),
        ("a status first", vec![b"strue".to_vec()]),
        ("a reply first", vec![reply.clone()]),
        ("an ack first", vec![[&[b'a'][..], &[0; 16]].concat()]),
        ("an old name", vec![[&[b'n', 0, 5, 0, 0, 0, 0][..], b"a@b"].concat()]),
        ("a name cut short", vec![name[..10].to_vec()]),
        ("a name that ends early", vec![name[..name.len() - 1].to_vec()]),
        ("the name twice", vec![name.clone(), name.clone()]),
        ("an alive answer that nobody asked for", vec![name.clone(), b"strue".to_vec()]),
        ("a complement, which only follows an old name", vec![name.clone(), vec![b'c', 0, 0, 0, 0, 0, 0, 0, 7]]),
        ("a reply of noughts", vec![name.clone(), reply.clone()]),
        ("a reply too short", vec![name.clone(), reply[..20].to_vec()]),
        ("a reply too long", vec![name.clone(), [&reply[..], &[0]].concat()]),
        ("an empty reply", vec![name.clone(), vec![]]),
        ("the greatest length", vec![name.clone(), vec![b'r'; 65535]]),
    ] {
        let mut raw = Raw::dial(&alone.daemon, "order@127.0.0.1");
        messages.iter().for_each(|message| raw.send_message(message));
        assert!(raw.is_closed_within(SOON), "{what}");
    }
    let _up = Raw::connect(&alone.daemon, "order@127.0.0.1");
    subscriber.hears_up("order@127.0.0.1");
    for answer in [&b"smaybe"[..], b"s", b"sok", b"true", b"r", b"sTRUE", b"sfalse"] {
        let mut raw = Raw::dial(&alone.daemon, "order@127.0.0.1");
        assert_eq!(raw.send_name(FLAGS), "alive");
        raw.send_message(answer);
        assert!(raw.is_closed_within(SOON), "{answer:?}");
    }
    subscriber.is_served("the connection stays, and none of the others was told");
}

#[test]
fn a_handshake_byte_by_byte() {
    let Some(alone) = Alone::start(&[]) else { return };
    let mut raw = Raw::dial(&alone.daemon, "bytes@127.0.0.1");
    let in_bytes = |raw: &mut Raw, message: &[u8]| {
        let length = u16::try_from(message.len()).unwrap().to_be_bytes();
        [&length[..], message].concat().iter().for_each(|byte| raw.send(&[*byte]));
    };
    in_bytes(&mut raw, &name_message("bytes@127.0.0.1", FLAGS));
    assert_eq!(raw.receive_status(), "ok");
    let reply = raw.reply(&alone.daemon.cookie).unwrap();
    in_bytes(&mut raw, &reply);
    assert!(raw.is_acknowledged(&alone.daemon.cookie).unwrap());
}

#[test]
fn bytes_alone_do_not_restart_the_setup_timer() {
    let Some(alone) = Alone::start(&[]) else { return };
    let began = Instant::now();
    let mut raw = Raw::dial(&alone.daemon, "drops@127.0.0.1");
    let message = name_message("drops@127.0.0.1", FLAGS);
    raw.send(&[0, u8::try_from(message.len()).unwrap()]);
    let mut bytes = message.iter();
    while !raw.is_closed_within(Duration::from_millis(400)) {
        assert!(began.elapsed() < Duration::from_secs(10), "still open");
        raw.send(&[*bytes.next().expect("closed before the name is whole")]);
    }
    assert!(began.elapsed() > Duration::from_secs(6), "{:?}", began.elapsed());
}

#[test]
fn a_third_attempt_while_one_is_heard_is_closed_without_a_status() {
    let Some(alone) = Alone::start(&[]) else { return };
    let mut subscriber = subscriber(&alone.daemon);
    let mut old = Talk::under(&alone.daemon, "three@127.0.0.1", FLAGS);
    subscriber.hears_up("three@127.0.0.1");
    let mut second = Raw::dial(&alone.daemon, "three@127.0.0.1");
    assert_eq!(second.send_name(FLAGS), "alive");
    let mut third = Raw::dial(&alone.daemon, "three@127.0.0.1");
    third.send_message(&name_message("three@127.0.0.1", FLAGS));
    assert!(third.receive_message().is_err(), "no status");
    old.is_served("the old connection");
    // A wrong cookie ends the second, and then there is room for another.
    second.send_message(b"strue");
    assert!(second.prove("wrong").is_err());
    old.is_served("after a wrong cookie");
    let mut fourth = Raw::dial(&alone.daemon, "three@127.0.0.1");
    eventually("room for another", || {
        fourth = Raw::dial(&alone.daemon, "three@127.0.0.1");
        fourth.send_message(&name_message("three@127.0.0.1", FLAGS));
        fourth.receive_message().is_ok_and(|status| status == b"salive")
    });
    fourth.send_message(b"strue");
    assert!(fourth.prove(&alone.daemon.cookie).unwrap());
    assert!(old.raw.is_closed_within(SOON));
    subscriber.hears_down("three@127.0.0.1", "wait_pending");
    subscriber.hears_up("three@127.0.0.1");
}

#[test]
fn the_old_connection_may_die_while_a_newcomer_is_heard() {
    let Some(alone) = Alone::start(&[]) else { return };
    let mut subscriber = subscriber(&alone.daemon);
    let old = Raw::connect(&alone.daemon, "pending@127.0.0.1");
    subscriber.hears_up("pending@127.0.0.1");
    let mut new = Raw::dial(&alone.daemon, "pending@127.0.0.1");
    assert_eq!(new.send_name(FLAGS), "alive");
    new.send_message(b"strue");
    drop(old);
    subscriber.hears_down("pending@127.0.0.1", "connection_closed");
    assert!(new.prove(&alone.daemon.cookie).unwrap());
    subscriber.hears_up("pending@127.0.0.1");
    new.send(&new.status_call());
    assert!(!new.receive_frame().unwrap().is_empty());
}

/// Has the daemon dial `peer`; the answer comes when it comes.
fn ask_to_connect(talk: &mut Talk, peer: &str) {
    talk.scope.remove("P");
    talk.say(&format!(
        "{{29, R1, Me, Me, {{erpc, execute_call, 4}}, [monitor]}} [r, net_kernel, connect_node, ['{peer}']]"
    ));
    talk.hears("{31, R1, Me, 2, P}");
}

const CONNECTED: &str = "{28, P, Me, R1} {r, return, true}";
const FAILED: &str = "{28, P, Me, R1} {r, return, false}";

#[test]
fn c4_every_status_and_every_wrong_proof_of_a_node_that_is_dialled() {
    let Some(alone) = Alone::start(&["--admin", "all"]) else { return };
    let mut talk = Talk::start(&alone.daemon);
    let mut subscriber = subscriber(&alone.daemon);
    let node = RawNode::start(alone.place, &fresh());
    let cookie = alone.daemon.cookie.clone();
    for status in ["not_allowed", "bogus", "", "named:", "nok "] {
        ask_to_connect(&mut talk, &node.name);
        let (mut raw, name) = node.accept();
        assert_eq!(name, alone.daemon.node);
        raw.send_message(format!("s{status}").as_bytes());
        assert!(raw.is_closed_within(SOON), "{status}");
        talk.hears(FAILED);
    }
    for (what, challenger, flags, cookie) in [
        ("another node answers", "other@127.0.0.1", FLAGS, &cookie[..]),
        ("flags are missing", &node.name, FLAGS & !UNLINK_ID, &cookie),
        ("its cookie is another", &node.name, FLAGS, "another"),
    ] {
        ask_to_connect(&mut talk, &node.name);
        let (mut raw, _) = node.accept();
        raw.send_message(b"sok");
        raw.say_as(challenger).challenge(flags, cookie);
        assert!(raw.is_closed_within(SOON), "{what}");
        talk.hears(FAILED);
    }
    subscriber.is_served("none of it is told");
    for (status, answer) in [("ok", None), ("ok_simultaneous", None), ("alive", Some(b"strue"))] {
        ask_to_connect(&mut talk, &node.name);
        let (mut raw, _) = node.accept();
        raw.send_message(format!("s{status}").as_bytes());
        if let Some(answer) = answer {
            assert_eq!(raw.receive_message().unwrap(), answer);
        }
        assert!(raw.challenge(FLAGS, &cookie), "{status}");
        talk.hears(CONNECTED);
        subscriber.hears_up(&node.name);
        drop(raw);
        subscriber.hears_down(&node.name, "connection_closed");
    }
}

#[test]
fn c2_c6_one_socket_for_all_who_ask() {
    let Some(alone) = Alone::start(&["--admin", "all"]) else { return };
    let mut talk = Talk::start(&alone.daemon);
    let node = RawNode::start(alone.place, &fresh());
    let ask = format!("[r, net_kernel, connect_node, ['{}']]", node.name);
    for _ in 0..20 {
        talk.say(&format!("{{29, R1, Me, Me, {{erpc, execute_call, 4}}, [monitor]}} {ask}"));
        talk.hears("{31, R1, Me, 2, _}");
    }
    let (mut raw, _) = node.accept();
    raw.send_message(b"sok");
    assert!(raw.challenge(FLAGS, &alone.daemon.cookie));
    for _ in 0..20 {
        talk.hears("{28, _, Me, R1} {r, return, true}");
    }
    // And again, when it is connected.
    ask_to_connect(&mut talk, &node.name);
    talk.hears(CONNECTED);
    assert!(node.try_accept().is_none(), "no second socket");
}

#[test]
fn c7_simultaneous_connects_by_either_name() {
    let Some(alone) = Alone::start(&["--admin", "all"]) else { return };
    let mut talk = Talk::start(&alone.daemon);
    let mut subscriber = subscriber(&alone.daemon);
    let cookie = alone.daemon.cookie.clone();
    // Greater than any name of the daemon: what the peer dials is what counts.
    let node = RawNode::start(alone.place, &format!("zz{}", fresh()));
    ask_to_connect(&mut talk, &node.name);
    let (mut given_up, _) = node.accept();
    let mut raw = Raw::dial(&alone.daemon, &node.name);
    assert_eq!(raw.send_name(FLAGS), "ok_simultaneous");
    assert!(given_up.is_closed_within(SOON));
    assert!(raw.prove(&cookie).unwrap());
    talk.hears(CONNECTED);
    subscriber.hears_up(&node.name);
    // Smaller: the daemon's own attempt counts.
    let node = RawNode::start(alone.place, &format!("AA{}", fresh()));
    ask_to_connect(&mut talk, &node.name);
    let (mut raw, _) = node.accept();
    let mut refused = Raw::dial(&alone.daemon, &node.name);
    assert_eq!(refused.send_name(FLAGS), "nok");
    assert!(refused.is_closed_within(SOON));
    raw.send_message(b"sok_simultaneous");
    assert!(raw.challenge(FLAGS, &cookie));
    talk.hears(CONNECTED);
    subscriber.hears_up(&node.name);
    subscriber.is_served("and no nodedown");
    assert!(node.try_accept().is_none());
}

#[test]
fn a4_a6_a_node_that_is_not_on_the_list_is_not_dialled() {
    let Some(alone) = Alone::start(&["--admin", "all"]) else { return };
    let mut talk = Talk::start(&alone.daemon);
    let node = RawNode::start(alone.place, &fresh());
    let short = node.name.split('@').next().unwrap();
    // The host and the name part let it in, and not us out.
    talk.say(&format!("{{6, Me, '', rex}} {{Me, {{call, net_kernel, allow, [['127.0.0.1', '{short}@', Node]], Me}}}}"));
    talk.hears("{22, Rex, Me} {rex, ok}");
    ask_to_connect(&mut talk, &node.name);
    talk.hears(FAILED);
    assert!(node.try_accept().is_none(), "no socket is opened");
    assert_eq!(Raw::dial(&alone.daemon, &node.name).send_name(FLAGS), "ok");
    talk.say(&format!("{{6, Me, '', rex}} {{Me, {{call, net_kernel, allow, [['{}']], Me}}}}", node.name));
    talk.hears("{22, Rex, Me} {rex, ok}");
    eventually("the attempt of the peer is forgotten", || {
        ask_to_connect(&mut talk, &node.name);
        let mut raw = None;
        crate::support::within(Duration::from_millis(500), || {
            raw = node.try_accept();
            raw.is_some()
        });
        let Some(mut raw) = raw else {
            talk.hears(FAILED);
            return false;
        };
        assert_eq!(raw.receive_message().unwrap()[0], b'N');
        raw.send_message(b"sok");
        assert!(raw.challenge(FLAGS, &alone.daemon.cookie));
        talk.hears(CONNECTED);
        true
    });
}
