%% @doc The drop-in for VintageNet: an application that uses VintageNet keeps its code, and its routes are the daemon's.
%%
%% Either in the configuration of the application `beamroute', `{vintage_net, true}', or as a child of a supervisor:
%%
%% ```
%% [beamroute_route_manager:child_spec([{node, 'beamroute@127.0.0.1'}]), beamroute_vintage_net:child_spec([])]
%% '''
%%
%% The option `link' names the link that is used, `beamroute_link' by default. It may be started before or later.
%%
%% == How ==
%%
%% VintageNet's supervisor starts its own manager under the name `VintageNet.RouteManager', between those that it needs
%% and those that need it, with `rest_for_one'. Taking the name would make the supervisor's next restart fail, and
%% VintageNet with it; ending the manager would end the interfaces after it. So the process stays where it is,
%% VintageNet's child, and its code changes, as in an upgrade of a release: this module makes a module
%% `VintageNet.RouteManager' of the same functions and loads it.
%%
%% <ul>
%% <li>Whatever VintageNet's supervisor starts, starts ours, from then on: after a crash of the manager, of a process
%% before it, or a restart of VintageNet. A module that is loaded is not loaded again by itself, neither in interactive
%% mode nor in embedded mode. If somebody loads VintageNet's once more, ours is back within a second; calls in that
%% second are VintageNet's, which does not expect the daemon's routes and may end over them.</li>
%% <li>If VintageNet runs already, its manager is suspended, its state taken over (which interfaces there are, with
%% addresses and status), and resumed. It keeps its pid, so no other process notices; calls wait meanwhile. VintageNet's
%% routes leave the kernel when the daemon's are in.</li>
%% <li>If VintageNet starts later, ours is there before.</li>
%% <li>If VintageNet is not there at all, the log says so, and nothing else happens.</li>
%% <li>When this process ends but the system stays, the same goes backwards: the daemon is told to let go of
%% VintageNet's interfaces, and VintageNet's code is loaded and makes its routes. When the system stops, the daemon
%% keeps them.</li>
%% </ul>
%%
%% == What is the same, and what is not ==
%%
%% The calls and their messages are VintageNet's 0.13. A call is answered when the daemon has answered, or at once while
%% it is away, and then VintageNet's property table has been told in VintageNet's order: `["interface", ifname,
%% "connection"]' of an interface that is cleared, `["available_interfaces"]', `["connection"]', and
%% `["interface", ifname, "connection"]' of the others.
%%
%% <ul>
%% <li>While the daemon is there, the properties are the daemon's, with all that others ask of it, and what it has kept
%% from before VintageNet was restarted.</li>
%% <li>While it is away, they follow what VintageNet asks for: the status is known here, and the routes that the daemon
%% left stay. All that was asked is told again when it is back.</li>
%% <li>`route_metric_fun', VintageNet's key, is asked here, on every change and on `refresh_route_metrics', and the
%% daemon is sent its numbers. It may be a function, `{Module, Function, 2}', or `{Module, Function, Args}' with
%% arguments after the interface's. If it fails or gives no metric, the log says so, and the metric stays as it was.
%% VintageNet's own function is the daemon's ranking: no numbers are sent for it.</li>
%% <li>What the daemon refuses is `{error, {badarg, Sentence}}', where VintageNet's manager would end.</li>
%% </ul>
-module(beamroute_vintage_net).

-behaviour(gen_server).

-include_lib("kernel/include/logger.hrl").

-export([child_spec/1, start_link/1, check/1]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).

-export_type([option/0, options/0]).

-type option() :: {link, beamroute_link:link()}.
-type options() :: [option()].

-define(MANAGER, beamroute_vintage_net_manager).
%% How often it is looked whether ours is still the one.
-define(LOOK_MS, 1000).
%% VintageNet's own manager may be in the middle of some commands; ours, of a few requests.
-define(SUSPEND_MS, 5000).
-define(CHANGE_MS, 10000).

-record(keeper, {
    %% What was said last of why it is not ours.
    said = none :: term(),
    %% What was VintageNet's.
    original = none :: beamroute_vintage_net_code:original() | none
}).

%% @doc A child of a supervisor.
-spec child_spec(options()) -> supervisor:child_spec().
child_spec(Options) ->
    %% Letting go may take a while.
    #{id => ?MODULE, start => {?MODULE, start_link, [Options]}, shutdown => 30000}.

%% @doc Makes `VintageNet.RouteManager' the daemon's, until it ends.
-spec start_link(options()) -> {ok, pid()} | {error, beamroute_options:bad_option() | {already_started, pid()}}.
start_link(Options) ->
    case check(Options) of
        {ok, Link} ->
            case gen_server:start_link({local, ?MODULE}, ?MODULE, Link, []) of
                {ok, Pid} -> {ok, Pid};
                {error, {already_started, _} = Reason} -> {error, Reason}
            end;
        {error, _} = Error ->
            Error
    end.

%% @private The link that the options name.
-spec check(term()) -> {ok, beamroute_link:link()} | {error, beamroute_options:bad_option()}.
check([]) -> {ok, beamroute_link};
check([{link, Link}]) when is_atom(Link), Link =/= nil; is_pid(Link) -> {ok, Link};
check(Options) ->
    Why = io_lib:format("vintage_net is [] or [{link, Name}], not ~0tp", [Options]),
    {error, {bad_option, vintage_net, unicode:characters_to_binary(Why)}}.

