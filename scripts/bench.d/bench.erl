%% The client of scripts/bench: makes the calls, drives the shell that runs `ip', prints the table, writes the JSON.
%%
%% In every round each contender is measured once, every second round in the opposite order, so that what else the
%% machine does falls on all of them alike. A round's number is the median of its single calls (sequential), or the
%% time of the whole block by its calls (64 callers).
-module(bench).

-export([main/0]).

-define(SEQUENTIAL, 1000).
-define(CALLERS, 64).
-define(CALLS_EACH, 300).
-define(FAILOVERS, 100).
-define(IP_FAILOVERS, 10).

-define(ETH0, "192.0.2.74").
-define(WLAN0, "192.0.2.138").

%% Arguments: the command that was typed, rounds, where the JSON goes, prefix of the namespaces, then name, node and
%% operating system's pid of each server.
main() ->
    [Command, Rounds, Json, Namespaces | Servers] = init:get_plain_arguments(),
    try
        run(Command, list_to_integer(Rounds), Json, Namespaces, servers(Servers)),
        halt(0)
    catch
        Class:Reason:Stack ->
            io:format(standard_error, "bench: ~p: ~p~n~p~n", [Class, Reason, Stack]),
            halt(1)
    end.

servers([Name, Node, Pid | Rest]) -> [{list_to_atom(Name), list_to_atom(Node), Pid} | servers(Rest)];
servers([]) -> [].

run(Command, Rounds, Json, Namespaces, Servers) ->
    Daemons = [Server || {Name, _, _} = Server <- Servers, Name =/= gen_server],
    lists:foreach(fun({_, Node, _}) -> connect(Node, 100) end, Servers),
    lists:foreach(fun({_, Node, _}) -> set_up(Node) end, Daemons),
    Shell = shell(Namespaces ++ "-ip"),
    same_routes(Namespaces, Daemons, Shell),
    Contests =
        [[{failover, Name, us, fun() -> failovers(Node) end} || {Name, Node, _} <- Daemons] ++
         [{failover, four_ip_processes, us, fun() -> ip_failovers(Shell, processes) end},
          {failover, one_ip_batch, us, fun() -> ip_failovers(Shell, batch) end}],
         [{unchanged, Name, us, fun() -> sequential(Node) end} || {Name, Node, _} <- Servers],
         [{unchanged_64_callers, Name, us, fun() -> concurrent(Node) end} || {Name, Node, _} <- Servers],
         [{server_cpu_64_callers, Name, us, fun() -> cpu(Node, Pid) end} || {Name, Node, Pid} <- Servers]],
    %% The first round warms everything up, and is thrown away.
    [_ | Measured] = [Result || Round <- lists:seq(0, Rounds), Result <- [round(Round, Contests)]],
    report(Command, Json, Contests, Measured).

round(Round, Contests) ->
    Order = case Round rem 2 of 0 -> fun(Runs) -> Runs end; 1 -> fun lists:reverse/1 end,
    maps:from_list([{{What, Name}, Run()} || Runs <- Contests, {What, Name, _, Run} <- Order(Runs)]).

connect(Node, 0) -> error({no_connection, Node});
connect(Node, Tries) ->
    case net_kernel:connect_node(Node) of
        true -> ok;
        _ -> timer:sleep(100), connect(Node, Tries - 1)
    end.

%% --- the two sides of a failover: both replace eth0's two routes in main, metric 10 against 50 ---

set_up(Node) ->
    ok = call(Node, {set_route, <<"eth0">>, [{<<?ETH0>>, 26}], <<"192.0.2.65">>}),
    ok = call(Node, {set_route, <<"wlan0">>, [{<<?WLAN0>>, 26}], <<"192.0.2.129">>}),
    ok = call(Node, {set_connection_status, <<"eth0">>, internet, <<"bench">>}),
    ok = call(Node, {set_connection_status, <<"wlan0">>, internet, <<"bench">>}).

failovers(Node) ->
    median([timed(fun() -> ok = status(Node, Status) end) || Status <- alternating(?FAILOVERS)]).

status(Node, Status) ->
    call(Node, {set_connection_status, <<"eth0">>, Status, <<"bench">>}).

alternating(N) ->
    lists:append(lists:duplicate(N div 2, [lan, internet])).

%% A shell inside the namespace, so that only the `ip' processes themselves are paid for, not the way into it.
shell(Namespace) ->
    Args = ["--net=/run/netns/" ++ Namespace, "sh", "-e"],
    Port = open_port({spawn_executable, os:find_executable("nsenter")}, [{args, Args}, {line, 1000}, exit_status]),
    [file:write_file(batch_file(Status), [[Change, $\n] || Change <- changes(Status)]) || Status <- [lan, internet]],
    Routes = lists:append([routes(Name, Ip, Gw, Metric) || {Name, Ip, Gw, Metric} <- links()]),
    in_shell(Port, [["ip ", Route, $\n] || Route <- Routes]),
    Port.

