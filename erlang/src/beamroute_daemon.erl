%% @doc The daemon itself as a child of a supervisor, where nothing else starts it.
%%
%% ```
%%              it says that it is ready
%%   starting --------------------------> running
%%     |  ^                                  |
%%     |  `--------- the wait is over        |
%%     |                   |                 |
%%     `---- it ends ---> waiting <--- it ends
%% '''
%%
%% The supervisor sees none of this: a daemon that ends is started again here, after a wait that doubles up to a limit.
%% So one that cannot start, because a port is taken or a capability is missing, hammers nothing and takes nobody with
%% it. Why it ended, with the line that says so, is logged when it is new, and always in {@link info/1}. A daemon that was
%% killed finds its routes in the kernel and its callers' wishes in its state directory, and takes both over.
%%
%% Its log lines go to Logger, each with its level: see {@link beamroute_daemon_log}. The cookie is handed over in the
%% environment variable BEAMROUTE_COOKIE, which only root and its own user can read, or as the name of a file.
%%
%% It ends when this process does, and when the VM does, also after `kill -9': it sees the end of its standard input
%% (`--exit-with-stdin'), which the kernel closes then. With MuonTrap (1.6 or later) among the applications, MuonTrap
%% starts and ends it instead. With `{stay, true}' it stays, and the next VM goes on with it, if it would start it with
%% the very same command line; what it logs in between is lost. (systemd ends it with the service, unless that has
%% `KillMode=process'.)
%%
%% ```
%% node            the name that its node is to have, such as 'beamroute@127.0.0.1'; required
%% name            the registered name of the process here, beamroute_daemon by default; undefined or nil for none
%% bin             the binary, or {App, Path} for one in an application's priv; by default `beamroute' in our priv,
%%                 then in the PATH
%% state_dir       where it keeps callers' wishes (--state-dir)
%% config          its configuration file (--config)
%% cookie          its cookie; by default this node's
%% cookie_file     a file with its cookie instead (--cookie-file)
%% args            more arguments of `beamroute run'
%% env             more environment variables, [{Name, Value}]; false for Value unsets one. What BEAMROUTE_LOG lets
%%                 through, of the start and the end always info
%% stay            whether it survives this process and the VM, false by default
%% muontrap        false for a port in any case; a list of MuonTrap's options, such as [{cgroup_base, "..."}]
%% stop_timeout    how long it has to end in order before it is killed, 5000 ms by default
%% backoff_initial the first wait before it is started again, 200 ms by default; it doubles, and is jittered
%% backoff_max     the longest wait, 30000 ms by default; after running so long, the first wait is the next again
%% '''
-module(beamroute_daemon).

-behaviour(gen_statem).

-include_lib("kernel/include/logger.hrl").

-export([start_link/1, child_spec/1, stop/1, restart/1, info/0, info/1]).
-export([init/1, callback_mode/0, terminate/3, format_status/1]).
-export([starting/3, running/3, waiting/3]).

-export_type([daemon/0, info/0, start_error/0]).

%% Its registered name, or its pid.
-type daemon() :: atom() | pid().
-type info() :: #{
    node := node(),
    state := state(),
    bin := string(),
    os_pid := pos_integer() | undefined,
    %% Whether it was found running, left by another VM.
    is_adopted := boolean(),
    %% How often it has been started.
    starts := non_neg_integer(),
    %% How it ended last, and the line that says why.
    reason := {beamroute_child:outcome(), LastLine :: binary()} | undefined
}.
-type start_error() :: beamroute_daemon_options:bad_option() | {no_binary, binary()} | {already_started, pid()}.
-type state() :: starting | running | waiting.

-record(data, {
    options :: beamroute_daemon_options:checked(),
    bin :: string(),
    backoff :: beamroute_backoff:backoff(),
    child = none :: beamroute_child:child() | none,
    %% The words by which one is known that is nobody's child any more.
    adopted = none :: [binary()] | none,
    os_pid :: pos_integer() | undefined,
    is_ending = false :: boolean(),
    starts = 0 :: non_neg_integer(),
    last_line = <<>> :: binary(),
    %% Whether that was no line of its log.
    is_plain = false :: boolean(),
    reason :: {beamroute_child:outcome(), binary()} | undefined
}).

%% How often we look at a daemon that is nobody's child.
-define(LOOK_MS, 1000).
-define(CALL_MS, 5000).

%% @doc Starts it. Wrong options are `{error, {bad_option, Key, Why}}'; a binary that is nowhere is
%% `{error, {no_binary, Why}}'. Everything later is tried again.
-spec start_link(beamroute_daemon_options:options() | fun(() -> beamroute_daemon_options:options())) ->
    {ok, pid()} | {error, start_error()}.
start_link(Options) when is_function(Options, 0) ->
    start_link(Options());
start_link(Options) ->
    case beamroute_daemon_options:check(Options) of
        {ok, Checked} ->
            case beamroute_daemon_options:find(Checked) of
                {ok, Bin} -> start_checked(Checked, Bin);
                {error, _} = Error -> Error
            end;
        {error, _} = Error ->
            Error
    end.

start_checked(#{name := undefined} = Options, Bin) ->
    started(gen_statem:start_link(?MODULE, {Options, Bin}, []));
start_checked(#{name := Name} = Options, Bin) ->
    started(gen_statem:start_link({local, Name}, ?MODULE, {Options, Bin}, [])).

started({ok, Pid}) -> {ok, Pid};
started({error, {already_started, _} = Reason}) -> {error, Reason}.

%% @doc A child of a supervisor. Several daemons need several names, and network namespaces or protocol numbers.
-spec child_spec(beamroute_daemon_options:options()) -> supervisor:child_spec().
child_spec(Options) ->
    {Name, Timeout} =
        case beamroute_daemon_options:check(Options) of
            {ok, #{name := Checked, stop_timeout := Ms}} -> {Checked, Ms};
            %% It will say so when it starts.
            {error, _} -> {undefined, 0}
        end,
    %% The supervisor's reports show its children's arguments, and there may be a cookie among ours.
    Hidden = fun() -> Options end,
    #{id => {?MODULE, Name}, start => {?MODULE, start_link, [Hidden]}, shutdown => Timeout + 2000}.

%% @doc Ends it, and the daemon, unless that is to stay. The routes stay, unless it has `--on-exit clear'.
-spec stop(daemon()) -> ok.
stop(Daemon) -> gen_statem:stop(Daemon).

%% @doc Ends the daemon in order, and starts it again: for a new binary at the old place, or one that stayed.
-spec restart(daemon()) -> ok | {error, noproc | timeout}.
restart(Daemon) -> call(Daemon, restart).

%% @doc How the daemon is.
-spec info() -> {ok, info()} | {error, noproc | timeout}.
info() -> info(?MODULE).

%% @doc As {@link info/0}.
-spec info(daemon()) -> {ok, info()} | {error, noproc | timeout}.
info(Daemon) -> call(Daemon, info).

call(Daemon, Request) -> beamroute_server:call(Daemon, Request, ?CALL_MS).

%% @private
-spec callback_mode() -> gen_statem:callback_mode_result().
callback_mode() -> [state_functions, state_enter].

%% @private
-spec init({beamroute_daemon_options:checked(), string()}) -> {ok, starting, #data{}}.
init({#{backoff_initial := Initial, backoff_max := Max} = Options, Bin}) ->
    %% To end the daemon in order, and to outlive MuonTrap.
    _ = process_flag(trap_exit, true),
    {ok, starting, #data{options = Options, bin = Bin, backoff = beamroute_backoff:new(Initial, Max)}}.

%% @private What the options hold is nobody's business: the cookie.
-spec format_status(gen_statem:format_status()) -> gen_statem:format_status().
format_status(#{data := #data{options = Options} = Data} = Status) ->
    Status#{data := Data#data{options = maps:without([cookie, env], Options)}};
format_status(Status) ->
    Status.

%% ---- starting ----

%% @private
-spec starting(gen_statem:event_type() | enter, term(), #data{}) ->
    gen_statem:event_handler_result(state()) | gen_statem:state_enter_result(state()).
starting(enter, _, Data) ->
    %% A state cannot be left from here.
    {keep_state, Data, {state_timeout, 0, start}};
starting(state_timeout, start, #data{options = Options, bin = Bin} = Data) ->
    Command = beamroute_daemon_options:command(Bin, Options),
    case beamroute_stayed:find(Options, Command) of
        {ok, OsPid, Words} -> adopt(OsPid, Words, Data);
        none -> start(Command, Data)
    end;
starting(Type, Content, Data) ->
    alive(Type, Content, starting, Data).

start(Command, Data) ->
    Fresh = Data#data{last_line = <<>>, is_plain = false, starts = Data#data.starts + 1, is_ending = false},
    case beamroute_child:start(Command) of
        {ok, Child} -> {keep_state, Fresh#data{child = Child, os_pid = beamroute_child:os_pid(Child)}};
        {error, Reason} -> ended({cannot_start, Reason}, Fresh)
    end.

adopt(OsPid, Words, #data{options = #{node := Node}} = Data) ->
    ?LOG_INFO("beamroute: the daemon of ~ts has stayed, with pid ~b; its log lines are not seen", [Node, OsPid]),
    {next_state, running, Data#data{adopted = Words, os_pid = OsPid, is_ending = false}}.

%% ---- running ----

%% @private
-spec running(gen_statem:event_type() | enter, term(), #data{}) ->
    gen_statem:event_handler_result(state()) | gen_statem:state_enter_result(state()).
running(enter, _, #data{adopted = [_ | _]}) ->
    {keep_state_and_data, {{timeout, look}, ?LOOK_MS, now}};
running(enter, _, #data{options = #{backoff_max := Max}}) ->
    %% After so much time it is not one that fails at its start, and the wait begins anew.
    {keep_state_and_data, {state_timeout, Max, settled}};
running(state_timeout, settled, #data{options = #{backoff_initial := Initial, backoff_max := Max}} = Data) ->
    {keep_state, Data#data{backoff = beamroute_backoff:new(Initial, Max)}};
running({timeout, look}, now, #data{adopted = [_ | _] = Words, os_pid = OsPid} = Data) ->
    case beamroute_stayed:is_still(OsPid, Words) of
        true -> {keep_state_and_data, {{timeout, look}, ?LOOK_MS, now}};
        false -> ended(gone, Data)
    end;
running(Type, Content, Data) ->
    alive(Type, Content, running, Data).

%% ---- waiting: it has ended, and is started again soon ----

%% @private
-spec waiting(gen_statem:event_type() | enter, term(), #data{}) ->
    gen_statem:event_handler_result(state()) | gen_statem:state_enter_result(state()).
waiting(enter, _, #data{is_ending = true}) ->
    {keep_state_and_data, {state_timeout, 0, start}};
waiting(enter, _, #data{backoff = Backoff} = Data) ->
    {Wait, Next} = beamroute_backoff:next(Backoff),
    {keep_state, Data#data{backoff = Next}, {state_timeout, Wait, start}};
waiting(state_timeout, start, Data) ->
    {next_state, starting, Data};
waiting({call, From}, restart, Data) ->
    {next_state, starting, Data, {reply, From, ok}};
waiting(Type, Content, Data) ->
    always(Type, Content, waiting, Data).

%% ---- in all states ----

alive({call, From}, restart, _, #data{os_pid = undefined}) ->
    %% It is only being started.
    {keep_state_and_data, {reply, From, ok}};
alive({call, From}, restart, _, #data{os_pid = OsPid, options = #{stop_timeout := Timeout}} = Data) ->
    beamroute_child:signal("TERM", OsPid),
    {keep_state, Data#data{is_ending = true}, [{reply, From, ok}, {{timeout, too_slow}, Timeout, OsPid}]};
alive({timeout, too_slow}, OsPid, _, #data{os_pid = OsPid, is_ending = true}) ->
    beamroute_child:signal("KILL", OsPid),
    keep_state_and_data;
alive(info, Message, State, #data{child = Child} = Data) when Child =/= none ->
    case beamroute_child:message(Message, Child) of
        {line, Line, Next} -> said(Line, State, Data#data{child = Next});
        {nothing, Next} -> {keep_state, Data#data{child = Next}};
        {ended, Outcome} -> ended(Outcome, Data);
        unknown -> always(info, Message, State, Data)
    end;
alive(Type, Content, State, Data) ->
    always(Type, Content, State, Data).

said(Line, State, #data{options = #{node := Node}} = Data) ->
    Read = beamroute_daemon_log:read(Line),
    beamroute_daemon_log:tell(Node, Read),
    Told = remember(Read, State, Data),
    case Read of
        %% By MuonTrap, the process that we know of is MuonTrap's.
        #{fields := #{<<"message">> := <<"ready">>, <<"pid">> := OsPid}} when State =:= starting ->
            {next_state, running, Told#data{os_pid = OsPid}};
        _ ->
            {keep_state, Told}
    end.

%% What keeps it from starting is no log line, and log lines that have waited may come after it. Its first line says why,
%% with the next if it ends with a colon; what follows is advice.
remember(#{text := Text, fields := Fields}, State, #data{is_plain = WasPlain, last_line = Last} = Data) ->
    IsPlain = map_size(Fields) =:= 0,
    if
        WasPlain, IsPlain -> Data#data{last_line = continued(Last, Text)};
        WasPlain, State =:= starting -> Data;
        true -> Data#data{last_line = Text, is_plain = IsPlain}
    end.

continued(<<>>, Text) ->
    Text;
continued(Line, Text) ->
    case binary:last(Line) of
        $: -> <<Line/binary, $\s, (string:trim(Text))/binary>>;
        _ -> Line
    end.

ended(Outcome, #data{options = #{node := Node}, last_line = Line} = Data) ->
    Reason = {Outcome, Line},
    case Data of
        #data{is_ending = true} -> ok;
        #data{reason = Reason} -> ok;
        _ -> ?LOG_ERROR("beamroute: the daemon of ~ts has ended, ~ts; starting it again", [Node, why(Reason)])
    end,
    {next_state, waiting, Data#data{child = none, adopted = none, os_pid = undefined, reason = Reason}}.

why({Outcome, <<>>}) -> io_lib:format("~0tp", [Outcome]);
why({Outcome, Line}) -> io_lib:format("~0tp: ~ts", [Outcome, Line]).

always({call, From}, info, State, Data) ->
    {keep_state_and_data, {reply, From, {ok, info(State, Data)}}};
always({call, From}, Request, _, _) ->
    {keep_state_and_data, {reply, From, {error, {unknown_request, Request}}}};
always(info, {'EXIT', Pid, Reason}, _, _) when is_pid(Pid), Reason =/= normal ->
    %% Whoever is linked to us, as without trap_exit.
    {stop, Reason};
always(_, _, _, _) ->
    keep_state_and_data.

info(State, #data{options = #{node := Node}} = Data) ->
    #{
        node => Node,
        state => State,
        bin => Data#data.bin,
        os_pid => Data#data.os_pid,
        is_adopted => Data#data.adopted =/= none,
        starts => Data#data.starts,
        reason => Data#data.reason
    }.

%% @private
-spec terminate(term(), state(), #data{}) -> ok.
terminate(_, _, #data{child = none}) ->
    ok;
terminate(_, _, #data{options = #{stay := true}}) ->
    ok;
terminate(_, _, #data{child = Child, os_pid = OsPid, options = #{node := Node, stop_timeout := Timeout}}) ->
    OnLine = fun(Line) -> beamroute_daemon_log:tell(Node, beamroute_daemon_log:read(Line)) end,
    beamroute_child:stop(Child, {OsPid, Timeout}, OnLine).
