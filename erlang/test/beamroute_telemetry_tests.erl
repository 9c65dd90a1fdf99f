%% Telemetry's events, with a real daemon and a stand-in for telemetry.
-module(beamroute_telemetry_tests).

-include_lib("eunit/include/eunit.hrl").

-export([handle/4]).

-define(RM, beamroute_route_manager).
-define(NODE, 'gw@127.0.0.1').

telemetry_test_() ->
    Tests = [
        {"connection, changes and disconnection", fun connection_changes_and_disconnection/0},
        {"what is retold is no change", fun what_is_retold_is_no_change/0},
        {"calls", fun calls/0},
        {"an exception in a call", fun an_exception/0},
        {"a handler that fails", fun a_handler_that_fails/0},
        {"the default handler", fun the_default_handler/0},
        {"without telemetry", fun without_telemetry/0}
    ],
    [{setup, fun setup/0, fun cleanup/1, {timeout, 60, Test}} || Test <- Tests].

setup() ->
    beamroute_rig:settle(),
    beamroute_stand_ins:load(telemetry),
    telemetry:attach_many(test, beamroute_telemetry:events(), fun ?MODULE:handle/4, self()).

cleanup(_) ->
    _ = [exit(Pid, kill) || Pid <- [whereis(beamroute_link)], is_pid(Pid)],
    _ = [telemetry:detach(test) || is_loaded()],
    _ = beamroute_telemetry:detach_default_handler(),
    beamroute_stand_ins:unload(telemetry),
    beamroute_telemetry:look_up(),
    beamroute_rig:kill_all(),
    _ = erlang:disconnect_node(?NODE),
    beamroute_rig:flush(),
    beamroute_rig:settle().

is_loaded() -> code:is_loaded(telemetry) =/= false.

%% The config is the process that attached it, since setup may run in another than the test.
handle(Event, Measurements, Metadata, _) ->
    _ = [Pid ! {Event, Measurements, Metadata} || Pid <- [whereis(?MODULE)], is_pid(Pid)],
    ok.

hear() ->
    true = register(?MODULE, self()),
    ok.

start_link() ->
    {ok, Pid} = ?RM:start_link([{node, ?NODE}, {cookie, client}, {backoff_initial, 20}, {backoff_max, 100}]),
    unlink(Pid),
    ok.

next(Event) ->
    receive
        {Event, Measurements, Metadata} -> {Measurements, Metadata}
    after 20000 -> error({never, Event})
    end.

