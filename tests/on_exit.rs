//! What the end of a daemon leaves in the kernel: `--on-exit keep|clear`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a panic is how a test fails")]

mod support;

use nix::sys::signal::Signal;
use support::{Daemon, Site, eventually};

/// Routes and rules of other people, some with our numbers.
const FOREIGN: &str = "\
    route add default via 192.168.2.9 dev wlan0 metric 10 proto static\n\
    route add default via 192.168.2.9 dev wlan0 table 100 proto static\n\
    route add 10.9.0.0/16 via 192.168.1.9 dev eth0\n\
    rule add from 192.168.1.50 lookup 777 pref 30000\n";

fn start(site: &Site, flags: &[&str]) -> Daemon {
    let daemon = site.options().flags(flags).start();
    eventually("the BEAM sees the daemon", || site.beam.ok("net_adm:ping(N).") == "pong");
    daemon
}

/// Whoever asks for it, the kernel is then as it was before we came, and the next start brings the wishes back.
#[test]
fn clear_leaves_the_kernel_as_it_was_and_the_wishes_saved() {
    let Some(site) = Site::new() else { return };
    site.net.ip_batch(&[], FOREIGN);
    let before = site.kernel();
    let flags = ["--on-exit", "clear", "--admin", "all"];
    let mut daemon = start(&site, &flags);
    site.beam.expect(&[
        ("Set(wlan0, 2).", "ok"),
        // The IPv6 route stands in for the kernel's, which has the same network.
        ("gen_server:call(RM, {set_metric, eth0, 300}).", "ok"),
        ("gen_server:call(RM, {set_route, eth0, [{{16#fd00,1,0,0,0,0,0,16#50},64}, {{192,168,1,50},24}], {16#fd00,1,0,0,0,0,0,1}}).", "ok"),
        ("gen_server:call(RM, {set_route, ppp0, [{{10,7,0,5},32}], {10,7,0,1}}).", "ok"),
    ]);
    let (status, during) = (site.status(), site.kernel());
    assert!(during.contains("proto 110 metric 300"), "{during}");
    assert!(!during.contains("192.168.2.0/24 dev wlan0 proto kernel"), "{during}");
    for end in ["SIGTERM", "SIGINT", "stop"] {
        match end {
            "SIGTERM" => daemon.signal(Signal::SIGTERM),
            "SIGINT" => daemon.signal(Signal::SIGINT),
            _ => site.beam.expect(&[("gen_server:call(RM, stop).", "ok")]),
        }
        assert_eq!(daemon.exit_code(), Some(0), "{end}");
        assert_eq!(sorted(&site.kernel()), sorted(&before), "{end}: {}", daemon.log());
        daemon = start(&site, &flags);
        assert_eq!(sorted(&site.kernel()), sorted(&during), "{end}: {}", daemon.log());
        assert_eq!(site.status(), status, "{end}");
    }
}

/// Where a deleted route is put back among its equals is the kernel's choice.
fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

#[test]
fn clear_takes_orphans_too() {
    let Some(site) = Site::new() else { return };
    let before = site.kernel();
    let mut daemon = start(&site, &[]);
    site.beam.expect(&[("Set(eth0, 1).", "ok")]);
    daemon.kill();
    std::fs::remove_dir_all(site.state_dir()).unwrap();
    let mut daemon = start(&site, &["--on-exit=clear"]);
    assert_ne!(site.beam.ok("maps:get(orphaned, gen_server:call(RM, status))."), "[]");
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.exit_code(), Some(0));
    assert_eq!(sorted(&site.kernel()), sorted(&before));
}

#[test]
fn keep_is_the_default_and_moves_nothing() {
    let Some(site) = Site::new() else { return };
    for flags in [&[][..], &["--on-exit", "keep"]] {
        let mut daemon = start(&site, flags);
        site.beam.expect(&[("Set(eth0, 1).", "ok")]);
        let monitor = support::Monitor::start(&site.net);
        let kernel = site.kernel();
        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.exit_code(), Some(0));
        assert_eq!(site.kernel(), kernel);
        assert_eq!(monitor.since(), Vec::<String>::new());
    }
}
