%% @private
%% Calls of this application's own processes, as its functions answer: an error where gen_statem exits.
-module(beamroute_server).

-export([call/3]).

-spec call(gen_statem:server_ref(), term(), timeout()) -> term().
call(Server, Request, Timeout) ->
    try
        gen_statem:call(Server, Request, Timeout)
    catch
        exit:{timeout, _} -> {error, timeout};
        exit:{_, {gen_statem, call, _}} -> {error, noproc}
    end.
