//! Types of single options: a string or number that has been understood once, at the edge, with its reason when not.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use serde::de::{self, Deserialize, Deserializer, Visitor};

use crate::node::{AutoConnect, SocketOption};

/// A duration: whole seconds, or a number with its unit (`ms`, `s`, `m`, `h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seconds(pub Duration);

impl FromStr for Seconds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let number: u64 = number
            .parse()
            .map_err(|_| "not a duration: seconds, or a number with its unit (60, 60s, 1m)".to_owned())?;
        let milliseconds = match unit.trim_start() {
            "ms" => 1,
            "" | "s" => 1000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            other => return Err(format!("unknown unit {other:?} (ms, s, m or h)")),
        };
        let milliseconds = number.checked_mul(milliseconds).ok_or("longer than time itself")?;
        Ok(Seconds(Duration::from_millis(milliseconds)))
    }
}

/// The `rtm_protocol` number that marks our routes and rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Protocol(pub u8);

impl FromStr for Protocol {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number: u8 = text.parse().map_err(|_| "not a protocol number (5 to 255)".to_owned())?;
        // include/uapi/linux/rtnetlink.h: up to RTPROT_STATIC the numbers say who made a route.
        let name = match number {
            0 => "unspec",
            1 => "redirect",
            2 => "kernel",
            3 => "boot",
            4 => "static",
            _ => return Ok(Protocol(number)),
        };
        Err(format!("{number} is the kernel's own ({name}): routes that are not ours bear it (5 to 255 may be used)"))
    }
}

/// The priority of our rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RulePriority(pub u32);

impl FromStr for RulePriority {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(0) => Err("0 is the rule of the local table (1 to 32765 may be used)".into()),
            Ok(number @ 1..=32765) => Ok(RulePriority(number)),
            Ok(32766..) => Err("rules from 32766 on come after the main table's (1 to 32765 may be used)".into()),
            Err(_) => Err("not a rule priority (1 to 32765)".into()),
        }
    }
}

/// How many interfaces may be known at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaxInterfaces(pub usize);

impl FromStr for MaxInterfaces {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(number @ 1..=65_535) => Ok(MaxInterfaces(number)),
            _ => Err("not a number of interfaces (1 to 65535)".into()),
        }
    }
}

/// Who may stop and change the node itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Admin {
    /// Nobody over the distribution.
    #[default]
    None,
    /// Everybody who has the cookie.
    All,
}

/// What the end of the daemon leaves in the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnExit {
    /// Everything.
    #[default]
    Keep,
    /// Nothing of ours.
    Clear,
}

/// What becomes of existing connections when the best way out has moved to another interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Flush {
    /// They stay where they are.
    #[default]
    None,
    /// The kernel forgets those that were bound to the interface that lost.
    Conntrack,
}

/// What becomes of system calls that the daemon has no use for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Seccomp {
    /// There is no filter.
    #[default]
    Off,
    /// They are made, and the kernel writes a line in its log (audit).
    Log,
    /// They are refused (`EPERM`).
    Enforce,
}

/// Whether nodes must have a certificate, in the words of OTP's `verify_peer` and `verify_none`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TlsVerify {
    /// One of an authority that we trust.
    #[default]
    Peer,
    /// None.
    None,
}

/// Whether referring to a node connects to it, in the words of the Kernel parameter `dist_auto_connect`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DistAutoConnect(pub AutoConnect);

impl FromStr for DistAutoConnect {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "true" => Ok(Self(AutoConnect::Always)),
            "once" => Ok(Self(AutoConnect::Once)),
            "never" | "false" => Ok(Self(AutoConnect::Never)),
            _ => Err("must be one of true, once, never".into()),
        }
    }
}

impl<'de> Deserialize<'de> for DistAutoConnect {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = DistAutoConnect;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true, \"once\" or \"never\"")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<DistAutoConnect, E> {
                text.parse().map_err(E::custom)
            }
            fn visit_bool<E: de::Error>(self, truth: bool) -> Result<DistAutoConnect, E> {
                self.visit_str(if truth { "true" } else { "false" })
            }
        }
        deserializer.deserialize_any(Text)
    }
}

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// A network namespace, as `--netns` names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Netns(PathBuf);

