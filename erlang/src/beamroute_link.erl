%% @doc The link to one daemon: a state machine that stands in a supervision tree of the application.
%%
%% ```
%%                   attempt succeeds,                  daemon or node is gone
%%   connecting ---- daemon subscribes us ---> connected ------------------> disconnected
%%       ^  |                                                                   |   ^
%%       |  `--------------- attempt fails, or takes too long ------------------|---'
%%       `------------- the wait is over, or the node comes up by itself -------'
%% '''
%%
%% Starting it never waits for the network. The wait after a failed attempt doubles up to a limit, and is jittered.
%%
%% Everything goes through this process, so the daemon gets the wishes of all callers in the order in which they came
%% here. It never waits for the daemon, nor for a connection whose buffer is full: what there is no room for waits in a
%% queue, and is sent while the daemon answers. So callers never wait longer than they said. A daemon that answers
%% nothing for the connect_timeout while something waits in the queue is given up. What becomes of callers while the
%% daemon is away:
%%
%% <ul>
%% <li>A write is kept and answered `ok', or with the option `{queue, false}' refused with `{error, disconnected}'. The
%% latest wish per interface is kept, and sent in order when the daemon is back: see {@link beamroute_wishes}. Those of
%% more interfaces than the option `max_interfaces' says are `{error, {too_many_interfaces, Max}}', as they would be at
%% the daemon.</li>
%% <li>A write that was sent but not answered when the daemon went is treated alike: unless it was not to be kept, it is
%% sent again. A wish twice is a wish. If it was not to be kept, the daemon may still have carried it out.</li>
%% <li>A read is refused with `{error, disconnected}', or with the option `{last_known, true}' answered from what was
%% known last.</li>
%% <li>An answer that does not come in time is `{error, timeout}'. If it was a write, the daemon may still carry it out,
%% and if the daemon goes before it answers, it is kept.</li>
%% </ul>
%%
%% Subscribers are processes of this node. They get the daemon's events as `{route_manager, Node, Event}', and besides
%% `{route_manager, Node, {link, connected}}' and `{route_manager, Node, {link, {disconnected, Reason}}}'. At every
%% connection the daemon's events begin again with number 1 and the state as it is. The daemon tells them to the link
%% alone, which passes them on: any number of subscribers is one to the daemon.
%%
%% A link that has a name may crash: when it is started again under this name, for the same node, it still has the wishes
%% that were taken and not answered, and its subscribers, which hear `{disconnected, not_yet}'. The VM has them, not the
%% supervisor, and the application `beamroute' need not be started. What is forgotten is the last known state. {@link
%% stop/1} forgets everything. A link without a name loses everything with its process.
-module(beamroute_link).

-behaviour(gen_statem).

-include_lib("kernel/include/logger.hrl").

-export([start_link/1, stop/1, request/3, subscribe/2, unsubscribe/2, await_connected/2, info/1]).
-export([init/1, callback_mode/0, terminate/3]).
-export([disconnected/3, connecting/3, connected/3]).

-export_type([link/0, info/0, reply/0, start_error/0]).

%% The name of a link, or its pid.
-type link() :: atom() | pid().
-type info() :: #{
    node := node(),
    state := state(),
    %% `connected', or why it is not: `handshake_failed' (a wrong cookie, or this node is not allowed), `no_such_node'
    %% (epmd does not know it), `not_reachable', `timeout', `not_yet' before the first attempt has ended, or how the
    %% connection was lost.
    reason := term(),
    %% Wishes that wait for the daemon.
    wishes := non_neg_integer(),
    %% Requests that wait for an answer.
    requests := non_neg_integer(),
    subscribers := non_neg_integer()
}.
-type reply() :: ok | {ok, term()} | {error, term()}.
-type start_error() :: beamroute_options:bad_option() | {not_alive, binary()} | {already_started, pid()}.
-type state() :: disconnected | connecting | connected.
-type read() :: status | plan | stop | {get, term()}.
-type call_options() :: #{timeout := pos_integer(), queue => boolean(), last_known => boolean()}.

