//! Who may come in (a), where we go out to and how long that may take (c, r), and the options of those sockets (o);
//! letters as in `net_kernel.rs`.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use crate::net_kernel::{fresh_name, hears, rig, subscribe};
use crate::support::raw::{FLAGS, Raw, RawNode, name_message};
use crate::support::{Beam, Rig, eventually};

const SOON: Duration = Duration::from_secs(5);

fn admin() -> Option<Rig> {
    rig(&["--admin", "all"])
}

#[test]
fn a1_everybody_may_connect_as_long_as_nobody_was_allowed() {
    let Some(rig) = admin() else { return };
    for name in ["a@127.0.0.1", "b@127.0.0.9", "c@example.org", "d@h"] {
        drop(Raw::connect(&rig.daemon, name));
    }
    // A list of nobody is not a list yet.
    rig.beam.expect(&[("C(allow, [[]]).", "ok")]);
    drop(Raw::connect(&rig.daemon, "e@127.0.0.1"));
}

#[test]
fn a2_a7_lists_accumulate_and_a_bad_one_adds_nobody() {
    let Some(rig) = admin() else { return };
    rig.beam.expect(&[
        ("C(allow, [[node(), 'a@127.0.0.1', 'a@127.0.0.1']]).", "ok"),
        ("C(allow, [['b@127.0.0.1']]).", "ok"),
        ("C(allow, [['c@127.0.0.1', \"d@127.0.0.1\"]]).", "error"),
        ("C(allow, [['c@127.0.0.1' | 'd@127.0.0.1']]).", "error"),
        ("C(allow, ['c@127.0.0.1']).", "error"),
        ("C(allow, [[]]).", "ok"),
    ]);
    for (name, status) in
        [("a@127.0.0.1", "ok"), ("b@127.0.0.1", "ok"), ("c@127.0.0.1", "not_allowed"), ("d@127.0.0.1", "not_allowed")]
    {
        assert_eq!(Raw::dial(&rig.daemon, name).send_name(FLAGS), status, "{name}");
    }
    rig.beam.expect(&[("net_adm:ping(N).", "pong")]);
}

#[test]
fn a5_a8_connections_stay_and_the_node_serves_on() {
    let Some(rig) = admin() else { return };
    let mut live = Raw::connect(&rig.daemon, "live@127.0.0.1");
    rig.beam.expect(&[
        ("C(allow, [['a@127.0.0.1']]).", "ok"),
        ("[C(allow, [A]) || A <- [a, [a | b], 1, <<>>, #{}]].", "[error,error,error,error,error]"),
        ("net_adm:ping(N).", "pong"),
    ]);
    live.send(&live.status_call());
    assert!(!live.receive_frame().unwrap().is_empty());
    // Once it is gone, it is a new attempt.
    drop(live);
    eventually("it is forgotten", || Raw::dial(&rig.daemon, "live@127.0.0.1").send_name(FLAGS) == "not_allowed");
    rig.beam.expect(&[("erlang:disconnect_node(N).", "true"), ("net_adm:ping(N).", "pang")]);
}

#[test]
fn a9_the_refusal_says_nothing_of_the_cookie() {
    let Some(rig) = admin() else { return };
    rig.beam.expect(&[("C(allow, [[node()]]).", "ok")]);
    // Whatever comes along with the name, all that is ever answered is the status.
    let heard = |more: &[u8]| {
        let mut raw = Raw::dial(&rig.daemon, "a9@127.0.0.1");
        let name = name_message("a9@127.0.0.1", FLAGS);
        let length = u16::try_from(name.len()).unwrap().to_be_bytes();
        raw.send(&[&length[..], &name, more].concat());
        let mut heard = Vec::new();
        while let Ok(message) = raw.receive_message() {
            heard.push(message);
        }
        heard
    };
    let guess = |digest: [u8; 16]| [&[0, 21, b'r', 0, 0, 0, 0][..], &digest].concat();
    for more in [vec![], guess([0; 16]), guess(md5::compute(format!("{}0", rig.daemon.cookie)).0)] {
        assert_eq!(heard(&more), [b"snot_allowed".to_vec()], "{more:?}");
    }
    for cookie in [&rig.daemon.cookie[..], "anothercookie"] {
        let Some(stranger) = Beam::start(&rig.epmd.place(), cookie) else { return };
        stranger.know(&rig.daemon);
        stranger.expect(&[("net_adm:ping(N).", "pang"), ("nodes(connected).", "[]")]);
    }
    assert!(!rig.daemon.log().contains("another cookie"), "nobody's cookie was looked at:\n{}", rig.daemon.log());
}

