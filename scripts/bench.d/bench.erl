%% The BEAM client of scripts/bench. Prints what it measured as lines of JSON, one number each.
%%
%% Arguments: METRIC, then name, node and operating system's pid of each server, in the order in which they take their
%% turns. BENCH_ROUND is the round's number.
%%
%%   beam_1      one caller: the median of single calls
%%   beam_64     64 callers: calls by the time of the whole block, and the server's processor time
%%   beam_flood  one process sends 200,000 casts, and then makes a call: the time until that is answered
-module(bench).

-export([main/0]).

-define(WARM_UP, 500).
-define(SEQUENTIAL, 5000).
-define(CALLERS, 64).
-define(CALLS_EACH, 500).
-define(CASTS, 200_000).
-define(REQUEST, {set_connection_status, <<"eth0">>, internet}).

main() ->
    [Metric | Servers] = init:get_plain_arguments(),
    try
        measure(Metric, Servers),
        halt(0)
    catch
        Class:Reason:Stack ->
            io:format(standard_error, "bench: ~p: ~p~n~p~n", [Class, Reason, Stack]),
            halt(1)
    end.

measure(_, []) ->
    ok;
measure(Metric, [Name, Node, Pid | Rest]) ->
    Server = list_to_atom(Node),
    connect(Server, 100),
    [ok = call(Server) || _ <- lists:seq(1, ?WARM_UP)],
    [note(Metric ++ What, Name, Value, Unit) || {What, Value, Unit} <- measured(Metric, Server, Pid)],
    measure(Metric, Rest).

connect(Node, 0) -> error({no_connection, Node});
connect(Node, Tries) ->
    %% The floor and libei's nodes are hidden.
    case net_kernel:hidden_connect_node(Node) of
        true -> ok;
        _ -> timer:sleep(100), connect(Node, Tries - 1)
    end.

measured("beam_1", Node, _) ->
    [{"_us", median([us(fun() -> ok = call(Node) end) || _ <- lists:seq(1, ?SEQUENTIAL)]), "us"}];
measured("beam_64", Node, Pid) ->
    Calls = ?CALLERS * ?CALLS_EACH,
    Before = cpu_ns(Pid),
    Us = us(fun() -> concurrent(Node) end),
    Cpu = (cpu_ns(Pid) - Before) / 1.0e9 * 100_000 / Calls,
    [{"_rate", Calls / Us * 1000, "k/s"}, {"_cpu", Cpu, "s"}];
measured("beam_flood", Node, _) ->
    Us = us(fun() ->
        [gen_server:cast({route_manager, Node}, ?REQUEST) || _ <- lists:seq(1, ?CASTS)],
        ok = gen_server:call({route_manager, Node}, ?REQUEST, infinity)
    end),
    [{"_rate", ?CASTS / Us * 1000, "k/s"}].

concurrent(Node) ->
    Caller = fun() -> [ok = call(Node) || _ <- lists:seq(1, ?CALLS_EACH)] end,
    Callers = [spawn_monitor(Caller) || _ <- lists:seq(1, ?CALLERS)],
    [receive {'DOWN', Ref, process, Pid, Reason} -> normal = Reason end || {Pid, Ref} <- Callers].

call(Node) ->
    gen_server:call({route_manager, Node}, ?REQUEST).

%% Processor time of all threads, system calls included.
cpu_ns(Pid) ->
    lists:sum([schedstat(File) || File <- filelib:wildcard("/proc/" ++ Pid ++ "/task/*/schedstat")]).

schedstat(File) ->
    {ok, Text} = file:read_file(File),
    [OnCpu | _] = binary:split(Text, <<" ">>),
    binary_to_integer(OnCpu).

us(Fun) ->
    Start = erlang:monotonic_time(nanosecond),
    Fun(),
    (erlang:monotonic_time(nanosecond) - Start) / 1000.

median(Numbers) ->
    lists:nth((length(Numbers) + 1) div 2, lists:sort(Numbers)).

note(Metric, Peer, Value, Unit) ->
    Format = "{\"metric\": \"~s\", \"peer\": \"~s\", \"round\": ~s, \"value\": ~.6f, \"unit\": \"~s\"}~n",
    io:format(Format, [Metric, Peer, os:getenv("BENCH_ROUND", "0"), Value, Unit]).
