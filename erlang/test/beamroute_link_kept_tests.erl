%% What a link must not lose: when it crashes, and when more is asked for than a connection takes at once.
-module(beamroute_link_kept_tests).

-include_lib("eunit/include/eunit.hrl").

-export([init/1, log/2]).

-define(RM, beamroute_route_manager).
-define(NODE, 'gw@127.0.0.1').
-define(LONG, binary:copy(<<"x">>, 4000)).

link_test_() ->
    Tests = [
        fun a_link_that_is_killed_keeps_what_it_has_taken/0,
        fun unanswered_writes_outlive_the_link/0,
        fun the_keeper_may_end_as_well/0,
        fun what_is_forgotten/0,
        fun a_flood_is_no_loss/0,
        fun many_kept_wishes_arrive_at_once/0,
        fun a_full_buffer_is_waited_for/0,
        fun a_full_buffer_does_not_block_the_link/0,
        fun a_daemon_that_answers_nothing_is_given_up/0,
        fun unanswered_writes_are_sent_again_in_order/0,
        fun no_more_interfaces_than_said/0,
        fun a_refused_wish_is_a_short_line/0,
        fun no_cookie_in_reports/0,
        fun subscribers_are_one_to_the_daemon/0,
        fun a_late_subscriber_is_told_the_state/0,
        fun links_leave_each_others_subscribers_alone/0
    ],
    [{setup, fun beamroute_rig:settle/0, fun cleanup/1, {timeout, 120, {atom_to_list(name(T)), T}}} || T <- Tests].

name(Fun) -> element(2, erlang:fun_info(Fun, name)).

cleanup(_) -> beamroute_rig:clean_up().

start_link() -> start_link([]).
start_link(More) -> beamroute_rig:start_link(More).

connected() -> ok = ?RM:await_connected([{timeout, 20000}]).

