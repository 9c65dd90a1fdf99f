defmodule BeamrouteTest do
  use ExUnit.Case, async: false

  alias Beamroute.RouteManager
  alias :beamroute_rig, as: Rig

  @node :"gw@127.0.0.1"
  @options [node: @node, cookie: :client, backoff_initial: 20, backoff_max: 100]
  @ip {192, 168, 1, 50}
  @gateway {192, 168, 1, 1}

  describe "with a daemon" do
    @describetag :daemon

    setup do
      Rig.settle()

      on_exit(&Rig.clean_up/0)
    end

    test "a link in a supervision tree, started before the daemon" do
      start_supervised!({Beamroute, @options})
      assert :ok = RouteManager.set_route("eth0", [{@ip, 24}], @gateway)
      assert {:error, :disconnected} = RouteManager.status()
      daemon = Rig.start()
      assert :ok = RouteManager.await_connected(timeout: 20_000)
      assert {:ok, %{interfaces: %{"eth0" => %{install: :installed}}}} = RouteManager.status()
      assert to_string(Rig.routes()) =~ "default via 192.168.1.1 dev eth0"
      Rig.stop(daemon)
    end

    test "every function, and its form that raises" do
      daemon = Rig.start()
      start_supervised!({Beamroute, @options})
      assert :ok = RouteManager.await_connected!()
      assert :ok = RouteManager.subscribe()
      assert_receive {:route_manager, @node, {:link, :connected}}
      assert :ok = RouteManager.set_route!("eth0", [{@ip, 24}], @gateway)
      assert_receive {:route_manager, @node, {_, :property, ["connection"], _, :lan}}
      assert :ok = RouteManager.set_connection_status("eth0", :internet, "checked")
      assert_receive {:route_manager, @node, {_, :property, ["connection"], :lan, :internet}}

      assert :ok =
               RouteManager.set_connection_status!("eth0", :internet, "checked", timeout: 1000)

      assert :ok = RouteManager.set_metric("eth0", 7)
      assert :ok = RouteManager.set_metric!("eth0", 8)
      assert :ok = RouteManager.refresh_route_metrics()
      assert :ok = RouteManager.refresh_route_metrics!()
      assert :ok = RouteManager.set_owner_policy({:lan_after, 3600})
      assert :ok = RouteManager.set_owner_policy!(:keep)

      assert {:ok, %{interfaces: %{"eth0" => %{why: "checked", metric: 8}}}} =
               RouteManager.status()

      assert %{connection: :internet} = RouteManager.status!()
      assert {:ok, []} = RouteManager.plan()
      assert [] = RouteManager.plan!()
      assert {:ok, ["eth0"]} = RouteManager.get(["available_interfaces"])
      assert :internet = RouteManager.get!(["interface", "eth0", "connection"])
      assert {:ok, %{state: :connected, node: @node}} = RouteManager.link_info()
      assert %{subscribers: 1} = RouteManager.link_info!()
      assert :ok = RouteManager.subscribe!(self())
      assert :ok = RouteManager.unsubscribe()
      assert :ok = RouteManager.unsubscribe!(self())
      assert :ok = RouteManager.clear_route("eth0")
      assert :ok = RouteManager.clear_route!("eth0")
      assert {:error, :not_allowed} = RouteManager.stop_daemon()

      assert_raise Beamroute.Error, ":not_allowed", fn -> RouteManager.stop_daemon!() end
      Rig.stop(daemon)
    end

    test "the reason is the caller's module, function and line" do
      daemon = Rig.start()
      start_supervised!({Beamroute, @options})
      RouteManager.await_connected!()
      assert :ok = RouteManager.set_connection_status("eth0", :lan)
      line = __ENV__.line - 1
      %{interfaces: %{"eth0" => %{why: why}}} = RouteManager.status!()
      assert why =~ ~r/^BeamrouteTest\.test with a daemon .*\/1:#{line}$/
      assert :ok = RouteManager.set_connection_status!("eth0", :internet)
      line = __ENV__.line - 1
      assert RouteManager.status!().interfaces["eth0"].why =~ ~r/^BeamrouteTest\..*:#{line}$/
      Rig.stop(daemon)
    end

    test "a supervisor starts a link again, and the daemon stays" do
      daemon = Rig.start()
      link = start_supervised!({Beamroute, @options})
      RouteManager.await_connected!()
      RouteManager.set_route!("eth0", [{@ip, 24}], @gateway)
      assert :ok = RouteManager.stop()
      Rig.eventually(fn -> Process.whereis(:beamroute_link) not in [nil, link] end)
      RouteManager.await_connected!()
      assert RouteManager.status!().interfaces["eth0"].install == :installed
      Rig.stop(daemon)
    end
  end

  test "while the node is away" do
    start_supervised!({Beamroute, Keyword.put(@options, :name, :away)})
    on = [link: :away]
    assert :ok = RouteManager.set_connection_status!("eth0", :lan, nil, on)
    assert {:error, :disconnected} = RouteManager.clear_route("eth0", [queue: false] ++ on)
    assert {:error, :disconnected} = RouteManager.plan([last_known: true] ++ on)
    assert {:error, {:badarg, sentence}} = RouteManager.set_route("eth0", [{@ip, 33}], nil, on)
    assert sentence == "set_route: prefix length 33 is not in 1..32"

    assert_raise Beamroute.Error, sentence, fn ->
      RouteManager.set_route!("eth0", [{@ip, 33}], nil, on)
    end

    assert_raise Beamroute.Error, ~r/not connected/, fn -> RouteManager.status!(on) end
    assert_raise Beamroute.Error, ~r/no such link/, fn -> RouteManager.status!(link: :none) end
  end

  test "bad options fail at the start and name the key" do
    assert {:error, {{:bad_option, :nod, "nod is not an option" <> _}, _child}} =
             start_supervised({Beamroute, nod: @node})

    assert {:error, {{:bad_option, :node, "node is missing" <> _}, _child}} =
             start_supervised({Beamroute, []})

    assert {:error, {:bad_option, :backoff_max, _}} =
             RouteManager.start_link(node: @node, backoff_max: "1")
  end

  test "several links side by side, by name" do
    start_supervised!({Beamroute, Keyword.put(@options, :name, :one)})
    start_supervised!({RouteManager, Keyword.put(@options, :name, :two)})
    assert :ok = RouteManager.set_metric("eth0", 3, link: :two)
    assert %{wishes: 0} = RouteManager.link_info!(link: :one)
    assert %{wishes: 1} = RouteManager.link_info!(link: :two)
    assert :ok = RouteManager.stop!(link: :one)
  end
end
