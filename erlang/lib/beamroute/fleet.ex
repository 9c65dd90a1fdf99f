defmodule Beamroute.Fleet do
  @moduledoc """
  One request to many daemons, all in flight at once, with one deadline for all.

      iex> Beamroute.Fleet.multicall([:"beamroute@gw1", :"beamroute@gw2", :"beamroute@gw3"], {:get, ["connection"]})
      {:ok,
       [
         "beamroute@gw1": {:ok, :internet},
         "beamroute@gw2": {:error, :timeout},
         "beamroute@gw3": {:error, :noconnection}
       ]}

  The answers come in the order of the nodes, and every node has one. Nodes that are connected are asked first. The others
  are connected to, so many at once, in the order of their names. An attempt that takes longer than a tenth of the time, or
  than a second, goes on, and the next begins: nodes that hang cost the others no more than that. Where so many hang that
  the time is over before a node's turn comes, it is not asked, and that is its answer. No link is needed, and nothing is
  kept for a node that is away.

  A host's address is looked up before the VM is asked to connect, which would look it up while all other connections wait
  for it. A name without an address is `{:error, :noconnection}`.

  ## Answers

    * `{:ok, reply}` - the daemon's reply: `:ok` for what changes something, a map, a list, a value
    * `{:error, :timeout}` - not in time; a write may have been carried out, or be carried out yet
    * `{:error, :not_asked}` - there was no connection in time; a write has not been carried out, and will not be
    * `{:error, :noconnection}` - it cannot be reached, or was lost; also then a write may have been carried out
    * `{:error, :noproc}` - it is a node, and has no daemon
    * `{:error, reason}` - what the daemon says, such as `{:not_saved, :enospc}`

  ## Requests

  They are those that the daemon takes: `:status`, `:plan`, `{:get, property}`, `{:set_route, ifname, ip_subnets, gateway}`,
  `{:clear_route, ifname}`, `{:set_connection_status, ifname, status}` and with a reason as the fourth,
  `{:set_metric, ifname, metric}`, `{:set_owner_policy, policy}`, `:refresh_route_metrics`. What makes no sense is asked of
  no node: then all of it is `{:error, {:badarg, sentence}}`.

  ## Options

    * `:timeout` - the time for all of it, 5000 ms by default
    * `:connect` - whether nodes that are not connected are connected to, `true` by default. `false` for daemons that dial
      this node themselves (`--connect`)
    * `:max_connects` - how many connections are set up at once, 64 by default, not counting those that take long. If hundreds of nodes are registered with one
      epmd, 8 is better: Erlang's epmd can have some thousand connections open, and each registered node has one
    * `:cookie` - the nodes' cookie, if it is another than this node's

  All nodes that are connected, with a daemon or without: `Node.list(:connected)`.
  """

  @typedoc "What is asked for."
  @type request :: :beamroute_fleet.request()

  @typedoc "What one node has answered."
  @type answer :: :beamroute_fleet.answer()

  @type option ::
          {:timeout, pos_integer()}
          | {:connect, boolean()}
          | {:max_connects, pos_integer()}
          | {:cookie, atom()}

  @doc "Asks all nodes, and waits until all have answered or the time is over."
  @spec multicall([node()], request(), [option()]) ::
          {:ok, [{node(), answer()}]} | {:error, :beamroute_fleet.error()}
  def multicall(nodes, request, options \\ []),
    do: :beamroute_fleet.multicall(nodes, request, options)

  @doc "As `multicall/3`, or raises `Beamroute.Error`; a node's error is one of the answers all the same."
  @spec multicall!([node()], request(), [option()]) :: [{node(), answer()}]
  def multicall!(nodes, request, options \\ []) do
    case multicall(nodes, request, options) do
      {:ok, answers} -> answers
      {:error, reason} -> raise Beamroute.Error, reason: reason
    end
  end
end
