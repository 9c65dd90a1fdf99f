//! What can go wrong between us and rtnetlink.

use std::io;
use std::path::PathBuf;

use nix::errno::Errno;

/// Why the kernel could not be asked, or would not answer. A refused route is not one of these: see
/// [`Outcome`](super::Outcome).
#[derive(Debug, thiserror::Error)]
pub enum NetlinkError {
    /// The network namespace could not be entered.
    #[error("cannot enter network namespace {}: {why}", path.display())]
    Namespace {
        /// The namespace's file.
        path: PathBuf,
        /// What to do about it.
        why: String,
        /// The error number.
        errno: i32,
    },
    /// A netlink socket could not be made or set up.
    #[error("cannot {doing}: {source}")]
    Socket {
        /// What was being done.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// `EPERM`.
    #[error("not permitted to {doing}: CAP_NET_ADMIN is missing in this network namespace")]
    MissingNetAdmin {
        /// What was being done.
        doing: &'static str,
    },
    /// The kernel was built without something we need.
    #[error("this kernel has no {missing}")]
    Unsupported {
        /// What is missing, with the names of the kernel's configuration options.
        missing: &'static str,
    },
    /// A request that should not fail was refused.
    #[error("the kernel refused to {doing}: {} ({text})", Errno::from_raw(*errno))]
    Refused {
        /// What was being done.
        doing: &'static str,
        /// The error number, positive.
        errno: i32,
        /// The kernel's own words (`NLMSGERR_ATTR_MSG`), or the text of the error number.
        text: String,
    },
    /// A dump was interrupted by changes (`NLM_F_DUMP_INTR`) each time it was tried.
    #[error("could not {doing}: the tables changed each time")]
    Interrupted {
        /// What was being done.
        doing: &'static str,
    },
    /// The kernel's answer did not come, was cut, or made no sense.
    #[error("no usable answer from the kernel to {doing}")]
    NoAnswer {
        /// What was being done.
        doing: &'static str,
    },
}

impl NetlinkError {
    /// Whether the same call may succeed a moment later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Interrupted { .. } | Self::NoAnswer { .. } => true,
            Self::Socket { source, .. } => source.raw_os_error().is_some_and(is_transient),
            Self::Refused { errno, .. } => is_transient(*errno),
            Self::Namespace { .. } | Self::MissingNetAdmin { .. } | Self::Unsupported { .. } => false,
        }
    }

    /// The error number, where there is one.
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::Socket { source, .. } => source.raw_os_error(),
            Self::Refused { errno, .. } | Self::Namespace { errno, .. } => Some(*errno),
            Self::MissingNetAdmin { .. } => Some(Errno::EPERM as i32),
            Self::Unsupported { .. } | Self::Interrupted { .. } | Self::NoAnswer { .. } => None,
        }
    }

    pub(super) fn refused(doing: &'static str, errno: i32, text: String) -> Self {
        if errno == Errno::EPERM as i32 {
            Self::MissingNetAdmin { doing }
        } else {
            Self::Refused { doing, errno, text }
        }
    }
}

/// `map_err(socket("..."))`.
pub(super) fn socket(doing: &'static str) -> impl Fn(io::Error) -> NetlinkError {
    move |source| NetlinkError::Socket { doing, source }
}

fn is_transient(errno: i32) -> bool {
    matches!(Errno::from_raw(errno), Errno::ENOBUFS | Errno::ENOMEM | Errno::EAGAIN | Errno::EINTR | Errno::EBUSY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eperm_names_the_capability() {
        let error = NetlinkError::refused("delete a rule", Errno::EPERM as i32, String::new());
        assert!(error.to_string().contains("CAP_NET_ADMIN"), "{error}");
        assert!(!error.is_transient());
    }

    #[test]
    fn a_lack_of_memory_passes() {
        let no_buffers = io::Error::from_raw_os_error(Errno::ENOBUFS as i32);
        assert!(NetlinkError::Socket { doing: "receive", source: no_buffers }.is_transient());
        assert!(!NetlinkError::refused("add", Errno::EINVAL as i32, String::new()).is_transient());
        assert!(NetlinkError::Interrupted { doing: "list routes" }.is_transient());
    }
}
