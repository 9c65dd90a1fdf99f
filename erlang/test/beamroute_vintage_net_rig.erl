% What tests of the drop-in need: the stand-in for VintageNet in the code path, and what is to be seen of it.
-module(beamroute_vintage_net_rig).

-include_lib("eunit/include/eunit.hrl").
-include("beamroute_vintage_net.hrl").

-export([test_/1, setup/0, cleanup/1, kill/1, start_link/0, start_connected/0, drop_in/0, vintage_net/0, vintage_net/1, both_up/0, properties/0, path/1, events/0, defaults/0, defaults/1, wait_for_properties/1, wait_for_the_end_of_vintage_nets/0, drop_in_of_a_peer/0, pids/0, restarted/1, with_monitor/1, wlan_first/2, capture/1, metrics/0, property/1]).

%% One test, with what it starts and leaves.
test_(Test) ->
    {setup, fun setup/0, fun cleanup/1, {timeout, 60, {atom_to_list(name(Test)), Test}}}.

name(Fun) -> element(2, erlang:fun_info(Fun, name)).

setup() ->
    beamroute_rig:settle(),
    beamroute_stand_ins:install(?MODULES).

cleanup(Dir) ->
    [kill(Name) || Name <- [beamroute_vintage_net, beamroute_link]],
    vintage_net_stand_in:stop(),
    _ = application:stop(beamroute),
    _ = application:unload(beamroute),
    beamroute_stand_ins:uninstall(Dir, ?MODULES),
    beamroute_rig:kill_all(),
    _ = erlang:disconnect_node(?NODE),
    beamroute_rig:flush(),
    beamroute_rig:settle(),
    _ = os:cmd("ip route flush table 100; ip route flush table 101; ip route flush proto boot"),
    _ = os:cmd("while ip rule del lookup 100 || ip rule del lookup 101; do :; done").

kill(Name) ->
    case whereis(Name) of
        undefined ->
            ok;
        Pid ->
            Ref = monitor(process, Pid),
            exit(Pid, kill),
            receive {'DOWN', Ref, process, _, _} -> ok end
    end.

start_link() ->
    {ok, Pid} = beamroute_route_manager:start_link(
        [{node, ?NODE}, {cookie, client}, {backoff_initial, 20}, {backoff_max, 100}]
    ),
    unlink(Pid),
    ok.

start_connected() ->
    Daemon = beamroute_rig:start(),
    start_link(),
    ok = beamroute_route_manager:await_connected([{timeout, 20000}]),
    Daemon.

drop_in() ->
    {ok, _} = drop_in_of_a_peer(),
    ok.

vintage_net() -> vintage_net([]).

vintage_net(Args) ->
    Default = fun 'Elixir.VintageNet.Route.DefaultMetric':compute_metric/2,
    vintage_net_stand_in:start(Args ++ [{route_metric_fun, Default}]).

%% What VintageNet says when its interfaces come up.
both_up() ->
    ok = ?RM:set_route(<<"eth0">>, ?ETH0, ?GW1),
    ok = ?RM:set_connection_status(<<"eth0">>, internet, <<"checked">>),
    ok = ?RM:set_route(<<"wlan0">>, ?WLAN0, ?GW2),
    ok = ?RM:set_connection_status(<<"wlan0">>, internet, <<"checked">>).

property(Path) -> ?PT:get(?TABLE, Path).

properties() ->
    [property(P) || P <- [[<<"available_interfaces">>], [<<"connection">>], path(<<"eth0">>), path(<<"wlan0">>)]].

path(IfName) -> [<<"interface">>, IfName, <<"connection">>].

events() -> [{Path, Old, New} || {?TABLE, Path, Old, New, _} <- beamroute_rig:flush()].

defaults() -> defaults("110").
defaults(Protocol) -> string:split(string:trim(os:cmd("ip route show default proto " ++ Protocol)), " \n", all).

wait_for_properties(Expected) ->
    beamroute_rig:eventually(fun() -> properties() =:= Expected end).

%% Its rules are the last to go, and not the daemon's, whose tables are others.
wait_for_the_end_of_vintage_nets() ->
    Rules = "ip rule show | grep -v 'proto 110' | grep -e 'lookup 100' -e 'lookup 101'",
    beamroute_rig:eventually(fun() -> os:cmd(Rules) =:= "" end),
    ?assertEqual([""], defaults("boot")).

drop_in_of_a_peer() ->
    {ok, Pid} = beamroute_vintage_net:start_link([]),
    unlink(Pid),
    {ok, Pid}.

pids() ->
    Names = [?TABLE, 'Elixir.VintageNet.NameResolver', ?RM, 'Elixir.VintageNet.InterfacesSupervisor'],
    [whereis(Name) || Name <- Names].

restarted(Name) ->
    Before = pids(),
    kill(Name),
    beamroute_rig:eventually(fun() ->
        After = pids(),
        lists:all(fun is_pid/1, After) andalso lists:last(After) =/= lists:last(Before)
    end),
    true = is_pid(whereis('Elixir.VintageNet.Supervisor')),
    [A =:= B || {A, B} <- lists:zip(Before, pids())].

%% The routes are not moved by any of these: `ip monitor' says nothing.
with_monitor(Fun) ->
    Port = open_port({spawn, "ip -4 monitor route rule 2>/dev/null"}, [{line, 1000}]),
    %% It has begun when it tells of a route that is nobody's.
    beamroute_rig:eventually(fun() ->
        _ = os:cmd("ip route add 203.0.113.0/24 dev eth0; ip route del 203.0.113.0/24 dev eth0"),
        receive {Port, {data, {_, "Deleted 203.0.113.0/24" ++ _}}} -> true after 10 -> false end
    end),
    Fun(),
    _ = os:cmd("ip route add 203.0.113.0/25 dev eth0; ip route del 203.0.113.0/25 dev eth0"),
    ?assertEqual([], monitored(Port)),
    port_close(Port).

monitored(Port) ->
    receive
        {Port, {data, {_, "Deleted 203.0.113.0/25" ++ _}}} -> [];
        {Port, {data, {_, "203.0.113.0/25" ++ _}}} -> monitored(Port);
        %% Of the beginning.
        {Port, {data, {_, "Deleted 203.0.113.0/24" ++ _}}} -> monitored(Port);
        {Port, {data, {_, "203.0.113.0/24" ++ _}}} -> monitored(Port);
        {Port, {data, {_, Line}}} -> [Line | monitored(Port)]
    after 5000 -> error(silent)
    end.

wlan_first(<<"wlan0">>, _) -> 7;
wlan_first(_, _) -> 8.

%% What is logged meanwhile.
capture(Fun) ->
    ok = logger:add_handler(?MODULE, beamroute_log, #{config => self()}),
    #{level := Level} = logger:get_primary_config(),
    ok = logger:set_handler_config(default, level, Level),
    ok = logger:set_primary_config(level, info),
    try
        Fun()
    after
        ok = logger:remove_handler(?MODULE),
        ok = logger:set_primary_config(level, Level),
        ok = logger:set_handler_config(default, level, all)
    end,
    [{L, Text} || {log, L, Text} <- beamroute_rig:flush()].

metrics() ->
    {ok, #{interfaces := Interfaces}} = beamroute_route_manager:status(),
    maps:map(fun(_, #{metric := Metric}) -> Metric end, Interfaces).
