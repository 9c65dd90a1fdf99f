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

-import(beamroute_checks, [bad/3]).

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
-type bad_option() :: beamroute_checks:bad_option().

-define(DEFAULTS, #{
    node => undefined,
    name => beamroute_link,
    cookie => undefined,
    connect_timeout => 7000,
    backoff_initial => 500,
    backoff_max => 30000,
    queue => true,
    max_interfaces => 256,
    distribution => undefined
}).

%% @doc All options with their defaults, or the first that is wrong.
-spec check(options()) -> {ok, checked()} | {error, bad_option()}.
check(Options) ->
    beamroute_checks:check(Options, ?DEFAULTS, fun value/2, fun beamroute_checks:backoff/1).

value(node, undefined) ->
    bad(node, "is missing: the node of the daemon, such as 'beamroute@gw'", []);
value(node, Node) ->
    beamroute_checks:is_node(Node) orelse bad(node, "is not the name of a node, such as 'beamroute@gw': ~0tp", [Node]),
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
