//! A BEAM as a child: a hidden node that reads calls from its stdin, a line each, and writes replies to its stdout.
//!
//! It ends when its stdin does, so it outlives us by a moment only, however we end. The cookie reaches it by a file in
//! its home, never by its command line.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::{Reply, Request, Syntax, Target};

/// The client's node name.
pub const NAME: &str = "beamroute_demo_client@127.0.0.1";

/// A running BEAM.
#[derive(Debug)]
pub struct Beam {
    child: Child,
    stdin: ChildStdin,
    stdout: Lines<BufReader<ChildStdout>>,
    syntax: Syntax,
    node: String,
    version: String,
}

impl Beam {
    /// Starts `elixir` or `erl`, and waits until it listens to us.
    ///
    /// # Errors
    /// If it does not start; with what it said.
    pub async fn start(syntax: Syntax, target: &Target) -> Result<Self> {
        let mut child = command(syntax, target).spawn().context("cannot be started")?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            bail!("has no pipes");
        };
        let stdout = BufReader::new(stdout).lines();
        let node = target.node.clone();
        let mut beam = Self { child, stdin, stdout, syntax, node, version: String::new() };
        beam.version = beam.answer(START_PATIENCE).await.context("did not start as a node")?;
        Ok(beam)
    }

    /// What it is, as it says itself.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Its language.
    pub const fn syntax(&self) -> Syntax {
        self.syntax
    }

    /// Makes one call.
    ///
    /// # Errors
    /// If the BEAM has ended, or does not answer.
    pub async fn call(&mut self, request: &Request) -> Result<Reply> {
        let line = request.text(self.syntax, &self.node) + "\n";
        self.stdin.write_all(line.as_bytes()).await.context("the BEAM has ended")?;
        let answer = self.answer(CALL_PATIENCE).await?;
        let (nanoseconds, text) = answer.split_once(' ').ok_or_else(|| anyhow!("the BEAM answered {answer:?}"))?;
        let took = nanoseconds.parse().with_context(|| format!("the BEAM answered {answer:?}"))?;
        Ok(Reply { text: text.to_owned(), took: Duration::from_nanos(took) })
    }

    /// Lets it end.
    pub async fn stop(mut self) {
        drop(self.stdin);
        if tokio::time::timeout(Duration::from_secs(2), self.child.wait()).await.is_err() {
            // It is killed when it is dropped as well; this waits for it.
            let _ = self.child.kill().await;
        }
    }

    /// The next line that is meant for us. Others are the BEAM's own messages.
    async fn answer(&mut self, patience: Duration) -> Result<String> {
        let mut said = String::new();
        let answer = async {
            while let Some(line) = self.stdout.next_line().await.context("cannot read from the BEAM")? {
                if let Some(answer) = line.strip_prefix(MARK) {
                    return Ok(answer.to_owned());
                }
                said = line;
            }
            bail!("the BEAM has ended; it said {said:?}")
        };
        tokio::time::timeout(patience, answer).await.unwrap_or_else(|_| Err(anyhow!("the BEAM does not answer")))
    }
}

fn command(syntax: Syntax, target: &Target) -> Command {
    let mut command = Command::new(syntax.program());
    match syntax {
        Syntax::Elixir => command.args(["--hidden", "--name", NAME, "--erl", "-start_epmd false"]).args(["-e", ELIXIR]),
        Syntax::Erlang => {
            command.args(["-noshell", "-hidden", "-name", NAME, "-start_epmd", "false"]).args(["-eval", ERLANG])
        }
    };
    // Flags of the user's own could give it another name or another cookie.
    for variable in ["ERL_FLAGS", "ERL_AFLAGS", "ERL_ZFLAGS", "ELIXIR_ERL_OPTIONS"] {
        command.env_remove(variable);
    }
    if let Some(home) = &target.home {
        command.env("HOME", home).env_remove("XDG_CONFIG_HOME");
    }
    command.env("ERL_EPMD_PORT", target.epmd_port.to_string()).env("BEAMROUTE_DEMO_NODE", &target.node);
    // A Ctrl-C is for us; a BEAM without a shell would not know what to do with it.
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0).kill_on_drop(true);
    command
}

/// What answers begin with, so that they are told from what else a BEAM may print.
const MARK: &str = "beamroute: ";

/// A BEAM needs half a second, or several on a small machine that has other work.
const START_PATIENCE: Duration = Duration::from_secs(20);
/// Longer than `gen_server:call/2` waits.
const CALL_PATIENCE: Duration = Duration::from_secs(15);

/// The loop in the child. A call is parsed first, as a function, so that only its run is timed.
const ERLANG: &str = r#"
    {ok, _} = application:ensure_all_started(kernel),
    Rm = {route_manager, list_to_atom(os:getenv("BEAMROUTE_DEMO_NODE"))},
    Bindings = erl_eval:add_binding('Rm', Rm, erl_eval:new_bindings()),
    Answer = fun(Text, Arguments) -> io:format("beamroute: " ++ Text ++ "~n", Arguments) end,
    Call = fun(Line) ->
        {ok, Tokens, _} = erl_scan:string("fun() -> " ++ Line ++ " end."),
        {ok, [Parsed]} = erl_parse:parse_exprs(Tokens),
        {value, Function, _} = erl_eval:expr(Parsed, Bindings),
        Began = erlang:monotonic_time(nanosecond),
        Reply = try Function() catch Class:Reason -> {'**', Class, Reason} end,
        {erlang:monotonic_time(nanosecond) - Began, Reply}
    end,
    Loop = fun Loop() ->
        case io:get_line("") of
            Line when is_list(Line) ->
                {Took, Reply} = Call(Line),
                Answer("~w ~0tp", [Took, Reply]),
                Loop();
            _ -> halt(0)
        end
    end,
    Answer("erl (OTP ~s)", [erlang:system_info(otp_release)]),
    Loop().
"#;

/// As [`ERLANG`].
const ELIXIR: &str = r#"
    rm = {:route_manager, String.to_atom(System.get_env("BEAMROUTE_DEMO_NODE"))}
    call = fn line ->
      {function, _} = Code.eval_string("fn -> " <> String.trim(line) <> " end", rm: rm)
      began = System.monotonic_time(:nanosecond)
      reply = try do function.() catch class, reason -> {:"**", class, reason} end
      {System.monotonic_time(:nanosecond) - began, reply}
    end
    loop = fn loop ->
      case IO.gets("") do
        line when is_binary(line) ->
          {took, reply} = call.(line)
          IO.puts("beamroute: #{took} #{inspect(reply)}")
          loop.(loop)
        _ -> System.halt(0)
      end
    end
    IO.puts("beamroute: Elixir #{System.version()} (OTP #{System.otp_release()})")
    loop.(loop)
"#;
