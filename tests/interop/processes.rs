//! Monitors, system messages, and how the daemon ends.

use nix::sys::signal::Signal;

use crate::support::{Rig, eventually};

#[test]
fn monitor_gets_noproc_for_a_name_that_nobody_has() {
    let Some(rig) = Rig::start() else { return };
    rig.beam.holds(&[
        "M = monitor(process, {nobody, N}), {'DOWN', M, process, {nobody, N}, noproc} =:= driver:await(5000).",
        "{'EXIT', {noproc, _}} = (catch gen_server:call({nobody, N}, hello)), driver:flush() =:= [].",
    ]);
}

#[test]
fn the_names_of_a_node_are_alive() {
    let Some(rig) = Rig::start() else { return };
    for name in ["route_manager", "'Elixir.VintageNet.RouteManager'", "net_kernel", "rex"] {
        rig.beam.expect(&[(
            &format!("M{} = monitor(process, {{{name}, N}}), driver:await(200).", crate::support::serial()),
            "timeout",
        )]);
    }
    rig.beam.holds(&["demonitor(monitor(process, RM))."]);
}

#[test]
fn sigterm_tells_monitors_and_exits_0() {
    ends_well(Signal::SIGTERM);
}

#[test]
fn sigint_does_the_same() {
    ends_well(Signal::SIGINT);
}

fn ends_well(signal: Signal) {
    let Some(mut rig) = Rig::start() else { return };
    rig.beam.expect(&[
        ("at_node:set_route(N, eth0, [{{192,168,1,50},24}], {192,168,1,1}).", "ok"),
        // A monitor has no answer of its own.
        ("M = monitor(process, RM), #{} = gen_server:call(RM, status), erlang:monitor_node(N, true).", "true"),
    ]);
    rig.daemon.signal(signal);
    rig.beam.holds(&[
        "Got = [driver:await(5000) || _ <- [1, 2]], lists:member({nodedown, N}, Got) orelse Got.",
        "[R1] = [R || {'DOWN', M1, process, {route_manager, _}, R} <- Got, M1 =:= M], lists:member(R1, [shutdown, normal]) orelse Got.",
        "lists:last(Got) =:= {nodedown, N} orelse Got.",
    ]);
    assert_eq!(rig.daemon.exit_code(), Some(0));
    let short = rig.daemon.node.split('@').next().unwrap().to_owned();
    eventually("it is out of epmd", || !rig.epmd.place().names().contains(&short));
    assert!(rig.net.ip(&["route"]).contains("default via 192.168.1.1 dev eth0 proto 110"), "routes outlive the daemon");
}

#[test]
fn kill_9_gives_noconnection_and_leaves_the_routes() {
    let Some(mut rig) = Rig::start() else { return };
    rig.beam.expect(&[
        ("at_node:set_route(N, eth0, [{{192,168,1,50},24}], {192,168,1,1}).", "ok"),
        ("M = monitor(process, RM), erlang:monitor_node(N, true).", "true"),
    ]);
    rig.daemon.kill();
    rig.beam.holds(&[
        "Got = [driver:await(5000) || _ <- [1, 2]], lists:member({nodedown, N}, Got) orelse Got.",
        "lists:member({'DOWN', M, process, RM, noconnection}, Got) orelse Got.",
    ]);
    assert!(rig.net.ip(&["route"]).contains("default via 192.168.1.1 dev eth0 proto 110"));
}

#[test]
fn calls_that_are_under_way_at_sigterm_are_answered_or_fail_at_once() {
    let Some(mut rig) = Rig::start() else { return };
    rig.beam.expect(&[
        ("Self = self(), net_adm:ping(N).", "pong"),
        ("[spawn(fun() -> Self ! {r, (catch [ok = gen_server:call(RM, refresh_route_metrics) || _ <- lists:seq(1, 1000000)])} end) \
           || _ <- lists:seq(1, 10)], started.", "started"),
    ]);
    rig.daemon.signal(Signal::SIGTERM);
    rig.beam.holds(&[
        "Ends = [driver:await(10000) || _ <- lists:seq(1, 10)], [E || E <- Ends, not is_tuple(E)] =:= [].",
        "[E || {r, {'EXIT', {{badmatch, _}, _}}} = E <- Ends] =:= [].",
    ]);
    assert_eq!(rig.daemon.exit_code(), Some(0));
}

#[test]
fn stop_is_not_allowed_by_default() {
    let Some(mut rig) = Rig::start() else { return };
    rig.beam.expect(&[
        ("at_node:stop(N).", "{error,not_allowed}"),
        ("rpc:call(N, route_manager, stop, []).", "{error,not_allowed}"),
        ("element(1, (catch gen_server:stop(RM, normal, 2000))).", "'EXIT'"),
        ("net_adm:ping(N).", "pong"),
        ("driver:flush().", "[]"),
        ("gen_server:call(RM, {get, [<<\"connection\">>]}).", "disconnected"),
    ]);
    assert!(rig.daemon.is_running());
}

#[test]
fn stop_with_admin_all_is_ok_then_down_normal_then_exit_0() {
    let Some(mut rig) = Rig::with(&["--admin", "all"]) else { return };
    rig.beam.expect(&[
        ("M = monitor(process, RM), at_node:stop(N).", "ok"),
        ("driver:await(5000) =:= {'DOWN', M, process, RM, normal}.", "true"),
    ]);
    assert_eq!(rig.daemon.exit_code(), Some(0));
}

#[test]
fn kill_with_admin_all_ends_the_daemon_and_without_does_nothing() {
    let kill = "Pid = rpc:call(N, erlang, whereis, [route_manager]), M = monitor(process, Pid), exit(Pid, kill).";
    let Some(mut rig) = Rig::with(&["--admin", "all"]) else { return };
    rig.beam.expect(&[(kill, "true"), ("driver:await(5000) =:= {'DOWN', M, process, Pid, killed}.", "true")]);
    assert_eq!(rig.daemon.exit_code(), Some(0));
    let Some(rig) = Rig::start() else { return };
    rig.beam.expect(&[
        (kill, "true"),
        ("gen_server:call(RM, {get, [<<\"connection\">>]}).", "disconnected"),
        ("driver:flush().", "[]"),
    ]);
}

#[test]
fn gen_server_stop_with_admin_all() {
    let Some(mut rig) = Rig::with(&["--admin", "all"]) else { return };
    rig.beam.expect(&[
        ("M = monitor(process, RM), gen_server:stop(RM).", "ok"),
        ("driver:await(5000) =:= {'DOWN', M, process, RM, normal}.", "true"),
    ]);
    assert_eq!(rig.daemon.exit_code(), Some(0));
}

#[test]
fn sys_get_state_and_get_status_answer() {
    let Some(rig) = Rig::start() else { return };
    rig.beam.holds(&[
        "_ = sys:get_state(RM, 2000), true.",
        "{status, _, {module, gen_server}, _} = sys:get_status(RM, 2000), true.",
        "gen_server:call(RM, {get, [<<\"connection\">>]}) =:= disconnected.",
    ]);
}

#[test]
fn a_caller_that_dies_while_monitoring_is_forgotten() {
    let Some(rig) = Rig::start() else { return };
    rig.beam.expect(&[
        ("[spawn(fun() -> monitor(process, RM), exit(boom) end) || _ <- lists:seq(1, 50)], ok.", "ok"),
        ("gen_server:call(RM, {get, [<<\"connection\">>]}).", "disconnected"),
        ("net_adm:ping(N).", "pong"),
    ]);
}
