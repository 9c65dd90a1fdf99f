//! Log lines on stderr.

use std::io::IsTerminal;

use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::Subscriber;

use crate::config::LogFormat;

/// Lines that may wait for a stderr that nobody reads; more are dropped.
const MAX_WAITING: usize = 4096;

/// Sends events to stderr, from level info on unless `BEAMROUTE_LOG` filters otherwise (`debug`,
/// `beamroute::node=trace`). Under systemd, lines carry no time: the journal has one. Colour only on a terminal.
///
/// Lines are written by a thread of their own, so that a stderr that blocks, or has been closed, stops neither calls nor
/// ticks. What waits is written when the guard is dropped.
pub fn init(format: LogFormat) -> WorkerGuard {
    let (writer, guard) =
        NonBlockingBuilder::default().buffered_lines_limit(MAX_WAITING).lossy(true).finish(std::io::stderr());
    let filter = EnvFilter::try_from_env("BEAMROUTE_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = Subscriber::builder().with_env_filter(filter).with_writer(writer).with_target(false);
    // Else a line that cannot be written would be reported on the same stderr, by a macro that panics.
    let builder = builder.log_internal_errors(false);
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
    guard
}
