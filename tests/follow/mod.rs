//! Plan, diff and netlink together: what is in the kernel after callers have spoken and the world has turned.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use beamroute::netlink::{Config, DEFAULT_PROTOCOL, Netlink};
use beamroute::route::{Call, DesiredState, IfName, PlanOptions, Ranking, Reason, Subnet, Touched, World};
use beamroute::route_manager::Kernel;

use crate::kernel::{addr, two_links};
use crate::netns::{in_netns, ip};

/// The part of the daemon that follows the state.
struct Follower {
    kernel: Kernel,
    state: DesiredState,
}

impl Follower {
    fn start(state: Option<DesiredState>) -> Self {
        let (netlink, world) = Netlink::open(&Config::default()).unwrap();
        let kernel = Kernel::new(netlink, world, PlanOptions::default(), DEFAULT_PROTOCOL, state.as_ref());
        let mut follower = Self { kernel, state: state.unwrap_or_default() };
        follower.commit();
        follower
    }

    fn restart(&mut self) {
        *self = Self::start(Some(self.state.clone()));
    }

    fn commit(&mut self) {
        self.kernel.look();
        self.kernel.commit(&self.state, &Ranking::default());
    }

    fn set_route(&mut self, name: &str, subnets: &[&str], gateway: Option<&str>) {
        let subnet = |text: &&str| {
            let (ip, len) = text.split_once('/').unwrap();
            Subnet::new(addr(ip), len.parse().unwrap()).unwrap()
        };
        let subnets: Vec<Subnet> = subnets.iter().map(subnet).collect();
        self.kernel.look();
        let addresses = subnets.clone();
        let (world, orphans) = (self.kernel.world(), self.kernel.orphans());
        let call = Call { world, orphans, now_ms: 0, who: None };
        let _ = self.state.set_route(ifname(name), addresses, gateway.map(addr), &call).unwrap();
        let _ = self.kernel.release_orphans(ifname(name), &subnets);
        self.kernel.touch(Touched::names([ifname(name)]));
        self.commit();
    }

    fn clear_route(&mut self, name: &str) {
        self.kernel.look();
        let _ = self.kernel.release_orphans(ifname(name), &[]);
        let _ = self.state.clear_route(ifname(name));
        self.kernel.touch(Touched::names([ifname(name)]));
        self.commit();
    }

    fn pending(&self, name: &str) -> Option<Reason> {
        self.kernel.pending(&self.state).get(&ifname(name)).copied()
    }
}

fn ifname(text: &str) -> IfName {
    text.parse().unwrap()
}

/// What `ip` shows, a line each.
fn shown(words: &str) -> Vec<String> {
    let output = Command::new("ip").args(words.split_whitespace()).output().expect("ip");
    assert!(output.status.success(), "ip {words}: {}", String::from_utf8_lossy(&output.stderr));
    // Until the kernel has seen, in the background, that the cable has two ends.
    let text = String::from_utf8(output.stdout).unwrap().replace(" linkdown", "");
    text.lines().map(|line| line.trim_end().to_owned()).collect()
}