impl Netns {
    /// The file that stands for the namespace: a name means `/run/netns/NAME`, as for `ip netns`.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl FromStr for Netns {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "" | "." | ".." => Err("not the name or path of a network namespace".into()),
            path if path.contains('/') => Ok(Netns(path.into())),
            name => Ok(Netns(Path::new("/run/netns").join(name))),
        }
    }
}

/// Options of TCP sockets: `nodelay=true,recbuf=65536`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketOptions(pub Vec<SocketOption>);

impl FromStr for SocketOptions {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
        let option = |word: &str| word.parse().map_err(|error| format!("{word:?}: {error}"));
        words.map(option).collect::<Result<_, _>>().map(SocketOptions)
    }
}

/// What a file may write for a type that is parsed from text: the text or, for numbers, the number.
macro_rules! from_text_or_number {
    ($($type:ty: $expecting:literal),* $(,)?) => {$(
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Text;
                impl Visitor<'_> for Text {
                    type Value = $type;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expecting)
                    }
                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$type, E> {
                        text.parse().map_err(E::custom)
                    }
                    fn visit_i64<E: de::Error>(self, number: i64) -> Result<$type, E> {
                        self.visit_str(&number.to_string())
                    }
                }
                deserializer.deserialize_any(Text)
            }
        }
    )*};
}

from_text_or_number! {
    Seconds: "seconds, or a text like \"60s\"",
    Protocol: "a number from 5 to 255",
    RulePriority: "a number from 1 to 32765",
    MaxInterfaces: "a number from 1 to 65535",
    Netns: "the name or path of a network namespace",
    SocketOptions: "a text like \"nodelay=true,recbuf=65536\"",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, ms) in
            [("60", 60_000), ("60s", 60_000), ("1m", 60_000), ("1 min", 60_000), ("250ms", 250), ("2h", 7_200_000)]
        {
            assert_eq!(text.parse(), Ok(Seconds(Duration::from_millis(ms))), "{text}");
        }
        for bad in ["", "s", "-1", "1.5", "1d", "1s ", "99999999999999999999", "18446744073709551615h"] {
            assert!(bad.parse::<Seconds>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn numbers_with_a_meaning() {
        assert_eq!("110".parse(), Ok(Protocol(110)));
        assert_eq!("5".parse(), Ok(Protocol(5)));
        assert_eq!("255".parse(), Ok(Protocol(255)));
        let reason = "4".parse::<Protocol>().unwrap_err();
        assert_eq!(reason, "4 is the kernel's own (static): routes that are not ours bear it (5 to 255 may be used)");
        for bad in ["0", "2", "256", "-1", "x"] {
            assert!(bad.parse::<Protocol>().is_err(), "{bad}");
        }
        for (text, fine) in [("0", false), ("1", true), ("32765", true), ("32766", false), ("x", false)] {
            assert_eq!(text.parse::<RulePriority>().is_ok(), fine, "{text}");
        }
        assert!("0".parse::<MaxInterfaces>().is_err());
    }

    #[test]
    fn o5a_socket_options() {
        let options = vec![SocketOption::Nodelay(false), SocketOption::Recbuf(8192)];
        assert_eq!("nodelay=false, recbuf=8192".parse(), Ok(SocketOptions(options)));
        assert_eq!("".parse(), Ok(SocketOptions(Vec::new())));
        let reason = "nodelay=true,packet=4".parse::<SocketOptions>().unwrap_err();
        assert_eq!(reason, "\"packet=4\": unknown socket option or bad value");
    }

    #[test]
    fn automatic_connects() {
        use AutoConnect::{Always, Never, Once};
        for (text, when) in [("true", Always), ("once", Once), ("never", Never), ("false", Never)] {
            assert_eq!(text.parse(), Ok(DistAutoConnect(when)), "{text}");
        }
        assert!("always".parse::<DistAutoConnect>().is_err());
    }

    #[test]
    fn namespaces() {
        assert_eq!("blue".parse::<Netns>().unwrap().path(), Path::new("/run/netns/blue"));
        assert_eq!("/proc/7/ns/net".parse::<Netns>().unwrap().path(), Path::new("/proc/7/ns/net"));
        assert!("..".parse::<Netns>().is_err());
    }
}
