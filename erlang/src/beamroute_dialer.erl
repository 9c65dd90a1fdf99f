%% @doc What a link does with net_kernel.
-module(beamroute_dialer).

-export([start/1, hear_of_nodes/0]).

%% @doc Connects to the daemon's node, after starting distribution if that was asked for. That may take as long as the
%% net_kernel's net_setuptime, so a process of its own does it, and ends with `{attempt, ok}' or
%% `{attempt, {error, Reason}}'.
-spec start(beamroute_options:checked()) -> {pid(), reference()}.
start(Options) ->
    %% A function, because the arguments of a crash would be logged, and a cookie with them.
    spawn_monitor(fun() -> exit({attempt, dial(Options)}) end).

dial(#{node := Node, cookie := Cookie, distribution := Distribution}) ->
    case beamroute_distribution:ensure(Distribution) of
        ok ->
            Cookie =:= undefined orelse erlang:set_cookie(Node, Cookie),
            connect(Node);
        {error, _} = Error ->
            Error
    end.

%% Asked for in so many words, it connects also under dist_auto_connect never.
connect(Node) ->
    case net_kernel:connect_node(Node) of
        true -> ok;
        _ -> {error, not_reachable}
    end.

%% @doc The calling process hears of nodes that come up, once: a daemon that dials us need not be waited for.
-spec hear_of_nodes() -> ok.
hear_of_nodes() ->
    Options = [{node_type, all}],
    %% Subscriptions add up, and are lost when distribution is started anew.
    _ = net_kernel:monitor_nodes(false, Options),
    _ = net_kernel:monitor_nodes(true, Options),
    ok.
