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
%% here. It never waits for the daemon, nor for a connection whose buffer is full; so callers never wait longer than
%% they said. What becomes of them while the daemon is away:
%%
%% <ul>
%% <li>A write is kept and answered `ok', or with the option `{queue, false}' refused with `{error, disconnected}'. The
%% latest wish per interface is kept, and sent in order when the daemon is back: see {@link beamroute_wishes}.</li>
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
%% connection the daemon's events begin again with number 1 and the state as it is.
-module(beamroute_link).

-behaviour(gen_statem).

-include_lib("kernel/include/logger.hrl").

-export([start_link/1, stop/1, request/3, subscribe/2, unsubscribe/2, await_connected/2, info/1]).
-export([init/1, callback_mode/0, format_status/1]).
-export([disconnected/3, connecting/3, connected/3]).

-export_type([link/0, info/0, reply/0, start_error/0]).

%% The name of a link, or its pid.
-type link() :: atom() | pid().
-type info() :: #{
    node := node(),
    state := state(),
    %% What it is waiting for, or why it is not connected.
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

%% What waits for an answer. Nobody may wait for it: the caller's time is over, or it was sent again.
-record(request, {
    %% In the order of sending.
    number = 0 :: non_neg_integer(),
    kind :: write | read | subscription,
    term :: term(),
    from = none :: gen_statem:from() | none,
    is_kept = false :: boolean(),
    last_known = false :: boolean()
}).

