//! Every form in which a BEAM spawns, calls and casts: one test for each thing that a user types. None may hang: each has
//! its time limit in `Beam::ok`, and those that could wait for ever have one of their own.

use crate::support::{Beam, Rig};

/// `Within(Fun)` evaluates in another process: its value, what it raises, or `hangs` after five seconds.
const WITHIN: &str = "Within = fun(F) -> Self = self(), Ref = make_ref(), P = spawn(fun() -> Self ! {Ref, try F() catch C:R -> {C, R} end} end), \
    receive {Ref, V} -> V after 5000 -> exit(P, kill), hangs end end, ok.";

fn rig() -> Option<Rig> {
    let rig = Rig::start()?;
    rig.beam.expect(&[
        (WITHIN, "ok"),
        ("net_adm:ping(N).", "pong"),
        ("Pid = rpc:call(N, erlang, whereis, [route_manager]), node(Pid) =:= N.", "true"),
        ("process_flag(trap_exit, true), ok.", "ok"),
    ]);
    Some(rig)
}

fn elixir() -> Option<(Rig, Beam)> {
    let rig = Rig::start()?;
    let elixir = Beam::elixir(&rig.epmd.place(), &rig.daemon.cookie)?;
    elixir.ok(&format!("n = :\"{}\"; rm = {{:route_manager, n}}; Process.flag(:trap_exit, true)", rig.daemon.node));
    Some((rig, elixir))
}

const UNDEF: &str = "{undef, [{lists, nothing, [1], []}]}";

#[test]
fn spawn_2_and_4() {
    let Some(rig) = rig() else { return };
    rig.beam.holds(&[
        "P1 = spawn(N, lists, nothing, [1]), node(P1) =:= N.",
        "P2 = spawn(N, fun() -> ok end), node(P2) =:= N.",
        "rpc:call(N, erlang, is_process_alive, [P1]) =:= false.",
        "M1 = monitor(process, P2), {'DOWN', M1, process, P2, noproc} =:= driver:await(5000).",
        "spawn(N, route_manager, set_connection_status, [<<\"eth0\">>, lan]), timer:sleep(50), gen_server:call(RM, {get, [<<\"connection\">>]}) =:= lan.",
        "driver:flush() =:= [].",
    ]);
}

#[test]
fn spawn_link_2_and_4() {
    let Some(rig) = rig() else { return };
    rig.beam.holds(&[
        &format!("P1 = spawn_link(N, lists, nothing, [1]), {{'EXIT', P1, {UNDEF}}} =:= driver:await(5000)."),
        "P2 = spawn_link(N, fun() -> ok end), {'EXIT', P2, {undef, [{erlang, apply, [_, []], []}]}} = driver:await(5000), true.",
        "P3 = spawn_link(N, erlang, node, []), {'EXIT', P3, normal} =:= driver:await(5000).",
        "driver:flush() =:= [].",
    ]);
}

#[test]
fn spawn_monitor_2_and_4() {
    let Some(rig) = rig() else { return };
    rig.beam.holds(&[
        &format!("{{P1, M1}} = spawn_monitor(N, lists, nothing, [1]), {{'DOWN', M1, process, P1, {UNDEF}}} =:= driver:await(5000)."),
        "{P2, M2} = spawn_monitor(N, fun() -> ok end), {'DOWN', M2, process, P2, {undef, _}} = driver:await(5000), true.",
        "{P3, M3} = spawn_monitor(N, erlang, node, []), {'DOWN', M3, process, P3, normal} =:= driver:await(5000).",
        "driver:flush() =:= [].",
    ]);
}

