%% Asks the daemons of scripts/fleet, and looks at their memory.
-module(fleet).

-export([main/1]).

%% Erlang's epmd has a connection for each name, and can have 1024 at all: few may be left to ask it.
-define(CONNECTS, {max_connects, 8}).
-define(TIMEOUT, {timeout, 120000}).

main([Count, PidsFile]) ->
    Nodes = [list_to_atom("d" ++ integer_to_list(N) ++ "@127.0.0.1") || N <- lists:seq(1, list_to_integer(Count))],
    {ok, Text} = file:read_file(PidsFile),
    Pids = binary:split(Text, <<"\n">>, [global, trim]),
    Idle = memory(Pids),
    ask("multicall status, connecting to all first", Nodes, status),
    [ask("multicall status, all connected", Nodes, status) || _ <- [1, 2, 3]],
    ask("multicall set_connection_status, saved", Nodes, {set_connection_status, "eth0", internet}),
    show("memory of a daemon, before", Idle),
    show("memory of a daemon, after", memory(Pids)),
    io:format("~-44s ~8.1f MiB~n", ["memory of the BEAM that has asked", erlang:memory(total) / 1048576]),
    halt().

ask(What, Nodes, Request) ->
    {Time, {ok, Answers}} = timer:tc(beamroute_fleet, multicall, [Nodes, Request, [?CONNECTS, ?TIMEOUT]]),
    Nodes = [Node || {Node, _} <- Answers],
    Errors = [Answer || {_, {error, _}} = Answer <- Answers],
    io:format("~-44s ~8.1f ms~n", [What, Time / 1000]),
    Errors =:= [] orelse begin
        io:format("~b of ~b have not answered: ~0tP~n", [length(Errors), length(Nodes), Errors, 20]),
        halt(1)
    end.

%% Resident and proportional, in KiB, of all: shared pages count once in the latter.
memory(Pids) ->
    [[field(<<"Rss:">>, Text), field(<<"Pss:">>, Text)] || Pid <- Pids, Text <- [rollup(Pid)]].

rollup(Pid) ->
    {ok, Text} = file:read_file(<<"/proc/", Pid/binary, "/smaps_rollup">>),
    Text.

field(Name, Text) ->
    {match, [Number]} = re:run(Text, <<"^", Name/binary, " *([0-9]+) kB">>, [multiline, {capture, all_but_first, binary}]),
    binary_to_integer(Number).

show(What, Memory) ->
    [Rss, Pss] = [lists:sum(Column) / length(Memory) || Column <- [[R || [R, _] <- Memory], [P || [_, P] <- Memory]]],
    io:format("~-44s ~8b KiB RSS, ~b KiB PSS~n", [What, round(Rss), round(Pss)]).
