%% A handler of logger that sends what is logged to the process in its config.
-module(beamroute_log).

-export([log/2]).

log(#{level := Level, msg := {string, Text}}, #{config := Pid}) ->
    Pid ! {log, Level, lists:flatten(io_lib:format("~ts", [Text]))};
log(#{level := Level, msg := {Format, Args}}, #{config := Pid}) when is_list(Args) ->
    Pid ! {log, Level, lists:flatten(io_lib:format(Format, Args))};
log(_, _) ->
    ok.
