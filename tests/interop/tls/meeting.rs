//! Nodes that get on with each other.

use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{Site, fresh};
use crate::support::{Beam, eventually};

/// What `erl` must be told to speak only this.
const VERSIONS: [&str; 3] =
    [", {versions, ['tlsv1.2']}", ", {versions, ['tlsv1.3']}", ", {versions, ['tlsv1.3', 'tlsv1.2']}"];

/// The daemon's node is `N` in this one, and connected.
fn talks(beam: &Beam) {
    beam.expect(&[
        ("nodes(hidden) =:= [N].", "true"),
        ("lists:member(node(), maps:get(nodes, gen_server:call(RM, status))).", "true"),
        ("gen_server:call(RM, {set_route, eth0, [{{192,168,1,50},24}], {192,168,1,1}}).", "ok"),
        ("gen_server:call(RM, {set_connection_status, eth0, internet}).", "ok"),
        ("gen_server:call(RM, {get, [<<\"connection\">>]}).", "internet"),
        ("rpc:call(N, erlang, node, []) =:= N.", "true"),
        ("[ok = gen_server:call(RM, {set_connection_status, eth0, S}) || _ <- lists:seq(1, 50), S <- [lan, internet]], ok.", "ok"),
    ]);
    // Many records, in both directions at once; and lengths around a record's.
    beam.holds(&[
        "Big = fun(Size) -> X = {big, rand:bytes(Size)}, gen_server:call(RM, X, 30000) =:= {error, {unknown_request, X}} end, true.",
        "[S || S <- [16000, 16383, 16384, 16385, 65535, 65536, 65537], not Big(S)] =:= [].",
        "Big(15 bsl 20).",
        "Me = self(), [spawn(fun() -> Me ! {big, Big(3 bsl 20)} end) || _ <- lists:seq(1, 4)], true.",
        "[receive {big, Same} -> Same after 30000 -> timeout end || _ <- lists:seq(1, 4)] =:= [true, true, true, true].",
    ]);
}

#[test]
fn erl_dials_us() {
    let Some(site) = Site::new() else { return };
    let files = site.authority.issue();
    let mut daemon = site.daemon(&files, &[]).start();
    let mut beams = Vec::new();
    for versions in VERSIONS {
        let Some(beam) = site.erl(&daemon.cookie, &site.authority.issue().optfile(versions), &[]) else { return };
        beam.know(&daemon);
        beam.expect(&[("net_adm:ping(N).", "pong"), ("monitor_node(N, true), M = monitor(process, RM), ok.", "ok")]);
        talks(&beam);
        beams.push(beam);
    }
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.exit_code(), Some(0));
    for beam in beams {
        beam.holds(&[
            "driver:await(5000) =:= {'DOWN', M, process, RM, shutdown}.",
            "driver:await(5000) =:= {nodedown, N}.",
        ]);
    }
    assert!(!daemon.log().contains("\"WARN\""), "nothing to warn of:\n{}", daemon.log());
}

#[test]
fn we_dial_erl() {
    let Some(site) = Site::new() else { return };
    let names = VERSIONS.map(|_| fresh());
    let flags: Vec<_> = names.iter().flat_map(|name| ["--connect", name]).collect();
    let files = site.authority.issue();
    let options = site.daemon(&files, &flags);
    let start = |(name, versions): (&String, &&str)| {
        site.named(options.the_cookie(), name, &site.authority.issue().optfile(versions), &[])
    };
    let mut beams: Vec<_> = names.iter().zip(&VERSIONS).map_while(start).collect();
    if beams.is_empty() {
        return;
    }
    let cookie = options.the_cookie().to_owned();
    let daemon = options.start();
    for beam in &beams {
        beam.know(&daemon);
        eventually("the daemon has dialled", || beam.ok("nodes(hidden) =:= [N].") == "true");
        talks(beam);
    }
    // It comes back, and so do we.
    beams[0].kill();
    let optfile = site.authority.issue().optfile(VERSIONS[1]);
    let again = site.named(&cookie, &names[0], &optfile, &[]).unwrap();
    again.know(&daemon);
    eventually("the daemon has dialled again", || again.ok("nodes(hidden) =:= [N].") == "true");
}