%% @private
-spec init(beamroute_link:link()) -> {ok, #keeper{}}.
init(Link) ->
    _ = process_flag(trap_exit, true),
    ok = ?MANAGER:use_link(Link),
    {ok, look(#keeper{})}.

%% @private
-spec handle_call(term(), gen_server:from(), #keeper{}) -> {reply, {error, term()}, #keeper{}}.
handle_call(Request, _, Keeper) -> {reply, {error, {unknown_request, Request}}, Keeper}.

%% @private
-spec handle_cast(term(), #keeper{}) -> {noreply, #keeper{}}.
handle_cast(_, Keeper) -> {noreply, Keeper}.

%% @private
-spec handle_info(term(), #keeper{}) -> {noreply, #keeper{}}.
handle_info(look, Keeper) -> {noreply, look(Keeper)};
handle_info(_, Keeper) -> {noreply, Keeper}.

look(Keeper) ->
    _ = erlang:send_after(?LOOK_MS, self(), look),
    case beamroute_vintage_net_code:is_ours() of
        %% Also of a keeper before this one.
        true when Keeper#keeper.original =/= none -> Keeper;
        true -> keep_original(Keeper);
        false -> say(take_over(), keep_original(Keeper))
    end.

%% VintageNet's code as it is now.
keep_original(Keeper) ->
    case beamroute_vintage_net_code:original() of
        {ok, Original} -> Keeper#keeper{original = Original};
        {error, not_there} -> Keeper
    end.

%% Says the same thing once.
say(Said, #keeper{said = Said} = Keeper) ->
    Keeper;
say(Said, Keeper) ->
    case Said of
        ok ->
            ?LOG_INFO("beamroute: VintageNet.RouteManager goes to the daemon");
        {error, not_there} ->
            ?LOG_WARNING("beamroute: vintage_net is set, but there is no VintageNet in the code path: nothing to do");
        {error, {not_known, State}} ->
            ?LOG_ERROR(
                "beamroute: VintageNet.RouteManager is not that of VintageNet 0.13, and goes on by itself: ~0tp", [State]
            );
        {error, Reason} ->
            ?LOG_ERROR("beamroute: VintageNet.RouteManager cannot be taken over, and goes on by itself: ~0tp", [Reason])
    end,
    Keeper#keeper{said = Said}.

take_over() ->
    case code:is_loaded(beamroute_vintage_net_code:name()) =/= false orelse beamroute_vintage_net_code:original() of
        {error, not_there} -> {error, not_there};
        _ -> while_suspended(fun take_over/1)
    end.

take_over(none) ->
    beamroute_vintage_net_code:load_ours();
take_over(Pid) ->
    case sys:get_state(Pid, ?SUSPEND_MS) of
        #{interfaces := Infos, routes := Routes, route_state := _, route_metric_fun := _} when
            is_map(Infos), is_list(Routes)
        ->
            case beamroute_vintage_net_code:load_ours() of
                ok -> change(Pid, take_over);
                {error, _} = Error -> Error
            end;
        State ->
            {error, {not_known, State}}
    end.

%% Asks ours to change the state that it finds.
change(Pid, What) ->
    sys:change_code(Pid, beamroute_vintage_net_code:name(), undefined, {?MANAGER, What}, ?CHANGE_MS).

%% If it runs: what it is asked meanwhile waits.
while_suspended(Fun) ->
    case whereis(beamroute_vintage_net_code:name()) of
        undefined ->
            Fun(none);
        Pid ->
            try sys:suspend(Pid, ?SUSPEND_MS) of
                ok -> suspended(Pid, Fun)
            catch
                %% It has just ended.
                exit:{noproc, _} -> Fun(none);
                exit:{Reason, _} -> not_suspended(Pid, Reason)
            end
    end.

suspended(Pid, Fun) ->
    try
        Fun(Pid)
    catch
        exit:{Reason, _} -> {error, Reason}
    after
        resume(Pid)
    end.

%% It would still heed the request, later.
not_suspended(Pid, Reason) ->
    resume(Pid),
    {error, Reason}.

resume(Pid) ->
    try
        sys:resume(Pid, ?SUSPEND_MS)
    catch
        exit:{_, _} -> ok
    end.

%% @private
-spec terminate(term(), #keeper{}) -> ok.
terminate(_, Keeper) ->
    case init:get_status() of
        {stopping, _} -> ok;
        _ -> give_back(Keeper)
    end.

give_back(#keeper{original = Original}) ->
    case beamroute_vintage_net_code:is_ours() andalso give_back_to(Original) of
        false ->
            ok;
        ok ->
            ?LOG_INFO("beamroute: VintageNet.RouteManager goes on by itself"),
            make_routes();
        {error, Reason} ->
            ?LOG_ERROR("beamroute: VintageNet.RouteManager stays as it is: ~0tp", [Reason])
    end.

give_back_to(none) ->
    {error, not_there};
give_back_to(Original) ->
    while_suspended(fun(Pid) ->
        case Pid =:= none orelse change(Pid, give_back) of
            {error, _} = Error -> Error;
            _ -> beamroute_vintage_net_code:load_original(Original)
        end
    end).

%% VintageNet's code makes routes when it looks at its interfaces.
make_routes() ->
    try whereis(beamroute_vintage_net_code:name()) of
        undefined -> ok;
        Pid -> gen_server:call(Pid, refresh_route_metrics, ?CHANGE_MS)
    catch
        exit:{Reason, _} -> ?LOG_ERROR("beamroute: VintageNet.RouteManager has not made its routes: ~0tp", [Reason])
    end.
