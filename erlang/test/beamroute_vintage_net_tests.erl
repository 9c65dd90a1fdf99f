%% The drop-in, with a real daemon and a stand-in for VintageNet that shapes its supervisor, messages and state as 0.13.
-module(beamroute_vintage_net_tests).

-include_lib("eunit/include/eunit.hrl").
-include("beamroute_vintage_net.hrl").

-export([link_of_a_peer/1]).

vintage_net_test_() ->
    Tests = [
        fun properties_in_the_same_order/0,
        fun started_before_vintage_net/0,
        fun started_after_vintage_net/0,
        fun taken_over_while_the_daemon_is_away/0,
        fun the_manager_is_killed/0,
        fun a_process_before_it_is_killed/0,
        fun vintage_net_is_restarted/0,
        fun given_back/0,
        fun given_back_while_the_daemon_is_away/0,
        fun vintage_nets_code_is_loaded_again/0,
        fun the_keeper_is_killed/0,
        fun bad_input/0,
        fun the_reason_is_the_caller/0,
        fun another_version_of_vintage_net/0,
        fun configured/0,
        fun without_vintage_net/0,
        fun in_embedded_mode/0,
        fun the_system_stops/0
    ],
    [?RIG:test_(T) || T <- Tests].

%% ---- as VintageNet ----

calls() ->
    [
        {set_route, [<<"eth0">>, ?ETH0, ?GW1]},
        {set_connection_status, [<<"eth0">>, internet]},
        {set_connection_status, [<<"eth0">>, internet, <<"again">>]},
        {set_connection_status, [<<"wlan0">>, lan, nil]},
        {set_route, [<<"wlan0">>, ?WLAN0, ?GW2]},
        {set_connection_status, [<<"eth0">>, disconnected, <<"cable">>]},
        {set_connection_status, [<<"wlan0">>, internet, <<"checked">>]},
        {set_route, [<<"eth0">>, ?ETH0, ?GW1]},
        {set_connection_status, [<<"eth0">>, internet, <<"cable">>]},
        {set_route, [<<"wlan0">>, ?WLAN0, nil, lan]},
        {refresh_route_metrics, []},
        {clear_route, [<<"ppp1">>]},
        {set_connection_status, [<<"ppp1">>, lan, <<"modem">>]},
        {clear_route, [<<"eth0">>]},
        {clear_route, [<<"eth0">>]},
        {clear_route, [<<"wlan0">>]},
        {set_route, [<<"eth0">>, ?ETH0, ?GW1]},
        {clear_route, [<<"ppp1">>]},
        {clear_route, [<<"eth0">>]}
    ].

%% Each call with its answer, and what was told when it was answered.
told_by_calls() ->
    ?RIG:vintage_net(),
    Started = [{P, ?RIG:property([P])} || P <- [<<"available_interfaces">>, <<"connection">>]],
    ok = ?PT:subscribe(?TABLE, []),
    Told = [{Call, apply(?RM, Function, Args), ?RIG:events()} || {Function, Args} = Call <- calls()],
    vintage_net_stand_in:stop(),
    [Started | Told].

