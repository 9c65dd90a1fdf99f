//! `net_kernel:getopts/2` and `setopts/2`: the options of a connection's socket, in `inet`'s words.
//!
//! A list is understood whole before anything of it is done (O3). Whatever is not here is `einval`, and so are the options
//! that would change how frames are read: `active`, `packet`, `mode` and its short forms, `header`, `deliver` (O6).
//! BEAMs differ there: they answer `{error, {badopts, _}}` for three of them, and are cut off by `{header, 1}`.

use std::str::FromStr;
use std::time::Duration;

use eetf::Term;
use socket2::SockRef;

use crate::term::{as_atom, as_integer, as_list, as_tuple, atom, boolean, integer, list, tuple};

/// An option that can be read and set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OptionName {
    /// `nodelay`
    Nodelay,
    /// `keepalive`
    Keepalive,
    /// `recbuf`
    Recbuf,
    /// `sndbuf`
    Sndbuf,
    /// `priority`
    Priority,
    /// `tos`
    Tos,
    /// `linger`
    Linger,
    /// `send_timeout`
    SendTimeout,
    /// `send_timeout_close`
    SendTimeoutClose,
}

/// An option with its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SocketOption {
    /// `TCP_NODELAY`
    Nodelay(bool),
    /// `SO_KEEPALIVE`
    Keepalive(bool),
    /// `SO_RCVBUF` in bytes. Linux reserves, and then tells, twice as much.
    Recbuf(u32),
    /// `SO_SNDBUF` in bytes, likewise.
    Sndbuf(u32),
    /// `SO_PRIORITY`. Above 6 it needs `CAP_NET_ADMIN`.
    Priority(u32),
    /// `IP_TOS`. Linux keeps the two lowest bits to itself.
    Tos(u8),
    /// `SO_LINGER` in seconds, if on.
    Linger(Option<u32>),
    /// Milliseconds that a write may take; `None` is `infinity`. No option of the kernel's: kept here, and kept to
    /// when [`SendTimeoutClose`](Self::SendTimeoutClose) is on.
    SendTimeout(Option<u32>),
    /// Whether the socket is closed when that time is over; kept, and told, like the time.
    SendTimeoutClose(bool),
}

/// The option is unknown, or its value is bad, or the kernel refuses it: OTP does not tell these apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unknown socket option or bad value")]
pub struct Einval;

/// What the kernel has no option for; one for each connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Emulated {
    /// How long a write may take.
    pub send_timeout: Option<Duration>,
    /// Whether the connection ends when it takes longer.
    pub send_timeout_close: bool,
}

/// The options of sockets to come: Kernel's `inet_dist_listen_options` and `inet_dist_connect_options`, to which
/// `setopts(new, _)` adds (`net_kernel.erl`, `setopts_new_1`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Defaults {
    /// For the listener and the connections that it accepts.
    pub listen: Vec<SocketOption>,
    /// For those that we dial.
    pub connect: Vec<SocketOption>,
}

impl OptionName {
    const ALL: [(Self, &'static str); 9] = [
        (Self::Nodelay, "nodelay"),
        (Self::Keepalive, "keepalive"),
        (Self::Recbuf, "recbuf"),
        (Self::Sndbuf, "sndbuf"),
        (Self::Priority, "priority"),
        (Self::Tos, "tos"),
        (Self::Linger, "linger"),
        (Self::SendTimeout, "send_timeout"),
        (Self::SendTimeoutClose, "send_timeout_close"),
    ];

    /// The second argument of `getopts`.
    ///
    /// # Errors
    /// [`Einval`] if it holds anything else than known names.
    pub fn parse_list(names: &Term) -> Result<Vec<Self>, Einval> {
        let names = as_list(names).ok_or(Einval)?;
        names.iter().map(|name| as_atom(name).and_then(Self::from_word).ok_or(Einval)).collect()
    }

    fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, name)| *name == word).map(|(option, _)| *option)
    }

    fn word(self) -> &'static str {
        Self::ALL.iter().find(|(option, _)| *option == self).map_or("", |(_, name)| name)
    }
}

impl SocketOption {
    /// The second argument of `setopts`.
    ///
    /// # Errors
    /// [`Einval`] if anything in it is wrong.
    pub fn parse_list(options: &Term) -> Result<Vec<Self>, Einval> {
        as_list(options).ok_or(Einval)?.iter().map(|option| Self::parse(option).ok_or(Einval)).collect()
    }

