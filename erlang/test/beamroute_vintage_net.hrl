%% What the tests of the drop-in have in common.
-define(RM, 'Elixir.VintageNet.RouteManager').
-define(TABLE, 'Elixir.VintageNet').
-define(PT, 'Elixir.PropertyTable').
-define(NODE, 'gw@127.0.0.1').
-define(ETH0, [{{192, 168, 1, 50}, 24}]).
-define(WLAN0, [{{192, 168, 2, 50}, 24}]).
-define(GW1, {192, 168, 1, 1}).
-define(GW2, {192, 168, 2, 1}).
-define(MODULES, [
    ?PT,
    ?RM,
    'Elixir.VintageNet.Route.IPRoute',
    'Elixir.VintageNet.Route.DefaultMetric',
    'Elixir.VintageNet.Route.InterfaceInfo'
]).
-define(BOTH_UP, [[<<"eth0">>, <<"wlan0">>], internet, internet, internet]).
-define(RIG, beamroute_vintage_net_rig).