properties_in_the_same_order() ->
    Own = told_by_calls(),
    %% It has told something, in the order that is known of it.
    {value, {_, ok, Cleared}} = lists:keysearch({clear_route, [<<"eth0">>]}, 1, tl(Own)),
    Order = [?RIG:path(<<"eth0">>), [<<"available_interfaces">>]],
    ?assertEqual(Order, [Path || {Path, _, _} <- Cleared]),
    ?RIG:start_link(),
    ?RIG:drop_in(),
    ?assertEqual(Own, told_by_calls()),
    %% The same with the daemon, which was away before.
    ok = beamroute_route_manager:clear_route("ppp1"),
    Daemon = beamroute_rig:start(),
    ok = beamroute_route_manager:await_connected([{timeout, 20000}]),
    {ok, #{interfaces := None}} = beamroute_route_manager:status(),
    ?assertEqual(#{}, None),
    ?assertEqual(Own, told_by_calls()),
    ?assertEqual("", beamroute_rig:routes()),
    beamroute_rig:stop(Daemon).

started_before_vintage_net() ->
    Daemon = ?RIG:start_connected(),
    ?RIG:drop_in(),
    ?RIG:vintage_net(),
    ?assertEqual([[], disconnected, nil, nil], ?RIG:properties()),
    ?RIG:both_up(),
    ?assertEqual(?BOTH_UP, ?RIG:properties()),
    ?assertEqual(["default via 192.168.1.1 dev eth0 metric 10", "default via 192.168.2.1 dev wlan0 metric 20"], ?RIG:defaults()),
    ?assertEqual([""], ?RIG:defaults("boot")),
    {ok, #{interfaces := #{<<"eth0">> := #{why := Why}}}} = beamroute_route_manager:status(),
    ?assertEqual(<<"checked">>, Why),
    ok = gen_server:call(?RM, {clear_route, <<"eth0">>}),
    ?assertEqual([[<<"wlan0">>], internet, disconnected, internet], ?RIG:properties()),
    ?assertEqual({error, {unknown_request, what}}, gen_server:call(?RM, what)),
    ok = ?RM:stop(),
    beamroute_rig:eventually(fun() -> is_pid(whereis(?RM)) end),
    beamroute_rig:stop(Daemon).

started_after_vintage_net() ->
    Daemon = ?RIG:start_connected(),
    ?RIG:vintage_net(),
    ?RIG:both_up(),
    [_, _] = ?RIG:defaults("boot"),
    Pids = ?RIG:pids(),
    ok = ?PT:subscribe(?TABLE, []),
    ?RIG:drop_in(),
    ?RIG:wait_for_the_end_of_vintage_nets(),
    ?assertEqual([""], ?RIG:defaults("boot")),
    ?assertEqual("", os:cmd("ip route show proto boot; ip route show table 100; ip route show table 101")),
    ?assertEqual(["default via 192.168.1.1 dev eth0 metric 10", "default via 192.168.2.1 dev wlan0 metric 20"], ?RIG:defaults()),
    ok = ?RM:set_connection_status(<<"eth0">>, lan, nil),
    %% Nobody was restarted, and nobody was told of anything but what happened.
    ?assertEqual(Pids, ?RIG:pids()),
    Expected = [
        {[<<"available_interfaces">>], [<<"eth0">>, <<"wlan0">>], [<<"wlan0">>, <<"eth0">>]},
        {?RIG:path(<<"eth0">>), internet, lan}
    ],
    ?assertEqual(Expected, ?RIG:events()),
    beamroute_rig:stop(Daemon).

%% VintageNet's routes stay until the daemon's are there.
taken_over_while_the_daemon_is_away() ->
    ?RIG:start_link(),
    ?RIG:vintage_net(),
    ?RIG:both_up(),
    Own = ?RIG:defaults("boot"),
    [_, _] = Own,
    ?RIG:drop_in(),
    ?assertEqual(?BOTH_UP, ?RIG:properties()),
    ok = ?RM:set_connection_status(<<"eth0">>, lan, nil),
    ?assertEqual([[<<"wlan0">>, <<"eth0">>], internet, lan, internet], ?RIG:properties()),
    ?assertEqual(Own, ?RIG:defaults("boot")),
    Daemon = beamroute_rig:start(),
    Expected = ["default via 192.168.1.1 dev eth0 metric 50", "default via 192.168.2.1 dev wlan0 metric 20"],
    ?RIG:wait_for_the_end_of_vintage_nets(),
    ?assertEqual(Expected, lists:sort(?RIG:defaults())),
    beamroute_rig:stop(Daemon).

%% ---- what VintageNet's supervisor does ----

the_manager_is_killed() ->
    Daemon = ?RIG:start_connected(),
    ?RIG:drop_in(),
    ?RIG:vintage_net(),
    ?RIG:both_up(),
    ?RIG:with_monitor(fun() -> ?assertEqual([true, true, false, false], ?RIG:restarted(?RM)) end),
    ?assertEqual(?BOTH_UP, ?RIG:properties()),
    ok = ?RM:set_connection_status(<<"eth0">>, lan, nil),
    ?assertEqual([[<<"wlan0">>, <<"eth0">>], internet, lan, internet], ?RIG:properties()),
    %% What the daemon kept is what the new one believes: a route without a status does not lower it.
    ok = ?RM:set_route(<<"wlan0">>, ?WLAN0, ?GW2),
    ?assertEqual(internet, ?RIG:property(?RIG:path(<<"wlan0">>))),
    beamroute_rig:kill(Daemon),
    Again = beamroute_rig:start_again(Daemon),
    ok = beamroute_route_manager:await_connected([{timeout, 20000}]),
    ok = ?RM:refresh_route_metrics(),
    ?assertEqual(internet, ?RIG:property(?RIG:path(<<"wlan0">>))),
    beamroute_rig:stop(Again).

a_process_before_it_is_killed() ->
    Daemon = ?RIG:start_connected(),
    ?RIG:vintage_net([{interfaces, fun ?RIG:both_up/0}]),
    ?RIG:drop_in(),
    ?RIG:wait_for_the_end_of_vintage_nets(),
    ?RIG:with_monitor(fun() ->
        ?assertEqual([true, false, false, false], ?RIG:restarted('Elixir.VintageNet.NameResolver')),
        ?assertEqual(?BOTH_UP, ?RIG:properties()),
        %% The table goes with its process, and is filled again.
        ?assertEqual([false, false, false, false], ?RIG:restarted(?TABLE)),
        ?assertEqual(?BOTH_UP, ?RIG:properties())
    end),
    beamroute_rig:stop(Daemon).

vintage_net_is_restarted() ->
    Daemon = ?RIG:start_connected(),
    ?RIG:drop_in(),
    ?RIG:vintage_net(),
    ?RIG:both_up(),
    ?RIG:with_monitor(fun() ->
        vintage_net_stand_in:stop(),
        ?assertEqual(undefined, whereis(?RM)),
        ?RIG:vintage_net([{interfaces, fun ?RIG:both_up/0}]),
        ?assertEqual(?BOTH_UP, ?RIG:properties())
    end),
    ok = ?RM:clear_route(<<"eth0">>),
    ?assertEqual(["default via 192.168.2.1 dev wlan0 metric 20"], ?RIG:defaults()),
    beamroute_rig:stop(Daemon).

%% ---- and back ----

given_back() ->
    Daemon = ?RIG:start_connected(),
    ?RIG:drop_in(),
    ?RIG:vintage_net([{route_metric_fun, {?RIG, wlan_first, 2}}]),
    ?RIG:both_up(),
    Pids = ?RIG:pids(),
    Properties = ?RIG:properties(),
    ok = ?PT:subscribe(?TABLE, []),
    ok = gen_server:stop(beamroute_vintage_net),
    Own = ["default via 192.168.1.1 dev eth0 metric 8", "default via 192.168.2.1 dev wlan0 metric 7"],
    ?assertEqual(Own, lists:sort(?RIG:defaults("boot"))),
    ?assertEqual("", beamroute_rig:routes()),
    ?assertEqual(#{}, ?RIG:metrics()),
    ?assertEqual(Properties, ?RIG:properties()),
    ?assertEqual([], ?RIG:events()),
    ?assertEqual(Pids, ?RIG:pids()),
    ok = ?RM:clear_route(<<"eth0">>),
    ?assertEqual(["default via 192.168.2.1 dev wlan0 metric 7"], ?RIG:defaults("boot")),
    ?assertEqual([[<<"wlan0">>], internet, disconnected, internet], ?RIG:properties()),
    {ok, #{subscribers := 0}} = beamroute_route_manager:link_info(),
    %% The function's numbers are taken back as well.
    ok = gen_server:call({route_manager, ?NODE}, {set_connection_status, <<"eth0">>, internet, nil}),
    ?assertEqual(#{<<"eth0">> => 10}, ?RIG:metrics()),
    ok = gen_server:call({route_manager, ?NODE}, {clear_route, <<"eth0">>}),
    ?assertEqual([true, true, false, false], ?RIG:restarted(?RM)),
    ?assertEqual(#{}, ?RIG:metrics()),
    %% And forth again.
    ?RIG:drop_in(),
    ?RIG:both_up(),
    ?RIG:wait_for_the_end_of_vintage_nets(),
    ?assertEqual(Own, lists:sort(?RIG:defaults())),
    beamroute_rig:stop(Daemon).

given_back_while_the_daemon_is_away() ->
    ?RIG:drop_in(),
    ?RIG:vintage_net(),
    ?RIG:both_up(),
    ok = gen_server:stop(beamroute_vintage_net),
    ?assertEqual(2, length(?RIG:defaults("boot"))),
    ?assertEqual(?BOTH_UP, ?RIG:properties()),
    %% No timer of ours is left that VintageNet's code would get.
    Pid = whereis(?RM),
    timer:sleep(600),
    ?assertEqual(Pid, whereis(?RM)),
    ok = ?RM:clear_route(<<"wlan0">>),
    ?assertEqual(1, length(?RIG:defaults("boot"))).

vintage_nets_code_is_loaded_again() ->
    Daemon = ?RIG:start_connected(),
    ?RIG:drop_in(),
    ?RIG:vintage_net(),
    ?RIG:both_up(),
    Pids = ?RIG:pids(),
    true = code:soft_purge(?RM),
    {module, _} = code:load_file(?RM),
    ?assertNot(beamroute_vintage_net_code:is_ours()),
    beamroute_rig:eventually(fun beamroute_vintage_net_code:is_ours/0),
    ok = ?RM:set_connection_status(<<"eth0">>, lan, nil),
    ?assertEqual(Pids, ?RIG:pids()),
    ?assertEqual([""], ?RIG:defaults("boot")),
    ?assertEqual([[<<"wlan0">>, <<"eth0">>], internet, lan, internet], ?RIG:properties()),
    Expected = ["default via 192.168.1.1 dev eth0 metric 50", "default via 192.168.2.1 dev wlan0 metric 20"],
    ?assertEqual(Expected, lists:sort(?RIG:defaults())),
    beamroute_rig:stop(Daemon).

the_keeper_is_killed() ->
    Daemon = ?RIG:start_connected(),
    ?RIG:drop_in(),
    ?RIG:vintage_net(),
    ?RIG:both_up(),
    ?RIG:kill(beamroute_vintage_net),
    ok = ?RM:set_connection_status(<<"eth0">>, lan, nil),
    ?assertEqual([[<<"wlan0">>, <<"eth0">>], internet, lan, internet], ?RIG:properties()),
    ?RIG:drop_in(),
    ?assertEqual([true, true, false, false], ?RIG:restarted(?RM)),
    ?assertEqual([[<<"wlan0">>, <<"eth0">>], internet, lan, internet], ?RIG:properties()),
    %% The one after it knows what to give back.
    ok = gen_server:stop(beamroute_vintage_net),
    ?assertNot(beamroute_vintage_net_code:is_ours()),
    beamroute_rig:stop(Daemon).

%% ---- callers, versions, configurations ----

bad_input() ->
    Daemon = ?RIG:start_connected(),
    ?RIG:drop_in(),
    ?RIG:vintage_net(),
    ?RIG:both_up(),
    Pid = whereis(?RM),
    ?assertEqual(
        {error, {badarg, <<"set_route: prefix length 33 is not in 1..32">>}},
        ?RM:set_route(<<"eth0">>, [{{192, 168, 1, 50}, 33}], ?GW1)
    ),
    ?assertMatch({error, {badarg, _}}, ?RM:set_connection_status(<<"eth0">>, up, nil)),
    ?assertMatch({error, {badarg, _}}, ?RM:clear_route(<<"a b">>)),
    ?assertEqual(?BOTH_UP, ?RIG:properties()),
    ?assertEqual(Pid, whereis(?RM)),
    ?RM ! what,
    ok = gen_server:cast(?RM, what),
    ok = ?RM:refresh_route_metrics(),
    ?assertEqual(Pid, whereis(?RM)),
    beamroute_rig:stop(Daemon).

the_reason_is_the_caller() ->
    Daemon = ?RIG:start_connected(),
    ?RIG:drop_in(),
    ?RIG:vintage_net(),
    Why = fun() -> {ok, #{interfaces := #{<<"eth0">> := #{why := W}}}} = beamroute_route_manager:status(), W end,
    ok = ?RM:set_connection_status(<<"eth0">>, lan), Line = ?LINE,
    ?assertEqual(iolist_to_binary(io_lib:format("~s:the_reason_is_the_caller/0:~b", [?MODULE, Line])), Why()),
    ok = ?RM:set_connection_status(<<"eth0">>, internet, nil),
    ?assertEqual(iolist_to_binary(io_lib:format("~s:the_reason_is_the_caller/0:~b", [?MODULE, Line + 2])), Why()),
    beamroute_rig:stop(Daemon).

another_version_of_vintage_net() ->
    ?RIG:start_link(),
    ?RIG:vintage_net(),
    sys:replace_state(?RM, fun(State) -> {state, State} end),
    Log = ?RIG:capture(fun ?RIG:drop_in/0),
    ?assertMatch([_], [Text || {error, Text} <- Log, string:find(Text, "is not that of VintageNet 0.13") =/= nomatch]),
    ?assertNot(beamroute_vintage_net_code:is_ours()),
    sys:replace_state(?RM, fun({state, State}) -> State end),
    beamroute_rig:eventually(fun beamroute_vintage_net_code:is_ours/0).

%% The application, as a release starts it.
configured() ->
    {ok, [Application]} = file:consult("erlang/src/beamroute.app.src"),
    ok = application:load(Application),
    ok = application:set_env(beamroute, vintage_net, [{lnk, x}]),
    {error, {{bad_option, vintage_net, Why}, _}} = application:start(beamroute),
    ?assertMatch(<<"vintage_net is ", _/binary>>, Why),
    ok = application:set_env(beamroute, vintage_net, false),
    ok = application:start(beamroute),
    ?assertNot(beamroute_vintage_net_code:is_ours()),
    ok = application:stop(beamroute),
    ok = application:set_env(beamroute, vintage_net, true),
    ok = application:start(beamroute),
    Daemon = ?RIG:start_connected(),
    ?RIG:vintage_net(),
    ?RIG:both_up(),
    ?assertEqual(2, length(?RIG:defaults())),
    ok = application:stop(beamroute),
    ?assertEqual({[""], 2}, {?RIG:defaults(), length(?RIG:defaults("boot"))}),
    ?assertEqual({error, {bad_option, vintage_net, <<"vintage_net is [] or [{link, Name}], not x">>}}, beamroute_vintage_net:start_link(x)),
    beamroute_rig:stop(Daemon).

without_vintage_net() ->
    Dirs = [Dir || Dir <- code:get_path(), string:find(Dir, "/stand_ins") =/= nomatch],
    [beamroute_stand_ins:uninstall(Dir, ?MODULES) || Dir <- Dirs],
    Log = ?RIG:capture(fun ?RIG:drop_in/0),
    ?assertMatch([_], [Text || {warning, Text} <- Log, string:find(Text, "there is no VintageNet in the code path") =/= nomatch]),
    ?assertEqual(false, code:is_loaded(?RM)),
    ?assertEqual(ok, gen_server:stop(beamroute_vintage_net)),
    [true = code:add_patha(Dir) || Dir <- Dirs].

%% As in a release: nothing is loaded by itself.
in_embedded_mode() ->
    Peer = peer(["-mode", "embedded", "-pa", code:lib_dir(compiler) ++ "/ebin"], #{}),
    Call = fun(Module, Function, Args) -> peer:call(Peer, Module, Function, Args) end,
    Load = fun(Modules) -> [{module, M} = Call(code, load_file, [M]) || M <- Modules] end,
    {ok, Files} = file:list_dir(beams()),
    Load([list_to_atom(Name) || File <- Files, [Name, "beam"] <- [string:split(File, ".")]]),
    Load(?MODULES),
    ok = Call(vintage_net_stand_in, start, [[{route_metric_fun, {?RIG, wlan_first, 2}}]]),
    %% Every Elixir release has the compiler; one without it goes on as before, and says so.
    {ok, Pid} = Call(?RIG, drop_in_of_a_peer, []),
    ?assertNot(Call(beamroute_vintage_net_code, is_ours, [])),
    ?assertMatch({keeper, {error, no_compiler}, _}, Call(sys, get_state, [Pid])),
    ok = Call(application, load, [compiler]),
    {ok, Compiler} = Call(application, get_key, [compiler, modules]),
    Load(Compiler),
    beamroute_rig:eventually(fun() -> Call(beamroute_vintage_net_code, is_ours, []) end),
    ok = Call(?RM, set_route, [<<"eth0">>, ?ETH0, ?GW1]),
    ok = Call(?RM, stop, []),
    beamroute_rig:eventually(fun() -> is_pid(Call(erlang, whereis, [?RM])) end),
    ?assert(Call(beamroute_vintage_net_code, is_ours, [])),
    ?assertEqual([""], ?RIG:defaults("boot")),
    ok = Call(?RM, set_route, [<<"eth0">>, ?ETH0, ?GW1]),
    ok = Call(gen_server, stop, [Pid]),
    ?assertEqual(["default via 192.168.1.1 dev eth0 metric 8"], ?RIG:defaults("boot")),
    peer:stop(Peer).

%% What stops is the VM, not the drop-in: the daemon keeps the routes.
the_system_stops() ->
    Daemon = beamroute_rig:start(),
    Distribution = ["-start_epmd", "false", "-setcookie", "client", "-connect_all", "false"],
    Peer = peer(Distribution, #{name => vm, host => "127.0.0.1", longnames => true}),
    Call = fun(Module, Function, Args) -> peer:call(Peer, Module, Function, Args) end,
    {ok, [Application]} = file:consult("erlang/src/beamroute.app.src"),
    ok = Call(application, load, [Application]),
    ok = Call(application, set_env, [beamroute, vintage_net, true]),
    ok = Call(application, start, [beamroute]),
    ok = Call(?MODULE, link_of_a_peer, [?NODE]),
    ok = Call(vintage_net_stand_in, start, [[{interfaces, fun ?RIG:both_up/0}]]),
    Routes = beamroute_rig:routes(),
    ?assertEqual(2, length(?RIG:defaults())),
    Ref = monitor(process, Peer),
    ok = Call(init, stop, []),
    receive {'DOWN', Ref, process, Peer, _} -> ok after 20000 -> error(never) end,
    ?assertEqual(Routes, beamroute_rig:routes()),
    ?assertEqual([""], ?RIG:defaults("boot")),
    beamroute_rig:stop(Daemon).

peer(Args, Options) ->
    [Dir | _] = [Dir || Dir <- code:get_path(), string:find(Dir, "/stand_ins") =/= nomatch],
    Paths = ["-pa", beams(), "-pa", Dir, "-kernel", "logger_level", "emergency"],
    case peer:start(Options#{connection => standard_io, args => Args ++ Paths}) of
        {ok, Peer} -> Peer;
        {ok, Peer, _} -> Peer
    end.

beams() -> filename:dirname(code:which(?MODULE)).

link_of_a_peer(Node) ->
    {ok, Pid} = beamroute_route_manager:start_link([{node, Node}]),
    unlink(Pid),
    beamroute_route_manager:await_connected([{timeout, 20000}]).
