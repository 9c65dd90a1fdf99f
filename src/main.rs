//! The `beamroute` program.

use std::io::Write as _;
use std::process::ExitCode as Status;

use beamroute::cli::ask::Question;
use beamroute::cli::{Cli, Command, DemoArgs, ExitCode, Failure, Printed, RunArgs};
use beamroute::demo;
use beamroute::service::{self, Privileges, ServiceError};

fn main() -> Status {
    let cli = match Cli::parse_from_args(std::env::args_os()) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version go to stdout with status 0, usage errors to stderr with status 2; a closed pipe is no
            // reason to say more.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::Usage.into() } else { ExitCode::Done.into() };
        }
    };
    match cli.command {
        Command::Run(args) => run(*args),
        Command::Status(args) => print(args.ask(Question::Status)),
        Command::Routes(args) => print(args.ask(Question::Routes)),
        Command::Plan(args) => print(args.plan().map_err(Failure::from)),
        Command::Call(args) => print(args.call()),
        Command::Watch(args) => print(args.watch()),
        Command::Names(args) => print(args.names()),
        Command::Ping(args) => print(args.ping()),
        Command::Check(args) => print(Ok(args.check())),
        Command::Debug(args) => print(args.debug()),
        Command::Completions(args) => print(Ok(args.completions())),
        Command::Man(args) => print(args.man()),
        Command::Demo(args) => show(&args),
    }
}

fn print(ended: Result<Printed, Failure>) -> Status {
    match ended {
        Ok(Printed { text, note, code }) => {
            if let Some(note) = note {
                eprintln!("beamroute: {note}");
            }
            // A pipe that is closed has read enough.
            let _ = std::io::stdout().write_all(text.as_bytes());
            code.into()
        }
        Err(Failure { code, message }) => {
            eprintln!("beamroute: {message}");
            code.into()
        }
    }
}

fn run(args: RunArgs) -> Status {
    let config = match args.resolve() {
        Ok(config) => config,
        Err(error) => return failed(&error, ExitCode::from(&error)),
    };
    // Before there is any other thread, and the log has one.
    let started = Privileges::restrict(config.user.as_deref()).map_err(ServiceError::from).and_then(|privileges| {
        let log = privileges.without(|| service::init_log(config.log_format))??;
        Ok((log, privileges))
    });
    let ended = started.and_then(|(_log, privileges)| service::run(config, privileges));
    match ended {
        Ok(status) => Status::from(status),
        Err(error) => failed(&error, ExitCode::from(&error)),
    }
}

fn show(args: &DemoArgs) -> Status {
    match demo::run(demo::Options { keep: args.keep, client: args.client }) {
        Ok(()) => ExitCode::Done.into(),
        Err(error) => {
            eprintln!("beamroute demo: {error:#}");
            ExitCode::from(&error).into()
        }
    }
}

fn failed(error: &dyn std::error::Error, code: ExitCode) -> Status {
    // As the log has its lines, for who reads the journal by level.
    if service::is_in_journal() {
        eprintln!("<3>beamroute: {}", error.to_string().replace('\n', " "));
    } else {
        eprintln!("beamroute: {error}");
    }
    code.into()
}
