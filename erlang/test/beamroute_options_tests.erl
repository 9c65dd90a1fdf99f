%% Wrong options do not start a link; the error has the key and a sentence that begins with it.
-module(beamroute_options_tests).

-include_lib("eunit/include/eunit.hrl").

-define(NODE, 'gw@127.0.0.1').

bad_options_test_() ->
    [
        {lists:flatten(io_lib:format("~0tp", [Options])), fun() -> refused(Key, Options) end}
     || {Key, Options} <- [
            {node, []},
            {node, #{}},
            {node, [{node, gw}]},
            {node, [{node, 'gw@'}]},
            {node, [{node, 'a@b@c'}]},
            {node, [{node, "gw@host"}]},
            {nod, [{nod, ?NODE}]},
            {1, [{node, ?NODE}, {1, 2}]},
            {name, [{node, ?NODE}, {name, "link"}]},
            {cookie, [{node, ?NODE}, {cookie, <<"secret">>}]},
            {connect_timeout, [{node, ?NODE}, {connect_timeout, 0}]},
            {connect_timeout, [{node, ?NODE}, {connect_timeout, infinity}]},
            {backoff_initial, [{node, ?NODE}, {backoff_initial, 1.5}]},
            {backoff_max, [{node, ?NODE}, {backoff_max, 16#100000000}]},
            {backoff_max, [{node, ?NODE}, {backoff_initial, 100}, {backoff_max, 50}]},
            {queue, [{node, ?NODE}, {queue, yes}]},
            {max_interfaces, [{node, ?NODE}, {max_interfaces, 0}]},
            {distribution, [{node, ?NODE}, {distribution, true}]},
            {distribution, [{node, ?NODE}, {distribution, []}]},
            {distribution, [{node, ?NODE}, {distribution, [{name, "me"}]}]},
            {distribution, [{node, ?NODE}, {distribution, [{name, me}, {host, here}]}]},
            {node, [{node, ?NODE}, {node, ?NODE}]},
            {queue, [queue]},
            {options, none}
        ]
    ].

refused(Key, Options) ->
    {error, {bad_option, Named, Sentence}} = beamroute_route_manager:start_link(Options),
    ?assert(Named =:= Key orelse Named =:= queue),
    ?assertEqual(Key, Named),
    Shown = iolist_to_binary(io_lib:format("~0tp ", [Key])),
    ?assertEqual(Shown, binary:part(Sentence, 0, byte_size(Shown))),
    ?assertEqual(nomatch, binary:match(Sentence, <<"secret">>)).

defaults_test() ->
    {ok, Checked} = beamroute_options:check([{node, ?NODE}]),
    ?assertMatch(#{name := beamroute_link, queue := true, backoff_initial := 500, backoff_max := 30000, max_interfaces := 256}, Checked),
    ?assertEqual({ok, Checked}, beamroute_options:check(#{node => ?NODE})).

a_child_of_its_own_per_name_test() ->
    #{id := One} = beamroute_route_manager:child_spec([{node, ?NODE}]),
    #{id := Two} = beamroute_route_manager:child_spec(#{node => ?NODE, name => other}),
    ?assertNotEqual(One, Two),
    %% What is wrong is said when the child starts.
    #{start := {M, F, A}} = beamroute_route_manager:child_spec(none),
    ?assertMatch({error, {bad_option, options, _}}, apply(M, F, A)).
