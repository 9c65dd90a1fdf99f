defmodule Beamroute.Telemetry do
  @moduledoc """
  What a link tells to `:telemetry`, if that application is among the dependencies. Nothing else changes without it.

  | event | when | measurements | metadata |
  | --- | --- | --- | --- |
  | `[:beamroute, :connection]` | a link is connected | `system_time`, `duration` since it was not | `node`, `link` |
  | `[:beamroute, :disconnection]` | a link has lost its daemon | `system_time`, `duration` of the connection | `node`, `link`, `reason` |
  | `[:beamroute, :call, :start]` | a function of `Beamroute.RouteManager` asks a link | `system_time`, `monotonic_time` | `node`, `link`, `call`, `ifname`, `telemetry_span_context` |
  | `[:beamroute, :call, :stop]` | it has an answer | `duration`, `monotonic_time` | those of `:start`, `result`, `reason` |
  | `[:beamroute, :call, :exception]` | it is interrupted | `duration`, `monotonic_time` | those of `:start`, `kind`, `reason`, `stacktrace` |
  | `[:beamroute, :routes, :changed]` | the daemon tells of a change | `system_time`, `sequence` | `node`, `link`, `kind`, `ifname`, `event` |

  ## Measurements

  Times and durations are integers in native units: `System.convert_time_unit(duration, :native, :microsecond)`.
  `sequence` is the number that the daemon gave to its event; it counts from 1 at every connection.

  ## Metadata

    * `node` - the daemon's node; `nil` for calls through a link that has no name
    * `link` - the link's name, or its pid
    * `call` - the name of the function, such as `:set_route`
    * `ifname` - the interface that it is about, or `nil`
    * `result` - `:ok` or `:error`; `reason` is then what `{:error, reason}` said, or `nil`
    * `reason` of a lost connection - as a monitor says it, such as `:noconnection`
    * `kind` of a change - `:property`, `:install`, `:healed` or `:foreign`, as in `event`, which is the daemon's event
    * `kind`, `reason` and `stacktrace` of an exception - as `catch` gives them

  What the daemon tells when a connection begins is the state as it is, and no change. A write that is made while the node is
  away and kept ends with the result `:ok`, as for its caller. More events and more metadata are no breaking change.

  Calls are told by the calling process. The other events are told by the link, so a handler that is slow holds it up.
  Whether telemetry is there is looked up when a link starts.

  ## The log

      Beamroute.Telemetry.attach_default_handler()

  writes connections and changes at level info, lost connections and refused calls at warning, interrupted calls at error and
  answered calls at debug. It is attached only by this line. From Erlang it is
  `beamroute_telemetry:attach_default_handler/0`.
  """

  @typedoc "The name of an event."
  @type event :: :beamroute_telemetry.event()

  @typedoc "Why there is no handler: telemetry is not among the dependencies."
  @type not_installed :: {:not_installed, String.t()}

  @doc "All events."
  @spec events() :: [event(), ...]
  defdelegate events(), to: :beamroute_telemetry

  @doc "Writes events to the log, all of them by default."
  @spec attach_default_handler([event()]) :: :ok | {:error, :already_exists | not_installed()}
  def attach_default_handler(events \\ events()),
    do: :beamroute_telemetry.attach_default_handler(events)

  @doc "Writes them no more."
  @spec detach_default_handler() :: :ok | {:error, :not_found | not_installed()}
  defdelegate detach_default_handler(), to: :beamroute_telemetry
end
