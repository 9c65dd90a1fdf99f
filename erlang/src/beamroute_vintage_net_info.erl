%% @doc What VintageNet knows of an interface, the metric that its `route_metric_fun' gives it, and the properties that
%% follow. Pure, apart from that function, which is the user's.
%%
%% Facts from VintageNet 0.13: `lib/vintage_net/route/interface_info.ex', `default_metric.ex', `properties.ex' and
%% `lib/vintage_net/interface/name_utilities.ex'.
-module(beamroute_vintage_net_info).

-export([new/4, metric_fun/1, metric/3, view/3, available_interfaces/1, connection/1]).

-export_type([info/0, ifname/0, metric/0, metric_fun/0, view/0]).

-type ifname() :: binary().
-type status() :: disconnected | lan | internet.
%% The struct VintageNet.Route.InterfaceInfo.
-type info() :: #{
    '__struct__' := module(),
    interface_type := ethernet | wifi | mobile | local | unknown,
    weight := 0..9,
    ip_subnets := [{inet:ip_address(), pos_integer()}],
    default_gateway := inet:ip_address() | nil,
    status := status(),
    atom() => term()
}.
-type metric() :: pos_integer() | disabled.
%% VintageNet's own ranking is the daemon's as well: no numbers need be sent.
-type metric_fun() :: default | fun((ifname(), info()) -> term()).
%% An interface's status, whether it has an address, and its metric.
-type view() :: #{ifname() => {status(), boolean(), metric()}}.

-define(INFO, 'Elixir.VintageNet.Route.InterfaceInfo').
-define(DEFAULT_METRIC, 'Elixir.VintageNet.Route.DefaultMetric').
%% The largest that the daemon takes.
-define(MAX_METRIC, 4_000_000_000).

%% @doc What VintageNet would tell the function.
-spec new(ifname(), list(), inet:ip_address() | nil, status()) -> info().
new(IfName, IpSubnets, Gateway, Status) ->
    maps:merge(struct(?INFO), #{
        '__struct__' => ?INFO,
        interface_type => type(IfName),
        weight => weight(IfName),
        ip_subnets => IpSubnets,
        default_gateway => Gateway,
        status => Status
    }).

%% With the fields of the version that is there, should there ever be more.
struct(Module) ->
    try
        Module:'__struct__'()
    catch
        error:undef -> #{}
    end.

type(<<"eth", _/binary>>) -> ethernet;
type(<<"en", _/binary>>) -> ethernet;
type(<<"wlan", _/binary>>) -> wifi;
type(<<"wl", _/binary>>) -> wifi;
type(<<"ra", _/binary>>) -> wifi;
type(<<"ppp", _/binary>>) -> mobile;
type(<<"wwan", _/binary>>) -> mobile;
type(<<"lo", _/binary>>) -> local;
type(<<"tap", _/binary>>) -> local;
type(_) -> unknown.

%% All digits are one number, of which the last counts.
weight(IfName) ->
    case [Byte || <<Byte>> <= IfName, Byte >= $0, Byte =< $9] of
        [] -> 0;
        Digits -> lists:last(Digits) - $0
    end.

%% @doc The function that VintageNet's key `route_metric_fun' names: a function, `{Module, Function, 2}', or
%% `{Module, Function, Args}', whose arguments come after ours.
-spec metric_fun(term()) -> {ok, metric_fun()} | error.
metric_fun(None) when None =:= undefined; None =:= nil -> {ok, default};
metric_fun({?DEFAULT_METRIC, compute_metric, Args}) when Args =:= 2; Args =:= [] -> {ok, default};
metric_fun({Module, Function, 2}) when is_atom(Module), is_atom(Function) ->
    {ok, fun Module:Function/2};
metric_fun({Module, Function, Args}) when is_atom(Module), is_atom(Function), is_list(Args) ->
    {ok, fun(IfName, Info) -> apply(Module, Function, [IfName, Info | Args]) end};
metric_fun(Fun) when is_function(Fun, 2) ->
    case [erlang:fun_info(Fun, Item) || Item <- [type, module, name]] of
        [{type, external}, {module, ?DEFAULT_METRIC}, {name, compute_metric}] -> {ok, default};
        _ -> {ok, Fun}
    end;
metric_fun(_) ->
    error.

%% @doc The metric of an interface, or what is wrong with the function. VintageNet allows 0, which the kernel reads as
%% none: it is sent as 1.
-spec metric(metric_fun(), ifname(), info()) -> {ok, metric()} | {error, term()}.
metric(default, _, #{interface_type := Type, weight := Weight, status := Status}) ->
    {ok, default_metric(Type, Weight, Status)};
metric(Fun, IfName, Info) ->
    try Fun(IfName, Info) of
        disabled -> {ok, disabled};
        Metric when is_integer(Metric), Metric >= 0, Metric =< ?MAX_METRIC -> {ok, max(1, Metric)};
        Other -> {error, {bad_return_value, Other}}
    catch
        Kind:Reason:_ -> {error, {Kind, Reason}}
    end.

default_metric(_, _, disconnected) -> disabled;
default_metric(Type, Weight, Status) -> rank(Status) + class(Type) + Weight.

rank(internet) -> 0;
rank(lan) -> 40.

class(ethernet) -> 10;
class(wifi) -> 20;
class(mobile) -> 30;
class(_) -> 40.

%% @doc What is to be seen of interfaces whose metrics were sent, or else are VintageNet's.
-spec view(#{ifname() => info()}, #{ifname() => metric()}, view()) -> view().
view(Infos, Metrics, Others) ->
    Seen = fun(IfName, #{status := Status, ip_subnets := IpSubnets} = Info) ->
        {ok, Default} = metric(default, IfName, Info),
        {Status, IpSubnets =/= [], maps:get(IfName, Metrics, Default)}
    end,
    maps:merge(Others, maps:map(Seen, Infos)).

%% @doc The interfaces with an address and a metric, best first.
-spec available_interfaces(view()) -> [ifname()].
available_interfaces(View) ->
    Ranked = [{Metric, IfName} || {IfName, {_, true, Metric}} <- maps:to_list(View), Metric =/= disabled],
    [IfName || {_, IfName} <- lists:sort(Ranked)].

%% @doc The best status.
-spec connection(view()) -> status().
connection(View) ->
    Statuses = [Status || {Status, _, _} <- maps:values(View)],
    hd([Best || Best <- [internet, lan], lists:member(Best, Statuses)] ++ [disconnected]).
