%% @private What a link must not lose when it ends and is started again: the wishes that it has taken and that the daemon
%% has not answered, and the subscribers.
%%
%% A table has them, whose owner does nothing else. It stands below kernel's `kernel_safe_sup', as the servers of `timer'
%% and `dets' do, so that a link has it whether the application `beamroute' is started or not, and whatever becomes of
%% the supervisors of both. What is kept belongs to a registered name; a link without a name has no keeper.
-module(beamroute_keeper).

-behaviour(gen_server).

-export([open/2, put/3, delete/2, forget/1, monitor/1]).
-export([start_link/0, init/1, handle_call/3, handle_cast/2]).

-export_type([keeper/0]).

-type keeper() :: none | {name, atom()}.
-type key() :: {wish, beamroute_wishes:seq()} | {subscriber, pid()}.

-define(SPEC, #{id => ?MODULE, start => {?MODULE, start_link, []}, restart => temporary}).

%% @doc What is kept for the link of this name to that node. What was meant for another node is forgotten.
-spec open(atom(), node()) -> {keeper(), [{beamroute_wishes:seq(), beamroute_wishes:wish()}], [pid()]}.
open(undefined, _) ->
    {none, [], []};
open(Name, Node) ->
    ok = ensure(),
    ets:lookup(?MODULE, {Name, node}) =:= [{{Name, node}, Node}] orelse
        ets:match_delete(?MODULE, {{Name, {wish, '_'}}, '_'}),
    ets:insert(?MODULE, {{Name, node}, Node}),
    Wishes = ets:select(?MODULE, [{{{Name, {wish, '$1'}}, '$2'}, [], [{{'$1', '$2'}}]}]),
    Subscribers = ets:select(?MODULE, [{{{Name, {subscriber, '$1'}}, '_'}, [], ['$1']}]),
    {{name, Name}, Wishes, Subscribers}.

%% @doc Keeps something.
-spec put(keeper(), key(), term()) -> ok.
put(none, _, _) -> ok;
put({name, Name}, Key, Value) -> if_there(fun() -> ets:insert(?MODULE, {{Name, Key}, Value}) end).

%% @doc Keeps it no more.
-spec delete(keeper(), key()) -> ok.
delete(none, _) -> ok;
delete({name, Name}, Key) -> if_there(fun() -> ets:delete(?MODULE, {Name, Key}) end).

%% @doc Forgets everything of a link.
-spec forget(keeper() | atom()) -> ok.
forget(none) -> ok;
forget({name, Name}) -> forget(Name);
forget(Name) -> if_there(fun() -> ets:match_delete(?MODULE, {{Name, '_'}, '_'}) end).

%% @doc A link whose keeper has ended opens another, and tells it everything again.
-spec monitor(keeper()) -> reference() | none.
monitor(none) -> none;
monitor({name, _}) -> erlang:monitor(process, ?MODULE).

%% Without a table there is soon a message of the monitor.
if_there(Fun) ->
    try Fun() of
        true -> ok
    catch
        error:badarg -> ok
    end.

ensure() ->
    case whereis(?MODULE) of
        undefined -> started(supervisor:start_child(kernel_safe_sup, ?SPEC));
        _ -> ok
    end.

%% Another link may have been quicker.
started({ok, _}) -> ok;
started({error, {already_started, _}}) -> ok.

%% @private
-spec start_link() -> {ok, pid()} | {error, term()}.
start_link() ->
    case gen_server:start_link({local, ?MODULE}, ?MODULE, none, []) of
        {ok, Pid} -> {ok, Pid};
        {error, Reason} -> {error, Reason}
    end.

%% @private
-spec init(none) -> {ok, none}.
init(none) ->
    %% Ordered, so that what is of one name is found without a look at the others.
    ?MODULE = ets:new(?MODULE, [ordered_set, public, named_table]),
    {ok, none}.

%% @private
-spec handle_call(term(), gen_server:from(), none) -> {reply, {error, unknown_request}, none}.
handle_call(_, _, State) -> {reply, {error, unknown_request}, State}.

%% @private
-spec handle_cast(term(), none) -> {noreply, none}.
handle_cast(_, State) -> {noreply, State}.
