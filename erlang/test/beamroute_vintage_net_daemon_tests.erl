%% The drop-in while the daemon goes, comes and changes, and the numbers of route_metric_fun: a real daemon, and a stand-in
%% for VintageNet.
-module(beamroute_vintage_net_daemon_tests).

-include_lib("eunit/include/eunit.hrl").
-include("beamroute_vintage_net.hrl").

-export([metric/3]).

daemon_test_() ->
    Tests = [
        fun the_daemon_is_killed_and_comes_back/0,
        fun another_daemon_is_told_everything/0,
        fun the_link_starts_last_and_is_restarted/0,
        fun what_was_asked_before_the_link_is_not_lost/0,
        fun what_was_asked_between_two_links_is_not_lost/0,
        fun what_was_asked_before_the_link_went_is_not_lost/0,
        fun others_change_the_daemon/0,
        fun a_daemon_that_does_not_answer/0,
        fun numbers_of_the_users_function/0,
        fun a_function_that_fails/0,
        fun forms_of_the_function/0
    ],
    [?RIG:test_(T) || T <- Tests].

%% ---- the daemon ----

the_daemon_is_killed_and_comes_back() ->
    Daemon = ?RIG:start_connected(),
    ?RIG:drop_in(),
    ?RIG:vintage_net(),
    ?RIG:both_up(),
    ok = ?PT:subscribe(?TABLE, []),
    ?RIG:with_monitor(fun() ->
        beamroute_rig:kill(Daemon),
        beamroute_rig:eventually(fun() -> beamroute_route_manager:status() =:= {error, disconnected} end),
        ok = ?RM:set_connection_status(<<"eth0">>, internet, nil),
        ?assertEqual(?BOTH_UP, ?RIG:properties())
    end),
    ?assertEqual([], ?RIG:events()),
    %% What is asked meanwhile is seen at once, and done when it is back.
    ok = ?RM:set_connection_status(<<"eth0">>, lan, nil),
    ?assertEqual([[<<"wlan0">>, <<"eth0">>], internet, lan, internet], ?RIG:properties()),
    ok = ?RM:clear_route(<<"wlan0">>),
    Left = [[<<"eth0">>], lan, lan, disconnected],
    ?assertEqual(Left, ?RIG:properties()),
    ?assertEqual(2, length(?RIG:defaults())),
    _ = ?RIG:events(),
    Again = beamroute_rig:start_again(Daemon),
    ok = beamroute_route_manager:await_connected([{timeout, 20000}]),
    ok = ?RM:refresh_route_metrics(),
    ?assertEqual(["default via 192.168.1.1 dev eth0 metric 50"], ?RIG:defaults()),
    ?assertEqual(Left, ?RIG:properties()),
    ?assertEqual([], ?RIG:events()),
    beamroute_rig:stop(Again).

another_daemon_is_told_everything() ->
    Daemon = ?RIG:start_connected(),
    ?RIG:drop_in(),
    ?RIG:vintage_net([{route_metric_fun, fun ?RIG:wlan_first/2}]),
    ?RIG:both_up(),
    Wanted = ["default via 192.168.1.1 dev eth0 metric 8", "default via 192.168.2.1 dev wlan0 metric 7"],
    ?assertEqual(Wanted, lists:sort(?RIG:defaults())),
    ok = ?PT:subscribe(?TABLE, []),
    beamroute_rig:stop(Daemon),
    ?assertEqual([""], ?RIG:defaults()),
    Other = beamroute_rig:start(),
    beamroute_rig:eventually(fun() -> lists:sort(?RIG:defaults()) =:= Wanted end),
    ok = ?RM:refresh_route_metrics(),
    ?assertEqual([[<<"wlan0">>, <<"eth0">>], internet, internet, internet], ?RIG:properties()),
    %% From the first to the last, nobody saw the interfaces gone.
    ?assertEqual([], ?RIG:events()),
    beamroute_rig:stop(Other).

