//! What a user types at `iex`.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::{Beam, Lines, Process, Rig, have};

/// A rig whose second node is Elixir's, which knows the daemon as `n`.
fn rig() -> Option<(Rig, Beam)> {
    let rig = Rig::start()?;
    let elixir = Beam::elixir(&rig.epmd.place(), &rig.daemon.cookie)?;
    elixir.ok(&format!("n = :\"{}\"", rig.daemon.node));
    Some((rig, elixir))
}

#[test]
fn node_connect_ping_list_monitor_and_disconnect() {
    let Some((_rig, elixir)) = rig() else { return };
    elixir.expect(&[
        ("Node.connect(n)", "true"),
        ("Node.ping(n)", ":pong"),
        ("Node.list()", "[]"),
        ("Node.list(:hidden) == [n]", "true"),
        ("Node.monitor(n, true)", "true"),
        ("Node.disconnect(n)", "true"),
        ("receive do {:nodedown, ^n} -> :gone after 5000 -> :nothing end", ":gone"),
        ("Node.list(:hidden)", "[]"),
    ]);
}

#[test]
fn genserver_call_cast_and_send_to_both_names() {
    let Some((rig, elixir)) = rig() else { return };
    elixir.expect(&[
        ("GenServer.call({:route_manager, n}, {:set_route, \"eth0\", [{{192, 168, 1, 50}, 24}], {192, 168, 1, 1}})", ":ok"),
        ("GenServer.call({VintageNet.RouteManager, n}, {:set_connection_status, \"eth0\", :internet, \"typed\"})", ":ok"),
        ("GenServer.call({:route_manager, n}, {:get, [\"connection\"]})", ":internet"),
        ("GenServer.call({:route_manager, n}, :status).interfaces[\"eth0\"].why", "\"typed\""),
        ("GenServer.cast({VintageNet.RouteManager, n}, {:clear_route, \"eth0\"})", ":ok"),
        ("send({:route_manager, n}, :anything)", ":anything"),
        ("GenServer.call({:route_manager, n}, {:get, [\"connection\"]})", ":disconnected"),
        ("GenServer.call({:route_manager, n}, {:bogus, 1})", "{:error, {:unknown_request, {:bogus, 1}}}"),
        ("match?({:error, {:badarg, \"set_route: \" <> _}}, GenServer.call({:route_manager, n}, {:set_route, \"eth0\", [{{192, 168, 1, 50}, 33}], nil}))", "true"),
    ]);
    assert!(!rig.net.ip(&["route"]).contains("proto 110"));
}

#[test]
fn rpc_and_erpc_of_vintagenets_module() {
    let Some((_rig, elixir)) = rig() else { return };
    elixir.expect(&[
        (":erpc.call(n, VintageNet.RouteManager, :set_connection_status, [\"eth0\", :lan])", ":ok"),
        (":rpc.call(n, VintageNet.RouteManager, :refresh_route_metrics, [])", ":ok"),
        (":erpc.call(n, :route_manager, :status, []).connection", ":lan"),
        (":erpc.multicall([n], VintageNet.RouteManager, :clear_route, [\"eth0\"])", "[ok: :ok]"),
        (
            "try do :erpc.call(n, :route_manager, :clear_route, [\"a/b\"]) rescue e -> elem(e.original, 1) end",
            ":badarg",
        ),
        ("try do :erpc.call(n, Nothing, :here, []) rescue e -> elem(e.original, 1) end", ":undef"),
        (":rpc.call(n, :net_kernel, :get_net_ticktime, [])", "60"),
    ]);
}

#[test]
fn process_monitor_and_genserver_whereis() {
    let Some((mut rig, elixir)) = rig() else { return };
    elixir.expect(&[
        ("ref = Process.monitor({:nobody, n}); receive do {:DOWN, ^ref, :process, {:nobody, ^n}, why} -> why after 5000 -> :nothing end", ":noproc"),
        ("ref = Process.monitor({:route_manager, n}); receive do x -> x after 200 -> :quiet end", ":quiet"),
    ]);
    rig.daemon.signal(nix::sys::signal::Signal::SIGTERM);
    elixir.expect(&[(
        "receive do {:DOWN, ^ref, :process, {:route_manager, ^n}, why} -> why in [:shutdown, :normal] after 5000 -> :nothing end",
        "true",
    )]);
    assert_eq!(rig.daemon.exit_code(), Some(0));
}

#[test]
fn genserver_stop_is_refused_without_hanging() {
    let Some((_rig, elixir)) = rig() else { return };
    elixir.expect(&[
        (
            "try do GenServer.stop({:route_manager, n}, :normal, 3000) catch kind, _ -> kind in [:exit, :error] end",
            "true",
        ),
        ("Node.ping(n)", ":pong"),
    ]);
}

#[test]
fn ten_lines_at_iex() {
    let Some(rig) = Rig::start() else { return };
    if !have("iex") {
        return;
    }
    let node = &rig.daemon.node;
    let session = [
        (format!("Node.connect(:\"{node}\")"), "true"),
        (format!("n = :\"{node}\"; Node.ping(n)"), ":pong"),
        ("Node.list(:hidden) == [n]".to_owned(), "true"),
        (
            "GenServer.call({:route_manager, n}, {:set_route, \"eth0\", [{{192, 168, 1, 50}, 24}], {192, 168, 1, 1}})"
                .to_owned(),
            ":ok",
        ),
        ("GenServer.call({:route_manager, n}, {:set_connection_status, \"eth0\", :internet, nil})".to_owned(), ":ok"),
        (":erpc.call(n, :route_manager, :get, [[\"connection\"]])".to_owned(), ":internet"),
        (":erpc.call(n, VintageNet.RouteManager, :clear_route, [\"eth0\"])".to_owned(), ":ok"),
        ("is_reference(Process.monitor({:route_manager, n}))".to_owned(), "true"),
        ("Node.disconnect(n)".to_owned(), "true"),
    ];
    let home = crate::support::beam::home_with(&rig.daemon.cookie);
    let name = format!("iex{}@127.0.0.1", std::process::id());
    let mut command = Command::new("iex");
    command.args(["--dot-iex", "/dev/null", "--name", &name, "--erl", crate::support::beam::QUIET]);
    rig.epmd.place().tell(&mut command).env("HOME", home.path()).env("TERM", "dumb").env("LC_ALL", "C.UTF-8");
    let mut process = Process::spawn(command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit()));
    let lines = Lines::read(process.0.stdout.take().unwrap());
    let mut stdin = process.0.stdin.take().unwrap();
    for (typed, shown) in session {
        writeln!(stdin, "{typed}").unwrap();
        loop {
            let line = lines.next(Duration::from_secs(30));
            let line = line.unwrap_or_else(|| panic!("{typed}: nothing shown\n{}", lines.text()));
            // The prompt has no line end of its own: it stands before what is shown.
            let text = line.rsplit("> ").next().unwrap().trim();
            if text == shown {
                break;
            }
            assert!(!text.starts_with("** "), "{typed}: {}", lines.text());
        }
    }
}
