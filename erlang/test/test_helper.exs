# The rig is Erlang's and the tests' alone: neither mix nor the package has it.
{:ok, module, binary} = :compile.file(~c"test/beamroute_rig.erl", [:binary, :report])
{:module, _} = :code.load_binary(module, ~c"beamroute_rig.erl", binary)

# What needs a daemon needs a private network namespace: scripts/client makes one.
without = if System.get_env("BEAMROUTE_TEST_NETNS") == "yes", do: [], else: [:daemon]
ExUnit.start(exclude: without, capture_log: true)
