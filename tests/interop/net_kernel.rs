//! `net_kernel` over `rpc`; its subscribers are in `monitor_nodes.rs`. Each test bears the letter of the statement that it shows: allow (a),
//! connect_node (c), net_ticktime (g, s), socket options (o), start and stop (t), rights (r).

use std::time::{Duration, Instant};

use crate::support::raw::{FLAGS, Raw};
use crate::support::{Beam, Daemon, Epmd, Netns, Rig, eventually, serial};

const SOON: Duration = Duration::from_secs(5);

/// A rig whose daemon lets callers change it. In the BEAM, `C` calls a function of `net_kernel`.
fn admin() -> Option<Rig> {
    rig(&["--admin", "all"])
}

pub fn rig(flags: &[&str]) -> Option<Rig> {
    let rig = Rig::with(flags)?;
    rig.beam.ok("C = fun(F, Args) -> rpc:call(N, net_kernel, F, Args, 5000) end, ok.");
    rig.beam.ok(
        "Raised = fun(F, Args) -> {badrpc, {'EXIT', {R, [{net_kernel, F, Args, []} | _]}}} = C(F, Args), R end, ok.",
    );
    Some(rig)
}

pub fn fresh_name() -> String {
    format!("raw{}x{}@127.0.0.1", std::process::id(), serial())
}

/// Subscribes the BEAM's driver process by a call.
pub fn subscribe(beam: &Beam, options: &str) {
    beam.expect(&[(&format!("gen_server:call({{net_kernel, N}}, {{monitor_nodes, true, {options}}})."), "ok")]);
}

#[track_caller]
pub fn hears(beam: &Beam, message: &str) {
    beam.expect(&[("driver:await(5000).", message)]);
}

#[test]
fn a2_a7_a8_allow_answers_ok_or_error() {
    let Some(rig) = admin() else { return };
    rig.beam.expect(&[
        ("C(allow, [[]]).", "ok"),
        ("C(allow, [[node(), 'b@h']]).", "ok"),
        ("C(allow, [['b@h', 'c@h']]).", "ok"),
        ("C(allow, [[d@h, 1]]).", "error"),
        ("C(allow, [[d@h | e@h]]).", "error"),
        ("C(allow, [d@h]).", "error"),
        ("C(allow, [[notalist_but_atom]]).", "ok"),
        ("Raised(allow, []).", "undef"),
    ]);
}

#[test]
fn a3_a5_a_node_that_is_not_allowed_gets_no_challenge_and_no_nodeup() {
    let Some(rig) = admin() else { return };
    let mut live = Raw::connect(&rig.daemon, "live@127.0.0.1");
    subscribe(&rig.beam, "[{node_type, all}]");
    rig.beam.expect(&[("C(allow, [['a@127.0.0.1']]).", "ok")]);
    let mut stranger = Raw::dial(&rig.daemon, "stranger@127.0.0.1");
    assert_eq!(stranger.send_name(FLAGS), "not_allowed");
    assert!(stranger.receive_message().is_err(), "no challenge");
    rig.beam.expect(&[("driver:await(300).", "timeout")]);
    live.send(&live.status_call());
    assert!(!live.receive_frame().unwrap().is_empty(), "connections that are up stay");
    let _allowed = Raw::connect(&rig.daemon, "a@127.0.0.1");
    hears(&rig.beam, "{nodeup,'a@127.0.0.1',[{node_type,hidden}]}");
}

#[test]
fn a6_hosts_and_name_parts() {
    let Some(rig) = admin() else { return };
    rig.beam.expect(&[("C(allow, [['127.0.0.9', 'a@']]).", "ok")]);
    for (name, status) in [("x@127.0.0.9", "ok"), ("a@127.0.0.1", "ok"), ("b@127.0.0.1", "not_allowed")] {
        assert_eq!(Raw::dial(&rig.daemon, name).send_name(FLAGS), status, "{name}");
    }
}