#[test]
fn spawn_opt_with_every_option() {
    let Some(rig) = rig() else { return };
    rig.beam.holds(&[
        "P1 = spawn_opt(N, erlang, node, [], []), node(P1) =:= N.",
        "P2 = spawn_opt(N, erlang, node, [], [link, {priority, high}, {min_heap_size, 1000}]), {'EXIT', P2, normal} =:= driver:await(5000).",
        "{P3, M3} = spawn_opt(N, erlang, node, [], [monitor, {fullsweep_after, 3}]), {'DOWN', M3, process, P3, normal} =:= driver:await(5000).",
        "{P4, M4} = spawn_opt(N, erlang, node, [], [{monitor, [{tag, mine}]}]), {mine, M4, process, P4, normal} =:= driver:await(5000).",
        "{P5, M5} = spawn_opt(N, erlang, node, [], [link, monitor]), {'EXIT', P5, normal} =:= driver:await(5000) andalso {'DOWN', M5, process, P5, normal} =:= driver:await(5000).",
        "{error, badarg} =:= (try spawn_opt(N, erlang, node, [], [bad]) catch C6:R6 -> {C6, R6} end).",
        "driver:flush() =:= [].",
    ]);
}

#[test]
fn spawn_request_with_every_kind_of_reply() {
    let Some(rig) = rig() else { return };
    rig.beam.holds(&[
        "R1 = spawn_request(N, erlang, node, []), {spawn_reply, R1, ok, P1} = driver:await(5000), node(P1) =:= N.",
        "R2 = spawn_request(N, erlang, node, [], [monitor]), {spawn_reply, R2, ok, P2} = driver:await(5000), {'DOWN', R2, process, P2, normal} =:= driver:await(5000).",
        "R3 = spawn_request(N, fun() -> ok end, [link, {reply_tag, mine}]), {mine, R3, ok, P3} = driver:await(5000), {'EXIT', P3, {undef, _}} = driver:await(5000), true.",
        "R4 = spawn_request(N, erlang, node, [], [{reply, no}]), driver:await(200) =:= timeout.",
        "R5 = spawn_request(N, erlang, node, [], [{reply, error_only}, monitor]), {'DOWN', R5, process, _, normal} = driver:await(5000), true.",
        "R6 = spawn_request(N, erlang, node, [], [{reply, success_only}]), {spawn_reply, R6, ok, _} = driver:await(5000), true.",
        "R7 = spawn_request(N, erlang, node, [], [bad]), {spawn_reply, R7, error, badopt} =:= driver:await(5000).",
        "R8 = spawn_request(N, erlang, node, [], [link]), is_boolean(spawn_request_abandon(R8)).",
        "timer:sleep(100), net_adm:ping(N) =:= pong.",
    ]);
}

#[test]
fn node_spawn_from_elixir() {
    let Some((_rig, elixir)) = elixir() else { return };
    elixir.expect(&[
        ("node(Node.spawn(n, fn -> :ok end)) == n", "true"),
        ("node(Node.spawn(n, :lists, :nothing, [1])) == n", "true"),
        ("p = Node.spawn_link(n, :lists, :nothing, [1]); receive do {:EXIT, ^p, {:undef, [{:lists, :nothing, [1], []}]}} -> :undef after 5000 -> :hangs end", ":undef"),
        ("p = Node.spawn_link(n, fn -> :ok end); receive do {:EXIT, ^p, {:undef, _}} -> :undef after 5000 -> :hangs end", ":undef"),
        ("{p, m} = Node.spawn_monitor(n, :lists, :nothing, [1]); receive do {:DOWN, ^m, :process, ^p, {:undef, _}} -> :undef after 5000 -> :hangs end", ":undef"),
        ("{p, m} = Node.spawn_monitor(n, fn -> :ok end); receive do {:DOWN, ^m, :process, ^p, {:undef, _}} -> :undef after 5000 -> :hangs end", ":undef"),
        ("{p, m} = Node.spawn(n, :erlang, :node, [], [:monitor]); receive do {:DOWN, ^m, :process, ^p, why} -> why after 5000 -> :hangs end", ":normal"),
        ("Node.ping(n)", ":pong"),
    ]);
}

