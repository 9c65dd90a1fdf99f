%% Stands in for MuonTrap.Daemon 1.8, which cannot be fetched where the tests run: start_link/3 with the options that are
%% used here, which refuses others and wrong types as MuonTrap does, and ends the program with itself.
-module(muontrap_stand_in).

-export([load/0, unload/0, options/0]).
-export([start_link/3]).

-define(NAME, 'Elixir.MuonTrap.Daemon').

%% It is MuonTrap from here on.
load() ->
    {ok, Forms} = epp:parse_file(?FILE, []),
    Renamed = [rename(Form) || Form <- Forms],
    {ok, ?NAME, Binary} = compile:forms(Renamed, [report]),
    {module, ?NAME} = code:load_binary(?NAME, ?FILE, Binary),
    ok = application:load({application, muontrap, [{description, "stand-in"}, {vsn, "1.8.0-dev"}]}).

rename({attribute, Anno, module, _}) -> {attribute, Anno, module, ?NAME};
rename(Form) -> Form.

unload() ->
    ok = application:unload(muontrap),
    _ = persistent_term:erase(?NAME),
    _ = code:purge(?NAME),
    true = code:delete(?NAME),
    ok.

%% What it was started with last.
options() -> persistent_term:get(?NAME, none).

start_link(Program, Args, Options) ->
    true = is_binary(Program) andalso lists:all(fun is_binary/1, Args),
    [ok = check(Option) || Option <- Options],
    persistent_term:put(?NAME, maps:from_list(Options)),
    Env = [variable(Variable) || Variable <- proplists:get_value(env, Options, [])],
    {ok, spawn_link(fun() -> run([Program | Args], Env, maps:from_list(Options)) end)}.

check({Key, true}) when Key =:= stderr_to_stdout -> ok;
check({log_output, Level}) when Level =:= error; Level =:= warn; Level =:= info; Level =:= debug -> ok;
check({Key, Fun}) when Key =:= logger_fun; Key =:= exit_status_to_reason, is_function(Fun, 1) -> ok;
check({delay_to_sigkill, Ms}) when is_integer(Ms) -> ok;
check({cgroup_base, Path}) when is_binary(Path) -> ok;
check({env, Env}) when is_list(Env) -> ok.

variable({Name, nil}) when is_binary(Name) -> {binary_to_list(Name), false};
variable({Name, Value}) when is_binary(Name), is_binary(Value) -> {binary_to_list(Name), binary_to_list(Value)}.

%% In the place of its program in C: ends the child when the VM lets its input go.
wrapper() ->
    "exec 3<&0; \"$@\" & child=$!; { cat <&3; kill $child; } >/dev/null 2>&1 & watch=$!; "
    "wait $child; status=$?; kill $watch 2>/dev/null; exit $status".

run(Words, Env, Options) ->
    Arguments = [{args, ["-c", wrapper(), "muontrap" | Words]}, {env, Env}],
    Port = open_port({spawn_executable, "/bin/sh"}, [{line, 65536}, binary, exit_status, stderr_to_stdout | Arguments]),
    loop(Port, Options).

loop(Port, #{logger_fun := Log, exit_status_to_reason := Reason} = Options) ->
    receive
        {Port, {data, {eol, Line}}} -> Log(Line), loop(Port, Options);
        {Port, {exit_status, 0}} -> ok;
        {Port, {exit_status, Status}} -> exit(Reason(Status))
    end.
