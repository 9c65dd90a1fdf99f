%% Loads the stand-ins of this directory under the names of what they stand in for.
-module(beamroute_stand_ins).

-export([load/1, unload/1, install/1, uninstall/2]).

load(Module) ->
    {module, Module} = code:load_binary(Module, file(Module), binary(Module)),
    ok.

unload(Module) ->
    _ = code:purge(Module),
    _ = code:delete(Module),
    _ = code:purge(Module),
    ok.

%% Into the code path, as an application is: loaded when it is first called.
install(Modules) ->
    Dir = beamroute_rig:dir("stand_ins"),
    ok = file:make_dir(Dir),
    [ok = file:write_file(filename:join(Dir, atom_to_list(Module) ++ ".beam"), binary(Module)) || Module <- Modules],
    true = code:add_patha(Dir),
    Dir.

uninstall(Dir, Modules) ->
    _ = code:del_path(Dir),
    lists:foreach(fun unload/1, Modules).

%% The stand-in's object code, under the other name.
binary(Module) ->
    {ok, Forms} = epp:parse_file(file(Module), []),
    Renamed = [rename(Form, Module) || Form <- Forms],
    {ok, Module, Binary} = compile:forms(Renamed, [report, debug_info]),
    Binary.

rename({attribute, Anno, module, _}, Module) -> {attribute, Anno, module, Module};
rename(Form, _) -> Form.

file(Module) -> filename:join(filename:dirname(?FILE), atom_to_list(name(Module)) ++ ".erl").

name(telemetry) -> telemetry_stand_in;
name('Elixir.PropertyTable') -> property_table_stand_in;
name('Elixir.VintageNet.RouteManager') -> vintage_net_route_manager_stand_in;
name('Elixir.VintageNet.Route.IPRoute') -> vintage_net_ip_route_stand_in;
name('Elixir.VintageNet.Route.DefaultMetric') -> vintage_net_default_metric_stand_in;
name('Elixir.VintageNet.Route.InterfaceInfo') -> vintage_net_interface_info_stand_in.