links() ->
    [{"eth0", ?ETH0, "192.0.2.65", "10"}, {"wlan0", ?WLAN0, "192.0.2.129", "20"}].

routes(Name, Ip, Gateway, Metric) ->
    [Local, Default] = routes(add, Name, Ip, Gateway, Metric),
    [Local, Default, ["route del ", network(Name), " dev ", Name, " metric 0"]].

routes(Do, Name, Ip, Gateway, Metric) ->
    End = [" dev ", Name, " metric ", Metric, " proto 110"],
    [["route ", atom_to_list(Do), " ", network(Name), " src ", Ip, " scope link", End],
     ["route ", atom_to_list(Do), " default via ", Gateway, End]].

network("eth0") -> "192.0.2.64/26";
network("wlan0") -> "192.0.2.128/26".

changes(Status) ->
    {New, Old} = case Status of lan -> {"50", "10"}; internet -> {"10", "50"} end,
    routes(add, "eth0", ?ETH0, "192.0.2.65", New) ++ routes(del, "eth0", ?ETH0, "192.0.2.65", Old).

ip_failovers(Shell, How) ->
    Script = fun(Status) ->
        case How of
            processes -> [["ip ", Change, $\n] || Change <- changes(Status)];
            batch -> ["ip -batch ", batch_file(Status), $\n]
        end
    end,
    Scripts = [{iolist_to_binary(Script(Status))} || Status <- alternating(?IP_FAILOVERS)],
    median([timed(fun() -> in_shell(Shell, Lines) end) || {Lines} <- Scripts]).

batch_file(Status) ->
    filename:join(os:getenv("HOME"), atom_to_list(Status) ++ ".batch").

in_shell(Port, Lines) ->
    port_command(Port, [Lines, "echo done\n"]),
    receive
        {Port, {data, {eol, "done"}}} -> ok;
        {Port, Other} -> error({shell, Other})
    end.

%% What is compared must be the same work: after each step both sides show the same routes in main.
same_routes(Namespaces, Daemons, Shell) ->
    Show = fun(Name) -> os:cmd(["ip -n ", Namespaces, "-", atom_to_list(Name), " route show"]) end,
    Compare = fun(Status) ->
        in_shell(Shell, [["ip ", Change, $\n] || Change <- changes(Status)]),
        Theirs = sorted(Show(ip)),
        [begin
             ok = status(Node, Status),
             case sorted(Show(Name)) of
                 Theirs -> ok;
                 Ours -> error({routes_differ, Status, Name, Ours, Theirs})
             end
         end || {Name, Node, _} <- Daemons]
    end,
    lists:foreach(Compare, [lan, internet]).

sorted(Lines) ->
    lists:sort([string:trim(Line) || Line <- string:lexemes(Lines, "\n")]).

%% --- the unchanged call ---

sequential(Node) ->
    median([timed(fun() -> ok = status(Node, internet) end) || _ <- lists:seq(1, ?SEQUENTIAL)]).

concurrent(Node) ->
    Caller = fun() -> [ok = status(Node, internet) || _ <- lists:seq(1, ?CALLS_EACH)] end,
    Start = now_ns(),
    Callers = [spawn_monitor(Caller) || _ <- lists:seq(1, ?CALLERS)],
    [receive {'DOWN', Ref, process, Pid, Reason} -> normal = Reason end || {Pid, Ref} <- Callers],
    (now_ns() - Start) / 1000 / (?CALLERS * ?CALLS_EACH).

%% What a call costs the server's machine: processor time of all its threads, system calls included.
cpu(Node, Pid) ->
    Before = cpu_ns(Pid),
    _ = concurrent(Node),
    (cpu_ns(Pid) - Before) / 1000 / (?CALLERS * ?CALLS_EACH).

