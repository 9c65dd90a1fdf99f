//! What no BEAM node sends: broken frames, refused flags, silence. Other connections must not notice.

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::support::raw::{FLAGS, Raw, frame};
use crate::support::talk::Talk;
use crate::support::{Beam, Daemon, Epmd, Netns, Rig, eventually};

const SOON: Duration = Duration::from_secs(5);

#[test]
fn a_call_cut_off_in_the_middle_of_a_frame() {
    let Some(rig) = Rig::start() else { return };
    rig.beam.expect(&[("net_adm:ping(N).", "pong")]);
    let files = rig.daemon.open_files();
    let whole = Raw::dial(&rig.daemon, "cut@127.0.0.1").status_call();
    for cut in [1, 3, 4, 5, whole.len() / 2, whole.len() - 1] {
        let mut raw = Raw::connect(&rig.daemon, "cut@127.0.0.1");
        raw.send(&whole[..cut]);
        drop(raw);
        rig.beam.expect(&[("gen_server:call(RM, {get, [<<\"connection\">>]}).", "disconnected")]);
        eventually("the cut connection is forgotten", || {
            rig.beam.ok("maps:get(nodes, gen_server:call(RM, status)) =:= [node()].") == "true"
        });
    }
    eventually("no socket is left behind", || rig.daemon.open_files() <= files);
}

#[test]
fn a_frame_that_comes_byte_by_byte() {
    let Some(rig) = Rig::start() else { return };
    let mut raw = Raw::connect(&rig.daemon, "slow@127.0.0.1");
    for byte in raw.status_call() {
        raw.send(&[byte]);
    }
    assert_eq!(raw.receive_frame().unwrap()[..3], [112, 131, 104]);
}

#[test]
fn two_calls_in_one_segment_get_two_replies() {
    let Some(rig) = Rig::start() else { return };
    let mut raw = Raw::connect(&rig.daemon, "double@127.0.0.1");
    let call = raw.status_call();
    raw.send(&[&call[..], &[0; 4], &call].concat());
    let mut replies = 0;
    while replies < 2 {
        replies += usize::from(!raw.receive_frame().unwrap().is_empty());
    }
}

#[test]
fn whatever_comes_together_is_done_in_its_order() {
    let Some(rig) = Rig::start() else { return };
    let mut talk = Talk::start(&rig.daemon);
    let (mut said, mut replies) = (Vec::new(), Vec::new());
    let call =
        |to: &str, request: &str| format!("{{6, Me, '', {to}}} {{'$gen_call', {{Me, [alias | R1]}}, {request}}}");
    let get = "{get, [<<\"interface\">>, <<\"eth0\">>, <<\"connection\">>]}";
    for (round, status) in ["lan", "internet", "disconnected"].into_iter().cycle().take(12).enumerate() {
        let set = format!("{{set_connection_status, <<\"eth0\">>, {status}}}");
        // More of them than are delivered together.
        let repeated = round * 2 + 1;
        said.extend(talk.frame(&call("route_manager", &set)).repeat(repeated));
        replies.extend(vec!["ok"; repeated]);
        said.extend([0; 4]);
        said.extend(talk.frame("{19, Me, route_manager, R2}"));
        said.extend(talk.frame(&call("'Elixir.VintageNet.RouteManager'", get)));
        replies.push(status);
        said.extend(talk.frame("{6, Me, '', route_manager} {'$gen_cast', {set_connection_status, <<\"eth0\">>, lan}}"));
        said.extend(talk.frame("{20, Me, route_manager, R2}"));
        said.extend(talk.frame("{6, Me, '', nobody} {'$gen_call', {Me, R1}, status}"));
        said.extend(talk.frame(&call("route_manager", &set)));
        said.extend(talk.frame("{6, Me, '', route_manager} {'$gen_cast', {set_connection_status, <<\"eth0\">>, lan}}"));
        said.extend(talk.frame(&call("route_manager", get)));
        replies.extend(["ok", "lan"]);
    }
    talk.raw.send(&said);
    for reply in replies {
        talk.hears(&format!("_ {{[alias | R1], {reply}}}"));
    }
}