-record(data, {
    options :: #{atom() => term()},
    backoff :: beamroute_backoff:backoff(),
    reason = not_yet :: term(),
    %% Dials, and then watches the daemon.
    dialer = none :: {pid(), reference()} | none,
    %% The request whose answer makes us connected.
    hello = none :: reference() | none,
    outbox :: beamroute_outbox:outbox(),
    keeper :: beamroute_keeper:keeper(),
    keeper_monitor :: reference() | none,
    %% The buffer of the connection is full, or the connection is gone.
    is_busy = false :: boolean(),
    %% Runs while something waits to be sent; the daemon must answer something meanwhile.
    patience = none :: reference() | none,
    is_heard = false :: boolean(),
    %% Our monitor, and the number of the last event.
    subscribers = #{} :: #{pid() => {reference(), non_neg_integer()}},
    waiting = [] :: [gen_statem:from()],
    known = beamroute_known:new() :: beamroute_known:known(),
    %% Whether the status will be asked for soon.
    is_stale = false :: boolean(),
    %% Whether the daemon has told its state over this connection: what it tells later are changes.
    is_told = false :: boolean(),
    %% Connected, or not, since then.
    since = erlang:monotonic_time() :: integer()
}).

-define(SERVER, route_manager).
%% After an event, the status is asked for when others have had the time to come.
-define(REFRESH_MS, 200).
%% A caller waits so much longer than the link does for it.
-define(GRACE_MS, 1000).
%% A connection whose buffer is full is tried again so soon.
-define(BUSY_MS, 20).

