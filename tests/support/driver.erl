%% A BEAM node driven line by line: reads Erlang expressions on stdin, evaluates them in one process with kept
%% bindings, and answers each line with `#ok Term' or `#error {Class, Reason}' on stdout. The value `{'#json', T}' is
%% answered as JSON.
-module(driver).

-export([start/0, json/1, flush/0, await/1]).

start() ->
    ok = io:setopts([{encoding, unicode}]),
    spawn(fun() -> loop(erl_eval:new_bindings()) end).

loop(Bindings) ->
    case io:get_line(standard_io, "") of
        Line when is_list(Line) -> loop(line(Line, Bindings));
        _Eof -> halt(0)
    end.

line(Line, Bindings) ->
    try
        {ok, Tokens, _} = erl_scan:string(Line),
        {ok, Exprs} = erl_parse:parse_exprs(Tokens),
        {value, Value, Bindings1} = erl_eval:exprs(Exprs, Bindings),
        answer(Value),
        Bindings1
    catch
        Class:Reason ->
            io:format("#error ~0tp~n", [{Class, Reason}]),
            Bindings
    end.

answer({'#json', Term}) -> io:format("#ok ~ts~n", [json(Term)]);
answer(Value) -> io:format("#ok ~0tp~n", [Value]).

%% Everything in the mailbox.
flush() ->
    receive
        Message -> [Message | flush()]
    after 0 -> []
    end.

%% The next message, or `timeout'.
await(Ms) ->
    receive
        Message -> Message
    after Ms -> timeout
    end.

%% JSON text of a term: binaries and atoms are strings, `nil' is null, addresses are text, other tuples are arrays.
json(Term) -> unicode:characters_to_binary(encode(Term)).

encode(nil) -> "null";
encode(true) -> "true";
encode(false) -> "false";
encode(Atom) when is_atom(Atom) -> string(atom_to_list(Atom));
encode(Number) when is_integer(Number) -> integer_to_list(Number);
encode(Bin) when is_binary(Bin) -> string(unicode:characters_to_list(Bin));
encode(Map) when is_map(Map) ->
    ["{", join([[key(K), ":", encode(V)] || {K, V} <- maps:to_list(Map)]), "}"];
encode(List) when is_list(List) -> ["[", join([encode(E) || E <- List]), "]"];
encode(Tuple) when is_tuple(Tuple) ->
    case inet:is_ip_address(Tuple) of
        true -> string(inet:ntoa(Tuple));
        false -> encode(tuple_to_list(Tuple))
    end;
encode(Other) -> string(io_lib:format("~0tp", [Other])).

key(K) when is_atom(K) -> string(atom_to_list(K));
key(K) when is_binary(K) -> string(unicode:characters_to_list(K)).

join(Parts) -> lists:join(",", Parts).

string(Chars) -> [$", [escape(C) || C <- lists:flatten(Chars)], $"].

escape($") -> "\\\"";
escape($\\) -> "\\\\";
escape(C) when C < 32 -> io_lib:format("\\u~4.16.0b", [C]);
escape(C) -> C.
