//! Eight BEAM nodes connect, call, monitor, link, are killed and come back at random, while they change the tick time. At
//! the end nothing is left of them: no task, socket, monitor, link, and no memory to speak of.
//!
//! The daemon runs in this process, so that its tasks can be counted. `BEAMROUTE_SOAK_SECONDS` says how long (30).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod support;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::num::NonZeroU32;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use beamroute::config::{self, Admin, Config, HostName, Surroundings};
use beamroute::epmd::EpmdMode;
use beamroute::node::{Counts, NetTicktime, Node};
use beamroute::service::Service;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use support::beam::{QUIET, home_with};
use support::{Epmd, Netns, Process, have, output, repository, skip};
use tempfile::TempDir;
use tokio::time::sleep;

const BEAMS: usize = 8;
/// What is filled once and kept, such as buffers of the allocator: so much more memory is let pass.
const SLACK_KIB: usize = 8 << 10;

/// What there is at a moment.
#[derive(Debug, Clone, Copy)]
struct Census {
    node: Counts,
    tasks: usize,
    files: usize,
    memory_kib: usize,
}

impl Census {
    fn take(node: &Node) -> Self {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        Self {
            node: node.counts(),
            tasks: tokio::runtime::Handle::current().metrics().num_alive_tasks(),
            files: std::fs::read_dir("/proc/self/fd").unwrap().count(),
            memory_kib: memory.trim().trim_end_matches(" kB").parse().unwrap(),
        }
    }

    /// In all but memory, which an allocator does not give back to the byte.
    fn is_as(&self, other: &Self) -> bool {
        (self.node, self.tasks, self.files) == (other.node, other.tasks, other.files)
    }
}

/// What BEAM nodes need.
struct Ground {
    epmd: Epmd,
    home: TempDir,
    code: TempDir,
    node: String,
}

impl Ground {
    fn prepare() -> Option<Self> {
        if !(have("erl") && have("erlc")) {
            return None;
        }
        let (epmd, home, code) = (Epmd::start()?, home_with("soak"), tempfile::tempdir().unwrap());
        output(Command::new("erlc").arg("-Werror").arg("-o").arg(code.path()).arg(repository("tests/soak/soak.erl")));
        Some(Self { epmd, home, code, node: format!("soaked{}@127.0.0.1", std::process::id()) })
    }

    fn beam(&self, n: usize, seed: u32) -> Process {
        let mut command = Command::new("erl");
        command.args(["-noshell", "-name", &format!("soak{}x{n}@127.0.0.1", std::process::id())]);
        command.args(QUIET.split(' ')).arg("-pa").arg(self.code.path());
        command.args(["-eval", &format!("soak:main(['{}', '{seed}']).", self.node)]);
        self.epmd.place().tell(&mut command).env("HOME", self.home.path()).env("ERL_CRASH_DUMP_SECONDS", "0");
        Process::spawn(command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()))
    }

    fn config(&self, net: &Netns) -> Config {
        let flags = config::Options {
            name: Some(self.node.clone()),
            epmd: Some(EpmdMode::External),
            netns: Some(net.argument().parse().unwrap()),
            state_dir: Some(self.code.path().join("state")),
            cookie_file: Some(self.home.path().join(".erlang.cookie")),
            admin: Some(Admin::All),
            ..config::Options::default()
        };
        let variables = BTreeMap::from([("ERL_EPMD_PORT".into(), self.epmd.place().0.to_string().into())]);
        let default_file = self.code.path().join("no-such-file");
        Config::resolve(flags, None, &Surroundings { variables, host: HostName::of_this_host(), default_file }).unwrap()
    }
}

/// Files of this process are counted: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

