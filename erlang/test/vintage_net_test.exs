defmodule Beamroute.VintageNetTest do
  use ExUnit.Case, async: false

  # Both are stand-ins, loaded when the tests run.
  @compile {:no_warn_undefined, [VintageNet.RouteManager, PropertyTable]}

  alias Beamroute.RouteManager
  alias :beamroute_rig, as: Rig
  alias :beamroute_stand_ins, as: StandIns
  alias :vintage_net_stand_in, as: StandIn

  @moduletag :daemon
  @node :"gw@127.0.0.1"
  @options [node: @node, cookie: :client, backoff_initial: 20, backoff_max: 100]
  @default VintageNet.Route.DefaultMetric
  @modules [
    PropertyTable,
    VintageNet.RouteManager,
    VintageNet.Route.IPRoute,
    VintageNet.Route.DefaultMetric,
    VintageNet.Route.InterfaceInfo
  ]

  setup do
    Rig.settle()
    dir = StandIns.install(@modules)

    on_exit(fn ->
      StandIn.stop()
      StandIns.uninstall(dir, @modules)
      Rig.kill_all()
      Node.disconnect(@node)
      Rig.settle()
    end)

    daemon = Rig.start()
    start_supervised!({Beamroute, @options})
    RouteManager.await_connected!()
    {:ok, daemon: daemon}
  end

  # A caller of VintageNet, as it stands in an application.
  defp come_up() do
    :ok =
      VintageNet.RouteManager.set_route(
        "eth0",
        [{{192, 168, 1, 50}, 24}],
        {192, 168, 1, 1}
      )

    :ok = VintageNet.RouteManager.set_connection_status("eth0", :internet, "checked")
  end

  defp told(path), do: PropertyTable.get(VintageNet, path)

  test "one line in a supervision tree", %{daemon: daemon} do
    start_supervised!(Beamroute.VintageNet)
    StandIn.start(route_metric_fun: {@default, :compute_metric, 2})
    PropertyTable.subscribe(VintageNet, ["interface", "eth0", "connection"])
    come_up()
    assert %{interfaces: %{"eth0" => %{install: :installed, metric: 10}}} = RouteManager.status!()
    assert ["eth0"] = told(["available_interfaces"])
    assert :internet = told(["connection"])

    assert_received {VintageNet, ["interface", "eth0", "connection"], :lan, :internet, _}

    assert :ok = VintageNet.RouteManager.set_connection_status("eth0", :lan)
    line = __ENV__.line - 1

    assert RouteManager.status!().interfaces["eth0"].why =~
             ~r/^Beamroute\.VintageNetTest\..*:#{line}$/

    assert :ok = stop_supervised(:beamroute_vintage_net)
    assert %{interfaces: none} = RouteManager.status!()
    assert none == %{}
    assert :lan = told(["connection"])
    VintageNet.RouteManager.clear_route("eth0")
    Rig.stop(daemon)
  end

  test "one line in the configuration, for a VintageNet that runs", %{daemon: daemon} do
    StandIn.start(route_metric_fun: &"#{&1}-#{&2.metric}")
    Application.stop(:beamroute)
    Application.put_env(:beamroute, :vintage_net, true)

    on_exit(fn ->
      Application.stop(:beamroute)
      Application.delete_env(:beamroute, :vintage_net)
      Application.start(:beamroute)
    end)

    assert :ok = Application.start(:beamroute)
    come_up()
    # Neither a function that crashes nor a number of its own.
    assert %{interfaces: %{"eth0" => %{install: :installed, metric: 10}}} = RouteManager.status!()
    VintageNet.RouteManager.clear_route("eth0")
    StandIn.stop()
    Rig.stop(daemon)
  end

  test "wrong options are named" do
    assert {:error, {:bad_option, :vintage_net, sentence}} = Beamroute.VintageNet.start_link(:on)
    assert sentence =~ "not on"
  end
end
