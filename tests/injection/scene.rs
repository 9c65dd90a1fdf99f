//! A daemon in its town, its callers, and what must hold after every fault.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use beamroute::route::{DesiredState, IfName, Metric, Status, Subnet, Wish};
use serde_json::Value;

use crate::faults::Kind;
use crate::kernel;
use crate::ledger::Fact;
use crate::load::{Counts, Load};
use crate::peers::{HANGS, knock};
use crate::support::dice::Dice;
use crate::support::model::Model;
use crate::support::{Daemon, within};
use crate::town::{LINKS, Town};

/// After a fault is over the node must be reachable again within this time.
const REACHABLE: Duration = Duration::from_secs(15);
/// And all must be as it should be within this.
const SETTLED: Duration = Duration::from_secs(10);
/// So much more memory than at first is let pass: buffers that are kept, and what the allocator keeps.
const SLACK_KIB: u64 = 24 << 10;
/// Two file descriptors for each connection: the socket, and a handle for its options.
const FILES_OF_A_NODE: usize = 2;

pub struct Scene {
    pub town: Arc<Town>,
    pub load: Load,
    daemon: Option<Daemon>,
    model: Model,
    pub dice: Dice,
    seed: u64,
    /// What was done, for when something is found.
    story: Vec<String>,
    begin: Instant,
    /// Open files without any connection.
    files: usize,
    /// Memory at the first quiet point of this daemon.
    first_kib: Option<u64>,
    pub report: Report,
}

/// What was seen.
#[derive(Debug, Clone, Default)]
pub struct Report {
    pub faults: BTreeMap<Kind, u32>,
    pub calls: Counts,
    pub longest_unreachable: Duration,
    pub peak_kib: u64,
    pub files_before: usize,
    pub files_after: usize,
    pub restarts: u32,
    /// Interfaces on which something that was acknowledged is missing.
    pub lost: usize,
    /// By what memory was limited.
    pub limits: BTreeMap<&'static str, u32>,
}

impl Scene {
    pub fn new(seed: u64) -> Option<Self> {
        let town = Arc::new(Town::build()?);
        let model = Model::new(&town.net);
        let daemon = town.start_daemon().unwrap_or_else(|log| panic!("not started:\n{log}"));
        assert!(within(REACHABLE, || knock(&town).is_ok()), "epmd knows the daemon");
        // Before anybody is connected.
        let files = files_at_rest(&daemon);
        let report = Report { files_before: files, ..Report::default() };
        let mut scene = Self {
            load: Load::start(&town, seed),
            town,
            daemon: Some(daemon),
            model,
            dice: Dice::new(seed),
            seed,
            story: Vec::new(),
            begin: Instant::now(),
            files,
            first_kib: None,
            report,
        };
        scene.load.go_on();
        scene.stands("at first");
        Some(scene)
    }

    /// One fault under load, and a look at what it has left.
    pub fn suffer(&mut self, kind: Kind) {
        self.note(format!("{kind:?}"));
        *self.report.faults.entry(kind).or_default() += 1;
        self.load.go_on();
        self.pause(50, 300);
        self.inject(kind);
        self.stands(&format!("after {kind:?}"));
    }

    pub fn daemon(&mut self) -> &mut Daemon {
        self.daemon.as_mut().unwrap()
    }

    pub fn note(&mut self, what: String) {
        self.story.push(format!("{:8.3} s {what}", self.begin.elapsed().as_secs_f64()));
    }

    /// Sleeps for a random number of milliseconds.
    pub fn pause(&mut self, from: usize, to: usize) {
        let ms = from + self.dice.below(to - from);
        std::thread::sleep(Duration::from_millis(ms as u64));
    }

    /// `kill -9`.
    pub fn kill_daemon(&mut self) {
        self.weigh();
        self.load.ends_life();
        self.daemon().kill();
        self.is_dead();
    }

    /// It has died, of whatever.
    fn is_dead(&mut self) {
        self.load.died();
        self.daemon = None;
        self.report.restarts += 1;
    }

    /// If it has died, starts another, as whoever watches over it would.
    pub fn revive(&mut self) -> bool {
        let is_dead = !self.daemon().is_running();
        if is_dead {
            self.note("it has died".to_owned());
            self.load.ends_life();
            self.is_dead();
            self.start_daemon();
        }
        is_dead
    }

    pub fn start_daemon(&mut self) {
        assert!(self.starts(), "the daemon starts");
    }

    /// Whether it could be started.
    pub fn starts(&mut self) -> bool {
        self.first_kib = None;
        let (what, is_started) = match self.town.start_daemon() {
            Ok(daemon) => {
                self.daemon = Some(daemon);
                ("started".to_owned(), true)
            }
            Err(log) => (format!("not started: {}", log.lines().last().unwrap_or_default()), false),
        };
        self.note(what);
        is_started
    }

