//! TLS distribution: real nodes with `-proto_dist inet_tls`, in both directions, and those that should not get in.

mod certificates;
mod files;
mod hostile;
mod meeting;
mod peer;
mod readme;
mod refusals;
mod reload;

use std::path::Path;

use crate::support::daemon::Options;
use crate::support::{Beam, Daemon, Epmd, Netns, serial};
use certificates::{Authority, Files};

/// What most of these tests need, but for the BEAM nodes.
struct Site {
    authority: Authority,
    net: Netns,
    epmd: Epmd,
}

impl Site {
    fn new() -> Option<Self> {
        Some(Self { epmd: Epmd::start()?, net: Netns::two_interfaces()?, authority: Authority::new() })
    }

    /// A daemon with this certificate.
    fn daemon(&self, files: &Files, flags: &[&str]) -> Options {
        Daemon::options(&self.epmd.place()).netns(&self.net).flags(&files.flags()).flags(flags)
    }

    /// An `erl -proto_dist inet_tls` with this `-ssl_dist_optfile`.
    fn erl(&self, cookie: &str, optfile: &Path, flags: &[&str]) -> Option<Beam> {
        self.named(cookie, &fresh(), optfile, flags)
    }

    fn named(&self, cookie: &str, name: &str, optfile: &Path, flags: &[&str]) -> Option<Beam> {
        let tls = ["-proto_dist", "inet_tls", "-ssl_dist_optfile", optfile.to_str().unwrap()];
        Beam::named(&self.epmd.place(), cookie, "-name", name, &[&tls[..], flags].concat())
    }
}

fn fresh() -> String {
    format!("tls{}x{}@127.0.0.1", std::process::id(), serial())
}
