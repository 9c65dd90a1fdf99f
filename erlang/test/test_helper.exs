# These are Erlang's and the tests' alone: neither mix nor the package has them.
for name <- ~w(beamroute_rig beamroute_shown beamroute_stand_ins vintage_net_stand_in)a do
  {:ok, ^name, binary} = :compile.file(~c"test/#{name}.erl", [:binary, :report])
  {:module, _} = :code.load_binary(name, ~c"test/#{name}.erl", binary)
end

# What needs a daemon needs a private network namespace: scripts/client makes one.
without = if System.get_env("BEAMROUTE_TEST_NETNS") == "yes", do: [], else: [:daemon]
ExUnit.start(exclude: without, capture_log: true)
