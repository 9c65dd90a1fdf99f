//! Subscribers to nodeup and nodedown of the nodes that the daemon sees. Each test bears the letter of the statement that
//! it shows.

use std::time::{Duration, Instant};

use crate::net_kernel::{fresh_name, hears, rig, subscribe};
use crate::support::Beam;
use crate::support::raw::{FLAGS, Raw};

const SOON: Duration = Duration::from_secs(5);

#[test]
fn m2_m3_m10_info_and_reasons() {
    let Some(rig) = rig(&[]) else { return };
    let name = fresh_name();
    subscribe(&rig.beam, "[nodedown_reason, {node_type, hidden}]");
    let up = format!("{{nodeup,'{name}',[{{node_type,hidden}}]}}");
    let down = |reason: &str| format!("{{nodedown,'{name}',[{{nodedown_reason,{reason}}},{{node_type,hidden}}]}}");
    drop(Raw::connect(&rig.daemon, &name));
    hears(&rig.beam, &up);
    hears(&rig.beam, &down("connection_closed"));
    let mut garbage = Raw::connect(&rig.daemon, &name);
    garbage.send(b"GET / HTTP/1.1\r\n\r\n");
    hears(&rig.beam, &up);
    hears(&rig.beam, &down("killed"));
    let _old = Raw::connect(&rig.daemon, &name);
    let mut new = Raw::dial(&rig.daemon, &name);
    assert_eq!(new.send_name(FLAGS), "alive");
    new.send_message(b"strue");
    assert!(new.prove(&rig.daemon.cookie).unwrap());
    hears(&rig.beam, &up);
    hears(&rig.beam, &down("wait_pending"));
    hears(&rig.beam, &up);
    rig.beam.expect(&[("driver:flush().", "[]")]);
}

#[test]
fn m2_a_map_asks_for_maps_with_connection_ids() {
    let Some(rig) = rig(&[]) else { return };
    subscribe(&rig.beam, "#{connection_id => true, node_type => all}");
    drop(Raw::connect(&rig.daemon, "m@127.0.0.1"));
    rig.beam.holds(&[
        "{nodeup, 'm@127.0.0.1', #{connection_id := Id, node_type := hidden}} = driver:await(5000), is_integer(Id).",
        "{nodedown, 'm@127.0.0.1', Down} = driver:await(5000), Down =:= #{connection_id => Id, node_type => hidden}.",
    ]);
}

#[test]
fn m5_a_subscription_ends_with_its_process_and_rpc_leaves_none() {
    let Some(rig) = rig(&[]) else { return };
    rig.beam.expect(&[
        ("C(monitor_nodes, [true, [{node_type, all}]]).", "ok"),
        ("C(monitor_nodes, [true]).", "ok"),
        ("C(monitor_nodes, [false]).", "ok"),
        ("Self = self(), {Sub, M} = spawn_monitor(fun() -> ok = gen_server:call({net_kernel, N}, {monitor_nodes, true, [{node_type, all}]}), \
           Self ! ready, Loop = fun Loop() -> receive stop -> ok; Msg -> Self ! {sub, Msg}, Loop() end end, Loop() end), driver:await(5000).", "ready"),
    ]);
    rig.beam.holds(&["[P] = element(2, process_info(Sub, monitored_by)) -- [Self], node(P) =:= N."]);
    drop(Raw::connect(&rig.daemon, "m@127.0.0.1"));
    hears(&rig.beam, "{sub,{nodeup,'m@127.0.0.1',[{node_type,hidden}]}}");
    hears(&rig.beam, "{sub,{nodedown,'m@127.0.0.1',[{node_type,hidden}]}}");
    rig.beam.holds(&["Sub ! stop, {'DOWN', M, process, Sub, normal} = driver:await(5000), net_adm:ping(N) =:= pong."]);
    drop(Raw::connect(&rig.daemon, "m@127.0.0.1"));
    rig.beam.expect(&[("driver:await(200).", "timeout")]);
}