#[test]
fn rpc_block_call() {
    let Some(rig) = rig() else { return };
    rig.beam.holds(&[
        "rpc:block_call(N, erlang, node, []) =:= N.",
        "rpc:block_call(N, route_manager, get, [[<<\"connection\">>]], 2000) =:= disconnected.",
        "{badrpc, {'EXIT', {undef, [{os, cmd, [\"id\"], []} | _]}}} = rpc:block_call(N, os, cmd, [\"id\"]), true.",
        "{badrpc, {'EXIT', {badarg, _}}} = rpc:block_call(N, route_manager, clear_route, [1]), true.",
    ]);
}

#[test]
fn rpc_async_call_yield_and_nb_yield() {
    let Some(rig) = rig() else { return };
    rig.beam.holds(&[
        "rpc:yield(rpc:async_call(N, erlang, node, [])) =:= N.",
        "rpc:nb_yield(rpc:async_call(N, erlang, node, []), 5000) =:= {value, N}.",
        "K = rpc:async_call(N, erlang, node, []), timer:sleep(100), rpc:nb_yield(K) =:= {value, N}.",
        "{badrpc, {'EXIT', {undef, _}}} = rpc:yield(rpc:async_call(N, os, cmd, [\"id\"])), true.",
        "{value, {badrpc, {'EXIT', {badarg, _}}}} = rpc:nb_yield(rpc:async_call(N, route_manager, clear_route, [1]), 5000), true.",
    ]);
}

#[test]
fn rpc_server_call() {
    let Some(rig) = rig() else { return };
    rig.beam.holds(&[
        "Within(fun() -> rpc:server_call(N, route_manager, route_manager, {get, [<<\"connection\">>]}) end) =:= disconnected.",
        "Within(fun() -> rpc:server_call(N, nobody, nobody, hello) end) =:= {error, nodedown}.",
        "Within(fun() -> rpc:server_call(N, 'Elixir.VintageNet.RouteManager', 'Elixir.VintageNet.RouteManager', hello) end) =:= {error, {unknown_request, hello}}.",
    ]);
}

#[test]
fn rpc_multi_server_call() {
    let Some(rig) = rig() else { return };
    rig.beam.holds(&[
        "Within(fun() -> rpc:multi_server_call([N], route_manager, {get, [<<\"connection\">>]}) end) =:= {[disconnected], []}.",
        "Within(fun() -> rpc:multi_server_call([N], nobody, hello) end) =:= {[], [N]}.",
    ]);
}

#[test]
fn rpc_cast_abcast_sbcast_and_eval_everywhere() {
    let Some(rig) = rig() else { return };
    let connection = "timer:sleep(50), gen_server:call(RM, {get, [<<\"connection\">>]}) =:=";
    rig.beam.holds(&[
        "rpc:cast(N, route_manager, set_connection_status, [<<\"eth0\">>, internet]) =:= true.",
        &format!("{connection} internet."),
        "rpc:abcast([N], route_manager, {'$gen_cast', {set_connection_status, eth0, lan}}) =:= abcast.",
        &format!("{connection} lan."),
        "Within(fun() -> rpc:sbcast([N], route_manager, {'$gen_cast', {set_connection_status, eth0, internet}}) end) =:= {[N], []}.",
        &format!("{connection} internet."),
        "Within(fun() -> rpc:sbcast([N], nobody, hello) end) =:= {[], [N]}.",
        "rpc:eval_everywhere([N], route_manager, set_connection_status, [<<\"eth0\">>, lan]) =:= abcast.",
        &format!("{connection} lan."),
        "driver:flush() =:= [].",
    ]);
}

#[test]
fn rpc_multicall_parallel_eval_and_pinfo() {
    let Some(rig) = rig() else { return };
    rig.beam.holds(&[
        "rpc:multicall([N, node()], erlang, node, [], 5000) =:= {[N, node()], []}.",
        "{[{badrpc, {'EXIT', {undef, _}}}], []} = rpc:multicall([N], os, cmd, [\"id\"], 5000), true.",
        "rpc:multicall([N, 'nobody@127.0.0.1'], erlang, node, [], 5000) =:= {[N], ['nobody@127.0.0.1']}.",
        // Hidden nodes are not asked.
        "rpc:multicall(erlang, node, []) =:= {[node()], []}.",
        "{badrpc, {'EXIT', {undef, _}}} = Within(fun() -> rpc:pinfo(Pid) end), true.",
        "{badrpc, {'EXIT', {undef, _}}} = Within(fun() -> rpc:pinfo(Pid, message_queue_len) end), true.",
    ]);
}