cpu_ns(Pid) ->
    lists:sum([schedstat(File) || File <- filelib:wildcard("/proc/" ++ Pid ++ "/task/*/schedstat")]).

schedstat(File) ->
    {ok, Text} = file:read_file(File),
    [OnCpu | _] = binary:split(Text, <<" ">>),
    binary_to_integer(OnCpu).

call(Node, Request) ->
    gen_server:call({route_manager, Node}, Request).

timed(Fun) ->
    Start = now_ns(),
    Fun(),
    (now_ns() - Start) / 1000.

now_ns() ->
    erlang:monotonic_time(nanosecond).

median(Numbers) ->
    lists:nth((length(Numbers) + 1) div 2, lists:sort(Numbers)).

%% --- table and JSON ---

report(Command, Json, Contests, Rounds) ->
    Machine = machine(Command, length(Rounds)),
    Rows = [row(What, Name, Unit, Contest, Rounds) || Contest <- Contests, {What, Name, Unit, _} <- Contest],
    [io:format("~-8ts ~ts~n", Pair) || Pair <- lists:map(fun erlang:tuple_to_list/1, Machine)],
    io:format("~n~-24ts~-20ts~26ts  ~ts~n", ["us per call", "", "median (min-max)", "by beamroute's, in each round"]),
    [io:format("~-24ts~-20ts~26ts  ~ts~n", [What, Name, spread(Us), ratio(Ratio)]) || {What, Name, Us, Ratio} <- Rows],
    ok = file:write_file(Json, json(Machine, Rows)),
    io:format("~nwritten to ~ts~n", [Json]).

row(What, Name, us, [{_, Ours, _, _} | _], Rounds) ->
    Us = [maps:get({What, Name}, Round) || Round <- Rounds],
    Ratios = [maps:get({What, Name}, Round) / maps:get({What, Ours}, Round) || Round <- Rounds],
    {atom_to_list(What), atom_to_list(Name), statistics_of(Us), statistics_of(Ratios)}.

statistics_of(Numbers) ->
    {median(Numbers), lists:min(Numbers), lists:max(Numbers)}.

spread({Median, Min, Max}) -> io_lib:format("~.1f (~.1f-~.1f)", [Median, Min, Max]).
ratio({Median, Min, Max}) -> io_lib:format("x ~.2f (~.2f-~.2f)", [Median, Min, Max]).

machine(Command, Rounds) ->
    {{Year, Month, Day}, {Hour, Minute, _}} = calendar:universal_time(),
    Date = io_lib:format("~4..0b-~2..0b-~2..0b ~2..0b:~2..0b UTC", [Year, Month, Day, Hour, Minute]),
    [{"date", lists:flatten(Date)},
     {"command", Command},
     {"rounds", integer_to_list(Rounds)},
     {"cores", integer_to_list(erlang:system_info(logical_processors_available))},
     {"load", hd(string:lexemes(first_line("/proc/loadavg"), " "))},
     {"cpu", cpu_model()},
     {"kernel", first_line("/proc/sys/kernel/osrelease")},
     {"otp", erlang:system_info(otp_release)},
     {"state", "on tmpfs"}].

first_line(File) ->
    {ok, Text} = file:read_file(File),
    hd(string:split(binary_to_list(Text), "\n")).

cpu_model() ->
    {ok, Text} = file:read_file("/proc/cpuinfo"),
    case re:run(Text, "model name\\s*: (.*)", [{capture, [1], list}]) of
        {match, [Model]} -> Model;
        nomatch -> erlang:system_info(system_architecture)
    end.

json(Machine, Rows) ->
    Line = fun({What, Name, Us, Ratio}) ->
        Format = "    {\"what\": ~p, \"who\": ~p, \"us\": ~ts, \"by_beamroute\": ~ts}",
        io_lib:format(Format, [What, Name, json(Us), json(Ratio)])
    end,
    ["{\n", [io_lib:format("  ~p: ~p,\n", [Key, Value]) || {Key, Value} <- Machine],
     "  \"results\": [\n", lists:join(",\n", lists:map(Line, Rows)), "\n  ]\n}\n"].

json({Median, Min, Max}) ->
    io_lib:format("{\"median\": ~.3f, \"min\": ~.3f, \"max\": ~.3f}", [Median, Min, Max]).
