%% @doc A daemon that has outlived the VM that started it: found in /proc by its command line.
%%
%% Nothing but the very same words will do: another daemon, or ours with other options, is not ours to go on with. That
%% one keeps a second daemon from starting, and says so with its process id.
-module(beamroute_stayed).

-export([find/2, is_still/2]).

%% @doc The process, if there is one, and the words that it is known by.
-spec find(beamroute_daemon_options:checked(), beamroute_child:command()) ->
    {ok, OsPid :: pos_integer(), [binary()]} | none.
find(#{stay := false}, _) ->
    none;
find(#{stay := true}, #{bin := Bin, args := Args}) ->
    Words = [unicode:characters_to_binary(Word) || Word <- [Bin | Args]],
    Found = [Pid || Pid <- processes_of_the_machine(), is_still(Pid, Words), is_in_our_network(Pid)],
    case Found of
        [Pid | _] -> {ok, Pid, Words};
        [] -> none
    end.

processes_of_the_machine() ->
    case file:list_dir("/proc") of
        {ok, Names} -> [Pid || Name <- Names, {Pid, []} <- [string:to_integer(Name)], is_integer(Pid)];
        {error, _} -> []
    end.

%% @doc Whether the process is there and has these words.
-spec is_still(pos_integer(), [binary()]) -> boolean().
is_still(Pid, Words) ->
    case file:read_file(proc(Pid, "cmdline")) of
        {ok, Line} -> Line =:= iolist_to_binary([[Word, 0] || Word <- Words]);
        {error, _} -> false
    end.

%% Where that cannot be seen, because it has capabilities and we have none, its words must do.
is_in_our_network(Pid) ->
    Ours = file:read_link("/proc/self/ns/net"),
    case file:read_link(proc(Pid, "ns/net")) of
        {ok, _} = Its -> Its =:= Ours;
        {error, _} -> true
    end.

proc(Pid, File) -> "/proc/" ++ integer_to_list(Pid) ++ "/" ++ File.
