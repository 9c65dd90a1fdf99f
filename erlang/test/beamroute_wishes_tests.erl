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
    Kept = beamroute_wishes:to_list(lists:foldl(fun beamroute_wishes:add/2, beamroute_wishes:new(), Sequence)),
    lists:foreach(fun(Before) -> ?assertEqual(play(Sequence, Before), play(Kept, Before), Sequence) end, states()).

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
    Add = fun beamroute_wishes:add/2,
    Asked = [
        {set_connection_status, <<"a">>, lan, nil},
        refresh_route_metrics,
        {set_connection_status, <<"b">>, lan, nil},
        {set_connection_status, <<"a">>, internet, nil},
        refresh_route_metrics
    ],
    Kept = lists:foldl(Add, beamroute_wishes:new(), Asked),
    ?assertEqual(lists:nthtail(2, Asked), beamroute_wishes:to_list(Kept)),
    ?assertEqual(3, beamroute_wishes:size(Kept)).
