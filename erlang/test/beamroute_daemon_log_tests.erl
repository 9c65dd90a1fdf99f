%% The daemon's log lines, and the JSON that they are.
-module(beamroute_daemon_log_tests).

-include_lib("eunit/include/eunit.hrl").

json_test_() ->
    Good = [
        {<<"{}">>, #{}},
        {<<" { \"a\" : [ 1 , -2.5e3, 1E2, true , false , null , [ ] ] } ">>,
            #{<<"a">> => [1, -2500.0, 100.0, true, false, nil, []]}},
        {<<"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\ud83d\\ude00\"">>, <<"\"\\/\b\f\n\r\té😀"/utf8>>},
        {<<"\"é😀"/utf8, "\"">>, <<"é😀"/utf8>>}
    ],
    Bad = [
        <<>>, <<"{">>, <<"{\"a\"}">>, <<"{\"a\":1,}">>, <<"[1,]">>, <<"[1">>, <<"\"a">>, <<"\"\\x\"">>, <<"\"\\ud83d\"">>,
        <<"\"\\u12g4\"">>, <<"\"\n\"">>, <<"\"", 255, "\"">>, <<"1 2">>, <<"tru">>, <<"-">>, <<"1.0e999">>
    ],
    [?_assertEqual({ok, Value}, beamroute_json:decode(Text)) || {Text, Value} <- Good] ++
        [?_assertEqual(error, beamroute_json:decode(Text)) || Text <- Bad].

line_test_() ->
    Line = fun(Level, Fields) ->
        <<"{\"timestamp\":\"2026-11-22T03:46:23.226543Z\",\"level\":\"", Level/binary, "\",\"fields\":", Fields/binary, "}">>
    end,
    Read = fun(Text) -> beamroute_daemon_log:read(Text) end,
    [
        ?_assertMatch(
            #{level := info, text := <<"ready node=x@y port=9 why=\"a \\\"b\\\"\\nc\"">>, fields := #{<<"port">> := 9}},
            Read(Line(<<"INFO">>, <<"{\"message\":\"ready\",\"port\":9,\"node\":\"x@y\",\"why\":\"a \\\"b\\\"\\nc\"}">>))
        ),
        [
            ?_assertMatch(#{level := Level, text := <<"m">>}, Read(Line(Word, <<"{\"message\":\"m\"}">>)))
         || {Word, Level} <- [{<<"ERROR">>, error}, {<<"WARN">>, warning}, {<<"DEBUG">>, debug}, {<<"TRACE">>, debug}]
        ],
        %% What it is about is part of it.
        ?_assertMatch(
            #{text := <<"lost peer=a@b reason=1">>},
            Read(<<"{\"level\":\"INFO\",\"fields\":{\"message\":\"lost\",\"reason\":1},\"span\":{\"peer\":\"a@b\",\"name\":\"connection\"}}">>)
        ),
        %% One that has lost its end.
        ?_assertMatch(#{level := warning, fields := #{}}, Read(binary:part(Line(<<"WARN">>, <<"{\"message\":\"m\"}">>), 0, 70))),
        %% From before the log is open, and what is no text at all.
        ?_assertEqual(#{level => error, text => <<"beamroute: no">>, fields => #{}}, Read(<<"beamroute: no">>)),
        ?_assertMatch(#{level := error, text := <<"ÿ"/utf8>>}, Read(<<255>>))
    ].
