%% A BEAM node that does to another node whatever a node may, at random, until it is killed.
-module(soak).

-export([main/1]).

main([Node, Seed]) ->
    rand:seed(exsss, list_to_integer(atom_to_list(Seed))),
    logger:set_primary_config(level, none),
    [spawn_link(fun() -> loop(Node) end) || _ <- lists:seq(1, 5)],
    %% Whoever started us holds the other end of stdin.
    _ = io:get_line(""),
    halt(0).

loop(Node) ->
    catch one(rand:uniform(20), Node, {route_manager, Node}),
    timer:sleep(rand:uniform(20)),
    loop(Node).

one(1, Node, _) -> net_kernel:connect_node(Node);
one(2, Node, _) -> erlang:disconnect_node(Node);
one(3, _, RM) -> gen_server:call(RM, status);
one(4, _, RM) -> gen_server:call(RM, {set_connection_status, "eth0", status()});
one(5, _, RM) -> gen_server:call(RM, {set_connection_status, "wlan0", status()}, 1);
one(6, _, RM) -> gen_server:cast(RM, {set_connection_status, "wlan0", status()});
one(7, Node, _) -> rpc:call(Node, route_manager, status, []);
one(8, Node, _) -> erpc:call(Node, lists, seq, [1, 3]);
one(9, Node, _) -> rpc:cast(Node, erlang, node, []);
one(10, _, RM) -> briefly(fun() -> erlang:monitor(process, RM) end);
one(11, Node, _) -> briefly(fun() -> link(rpc:call(Node, erlang, whereis, [route_manager])) end);
one(12, Node, _) ->
    briefly(fun() ->
        Pid = rpc:call(Node, erlang, whereis, [route_manager]),
        link(Pid),
        unlink(Pid),
        link(Pid)
    end);
one(13, Node, _) -> briefly(fun() -> watch(Node, [nodedown_reason, {node_type, all}]) end);
one(14, Node, _) -> briefly(fun() -> watch(Node, []), watch(Node, #{connection_id => true}) end);
one(15, Node, _) -> briefly(fun() -> spawn_link(Node, erlang, node, []) end);
one(16, Node, _) -> briefly(fun() -> spawn_monitor(Node, no, such, [function]) end);
one(17, Node, _) -> exit(rpc:call(Node, erlang, whereis, [route_manager]), shutdown);
one(18, Node, _) -> {nobody, Node} ! hello;
one(19, Node, _) -> gen_server:multi_call([Node], route_manager, {get, [<<"connection">>]}, 100);
one(20, Node, _) -> rpc:call(Node, net_kernel, set_net_ticktime, [rand:uniform(8), rand:uniform(2) - 1]).

status() -> element(rand:uniform(3), {disconnected, lan, internet}).

watch(Node, Options) -> gen_server:call({net_kernel, Node}, {monitor_nodes, true, Options}).

%% A process that lives a moment and ends in one of several ways.
briefly(Fun) ->
    spawn(fun() ->
        Fun(),
        timer:sleep(rand:uniform(50)),
        case rand:uniform(3) of
            1 -> exit(boom);
            2 -> exit(kill);
            3 -> ok
        end
    end).
