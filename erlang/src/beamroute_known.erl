%% @doc What a link knows of the daemon's state: its last status, and what its events told.
-module(beamroute_known).

-export([new/0, begin_again/1, event/2, status/2, answer/2, present/1]).

-export_type([known/0]).

-type property() :: [binary()].

-record(known, {
    status = unknown :: map() | unknown,
    properties = #{} :: #{property() => term()},
    installs = #{} :: #{term() => term()},
    %% What other programs do, as long as it is not over.
    foreign = #{} :: #{{contested | shadowed, term()} => term()},
    %% What was told over an earlier connection counts until the daemon begins to tell again.
    is_old = false :: boolean()
}).

-opaque known() :: #known{}.

%% @doc Nothing is known.
-spec new() -> known().
new() -> #known{}.

%% @doc A new connection: the daemon is about to tell everything again.
-spec begin_again(known()) -> known().
begin_again(Known) -> Known#known{is_old = true}.

%% @doc The daemon told an event.
-spec event(term(), known()) -> known().
event(Event, #known{is_old = true, status = Status}) when element(1, Event) =:= 1 ->
    event(Event, #known{status = Status});
event({_, property, Path, _, New}, #known{properties = Properties} = Known) ->
    Known#known{properties = Properties#{Path => New}};
event({_, install, IfName, nil}, #known{installs = Installs} = Known) ->
    Known#known{installs = maps:remove(IfName, Installs)};
event({_, install, IfName, Install}, #known{installs = Installs} = Known) ->
    Known#known{installs = Installs#{IfName => Install}};
event({_, foreign, What}, #known{foreign = Foreign} = Known) ->
    Known#known{foreign = foreign(What, Foreign)};
event(_, Known) ->
    Known.

foreign({contested, IfName} = What, Foreign) -> Foreign#{{contested, IfName} => What};
foreign({uncontested, IfName}, Foreign) -> maps:remove({contested, IfName}, Foreign);
foreign({shadowed, IfName, _} = What, Foreign) -> Foreign#{{shadowed, IfName} => What};
foreign({unshadowed, IfName}, Foreign) -> maps:remove({shadowed, IfName}, Foreign);
foreign(_, Foreign) -> Foreign.

%% @doc The state as events, from number 1, in the order in which the daemon begins to tell it.
-spec present(known()) -> [tuple()].
present(#known{is_old = true}) ->
    %% The daemon is about to.
    [];
present(#known{properties = Properties, installs = Installs, foreign = Foreign}) ->
    %% Those of single interfaces first.
    Longest = fun({PathA, _}, {PathB, _}) -> {-length(PathA), place(PathA)} =< {-length(PathB), place(PathB)} end,
    Told = [{Path, Value} || {Path, Value} <- maps:to_list(Properties), Value =/= nil],
    Events =
        [{install, IfName, Install} || {IfName, Install} <- lists:sort(maps:to_list(Installs))] ++
            [{property, Path, nil, Value} || {Path, Value} <- lists:sort(Longest, Told)] ++
            [{foreign, What} || {_, What} <- lists:sort(maps:to_list(Foreign))],
    [erlang:insert_element(1, Event, N) || {N, Event} <- lists:zip(lists:seq(1, length(Events)), Events)].

place([<<"available_interfaces">>]) -> [<<"connection">>, after_it];
place(Path) -> Path.

%% @doc The daemon answered with its status.
-spec status(map(), known()) -> known().
status(Status, Known) -> Known#known{status = Status}.

%% @doc The answer to a read, as far as it is known.
-spec answer(term(), known()) -> {ok, term()} | unknown.
answer(status, #known{status = Status}) when is_map(Status) -> {ok, Status};
answer({get, Path}, #known{properties = Properties}) when is_map_key(Path, Properties) ->
    {ok, maps:get(Path, Properties)};
answer({get, _}, #known{status = Status}) when is_map(Status) ->
    %% The daemon has told all that have a value.
    {ok, nil};
answer(_, _) ->
    unknown.
