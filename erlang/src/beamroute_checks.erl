%% @doc What checking options has in common, whoever takes them.
-module(beamroute_checks).

-export([check/4, bad/3, is_node/1, backoff/1]).

-export_type([bad_option/0]).

%% The key, and a sentence that says what is wrong with it.
-type bad_option() :: {bad_option, Key :: term(), Why :: binary()}.

%% @doc All options, with the defaults of those that are not given, or the first that is wrong. `Value' checks one, and
%% `Together' those that are right by themselves; both refuse with {@link bad/3}.
-spec check([{term(), term()}] | #{term() => term()}, Defaults, Value, Together) ->
    {ok, #{atom() => term()}} | {error, bad_option()}
when
    Defaults :: #{atom() => term()},
    Value :: fun((atom(), term()) -> term()),
    Together :: fun((#{atom() => term()}) -> term()).
check(Options, Defaults, Value, Together) ->
    try
        Given = to_map(Options),
        [unknown(Key, Defaults) || Key <- maps:keys(Given), not is_map_key(Key, Defaults)],
        Checked = maps:map(Value, maps:merge(Defaults, Given)),
        Together(Checked),
        {ok, Checked}
    catch
        throw:{bad_option, _, _} = Bad -> {error, Bad}
    end.

to_map(Options) when is_map(Options) ->
    Options;
to_map(Options) when is_list(Options) ->
    [bad(Other, "is not a {Key, Value} pair", []) || Other <- Options, not is_pair(Other)],
    Keys = [Key || {Key, _} <- Options],
    [bad(Key, "is given twice", []) || Key <- Keys -- lists:usort(Keys)],
    maps:from_list(Options);
to_map(Other) ->
    bad(options, "are a list or a map, not ~0tp", [Other]).

is_pair({_, _}) -> true;
is_pair(_) -> false.

-spec unknown(term(), #{atom() => term()}) -> no_return().
unknown(Key, Defaults) ->
    Known = [atom_to_list(Known) || Known <- maps:keys(Defaults)],
    bad(Key, "is not an option; there are ~ts", [lists:join(", ", Known)]).

%% @doc Refuses an option: the sentence goes on after its key.
-spec bad(term(), string(), [term()]) -> no_return().
bad(Key, Format, Args) ->
    Text = io_lib:format("~ts " ++ Format, [key(Key) | Args]),
    throw({bad_option, Key, unicode:characters_to_binary(Text)}).

key(Key) when is_atom(Key) -> atom_to_list(Key);
key(Key) -> io_lib:format("~0tp", [Key]).

%% @doc Whether that is an atom with one `@', and something on either side.
-spec is_node(term()) -> boolean().
is_node(Node) when is_atom(Node) ->
    case string:split(atom_to_list(Node), "@", all) of
        [[_ | _], [_ | _]] -> true;
        _ -> false
    end;
is_node(_) ->
    false.

%% @doc Refuses a longest wait that is shorter than the first.
-spec backoff(#{atom() => term()}) -> ok.
backoff(#{backoff_initial := Initial, backoff_max := Max}) when Initial > Max ->
    bad(backoff_max, "is ~b, less than backoff_initial, which is ~b", [Max, Initial]);
backoff(_) ->
    ok.