#[test]
fn t7_stop_during_handshakes_and_a_transition_leaves_no_task_timer_or_socket() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let builder = |name: &str| Node::builder(name).cookie("c").epmd(EpmdMode::None);
        let (node, start) = builder("a@127.0.0.1").build().unwrap();
        let before = Census::take(&node);
        for _ in 0..3 {
            node.start(start.clone()).await.unwrap();
            let address = node.address().await.unwrap();
            // Two that come in and say nothing, one that is dialled and says nothing, one that is up, and a transition.
            let silent = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
            let nobody = silent.local_addr().unwrap();
            let dialling = tokio::spawn({
                let node = node.clone();
                async move { node.dial("nobody@127.0.0.1", nobody).await }
            });
            let mute = [tokio::net::TcpStream::connect(address).await.unwrap(), silent.accept().await.unwrap().0];
            let mute_too = tokio::net::TcpStream::connect(address).await.unwrap();
            let peer = builder("b@127.0.0.1").dial_only().start().await.unwrap();
            peer.dial("a@127.0.0.1", address).await.unwrap();
            let _ = node.set_net_ticktime(NonZeroU32::MIN, 60).unwrap();
            let busy = node.counts();
            assert_eq!((busy.connections, busy.handshakes), (1, 1), "{busy:?}");
            assert!(busy.tasks >= 6, "{busy:?}");
            node.stop().await.unwrap();
            assert!(dialling.await.unwrap().is_err());
            assert_eq!(node.counts().tasks, 0);
            peer.stop().await.unwrap();
            drop((mute, mute_too, silent));
            let after = Census::take(&node);
            assert!(after.is_as(&before), "before {before:#?}\nafter {after:#?}");
        }
    });
}

#[test]
fn eight_nodes_that_come_and_go_leave_nothing_behind() {
    if !nix::unistd::geteuid().is_root() {
        return skip("not root: the daemon in this process cannot enter another network namespace");
    }
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (Some(ground), Some(net)) = (Ground::prepare(), Netns::two_interfaces()) else { return };
    let seconds = std::env::var("BEAMROUTE_SOAK_SECONDS").map_or(30, |text| text.parse().unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let service = Service::start(ground.config(&net)).await.unwrap();
        let node = service.node().clone();
        sleep(Duration::from_millis(200)).await;
        let before = Census::take(&node);
        // A first storm fills what is kept: buffers, the table of those who are known.
        storm(&ground, &node, Duration::from_secs((seconds / 5).max(5))).await;
        let warm = calm(&node, &before).await;
        let (killed, highest) = storm(&ground, &node, Duration::from_secs(seconds)).await;
        let after = calm(&node, &before).await;
        // Not by `println!`, which the test runner swallows when a test passes.
        let _ = writeln!(
            std::io::stderr(),
            "soak of {seconds} s, {killed} nodes killed\n before {before:?}\n   warm {warm:?}\nhighest {highest:?}\n  after {after:?}"
        );
        assert!(after.is_as(&before), "before {before:#?}\nafter {after:#?}");
        assert!(after.memory_kib < warm.memory_kib + SLACK_KIB, "{} KiB, {} when warm", after.memory_kib, warm.memory_kib);
        assert!(highest.node.connections >= BEAMS / 2 && killed > seconds / 4, "there was a storm");
        service.stop().await;
        assert_eq!(node.counts(), Counts { processes: 0, ..Counts::default() });
    });
}

/// Lets the BEAMs loose; one after the other is killed and started anew. Gives how many were killed, and the most that
/// there was.
async fn storm(ground: &Ground, node: &Node, time: Duration) -> (u64, Census) {
    let mut random = StdRng::seed_from_u64(7);
    let start = |n: usize, random: &mut StdRng| ground.beam(n, random.random());
    let mut beams: Vec<Process> = (0..BEAMS).map(|n| start(n, &mut random)).collect();
    let (end, mut killed, mut highest) = (Instant::now() + time, 0, Census::take(node));
    while Instant::now() < end {
        sleep(Duration::from_millis(random.random_range(100..1500))).await;
        let now = Census::take(node);
        if now.node.connections >= highest.node.connections {
            highest = now;
        }
        let n = random.random_range(0..BEAMS);
        beams[n].kill();
        killed += 1;
        beams[n] = start(n, &mut random);
    }
    drop(beams);
    (killed, highest)
}

/// Waits until all is as it was, and gives how it is; in vain after a while.
async fn calm(node: &Node, before: &Census) -> Census {
    let minute = NonZeroU32::new(60).unwrap();
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        // The BEAMs have changed it, and a transition has a task.
        if node.get_net_ticktime() != Ok(NetTicktime::InForce(Duration::from_secs(60))) {
            let _ = node.set_net_ticktime(minute, 0);
        }
        let now = Census::take(node);
        if now.is_as(before) || Instant::now() > end {
            return now;
        }
        sleep(Duration::from_millis(50)).await;
    }
}
