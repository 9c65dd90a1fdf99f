//! What an operator says about single interfaces, by name or by a pattern of names.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::{IfName, IfNameError, InterfaceType, Metric};
use crate::glob;

/// One `[[interface]]` of the configuration. `None` leaves it to the interface's name and to the ranking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterfaceConfig {
    /// The interfaces that it is about.
    pub names: NamePattern,
    /// Their type.
    pub interface_type: Option<InterfaceType>,
    /// Their order among those of one rank, 0 to [`MAX_WEIGHT`].
    pub weight: Option<u32>,
    /// Their metric, whatever the ranking says.
    pub metric: Option<Metric>,
    /// For how long they must have been `internet` before they count as it.
    pub hold_up: Duration,
    /// For how long they still count as `internet` after they ceased to be.
    pub hold_down: Duration,
}

/// A heavier interface would reach into the next rank's metrics.
pub const MAX_WEIGHT: u32 = 9;

impl InterfaceConfig {
    /// Says nothing yet about the interfaces that `names` fits.
    #[must_use]
    pub const fn new(names: NamePattern) -> Self {
        let (hold_up, hold_down) = (Duration::ZERO, Duration::ZERO);
        Self { names, interface_type: None, weight: None, metric: None, hold_up, hold_down }
    }
}

/// The name of an interface, where each `*` stands for any bytes, also for none.
#[derive(Clone, PartialEq, Eq)]
pub struct NamePattern(String);

impl NamePattern {
    /// Whether the pattern fits an interface's name.
    #[must_use]
    pub fn fits(&self, name: IfName) -> bool {
        glob::fits(self.0.as_bytes(), name.as_bytes())
    }

    /// Whether every name that fits `other` fits this one as well.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        glob::fits(self.0.as_bytes(), other.0.as_bytes())
    }
}

impl FromStr for NamePattern {
    type Err = IfNameError;

    fn from_str(text: &str) -> Result<Self, IfNameError> {
        // Without stars it must be able to name an interface; only stars fit any.
        let fixed = text.replace('*', "");
        if text == fixed || !matches!(fixed.as_str(), "" | "." | "..") {
            IfName::new(fixed.as_bytes())?;
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> NamePattern {
        text.parse().unwrap()
    }

    #[test]
    fn names_and_stars() {
        for (text, fits, fits_not) in [
            ("eth0", &["eth0"][..], &["eth", "eth00", "xeth0"][..]),
            ("eth*", &["eth", "eth0", "eth1.20"], &["et", "xeth0"]),
            ("*0", &["eth0", "0"], &["eth1", "0x"]),
            ("*", &["eth0", "lo"], &[]),
            ("e*0*", &["e0", "eth0", "enp0s31"], &["eth1", "0e"]),
            ("w*w*0", &["wwan0", "wlw0"], &["w0", "wlan0"]),
            ("a*a", &["aa", "aba"], &["a"]),
            ("**", &["x"], &[]),
        ] {
            let pattern = pattern(text);
            assert!(fits.iter().all(|name| pattern.fits(name.parse().unwrap())), "{text}");
            assert!(!fits_not.iter().any(|name| pattern.fits(name.parse().unwrap())), "{text}");
        }
    }

    #[test]
    fn what_a_pattern_covers() {
        for (wide, narrow, covers) in [
            ("*", "eth*", true),
            ("eth*", "eth0", true),
            ("eth*", "eth*", true),
            ("eth*", "eth1*", true),
            ("eth1*", "eth*", false),
            ("*0", "eth*", false),
            ("eth0", "eth0", true),
            ("eth0", "*", false),
        ] {
            assert_eq!(pattern(wide).covers(&pattern(narrow)), covers, "{wide} {narrow}");
        }
    }

    #[test]
    fn what_can_be_no_name() {
        for text in ["", "..", "a b", "a/b", "a/*", "abcdefghijklmnop", "abcdefgh*ijklmnop"] {
            assert!(text.parse::<NamePattern>().is_err(), "{text:?}");
        }
        for text in ["*", ".*", "abcdefghijklmno*"] {
            assert!(text.parse::<NamePattern>().is_ok(), "{text:?}");
        }
    }
}
