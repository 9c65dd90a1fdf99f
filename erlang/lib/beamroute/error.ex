defmodule Beamroute.Error do
  @moduledoc """
  What the functions with a `!` raise. `reason` is what those without it return in `{:error, reason}`.
  """

  defexception [:reason, of: :link]

  @typedoc "`of` is what was called."
  @type t :: %__MODULE__{reason: term(), of: :link | :daemon}

  @impl true
  @spec message(t()) :: String.t()
  def message(%__MODULE__{reason: {:badarg, sentence}}) when is_binary(sentence), do: sentence
  def message(%__MODULE__{reason: :disconnected}), do: "the daemon's node is not connected"

  def message(%__MODULE__{of: :daemon, reason: :noproc}),
    do: "there is no such process: is Beamroute.Daemon started?"

  def message(%__MODULE__{of: :daemon, reason: :timeout}),
    do: "the daemon's process has not answered in time"

  def message(%__MODULE__{reason: :timeout}), do: "the daemon has not answered in time"
  def message(%__MODULE__{reason: :noproc}), do: "there is no such link: is Beamroute started?"
  def message(%__MODULE__{reason: reason}), do: inspect(reason)

  @doc false
  @spec unwrap!(:ok | {:ok, value} | {:error, term()}, :link | :daemon) :: :ok | value
        when value: term()
  def unwrap!(result, of \\ :link)
  def unwrap!(:ok, _), do: :ok
  def unwrap!({:ok, value}, _), do: value
  def unwrap!({:error, reason}, of), do: raise(__MODULE__, reason: reason, of: of)
end
