%% @doc One request to many daemons, all in flight at once, with one deadline for all.
%%
%% ```
%% > beamroute_fleet:multicall(['beamroute@gw1', 'beamroute@gw2', 'beamroute@gw3'], {get, [<<"connection">>]}).
%% {ok,[{'beamroute@gw1',{ok,internet}},
%%      {'beamroute@gw2',{error,timeout}},
%%      {'beamroute@gw3',{error,noconnection}}]}
%% '''
%%
%% The answers come in the order of the nodes, and every node has one. Nodes that are connected are asked first. The
%% others are connected to, so many at once, in the order of their names. An attempt that takes longer than a tenth of the
%% time, or than a second, goes on, and the next begins: nodes that hang cost the others no more than that. Where so many
%% hang that the time is over before a node's turn comes, it is not asked, and that is its answer. No link is needed, and
%% nothing is kept for a node that is away.
%%
%% A host's address is looked up before net_kernel is asked to connect, which would look it up while all others wait for
%% it. A name without an address is not dialled.
%%
%% What a node may answer:
%%
%% ```
%% {ok, Reply}             the daemon's reply: ok for what changes something, a map, a list, a value
%% {error, timeout}        not in time; a write may have been carried out, or be carried out yet
%% {error, not_asked}      there was no connection in time; a write has not been carried out, and will not be
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
%% max_connects  how many connections are set up at once, 64 by default, not counting those that take long
%% cookie        the nodes' cookie, if it is another than this node's
%% '''
-module(beamroute_fleet).

-export([multicall/2, multicall/3]).
-export([ask_all/4, dial/2, ask_one/2]).

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
    %% Those of them that keep others waiting.
    new = #{} :: #{reference() => true},
    asked = #{} :: #{reference() => {pid(), node()}},
    answers = #{} :: #{node() => answer()}
}).

-define(SERVER, route_manager).
-define(DEFAULTS, #{timeout => 5000, connect => true, max_connects => 64, cookie => undefined}).
%% A connection that is not there after so long keeps no other waiting, nor after a tenth of all time.
-define(SLOW_MS, 1000).

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
            [{Node, maps:get(Node, Answers)} || Node <- Nodes];
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
connect_next(#call{waiting = [Node | Others], new = New, options = #{max_connects := Max} = Options} = Call) when
    map_size(New) < Max
->
    #call{connecting = Connecting} = Call,
    {Pid, Monitor} = spawn_monitor(?MODULE, dial, [Node, Options]),
    _ = erlang:send_after(slow(Options), self(), {slow, Monitor}),
    connect_next(Call#call{
        waiting = Others, connecting = Connecting#{Monitor => {Pid, Node}}, new = New#{Monitor => true}
    });
connect_next(Call) ->
    Call.

slow(#{timeout := Timeout}) -> min(?SLOW_MS, Timeout div 10).

%% @private
-spec dial(node(), checked()) -> no_return().
dial(Node, #{cookie := Cookie}) ->
    Cookie =:= undefined orelse erlang:set_cookie(Node, Cookie),
    exit({connected, has_address(Node) andalso net_kernel:connect_node(Node)}).

%% What net_kernel asks the carriers of distribution as well, and waits for in its only process.
has_address(Node) ->
    Carriers =
        case init:get_argument(proto_dist) of
            {ok, Given} -> lists:append(Given);
            error -> ["inet_tcp"]
        end,
    lists:any(fun(Carrier) -> selects(list_to_atom(Carrier ++ "_dist"), Node) end, Carriers).

selects(Carrier, Node) ->
    try
        Carrier:select(Node)
    catch
        %% net_kernel may know better.
        error:undef -> true
    end.

%% Until nobody is waited for, or the time is over.
collect(_, _, #call{waiting = [], connecting = Connecting, asked = Asked, answers = Answers}) when
    map_size(Connecting) =:= 0, map_size(Asked) =:= 0
->
    Answers;
collect(Deadline, Watch, #call{connecting = Connecting, asked = Asked} = Call) ->
    receive
        {timeout, Deadline, deadline} ->
            stop_all(Call),
            unanswered(Call);
        {'DOWN', Watch, process, _, _} ->
            %% Nobody waits for it.
            stop_all(Call),
            #{};
        {'DOWN', Ref, process, _, Result} when is_map_key(Ref, Connecting) ->
            {{_, Node}, Others} = maps:take(Ref, Connecting),
            Dialled = Call#call{connecting = Others, new = maps:remove(Ref, Call#call.new)},
            collect(Deadline, Watch, connect_next(connected(Result, Node, Dialled)));
        {slow, Ref} ->
            collect(Deadline, Watch, connect_next(Call#call{new = maps:remove(Ref, Call#call.new)}));
        {'DOWN', Ref, process, _, {answer, Answer}} when is_map_key(Ref, Asked) ->
            {{_, Node}, Others} = maps:take(Ref, Asked),
            collect(Deadline, Watch, answer(Node, Answer, Call#call{asked = Others}));
        _ ->
            collect(Deadline, Watch, Call)
    end.

stop_all(#call{connecting = Connecting, asked = Asked}) ->
    lists:foreach(fun({Pid, _}) -> exit(Pid, kill) end, maps:values(Connecting) ++ maps:values(Asked)).

unanswered(#call{waiting = Waiting, connecting = Connecting, asked = Asked, answers = Answers}) ->
    NotAsked = Waiting ++ [Node || {_, Node} <- maps:values(Connecting)],
    Late = [{Node, {error, timeout}} || {_, Node} <- maps:values(Asked)],
    maps:merge(Answers, maps:from_list([{Node, {error, not_asked}} || Node <- NotAsked] ++ Late)).

connected({connected, true}, Node, Call) -> ask(Node, Call);
connected(_, Node, Call) -> answer(Node, {error, noconnection}, Call).

%% Whoever sends to, or monitors over, a connection whose buffer is full is suspended: that may be a process of its own.
ask(Node, #call{request = Request, asked = Asked} = Call) ->
    {Pid, Ref} = spawn_monitor(?MODULE, ask_one, [Node, Request]),
    Call#call{asked = Asked#{Ref => {Pid, Node}}}.

%% @private
-spec ask_one(node(), term()) -> no_return().
ask_one(Node, Request) ->
    Ref = erlang:monitor(process, {?SERVER, Node}),
    case erlang:send({?SERVER, Node}, {'$gen_call', {self(), Ref}, Request}, [noconnect]) of
        ok ->
            receive
                {Ref, Reply} -> exit({answer, shape(Request, Reply)});
                {'DOWN', Ref, process, _, Reason} -> exit({answer, {error, Reason}})
            end;
        noconnect ->
            exit({answer, {error, noconnection}})
    end.

answer(Node, Answer, #call{answers = Answers} = Call) ->
    Call#call{answers = Answers#{Node => Answer}}.

%% A property may be anything, an error too.
shape({get, _}, Value) -> {ok, Value};
shape(_, {error, _} = Error) -> Error;
shape(_, Reply) -> {ok, Reply}.
