defmodule Beamroute.RouteManager do
  @moduledoc """
  VintageNet's RouteManager, and a little more: what is asked for goes over a link to the daemon.

      {:ok, _} = Beamroute.RouteManager.start_link(node: :"beamroute@gw")
      :ok = Beamroute.RouteManager.set_route("eth0", [{{192, 0, 2, 10}, 24}], {192, 0, 2, 1})
      {:ok, :lan} = Beamroute.RouteManager.get(["connection"])

  Interface names are binaries; addresses are tuples or their text; no gateway is `nil`.

  ## Errors

  They are `{:error, reason}`, and nothing exits the caller; the functions with a `!` raise `Beamroute.Error`.

    * `{:badarg, sentence}` - what is asked for makes no sense; said at once, also while the node is away
    * `:disconnected` - the node is away, and the request is not one that is kept
    * `:timeout` - no answer in time; a write may still be carried out
    * `:noproc` - there is no such link
    * `{:too_many_interfaces, max}` - the node is away, and wishes of so many interfaces are kept; or the daemon says so
    * anything else is the daemon's own, such as `:not_allowed`

  Writes made while the node is away are kept, the latest per interface, and answered `:ok`.

  ## Options

  Every function takes these as its last argument:

    * `:link` - the name or the pid of the link, `:beamroute_link` by default
    * `:timeout` - how long to wait for the answer, 5000 ms by default
    * `:queue` - for writes: whether the wish is kept while the node is away, by default what the link's option says
    * `:last_known` - for reads: while the node is away, answer what was known last, `false` by default
  """

  import Beamroute.Error, only: [unwrap!: 1]

  @type ifname :: :beamroute_arguments.ifname()
  @type subnet :: :beamroute_arguments.subnet()
  @type gateway :: :beamroute_arguments.gateway()
  @type connection_status :: :beamroute_arguments.connection_status()
  @type why :: :beamroute_arguments.why()
  @type metric :: :beamroute_arguments.metric()
  @type owner_policy :: :beamroute_arguments.owner_policy()
  @type property :: [String.t()]
  @type plan :: :beamroute_route_manager.plan()
  @type option ::
          {:link, Beamroute.link()}
          | {:timeout, pos_integer()}
          | {:queue, boolean()}
          | {:last_known, boolean()}
  @type error :: {:error, reason :: term()}

  @doc "Starts a link, with the options of `Beamroute`."
  @spec start_link([Beamroute.option()]) :: {:ok, pid()} | {:error, :beamroute_link.start_error()}
  defdelegate start_link(options), to: :beamroute_link

  @doc "The link as a child of a supervisor."
  @spec child_spec([Beamroute.option()]) :: Supervisor.child_spec()
  defdelegate child_spec(options), to: :beamroute_route_manager

  @doc """
  Says how far an interface reaches, which ranks its routes. The reason is the caller's module, function and line.
  """
  @spec set_connection_status(ifname(), connection_status()) :: :ok | error()
  def set_connection_status(ifname, status) do
    # Not the last call: the caller is looked up on the stack.
    reply = :beamroute_route_manager.set_connection_status(ifname, status)
    reply
  end

  @doc "As `set_connection_status/2`, with the reason, which `status/1` shows."
  @spec set_connection_status(ifname(), connection_status(), why(), [option()]) :: :ok | error()
  def set_connection_status(ifname, status, why, options \\ []),
    do: :beamroute_route_manager.set_connection_status(ifname, status, why, options)

  @doc "As `set_connection_status/2`, or raises `Beamroute.Error`."
  @spec set_connection_status!(ifname(), connection_status()) :: :ok
  def set_connection_status!(ifname, status), do: unwrap!(set_connection_status(ifname, status))

  @doc "As `set_connection_status/4`, or raises `Beamroute.Error`."
  @spec set_connection_status!(ifname(), connection_status(), why(), [option()]) :: :ok
  def set_connection_status!(ifname, status, why, options \\ []),
    do: unwrap!(set_connection_status(ifname, status, why, options))

  @doc "Replaces the addresses and the gateway of an interface; its status is kept, `:lan` if it had none."
  @spec set_route(ifname(), [subnet()], gateway(), [option()]) :: :ok | error()
  def set_route(ifname, ip_subnets, gateway, options \\ []),
    do: :beamroute_route_manager.set_route(ifname, ip_subnets, gateway, options)

  @doc "As `set_route/4`, or raises `Beamroute.Error`."
  @spec set_route!(ifname(), [subnet()], gateway(), [option()]) :: :ok
  def set_route!(ifname, ip_subnets, gateway, options \\ []),
    do: unwrap!(set_route(ifname, ip_subnets, gateway, options))

  @doc "Forgets an interface and takes its routes out; `:ok` also when it is unknown."
  @spec clear_route(ifname(), [option()]) :: :ok | error()
  def clear_route(ifname, options \\ []),
    do: :beamroute_route_manager.clear_route(ifname, options)

  @doc "As `clear_route/2`, or raises `Beamroute.Error`."
  @spec clear_route!(ifname(), [option()]) :: :ok
  def clear_route!(ifname, options \\ []), do: unwrap!(clear_route(ifname, options))

  @doc "Has the daemon read its ranking again and plan again."
  @spec refresh_route_metrics([option()]) :: :ok | error()
  def refresh_route_metrics(options \\ []),
    do: :beamroute_route_manager.refresh_route_metrics(options)

  @doc "As `refresh_route_metrics/1`, or raises `Beamroute.Error`."
  @spec refresh_route_metrics!([option()]) :: :ok
  def refresh_route_metrics!(options \\ []), do: unwrap!(refresh_route_metrics(options))

  @doc "Overrides the ranking for one interface; `:default` returns to it."
  @spec set_metric(ifname(), metric(), [option()]) :: :ok | error()
  def set_metric(ifname, metric, options \\ []),
    do: :beamroute_route_manager.set_metric(ifname, metric, options)

  @doc "As `set_metric/3`, or raises `Beamroute.Error`."
  @spec set_metric!(ifname(), metric(), [option()]) :: :ok
  def set_metric!(ifname, metric, options \\ []), do: unwrap!(set_metric(ifname, metric, options))

  @doc "Says what becomes of this node's wishes when this node goes down."
  @spec set_owner_policy(owner_policy(), [option()]) :: :ok | error()
  def set_owner_policy(policy, options \\ []),
    do: :beamroute_route_manager.set_owner_policy(policy, options)

  @doc "As `set_owner_policy/2`, or raises `Beamroute.Error`."
  @spec set_owner_policy!(owner_policy(), [option()]) :: :ok
  def set_owner_policy!(policy, options \\ []), do: unwrap!(set_owner_policy(policy, options))

  @doc "Everything that the daemon knows of interfaces, entries and nodes."
  @spec status([option()]) :: {:ok, map()} | error()
  def status(options \\ []), do: :beamroute_route_manager.status(options)

  @doc "As `status/1`, or raises `Beamroute.Error`."
  @spec status!([option()]) :: map()
  def status!(options \\ []), do: unwrap!(status(options))

  @doc "What would change now, with the `ip` commands for it; `[]` when the kernel has all that it was asked for."
  @spec plan([option()]) :: {:ok, plan()} | error()
  def plan(options \\ []), do: :beamroute_route_manager.plan(options)

  @doc "As `plan/1`, or raises `Beamroute.Error`."
  @spec plan!([option()]) :: plan()
  def plan!(options \\ []), do: unwrap!(plan(options))

  @doc "The value of one of VintageNet's properties, `nil` if there is none."
  @spec get(property(), [option()]) :: {:ok, term()} | error()
  def get(property, options \\ []), do: :beamroute_route_manager.get(property, options)

  @doc "As `get/2`, or raises `Beamroute.Error`."
  @spec get!(property(), [option()]) :: term()
  def get!(property, options \\ []), do: unwrap!(get(property, options))

  @doc "Waits until the link is connected; `{:error, :disconnected}` if it is not in time."
  @spec await_connected([option()]) :: :ok | error()
  def await_connected(options \\ []), do: :beamroute_route_manager.await_connected(options)

  @doc "As `await_connected/1`, or raises `Beamroute.Error`."
  @spec await_connected!([option()]) :: :ok
  def await_connected!(options \\ []), do: unwrap!(await_connected(options))

  @doc "How the link is: its state, and what waits in it."
  @spec link_info([option()]) :: {:ok, :beamroute_link.info()} | error()
  def link_info(options \\ []), do: :beamroute_route_manager.link_info(options)

  @doc "As `link_info/1`, or raises `Beamroute.Error`."
  @spec link_info!([option()]) :: :beamroute_link.info()
  def link_info!(options \\ []), do: unwrap!(link_info(options))

  @doc "Ends the daemon, if it runs with `--admin all`."
  @spec stop_daemon([option()]) :: :ok | error()
  def stop_daemon(options \\ []), do: :beamroute_route_manager.stop_daemon(options)

  @doc "As `stop_daemon/1`, or raises `Beamroute.Error`."
  @spec stop_daemon!([option()]) :: :ok
  def stop_daemon!(options \\ []), do: unwrap!(stop_daemon(options))

  @doc "Ends the link, and not the daemon. The routes stay."
  @spec stop([option()]) :: :ok | error()
  def stop(options \\ []), do: :beamroute_route_manager.stop(options)

  @doc "As `stop/1`, or raises `Beamroute.Error`."
  @spec stop!([option()]) :: :ok
  def stop!(options \\ []), do: unwrap!(stop(options))

  @doc "Tells a process of this node what happens: see `:beamroute_link` for the messages."
  @spec subscribe(pid(), [option()]) :: :ok | error()
  def subscribe(pid \\ self(), options \\ []),
    do: :beamroute_route_manager.subscribe(pid, options)

  @doc "As `subscribe/2`, or raises `Beamroute.Error`."
  @spec subscribe!(pid(), [option()]) :: :ok
  def subscribe!(pid \\ self(), options \\ []), do: unwrap!(subscribe(pid, options))

  @doc "Tells it no more."
  @spec unsubscribe(pid(), [option()]) :: :ok | error()
  def unsubscribe(pid \\ self(), options \\ []),
    do: :beamroute_route_manager.unsubscribe(pid, options)

  @doc "As `unsubscribe/2`, or raises `Beamroute.Error`."
  @spec unsubscribe!(pid(), [option()]) :: :ok
  def unsubscribe!(pid \\ self(), options \\ []), do: unwrap!(unsubscribe(pid, options))
end