#[test]
fn setting_and_clearing_leaves_no_trace() {
    for (setup, subnet) in [
        (&["addr add 10.7.0.5/24 dev va"][..], "10.7.0.5/24"),
        // systemd-networkd's RouteMetric.
        (&["addr add 10.7.0.5/24 dev va metric 600"], "10.7.0.5/24"),
        (&["addr add 10.7.0.5/24 dev va noprefixroute"], "10.7.0.5/24"),
        (&["addr add 10.7.0.5/24 dev va", "addr add 10.7.0.6/24 dev va"], "10.7.0.6/24"),
        (&["addr add 10.7.0.5/24 dev va noprefixroute", "addr add 10.7.0.6/24 dev va"], "10.7.0.6/24"),
        (&["addr add 10.7.0.5/24 dev va metric 600", "addr add 10.7.0.6/24 dev va"], "10.7.0.6/24"),
        (&["addr add 10.7.0.5 peer 10.7.0.9 dev va"], "10.7.0.5/32"),
        (&["addr add fd00::5/64 dev va nodad metric 600"], "fd00::5/64"),
        (&["addr add 10.7.0.5/24 dev lo"], "10.7.0.5/24"),
        (&["addr add fd00::5/64 dev lo nodad"], "fd00::5/64"),
        (&["addr add fd00::5/64 dev va nodad noprefixroute"], "fd00::5/64"),
        (&["addr add fd00::5/64 dev va nodad", "-6 route del fd00::/64 dev va metric 256"], "fd00::5/64"),
    ] {
        in_netns(move || {
            two_links();
            setup.iter().for_each(|words| ip(words));
            crate::netns::wait_for_addresses();
            // The local table fills in the background.
            let tables = || [shown("-4 route show table all proto 110"), shown("-6 route show table all proto 110")];
            let everything = || (tables(), shown("-4 route show"), shown("-6 route show"), shown("rule"));
            let before = everything();
            let mut follower = Follower::start(None);
            let link = if setup[0].contains("dev lo") { "lo" } else { "va" };
            for restarts in [false, true] {
                follower.set_route(link, &[subnet], None);
                assert_eq!(follower.pending(link), None, "{setup:?}");
                assert_ne!(everything(), before, "{setup:?}");
                if restarts {
                    follower.restart();
                }
                follower.clear_route(link);
                assert_eq!(everything(), before, "{setup:?}, with a restart: {restarts}");
            }
        });
    }
}

/// Only after a restart nobody can know who had deleted it.
#[test]
fn a_connected_route_that_someone_else_deleted_does_not_come_back() {
    in_netns(|| {
        two_links();
        let connected = || shown("-4 route show dev va proto kernel");
        let before = connected();
        ip("route del 10.0.0.0/24 dev va");
        let mut follower = Follower::start(None);
        for (restarts, after) in [(false, Vec::new()), (true, before)] {
            follower.set_route("va", &["10.0.0.2/24"], Some("10.0.0.1"));
            if restarts {
                follower.restart();
            }
            follower.clear_route("va");
            assert_eq!(connected(), after);
        }
        // Nor one that we had removed, and that the kernel has made anew since.
        follower.set_route("va", &["10.0.0.2/24"], Some("10.0.0.1"));
        ip("link set va down");
        follower.commit();
        follower.clear_route("va");
        ip("link set va up");
        follower.commit();
        assert_eq!(connected().len(), 1);
        ip("route del 10.0.0.0/24 dev va");
        follower.commit();
        assert_eq!(connected(), [""; 0]);
    });
}

#[test]
fn a_connected_route_comes_back_also_when_ours_is_already_gone() {
    in_netns(|| {
        two_links();
        let before = shown("-4 route show");
        let mut follower = Follower::start(None);
        follower.set_route("va", &["10.0.0.2/24"], None);
        ip("route del 10.0.0.0/24 dev va proto 110");
        follower.clear_route("va");
        assert_eq!(shown("-4 route show"), before);
    });
}

#[test]
fn without_an_address_there_is_no_way_out() {
    in_netns(|| {
        two_links();
        let defaults = || shown("-4 route show table all default");
        let mut follower = Follower::start(None);
        // As a modem has it: the gateway is in no network of the link.
        follower.set_route("va", &["100.64.0.9/32"], Some("100.64.0.1"));
        let missing = Some(Reason::NoAddress(addr("100.64.0.9")));
        for (change, are_there) in [("", false), ("addr add", true), ("addr del", false), ("addr add", true)] {
            if !change.is_empty() {
                ip(&format!("{change} 100.64.0.9/32 dev va"));
                follower.commit();
            }
            assert_eq!(defaults().len(), if are_there { 2 } else { 0 }, "{change}: {:?}", defaults());
            assert_eq!(follower.pending("va"), missing.filter(|_| !are_there), "{change}");
        }
    });
}

