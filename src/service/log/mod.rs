//! Log lines on stderr.

mod lines;

use std::fmt;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd as _;

use nix::libc;
use nix::sys::stat::fstat;
use tracing::{Event, Level, Subscriber, warn};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::{Format, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, Subscriber as Lines};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;

pub use self::lines::LogGuard;
use super::ServiceError;
use crate::config::LogFormat;

/// Sends events to stderr, from level info on unless `BEAMROUTE_LOG` filters otherwise (`debug`,
/// `beamroute::node=trace`). Where stderr leads to the journal, text has no time, as that has one, and levels in the
/// journal's form. Colour only on a terminal.
///
/// Lines are written by a thread of their own, so that a stderr that blocks, or has been closed, stops neither calls nor
/// ticks. What waits is written when the guard is dropped.
///
/// # Errors
/// [`ServiceError::System`] if there can be no thread.
pub fn init(format: LogFormat) -> Result<LogGuard, ServiceError> {
    let tell = |lost| warn!(lost, "lines are missing here: the log was not read as fast as it came");
    let begun = lines::Lines::to(io::stderr(), most_at_once(), tell);
    let (lines, guard) =
        begun.map_err(|source| ServiceError::System { doing: "start a thread for the log", source })?;
    let writer = move || lines.clone();
    // Not `EnvFilter`, which also filters by fields of spans, and has regular expressions for it: 300 KiB of the program.
    let filter: Option<Targets> = std::env::var("BEAMROUTE_LOG").ok().and_then(|filter| filter.parse().ok());
    let filter = filter.unwrap_or_else(|| Targets::new().with_default(LevelFilter::INFO));
    let builder = Lines::builder().with_max_level(LevelFilter::TRACE).with_writer(writer).with_target(false);
    // Else a line that cannot be written would be reported on the same stderr, by a macro that panics.
    let builder = builder.log_internal_errors(false);
    let is_coloured = io::stderr().is_terminal();
    // A program that has a subscriber of its own keeps it.
    let _ = match format {
        LogFormat::Json => tracing::subscriber::set_global_default(builder.json().finish().with(filter)),
        LogFormat::Text if is_in_journal() => {
            let builder = builder.with_ansi(false).event_format(ForJournal::default());
            tracing::subscriber::set_global_default(builder.finish().with(filter))
        }
        LogFormat::Text => {
            tracing::subscriber::set_global_default(builder.with_ansi(is_coloured).finish().with(filter))
        }
    };
    Ok(guard)
}

/// Whether stderr leads to the journal: `JOURNAL_STREAM` has its device and inode (`systemd.exec(5)`). Programs that we
/// are started by may have led it elsewhere.
#[must_use]
pub fn is_in_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    fstat(io::stderr().as_fd()).is_ok_and(|stat| stream == format!("{}:{}", stat.st_dev, stat.st_ino))
}

/// How many bytes of lines may go to stderr in one write: as many as a pipe takes from one writer without those of others
/// between (`pipe(7)`). Of what else it may be, `/dev/kmsg` for one, nothing is known: there each line goes alone.
fn most_at_once() -> usize {
    let kind = fstat(io::stderr().as_fd()).map_or(0, |stat| stat.st_mode & libc::S_IFMT);
    if matches!(kind, libc::S_IFREG | libc::S_IFIFO) || is_in_journal() { libc::PIPE_BUF } else { 0 }
}

/// Lines that begin with their level, as `journalctl -p` wants them (`sd-daemon(3)`). All lines of one event: none may
/// begin with a level that somebody else has written.
#[derive(Debug)]
struct ForJournal(Format<tracing_subscriber::fmt::format::Full, ()>);

impl Default for ForJournal {
    fn default() -> Self {
        Self(Format::default().without_time().with_level(false).with_target(false).with_ansi(false))
    }
}

impl<S, N> FormatEvent<S, N> for ForJournal
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut text = String::new();
        self.0.format_event(context, Writer::new(&mut text), event)?;
        write_lines(writer, priority(*event.metadata().level()), &text)
    }
}

/// As in `syslog(3)`.
const fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}

/// The journal begins a new line after so many bytes (`LineMax=`, 48 KiB).
const MAX_LINE: usize = 8 << 10;

fn write_lines(mut writer: impl fmt::Write, priority: u8, text: &str) -> fmt::Result {
    // For the journal a line ends with a zero byte as well.
    for line in text.trim_end().split(['\n', '\0']) {
        let mut rest = line;
        loop {
            let (piece, more) = rest.split_at(rest.floor_char_boundary(MAX_LINE));
            writeln!(writer, "<{priority}>{piece}")?;
            rest = more;
            if rest.is_empty() {
                break;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> String {
        let mut out = String::new();
        write_lines(&mut out, priority(Level::WARN), text).unwrap();
        out
    }

    #[test]
    fn no_line_has_another_level() {
        assert_eq!(written("a node said\n<0>fire\0<1>water\n"), "<4>a node said\n<4><0>fire\n<4><1>water\n");
        assert_eq!(written(""), "<4>\n");
        let long = format!("{}<0>fire", "ü".repeat(MAX_LINE / 2));
        let lines = written(&long);
        assert_eq!(lines.lines().count(), 2);
        assert!(lines.lines().all(|line| line.starts_with("<4>") && line.len() < MAX_LINE + 4));
        assert!(lines.ends_with("\n<4><0>fire\n"));
    }
}
