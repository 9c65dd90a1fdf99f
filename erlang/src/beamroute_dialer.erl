%% @doc What a link does with net_kernel.
-module(beamroute_dialer).

-export([start/1, why/1, hear_of_nodes/0]).
-export([attempt/2]).

-define(SERVER, route_manager).
-define(PROBE_MS, 2000).

%% @doc Connects to the daemon's node, after starting distribution if that was asked for, and then watches the daemon's
%% process. That may take as long as the net_kernel's net_setuptime, and as a connection's buffer is full, so a process
%% of its own does it, which the caller monitors. It says `{Pid, there}' when it is connected, and ends when the daemon
%% does; why, {@link why/1} tells. The options are those of a link, cookie and distribution wrapped.
-spec start(#{atom() => term()}) -> {pid(), reference()}.
start(Options) -> spawn_monitor(?MODULE, attempt, [self(), Options]).

%% @private
-spec attempt(pid(), #{atom() => term()}) -> no_return().
attempt(Link, #{node := Node} = Options) ->
    case dial(Options) of
        ok ->
            Owner = erlang:monitor(process, Link),
            %% It tells of the node's end as well.
            Daemon = erlang:monitor(process, {?SERVER, Node}),
            Link ! {self(), there},
            receive
                {'DOWN', Daemon, process, _, Reason} -> exit({gone, Reason});
                {'DOWN', Owner, process, _, _} -> exit(normal)
            end;
        {error, Reason} ->
            exit({gone, Reason})
    end.

%% @doc Why the process has ended.
-spec why(term()) -> term().
why({gone, Reason}) -> Reason;
why(Crash) -> Crash.

dial(#{node := Node, cookie := Hidden, distribution := Distribution}) ->
    case beamroute_distribution:ensure(beamroute_secret:unwrap(Distribution)) of
        ok ->
            Cookie = beamroute_secret:unwrap(Hidden),
            Cookie =:= undefined orelse erlang:set_cookie(Node, Cookie),
            connect(Node);
        {error, _} = Error ->
            Error
    end.

%% Asked for in so many words, it connects also under dist_auto_connect never.
connect(Node) ->
    case net_kernel:connect_node(Node) of
        true -> ok;
        _ -> {error, why_not(Node)}
    end.

%% net_kernel does not say. A node that epmd knows, and that takes connections, did not want ours: then the cookie is
%% wrong, most of the time.
why_not(Node) ->
    [Name, Host] = string:split(atom_to_list(Node), "@"),
    case (net_kernel:epmd_module()):port_please(Name, Host, ?PROBE_MS) of
        {port, Port, _} -> probed(gen_tcp:connect(Host, Port, [], ?PROBE_MS));
        noport -> no_such_node;
        _ -> not_reachable
    end.

probed({ok, Socket}) ->
    ok = gen_tcp:close(Socket),
    handshake_failed;
probed({error, _}) ->
    not_reachable.

%% @doc The calling process hears of nodes that come up, once: a daemon that dials us need not be waited for.
-spec hear_of_nodes() -> ok.
hear_of_nodes() ->
    Options = [{node_type, all}],
    %% Subscriptions add up, and are lost when distribution is started anew.
    _ = net_kernel:monitor_nodes(false, Options),
    _ = net_kernel:monitor_nodes(true, Options),
    ok.
