%% The plain gen_server that the daemon is measured against: it answers every call with ok.
-module(bench_peer).
-behaviour(gen_server).

-export([start/0, init/1, handle_call/3, handle_cast/2]).

start() ->
    {ok, _} = gen_server:start({local, route_manager}, ?MODULE, [], []).

init([]) ->
    {ok, []}.

handle_call({set_connection_status, _IfName, _Status}, _From, State) ->
    {reply, ok, State}.

handle_cast({set_connection_status, _IfName, _Status}, State) ->
    {noreply, State}.
