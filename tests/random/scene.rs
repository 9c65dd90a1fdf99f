//! The world, a daemon in it, and a twin of the world without a daemon, to which the same happens.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::support::dice::Dice;
use crate::support::model::{self, ADDRESSES, Model, NAMES, Wanted};
use crate::support::{Daemon, Link, Netns, Site, eventually, within};

/// To do one thing more often within ten seconds is a fight, which is another test.
const TIMES: usize = 4;

pub struct Scene {
    site: Site,
    twin: Netns,
    daemon: Option<Daemon>,
    clears: bool,
    model: Model,
    /// What was deleted of ours, or slipped in among it, and when.
    meddled: BTreeMap<String, Vec<Instant>>,
    /// What was done, for when something is found.
    story: Vec<String>,
}

impl Scene {
    pub fn new() -> Option<Self> {
        let links = ["eth0", "eth1", "wlan0"].map(|name| Link::new(name, &[]));
        let site = Site::with(&links)?;
        let twin = Netns::new(&links)?;
        let model = Model::new(&site.net);
        let (meddled, story) = (BTreeMap::new(), Vec::new());
        let mut scene = Self { site, twin, daemon: None, clears: false, model, meddled, story };
        scene.start(&mut Dice::new(0));
        // Known names, so that nothing is ever an orphan.
        for name in NAMES {
            scene.call(&Wanted::Status(name.parse().unwrap(), beamroute::route::Status::Lan));
            scene.call(&Wanted::Clear(name.parse().unwrap()));
        }
        Some(scene)
    }

    /// One step.
    pub fn step(&mut self, dice: &mut Dice) {
        match dice.below(100) {
            0..=49 => self.call(&Wanted::random(dice)),
            50..=84 => self.turn_world(dice),
            85..=90 => self.steal(dice),
            91..=93 => self.imitate(dice),
            94 => self.call_and_kill(&Wanted::random(dice), dice),
            95..=96 => self.restart(dice),
            _ => {
                // Several callers at once: whatever their order, all are about other interfaces.
                let wanted: Vec<Wanted> = (0..6).map(|_| Wanted::random(dice)).collect();
                wanted.iter().for_each(|wanted| self.call(wanted));
            }
        }
    }

    fn note(&mut self, what: String) {
        self.story.push(what);
    }

    fn call(&mut self, wanted: &Wanted) {
        self.note(wanted.term());
        let after = self.model.after(wanted);
        let reply = self.site.beam.ok(&format!("gen_server:call(RM, {}).", wanted.term()));
        assert_eq!(reply, "ok", "{wanted:?}");
        self.model.state = after;
    }

    /// Asks, and kills the daemon without waiting for the answer.
    fn call_and_kill(&mut self, wanted: &Wanted, dice: &mut Dice) {
        self.note(format!("{}, killed meanwhile", wanted.term()));
        let after = self.model.after(wanted);
        self.site.beam.ok(&format!("gen_server:cast(RM, {}).", wanted.term()));
        std::thread::sleep(Duration::from_micros(dice.below(3000) as u64));
        self.daemon.take().unwrap().kill();
        self.start(dice);
        let status = self.site.beam.json("gen_server:call(RM, status)");
        let wrong = model::says(&after, &status);
        if wrong.is_empty() {
            self.model.state = after;
        } else if !model::says(&self.model.state, &status).is_empty() {
            panic!("neither before nor after {wanted:?}: {wrong:?}\n{}", self.story());
        }
        // The metric of an interface that is not known is not told.
        self.call(wanted);
    }

    fn restart(&mut self, dice: &mut Dice) {
        let mut daemon = self.daemon.take().unwrap();
        if dice.percent(50) {
            self.note(format!("SIGTERM, clears: {}", self.clears));
            daemon.signal(Signal::SIGTERM);
            assert_eq!(daemon.exit_code(), Some(0));
            if self.clears {
                assert_eq!(self.model.ours(), [], "{}", self.story());
            }
        } else {
            self.note("kill -9".to_owned());
            daemon.kill();
        }
        for _ in 0..dice.below(3) {
            self.turn_world(dice);
        }
        self.start(dice);
    }

    fn start(&mut self, dice: &mut Dice) {
        self.clears = dice.percent(30);
        self.model.options.local_networks_first = dice.percent(30);
        let mut flags = vec!["--recheck", "0", "--on-exit", if self.clears { "clear" } else { "keep" }];
        flags.extend(self.model.options.local_networks_first.then_some("--local-networks-first"));
        self.note(format!("start {flags:?}"));
        self.daemon = Some(self.site.options().flags(&flags).start());
        self.meddled.clear();
        eventually("the BEAM sees the daemon", || self.site.beam.ok("net_adm:ping(N).") == "pong");
    }

    /// Someone deletes something of ours.
    fn steal(&mut self, dice: &mut Dice) {
        let ours = self.model.ours();
        if ours.is_empty() {
            return;
        }
        let object = *dice.pick(&ours);
        if self.may(format!("{object:?}")) {
            self.note(format!("stolen: {object:?}"));
            self.model.delete(object);
        }
    }

    /// Someone adds what bears our protocol number and is nobody's wish.
    fn imitate(&mut self, dice: &mut Dice) {
        let script = imitation(dice);
        if self.may(script.clone()) {
            self.note(format!("imitated: {script}"));
            self.site.net.ip_batch(&[], &script);
            // A daemon that starts, and finds it there, must leave it.
            self.site.beam.ok("gen_server:call(RM, status), ok.");
        }
    }