    /// Which option this is.
    #[must_use]
    pub const fn name(&self) -> OptionName {
        match self {
            Self::Nodelay(_) => OptionName::Nodelay,
            Self::Keepalive(_) => OptionName::Keepalive,
            Self::Recbuf(_) => OptionName::Recbuf,
            Self::Sndbuf(_) => OptionName::Sndbuf,
            Self::Priority(_) => OptionName::Priority,
            Self::Tos(_) => OptionName::Tos,
            Self::Linger(_) => OptionName::Linger,
            Self::SendTimeout(_) => OptionName::SendTimeout,
            Self::SendTimeoutClose(_) => OptionName::SendTimeoutClose,
        }
    }

    /// `{Name, Value}`.
    #[must_use]
    pub fn to_term(&self) -> Term {
        let number = |value: u32| integer(i64::from(value));
        let value = match *self {
            Self::Nodelay(on) | Self::Keepalive(on) | Self::SendTimeoutClose(on) => boolean(on),
            Self::Recbuf(value) | Self::Sndbuf(value) | Self::Priority(value) => number(value),
            Self::Tos(value) => number(u32::from(value)),
            Self::Linger(seconds) => tuple([boolean(seconds.is_some()), number(seconds.unwrap_or_default())]),
            Self::SendTimeout(ms) => ms.map_or_else(|| atom("infinity"), number),
        };
        tuple([atom(self.name().word()), value])
    }

    fn parse(option: &Term) -> Option<Self> {
        let [name, value] = as_tuple::<2>(option)?;
        // The kernel takes an int, so numbers end with its largest.
        let number = || as_integer(value).and_then(|n| i32::try_from(n).ok()).and_then(|n| u32::try_from(n).ok());
        Some(match OptionName::from_word(as_atom(name)?)? {
            OptionName::Nodelay => Self::Nodelay(flag(value)?),
            OptionName::Keepalive => Self::Keepalive(flag(value)?),
            OptionName::Recbuf => Self::Recbuf(number()?),
            OptionName::Sndbuf => Self::Sndbuf(number()?),
            OptionName::Priority => Self::Priority(number()?),
            OptionName::Tos => Self::Tos(u8::try_from(number()?).ok()?),
            OptionName::Linger => {
                let [is_on, seconds] = as_tuple::<2>(value)?;
                let seconds =
                    as_integer(seconds).and_then(|n| i32::try_from(n).ok()).and_then(|n| u32::try_from(n).ok())?;
                Self::Linger(flag(is_on)?.then_some(seconds))
            }
            OptionName::SendTimeout if as_atom(value) == Some("infinity") => Self::SendTimeout(None),
            OptionName::SendTimeout => Self::SendTimeout(Some(u32::try_from(as_integer(value)?).ok()?)),
            OptionName::SendTimeoutClose => Self::SendTimeoutClose(flag(value)?),
        })
    }
}

/// For the configuration: `nodelay=true`, `recbuf=8192`, `send_timeout=infinity`, `linger=5` or `linger=off`.
impl FromStr for SocketOption {
    type Err = Einval;

    fn from_str(text: &str) -> Result<Self, Einval> {
        let (name, value) = text.split_once('=').ok_or(Einval)?;
        let value = match (name, value.parse().ok()) {
            ("linger", Some(seconds)) => tuple([boolean(true), integer(seconds)]),
            ("linger", None) if value == "off" => tuple([boolean(false), integer(0)]),
            (_, Some(number)) => integer(number),
            (_, None) => atom(value),
        };
        Self::parse(&tuple([atom(name), value])).ok_or(Einval)
    }
}

impl Default for Defaults {
    /// OTP's: no delay (`inet_tcp_dist.erl`, `nodelay`).
    fn default() -> Self {
        Self { listen: vec![SocketOption::Nodelay(true)], connect: vec![SocketOption::Nodelay(true)] }
    }
}

impl Defaults {
    /// The configured options on top of OTP's.
    #[must_use]
    pub fn new(listen: &[SocketOption], connect: &[SocketOption]) -> Self {
        let Self { listen: ours, connect: theirs } = Self::default();
        Self { listen: merged(&ours, listen), connect: merged(&theirs, connect) }
    }

    /// `setopts(new, Options)`: each replaces what was there under its name.
    pub fn add(&mut self, options: &[SocketOption]) {
        self.listen = merged(&self.listen, options);
        self.connect = merged(&self.connect, options);
    }
}

