%% Stands in for telemetry 1.x, which cannot be fetched where the tests run: its functions that are used here, with what
%% they promise, which is that handlers run in the executing process, and one that fails is detached.
%% beamroute_stand_ins loads it under telemetry's name.
-module(telemetry_stand_in).

-export([attach_many/4, detach/1, execute/3]).

-define(KEY, telemetry_stand_in).

attach_many(Id, Events, Fun, Config) ->
    case handlers() of
        #{Id := _} -> {error, already_exists};
        Handlers -> persistent_term:put(?KEY, Handlers#{Id => {Events, Fun, Config}})
    end.

detach(Id) ->
    case maps:take(Id, handlers()) of
        {_, Others} -> persistent_term:put(?KEY, Others);
        error -> {error, not_found}
    end.

execute(Event, Measurements, Metadata) ->
    maps:foreach(
        fun(Id, {Events, Fun, Config}) ->
            try lists:member(Event, Events) andalso Fun(Event, Measurements, Metadata, Config)
            catch _:_ -> detach(Id)
            end
        end,
        handlers()
    ).

handlers() -> persistent_term:get(?KEY, #{}).
