%% @doc Who called: module, function and line, the reason that is given where none is given.
-module(beamroute_caller).

-export([name/0]).

%% Frames that are ours, not the caller's.
-define(OURS, [
    ?MODULE,
    beamroute_route_manager,
    'Elixir.Beamroute.RouteManager',
    beamroute_fleet,
    'Elixir.Beamroute.Fleet',
    beamroute_vintage_net_manager,
    'Elixir.VintageNet.RouteManager'
]).

%% @doc The first frame of the calling process outside of this library; `nil' if there is none. A function that makes
%% the call as the last thing it does has left the stack already: then it is the one before.
-spec name() -> binary() | nil.
name() ->
    {current_stacktrace, Frames} = erlang:process_info(self(), current_stacktrace),
    case lists:dropwhile(fun is_ours/1, Frames) of
        [Frame | _] -> format(Frame);
        [] -> nil
    end.

is_ours({Module, _, _, _}) -> Module =:= erlang orelse lists:member(Module, ?OURS).

format({Module, Function, Arity, Location}) ->
    Line = [[":", integer_to_list(L)] || {line, L} <- Location],
    unicode:characters_to_binary([module(Module), atom_to_list(Function), $/, arity(Arity), Line]).

arity(Arity) when is_integer(Arity) -> integer_to_list(Arity);
arity(Args) -> integer_to_list(length(Args)).

module(Module) ->
    case atom_to_list(Module) of
        "Elixir." ++ Name -> Name ++ ".";
        Name -> Name ++ ":"
    end.