#[test]
fn c3_c4_connect_node_over_rpc_dials_for_those_who_may() {
    let Some(rig) = admin() else { return };
    let Some(other) = Beam::start(&rig.epmd.place(), &rig.daemon.cookie) else { return };
    let third = other.ok("node().");
    rig.beam.expect(&[
        (&format!("C(connect_node, [{third}])."), "true"),
        (&format!("lists:member({third}, rpc:call(N, erlang, nodes, [connected]))."), "true"),
        ("C(connect_node, ['nobody@127.0.0.1']).", "false"),
    ]);
    other.expect(&[(&format!("nodes(hidden) =:= ['{}'].", rig.daemon.node), "true")]);
}

#[test]
fn c1_c2_c5_connect_node_that_needs_no_socket() {
    let Some(rig) = rig(&[]) else { return };
    let name = fresh_name();
    let _raw = Raw::connect(&rig.daemon, &name);
    rig.beam.expect(&[
        ("C(connect_node, [N]).", "true"),
        ("C(connect_node, [node()]).", "true"),
        (&format!("C(connect_node, ['{name}'])."), "true"),
        ("[C(connect_node, [A]) || A <- [foo, '@', 'a@', '@b', '']].", "[false,false,false,false,false]"),
        ("C(connect_node, ['third@127.0.0.1']).", "{error,not_allowed}"),
        ("Raised(connect_node, [\"a@b\"]).", "function_clause"),
    ]);
}

#[test]
fn g1_s1_s7_net_ticktime_at_rest() {
    let Some(rig) = admin() else { return };
    rig.beam.expect(&[
        ("C(get_net_ticktime, []).", "60"),
        ("C(set_net_ticktime, [60]).", "unchanged"),
        (
            "[Raised(set_net_ticktime, [T]) || T <- [0, -1, a, 1.0]].",
            "[function_clause,function_clause,function_clause,function_clause]",
        ),
        (
            "[Raised(set_net_ticktime, [8, T]) || T <- [-1, a, 1.0]].",
            "[function_clause,function_clause,function_clause]",
        ),
        ("C(get_net_ticktime, []).", "60"),
    ]);
}

#[test]
fn g2_s2_s3_s8_a_change_is_told_while_it_runs() {
    let Some(rig) = admin() else { return };
    rig.beam.expect(&[
        ("C(set_net_ticktime, [8]).", "change_initiated"),
        ("C(get_net_ticktime, []).", "{ongoing_change_to,8}"),
        (
            "[C(set_net_ticktime, [T]) || T <- [8, 60, 120]].",
            "[{ongoing_change_to,8},{ongoing_change_to,8},{ongoing_change_to,8}]",
        ),
    ]);
}

/// A daemon that callers may change, and a BEAM whose net_ticktime is 4 s as well.
fn ticking() -> Option<(Beam, Daemon, Netns, Epmd)> {
    let epmd = Epmd::start()?;
    let net = Netns::two_interfaces()?;
    let daemon = Daemon::options(&epmd.place()).netns(&net).flags(&["--admin", "all"]).start();
    let name = format!("t{}x{}@127.0.0.1", std::process::id(), serial());
    let flags = ["-kernel", "net_ticktime", "4"];
    let beam = Beam::named(&epmd.place(), &daemon.cookie, "-name", &name, &flags)?;
    beam.know(&daemon);
    beam.ok("C = fun(F, Args) -> rpc:call(N, net_kernel, F, Args, 5000) end, ok.");
    Some((beam, daemon, net, epmd))
}

/// Reads until the daemon closes: when ticks came, and when it closed.
fn silence(mut raw: Raw, since: Instant) -> (Vec<Duration>, Duration) {
    let mut ticks = Vec::new();
    while let Ok(frame) = raw.receive_frame() {
        assert!(frame.is_empty());
        ticks.push(since.elapsed());
    }
    (ticks, since.elapsed())
}

