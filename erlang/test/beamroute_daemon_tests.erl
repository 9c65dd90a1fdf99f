%% The daemon as our child: real processes that end, and VMs that are killed.
-module(beamroute_daemon_tests).

-include_lib("eunit/include/eunit.hrl").

-define(RM, beamroute_route_manager).
-define(NODE, 'gw@127.0.0.1').

%% A handler of Logger that tells the test, and a supervisor.
-export([log/2, init/1]).

daemon_test_() ->
    Tests = [
        fun it_starts_and_its_log_is_told/0,
        fun in_one_tree_with_the_link/0,
        fun on_a_device_without_distribution/0,
        fun a_supervisor_ends_it_in_order/0,
        fun killed_it_comes_back_and_no_route_moves/0,
        fun what_cannot_start_waits_and_says_why/0,
        fun a_missing_capability_is_told/0,
        fun wrong_arguments_are_told/0,
        fun a_quiet_one_is_running_too/0,
        fun an_unknown_request/0,
        fun a_restart_that_was_asked_for/0,
        fun it_ends_with_the_vm/0,
        fun it_ends_with_a_vm_that_is_killed/0,
        fun it_stays_and_the_next_vm_goes_on_with_it/0,
        fun one_that_stays_is_ended_by_a_restart_only/0,
        fun the_cookie_is_no_argument/0,
        fun the_cookie_is_in_no_report/0,
        fun the_cookie_of_a_vm_without_distribution/0,
        fun a_cookie_in_a_file/0,
        fun by_muontrap/0
    ],
    [{setup, fun setup/0, fun cleanup/1, {timeout, 120, {atom_to_list(name(T)), heard(T)}}} || T <- Tests].

