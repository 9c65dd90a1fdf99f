#!/usr/bin/env escript
%% What a BEAM's binary_to_term/1 takes and refuses, for tests/beam.rs:
%%
%%     ./judge.escript > verdicts.txt
%%
%% A line is `ok Bytes Same` or `no Bytes`: the term without its version byte, in hexadecimal, and what term_to_binary/2
%% makes of it. The terms come from all kinds of values, then damaged by chance (the seed is fixed), and from a list of
%% special ones. Nothing here creates atoms by the thousand.

main(_) ->
    rand:seed(exsss, {7, 7, 7}),
    Good = lists:append([[encode(T), encode(nested(T))] || T <- values()]),
    Damaged = [damage(lists:nth(rand:uniform(length(Good)), Good)) || _ <- lists:seq(1, 4000)],
    Lines = [line(B) || B <- lists:usort(special() ++ Good ++ Damaged), byte_size(B) =< 80],
    io:format("# OTP ~s~n~s", [erlang:system_info(otp_release), thinned(Lines)]).

%% Of what is damaged, most is refused; half of that is enough.
thinned(Lines) ->
    [L || {N, L} <- lists:zip(lists:seq(1, length(Lines)), Lines), hd(L) =:= $o orelse N rem 2 =:= 0].

line(Bytes) ->
    case judged(Bytes) of
        {ok, Term} -> ["ok ", hex(Bytes), " ", hex(encode(Term)), "\n"];
        no -> ["no ", hex(Bytes), "\n"]
    end.

%% With what is left over: our check must find the same end.
judged(Bytes) ->
    try binary_to_term(<<131, Bytes/binary>>, [used]) of
        {Term, Used} when Used =:= byte_size(Bytes) + 1 -> {ok, Term};
        {_, _} -> no
    catch
        error:_ -> no
    end.

encode(Term) ->
    <<131, Bytes/binary>> = term_to_binary(Term, [{minor_version, 2}]),
    Bytes.

hex(Bytes) -> string:lowercase(binary:encode_hex(Bytes)).

nested(T) -> #{key => [T, {T} | T]}.

values() ->
    Ref = make_ref(),
    [
        0, 1, 255, 256, -1, 16#7fffffff, -16#80000000, 16#80000000, 1 bsl 63, -(1 bsl 64), 1 bsl 300,
        0.0, -0.0, 1.5, -1.0e300, '', a, 'é', 'жук', 'With Space', true, <<>>, <<1, 2, 3>>, <<5:3>>, <<1:9>>,
        [], [1, 2, 3], "text", [256, 1], [a | b], [1, 2 | 3], [[], [[]]], [1, 2, 300, a], {}, {a}, {1, {2, {3}}},
        #{}, #{a => 1}, #{1 => a, 2 => b, #{} => []}, #{{a} => [1], [2] => #{x => 1.0}},
        self(), Ref, hd(erlang:ports()), fun lists:map/2, fun erlang:node/0,
        {'$gen_call', {self(), [alias | Ref]}, {set_route, <<"eth0">>, [{{10, 0, 0, 5}, 24}], nil}},
        {error, {badarg, <<"why">>}}, [{a, 1}, {b, 2}], fun(X) -> {X, Ref} end
    ].

damage(Bytes) ->
    lists:foldl(fun(_, B) -> damage_once(B, rand:uniform(8)) end, Bytes, lists:seq(1, rand:uniform(2))).

damage_once(<<>>, _) -> <<(rand:uniform(256) - 1)>>;
damage_once(B, Kind) ->
    At = rand:uniform(byte_size(B)) - 1,
    <<Before:At/binary, Byte, After/binary>> = B,
    case Kind of
        1 -> <<Before/binary, (Byte bxor (1 bsl (rand:uniform(8) - 1))), After/binary>>;
        2 -> <<Before/binary, (rand:uniform(256) - 1), After/binary>>;
        3 -> <<Before/binary, After/binary>>;
        4 -> <<Before/binary, Byte, Byte, After/binary>>;
        5 -> Before;
        6 -> <<Before/binary, (a_tag()), After/binary>>;
        7 -> <<Before/binary, (Byte + 1), After/binary>>;
        8 -> <<Before/binary, (Byte - 1), After/binary>>
    end.

%% All but those that name atoms of the cache, or make new ones of any bytes.
a_tag() ->
    Tags = [67, 68, 70, 77, 80, 82, 88, 89, 90, 97, 98, 99, 101, 102, 103, 104, 105, 106, 107, 108, 109, 110, 111,
            112, 113, 114, 116, 117, 119, 120, 121],
    lists:nth(rand:uniform(length(Tags)), Tags).

