//! The command line: what can be asked of the program, and what it says when it ends.

pub mod ask;
mod call;
mod check;
mod date;
mod debug;
mod exit;
mod manual;
mod names;
mod ping;
mod printed;
mod reach;
mod reference;
pub mod syntax;
mod version;
mod watch;

use std::ffi::OsString;

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

pub use call::CallArgs;
pub use check::CheckArgs;
pub use debug::{BundleArgs, DebugArgs, DebugCommand};
pub use exit::ExitCode;
pub use manual::{CompletionsArgs, ManArgs};
pub use names::NamesArgs;
pub use ping::PingArgs;
pub use printed::{Failure, Printed};
pub use reach::{FileArgs, NodeArgs, ReachArgs, TlsArgs};
pub use reference::markdown as reference;
pub use version::VERSION;
pub use watch::WatchArgs;

use crate::config::{Config, ConfigError, Options, options};
use crate::demo;

/// An Erlang node that keeps the kernel's routes.
#[derive(Debug, Parser)]
#[command(name = "beamroute", version, about, disable_help_subcommand = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the node in the foreground, logging to stderr
    ///
    /// Every option is also an environment variable and a key of the configuration file, which is the option's name
    /// with underscores. Options go before environment variables, and these before the file.
    Run(Box<RunArgs>),
    /// Print a running node's interfaces, best first: status, metric, what is pending and why
    Status(ask::AskArgs),
    /// Print a running node's rules and routes
    Routes(ask::AskArgs),
    /// Print what the node would change now, as ip commands; without a running node, what it would change at its start
    ///
    /// A node that answers is asked. If none runs, the state that it has saved is read, and nothing is changed.
    Plan(Box<ask::PlanArgs>),
    /// Show the interfaces and what happens, as it happens; q or Ctrl-C leaves
    ///
    /// It goes on over restarts of the node. If standard output is no terminal, it prints a line for each event.
    Watch(WatchArgs),
    /// Call a process of any node, and print its answer in Erlang's syntax
    ///
    /// A term goes to a registered process by gen_server:call, as `beamroute call gw@192.0.2.7 status`, or
    /// `beamroute call gw@192.0.2.7 '{clear_route, "eth0"}'`. Module:Function(Args) is applied as rpc:call does, also by a BEAM, as
    /// `beamroute call beam@192.0.2.7 'erlang:system_info(otp_release)'`. Pids in answers are written
    /// #Pid<'node@host'.ID.SERIAL.CREATION>, which is read as well. The exit status is 6 if the answer is {error, _} or
    /// {badrpc, _}.
    Call(Box<CallArgs>),
    /// List the nodes that the port mapper (epmd) of a host knows
    Names(NamesArgs),
    /// Reach a node, and print how long its answer took
    Ping(PingArgs),
    /// Check whether `run` would work here: configuration, cookie, privileges, kernel, addresses; changes nothing
    ///
    /// It takes the options of `run`, and ends with the exit status that `run` would end with.
    Check(Box<CheckArgs>),
    /// Help to find faults
    Debug(DebugArgs),
    /// Print a script that completes this command in a shell
    Completions(CompletionsArgs),
    /// Write the man pages into a directory
    Man(ManArgs),
    /// Show it at work in a private network namespace, without touching this machine's routes
    Demo(DemoArgs),
}

/// Of `beamroute run`.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// The file.
    #[command(flatten)]
    pub file: FileArgs,
    /// The options that every layer has.
    #[command(flatten)]
    pub options: Options,
}

impl RunArgs {
    /// The configuration that these flags and the process's surroundings make.
    ///
    /// # Errors
    ///
    /// See [`Config::resolve`]; the program ends with [`ExitCode::Configuration`] then.
    pub fn resolve(self) -> Result<Config, ConfigError> {
        self.file.resolve(self.options)
    }
}

/// Of `beamroute demo`.
#[derive(Debug, Clone, Args)]
pub struct DemoArgs {
    /// Leave the node running in the foreground, to be tried from iex or erl
    #[arg(long)]
    pub keep: bool,
    /// Who makes the calls [default: the first that is installed]
    #[arg(long, value_name = "WHO")]
    pub client: Option<demo::Choice>,
}

impl Cli {
    /// Reads a command line, the program's name first.
    ///
    /// # Errors
    ///
    /// Clap's own, which prints itself and knows its exit status: 0 for help and version, 2 for usage.
    pub fn parse_from_args(args: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
        let args: Vec<OsString> = args.into_iter().collect();
        match run_alone(&args) {
            Some(run) => Ok(Cli { command: Command::Run(Box::new(run)) }),
            None => Cli::from_arg_matches(&command().try_get_matches_from(args)?),
        }
    }
}

/// What the line says, if it is a good one of `run`: to make all that the other commands take, and the texts of the help, was
/// half of the instructions of a daemon's start.
fn run_alone(args: &[OsString]) -> Option<RunArgs> {
    let rest = args.get(1..).filter(|rest| rest.first().is_some_and(|command| command == "run"))?;
    let run = RunArgs::augment_args(clap::Command::new("run"));
    RunArgs::from_arg_matches(&run.try_get_matches_from(rest).ok()?).ok()
}

