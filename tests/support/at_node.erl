%% @doc The calls of beamroute's `route_manager', made straight from a BEAM node, with no link of the client between.
%%
%% Every function takes the node that runs beamroute first and then what VintageNet's RouteManager takes. Interface
%% names are binaries, strings or atoms; addresses are tuples or their text; no gateway is `nil' or `undefined'.
%% What the daemon refuses comes back as `{error, Reason}' and changes nothing; what keeps the call from being
%% answered (no connection, no such process) exits the caller, as `gen_server:call/2' does.
%%
%% ```
%% > at_node:set_route('beamroute@gw1', <<"eth0">>, [{{192, 0, 2, 10}, 24}], {192, 0, 2, 1}).
%% ok
%% '''
-module(at_node).

-export([
    set_route/4,
    clear_route/2,
    set_connection_status/3,
    set_connection_status/4,
    refresh_route_metrics/1,
    status/1,
    get/2,
    set_metric/3,
    set_owner_policy/2,
    stop/1
]).

-export_type([
    ifname/0, address/0, subnet/0, gateway/0, connection_status/0, metric/0, owner_policy/0, property/0, reply/0
]).

-type ifname() :: binary() | string() | atom().
-type address() :: inet:ip_address() | binary() | string().
-type subnet() :: {address(), PrefixLength :: 1..128}.
-type gateway() :: address() | nil | undefined.
-type connection_status() :: disconnected | lan | internet.
-type metric() :: pos_integer() | disabled | default.
%% What becomes of the wishes of the calling node when that node goes down, after so many seconds.
-type owner_policy() :: keep | {clear_after | lan_after, Seconds :: non_neg_integer()}.
%% `[<<"connection">>]', `[<<"available_interfaces">>]' or `[<<"interface">>, IfName, <<"connection">>]'.
-type property() :: [binary()].
-type reply() :: ok | {error, Reason :: term()}.

-define(SERVER(Node), {route_manager, Node}).

%% @doc Replaces the addresses and the gateway of an interface; its status is kept, `lan' if it had none.
-spec set_route(node(), ifname(), [subnet()], gateway()) -> reply().
set_route(Node, IfName, IpSubnets, Gateway) ->
    gen_server:call(?SERVER(Node), {set_route, IfName, IpSubnets, Gateway}).

%% @doc Forgets an interface and takes its routes out; `ok' also when it is unknown.
-spec clear_route(node(), ifname()) -> reply().
clear_route(Node, IfName) ->
    gen_server:call(?SERVER(Node), {clear_route, IfName}).

%% @doc Says how far an interface reaches, which ranks its routes.
-spec set_connection_status(node(), ifname(), connection_status()) -> reply().
set_connection_status(Node, IfName, Status) ->
    gen_server:call(?SERVER(Node), {set_connection_status, IfName, Status}).

%% @doc As {@link set_connection_status/3}, with the reason, which `status' shows.
-spec set_connection_status(node(), ifname(), connection_status(), Why :: binary() | string() | nil) -> reply().
set_connection_status(Node, IfName, Status, Why) ->
    gen_server:call(?SERVER(Node), {set_connection_status, IfName, Status, Why}).

%% @doc Reads the ranking again and plans again; a bad file is `{error, {bad_config, Why}}' and changes nothing.
-spec refresh_route_metrics(node()) -> reply().
refresh_route_metrics(Node) ->
    gen_server:call(?SERVER(Node), refresh_route_metrics).

%% @doc Everything that beamroute knows of interfaces, entries and nodes.
-spec status(node()) -> #{atom() => term()}.
status(Node) ->
    gen_server:call(?SERVER(Node), status).

%% @doc The value of one of VintageNet's properties, `nil' if there is none.
-spec get(node(), property()) -> term().
get(Node, Property) ->
    gen_server:call(?SERVER(Node), {get, Property}).

%% @doc Overrides the ranking for one interface.
-spec set_metric(node(), ifname(), metric()) -> reply().
set_metric(Node, IfName, Metric) ->
    gen_server:call(?SERVER(Node), {set_metric, IfName, Metric}).

%% @doc Says what becomes of this node's wishes when this node goes down.
-spec set_owner_policy(node(), owner_policy()) -> reply().
set_owner_policy(Node, Policy) ->
    gen_server:call(?SERVER(Node), {set_owner_policy, Policy}).

%% @doc Ends the daemon, if it runs with `--admin all'.
-spec stop(node()) -> reply().
stop(Node) ->
    gen_server:call(?SERVER(Node), stop).