the_link_starts_last_and_is_restarted() ->
    Daemon = beamroute_rig:start(),
    ?RIG:drop_in(),
    ?RIG:vintage_net(),
    ?RIG:both_up(),
    ok = ?RM:set_connection_status(<<"ppp1">>, lan, nil),
    ok = ?RM:clear_route(<<"ppp1">>),
    ?assertEqual(?BOTH_UP, ?RIG:properties()),
    ?RIG:start_link(),
    beamroute_rig:eventually(fun() -> length(?RIG:defaults()) =:= 2 end),
    ?RIG:kill(beamroute_link),
    ok = ?RM:clear_route(<<"eth0">>),
    ok = ?RM:set_connection_status(<<"wlan0">>, lan, nil),
    ?assertEqual([[<<"wlan0">>], lan, disconnected, lan], ?RIG:properties()),
    ?RIG:start_link(),
    beamroute_rig:eventually(fun() -> ?RIG:defaults() =:= ["default via 192.168.2.1 dev wlan0 metric 60"] end),
    ok = ?RM:refresh_route_metrics(),
    ?assertEqual([[<<"wlan0">>], lan, disconnected, lan], ?RIG:properties()),
    beamroute_rig:stop(Daemon).

%% An ordinary boot: the daemon has the statuses of the VM's last life, and the link starts after the drop-in.
what_was_asked_before_the_link_is_not_lost() ->
    Daemon = ?RIG:start_connected(),
    ok = beamroute_route_manager:set_route("eth0", ?ETH0, ?GW1),
    ok = beamroute_route_manager:set_route("wlan0", ?WLAN0, ?GW2),
    ok = beamroute_route_manager:stop(),
    ?RIG:drop_in(),
    ?RIG:vintage_net(),
    ok = ?RM:set_route(<<"eth0">>, ?ETH0, ?GW1),
    ok = ?RM:set_connection_status(<<"eth0">>, internet, <<"checked">>),
    between_link_and_manager(fun() -> ok = ?RM:set_route(<<"wlan0">>, ?WLAN0, ?GW2) end, internet),
    beamroute_rig:stop(Daemon).

what_was_asked_between_two_links_is_not_lost() ->
    Daemon = ?RIG:start_connected(),
    ?RIG:drop_in(),
    ?RIG:vintage_net(),
    ?RIG:both_up(),
    ?RIG:kill(beamroute_link),
    ok = ?RM:set_connection_status(<<"eth0">>, lan, <<"unplugged">>),
    between_link_and_manager(fun() -> ok = ?RM:set_connection_status(<<"wlan0">>, lan, <<"down">>) end, lan),
    ?assertEqual(lan, daemons_status(<<"wlan0">>)),
    beamroute_rig:stop(Daemon).

%% The link goes and comes before the manager hears of it, and the daemon has an older status by then.
what_was_asked_before_the_link_went_is_not_lost() ->
    Daemon = ?RIG:start_connected(),
    ?RIG:drop_in(),
    ?RIG:vintage_net(),
    ?RIG:both_up(),
    Ask = fun() -> ok = ?RM:set_connection_status(<<"wlan0">>, lan, <<"down">>) end,
    between_link_and_manager(Ask, internet, fun() ->
        ?RIG:kill(beamroute_link),
        ok = gen_server:call({route_manager, ?NODE}, {set_connection_status, <<"eth0">>, lan, nil})
    end),
    ?assertEqual(lan, daemons_status(<<"wlan0">>)),
    beamroute_rig:stop(Daemon).

%% What is asked when the link is there already, but the manager has not noticed yet: suspended, it cannot.
between_link_and_manager(Ask, Status) -> between_link_and_manager(Ask, Status, fun() -> ok end).

between_link_and_manager(Ask, Status, Before) ->
    ok = sys:suspend(?RM),
    {_, Monitor} = spawn_monitor(Ask),
    beamroute_rig:eventually(fun() ->
        {message_queue_len, Waiting} = erlang:process_info(whereis(?RM), message_queue_len),
        Waiting > 0
    end),
    Before(),
    ?RIG:start_link(),
    ok = beamroute_route_manager:await_connected([{timeout, 20000}]),
    ok = sys:resume(?RM),
    receive {'DOWN', Monitor, process, _, Reason} -> ?assertEqual(normal, Reason) end,
    %% Nobody saw another.
    ?assertEqual(Status, ?RIG:property(?RIG:path(<<"eth0">>))),
    beamroute_rig:eventually(fun() -> daemons_status(<<"eth0">>) =:= Status end),
    ok = ?RM:refresh_route_metrics(),
    ?assertEqual(Status, daemons_status(<<"eth0">>)),
    ?assertEqual(Status, ?RIG:property(?RIG:path(<<"eth0">>))).

