%% Stands in for VintageNet.Route.IPRoute: real `ip' commands.
-module(vintage_net_ip_route_stand_in).

-export([clear_all_routes/0, clear_all_rules/1]).
-export([add_rule/2, add_local_route/5, add_default_route/4, clear_a_rule/1, clear_a_local_route/5, clear_a_route/2]).

clear_all_routes() -> until_error(fun() -> ip("route del default", []) end).

clear_all_rules(Tables) -> lists:foreach(fun(Table) -> until_error(fun() -> clear_a_rule(Table) end) end, Tables).

until_error(Fun) ->
    case Fun() of
        ok -> until_error(Fun);
        {error, _} -> ok
    end.

add_rule(Ip, Table) ->
    ip("rule add from ~ts lookup ~p", [inet:ntoa(Ip), Table]).

add_local_route(IfName, Ip, Bits, Metric, Table) ->
    ip("route add ~ts/~b table ~p metric ~b dev ~ts scope link src ~ts",
        [inet:ntoa(subnet(Ip, Bits)), Bits, Table, Metric, IfName, inet:ntoa(Ip)]).

add_default_route(IfName, Gateway, Metric, Table) ->
    ip("route add default table ~p metric ~b via ~ts dev ~ts", [Table, Metric, inet:ntoa(Gateway), IfName]).

clear_a_rule(Table) ->
    ip("rule del lookup ~p", [Table]).

clear_a_local_route(IfName, Ip, Bits, Metric, Table) ->
    ip("route del ~ts/~b table ~p metric ~b dev ~ts scope link",
        [inet:ntoa(subnet(Ip, Bits)), Bits, Table, Metric, IfName]).

clear_a_route(IfName, Table) ->
    ip("route del default table ~p dev ~ts", [Table, IfName]).

subnet({A, B, C, _}, 24) -> {A, B, C, 0}.

ip(Format, Args) ->
    case os:cmd(lists:flatten(io_lib:format("ip " ++ Format, Args))) of
        [] -> ok;
        Said -> {error, Said}
    end.
