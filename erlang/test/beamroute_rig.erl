%% A real daemon for tests, in the private network namespace that scripts/client makes.
-module(beamroute_rig).

-export([start/0, start/1, start_again/1, kill/1, stop/1, freeze/1, thaw/1, node/1, routes/0, settle/0]).
-export([dir/1, stopped/1, kill_all/0, clean_up/0, eventually/1, flush/0]).
-export([options/1, start_link/1]).

-record(daemon, {owner, pid, node, options, dir}).

%% A daemon with its own state; options are `name', `args', `env' and `is_kept' (the state of the one before).
start() -> start(#{}).

start(Options) ->
    %% Never the machine's own routes.
    os:getenv("BEAMROUTE_TEST_NETNS") =:= "yes" orelse error(these_tests_are_run_by_scripts_client),
    Dir = dir("state"),
    run(Options, Dir).

%% What a link needs for the daemon of start/0, without long waits.
options(More) ->
    maps:merge(
        #{node => 'gw@127.0.0.1', cookie => client, backoff_initial => 20, backoff_max => 100},
        maps:from_list(More)
    ).

%% A link of its own, not the test's.
start_link(More) ->
    {ok, Pid} = beamroute_route_manager:start_link(options(More)),
    unlink(Pid),
    Pid.

%% Whatever a test has started, also when it failed.
clean_up() ->
    _ = [exit(Pid, kill) || Pid <- [whereis(Name) || Name <- [beamroute_link, second]], is_pid(Pid)],
    kill_all(),
    _ = erlang:disconnect_node('gw@127.0.0.1'),
    flush(),
    settle().

%% A name of this VM alone: EUnit's and ExUnit's have one directory.
dir(Prefix) ->
    Name = io_lib:format("~ts-~ts-~b", [Prefix, os:getpid(), erlang:unique_integer([positive])]),
    lists:flatten(filename:join(os:getenv("BEAMROUTE_TEST_DIR"), Name)).

start_again(#daemon{options = Options, dir = Dir}) -> run(Options, Dir).

run(Options, Dir) ->
    Name = maps:get(name, Options, "gw@127.0.0.1"),
    Caller = self(),
    Owner = spawn(fun() -> own(Caller, Name, Dir, Options) end),
    receive
        {Owner, ready, Pid} ->
            #daemon{owner = Owner, pid = Pid, node = list_to_atom(Name), options = Options, dir = Dir};
        {Owner, ended, Log} ->
            error({daemon_does_not_start, Log})
    after 20000 -> error(daemon_is_not_ready)
    end.

own(Caller, Name, Dir, Options) ->
    Args = ["run", "--name", Name, "--state-dir", Dir, "--on-exit", "clear" | maps:get(args, Options, [])],
    Env = [{"BEAMROUTE_COOKIE", "client"}, {"BEAMROUTE_LOG", "info"} | maps:get(env, Options, [])],
    Port = open_port(
        {spawn_executable, os:getenv("BEAMROUTE_BIN")},
        [{args, Args}, {env, Env}, {line, 4096}, exit_status, stderr_to_stdout]
    ),
    {os_pid, Pid} = erlang:port_info(Port, os_pid),
    own(Caller, Port, Pid, [], starting).

own(Caller, Port, Pid, Log, State) ->
    receive
        {Port, {data, {_, Line}}} ->
            IsReady = State =:= starting andalso string:find(Line, " ready ") =/= nomatch,
            IsReady andalso (Caller ! {self(), ready, Pid}),
            own(Caller, Port, Pid, [Line | Log], case IsReady of true -> ready; false -> State end);
        {Port, {exit_status, _}} when State =:= starting ->
            Caller ! {self(), ended, lists:reverse(Log)};
        {Port, {exit_status, Status}} ->
            ended(Status)
    end.

ended(Status) ->
    receive
        {From, await_end} -> From ! {self(), ended, Status}
    end.

kill(Daemon) -> 137 = signal("KILL", Daemon), ok.
stop(Daemon) -> 0 = signal("TERM", Daemon), ok.

%% It has ended by itself.
stopped(Daemon) -> 0 = await_end(Daemon), ok.

signal(Signal, Daemon) ->
    send_signal(Signal, Daemon),
    await_end(Daemon).

await_end(#daemon{owner = Owner}) ->
    Owner ! {self(), await_end},
    receive
        {Owner, ended, Status} -> Status
    after 20000 -> error(daemon_does_not_end)
    end.

freeze(Daemon) -> send_signal("STOP", Daemon).
thaw(Daemon) -> send_signal("CONT", Daemon).

send_signal(Signal, #daemon{pid = Pid}) ->
    [] = os:cmd("kill -" ++ Signal ++ " " ++ integer_to_list(Pid)),
    ok.

node(#daemon{node = Node}) -> Node.

%% What the kernel has of the daemon's.
routes() -> os:cmd("ip route show proto 110; ip rule show | grep 'proto 110'").

%% Ends those daemons that are left of a test that failed.
kill_all() ->
    Pids = [Pid || Port <- erlang:ports(), {os_pid, Pid} <- [erlang:port_info(Port, os_pid)], is_daemon(Port)],
    lists:foreach(fun(Pid) -> os:cmd("kill -9 " ++ integer_to_list(Pid)) end, Pids).

is_daemon(Port) -> erlang:port_info(Port, name) =:= {name, os:getenv("BEAMROUTE_BIN")}.

%% Deletes what a killed daemon may have left.
settle() ->
    _ = os:cmd("ip route flush proto 110; ip route flush table all proto 110"),
    _ = os:cmd("while ip rule del proto 110; do :; done"),
    %% And what links, which are killed as well.
    _ = [beamroute_keeper:forget(Name) || Name <- [beamroute_link, second]],
    ok.

%% For what the world does in its own time, such as a daemon that starts again.
eventually(Holds) -> eventually(Holds, 2000).

eventually(_, 0) -> error(never);
eventually(Holds, Tries) ->
    Holds() orelse begin timer:sleep(10), eventually(Holds, Tries - 1) end.

flush() ->
    receive
        Message -> [Message | flush()]
    after 0 -> []
    end.
