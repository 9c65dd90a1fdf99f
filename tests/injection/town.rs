//! Two network namespaces with a cable between them: the daemon and its epmd in one, all peers in the other. The daemon
//! keeps its state on a small disk of its own, which can be filled and made read-only, and outlives it.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use nix::sched::{CloneFlags, setns};
use tempfile::TempDir;

use crate::shim::Shim;
use crate::support::epmd::Place;
use crate::support::raw::Raw;
use crate::support::{Daemon, Link, Netns, Process, eventually, have, output, skip};

/// Interfaces that calls are about: each has two IPv4 networks and one of IPv6, which bear its number.
pub const LINKS: [&str; 8] = ["eth0", "eth1", "wlan0", "wlan1", "usb0", "usb1", "wwan0", "wwan1"];

/// net_ticktime on both sides, in seconds: short, so that to be silent for longer is soon done.
pub const TICKTIME: u32 = 2;

const DAEMON: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 1));
/// The cable.
const CABLE: &str = "dist0";
/// How long a peer waits for an answer to its knocking.
const KNOCK: Duration = Duration::from_secs(1);

pub struct Town {
    pub net: Netns,
    /// Holds the namespace with the daemon's disk.
    room: Process,
    epmd: Mutex<Option<Process>>,
    _peers_epmd: Process,
    pub shim: Shim,
    pub node: String,
    pub cookie: String,
    place: Place,
    dir: TempDir,
}

impl Town {
    /// Builds it, or says why it cannot.
    pub fn build() -> Option<Self> {
        if !nix::unistd::geteuid().is_root() {
            skip("not root: peers in this process cannot enter another network namespace");
            return None;
        }
        if !["erl", "erlc", "epmd", "unshare", "nsenter", "prlimit"].iter().all(|tool| have(tool)) {
            return None;
        }
        let shim = Shim::compile()?;
        let net = Netns::new(&links())?;
        for (command, ip) in [(net.command("sh"), "10.77.0.1"), (net.command_peer("sh"), "10.77.0.2")] {
            let mut command = command;
            let script = format!("ip link set lo up; [ {ip} = 10.77.0.1 ] || ip addr add {ip}/24 dev {CABLE}");
            output(command.args(["-c", &script]));
        }
        eventually("addresses are settled", || {
            let shown = net.ip(&["-6", "-o", "addr", "show", "scope", "link"]);
            shown.lines().count() == LINKS.len() + 1 && !shown.contains("tentative")
        });
        let place = Place::free();
        let peers_epmd = epmd(net.command_peer("epmd"), place);
        let dir = tempfile::tempdir().unwrap();
        let room = room(&net, dir.path());
        let cookie = "FaultySecret".to_owned();
        let node = format!("gw@{DAEMON}");
        let town = Self { net, room, epmd: Mutex::default(), _peers_epmd: peers_epmd, shim, node, cookie, place, dir };
        town.replace_epmd();
        Some(town)
    }

