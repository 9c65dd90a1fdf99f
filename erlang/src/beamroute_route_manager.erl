%% @doc VintageNet's RouteManager, and a little more, as functions: what is asked for goes over a link to the daemon.
%%
%% ```
%% > {ok, _} = beamroute_route_manager:start_link([{node, 'beamroute@gw'}]).
%% > beamroute_route_manager:set_route("eth0", [{{192, 0, 2, 10}, 24}], {192, 0, 2, 1}).
%% ok
%% > beamroute_route_manager:get([<<"connection">>]).
%% {ok,lan}
%% '''
%%
%% Interface names are binaries, strings or atoms; addresses are tuples or their text; no gateway is `nil' or
%% `undefined'. Nothing here exits the caller: errors are `{error, Reason}', and have changed nothing.
%%
%% ```
%% {badarg, Sentence}    what is asked for makes no sense; said at once, also while the node is away
%% disconnected          the node is away, and the request is not one that is kept
%% timeout               no answer in time; a write may still be carried out
%% noproc                there is no such link
%% {too_many_interfaces, Max}  the node is away, and wishes of so many interfaces are kept; or the daemon says so
%% not_allowed, ...      what the daemon says
%% '''
%%
%% Every function takes options, as its last argument, as a list or a map:
%%
%% ```
%% link        the name or the pid of the link, beamroute_link by default
%% timeout     how long to wait for the answer, 5000 ms by default
%% queue       for writes: whether the wish is kept while the node is away, by default what the link's option says
%% last_known  for reads: while the node is away, answer what was known last, false by default
%% '''
-module(beamroute_route_manager).

-export([start_link/1, child_spec/1, stop/0, stop/1]).
-export([set_route/3, set_route/4, clear_route/1, clear_route/2]).
-export([set_connection_status/2, set_connection_status/3, set_connection_status/4]).
-export([refresh_route_metrics/0, refresh_route_metrics/1]).
-export([set_metric/2, set_metric/3, set_owner_policy/1, set_owner_policy/2]).
-export([status/0, status/1, plan/0, plan/1, get/1, get/2]).
-export([subscribe/0, subscribe/1, subscribe/2, unsubscribe/0, unsubscribe/1, unsubscribe/2]).
-export([await_connected/0, await_connected/1, link_info/0, link_info/1, stop_daemon/0, stop_daemon/1]).

-export_type([property/0, call_option/0, call_options/0, error/0, reply/0, plan/0]).

-type call_option() ::
    {link, beamroute_link:link()} | {timeout, pos_integer()} | {queue, boolean()} | {last_known, boolean()}.
-type call_options() :: [call_option()] | #{atom() => term()}.
-type error() :: {error, Reason :: term()}.
-type reply() :: ok | error().
%% `[<<"connection">>]', `[<<"available_interfaces">>]' or `[<<"interface">>, IfName, <<"connection">>]'.
-type property() :: [binary()].
%% What would change now, each with the `ip' command for it.
-type plan() :: [{Change :: term(), Command :: binary()}].

-define(DEFAULT_LINK, beamroute_link).
-define(DEFAULT_TIMEOUT, 5000).

%% @doc Starts a link, with the options of {@link beamroute_options}.
-spec start_link(beamroute_options:options()) -> {ok, pid()} | {error, beamroute_link:start_error()}.
start_link(Options) -> beamroute_link:start_link(Options).

%% @doc A child of a supervisor. Several links need several names.
-spec child_spec(beamroute_options:options()) -> supervisor:child_spec().
child_spec(Options) ->
    Id = option(name, Options, ?DEFAULT_LINK),
    %% The arguments stand in the supervisor's reports, where no cookie belongs.
    #{id => {?MODULE, Id}, start => {beamroute_link, start_link, [beamroute_secret:wrap(Options)]}}.

%% Options are checked when the child starts: here they may be anything.
option(Key, Options, Default) when is_list(Options) ->
    case lists:keyfind(Key, 1, Options) of
        {_, Value} -> Value;
        false -> Default
    end;
option(Key, Options, Default) when is_map(Options) ->
    maps:get(Key, Options, Default);
option(_, _, Default) ->
    Default.

%% @doc Ends the link, and not the daemon: see {@link stop_daemon/0}. The routes stay.
-spec stop() -> reply().
stop() -> stop([]).

%% @doc As {@link stop/0}.
-spec stop(call_options()) -> reply().
stop(Options) ->
    with_options(stop, Options, fun(Link, _) ->
        try
            beamroute_link:stop(Link)
        catch
            exit:_ -> {error, noproc}
        end
    end).

%% @doc Replaces the addresses and the gateway of an interface; its status is kept, `lan' if it had none.
-spec set_route(beamroute_arguments:ifname(), [beamroute_arguments:subnet()], beamroute_arguments:gateway()) -> reply().
set_route(IfName, IpSubnets, Gateway) -> set_route(IfName, IpSubnets, Gateway, []).

%% @doc As {@link set_route/3}.
-spec set_route(
    beamroute_arguments:ifname(), [beamroute_arguments:subnet()], beamroute_arguments:gateway(), call_options()
) -> reply().
set_route(IfName, IpSubnets, Gateway, Options) -> write({set_route, IfName, IpSubnets, Gateway}, Options).

%% @doc Forgets an interface and takes its routes out; `ok' also when it is unknown.
-spec clear_route(beamroute_arguments:ifname()) -> reply().
clear_route(IfName) -> clear_route(IfName, []).

%% @doc As {@link clear_route/1}.
-spec clear_route(beamroute_arguments:ifname(), call_options()) -> reply().
clear_route(IfName, Options) -> write({clear_route, IfName}, Options).

%% @doc Says how far an interface reaches, which ranks its routes. The reason is the caller's module, function and line.
-spec set_connection_status(beamroute_arguments:ifname(), beamroute_arguments:connection_status()) -> reply().
set_connection_status(IfName, Status) ->
    %% Not the last call: then the caller could not be seen.
    Reply = set_connection_status(IfName, Status, beamroute_caller:name(), []),
    Reply.

%% @doc As {@link set_connection_status/2}, with the reason, which `status' shows.
-spec set_connection_status(
    beamroute_arguments:ifname(), beamroute_arguments:connection_status(), beamroute_arguments:why()
) -> reply().
set_connection_status(IfName, Status, Why) -> set_connection_status(IfName, Status, Why, []).

%% @doc As {@link set_connection_status/3}.
-spec set_connection_status(
    beamroute_arguments:ifname(),
    beamroute_arguments:connection_status(),
    beamroute_arguments:why(),
    call_options()
) -> reply().
set_connection_status(IfName, Status, Why, Options) ->
    write({set_connection_status, IfName, Status, Why}, Options).

%% @doc Has the daemon read its ranking again and plan again; a bad file is `{error, {bad_config, Why}}'.
-spec refresh_route_metrics() -> reply().
refresh_route_metrics() -> refresh_route_metrics([]).

%% @doc As {@link refresh_route_metrics/0}.
-spec refresh_route_metrics(call_options()) -> reply().
refresh_route_metrics(Options) -> write(refresh_route_metrics, Options).

%% @doc Overrides the ranking for one interface; `default' returns to it.
-spec set_metric(beamroute_arguments:ifname(), beamroute_arguments:metric()) -> reply().
set_metric(IfName, Metric) -> set_metric(IfName, Metric, []).

%% @doc As {@link set_metric/2}.
-spec set_metric(beamroute_arguments:ifname(), beamroute_arguments:metric(), call_options()) -> reply().
set_metric(IfName, Metric, Options) -> write({set_metric, IfName, Metric}, Options).

%% @doc Says what becomes of this node's wishes when this node goes down.
-spec set_owner_policy(beamroute_arguments:owner_policy()) -> reply().
set_owner_policy(Policy) -> set_owner_policy(Policy, []).

%% @doc As {@link set_owner_policy/1}.
-spec set_owner_policy(beamroute_arguments:owner_policy(), call_options()) -> reply().
set_owner_policy(Policy, Options) -> write({set_owner_policy, Policy}, Options).

%% @doc Everything that the daemon knows of interfaces, entries and nodes.
-spec status() -> {ok, #{atom() => term()}} | error().
status() -> status([]).

%% @doc As {@link status/0}.
-spec status(call_options()) -> {ok, #{atom() => term()}} | error().
status(Options) -> read(status, status, Options).

%% @doc What would change now; nothing when the kernel has all that it was asked for.
-spec plan() -> {ok, plan()} | error().
plan() -> plan([]).

%% @doc As {@link plan/0}.
-spec plan(call_options()) -> {ok, plan()} | error().
plan(Options) -> read(plan, plan, Options).

%% @doc The value of one of VintageNet's properties, `nil' if there is none.
-spec get(property()) -> {ok, term()} | error().
get(Property) -> get(Property, []).

%% @doc As {@link get/1}.
-spec get(property(), call_options()) -> {ok, term()} | error().
get(Property, Options) ->
    case beamroute_arguments:property(Property) of
        ok -> read(get, {get, Property}, Options);
        {error, _} = Error -> Error
    end.

%% @doc Ends the daemon, if it runs with `--admin all'.
-spec stop_daemon() -> reply().
stop_daemon() -> stop_daemon([]).

%% @doc As {@link stop_daemon/0}.
-spec stop_daemon(call_options()) -> reply().
stop_daemon(Options) -> read(stop_daemon, stop, Options).

%% @doc The caller hears what happens, from now on: see {@link beamroute_link}.
-spec subscribe() -> reply().
subscribe() -> subscribe(self(), []).

%% @doc Another process of this node hears it.
-spec subscribe(pid()) -> reply().
subscribe(Pid) -> subscribe(Pid, []).

%% @doc As {@link subscribe/1}.
-spec subscribe(pid(), call_options()) -> reply().
subscribe(Pid, Options) -> subscription(subscribe, fun beamroute_link:subscribe/2, Pid, Options).

%% @doc The caller hears no more.
-spec unsubscribe() -> reply().
unsubscribe() -> unsubscribe(self(), []).

%% @doc The process hears no more.
-spec unsubscribe(pid()) -> reply().
unsubscribe(Pid) -> unsubscribe(Pid, []).

%% @doc As {@link unsubscribe/1}.
-spec unsubscribe(pid(), call_options()) -> reply().
unsubscribe(Pid, Options) -> subscription(unsubscribe, fun beamroute_link:unsubscribe/2, Pid, Options).

subscription(Function, Fun, Pid, Options) ->
    with_options(Function, Options, fun(Link, _) ->
        case beamroute_arguments:pid(Function, Pid) of
            ok -> Fun(Link, Pid);
            {error, _} = Error -> Error
        end
    end).

%% @doc Waits until the link is connected; `{error, disconnected}' if it is not in time.
-spec await_connected() -> reply().
await_connected() -> await_connected([]).

%% @doc As {@link await_connected/0}.
-spec await_connected(call_options()) -> reply().
await_connected(Options) ->
    with_options(await_connected, Options, fun(Link, #{timeout := Timeout}) ->
        beamroute_link:await_connected(Link, Timeout)
    end).

%% @doc How the link is: its state and what waits in it.
-spec link_info() -> {ok, beamroute_link:info()} | error().
link_info() -> link_info([]).

%% @doc As {@link link_info/0}.
-spec link_info(call_options()) -> {ok, beamroute_link:info()} | error().
link_info(Options) -> with_options(link_info, Options, fun(Link, _) -> beamroute_link:info(Link) end).

write(Request, Options) ->
    Function = function(Request),
    with_options(Function, Options, fun(Link, CallOptions) ->
        case beamroute_arguments:request(Request) of
            {ok, Wish} -> request(Function, Link, {write, Wish}, CallOptions);
            {error, _} = Error -> Error
        end
    end).

function(Request) when is_tuple(Request) -> element(1, Request);
function(Request) -> Request.

read(Function, Request, Options) ->
    with_options(Function, Options, fun(Link, CallOptions) ->
        request(Function, Link, {read, Request}, CallOptions)
    end).

request(Function, Link, {_, Term} = Request, CallOptions) ->
    beamroute_telemetry:span(Function, Term, Link, fun() -> beamroute_link:request(Link, Request, CallOptions) end).

with_options(Function, Options, Fun) ->
    try check(Options) of
        #{link := Link} = Checked -> Fun(Link, maps:remove(link, Checked))
    catch
        throw:{bad_call_option, Format, Args} ->
            Text = io_lib:format("~ts: " ++ Format, [Function | Args]),
            {error, {badarg, unicode:characters_to_binary(Text)}}
    end.

check(Options) when is_map(Options) ->
    maps:foreach(fun check/2, Options),
    maps:merge(#{link => ?DEFAULT_LINK, timeout => ?DEFAULT_TIMEOUT}, Options);
check(Options) when is_list(Options) ->
    try maps:from_list(Options) of
        Map -> check(Map)
    catch
        error:badarg -> throw({bad_call_option, "~0tp is not a list of options", [Options]})
    end;
check(Options) ->
    throw({bad_call_option, "~0tp is not a list of options", [Options]}).

check(link, Link) when is_atom(Link); is_pid(Link) -> ok;
check(timeout, Ms) when is_integer(Ms), Ms > 0, Ms < 16#ffff0000 -> ok;
check(queue, Is) when is_boolean(Is) -> ok;
check(last_known, Is) when is_boolean(Is) -> ok;
check(Key, Value) when Key =:= link; Key =:= timeout; Key =:= queue; Key =:= last_known ->
    throw({bad_call_option, "option ~ts cannot be ~0tp", [Key, Value]});
check(Key, _) ->
    throw({bad_call_option, "~0tp is not an option; there are link, timeout, queue, last_known", [Key]}).
