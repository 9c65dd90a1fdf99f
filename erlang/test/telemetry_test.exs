defmodule Beamroute.TelemetryTest do
  use ExUnit.Case, async: false

  alias :beamroute_stand_ins, as: StandIns

  test "without telemetry, the default handler says so" do
    assert {:error, {:not_installed, sentence}} = Beamroute.Telemetry.attach_default_handler()
    assert sentence =~ "add it to the dependencies"
    assert {:error, {:not_installed, _}} = Beamroute.Telemetry.detach_default_handler()
  end

  test "the default handler writes calls to the log" do
    StandIns.load(:telemetry)

    on_exit(fn ->
      StandIns.unload(:telemetry)
      :beamroute_telemetry.look_up()
    end)

    assert :ok = Beamroute.Telemetry.attach_default_handler([[:beamroute, :call, :stop]])
    assert {:error, :already_exists} = Beamroute.Telemetry.attach_default_handler()
    start_supervised!({Beamroute, node: :"gone@127.0.0.1"})

    log =
      ExUnit.CaptureLog.capture_log(fn ->
        assert {:error, :disconnected} = Beamroute.RouteManager.get(["connection"])
      end)

    assert log =~ "beamroute: get: :disconnected" or log =~ "beamroute: get: disconnected"
    assert :ok = Beamroute.Telemetry.detach_default_handler()
  end

  test "every event is in the documentation" do
    assert {:docs_v1, _, :elixir, _, %{"en" => text}, _, _} = Code.fetch_docs(Beamroute.Telemetry)

    for event <- Beamroute.Telemetry.events(), do: assert(text =~ "`#{inspect(event)}`")
  end
end
