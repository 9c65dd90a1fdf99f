//! The name of a Linux network interface.

use std::fmt;

/// A valid Linux interface name: 1 to 15 bytes, no `/`, no `:`, no white space, not `.` or `..`
/// (`dev_valid_name` in `net/core/dev.c`). Any other byte is allowed, so [`Display`](fmt::Display) escapes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IfName {
    // Zero-padded. A name holds no NUL, so comparing the padded arrays orders names as Erlang orders binaries.
    bytes: [u8; IfName::MAX_LEN],
}

/// Why some bytes cannot name an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IfNameError {
    /// No byte at all.
    #[error("is empty")]
    Empty,
    /// More than [`IfName::MAX_LEN`] bytes.
    #[error("is longer than 15 bytes")]
    TooLong,
    /// `.` and `..` are directories in sysfs.
    #[error("is . or ..")]
    Dots,
    /// A byte that no interface name may hold.
    #[error("holds a '/', a ':', white space or a NUL")]
    BadByte,
}

impl IfName {
    /// `IFNAMSIZ - 1` (`include/uapi/linux/if.h`).
    pub const MAX_LEN: usize = 15;

    /// Checks `name` by the kernel's rules.
    ///
    /// # Errors
    /// [`IfNameError`] says which rule is broken.
    pub fn new(name: &[u8]) -> Result<Self, IfNameError> {
        if name.is_empty() {
            return Err(IfNameError::Empty);
        }
        if name == b"." || name == b".." {
            return Err(IfNameError::Dots);
        }
        if name.iter().any(|b| matches!(b, 0 | b'/' | b':' | 0x09..=0x0d | b' ' | 0xa0)) {
            return Err(IfNameError::BadByte);
        }
        let mut bytes = [0; Self::MAX_LEN];
        bytes.get_mut(..name.len()).ok_or(IfNameError::TooLong)?.copy_from_slice(name);
        Ok(Self { bytes })
    }

    /// The name as the kernel has it.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.split(|b| *b == 0).next().unwrap_or_default()
    }
}

impl fmt::Display for IfName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes().escape_ascii().fmt(f)
    }
}

impl fmt::Debug for IfName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl std::str::FromStr for IfName {
    type Err = IfNameError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::new(name.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_what_the_kernel_accepts() {
        for name in ["e", "eth0", "wlan0.100", "abcdefghijklmno", "...", "ünï", "\u{1}x"] {
            assert_eq!(name.parse::<IfName>().unwrap().as_bytes(), name.as_bytes());
        }
    }

    #[test]
    fn refuses_what_the_kernel_refuses() {
        for (name, error) in [
            ("", IfNameError::Empty),
            ("abcdefghijklmnop", IfNameError::TooLong),
            (".", IfNameError::Dots),
            ("..", IfNameError::Dots),
            ("a/b", IfNameError::BadByte),
            ("a:b", IfNameError::BadByte),
            (" eth0", IfNameError::BadByte),
            ("a\0b", IfNameError::BadByte),
        ] {
            assert_eq!(name.parse::<IfName>(), Err(error), "{name:?}");
        }
    }

    #[test]
    fn orders_as_erlang_orders_binaries() {
        let mut names: Vec<IfName> = ["eth10", "eth1", "b", "eth2", "eth"].iter().map(|n| n.parse().unwrap()).collect();
        names.sort();
        let shown: Vec<String> = names.iter().map(IfName::to_string).collect();
        assert_eq!(shown, ["b", "eth", "eth1", "eth10", "eth2"]);
    }
}
