%% @doc The daemon's log lines, told to Logger with the level that each of them has.
%%
%% The daemon writes a JSON object per line (`--log-format json'), where a line break in a message can make no second
%% line. What is no such line comes before its log is open or when it crashes: why it does not start, wrong arguments, a
%% panic. These are errors.
-module(beamroute_daemon_log).

-export([read/1, tell/2]).

-export_type([line/0]).

-type line() :: #{level := logger:level(), text := binary(), fields := #{binary() => beamroute_json:value()}}.

%% @doc What a line says. `fields' are the daemon's, `message' among them.
-spec read(binary()) -> line().
read(Line) ->
    case beamroute_json:decode(Line) of
        {ok, #{<<"level">> := Level, <<"fields">> := #{} = Own} = Object} ->
            Fields = maps:merge(span(Object), Own),
            #{level => level(Level), text => text(Fields), fields => Fields};
        _ ->
            #{level => cut_level(Line), text => printable(Line), fields => #{}}
    end.

%% What the line is about, such as a connection's peer.
span(#{<<"span">> := #{} = Span}) -> maps:remove(<<"name">>, Span);
span(_) -> #{}.

%% A line that was too long has lost its end, and not its beginning.
cut_level(Line) ->
    Begins = <<"^\\{\"timestamp\":\"[^\"]*\",\"level\":\"([A-Z]+)\"">>,
    case re:run(Line, Begins, [{capture, all_but_first, binary}]) of
        {match, [Level]} -> level(Level);
        nomatch -> error
    end.

level(<<"ERROR">>) -> error;
level(<<"WARN">>) -> warning;
level(<<"INFO">>) -> info;
level(_) -> debug.

text(Fields) ->
    {Message, Others} =
        case maps:take(<<"message">>, Fields) of
            error -> {<<>>, Fields};
            Taken -> Taken
        end,
    Pairs = [[Key, $=, show(Value)] || {Key, Value} <- lists:sort(maps:to_list(Others))],
    unicode:characters_to_binary(lists:join($\s, [plain(Message) | Pairs])).

plain(Text) when is_binary(Text) -> Text;
plain(Value) -> show(Value).

%% Text with blanks has quotes.
show(Text) when is_binary(Text) ->
    case re:run(Text, <<"^[^\\s\"]+$">>, [unicode]) of
        {match, _} -> Text;
        nomatch -> io_lib:write_string(unicode:characters_to_list(Text))
    end;
show(Value) ->
    io_lib:format("~0tp", [Value]).

printable(Line) ->
    case unicode:characters_to_binary(Line) of
        Text when is_binary(Text) -> Text;
        _ -> unicode:characters_to_binary(Line, latin1)
    end.

%% @doc To Logger, with the fields as the metadata `beamroute', and `[beamroute, daemon]' as the domain.
-spec tell(node(), line()) -> ok.
tell(Node, #{level := Level, text := Text, fields := Fields}) ->
    Metadata = #{domain => [beamroute, daemon], beamroute => Fields#{<<"daemon">> => Node}},
    logger:log(Level, "~ts: ~ts", [Node, Text], Metadata).
