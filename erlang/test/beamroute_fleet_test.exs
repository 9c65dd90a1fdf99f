defmodule BeamrouteFleetTest do
  use ExUnit.Case, async: false

  alias Beamroute.Fleet
  alias :beamroute_rig, as: Rig

  @nodes [:"north@127.0.0.1", :"south@127.0.0.1"]

  @tag :daemon
  test "one request to several daemons" do
    Rig.settle()

    on_exit(fn ->
      Rig.kill_all()
      Enum.each(@nodes, &Node.disconnect/1)
      Rig.settle()
    end)

    daemons =
      for {node, protocol} <- Enum.zip(@nodes, ["111", "112"]) do
        Rig.start(%{name: to_charlist(node), args: ["--protocol", protocol]})
      end

    nodes = @nodes ++ [:"nowhere@127.0.0.1"]
    assert {:ok, answers} = Fleet.multicall(nodes, :status, cookie: :client)

    assert [{:"north@127.0.0.1", {:ok, %{}}}, {:"south@127.0.0.1", {:ok, %{}}}, nowhere] = answers
    assert nowhere == {:"nowhere@127.0.0.1", {:error, :noconnection}}

    request = {:set_connection_status, "eth0", :internet}
    assert [{_, {:ok, :ok}}, {_, {:ok, :ok}}] = Fleet.multicall!(@nodes, request, connect: false)
    line = __ENV__.line - 1
    assert [{_, {:ok, status}} | _] = Fleet.multicall!(@nodes, :status)
    assert status.interfaces["eth0"].why =~ ~r/^BeamrouteFleetTest\..*:#{line}$/

    assert [{_, {:ok, :internet}}, {_, {:ok, :internet}}] =
             Fleet.multicall!(@nodes, {:get, ["connection"]}, cookie: nil)

    Enum.each(daemons, &Rig.stop/1)
  end

  test "what makes no sense is asked of none" do
    assert {:error, {:badarg, sentence}} = Fleet.multicall(@nodes, {:set_metric, "eth0", 0})
    assert sentence =~ "set_metric: metric 0 is not a number from 1 to"
    assert_raise Beamroute.Error, ~r/not an option/, fn -> Fleet.multicall!([], :plan, x: 1) end
  end
end
