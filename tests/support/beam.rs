//! A real `erl` or `elixir` node that evaluates what a test writes.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use tempfile::TempDir;

use super::epmd::Place;
use super::{Daemon, Lines, Process, have, repository, serial};

/// A BEAM node. Ends when its stdin closes, at the latest when dropped.
pub struct Beam {
    io: Mutex<(ChildStdin, Lines)>,
    process: Process,
    pub node: String,
    _home: TempDir,
}

/// A home directory whose `.erlang.cookie` is as OTP wants it.
pub fn home_with(cookie: &str) -> TempDir {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join(".erlang.cookie");
    fs::write(&file, cookie).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o400)).unwrap();
    home
}

/// Flags of `erl` that keep a test's node to itself.
pub const QUIET: &str = "-start_epmd false -kernel inet_dist_use_interface {127,0,0,1} -connect_all false";

impl Beam {
    /// An Erlang node with a long name.
    pub fn start(place: &Place, cookie: &str) -> Option<Self> {
        Self::named(place, cookie, "-name", &format!("t{}x{}@127.0.0.1", std::process::id(), serial()), &[])
    }

    /// An Erlang node with `-name` or `-sname`, and more flags.
    pub fn named(place: &Place, cookie: &str, kind: &str, name: &str, flags: &[&str]) -> Option<Self> {
        if !have("erl") {
            return None;
        }
        // Compiled in the node itself: no files to leave behind, and warnings in the calls fail the tests.
        let load = format!(
            "lists:foreach(fun({{F, Opts}}) -> {{ok, M, B}} = compile:file(F, [binary, report | Opts]), \
             {{module, M}} = code:load_binary(M, F, B) end, [{{{:?}, []}}, {{{:?}, [warnings_as_errors]}}]), driver:start().",
            repository("tests/support/driver.erl"),
            repository("tests/support/at_node.erl"),
        );
        let mut command = Command::new("erl");
        // Of two values for one parameter, the first would count.
        let is_bound = flags.contains(&"inet_dist_use_interface");
        let quiet =
            if is_bound { QUIET.replace("-kernel inet_dist_use_interface {127,0,0,1} ", "") } else { QUIET.into() };
        command.args(["-noshell", kind, name]).args(quiet.split(' ')).args(flags).args(["-eval", &load]);
        Some(Self::run(command, place, cookie, name, "node()."))
    }

    /// An Elixir node with a long name.
    pub fn elixir(place: &Place, cookie: &str) -> Option<Self> {
        if !have("elixir") {
            return None;
        }
        let name = format!("x{}x{}@127.0.0.1", std::process::id(), serial());
        let mut command = Command::new("elixir");
        command.args(["--name", &name, "--erl", QUIET]).arg(repository("tests/support/driver.exs"));
        Some(Self::run(command, place, cookie, &name, "node()"))
    }

    fn run(mut command: Command, place: &Place, cookie: &str, name: &str, ask_name: &str) -> Self {
        let home = home_with(cookie);
        place.tell(&mut command).env("HOME", home.path()).env("LC_ALL", "C.UTF-8");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut process = Process::spawn(&mut command);
        let io = (process.0.stdin.take().unwrap(), Lines::read(process.0.stdout.take().unwrap()));
        let mut beam = Self { io: Mutex::new(io), process, node: name.to_owned(), _home: home };
        let node = beam.ok(ask_name);
        beam.node = node.trim_start_matches(':').trim_matches(['\'', '"']).to_owned();
        beam
    }

    /// Binds `N` to the daemon's node name and `RM` to `{route_manager, N}`.
    pub fn know(&self, daemon: &Daemon) {
        self.ok(&format!("N = '{}', RM = {{route_manager, N}}.", daemon.node));
    }

    /// The value of an expression as text, or its error as `{Class, Reason}`.
    pub fn eval(&self, expression: &str) -> Result<String, String> {
        assert!(!expression.contains('\n'), "one line, please: {expression}");
        let mut guard = self.io.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let (stdin, lines) = &mut *guard;
        writeln!(stdin, "{expression}").unwrap_or_else(|e| panic!("{} is gone: {e}\n{}", self.node, lines.text()));
        loop {
            let line = lines.next(Duration::from_secs(60));
            let line = line.unwrap_or_else(|| panic!("{}: no answer to {expression}\n{}", self.node, lines.text()));
            // Anything else is what the logger of the node prints.
            if let Some(value) = line.strip_prefix("#ok ") {
                return Ok(value.to_owned());
            }
            if let Some(error) = line.strip_prefix("#error ") {
                return Err(error.to_owned());
            }
        }
    }

    /// The value of an expression that must not fail.
    #[track_caller]
    pub fn ok(&self, expression: &str) -> String {
        self.eval(expression).unwrap_or_else(|error| panic!("{expression}\n  fails: {error}"))
    }

    /// The error of an expression that must fail.
    #[track_caller]
    pub fn error(&self, expression: &str) -> String {
        self.eval(expression).expect_err(expression)
    }

    /// Expressions, each with the text that its value must print as.
    #[track_caller]
    pub fn expect(&self, table: &[(&str, &str)]) {
        for (expression, value) in table {
            assert_eq!(self.ok(expression), *value, "{expression}");
        }
    }

    /// Expressions that must all be `true`; what is not is shown with its value.
    #[track_caller]
    pub fn holds(&self, table: &[&str]) {
        for expression in table {
            assert_eq!(self.ok(expression), "true", "{expression}");
        }
    }

    /// A value as JSON, by `driver:json/1`.
    #[track_caller]
    pub fn json(&self, expression: &str) -> serde_json::Value {
        let text = self.ok(&format!("{{'#json', {}}}.", expression.trim_end_matches('.')));
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{expression}: {e}\n{text}"))
    }

    pub fn pid(&self) -> i32 {
        self.process.pid()
    }

    pub fn kill(&mut self) {
        self.process.kill();
    }
}
