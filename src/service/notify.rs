//! What a service manager is told, over the datagram socket that `NOTIFY_SOCKET` names (`sd_notify(3)`).
//!
//! Our own and no crate: it is one datagram. `sd-notify` does the same with an `unsafe` call of libc for the clock, unsets
//! variables of the environment (which is not safe with threads), and gives up on sockets that are full.
//!
//! The address is looked at for each message, not connected to once: the manager may be replaced while we run
//! (`systemctl daemon-reexec`). It checks who sends by the credentials that the kernel attaches, so nothing here needs a
//! privilege; of system calls it needs `sendto` alone.
//!
//! A manager that is busy has a full queue. What it could not be told is kept and told later, the last word of each kind: it
//! need not hear what is over, but must not believe that a reload goes on for ever.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tracing::{debug, warn};

/// How long after a failure the next try comes. No socket says when the other end's queue has room.
const RETRY: Duration = Duration::from_secs(1);

/// The variables that matter, as they are set.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// `NOTIFY_SOCKET`
    pub socket: Option<std::ffi::OsString>,
    /// `WATCHDOG_USEC`
    pub watchdog_usec: Option<String>,
    /// `WATCHDOG_PID`
    pub watchdog_pid: Option<String>,
}

impl Surroundings {
    /// Those of this process.
    #[must_use]
    pub fn of_this_process() -> Self {
        let text = |name| std::env::var(name).ok();
        Self {
            socket: std::env::var_os("NOTIFY_SOCKET"),
            watchdog_usec: text("WATCHDOG_USEC"),
            watchdog_pid: text("WATCHDOG_PID"),
        }
    }

    /// How often the watchdog wants to be fed, if it is ours.
    #[must_use]
    pub fn watchdog(&self) -> Option<Duration> {
        let is_ours = |pid: &str| pid.parse() == Ok(std::process::id());
        if !self.watchdog_pid.as_deref().is_none_or(is_ours) {
            return None;
        }
        let micros = self.watchdog_usec.as_deref()?.parse().ok().filter(|micros| *micros > 0)?;
        Some(Duration::from_micros(micros))
    }
}

/// The way to the service manager.
#[derive(Debug)]
pub struct Notifier {
    socket: UnixDatagram,
    address: SocketAddr,
    unsent: Mutex<Unsent>,
    /// There is something unsent.
    kept: Notify,
}

/// What the manager could not be told, and has to know.
#[derive(Debug, Default)]
struct Unsent {
    /// Ready, reloading or stopping.
    state: Option<String>,
    /// `STATUS=` and the text.
    status: Option<String>,
    /// When it is tried again.
    due: Option<Instant>,
}

impl Unsent {
    /// Puts `message` over what is kept, and gives all of it as one message: the manager takes its assignments together.
    fn put(&mut self, message: &str) -> String {
        let (statuses, others): (Vec<_>, Vec<_>) = message.lines().partition(|line| line.starts_with("STATUS="));
        let (food, states): (Vec<_>, Vec<_>) = others.into_iter().partition(|line| *line == FOOD);
        if !states.is_empty() {
            self.state = Some(states.join("\n"));
        }
        self.status = statuses.last().map(|status| (*status).to_owned()).or(self.status.take());
        let kept = self.state.as_deref().into_iter().chain(self.status.as_deref());
        kept.chain(food).collect::<Vec<_>>().join("\n")
    }
}

impl Notifier {
    /// The way that `NOTIFY_SOCKET` names; `None` if it names none that we know.
    #[must_use]
    pub fn open(around: &Surroundings) -> Option<Self> {
        let name = around.socket.as_deref().filter(|name| !name.is_empty())?;
        let opened = address(name).and_then(|address| {
            let socket = UnixDatagram::unbound()?;
            socket.set_nonblocking(true)?;
            Ok(Self { socket, address, unsent: Mutex::default(), kept: Notify::new() })
        });
        opened.inspect_err(|error| warn!(?name, %error, "NOTIFY_SOCKET cannot be used; nobody is told")).ok()
    }

    /// Tells it `message`: assignments, one a line; and what it could not be told before. A manager that does not listen keeps
    /// nobody waiting: what it has to know is kept, for [`Self::behind`] and the next message.
    pub fn tell(&self, message: &str) {
        let mut unsent = self.unsent.lock().unwrap_or_else(PoisonError::into_inner);
        let message = unsent.put(message);
        if message.is_empty() {
            return;
        }
        match self.socket.send_to_addr(message.as_bytes(), &self.address) {
            Ok(_) => {
                debug!(message, "told the service manager");
                *unsent = Unsent::default();
            }
            Err(error) => {
                // Said once, not at every try.
                if unsent.due.is_none() {
                    warn!(message, %error, "the service manager cannot be told; trying again");
                }
                let is_kept = unsent.state.is_some() || unsent.status.is_some();
                unsent.due = is_kept.then(|| Instant::now() + RETRY);
                self.kept.notify_one();
            }
        }
    }