#[test]
fn s5_s6_s9_s10_from_60_to_4_within_a_second() {
    let Some((beam, daemon, _net, _epmd)) = ticking() else { return };
    beam.expect(&[("net_adm:ping(N).", "pong")]);
    let old = Raw::connect(&daemon, "old@127.0.0.1");
    subscribe(&beam, "[{node_type, all}, nodedown_reason]");
    let since = Instant::now();
    beam.expect(&[("C(set_net_ticktime, [4, 1]).", "change_initiated")]);
    let old = std::thread::spawn(move || silence(old, since));
    beam.expect(&[("timer:sleep(1200), C(get_net_ticktime, []).", "4")]);
    let new = Raw::connect(&daemon, "new@127.0.0.1");
    let (start, new) = (Instant::now(), std::thread::spawn(move || silence(new, Instant::now())));
    let (ticks, closed) = old.join().unwrap();
    assert!((4.0..6.5).contains(&closed.as_secs_f64()), "one second of change, and 3 to 5 of silence: {closed:?}");
    assert!(ticks.len() >= 4 && ticks[0] < Duration::from_millis(500), "{ticks:?}");
    assert!(ticks.windows(2).all(|pair| pair[1] - pair[0] < Duration::from_millis(1500)), "{ticks:?}");
    let (ticks, closed) = new.join().unwrap();
    assert!((3.0..5.5).contains(&closed.as_secs_f64()) && ticks.len() >= 2, "{ticks:?} {closed:?}");
    assert!(start.elapsed() < Duration::from_secs(8));
    let down =
        |node: &str| format!("{{nodedown,'{node}',[{{nodedown_reason,net_tick_timeout}},{{node_type,hidden}}]}}");
    hears(&beam, "{nodeup,'new@127.0.0.1',[{node_type,hidden}]}");
    hears(&beam, &down("old@127.0.0.1"));
    hears(&beam, &down("new@127.0.0.1"));
    beam.expect(&[("nodes(hidden) =:= [N].", "true")]);
}

#[test]
fn o1_o2_o3_o7_getopts() {
    let Some(rig) = rig(&[]) else { return };
    rig.beam.expect(&[
        ("C(getopts, [node(), []]).", "{ok,[]}"),
        ("C(getopts, [node(), [keepalive, nodelay]]).", "{ok,[{keepalive,false},{nodelay,true}]}"),
        ("{ok, L} = C(getopts, [node(), [nodelay, keepalive, recbuf, sndbuf, priority, tos, linger, send_timeout]]), length(L).", "8"),
        ("[C(getopts, [A, [nodelay]]) || A <- ['nobody@h', N, new]].", "[{error,noconnection},{error,noconnection},{error,noconnection}]"),
        ("[C(getopts, [node(), [A]]) || A <- [foo, {nodelay, true}, 1, active, packet]] -- lists:duplicate(5, {error, einval}).", "[]"),
        ("[Raised(getopts, Args) || Args <- [[\"a\", []], [node(), nodelay]]].", "[function_clause,function_clause]"),
    ]);
}

#[test]
fn o3_a_bad_option_among_good_ones_changes_nothing() {
    let Some(rig) = admin() else { return };
    for target in ["node()", "new"] {
        for bad in ["{foo, 1}", "{nodelay, 1}", "{recbuf, -1}", "binary", "{priority, 7}"] {
            let call = format!("C(setopts, [{target}, [{{nodelay, false}}, {bad}]]).");
            // Root may set any priority.
            let answer = rig.beam.ok(&call);
            assert!(answer == "{error,einval}" || (bad == "{priority, 7}" && answer == "ok"), "{call}: {answer}");
            if answer == "ok" {
                rig.beam.expect(&[(&format!("C(setopts, [{target}, [{{nodelay, true}}]])."), "ok")]);
            }
        }
    }
    let name = fresh_name();
    let _raw = Raw::connect(&rig.daemon, &name);
    for node in ["node()".to_owned(), format!("'{name}'")] {
        rig.beam.expect(&[(&format!("C(getopts, [{node}, [nodelay]])."), "{ok,[{nodelay,true}]}")]);
    }
}

