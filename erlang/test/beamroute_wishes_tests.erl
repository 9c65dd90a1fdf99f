%% What is kept leads to the same state as all that was asked.
-module(beamroute_wishes_tests).

-include_lib("eunit/include/eunit.hrl").

-define(WISHES, [
    {set_route, <<"a">>, [{{10, 0, 0, 1}, 8}], nil},
    {set_route, <<"a">>, [{{10, 0, 0, 2}, 8}], nil},
    {set_connection_status, <<"a">>, internet, nil},
    {set_connection_status, <<"a">>, lan, <<"why">>},
    {clear_route, <<"a">>},
    {set_metric, <<"a">>, 7},
    {clear_route, <<"b">>},
    {set_connection_status, <<"b">>, disconnected, nil}
]).

%% All sequences of up to five of these wishes, from a state in which both interfaces are known and from nothing.
every_sequence_test_() ->
    {timeout, 120, fun() -> lists:foreach(fun same_state/1, sequences(5)) end}.

same_state(Sequence) ->
    Numbered = lists:zip(lists:seq(1, length(Sequence)), Sequence),
    Wishes = add_all(Numbered),
    Kept = [Wish || {_, Wish} <- beamroute_wishes:to_list(Wishes)],
    %% Those with larger numbers are younger, whenever they come.
    ?assertEqual(beamroute_wishes:to_list(Wishes), beamroute_wishes:to_list(add_all(lists:reverse(Numbered)))),
    ?assertEqual(Kept, taken(Wishes)),
    lists:foreach(fun(Before) -> ?assertEqual(play(Sequence, Before), play(Kept, Before), Sequence) end, states()).

%% Everything that is added is kept or told to be void.
add_all(Numbered) ->
    {Wishes, Left} = lists:foldl(
        fun({Number, Wish}, {Before, Numbers}) ->
            {ok, Void, After} = beamroute_wishes:add(Number, Wish, Before),
            {After, [Number | Numbers] -- Void}
        end,
        {beamroute_wishes:new(2), []},
        Numbered
    ),
    ?assertEqual(lists:sort(Left), [Number || {Number, _} <- beamroute_wishes:to_list(Wishes)]),
    Wishes.

taken(Wishes) ->
    case beamroute_wishes:oldest(Wishes) of
        none ->
            [];
        Number ->
            {Number, Wish, Left} = beamroute_wishes:take(Wishes),
            [Wish | taken(Left)]
    end.

states() ->
    Known = #{{a, route} => before, {a, status} => before},
    [#{}, Known, Known#{{b, status} => before, {a, metric} => 3}].

sequences(0) -> [[]];
sequences(N) -> [[]] ++ [[W | Rest] || W <- ?WISHES, Rest <- sequences(N - 1)].

%% What the daemon makes of a wish.
play(Wishes, State) -> lists:foldl(fun wish/2, State, Wishes).

wish({set_route, If, Subnets, Gateway}, State) ->
    maps:merge(#{{key(If), status} => lan}, State#{{key(If), route} => {Subnets, Gateway}});
wish({clear_route, If}, State) -> maps:without([{key(If), route}, {key(If), status}], State);
wish({set_connection_status, If, Status, Why}, State) -> State#{{key(If), status} => {Status, Why}};
wish({set_metric, If, Metric}, State) -> State#{{key(If), metric} => Metric}.

key(<<"a">>) -> a;
key(<<"b">>) -> b.

the_latest_in_order_test() ->
    Asked = [
        {set_connection_status, <<"a">>, lan, nil},
        refresh_route_metrics,
        {set_connection_status, <<"b">>, lan, nil},
        {set_connection_status, <<"a">>, internet, nil},
        refresh_route_metrics
    ],
    Kept = add_all(lists:zip(lists:seq(1, 5), Asked)),
    ?assertEqual(lists:nthtail(2, Asked), taken(Kept)),
    ?assertEqual(3, beamroute_wishes:size(Kept)).

%% What is taken out makes room, and what was promised is kept all the same.
no_more_interfaces_than_said_test() ->
    Status = fun(IfName) -> {set_connection_status, IfName, lan, nil} end,
    Two = add_all([{1, Status(<<"a">>)}, {2, Status(<<"b">>)}, {3, {set_metric, <<"a">>, 7}}, {4, refresh_route_metrics}]),
    ?assertEqual({error, {too_many_interfaces, 2}}, beamroute_wishes:add(5, Status(<<"c">>), Two)),
    ?assertEqual({error, {too_many_interfaces, 2}}, beamroute_wishes:add(5, {clear_route, <<"c">>}, Two)),
    ?assertMatch({ok, [1], _}, beamroute_wishes:add(5, Status(<<"a">>), Two)),
    {[], Three} = beamroute_wishes:force(5, Status(<<"c">>), Two),
    ?assertEqual(5, beamroute_wishes:size(Three)),
    {1, _, OneLess} = beamroute_wishes:take(Two),
    ?assertMatch({error, _}, beamroute_wishes:add(5, Status(<<"c">>), OneLess)),
    {2, _, Room} = beamroute_wishes:take(OneLess),
    ?assertMatch({ok, [], _}, beamroute_wishes:add(5, Status(<<"c">>), Room)).
