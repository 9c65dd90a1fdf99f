//! Peace with other programs: a real daemon, real threads that keep undoing what it does, foreign default routes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a panic is how a test fails")]

mod support;

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use support::{Lines, Link, Process, Site, eventually, have, repository, skip};

const WARNING: &str = "another program keeps undoing what we change";

/// What another program does again and again; it can only after the daemon has undone it.
struct Rival {
    /// Whose routes or rules it is about; none, if that is an interface that no caller has spoken for.
    ifname: Option<&'static str>,
    program: &'static str,
    args: String,
    done: AtomicUsize,
}

impl Rival {
    fn new(ifname: impl Into<Option<&'static str>>, program: &'static str, args: &str) -> Self {
        Self { ifname: ifname.into(), program, args: args.to_owned(), done: AtomicUsize::new(0) }
    }

    fn act(&self, site: &Site) {
        let mut command = site.net.command(self.program);
        let output = command.args(self.args.split(' ')).stdin(Stdio::null()).output().unwrap();
        self.done.fetch_add(usize::from(output.status.success()), Ordering::Relaxed);
    }
}

/// Runs `during` while every rival acts as often as it can.
fn fight(site: &Site, rivals: &[Rival], during: impl FnOnce()) {
    let ends = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for rival in rivals {
            scope.spawn(|| {
                while !ends.load(Ordering::Relaxed) {
                    rival.act(site);
                    std::thread::sleep(Duration::from_millis(15));
                }
            });
        }
        // Also when an assertion fails.
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(during));
        ends.store(true, Ordering::Relaxed);
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
}

fn install(site: &Site, ifname: &str) -> String {
    site.beam.ok(&format!("I(<<\"{ifname}\">>, install)."))
}

fn rivals() -> Vec<Rival> {
    let ioctl = format!("{} 0.0.0.0 0.0.0.0 eth3 50", repository("tests/fixtures/delrt.pl").display());
    let mut rivals = vec![
        Rival::new("eth0", "ip", "rule del from 192.168.1.50 lookup 100 protocol 110"),
        Rival::new("eth1", "ip", "route del default dev eth1 proto 110"),
        Rival::new("eth2", "ip", "route del 192.168.3.0/24 dev eth2 proto 110"),
        Rival::new("eth4", "ip", "route add 192.168.5.0/24 dev eth4 proto kernel scope link src 192.168.5.50"),
        Rival::new("eth5", "ip", "route add default via 192.168.6.9 dev eth5 metric 7000 proto 110"),
        Rival::new("eth6", "ip", "rule add from 192.168.7.77 lookup 106 pref 30000 protocol 110"),
        Rival::new(None, "ip", "route add 192.0.2.0/24 via 192.168.9.9 dev eth8 proto 110"),
    ];
    if have("perl") {
        rivals.push(Rival::new("eth3", "perl", &ioctl));
    }
    rivals
}

#[test]
fn what_is_undone_again_and_again_is_left_alone_for_a_while() {
    let links: Vec<Link> =
        (0..9).map(|n| Link::new(&format!("eth{n}"), &[&format!("192.168.{}.50/24", n + 1)])).collect();
    let Some(site) = Site::with(&links) else { return };
    let daemon = site.start();
    for n in 0..8 {
        site.beam.expect(&[(&format!("Set(eth{n}, {}).", n + 1), "ok")]);
    }
    // What was there before the first wish is left; of eth8 nothing is wanted.
    let metric = "gen_server:call(RM, {set_metric, eth3, 50}).";
    site.beam.expect(&[(metric, "ok"), ("gen_server:call(RM, subscribe).", "ok")]);
    let (kernel, rivals) = (site.kernel(), rivals());
    let names: BTreeSet<&str> = rivals.iter().filter_map(|rival| rival.ifname).collect();
    fight(&site, &rivals, || {
        for name in &names {
            eventually(&format!("{name} is contested"), || install(&site, name) == "{pending,contested}");
        }
        eventually("so is what belongs to none", || daemon.log().matches(WARNING).count() == rivals.len());
        for rival in &rivals {
            // The daemon may know of the fifth before we do.
            assert!(rival.done.load(Ordering::Relaxed) >= 4, "{}: too early", rival.args);
        }
        // The others work as ever, and a network is reached as if we were not there.
        site.beam.expect(&[
            ("I(<<\"eth7\">>, install).", "installed"),
            ("Clear(eth7).", "ok"),
            ("Set(eth7, 8).", "ok"),
        ]);
        for third in 1..=8 {
            let route = site.net.ip(&["route", "get", &format!("192.168.{third}.7")]);
            assert!(route.contains(&format!("dev eth{}", third - 1)), "{route}");
        }
        // For two more attempts: after 1 s and 2 s, and not yet after 4 s.
        std::thread::sleep(Duration::from_millis(4500));
    });
    for rival in &rivals {
        let done = rival.done.load(Ordering::Relaxed);
        assert!((6..=8).contains(&done), "{}: {done} times", rival.args);
    }
    assert_eq!(daemon.log().matches(WARNING).count(), rivals.len(), "{}", daemon.log());
    eventually("left alone, it heals", || {
        names.iter().all(|name| install(&site, name) == "installed") && lines(&site.kernel()) == lines(&kernel)
    });
    let over = |log: &str| log.matches("left alone again").count() == rivals.len();
    eventually("the fights are over", || over(&daemon.log()));
    told_once(&site, &rivals);
    // The next fight is another one.
    fight(&site, &rivals[..1], || eventually("contested", || install(&site, "eth0") == "{pending,contested}"));
    eventually("it is told of too", || daemon.log().matches(WARNING).count() == rivals.len() + 1);
}

