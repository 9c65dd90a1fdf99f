defmodule BeamrouteDaemonTest do
  use ExUnit.Case, async: false

  alias Beamroute.RouteManager
  alias :beamroute_rig, as: Rig

  @node :"gw@127.0.0.1"

  @tag :daemon
  test "the daemon and its link in one tree" do
    Rig.settle()
    dir = Path.join(System.fetch_env!("BEAMROUTE_TEST_DIR"), "exunit-daemon")

    on_exit(fn ->
      Rig.kill_all()
      Node.disconnect(@node)
      Rig.settle()
    end)

    start_supervised!({Beamroute, node: @node, cookie: :client, backoff_initial: 20})

    daemon =
      start_supervised!(
        {Beamroute.Daemon,
         node: @node,
         bin: System.fetch_env!("BEAMROUTE_BIN"),
         cookie: :client,
         state_dir: dir,
         env: [{"BEAMROUTE_LOG", "info"}, {"BEAMROUTE_TEST_DIR", nil}]}
      )

    RouteManager.await_connected!(timeout: 20_000)
    assert :ok = RouteManager.set_route("eth0", [{{192, 168, 1, 50}, 24}], {192, 168, 1, 1})
    assert RouteManager.status!().interfaces["eth0"].install == :installed
    assert %{state: :running, os_pid: os_pid, starts: 1} = Beamroute.Daemon.info!()
    assert {:ok, %{bin: bin}} = Beamroute.Daemon.info(daemon)
    assert bin == System.fetch_env!("BEAMROUTE_BIN")
    assert Beamroute.Daemon.info!().reason == nil
    assert :ok = Beamroute.Daemon.restart!()
    Rig.eventually(fn -> match?(%{state: :running, starts: 2}, Beamroute.Daemon.info!()) end)
    assert Beamroute.Daemon.info!().os_pid != os_pid
    assert :ok = Beamroute.Daemon.restart(daemon)
    stop_supervised!({:beamroute_daemon, :beamroute_daemon})
    assert {:error, :noproc} = Beamroute.Daemon.restart()

    assert_raise Beamroute.Error, ~r/is Beamroute.Daemon started/, fn ->
      Beamroute.Daemon.restart!()
    end

    assert_raise Beamroute.Error, ~r/is Beamroute.Daemon started/, fn ->
      Beamroute.Daemon.info!()
    end
  end

  test "a daemon that has none" do
    options = [
      node: @node,
      bin: "/bin/false",
      name: :beamroute_none,
      backoff_initial: 60_000,
      backoff_max: 60_000
    ]

    daemon = start_supervised!({Beamroute.Daemon, options}, restart: :temporary)
    Rig.eventually(fn -> Beamroute.Daemon.info!(daemon).state == :waiting end)

    assert %{os_pid: nil, bin: "/bin/false", starts: 1, reason: {{:exit_status, 1}, ""}} =
             Beamroute.Daemon.info!(:beamroute_none)

    assert :ok = Beamroute.Daemon.stop(daemon)
    refute Process.alive?(daemon)
  end

  test "bad options, and a binary that is nowhere" do
    assert {:error, {{:bad_option, :node, "node is missing" <> _}, _child}} =
             start_supervised({Beamroute.Daemon, []})

    assert {:error, {{:no_binary, sentence}, _child}} =
             start_supervised({Beamroute.Daemon, node: @node, bin: "/no/such"})

    assert sentence =~ "looked at bin, which is /no/such"
  end
end
