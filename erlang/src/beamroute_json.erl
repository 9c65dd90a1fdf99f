%% @doc Reads JSON, for the daemon's log lines: OTP has a module for it only from 27 on.
%%
%% Objects are maps with binaries as keys, `null' is `nil'.
-module(beamroute_json).

-export([decode/1]).

-export_type([value/0]).

-type value() :: #{binary() => value()} | [value()] | binary() | number() | boolean() | nil.

%% @doc The value of a whole text.
-spec decode(binary()) -> {ok, value()} | error.
decode(Text) ->
    try value(skip(Text)) of
        {Value, Rest} ->
            case skip(Rest) of
                <<>> -> {ok, Value};
                _ -> error
            end
    catch
        throw:not_json -> error
    end.

value(<<"{", Rest/binary>>) -> object(skip(Rest), #{});
value(<<"[", Rest/binary>>) -> array(skip(Rest), []);
value(<<"\"", Rest/binary>>) -> string(Rest, <<>>);
value(<<"true", Rest/binary>>) -> {true, Rest};
value(<<"false", Rest/binary>>) -> {false, Rest};
value(<<"null", Rest/binary>>) -> {nil, Rest};
value(Text) -> number(Text).

object(<<"}", Rest/binary>>, Map) when map_size(Map) =:= 0 ->
    {Map, Rest};
object(<<"\"", Text/binary>>, Map) ->
    {Key, AfterKey} = string(Text, <<>>),
    {Value, Rest} = value(skip(expect($:, skip(AfterKey)))),
    Filled = Map#{Key => Value},
    case skip(Rest) of
        <<",", More/binary>> -> object(skip(More), Filled);
        <<"}", After/binary>> -> {Filled, After};
        _ -> throw(not_json)
    end;
object(_, _) ->
    throw(not_json).

array(<<"]", Rest/binary>>, []) ->
    {[], Rest};
array(Text, Values) ->
    {Value, Rest} = value(Text),
    case skip(Rest) of
        <<",", More/binary>> -> array(skip(More), [Value | Values]);
        <<"]", After/binary>> -> {lists:reverse(Values, [Value]), After};
        _ -> throw(not_json)
    end.

string(<<"\"", Rest/binary>>, Done) -> {Done, Rest};
string(<<"\\u", Text/binary>>, Done) -> unicode(Text, Done);
string(<<"\\", Char, Rest/binary>>, Done) -> string(Rest, <<Done/binary, (escaped(Char))>>);
string(<<Char/utf8, Rest/binary>>, Done) when Char >= $\s -> string(Rest, <<Done/binary, Char/utf8>>);
string(_, _) -> throw(not_json).

escaped(Char) when Char =:= $"; Char =:= $\\; Char =:= $/ -> Char;
escaped($b) -> $\b;
escaped($f) -> $\f;
escaped($n) -> $\n;
escaped($r) -> $\r;
escaped($t) -> $\t;
escaped(_) -> throw(not_json).

%% Beyond 16 bits, two escapes stand for one character (RFC 8259, section 7).
unicode(<<High:4/binary, "\\u", Low:4/binary, Rest/binary>> = Text, Done) ->
    case {hex(High), hex(Low)} of
        {H, L} when H band 16#fc00 =:= 16#d800, L band 16#fc00 =:= 16#dc00 ->
            Char = 16#10000 + ((H band 16#3ff) bsl 10) + (L band 16#3ff),
            string(Rest, <<Done/binary, Char/utf8>>);
        _ ->
            single(Text, Done)
    end;
unicode(Text, Done) ->
    single(Text, Done).

single(<<Hex:4/binary, Rest/binary>>, Done) ->
    case hex(Hex) of
        Half when Half band 16#f800 =:= 16#d800 -> throw(not_json);
        Char -> string(Rest, <<Done/binary, Char/utf8>>)
    end;
single(_, _) ->
    throw(not_json).

hex(Digits) ->
    try
        binary_to_integer(Digits, 16)
    catch
        error:badarg -> throw(not_json)
    end.

number(Text) ->
    case re:run(Text, <<"^-?[0-9]+(\\.[0-9]+)?([eE][-+]?[0-9]+)?">>, [{capture, all, binary}]) of
        {match, [Digits]} -> {binary_to_integer(Digits), after_number(Digits, Text)};
        {match, [Number | _]} -> {float_of(Number), after_number(Number, Text)};
        nomatch -> throw(not_json)
    end.

after_number(Number, Text) -> binary:part(Text, byte_size(Number), byte_size(Text) - byte_size(Number)).

%% Erlang wants a fraction in front of the exponent.
float_of(Number) ->
    WithFraction =
        case binary:match(Number, <<".">>) of
            nomatch -> re:replace(Number, <<"[eE]">>, <<".0&">>, [{return, binary}]);
            _ -> Number
        end,
    try
        binary_to_float(WithFraction)
    catch
        error:badarg -> throw(not_json)
    end.

expect(Char, <<Char, Rest/binary>>) -> Rest;
expect(_, _) -> throw(not_json).

skip(<<Space, Rest/binary>>) when Space =:= $\s; Space =:= $\t; Space =:= $\n; Space =:= $\r -> skip(Rest);
skip(Text) -> Text.
