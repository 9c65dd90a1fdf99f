%% A VM that was started without a name, as on a device, and with no epmd but the daemon's.
-module(beamroute_distribution_tests).

-include_lib("eunit/include/eunit.hrl").

-define(RM, beamroute_route_manager).
-define(NODE, 'gw@127.0.0.1').
-define(EPMD, {"ERL_EPMD_PORT", "24369"}).

distribution_test_() ->
    Tests = [fun a_node_that_is_not_alive_is_told_so/0, fun distribution_is_started_when_the_daemon_is_there/0],
    [{setup, fun beamroute_rig:settle/0, fun cleanup/1, {timeout, 120, T}} || T <- Tests].

cleanup(_) ->
    beamroute_rig:kill_all(),
    beamroute_rig:settle().

vm() ->
    Path = filename:dirname(code:which(beamroute_link)),
    {ok, Vm, _} = peer:start(#{
        connection => standard_io,
        args => ["-pa", Path, "-start_epmd", "false", "-kernel", "logger_level", "critical"],
        env => [?EPMD]
    }),
    Vm.

a_node_that_is_not_alive_is_told_so() ->
    Vm = vm(),
    {error, {not_alive, Sentence}} = peer:call(Vm, ?RM, start_link, [[{node, ?NODE}]]),
    ?assertEqual(beamroute_distribution:not_alive(), Sentence),
    ?assertMatch(<<"this node is not distributed: ", _/binary>>, Sentence),
    ?assertNotEqual(nomatch, binary:match(Sentence, <<"distribution: [name: ...]">>)),
    ?assertEqual(nonode@nohost, peer:call(Vm, erlang, node, [])),
    peer:stop(Vm).

distribution_is_started_when_the_daemon_is_there() ->
    Vm = vm(),
    Options = [
        {node, ?NODE},
        {distribution, [{name, device}, {cookie, client}]},
        {backoff_initial, 20},
        {backoff_max, 50}
    ],
    {ok, _} = peer:call(Vm, ?RM, start_link, [Options]),
    Reason = fun() -> {ok, #{reason := Why}} = peer:call(Vm, ?RM, link_info, []), Why end,
    beamroute_rig:eventually(fun() -> Reason() =:= no_epmd end),
    ok = peer:call(Vm, ?RM, set_route, [eth0, [{{192, 168, 1, 50}, 24}], {192, 168, 1, 1}]),
    Daemon = beamroute_rig:start(#{args => ["--epmd", "embedded"], env => [?EPMD]}),
    ok = peer:call(Vm, ?RM, await_connected, [[{timeout, 20000}]]),
    ?assertEqual('device@127.0.0.1', peer:call(Vm, erlang, node, [])),
    %% It listens on loopback, and nowhere else.
    {ok, Names} = peer:call(Vm, erl_epmd, names, [{127, 0, 0, 1}]),
    {_, Port} = lists:keyfind("device", 1, Names),
    {ok, Socket} = gen_tcp:connect({127, 0, 0, 1}, Port, []),
    ok = gen_tcp:close(Socket),
    ?assertEqual({error, econnrefused}, gen_tcp:connect({192, 168, 1, 50}, Port, [])),
    Install = fun() -> {ok, #{interfaces := #{<<"eth0">> := #{install := I}}}} = peer:call(Vm, ?RM, status, []), I end,
    ?assertEqual(installed, Install()),
    %% Interfaces come and go, the two stay connected.
    "" = os:cmd("ip link set eth0 down"),
    beamroute_rig:eventually(fun() -> Install() =:= {pending, link_down} end),
    "" = os:cmd("ip link set eth0 up"),
    beamroute_rig:eventually(fun() -> Install() =:= installed end),
    %% And find each other again when the daemon, and the epmd within it, were gone.
    ok = beamroute_rig:kill(Daemon),
    beamroute_rig:eventually(fun() -> Reason() =/= connected end),
    Again = beamroute_rig:start_again(Daemon),
    ok = peer:call(Vm, ?RM, await_connected, [[{timeout, 20000}]]),
    ?assertEqual(installed, Install()),
    peer:stop(Vm),
    beamroute_rig:stop(Again).
