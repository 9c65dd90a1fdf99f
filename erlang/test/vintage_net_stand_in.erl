%% Stands in for VintageNet 0.13's application: its supervisor, with a property table and one process more before the
%% route manager, and one after it, which speaks for interfaces as soon as it starts.
-module(vintage_net_stand_in).

-behaviour(supervisor).

-export([start/1, stop/0, init/1, start_sibling/2, sibling/3]).

-define(SUPERVISOR, 'Elixir.VintageNet.Supervisor').

%% Args are VintageNet's environment; `interfaces' is what the last process does when it starts.
start(Args) ->
    {ok, Pid} = supervisor:start_link({local, ?SUPERVISOR}, ?MODULE, Args),
    unlink(Pid),
    ok.

stop() ->
    case whereis(?SUPERVISOR) of
        undefined -> ok;
        Pid -> gen_server:stop(Pid, shutdown, 20000)
    end.

init(Args) ->
    Interfaces = proplists:get_value(interfaces, Args, fun() -> ok end),
    Children = [
        #{id => 'Elixir.PropertyTable', start => {'Elixir.PropertyTable', start_link, ['Elixir.VintageNet']}},
        sibling_spec('Elixir.VintageNet.NameResolver', fun() -> ok end),
        ('Elixir.VintageNet.RouteManager'):child_spec(proplists:delete(interfaces, Args)),
        sibling_spec('Elixir.VintageNet.InterfacesSupervisor', Interfaces)
    ],
    {ok, {#{strategy => rest_for_one, intensity => 3, period => 5}, Children}}.

sibling_spec(Name, Fun) -> #{id => Name, start => {?MODULE, start_sibling, [Name, Fun]}}.

start_sibling(Name, Fun) -> proc_lib:start_link(?MODULE, sibling, [self(), Name, Fun]).

sibling(Parent, Name, Fun) ->
    register(Name, self()),
    Fun(),
    proc_lib:init_ack(Parent, {ok, self()}),
    receive stop -> ok end.
