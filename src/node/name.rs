//! The node's name, under OTP's rules (`net_kernel.erl`: `create_name`, `create_hostpart`; `inet_tcp_dist.erl`:
//! `splitnode`), with a reason when one is broken.
//!
//! OTP starts with a long name like `x@localhost` and then refuses every connection; we refuse at once.

use std::net::Ipv6Addr;

use erl_dist::node::NodeName;

/// Whether hosts in node names have dots. Nodes of different kinds cannot talk to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameKind {
    /// `--name`
    Long,
    /// `--sname`
    Short,
}

impl NameKind {
    /// The kind of names that have this host: long ones, if it has a dot or is an address (`inet_tcp_dist.erl`:
    /// `splitnode`).
    #[must_use]
    pub fn of_host(host: &str) -> NameKind {
        if host.contains('.') || host.parse::<Ipv6Addr>().is_ok() { NameKind::Long } else { NameKind::Short }
    }

    fn flag(self) -> &'static str {
        match self {
            NameKind::Long => "--name",
            NameKind::Short => "--sname",
        }
    }
}

/// What this host calls itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostName {
    /// As `hostname` prints it; perhaps with dots.
    pub name: String,
    /// The resolver's domain, for a name without dots.
    pub domain: Option<String>,
}

impl HostName {
    /// Asks the kernel, and `/etc/resolv.conf` for the domain.
    pub fn of_this_host() -> HostName {
        let name = nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let domain = std::fs::read_to_string("/etc/resolv.conf").ok().and_then(|text| domain_in(&text));
        HostName { name, domain }
    }

    /// Up to the first dot.
    pub fn short(&self) -> &str {
        self.name.split('.').next().unwrap_or_default()
    }

    /// With a dot, if there is a way to one.
    pub fn long(&self) -> Option<String> {
        if self.name.contains('.') {
            return Some(self.name.clone());
        }
        let domain = self.domain.as_deref().filter(|_| !self.name.is_empty())?;
        Some(format!("{}.{domain}", self.name))
    }
}

/// `domain`, or the first of `search`, whichever comes last, as resolvers do (`man 5 resolv.conf`).
fn domain_in(resolv_conf: &str) -> Option<String> {
    let words = resolv_conf.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        matches!(words.next(), Some("domain" | "search")).then(|| words.next())?
    });
    words.map(|domain| domain.trim_matches('.').to_owned()).rfind(|domain| !domain.is_empty())
}

/// Why a name is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NodeNameError {
    /// The part before `@`.
    #[error("invalid node name {name:?}: the part before @ is made of letters, digits, _ and -")]
    Head {
        /// As given.
        name: String,
    },
    /// The part after `@`.
    #[error("invalid node name {name:?}: the host must be printable ASCII without blanks and @")]
    Host {
        /// As given.
        name: String,
    },
    /// `--sname x@a.b`
    #[error("--sname {name}: a short name has no dot in its host; use --name {name}, or --sname {short}")]
    DotInShort {
        /// As given.
        name: String,
        /// What would do.
        short: String,
    },
    /// `--name x@a`
    #[error(
        "--name {name}: a long name needs a host with a dot, and {host} has none; \
         use --sname {name}, or the full host name or address"
    )]
    NoDotInLong {
        /// As given.
        name: String,
        /// Its host.
        host: String,
    },
    /// `--name x` on a host that knows no full name for itself.
    #[error(
        "--name {name}: can't set long node name: this host ({host}) knows no name with a dot for itself; \
         write it out (--name {name}@HOST.DOMAIN or {name}@ADDRESS), or use --sname"
    )]
    NoLongHost {
        /// As given.
        name: String,
        /// What the host calls itself.
        host: String,
    },
    /// No host name to take.
    #[error("{flag} {name}: can't set short node name: this host has no name; write it out ({flag} {name}@HOST)")]
    NoShortHost {
        /// As given.
        name: String,
        /// The flag that takes it.
        flag: &'static str,
    },
    /// Longer than an atom can be.
    #[error("a node name of {bytes} bytes: at most 255 are allowed")]
    Long {
        /// Its length.
        bytes: usize,
    },
}

/// Completes and checks a name as given to `--name` or `--sname`.
///
/// # Errors
///
/// [`NodeNameError`], in a sentence for the operator.
pub fn node_name(given: &str, kind: NameKind, this_host: &HostName) -> Result<NodeName, NodeNameError> {
    let name = || given.to_owned();
    let (head, host) = match given.split_once('@') {
        // Like OTP: `x@` is `x`.
        Some((head, "")) => (head, None),
        Some((head, host)) => (head, Some(host.to_owned())),
        None => (given, None),
    };
    if head.is_empty() || !head.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-') {
        return Err(NodeNameError::Head { name: name() });
    }
    let is_given = host.is_some();
    let host = match (host, kind) {
        (Some(host), _) => host,
        (None, NameKind::Short) if this_host.short().is_empty() => {
            return Err(NodeNameError::NoShortHost { name: head.to_owned(), flag: kind.flag() });
        }
        (None, NameKind::Short) => this_host.short().to_owned(),
        (None, NameKind::Long) => this_host
            .long()
            .ok_or_else(|| NodeNameError::NoLongHost { name: head.to_owned(), host: this_host.name.clone() })?,
    };
    if !host.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'@') {
        return Err(NodeNameError::Host { name: if is_given { name() } else { format!("{head}@{host}") } });
    }
    match (kind, NameKind::of_host(&host)) {
        (NameKind::Short, NameKind::Long) => {
            let short = format!("{head}@{}", host.split('.').next().unwrap_or_default());
            return Err(NodeNameError::DotInShort { name: name(), short });
        }
        (NameKind::Long, NameKind::Short) => return Err(NodeNameError::NoDotInLong { name: name(), host }),
        _ => {}
    }
    let bytes = head.len() + 1 + host.len();
    // The other reasons for a refusal are excluded above.
    NodeName::new(head, &host).map_err(|_| NodeNameError::Long { bytes })
}

