%% Stands in for PropertyTable 0.2 and 0.3 as VintageNet uses it, with events as tuples: what does not change a value is
%% told to nobody. Its process is a child of VintageNet's supervisor, as PropertyTable's is.
-module(property_table_stand_in).

-behaviour(gen_server).

-export([start_link/1, put/3, get/2, get/3, subscribe/2]).
-export([init/1, handle_call/3, handle_cast/2]).

start_link(Table) -> gen_server:start_link({local, Table}, 'Elixir.PropertyTable', Table, []).

put(Table, Property, Value) -> gen_server:call(Table, {put, Property, Value}).

get(Table, Property) -> get(Table, Property, nil).

get(Table, Property, Default) ->
    case ets:lookup(Table, Property) of
        [{_, Value}] -> Value;
        [] -> Default
    end.

%% All below the pattern, of which `[]' is the top.
subscribe(Table, Pattern) -> gen_server:call(Table, {subscribe, Pattern}).

init(Table) ->
    Table = ets:new(Table, [named_table]),
    {ok, {Table, []}}.

handle_call({put, Property, Value}, _, {Table, Subscribers} = State) ->
    case get(Table, Property) of
        Value ->
            ok;
        Old ->
            ets:insert(Table, {Property, Value}),
            [Pid ! {Table, Property, Old, Value, #{}} || {Pid, Pattern} <- Subscribers, lists:prefix(Pattern, Property)]
    end,
    {reply, ok, State};
handle_call({subscribe, Pattern}, {Pid, _}, {Table, Subscribers}) ->
    {reply, ok, {Table, [{Pid, Pattern} | Subscribers]}}.

handle_cast(_, State) -> {noreply, State}.