#[test]
fn o4_setopts_of_one_connection() {
    let Some(rig) = admin() else { return };
    let name = fresh_name();
    let _raw = Raw::connect(&rig.daemon, &name);
    rig.beam.expect(&[
        (
            "C(setopts, [node(), [{keepalive, true}, {nodelay, false}, {linger, {true, 2}}, {send_timeout, 9000}]]).",
            "ok",
        ),
        (
            "C(getopts, [node(), [keepalive, nodelay, linger, send_timeout]]).",
            "{ok,[{keepalive,true},{nodelay,false},{linger,{true,2}},{send_timeout,9000}]}",
        ),
        (
            &format!("C(getopts, ['{name}', [keepalive, nodelay, send_timeout]])."),
            "{ok,[{keepalive,false},{nodelay,true},{send_timeout,infinity}]}",
        ),
        ("C(setopts, ['nobody@h', [{nodelay, true}]]).", "{error,noconnection}"),
        ("Raised(setopts, [1, []]).", "function_clause"),
    ]);
}

#[test]
fn o5_setopts_new_is_for_later_connections() {
    let Some(rig) = admin() else { return };
    rig.beam.expect(&[("net_adm:ping(N).", "pong")]);
    let mut half = Raw::dial(&rig.daemon, "half@127.0.0.1");
    assert_eq!(half.send_name(FLAGS), "ok");
    rig.beam.expect(&[("C(setopts, [new, [{keepalive, true}, {tos, 16}]]).", "ok")]);
    assert!(half.prove(&rig.daemon.cookie).unwrap());
    let _later = Raw::connect(&rig.daemon, "later@127.0.0.1");
    let options = "[keepalive, nodelay, tos]";
    rig.beam.expect(&[
        (&format!("C(getopts, ['later@127.0.0.1', {options}])."), "{ok,[{keepalive,true},{nodelay,true},{tos,16}]}"),
        (&format!("C(getopts, ['half@127.0.0.1', {options}])."), "{ok,[{keepalive,true},{nodelay,true},{tos,16}]}"),
        (&format!("C(getopts, [node(), {options}])."), "{ok,[{keepalive,false},{nodelay,true},{tos,0}]}"),
    ]);
}

#[test]
fn o4_handles_of_closed_connections_are_closed() {
    let Some(rig) = admin() else { return };
    rig.beam.expect(&[("net_adm:ping(N).", "pong")]);
    let files = rig.daemon.open_files();
    for _ in 0..20 {
        let _raw = Raw::connect(&rig.daemon, &fresh_name());
    }
    eventually("no socket is left behind", || rig.daemon.open_files() <= files);
}

#[test]
fn t1_t3_start_of_a_node_that_runs() {
    let Some(rig) = admin() else { return };
    rig.beam.holds(&[
        "[{error, {already_started, P1}}] = lists:usort([C(start, [A]) || A <- [[a], [a, shortnames], ['a@h', longnames, 1000]]]), node(P1) =:= N.",
        "{error, {already_started, P2}} = C(start, [a, #{hidden => true}]), P2 =:= P1.",
        "[function_clause] =:= lists:usort([Raised(start, [A]) || A <- [[], [1], [a, b], [a, shortnames, 0], a]]).",
        "Raised(start, [a, #{bad => 1}]) =:= {invalid_option, bad, 1}.",
    ]);
}

#[test]
fn t4_stop_is_never_allowed() {
    let Some(rig) = admin() else { return };
    rig.beam.expect(&[("C(stop, []).", "{error,not_allowed}"), ("net_adm:ping(N).", "pong")]);
}

