%% @doc What was asked for and has still to be sent: the latest wish per interface, in the order of their making.
%%
%% Pure. An interface has a route, a status and a metric, which are independent wishes; `clear_route' takes back the
%% first two and is a wish itself, since what comes after it starts from nothing. What is kept leads to the same state
%% as all that was asked, whatever the state was before.
%%
%% Wishes are numbered by whoever keeps them; those with larger numbers are younger, whenever they are added. There are
%% at most so many interfaces among them as was said: one more is refused in the daemon's words.
-module(beamroute_wishes).

-export([new/1, add/3, force/3, oldest/1, take/1, to_list/1, size/1]).
-export([show/1]).

-export_type([wishes/0, wish/0, seq/0, refusal/0]).

-type wish() ::
    {set_route, binary(), [{inet:ip_address(), pos_integer()}], inet:ip_address() | nil}
    | {clear_route, binary()}
    | {set_connection_status, binary(), disconnected | lan | internet, binary() | nil}
    | {set_metric, binary(), pos_integer() | disabled | default}
    | {set_owner_policy, keep | {clear_after | lan_after, non_neg_integer()}}
    | refresh_route_metrics.
-type seq() :: non_neg_integer().
-type refusal() :: {too_many_interfaces, pos_integer()}.

-type slot() :: {route | clear | status | metric, binary()} | owner_policy | refresh.

-record(wishes, {
    max :: pos_integer(),
    slots = #{} :: #{slot() => {seq(), wish()}},
    order = gb_trees:empty() :: gb_trees:tree(seq(), slot()),
    %% How many slots each interface has.
    interfaces = #{} :: #{binary() => pos_integer()}
}).

-opaque wishes() :: #wishes{}.

%% @doc No wish, and room for so many interfaces.
-spec new(pos_integer()) -> wishes().
new(Max) -> #wishes{max = Max}.

%% @doc Adds a wish, and gives the numbers of those that are void now: older ones, or itself if a younger one voids it.
-spec add(seq(), wish(), wishes()) -> {ok, Void :: [seq()], wishes()} | {error, refusal()}.
add(Number, Wish, #wishes{max = Max, interfaces = Interfaces} = Wishes) ->
    case ifname(slot(Wish)) of
        {ok, IfName} when not is_map_key(IfName, Interfaces), map_size(Interfaces) >= Max ->
            {error, {too_many_interfaces, Max}};
        _ ->
            {Void, Added} = force(Number, Wish, Wishes),
            {ok, Void, Added}
    end.

%% @doc Adds a wish that was taken already, whether there is room or not.
-spec force(seq(), wish(), wishes()) -> {Void :: [seq()], wishes()}.
force(Number, Wish, #wishes{slots = Slots} = Wishes) ->
    Slot = slot(Wish),
    IsVoid = lists:any(fun(By) -> is_younger(By, Number, Slots) end, voided_by(Slot)),
    case IsVoid of
        true ->
            {[Number], Wishes};
        false ->
            Void = [Other || Other <- voids(Slot), is_map_key(Other, Slots), not is_younger(Other, Number, Slots)],
            Numbers = [element(1, maps:get(Other, Slots)) || Other <- Void],
            {Numbers, insert(Slot, Number, Wish, lists:foldl(fun remove/2, Wishes, Void))}
    end.

is_younger(Slot, Number, Slots) ->
    case Slots of
        #{Slot := {Other, _}} -> Other > Number;
        _ -> false
    end.

%% @doc The number of the oldest.
-spec oldest(wishes()) -> seq() | none.
oldest(#wishes{order = Order}) ->
    case gb_trees:is_empty(Order) of
        true -> none;
        false -> element(1, gb_trees:smallest(Order))
    end.

%% @doc Takes the oldest out; there must be one.
-spec take(wishes()) -> {seq(), wish(), wishes()}.
take(#wishes{order = Order, slots = Slots} = Wishes) ->
    {_, Slot} = gb_trees:smallest(Order),
    {Number, Wish} = maps:get(Slot, Slots),
    {Number, Wish, remove(Slot, Wishes)}.

%% @doc The wishes, the oldest first.
-spec to_list(wishes()) -> [{seq(), wish()}].
to_list(#wishes{order = Order, slots = Slots}) -> [maps:get(Slot, Slots) || Slot <- gb_trees:values(Order)].

%% @doc How many there are.
-spec size(wishes()) -> non_neg_integer().
size(#wishes{slots = Slots}) -> map_size(Slots).

%% @doc As much of a wish as a line of the log should have: a reason may be long.
-spec show(wish()) -> term().
show(Wish) when is_tuple(Wish) -> {element(1, Wish), element(2, Wish)};
show(Wish) -> Wish.

insert(Slot, Number, Wish, #wishes{slots = Slots, order = Order, interfaces = Interfaces} = Wishes) ->
    Wishes#wishes{
        slots = Slots#{Slot => {Number, Wish}},
        order = gb_trees:insert(Number, Slot, Order),
        interfaces = count(Slot, 1, Interfaces)
    }.

remove(Slot, #wishes{slots = Slots, order = Order, interfaces = Interfaces} = Wishes) ->
    {{Number, _}, Others} = maps:take(Slot, Slots),
    Wishes#wishes{
        slots = Others,
        order = gb_trees:delete(Number, Order),
        interfaces = count(Slot, -1, Interfaces)
    }.

count(Slot, Change, Interfaces) ->
    case ifname(Slot) of
        {ok, IfName} ->
            case maps:get(IfName, Interfaces, 0) + Change of
                0 -> maps:remove(IfName, Interfaces);
                Count -> Interfaces#{IfName => Count}
            end;
        none ->
            Interfaces
    end.

ifname({_, IfName}) -> {ok, IfName};
ifname(_) -> none.

slot({set_route, IfName, _, _}) -> {route, IfName};
slot({clear_route, IfName}) -> {clear, IfName};
slot({set_connection_status, IfName, _, _}) -> {status, IfName};
slot({set_metric, IfName, _}) -> {metric, IfName};
slot({set_owner_policy, _}) -> owner_policy;
slot(refresh_route_metrics) -> refresh.

voids({clear, IfName}) -> [{Kind, IfName} || Kind <- [route, clear, status]];
voids(Slot) -> [Slot].

voided_by({Kind, IfName} = Slot) when Kind =:= route; Kind =:= status -> [Slot, {clear, IfName}];
voided_by(Slot) -> [Slot].
