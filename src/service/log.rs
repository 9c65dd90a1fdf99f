//! Log lines on stderr.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::Subscriber;

use crate::config::LogFormat;

/// Sends events to stderr, from level info on unless `BEAMROUTE_LOG` filters otherwise (`debug`,
/// `beamroute::node=trace`). Under systemd, lines carry no time: the journal has one. Colour only on a terminal.
pub fn init(format: LogFormat) {
    let filter = EnvFilter::try_from_env("BEAMROUTE_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = Subscriber::builder().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    let is_in_journal = std::env::var_os("JOURNAL_STREAM").is_some();
    let is_coloured = std::io::stderr().is_terminal();
    // A program that has a subscriber of its own keeps it.
    let _ = match format {
        LogFormat::Json => tracing::subscriber::set_global_default(builder.json().finish()),
        LogFormat::Text if is_in_journal => {
            tracing::subscriber::set_global_default(builder.without_time().with_ansi(false).finish())
        }
        LogFormat::Text => tracing::subscriber::set_global_default(builder.with_ansi(is_coloured).finish()),
    };
}