/// Whether subscribers have heard once of every fight, and once of its end.
fn told_once(site: &Site, rivals: &[Rival]) {
    site.beam.ok(
        "Heard = fun F() -> receive {route_manager, _, {_, foreign, What}} -> [What | F()]; {route_manager, _, _} -> F() after 0 -> [] end end, ok.",
    );
    let heard = site.beam.ok("lists:sort(Heard()).");
    let mut expected: Vec<String> = Vec::new();
    for what in ["contested", "uncontested"] {
        let mut names: Vec<_> = rivals.iter().map(|rival| rival.ifname).collect();
        names.sort_by_key(|name| (name.is_some(), *name));
        let shown = |name: &Option<&str>| name.map_or_else(|| "nil".to_owned(), |name| format!("<<\"{name}\">>"));
        expected.extend(names.iter().map(|name| format!("{{{what},{}}}", shown(name))));
    }
    assert_eq!(heard, format!("[{}]", expected.join(",")));
}

fn lines(text: &str) -> BTreeSet<&str> {
    text.lines().collect()
}

#[test]
fn a_link_that_flaps_is_no_fight() {
    let Some(site) = Site::new() else { return };
    let daemon = site.start();
    site.beam.expect(&[
        ("gen_server:call(RM, {set_route, eth0, [{{192,168,1,50},24}, {{16#fd00,1,0,0,0,0,0,16#50},64}], {192,168,1,1}}).", "ok"),
    ]);
    let kernel = site.kernel();
    let flap = |script: &str| site.net.ip_batch(&[], script);
    let link = "link set eth0 down\nlink set eth0 up\naddr add fd00:1::50/64 dev eth0 nodad\n";
    let address = "addr del 192.168.1.50/24 dev eth0\naddr add 192.168.1.50/24 dev eth0\n";
    for n in 0..24 {
        // All at once, or one by one, so that the daemon sees more or less of it in one look.
        if n % 2 == 0 {
            flap(link);
            flap(address);
        } else {
            link.lines().chain(address.lines()).for_each(|line| _ = flap(&format!("{line}\n")));
        }
        if n % 3 == 0 {
            eventually("healed", || install(&site, "eth0") == "installed");
        }
    }
    eventually("healed", || install(&site, "eth0") == "installed");
    let ours = |text: &str| text.lines().filter(|line| line.contains("proto 110")).count();
    assert_eq!(ours(&site.kernel()), ours(&kernel));
    assert!(!daemon.log().contains(WARNING), "{}", daemon.log());
}