/// It is answered where it comes in if the process waits for messages, and then only.
#[test]
fn a_status_that_is_said_again_overtakes_nothing() {
    let Some(rig) = Rig::start() else { return };
    let mut talk = Talk::start(&rig.daemon);
    let again = "{6, Me, '', route_manager} {'$gen_call', {Me, R1}, {set_connection_status, <<\"eth0\">>, internet}}";
    let lan = "{'$gen_call', {Me, R2}, {set_connection_status, <<\"eth0\">>, lan}}";
    for to in ["{22, Me, Rm}", "{6, Me, '', 'Elixir.VintageNet.RouteManager'}", "{6, Me, '', route_manager}"] {
        for _ in 0..3 {
            talk.say(again);
            talk.hears("_ {R1, ok}");
        }
        let both = [talk.frame(&format!("{to} {lan}")), talk.frame(again)].concat();
        talk.raw.send(&both);
        talk.hears("_ {R2, ok}");
        talk.hears("_ {R1, ok}");
        talk.say("{22, Me, Rm} {'$gen_call', {Me, R3}, {get, [<<\"interface\">>, <<\"eth0\">>, <<\"connection\">>]}}");
        talk.hears("_ {R3, internet}");
    }
}

/// Pauses are made in such a stream, and nothing else is to be noticed of them.
#[test]
fn what_follows_a_stream_of_casts_is_answered_after_all_of_them() {
    let (Some(epmd), Some(net)) = (Epmd::start(), Netns::two_interfaces()) else { return };
    let options = Daemon::options(&epmd.place()).netns(&net);
    let daemon = options.env("BEAMROUTE_LOG", "info,beamroute::node::connection=trace").start();
    let Some(beam) = Beam::start(&epmd.place(), &daemon.cookie) else { return };
    beam.know(&daemon);
    let mut talk = Talk::start(&daemon);
    let eth0 = "<<\"eth0\">>";
    let get = format!("{{'$gen_call', {{Me, R1}}, {{get, [<<\"interface\">>, {eth0}, <<\"connection\">>]}}}}");
    let get = talk.frame(&format!("{{6, Me, '', route_manager}} {get}"));
    let [internet, lan] = ["internet", "lan"].map(|status| {
        let cast = format!("{{'$gen_cast', {{set_connection_status, {eth0}, {status}}}}}");
        talk.frame(&format!("{{6, Me, '', route_manager}} {cast}"))
    });
    // As a BEAM does it, and not as fast as it is read.
    let stream = |talk: &mut Talk, many: &[u8]| {
        for _ in 0..160 {
            talk.raw.send(&many.repeat(200));
            sleep(Duration::from_micros(200));
        }
    };
    for (many, last, status) in [(&lan, &internet, "internet"), (&internet, &lan, "lan"), (&lan, &lan, "lan")] {
        stream(&mut talk, many);
        talk.raw.send(&[&last[..], &get].concat());
        talk.hears(&format!("_ {{R1, {status}}}"));
        stream(&mut talk, many);
        let (begin, end) = get.split_at(7);
        talk.raw.send(&[last, begin].concat());
        sleep(Duration::from_millis(20));
        talk.raw.send(end);
        talk.hears(&format!("_ {{R1, {status}}}"));
    }
    eventually("pauses are made, and it is found whether they are worth it", || {
        stream(&mut talk, &internet);
        daemon.log().contains("a pause in a stream of casts") && daemon.log().contains("is_worth")
    });
    drop(talk);
    eventually("who went in the middle of it is forgotten, and all is done", || {
        beam.ok("maps:get(nodes, gen_server:call(RM, status)) =:= [node()].") == "true"
            && beam.ok("gen_server:call(RM, {get, [<<\"interface\">>, <<\"eth0\">>, <<\"connection\">>]}).")
                == "internet"
    });
}

#[test]
fn what_comes_before_a_length_that_is_too_large_is_delivered() {
    let Some(rig) = Rig::start() else { return };
    let mut talk = Talk::start(&rig.daemon);
    let cast = "{6, Me, '', route_manager} {'$gen_cast', {set_connection_status, <<\"eth0\">>, internet}}";
    let said = [talk.frame(cast), vec![0xff; 4]].concat();
    talk.raw.send(&said);
    assert!(talk.raw.is_closed_within(SOON));
    rig.beam
        .expect(&[("gen_server:call(RM, {get, [<<\"interface\">>, <<\"eth0\">>, <<\"connection\">>]}).", "internet")]);
}

