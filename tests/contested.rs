//! Peace with other programs: a real daemon, a real thread that keeps deleting what is ours, foreign default routes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a panic is how a test fails")]

mod support;

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use support::{Lines, Process, Site, eventually, have, skip};

const WARNING: &str = "keeps deleting our routes or rules";

/// Runs `during` while a thread deletes with `ip ARGS` as often as it can; gives how often it could.
fn fight(site: &Site, args: &[&str], during: impl FnOnce(&AtomicU32)) -> u32 {
    let (ends, deleted) = (AtomicBool::new(false), AtomicU32::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ends.load(Ordering::Relaxed) {
                let is_gone = site.net.try_ip(args).status.success();
                deleted.fetch_add(u32::from(is_gone), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        // Also when an assertion fails.
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| during(&deleted)));
        ends.store(true, Ordering::Relaxed);
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    deleted.into_inner()
}

fn install(site: &Site, ifname: &str) -> String {
    site.beam.ok(&format!("I(<<\"{ifname}\">>, install)."))
}

#[test]
fn what_is_deleted_again_and_again_is_left_alone_for_a_while() {
    let Some(site) = Site::new() else { return };
    let daemon = site.start();
    site.beam.expect(&[("Set(eth0, 1).", "ok"), ("Set(wlan0, 2).", "ok")]);
    let kernel = site.kernel();
    let cases = [
        &["rule", "del", "from", "192.168.1.50", "lookup", "100", "protocol", "110"][..],
        &["route", "del", "default", "dev", "eth0", "proto", "110"],
        &["route", "del", "192.168.1.0/24", "dev", "eth0", "proto", "110"],
    ];
    for (fights, args) in cases.iter().enumerate() {
        let begin = Instant::now();
        let deleted = fight(&site, args, |deleted| {
            eventually("it is contested", || install(&site, "eth0") == "{pending,contested}");
            // The daemon may know of the fifth before we do.
            assert!(deleted.load(Ordering::Relaxed) >= 4, "{args:?}: too early");
            // The other one works as ever, and this one's network is reached as if we were not there.
            site.beam.expect(&[
                ("I(<<\"wlan0\">>, install).", "installed"),
                ("Clear(wlan0).", "ok"),
                ("Set(wlan0, 2).", "ok"),
            ]);
            assert!(site.net.ip(&["route", "get", "192.168.1.7"]).contains("dev eth0"));
            // For two more attempts: after 1 s and 2 s.
            std::thread::sleep(Duration::from_millis(3500).saturating_sub(begin.elapsed()));
        });
        assert!((6..=8).contains(&deleted), "{args:?}: deleted {deleted} times");
        assert_eq!(daemon.log().matches(WARNING).count(), fights + 1, "{}", daemon.log());
        eventually("left alone, it heals", || install(&site, "eth0") == "installed");
        assert_eq!(lines(&site.kernel()), lines(&kernel), "{args:?}");
        // The next fight is another one.
        let over = |log: &str| log.matches("left alone again").count() == fights + 1;
        eventually("the fight is over", || over(&daemon.log()));
    }
}

fn lines(text: &str) -> std::collections::BTreeSet<&str> {
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
    for _ in 0..8 {
        site.net.ip_batch(&[], "link set eth0 down\nlink set eth0 up\naddr add fd00:1::50/64 dev eth0 nodad\n");
        site.net.ip_batch(&[], "addr del 192.168.1.50/24 dev eth0\naddr add 192.168.1.50/24 dev eth0\n");
        eventually("healed", || install(&site, "eth0") == "installed");
    }
    let ours = |text: &str| text.lines().filter(|line| line.contains("proto 110")).count();
    assert_eq!(ours(&site.kernel()), ours(&kernel));
    assert!(!daemon.log().contains(WARNING), "{}", daemon.log());
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