%% A test is a process of its own.
heard(Test) ->
    fun() ->
        ok = logger:add_handler(?MODULE, ?MODULE, #{config => self(), level => all}),
        Test()
    end.

name(Fun) -> element(2, erlang:fun_info(Fun, name)).

setup() ->
    beamroute_rig:settle(),
    #{level := Level} = logger:get_primary_config(),
    ok = logger:set_handler_config(default, level, critical),
    ok = logger:set_primary_config(level, debug),
    Level.

%% Whatever a test has started, also when it failed.
cleanup(Level) ->
    ok = logger:set_primary_config(level, Level),
    _ = logger:remove_handler(?MODULE),
    ok = logger:set_handler_config(default, level, all),
    Names = [beamroute_daemon, beamroute_link],
    _ = [exit(Pid, kill) || Pid <- [whereis(Name) || Name <- Names], is_pid(Pid)],
    beamroute_rig:kill_all(),
    %% Those that nobody's port is.
    _ = [os:cmd("kill -9 " ++ integer_to_list(Pid)) || Pid <- daemons()],
    _ = erlang:disconnect_node(?NODE),
    beamroute_rig:flush(),
    beamroute_rig:settle().

init(Children) -> {ok, {#{}, Children}}.

log(Event, #{config := Test}) -> Test ! {logged, Event}.

%% All daemons of this namespace of processes, which is the tests' own.
daemons() ->
    [Pid || Name <- filelib:wildcard("[0-9]*", "/proc"), Pid <- [list_to_integer(Name)], is_daemon(Pid)].

is_daemon(Pid) ->
    case words(Pid) of
        [Bin | _] -> Bin =:= list_to_binary(os:getenv("BEAMROUTE_BIN"));
        [] -> false
    end.

words(Pid) ->
    case file:read_file("/proc/" ++ integer_to_list(Pid) ++ "/cmdline") of
        {ok, Line} -> binary:split(Line, <<0>>, [global, trim]);
        {error, _} -> []
    end.

options() -> options([]).

options(More) ->
    Dir = os:getenv("BEAMROUTE_TEST_DIR") ++ "/daemon" ++ integer_to_list(erlang:unique_integer([positive])),
    Default = #{
        node => ?NODE,
        bin => os:getenv("BEAMROUTE_BIN"),
        state_dir => Dir,
        cookie => client,
        backoff_initial => 20,
        backoff_max => 200
    },
    maps:merge(Default, maps:from_list(More)).

start(Options) ->
    {ok, Pid} = beamroute_daemon:start_link(Options),
    unlink(Pid),
    running(0),
    Pid.

running() -> running(1).

running(Starts) ->
    beamroute_rig:eventually(fun() ->
        {ok, #{state := State, starts := Count}} = beamroute_daemon:info(),
        State =:= running andalso Count >= Starts
    end).

os_pid() ->
    {ok, #{os_pid := Pid}} = beamroute_daemon:info(),
    Pid.

link_to_it() ->
    {ok, Link} = ?RM:start_link([{node, ?NODE}, {cookie, client}, {backoff_initial, 20}, {backoff_max, 100}]),
    unlink(Link),
    ok = ?RM:await_connected([{timeout, 20000}]).

%% The first such event, whatever else is logged.
await_log(Level, Text) ->
    receive
        {logged, #{level := Level, msg := {Format, Args}} = Event} when is_list(Format) ->
            case string:find(lists:flatten(io_lib:format(Format, Args)), Text) of
                nomatch -> await_log(Level, Text);
                _ -> Event
            end;
        {logged, _} ->
            await_log(Level, Text)
    after 20000 -> error({not_logged, Level, Text})
    end.

it_starts_and_its_log_is_told() ->
    Pid = start(options([{env, [{"BEAMROUTE_NONSENSE", "1"}, {<<"BEAMROUTE_LOG">>, <<"debug">>}]}, {args, ["--admin=all"]}])),
    await_log(warning, "gw@127.0.0.1: the environment variable BEAMROUTE_NONSENSE means nothing to beamroute"),
    await_log(debug, "gw@127.0.0.1: started creation="),
    OsPid = os_pid(),
    #{meta := Meta} = await_log(info, "gw@127.0.0.1: ready epmd=registered listening=127.0.0.1 node=gw@127.0.0.1 pid="),
    ?assertMatch(
        #{domain := [beamroute, daemon], beamroute := #{<<"pid">> := OsPid, <<"daemon">> := ?NODE}}, Meta
    ),
    link_to_it(),
    %% A daemon that ends by itself is started again, too.
    ok = ?RM:stop_daemon(),
    running(2),
    ?assertMatch({ok, #{reason := {{exit_status, 0}, _}}}, beamroute_daemon:info()),
    ok = beamroute_daemon:stop(Pid),
    ?assertEqual({error, noproc}, beamroute_daemon:info()),
    ?assertEqual([], daemons()).

%% The two in one supervisor, the link first, and nothing else: no restart is needed.
in_one_tree_with_the_link() ->
    LinkOptions = [{node, ?NODE}, {cookie, client}, {backoff_initial, 20}, {backoff_max, 100}],
    Children = [?RM:child_spec(LinkOptions), beamroute_daemon:child_spec(options())],
    {ok, Tree} = supervisor:start_link(?MODULE, Children),
    unlink(Tree),
    ok = ?RM:set_route(eth0, [{"192.168.1.50", 24}], "192.168.1.1"),
    ok = ?RM:await_connected([{timeout, 20000}]),
    ?assertMatch({ok, #{interfaces := #{<<"eth0">> := #{install := installed}}}}, ?RM:status()),
    Before = [{Id, Pid} || {Id, Pid, _, _} <- supervisor:which_children(Tree)],
    [] = os:cmd("kill -9 " ++ integer_to_list(os_pid())),
    running(2),
    ok = ?RM:await_connected([{timeout, 20000}]),
    ?assertEqual(Before, [{Id, Pid} || {Id, Pid, _, _} <- supervisor:which_children(Tree)]),
    Monitor = erlang:monitor(process, Tree),
    exit(Tree, shutdown),
    receive {'DOWN', Monitor, process, Tree, _} -> ok end,
    ?assertEqual([], daemons()).

%% No name, no epmd: the link starts distribution with the epmd within the daemon, and both have the cookie of the VM.
on_a_device_without_distribution() ->
    Vm = vm(["-setcookie", "device", "-start_epmd", "false"], [{"ERL_EPMD_PORT", "24370"}]),
    Link = [{node, ?NODE}, {distribution, [{name, device}]}, {backoff_initial, 20}, {backoff_max, 100}],
    Children = [beamroute_daemon:child_spec(maps:remove(cookie, options())), ?RM:child_spec(Link)],
    Start = fun() ->
        {ok, Tree} = supervisor:start_link(?MODULE, Children),
        unlink(Tree)
    end,
    true = peer:call(Vm, erlang, apply, [Start, []]),
    ok = peer:call(Vm, ?RM, await_connected, [[{timeout, 20000}]]),
    ?assertEqual('device@127.0.0.1', peer:call(Vm, erlang, node, [])),
    ok = peer:call(Vm, ?RM, set_route, [eth0, [{"192.168.1.50", 24}], "192.168.1.1"]),
    ?assertNotEqual(nomatch, string:find(beamroute_rig:routes(), "default via 192.168.1.1 dev eth0")),
    %% With the daemon, the epmd of this node goes as well.
    {ok, #{os_pid := OsPid}} = peer:call(Vm, beamroute_daemon, info, []),
    [] = os:cmd("kill -9 " ++ integer_to_list(OsPid)),
    beamroute_rig:eventually(fun() ->
        {ok, #{starts := Starts, state := State}} = peer:call(Vm, beamroute_daemon, info, []),
        {Starts, State} =:= {2, running}
    end),
    beamroute_rig:eventually(fun() -> element(1, peer:call(Vm, ?RM, status, [])) =:= ok end),
    {ok, #{interfaces := #{<<"eth0">> := #{install := installed}}}} = peer:call(Vm, ?RM, status, []),
    peer:stop(Vm),
    beamroute_rig:eventually(fun() -> daemons() =:= [] end).

a_supervisor_ends_it_in_order() ->
    {ok, Tree} = supervisor:start_link(?MODULE, [beamroute_daemon:child_spec(options([{args, ["--on-exit=clear"]}]))]),
    unlink(Tree),
    running(),
    link_to_it(),
    ok = ?RM:set_route(eth0, [{"192.168.1.50", 24}], "192.168.1.1"),
    ?assertNotEqual("", beamroute_rig:routes()),
    ok = supervisor:terminate_child(Tree, {beamroute_daemon, beamroute_daemon}),
    await_log(info, "gw@127.0.0.1: stopping signal=SIGTERM"),
    ?assertEqual("", beamroute_rig:routes()),
    ?assertEqual([], daemons()),
    exit(Tree, kill).

killed_it_comes_back_and_no_route_moves() ->
    Pid = start(options()),
    link_to_it(),
    ok = ?RM:set_route(eth0, [{"192.168.1.50", 24}], "192.168.1.1"),
    ok = ?RM:set_connection_status(eth0, internet),
    Routes = beamroute_rig:routes(),
    ?assertNotEqual(nomatch, string:find(Routes, "default via 192.168.1.1 dev eth0")),
    Watch = open_port({spawn, "ip -4 monitor route rule 2>/dev/null"}, [{line, 4096}]),
    {os_pid, WatchPid} = erlang:port_info(Watch, os_pid),
    %% It is looking when it shows what we do.
    Marks = fun(Metric) ->
        Route = "203.0.113.0/24 dev wlan0 metric " ++ Metric,
        "" = os:cmd("ip route add " ++ Route ++ "; ip route del " ++ Route)
    end,
    beamroute_rig:eventually(fun() ->
        Marks("1"),
        receive {Watch, {data, _}} -> true after 50 -> false end
    end),
    [begin
        [] = os:cmd("kill -9 " ++ integer_to_list(os_pid())),
        await_log(error, "the daemon of gw@127.0.0.1 has ended, {exit_status,137}"),
        running(Starts),
        ok = ?RM:await_connected([{timeout, 20000}])
     end || Starts <- [2, 3]],
    ?assertMatch({ok, #{interfaces := #{<<"eth0">> := #{install := installed, status := internet}}}}, ?RM:status()),
    %% What it shows last is ours: all that came before has been seen.
    Marks("2"),
    Others = [Line || Line <- seen(Watch, "metric 2"), string:find(Line, "203.0.113.0/24") =:= nomatch],
    ?assertEqual([], Others),
    ?assertEqual(Routes, beamroute_rig:routes()),
    [] = os:cmd("kill " ++ integer_to_list(WatchPid)),
    beamroute_daemon:stop(Pid).

%% The lines before the one with this text.
seen(Watch, Text) ->
    receive
        {Watch, {data, {eol, Line}}} ->
            case string:find(Line, Text) of
                nomatch -> [Line | seen(Watch, Text)];
                _ -> []
            end
    after 20000 -> error({not_seen, Text})
    end.

what_cannot_start_waits_and_says_why() ->
    {ok, Socket} = gen_tcp:listen(0, [{ip, {127, 0, 0, 1}}]),
    {ok, Port} = inet:port(Socket),
    {ok, Pid} = beamroute_daemon:start_link(options([{args, ["--port", integer_to_list(Port)]}])),
    unlink(Pid),
    #{msg := {Format, Args}} = await_log(error, "the daemon of gw@127.0.0.1 has ended, {exit_status,1}: beamroute: "),
    ?assertNotEqual(nomatch, string:find(io_lib:format(Format, Args), "in use")),
    beamroute_rig:eventually(fun() -> {ok, #{starts := Starts}} = beamroute_daemon:info(), Starts >= 4 end),
    {ok, #{reason := {{exit_status, 1}, Line}}} = beamroute_daemon:info(),
    ?assertNotEqual(nomatch, string:find(Line, integer_to_list(Port))),
    %% Said once, though it has ended often.
    ?assertEqual([], [E || {logged, #{level := error, msg := {"beamroute: " ++ _, _}} = E} <- beamroute_rig:flush()]),
    ok = gen_tcp:close(Socket),
    running(),
    ?assertEqual(Pid, whereis(beamroute_daemon)),
    beamroute_daemon:stop(Pid).

a_missing_capability_is_told() ->
    Program = os:getenv("BEAMROUTE_TEST_DIR") ++ "/without-net-admin",
    Script = ["#!/bin/sh\nexec setpriv --bounding-set -net_admin --inh-caps -net_admin ", os:getenv("BEAMROUTE_BIN"), " \"$@\"\n"],
    ok = file:write_file(Program, Script),
    ok = file:change_mode(Program, 8#755),
    {ok, Pid} = beamroute_daemon:start_link(options([{bin, Program}, {stop_timeout, 100}])),
    unlink(Pid),
    await_log(error, "the daemon of gw@127.0.0.1 has ended, {exit_status,4}: beamroute: "),
    {ok, #{reason := {{exit_status, 4}, Line}}} = beamroute_daemon:info(),
    ?assertMatch({match, _}, re:run(Line, "CAP_NET_ADMIN")),
    beamroute_daemon:stop(Pid).

%% The line that says why, and not the advice after it.
wrong_arguments_are_told() ->
    %% A sentence of two lines, which no arguments that are let through have made yet.
    Two = os:getenv("BEAMROUTE_TEST_DIR") ++ "/two-lines",
    ok = file:write_file(Two, "#!/bin/sh\nprintf 'error: not given:\\n  <NODE>\\n\\nUsage: beamroute\\n'; exit 2\n"),
    ok = file:change_mode(Two, 8#755),
    Cases = [
        {{args, ["--bogus"]}, <<"error: unexpected argument '--bogus' found">>},
        {{args, ["--port"]}, <<"error: a value is required for '--port <N>' but none was supplied">>},
        {{bin, Two}, <<"error: not given: <NODE>">>}
    ],
    [begin
        {ok, Pid} = beamroute_daemon:start_link(options([Option])),
        unlink(Pid),
        await_log(error, "the daemon of gw@127.0.0.1 has ended, {exit_status,2}: " ++ binary_to_list(Line) ++ ";"),
        ?assertMatch({ok, #{reason := {{exit_status, 2}, Line}}}, beamroute_daemon:info()),
        beamroute_daemon:stop(Pid)
     end || {Option, Line} <- Cases].

%% Its filter lets no line of level info through, and the VM's environment says the same.
a_quiet_one_is_running_too() ->
    [{ok, _} = {ok, quiet(Env, Inherited)} || {Env, Inherited} <- [{[{"BEAMROUTE_LOG", "warn"}], ""}, {[], "off"}]].

quiet(Env, Inherited) ->
    true = os:putenv("BEAMROUTE_LOG", Inherited),
    try
        Pid = start(options([{env, Env}])),
        settled(Pid),
        %% Some that end soon make the next wait longer, until it has run for long.
        [begin
            [] = os:cmd("kill -9 " ++ integer_to_list(os_pid())),
            running(Starts)
         end || Starts <- [2, 3]],
        settled(Pid),
        beamroute_daemon:stop(Pid)
    after
        os:unsetenv("BEAMROUTE_LOG")
    end.

%% The next wait is the first.
settled(Pid) ->
    First = beamroute_backoff:new(20, 200),
    beamroute_rig:eventually(fun() -> lists:member(First, tuple_to_list(element(2, sys:get_state(Pid)))) end).

an_unknown_request() ->
    Pid = start(options()),
    ?assertEqual({error, {unknown_request, what}}, gen_statem:call(Pid, what, 5000)),
    beamroute_daemon:stop(Pid).

a_restart_that_was_asked_for() ->
    Pid = start(options()),
    First = os_pid(),
    ok = beamroute_daemon:restart(Pid),
    running(2),
    ?assertNotEqual(First, os_pid()),
    ?assertEqual([os_pid()], daemons()),
    %% It is no fault.
    ?assertEqual([], [E || {logged, #{level := error} = E} <- beamroute_rig:flush()]),
    beamroute_daemon:stop(Pid).

%% ---- VMs that end ----

vm() -> vm([]).

vm(Args) -> vm(Args, []).

vm(Args, Env) ->
    Path = filename:dirname(code:which(beamroute_daemon)),
    {ok, Vm, _} = peer:start(#{
        connection => standard_io, args => ["-pa", Path, "-kernel", "logger_level", "critical" | Args], env => Env
    }),
    Vm.

start_in(Vm, Options) ->
    Start = fun() ->
        {ok, Pid} = beamroute_daemon:start_link(Options),
        unlink(Pid),
        ok
    end,
    %% The module of this fun is in the path of the tests, and so in that of the VM.
    ok = peer:call(Vm, erlang, apply, [Start, []]),
    beamroute_rig:eventually(fun() ->
        {ok, #{state := State}} = peer:call(Vm, beamroute_daemon, info, []),
        State =:= running
    end),
    {ok, #{os_pid := OsPid} = Info} = peer:call(Vm, beamroute_daemon, info, []),
    ?assert(lists:member(OsPid, daemons())),
    Info.

kill(Vm) ->
    OsPid = peer:call(Vm, os, getpid, []),
    Monitor = erlang:monitor(process, Vm),
    unlink(Vm),
    [] = os:cmd("kill -9 " ++ OsPid),
    receive {'DOWN', Monitor, process, Vm, _} -> ok end,
    beamroute_rig:eventually(fun() -> words(list_to_integer(OsPid)) =:= [] end).

it_ends_with_the_vm() ->
    Vm = vm(),
    start_in(Vm, options()),
    peer:stop(Vm),
    beamroute_rig:eventually(fun() -> daemons() =:= [] end).

it_ends_with_a_vm_that_is_killed() ->
    Vm = vm(),
    start_in(Vm, options([{args, ["--on-exit", "clear"]}])),
    link_to_it(),
    ok = ?RM:set_route(eth0, [{"192.168.1.50", 24}], "192.168.1.1"),
    kill(Vm),
    beamroute_rig:eventually(fun() -> daemons() =:= [] end),
    %% In order, as it was asked to end.
    ?assertEqual("", beamroute_rig:routes()).

it_stays_and_the_next_vm_goes_on_with_it() ->
    Options = options([{stay, true}]),
    Vm = vm(),
    #{os_pid := OsPid, is_adopted := false} = start_in(Vm, Options),
    link_to_it(),
    kill(Vm),
    %% It serves on, though nobody reads its log any more, in which connections are told.
    true = erlang:disconnect_node(?NODE),
    ok = ?RM:await_connected([{timeout, 20000}]),
    [ok = ?RM:set_route(eth0, [{"192.168.1.50", 24}], "192.168.1." ++ N) || N <- ["1", "2"]],
    ?assertEqual([OsPid], daemons()),
    Next = vm(),
    ?assertMatch(#{os_pid := OsPid, is_adopted := true, starts := 0}, start_in(Next, Options)),
    %% And starts it again when it ends.
    [] = os:cmd("kill -9 " ++ integer_to_list(OsPid)),
    Info = fun() -> {ok, Map} = peer:call(Next, beamroute_daemon, info, []), Map end,
    beamroute_rig:eventually(fun() -> maps:with([state, starts], Info()) =:= #{state => running, starts => 1} end),
    ?assertMatch(#{is_adopted := false}, Info()),
    ok = ?RM:await_connected([{timeout, 20000}]),
    ?assertNotEqual(nomatch, string:find(beamroute_rig:routes(), "default via 192.168.1.2 dev eth0")),
    peer:stop(Next),
    ?assertMatch([_], daemons()).

one_that_stays_is_ended_by_a_restart_only() ->
    Options = options([{stay, true}]),
    First = start(Options),
    OsPid = os_pid(),
    ok = beamroute_daemon:stop(First),
    Second = start(Options#{backoff_max => 201}),
    ?assertMatch({ok, #{is_adopted := true, os_pid := OsPid}}, beamroute_daemon:info()),
    ok = beamroute_daemon:restart(Second),
    running(1),
    ?assertNotEqual(OsPid, os_pid()),
    ?assertEqual([os_pid()], daemons()),
    beamroute_daemon:stop(Second),
    %% With other words it is another one, and who is in its way is said.
    {ok, Third} = beamroute_daemon:start_link(Options#{args => ["--admin", "all"]}),
    unlink(Third),
    await_log(error, "a beamroute with pid " ++ integer_to_list(hd(daemons())) ++ " already manages routes"),
    beamroute_daemon:stop(Third).

%% ---- the cookie ----

the_cookie_is_no_argument() ->
    Pid = start(options([{cookie, 'Very Secret'}])),
    ?assertEqual(nomatch, re:run(lists:join($\s, words(os_pid())), "Secret")),
    {error, _} = catch_connect(wrong),
    ok = catch_connect('Very Secret'),
    ?assertEqual(nomatch, string:find(io_lib:format("~p", [sys:get_status(Pid)]), "Secret")),
    beamroute_daemon:stop(Pid).

%% A supervisor reports what it starts, and shows the arguments.
the_cookie_is_in_no_report() ->
    Spec = beamroute_daemon:child_spec(options([{cookie, 'Very Secret'}, {bin, "/no/such"}])),
    _ = process_flag(trap_exit, true),
    ?assertMatch({error, _}, supervisor:start_link(?MODULE, [Spec])),
    Event = await_report(),
    ?assertEqual(nomatch, string:find(io_lib:format("~p", [Event]), "Secret")),
    ?assertEqual(nomatch, string:find(io_lib:format("~p", [beamroute_rig:flush()]), "Secret")).

await_report() ->
    receive
        {logged, #{msg := {report, #{label := {supervisor, start_error}}}} = Event} -> Event;
        {logged, _} -> await_report()
    after 20000 -> error(no_report)
    end.

catch_connect(Cookie) ->
    erlang:set_cookie(?NODE, Cookie),
    case net_kernel:connect_node(?NODE) of
        true -> ok;
        false -> {error, refused}
    end.

the_cookie_of_a_vm_without_distribution() ->
    Vm = vm(["-setcookie", "given"]),
    start_in(Vm, maps:remove(cookie, options())),
    ok = catch_connect(given),
    peer:stop(Vm).

a_cookie_in_a_file() ->
    File = os:getenv("BEAMROUTE_TEST_DIR") ++ "/a-cookie",
    ok = file:write_file(File, "filed"),
    ok = file:change_mode(File, 8#600),
    %% The environment has another, which would count without the file.
    Pid = start((maps:remove(cookie, options()))#{cookie_file => File}),
    ok = catch_connect(filed),
    beamroute_daemon:stop(Pid).

%% ---- MuonTrap ----

by_muontrap() ->
    muontrap_stand_in:load(),
    try
        Pid = start(options([{muontrap, [{cgroup_base, <<"routes">>}]}])),
        ?assertMatch(#{cgroup_base := <<"routes">>, delay_to_sigkill := 5000}, muontrap_stand_in:options()),
        ?assertNot(lists:member(<<"--exit-with-stdin">>, words(os_pid()))),
        await_log(info, "gw@127.0.0.1: ready epmd=registered"),
        ?assertEqual([os_pid()], daemons()),
        link_to_it(),
        [] = os:cmd("kill -9 " ++ integer_to_list(os_pid())),
        await_log(error, "the daemon of gw@127.0.0.1 has ended, {exit_status,137}"),
        running(2),
        ok = ?RM:await_connected([{timeout, 20000}]),
        beamroute_daemon:stop(Pid),
        beamroute_rig:eventually(fun() -> daemons() =:= [] end),
        %% Who stays cannot be MuonTrap's.
        ok = persistent_term:put('Elixir.MuonTrap.Daemon', unused),
        Staying = start(options([{stay, true}])),
        ?assertEqual(unused, muontrap_stand_in:options()),
        beamroute_daemon:stop(Staying)
    after
        muontrap_stand_in:unload()
    end.
