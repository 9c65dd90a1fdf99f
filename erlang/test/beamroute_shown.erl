%% What the README and the notebook show, for the tests that run it: fenced blocks, and the steps of a shell in them.
-module(beamroute_shown).

-export([blocks/1, blocks/2, steps/1, act/2]).

%% Every fenced block of a file: its language and its lines.
blocks(File) ->
    {ok, Text} = file:read_file(File),
    fenced(lines(Text)).

%% Those of one section, by its heading.
blocks(File, Heading) ->
    {ok, Text} = file:read_file(File),
    [_, Section] = binary:split(Text, <<"\n## ", (unicode:characters_to_binary(Heading))/binary, "\n">>),
    fenced(lines(hd(binary:split(Section, <<"\n## ">>)))).

lines(Text) -> binary:split(Text, <<"\n">>, [global]).

fenced([]) ->
    [];
fenced([<<"```", Language/binary>> | Lines]) ->
    {Block, [_ | Rest]} = lists:splitwith(fun(Line) -> Line =/= <<"```">> end, Lines),
    [{Language, Block} | fenced(Rest)];
fenced([_ | Lines]) ->
    fenced(Lines).

%% `{say, Code, Lines}' is what follows a prompt and what comes out, `[]' if that is not shown; `{world, Text}' is a
%% comment, which says what happens outside. There is nothing else.
steps([]) ->
    [];
steps([Line | Lines]) ->
    case re:run(Line, "^(?:iex|[0-9]+)> (.*)$|^(?:#|%%) (.*)$", [{capture, all_but_first, binary}]) of
        {match, [Code]} ->
            {Shown, Rest} = lists:splitwith(fun is_output/1, Lines),
            [{say, Code, Shown} | steps(Rest)];
        {match, [<<>>, Comment]} ->
            [{world, Comment} | steps(Lines)]
    end.

is_output(Line) -> re:run(Line, "^(?:iex>|[0-9]+>|#|%%) ", [{capture, none}]) =:= nomatch.

%% What a comment says, done to the daemon.
act(<<"the daemon is killed">>, Daemon) ->
    ok = beamroute_rig:kill(Daemon),
    Daemon;
act(<<"the daemon is started again">>, Daemon) ->
    beamroute_rig:start_again(Daemon).