    /// Starts a daemon and waits until it is ready, or gives its log.
    pub fn start_daemon(&self) -> Result<Daemon, String> {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.room.pid().to_string(), "-n", "-m", "env"]);
        command.args(self.shim.environment().map(|(name, value)| format!("{name}={}", value.display())));
        let ticktime = TICKTIME.to_string();
        let options = Daemon::options(&self.place).inside(command).naming("--name", &self.node).cookie(&self.cookie);
        let options = options.flags(&["--listen", &DAEMON.to_string(), "--net-ticktime", &ticktime]);
        // What callers do is not what a fault is about; a log of it would be long.
        options.state_dir(self.dir.path()).env("BEAMROUTE_LOG", "warn,beamroute::service=info").try_start()
    }

    /// A command that starts a BEAM among the peers.
    pub fn beam(&self) -> Command {
        let mut command = self.net.command_peer("erl");
        self.place.tell(&mut command);
        command
    }

    pub fn kill_epmd(&self) {
        *self.epmd.lock().unwrap() = None;
    }

    /// Starts a new epmd for the daemon.
    pub fn replace_epmd(&self) {
        let mut guard = self.epmd.lock().unwrap();
        *guard = None;
        *guard = Some(epmd(self.net.command("epmd"), self.place));
    }

    /// Pulls the cable, on the daemon's side or the peers', or plugs it in again.
    pub fn cable(&self, at_daemon: bool, state: &str) {
        let args = ["link", "set", CABLE, state];
        let out = if at_daemon { self.net.try_ip(&args) } else { self.net.try_ip_peer(&args) };
        assert!(out.status.success(), "{args:?}: {out:?}");
    }

    /// The daemon's disk, seen from outside.
    pub fn disk(&self) -> PathBuf {
        Path::new(&format!("/proc/{}/root", self.room.pid())).join(self.dir.path().strip_prefix("/").unwrap())
    }

    /// Makes the disk `ro` or `rw`; whether that could be done.
    pub fn remount(&self, how: &str) -> bool {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.room.pid().to_string(), "-m", "mount", "-o", &format!("remount,{how}")]);
        command.arg(self.dir.path()).stderr(Stdio::null()).status().unwrap().success()
    }

    /// Moves this thread to the peers.
    pub fn enter_peers(&self) {
        let file = std::fs::File::open(self.net.peer_path()).unwrap();
        setns(file, CloneFlags::CLONE_NEWNET).unwrap();
    }

    /// Looks the daemon up in its epmd; for threads among the peers.
    pub fn look_up(&self) -> io::Result<SocketAddr> {
        let mut stream = TcpStream::connect_timeout(&SocketAddr::new(DAEMON, self.place.0), KNOCK)?;
        stream.set_read_timeout(Some(KNOCK))?;
        let name = self.node.split('@').next().unwrap();
        let length = u16::try_from(name.len() + 1).unwrap().to_be_bytes();
        stream.write_all(&[&length[..], &[122], name.as_bytes()].concat())?;
        let mut answer = [0; 4];
        stream.read_exact(&mut answer[..2])?;
        if answer[..2] != [119, 0] {
            return Err(io::Error::other("epmd does not know the daemon"));
        }
        stream.read_exact(&mut answer[2..])?;
        Ok(SocketAddr::new(DAEMON, u16::from_be_bytes([answer[2], answer[3]])))
    }

    /// Connects to the daemon as the node `name`; for threads among the peers.
    pub fn connect(&self, name: &str) -> io::Result<Raw> {
        Raw::try_connect(self.look_up()?, name, &self.cookie, KNOCK)
    }
}

/// The number in an interface's addresses.
pub fn number(link: &str) -> usize {
    LINKS.iter().position(|name| *name == link).unwrap() + 1
}

fn links() -> Vec<Link> {
    let addresses = |n| [format!("10.{n}.0.5/24"), format!("10.{n}.1.5/24"), format!("fd00:{n}::5/64")];
    let link = |name: &&str| Link { name: (*name).into(), addresses: addresses(number(name)).into(), is_up: true };
    let mut links: Vec<Link> = LINKS.iter().map(link).collect();
    links.push(Link::new(CABLE, &["10.77.0.1/24"]));
    links
}

/// A port mapper in the foreground, on all addresses of its namespace.
fn epmd(mut command: Command, place: Place) -> Process {
    command.args(["-port", &place.0.to_string()]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Process::spawn(&mut command)
}

/// A mount namespace with a small disk at `dir`, in the daemon's network namespace.
fn room(net: &Netns, dir: &Path) -> Process {
    let script = format!("mount -t tmpfs -o size=512k,mode=700 none {} && exec cat", dir.display());
    let mut command = net.command("unshare");
    command.args(["-m", "sh", "-c", &script]).stdin(Stdio::piped()).stdout(Stdio::null());
    let process = Process::spawn(&mut command);
    let comm = format!("/proc/{}/comm", process.pid());
    eventually("a disk", || std::fs::read_to_string(&comm).is_ok_and(|comm| comm == "cat\n"));
    process
}
