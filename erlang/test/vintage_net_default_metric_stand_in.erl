%% Stands in for VintageNet.Route.DefaultMetric.
-module(vintage_net_default_metric_stand_in).

-export([compute_metric/2]).

compute_metric(_, #{status := disconnected}) ->
    disabled;
compute_metric(_, #{'__struct__' := 'Elixir.VintageNet.Route.InterfaceInfo', status := Status} = Info) ->
    #{interface_type := Type, weight := Weight} = Info,
    maps:get(Status, #{internet => 0, lan => 40}) + maps:get(Type, #{ethernet => 10, wifi => 20, mobile => 30}, 40) + Weight.
