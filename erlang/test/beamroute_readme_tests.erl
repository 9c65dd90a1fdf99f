%% The README's screen "From Erlang", as it stands there.
-module(beamroute_readme_tests).

-include_lib("eunit/include/eunit.hrl").

-define(NODE, 'gw@127.0.0.1').

readme() -> filename:join(root(), "README.md").

root() -> filename:join([filename:dirname(?FILE), "..", ".."]).

from_erlang_test_() ->
    {setup,
        fun() ->
            beamroute_rig:settle(),
            %% As between any two nodes: the same cookie.
            true = erlang:set_cookie(?NODE, client),
            beamroute_rig:start()
        end,
        fun(_) ->
            beamroute_rig:kill_all(),
            _ = erlang:disconnect_node(?NODE),
            beamroute_rig:settle()
        end,
        fun(Daemon) -> {timeout, 60, fun() -> from_erlang(Daemon) end} end}.

from_erlang(Daemon) ->
    [{<<"erlang">>, Files}, {<<"erlang">>, Shell}] = beamroute_shown:blocks(readme(), "From Erlang"),
    [<<"%% rebar.config">>, _, <<"%% the supervisor's module">>, Init] = Files,
    Supervisor = start(Init),
    Steps = beamroute_shown:steps(Shell),
    {Running, _} = lists:foldl(fun step/2, {Daemon, []}, Steps),
    %% A screen that shows next to nothing would pass as well.
    ?assert(length([Code || {say, Code, [_]} <- Steps]) >= 12),
    ?assertEqual(2, length([Text || {world, Text} <- Steps])),
    unlink(Supervisor),
    exit(Supervisor, shutdown),
    beamroute_rig:stop(Running).

%% The supervisor's module is the README's function and what every module has.
start(Init) ->
    Module = readme_supervisor,
    Head = [{attribute, 1, module, Module}, {attribute, 1, export, [{init, 1}]}, {attribute, 1, behaviour, supervisor}],
    {ok, Tokens, _} = erl_scan:string(binary_to_list(Init)),
    {ok, Function} = erl_parse:parse_form(Tokens),
    {ok, Module, Code} = compile:forms(Head ++ [Function], [warnings_as_errors, return_errors]),
    {module, Module} = code:load_binary(Module, "README.md", Code),
    {ok, Supervisor} = supervisor:start_link(Module, []),
    Supervisor.

step({world, Text}, {Daemon, Bindings}) ->
    {beamroute_shown:act(Text, Daemon), Bindings};
step({say, Code, Shown}, {Daemon, Bindings}) ->
    {ok, Tokens, _} = erl_scan:string(binary_to_list(Code)),
    {ok, Expressions} = erl_parse:parse_exprs(Tokens),
    {value, Value, After} = erl_eval:exprs(Expressions, Bindings),
    Output = [unicode:characters_to_binary(io_lib:format("~0tp", [Value]))],
    ?assertEqual({Code, Shown}, {Code, Output}),
    {Daemon, After}.

%% The dependency: a project with that rebar.config takes this application from _checkouts, with no network.
dependency_test_() ->
    {timeout, 60, fun() ->
        [{_, [_, Line | _]} | _] = beamroute_shown:blocks(readme(), "From Erlang"),
        {ok, Tokens, _} = erl_scan:string(binary_to_list(Line)),
        {ok, {deps, [App]}} = erl_parse:parse_term(Tokens),
        {ok, [{application, Name, Keys}]} = file:consult(filename:join(root(), "erlang/src/beamroute.app.src")),
        ?assertEqual(Name, App),
        case os:find_executable("rebar3") of
            false -> io:format(user, "== SKIPPED rebar3 compile with README's rebar.config: not installed~n", []);
            _ -> ?assertEqual(proplists:get_value(vsn, Keys), compiled_by_rebar3(Line))
        end
    end}.

compiled_by_rebar3(Line) ->
    Dir = filename:join(os:getenv("BEAMROUTE_TEST_DIR"), "rebar3_project"),
    ok = filelib:ensure_dir(filename:join(Dir, "src/.")),
    ok = filelib:ensure_dir(filename:join(Dir, "_checkouts/.")),
    ok = file:write_file(filename:join(Dir, "rebar.config"), [Line, $\n]),
    App = {application, shop, [{vsn, "1"}, {applications, [kernel, stdlib, beamroute]}]},
    ok = file:write_file(filename:join(Dir, "src/shop.app.src"), io_lib:format("~p.~n", [App])),
    Client = filename:absname(filename:join(root(), "erlang")),
    ok = file:make_symlink(Client, filename:join(Dir, "_checkouts/beamroute")),
    Output = os:cmd("cd " ++ Dir ++ " && env -u REBAR_BASE_DIR rebar3 compile 2>&1"),
    case filelib:wildcard(filename:join(Dir, "_build/**/beamroute.app")) of
        [File] ->
            {ok, [{application, beamroute, Keys}]} = file:consult(File),
            proplists:get_value(vsn, Keys);
        _ ->
            error({not_compiled, Output})
    end.
