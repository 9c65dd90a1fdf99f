%% @private The application: nothing but the drop-in for VintageNet, if it is configured. Links belong to their users'
%% trees.
-module(beamroute_app).

-behaviour(application).
-behaviour(supervisor).

-export([start/2, stop/1]).
-export([init/1]).

-spec start(application:start_type(), term()) -> {ok, pid()} | {error, term()}.
start(_, _) ->
    case vintage_net(application:get_env(beamroute, vintage_net, false)) of
        {ok, Children} ->
            case supervisor:start_link({local, beamroute_sup}, ?MODULE, Children) of
                {ok, Pid} -> {ok, Pid};
                {error, Reason} -> {error, Reason};
                ignore -> {error, ignore}
            end;
        {error, _} = Error ->
            Error
    end.

-spec stop(term()) -> ok.
stop(_) -> ok.

-spec init([supervisor:child_spec()]) -> {ok, {supervisor:sup_flags(), [supervisor:child_spec()]}}.
init(Children) -> {ok, {#{}, Children}}.

vintage_net(Off) when Off =:= false; Off =:= nil; Off =:= undefined -> {ok, []};
vintage_net(true) -> vintage_net([]);
vintage_net(Options) ->
    case beamroute_vintage_net:check(Options) of
        {ok, _} -> {ok, [beamroute_vintage_net:child_spec(Options)]};
        {error, _} = Error -> Error
    end.
