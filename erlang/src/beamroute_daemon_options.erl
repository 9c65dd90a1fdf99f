%% @doc The options of {@link beamroute_daemon}, checked before anything is started, and the command that they make.
-module(beamroute_daemon_options).

-export([check/1, find/1, command/2]).

-export_type([option/0, options/0, checked/0, bad_option/0]).

-import(beamroute_checks, [bad/3]).

-type option() ::
    {node, node()}
    | {name, atom()}
    | {bin, file:name_all() | {App :: atom(), file:name_all()}}
    | {state_dir, file:name_all()}
    | {config, file:name_all()}
    | {cookie, atom()}
    | {cookie_file, file:name_all()}
    | {args, [unicode:chardata()]}
    | {env, [{unicode:chardata(), unicode:chardata() | false | nil}]}
    | {stay, boolean()}
    | {muontrap, boolean() | [{atom(), term()}]}
    | {stop_timeout, pos_integer()}
    | {backoff_initial, pos_integer()}
    | {backoff_max, pos_integer()}.
-type options() :: [option()] | #{atom() => term()}.
-type checked() :: #{
    node := node(),
    name := atom(),
    bin := string() | {atom(), string()} | undefined,
    state_dir := string() | undefined,
    config := string() | undefined,
    cookie := atom() | undefined,
    cookie_file := string() | undefined,
    args := [string()],
    env := [{string(), string() | false}],
    stay := boolean(),
    muontrap := boolean() | [{atom(), term()}],
    stop_timeout := pos_integer(),
    backoff_initial := pos_integer(),
    backoff_max := pos_integer()
}.
-type bad_option() :: beamroute_checks:bad_option().

-define(DEFAULTS, #{
    node => undefined,
    name => beamroute_daemon,
    bin => undefined,
    state_dir => undefined,
    config => undefined,
    cookie => undefined,
    cookie_file => undefined,
    args => [],
    env => [],
    stay => false,
    muontrap => true,
    stop_timeout => 5000,
    backoff_initial => 200,
    backoff_max => 30000
}).
-define(PROGRAM, "beamroute").
%% What only options say: twice on a command line would be refused by the daemon.
-define(OURS, #{
    "--name" => "node",
    "--sname" => "node",
    "--state-dir" => "state_dir",
    "--config" => "config",
    "--cookie-file" => "cookie_file",
    "--exit-with-stdin" => "stay"
}).

%% @doc All options with their defaults, or the first that is wrong.
-spec check(options()) -> {ok, checked()} | {error, bad_option()}.
check(Options) ->
    beamroute_checks:check(Options, ?DEFAULTS, fun value/2, fun together/1).

value(node, undefined) ->
    bad(node, "is missing: the name that the daemon's node is to have, such as 'beamroute@127.0.0.1'", []);
value(node, Node) ->
    beamroute_checks:is_node(Node) orelse bad(node, "is not the name of a node, such as 'beamroute@127.0.0.1': ~0tp", [Node]),
    Node;
value(name, Name) ->
    is_atom(Name) orelse bad(name, "is not an atom: ~0tp", [Name]),
    without_nil(Name);
value(Key, None) when (None =:= nil orelse None =:= undefined), Key =/= args, Key =/= env ->
    case maps:get(Key, ?DEFAULTS) of
        undefined -> undefined;
        _ -> bad(Key, "has no value", [])
    end;
value(bin, {App, Path}) when is_atom(App) ->
    {App, text(bin, Path)};
value(cookie, Cookie) ->
    %% Not shown, whatever it is.
    is_cookie(Cookie) orelse bad(cookie, "is not an atom of 1 to 255 printable ASCII characters", []),
    Cookie;
value(args, Args) ->
    is_list(Args) orelse bad(args, "is not a list of text: ~0tp", [Args]),
    [argument(text(args, Arg)) || Arg <- Args];
value(env, Env) ->
    is_list(Env) orelse bad(env, "is not a list of {Name, Value}", []),
    [variable(Variable) || Variable <- Env];
value(stay, Value) ->
    is_boolean(Value) orelse bad(stay, "is not true or false: ~0tp", [Value]),
    Value;
value(muontrap, Value) ->
    is_boolean(Value) orelse is_options(Value) orelse
        bad(muontrap, "is not true, false or a list of options of MuonTrap: ~0tp", [Value]),
    Value;