#[test]
fn a_rule_that_leads_nowhere_goes_with_the_next_call() {
    in_netns(|| {
        two_links();
        ip("rule add from 127.0.0.1 lookup 100 pref 30000 protocol 110");
        ip("-6 rule add from 2001:db8:99::1 lookup 101 pref 30000 protocol 110");
        // This one has a route, over a link of which nobody speaks.
        ip("rule add from 10.9.9.9 lookup 102 pref 30000 protocol 110");
        ip("route add default via 10.0.1.1 dev vc table 102 proto 110");
        let mut follower = Follower::start(None);
        let ours = || [shown("-4 rule show pref 30000"), shown("-6 rule show pref 30000")].concat();
        assert_eq!(ours().len(), 3);
        let others = "30000:\tfrom 10.9.9.9 lookup 102 proto 110";
        follower.set_route("va", &["10.0.0.2/24"], None);
        assert_eq!(follower.state.interfaces()[&ifname("va")].table, 100);
        assert_eq!(ours(), [others, "30000:\tfrom 10.0.0.2 lookup 100 proto 110"]);
        follower.clear_route("va");
        assert_eq!(ours(), [others]);
        ip("rule add from 127.0.0.1 lookup 100 pref 30000 protocol 110");
        follower.restart();
        follower.clear_route("vc");
        assert_eq!(ours(), [""; 0]);
    });
}

/// Found by the randomized test, seed 3023.
#[test]
fn a_connected_route_comes_back_also_when_ours_was_stolen_before_a_restart() {
    in_netns(|| {
        two_links();
        let before = shown("-4 route show");
        let mut follower = Follower::start(None);
        follower.set_route("va", &["10.0.0.2/24"], None);
        ip("route del 10.0.0.0/24 dev va proto 110");
        follower.restart();
        follower.clear_route("va");
        assert_eq!(shown("-4 route show"), before);
    });
}

/// The events of a change are thrown away on purpose.
#[test]
fn a_recheck_repairs_what_no_event_told() {
    in_netns(|| {
        two_links();
        let mut follower = Follower::start(None);
        follower.set_route("va", &["10.0.0.2/24"], Some("10.0.0.1"));
        let right = shown("route show table all");
        let (mut netlink, world) = Netlink::open(&Config::default()).unwrap();
        ip("route del default dev va table 100 proto 110");
        ip("route del default dev va table main proto 110");
        let _ = netlink.snapshot().unwrap();
        let (options, state) = (PlanOptions::default(), follower.state);
        let mut kernel = Kernel::new(netlink, world, options, DEFAULT_PROTOCOL, Some(&state));
        kernel.look();
        assert_eq!(kernel.commit(&state, &Ranking::default()), 0, "nothing was told");
        kernel.recheck_every(Duration::from_secs(60));
        let due = kernel.due().unwrap();
        assert!(!kernel.pass(due - Duration::from_secs(1)));
        assert!(kernel.pass(due));
        assert_eq!(kernel.commit(&state, &Ranking::default()), 2);
        assert_eq!(shown("route show table all"), right);
        kernel.pass(due + Duration::from_secs(60));
        assert_eq!(kernel.commit(&state, &Ranking::default()), 0, "no difference, nothing sent");
    });
}