#[test]
fn erpc_call_with_functions_and_times() {
    let Some(rig) = rig() else { return };
    rig.beam.holds(&[
        "erpc:call(N, erlang, node, [], 5000) =:= N.",
        "erpc:call(N, erlang, node, [], infinity) =:= N.",
        "try erpc:call(N, fun() -> ok end) catch error:{exception, undef, [{erlang, apply, [_, []], []} | _]} -> true end.",
        "try erpc:call(N, fun erlang:node/0, 5000) catch error:{exception, undef, _} -> true end.",
        "try erpc:call(N, route_manager, clear_route, [1]) catch error:{exception, badarg, [{route_manager, clear_route, [1], []} | _]} -> true end.",
        "try erpc:call('nobody@127.0.0.1', erlang, node, []) catch error:{erpc, noconnection} -> true end.",
        "driver:flush() =:= [].",
    ]);
}

#[test]
fn erpc_cast_and_multicast() {
    let Some(rig) = rig() else { return };
    let connection = "timer:sleep(50), gen_server:call(RM, {get, [<<\"connection\">>]}) =:=";
    rig.beam.holds(&[
        "erpc:cast(N, route_manager, set_connection_status, [<<\"eth0\">>, internet]) =:= ok.",
        &format!("{connection} internet."),
        "erpc:multicast([N], route_manager, set_connection_status, [<<\"eth0\">>, lan]) =:= ok.",
        &format!("{connection} lan."),
        "erpc:cast(N, fun() -> ok end) =:= ok.",
        "erpc:multicast([N], fun() -> ok end) =:= ok.",
        "net_adm:ping(N) =:= pong andalso driver:flush() =:= [].",
    ]);
}

#[test]
fn erpc_send_request_and_its_responses() {
    let Some(rig) = rig() else { return };
    rig.beam.holds(&[
        "erpc:receive_response(erpc:send_request(N, erlang, node, [])) =:= N.",
        "erpc:receive_response(erpc:send_request(N, erlang, node, []), 5000) =:= N.",
        "erpc:wait_response(erpc:send_request(N, erlang, node, []), 5000) =:= {response, N}.",
        "Q = erpc:send_request(N, erlang, node, []), {response, N} =:= erpc:check_response(driver:await(5000), Q).",
        "try erpc:receive_response(erpc:send_request(N, os, cmd, [\"id\"])) catch error:{exception, undef, _} -> true end.",
        "try erpc:receive_response(erpc:send_request(N, fun() -> ok end)) catch error:{exception, undef, _} -> true end.",
        // Collections of requests, since OTP 25.
        "L1 = erpc:send_request(N, erlang, node, [], one, erpc:reqids_new()), L2 = erpc:send_request(N, erlang, is_alive, [], two, L1), erpc:reqids_size(L2) =:= 2.",
        "{{response, A, T}, one, L3} = case erpc:receive_response(L2, 5000, true) of {V1, one, Rest1} -> {{response, V1, one}, one, Rest1}; {V1, two, Rest1} -> {{response, V1, two}, one, Rest1} end, lists:member({A, T}, [{N, one}, {true, two}]).",
        "{B, U, _} = erpc:wait_response(L3, 5000, true), lists:member({B, U}, [{{response, N}, one}, {{response, true}, two}]).",
    ]);
}

#[test]
fn erpc_multicall_with_functions() {
    let Some(rig) = rig() else { return };
    rig.beam.holds(&[
        "erpc:multicall([N, node()], erlang, node, []) =:= [{ok, N}, {ok, node()}].",
        "[{error, {exception, undef, _}}] = erpc:multicall([N], fun() -> ok end), true.",
        "[{error, {exception, badarg, _}}, {error, {erpc, noconnection}}] = erpc:multicall([N, 'nobody@127.0.0.1'], route_manager, clear_route, [1], 5000), true.",
    ]);
}

