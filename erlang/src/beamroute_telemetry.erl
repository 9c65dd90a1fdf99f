%% @doc Telemetry events of links and calls, if the application `telemetry' is there; without it they cost a look at a
%% persistent term and nothing more.
%%
%% ```
%% [beamroute, connection]        a link is connected
%%     measurements  system_time, duration (since it was not)
%%     metadata      node, link
%% [beamroute, disconnection]     a link has lost its daemon
%%     measurements  system_time, duration (of the connection)
%%     metadata      node, link, reason
%% [beamroute, call, start]       a function of beamroute_route_manager asks a link
%%     measurements  system_time, monotonic_time
%%     metadata      node, link, call, ifname, telemetry_span_context
%% [beamroute, call, stop]        and has an answer
%%     measurements  duration, monotonic_time
%%     metadata      as for start, result (ok or error), reason (nil if ok)
%% [beamroute, call, exception]   or is interrupted
%%     measurements  duration, monotonic_time
%%     metadata      as for start, kind, reason, stacktrace
%% [beamroute, routes, changed]   the daemon tells of a change
%%     measurements  system_time, sequence (the event's number in this connection)
%%     metadata      node, link, kind (property, install, healed or foreign), ifname, event
%% '''
%%
%% Times are in native units: `erlang:convert_time_unit(Duration, native, microsecond)'. What is absent is `nil': the
%% `ifname' of what is about no interface, the `node' of a link without a name. More metadata and more events are no
%% breaking change. What a daemon tells at the beginning of a connection is the state, and no change.
%%
%% Calls are told by the calling process, the other events by the link, which waits for their handlers. Whether
%% telemetry is there is looked up when a link starts.
%%
%% One line writes all of it to the log, none of which happens by itself:
%%
%% ```
%% > beamroute_telemetry:attach_default_handler().
%% '''
-module(beamroute_telemetry).

-include_lib("kernel/include/logger.hrl").

-export([events/0, attach_default_handler/0, attach_default_handler/1, detach_default_handler/0]).
-export([look_up/0, name_link/2, connection/3, disconnection/4, routes_changed/3, span/4]).
-export([handle_event/4]).

-export_type([event/0, link_name/0]).

-type event() :: [atom(), ...].
-type link_name() :: atom() | pid().
-type not_installed() :: {not_installed, binary()}.

%% Where it is remembered whether telemetry is there: its module, or none.
-define(MODULE_KEY, {?MODULE, module}).
-define(NODE_KEY(Name), {?MODULE, node, Name}).
-define(HANDLER, <<"beamroute-default-log">>).

%% @doc All events.
-spec events() -> [event(), ...].
events() ->
    [
        [beamroute, connection],
        [beamroute, disconnection],
        [beamroute, call, start],
        [beamroute, call, stop],
        [beamroute, call, exception],
        [beamroute, routes, changed]
    ].

%% @doc Writes events to the log: connections and changes at level info, lost connections and refused calls at warning,
%% interrupted calls at error, calls that are answered at debug.
-spec attach_default_handler() -> ok | {error, already_exists | not_installed()}.
attach_default_handler() -> attach_default_handler(events()).

%% @doc Writes some of the events to the log.
-spec attach_default_handler([event()]) -> ok | {error, already_exists | not_installed()}.
attach_default_handler(Events) ->
    with_telemetry(fun(Telemetry) ->
        Telemetry:attach_many(?HANDLER, Events, fun ?MODULE:handle_event/4, #{})
    end).

%% @doc Writes them no more.
-spec detach_default_handler() -> ok | {error, not_found | not_installed()}.
detach_default_handler() ->
    with_telemetry(fun(Telemetry) -> Telemetry:detach(?HANDLER) end).

with_telemetry(Fun) ->
    look_up(),
    case telemetry() of
        none -> {error, {not_installed, <<"there is no application telemetry: add it to the dependencies">>}};
        Telemetry -> Fun(Telemetry)
    end.

%% @private Looks whether telemetry is there.
-spec look_up() -> ok.
look_up() ->
    Found =
        case code:ensure_loaded(telemetry) of
            {module, Module} -> Module;
            {error, _} -> none
        end,
    %% Writing what is there already costs nothing.
    persistent_term:put(?MODULE_KEY, Found).

telemetry() -> persistent_term:get(?MODULE_KEY, none).

%% @private The node of a link, for the calls through it.
-spec name_link(atom(), node()) -> ok.
name_link(undefined, _) -> ok;
name_link(Name, Node) -> persistent_term:put(?NODE_KEY(Name), Node).

%% @private Disconnected since then, and now connected.
-spec connection(node(), link_name(), integer()) -> ok.
connection(Node, Link, Since) ->
    execute([beamroute, connection], since(Since), #{node => Node, link => Link}).

%% @private Connected since then, and now not.
-spec disconnection(node(), link_name(), integer(), term()) -> ok.
disconnection(Node, Link, Since, Reason) ->
    execute([beamroute, disconnection], since(Since), #{node => Node, link => Link, reason => Reason}).

since(Since) -> #{system_time => erlang:system_time(), duration => erlang:monotonic_time() - Since}.

%% @private An event of the daemon.
-spec routes_changed(node(), link_name(), term()) -> ok.
routes_changed(Node, Link, Event) when is_tuple(Event), tuple_size(Event) > 2 ->
    Kind = element(2, Event),
    Metadata = #{node => Node, link => Link, kind => Kind, ifname => event_ifname(Event), event => Event},
    Measurements = #{system_time => erlang:system_time(), sequence => element(1, Event)},
    execute([beamroute, routes, changed], Measurements, Metadata);
routes_changed(_, _, _) ->
    ok.

event_ifname({_, property, [<<"interface">>, IfName | _], _, _}) -> IfName;
event_ifname({_, install, IfName, _}) -> IfName;
event_ifname({_, healed, IfName}) -> IfName;
event_ifname(_) -> nil.

execute(Event, Measurements, Metadata) ->
    case telemetry() of
        none -> ok;
        Telemetry -> Telemetry:execute(Event, Measurements, Metadata)
    end.

%% @private Makes a call, and tells of its beginning and its end.
-spec span(atom(), term(), link_name(), fun(() -> Reply)) -> Reply.
span(Call, Request, Link, Fun) ->
    case telemetry() of
        none ->
            Fun();
        Telemetry ->
            Metadata = #{
                node => link_node(Link),
                link => Link,
                call => Call,
                ifname => request_ifname(Request),
                telemetry_span_context => make_ref()
            },
            span(Telemetry, Metadata, Fun)
    end.

span(Telemetry, Metadata, Fun) ->
    Start = erlang:monotonic_time(),
    Measurements = #{system_time => erlang:system_time(), monotonic_time => Start},
    Telemetry:execute([beamroute, call, start], Measurements, Metadata),
    try Fun() of
        Reply ->
            Telemetry:execute([beamroute, call, stop], stopped(Start), maps:merge(Metadata, result(Reply))),
            Reply
    catch
        Kind:Reason:Stack ->
            Thrown = #{kind => Kind, reason => Reason, stacktrace => Stack},
            Telemetry:execute([beamroute, call, exception], stopped(Start), maps:merge(Metadata, Thrown)),
            erlang:raise(Kind, Reason, Stack)
    end.

stopped(Start) ->
    Stop = erlang:monotonic_time(),
    #{duration => Stop - Start, monotonic_time => Stop}.

result({error, Reason}) -> #{result => error, reason => Reason};
result(_) -> #{result => ok, reason => nil}.

link_node(Name) when is_atom(Name) ->
    persistent_term:get(?NODE_KEY(Name), nil);
link_node(Pid) ->
    case node(Pid) =:= node() andalso process_info(Pid, registered_name) of
        {registered_name, Name} -> link_node(Name);
        _ -> nil
    end.

request_ifname({clear_route, IfName}) -> IfName;
request_ifname({set_metric, IfName, _}) -> IfName;
request_ifname({set_connection_status, IfName, _, _}) -> IfName;
request_ifname({set_route, IfName, _, _}) -> IfName;
request_ifname({get, [<<"interface">>, IfName | _]}) -> IfName;
request_ifname(_) -> nil.

%% @private The default handler.
-spec handle_event(event(), map(), map(), map()) -> ok.
handle_event([beamroute, connection], Measurements, #{node := Node}, _) ->
    ?LOG_INFO("beamroute: ~ts is connected, after ~ts", [Node, duration(Measurements)]);
handle_event([beamroute, disconnection], Measurements, #{node := Node, reason := Reason}, _) ->
    ?LOG_WARNING("beamroute: ~ts is lost after ~ts: ~0tp", [Node, duration(Measurements), Reason]);
handle_event([beamroute, call, start], _, _, _) ->
    ok;
handle_event([beamroute, call, stop], Measurements, #{result := ok} = Metadata, _) ->
    ?LOG_DEBUG("beamroute: ~ts: ok, in ~ts", [call(Metadata), duration(Measurements)]);
handle_event([beamroute, call, stop], Measurements, #{reason := Reason} = Metadata, _) ->
    ?LOG_WARNING("beamroute: ~ts: ~0tp, in ~ts", [call(Metadata), Reason, duration(Measurements)]);
handle_event([beamroute, call, exception], Measurements, #{kind := Kind, reason := Reason} = Metadata, _) ->
    ?LOG_ERROR("beamroute: ~ts: ~ts ~0tp, in ~ts", [call(Metadata), Kind, Reason, duration(Measurements)]);
handle_event([beamroute, routes, changed], _, #{node := Node, event := Event}, _) ->
    ?LOG_INFO("beamroute: ~ts: ~0tp", [Node, erlang:delete_element(1, Event)]);
handle_event(_, _, _, _) ->
    ok.

call(#{call := Call, ifname := nil}) -> atom_to_list(Call);
call(#{call := Call, ifname := IfName}) -> io_lib:format("~ts ~ts", [Call, ifname(IfName)]).

%% Names are bytes, and need not be UTF-8.
ifname(IfName) ->
    case unicode:characters_to_list(IfName) of
        Chars when is_list(Chars) -> Chars;
        _ -> io_lib:format("~w", [IfName])
    end.

duration(#{duration := Duration}) ->
    case erlang:convert_time_unit(Duration, native, microsecond) of
        Us when Us < 1000 -> io_lib:format("~b us", [Us]);
        Us when Us < 1_000_000 -> io_lib:format("~b ms", [Us div 1000]);
        Us -> io_lib:format("~b s", [Us div 1_000_000])
    end.