#[test]
fn garbage_closes_that_connection_and_no_other() {
    let Some(rig) = Rig::start() else { return };
    rig.beam.expect(&[("net_adm:ping(N).", "pong"), ("erlang:monitor_node(N, true).", "true")]);
    let deep = [vec![112, 131], [104, 1].repeat(1_000_000)].concat();
    let claims_much = [112, 131, 105, 0xff, 0xff, 0xff, 0xff];
    for (what, bytes) in [
        ("not a pass-through frame", frame(&[131, 68, 0, 104, 0])),
        ("no version byte", frame(&[112, 104, 0])),
        ("an unknown tag", frame(&[112, 131, 1, 2, 3])),
        ("an unknown operation", frame(&[112, 131, 104, 1, 97, 99])),
        ("a control message that is no tuple", frame(&[112, 131, 97, 6])),
        ("an empty tuple", frame(&[112, 131, 104, 0])),
        ("a wrong number of elements", frame(&[112, 131, 104, 2, 97, 6, 97, 1])),
        ("a tuple that claims four thousand million elements", frame(&claims_much)),
        ("a tuple a million deep", frame(&deep)),
        ("a compressed term", frame(&[112, 131, 80, 0, 0, 0, 9, 1, 2, 3])),
        ("a length of four thousand million", vec![0xff; 64]),
        ("a length of two thousand million", vec![0x7f, 0xff, 0xff, 0xff, 112]),
        ("text", b"GET / HTTP/1.1\r\n\r\n".to_vec()),
    ] {
        let mut raw = Raw::connect(&rig.daemon, "garbage@127.0.0.1");
        raw.send(&bytes);
        assert!(raw.is_closed_within(SOON), "{what}");
        eventually("the connection is forgotten", || {
            rig.beam.ok("maps:get(nodes, gen_server:call(RM, status)) =:= [node()].") == "true"
        });
    }
    rig.beam.expect(&[("driver:flush().", "[]"), ("nodes(hidden) =:= [N].", "true")]);
    let memory = std::fs::read_to_string(format!("/proc/{}/status", rig.daemon.pid)).unwrap();
    let peak = memory.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap().trim().trim_end_matches(" kB");
    assert!(peak.parse::<u32>().unwrap() < 200_000, "no claim is believed: {peak} kB");
}

#[test]
fn garbage_instead_of_a_handshake() {
    let Some(rig) = Rig::start() else { return };
    rig.beam.expect(&[("net_adm:ping(N).", "pong")]);
    for (what, bytes) in [
        ("an empty message", vec![0, 0]),
        ("text", b"GET / HTTP/1.1\r\n\r\n".to_vec()),
        ("an unknown message", vec![0, 3, b'Z', 1, 2]),
        ("a name cut short", vec![0, 4, b'N', 0, 0, 0]),
        ("a name longer than the message", [&[0, 15, b'N'][..], &[0; 12], &[255, 255]].concat()),
        ("an old handshake", [&[0, 10, b'n', 0, 5, 0, 0, 0, 0][..], b"a@b"].concat()),
    ] {
        let mut raw = Raw::dial(&rig.daemon, "x@127.0.0.1");
        raw.send(&bytes);
        assert!(raw.is_closed_within(Duration::from_secs(9)), "{what}");
    }
    for name in [
        "nohost",
        "@127.0.0.1",
        "a@",
        "a@b@c",
        "a\nb@127.0.0.1",
        &format!("{}@127.0.0.1", "x".repeat(300)),
        &rig.daemon.node,
    ] {
        let mut raw = Raw::dial(&rig.daemon, name);
        let body = [
            &[b'N'][..],
            &FLAGS.to_be_bytes(),
            &7_u32.to_be_bytes(),
            &u16::try_from(name.len()).unwrap().to_be_bytes(),
            name.as_bytes(),
        ]
        .concat();
        raw.send_message(&body);
        let status = raw.receive_message();
        assert!(
            status.as_deref().is_err() || status.as_deref().is_ok_and(|s| s == b"snot_allowed"),
            "{name}: {status:?}"
        );
        assert!(raw.is_closed_within(SOON), "{name}");
    }
    rig.beam.expect(&[("net_adm:ping(N).", "pong")]);
}