#[test]
fn gen_server_abcast_and_multi_call() {
    let Some(rig) = rig() else { return };
    rig.beam.holds(&[
        "gen_server:abcast([N], route_manager, {set_connection_status, eth0, internet}) =:= abcast.",
        "gen_server:multi_call([N], route_manager, {get, [<<\"connection\">>]}) =:= {[{N, internet}], []}.",
        "gen_server:multi_call([N], route_manager, {get, [<<\"connection\">>]}, 5000) =:= {[{N, internet}], []}.",
        "Within(fun() -> gen_server:multi_call([N, 'nobody@127.0.0.1'], nobody, hello) end) =:= {[], ['nobody@127.0.0.1', N]} orelse Within(fun() -> lists:sort(element(2, gen_server:multi_call([N, 'nobody@127.0.0.1'], nobody, hello))) end) =:= lists:sort([N, 'nobody@127.0.0.1']).",
        "gen_server:cast(Pid, {set_connection_status, eth0, lan}) =:= ok.",
        "gen_server:call(Pid, {get, [<<\"connection\">>]}, infinity) =:= lan.",
        "driver:flush() =:= [].",
    ]);
}

#[test]
fn gen_server_send_request_and_its_responses() {
    let Some(rig) = rig() else { return };
    let get = "gen_server:send_request(RM, {get, [<<\"connection\">>]})";
    rig.beam.holds(&[
        &format!("gen_server:receive_response({get}, 5000) =:= {{reply, disconnected}}."),
        &format!("gen_server:wait_response({get}, 5000) =:= {{reply, disconnected}}."),
        &format!("Q = {get}, {{reply, disconnected}} =:= gen_server:check_response(driver:await(5000), Q)."),
        "{error, {noproc, {nobody, N}}} =:= gen_server:receive_response(gen_server:send_request({nobody, N}, hello), 5000).",
        "L = gen_server:send_request(RM, hello, one, gen_server:reqids_new()), {{reply, {error, {unknown_request, hello}}}, one, _} = gen_server:receive_response(L, 5000, true), true.",
    ]);
}

#[test]
fn gen_statem_calls_get_an_error() {
    let Some(rig) = rig() else { return };
    let error = "{error, {unknown_request, hello}}";
    rig.beam.holds(&[
        &format!("Within(fun() -> gen_statem:call(RM, hello) end) =:= {error}."),
        &format!("Within(fun() -> gen_statem:call(RM, hello, {{clean_timeout, 4000}}) end) =:= {error}."),
        &format!("Within(fun() -> gen_statem:call(RM, hello, {{dirty_timeout, 4000}}) end) =:= {error}."),
        "gen_statem:cast(RM, hello) =:= ok.",
        "lists:member(element(1, Within(fun() -> gen_statem:stop(RM) end)), [exit, error]).",
        "element(1, Within(fun() -> gen_statem:call({nobody, N}, hello) end)) =:= exit.",
    ]);
}

#[test]
fn gen_event_calls_get_an_error() {
    let Some(rig) = rig() else { return };
    for name in ["RM", "Pid", "{net_kernel, N}", "{rex, N}"] {
        for call in [
            "call(X, h, hello)",
            "call(X, h, hello, infinity)",
            "add_handler(X, h, [])",
            "delete_handler(X, h, [])",
            "which_handlers(X)",
            "sync_notify(X, hello)",
            "swap_handler(X, {h, []}, {g, []})",
        ] {
            let call = call.replace('X', name);
            rig.beam.holds(&[&format!("{{error, _}} = Within(fun() -> gen_event:{call} end), true.")]);
        }
        rig.beam.holds(&[
            &format!("gen_event:notify({name}, hello) =:= ok."),
            &format!("lists:member(element(1, Within(fun() -> gen_event:stop({name}) end)), [exit, error])."),
        ]);
    }
    rig.beam.holds(&["gen_server:call(RM, {get, [<<\"connection\">>]}) =:= disconnected."]);
}