/// As fast as they can: each of it deletes and adds the same routes, and takes the kernel's own and puts it back.
#[test]
fn what_callers_change_often_is_no_fight() {
    let Some(site) = Site::new() else { return };
    let daemon = site.start();
    site.beam.expect(&[("Set(eth0, 1).", "ok"), ("Set(wlan0, 2).", "ok")]);
    site.beam.expect(&[
        ("[gen_server:call(RM, {set_metric, eth0, M}) || _ <- lists:seq(1, 100), M <- [7, 300]] -- [ok || _ <- lists:seq(1, 200)].", "[]"),
        ("[F(wlan0) || _ <- lists:seq(1, 100), F <- [Clear, fun(If) -> Set(If, 2) end]] -- [ok || _ <- lists:seq(1, 200)].", "[]"),
        ("I(<<\"eth0\">>, install).", "installed"),
        ("I(<<\"wlan0\">>, install).", "installed"),
    ]);
    assert!(!daemon.log().contains(WARNING), "{}", daemon.log());
    assert!(site.kernel().contains("default via 192.168.1.1 dev eth0 proto 110 metric 300"), "{}", site.kernel());
}

#[test]
fn a_foreign_default_that_outranks_ours_is_told_of_once() {
    let Some(site) = Site::new() else { return };
    let foreign = ["via", "192.168.2.9", "dev", "wlan0"];
    let ip = |verb: &str| {
        site.net.ip(&[&["route", verb, "default"][..], &foreign, &["proto", "dhcp"]].concat());
    };
    ip("add");
    let daemon = site.start();
    let warnings = |log: &str| log.matches("default route outranks ours\"").count();
    site.beam.expect(&[("Set(eth0, 1).", "ok"), ("Set(wlan0, 2).", "ok")]);
    eventually("both are told of", || warnings(&daemon.log()) == 2);
    let line = daemon.log().lines().find(|line| line.contains("outranks ours\"")).unwrap().to_owned();
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line["level"], "WARN");
    let fields = &line["fields"];
    assert_eq!(
        (&fields["gateway"], &fields["ifname"], &fields["metric"], &fields["protocol"], &fields["outranked"]),
        (&json!("192.168.2.9"), &json!("wlan0"), &json!(0), &json!(16), &json!("eth0"))
    );
    site.beam.expect(&[("gen_server:call(RM, {set_connection_status, eth0, internet}).", "ok")]);
    ip("del");
    daemon.await_log("outranks ours no longer");
    assert_eq!(warnings(&daemon.log()), 2, "nothing new: {}", daemon.log());
    assert!(site.status().contains("shadowed_by => nil"));
    // One that was there before we came is told of at the start.
    ip("add");
    drop(daemon);
    let daemon = site.start();
    daemon.await_log("default route outranks ours");
    assert_eq!(warnings(&daemon.log()), 1, "{}", daemon.log());
}

/// In namespaces of its own, where the file says that systemd-networkd runs.
#[test]
fn networkd_that_removes_our_routes_is_warned_of_at_the_start() {
    if !have("unshare") || !have("ip") {
        return;
    }
    let works = |args: &[&str]| Command::new("unshare").args(args).arg("true").status().is_ok_and(|s| s.success());
    let Some(way) = [&["-n", "-m"][..], &["-U", "-r", "-n", "-m"]].into_iter().find(|way| works(way)) else {
        return skip("no private network and mount namespaces");
    };
    let dir = tempfile::tempdir().unwrap();
    for (lines, is_warned) in [("", true), ("ManageForeignRoutes=no\\nManageForeignRoutingPolicyRules=no\\n", false)] {
        let script = format!(
            "mount -t tmpfs none /run && mkdir -p /run/systemd/netif /run/systemd/networkd.conf.d && \
             touch /run/systemd/netif/state && \
             printf '[Network]\\n{lines}' >/run/systemd/networkd.conf.d/zz.conf && ip link set lo up && exec \"$@\""
        );
        let mut command = Command::new("unshare");
        command.args(way).args(["sh", "-c", &script, "sh", env!("CARGO_BIN_EXE_beamroute"), "run"]);
        command.args(["--name", "nd@127.0.0.1", "--epmd", "none", "--port", "4370", "--state-dir"]).arg(dir.path());
        command.env("BEAMROUTE_COOKIE", "Networkd").env("HOME", dir.path());
        let mut process = Process::spawn(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()));
        let log = Lines::read(process.0.stderr.take().unwrap());
        eventually("it is ready", || log.text().contains("ready"));
        assert_eq!(log.text().contains("systemd-networkd runs and removes"), is_warned, "{lines}: {}", log.text());
    }
}
