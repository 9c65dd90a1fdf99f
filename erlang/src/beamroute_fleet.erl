%% @doc One request to many daemons, all in flight at once, with one deadline for all.
%%
%% ```
%% > beamroute_fleet:multicall(['beamroute@gw1', 'beamroute@gw2', 'beamroute@gw3'], {get, [<<"connection">>]}).
%% {ok,[{'beamroute@gw1',{ok,internet}},
%%      {'beamroute@gw2',{error,timeout}},
%%      {'beamroute@gw3',{error,noconnection}}]}
%% '''
%%
%% The answers come in the order of the nodes, and every node has one. Nodes that are not connected are connected to, so
%% many at once, while the others answer already; a node that cannot be reached costs none of the others time, but where
%% more than these hang. No link is needed, and nothing is kept for a node that is away.
%%
%% What a node may answer:
%%
%% ```
%% {ok, Reply}             the daemon's reply: ok for what changes something, a map, a list, a value
%% {error, timeout}        not in time; a write may have been carried out, or be carried out yet
%% {error, noconnection}   it cannot be reached, or was lost; also then a write may have been carried out
%% {error, noproc}         it is a node, and has no daemon
%% {error, Reason}         what the daemon says, such as {not_saved, enospc}
%% '''
%%
%% A request is what the daemon takes: `status', `plan', `{get, Property}', `{set_route, IfName, IpSubnets, Gateway}',
%% `{clear_route, IfName}', `{set_connection_status, IfName, Status}' and with a reason as the fourth,
%% `{set_metric, IfName, Metric}', `{set_owner_policy, Policy}', `refresh_route_metrics'.
%%
%% The options, as a list or a map:
%%
%% ```
%% timeout       the time for all of it, 5000 ms by default
%% connect       whether nodes that are not connected are connected to, true by default
%% max_connects  how many connections are set up at once, 64 by default
%% cookie        the nodes' cookie, if it is another than this node's
%% '''
-module(beamroute_fleet).

-export([multicall/2, multicall/3]).
-export([ask_all/4, dial/2]).

-export_type([request/0, option/0, options/0, answer/0, answers/0, error/0]).

-type request() ::
    status
    | plan
    | refresh_route_metrics
    | {get, beamroute_route_manager:property()}
    | {set_route, beamroute_arguments:ifname(), [beamroute_arguments:subnet()], beamroute_arguments:gateway()}
    | {clear_route, beamroute_arguments:ifname()}
    | {set_connection_status, beamroute_arguments:ifname(), beamroute_arguments:connection_status()}
    | {set_connection_status, beamroute_arguments:ifname(), beamroute_arguments:connection_status(),
        beamroute_arguments:why()}
    | {set_metric, beamroute_arguments:ifname(), beamroute_arguments:metric()}
    | {set_owner_policy, beamroute_arguments:owner_policy()}.
-type option() :: {timeout, pos_integer()} | {connect, boolean()} | {max_connects, pos_integer()} | {cookie, atom()}.
-type options() :: [option()] | #{atom() => term()}.
-type answer() :: {ok, Reply :: term()} | {error, Reason :: term()}.
-type answers() :: [{node(), answer()}].
%% What is asked for makes no sense, or this node has no distribution.
-type error() :: beamroute_arguments:wrong() | {not_alive, binary()}.
-type checked() :: #{
    timeout := pos_integer(), connect := boolean(), max_connects := pos_integer(), cookie := atom() | undefined
}.

-record(call, {
    request :: term(),
    options :: checked(),
    %% Nodes that wait for their turn to be connected to.
    waiting = [] :: [node()],
    connecting = #{} :: #{reference() => {pid(), node()}},
    asked = #{} :: #{reference() => node()},
    answers = #{} :: #{node() => answer()}
}).

