defmodule Beamroute do
  @moduledoc """
  The link to a beamroute daemon, for a supervision tree.

      children = [
        {Beamroute, node: :"beamroute@gw"}
      ]

  It connects by itself, and again whenever the daemon was away; starting it never waits for the network. What it is
  asked for goes through `Beamroute.RouteManager`.

  ## Options

    * `:node` - the daemon's node; required
    * `:name` - the link's registered name, `:beamroute_link` by default, which is the link that functions take when
      they are given none. Several links need several names. `nil` for none
    * `:cookie` - the daemon's cookie, if it is another than this node's
    * `:connect_timeout` - how long one attempt to connect may take, 7000 ms by default
    * `:backoff_initial` - the wait after the first attempt that failed, 500 ms by default; it doubles, and is jittered
    * `:backoff_max` - the longest wait, 30000 ms by default
    * `:queue` - whether what is asked for while the node is away is kept, `true` by default
    * `:max_interfaces` - of how many interfaces wishes are kept, 256 by default, as the daemon's `--max-interfaces`;
      one more is `{:error, {:too_many_interfaces, 256}}`
    * `:distribution` - `[name: :me]`, and `:cookie` if it is not to be that of `~/.erlang.cookie`: starts distribution if
      this node has none, at 127.0.0.1 and with the epmd that the daemon has within. Without it, a link on a node that is not
      distributed does not start, and says so

  A wrong option is `{:error, {:bad_option, key, sentence}}` at the start.

  A link with a name that crashes and is started again still has its subscribers, and the wishes that it has taken and the
  daemon has not answered: the VM keeps them. `Beamroute.RouteManager.stop/1` forgets them, and a link without a name
  loses them with its process.
  """

  @typedoc "The name of a link, or its pid."
  @type link :: :beamroute_link.link()

  @typedoc "An option of a link."
  @type option ::
          {:node, node()}
          | {:name, atom()}
          | {:cookie, atom()}
          | {:connect_timeout, pos_integer()}
          | {:backoff_initial, pos_integer()}
          | {:backoff_max, pos_integer()}
          | {:queue, boolean()}
          | {:max_interfaces, pos_integer()}
          | {:distribution, [name: atom(), cookie: atom()]}

  @doc "The link as a child of a supervisor."
  @spec child_spec([option()]) :: Supervisor.child_spec()
  defdelegate child_spec(options), to: :beamroute_route_manager

  @doc "Starts a link."
  @spec start_link([option()]) :: {:ok, pid()} | {:error, :beamroute_link.start_error()}
  defdelegate start_link(options), to: :beamroute_link
end