value(Key, Value) when Key =:= stop_timeout; Key =:= backoff_initial; Key =:= backoff_max ->
    (is_integer(Value) andalso Value >= 1 andalso Value =< 16#7fffffff) orelse
        bad(Key, "is not a number of milliseconds from 1 to 2147483647: ~0tp", [Value]),
    Value;
value(Key, Value) ->
    text(Key, Value).

without_nil(nil) -> undefined;
without_nil(Name) -> Name.

is_cookie(Cookie) when is_atom(Cookie) ->
    Text = atom_to_list(Cookie),
    Text =/= [] andalso lists:all(fun(Char) -> Char >= $\s andalso Char =< $~ end, Text);
is_cookie(_) ->
    false.

is_options(List) when is_list(List) -> lists:all(fun is_option/1, List);
is_options(_) -> false.

is_option({Key, _}) -> is_atom(Key);
is_option(_) -> false.

argument(Arg) ->
    [Flag | _] = string:split(Arg, "="),
    case ?OURS of
        #{Flag := Key} -> bad(args, "has ~ts, which the option ~ts says", [Flag, Key]);
        #{} when Flag =:= "--log-format" -> bad(args, "has --log-format, and lines are read in one format only", []);
        #{} -> Arg
    end.

%% Values are not shown: there may be secrets among them.
variable({Name, Unset}) when Unset =:= false; Unset =:= nil ->
    {text(env, Name), false};
variable({Name, Value}) ->
    case text(env, Name) of
        "BEAMROUTE_COOKIE" -> bad(env, "has BEAMROUTE_COOKIE, which the option cookie says", []);
        Text -> {Text, text(env, Value)}
    end;
variable(_) ->
    bad(env, "is not a list of {Name, Value}", []).

text(Key, Value) when is_list(Value); is_binary(Value) ->
    try unicode:characters_to_list(Value) of
        [_ | _] = Text ->
            lists:member(0, Text) andalso bad(Key, "holds a NUL", []),
            Text;
        _ ->
            bad(Key, "is not text, or empty", [])
    catch
        error:badarg -> bad(Key, "is not text", [])
    end;
text(Key, _) ->
    bad(Key, "is not text", []).

together(#{cookie := Cookie, cookie_file := File}) when Cookie =/= undefined, File =/= undefined ->
    bad(cookie_file, "and cookie are two answers to one question", []);
together(#{stay := true, muontrap := [_ | _]}) ->
    bad(muontrap, "ends what it has started with the VM, so with stay it cannot be used", []);
together(Options) ->
    beamroute_checks:backoff(Options).

%% @doc The binary, or a sentence with the places where it is not.
-spec find(checked()) -> {ok, string()} | {error, {no_binary, binary()}}.
find(#{bin := undefined}) ->
    first([in_priv(beamroute, ?PROGRAM), {path, os:find_executable(?PROGRAM)}]);
find(#{bin := {App, Path}}) ->
    first([in_priv(App, Path)]);
find(#{bin := Path}) ->
    first([{"bin, which is " ++ Path, filename:absname(Path)}]).

in_priv(App, Path) ->
    case code:priv_dir(App) of
        {error, bad_name} -> {lists:concat(["priv of ", App, ", which is no application with a directory"]), false};
        Dir -> {filename:join(Dir, Path), filename:join(Dir, Path)}
    end.

first(Places) ->
    case [Path || {_, Path} <- Places, Path =/= false, is_executable(Path)] of
        [Path | _] ->
            {ok, Path};
        [] ->
            Names = lists:join("; ", [place(Name) || {Name, _} <- Places]),
            Text = ["no program ", ?PROGRAM, " that can be executed: looked at ", Names],
            {error, {no_binary, unicode:characters_to_binary(Text)}}
    end.

place(path) -> ["the PATH, which is ", os:getenv("PATH", "not set")];
place(Name) -> Name.

is_executable(Path) ->
    %% As find_executable does it.
    os:find_executable(filename:basename(Path), filename:dirname(Path)) =/= false.

%% @doc The command that runs it.
-spec command(string(), checked()) -> beamroute_child:command().
command(Bin, #{stay := Stay, args := Args, env := Env} = Options) ->
    With = with(Options),
    Watch = [["--exit-with-stdin"] || not Stay, With =:= port],
    #{
        bin => Bin,
        args => ["run", "--log-format", "json"] ++ lists:append(Watch ++ words(Options)) ++ Args,
        %% Last is what counts.
        env => Env ++ log(Env) ++ cookie(Options),
        with => With
    }.

%% That it is ready is a log line of level info of this module of it, which a filter must not keep from us.
log(Env) ->
    Inherited =
        case os:getenv("BEAMROUTE_LOG") of
            false -> [];
            Value -> [{"BEAMROUTE_LOG", Value}]
        end,
    case [Filter || {"BEAMROUTE_LOG", Filter} <- Inherited ++ Env] of
        [] -> [];
        Filters -> with_ready(lists:last(Filters))
    end.

with_ready(false) -> [];
with_ready(Filter) -> [{"BEAMROUTE_LOG", Filter ++ ",beamroute::service=info"}].

with(#{stay := true}) ->
    port;
with(#{muontrap := false}) ->
    port;
with(#{muontrap := Given, stop_timeout := Timeout}) ->
    case beamroute_child:has_muontrap() of
        true when is_list(Given) -> {muontrap, [{delay_to_sigkill, Timeout} | Given]};
        true -> {muontrap, [{delay_to_sigkill, Timeout}]};
        false -> port
    end.

words(#{node := Node, state_dir := StateDir, config := Config, cookie_file := CookieFile}) ->
    Flags = [{"--state-dir", StateDir}, {"--config", Config}, {"--cookie-file", CookieFile}],
    [[name_flag(Node), atom_to_list(Node)] | [[Flag, Value] || {Flag, Value} <- Flags, Value =/= undefined]].

name_flag(Node) ->
    [_, Host] = string:split(atom_to_list(Node), "@"),
    case lists:any(fun(Char) -> Char =:= $. orelse Char =:= $: end, Host) of
        true -> "--name";
        false -> "--sname"
    end.

%% Without one of its own it has this node's, so that the two can talk. Where there is none to hand over, it reads
%% ~/.erlang.cookie, as this node will when its distribution is started.
cookie(#{cookie_file := File}) when File =/= undefined ->
    [];
cookie(#{cookie := undefined}) ->
    case {erlang:is_alive(), init:get_argument(setcookie)} of
        {true, _} -> hand_over(atom_to_list(erlang:get_cookie()));
        {false, {ok, Given}} -> hand_over(lists:append(lists:last(Given)));
        {false, error} -> []
    end;
cookie(#{cookie := Cookie}) ->
    hand_over(atom_to_list(Cookie)).

%% The file would go before it.
hand_over(Cookie) -> [{"BEAMROUTE_COOKIE", Cookie}, {"BEAMROUTE_COOKIE_FILE", false}].
