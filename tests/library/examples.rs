//! The programs in `examples/`, used as their heads say.

use std::process::{Command, Stdio};

use crate::support::epmd::Place;
use crate::support::{Beam, Epmd, Lines, PATIENCE, Process, output, repository};

const COOKIE: &str = "examples";

/// An example that runs, and what it prints.
struct Example {
    process: Process,
    lines: Lines,
}

/// A command that runs an example, built if need be.
fn command(name: &str, place: Place, home: &std::path::Path) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    output(Command::new(cargo).args(["build", "--quiet", "--example", name]).current_dir(repository("")));
    // Beside this very program: target/debug/deps.
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    path.pop();
    let mut command = Command::new(path.join("examples").join(name));
    place.tell(&mut command).env("HOME", home).env_remove("XDG_CONFIG_HOME");
    command
}

impl Example {
    fn start(mut command: Command) -> Self {
        let mut process = Process::spawn(command.stdin(Stdio::null()).stdout(Stdio::piped()));
        let lines = Lines::read(process.0.stdout.take().unwrap());
        let example = Self { process, lines };
        example.line(" is ready");
        example
    }

    /// Waits for a line with this text in it.
    #[track_caller]
    fn line(&self, text: &str) -> String {
        loop {
            let line = self.lines.next(PATIENCE).unwrap_or_else(|| panic!("no {text:?} in {}", self.lines.text()));
            if line.contains(text) {
                return line;
            }
        }
    }
}

#[test]
fn echo_server_is_called_from_iex_and_erl() {
    let Some(epmd) = Epmd::start() else { return };
    let home = crate::support::beam::home_with(COOKIE);
    let mut echo = Example::start(command("echo_server", epmd.place(), home.path()));
    let Some(erl) = Beam::start(&epmd.place(), COOKIE) else { return };
    erl.expect(&[
        ("Echo = {echo, 'echo@127.0.0.1'}, gen_server:call(Echo, {hello, 1}).", "{hello,1}"),
        ("gen_server:call(Echo, lists:seq(1, 3)).", "[1,2,3]"),
        ("sys:get_state(Echo) =:= undefined orelse sys:get_state(Echo) =:= {ok, undefined}.", "true"),
        ("gen_server:cast(Echo, nothing).", "ok"),
    ]);
    let Some(elixir) = Beam::elixir(&epmd.place(), COOKIE) else { return };
    elixir.expect(&[
        (r#"GenServer.call({:echo, :"echo@127.0.0.1"}, %{a: "b"})"#, r#"%{a: "b"}"#),
        (r#"GenServer.stop({:echo, :"echo@127.0.0.1"})"#, ":ok"),
    ]);
    assert!(echo.process.0.wait().unwrap().success(), "stopping the server ends the program");
}

#[test]
fn gen_server_client_calls_a_process_on_a_beam() {
    let Some(epmd) = Epmd::start() else { return };
    let home = crate::support::beam::home_with(COOKIE);
    let Some(erl) = Beam::start(&epmd.place(), COOKIE) else { return };
    erl.ok("register(answer, spawn(fun F() -> receive {'$gen_call', From, Req} -> gen_server:reply(From, {you_said, Req}), F() end end)).");
    let mut client = command("gen_server_client", epmd.place(), home.path());
    assert_eq!(output(client.args([&erl.node, "answer", "hello"])), "{you_said,hello}\n");
    let mut client = command("gen_server_client", epmd.place(), home.path());
    let out = client.args([&erl.node, "nobody", "hello"]).output().unwrap();
    assert!(!out.status.success() && String::from_utf8_lossy(&out.stderr).contains("noproc"));
}

#[test]
fn node_monitor_prints_nodeup_and_nodedown() {
    let Some(epmd) = Epmd::start() else { return };
    let home = crate::support::beam::home_with(COOKIE);
    let Some(mut erl) = Beam::start(&epmd.place(), COOKIE) else { return };
    let mut monitor = command("node_monitor", epmd.place(), home.path());
    let monitor = Example::start(std::mem::replace(monitor.arg(&erl.node), Command::new("true")));
    assert_eq!(monitor.line("nodeup"), format!("nodeup {}", erl.node));
    erl.kill();
    assert_eq!(monitor.line("nodedown"), format!("nodedown {} connection_closed", erl.node));
}