%% A supervisor of ours, while the application `beamroute' is not started.
supervised(More) ->
    {ok, Supervisor} = supervisor:start_link(?MODULE, [?RM:child_spec(beamroute_rig:options(More))]),
    Supervisor.

%% @private
init(Children) -> {ok, {#{intensity => 10}, Children}}.

ends(Supervisor) ->
    unlink(Supervisor),
    Ref = monitor(process, Supervisor),
    exit(Supervisor, shutdown),
    receive {'DOWN', Ref, process, _, _} -> ok end.

kill_link() ->
    Pid = whereis(beamroute_link),
    exit(Pid, kill),
    Pid.

restarted(Old) ->
    beamroute_rig:eventually(fun() -> not lists:member(whereis(beamroute_link), [Old, undefined]) end).

statuses() ->
    {ok, #{interfaces := Interfaces}} = ?RM:status(),
    maps:map(fun(_, #{status := Status}) -> Status end, Interfaces).

ifname(N) -> iolist_to_binary(["i", integer_to_list(N)]).

a_link_that_is_killed_keeps_what_it_has_taken() ->
    Supervisor = supervised([]),
    ?assertEqual(undefined, whereis(beamroute_sup)),
    ok = ?RM:subscribe(),
    ok = ?RM:set_connection_status("b", lan),
    ok = ?RM:set_connection_status("a", lan),
    ok = ?RM:set_connection_status("b", internet),
    restarted(kill_link()),
    ?assertMatch({ok, #{wishes := 2, subscribers := 1}}, ?RM:link_info()),
    ok = ?RM:set_connection_status("c", lan),
    restarted(kill_link()),
    %% Nobody holds on to a subscriber that has ended meanwhile.
    {Pid, Ref} = spawn_monitor(fun() -> ok = ?RM:subscribe() end),
    receive {'DOWN', Ref, process, Pid, normal} -> ok end,
    Daemon = beamroute_rig:start(),
    connected(),
    ?assertEqual(#{<<"a">> => lan, <<"b">> => internet, <<"c">> => lan}, statuses()),
    {ok, #{interfaces := Interfaces}} = ?RM:status(),
    ?assertEqual([100, 101, 102], [maps:get(table, maps:get(If, Interfaces)) || If <- [<<"a">>, <<"b">>, <<"c">>]]),
    ?assertMatch({ok, #{wishes := 0, subscribers := 1}}, ?RM:link_info()),
    Heard = beamroute_rig:flush(),
    ?assert(lists:member({route_manager, ?NODE, {link, connected}}, Heard)),
    ?assert(lists:member([<<"connection">>], [Path || {_, _, {_, property, Path, _, internet}} <- Heard])),
    %% What was answered is not sent again.
    ok = gen_server:call({route_manager, ?NODE}, {set_connection_status, <<"a">>, internet, nil}),
    restarted(kill_link()),
    connected(),
    ?assertEqual(internet, maps:get(<<"a">>, statuses())),
    [{route_manager, ?NODE, {link, Up}} | _] =
        [M || {route_manager, _, {link, _}} = M <- beamroute_rig:flush()],
    ?assertEqual({disconnected, not_yet}, Up),
    ends(Supervisor),
    beamroute_rig:stop(Daemon).

unanswered_writes_outlive_the_link() ->
    Daemon = beamroute_rig:start(),
    Supervisor = supervised([]),
    connected(),
    beamroute_rig:freeze(Daemon),
    %% More than are sent at once.
    Count = 100,
    _ = [ask({set_connection_status, ifname(N), lan, nil}) || N <- lists:seq(1, Count)],
    %% The link's own may be among them.
    ?assertMatch({ok, #{requests := R}} when R >= Count, ?RM:link_info()),
    Old = kill_link(),
    beamroute_rig:kill(Daemon),
    restarted(Old),
    ?assertMatch({ok, #{wishes := Count}}, ?RM:link_info()),
    Again = beamroute_rig:start_again(Daemon),
    connected(),
    ?assertEqual(maps:from_list([{ifname(N), lan} || N <- lists:seq(1, Count)]), statuses()),
    ends(Supervisor),
    beamroute_rig:stop(Again).

%% As ?RM does, but without waiting.
ask(Wish) -> gen_statem:send_request(beamroute_link, {request, write, Wish, #{timeout => 30000}}).

the_keeper_may_end_as_well() ->
    Supervisor = supervised([]),
    ok = ?RM:subscribe(),
    ok = ?RM:set_connection_status("a", lan),
    Keeper = whereis(beamroute_keeper),
    exit(Keeper, kill),
    beamroute_rig:eventually(fun() -> not lists:member(whereis(beamroute_keeper), [Keeper, undefined]) end),
    ok = ?RM:set_connection_status("b", lan),
    restarted(kill_link()),
    ?assertMatch({ok, #{wishes := 2, subscribers := 1}}, ?RM:link_info()),
    ends(Supervisor).

what_is_forgotten() ->
    Kept = fun(Link) -> {ok, #{wishes := Wishes}} = ?RM:link_info([{link, Link}]), Wishes end,
    %% By stop.
    start_link(),
    ok = ?RM:set_connection_status("a", lan),
    ok = ?RM:stop(),
    start_link(),
    ?assertEqual(0, Kept(beamroute_link)),
    %% Not by a supervisor that ends, and starts again.
    ok = ?RM:stop(),
    Supervisor = supervised([]),
    ok = ?RM:set_connection_status("a", lan),
    ends(Supervisor),
    Next = supervised([]),
    ?assertEqual(1, Kept(beamroute_link)),
    ends(Next),
    %% By a link to another node.
    Other = supervised([{node, 'other@127.0.0.1'}]),
    ?assertEqual(0, Kept(beamroute_link)),
    ends(Other),
    %% With a link that has no name.
    {ok, Nameless} = ?RM:start_link(beamroute_rig:options([{name, undefined}])),
    unlink(Nameless),
    ok = ?RM:set_connection_status("a", lan, nil, [{link, Nameless}]),
    ?assertEqual(1, Kept(Nameless)),
    exit(Nameless, kill),
    start_link(),
    ?assertEqual(0, Kept(beamroute_link)).

is_steady(Heard) -> [] =:= [lost || {route_manager, _, {link, {disconnected, _}}} <- Heard].

%% A thousand callers, each with as long a reason as may be.
a_flood_is_no_loss() ->
    Daemon = beamroute_rig:start(),
    start_link(),
    connected(),
    ok = ?RM:subscribe(),
    Why = fun(N) -> [integer_to_binary(N), ?LONG] end,
    Write = fun(N) ->
        ?RM:set_connection_status(ifname(N rem 200), lan, iolist_to_binary(Why(N)), [{timeout, 30000}])
    end,
    %% The system's buffers would take all of it.
    Other = fill(Daemon),
    Asked = [spawn_monitor(fun() -> exit(Write(N)) end) || N <- lists:seq(1, 1000)],
    beamroute_rig:eventually(fun() -> {ok, #{requests := Waiting}} = ?RM:link_info(), Waiting >= 1000 end),
    exit(Other, kill),
    beamroute_rig:thaw(Daemon),
    [receive {'DOWN', Ref, process, Pid, Result} -> ?assertEqual(ok, Result) end || {Pid, Ref} <- Asked],
    beamroute_rig:eventually(fun() -> {ok, #{requests := Requests}} = ?RM:link_info(), Requests =:= 0 end),
    ?assert(is_steady(beamroute_rig:flush())),
    beamroute_rig:stop(Daemon).

many_kept_wishes_arrive_at_once() ->
    Count = 1000,
    start_link([{max_interfaces, Count}]),
    [ok = ?RM:set_connection_status(ifname(N), lan, ?LONG) || N <- lists:seq(1, Count)],
    _ = beamroute_rig:start(#{args => ["--max-interfaces", integer_to_list(Count)]}),
    connected(),
    ok = ?RM:subscribe(),
    beamroute_rig:eventually(fun() -> {ok, #{wishes := W}} = ?RM:link_info(), W =:= 0 end),
    {ok, #{interfaces := Interfaces}} = ?RM:status([{timeout, 30000}]),
    ?assertEqual(Count, map_size(Interfaces)),
    ?assert(is_steady(beamroute_rig:flush())).

%% Others use the connection too.
a_full_buffer_is_waited_for() ->
    Daemon = beamroute_rig:start(),
    start_link(),
    connected(),
    ok = ?RM:subscribe(),
    Other = fill(Daemon),
    Asked = ask({set_connection_status, <<"a">>, internet, nil}),
    %% It has been tried by now.
    ?assertMatch({ok, #{state := connected}}, ?RM:link_info()),
    ?assertEqual(nosuspend, erlang:send({nobody, ?NODE}, x, [nosuspend])),
    exit(Other, kill),
    beamroute_rig:thaw(Daemon),
    ?assertEqual({reply, ok}, gen_statem:wait_response(Asked, 20000)),
    ?assertEqual(#{<<"a">> => internet}, statuses()),
    ?assert(is_steady(beamroute_rig:flush())),
    beamroute_rig:stop(Daemon).

%% Neither while it gives up, nor while it tries again.
a_full_buffer_does_not_block_the_link() ->
    Daemon = beamroute_rig:start(),
    start_link([{connect_timeout, 100}]),
    connected(),
    ok = ?RM:subscribe(),
    Other = fill(Daemon),
    ?assertEqual(ok, ?RM:set_connection_status("a", internet)),
    receive {route_manager, ?NODE, {link, {disconnected, timeout}}} -> ok end,
    beamroute_rig:eventually(fun() -> {ok, #{state := State}} = ?RM:link_info(), State =:= connecting end),
    beamroute_rig:eventually(fun() -> {ok, #{state := State}} = ?RM:link_info(), State =:= disconnected end),
    exit(Other, kill),
    beamroute_rig:thaw(Daemon),
    connected(),
    ?assertEqual(#{<<"a">> => internet}, statuses()),
    beamroute_rig:stop(Daemon).

%% A process that keeps the buffer of the connection to a daemon full that does not read.
fill(Daemon) ->
    beamroute_rig:freeze(Daemon),
    Other = spawn(fun() -> send_on(binary:copy(<<"x">>, 100000)) end),
    beamroute_rig:eventually(fun() -> process_info(Other, status) =:= {status, suspended} end),
    Other.

send_on(Data) ->
    {nobody, ?NODE} ! Data,
    send_on(Data).

a_daemon_that_answers_nothing_is_given_up() ->
    Daemon = beamroute_rig:start(),
    start_link([{connect_timeout, 200}]),
    connected(),
    beamroute_rig:freeze(Daemon),
    Asked = [ask({set_connection_status, ifname(N), lan, nil}) || N <- lists:seq(1, 100)],
    %% Kept.
    [?assertEqual({reply, ok}, gen_statem:wait_response(Request, 20000)) || Request <- Asked],
    ?assertEqual({error, disconnected}, ?RM:status()),
    ?assertMatch({ok, #{reason := timeout, wishes := 100, requests := R}} when R < 4, ?RM:link_info()),
    beamroute_rig:thaw(Daemon),
    connected(),
    ?assertEqual(100, map_size(statuses())),
    beamroute_rig:stop(Daemon).

unanswered_writes_are_sent_again_in_order() ->
    Daemon = beamroute_rig:start(),
    start_link(),
    connected(),
    beamroute_rig:freeze(Daemon),
    Order = [N * 37 rem 101 || N <- lists:seq(1, 100)],
    Asked = [ask({set_connection_status, ifname(N), lan, nil}) || N <- Order],
    %% One that nobody waits for, and one of those that were before it again.
    ?assertEqual({error, timeout}, ?RM:set_connection_status("last", lan, nil, [{timeout, 1}])),
    Last = ask({set_connection_status, ifname(hd(Order)), internet, nil}),
    {ok, _} = ?RM:link_info(),
    beamroute_rig:kill(Daemon),
    [?assertEqual({reply, ok}, gen_statem:wait_response(Request, 20000)) || Request <- Asked ++ [Last]],
    Again = beamroute_rig:start_again(Daemon),
    connected(),
    {ok, #{interfaces := Interfaces}} = ?RM:status(),
    Tables = [Name || {_, Name} <- lists:sort([{T, Name} || {Name, #{table := T}} <- maps:to_list(Interfaces)])],
    ?assertEqual([ifname(N) || N <- tl(Order)] ++ [<<"last">>, ifname(hd(Order))], Tables),
    ?assertEqual(internet, maps:get(ifname(hd(Order)), statuses())),
    beamroute_rig:stop(Again).

no_more_interfaces_than_said() ->
    start_link(),
    [?assertEqual(ok, ?RM:set_connection_status(ifname(N), lan)) || N <- lists:seq(1, 256)],
    TooMany = {error, {too_many_interfaces, 256}},
    ?assertEqual(TooMany, ?RM:set_connection_status("more", lan)),
    ?assertEqual(TooMany, ?RM:set_metric("more", 7)),
    ?assertEqual(ok, ?RM:set_metric(ifname(256), 7)),
    Daemon = beamroute_rig:start(),
    connected(),
    %% In the daemon's words.
    ?assertEqual(TooMany, ?RM:set_connection_status("more", lan)),
    ?assertEqual(256, map_size(statuses())),
    beamroute_rig:stop(Daemon).

with_log(Level, Handler, Config, Fun) ->
    #{level := Before} = logger:get_primary_config(),
    ok = logger:add_handler(?MODULE, Handler, Config),
    ok = logger:set_handler_config(default, level, none),
    ok = logger:set_primary_config(level, Level),
    try Fun() after
        logger:set_handler_config(default, level, all),
        logger:set_primary_config(level, Before),
        logger:remove_handler(?MODULE)
    end.

a_refused_wish_is_a_short_line() ->
    start_link(),
    ok = ?RM:set_connection_status("a", lan, ?LONG),
    ok = ?RM:set_connection_status("b", lan, ?LONG),
    with_log(warning, beamroute_log, #{config => self()}, fun() ->
        Daemon = beamroute_rig:start(#{args => ["--max-interfaces", "1"]}),
        connected(),
        Line = receive {log, warning, "beamroute: gw@127.0.0.1 refused" ++ _ = L} -> L after 20000 -> error(never) end,
        ?assertNotEqual(nomatch, string:find(Line, "set_connection_status,<<\"b\">>")),
        ?assertNotEqual(nomatch, string:find(Line, "too_many_interfaces")),
        ?assert(length(Line) < 200),
        beamroute_rig:stop(Daemon)
    end).

%% Of the supervisor when it starts a child and when that ends, of the link when it crashes, of whoever asks.
no_cookie_in_reports() ->
    Options = [{name, second}, {node, 'none@127.0.0.1'}, {cookie, a_secret_of_two}, {connect_timeout, 100}],
    with_log(all, ?MODULE, #{config => self()}, fun() ->
        Supervisor = supervised(Options),
        Link = whereis(second),
        ?assertEqual(nomatch, string:find(io_lib:format("~p", [sys:get_state(second)]), "a_secret")),
        Broken = fun({State, _}) -> {State, broken} end,
        try sys:replace_state(second, Broken) of _ -> ok catch _:_ -> ok end,
        beamroute_rig:eventually(fun() -> not lists:member(whereis(second), [Link, undefined]) end),
        [{Id, _, _, _}] = supervisor:which_children(Supervisor),
        {ok, #{start := {beamroute_link, start_link, _} = Start}} = supervisor:get_childspec(Supervisor, Id),
        ends(Supervisor),
        Shown = [lists:flatten(io_lib:format("~p", [Start])) | [Text || {report, Text} <- beamroute_rig:flush()]],
        ?assertMatch([_, _ | _], [found || Text <- Shown, string:find(Text, "start_link") =/= nomatch]),
        ?assertNotEqual([], [found || Text <- Shown, string:find(Text, "supervisor_report") =/= nomatch]),
        ?assertNotEqual([], [found || Text <- Shown, string:find(Text, "child_terminated") =/= nomatch]),
        ?assertEqual([], [Text || Text <- Shown, string:find(Text, "a_secret") =/= nomatch])
    end).

%% @private A handler of logger.
log(Event, #{config := Pid}) -> Pid ! {report, lists:flatten(io_lib:format("~p", [Event]))}.

subscribers_are_one_to_the_daemon() ->
    Daemon = beamroute_rig:start(),
    start_link(),
    connected(),
    %% More than the daemon has room for.
    Self = self(),
    Pids = [spawn(fun() -> Self ! {self(), until_internet(0)} end) || _ <- lists:seq(1, 1100)],
    [?assertEqual(ok, ?RM:subscribe(Pid)) || Pid <- Pids],
    ok = ?RM:set_connection_status("a", internet),
    Heard = [receive {Pid, Number} -> Number after 20000 -> error(never) end || Pid <- Pids],
    ?assertMatch([_], lists:usort(Heard)),
    beamroute_rig:eventually(fun() -> {ok, #{subscribers := S}} = ?RM:link_info(), S =:= 0 end),
    beamroute_rig:stop(Daemon).

until_internet(Last) ->
    Next = Last + 1,
    receive
        {route_manager, ?NODE, {Next, property, [<<"connection">>], _, internet}} -> Next;
        {route_manager, ?NODE, {Next, _, _, _, _}} -> until_internet(Next);
        {route_manager, ?NODE, {Next, _, _, _}} -> until_internet(Next)
    end.

%% What a subscription of its own would have told it.
a_late_subscriber_is_told_the_state() ->
    Daemon = beamroute_rig:start(),
    start_link(),
    connected(),
    ok = ?RM:subscribe(),
    ok = ?RM:set_route(wlan0, [{{192, 168, 2, 50}, 24}], {192, 168, 2, 1}),
    ok = ?RM:set_route(eth0, [{{192, 168, 1, 50}, 24}], {192, 168, 1, 1}),
    ok = ?RM:set_connection_status(ppp7, lan),
    ok = ?RM:set_connection_status(gone, internet),
    ok = ?RM:clear_route(gone),
    "" = os:cmd("ip link set wlan0 down"),
    try
        {ok, _} = ?RM:status(),
        Late = heard_of(fun(Pid) -> ok = ?RM:subscribe(Pid) end),
        Own = heard_of(fun(Pid) -> ok = gen_server:call({route_manager, ?NODE}, {subscribe, Pid}) end),
        ?assertMatch([{link, connected} | Own], Late),
        ?assert(length(Own) > 6)
    after
        os:cmd("ip link set wlan0 up; ip addr replace 192.168.2.50/24 dev wlan0")
    end,
    beamroute_rig:stop(Daemon).

heard_of(Subscribe) ->
    Pid = spawn_link(fun() -> receive {tell, From} -> From ! {self(), beamroute_rig:flush()} end end),
    Subscribe(Pid),
    %% What the daemon sent before its answer is here.
    {ok, _} = ?RM:status(),
    Pid ! {tell, self()},
    receive {Pid, Heard} -> [Event || {route_manager, ?NODE, Event} <- Heard] end.

links_leave_each_others_subscribers_alone() ->
    Daemon = beamroute_rig:start(),
    start_link(),
    start_link([{name, second}]),
    connected(),
    ok = ?RM:await_connected([{link, second}]),
    ok = ?RM:subscribe(self(), [{link, second}]),
    ok = ?RM:subscribe(self(), []),
    ok = ?RM:unsubscribe(self(), [{link, second}]),
    beamroute_rig:flush(),
    ok = ?RM:set_connection_status("a", internet),
    {ok, _} = ?RM:status(),
    ?assertMatch([_], [is || {_, _, {_, property, [<<"connection">>], _, internet}} <- beamroute_rig:flush()]),
    beamroute_rig:stop(Daemon).
