%% One request to many daemons, each with a network namespace of its own.
-module(beamroute_fleet_tests).

-include_lib("eunit/include/eunit.hrl").

-define(FLEET, beamroute_fleet).
-define(COUNT, 20).
-define(COOKIE, {cookie, client}).

fleet_test_() ->
    Tests = [
        fun many_with_stragglers/1,
        fun one_that_goes_in_between/1,
        fun nodes_that_hang_hold_up_nobody/1,
        fun a_host_that_is_looked_up_for_long/1,
        fun a_caller_that_is_killed/1,
        fun a_connection_that_is_full/1,
        fun daemons_that_dial/1
    ],
    [
        {setup, fun() -> setup(?COUNT) end, fun cleanup/1, fun(Fleet) ->
            [{timeout, 60, {atom_to_list(name(T)), fun() -> T(Fleet) end}} || T <- Tests]
        end},
        fun bad_input_is_asked_of_none/0,
        {timeout, 60, fun a_node_without_distribution/0}
    ].

name(Fun) -> element(2, erlang:fun_info(Fun, name)).

setup(Count) -> [start(Number, []) || Number <- lists:seq(1, Count)].

start(Number, Args) ->
    Holder = open_port({spawn_executable, "/bin/sh"}, [
        {args, ["-c", "exec unshare --net sh -c 'echo; exec sleep 1000'"]},
        {line, 80}, exit_status
    ]),
    receive {Holder, {data, _}} -> ok after 20000 -> error(no_namespace) end,
    {os_pid, Pid} = erlang:port_info(Holder, os_pid),
    Netns = "/proc/" ++ integer_to_list(Pid) ++ "/ns/net",
    Name = "fleet" ++ integer_to_list(Number) ++ "@127.0.0.1",
    {beamroute_rig:start(#{name => Name, args => ["--netns", Netns, "--max-interfaces", "1" | Args]}), Pid}.

cleanup(Fleet) ->
    beamroute_rig:kill_all(),
    _ = [os:cmd("kill " ++ integer_to_list(Pid)) || {_, Pid} <- Fleet],
    _ = [erlang:disconnect_node(Node) || Node <- nodes_of(Fleet)],
    beamroute_rig:flush().

nodes_of(Fleet) -> [beamroute_rig:node(Daemon) || {Daemon, _} <- Fleet].

many_with_stragglers(Fleet) ->
    beamroute_rig:flush(),
    Nodes = lists:reverse(nodes_of(Fleet)),
    {ok, All} = ?FLEET:multicall(Nodes, status, [?COOKIE]),
    ?assertEqual(Nodes, [Node || {Node, {ok, #{interfaces := #{}}}} <- All]),
    ?assertEqual(lists:sort(Nodes), lists:sort(nodes(hidden))),
    %% One that has been connected, one that has not, and three that are nowhere.
    {Sleeper, _} = lists:nth(7, Fleet),
    {Unconnected, _} = lists:nth(8, Fleet),
    Stragglers = [beamroute_rig:node(Daemon) || Daemon <- [Sleeper, Unconnected]],
    erlang:disconnect_node(beamroute_rig:node(Unconnected)),
    [beamroute_rig:freeze(Daemon) || Daemon <- [Sleeper, Unconnected]],
    Dead = ['dead1@127.0.0.1', 'dead2@127.0.0.1', 'dead3@127.0.0.1'],
    Asked = ['dead1@127.0.0.1' | Nodes] ++ ['dead2@127.0.0.1', 'dead3@127.0.0.1', node(), hd(Nodes)],
    Expected = fun(Node) ->
        IsDead = lists:member(Node, Dead),
        case lists:member(Node, Stragglers) of
            true when Node =:= hd(Stragglers) -> {Node, {error, timeout}};
            true -> {Node, {error, not_asked}};
            false when IsDead -> {Node, {error, noconnection}};
            false when Node =:= node() -> {Node, {error, noproc}};
            false -> {Node, {ok, ok}}
        end
    end,
    Write = {set_connection_status, "eth0", internet},
    {ok, Some} = ?FLEET:multicall(Asked, Write, [{timeout, 2000}, {max_connects, 2}]),
    ?assertEqual([Expected(Node) || Node <- Asked], Some),
    %% What they answer late reaches nobody, and they are as the others again.
    [beamroute_rig:thaw(Daemon) || Daemon <- [Sleeper, Unconnected]],
    {ok, Again} = ?FLEET:multicall(Nodes, {get, [<<"connection">>]}, #{timeout => 20000}),
    ?assertEqual([{Node, {ok, internet}} || Node <- Nodes, Node =/= beamroute_rig:node(Unconnected)],
        lists:keydelete(beamroute_rig:node(Unconnected), 1, Again)),
    ?assertEqual({beamroute_rig:node(Unconnected), {ok, disconnected}},
        lists:keyfind(beamroute_rig:node(Unconnected), 1, Again)),
    ?assertEqual([], beamroute_rig:flush()),
    %% Who has said it, and the daemon's own refusals.
    First = hd(Nodes),
    {ok, [{First, {ok, #{interfaces := #{<<"eth0">> := #{why := Why}}}}}]} = ?FLEET:multicall([First], status),
    ?assertMatch(<<"beamroute_fleet_tests:many_with_stragglers/1:", _/binary>>, Why),
    {ok, [{First, {error, Refusal}}]} = ?FLEET:multicall([First], {set_connection_status, "eth1", lan}),
    ?assertEqual({too_many_interfaces, 1}, Refusal),
    ?assertEqual({ok, []}, ?FLEET:multicall([], plan)).

%% It is lost while it is waited for.
one_that_goes_in_between(Fleet) ->
    [{First, _}, {Second, _} | _] = Fleet,
    Nodes = [beamroute_rig:node(First), beamroute_rig:node(Second)],
    {ok, [{_, {ok, _}}, {_, {ok, _}}]} = ?FLEET:multicall(Nodes, plan, [?COOKIE]),
    beamroute_rig:freeze(First),
    Self = self(),
    Caller = spawn_link(fun() -> Self ! {self(), ?FLEET:multicall(Nodes, plan, [{timeout, 60000}])} end),
    beamroute_rig:eventually(fun() -> erlang:process_info(Caller, status) =:= {status, waiting} end),
    beamroute_rig:kill(First),
    receive {Caller, Answer} -> ok end,
    ?assertEqual({ok, lists:zip(Nodes, [{error, noconnection}, {ok, []}])}, Answer),
    ?assertEqual([], beamroute_rig:flush()).

%% Their hosts take what is sent, and say nothing.
nodes_that_hang_hold_up_nobody([_, {Daemon, _} | _]) ->
    Living = beamroute_rig:node(Daemon),
    Ask = fun(Hanging, Options) ->
        _ = erlang:disconnect_node(Living),
        {ok, Answers} = ?FLEET:multicall(Hanging ++ [Living], plan, [?COOKIE | Options]),
        {lists:keyfind(Living, 1, Answers), lists:usort([Answer || {Node, Answer} <- Answers, Node =/= Living])}
    end,
    NotAsked = [{error, not_asked}],
    ?assertEqual({{Living, {ok, []}}, NotAsked}, Ask(hanging(6), [{max_connects, 2}, {timeout, 3000}])),
    %% There are too many before it.
    ?assertEqual({{Living, hd(NotAsked)}, NotAsked}, Ask(hanging(40), [{max_connects, 1}, {timeout, 200}])),
    %% One that is connected waits for none.
    true = net_kernel:connect_node(Living),
    {ok, Answers} = ?FLEET:multicall(hanging(40) ++ [Living], plan, [{max_connects, 1}, {timeout, 200}]),
    ?assertEqual({Living, {ok, []}}, lists:last(Answers)).

hanging(Count) ->
    Hosts = ["192.168.2." ++ integer_to_list(100 + Number) || Number <- lists:seq(1, Count)],
    [[] = os:cmd("ip neigh replace " ++ Host ++ " lladdr 02:00:00:00:00:01 dev wlan0 nud permanent") || Host <- Hosts],
    [list_to_atom("away@" ++ Host) || Host <- Hosts].

%% By a server that never answers.
a_host_that_is_looked_up_for_long([_, {Daemon, _} | _]) ->
    Living = beamroute_rig:node(Daemon),
    {ok, Silent} = gen_udp:open(0, [{ip, {127, 0, 0, 1}}]),
    {ok, Port} = inet:port(Silent),
    {ok, Vm, _} = peer:start(#{
        connection => standard_io,
        args => ["-name", "looks@127.0.0.1", "-setcookie", "client", "-start_epmd", "false"
            | ["-kernel", "logger_level", "critical", "-pa", filename:dirname(code:which(?FLEET))]]
    }),
    %% Not the machine's.
    ok = peer:call(Vm, inet_db, res_option, [resolv_conf, ""]),
    ok = peer:call(Vm, inet_db, add_ns, [{127, 0, 0, 1}, Port]),
    ok = peer:call(Vm, inet_db, set_lookup, [[dns]]),
    Nodes = ['a@gw7.nowhere.invalid', Living],
    {ok, Answers} = peer:call(Vm, ?FLEET, multicall, [Nodes, plan, [{max_connects, 1}, {timeout, 2000}]]),
    ?assertEqual(lists:zip(Nodes, [{error, not_asked}, {ok, []}]), Answers),
    peer:stop(Vm),
    gen_udp:close(Silent),
    beamroute_rig:flush().

a_caller_that_is_killed(_) ->
    Nodes = hanging(3),
    {Caller, Monitor} = spawn_monitor(fun() -> ?FLEET:multicall(Nodes, plan, [{timeout, 60000}]) end),
    Dialling = fun() ->
        [Pid || Pid <- processes(), process_info(Pid, initial_call) =:= {initial_call, {?FLEET, dial, 2}}]
    end,
    beamroute_rig:eventually(fun() -> length(Dialling()) =:= 3 end),
    Monitors = [monitor(process, Pid) || Pid <- Dialling()],
    exit(Caller, kill),
    receive {'DOWN', Monitor, process, _, killed} -> ok end,
    Reasons = [receive {'DOWN', Ref, process, _, Reason} -> Reason end || Ref <- Monitors],
    ?assertEqual([killed, killed, killed], Reasons).

%% The distribution suspends whoever sends more to a daemon that does not read.
a_connection_that_is_full([_, {Full, _}, {Other, _} | _]) ->
    Nodes = [beamroute_rig:node(Full), beamroute_rig:node(Other)],
    {ok, [{_, {ok, _}}, {_, {ok, _}}]} = ?FLEET:multicall(Nodes, plan, [?COOKIE]),
    beamroute_rig:freeze(Full),
    fill({nobody, hd(Nodes)}, binary:copy(<<0>>, 65536)),
    ?assertEqual({ok, lists:zip(Nodes, [{error, timeout}, {ok, []}])}, ?FLEET:multicall(Nodes, plan, [{timeout, 500}])),
    beamroute_rig:kill(Full).

%% Until the kernel takes no more of it either.
fill(To, Bytes) ->
    case erlang:send(To, Bytes, [noconnect, nosuspend]) of
        ok ->
            fill(To, Bytes);
        nosuspend ->
            timer:sleep(100),
            erlang:send(To, Bytes, [noconnect, nosuspend]) =:= nosuspend orelse fill(To, Bytes)
    end.

%% For devices behind NAT: the controller, hidden or not, only listens.
daemons_that_dial(_) -> [dialled(Args) || Args <- [[], ["-hidden"]]].

dialled(Args) ->
    Controller = 'controller@127.0.0.1',
    Path = filename:dirname(code:which(?FLEET)),
    {ok, Vm, _} = peer:start(#{
        connection => standard_io,
        args => ["-name", atom_to_list(Controller), "-setcookie", "client", "-start_epmd", "false", "-pa", Path
            | ["-kernel", "dist_auto_connect", "never", "-kernel", "logger_level", "critical" | Args]]
    }),
    Collector = peer:call(Vm, erlang, apply, [fun collector/0, []]),
    Dial = [start(Number, ["--connect", atom_to_list(Controller)]) || Number <- [101, 102, 103]],
    Nodes = nodes_of(Dial),
    beamroute_rig:eventually(fun() ->
        lists:sort(peer:call(Vm, erlang, apply, [fun collected/1, [Collector]])) =:= Nodes
    end),
    ?assertEqual(Nodes, lists:sort(peer:call(Vm, erlang, nodes, [hidden]))),
    %% It is there, and would take us.
    Silent = 'fleet3@127.0.0.1',
    {ok, Answers} = peer:call(Vm, ?FLEET, multicall, [[Silent | Nodes], plan, [{connect, false}]]),
    ?assertEqual([{Silent, {error, noconnection}} | [{Node, {ok, []}} || Node <- Nodes]], Answers),
    ?assertEqual(Nodes, lists:sort(peer:call(Vm, erlang, nodes, [hidden]))),
    [begin beamroute_rig:stop(Daemon), os:cmd("kill " ++ integer_to_list(Pid)) end || {Daemon, Pid} <- Dial],
    peer:stop(Vm).

%% A process that keeps the nodes of which it has heard that they are up.
collector() ->
    Starter = self(),
    Pid = spawn(fun() ->
        ok = net_kernel:monitor_nodes(true, [{node_type, all}]),
        Starter ! {self(), listens},
        collect([])
    end),
    receive {Pid, listens} -> Pid end.

collect(Nodes) ->
    receive
        {nodeup, Node, _} -> collect([Node | Nodes]);
        {From, nodes} -> From ! {self(), Nodes}, collect(Nodes);
        _ -> collect(Nodes)
    end.

collected(Collector) ->
    Collector ! {self(), nodes},
    receive {Collector, Nodes} -> Nodes end.

bad_input_is_asked_of_none() ->
    Cases = [
        {<<"multicall: 7 is not a list of nodes">>, [7, status]},
        {<<"multicall: \"a\" is not a node">>, [["a"], status]},
        {<<"multicall: dance is not a request">>, [[], dance]},
        {<<"multicall: stop is not a request">>, [[], stop]},
        {<<"multicall: {set_route,1} is not a request">>, [[], {set_route, 1}]},
        {<<"multicall: property [connection] is not a list of binaries">>, [[], {get, [connection]}]},
        {<<"set_connection_status: status up is not disconnected, lan or internet">>, [
            [], {set_connection_status, eth0, up}
        ]},
        {<<"multicall: option timeout cannot be 0">>, [[], status, [{timeout, 0}]]},
        {<<"multicall: option max_connects cannot be none">>, [[], status, #{max_connects => none}]},
        {<<"multicall: option cookie is not an atom">>, [[], status, [{cookie, "Secret"}]]},
        {<<"multicall: speed is not an option; there are timeout, connect, max_connects, cookie">>, [
            [], status, [{speed, 1}]
        ]},
        {<<"multicall: fast is not a list of options">>, [[], status, fast]}
    ],
    [?assertEqual({error, {badarg, Sentence}}, apply(?FLEET, multicall, Args)) || {Sentence, Args} <- Cases].

a_node_without_distribution() ->
    {ok, Vm, _} = peer:start(#{connection => standard_io, args => ["-pa", filename:dirname(code:which(?FLEET))]}),
    {error, {not_alive, Sentence}} = peer:call(Vm, ?FLEET, multicall, [['a@b.c'], status]),
    ?assertEqual(beamroute_distribution:not_alive(), Sentence),
    peer:stop(Vm).
