//! The terminal: taken over, drawn to, and given back, however we leave.

use std::io::{self, IsTerminal as _, Read as _, Write as _};

use nix::sys::signal::{Signal, raise};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::sync::mpsc;

/// The alternate screen, no cursor, no wrapping: `man 4 console_codes`, and xterm's `ctlseqs`.
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[?7l";
const LEAVE: &str = "\x1b[?7h\x1b[?25h\x1b[?1049l";

/// Held while the terminal is ours. Dropping it gives it back, also when we panic.
pub(super) struct Terminal {
    /// As it was; `None` if standard input is none.
    before: Option<Termios>,
}

/// What a key means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Leave,
    Suspend,
    Other,
}

impl Key {
    const fn of(byte: u8) -> Self {
        match byte {
            // Ctrl-C, Ctrl-D, Ctrl-\
            b'q' | b'Q' | 3 | 4 | 28 => Self::Leave,
            // Ctrl-Z
            26 => Self::Suspend,
            _ => Self::Other,
        }
    }
}

/// The keys that are pressed. The thread that reads them ends with the process: a read cannot be interrupted.
pub(super) fn keys() -> mpsc::UnboundedReceiver<Key> {
    let (sender, keys) = mpsc::unbounded_channel();
    if io::stdin().is_terminal() {
        std::thread::spawn(move || {
            let mut byte = [0];
            while io::stdin().read(&mut byte).is_ok_and(|read| read == 1) {
                let [byte] = byte;
                if sender.send(Key::of(byte)).is_err() {
                    break;
                }
            }
        });
    }
    keys
}

impl Terminal {
    pub(super) fn enter() -> io::Result<Self> {
        let before = if io::stdin().is_terminal() { Some(tcgetattr(io::stdin())?) } else { None };
        let terminal = Self { before };
        terminal.take()?;
        Ok(terminal)
    }

    /// Keys come one by one, unseen, and none of them is a signal: those would end us before it is given back.
    fn take(&self) -> io::Result<()> {
        if let Some(before) = &self.before {
            let mut modes = before.clone();
            modes.local_modes -= LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG;
            tcsetattr(io::stdin(), OptionalActions::Now, &modes)?;
        }
        write(ENTER)
    }

    fn give_back(&self) -> io::Result<()> {
        let written = write(LEAVE);
        if let Some(before) = &self.before {
            tcsetattr(io::stdin(), OptionalActions::Now, before)?;
        }
        written
    }

    /// Ctrl-Z: the shell gets its terminal as it was, and we take it again when it lets us.
    pub(super) fn suspend(&self) -> io::Result<()> {
        self.give_back()?;
        raise(Signal::SIGSTOP)?;
        self.take()
    }

    /// Draws what `lines` makes of the size, the first in bold.
    pub(super) fn draw(&mut self, lines: impl FnOnce(usize, usize) -> Vec<String>) -> io::Result<()> {
        let size = tcgetwinsize(io::stdout())?;
        // A serial line does not know its size.
        let or = |size: u16, usual: u16| usize::from(if size == 0 { usual } else { size });
        let mut text = String::from("\x1b[H");
        for (index, line) in lines(or(size.ws_row, 24), or(size.ws_col, 80)).iter().enumerate() {
            if index == 0 {
                text += &format!("\x1b[1m{line}\x1b[0m\x1b[K");
            } else {
                text += &format!("\r\n{line}\x1b[K");
            }
        }
        text += "\x1b[J";
        write(&text)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // If it is gone there is nothing to give back.
        let _ = self.give_back();
    }
}

fn write(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}