#[test]
fn m5_false_ends_our_monitor_on_the_subscriber() {
    let Some(rig) = rig(&[]) else { return };
    let of_driver = "[P || P <- element(2, process_info(self(), monitored_by)), node(P) =:= N] =/= [].";
    subscribe(&rig.beam, "[nodedown_reason]");
    rig.beam.expect(&[
        (of_driver, "true"),
        ("gen_server:call({net_kernel, N}, {monitor_nodes, false, [nodedown_reason]}).", "ok"),
        (&format!("timer:sleep(50), {of_driver}"), "false"),
    ]);
}

#[test]
fn m6_bad_flags_and_options() {
    let Some(rig) = rig(&[]) else { return };
    rig.beam.expect(&[
        ("C(monitor_nodes, [foo]).", "error"),
        ("C(monitor_nodes, [true, foo]).", "{error,{invalid_options,foo}}"),
        // Quoted: `maybe` is a word of the language since OTP 27.
        ("gen_server:call({net_kernel, N}, {monitor_nodes, 'maybe'}).", "error"),
    ]);
    for options in
        ["[foo]", "[{node_type, foo}]", "[{node_type, all}, {node_type, hidden}]", "#{node_type => 1}", "#{a => 1}"]
    {
        let theirs = format!("net_kernel:monitor_nodes(true, {options})");
        rig.beam.holds(&[&format!("C(monitor_nodes, [true, {options}]) =:= {theirs}.")]);
    }
}

#[test]
fn m11_a_failed_setup_is_not_told() {
    let Some(rig) = rig(&[]) else { return };
    subscribe(&rig.beam, "[{node_type, all}]");
    let mut wrong = Raw::dial(&rig.daemon, "wrong@127.0.0.1");
    assert_eq!(wrong.send_name(FLAGS), "ok");
    assert!(wrong.prove("wrong").is_err());
    assert!(wrong.is_closed_within(SOON));
    rig.beam.expect(&[("driver:await(200).", "timeout")]);
}

#[test]
fn m12_a_subscriber_that_does_not_read_delays_nobody() {
    let Some(rig) = rig(&[]) else { return };
    let Some(mut other) = Beam::start(&rig.epmd.place(), &rig.daemon.cookie) else { return };
    other.know(&rig.daemon);
    subscribe(&other, "[{node_type, all}]");
    let pid: i32 = other.ok("list_to_integer(os:getpid()).").parse().unwrap();
    let signal = |signal| nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal).unwrap();
    signal(nix::sys::signal::Signal::SIGSTOP);
    let start = Instant::now();
    for n in 0..50 {
        drop(Raw::connect(&rig.daemon, &format!("m{n}@127.0.0.1")));
    }
    rig.beam.expect(&[("gen_server:call(RM, {get, [<<\"connection\">>]}).", "disconnected")]);
    assert!(start.elapsed() < SOON);
    signal(nix::sys::signal::Signal::SIGCONT);
    other.holds(&[
        "Heard = [driver:await(5000) || _ <- lists:seq(1, 100)], Nodes = lists:usort([element(2, H) || H <- Heard]), length(Nodes) =:= 50.",
        "[Node || Node <- Nodes, [element(1, H) || H <- Heard, element(2, H) =:= Node] =/= [nodeup, nodedown]] =:= [].",
    ]);
    other.kill();
}

#[test]
fn m1_gen_server_call_from_elixir() {
    let Some(rig) = rig(&[]) else { return };
    let Some(elixir) = Beam::elixir(&rig.epmd.place(), &rig.daemon.cookie) else { return };
    let node = &rig.daemon.node;
    elixir.expect(&[(
        &format!("GenServer.call({{:net_kernel, :\"{node}\"}}, {{:monitor_nodes, true, [node_type: :all]}})"),
        ":ok",
    )]);
    drop(Raw::connect(&rig.daemon, "m@127.0.0.1"));
    elixir.expect(&[(
        "receive do m -> m after 5000 -> :timeout end",
        "{:nodeup, :\"m@127.0.0.1\", [node_type: :hidden]}",
    )]);
}
