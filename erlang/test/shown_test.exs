defmodule BeamrouteShownTest do
  # What is shown to those who come from Elixir, run as it stands there.
  use ExUnit.Case, async: false

  alias :beamroute_rig, as: Rig
  alias :beamroute_shown, as: Shown

  @readme Path.expand("../../README.md", __DIR__)
  @notebook Path.expand("../examples/failover.livemd", __DIR__)
  @node :"gw@127.0.0.1"

  describe "with a daemon" do
    @describetag :daemon

    setup do
      Rig.settle()

      on_exit(&Rig.clean_up/0)

      %{daemon: Rig.start()}
    end

    test "README, From Elixir", %{daemon: daemon} do
      [{"elixir", files}, {"elixir", shell}] = Shown.blocks(@readme, "From Elixir")
      ["# mix.exs", _, "# application.ex", start] = files
      # As between any two nodes: the same cookie.
      Node.set_cookie(@node, :client)
      {{:ok, supervisor}, _} = Code.eval_string(start)
      steps = Shown.steps(shell)
      env = Code.env_for_eval([])
      {running, _, _} = Enum.reduce(steps, {daemon, [], env}, &step/2)
      # A screen that shows next to nothing would pass as well.
      assert Enum.count(steps, &match?({:say, _, [_]}, &1)) >= 14
      assert Enum.count(steps, &match?({:world, _}, &1)) == 2
      Supervisor.stop(supervisor)
      Rig.stop(running)
    end

    test "the notebook" do
      # Livebook keeps a secret of this name so.
      System.put_env("LB_BEAMROUTE_COOKIE", "client")
      on_exit(fn -> System.delete_env("LB_BEAMROUTE_COOKIE") end)
      [{install, []}, gateway, link | cells] = cells(Shown.blocks(@notebook))
      assert installs(install) == :beamroute
      env = Code.env_for_eval(file: @notebook)
      # Cells are evaluated again when one above has changed.
      {_, _, most} = Enum.reduce([gateway, link, gateway, link | cells], {[], env, 0}, &cell/2)
      assert most == 2, "both interfaces had a default route at once"
      assert kernel() == []
    end
  end

  test "README's dependency is compiled and started by a new project, with no network" do
    [{"elixir", [_, line | _]} | _] = Shown.blocks(@readme, "From Elixir")
    dir = Path.join(System.get_env("BEAMROUTE_TEST_DIR") || System.tmp_dir!(), "mix_project")
    File.rm_rf!(dir)
    File.mkdir_p!(Path.join(dir, "shop"))
    File.ln_s!(Path.dirname(@readme), Path.join(dir, "beamroute"))

    File.write!(Path.join(dir, "shop/mix.exs"), """
    defmodule Shop.MixProject do
      use Mix.Project
      def project, do: [app: :shop, version: "1.0.0", deps: [#{line}]]
    end
    """)

    {output, status} =
      System.cmd("mix", ["run", "-e", "IO.puts(Application.spec(:beamroute, :vsn))"],
        cd: Path.join(dir, "shop"),
        env: [{"MIX_BUILD_PATH", nil}, {"MIX_BUILD_ROOT", nil}, {"MIX_ENV", nil}],
        stderr_to_stdout: true
      )

    assert status == 0, output
    version = to_string(Application.spec(:beamroute, :vsn))
    assert output |> String.split("\n", trim: true) |> List.last() == version
    File.rm_rf!(dir)
  end

  defp step({:world, text}, {daemon, binding, env}), do: {Shown.act(text, daemon), binding, env}

  defp step({:say, code, shown}, {daemon, binding, env}) do
    {output, binding, env} = say(code, binding, env)
    assert shown in [[], [output]], "#{code}\nshows\n#{output}\nand not\n#{shown}"
    {daemon, binding, env}
  end

  # What iex prints.
  defp say(code, binding, env) do
    {value, binding, env} = eval(code, binding, env)
    {inspect(value), binding, env}
  rescue
    error -> {"** (#{inspect(error.__struct__)}) #{Exception.message(error)}", binding, env}
  end

  defp eval(code, binding, env) do
    Code.eval_quoted_with_env(Code.string_to_quoted!(code, file: env.file), binding, env)
  end

  # A cell, and the output that Livebook has kept of it.
  defp cells([]), do: []
  defp cells([{"elixir", cell}, {"", output} | rest]), do: [{cell, output} | cells(rest)]
  defp cells([{"elixir", cell} | rest]), do: [{cell, []} | cells(rest)]

  # Another machine installs it; here it only is the package whose notebook this is.
  defp installs(cell) do
    {{:., _, [{:__aliases__, _, [:Mix]}, :install]}, _, [[{app, [path: path]}]]} =
      cell |> Enum.join("\n") |> Code.string_to_quoted!()

    {path, _} = Code.eval_quoted(path, [], file: @notebook)
    assert File.read!(Path.join(path, "mix.exs")) =~ "app: #{inspect(app)},"
    app
  end

  defp cell({lines, shown}, {binding, env, most}) do
    code = Enum.join(lines, "\n")
    refute code =~ "Mix.install"
    assert IO.iodata_to_binary(Code.format_string!(code)) == code
    {value, binding, env} = eval(code, binding, env)
    assert shown != [], "a cell without output: #{code}"
    assert {code, inspect(value, pretty: true)} == {code, Enum.join(shown, "\n")}
    assert {code, Enum.sort(planned())} == {code, Enum.sort(kernel())}
    {binding, env, max(most, length(kernel()))}
  end

  # The default routes that the daemon says there are, and those that there are.
  defp planned do
    case Beamroute.RouteManager.status() do
      {:ok, %{entries: entries}} ->
        for {:default_route, ifname, _, metric, :main} <- entries, do: {ifname, metric}

      {:error, :noproc} ->
        []
    end
  end

  defp kernel do
    {routes, 0} = System.cmd("ip", ~w(route show default proto 110))

    for route <- String.split(routes, "\n", trim: true) do
      [_, ifname, metric] = Regex.run(~r/ dev (\S+) .*metric (\d+)/, route)
      {ifname, String.to_integer(metric)}
    end
  end
end