-define(SERVER, route_manager).
-define(DEFAULTS, #{timeout => 5000, connect => true, max_connects => 64, cookie => undefined}).
%% A connection whose buffer is full is tried again so soon.
-define(BUSY_MS, 20).

%% @doc As {@link multicall/3}, with the default options.
-spec multicall([node()], request()) -> {ok, answers()} | {error, error()}.
multicall(Nodes, Request) -> multicall(Nodes, Request, []).

%% @doc Asks all nodes, and waits until all have answered or the time is over. What makes no sense is asked of none.
-spec multicall([node()], request(), options()) -> {ok, answers()} | {error, error()}.
multicall(Nodes, Request, Options) ->
    try
        Checked = options(Options),
        Known = nodes_of(Nodes),
        case sent(Request) of
            {ok, Sent} ->
                erlang:is_alive() orelse throw(not_alive),
                {ok, carry_out(Known, Sent, Checked)};
            {error, _} = Error ->
                Error
        end
    catch
        throw:not_alive ->
            {error, {not_alive, beamroute_distribution:not_alive()}};
        throw:{bad, Format, Args} ->
            {error, {badarg, unicode:characters_to_binary(io_lib:format("multicall: " ++ Format, Args))}}
    end.

options(Options) when is_map(Options) ->
    maps:foreach(fun option/2, Options),
    case maps:merge(?DEFAULTS, Options) of
        #{cookie := nil} = Checked -> Checked#{cookie := undefined};
        Checked -> Checked
    end;
options(Options) when is_list(Options) ->
    try maps:from_list(Options) of
        Map -> options(Map)
    catch
        error:badarg -> throw({bad, "~0tp is not a list of options", [Options]})
    end;
options(Options) ->
    throw({bad, "~0tp is not a list of options", [Options]}).

option(timeout, Ms) when is_integer(Ms), Ms > 0, Ms < 16#ffff0000 -> ok;
option(connect, Is) when is_boolean(Is) -> ok;
option(max_connects, Count) when is_integer(Count), Count > 0 -> ok;
option(cookie, Cookie) when is_atom(Cookie) -> ok;
option(cookie, _) -> throw({bad, "option cookie is not an atom", []});
option(Key, Value) when is_map_key(Key, ?DEFAULTS) -> throw({bad, "option ~ts cannot be ~0tp", [Key, Value]});
option(Key, _) -> throw({bad, "~0tp is not an option; there are timeout, connect, max_connects, cookie", [Key]}).

nodes_of(Nodes) when is_list(Nodes), length(Nodes) >= 0 ->
    [throw({bad, "~0tp is not a node", [Other]}) || Other <- Nodes, not is_atom(Other)],
    Nodes;
nodes_of(Other) ->
    throw({bad, "~0tp is not a list of nodes", [Other]}).

%% The request as it is sent.
sent(Read) when Read =:= status; Read =:= plan ->
    {ok, Read};
sent({get, Path}) when is_list(Path) ->
    case lists:all(fun is_binary/1, Path) of
        true -> {ok, {get, Path}};
        false -> throw({bad, "property ~0tp is not a list of binaries", [Path]})
    end;
sent({set_connection_status, IfName, Status}) ->
    sent({set_connection_status, IfName, Status, beamroute_caller:name()});
sent(Request) ->
    case is_write(Request) of
        true -> beamroute_arguments:request(Request);
        false -> throw({bad, "~0tp is not a request", [Request]})
    end.

is_write(refresh_route_metrics) -> true;
is_write({set_route, _, _, _}) -> true;
is_write({clear_route, _}) -> true;
is_write({set_connection_status, _, _, _}) -> true;
is_write({set_metric, _, _}) -> true;
is_write({set_owner_policy, _}) -> true;
is_write(_) -> false.

%% A process of its own does it, whose mailbox goes with it: late answers reach nobody.
carry_out(Nodes, Request, #{timeout := Timeout} = Options) ->
    Caller = self(),
    Call = #call{request = Request, options = Options},
    {Pid, Monitor} = spawn_monitor(?MODULE, ask_all, [lists:usort(Nodes), Timeout, Caller, Call]),
    receive
        {'DOWN', Monitor, process, Pid, {answers, Answers}} ->
            [{Node, maps:get(Node, Answers, {error, timeout})} || Node <- Nodes];
        {'DOWN', Monitor, process, Pid, Reason} ->
            exit({Reason, {?MODULE, multicall, [Nodes, Request, Options]}})
    end.

%% @private
-spec ask_all([node()], pos_integer(), pid(), #call{}) -> no_return().
ask_all(Nodes, Timeout, Caller, Call) ->
    Deadline = erlang:start_timer(Timeout, self(), deadline),
    Watch = erlang:monitor(process, Caller),
    There = maps:from_list([{Node, true} || Node <- [node() | nodes(connected)]]),
    {Connected, Others} = lists:partition(fun(Node) -> is_map_key(Node, There) end, Nodes),
    Asked = lists:foldl(fun ask/2, Call, Connected),
    exit({answers, collect(Deadline, Watch, connect(Others, Asked))}).

connect(Nodes, #call{options = #{connect := false}} = Call) ->
    lists:foldl(fun(Node, To) -> answer(Node, {error, noconnection}, To) end, Call, Nodes);
connect(Nodes, Call) ->
    connect_next(Call#call{waiting = Nodes}).

%% As many at once as there may be.
connect_next(#call{waiting = [Node | Others], connecting = Connecting, options = Options} = Call) when
    map_size(Connecting) < map_get(max_connects, Options)
->
    {Pid, Monitor} = spawn_monitor(?MODULE, dial, [Node, Options]),
    connect_next(Call#call{waiting = Others, connecting = Connecting#{Monitor => {Pid, Node}}});
connect_next(Call) ->
    Call.

%% @private
-spec dial(node(), checked()) -> no_return().
dial(Node, #{cookie := Cookie}) ->
    Cookie =:= undefined orelse erlang:set_cookie(Node, Cookie),
    exit({connected, net_kernel:connect_node(Node)}).

%% Until nobody is waited for, or the time is over.
collect(_, _, #call{waiting = [], connecting = Connecting, asked = Asked, answers = Answers}) when
    map_size(Connecting) =:= 0, map_size(Asked) =:= 0
->
    Answers;
collect(Deadline, Watch, #call{connecting = Connecting, asked = Asked} = Call) ->
    receive
        {timeout, Deadline, deadline} ->
            _ = [exit(Pid, kill) || {Pid, _} <- maps:values(Connecting)],
            Call#call.answers;
        {'DOWN', Watch, process, _, _} ->
            %% Nobody waits for it.
            #{};
        {'DOWN', Ref, process, _, Result} when is_map_key(Ref, Connecting) ->
            {{_, Node}, Others} = maps:take(Ref, Connecting),
            collect(Deadline, Watch, connect_next(connected(Result, Node, Call#call{connecting = Others})));
        {'DOWN', Ref, process, _, Reason} when is_map_key(Ref, Asked) ->
            collect(Deadline, Watch, answered(Ref, {error, Reason}, Call));
        {Ref, Reply} when is_map_key(Ref, Asked) ->
            erlang:demonitor(Ref, [flush]),
            collect(Deadline, Watch, answered(Ref, shape(Call#call.request, Reply), Call));
        {busy, Ref, Node} when is_map_key(Ref, Asked) ->
            collect(Deadline, Watch, send(Ref, Node, Call));
        _ ->
            collect(Deadline, Watch, Call)
    end.

connected({connected, true}, Node, Call) -> ask(Node, Call);
connected(_, Node, Call) -> answer(Node, {error, noconnection}, Call).

%% What gen_server:send_request would do, but it never waits for a connection whose buffer is full.
ask(Node, #call{asked = Asked} = Call) ->
    Ref = erlang:monitor(process, {?SERVER, Node}),
    send(Ref, Node, Call#call{asked = Asked#{Ref => Node}}).

send(Ref, Node, #call{request = Request} = Call) ->
    Message = {'$gen_call', {self(), Ref}, Request},
    case erlang:send({?SERVER, Node}, Message, [noconnect, nosuspend]) of
        ok ->
            Call;
        nosuspend ->
            _ = erlang:send_after(?BUSY_MS, self(), {busy, Ref, Node}),
            Call;
        noconnect ->
            %% The monitor might connect to it again, and then wait for ever.
            erlang:demonitor(Ref, [flush]),
            answered(Ref, {error, noconnection}, Call)
    end.

answered(Ref, Answer, #call{asked = Asked} = Call) ->
    {Node, Others} = maps:take(Ref, Asked),
    answer(Node, Answer, Call#call{asked = Others}).

answer(Node, Answer, #call{answers = Answers} = Call) ->
    Call#call{answers = Answers#{Node => Answer}}.

%% A property may be anything, an error too.
shape({get, _}, Value) -> {ok, Value};
shape(_, {error, _} = Error) -> Error;
shape(_, Reply) -> {ok, Reply}.
