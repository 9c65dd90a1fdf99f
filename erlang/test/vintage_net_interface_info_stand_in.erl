%% Stands in for the struct VintageNet.Route.InterfaceInfo.
-module(vintage_net_interface_info_stand_in).

-export(['__struct__'/0]).

'__struct__'() ->
    #{
        '__struct__' => 'Elixir.VintageNet.Route.InterfaceInfo',
        default_gateway => nil,
        weight => 0,
        ip_subnets => [],
        interface_type => unknown,
        status => disconnected
    }.