#[test]
fn a_peer_without_the_mandatory_flags_is_not_allowed() {
    let Some(rig) = Rig::start() else { return };
    for (what, flags) in [
        ("none", 0),
        ("no EXTENDED_REFERENCES", FLAGS & !(1 << 2) & !(1 << 26)),
        ("no UTF8_ATOMS", FLAGS & !(1 << 16) & !(1 << 26)),
        ("no HANDSHAKE_23", FLAGS & !(1 << 24) & !(1 << 26)),
        ("no UNLINK_ID", FLAGS & !(1 << 25)),
        ("no V4_NC", FLAGS & !(1 << 34)),
    ] {
        let mut raw = Raw::dial(&rig.daemon, "old@127.0.0.1");
        assert_eq!(raw.send_name(flags), "not_allowed", "{what}");
        assert!(raw.is_closed_within(SOON), "{what}");
    }
    // The digest stands for the row of flags that are mandatory since 25; and what nobody knows is ignored.
    let row = [2, 4, 7, 8, 9, 10, 11, 16, 17, 18, 24].iter().fold(0, |flags, bit| flags | 1_u64 << bit);
    for flags in [FLAGS & !row, FLAGS | 1 << 63 | 1 << 40] {
        let mut raw = Raw::dial(&rig.daemon, &format!("new{flags}@127.0.0.1"));
        assert_eq!(raw.send_name(flags), "ok");
    }
    // NAME_ME asks for a name that we do not give.
    let mut raw = Raw::dial(&rig.daemon, "127.0.0.1");
    let status = raw.send_name(FLAGS | 1 << 33);
    assert!(status == "not_allowed" || status.starts_with("named:"), "{status}");
}

#[test]
fn a_handshake_that_stops_is_closed_after_seven_seconds() {
    let Some(rig) = Rig::start() else { return };
    let mut silent = Raw::dial(&rig.daemon, "silent@127.0.0.1");
    let mut halfway = Raw::dial(&rig.daemon, "halfway@127.0.0.1");
    assert_eq!(halfway.send_name(FLAGS), "ok");
    let start = Instant::now();
    rig.beam.expect(&[("net_adm:ping(N).", "pong")]);
    assert!(silent.is_closed_within(Duration::from_secs(10)));
    assert!(halfway.is_closed_within(Duration::from_secs(10)));
    assert!(start.elapsed() > Duration::from_secs(5), "but not at once");
}

#[test]
fn ticks_keep_both_sides_connected() {
    let Some(rig) = Rig::with(&["--net-ticktime", "4"]) else { return };
    // The peer's own time is changed too, or it would tick every 15 seconds only.
    rig.beam.expect(&[
        ("element(1, {net_kernel:set_net_ticktime(4, 0)}).", "change_initiated"),
        ("timer:sleep(2000), net_kernel:get_net_ticktime().", "4"),
        ("rpc:call(N, net_kernel, get_net_ticktime, []).", "4"),
        ("erlang:monitor_node(N, true), driver:await(8000).", "timeout"),
        ("nodes(hidden) =:= [N].", "true"),
        ("gen_server:call(RM, {get, [<<\"connection\">>]}).", "disconnected"),
    ]);
}

#[test]
fn a_silent_peer_is_dropped_and_ticked_meanwhile() {
    let Some(rig) = Rig::with(&["--net-ticktime", "4"]) else { return };
    let mut raw = Raw::connect(&rig.daemon, "silent@127.0.0.1");
    let start = Instant::now();
    let mut ticks = 0;
    while let Ok(frame) = raw.receive_frame() {
        assert!(frame.is_empty(), "a tick");
        ticks += 1;
    }
    let time = start.elapsed().as_secs_f64();
    assert!((3.0..=6.0).contains(&time), "dropped after {time:.1} s");
    assert!(ticks >= 2, "{ticks} ticks");
}

#[test]
fn half_a_frame_is_not_traffic_but_a_tick_is() {
    let Some(rig) = Rig::with(&["--net-ticktime", "4"]) else { return };
    let mut half = Raw::connect(&rig.daemon, "half@127.0.0.1");
    let mut ticking = Raw::connect(&rig.daemon, "ticking@127.0.0.1");
    half.send(&[0, 0, 1, 0]);
    for _ in 0..10 {
        half.send(&[112]);
        ticking.send(&[0; 4]);
        std::thread::sleep(Duration::from_millis(800));
        if half.is_closed_within(Duration::from_millis(1)) {
            break;
        }
    }
    ticking.send(&ticking.status_call());
    let mut answered = false;
    while !answered {
        answered = !ticking.receive_frame().expect("the ticking peer stays").is_empty();
    }
    assert!(half.is_closed_within(Duration::from_millis(100)), "bytes of an unfinished frame keep nobody alive");
}

#[test]
fn a_peer_that_never_reads_does_not_hold_up_others() {
    let Some(rig) = Rig::start() else { return };
    let mut deaf = Raw::connect(&rig.daemon, "deaf@127.0.0.1");
    let call = deaf.status_call();
    for _ in 0..2000 {
        deaf.send(&call);
    }
    rig.beam.holds(&["{T, _} = timer:tc(gen_server, call, [RM, status]), T < 2000000 orelse T."]);
}