/// Applies `options` to a socket; of two for the same thing, the later one.
///
/// # Errors
/// [`Einval`] if the kernel refuses one. A priority is the only one that it refuses on a live socket, and it comes first,
/// so then nothing has been changed.
pub fn apply(options: &[SocketOption], socket: &SockRef<'_>, emulated: &mut Emulated) -> Result<(), Einval> {
    let mut options = merged(&[], options);
    options.sort_by_key(|option| option.name() != OptionName::Priority);
    for option in options {
        set(option, socket, emulated).map_err(|_| Einval)?;
    }
    Ok(())
}

/// The options asked for, in that order.
///
/// # Errors
/// [`Einval`] if the kernel does not tell.
pub fn read(names: &[OptionName], socket: &SockRef<'_>, emulated: &Emulated) -> Result<Vec<SocketOption>, Einval> {
    names.iter().map(|name| get(*name, socket, emulated).map_err(|_| Einval)).collect()
}

/// `{ok, [{Name, Value}]}`
#[must_use]
pub fn to_ok(options: &[SocketOption]) -> Term {
    tuple([atom("ok"), list(options.iter().map(SocketOption::to_term).collect::<Vec<_>>())])
}

fn set(option: SocketOption, socket: &SockRef<'_>, emulated: &mut Emulated) -> std::io::Result<()> {
    let size = |bytes: u32| usize::try_from(bytes).unwrap_or(usize::MAX);
    match option {
        SocketOption::Nodelay(on) => socket.set_tcp_nodelay(on),
        SocketOption::Keepalive(on) => socket.set_keepalive(on),
        SocketOption::Recbuf(bytes) => socket.set_recv_buffer_size(size(bytes)),
        SocketOption::Sndbuf(bytes) => socket.set_send_buffer_size(size(bytes)),
        SocketOption::Priority(priority) => socket.set_priority(priority),
        SocketOption::Tos(tos) => {
            // Linux derives a priority from the type of service; the one that was set has to survive that
            // (`erts/emulator/drivers/common/inet_drv.c`, `setopt_prio_tos_trick`).
            let priority = socket.priority()?;
            socket.set_tos_v4(u32::from(tos))?;
            let _ = socket.set_priority(priority);
            Ok(())
        }
        SocketOption::Linger(seconds) => socket.set_linger(seconds.map(|n| Duration::from_secs(u64::from(n)))),
        SocketOption::SendTimeout(ms) => {
            emulated.send_timeout = ms.map(|ms| Duration::from_millis(u64::from(ms)));
            Ok(())
        }
        SocketOption::SendTimeoutClose(on) => {
            emulated.send_timeout_close = on;
            Ok(())
        }
    }
}

fn get(name: OptionName, socket: &SockRef<'_>, emulated: &Emulated) -> std::io::Result<SocketOption> {
    let size = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
    Ok(match name {
        OptionName::Nodelay => SocketOption::Nodelay(socket.tcp_nodelay()?),
        OptionName::Keepalive => SocketOption::Keepalive(socket.keepalive()?),
        OptionName::Recbuf => SocketOption::Recbuf(size(socket.recv_buffer_size()?)),
        OptionName::Sndbuf => SocketOption::Sndbuf(size(socket.send_buffer_size()?)),
        OptionName::Priority => SocketOption::Priority(socket.priority()?),
        OptionName::Tos => SocketOption::Tos(u8::try_from(socket.tos_v4()? & 0xff).unwrap_or_default()),
        OptionName::Linger => {
            let seconds = |time: Duration| u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
            SocketOption::Linger(socket.linger()?.map(seconds))
        }
        OptionName::SendTimeout => {
            let ms = |time: Duration| u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
            SocketOption::SendTimeout(emulated.send_timeout.map(ms))
        }
        OptionName::SendTimeoutClose => SocketOption::SendTimeoutClose(emulated.send_timeout_close),
    })
}

/// `old` and then `new`, each name once, with its last value (`net_kernel.erl`, `merge_opts`).
fn merged(old: &[SocketOption], new: &[SocketOption]) -> Vec<SocketOption> {
    let mut merged: Vec<SocketOption> = Vec::with_capacity(old.len() + new.len());
    for option in old.iter().chain(new) {
        merged.retain(|other| other.name() != option.name());
        merged.push(*option);
    }
    merged
}

fn flag(value: &Term) -> Option<bool> {
    match as_atom(value)? {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
#[path = "socket_options_tests.rs"]
mod tests;
