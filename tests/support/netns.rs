//! Private network namespaces with veth links, as the recorded vectors had them: every link's other end bears the same
//! name in a second namespace, and is up.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use super::{Process, eventually, have, output, serial, skip};

/// A link to make: a veth with these addresses.
#[derive(Debug, Clone)]
pub struct Link {
    pub name: String,
    pub addresses: Vec<String>,
    pub is_up: bool,
}

impl Link {
    pub fn new(name: &str, addresses: &[&str]) -> Self {
        Self { name: name.to_owned(), addresses: addresses.iter().map(ToString::to_string).collect(), is_up: true }
    }
}

/// How namespaces can be made here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// As root: `ip netns add`.
    Named,
    /// Without root: a child that holds a user and a network namespace.
    Held,
}

enum Space {
    Named(String),
    Held(Process),
}

/// A network namespace and its peer, gone when dropped.
pub struct Netns {
    inside: Space,
    peer: Space,
}

impl Netns {
    /// Makes both namespaces and the links, or says why it cannot.
    pub fn new(links: &[Link]) -> Option<Self> {
        if !have("ip") {
            return None;
        }
        let Some(way) = way() else {
            skip("neither root nor unprivileged user namespaces: no private network namespace");
            return None;
        };
        let net = match way {
            Way::Named => Self { inside: Space::named(), peer: Space::named() },
            Way::Held => {
                let inside = Space::held(Command::new("unshare").args(["-U", "-r", "-n", "cat"]));
                let Space::Held(process) = &inside else { unreachable!("just made") };
                let peer = Space::held(Command::new("nsenter").args([
                    "-t",
                    &process.pid().to_string(),
                    "-U",
                    "--preserve-credentials",
                    "unshare",
                    "-n",
                    "cat",
                ]));
                Self { inside, peer }
            }
        };
        let peer = net.peer.handle();
        let mut near = String::new();
        let mut far = String::new();
        for Link { name, addresses, is_up } in links {
            near += &format!("link add {name} type veth peer name {name} netns {peer}\n");
            far += &format!("link set {name} up\n");
            for address in addresses {
                let nodad = if address.contains(':') { " nodad" } else { "" };
                near += &format!("addr add {address} dev {name}{nodad}\n");
            }
            if *is_up {
                near += &format!("link set {name} up\n");
            }
        }
        net.inside.script(&near);
        net.peer.script(&far);
        Some(net)
    }

    /// `eth0` with 192.168.1.50/24 and `wlan0` with 192.168.2.50/24.
    pub fn two_interfaces() -> Option<Self> {
        Self::new(&[Link::new("eth0", &["192.168.1.50/24"]), Link::new("wlan0", &["192.168.2.50/24"])])
    }

    /// Runs `ip` inside.
    pub fn try_ip(&self, args: &[&str]) -> Output {
        self.inside.ip().args(args).stdin(Stdio::null()).output().unwrap()
    }

    /// Runs `ip` inside; panics when it fails.
    pub fn ip(&self, args: &[&str]) -> String {
        output(self.inside.ip().args(args))
    }

    /// A command that runs `ip` inside.
    pub fn ip_command(&self) -> Command {
        self.inside.ip()
    }

    /// A command that runs `program` inside.
    pub fn command(&self, program: &str) -> Command {
        self.inside.command(program)
    }

    /// A command that runs `program` on the far side.
    pub fn command_peer(&self, program: &str) -> Command {
        self.peer.command(program)
    }

    /// Runs `ip` on the far side.
    pub fn try_ip_peer(&self, args: &[&str]) -> Output {
        self.peer.ip().args(args).stdin(Stdio::null()).output().unwrap()
    }

    /// Runs a batch of `ip` commands inside and gives what they print; commands that fail print nothing.
    pub fn ip_batch(&self, options: &[&str], script: &str) -> String {
        let out = run_batch(self.inside.ip().args(options), script);
        String::from_utf8_lossy(&out.stdout).into_owned()
    }

