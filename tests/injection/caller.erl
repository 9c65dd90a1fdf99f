%% A BEAM node whose processes call another node's route_manager as they are told, line by line: `Id Request' on stdin,
%% `#call Id Answer' on stdout. No call has a time-out of its own: one that is never answered is to be seen. Beside
%% them, a process is always linked to the route_manager and monitors it, and says `#down Reason' when it goes.
-module(caller).

-export([start/1]).

start(Node) ->
    ok = io:setopts([{encoding, unicode}]),
    spawn(fun() -> watch(Node) end),
    io:format("#ready~n"),
    loop(Node).

loop(Node) ->
    case io:get_line("") of
        Line when is_list(Line) ->
            spawn(fun() -> call(Node, Line) end),
            loop(Node);
        _Eof ->
            halt(0)
    end.

call(Node, Line) ->
    {Id, Text} = string:to_integer(Line),
    {ok, Tokens, _} = erl_scan:string(Text),
    {ok, Request} = erl_parse:parse_term(Tokens),
    Answer =
        try gen_server:call({route_manager, Node}, Request, infinity) of
            Reply -> {reply, Reply}
        catch
            exit:{Why, _} -> {exit, Why}
        end,
    io:format("#call ~b ~0tp~n", [Id, Answer]).

watch(Node) ->
    process_flag(trap_exit, true),
    Ref = monitor(process, {route_manager, Node}),
    case rpc:call(Node, erlang, whereis, [route_manager]) of
        Pid when is_pid(Pid) -> link(Pid);
        _ -> ok
    end,
    receive
        {'DOWN', Ref, process, _, Reason} -> io:format("#down ~0tp~n", [Reason])
    end,
    timer:sleep(100),
    flush(),
    watch(Node).

flush() ->
    receive
        {'EXIT', _, _} -> flush()
    after 0 -> ok
    end.
