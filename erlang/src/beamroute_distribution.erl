%% @doc Distribution on a device that has none: no name at the VM's start, and no epmd.
%%
%% With the option `{distribution, [{name, Name}]}' a link starts it, with the epmd that the daemon has within
%% (`--epmd auto' or `embedded'). Node and daemon then meet on loopback, which stays while interfaces come and go.
%%
%% ```
%% name    the name of this node; without a host it is at 127.0.0.1
%% cookie  its cookie, if it is not to be that of ~/.erlang.cookie
%% '''
%%
%% The daemon may start later than this node: as long as no epmd answers, the link tries again.
-module(beamroute_distribution).

-export([check/1, ensure/1, not_alive/0]).

-export_type([options/0, checked/0]).

-type options() :: [{name, atom()} | {cookie, atom()}] | #{name := atom(), cookie => atom()}.
-type checked() :: #{name := atom(), cookie := atom() | undefined}.

-define(LOOPBACK, {127, 0, 0, 1}).

%% @doc The options with the whole name, or a sentence that says what is wrong.
-spec check(term()) -> {ok, checked()} | {error, iodata()}.
check(Options) when is_list(Options) ->
    try maps:from_list(Options) of
        Map -> check(Map)
    catch
        error:badarg -> {error, "is not a list of {Key, Value}"}
    end;
check(#{name := Name} = Options) when is_atom(Name), Name =/= nil, Name =/= undefined ->
    Cookie = maps:get(cookie, Options, undefined),
    case maps:keys(Options) -- [name, cookie] of
        [] when is_atom(Cookie) -> {ok, #{name => with_host(Name), cookie => Cookie}};
        [] -> {error, "has a cookie that is not an atom"};
        [Key | _] -> {error, io_lib:format("has no option ~0tp; there are name, cookie", [Key])}
    end;
check(Options) when is_map(Options) ->
    {error, "needs a name, an atom"};
check(_) ->
    {error, "is not a list of options"}.

with_host(Name) ->
    case lists:member($@, atom_to_list(Name)) of
        true -> Name;
        false -> list_to_atom(atom_to_list(Name) ++ "@127.0.0.1")
    end.

%% @doc What is said to whoever starts a link on a node that is not distributed.
-spec not_alive() -> binary().
not_alive() ->
    <<
        "this node is not distributed: start the VM with --name or --sname (-name or -sname for erl), or give the "
        "link the option distribution: [name: ...]"
    >>.

%% @doc Starts distribution unless it runs.
-spec ensure(checked() | undefined) -> ok | {error, term()}.
ensure(Options) ->
    case {erlang:is_alive(), Options} of
        {true, _} -> ok;
        {false, undefined} -> {error, not_alive};
        {false, #{}} -> start(Options)
    end.

%% Without an epmd, net_kernel would fail loudly at every attempt.
start(#{name := Name, cookie := Cookie}) ->
    case erl_epmd:names(?LOOPBACK) of
        {ok, _} ->
            stay_on_loopback(Name),
            started(net_kernel:start(Name, #{name_domain => domain(Name)}), Cookie);
        {error, _} ->
            {error, no_epmd}
    end.

started({ok, _}, undefined) ->
    ok;
started({ok, _}, Cookie) ->
    true = erlang:set_cookie(node(), Cookie),
    ok;
started({error, Reason}, _) ->
    %% Another link may have been quicker.
    case erlang:is_alive() of
        true -> ok;
        false -> {error, {distribution, Reason}}
    end.

domain(Name) ->
    [_, Host] = string:split(atom_to_list(Name), "@"),
    case lists:member($., Host) of
        true -> longnames;
        false -> shortnames
    end.

%% A node at 127.0.0.1 need not be reached from elsewhere, unless the operator has said where it listens.
stay_on_loopback(Name) ->
    IsLocal = lists:suffix("@127.0.0.1", atom_to_list(Name)),
    case application:get_env(kernel, inet_dist_use_interface) of
        undefined when IsLocal -> application:set_env(kernel, inet_dist_use_interface, ?LOOPBACK);
        _ -> ok
    end.