#[test]
fn c3_nodeup_is_there_when_connect_node_returns() {
    let Some(rig) = admin() else { return };
    let Some(third) = Beam::start(&rig.epmd.place(), &rig.daemon.cookie) else { return };
    subscribe(&rig.beam, "[{node_type, all}]");
    let third_name = &third.node;
    for _ in 0..20 {
        rig.beam.expect(&[
            (&format!("C(connect_node, ['{third_name}'])."), "true"),
            (&format!("driver:flush() =:= [{{nodeup, '{third_name}', [{{node_type, hidden}}]}}]."), "true"),
            (&format!("lists:member('{third_name}', rpc:call(N, erlang, nodes, [connected]))."), "true"),
            (&format!("rpc:call(N, erlang, disconnect_node, ['{third_name}'])."), "true"),
        ]);
        hears(&rig.beam, &format!("{{nodedown,'{third_name}',[{{node_type,hidden}}]}}"));
    }
}

/// A listener whose queue is full: who connects to it waits.
fn full() -> (TcpListener, Vec<socket2::Socket>) {
    let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let address: std::net::SocketAddr = "127.0.0.1:0".parse().unwrap();
    listener.bind(&address.into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let fill = || {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.set_nonblocking(true).unwrap();
        let _ = socket.connect(&address);
        socket
    };
    let waiting = (0..4).map(|_| fill()).collect();
    (listener.into(), waiting)
}

#[test]
fn c10_r2_black_holes_hold_up_nothing_else() {
    let Some(rig) = rig(&["--admin", "all", "--net-ticktime", "4"]) else { return };
    rig.beam.ok("net_kernel:set_net_ticktime(4, 0).");
    let Some(third) = Beam::start(&rig.epmd.place(), &rig.daemon.cookie) else { return };
    // One accepts and says nothing, one does not accept, and of one the epmd says nothing.
    let silent = RawNode::start(rig.epmd.place(), &fresh_name());
    let (listener, _waiting) = full();
    let deaf = RawNode::with(rig.epmd.place(), &fresh_name(), listener);
    let _epmd = TcpListener::bind(("127.0.0.3", rig.epmd.place().0)).unwrap();
    let nowhere = "nowhere@127.0.0.3";
    let mut idle = Raw::connect(&rig.daemon, "idle@127.0.0.1");
    let began = Instant::now();
    for name in [&silent.name, &deaf.name, nowhere] {
        rig.beam.expect(&[(
            &format!("Self = self(), is_pid(spawn(fun() -> Self ! {{dialled, '{name}', rpc:call(N, net_kernel, connect_node, ['{name}'])}} end))."),
            "true",
        )]);
    }
    let mut ticks = 0;
    idle.set_patience(Duration::from_millis(50));
    let mut slowest = Duration::ZERO;
    while began.elapsed() < Duration::from_secs(6) {
        let asked = Instant::now();
        rig.beam.expect(&[
            ("gen_server:call(RM, {get, [<<\"connection\">>]}).", "disconnected"),
            ("rpc:call(N, net_kernel, get_net_ticktime, []).", "4"),
        ]);
        slowest = slowest.max(asked.elapsed());
        while idle.receive_frame().is_ok() {
            ticks += 1;
        }
        idle.send(&[0; 4]);
    }
    assert!(slowest < Duration::from_secs(1), "a call took {slowest:?}");
    assert!(ticks >= 4, "{ticks} ticks in six seconds, at one each");
    rig.beam.expect(&[
        ("driver:flush().", "[]"),
        (&format!("rpc:call(N, net_kernel, connect_node, ['{}']).", third.node), "true"),
    ]);
    rig.beam.holds(&["lists:usort([element(3, driver:await(9000)) || _ <- [1, 2, 3]]) =:= [false]."]);
    assert!(began.elapsed() < Duration::from_secs(12), "{:?}", began.elapsed());
    assert!(silent.try_accept().is_some() && silent.try_accept().is_none(), "one socket");
}

#[test]
fn o5a_configured_options_are_those_of_every_connection() {
    let flags = [
        "--admin",
        "all",
        "--dist-listen-options",
        "keepalive=true,tos=16",
        "--dist-connect-options",
        "nodelay=false,linger=3",
    ];
    let Some(rig) = rig(&flags) else { return };
    let options = "[keepalive, nodelay, tos, linger]";
    rig.beam.expect(&[(
        &format!("C(getopts, [node(), {options}])."),
        "{ok,[{keepalive,true},{nodelay,true},{tos,16},{linger,{false,0}}]}",
    )]);
    let Some(third) = Beam::start(&rig.epmd.place(), &rig.daemon.cookie) else { return };
    let connect = || rig.beam.expect(&[(&format!("C(connect_node, ['{}']).", third.node), "true")]);
    connect();
    rig.beam.expect(&[
        (
            &format!("C(getopts, ['{}', {options}]).", third.node),
            "{ok,[{keepalive,false},{nodelay,false},{tos,0},{linger,{true,3}}]}",
        ),
        // What is set for new ones comes on top of both.
        ("C(setopts, [new, [{keepalive, true}, {tos, 8}]]).", "ok"),
        (&format!("rpc:call(N, erlang, disconnect_node, ['{}']).", third.node), "true"),
    ]);
    connect();
    rig.beam.expect(&[(
        &format!("C(getopts, ['{}', {options}]).", third.node),
        "{ok,[{keepalive,true},{nodelay,false},{tos,8},{linger,{true,3}}]}",
    )]);
    let _in = Raw::connect(&rig.daemon, "in@127.0.0.1");
    rig.beam.expect(&[(
        &format!("C(getopts, ['in@127.0.0.1', {options}])."),
        "{ok,[{keepalive,true},{nodelay,true},{tos,8},{linger,{false,0}}]}",
    )]);
}

#[test]
fn o6_every_option_is_settable_and_framing_is_not() {
    let Some(rig) = admin() else { return };
    for (option, value) in [
        ("nodelay", "false"),
        ("keepalive", "true"),
        ("priority", "3"),
        ("tos", "8"),
        ("linger", "{true,5}"),
        ("send_timeout", "1500"),
        ("send_timeout", "infinity"),
        ("send_timeout_close", "true"),
    ] {
        rig.beam.expect(&[
            (&format!("C(setopts, [node(), [{{{option}, {value}}}]])."), "ok"),
            (&format!("C(getopts, [node(), [{option}]])."), &format!("{{ok,[{{{option},{value}}}]}}")),
        ]);
    }
    for option in ["recbuf", "sndbuf"] {
        rig.beam.expect(&[(&format!("C(setopts, [node(), [{{{option}, 65536}}]])."), "ok")]);
        rig.beam.holds(&[&format!(
            "{{ok, [{{{option}, B{option}}}]}} = C(getopts, [node(), [{option}]]), B{option} >= 65536."
        )]);
    }
    for bad in ["{active, false}", "{packet, 2}", "{mode, list}", "{header, 1}", "{deliver, term}", "list", "binary"] {
        for target in ["node()", "new"] {
            rig.beam.expect(&[(&format!("C(setopts, [{target}, [{{keepalive, false}}, {bad}]])."), "{error,einval}")]);
        }
    }
    rig.beam.expect(&[
        ("C(getopts, [node(), [keepalive]]).", "{ok,[{keepalive,true}]}"),
        ("net_adm:ping(N).", "pong"),
        ("gen_server:call(RM, {get, [<<\"connection\">>]}).", "disconnected"),
    ]);
}

#[test]
fn o2_c2_a_connection_that_is_gone_has_no_options() {
    let Some(rig) = admin() else { return };
    let name = fresh_name();
    let mut raw = Raw::connect(&rig.daemon, &name);
    rig.beam.expect(&[
        (&format!("C(getopts, ['{name}', [nodelay]])."), "{ok,[{nodelay,true}]}"),
        (&format!("rpc:call(N, erlang, disconnect_node, ['{name}'])."), "true"),
    ]);
    assert!(raw.is_closed_within(SOON));
    rig.beam.expect(&[
        (&format!("C(getopts, ['{name}', [nodelay]])."), "{error,noconnection}"),
        (&format!("C(getopts, ['{name}', [active]])."), "{error,noconnection}"),
        (&format!("C(setopts, ['{name}', [{{nodelay, true}}]])."), "{error,noconnection}"),
        (&format!("C(setopts, ['{name}', [{{active, true}}]])."), "{error,noconnection}"),
    ]);
}