special() ->
    Node = <<119, 3, "a@b">>,
    Atom = fun(Tag, Bits, Name) -> <<Tag, (byte_size(Name)):Bits, Name/binary>> end,
    [
        <<104, 0>>, <<105, 0:32>>, <<105, 1:32, 106>>, <<108, 0:32, 106>>, <<108, 0:32, 97, 1>>, <<107, 0:16>>,
        <<108, 1:32, 97, 1, 107, 1:16, 2>>, <<108, 1:32, 97, 1, 108, 1:32, 97, 2, 97, 3>>,
        <<116, 0:32>>, <<116, 2:32, 97, 1, 106, 97, 1, 106>>, <<116, 2:32, 97, 1, 106, 98, 1:32, 106>>,
        <<116, 2:32, 97, 1, 106, 70, 1.0/float, 106>>, <<116, 2:32, 106, 97, 1, 107, 0:16, 97, 2>>,
        <<116, 2:32, 70, 0.0/float, 106, 70, 128, 0:56, 106>>,
        <<116, 2:32, 116, 0:32, 106, 116, 0:32, 106>>, <<116, 1:32, 116, 2:32, 97, 1, 97, 2, 97, 1, 97, 3, 106>>,
        <<116, 2:32, 116, 2:32, 97, 1, 106, 97, 2, 106, 97, 7, 116, 2:32, 97, 2, 106, 97, 1, 106, 97, 8>>,
        <<110, 0, 0>>, <<110, 0, 1>>, <<110, 1, 0, 5>>, <<110, 1, 1, 5>>, <<110, 1, 2, 5>>, <<110, 1, 255, 5>>,
        <<110, 4, 0, 5, 0, 0, 0>>, <<110, 9, 0, 5, 0:64>>, <<110, 12, 1, 0:96>>, <<111, 1:32, 0, 7>>, <<111, 0:32, 0>>,
        <<111, 9:32, 1, 0:64, 1>>, <<98, 5:32>>,
        <<70, 16#7ff0:16, 0:48>>, <<70, 16#7ff8:16, 0:48>>, <<70, 16#fff0:16, 0:48>>, <<70, 1:64>>,
        <<99, "1.50000000000000000000e+00", 0:40>>,
        <<77, 0:32, 0>>, <<77, 0:32, 1>>, <<77, 0:32, 8>>, <<77, 1:32, 0, 5>>, <<77, 1:32, 1, 255>>, <<77, 1:32, 8, 5>>,
        <<77, 1:32, 9, 5>>, <<77, 2:32, 3, 1, 255>>, <<109, 0:32>>,
        Atom(100, 16, <<>>), Atom(100, 16, <<16#e9>>), Atom(115, 8, <<16#e9>>), Atom(115, 8, <<>>),
        Atom(118, 16, <<"é"/utf8>>), Atom(119, 8, <<16#e9>>), Atom(119, 8, <<16#ed, 16#a0, 16#80>>),
        Atom(119, 8, <<16#c0, 16#80>>), Atom(119, 8, <<16#f4, 16#90, 16#80, 16#80>>), Atom(119, 8, <<0>>),
        <<88, Node/binary, 1:32, 0:32, 0:32>>, <<88, Node/binary, (-1):32, (-1):32, (-1):32>>, <<88, 97, 1, 0:96>>,
        <<88, 119, 0, 1:32, 0:32, 1:32>>, <<103, Node/binary, 1:32, 0:32, 1>>,
        <<89, Node/binary, 1:32, 1:32>>, <<89, Node/binary, (-1):32, 1:32>>, <<120, Node/binary, (-1):64, 1:32>>,
        <<102, Node/binary, 1:32, 1>>,
        <<90, 0:16, Node/binary, 1:32>>, <<90, 1:16, Node/binary, 1:32, 1:32>>, <<90, 5:16, Node/binary, 1:32, 0:160>>,
        <<90, 6:16, Node/binary, 1:32, 0:192>>, <<90, 3:16, Node/binary, 0:32, (-1):96>>,
        <<114, 1:16, Node/binary, 1, 1:32>>, <<101, Node/binary, 1:32, 1>>,
        <<113, 119, 1, $m, 119, 1, $f, 97, 1>>, <<113, 119, 1, $m, 119, 1, $f, 97, 255>>,
        <<113, 119, 1, $m, 119, 1, $f, 98, 1:32>>, <<113, 119, 1, $m, 119, 1, $f, 98, (-1):32>>,
        <<113, 119, 1, $m, 119, 1, $f, 106>>,
        <<80, 0:32>>, <<82, 0>>, <<68, 0>>, <<121, 0:32, 97, 1>>, <<0>>, <<255>>, <<>>
    ].
