%% @private What the process `VintageNet.RouteManager' does when it is ours: {@link beamroute_vintage_net}.
%%
%% Its state is VintageNet's with a key of our own added, so that either code can go on with what the other left.
-module(beamroute_vintage_net_manager).

-behaviour(gen_server).

-include_lib("kernel/include/logger.hrl").

-export([child_spec/1, start_link/1, stop/0]).
-export([set_route/3, set_route/4, set_connection_status/2, set_connection_status/3]).
-export([clear_route/1, refresh_route_metrics/0]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2, code_change/3]).
-export([use_link/1]).

-define(NAME, 'Elixir.VintageNet.RouteManager').
-define(LINK_KEY, {?MODULE, link}).
%% Less than a caller waits, so that it never waits in vain.
-define(PATIENCE_MS, 2000).
%% For a daemon that has just not answered.
-define(IMPATIENCE_MS, 50).
-define(RETRY_MS, 500).

-type ifname() :: beamroute_vintage_net_info:ifname().

-record(ours, {
    link :: beamroute_link:link(),
    table = 'Elixir.PropertyTable' :: module(),
    ip_route = 'Elixir.VintageNet.Route.IPRoute' :: module(),
    metric_fun = default :: beamroute_vintage_net_info:metric_fun(),
    monitor = none :: reference() | none,
    whys = #{} :: #{ifname() => binary() | nil},
    %% What the function said last, which is what was sent.
    metrics = #{} :: #{ifname() => beamroute_vintage_net_info:metric()},
    %% What is known of all interfaces of the daemon.
    view = #{} :: beamroute_vintage_net_info:view(),
    %% What the property table was told last, by path.
    told = #{} :: #{[binary()] => term()},
    %% Interfaces that were cleared while there was no link to keep that.
    uncleared = [] :: [ifname()],
    %% The kernel still has them from VintageNet's own manager.
    leftovers = [] :: [tuple()],
    %% Timers: when to look at the daemon, and when for the link.
    sync = none :: reference() | none,
    attach = none :: reference() | none,
    %% All that was asked for has been told over this link and connection. Until then it counts more than what the
    %% daemon says of the same interfaces.
    is_told = false :: boolean(),
    %% The daemon has not answered the last request in time.
    is_silent = false :: boolean()
}).

%% As VintageNet's, plus ours.
-type state() :: #{
    interfaces := #{ifname() => beamroute_vintage_net_info:info()},
    route_state := map(),
    routes := [tuple()],
    route_metric_fun := term(),
    beamroute => #ours{},
    atom() => term()
}.

%% ---- VintageNet's functions ----

-spec child_spec(term()) -> supervisor:child_spec().
child_spec(Args) -> #{id => ?NAME, start => {?NAME, start_link, [Args]}}.

-spec start_link(term()) -> gen_server:start_ret().
start_link(Args) -> gen_server:start_link({local, ?NAME}, ?NAME, Args, []).

-spec stop() -> ok.
stop() -> gen_server:stop(?NAME).

-spec set_route(term(), term(), term()) -> ok | {error, term()}.
set_route(IfName, IpSubnets, Gateway) -> gen_server:call(?NAME, {set_route, IfName, IpSubnets, Gateway}).

-spec set_route(term(), term(), term(), term()) -> ok | {error, term()}.
set_route(IfName, IpSubnets, Gateway, _) -> set_route(IfName, IpSubnets, Gateway).

-spec set_connection_status(term(), term()) -> ok | {error, term()}.
set_connection_status(IfName, Status) ->
    set_connection_status(IfName, Status, beamroute_caller:name()).

-spec set_connection_status(term(), term(), term()) -> ok | {error, term()}.
set_connection_status(IfName, Status, nil) ->
    set_connection_status(IfName, Status);
set_connection_status(IfName, Status, Why) ->
    gen_server:call(?NAME, {set_connection_status, IfName, Status, Why}).

-spec clear_route(term()) -> ok | {error, term()}.
clear_route(IfName) -> gen_server:call(?NAME, {clear_route, IfName}).

-spec refresh_route_metrics() -> ok.
refresh_route_metrics() -> gen_server:call(?NAME, refresh_route_metrics).

%% @doc The link over which processes go that start from now on.
-spec use_link(beamroute_link:link()) -> ok.
use_link(Link) -> persistent_term:put(?LINK_KEY, Link).

%% ---- the process ----

-spec init(term()) -> {ok, state()}.
init(Args) ->
    Fun = route_metric_fun(Args),
    {ok, sync(attach(ours(#{interfaces => #{}, route_state => #{}, routes => [], route_metric_fun => Fun})))}.

%% In the form that every VintageNet 0.13 takes.
route_metric_fun(Args) ->
    Given = proplists:get_value(route_metric_fun, Args),
    case Given of
        {Module, Function, 2} when is_atom(Module), is_atom(Function) -> fun Module:Function/2;
        _ -> Given
    end.

-spec handle_call(term(), gen_server:from(), map()) -> {reply, ok | {error, term()}, state()}.
handle_call(Request, _, Given) ->
    State = ours(Given),
    case wish(Request) of
        {ok, Wish} ->
            {reply, ok, sync(tell(Wish, State))};
        {error, Reason} = Error ->
            ?LOG_WARNING("beamroute: VintageNet.RouteManager: ~0tp", [Reason]),
            {reply, Error, State}
    end.

wish({set_connection_status, IfName, Status}) -> wish({set_connection_status, IfName, Status, nil});
wish({set_route, _, _, _} = Request) -> beamroute_arguments:request(Request);
wish({set_connection_status, _, _, _} = Request) -> beamroute_arguments:request(Request);
wish({clear_route, _} = Request) -> beamroute_arguments:request(Request);
wish(refresh_route_metrics) -> {ok, refresh_route_metrics};
wish(Request) -> {error, {unknown_request, Request}}.

-spec handle_cast(term(), map()) -> {noreply, state()}.
handle_cast(_, State) -> {noreply, ours(State)}.

-spec handle_info(term(), map()) -> {noreply, state()}.
handle_info(Message, State) -> {noreply, info(Message, ours(State))}.

info({route_manager, _, {link, connected}}, State) ->
    forget_leftovers(sync(tell_all(set(State, #{is_told => true}))));
info({route_manager, _, {link, _}}, State) ->
    sync(set(State, #{is_told => false}));
info({route_manager, _, {_, property, Path, _, New}}, #{beamroute := #ours{told = Told}} = State) ->
    case Told of
        #{Path := New} -> State;
        _ -> sync_later(0, State)
    end;
info({?MODULE, sync}, State) ->
    sync(set(State, #{sync => none}));
info({?MODULE, attach}, State) ->
    attach(set(State, #{attach => none}));
info({'DOWN', Ref, process, _, _}, #{beamroute := #ours{monitor = Ref}} = State) ->
    attach_later(sync(set(State, #{monitor => none, is_told => false})));
info(_, State) ->
    State.

-spec terminate(term(), map()) -> ok.
terminate(_, _) -> ok.

-spec code_change(term(), map(), term()) -> {ok, map()}.
code_change(_, State, {?MODULE, take_over}) ->
    {ok, attach(taken_over(ours(State)))};
code_change(_, State, {?MODULE, give_back}) ->
    {ok, given_back(ours(State))};
code_change(_, State, _) ->
    {ok, State}.

%% ---- one state for two ----

ours(#{beamroute := #ours{}} = State) ->
    State;
ours(#{route_metric_fun := Given} = State) ->
    Fun =
        case beamroute_vintage_net_info:metric_fun(Given) of
            {ok, Known} ->
                Known;
            error ->
                ?LOG_ERROR("beamroute: route_metric_fun is not a function of two arguments: ~0tp", [Given]),
                default
        end,
    State#{beamroute => #ours{link = persistent_term:get(?LINK_KEY, beamroute_link), metric_fun = Fun}}.

set(#{beamroute := Ours} = State, Changes) -> State#{beamroute := maps:fold(fun set/3, Ours, Changes)}.

set(sync, Timer, Ours) -> Ours#ours{sync = Timer};
set(attach, Timer, Ours) -> Ours#ours{attach = Timer};
set(is_silent, Is, Ours) -> Ours#ours{is_silent = Is};
set(is_told, Is, Ours) -> Ours#ours{is_told = Is};
set(monitor, Ref, Ours) -> Ours#ours{monitor = Ref};
set(leftovers, Routes, Ours) -> Ours#ours{leftovers = Routes};
set(uncleared, IfNames, Ours) -> Ours#ours{uncleared = IfNames};
set(metrics, Metrics, Ours) -> Ours#ours{metrics = Metrics};
set(whys, Whys, Ours) -> Ours#ours{whys = Whys}.

%% VintageNet has told the property table of its interfaces.
taken_over(#{interfaces := Infos, routes := Routes, beamroute := #ours{leftovers = Left} = Ours} = State) ->
    View = beamroute_vintage_net_info:view(Infos, Ours#ours.metrics, Ours#ours.view),
    Told = maps:merge(Ours#ours.told, maps:from_list([{path(I), S} || {I, #{status := S}} <- maps:to_list(Infos)])),
    State#{routes := [], beamroute := Ours#ours{leftovers = Routes ++ Left, view = View, told = Told}}.

%% The daemon lets go, and VintageNet's code makes the routes when it looks next.
given_back(#{interfaces := Infos, beamroute := #ours{metrics = Metrics} = Ours} = State) ->
    Wishes =
        [{clear_route, IfName} || IfName <- maps:keys(Infos)] ++ [{set_metric, I, default} || I <- maps:keys(Metrics)],
    %% First, so that nothing is told after the answers.
    _ = beamroute_link:unsubscribe(Ours#ours.link, self()),
    Ours#ours.monitor =:= none orelse erlang:demonitor(Ours#ours.monitor, [flush]),
    #{beamroute := Asked} = lists:foldl(fun ask_write/2, State, Wishes),
    _ = [erlang:cancel_timer(Timer) || Timer <- [Asked#ours.sync, Asked#ours.attach], Timer =/= none],
    flush(),
    maps:remove(beamroute, State#{routes := [], route_state := #{}}).

%% VintageNet's code would not know what to make of these.
flush() ->
    receive
        {route_manager, _, _} -> flush();
        {?MODULE, _} -> flush()
    after 0 -> ok
    end.

%% ---- the link ----

attach(#{beamroute := #ours{link = Link, monitor = none}} = State) ->
    Ref = erlang:monitor(process, Link),
    %% It tells us at once how it is.
    case beamroute_link:subscribe(Link, self()) of
        ok ->
            set(State, #{monitor => Ref});
        {error, _} ->
            erlang:demonitor(Ref, [flush]),
            attach_later(State)
    end;
attach(#{beamroute := #ours{link = Link}} = State) ->
    _ = beamroute_link:subscribe(Link, self()),
    State.

attach_later(#{beamroute := #ours{attach = none}} = State) ->
    set(State, #{attach => erlang:send_after(?RETRY_MS, self(), {?MODULE, attach})});
attach_later(State) ->
    State.

sync_later(Ms, #{beamroute := #ours{sync = none}} = State) ->
    set(State, #{sync => erlang:send_after(Ms, self(), {?MODULE, sync})});
sync_later(_, State) ->
    State.

%% ---- what VintageNet asks for ----

tell({clear_route, IfName} = Wish, #{interfaces := Infos, beamroute := Ours} = State) ->
    Forgotten = Ours#ours{
        whys = maps:remove(IfName, Ours#ours.whys),
        metrics = maps:remove(IfName, Ours#ours.metrics),
        view = maps:remove(IfName, Ours#ours.view)
    },
    Cleared = rank(false, State#{interfaces := maps:remove(IfName, Infos), beamroute := Forgotten}),
    ask_write(Wish, Cleared);
tell(refresh_route_metrics, State) ->
    ask_write(refresh_route_metrics, rank(false, State));
tell({set_route, IfName, IpSubnets, Gateway} = Wish, #{interfaces := Infos} = State) ->
    Status =
        case Infos of
            #{IfName := #{status := Known}} -> Known;
            _ -> lan
        end,
    ask_write(Wish, learn(IfName, beamroute_vintage_net_info:new(IfName, IpSubnets, Gateway, Status), State));
tell({set_connection_status, IfName, Status, Why} = Wish, #{interfaces := Infos, beamroute := Ours} = State) ->
    Info =
        case Infos of
            #{IfName := Known} -> Known#{status := Status};
            _ -> beamroute_vintage_net_info:new(IfName, [], nil, Status)
        end,
    Whys = (Ours#ours.whys)#{IfName => Why},
    ask_write(Wish, learn(IfName, Info, set(State, #{whys => Whys}))).

learn(IfName, Info, #{interfaces := Infos} = State) ->
    case Infos of
        #{IfName := Info} -> State;
        _ -> rank(false, remember(IfName, State#{interfaces := Infos#{IfName => Info}}))
    end.

remember(IfName, #{beamroute := #ours{uncleared = Uncleared}} = State) ->
    set(State, #{uncleared => lists:delete(IfName, Uncleared)}).

%% Everything once more: the daemon may be another, or have lost its state. It takes no notice of what it knows.
tell_all(#{interfaces := Infos, beamroute := #ours{uncleared = Uncleared}} = State) ->
    Cleared = lists:foldl(fun(IfName, S) -> ask_write({clear_route, IfName}, S) end, State, Uncleared),
    maps:fold(fun tell_again/3, rank(true, set(Cleared, #{uncleared => []})), Infos).

%% The status first: a route of an interface without one begins as lan.
tell_again(IfName, #{status := Status} = Info, #{beamroute := #ours{whys = Whys}} = State) ->
    Told = ask_write({set_connection_status, IfName, Status, maps:get(IfName, Whys, nil)}, State),
    case Info of
        #{ip_subnets := [], default_gateway := nil} -> Told;
        #{ip_subnets := Subnets, default_gateway := Gateway} -> ask_write({set_route, IfName, Subnets, Gateway}, Told)
    end.

%% Asks the function about every interface, and sends its numbers: those that are new, or all of them.
rank(_, #{beamroute := #ours{metric_fun = default}} = State) ->
    State;
rank(IsAll, #{interfaces := Infos} = State) ->
    maps:fold(fun(IfName, Info, S) -> rank(IsAll, IfName, Info, S) end, State, Infos).

rank(IsAll, IfName, Info, #{beamroute := #ours{metric_fun = Fun, metrics = Metrics}} = State) ->
    Metric = evaluate(Fun, IfName, Info, Metrics),
    case Metrics of
        #{IfName := Metric} when not IsAll -> State;
        _ when Metric =:= none -> State;
        _ -> ask_write({set_metric, IfName, Metric}, set(State, #{metrics => Metrics#{IfName => Metric}}))
    end.

%% A function that fails changes nothing.
evaluate(Fun, IfName, Info, Metrics) ->
    case beamroute_vintage_net_info:metric(Fun, IfName, Info) of
        {ok, Metric} ->
            Metric;
        {error, Why} ->
            Kept = maps:get(IfName, Metrics, none),
            ?LOG_WARNING("beamroute: route_metric_fun for ~0tp: ~0tp; its metric stays ~0tp", [IfName, Why, Kept]),
            Kept
    end.

ask_write(Wish, State) ->
    {Reply, Asked} = ask({write, Wish}, State),
    case {Reply, Wish} of
        {ok, _} ->
            ok;
        {{error, Kept}, _} when Kept =:= timeout; Kept =:= noproc ->
            ok;
        {{error, Reason}, _} ->
            ?LOG_WARNING("beamroute: VintageNet.RouteManager: ~0tp: ~0tp", [Wish, Reason])
    end,
    unkept(Reply, Wish, Asked).

%% Where there is no link, nothing is kept; what is known here is told when there is one again.
unkept({error, noproc}, {clear_route, IfName}, #{beamroute := #ours{uncleared = Uncleared}} = State) ->
    set(State, #{is_told => false, uncleared => [IfName | lists:delete(IfName, Uncleared)]});
unkept({error, noproc}, _, State) ->
    set(State, #{is_told => false});
unkept(_, _, State) ->
    State.

ask({Kind, Term} = Request, #{beamroute := #ours{link = Link, is_silent = IsSilent}} = State) ->
    Timeout = case IsSilent of true -> ?IMPATIENCE_MS; false -> ?PATIENCE_MS end,
    Options =
        case Kind of
            write -> #{timeout => Timeout, queue => true};
            read -> #{timeout => Timeout}
        end,
    Ask = fun() -> beamroute_link:request(Link, Request, Options) end,
    Reply = beamroute_telemetry:span(call(Term), Term, Link, Ask),
    {Reply, set(State, #{is_silent => Reply =:= {error, timeout}})}.

call(Term) when is_tuple(Term) -> element(1, Term);
call(Term) -> Term.

%% ---- what VintageNet's property table is told ----

%% The daemon's word if it gives it and has been told everything, else what was asked of it: its routes stay while it is
%% away.
sync(State) ->
    case ask({read, status}, State) of
        {{ok, #{interfaces := Interfaces} = Status}, Asked} ->
            View = maps:map(fun(_, I) -> seen(I) end, Interfaces),
            case is_told(Asked) of
                true ->
                    #{available_interfaces := Available, connection := Connection} = Status,
                    put_properties(View, Available, Connection, learn_statuses(View, Asked));
                false ->
                    put_asked(View, Asked)
            end;
        {Other, #{beamroute := #ours{view = Known}} = Asked} ->
            Put = put_asked(Known, Asked),
            case Other of
                {error, timeout} -> sync_later(?RETRY_MS, Put);
                _ -> Put
            end
    end.

%% What the link has told comes before its answer, but may wait behind other messages: then the daemon may be another, or
%% the link.
is_told(#{beamroute := #ours{is_told = IsTold, monitor = Ref}}) ->
    News = news_of_the_link(Ref),
    lists:foreach(fun(New) -> self() ! New end, News),
    IsTold andalso News =:= [].

news_of_the_link(Ref) ->
    receive
        {route_manager, _, {link, _}} = New -> [New | news_of_the_link(Ref)];
        {'DOWN', Ref, process, _, _} = New -> [New | news_of_the_link(Ref)]
    after 0 -> []
    end.

put_asked(Known, #{interfaces := Infos, beamroute := #ours{metrics = Metrics, uncleared = Uncleared}} = State) ->
    View = beamroute_vintage_net_info:view(Infos, Metrics, maps:without(Uncleared, Known)),
    Available = beamroute_vintage_net_info:available_interfaces(View),
    put_properties(View, Available, beamroute_vintage_net_info:connection(View), State).

seen(#{status := Status, ip_subnets := IpSubnets, metric := Metric}) -> {Status, IpSubnets =/= [], Metric}.

%% The daemon may have kept a status from before VintageNet was restarted, or been told another by somebody else.
learn_statuses(View, #{interfaces := Infos} = State) ->
    Learn = fun(IfName, Info) ->
        case View of
            #{IfName := {Status, _, _}} -> Info#{status := Status};
            _ -> Info
        end
    end,
    State#{interfaces := maps:map(Learn, Infos)}.

%% In the order of VintageNet's own: an interface that is cleared, then what is available and the best connection, then
%% the single interfaces.
put_properties(View, Available, Connection, #{beamroute := #ours{told = Told} = Ours} = State) ->
    Present = [{path(IfName), Status} || {IfName, {Status, _, _}} <- lists:sort(maps:to_list(View))],
    Gone = [{Path, disconnected} || [<<"interface">> | _] = Path <- lists:sort(maps:keys(Told)),
        not lists:keymember(Path, 1, Present)],
    Global = [{[<<"available_interfaces">>], Available}, {[<<"connection">>], Connection}],
    Table = Ours#ours.table,
    lists:foreach(fun({Path, Value}) -> Table:put('Elixir.VintageNet', Path, Value) end, Gone ++ Global ++ Present),
    State#{beamroute := Ours#ours{view = View, told = maps:from_list(Global ++ Present)}}.

path(IfName) -> [<<"interface">>, IfName, <<"connection">>].

%% ---- what VintageNet's own manager has left in the kernel ----

%% Now that the daemon's routes are in. VintageNet's commands take the first that fits, which is VintageNet's: ours came
%% later, with the same metrics, and in tables of their own.
forget_leftovers(#{beamroute := #ours{leftovers = Left, ip_route = IpRoute, is_silent = false}} = State) ->
    lists:foreach(fun(Entry) -> forget(IpRoute, Entry) end, lists:reverse(Left)),
    set(State, #{leftovers => []});
forget_leftovers(State) ->
    State.

forget(IpRoute, Entry) ->
    try remove(IpRoute, Entry) of
        ok -> ok;
        Other -> left(Entry, Other)
    catch
        _:Reason -> left(Entry, Reason)
    end.

remove(IpRoute, {default_route, IfName, _, _, Table}) -> IpRoute:clear_a_route(IfName, Table);
remove(IpRoute, {local_route, IfName, Ip, Bits, Metric, Table}) ->
    IpRoute:clear_a_local_route(IfName, Ip, Bits, Metric, Table);
remove(IpRoute, {rule, Table, _}) -> IpRoute:clear_a_rule(Table).

left(Entry, Reason) ->
    ?LOG_WARNING("beamroute: VintageNet's own ~0tp may still be in the kernel: ~0tp", [Entry, Reason]).
