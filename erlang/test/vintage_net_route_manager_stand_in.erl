%% Stands in for VintageNet 0.13's route manager: its functions, its messages, the form of its state, and the order in
%% which it writes properties. Its routes are made by `ip', one command each, as VintageNet's.
-module(vintage_net_route_manager_stand_in).

-behaviour(gen_server).

-export([child_spec/1, start_link/1, stop/0, set_route/3, set_route/4, set_connection_status/2, set_connection_status/3]).
-export([clear_route/1, refresh_route_metrics/0]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, code_change/3]).

-define(NAME, 'Elixir.VintageNet.RouteManager').
-define(IP, 'Elixir.VintageNet.Route.IPRoute').

child_spec(Args) -> #{id => ?NAME, start => {?NAME, start_link, [Args]}}.
start_link(Args) -> gen_server:start_link({local, ?NAME}, ?NAME, Args, []).
stop() -> gen_server:stop(?NAME).
set_route(IfName, IpSubnets, Gateway) -> gen_server:call(?NAME, {set_route, IfName, IpSubnets, Gateway}).
set_route(IfName, IpSubnets, Gateway, _) -> set_route(IfName, IpSubnets, Gateway).
set_connection_status(IfName, Status) -> set_connection_status(IfName, Status, nil).
set_connection_status(IfName, Status, Why) -> gen_server:call(?NAME, {set_connection_status, IfName, Status, Why}).
clear_route(IfName) -> gen_server:call(?NAME, {clear_route, IfName}).
refresh_route_metrics() -> gen_server:call(?NAME, refresh_route_metrics).

init(Args) ->
    Fun =
        case proplists:get_value(route_metric_fun, Args) of
            {M, F, 2} -> fun M:F/2;
            Given -> Given
        end,
    %% As VintageNet's: all default routes, and the rules for its tables.
    ok = ?IP:clear_all_routes(),
    ok = ?IP:clear_all_rules([100, 101, 102]),
    {ok, update(#{interfaces => #{}, route_state => #{}, route_metric_fun => Fun, routes => []})}.

handle_call({set_route, IfName, IpSubnets, Gateway}, _, #{interfaces := Infos} = State) ->
    case Infos of
        #{IfName := #{ip_subnets := IpSubnets, default_gateway := Gateway, status := S}} when S =/= disconnected ->
            {reply, ok, State};
        #{IfName := #{status := Status}} ->
            {reply, ok, update(State#{interfaces := Infos#{IfName => info(IfName, IpSubnets, Gateway, Status)}})};
        _ ->
            {reply, ok, update(State#{interfaces := Infos#{IfName => info(IfName, IpSubnets, Gateway, lan)}})}
    end;
handle_call({set_connection_status, IfName, Status, _}, _, #{interfaces := Infos} = State) ->
    case Infos of
        #{IfName := #{status := Status}} ->
            {reply, ok, State};
        #{IfName := Info} ->
            {reply, ok, update(State#{interfaces := Infos#{IfName := Info#{status := Status}}})};
        _ ->
            {reply, ok, update(State#{interfaces := Infos#{IfName => info(IfName, [], nil, Status)}})}
    end;
handle_call({clear_route, IfName}, _, #{interfaces := Infos} = State) when is_map_key(IfName, Infos) ->
    tell([<<"interface">>, IfName, <<"connection">>], disconnected),
    {reply, ok, update(State#{interfaces := maps:remove(IfName, Infos)})};
handle_call({clear_route, _}, _, State) ->
    {reply, ok, State};
handle_call(refresh_route_metrics, _, State) ->
    {reply, ok, update(State)}.

handle_cast(_, State) -> {noreply, State}.

%% Nobody sends it anything.
handle_info(Message, _) -> error({what_is, Message}).

code_change(_, State, _) -> {ok, State}.

info(IfName, IpSubnets, Gateway, Status) ->
    {Type, Weight} = maps:get(IfName, #{<<"eth0">> => {ethernet, 0}, <<"wlan0">> => {wifi, 0}, <<"ppp1">> => {mobile, 1}}),
    ('Elixir.VintageNet.Route.InterfaceInfo':'__struct__'())#{
        interface_type := Type, weight := Weight, ip_subnets := IpSubnets, default_gateway := Gateway, status := Status
    }.

update(#{interfaces := Infos, route_metric_fun := Fun, routes := Old, route_state := Indices} = State) ->
    Next = maps:merge(maps:from_list(lists:zip(maps:keys(Infos), lists:seq(100, 99 + map_size(Infos)))), Indices),
    New = lists:append([entries(I, Info, Fun(I, Info), maps:get(I, Next)) || {I, Info} <- lists:sort(maps:to_list(Infos))]),
    Sorted = [E || Kind <- [rule, local_route, default_route], E <- lists:sort(New), element(1, E) =:= Kind],
    [delete(Entry) || Entry <- Old -- Sorted],
    [insert(Entry) || Entry <- Sorted -- Old],
    Locals = lists:usort([{Metric, I} || {local_route, I, _, _, Metric, main} <- Sorted]),
    tell([<<"available_interfaces">>], [I || {_, I} <- Locals]),
    Statuses = [S || #{status := S} <- maps:values(Infos)],
    tell([<<"connection">>], hd([S || S <- [internet, lan], lists:member(S, Statuses)] ++ [disconnected])),
    maps:foreach(fun(I, #{status := S}) -> tell([<<"interface">>, I, <<"connection">>], S) end, Infos),
    State#{route_state := Next, routes := Sorted}.

entries(_, _, disabled, _) -> [];
entries(_, #{ip_subnets := []}, _, _) -> [];
entries(I, #{ip_subnets := [{Ip, Bits} | _], default_gateway := Gateway}, Metric, Table) ->
    [{rule, Table, Ip}, {local_route, I, Ip, Bits, 0, Table}, {local_route, I, Ip, Bits, Metric, main}] ++
        [{default_route, I, Gateway, M, T} || Gateway =/= nil, {M, T} <- [{0, Table}, {Metric, main}]].

delete({default_route, I, _, _, Table}) -> ?IP:clear_a_route(I, Table);
delete({local_route, I, Ip, Bits, Metric, Table}) -> ?IP:clear_a_local_route(I, Ip, Bits, Metric, Table);
delete({rule, Table, _}) -> ?IP:clear_a_rule(Table).

insert({default_route, I, Gateway, Metric, Table}) -> ok = ?IP:add_default_route(I, Gateway, Metric, Table);
insert({local_route, I, Ip, Bits, Metric, Table}) -> ok = ?IP:add_local_route(I, Ip, Bits, Metric, Table);
insert({rule, Table, Ip}) -> ok = ?IP:add_rule(Ip, Table).

tell(Property, Value) -> 'Elixir.PropertyTable':put('Elixir.VintageNet', Property, Value).
