%% The link with a real daemon that comes and goes.
-module(beamroute_link_tests).

-include_lib("eunit/include/eunit.hrl").

-define(RM, beamroute_route_manager).
-define(NODE, 'gw@127.0.0.1').
-define(ETH0, {set_route, <<"eth0">>, [{{192, 168, 1, 50}, 24}], {192, 168, 1, 1}}).

link_test_() ->
    Tests = [
        fun everything_of_the_api/0,
        fun writes_while_away_arrive_in_order/0,
        fun reads_while_away/0,
        fun the_last_known_state/0,
        fun nothing_is_kept_if_not_asked_to/0,
        fun the_link_goes_and_comes_for_subscribers/0,
        fun bad_input_is_told_alike_near_and_far/0,
        fun bad_call_options_and_no_link/0,
        fun a_property_is_a_list_of_binaries/0,
        fun no_interface_is_named_by_accident/0,
        fun an_unknown_request_is_answered/0,
        fun a_daemon_that_does_not_answer/0,
        fun no_acknowledged_wish_is_lost/0,
        fun several_links/0,
        fun a_wrong_cookie_is_tried_again/0,
        fun a_daemon_that_dials_is_not_waited_for/0,
        fun the_reason_is_the_caller/0,
        fun stop_ends_the_link_only/0
    ],
    [{setup, fun setup/0, fun cleanup/1, {timeout, 120, {atom_to_list(name(T)), T}}} || T <- Tests].

name(Fun) -> element(2, erlang:fun_info(Fun, name)).

setup() -> beamroute_rig:settle().

cleanup(_) -> beamroute_rig:clean_up().

start_link() -> start_link([]).

start_link(Options) -> beamroute_rig:start_link(Options).

write(Wish) -> write(Wish, []).
write({set_route, If, Subnets, Gateway}, O) -> ?RM:set_route(If, Subnets, Gateway, O);
write({clear_route, If}, O) -> ?RM:clear_route(If, O);
write({set_connection_status, If, Status, Why}, O) -> ?RM:set_connection_status(If, Status, Why, O);
write({set_metric, If, Metric}, O) -> ?RM:set_metric(If, Metric, O);
write({set_owner_policy, Policy}, O) -> ?RM:set_owner_policy(Policy, O).

