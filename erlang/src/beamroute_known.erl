%% @doc What a link knows of the daemon's state: its last status, and VintageNet's properties as its events told them.
-module(beamroute_known).

-export([new/0, begin_again/1, event/2, status/2, answer/2]).

-export_type([known/0]).

-type property() :: [binary()].

-record(known, {
    status = unknown :: map() | unknown,
    properties = #{} :: #{property() => term()},
    %% Properties that were told over an earlier connection count until the daemon begins to tell again.
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
event(Event, #known{is_old = true} = Known) when element(1, Event) =:= 1 ->
    event(Event, Known#known{is_old = false, properties = #{}});
event({_, property, Path, _, New}, #known{properties = Properties} = Known) ->
    Known#known{properties = Properties#{Path => New}};
event(_, Known) ->
    Known.

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