-record(data, {
    options :: beamroute_options:checked(),
    backoff :: beamroute_backoff:backoff(),
    reason = not_yet :: term(),
    attempt = none :: {pid(), reference()} | none,
    monitor = none :: reference() | none,
    %% The request whose answer makes us connected.
    hello = none :: reference() | none,
    number = 0 :: non_neg_integer(),
    requests = #{} :: #{reference() => #request{}},
    wishes = beamroute_wishes:new() :: beamroute_wishes:wishes(),
    subscribers = #{} :: #{pid() => reference()},
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

%% @doc Starts a link; it connects by itself. Wrong options are `{error, {bad_option, Key, Why}}'.
-spec start_link(beamroute_options:options()) -> {ok, pid()} | {error, start_error()}.
start_link(Options) ->
    case beamroute_options:check(Options) of
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

%% @doc Ends a link; what the daemon was asked for stays.
-spec stop(link()) -> ok.
stop(Link) -> gen_statem:stop(Link).

%% @doc Asks the daemon. Writes have been checked.
-spec request(link(), {write, beamroute_wishes:wish()} | {read, read()}, call_options()) -> reply().
request(Link, {Kind, Term}, #{timeout := Timeout} = Options) ->
    call(Link, {request, Kind, Term, Options}, Timeout + ?GRACE_MS).

%% @doc Tells a process of this node what happens, from now on and over all connections, until it ends.
-spec subscribe(link(), pid()) -> ok | {error, term()}.
subscribe(Link, Pid) -> call(Link, {subscribe, Pid}, 5000).

%% @doc Tells it no more.
-spec unsubscribe(link(), pid()) -> ok | {error, term()}.
unsubscribe(Link, Pid) -> call(Link, {unsubscribe, Pid}, 5000).

%% @doc Waits until the link is connected, at most so many milliseconds.
-spec await_connected(link(), pos_integer()) -> ok | {error, term()}.
await_connected(Link, Timeout) -> call(Link, {await_connected, Timeout}, Timeout + ?GRACE_MS).

%% @doc How the link is.
-spec info(link()) -> {ok, info()} | {error, term()}.
info(Link) -> call(Link, info, 5000).

call(Link, Request, Timeout) ->
    try
        gen_statem:call(Link, Request, Timeout)
    catch
        exit:{timeout, _} -> {error, timeout};
        exit:{_, {gen_statem, call, _}} -> {error, noproc}
    end.

%% @private
-spec callback_mode() -> gen_statem:callback_mode_result().
callback_mode() -> [state_functions, state_enter].

%% @private
-spec init(beamroute_options:checked()) -> {ok, connecting, #data{}}.
init(#{name := Name, node := Node} = Options) ->
    ok = beamroute_telemetry:look_up(),
    ok = beamroute_telemetry:name_link(Name, Node),
    {ok, connecting, #data{options = Options, backoff = backoff(Options)}}.

backoff(#{backoff_initial := Initial, backoff_max := Max}) -> beamroute_backoff:new(Initial, Max).

%% @private The cookie is nobody's business.
-spec format_status(gen_statem:format_status()) -> gen_statem:format_status().
format_status(#{data := #data{options = Options} = Data} = Status) ->
    Status#{data := Data#data{options = maps:without([cookie, distribution], Options)}};
format_status(Status) ->
    Status.

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
    {keep_state, Data#data{attempt = beamroute_dialer:start(Options)}, {state_timeout, Timeout, give_up}};
connecting(state_timeout, give_up, Data) ->
    failed(timeout, Data);
connecting(info, {'DOWN', Ref, process, Pid, Result}, #data{attempt = {Pid, Ref}} = Data) ->
    case Result of
        {attempt, ok} -> {keep_state, hello(Data#data{attempt = none})};
        {attempt, {error, Reason}} -> failed(Reason, Data#data{attempt = none});
        Crash -> failed(Crash, Data#data{attempt = none})
    end;
connecting(info, {Ref, Reply}, #data{hello = Ref} = Data) ->
    case Reply of
        ok -> up(Data);
        Refusal -> failed({refused, Refusal}, Data)
    end;
connecting(info, {'DOWN', Monitor, process, _, Reason}, #data{monitor = Monitor} = Data) ->
    failed(Reason, Data);
connecting(Type, Content, Data) ->
    away(Type, Content, connecting, Data).

%% Monitors the daemon's process, which tells us of the node's end as well, and subscribes.
hello(#data{options = #{node := Node}} = Data) ->
    %% Again, since distribution may have been started only now.
    beamroute_dialer:hear_of_nodes(),
    Monitor = erlang:monitor(process, {?SERVER, Node}),
    Known = beamroute_known:begin_again(Data#data.known),
    subscribed(self(), Data#data{monitor = Monitor, known = Known}).

failed(Reason, #data{options = #{node := Node}} = Data) ->
    case Data#data.reason of
        Reason -> ok;
        _ -> ?LOG_WARNING("beamroute: cannot connect to ~ts: ~0tp; trying again", [Node, Reason])
    end,
    {next_state, disconnected, let_go(Data#data{reason = Reason}), {{timeout, refresh}, cancel}}.

%% Forgets everything that belongs to an attempt or a connection.
let_go(#data{attempt = Attempt, monitor = Monitor} = Data) ->
    case Attempt of
        none -> ok;
        {Pid, Ref} -> erlang:demonitor(Ref, [flush]), exit(Pid, kill)
    end,
    Monitor =:= none orelse erlang:demonitor(Monitor, [flush]),
    Data#data{attempt = none, monitor = none, hello = none, requests = #{}, is_stale = false, is_told = false}.

up(#data{options = #{node := Node} = Options, subscribers = Subscribers} = Data) ->
    ?LOG_INFO("beamroute: connected to ~ts", [Node]),
    Fresh = Data#data{
        backoff = backoff(Options),
        reason = connected,
        hello = none,
        requests = #{},
        waiting = [],
        is_stale = false,
        since = erlang:monotonic_time()
    },
    ok = beamroute_telemetry:connection(Node, link_name(Options), Data#data.since),
    tell(maps:keys(Subscribers), {link, connected}, Fresh),
    Subscribed = lists:foldl(fun subscribed/2, Fresh, maps:keys(Subscribers)),
    %% Its answer comes between the state that the daemon tells now and the changes that the wishes make.
    Asked = ask_status(Subscribed),
    Sent = lists:foldl(fun send_kept/2, Asked, beamroute_wishes:to_list(Data#data.wishes)),
    {next_state, connected, Sent#data{wishes = beamroute_wishes:new()}, [{reply, From, ok} || From <- Data#data.waiting]}.

link_name(#{name := undefined}) -> self();
link_name(#{name := Name}) -> Name.

send_kept(Wish, Data) ->
    {_, Sent} = send(#request{kind = write, term = Wish, is_kept = true}, Data),
    Sent.

%% The daemon may know the subscription from a connection that is only ours to have given up.
subscribed(Pid, Data) ->
    {_, Without} = send(#request{kind = subscription, term = {unsubscribe, Pid}}, Data),
    {Ref, With} = send(#request{kind = subscription, term = {subscribe, Pid}}, Without),
    case Pid of
        Self when Self =:= self() -> With#data{hello = Ref};
        _ -> With
    end.

%% ---- connected ----

%% @private
-spec connected(gen_statem:event_type() | enter, term(), #data{}) -> 
    gen_statem:event_handler_result(state()) | gen_statem:state_enter_result(state()).
connected(enter, _, _) ->
    keep_state_and_data;
connected({call, From}, {request, Kind, Term, Options}, Data) ->
    Request = #request{
        kind = Kind,
        term = Term,
        from = From,
        is_kept = Kind =:= write andalso is_queued(Options, Data),
        last_known = maps:get(last_known, Options, false)
    },
    {Ref, Sent} = send(Request, Data),
    {keep_state, Sent, {{timeout, {request, Ref}}, maps:get(timeout, Options), expired}};
connected({call, From}, {await_connected, _}, _) ->
    {keep_state_and_data, {reply, From, ok}};
connected({call, From}, {subscribe, Pid}, Data) ->
    tell([Pid], {link, connected}, Data),
    {keep_state, subscribed(Pid, add_subscriber(Pid, Data)), {reply, From, ok}};
connected({call, From}, {unsubscribe, Pid}, Data) ->
    {_, Sent} = send(#request{kind = subscription, term = {unsubscribe, Pid}}, Data),
    {keep_state, remove_subscriber(Pid, Sent), {reply, From, ok}};
connected(info, {'DOWN', Monitor, process, _, Reason}, #data{monitor = Monitor} = Data) ->
    down(Reason, Data);
connected(info, {Ref, Reply}, #data{requests = Requests} = Data) when is_map_key(Ref, Requests) ->
    {Request, Others} = maps:take(Ref, Requests),
    answered(Request, Reply, Ref, Data#data{requests = Others});
connected({timeout, {request, Ref}}, expired, Data) ->
    expired(Ref, Data);
connected({timeout, refresh}, expired, Data) ->
    {keep_state, ask_status(Data#data{is_stale = false})};
connected(Type, Content, Data) ->
    always(Type, Content, connected, Data).

answered(#request{from = none} = Request, Reply, _, Data) ->
    unheard(Request, Reply, Data),
    {keep_state, learn(Request, Reply, Data)};
answered(#request{from = From} = Request, Reply, Ref, Data) ->
    Actions = [{reply, From, shape(Request, Reply)}, {{timeout, {request, Ref}}, cancel}],
    {keep_state, learn(Request, Reply, Data), Actions}.

learn(#request{kind = read, term = status}, Status, #data{known = Known} = Data) when is_map(Status) ->
    Data#data{known = beamroute_known:status(Status, Known), is_told = true};
learn(_, _, Data) ->
    Data.

%% A wish was kept for the daemon, and its caller told `ok', but the daemon will not have it.
unheard(#request{kind = write, term = Wish}, {error, Reason}, #data{options = #{node := Node}}) ->
    ?LOG_WARNING("beamroute: ~ts refused ~0tp, which was kept for it: ~0tp", [Node, Wish, Reason]);
unheard(#request{kind = subscription, term = Term}, {error, Reason}, #data{options = #{node := Node}}) ->
    ?LOG_WARNING("beamroute: ~ts refused ~0tp: ~0tp", [Node, Term, Reason]);
unheard(_, _, _) ->
    ok.

shape(#request{kind = read, term = {get, _}}, Value) -> {ok, Value};
shape(#request{kind = read, term = stop}, Reply) -> Reply;
shape(#request{kind = read}, {error, _} = Error) -> Error;
shape(#request{kind = read}, Value) -> {ok, Value};
shape(#request{kind = write}, Reply) -> Reply.

%% The caller waits no longer. A wish that is kept stands until it is answered.
expired(Ref, #data{requests = Requests} = Data) ->
    case Requests of
        #{Ref := #request{from = From, is_kept = true} = Request} when From =/= none ->
            Left = Requests#{Ref := Request#request{from = none}},
            {keep_state, Data#data{requests = Left}, {reply, From, {error, timeout}}};
        #{Ref := #request{from = From}} when From =/= none ->
            {keep_state, Data#data{requests = maps:remove(Ref, Requests)}, {reply, From, {error, timeout}}};
        _ ->
            keep_state_and_data
    end.

%% The daemon or its node is gone: what was not answered is kept or refused.
down(Reason, #data{options = #{node := Node} = Options, requests = Requests} = Data) ->
    ?LOG_WARNING("beamroute: the connection to ~ts is lost: ~0tp", [Node, Reason]),
    ok = beamroute_telemetry:disconnection(Node, link_name(Options), Data#data.since, Reason),
    Gone = let_go(Data#data{reason = Reason, since = erlang:monotonic_time()}),
    tell(maps:keys(Gone#data.subscribers), {link, {disconnected, Reason}}, Gone),
    Unanswered = lists:keysort(#request.number, maps:values(Requests)),
    Kept = [Wish || #request{kind = write, is_kept = true, term = Wish} <- Unanswered],
    Wishes = lists:foldl(fun beamroute_wishes:add/2, Gone#data.wishes, Kept),
    Replies = [{reply, From, unanswered(R, Gone)} || #request{from = From} = R <- Unanswered, From =/= none],
    Timers = [{{timeout, {request, Ref}}, cancel} || Ref <- maps:keys(Requests)],
    {next_state, disconnected, Gone#data{wishes = Wishes}, [{{timeout, refresh}, cancel} | Replies ++ Timers]}.

unanswered(#request{kind = write, is_kept = true}, _) -> ok;
unanswered(#request{kind = read, term = Term, last_known = true}, Data) -> last_known(Term, Data);
unanswered(_, _) -> {error, disconnected}.

%% ---- disconnected and connecting ----

away({call, From}, {request, write, Wish, Options}, _, Data) ->
    case is_queued(Options, Data) of
        true ->
            Wishes = beamroute_wishes:add(Wish, Data#data.wishes),
            {keep_state, Data#data{wishes = Wishes}, {reply, From, ok}};
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
away({call, From}, {unsubscribe, Pid}, _, Data) ->
    {keep_state, remove_subscriber(Pid, Data), {reply, From, ok}};
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
always(info, {?SERVER, Node, Event}, _, #data{options = #{node := Node} = Options, known = Known} = Data) ->
    _ = Data#data.is_told andalso beamroute_telemetry:routes_changed(Node, link_name(Options), Event),
    refresh_soon(Data#data{known = beamroute_known:event(Event, Known)});
always(info, {'DOWN', Ref, process, Pid, _}, _, #data{subscribers = Subscribers} = Data) ->
    %% The daemon sees its end as we do.
    case Subscribers of
        #{Pid := Ref} -> {keep_state, Data#data{subscribers = maps:remove(Pid, Subscribers)}};
        _ -> keep_state_and_data
    end;
always({call, _}, _, _, _) ->
    keep_state_and_data;
always(_, _, _, _) ->
    %% Late answers, nodes that come and go, and what is not for us.
    keep_state_and_data.

info(State, #data{options = #{node := Node}} = Data) ->
    #{
        node => Node,
        state => State,
        reason => Data#data.reason,
        wishes => beamroute_wishes:size(Data#data.wishes),
        requests => map_size(Data#data.requests),
        subscribers => map_size(Data#data.subscribers)
    }.

%% Later events do not move the time: a daemon that never rests is asked as well.
refresh_soon(#data{is_stale = true} = Data) ->
    {keep_state, Data};
refresh_soon(Data) ->
    {keep_state, Data#data{is_stale = true}, {{timeout, refresh}, ?REFRESH_MS, expired}}.

ask_status(Data) ->
    {_, Sent} = send(#request{kind = read, term = status}, Data),
    Sent.

is_queued(#{queue := Queue}, _) -> Queue;
is_queued(_, #data{options = #{queue := Queue}}) -> Queue.

add_subscriber(Pid, #data{subscribers = Subscribers} = Data) when is_map_key(Pid, Subscribers) ->
    Data;
add_subscriber(Pid, #data{subscribers = Subscribers} = Data) ->
    Data#data{subscribers = Subscribers#{Pid => erlang:monitor(process, Pid)}}.

remove_subscriber(Pid, #data{subscribers = Subscribers} = Data) ->
    case maps:take(Pid, Subscribers) of
        {Ref, Others} ->
            erlang:demonitor(Ref, [flush]),
            Data#data{subscribers = Others};
        error ->
            Data
    end.

tell(Pids, Event, #data{options = #{node := Node}}) ->
    lists:foreach(fun(Pid) -> Pid ! {?SERVER, Node, Event} end, Pids).

%% What gen_server:call would send. The monitor of the daemon's process serves all requests, and we live as long as
%% they do, so a call costs one message each way.
send(Request, #data{options = #{node := Node}, number = Number, requests = Requests} = Data) ->
    Ref = make_ref(),
    Message = {'$gen_call', {self(), Ref}, Request#request.term},
    _ =
        case erlang:send({?SERVER, Node}, Message, [noconnect, nosuspend]) of
            ok -> ok;
            %% A daemon that takes nothing any more is as good as gone.
            Reason -> self() ! {'DOWN', Data#data.monitor, process, {?SERVER, Node}, Reason}
        end,
    Numbered = Request#request{number = Number + 1},
    {Ref, Data#data{number = Number + 1, requests = Requests#{Ref => Numbered}}}.