/// Two interfaces on one LAN with one metric, and one address on both.
#[test]
fn equal_metrics_keep_their_order_over_restarts_and_new_looks() {
    in_netns(|| {
        ip("link add eth0 type veth peer name va");
        ip("link add eth10 type veth peer name vb");
        for (link, ip_) in [("eth0", "10.0.0.5"), ("eth10", "10.0.0.6")] {
            ip(&format!("link set {link} addrgenmode none up"));
            ip(&format!("addr add {ip_}/24 dev {link}"));
            ip(&format!("addr add 10.5.5.5/32 dev {link}"));
        }
        let mut follower = Follower::start(None);
        // The later one first, so that the order is not the one of the calls.
        follower.set_route("eth10", &["10.0.0.6/24", "10.5.5.5/32"], Some("10.0.0.1"));
        follower.set_route("eth0", &["10.0.0.5/24", "10.5.5.5/32"], Some("10.0.0.1"));
        let defaults = shown("-4 route show default");
        assert!(defaults[0].contains("dev eth0") && defaults[1].contains("dev eth10"), "{defaults:?}");
        let rules = shown("rule show from 10.5.5.5");
        assert!(rules[0].contains("lookup 101") && rules[1].contains("lookup 100"), "{rules:?}");
        let (mut netlink, mut world) = Netlink::open(&Config::default()).unwrap();
        let is_quiet = |netlink: &mut Netlink, world: &mut World| {
            let drained = netlink.drain(world).unwrap();
            assert!(!drained.may_heal, "something moved");
        };
        follower.restart();
        is_quiet(&mut netlink, &mut world);
        // A new look, for an event that has nothing to do with it.
        ip("link add br0 type bridge");
        ip("link set br0 up");
        ip("link set br0 down");
        netlink.drain(&mut world).unwrap();
        follower.commit();
        is_quiet(&mut netlink, &mut world);
        // Someone else turns them around.
        ip("route del default dev eth0 proto 110");
        ip("route append default via 10.0.0.1 dev eth0 proto 110 metric 50");
        follower.commit();
        assert_eq!(shown("-4 route show default"), defaults);
        assert_eq!(shown("rule show from 10.5.5.5"), rules);
    });
}

/// Adds and deletes addresses without end.
struct Churn {
    ip: std::process::Child,
    writer: std::thread::JoinHandle<()>,
}

impl Churn {
    fn start() -> Self {
        let mut command = Command::new("ip");
        let mut ip =
            command.args(["-force", "-batch", "-"]).stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut commands = ip.stdin.take().unwrap();
        let writer = std::thread::spawn(move || {
            for n in (0..200).cycle() {
                let address = format!("10.200.{n}.1/32 dev vb");
                // Until `ip` is ended.
                if writeln!(commands, "addr add {address}\naddr del {address}").is_err() {
                    return;
                }
            }
        });
        Self { ip, writer }
    }

    fn stop(mut self) {
        self.ip.kill().unwrap();
        self.ip.wait().unwrap();
        self.writer.join().unwrap();
    }
}

#[test]
fn dumps_that_changes_disturb_come_to_the_right_end() {
    in_netns(|| {
        two_links();
        let many: String =
            (0..400).map(|n| format!("addr add 10.{}.{}.1/32 dev vb\n", 100 + n / 250, n % 250)).collect();
        crate::netns::ip_script(&many);
        let mut follower = Follower::start(None);
        follower.set_route("va", &["10.0.0.2/24"], Some("10.0.0.1"));
        let ours = || shown("route show table all proto 110");
        let right = ours();
        follower.kernel.recheck_every(Duration::from_nanos(1));
        let (mut beside, mut world) = Netlink::open(&Config::default()).unwrap();
        let churn = Churn::start();
        let mut disturbed = 0;
        for n in 0..6 {
            if n == 1 {
                ip("route del default dev va table 100 proto 110");
            }
            follower.kernel.pass(Instant::now());
            follower.commit();
            beside.distrust();
            disturbed += usize::from(beside.drain(&mut world).is_err() || beside.is_stale());
        }
        churn.stop();
        assert!(disturbed > 0, "nothing was disturbed");
        for _ in 0..3 {
            follower.kernel.pass(Instant::now());
            follower.commit();
        }
        assert_eq!(ours(), right);
        crate::kernel::assert_is_kernel(follower.kernel.world());
    });
}
