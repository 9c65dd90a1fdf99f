-module(beamroute_backoff_tests).

-include_lib("eunit/include/eunit.hrl").

doubles_up_to_the_limit_test() ->
    Full = [100, 200, 400, 800, 1000, 1000, 1000],
    Next = fun(_, Backoff) -> beamroute_backoff:next(Backoff) end,
    {Waits, _} = lists:mapfoldl(Next, beamroute_backoff:new(100, 1000), Full),
    [?assert(Wait >= All div 2 andalso Wait =< All) || {Wait, All} <- lists:zip(Waits, Full)].

is_jittered_test() ->
    Backoff = beamroute_backoff:new(10, 10),
    Waits = lists:usort([element(1, beamroute_backoff:next(Backoff)) || _ <- lists:seq(1, 2000)]),
    ?assertEqual(lists:seq(5, 10), Waits).

is_never_nothing_test() ->
    {Wait, Next} = beamroute_backoff:next(beamroute_backoff:new(1, 1)),
    ?assertEqual({1, beamroute_backoff:new(1, 1)}, {Wait, Next}).
