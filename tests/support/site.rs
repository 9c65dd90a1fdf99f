//! A namespace, a state directory, and a BEAM node that looks on while daemons come and go.

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use super::daemon::Options;
use super::epmd::Place;
use super::{Beam, Daemon, Epmd, Link, Netns, eventually, serial};

/// Where daemons come and go. In the BEAM, `N` and `RM` are as in [`support::Rig`], `Set(If, Third)` and
/// `Clear(If)` call about an interface with an address in 192.168.Third.0/24, and `I(If, Key)` asks for its status.
pub struct Site {
    pub beam: Beam,
    pub net: Netns,
    pub name: String,
    dir: TempDir,
    epmd: Epmd,
}

const COOKIE: &str = "RestartSecret";

impl Site {
    /// `eth0` with an IPv4 and an IPv6 address, `wlan0` with an IPv4 one.
    pub fn new() -> Option<Self> {
        Self::with(&[
            Link::new("eth0", &["192.168.1.50/24", "fd00:1::50/64"]),
            Link::new("wlan0", &["192.168.2.50/24"]),
        ])
    }

    pub fn with(links: &[Link]) -> Option<Self> {
        let epmd = Epmd::start()?;
        let net = Netns::new(links)?;
        // When the kernel has found that nobody else has an address, it adds a route.
        eventually("addresses are settled", || {
            let shown = net.ip(&["-6", "-o", "addr", "show", "scope", "link"]);
            let wanted = links.iter().filter(|link| link.is_up).count();
            shown.lines().count() == wanted && !shown.contains("tentative")
        });
        let beam = Beam::start(&epmd.place(), COOKIE)?;
        let name = format!("si{}x{}@127.0.0.1", std::process::id(), serial());
        let site = Self { beam, net, name, dir: tempfile::tempdir().unwrap(), epmd };
        site.beam.ok(&format!("N = '{}', RM = {{route_manager, N}}.", site.name));
        site.beam.ok("Set = fun(If, Third) -> gen_server:call(RM, {set_route, If, [{{192,168,Third,50},24}], {192,168,Third,1}}) end, ok.");
        site.beam.ok("Clear = fun(If) -> gen_server:call(RM, {clear_route, If}) end, ok.");
        site.beam
            .ok("I = fun(If, Key) -> #{interfaces := #{If := #{Key := V}}} = gen_server:call(RM, status), V end, ok.");
        Some(site)
    }

    pub fn state_dir(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    /// Where its nodes register.
    pub fn place(&self) -> Place {
        self.epmd.place()
    }

    pub fn options(&self) -> Options {
        let options = Daemon::options(&self.epmd.place()).netns(&self.net).cookie(COOKIE);
        options.naming("--name", &self.name).state_dir(&self.state_dir())
    }

    pub fn start(&self) -> Daemon {
        let daemon = self.options().start();
        eventually("the BEAM sees the daemon", || self.beam.ok("net_adm:ping(N).") == "pong");
        daemon
    }

    pub fn status(&self) -> String {
        self.beam.ok("gen_server:call(RM, status).")
    }

    /// All routes and rules of the namespace.
    pub fn kernel(&self) -> String {
        let script = "route show table all\nrule show\n";
        self.net.ip_batch(&["-4"], script) + &self.net.ip_batch(&["-6"], script)
    }

    pub fn aside(&self) -> Vec<String> {
        let names = fs::read_dir(self.state_dir()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.contains("damaged")).collect()
    }
}
