//! How the program ends, in one place.

use nix::errno::Errno;

use crate::config::ConfigError;
use crate::demo::NotAllowed;
use crate::netlink::{Missing, NetlinkError};
use crate::route_manager::JournalError;
use crate::service::{PrivilegeError, SeccompError, ServiceError};

/// The exit status. Scripts rely on these numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// Done; for `run`: stopped as asked.
    Done = 0,
    /// Failed, for a reason that has no number of its own.
    Failed = 1,
    /// The command line is wrong (also: a bad term in `call`).
    Usage = 2,
    /// No such node is running.
    NoSuchNode = 3,
    /// A permission is missing, such as CAP_NET_ADMIN.
    Permission = 4,
    /// The configuration is wrong.
    Configuration = 5,
    /// The peer has refused: cookie, name, or its answer to a request.
    Refused = 6,
}

impl ExitCode {
    /// All of them, by number.
    pub const ALL: [Self; 7] =
        [Self::Done, Self::Failed, Self::Usage, Self::NoSuchNode, Self::Permission, Self::Configuration, Self::Refused];

    /// For the manual.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Done => "Done; for run: stopped as asked.",
            Self::Failed => "Failed, for a reason that has no number of its own.",
            Self::Usage => "The command line is wrong, or the term for call.",
            Self::NoSuchNode => "No such node is running.",
            Self::Permission => "A permission is missing, such as CAP_NET_ADMIN.",
            Self::Configuration => "The configuration is wrong.",
            Self::Refused => "The peer has refused: cookie, name, or its answer to a request.",
        }
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        std::process::ExitCode::from(code as u8)
    }
}

impl From<&ConfigError> for ExitCode {
    fn from(_: &ConfigError) -> Self {
        ExitCode::Configuration
    }
}

impl From<&ServiceError> for ExitCode {
    fn from(error: &ServiceError) -> Self {
        match error {
            ServiceError::Missing(Missing::NetAdmin) | ServiceError::Netlink(NetlinkError::MissingNetAdmin { .. }) => {
                ExitCode::Permission
            }
            ServiceError::Netlink(NetlinkError::Namespace { errno, .. })
                if matches!(Errno::from_raw(*errno), Errno::EPERM | Errno::EACCES) =>
            {
                ExitCode::Permission
            }
            ServiceError::Journal(JournalError::Unreadable { source, .. })
                if source.kind() == std::io::ErrorKind::PermissionDenied =>
            {
                ExitCode::Permission
            }
            ServiceError::Elsewhere(_) | ServiceError::Journal(JournalError::Missing(_)) => ExitCode::NoSuchNode,
            ServiceError::Cookie(_)
            | ServiceError::Privilege(PrivilegeError::NoSuchUser(_))
            | ServiceError::Seccomp(SeccompError::Machine)
            | ServiceError::Tls(_)
            | ServiceError::Scope(_)
            | ServiceError::Netlink(NetlinkError::Namespace { .. }) => ExitCode::Configuration,
            ServiceError::Privilege(_) => ExitCode::Permission,
            _ => ExitCode::Failed,
        }
    }
}

/// Of the demo, whose errors have their cause somewhere beneath.
impl From<&anyhow::Error> for ExitCode {
    fn from(error: &anyhow::Error) -> Self {
        let known = error.chain().find_map(|cause| {
            if cause.is::<NotAllowed>() {
                return Some(ExitCode::Permission);
            }
            cause.downcast_ref::<ServiceError>().map(ExitCode::from)
        });
        known.unwrap_or(ExitCode::Failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_numbers() {
        assert_eq!(ExitCode::ALL.map(|code| code as u8), [0, 1, 2, 3, 4, 5, 6]);
    }
}