daemons_status(IfName) ->
    {ok, #{interfaces := #{IfName := #{status := Status}}}} = beamroute_route_manager:status(),
    Status.

others_change_the_daemon() ->
    Daemon = ?RIG:start_connected(),
    ?RIG:drop_in(),
    ?RIG:vintage_net(),
    ?RIG:both_up(),
    ok = gen_server:call({route_manager, ?NODE}, {set_metric, <<"eth0">>, 500}),
    ?RIG:wait_for_properties([[<<"wlan0">>, <<"eth0">>], internet, internet, internet]),
    ok = gen_server:call({route_manager, ?NODE}, {set_connection_status, <<"wlan0">>, lan, nil}),
    ?RIG:wait_for_properties([[<<"wlan0">>, <<"eth0">>], internet, internet, lan]),
    ok = gen_server:call({route_manager, ?NODE}, {clear_route, <<"eth0">>}),
    ?RIG:wait_for_properties([[<<"wlan0">>], lan, disconnected, lan]),
    beamroute_rig:stop(Daemon).

a_daemon_that_does_not_answer() ->
    Daemon = ?RIG:start_connected(),
    ?RIG:drop_in(),
    ?RIG:vintage_net(),
    ?RIG:both_up(),
    beamroute_rig:freeze(Daemon),
    %% Callers have the time that gen_server gives them.
    ok = ?RM:set_connection_status(<<"eth0">>, lan, nil),
    ?assertEqual([[<<"wlan0">>, <<"eth0">>], internet, lan, internet], ?RIG:properties()),
    [ok = ?RM:set_connection_status(<<"wlan0">>, Status, nil) || Status <- [lan, internet, lan]],
    ?assertEqual([[<<"eth0">>, <<"wlan0">>], lan, lan, lan], ?RIG:properties()),
    ok = ?PT:subscribe(?TABLE, []),
    beamroute_rig:thaw(Daemon),
    beamroute_rig:eventually(fun() -> {ok, #{connection := C}} = beamroute_route_manager:status(), C =:= lan end),
    ok = ?RM:set_connection_status(<<"eth0">>, lan, nil),
    ?assertEqual([[<<"eth0">>, <<"wlan0">>], lan, lan, lan], ?RIG:properties()),
    %% What the daemon tells late of what was before has not been told on.
    ?assertEqual([], ?RIG:events()),
    beamroute_rig:stop(Daemon).

%% ---- route_metric_fun ----

%% The interface's number is in the test's hands.
metric(IfName, #{'__struct__' := 'Elixir.VintageNet.Route.InterfaceInfo'} = Info, Test) ->
    Test ! {asked, IfName, maps:with([interface_type, weight, status, ip_subnets, default_gateway], Info)},
    case persistent_term:get({?MODULE, IfName}) of
        {crash, Why} -> error(Why);
        Metric -> Metric
    end.

give(IfName, Metric) -> persistent_term:put({?MODULE, IfName}, Metric).

numbers_of_the_users_function() ->
    Daemon = ?RIG:start_connected(),
    ?RIG:drop_in(),
    give(<<"eth0">>, 300),
    give(<<"wlan0">>, 200),
    Test = self(),
    ?RIG:vintage_net([{route_metric_fun, fun(IfName, Info) -> metric(IfName, Info, Test) end}]),
    ?RIG:both_up(),
    ?assertEqual(#{<<"eth0">> => 300, <<"wlan0">> => 200}, ?RIG:metrics()),
    ?assertEqual([[<<"wlan0">>, <<"eth0">>], internet, internet, internet], ?RIG:properties()),
    Info = #{interface_type => ethernet, weight => 0, status => lan, ip_subnets => ?ETH0, default_gateway => ?GW1},
    ?assertMatch([{asked, <<"eth0">>, Info} | _], beamroute_rig:flush()),
    %% A number that is another by now counts when it is asked for.
    give(<<"eth0">>, 100),
    ok = ?RM:set_route(<<"eth0">>, ?ETH0, ?GW1),
    ?assertEqual(#{<<"eth0">> => 300, <<"wlan0">> => 200}, ?RIG:metrics()),
    ok = ?RM:refresh_route_metrics(),
    ?assertEqual(#{<<"eth0">> => 100, <<"wlan0">> => 200}, ?RIG:metrics()),
    ?assertEqual([[<<"eth0">>, <<"wlan0">>], internet, internet, internet], ?RIG:properties()),
    give(<<"eth0">>, disabled),
    ok = ?RM:set_connection_status(<<"wlan0">>, lan, nil),
    ?assertEqual(#{<<"eth0">> => disabled, <<"wlan0">> => 200}, ?RIG:metrics()),
    ?assertEqual([[<<"wlan0">>], internet, internet, lan], ?RIG:properties()),
    ?assertEqual(["default via 192.168.2.1 dev wlan0 metric 200"], ?RIG:defaults()),
    give(<<"eth0">>, 0),
    ok = ?RM:refresh_route_metrics(),
    ?assertEqual(#{<<"eth0">> => 1, <<"wlan0">> => 200}, ?RIG:metrics()),
    %% Also of an interface that goes and comes.
    ok = ?RM:clear_route(<<"eth0">>),
    give(<<"eth0">>, 5),
    ok = ?RM:set_route(<<"eth0">>, ?ETH0, ?GW1),
    ?assertEqual(#{<<"eth0">> => 5, <<"wlan0">> => 200}, ?RIG:metrics()),
    %% While the daemon is away.
    beamroute_rig:kill(Daemon),
    beamroute_rig:eventually(fun() -> beamroute_route_manager:status() =:= {error, disconnected} end),
    give(<<"wlan0">>, 2),
    ok = ?RM:refresh_route_metrics(),
    ?assertEqual([[<<"wlan0">>, <<"eth0">>], lan, lan, lan], ?RIG:properties()),
    Again = beamroute_rig:start_again(Daemon),
    ok = beamroute_route_manager:await_connected([{timeout, 20000}]),
    ?assertEqual(#{<<"eth0">> => 5, <<"wlan0">> => 2}, ?RIG:metrics()),
    beamroute_rig:stop(Again).

a_function_that_fails() ->
    Daemon = ?RIG:start_connected(),
    ?RIG:drop_in(),
    give(<<"eth0">>, 300),
    give(<<"wlan0">>, {crash, from_the_start}),
    ?RIG:vintage_net([{route_metric_fun, {?MODULE, metric, [self()]}}]),
    ?RIG:both_up(),
    %% Where there was no number, there is the daemon's.
    ?assertEqual(#{<<"eth0">> => 300, <<"wlan0">> => 20}, ?RIG:metrics()),
    Pid = whereis(?RM),
    Log = ?RIG:capture(fun() ->
        [
            begin
                give(<<"eth0">>, Bad),
                ok = ?RM:refresh_route_metrics(),
                ?assertEqual(#{<<"eth0">> => 300, <<"wlan0">> => 20}, ?RIG:metrics())
            end
         || Bad <- [{crash, why}, -1, 1 bsl 32, high, nil, "10", 10.0]
        ]
    end),
    ?assertMatch([_ | _], [Text || {warning, Text} <- Log, string:find(Text, "{error,why}; its metric stays 300") =/= nomatch]),
    ?assertEqual(Pid, whereis(?RM)),
    give(<<"eth0">>, 4),
    give(<<"wlan0">>, 3),
    ok = ?RM:refresh_route_metrics(),
    ?assertEqual(#{<<"eth0">> => 4, <<"wlan0">> => 3}, ?RIG:metrics()),
    beamroute_rig:stop(Daemon).

forms_of_the_function() ->
    Daemon = ?RIG:start_connected(),
    ?RIG:drop_in(),
    give(<<"eth0">>, 33),
    Default = 'Elixir.VintageNet.Route.DefaultMetric',
    Forms = [
        {fun ?RIG:wlan_first/2, 8},
        {{?RIG, wlan_first, 2}, 8},
        {{?RIG, wlan_first, []}, 8},
        {{?MODULE, metric, [self()]}, 33},
        %% VintageNet's own is the daemon's: an admin's number there is left alone.
        {fun Default:compute_metric/2, 99},
        {{Default, compute_metric, 2}, 99},
        {nonsense, 99}
    ],
    [
        begin
            ok = gen_server:call({route_manager, ?NODE}, {set_metric, <<"eth0">>, 99}),
            ?RIG:vintage_net([{route_metric_fun, Form}]),
            ok = ?RM:set_route(<<"eth0">>, ?ETH0, ?GW1),
            ?assertEqual(#{<<"eth0">> => Metric}, ?RIG:metrics(), Form),
            ok = ?RM:clear_route(<<"eth0">>),
            vintage_net_stand_in:stop()
        end
     || {Form, Metric} <- Forms
    ],
    beamroute_rig:stop(Daemon).
