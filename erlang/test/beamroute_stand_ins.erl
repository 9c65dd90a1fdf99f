%% Loads the stand-ins of this directory under the names of what they stand in for.
-module(beamroute_stand_ins).

-export([load/1, unload/1, binary/1]).

load(Module) ->
    {module, Module} = code:load_binary(Module, file(Module), binary(Module)),
    ok.

unload(Module) ->
    _ = code:purge(Module),
    _ = code:delete(Module),
    _ = code:purge(Module),
    ok.

%% The stand-in's object code, under the other name.
binary(Module) ->
    {ok, Forms} = epp:parse_file(file(Module), []),
    Renamed = [rename(Form, Module) || Form <- Forms],
    {ok, Module, Binary} = compile:forms(Renamed, [report, debug_info]),
    Binary.

rename({attribute, Anno, module, _}, Module) -> {attribute, Anno, module, Module};
rename(Form, _) -> Form.

file(Module) -> filename:join(filename:dirname(?FILE), atom_to_list(name(Module)) ++ ".erl").

name(telemetry) -> telemetry_stand_in.