connection_changes_and_disconnection() ->
    hear(),
    Daemon = beamroute_rig:start(),
    start_link(),
    {#{system_time := Time, duration := Waited}, Up} = next([beamroute, connection]),
    ?assert(is_integer(Time) andalso Waited > 0),
    ?assertEqual(#{node => ?NODE, link => beamroute_link}, Up),
    {ok, _} = ?RM:status(),
    ok = ?RM:set_connection_status(eth0, internet),
    {#{sequence := Sequence}, Changed} = next([beamroute, routes, changed]),
    ?assertMatch(#{node := ?NODE, link := beamroute_link, kind := install, ifname := <<"eth0">>}, Changed),
    ?assertMatch(#{event := {Sequence, install, <<"eth0">>, _}}, Changed),
    {_, Property} = next([beamroute, routes, changed]),
    Path = [<<"interface">>, <<"eth0">>, <<"connection">>],
    ?assertMatch(#{kind := property, ifname := <<"eth0">>, event := {_, property, Path, nil, internet}}, Property),
    {_, Whole} = next([beamroute, routes, changed]),
    ?assertMatch(#{ifname := nil, event := {_, property, [<<"connection">>], disconnected, internet}}, Whole),
    beamroute_rig:kill(Daemon),
    {#{duration := Up_}, Down} = next([beamroute, disconnection]),
    ?assert(Up_ > 0),
    ?assertMatch(#{node := ?NODE, link := beamroute_link, reason := _}, Down),
    %% Attempts that fail are no disconnections.
    ?assertEqual([], [E || {[beamroute, disconnection], _, _} = E <- beamroute_rig:flush()]).

what_is_retold_is_no_change() ->
    hear(),
    Daemon = beamroute_rig:start(),
    start_link(),
    ok = ?RM:await_connected(),
    ok = ?RM:set_connection_status(ppp0, lan),
    {ok, _} = ?RM:status(),
    beamroute_rig:kill(Daemon),
    {_, _} = next([beamroute, disconnection]),
    %% This one is: it is kept, and sent when the daemon is back.
    ok = ?RM:set_connection_status(ppp1, internet),
    _ = beamroute_rig:flush(),
    Again = beamroute_rig:start_again(Daemon),
    ok = ?RM:await_connected([{timeout, 20000}]),
    {ok, _} = ?RM:status(),
    Changes = [M || {[beamroute, routes, changed], _, M} <- beamroute_rig:flush()],
    ?assertEqual([], [M || #{ifname := <<"ppp0">>} = M <- Changes]),
    ?assertMatch([_, _], [M || #{ifname := <<"ppp1">>} = M <- Changes]),
    beamroute_rig:stop(Again).

calls() ->
    hear(),
    Daemon = beamroute_rig:start(),
    start_link(),
    ok = ?RM:await_connected(),
    ok = ?RM:set_route("eth0", [], nil),
    {#{system_time := _, monotonic_time := Start}, Begun} = next([beamroute, call, start]),
    ?assertMatch(#{node := ?NODE, link := beamroute_link, call := set_route, ifname := <<"eth0">>}, Begun),
    {#{monotonic_time := Stop, duration := Duration}, Ended} = next([beamroute, call, stop]),
    ?assertEqual(Stop - Start, Duration),
    ?assertEqual(Begun#{result => ok, reason => nil}, Ended),
    Link = whereis(beamroute_link),
    {error, not_allowed} = ?RM:stop_daemon([{link, Link}]),
    {_, _} = next([beamroute, call, start]),
    {_, Refused} = next([beamroute, call, stop]),
    Expected = #{call => stop_daemon, link => Link, node => ?NODE, ifname => nil, result => error, reason => not_allowed},
    ?assertEqual(Expected, maps:remove(telemetry_span_context, Refused)),
    %% Bad input is no call.
    {error, {badarg, _}} = ?RM:clear_route("a b"),
    ?assertEqual([], [E || {[beamroute, call | _], _, _} = E <- beamroute_rig:flush()]),
    beamroute_rig:stop(Daemon).

an_exception() ->
    hear(),
    beamroute_telemetry:look_up(),
    Fun = fun() -> exit(interrupted) end,
    ?assertExit(interrupted, beamroute_telemetry:span(get, {get, [<<"connection">>]}, none, Fun)),
    {_, _} = next([beamroute, call, start]),
    {#{duration := _}, Metadata} = next([beamroute, call, exception]),
    ?assertMatch(#{kind := exit, reason := interrupted, stacktrace := [_ | _], node := nil, call := get}, Metadata).

a_handler_that_fails() ->
    ok = telemetry:attach_many(bad, beamroute_telemetry:events(), fun(_, _, _, _) -> error(bad) end, none),
    Daemon = beamroute_rig:start(),
    start_link(),
    ok = ?RM:await_connected(),
    ?assertMatch({ok, _}, ?RM:status()),
    ?assertEqual({error, not_found}, telemetry:detach(bad)),
    beamroute_rig:stop(Daemon).

the_default_handler() ->
    ok = logger:add_handler(?MODULE, beamroute_log, #{config => self()}),
    #{level := Level} = logger:get_primary_config(),
    %% Only our handler hears more than before.
    ok = logger:set_handler_config(default, level, Level),
    ok = logger:set_primary_config(level, debug),
    try
        ok = beamroute_telemetry:attach_default_handler(),
        ?assertEqual({error, already_exists}, beamroute_telemetry:attach_default_handler()),
        logs_everything()
    after
        ok = beamroute_telemetry:detach_default_handler(),
        ok = logger:remove_handler(?MODULE),
        ok = logger:set_primary_config(level, Level),
        ok = logger:set_handler_config(default, level, all)
    end,
    ?assertEqual({error, not_found}, beamroute_telemetry:detach_default_handler()).

logs_everything() ->
    Daemon = beamroute_rig:start(),
    start_link(),
    ok = ?RM:await_connected(),
    ok = ?RM:set_connection_status(eth0, internet),
    {error, _} = ?RM:stop_daemon(),
    beamroute_rig:kill(Daemon),
    beamroute_rig:eventually(fun() -> ?RM:status() =:= {error, disconnected} end),
    Log = [{Level, Text} || {log, Level, Text} <- beamroute_rig:flush()],
    [
        ?assertMatch([_ | _], [Text || {Is, Text} <- Log, Is =:= Level, re:run(Text, Pattern) =/= nomatch], {Pattern, Log})
     || {Level, Pattern} <- [
            {info, "^beamroute: gw@127.0.0.1 is connected, after [0-9]+ (us|ms|s)$"},
            {debug, "^beamroute: set_connection_status eth0: ok, in [0-9]+ "},
            {warning, "^beamroute: stop_daemon: not_allowed, in [0-9]+ "},
            {info, "^beamroute: gw@127.0.0.1: {property,\\[<<\"connection\">>\\],disconnected,internet}$"},
            {warning, "^beamroute: gw@127.0.0.1 is lost after [0-9]+ "}
        ]
    ],
    %% An exception, and names that are bytes.
    Metadata = #{call => get, ifname => <<255>>, kind => error, reason => why},
    ok = beamroute_telemetry:handle_event([beamroute, call, exception], #{duration => 0}, Metadata, #{}),
    receive {log, error, Text} -> ?assertEqual("beamroute: get <<255>>: error why, in 0 us", Text) after 0 -> error(none) end,
    ?assertEqual(ok, beamroute_telemetry:handle_event([beamroute, what, comes, later], #{}, #{}, #{})).

without_telemetry() ->
    _ = telemetry:detach(test),
    beamroute_stand_ins:unload(telemetry),
    Daemon = beamroute_rig:start(),
    start_link(),
    ok = ?RM:await_connected(),
    ?assertMatch({ok, _}, ?RM:status()),
    ?assertMatch({error, {not_installed, _}}, beamroute_telemetry:attach_default_handler()),
    ?assertMatch({error, {not_installed, _}}, beamroute_telemetry:detach_default_handler()),
    beamroute_rig:stop(Daemon).