%% @doc Starts a link; it connects by itself. Wrong options are `{error, {bad_option, Key, Why}}'.
-spec start_link(beamroute_options:options() | fun(() -> beamroute_options:options())) ->
    {ok, pid()} | {error, start_error()}.
start_link(Options) ->
    case beamroute_options:check(beamroute_secret:unwrap(Options)) of
        {ok, #{distribution := Distribution} = Checked} ->
            case erlang:is_alive() orelse Distribution =/= undefined of
                true -> start_checked(Checked);
                false -> {error, {not_alive, beamroute_distribution:not_alive()}}
            end;
        {error, _} = Error ->
            Error
    end.

start_checked(#{name := undefined} = Options) ->
    started(gen_statem:start_link(?MODULE, Options, []));
start_checked(#{name := Name} = Options) ->
    started(gen_statem:start_link({local, Name}, ?MODULE, Options, [])).

started({ok, Pid}) -> {ok, Pid};
started({error, {already_started, _} = Reason}) -> {error, Reason}.

%% @doc Ends a link; what the daemon was asked for stays, what it was not sent yet is forgotten.
-spec stop(link()) -> ok.
stop(Link) -> gen_statem:stop(Link).

%% @doc Asks the daemon. Writes have been checked.
-spec request(link(), {write, beamroute_wishes:wish()} | {read, read()}, call_options()) -> reply().
request(Link, {Kind, Term}, #{timeout := Timeout} = Options) ->
    beamroute_server:call(Link, {request, Kind, Term, Options}, Timeout + ?GRACE_MS).

%% @doc Tells a process of this node what happens, from now on and over all connections, until it ends.
-spec subscribe(link(), pid()) -> ok | {error, term()}.
subscribe(Link, Pid) -> beamroute_server:call(Link, {subscribe, Pid}, 5000).

%% @doc Tells it no more.
-spec unsubscribe(link(), pid()) -> ok | {error, term()}.
unsubscribe(Link, Pid) -> beamroute_server:call(Link, {unsubscribe, Pid}, 5000).

%% @doc Waits until the link is connected, at most so many milliseconds.
-spec await_connected(link(), pos_integer()) -> ok | {error, term()}.
await_connected(Link, Timeout) -> beamroute_server:call(Link, {await_connected, Timeout}, Timeout + ?GRACE_MS).

%% @doc How the link is.
-spec info(link()) -> {ok, info()} | {error, term()}.
info(Link) -> beamroute_server:call(Link, info, 5000).

%% @private
-spec callback_mode() -> gen_statem:callback_mode_result().
callback_mode() -> [state_functions, state_enter].

%% @private
-spec init(beamroute_options:checked()) -> {ok, connecting, #data{}}.
init(#{name := Name, node := Node} = Options) ->
    ok = beamroute_telemetry:look_up(),
    ok = beamroute_telemetry:name_link(Name, Node),
    {Keeper, Wishes, Subscribers} = beamroute_keeper:open(Name, Node),
    Data = #data{
        %% A crash would show them.
        options = maps:map(fun hide/2, Options),
        backoff = backoff(Options),
        outbox = beamroute_outbox:new(maps:get(max_interfaces, Options), Keeper, Wishes),
        keeper = Keeper,
        keeper_monitor = beamroute_keeper:monitor(Keeper)
    },
    %% They have heard of the link that was before.
    tell(Subscribers, {link, {disconnected, Data#data.reason}}, Data),
    {ok, connecting, lists:foldl(fun add_subscriber/2, Data, Subscribers)}.

hide(Key, Secret) when Key =:= cookie; Key =:= distribution -> beamroute_secret:wrap(Secret);
hide(_, Value) -> Value.

%% @private Only whoever stops it says that it is not wanted any more.
-spec terminate(term(), state(), #data{}) -> ok.
terminate(normal, _, #data{keeper = Keeper}) -> beamroute_keeper:forget(Keeper);
terminate(_, _, _) -> ok.

backoff(#{backoff_initial := Initial, backoff_max := Max}) -> beamroute_backoff:new(Initial, Max).

%% ---- disconnected: waits, then tries again ----

%% @private
-spec disconnected(gen_statem:event_type() | enter, term(), #data{}) -> 
    gen_statem:event_handler_result(state()) | gen_statem:state_enter_result(state()).
disconnected(enter, _, #data{backoff = Backoff} = Data) ->
    {Wait, Next} = beamroute_backoff:next(Backoff),
    {keep_state, Data#data{backoff = Next}, {state_timeout, Wait, try_again}};
disconnected(state_timeout, try_again, Data) ->
    {next_state, connecting, Data};
disconnected(info, {nodeup, Node, _}, #data{options = #{node := Node}} = Data) ->
    {next_state, connecting, Data};
disconnected(Type, Content, Data) ->
    away(Type, Content, disconnected, Data).

%% ---- connecting: a process of ours dials, then the daemon is asked to tell us what happens ----

%% @private
-spec connecting(gen_statem:event_type() | enter, term(), #data{}) -> 
    gen_statem:event_handler_result(state()) | gen_statem:state_enter_result(state()).
connecting(enter, _, #data{options = #{connect_timeout := Timeout} = Options} = Data) ->
    beamroute_dialer:hear_of_nodes(),
    {keep_state, Data#data{dialer = beamroute_dialer:start(Options)}, {state_timeout, Timeout, give_up}};
connecting(state_timeout, give_up, Data) ->
    failed(timeout, Data);
connecting(info, {Pid, there}, #data{dialer = {Pid, _}} = Data) ->
    {keep_state, hello(Data)};
connecting(info, {'DOWN', Ref, process, Pid, Result}, #data{dialer = {Pid, Ref}} = Data) ->
    failed(beamroute_dialer:why(Result), Data);
connecting(info, {Ref, Reply}, #data{hello = Ref} = Data) when is_reference(Ref) ->
    {_, Answered} = taken(Ref, Data),
    case Reply of
        ok -> up(Answered);
        Refusal -> failed({refused, Refusal}, Answered)
    end;
connecting(info, {Ref, _}, Data) when is_reference(Ref) ->
    {_, Answered} = taken(Ref, Data),
    {keep_state, pump(Answered)};
connecting(info, {?MODULE, not_busy}, Data) ->
    {keep_state, pump(Data#data{is_busy = false})};
connecting(Type, Content, Data) ->
    away(Type, Content, connecting, Data).

hello(Data) ->
    %% Again, since distribution may have been started only now.
    beamroute_dialer:hear_of_nodes(),
    Known = beamroute_known:begin_again(Data#data.known),
    %% The daemon may know the subscription from a connection that is only ours to have given up.
    {_, Without} = push(own(subscription, {unsubscribe, self()}), Data#data{known = Known}),
    {Hello, With} = push(own(subscription, {subscribe, self()}), Without),
    pump(With#data{hello = Hello}).

failed(Reason, #data{options = #{node := Node}} = Data) ->
    case Data#data.reason of
        Reason -> ok;
        _ -> ?LOG_WARNING("beamroute: cannot connect to ~ts: ~0tp; trying again", [Node, Reason])
    end,
    {_, Gone} = let_go(Data#data{reason = Reason}),
    {next_state, disconnected, Gone, {{timeout, refresh}, cancel}}.

%% Forgets everything that belongs to an attempt or a connection; gives the requests that were not answered.
let_go(#data{dialer = Dialer, patience = Patience} = Data) ->
    case Dialer of
        none -> ok;
        {Pid, Ref} -> erlang:demonitor(Ref, [flush]), exit(Pid, kill)
    end,
    Patience =:= none orelse erlang:cancel_timer(Patience),
    {Unanswered, Outbox} = beamroute_outbox:lost(Data#data.outbox),
    Gone = Data#data{
        dialer = none,
        hello = none,
        outbox = Outbox,
        is_busy = false,
        patience = none,
        is_stale = false,
        is_told = false
    },
    {Unanswered, Gone}.

up(#data{options = #{node := Node} = Options, subscribers = Subscribers} = Data) ->
    ?LOG_INFO("beamroute: connected to ~ts", [Node]),
    Fresh = Data#data{
        backoff = backoff(Options),
        reason = connected,
        hello = none,
        waiting = [],
        is_stale = false,
        subscribers = maps:map(fun(_, {Ref, _}) -> {Ref, 0} end, Subscribers),
        since = erlang:monotonic_time()
    },
    ok = beamroute_telemetry:connection(Node, link_name(Options), Fresh#data.since),
    tell(maps:keys(Subscribers), {link, connected}, Fresh),
    %% Its answer comes between the state that the daemon tells now and the changes that the wishes make.
    {next_state, connected, pump(ask_status(Fresh)), [{reply, From, ok} || From <- Data#data.waiting]}.

link_name(#{name := undefined}) -> self();
link_name(#{name := Name}) -> Name.

%% ---- connected ----

%% @private
-spec connected(gen_statem:event_type() | enter, term(), #data{}) -> 
    gen_statem:event_handler_result(state()) | gen_statem:state_enter_result(state()).
connected(enter, _, _) ->
    keep_state_and_data;
connected({call, From}, {request, Kind, Term, Options}, Data) ->
    Request = #{
        kind => Kind,
        term => Term,
        from => From,
        is_kept => Kind =:= write andalso is_queued(Options, Data),
        last_known => maps:get(last_known, Options, false)
    },
    {Ref, Pushed} = push(Request, Data),
    {keep_state, pump(Pushed), {{timeout, {request, Ref}}, maps:get(timeout, Options), expired}};
connected({call, From}, {await_connected, _}, _) ->
    {keep_state_and_data, {reply, From, ok}};
connected({call, From}, {subscribe, Pid}, #data{subscribers = Subscribers} = Data) ->
    tell([Pid], {link, connected}, Data),
    Told =
        case is_map_key(Pid, Subscribers) of
            true -> Data;
            false -> lists:foldl(fun(Event, D) -> pass_on(Pid, Event, D) end, add_subscriber(Pid, Data), present(Data))
        end,
    {keep_state, Told, {reply, From, ok}};
connected(info, {'DOWN', Ref, process, Pid, Result}, #data{dialer = {Pid, Ref}} = Data) ->
    down(beamroute_dialer:why(Result), Data);
connected(info, {Ref, Reply}, Data) when is_reference(Ref) ->
    case taken(Ref, Data) of
        {unknown, _} -> keep_state_and_data;
        {Request, Taken} -> answered(Request, Reply, Ref, pump(Taken))
    end;
connected(info, {?MODULE, not_busy}, Data) ->
    {keep_state, pump(Data#data{is_busy = false})};
connected(info, {timeout, Patience, no_answer}, #data{patience = Patience} = Data) ->
    case {beamroute_outbox:is_waiting(Data#data.outbox), Data#data.is_heard} of
        {true, false} -> down(timeout, Data);
        _ -> {keep_state, pump(Data#data{patience = none})}
    end;
connected({timeout, {request, Ref}}, expired, #data{outbox = Outbox} = Data) ->
    case beamroute_outbox:expired(Ref, Outbox) of
        {none, Left} -> {keep_state, Data#data{outbox = Left}};
        {From, Left} -> {keep_state, Data#data{outbox = Left}, {reply, From, {error, timeout}}}
    end;
connected({timeout, refresh}, expired, Data) ->
    {keep_state, pump(ask_status(Data#data{is_stale = false}))};
connected(Type, Content, Data) ->
    always(Type, Content, connected, Data).

answered(#{from := none} = Request, Reply, _, Data) ->
    unheard(Request, Reply, Data),
    {keep_state, learn(Request, Reply, Data)};
answered(#{from := From} = Request, Reply, Ref, Data) ->
    Actions = [{reply, From, shape(Request, Reply)}, {{timeout, {request, Ref}}, cancel}],
    {keep_state, learn(Request, Reply, Data), Actions}.

learn(#{kind := read, term := status}, Status, #data{known = Known} = Data) when is_map(Status) ->
    Data#data{known = beamroute_known:status(Status, Known), is_told = true};
learn(_, _, Data) ->
    Data.

%% A wish was kept for the daemon, and its caller told `ok', but the daemon will not have it.
unheard(#{kind := write, term := Wish}, {error, Reason}, #data{options = #{node := Node}}) ->
    Shown = beamroute_wishes:show(Wish),
    ?LOG_WARNING("beamroute: ~ts refused ~0tp, which was kept for it: ~0tP", [Node, Shown, Reason, 20]);
unheard(#{kind := subscription, term := Term}, {error, Reason}, #data{options = #{node := Node}}) ->
    ?LOG_WARNING("beamroute: ~ts refused ~0tp: ~0tp", [Node, Term, Reason]);
unheard(_, _, _) ->
    ok.

shape(#{kind := read, term := {get, _}}, Value) -> {ok, Value};
shape(#{kind := read, term := stop}, Reply) -> Reply;
shape(#{kind := read}, {error, _} = Error) -> Error;
shape(#{kind := read}, Value) -> {ok, Value};
shape(#{kind := write}, Reply) -> Reply.

%% The daemon or its node is gone: what was not answered is kept or refused.
down(Reason, #data{options = #{node := Node} = Options} = Data) ->
    ?LOG_WARNING("beamroute: the connection to ~ts is lost: ~0tp", [Node, Reason]),
    ok = beamroute_telemetry:disconnection(Node, link_name(Options), Data#data.since, Reason),
    {Unanswered, Gone} = let_go(Data#data{reason = Reason, since = erlang:monotonic_time()}),
    tell(maps:keys(Gone#data.subscribers), {link, {disconnected, Reason}}, Gone),
    Replies = [{reply, F, unanswered(R, Kept, Gone)} || {_, #{from := F} = R, Kept} <- Unanswered, F =/= none],
    Timers = [{{timeout, {request, Ref}}, cancel} || {Ref, _, _} <- Unanswered],
    {next_state, disconnected, Gone, [{{timeout, refresh}, cancel} | Replies ++ Timers]}.

unanswered(#{kind := read, term := Term, last_known := true}, _, Data) -> last_known(Term, Data);
unanswered(_, Kept, _) -> Kept.

%% ---- disconnected and connecting ----

away({call, From}, {request, write, Wish, Options}, _, Data) ->
    case is_queued(Options, Data) of
        true ->
            case beamroute_outbox:keep(Wish, Data#data.outbox) of
                {ok, Outbox} -> {keep_state, Data#data{outbox = Outbox}, {reply, From, ok}};
                {error, _} = Error -> {keep_state_and_data, {reply, From, Error}}
            end;
        false ->
            {keep_state_and_data, {reply, From, {error, disconnected}}}
    end;
away({call, From}, {request, read, Term, #{last_known := true}}, _, Data) ->
    {keep_state_and_data, {reply, From, last_known(Term, Data)}};
away({call, From}, {request, read, _, _}, _, _) ->
    {keep_state_and_data, {reply, From, {error, disconnected}}};
away({call, From}, {await_connected, Timeout}, _, #data{waiting = Waiting} = Data) ->
    {keep_state, Data#data{waiting = [From | Waiting]}, {{timeout, {await, From}}, Timeout, expired}};
away({call, From}, {subscribe, Pid}, _, #data{reason = Reason} = Data) ->
    tell([Pid], {link, {disconnected, Reason}}, Data),
    {keep_state, add_subscriber(Pid, Data), {reply, From, ok}};
away(Type, Content, State, Data) ->
    always(Type, Content, State, Data).

last_known(Term, #data{known = Known}) ->
    case beamroute_known:answer(Term, Known) of
        {ok, _} = Answer -> Answer;
        unknown -> {error, disconnected}
    end.

%% ---- in every state ----

always({call, From}, info, State, Data) ->
    {keep_state_and_data, {reply, From, {ok, info(State, Data)}}};
always({timeout, {await, From}}, expired, _, #data{waiting = Waiting} = Data) ->
    case lists:member(From, Waiting) of
        true -> {keep_state, Data#data{waiting = lists:delete(From, Waiting)}, {reply, From, {error, disconnected}}};
        false -> keep_state_and_data
    end;
always({call, From}, {unsubscribe, Pid}, _, Data) ->
    {keep_state, remove_subscriber(Pid, Data), {reply, From, ok}};
always(info, {?SERVER, Node, Event}, _, #data{options = #{node := Node}} = Data) when is_integer(element(1, Event)) ->
    heard(Event, Data);
always(info, {'DOWN', Ref, process, _, _}, _, #data{keeper_monitor = Ref} = Data) ->
    {keep_state, keep_again(Data)};
always(info, {'DOWN', Ref, process, Pid, _}, _, #data{subscribers = Subscribers} = Data) ->
    case Subscribers of
        #{Pid := {Ref, _}} -> {keep_state, remove_subscriber(Pid, Data)};
        _ -> keep_state_and_data
    end;
always({call, From}, _, _, _) ->
    {keep_state_and_data, {reply, From, {error, unknown_request}}};
always(_, _, _, _) ->
    %% Late answers, nodes that come and go, and what is not for us.
    keep_state_and_data.

heard(Event, #data{options = #{node := Node} = Options, known = Known, subscribers = Subscribers} = Data) ->
    _ = Data#data.is_told andalso beamroute_telemetry:routes_changed(Node, link_name(Options), Event),
    Told = lists:foldl(fun(Pid, D) -> pass_on(Pid, Event, D) end, Data, maps:keys(Subscribers)),
    refresh_soon(Told#data{known = beamroute_known:event(Event, Known)}).

%% As the daemon would: the numbers are each subscriber's own.
pass_on(Pid, Event, #data{subscribers = Subscribers} = Data) ->
    #{Pid := {Ref, Last}} = Subscribers,
    tell([Pid], setelement(1, Event, Last + 1), Data),
    Data#data{subscribers = Subscribers#{Pid := {Ref, Last + 1}}}.

present(#data{known = Known}) -> beamroute_known:present(Known).

info(State, #data{options = #{node := Node}} = Data) ->
    {Wishes, Requests} = beamroute_outbox:sizes(Data#data.outbox),
    #{
        node => Node,
        state => State,
        reason => Data#data.reason,
        wishes => Wishes,
        requests => Requests,
        subscribers => map_size(Data#data.subscribers)
    }.

%% Later events do not move the time: a daemon that never rests is asked as well.
refresh_soon(#data{is_stale = true} = Data) ->
    {keep_state, Data};
refresh_soon(Data) ->
    {keep_state, Data#data{is_stale = true}, {{timeout, refresh}, ?REFRESH_MS, expired}}.

ask_status(Data) ->
    {_, Asked} = push(own(read, status), Data),
    Asked.

own(Kind, Term) -> #{kind => Kind, term => Term, from => none, is_kept => false, last_known => false}.

is_queued(#{queue := Queue}, _) -> Queue;
is_queued(_, #data{options = #{queue := Queue}}) -> Queue.

add_subscriber(Pid, #data{subscribers = Subscribers} = Data) when is_map_key(Pid, Subscribers) ->
    Data;
add_subscriber(Pid, #data{subscribers = Subscribers, keeper = Keeper} = Data) ->
    ok = beamroute_keeper:put(Keeper, {subscriber, Pid}, true),
    Data#data{subscribers = Subscribers#{Pid => {erlang:monitor(process, Pid), 0}}}.

remove_subscriber(Pid, #data{subscribers = Subscribers, keeper = Keeper} = Data) ->
    case maps:take(Pid, Subscribers) of
        {{Ref, _}, Others} ->
            erlang:demonitor(Ref, [flush]),
            ok = beamroute_keeper:delete(Keeper, {subscriber, Pid}),
            Data#data{subscribers = Others};
        error ->
            Data
    end.

tell(Pids, Event, #data{options = #{node := Node}}) ->
    lists:foreach(fun(Pid) -> Pid ! {?SERVER, Node, Event} end, Pids).

%% Whoever kept it has ended, and what it knew with it.
keep_again(#data{options = #{name := Name, node := Node}, outbox = Outbox, subscribers = Subscribers} = Data) ->
    {Keeper, _, _} = beamroute_keeper:open(Name, Node),
    lists:foreach(fun(Pid) -> beamroute_keeper:put(Keeper, {subscriber, Pid}, true) end, maps:keys(Subscribers)),
    Data#data{
        outbox = beamroute_outbox:keep_with(Keeper, Outbox),
        keeper = Keeper,
        keeper_monitor = beamroute_keeper:monitor(Keeper)
    }.

%% ---- sending ----

push(Request, #data{outbox = Outbox} = Data) ->
    {Ref, Pushed} = beamroute_outbox:push(Request, Outbox),
    {Ref, Data#data{outbox = Pushed}}.

%% An answer, to whatever.
taken(Ref, #data{outbox = Outbox} = Data) ->
    case beamroute_outbox:answered(Ref, Outbox) of
        unknown -> {unknown, Data};
        {Request, Left} -> {Request, Data#data{outbox = Left, is_heard = true}}
    end.

%% Sends what there is room for. Before the daemon has subscribed us, that is nothing of anybody else's.
pump(#data{is_busy = true} = Data) ->
    be_patient(Data);
pump(#data{options = #{node := Node}, outbox = Outbox, hello = Hello} = Data) ->
    Which = case Hello of none -> all; _ -> own end,
    {Result, Left} = beamroute_outbox:flush(Which, fun(Ref, Term) -> send(Node, Ref, Term) end, Outbox),
    _ =
        case Result of
            ok -> ok;
            busy -> erlang:send_after(?BUSY_MS, self(), {?MODULE, not_busy});
            gone -> gone(Data)
        end,
    be_patient(Data#data{outbox = Left, is_busy = Result =/= ok}).

%% As the dialer will say.
gone(#data{dialer = {Pid, Ref}}) -> self() ! {'DOWN', Ref, process, Pid, {gone, noconnection}}.

%% What gen_server:call would send. The dialer's monitor of the daemon's process serves all requests, and we live as
%% long as they do, so a call costs one message each way.
send(Node, Ref, Term) ->
    case erlang:send({?SERVER, Node}, {'$gen_call', {self(), Ref}, Term}, [noconnect, nosuspend]) of
        ok -> ok;
        nosuspend -> busy;
        noconnect -> gone
    end.

%% While something waits, the daemon must answer something in every such time.
be_patient(#data{patience = none, hello = none, outbox = Outbox, options = #{connect_timeout := Timeout}} = Data) ->
    case beamroute_outbox:is_waiting(Outbox) of
        true -> Data#data{patience = erlang:start_timer(Timeout, self(), no_answer), is_heard = false};
        false -> Data
    end;
be_patient(Data) ->
    Data.