    /// The value of `--netns`: a name, or without root a path.
    pub fn argument(&self) -> String {
        match &self.inside {
            Space::Named(name) => name.clone(),
            Space::Held(process) => format!("/proc/{}/ns/net", process.pid()),
        }
    }

    /// The namespace as a path, which `--netns` takes as well.
    pub fn path(&self) -> PathBuf {
        self.inside.path()
    }

    /// The far side as a path.
    pub fn peer_path(&self) -> PathBuf {
        self.peer.path()
    }

    /// A command that may enter the namespace but starts outside of it, as the daemon does.
    pub fn outside(&self, program: &str) -> Command {
        match &self.inside {
            Space::Named(_) => Command::new(program),
            Space::Held(process) => {
                let mut command = Command::new("nsenter");
                command.args(["-t", &process.pid().to_string(), "-U", "--preserve-credentials", program]);
                command
            }
        }
    }
}

impl Space {
    fn named() -> Self {
        let name = format!("brt{}x{}", std::process::id(), serial());
        output(Command::new("ip").args(["netns", "add", &name]));
        Self::Named(name)
    }

    fn held(command: &mut Command) -> Self {
        let ours = std::fs::read_link("/proc/self/ns/net").unwrap();
        let process = Process::spawn(command.stdin(Stdio::piped()).stdout(Stdio::null()));
        let its = format!("/proc/{}", process.pid());
        eventually("a held namespace", || {
            std::fs::read_link(format!("{its}/ns/net")).is_ok_and(|ns| ns != ours)
                && std::fs::read_to_string(format!("{its}/comm")).is_ok_and(|comm| comm == "cat\n")
        });
        Self::Held(process)
    }

    /// What `ip link add … netns` calls it.
    fn handle(&self) -> String {
        match self {
            Self::Named(name) => name.clone(),
            Self::Held(process) => process.pid().to_string(),
        }
    }

    fn path(&self) -> PathBuf {
        match self {
            Self::Named(name) => PathBuf::from("/run/netns").join(name),
            Self::Held(process) => format!("/proc/{}/ns/net", process.pid()).into(),
        }
    }

    fn command(&self, program: &str) -> Command {
        match self {
            Self::Named(name) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", name, program]);
                command
            }
            Self::Held(process) => {
                let mut command = Command::new("nsenter");
                command.args(["-t", &process.pid().to_string(), "-U", "-n", "--preserve-credentials", program]);
                command
            }
        }
    }

    fn ip(&self) -> Command {
        match self {
            Self::Named(name) => {
                let mut command = Command::new("ip");
                command.args(["-n", name]);
                command
            }
            Self::Held(process) => {
                let mut command = Command::new("nsenter");
                command.args(["-t", &process.pid().to_string(), "-U", "-n", "--preserve-credentials", "ip"]);
                command
            }
        }
    }

    /// Runs a batch that must not fail.
    fn script(&self, script: &str) {
        let out = run_batch(&mut self.ip(), script);
        assert!(out.status.success(), "{script}{}", String::from_utf8_lossy(&out.stderr));
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        if let Self::Named(name) = self {
            let _ = Command::new("ip").args(["netns", "del", name]).status();
        }
    }
}

fn run_batch(command: &mut Command, script: &str) -> Output {
    let command = command.args(["-force", "-batch", "-"]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("ip starts");
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// Finds out, once, how namespaces can be made. `BEAMROUTE_TEST_ROOTLESS=1` makes root take the way of everybody else.
fn way() -> Option<Way> {
    static WAY: OnceLock<Option<Way>> = OnceLock::new();
    *WAY.get_or_init(|| {
        let works = |program: &str, args: &[&str]| {
            Command::new(program).args(args).output().is_ok_and(|out| out.status.success())
        };
        let name = format!("brt{}x0", std::process::id());
        if std::env::var_os("BEAMROUTE_TEST_ROOTLESS").is_none() && works("ip", &["netns", "add", &name]) {
            works("ip", &["netns", "del", &name]);
            return Some(Way::Named);
        }
        works("unshare", &["-U", "-r", "-n", "true"]).then_some(Way::Held)
    })
}