    /// Returns when it is time to try again to tell what is unsent, by [`Self::catch_up`].
    pub async fn behind(&self) {
        loop {
            let due = self.unsent.lock().unwrap_or_else(PoisonError::into_inner).due;
            match due {
                Some(due) => return sleep_until(due).await,
                None => self.kept.notified().await,
            }
        }
    }

    /// Tells what is unsent.
    pub fn catch_up(&self) {
        self.tell("");
    }

    /// Reloading begins, at this time: what it had told us to do before then is done.
    pub fn tell_reloading(&self) {
        let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from);
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={}", now.as_micros()));
    }
}

/// A path, or `@` and a name in the abstract namespace.
fn address(name: &OsStr) -> io::Result<SocketAddr> {
    match name.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        [b'/', ..] => SocketAddr::from_pathname(name),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "neither a path nor an abstract name")),
    }
}

/// A text as the value of an assignment: on one line, and not without end.
pub(super) fn one_line(text: &str) -> String {
    text.chars().take(MAX_TEXT).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

const MAX_TEXT: usize = 500;

/// What keeps the watchdog from barking. The next comes by itself, so it is not kept.
pub(super) const FOOD: &str = "WATCHDOG=1";

#[cfg(test)]
mod tests {
    use super::*;

    fn around(socket: &str) -> Surroundings {
        Surroundings { socket: Some(socket.into()), ..Surroundings::default() }
    }

    #[test]
    fn both_kinds_of_sockets() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let abstract_name = format!("beamroute-test-{}", std::process::id());
        let listeners = [
            (path.to_str().unwrap().to_owned(), UnixDatagram::bind(&path).unwrap()),
            (
                format!("@{abstract_name}"),
                UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&abstract_name).unwrap()).unwrap(),
            ),
        ];
        for (name, listener) in listeners {
            let notifier = Notifier::open(&around(&name)).unwrap();
            notifier.tell("READY=1");
            let mut buffer = [0; 64];
            let length = listener.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], b"READY=1", "{name}");
        }
        for none in ["", "relative", "vsock:2:1234"] {
            assert!(Notifier::open(&around(none)).is_none(), "{none}");
        }
        assert!(Notifier::open(&Surroundings::default()).is_none());
    }

    #[test]
    fn the_last_word_of_each_kind_is_kept() {
        let mut unsent = Unsent::default();
        for (message, all) in [
            ("WATCHDOG=1", "WATCHDOG=1"),
            ("STATUS=a", "STATUS=a"),
            ("RELOADING=1\nMONOTONIC_USEC=7", "RELOADING=1\nMONOTONIC_USEC=7\nSTATUS=a"),
            ("WATCHDOG=1", "RELOADING=1\nMONOTONIC_USEC=7\nSTATUS=a\nWATCHDOG=1"),
            ("READY=1\nSTATUS=b", "READY=1\nSTATUS=b"),
            ("STATUS=c", "READY=1\nSTATUS=c"),
            ("", "READY=1\nSTATUS=c"),
            ("STOPPING=1\nSTATUS=d", "STOPPING=1\nSTATUS=d"),
        ] {
            assert_eq!(unsent.put(message), all, "{message}");
        }
    }

    #[test]
    fn whose_watchdog_it_is() {
        let watchdog = |usec: Option<&str>, pid: Option<String>| {
            Surroundings { socket: None, watchdog_usec: usec.map(str::to_owned), watchdog_pid: pid }.watchdog()
        };
        let us = std::process::id();
        assert_eq!(watchdog(Some("3000000"), Some(us.to_string())), Some(Duration::from_secs(3)));
        assert_eq!(watchdog(Some("3000000"), None), Some(Duration::from_secs(3)));
        assert_eq!(watchdog(Some("3000000"), Some((us + 1).to_string())), None);
        assert_eq!(watchdog(Some("3000000"), Some("x".into())), None);
        for usec in [None, Some("0"), Some("-1"), Some("x")] {
            assert_eq!(watchdog(usec, None), None, "{usec:?}");
        }
    }

    #[test]
    fn a_text_makes_no_second_assignment() {
        assert_eq!(one_line("bad\nSTOPPING=1\u{0}x"), "bad STOPPING=1 x");
        assert_eq!(one_line(&"ü".repeat(1000)).chars().count(), 500);
    }
}
