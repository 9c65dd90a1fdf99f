%% @doc The module `VintageNet.RouteManager', VintageNet's or ours: whose it is, and how it becomes the other's.
%%
%% Ours is made when it is loaded, since a release refuses two applications with one module. It does nothing but call
%% {@link beamroute_vintage_net_manager}.
-module(beamroute_vintage_net_code).

-export([name/0, is_ours/0, original/0, load_ours/0, load_original/1]).

-export_type([original/0, error/0]).

-type original() :: {file:filename(), binary()}.
-type error() :: not_there | old_code_is_in_use | term().

-define(NAME, 'Elixir.VintageNet.RouteManager').
-define(MANAGER, beamroute_vintage_net_manager).

%% @doc The module, which is the name of the process as well.
-spec name() -> module().
name() -> ?NAME.

%% @doc Whether ours is the one that runs.
-spec is_ours() -> boolean().
is_ours() ->
    Module = name(),
    code:is_loaded(Module) =/= false andalso lists:keymember(?MANAGER, 1, Module:module_info(attributes)).

%% @doc VintageNet's, as it is in the code path.
-spec original() -> {ok, original()} | {error, not_there}.
original() ->
    case code:get_object_code(?NAME) of
        {_, Binary, File} -> {ok, {File, Binary}};
        error -> {error, not_there}
    end.

%% @doc Makes the module ours.
-spec load_ours() -> ok | {error, error()}.
load_ours() ->
    Compiler = compiler(),
    try Compiler:forms(forms(), [binary]) of
        {ok, ?NAME, Binary} -> load("beamroute", Binary)
    catch
        error:undef -> {error, no_compiler}
    end.

%% An application of OTP that not every release has; those with Elixir do.
compiler() -> compile.

%% @doc Makes it VintageNet's.
-spec load_original(original()) -> ok | {error, error()}.
load_original({File, Binary}) -> load(File, Binary).

load(File, Binary) -> load(File, Binary, 20).

load(_, _, 0) ->
    {error, old_code_is_in_use};
load(File, Binary, Tries) ->
    %% Softly: nobody is killed who is still in the code before the last.
    case code:soft_purge(?NAME) of
        true ->
            case code:load_binary(?NAME, File, Binary) of
                {module, _} -> ok;
                {error, Reason} -> {error, Reason}
            end;
        false ->
            timer:sleep(50),
            load(File, Binary, Tries - 1)
    end.

forms() ->
    Functions = [
        {child_spec, 1}, {start_link, 1}, {stop, 0},
        {set_route, 3}, {set_route, 4}, {set_connection_status, 2}, {set_connection_status, 3},
        {clear_route, 1}, {refresh_route_metrics, 0},
        {init, 1}, {handle_call, 3}, {handle_cast, 2}, {handle_info, 2}, {terminate, 2}, {code_change, 3}
    ],
    Attributes = [{attribute, 1, module, ?NAME}, {attribute, 1, ?MANAGER, true}, {attribute, 1, export, Functions}],
    Attributes ++ [function(Name, Arity) || {Name, Arity} <- Functions] ++ [{eof, 1}].

function(Name, Arity) ->
    Args = [{var, 1, list_to_atom("A" ++ integer_to_list(N))} || N <- lists:seq(1, Arity)],
    Call = {call, 1, {remote, 1, {atom, 1, ?MANAGER}, {atom, 1, Name}}, Args},
    {function, 1, Name, Arity, [{clause, 1, Args, [], [Call]}]}.