#[test]
fn sys_and_proc_lib_of_every_process() {
    let Some(rig) = rig() else { return };
    for name in ["RM", "Pid", "{net_kernel, N}", "{rex, N}"] {
        for call in [
            "suspend(X)",
            "resume(X)",
            "replace_state(X, fun(S) -> S end)",
            "log(X, true)",
            "log(X, get)",
            "trace(X, true)",
            "statistics(X, get)",
            "log_to_file(X, false)",
            "no_debug(X)",
            "change_code(X, m, 1, [])",
            "install(X, {fun(S, _, _) -> S end, 1})",
            "get_state(X)",
            "get_status(X)",
            "terminate(X, normal)",
        ] {
            rig.beam.holds(&[&format!("Within(fun() -> sys:{} end) =/= hangs.", call.replace('X', name))]);
        }
        for call in [
            "proc_lib:stop(X)",
            "gen_server:stop(X)",
            "gen_server:stop(X, shutdown, infinity)",
            "supervisor:which_children(X)",
        ] {
            rig.beam.holds(&[&format!("Within(fun() -> {} end) =/= hangs.", call.replace('X', name))]);
        }
    }
    rig.beam
        .holds(&["gen_server:call(RM, {get, [<<\"connection\">>]}) =:= disconnected.", "net_adm:ping(N) =:= pong."]);
}

#[test]
fn genserver_agent_task_and_process_from_elixir() {
    let Some((_rig, elixir)) = elixir() else { return };
    elixir.expect(&[
        ("GenServer.multi_call([n], :route_manager, {:get, [\"connection\"]}) == {[{n, :disconnected}], []}", "true"),
        ("GenServer.abcast([n], :route_manager, {:set_connection_status, \"eth0\", :lan})", ":abcast"),
        ("GenServer.call(rm, {:get, [\"connection\"]})", ":lan"),
        ("GenServer.whereis(rm) == rm", "true"),
        ("match?({:error, {:unknown_request, {:update, _}}}, Agent.update(rm, fn s -> s end))", "true"),
        ("try do Task.Supervisor.async_nolink({:sup, n}, fn -> 1 end) catch :exit, {:noproc, _} -> :noproc; :exit, {{:noproc, _}, _} -> :noproc end", ":noproc"),
        ("Process.send(rm, :hello, [:noconnect, :nosuspend])", ":ok"),
        ("is_reference(Process.send_after(self(), :tick, 0))", "true"),
        ("receive do :tick -> :ok after 1000 -> :no end", ":ok"),
        ("Node.list(:hidden) == [n]", "true"),
    ]);
}

#[test]
fn a_call_that_times_out_leaves_nothing_behind() {
    let Some(rig) = rig() else { return };
    for call in [
        "{badrpc, timeout} = rpc:call(N, erlang, node, [], 50)",
        "{error, {erpc, timeout}} = (try erpc:call(N, erlang, node, [], 50) catch C:R -> {C, R} end)",
        "[{error, {erpc, timeout}}] = erpc:multicall([N], erlang, node, [], 50)",
        "{exit, {timeout, _}} = (try gen_server:call(RM, status, 50) catch C:R -> {C, R} end)",
        "{exit, {timeout, _}} = (try sys:get_state(RM, 50) catch C:R -> {C, R} end)",
    ] {
        rig.daemon.signal(nix::sys::signal::Signal::SIGSTOP);
        let value = rig.beam.eval(&format!("(fun() -> {call}, ok end)()."));
        rig.daemon.signal(nix::sys::signal::Signal::SIGCONT);
        assert_eq!(value.as_deref(), Ok("ok"), "{call}");
        rig.beam.expect(&[
            ("net_adm:ping(N).", "pong"),
            ("gen_server:call(RM, {get, [<<\"connection\">>]}).", "disconnected"),
        ]);
    }
    rig.beam.expect(&[("driver:flush().", "[]")]);
}