/// Checks the full name of another node, which must be of the same kind as ours to be reached.
///
/// # Errors
///
/// What is wrong with it.
pub fn peer_name(given: &str, kind: NameKind) -> Result<NodeName, &'static str> {
    let Some((head, host)) = given.split_once('@') else { return Err("not a node name: NODE@HOST") };
    if head.is_empty() || host.is_empty() || !given.bytes().all(|byte| byte.is_ascii_graphic()) || host.contains('@') {
        return Err("not a node name: NODE@HOST");
    }
    match (kind, NameKind::of_host(host)) {
        (NameKind::Short, NameKind::Long) => {
            Err("a long name, and this node has a short one: they cannot talk to each other")
        }
        (NameKind::Long, NameKind::Short) => {
            Err("a short name, and this node has a long one: they cannot talk to each other")
        }
        _ => NodeName::new(head, host).map_err(|_| "at most 255 bytes are allowed"),
    }
}

/// What stands behind the `@` of a node name; nothing, if there is none.
#[must_use]
pub fn host_of(node: &str) -> &str {
    node.split_once('@').map_or("", |(_, host)| host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(name: &str, domain: Option<&str>) -> HostName {
        HostName { name: name.into(), domain: domain.map(str::to_owned) }
    }

    #[test]
    fn names_that_are_fine() {
        use NameKind::{Long, Short};
        let gw = host("gw1", Some("example.org"));
        let dotted = host("gw1.example.org", None);
        for (given, kind, host, expected) in [
            ("beamroute", Short, &gw, "beamroute@gw1"),
            ("beamroute", Short, &dotted, "beamroute@gw1"),
            ("a-b_9", Short, &gw, "a-b_9@gw1"),
            ("x@", Short, &gw, "x@gw1"),
            ("x@other", Short, &gw, "x@other"),
            ("x@localhost", Short, &gw, "x@localhost"),
            ("x", Long, &gw, "x@gw1.example.org"),
            ("x", Long, &dotted, "x@gw1.example.org"),
            ("x@127.0.0.1", Long, &gw, "x@127.0.0.1"),
            ("x@::1", Long, &gw, "x@::1"),
        ] {
            assert_eq!(node_name(given, kind, host).unwrap().to_string(), expected);
        }
    }

    #[test]
    fn refusals_say_what_to_do() {
        use NameKind::{Long, Short};
        let gw = host("gw1", None);
        let long = format!("{}@h", "a".repeat(254));
        for (given, kind, sentence) in [
            ("x@a.b", Short, "--sname x@a.b: a short name has no dot in its host; use --name x@a.b, or --sname x@a"),
            (
                "x@localhost",
                Long,
                "--name x@localhost: a long name needs a host with a dot, and localhost has none; use --sname x@localhost, or the full host name or address",
            ),
            (
                "x",
                Long,
                "--name x: can't set long node name: this host (gw1) knows no name with a dot for itself; write it out (--name x@HOST.DOMAIN or x@ADDRESS), or use --sname",
            ),
            ("", Short, "invalid node name \"\": the part before @ is made of letters, digits, _ and -"),
            ("@h", Short, "invalid node name \"@h\": the part before @ is made of letters, digits, _ and -"),
            ("a b", Short, "invalid node name \"a b\": the part before @ is made of letters, digits, _ and -"),
            ("é", Short, "invalid node name \"é\": the part before @ is made of letters, digits, _ and -"),
            ("a@b@c", Short, "invalid node name \"a@b@c\": the host must be printable ASCII without blanks and @"),
            ("a@b c", Short, "invalid node name \"a@b c\": the host must be printable ASCII without blanks and @"),
            (&long, Short, "a node name of 256 bytes: at most 255 are allowed"),
        ] {
            assert_eq!(node_name(given, kind, &gw).unwrap_err().to_string(), sentence);
        }
        let nameless = node_name("x", Short, &host("", None)).unwrap_err().to_string();
        assert_eq!(
            nameless,
            "--sname x: can't set short node name: this host has no name; write it out (--sname x@HOST)"
        );
    }

    #[test]
    fn domains() {
        for (text, domain) in [
            ("nameserver 192.0.2.1\n", None),
            ("search a.example b.example\n", Some("a.example")),
            ("domain example.org.\n", Some("example.org")),
            ("search a\ndomain b\n", Some("b")),
            ("search\nsearch .\n", None),
            ("# domain x\n", None),
        ] {
            assert_eq!(domain_in(text).as_deref(), domain, "{text:?}");
        }
    }
}