#[test]
fn keys_that_a_beam_wants_to_change_hold_nobody_up() {
    let Some(site) = Site::new() else { return };
    let name = fresh();
    let files = site.authority.issue();
    let options = site.daemon(&files, &["--connect", &name]);
    let renegotiates = files.optfile(", {versions, ['tlsv1.2']}, {renegotiate_at, 20}");
    let Some(dialled) = site.named(options.the_cookie(), &name, &renegotiates, &[]) else { return };
    let daemon = options.start();
    dialled.know(&daemon);
    eventually("the daemon has dialled", || dialled.ok("nodes(hidden) =:= [N].") == "true");
    let dials = site.erl(&daemon.cookie, &renegotiates, &[]).unwrap();
    dials.know(&daemon);
    // TLS 1.2: refused, and they connect anew, every 20 records here, and else every 268,435,456.
    for beam in [&dialled, &dials] {
        beam.holds(&[
            "net_adm:ping(N) =:= pong andalso monitor_node(N, true).",
            "Said = [catch gen_server:call(RM, {get, [<<\"connection\">>]}, 5000) || _ <- lists:seq(1, 60)], true.",
            "[S || S = {'EXIT', {timeout, _}} <- Said] =:= [].",
            "length([S || S <- Said, is_atom(S)]) > 20.",
            "driver:await(5000) =:= {nodedown, N}.",
        ]);
    }
    // TLS 1.3: as often as one likes.
    let updates = files.optfile(", {versions, ['tlsv1.3']}, {key_update_at, 65536}");
    let updates = site.erl(&daemon.cookie, &updates, &[]).unwrap();
    updates.know(&daemon);
    updates.expect(&[("net_adm:ping(N) =:= pong andalso monitor_node(N, true).", "true")]);
    talks(&updates);
    updates.expect(&[("driver:flush().", "[]")]);
}

#[test]
fn socket_options_are_those_of_the_socket_below() {
    let Some(site) = Site::new() else { return };
    let files = site.authority.issue();
    let daemon =
        site.daemon(&files, &["--admin", "all", "--dist-listen-options", "nodelay=true,keepalive=true"]).start();
    let Some(beam) = site.erl(&daemon.cookie, &files.optfile(""), &[]) else { return };
    beam.know(&daemon);
    beam.expect(&[
        ("C = fun(F, Args) -> rpc:call(N, net_kernel, F, Args, 5000) end, ok.", "ok"),
        ("C(getopts, [node(), [nodelay, keepalive]]).", "{ok,[{nodelay,true},{keepalive,true}]}"),
        ("C(setopts, [node(), [{nodelay, false}]]).", "ok"),
        ("C(getopts, [node(), [nodelay]]).", "{ok,[{nodelay,false}]}"),
        ("C(setopts, [node(), [{packet, 2}]]).", "{error,einval}"),
        ("net_adm:ping(N).", "pong"),
    ]);
}

#[test]
fn ticks_keep_an_idle_connection_and_end_one_whose_node_hangs() {
    let Some(site) = Site::new() else { return };
    let files = site.authority.issue();
    let daemon = site.daemon(&files, &["--net-ticktime", "4"]).start();
    let Some(beam) = site.erl(&daemon.cookie, &files.optfile(""), &["-kernel", "net_ticktime", "4"]) else { return };
    beam.know(&daemon);
    beam.expect(&[
        ("net_adm:ping(N).", "pong"),
        ("monitor_node(N, true), driver:await(7000).", "timeout"),
        ("nodes(hidden) =:= [N].", "true"),
    ]);
    let pid = Pid::from_raw(beam.pid());
    kill(pid, Signal::SIGSTOP).unwrap();
    daemon.await_log("net_tick_timeout");
    kill(pid, Signal::SIGCONT).unwrap();
    beam.holds(&["driver:await(5000) =:= {nodedown, N}."]);
}

#[test]
fn both_dial_at_the_same_moment() {
    let Some(site) = Site::new() else { return };
    let files = site.authority.issue();
    let name = fresh();
    let options = site.daemon(&files, &["--connect", &name]);
    let Some(beam) = site.named(options.the_cookie(), &name, &files.optfile(""), &[]) else { return };
    beam.ok("net_kernel:monitor_nodes(true, [{node_type, all}]).");
    let daemon = options.start();
    beam.know(&daemon);
    beam.holds(&["driver:await(15000) =:= {nodeup, N, [{node_type, hidden}]}."]);
    for _ in 0..5 {
        beam.holds(&[
            "disconnect_node(N).",
            "driver:await(5000) =:= {nodedown, N, [{node_type, hidden}]}.",
            "timer:sleep(140 + rand:uniform(120)), net_kernel:connect_node(N).",
            "driver:await(5000) =:= {nodeup, N, [{node_type, hidden}]}.",
            "nodes(hidden) =:= [N].",
        ]);
    }
    std::thread::sleep(Duration::from_millis(300));
    beam.expect(&[("driver:flush().", "[]")]);
}
