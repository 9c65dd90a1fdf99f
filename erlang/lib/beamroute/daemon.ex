defmodule Beamroute.Daemon do
  @moduledoc """
  The daemon itself as a child of a supervisor, where nothing else (systemd, say) starts it.

      children = [
        {Beamroute.Daemon, node: :"beamroute@127.0.0.1", state_dir: "/data/beamroute"},
        {Beamroute, node: :"beamroute@127.0.0.1"}
      ]

  The two may stand in any order. The link connects when the daemon is ready, and again after it was away.

  A daemon that ends is started again, after a wait that doubles up to a limit. The supervisor sees nothing of that, so a
  daemon that cannot start takes nobody with it; its line that says why is in the log and in `info/1`. One
  that was killed finds its routes in the kernel, and they do not move.

  Its log lines go to Logger, each with its own level, with the domain `[:beamroute, :daemon]` and their fields as the
  metadata `:beamroute`. What the daemon logs below info it logs if it is told to: `env: [{"BEAMROUTE_LOG", "debug"}]`. With
  `"warn"` only its start and its end are told at level info.

  ## Options

    * `:node` - the name that its node is to have; required
    * `:name` - the registered name of the process here, `:beamroute_daemon` by default; `nil` for none. Several daemons
      need several names, and a network namespace (`--netns`) or protocol number each
    * `:bin` - the binary's path, or `{app, path}` for one in the `priv` of an application. By default it is `beamroute` in
      the `priv` of this library, then in the `PATH`
    * `:state_dir` - where it keeps what it was asked for; `/run/beamroute` by default, which a reboot clears
    * `:config` - its configuration file, with the ranking; `/etc/beamroute/beamroute.toml` by default, if it is there
    * `:cookie` - its cookie, an atom; by default this node's, or what this node's will be
    * `:cookie_file` - a file that only its owner may read, with the cookie
    * `:args` - more arguments of `beamroute run`
    * `:env` - more environment variables, `[{name, value}]`; `nil` for a value unsets one
    * `:stay` - whether it survives the VM, `false` by default
    * `:muontrap` - `false` if MuonTrap is not to be used, or a list of options for it, such as `[cgroup_base: "..."]`
    * `:stop_timeout` - how long it has to end in order before it is killed, 5000 ms by default
    * `:backoff_initial` - the first wait before it is started again, 200 ms by default; it doubles, and is jittered
    * `:backoff_max` - the longest wait, 30000 ms by default; after running so long, the first wait is the next again

  A wrong option is `{:error, {:bad_option, key, sentence}}` at the start, and a binary that is nowhere is
  `{:error, {:no_binary, sentence}}` with the places that were looked at.

  The cookie is handed over in the environment, which only root and the daemon's own user can read, or as the name of a
  file. It is never an argument, which everybody could read.

  ## When the VM ends

  The daemon ends with the VM, also after `kill -9`: it runs with `--exit-with-stdin`, and its standard input is a pipe
  from the VM. If MuonTrap 1.6 or later is among the applications, MuonTrap starts it and ends it instead. The routes stay,
  unless `args: ["--on-exit", "clear"]` says otherwise.

  With `stay: true` it stays, and the next VM goes on with it if it would start it with the very same command line. What
  the daemon logs in between, and until `restart/1`, is lost. As a systemd service, the VM then needs `KillMode=process`.

  ## On a device with Nerves

  Build the binary for the target, such as `cargo build --release --target aarch64-unknown-linux-musl`, and put it into
  the firmware with an overlay:

      rootfs_overlay/usr/bin/beamroute
      rootfs_overlay/etc/beamroute/beamroute.toml     # if the ranking is to be another

      # config/target.exs
      config :nerves, :firmware, rootfs_overlay: "rootfs_overlay"

  `/usr/bin` is in the `PATH` there, so `:bin` need not be given. It must be executable (`chmod 755`). The VM is root on
  such a device, and so the daemon has all capabilities that it needs. The kernel must have
  `CONFIG_IP_MULTIPLE_TABLES`, which the official systems have.

  The node is not distributed, and there is no epmd; the daemon has one within:

      {Beamroute.Daemon, node: :"beamroute@127.0.0.1", state_dir: "/data/beamroute"},
      {Beamroute, node: :"beamroute@127.0.0.1", distribution: [name: :device]}

  Both then take the cookie of `-setcookie` in `vm.args`, or of `~/.erlang.cookie`. If `distribution` has a `:cookie`, the
  daemon needs the same one.

  ## Where the VM is not root

  The daemon needs `CAP_NET_ADMIN`, and the VM need not have it. Give it to the binary, outside of directories that the
  VM's user may write to:

      setcap cap_net_admin+ep /usr/local/bin/beamroute
  """

  @typedoc "The registered name of a daemon's process, or its pid."
  @type daemon :: :beamroute_daemon.daemon()

  @typedoc """
  How a daemon is: `is_adopted` if it was found running, left by another VM, `starts` how often it has been started, and
  `reason` how it ended last, with the line that says why.
  """
  @type info :: %{
          node: node(),
          state: :starting | :running | :waiting,
          bin: String.t(),
          os_pid: pos_integer() | nil,
          is_adopted: boolean(),
          starts: non_neg_integer(),
          reason: {outcome :: term(), line :: String.t()} | nil
        }

  @typedoc "An option of a daemon."
  @type option ::
          {:node, node()}
          | {:name, atom()}
          | {:bin, Path.t() | {atom(), Path.t()}}
          | {:state_dir, Path.t()}
          | {:config, Path.t()}
          | {:cookie, atom()}
          | {:cookie_file, Path.t()}
          | {:args, [String.t()]}
          | {:env, [{String.t(), String.t() | nil}]}
          | {:stay, boolean()}
          | {:muontrap, boolean() | keyword()}
          | {:stop_timeout, pos_integer()}
          | {:backoff_initial, pos_integer()}
          | {:backoff_max, pos_integer()}

  @doc "The daemon as a child of a supervisor."
  @spec child_spec([option()]) :: Supervisor.child_spec()
  defdelegate child_spec(options), to: :beamroute_daemon

  @doc "Starts the daemon; it never waits until that is ready."
  @spec start_link([option()]) :: {:ok, pid()} | {:error, :beamroute_daemon.start_error()}
  defdelegate start_link(options), to: :beamroute_daemon

  @doc "How the daemon is: `state`, `os_pid`, how often it was started, and the reason why it ended last."
  @spec info(daemon()) :: {:ok, info()} | {:error, :noproc | :timeout}
  def info(daemon \\ :beamroute_daemon) do
    with {:ok, info} <- :beamroute_daemon.info(daemon) do
      {:ok,
       %{
         info
         | bin: to_string(info.bin),
           os_pid: or_nil(info.os_pid),
           reason: or_nil(info.reason)
       }}
    end
  end

  @doc "As `info/1`, or raises `Beamroute.Error`."
  @spec info!(daemon()) :: info()
  def info!(daemon \\ :beamroute_daemon), do: Beamroute.Error.unwrap!(info(daemon), :daemon)

  @doc "Ends the daemon in order and starts it again: for a new binary at the old place, or one that stayed."
  @spec restart(daemon()) :: :ok | {:error, :noproc | :timeout}
  def restart(daemon \\ :beamroute_daemon), do: :beamroute_daemon.restart(daemon)

  @doc "As `restart/1`, or raises `Beamroute.Error`."
  @spec restart!(daemon()) :: :ok
  def restart!(daemon \\ :beamroute_daemon), do: Beamroute.Error.unwrap!(restart(daemon), :daemon)

  @doc "Ends it, and the daemon, unless that is to stay. A supervisor starts it again."
  @spec stop(daemon()) :: :ok
  def stop(daemon \\ :beamroute_daemon), do: :beamroute_daemon.stop(daemon)

  defp or_nil(:undefined), do: nil
  defp or_nil(value), do: value
end