#[test]
fn r1_changes_need_admin_all() {
    let Some(mut rig) = rig(&[]) else { return };
    for call in [
        "allow, [[]]",
        "set_net_ticktime, [8]",
        "set_net_ticktime, [8, 0]",
        "setopts, [node(), []]",
        "setopts, [new, []]",
        "start, [[a]]",
        "connect_node, ['third@127.0.0.1']",
        "stop, []",
    ] {
        rig.beam.expect(&[(&format!("C({call})."), "{error,not_allowed}")]);
    }
    rig.beam.expect(&[
        (
            "[rpc:call(N, erlang, halt, A) || A <- [[], [1], [1, []]]].",
            "[{error,not_allowed},{error,not_allowed},{error,not_allowed}]",
        ),
        ("rpc:call(N, erlang, disconnect_node, ['third@127.0.0.1']).", "{error,not_allowed}"),
        ("erpc:call(N, net_kernel, allow, [[]]).", "{error,not_allowed}"),
        ("rpc:block_call(N, net_kernel, allow, [[]]).", "{error,not_allowed}"),
        ("C(get_net_ticktime, []).", "60"),
    ]);
    assert!(rig.daemon.is_running());
}

#[test]
fn r1_halt_with_admin_all_ends_the_daemon_in_order() {
    for (args, status) in [("[]", 0), ("[3]", 3), ("[7, [{flush, false}]]", 7), ("[\"slogan\"]", 1)] {
        let Some(mut rig) = admin() else { return };
        rig.beam.expect(&[
            ("element(1, element(2, rpc:call(N, erlang, halt, [foo]))).", "'EXIT'"),
            (&format!("M = monitor(process, RM), rpc:call(N, erlang, halt, {args})."), "{badrpc,nodedown}"),
            ("driver:await(5000) =:= {'DOWN', M, process, RM, shutdown}.", "true"),
        ]);
        assert_eq!(rig.daemon.exit_code(), Some(status), "{args}");
    }
}

#[test]
fn r1_a_node_disconnects_itself_and_with_admin_all_another() {
    let Some(rig) = admin() else { return };
    let name = fresh_name();
    let mut raw = Raw::connect(&rig.daemon, &name);
    rig.beam.expect(&[
        ("erlang:monitor_node(N, true).", "true"),
        (&format!("rpc:call(N, erlang, disconnect_node, ['{name}'])."), "true"),
        (&format!("rpc:call(N, erlang, disconnect_node, ['{name}'])."), "false"),
        ("rpc:call(N, erlang, disconnect_node, [node()]).", "{badrpc,nodedown}"),
        ("driver:await(5000) =:= {nodedown, N}.", "true"),
        ("net_adm:ping(N).", "pong"),
    ]);
    assert!(raw.is_closed_within(SOON));
}

#[test]
fn functions_of_erlang_and_net_adm() {
    let Some(rig) = rig(&[]) else { return };
    rig.beam.holds(&[
        "E = fun(F, A) -> rpc:call(N, erlang, F, A) end, E(is_alive, []).",
        "Net = E(whereis, [net_kernel]), node(Net) =:= N andalso node(E(whereis, [route_manager])) =:= N.",
        "E(whereis, [nobody]) =:= undefined.",
        "[net_kernel, rex, route_manager] -- E(registered, []) =:= [].",
        "E(is_process_alive, [Net]) andalso E(is_process_alive, [E(whereis, [route_manager])]).",
        "is_list(E(system_info, [otp_release])) andalso list_to_integer(E(system_info, [otp_release])) >= 25.",
        "[badarg] =:= lists:usort([element(1, element(2, element(2, E(F, [A])))) || {F, A} <- [{system_info, foo}, {whereis, \"a\"}, {is_process_alive, a}, {is_process_alive, self()}]]).",
        "[pong, pong, pang] =:= [rpc:call(N, net_adm, ping, [A]) || A <- [N, node(), 'nobody@127.0.0.1']].",
        "{badrpc, {'EXIT', {function_clause, [{net_adm, ping, [\"a\"], []}]}}} =:= rpc:call(N, net_adm, ping, [\"a\"]).",
    ]);
}
