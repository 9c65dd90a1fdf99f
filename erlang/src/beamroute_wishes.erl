%% @doc What was asked for while the node was away: the latest wish per interface, in the order of their making.
%%
%% Pure. An interface has a route, a status and a metric, which are independent wishes; `clear_route' takes back the
%% first two and is a wish itself, since what comes after it starts from nothing. What is kept leads to the same state
%% as all that was asked, whatever the state was before.
-module(beamroute_wishes).

-export([new/0, add/2, to_list/1, size/1]).

-export_type([wishes/0, wish/0]).

-type wish() ::
    {set_route, binary(), [{inet:ip_address(), pos_integer()}], inet:ip_address() | nil}
    | {clear_route, binary()}
    | {set_connection_status, binary(), disconnected | lan | internet, binary() | nil}
    | {set_metric, binary(), pos_integer() | disabled | default}
    | {set_owner_policy, keep | {clear_after | lan_after, non_neg_integer()}}
    | refresh_route_metrics.

%% The youngest first.
-opaque wishes() :: [{slot(), wish()}].

-type slot() :: {route | clear | status | metric, binary()} | owner_policy | refresh.

%% @doc No wish.
-spec new() -> wishes().
new() -> [].

%% @doc Adds a wish as the youngest; those that it makes void are forgotten.
-spec add(wish(), wishes()) -> wishes().
add(Wish, Wishes) ->
    Slot = slot(Wish),
    Void = void(Slot),
    [{Slot, Wish} | [Kept || {Other, _} = Kept <- Wishes, not lists:member(Other, Void)]].

%% @doc The wishes, the oldest first.
-spec to_list(wishes()) -> [wish()].
to_list(Wishes) -> lists:reverse([Wish || {_, Wish} <- Wishes]).

%% @doc How many there are.
-spec size(wishes()) -> non_neg_integer().
size(Wishes) -> length(Wishes).

slot({set_route, IfName, _, _}) -> {route, IfName};
slot({clear_route, IfName}) -> {clear, IfName};
slot({set_connection_status, IfName, _, _}) -> {status, IfName};
slot({set_metric, IfName, _}) -> {metric, IfName};
slot({set_owner_policy, _}) -> owner_policy;
slot(refresh_route_metrics) -> refresh.

void({clear, IfName}) -> [{Kind, IfName} || Kind <- [route, clear, status]];
void(Slot) -> [Slot].