    /// Whether to do `what` once more is no fight yet.
    fn may(&mut self, what: String) -> bool {
        let now = Instant::now();
        let times = self.meddled.entry(what).or_default();
        times.retain(|time| now.duration_since(*time) < Duration::from_secs(11));
        let may = times.len() < TIMES;
        if may {
            times.push(now);
        }
        may
    }

    /// A link, an address or a foreign route changes, here and in the twin.
    fn turn_world(&mut self, dice: &mut Dice) {
        let script = change(dice);
        self.note(script.replace('\n', "; "));
        for net in [&self.site.net, &self.twin] {
            net.ip_batch(&[], &script);
        }
    }

    /// Waits until the kernel is as it should be, or says what is not.
    pub fn check(&mut self) {
        let mut wrong = Vec::new();
        let is_right = within(Duration::from_secs(8), || {
            let status = self.site.beam.json("gen_server:call(RM, status)");
            wrong = self.model.wrong(&status);
            wrong.extend(self.foreign());
            wrong.is_empty()
        });
        if !is_right {
            let status = self.site.beam.ok("gen_server:call(RM, status).");
            panic!("{}\n{}\n{status}\n{}", wrong.join("\n"), self.story(), self.site.kernel());
        }
    }

    /// Where other people's routes and rules differ from the twin's.
    fn foreign(&self) -> Vec<String> {
        let [here, there] = [&self.site.net, &self.twin].map(|net| {
            let routes = [&["-4"][..], &["-6"]].map(|family| net.ip_batch(family, "route show table all\nrule show\n"));
            let lines = routes.concat();
            let is_foreign = |line: &&str| !line.contains("proto 110") && !line.contains("proto kernel");
            // A cable whose other end is in another namespace has its carrier a moment later.
            let lines = lines.lines().filter(is_foreign).map(|line| line.replace(" linkdown", "").trim().to_owned());
            lines.collect::<BTreeSet<String>>()
        });
        let gone = there.difference(&here).map(|line| format!("foreign, gone: {line}"));
        let new = here.difference(&there).map(|line| format!("foreign, new: {line}"));
        gone.chain(new).collect()
    }

    fn story(&self) -> String {
        let from = self.story.len().saturating_sub(60);
        self.story[from..].join("\n")
    }
}

/// An addition with our protocol number, as an `ip` command.
fn imitation(dice: &mut Dice) -> String {
    let link = *dice.pick(&["eth0", "eth1", "wlan0", "usb0"]);
    let (ip, _) = *dice.pick(&ADDRESSES);
    let metric = *dice.pick(&[7, 20, 50, 60]);
    match dice.below(4) {
        0 => format!("route append default via 10.0.9.9 dev {link} onlink metric {metric} proto 110"),
        1 => format!("route append default dev {link} table {} proto 110", 100 + dice.below(7)),
        2 => format!("route append 10.0.1.0/24 dev {link} metric {metric} proto 110"),
        _ => format!("rule add from {ip} lookup {} pref 30001 protocol 110", 100 + dice.below(7)),
    }
}

/// A change of the world, as `ip` commands; those that do not fit fail.
fn change(dice: &mut Dice) -> String {
    let link = *dice.pick(&["eth0", "eth1", "eth9", "wlan0", "usb0", "eth0", "wlan0"]);
    let (ip, len) = *dice.pick(&ADDRESSES);
    let nodad = if ip.contains(':') && !dice.percent(10) { " nodad" } else { "" };
    let metric = *dice.pick(&[7, 10, 20, 50, 60, 256]);
    match dice.below(31) {
        0..=1 => format!("link set {link} down"),
        2..=5 => format!("link set {link} up"),
        6 => format!("link set {link} down\nlink set {link} up"),
        7..=12 => format!("addr add {ip}/{len} dev {link}{nodad}"),
        13 => format!("addr add {ip}/{len} dev {link}{nodad} noprefixroute"),
        14 => format!("addr add {ip}/{len} dev {link}{nodad} metric 600"),
        15..=16 => format!("addr del {ip}/{len} dev {link}"),
        17 => format!("addr del {ip}/{len} dev {link}\naddr add {ip}/{len} dev {link}{nodad}"),
        18 => "link add usb0 type veth peer name usb1\nlink set usb1 up\nlink set usb0 up".to_owned(),
        19 => "link del usb0".to_owned(),
        20 => "link set eth1 down\nlink set eth1 name eth9\nlink set eth9 up".to_owned(),
        21 => "link set eth9 down\nlink set eth9 name eth1\nlink set eth1 up".to_owned(),
        // With our metrics, in our tables, with our priority.
        22 => format!("route append blackhole default metric {metric} proto static"),
        23 => format!("route del blackhole default metric {metric} proto static"),
        24 => format!("route append default via 10.0.9.9 dev {link} onlink metric {metric} proto dhcp"),
        25 => format!("route del default via 10.0.9.9 dev {link} onlink metric {metric} proto dhcp"),
        26 => format!("route append blackhole default table {} proto static", 100 + dice.below(7)),
        27 => format!("route add blackhole fd00:77::/64 table {} proto static", 100 + dice.below(7)),
        28 => format!("route del blackhole default table {} proto static", 100 + dice.below(7)),
        29 => format!("rule add from {ip} lookup {} pref 30000 protocol static", 100 + dice.below(7)),
        _ => format!("rule del from {ip} pref 30000 protocol static"),
    }
}