interface(Name, Key) ->
    {ok, #{interfaces := #{Name := #{Key := Value}}}} = ?RM:status(),
    Value.

interface_has(Name, Expected) ->
    {ok, #{interfaces := #{Name := Interface}}} = ?RM:status(),
    ?assertEqual(Expected, maps:with(maps:keys(Expected), Interface)).

everything_of_the_api() ->
    Daemon = beamroute_rig:start(),
    start_link(),
    ok = ?RM:await_connected(),
    ok = ?RM:subscribe(),
    ok = ?RM:set_route("eth0", [{"192.168.1.50", 24}], <<"192.168.1.1">>),
    ok = ?RM:set_connection_status(eth0, internet, "checked"),
    ok = ?RM:set_metric(<<"eth0">>, 7),
    ok = ?RM:set_owner_policy({lan_after, 3600}),
    ok = ?RM:set_owner_policy(keep),
    ok = ?RM:refresh_route_metrics(),
    interface_has(<<"eth0">>, #{why => <<"checked">>, metric => 7, install => installed}),
    ?assertEqual({ok, internet}, ?RM:get([<<"connection">>])),
    ?assertEqual({ok, nil}, ?RM:get([<<"nothing">>])),
    ?assertEqual({ok, []}, ?RM:plan()),
    ?assertNotEqual(nomatch, string:find(beamroute_rig:routes(), "default via 192.168.1.1 dev eth0")),
    ?assertEqual({error, not_allowed}, ?RM:stop_daemon()),
    ok = ?RM:unsubscribe(),
    [{route_manager, ?NODE, {link, connected}} | Events] = beamroute_rig:flush(),
    ?assert(lists:member([<<"connection">>], [P || {route_manager, ?NODE, {_, property, P, _, internet}} <- Events])),
    ok = ?RM:clear_route(eth0),
    ?assertEqual("", beamroute_rig:routes()),
    ?assertEqual([], beamroute_rig:flush()),
    beamroute_rig:stop(Daemon).

%% A tracer in the daemon's place would not be the daemon: what arrived, and in which order, is told by its events.
writes_while_away_arrive_in_order() ->
    start_link(),
    ok = ?RM:subscribe(),
    Asked = [
        ?ETH0,
        {set_connection_status, <<"eth0">>, internet, nil},
        {clear_route, <<"eth0">>},
        {set_connection_status, <<"wlan0">>, lan, nil},
        {set_route, <<"wlan0">>, [{{192, 168, 2, 50}, 24}], {192, 168, 2, 1}},
        {set_connection_status, <<"ppp7">>, internet, <<"modem">>},
        {set_connection_status, <<"wlan0">>, internet, <<"at last">>},
        ?ETH0,
        {set_metric, <<"eth0">>, 33}
    ],
    [?assertEqual(ok, write(Wish), Wish) || Wish <- Asked],
    ?assertMatch({ok, #{wishes := 6}}, ?RM:link_info()),
    Daemon = beamroute_rig:start(),
    ok = ?RM:await_connected([{timeout, 20000}]),
    %% The reads come after what was kept.
    interface_has(<<"eth0">>, #{status => lan, metric => 33, install => installed}),
    interface_has(<<"wlan0">>, #{status => internet, why => <<"at last">>}),
    interface_has(<<"ppp7">>, #{status => internet, why => <<"modem">>}),
    %% Tables are given out from 100 in the order in which interfaces become known.
    ?assertEqual([100, 101, 102], [interface(If, table) || If <- [<<"wlan0">>, <<"ppp7">>, <<"eth0">>]]),
    ?assertMatch({ok, #{wishes := 0, requests := 0}}, ?RM:link_info()),
    beamroute_rig:stop(Daemon).

reads_while_away() ->
    start_link(),
    Away = {error, disconnected},
    ?assertEqual(Away, ?RM:status()),
    ?assertEqual(Away, ?RM:plan()),
    ?assertEqual(Away, ?RM:get([<<"connection">>])),
    ?assertEqual(Away, ?RM:stop_daemon()),
    ?assertEqual(Away, ?RM:status([{last_known, true}])),
    ?assertEqual(Away, ?RM:get([<<"connection">>], #{last_known => true})),
    ?assertEqual(Away, ?RM:await_connected([{timeout, 50}])).

the_last_known_state() ->
    Daemon = beamroute_rig:start(),
    start_link(),
    ok = ?RM:await_connected(),
    ok = write(?ETH0),
    ok = ?RM:set_connection_status(eth0, internet),
    %% The link looks by itself, soon after an event.
    Status = fun() -> {ok, S} = gen_statem:call(beamroute_link, {request, read, status, #{timeout => 5000}}), S end,
    #{interfaces := Interfaces} = Status(),
    beamroute_rig:kill(Daemon),
    beamroute_rig:eventually(fun() -> ?RM:status() =:= {error, disconnected} end),
    ?assertMatch({ok, #{interfaces := Interfaces}}, ?RM:status([{last_known, true}])),
    ?assertEqual({ok, internet}, ?RM:get([<<"connection">>], [{last_known, true}])),
    ?assertEqual({ok, internet}, ?RM:get([<<"interface">>, <<"eth0">>, <<"connection">>], [{last_known, true}])),
    ?assertEqual({error, disconnected}, ?RM:plan([{last_known, true}])),
    %% Known, but not invented: a wish that is kept is no state.
    ok = ?RM:set_connection_status(eth0, lan),
    ?assertEqual({ok, internet}, ?RM:get([<<"connection">>], [{last_known, true}])).

nothing_is_kept_if_not_asked_to() ->
    start_link([{queue, false}]),
    ?assertEqual({error, disconnected}, write(?ETH0)),
    ?assertEqual(ok, write(?ETH0, [{queue, true}])),
    ?assertMatch({ok, #{wishes := 1}}, ?RM:link_info()),
    ok = ?RM:stop(),
    start_link(),
    ?assertEqual({error, disconnected}, write(?ETH0, [{queue, false}])),
    ?assertMatch({ok, #{wishes := 0}}, ?RM:link_info()).

the_link_goes_and_comes_for_subscribers() ->
    Daemon = beamroute_rig:start(),
    start_link(),
    ok = ?RM:await_connected(),
    ok = ?RM:subscribe(),
    ok = write(?ETH0),
    {ok, _} = ?RM:status(),
    beamroute_rig:kill(Daemon),
    Gone = receive {route_manager, ?NODE, {link, {disconnected, Why}}} -> Why after 20000 -> never end,
    ?assert(lists:member(Gone, [noconnection, noproc])),
    _ = beamroute_rig:flush(),
    Again = beamroute_rig:start_again(Daemon),
    receive {route_manager, ?NODE, {link, connected}} -> ok after 20000 -> error(never) end,
    {ok, _} = ?RM:status(),
    %% The numbers begin again, and the first events tell the state.
    Events = [E || {route_manager, ?NODE, E} <- beamroute_rig:flush()],
    ?assertEqual(lists:seq(1, length(Events)), [element(1, E) || E <- Events]),
    ?assertMatch([_], connection(nil, lan, Events)),
    ok = ?RM:set_connection_status(eth0, internet),
    {ok, _} = ?RM:status(),
    ?assertMatch([_], connection(lan, internet, [E || {route_manager, ?NODE, E} <- beamroute_rig:flush()])),
    %% A subscriber that ends is forgotten.
    {Pid, Ref} = spawn_monitor(fun() -> ok = ?RM:subscribe() end),
    receive {'DOWN', Ref, process, Pid, Reason} -> ?assertEqual(normal, Reason) end,
    beamroute_rig:eventually(fun() -> {ok, #{subscribers := N}} = ?RM:link_info(), N =:= 1 end),
    beamroute_rig:stop(Again).

connection(Old, New, Events) ->
    [Event || {_, property, [<<"connection">>], From, To} = Event <- Events, From =:= Old, To =:= New].

%% What the daemon itself would say is said here, and said while it is away.
bad_input_is_told_alike_near_and_far() ->
    Bad = bad_wishes(),
    start_link(),
    Away = [{Wish, write(Wish)} || Wish <- Bad],
    ?assertMatch({ok, #{wishes := 0}}, ?RM:link_info()),
    Daemon = beamroute_rig:start(),
    ok = ?RM:await_connected([{timeout, 20000}]),
    lists:foreach(
        fun({Wish, Reply}) ->
            ?assertMatch({error, {badarg, _}}, Reply, Wish),
            ?assertEqual(gen_server:call({route_manager, ?NODE}, Wish), Reply, Wish),
            ?assertEqual(Reply, write(Wish), Wish)
        end,
        Away
    ),
    %% And what it takes, we take.
    Route = fun(Subnets, Gateway) -> {set_route, <<"eth0">>, Subnets, Gateway} end,
    Good = [
        Route([], undefined),
        Route([{<<"192.168.1.50">>, 24}, {"fd00::1", 64}, {{254, 0, 0, 1}, 1}], "fd00::2"),
        {set_connection_status, "fünfzehn", lan, "grüße"},
        {set_connection_status, eth0, lan, undefined},
        {set_metric, eth0, 4_000_000_000}
    ],
    [?assertEqual({ok, ok}, {gen_server:call({route_manager, ?NODE}, Wish), write(Wish)}, Wish) || Wish <- Good],
    beamroute_rig:stop(Daemon).

bad_wishes() ->
    Ip = {192, 168, 1, 50},
    Names =
        [<<>>, "", '', <<"a/b">>, <<"a b">>, "a:b", <<".">>, '..', <<"sixteen-bytes-xx">>, 1, {a}, [a], <<"é/"/utf8>>],
    Lengths = [0, 33, -1, {24}, 1 bsl 40, x],
    NoAddresses =
        ["192.168.1", <<"010.0.0.1">>, <<"fe80::1%eth0">>, "0x7f.1", eth, {1, 2, 3}, {1, 2, 3, 256}, [], <<>>],
    NotOurs =
        [{127, 0, 0, 1}, "::1", {0, 0, 0, 0}, "::", {224, 0, 0, 1}, "ff02::1", {255, 255, 255, 255}, "::ffff:10.0.0.1"],
    Subnets =
        [[{Ip, Length}] || Length <- Lengths] ++ [[{Address, 24}] || Address <- NoAddresses ++ NotOurs] ++
            [nil, {Ip, 24}, [Ip], [{Ip, 24} | x], "x", lists:duplicate(1025, {Ip, 24})],
    Gateways = [none, "", {127, 0, 0, 1}, {0, 0, 0, 0}, "ff02::1", "x", {1}, <<"::ffff:1.2.3.4">>],
    Policies = [never, {clear_after, -1}, {lan_after, 1 bsl 32}, {keep, 1}, {clear_after, 1, 2}],
    lists:append([
        [{clear_route, Name} || Name <- Names],
        [{set_route, <<"eth0">>, Bad, nil} || Bad <- Subnets],
        [{set_route, <<"eth0">>, [{Ip, 24}], Gateway} || Gateway <- Gateways],
        [{set_connection_status, <<"eth0">>, Status, nil} || Status <- [up, <<"lan">>, 1, {lan}, 'Up']],
        [{set_connection_status, <<"eth0">>, lan, Why} || Why <- [why, 1, [a], binary:copy(<<"x">>, 4097)]],
        [{set_metric, <<"eth0">>, Metric} || Metric <- [0, -1, 4_000_000_001, 1 bsl 32, none, {1}]],
        [{set_owner_policy, Policy} || Policy <- Policies]
    ]).

bad_call_options_and_no_link() ->
    ?assertEqual({error, noproc}, ?RM:status()),
    ?assertEqual({error, noproc}, ?RM:clear_route(eth0, [{link, second}])),
    ?assertEqual({error, noproc}, ?RM:stop()),
    [
        ?assertMatch({error, {badarg, <<"clear_route: ", _/binary>>}}, ?RM:clear_route(eth0, Options), Options)
     || Options <-
            [x, [x], [{tmeout, 1}], [{timeout, 0}], [{timeout, infinity}], #{queue => 1}, [{link, "l"}], [{1, 2}]]
    ],
    ?assertMatch({error, {badarg, <<"subscribe: x is not a pid">>}}, ?RM:subscribe(x)).

%% Said before anybody is asked.
a_property_is_a_list_of_binaries() ->
    [
        ?assertMatch({error, {badarg, <<"get: property ", _/binary>>}}, ?RM:get(Path), Path)
     || Path <- [bad, <<"connection">>, ["connection"], [<<"a">> | <<"b">>], [1, #{}]]
    ],
    ?assertEqual({error, {badarg, <<"get: property [x] is not a list of binaries">>}}, ?RM:get([x])),
    ?assertEqual({error, noproc}, ?RM:get([])).

%% A name that is none is a mistake of the caller's, though an interface may have it.
no_interface_is_named_by_accident() ->
    start_link(),
    Sentence = " is not an interface name",
    [
        ?assertEqual({error, {badarg, iolist_to_binary([Call, $:, $\s, atom_to_list(Name), Sentence])}}, Reply)
     || Name <- [nil, undefined, true, false],
        {Call, Reply} <- [
            {"clear_route", ?RM:clear_route(Name)},
            {"set_route", ?RM:set_route(Name, [], nil)},
            {"set_metric", ?RM:set_metric(Name, 1)},
            {"set_connection_status", ?RM:set_connection_status(Name, lan)}
        ]
    ],
    ?assertEqual(ok, ?RM:clear_route("nil")),
    ?assertMatch({ok, #{wishes := 1}}, ?RM:link_info()).

an_unknown_request_is_answered() ->
    start_link(),
    ?assertEqual({error, unknown_request}, gen_statem:call(beamroute_link, nonsense, 5000)),
    Daemon = beamroute_rig:start(),
    ok = ?RM:await_connected([{timeout, 20000}]),
    ?assertEqual({error, unknown_request}, gen_statem:call(beamroute_link, nonsense, 5000)),
    beamroute_rig:stop(Daemon).

a_daemon_that_does_not_answer() ->
    Daemon = beamroute_rig:start(),
    start_link(),
    ok = ?RM:await_connected(),
    ok = write(?ETH0),
    beamroute_rig:freeze(Daemon),
    ?assertEqual({error, timeout}, ?RM:status([{timeout, 50}])),
    ?assertEqual({error, timeout}, ?RM:set_connection_status(eth0, internet, nil, [{timeout, 50}])),
    ?assertEqual({error, timeout}, ?RM:set_connection_status(eth0, lan, nil, [{timeout, 50}, {queue, false}])),
    %% The kept wish stands, and outlives the daemon that never answered it.
    ?assertMatch({ok, #{state := connected}}, ?RM:link_info()),
    beamroute_rig:kill(Daemon),
    beamroute_rig:eventually(fun() -> ?RM:status() =:= {error, disconnected} end),
    ?assertMatch({ok, #{wishes := 1}}, ?RM:link_info()),
    Again = beamroute_rig:start_again(Daemon),
    ok = ?RM:await_connected([{timeout, 20000}]),
    ?assertEqual(internet, interface(<<"eth0">>, status)),
    %% A node that takes connections and says nothing.
    beamroute_rig:stop(Again),
    ok = ?RM:stop(),
    {ok, Listen} = gen_tcp:listen(0, [{ip, {127, 0, 0, 1}}]),
    {ok, Port} = inet:port(Listen),
    {ok, _} = register_at_epmd("mute", Port),
    %% Nobody waits for it: not whoever starts the link, and not those who call.
    {ok, Patient} = ?RM:start_link([{node, 'mute@127.0.0.1'}, {connect_timeout, 3600000}]),
    unlink(Patient),
    {ok, _} = gen_tcp:accept(Listen, 20000),
    ?assertEqual({error, disconnected}, ?RM:status([{timeout, 1}])),
    ?assertMatch({ok, #{state := connecting}}, ?RM:link_info()),
    ok = ?RM:stop(),
    {ok, Link} = ?RM:start_link([{node, 'mute@127.0.0.1'}, {connect_timeout, 50}, {backoff_initial, 20}]),
    unlink(Link),
    ok = write(?ETH0),
    beamroute_rig:eventually(fun() -> {ok, #{reason := Why}} = ?RM:link_info(), Why =:= timeout end),
    ?assertEqual({error, disconnected}, ?RM:status()),
    ?assertMatch({ok, #{wishes := 1}}, ?RM:link_info()).

%% ALIVE2_REQ of the epmd protocol; the socket keeps the registration.
register_at_epmd(Name, Port) ->
    {ok, Socket} = gen_tcp:connect({127, 0, 0, 1}, 4369, [binary, {packet, 2}, {active, false}]),
    Request = <<$x, Port:16, $H, 0, 6:16, 5:16, (length(Name)):16, (list_to_binary(Name))/binary, 0:16>>,
    ok = gen_tcp:send(Socket, Request),
    ok = inet:setopts(Socket, [{packet, raw}]),
    {ok, <<_, 0, _/binary>>} = gen_tcp:recv(Socket, 0, 5000),
    {ok, Socket}.

%% Callers write all the time while the daemon is killed and started again. Every wish is answered `ok', there or not.
no_acknowledged_wish_is_lost() ->
    Daemon = beamroute_rig:start(#{args => ["--max-interfaces", "10000"]}),
    start_link([{max_interfaces, 10000}]),
    ok = ?RM:await_connected(),
    ok = write(?ETH0),
    ok = ?RM:set_route(wlan0, [{{192, 168, 2, 50}, 24}], {192, 168, 2, 1}),
    %% Some speak for an interface of the kernel again and again, others for ever new ones: a later wish hides no loss.
    Again = [spawn_monitor(fun() -> stream(fun(_) -> Name end, 1) end) || Name <- ["eth0", "wlan0"]],
    Prefixes = ["a", "b", "c"],
    Fresh = fun(Prefix) -> fun(N) -> Prefix ++ integer_to_list(N) end end,
    New = [spawn_monitor(fun() -> stream(Fresh(Prefix), 1) end) || Prefix <- Prefixes],
    Kill = fun(_, Running) ->
        %% Not before it has answered something.
        Before = interface(<<"eth0">>, why),
        beamroute_rig:eventually(fun() -> interface(<<"eth0">>, why) =/= Before end),
        beamroute_rig:kill(Running),
        Next = beamroute_rig:start_again(Running),
        ok = ?RM:await_connected([{timeout, 20000}]),
        Next
    end,
    Last = lists:foldl(Kill, Daemon, lists:seq(1, 5)),
    [Eth0, Wlan0] = [end_of_stream(Caller) || Caller <- Again],
    Counts = [end_of_stream(Caller) || Caller <- New],
    {ok, #{interfaces := Interfaces}} = ?RM:status(),
    Status = fun(Name) -> maps:with([status, why], maps:get(iolist_to_binary(Name), Interfaces, #{})) end,
    Wish = fun(N) -> #{status => status(N), why => integer_to_binary(N)} end,
    Lost = [
        {Prefix, N}
     || {Prefix, Count} <- lists:zip(Prefixes, Counts), N <- lists:seq(1, Count),
        Status([Prefix, integer_to_list(N)]) =/= Wish(N)
    ],
    ?assertEqual([], Lost),
    ?assertEqual({Wish(Eth0), Wish(Wlan0)}, {Status("eth0"), Status("wlan0")}),
    %% In the kernel, and at once.
    Routes = beamroute_rig:routes(),
    Metric = fun(N, Metrics) -> integer_to_list(maps:get(status(N), Metrics)) end,
    Expected = [
        "default via 192.168.1.1 dev eth0 metric " ++ Metric(Eth0, #{internet => 10, lan => 50}),
        "default via 192.168.2.1 dev wlan0 metric " ++ Metric(Wlan0, #{internet => 20, lan => 60})
    ],
    [?assertNotEqual(nomatch, string:find(Routes, Route ++ " "), Routes) || Route <- Expected],
    beamroute_rig:stop(Last).

%% The pause keeps a daemon's absence from being filled with more wishes than it has room for.
stream(Name, N) ->
    ok = ?RM:set_connection_status(Name(N), status(N), integer_to_binary(N), [{timeout, 30000}]),
    receive
        stop -> exit({last, N})
    after 1 -> stream(Name, N + 1)
    end.

end_of_stream({Pid, Ref}) ->
    Pid ! stop,
    receive
        {'DOWN', Ref, process, Pid, {last, N}} -> N;
        {'DOWN', Ref, process, Pid, Reason} -> error(Reason)
    after 30000 -> error(no_end)
    end.

status(N) -> element(N rem 2 + 1, {lan, internet}).

several_links() ->
    One = beamroute_rig:start(),
    Two = beamroute_rig:start(#{name => "gx@127.0.0.1", args => ["--protocol", "111", "--rule-priority", "30001"]}),
    start_link(),
    {ok, Second} = ?RM:start_link([{node, 'gx@127.0.0.1'}, {cookie, client}, {name, second}]),
    unlink(Second),
    ok = ?RM:await_connected(),
    ok = ?RM:await_connected([{link, second}]),
    ok = ?RM:set_connection_status(ppp0, lan, "first", []),
    ok = ?RM:set_connection_status(ppp0, internet, "second", [{link, Second}]),
    ?assertEqual({ok, lan}, ?RM:get([<<"connection">>])),
    ?assertEqual({ok, internet}, ?RM:get([<<"connection">>], [{link, second}])),
    beamroute_rig:kill(One),
    beamroute_rig:eventually(fun() -> ?RM:status() =:= {error, disconnected} end),
    ?assertEqual({ok, internet}, ?RM:get([<<"connection">>], [{link, second}])),
    ?assertMatch({error, {already_started, Second}}, ?RM:start_link([{node, ?NODE}, {name, second}])),
    beamroute_rig:stop(Two).

a_wrong_cookie_is_tried_again() ->
    Daemon = beamroute_rig:start(),
    true = erlang:set_cookie(?NODE, wrong),
    {ok, Pid} = ?RM:start_link([{node, ?NODE}, {backoff_initial, 20}, {backoff_max, 50}]),
    unlink(Pid),
    {ok, None} = ?RM:start_link([{node, 'none@127.0.0.1'}, {name, second}]),
    unlink(None),
    Reason = fun() -> {ok, #{reason := Why}} = ?RM:link_info([{link, second}]), Why end,
    beamroute_rig:eventually(fun() -> Reason() =:= no_such_node end),
    beamroute_rig:eventually(fun() -> {ok, #{reason := Why}} = ?RM:link_info(), Why =:= handshake_failed end),
    ?assertEqual({error, disconnected}, ?RM:status()),
    true = erlang:set_cookie(?NODE, client),
    ok = ?RM:await_connected([{timeout, 20000}]),
    %% The cookie that an option gives is not shown.
    ok = ?RM:stop(),
    start_link(),
    ?assertEqual(nomatch, string:find(io_lib:format("~p", [sys:get_status(beamroute_link)]), "client")),
    beamroute_rig:stop(Daemon).

%% The next attempt would come in an hour.
a_daemon_that_dials_is_not_waited_for() ->
    {ok, Pid} = ?RM:start_link([{node, ?NODE}, {cookie, client}, {backoff_initial, 3600000}, {backoff_max, 3600000}]),
    unlink(Pid),
    beamroute_rig:eventually(fun() -> {ok, #{state := S}} = ?RM:link_info(), S =:= disconnected end),
    ok = write(?ETH0),
    Daemon = beamroute_rig:start(#{args => ["--connect", atom_to_list(node())]}),
    ok = ?RM:await_connected([{timeout, 20000}]),
    ?assertEqual(installed, interface(<<"eth0">>, install)),
    beamroute_rig:stop(Daemon).

the_reason_is_the_caller() ->
    Daemon = beamroute_rig:start(),
    start_link(),
    ok = ?RM:await_connected(),
    ok = ?RM:set_connection_status(eth0, lan), Line = ?LINE,
    Why = iolist_to_binary(io_lib:format("~s:the_reason_is_the_caller/0:~b", [?MODULE, Line])),
    ?assertEqual(Why, interface(<<"eth0">>, why)),
    beamroute_rig:stop(Daemon).

stop_ends_the_link_only() ->
    Daemon = beamroute_rig:start(#{args => ["--admin", "all"]}),
    start_link(),
    ok = ?RM:await_connected(),
    ok = write(?ETH0),
    Routes = beamroute_rig:routes(),
    ok = ?RM:stop(),
    ?assertEqual({error, noproc}, ?RM:link_info()),
    ?assertEqual(Routes, beamroute_rig:routes()),
    start_link(),
    ok = ?RM:await_connected(),
    ?assertEqual(ok, ?RM:stop_daemon()),
    beamroute_rig:eventually(fun() -> {ok, #{reason := Why}} = ?RM:link_info(), Why =/= connected end),
    beamroute_rig:stopped(Daemon).
