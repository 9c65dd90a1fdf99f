%% What is refused before anything is started, and the command that the rest makes.
-module(beamroute_daemon_options_tests).

-include_lib("eunit/include/eunit.hrl").

-define(NODE, {node, 'gw@127.0.0.1'}).

bad_options_name_their_key_test_() ->
    Cases = [
        {node, <<"node is missing: the name that the daemon's node is to have, such as 'beamroute@127.0.0.1'">>, []},
        {node, <<"node is not the name of a node, such as 'beamroute@127.0.0.1': gw">>, [{node, gw}]},
        {colour, <<"colour is not an option; there are ">>, [?NODE, {colour, red}]},
        {node, <<"node is given twice">>, [?NODE, ?NODE]},
        {options, <<"options are a list or a map, not 7">>, 7},
        {name, <<"name is not an atom: \"me\"">>, [?NODE, {name, "me"}]},
        {bin, <<"bin is not text, or empty">>, [?NODE, {bin, ""}]},
        {bin, <<"bin is not text">>, [?NODE, {bin, 7}]},
        {state_dir, <<"state_dir holds a NUL">>, [?NODE, {state_dir, <<"a", 0>>}]},
        {config, <<"config is not text">>, [?NODE, {config, [a]}]},
        {cookie, <<"cookie is not an atom of 1 to 255 printable ASCII characters">>, [?NODE, {cookie, "Secret"}]},
        {cookie_file, <<"cookie_file and cookie are two answers to one question">>, [
            ?NODE, {cookie, c}, {cookie_file, "f"}
        ]},
        {args, <<"args is not a list of text: yes">>, [?NODE, {args, yes}]},
        {args, <<"args has --name, which the option node says">>, [?NODE, {args, ["--name=x@y"]}]},
        {args, <<"args has --state-dir, which the option state_dir says">>, [?NODE, {args, [<<"--state-dir">>, "/s"]}]},
        {args, <<"args has --log-format, and lines are read in one format only">>, [?NODE, {args, ["--log-format"]}]},
        {env, <<"env is not a list of {Name, Value}">>, [?NODE, {env, ["A"]}]},
        {env, <<"env has BEAMROUTE_COOKIE, which the option cookie says">>, [?NODE, {env, [{"BEAMROUTE_COOKIE", "c"}]}]},
        {stay, <<"stay is not true or false: perhaps">>, [?NODE, {stay, perhaps}]},
        {stay, <<"stay has no value">>, [?NODE, {stay, nil}]},
        {muontrap, <<"muontrap ends what it has started with the VM">>, [?NODE, {stay, true}, {muontrap, [{cgroup_base, <<>>}]}]},
        {stop_timeout, <<"stop_timeout is not a number of milliseconds from 1 to ">>, [?NODE, {stop_timeout, 0}]},
        {backoff_max, <<"backoff_max is 5, less than backoff_initial, which is 200">>, [?NODE, {backoff_max, 5}]}
    ],
    [?_test(refused(Key, Sentence, Options)) || {Key, Sentence, Options} <- Cases].

refused(Key, Sentence, Options) ->
    {error, {bad_option, Key, Why}} = beamroute_daemon:start_link(Options),
    ?assertEqual(Sentence, binary:part(Why, 0, min(byte_size(Sentence), byte_size(Why)))).

where_no_binary_is_the_places_are_named_test() ->
    Path = os:getenv("PATH"),
    Why = fun(Options) ->
        {error, {no_binary, Text}} = beamroute_daemon:start_link([?NODE | Options]),
        Text
    end,
    try
        true = os:putenv("PATH", "/nowhere:/here"),
        ?assertMatch({match, _}, re:run(Why([]), "looked at .*priv.*; the PATH, which is /nowhere:/here$"))
    after
        os:putenv("PATH", Path)
    end,
    Nothing = <<"no program beamroute that can be executed: looked at bin, which is /no/such">>,
    ?assertEqual(Nothing, Why([{bin, "/no/such"}])),
    %% A directory, and a file that nobody may execute.
    [?assertMatch(<<"no program", _/binary>>, Why([{bin, Bin}])) || Bin <- ["/tmp", "/etc/passwd"]],
    ?assertMatch({match, _}, re:run(Why([{bin, {stdlib, "beamroute"}}]), "looked at .*stdlib.*/priv/beamroute$")),
    ?assertMatch({match, _}, re:run(Why([{bin, {no_such_app, "x"}}]), "priv of no_such_app, which is no application")).

%% First what is asked for, then our priv, then the PATH.
the_order_of_places_test() ->
    Dir = os:getenv("BEAMROUTE_TEST_DIR") ++ "/places",
    Program = fun(Name) ->
        File = filename:join([Dir, Name, "beamroute"]),
        ok = filelib:ensure_dir(File),
        ok = file:write_file(File, "#!/bin/sh\n"),
        ok = file:change_mode(File, 8#755),
        File
    end,
    Find = fun(Options) ->
        {ok, Checked} = beamroute_daemon_options:check([?NODE | Options]),
        beamroute_daemon_options:find(Checked)
    end,
    Path = os:getenv("PATH"),
    InPath = Program("path"),
    true = os:putenv("PATH", filename:dirname(InPath) ++ ":" ++ Path),
    try
        ?assertEqual({ok, InPath}, Find([])),
        InPriv = Program("beamroute-0.1.0/priv"),
        true = code:add_patha(filename:join([Dir, "beamroute-0.1.0", "ebin"])) =:= true orelse make_ebin(Dir),
        ?assertEqual({ok, InPriv}, Find([])),
        ?assertEqual({ok, InPriv}, Find([{bin, {beamroute, <<"beamroute">>}}])),
        Asked = Program("asked"),
        ?assertEqual({ok, Asked}, Find([{bin, list_to_binary(Asked)}]))
    after
        os:putenv("PATH", Path),
        code:del_path(filename:join([Dir, "beamroute-0.1.0", "ebin"]))
    end.

make_ebin(Dir) ->
    Ebin = filename:join([Dir, "beamroute-0.1.0", "ebin"]),
    ok = filelib:ensure_dir(filename:join(Ebin, "x")),
    code:add_patha(Ebin).

command_test_() ->
    Command = fun(Options) ->
        {ok, Checked} = beamroute_daemon_options:check(Options),
        #{args := Args, env := Env, with := port} = beamroute_daemon_options:command("/b", Checked),
        {string:join(Args, " "), Env}
    end,
    [
        ?_assertEqual(
            {"run --log-format json --exit-with-stdin --name gw@127.0.0.1", [
                {"BEAMROUTE_COOKIE", atom_to_list(erlang:get_cookie())}, {"BEAMROUTE_COOKIE_FILE", false}
            ]},
            Command([?NODE])
        ),
        ?_assertEqual(
            {"run --log-format json --sname gw@box --state-dir /s --config /c --cookie-file /k --flush conntrack", [{"A", "1"}, {"B", false}]},
            Command(#{
                node => gw@box,
                stay => true,
                state_dir => <<"/s">>,
                config => "/c",
                cookie_file => "/k",
                args => ["--flush", <<"conntrack">>],
                env => [{"A", <<"1">>}, {"B", nil}]
            })
        ),
        ?_assertMatch({"run --log-format json --exit-with-stdin --name gw@::1", _}, Command([{node, 'gw@::1'}]))
    ].
