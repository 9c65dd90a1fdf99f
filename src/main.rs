//! The `beamroute` program.

use std::process::ExitCode as Status;

use beamroute::cli::{Cli, Command, ExitCode, RunArgs};
use beamroute::service;

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
        Command::Demo(_) => Status::FAILURE,
    }
}

fn run(args: RunArgs) -> Status {
    let config = match args.resolve() {
        Ok(config) => config,
        Err(error) => return failed(&error, ExitCode::from(&error)),
    };
    service::init_log(config.log_format);
    match service::run(config) {
        Ok(()) => ExitCode::Done.into(),
        Err(error) => failed(&error, ExitCode::from(&error)),
    }
}

fn failed(error: &dyn std::error::Error, code: ExitCode) -> Status {
    eprintln!("beamroute: {error}");
    code.into()
}
