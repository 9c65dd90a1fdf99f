%% @doc An operating system's process as a child of an Erlang process: by a port, or by MuonTrap.
%%
%% The Erlang process that starts it must trap exits, and gives every message that it does not know to {@link message/2}.
-module(beamroute_child).

-export([start/1, message/2, os_pid/1, signal/2, stop/3, let_go/1, has_muontrap/0]).

-export_type([child/0, command/0, outcome/0]).

-record(port, {port :: port(), os_pid :: pos_integer() | undefined, begun = [] :: [binary()], size = 0 :: non_neg_integer()}).
-record(muontrap, {server :: pid(), tag :: reference()}).

-opaque child() :: #port{} | #muontrap{}.
-type command() :: #{
    bin := string(),
    args := [string()],
    env := [{string(), string() | false}],
    with := port | {muontrap, Options :: [{atom(), term()}]}
}.
-type outcome() :: {exit_status, non_neg_integer()} | term().

-define(MUONTRAP, 'Elixir.MuonTrap.Daemon').
%% The first that hands over each line, whatever its level (its change log: `logger_fun').
-define(FIRST_MUONTRAP, [1, 6, 0]).
%% Longer lines lose their end.
-define(MAX_LINE_BYTES, 65536).

%% @doc Whether there is a MuonTrap that can be used.
-spec has_muontrap() -> boolean().
has_muontrap() ->
    _ = application:load(muontrap),
    case {code:ensure_loaded(?MUONTRAP), application:get_key(muontrap, vsn)} of
        {{module, _}, {ok, Version}} -> version(Version) >= ?FIRST_MUONTRAP;
        _ -> false
    end.

version(Text) ->
    [Numbers | _] = string:split(Text, "-"),
    [Number || Part <- string:lexemes(Numbers, "."), {Number, _} <- [string:to_integer(Part)], is_integer(Number)].

%% @doc Starts it.
-spec start(command()) -> {ok, child()} | {error, term()}.
start(#{bin := Bin, args := Args, env := Env, with := port}) ->
    Options = [{args, Args}, {env, Env}, {line, 4096}, exit_status, stderr_to_stdout, binary, hide],
    try open_port({spawn_executable, Bin}, Options) of
        Port ->
            case erlang:port_info(Port, os_pid) of
                {os_pid, Pid} -> {ok, #port{port = Port, os_pid = Pid}};
                undefined -> {ok, #port{port = Port}}
            end
    catch
        error:Reason -> {error, Reason}
    end;
start(#{bin := Bin, args := Args, env := Env, with := {muontrap, Options}}) ->
    {Owner, Tag} = {self(), make_ref()},
    Ours = [
        {stderr_to_stdout, true},
        {log_output, info},
        {logger_fun, fun(Line) -> Owner ! {Tag, line, Line}, ok end},
        {exit_status_to_reason, fun(Status) -> {exit_status, Status} end},
        {env, [{unicode:characters_to_binary(Name), env_value(Value)} || {Name, Value} <- Env]}
    ],
    Words = [unicode:characters_to_binary(Arg) || Arg <- Args],
    %% By its name alone: it is not there when this is compiled and checked.
    case erlang:apply(?MUONTRAP, start_link, [unicode:characters_to_binary(Bin), Words, Ours ++ Options]) of
        {ok, Server} -> {ok, #muontrap{server = Server, tag = Tag}};
        {error, Reason} -> {error, Reason}
    end.

env_value(false) -> nil;
env_value(Value) -> unicode:characters_to_binary(Value).

%% @doc What a message says of the child: a line of its output, its end, nothing new, or that it is not about the child.
-spec message(term(), child()) -> {line, binary(), child()} | {ended, outcome()} | {nothing, child()} | unknown.
message({Port, {data, {eol, Part}}}, #port{port = Port, begun = Begun} = Child) ->
    Line = iolist_to_binary(lists:reverse(Begun, [Part])),
    {line, Line, Child#port{begun = [], size = 0}};
message({Port, {data, {noeol, _}}}, #port{port = Port, size = Size} = Child) when Size >= ?MAX_LINE_BYTES ->
    {nothing, Child};
message({Port, {data, {noeol, Part}}}, #port{port = Port, begun = Begun, size = Size} = Child) ->
    {nothing, Child#port{begun = [Part | Begun], size = Size + byte_size(Part)}};
message({Port, {exit_status, Status}}, #port{port = Port}) ->
    {ended, {exit_status, Status}};
message({'EXIT', Port, Reason}, #port{port = Port}) ->
    {ended, Reason};
message({Tag, line, Line}, #muontrap{tag = Tag} = Child) ->
    {line, iolist_to_binary([Line]), Child};
message({'EXIT', Server, normal}, #muontrap{server = Server}) ->
    {ended, {exit_status, 0}};
message({'EXIT', Server, Reason}, #muontrap{server = Server}) ->
    {ended, Reason};
message(_, _) ->
    unknown.

%% @doc Its process, if that is known: MuonTrap's is another.
-spec os_pid(child()) -> pos_integer() | undefined.
os_pid(#port{os_pid = Pid}) -> Pid;
os_pid(#muontrap{}) -> undefined.

%% @doc Ends it with SIGTERM, and after so many milliseconds with SIGKILL. What it says meanwhile goes to the function.
-spec stop(child(), {pos_integer() | undefined, timeout()}, fun((binary()) -> term())) -> ok.
stop(Child, {undefined, _}, _) ->
    let_go(Child);
stop(Child, {OsPid, Timeout}, OnLine) ->
    signal("TERM", OsPid),
    case await_end(Child, erlang:monotonic_time(millisecond) + Timeout, OnLine) of
        ended ->
            ok;
        Slow ->
            signal("KILL", OsPid),
            let_go(Slow)
    end.

%% @doc Nobody holds it any more: its input ends, and its output goes nowhere. MuonTrap ends it.
-spec let_go(child()) -> ok.
let_go(#port{port = Port}) ->
    try port_close(Port) of
        true -> ok
    catch
        error:badarg -> ok
    end;
let_go(#muontrap{server = Server}) ->
    exit(Server, shutdown),
    ok.

await_end(Child, End, OnLine) ->
    receive
        Message ->
            case message(Message, Child) of
                {line, Line, Next} -> OnLine(Line), await_end(Next, End, OnLine);
                {nothing, Next} -> await_end(Next, End, OnLine);
                {ended, _} -> ended;
                unknown -> await_end(Child, End, OnLine)
            end
    after max(0, End - erlang:monotonic_time(millisecond)) -> Child
    end.

%% @doc Sends it a signal, such as "TERM".
-spec signal(string(), pos_integer()) -> ok.
signal(Signal, OsPid) ->
    _ = os:cmd("kill -" ++ Signal ++ " " ++ integer_to_list(OsPid)),
    ok.
