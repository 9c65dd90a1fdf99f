defmodule Beamroute.VintageNet do
  @moduledoc """
  The drop-in for VintageNet: an application that uses VintageNet keeps its code, and its routes are the daemon's.

      config :beamroute, vintage_net: true

  and a link somewhere, such as `{Beamroute, node: :"beamroute@127.0.0.1"}`. With `vintage_net: [link: :name]`, it is
  another link than the default one. Without configuration, one line in the application does the same:

      children = [
        {Beamroute, node: :"beamroute@127.0.0.1"},
        Beamroute.VintageNet
      ]

  Calls to `VintageNet.RouteManager` then go to the daemon, and the properties `["available_interfaces"]`,
  `["connection"]` and `["interface", ifname, "connection"]` appear in VintageNet's property table as before.

  ## How

  VintageNet's supervisor starts its own manager under the name `VintageNet.RouteManager`, between the processes that it
  needs and those that need it, with `:rest_for_one`, and offers no hook. Taking the name would make the supervisor's
  next restart fail, and VintageNet with it; ending the manager would end the interfaces after it. So the process stays
  where it is, VintageNet's child, and its code changes, as in an upgrade of a release: a module
  `VintageNet.RouteManager` of the same functions is made and loaded.

    * Whatever VintageNet's supervisor starts, starts ours, from then on: after a crash of the manager, of a process
      before it, or a restart of VintageNet. A module that is loaded is not loaded again by itself, neither in
      interactive mode nor in embedded mode, which releases use. If somebody loads VintageNet's once more, ours is
      back within a second; calls in that second are VintageNet's, which does not expect the daemon's routes and may
      crash over them.
    * If VintageNet runs already, its manager is suspended, its state taken over, and resumed. It keeps its pid, so
      no other process notices; calls wait meanwhile. VintageNet's routes leave the kernel when the daemon's are in.
    * If VintageNet starts later, ours is there before.
    * If VintageNet is not there at all, the log says so, and nothing else happens.
    * When the application `beamroute` (or the child) stops but the system stays, the same goes backwards: the daemon
      is told to let go of VintageNet's interfaces, and VintageNet's own code makes its routes. For a moment there are
      none.
      When the system stops, the daemon keeps them.

  ## What is the same, and what is not

    * A call is answered when the daemon has answered, or at once while it is away, and then the property table has been
      told, in the order of VintageNet's own manager.
    * While the daemon is there, the properties are the daemon's, with all that others ask of it, and what it has
      kept from before VintageNet was restarted: a restart of the VM moves no route.
    * While it is away, the properties follow what VintageNet asks for: the status is known here, and the routes that
      the daemon left stay. All that was asked is told again when it is back, also to a daemon that has lost its
      state.
    * `route_metric_fun`, VintageNet's key, is asked in this VM, on every change and on
      `VintageNet.RouteManager.refresh_route_metrics/0`, and its numbers are sent. It may be a function,
      `{module, function, 2}`, or `{module, function, args}`, with arguments after the interface's. If it fails or gives
      no metric, the log says so, and the metric stays as it was. VintageNet's own function is the daemon's ranking:
      no numbers are sent for it.
    * What makes no sense is refused with `{:error, {:badarg, sentence}}`, where VintageNet's manager would crash.
  """

  @typedoc "Which link is used, `:beamroute_link` by default."
  @type option :: {:link, Beamroute.link()}

  @doc "The drop-in as a child of a supervisor, if it is not configured."
  @spec child_spec([option()]) :: Supervisor.child_spec()
  defdelegate child_spec(options), to: :beamroute_vintage_net

  @doc "Makes `VintageNet.RouteManager` the daemon's, until it ends."
  @spec start_link([option()]) ::
          {:ok, pid()} | {:error, :beamroute_options.bad_option() | {:already_started, pid()}}
  defdelegate start_link(options), to: :beamroute_vintage_net
end