/// The command with the environment variables named in its help. (They are read in [`crate::config`], where a wrong
/// value is reported under the variable's name.)
pub fn command() -> clap::Command {
    let command = with_variables(Cli::command().long_version(version::long()));
    command.mut_subcommand("plan", |plan| {
        plan.mut_args(|argument| {
            let is_hidden = ask::IRRELEVANT.contains(&argument.get_id().as_str());
            argument.hide(is_hidden)
        })
    })
}

fn with_variables(command: clap::Command) -> clap::Command {
    command.mut_args(with_variable).mut_subcommands(with_variables)
}

fn with_variable(argument: clap::Arg) -> clap::Arg {
    let name = argument.get_id().as_str();
    let has_variable = name == "config" || options::keys().iter().any(|key| key == name);
    let Some(help) = argument.get_help().map(ToString::to_string).filter(|_| has_variable) else { return argument };
    let variable = options::variable(name);
    argument.help(format!("{help} [env: {variable}]"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt as _;

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::parse_from_args(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn the_definition_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn every_option_of_run_has_its_variable_in_the_help() {
        let help = parse("beamroute run --help").unwrap_err().to_string();
        for key in options::keys().iter().map(String::as_str).chain(["config"]) {
            assert!(help.contains(&format!("--{}", key.replace('_', "-"))), "{key}\n{help}");
            assert!(help.contains(&format!("[env: {}]", options::variable(key))), "{key}\n{help}");
        }
        assert!(!help.contains("--cookie "), "no flag takes the cookie's value");
    }

    #[test]
    fn run_is_read_alone_as_among_the_others() {
        for (line, is_good) in [
            ("beamroute run", true),
            ("beamroute run --sname a --port 7 --visible --config x.toml", true),
            ("beamroute run --name=a@b --visible=false --connect c@d --connect e@f", true),
            ("beamroute run --name a@b --sname a", false),
            ("beamroute run --visible --seccomp --port 0", true),
            ("beamroute run --visible --seccomp port", false),
            ("beamroute run --seccomp no", false),
            ("beamroute run --sname a --sname b", false),
            ("beamroute run --", true),
            ("beamroute run -- x", false),
            ("beamroute run --nothing", false),
            ("beamroute run -h", false),
            ("beamroute run --help", false),
            ("beamroute run --version", false),
            ("beamroute run help", false),
            ("beamroute --help run", false),
            ("beamroute check", false),
            ("beamroute", false),
        ] {
            let args: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
            assert_eq!(alone_and_among(&args).is_some(), is_good, "{line}");
        }
        let path = OsString::from_vec(b"/tmp/\xff.toml".to_vec());
        let run = alone_and_among(&["beamroute".into(), "run".into(), "--config".into(), path.clone()]);
        assert_eq!(run.unwrap().file.config, Some(path.into()));
    }

    /// What `run` gets, if the line is for it and good: alone the same as among the others.
    fn alone_and_among(args: &[OsString]) -> Option<RunArgs> {
        let alone = run_alone(args);
        let matches = command().try_get_matches_from(args);
        let among = matches.ok().map(|matches| Cli::from_arg_matches(&matches).unwrap().command);
        let among = if let Some(Command::Run(run)) = among { Some(*run) } else { None };
        assert_eq!(format!("{alone:?}"), format!("{among:?}"), "{args:?}");
        alone
    }

    #[test]
    fn commands() {
        let Command::Run(run) = parse("beamroute run --sname a --port 7 --visible --config x.toml").unwrap().command
        else {
            panic!()
        };
        assert_eq!(
            (run.options.sname.as_deref(), run.options.port, run.options.visible),
            (Some("a"), Some(7), Some(true))
        );
        assert_eq!(run.file.config, Some("x.toml".into()));
        assert!(matches!(
            parse("beamroute demo --keep").unwrap().command,
            Command::Demo(DemoArgs { keep: true, client: None })
        ));
        for (line, status) in [
            ("beamroute", 2),
            ("beamroute nothing", 2),
            ("beamroute run --name a --sname b", 2),
            ("beamroute run --cookie secret", 2),
            ("beamroute run --epmd maybe", 2),
            ("beamroute run --protocol 4", 2),
            ("beamroute run --port 65536", 2),
            ("beamroute run --visible maybe", 2),
            ("beamroute run stray", 2),
            ("beamroute demo --client nobody", 2),
            ("beamroute plan --protocol 4", 2),
            ("beamroute plan --help", 0),
            ("beamroute -V", 0),
            ("beamroute --help", 0),
            ("beamroute run --help", 0),
            ("beamroute demo --help", 0),
        ] {
            assert_eq!(parse(line).unwrap_err().exit_code(), status, "{line}");
        }
        assert_eq!(
            parse("beamroute -V").unwrap_err().to_string(),
            format!("beamroute {}\n", env!("CARGO_PKG_VERSION"))
        );
    }
}