    /// What must hold when a fault is over, and the callers go on.
    fn stands(&mut self, when: &str) {
        self.note("over".to_owned());
        let over = Instant::now();
        let mut last = String::new();
        let is_reachable = within(REACHABLE, || knock(&self.town).map_err(|error| last = error.to_string()).is_ok());
        assert!(is_reachable, "{when} the node is not reachable: {last}");
        let time = over.elapsed();
        self.report.longest_unreachable = self.report.longest_unreachable.max(time);
        assert!(self.load.is_served(HANGS), "{when} not every caller is served: {:?}", self.load.counts());
        self.load.pause();
        let daemon = self.daemon();
        assert!(daemon.is_running(), "{when} the daemon has died");
        assert!(!daemon.log().contains("panicked"), "{when} the daemon has panicked");
        let counts = self.load.counts();
        assert_eq!((counts.hung, &counts.strange[..]), (0, &[][..]), "{when} callers have no answer, or a strange one");
        self.report.calls = counts;
        self.is_right(when, "saved");
        self.leaks_nothing(when);
        self.weigh();
        self.note(format!("stands, reachable after {time:?}"));
    }

    /// No acknowledged call is missing, neither in the state nor in the kernel, and nothing is there that nobody asked
    /// for. While everybody waits.
    pub fn is_right(&mut self, when: &str, saved: &str) {
        let mut wrong = vec!["no status".to_owned()];
        let is_right = within(SETTLED, || {
            let Ok(status) = knock(&self.town) else { return false };
            wrong = self.load.compare(&status, saved == "saved");
            if !wrong.is_empty() {
                // What is lost does not come back.
                self.report.lost += wrong.len();
                return true;
            }
            let state = &status["state"];
            if state != saved && state[1] != saved {
                wrong.push(format!("state: {state}, not {saved}"));
            }
            self.model.state = restored(&status);
            wrong.extend(self.model.wrong(&status));
            wrong.extend(kernel::wrong(&self.town.net, &status));
            wrong.is_empty()
        });
        assert!(is_right && wrong.is_empty(), "{when}:\n{}", wrong.join("\n"));
    }

    /// File descriptors are as many as there were, and memory is not much more.
    fn leaks_nothing(&mut self, when: &str) {
        let mut seen = (0, 0);
        let is_right = within(SETTLED, || {
            let Ok(status) = knock(&self.town) else { return false };
            // Without the one that asks.
            let nodes = status["nodes"].as_array().unwrap().len() - 1;
            std::thread::sleep(Duration::from_millis(20));
            seen = (self.daemon().open_files(), nodes);
            seen.0 == self.files + FILES_OF_A_NODE * nodes
        });
        assert!(is_right, "{when} {} files are open, for {} nodes; without any, {}", seen.0, seen.1, self.files);
        self.report.files_after = seen.0 - FILES_OF_A_NODE * seen.1;
        let now = self.memory("VmRSS:");
        let first = *self.first_kib.get_or_insert(now);
        assert!(now <= first + SLACK_KIB, "{when} {now} KiB are used, {first} at first");
    }

    /// Notes the most memory that the daemon has ever had.
    pub fn weigh(&mut self) {
        self.report.peak_kib = self.report.peak_kib.max(self.memory("VmHWM:"));
    }

    /// A line of the daemon's `/proc/PID/status`, in KiB; nothing if it is dead.
    pub fn memory(&mut self, line: &str) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.daemon().pid)).unwrap_or_default();
        let found = text.lines().find_map(|text| text.strip_prefix(line));
        found.map_or(0, |text| text.trim().trim_end_matches(" kB").parse().unwrap())
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let from = self.story.len().saturating_sub(40);
            eprintln!(
                "BEAMROUTE_FAULTS_SEED={} failed; the last steps were\n{}",
                self.seed,
                self.story[from..].join("\n")
            );
        }
    }
}

/// Open files, when they have been as many for a while.
fn files_at_rest(daemon: &Daemon) -> usize {
    let (mut files, mut since) = (daemon.open_files(), Instant::now());
    while since.elapsed() < Duration::from_millis(300) {
        std::thread::sleep(Duration::from_millis(20));
        let now = daemon.open_files();
        if now != files {
            (files, since) = (now, Instant::now());
        }
    }
    files
}

/// The state that `status` tells, for the model.
fn restored(status: &Value) -> DesiredState {
    let mut interfaces: BTreeMap<IfName, Wish> = BTreeMap::new();
    let mut metrics: BTreeMap<IfName, Metric> = BTreeMap::new();
    for link in LINKS {
        let fact = Fact::told(status, link);
        let name: IfName = link.parse().unwrap();
        if let Some(metric) = fact.metric {
            metrics.insert(name, Metric::new(metric).unwrap());
        }
        let Some(told) = fact.wish else { continue };
        let subnets = told.subnets.iter().map(|(ip, len)| Subnet::new(ip.parse().unwrap(), *len).unwrap());
        let table = status["interfaces"][link]["table"].as_u64().unwrap();
        let status = [Status::Disconnected, Status::Lan, Status::Internet];
        let wish = Wish {
            status: status.into_iter().find(|status| status.as_str() == told.status).unwrap(),
            why: told.why,
            since_ms: 0,
            set_by: None,
            route_owner: None,
            status_owner: None,
            subnets: subnets.collect(),
            gateway: told.gateway.map(|ip| ip.parse().unwrap()),
            table: u32::try_from(table).unwrap(),
        };
        interfaces.insert(name, wish);
    }
    DesiredState::restore(256, interfaces, metrics, []).unwrap()
}
