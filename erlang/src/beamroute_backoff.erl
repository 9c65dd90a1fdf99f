%% @doc How long to wait before the next attempt: twice as long each time up to a limit, and jittered, so that a fleet
%% does not come back in step. Pure, but for the dice.
-module(beamroute_backoff).

-export([new/2, next/1]).

-export_type([backoff/0]).

-opaque backoff() :: {Next :: pos_integer(), Max :: pos_integer()}.

%% @doc The first wait and the longest, in milliseconds.
-spec new(pos_integer(), pos_integer()) -> backoff().
new(Initial, Max) -> {Initial, Max}.

%% @doc The wait that is due, between half of it and all of it, and what comes after.
-spec next(backoff()) -> {pos_integer(), backoff()}.
next({Next, Max}) ->
    Least = (Next + 1) div 2,
    {Least + rand:uniform(Next - Least + 1) - 1, {min(2 * Next, Max), Max}}.
