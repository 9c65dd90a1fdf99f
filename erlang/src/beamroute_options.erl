%% @doc The options of a link, checked before anything is started.
%%
%% ```
%% node            the daemon's node, such as 'beamroute@gw'; required
%% name            the link's registered name, beamroute_link by default; undefined or nil for none
%% cookie          the daemon's cookie, if it is another than this node's
%% connect_timeout how long one attempt to connect may take, 7000 ms by default
%% backoff_initial the wait after the first attempt that failed, 500 ms by default; it doubles, and is jittered
%% backoff_max     the longest wait, 30000 ms by default
%% queue           whether what is asked for while the node is away is kept, true by default
%% max_interfaces  of how many interfaces wishes are kept, 256 by default, as the daemon's --max-interfaces
%% distribution    [{name, Name}]: starts distribution if this node has none, see beamroute_distribution
%% '''
-module(beamroute_options).

-export([check/1]).

-export_type([option/0, options/0, checked/0, bad_option/0]).

-type option() ::
    {node, node()}
    | {name, atom()}
    | {cookie, atom()}
    | {connect_timeout, pos_integer()}
    | {backoff_initial, pos_integer()}
    | {backoff_max, pos_integer()}
    | {queue, boolean()}
    | {max_interfaces, pos_integer()}
    | {distribution, beamroute_distribution:options()}.
-type options() :: [option()] | #{atom() => term()}.
-type checked() :: #{
    node := node(),
    name := atom(),
    cookie := atom() | undefined,
    connect_timeout := pos_integer(),
    backoff_initial := pos_integer(),
    backoff_max := pos_integer(),
    queue := boolean(),
    max_interfaces := pos_integer(),
    distribution := beamroute_distribution:checked() | undefined
}.
%% The key, and a sentence that says what is wrong with it.
-type bad_option() :: {bad_option, Key :: term(), Why :: binary()}.

%% @doc All options with their defaults, or the first that is wrong.
-spec check(options()) -> {ok, checked()} | {error, bad_option()}.
check(Options) ->
    try
        Given = to_map(Options),
        known(Given),
        Checked = maps:from_list([{Key, value(Key, maps:get(Key, Given, default(Key)))} || Key <- keys()]),
        order(Checked),
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

keys() ->
    [node, name, cookie, connect_timeout, backoff_initial, backoff_max, queue, max_interfaces, distribution].

default(node) -> undefined;
default(name) -> beamroute_link;
default(cookie) -> undefined;
default(connect_timeout) -> 7000;
default(backoff_initial) -> 500;
default(backoff_max) -> 30000;
default(queue) -> true;
default(max_interfaces) -> 256;
default(distribution) -> undefined.

known(Given) ->
    Known = [atom_to_list(Key) || Key <- keys()],
    [bad(Key, "is not an option; there are ~ts", [lists:join(", ", Known)]) || Key <- maps:keys(Given) -- keys()].

value(node, undefined) ->
    bad(node, "is missing: the node of the daemon, such as 'beamroute@gw'", []);
value(node, Node) ->
    is_node(Node) orelse bad(node, "is not the name of a node, such as 'beamroute@gw': ~0tp", [Node]),
    Node;
value(name, nil) ->
    undefined;
value(name, Name) ->
    is_atom(Name) orelse bad(name, "is not an atom: ~0tp", [Name]),
    Name;
value(cookie, nil) ->
    undefined;
value(cookie, Cookie) ->
    %% Not shown: it might be the cookie, as text.
    is_atom(Cookie) orelse bad(cookie, "is not an atom", []),
    Cookie;
value(queue, Value) ->
    is_boolean(Value) orelse bad(queue, "is not true or false: ~0tp", [Value]),
    Value;
value(max_interfaces, Value) ->
    (is_integer(Value) andalso Value >= 1) orelse bad(max_interfaces, "is not a number from 1: ~0tp", [Value]),
    Value;
value(distribution, None) when None =:= undefined; None =:= nil ->
    undefined;
value(distribution, Options) ->
    case beamroute_distribution:check(Options) of
        {ok, Checked} -> Checked;
        {error, Why} -> bad(distribution, "~ts", [Why])
    end;
value(Key, Value) ->
    is_timeout(Value) orelse bad(Key, "is not a number of milliseconds from 1 to 4294967295: ~0tp", [Value]),
    Value.

%% The largest that a timer takes.
is_timeout(Value) -> is_integer(Value) andalso Value >= 1 andalso Value =< 16#ffffffff.

is_node(Node) when is_atom(Node) ->
    case string:split(atom_to_list(Node), "@", all) of
        [[_ | _], [_ | _]] -> true;
        _ -> false
    end;
is_node(_) ->
    false.

order(#{backoff_initial := Initial, backoff_max := Max}) when Initial > Max ->
    bad(backoff_max, "is ~b, less than backoff_initial, which is ~b", [Max, Initial]);
order(_) ->
    ok.

-spec bad(term(), string(), [term()]) -> no_return().
bad(Key, Format, Args) ->
    Text = io_lib:format("~ts " ++ Format, [key(Key) | Args]),
    throw({bad_option, Key, unicode:characters_to_binary(Text)}).

key(Key) when is_atom(Key) -> atom_to_list(Key);
key(Key) -> io_lib:format("~0tp", [Key]).
