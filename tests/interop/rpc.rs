//! `rpc` and `erpc`.

use crate::support::Rig;

#[test]
fn rpc_call_of_route_manager_under_both_names() {
    let Some(rig) = Rig::start() else { return };
    for module in ["route_manager", "'Elixir.VintageNet.RouteManager'"] {
        rig.beam.expect(&[
            (
                &format!(
                    "rpc:call(N, {module}, set_route, [<<\"eth0\">>, [{{{{192,168,1,50}},24}}], {{192,168,1,1}}])."
                ),
                "ok",
            ),
            (&format!("rpc:call(N, {module}, set_connection_status, [<<\"eth0\">>, internet])."), "ok"),
            (&format!("rpc:call(N, {module}, set_connection_status, [<<\"eth0\">>, lan, <<\"why\">>])."), "ok"),
            (&format!("rpc:call(N, {module}, refresh_route_metrics, [])."), "ok"),
            (&format!("rpc:call(N, {module}, get, [[<<\"connection\">>]])."), "lan"),
            (&format!("maps:get(connection, rpc:call(N, {module}, status, []))."), "lan"),
            (&format!("rpc:call(N, {module}, set_metric, [<<\"eth0\">>, default])."), "ok"),
            (&format!("rpc:call(N, {module}, clear_route, [<<\"eth0\">>])."), "ok"),
        ]);
    }
}

#[test]
fn erpc_call_cast_and_send_request() {
    let Some(rig) = Rig::start() else { return };
    rig.beam.expect(&[
        ("erpc:call(N, route_manager, set_connection_status, [<<\"eth0\">>, lan]).", "ok"),
        ("erpc:call(N, route_manager, get, [[<<\"connection\">>]]).", "lan"),
        ("erpc:receive_response(erpc:send_request(N, route_manager, get, [[<<\"connection\">>]])).", "lan"),
        ("rpc:yield(rpc:async_call(N, route_manager, get, [[<<\"connection\">>]])).", "lan"),
        ("rpc:block_call(N, route_manager, get, [[<<\"connection\">>]]).", "lan"),
        ("erpc:cast(N, route_manager, set_connection_status, [<<\"eth0\">>, internet]).", "ok"),
        ("rpc:cast(N, route_manager, set_connection_status, [<<\"wlan0\">>, internet]).", "true"),
        ("erpc:call(N, route_manager, get, [[<<\"available_interfaces\">>]]).", "[]"),
        ("erpc:call(N, route_manager, get, [[<<\"interface\">>, <<\"wlan0\">>, <<\"connection\">>]]).", "internet"),
        ("driver:flush().", "[]"),
    ]);
}

#[test]
fn multicall_by_rpc_and_erpc() {
    let Some(rig) = Rig::start() else { return };
    rig.beam.expect(&[
        ("rpc:multicall([N], route_manager, get, [[<<\"connection\">>]]).", "{[disconnected],[]}"),
        (
            "erpc:multicall([N, N], route_manager, get, [[<<\"connection\">>]]).",
            "[{ok,disconnected},{ok,disconnected}]",
        ),
        ("rpc:multicall([N, node()], erlang, node, []) =:= {[N, node()], []}.", "true"),
        ("erpc:multicast([N], route_manager, set_connection_status, [<<\"eth0\">>, lan]).", "ok"),
    ]);
}

#[test]
fn functions_of_the_node_itself() {
    let Some(rig) = Rig::start() else { return };
    rig.beam.holds(&[
        "rpc:call(N, net_kernel, get_net_ticktime, []) =:= 60.",
        "rpc:call(N, erlang, node, []) =:= N.",
        "rpc:call(N, erlang, nodes, []) =:= [].",
        "rpc:call(N, erlang, nodes, [hidden]) =:= [node()].",
        "rpc:call(N, erlang, nodes, [connected]) =:= [node()].",
        "rpc:call(N, erlang, nodes, [visible]) =:= [].",
        "rpc:call(N, erlang, nodes, [this]) =:= [N].",
        "rpc:call(N, erlang, nodes, [known]) =/= [].",
        "rpc:call(N, erlang, nodes, [[this, hidden]]) -- [N, node()] =:= [].",
        "erpc:call(N, erlang, node, []) =:= N.",
        "erpc:call(N, net_kernel, get_net_ticktime, []) =:= 60.",
    ]);
}

#[test]
fn anything_else_is_undef_at_once() {
    let Some(rig) = Rig::start() else { return };
    for (m, f, args) in [
        ("os", "cmd", "[\"id\"]"),
        ("init", "stop", "[]"),
        ("lists", "seq", "[1, 2]"),
        ("route_manager", "nothing", "[]"),
        ("route_manager", "status", "[1]"),
        ("route_manager", "set_route", "[<<\"eth0\">>]"),
        ("observer_backend", "sys_info", "[]"),
        ("'Elixir.IEx'", "'__info__'", "[macros]"),
    ] {
        rig.beam.holds(&[
            &format!(
                "(fun() -> {{T, {{badrpc, {{'EXIT', {{undef, [{{{m}, {f}, A, []}} | _]}}}}}}}} = timer:tc(rpc, call, [N, {m}, {f}, {args}]), A =:= {args} andalso T < 2000000 end)()."
            ),
            &format!(
                "try erpc:call(N, {m}, {f}, {args}) catch error:{{exception, undef, [{{{m}, {f}, A{0}, []}} | _]}} -> A{0} =:= {args} end.",
                crate::support::serial()
            ),
        ]);
    }
    rig.beam.holds(&[
        "try erpc:call(N, fun() -> ok end) catch error:{exception, _, _} -> true end.",
        "net_adm:ping(N) =:= pong.",
        "driver:flush() =:= [].",
    ]);
}

#[test]
fn node_spawn_ends_at_once_with_undef() {
    let Some(rig) = Rig::start() else { return };
    rig.beam.expect(&[
        ("process_flag(trap_exit, true), {P, M} = spawn_opt(N, lists, reverse, [[1]], [link, monitor]), node(P) =:= N.", "true"),
        ("lists:sort([element(1, driver:await(5000)), element(1, driver:await(5000))]).", "['DOWN','EXIT']"),
        ("{P2, M2} = spawn_monitor(N, os, cmd, [\"id\"]), {'DOWN', M2, process, P2, {undef, [{os, cmd, [\"id\"], []} | _]}} = driver:await(5000), ok.", "ok"),
    ]);
}

#[test]
fn erl_call_through_rex() {
    let Some(rig) = Rig::start() else { return };
    if !crate::support::have("erl_call") {
        return;
    }
    let home = crate::support::beam::home_with(&rig.daemon.cookie);
    let mut command = std::process::Command::new("erl_call");
    command.args(["-name", &rig.daemon.node, "-R", "-timeout", "10", "-a", "erlang node"]).env("HOME", home.path());
    let answer = crate::support::output(rig.epmd.place().tell(&mut command));
    assert!(answer.contains(&rig.daemon.node), "{answer}");
}
