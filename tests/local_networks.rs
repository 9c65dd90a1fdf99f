//! `--local-networks-first`: traffic from one interface's address to another local network.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a panic is how a test fails")]

mod support;

use support::{Daemon, Link, Monitor, Site, eventually};

fn start(site: &Site, flags: &[&str]) -> Daemon {
    let daemon = site.options().flags(flags).start();
    eventually("the BEAM sees the daemon", || site.beam.ok("net_adm:ping(N).") == "pong");
    daemon
}

/// The link by which a packet leaves.
fn way(site: &Site, to: &str, from: &str) -> String {
    let shown = site.net.ip(&["route", "get", to, "from", from]);
    shown.split_whitespace().skip_while(|word| *word != "dev").nth(1).unwrap().to_owned()
}

#[test]
fn other_local_networks_are_reached_directly_when_it_is_switched_on() {
    let Some(site) = Site::with(&[
        Link::new("eth0", &["192.168.1.50/24", "fd00:1::50/64"]),
        Link::new("wlan0", &["192.168.2.50/24", "fd00:2::50/64"]),
        // A container bridge, of which no caller speaks.
        Link::new("br0", &["172.17.0.1/16"]),
    ]) else {
        return;
    };
    let mut daemon = start(&site, &[]);
    let set = |ifname: &str, n: u32| {
        format!(
            "gen_server:call(RM, {{set_route, {ifname}, [{{{{192,168,{n},50}},24}}, {{{{16#fd00,{n},0,0,0,0,0,16#50}},64}}], {{192,168,{n},1}}}})."
        )
    };
    let v6 = "gen_server:call(RM, {set_route, eth1, [{{16#fd00,9,0,0,0,0,0,16#50},64}], {16#fd00,9,0,0,0,0,0,1}}).";
    site.beam.expect(&[(&set("eth0", 1), "ok"), (&set("wlan0", 2), "ok"), (v6, "ok")]);
    // As in VintageNet.
    assert_eq!(way(&site, "192.168.2.7", "192.168.1.50"), "eth0");
    assert_eq!(way(&site, "172.17.0.9", "192.168.1.50"), "eth0");
    let (off, entries) = (site.kernel(), site.beam.ok("maps:get(entries, gen_server:call(RM, status))."));
    daemon.kill();
    daemon = start(&site, &["--local-networks-first"]);
    let on = site.kernel();
    let rules = on.matches("from all lookup main suppress_prefixlength 0 proto 110").count();
    assert_eq!(rules, 2, "{on}");
    assert_eq!(way(&site, "192.168.2.7", "192.168.1.50"), "wlan0");
    assert_eq!(way(&site, "192.168.1.7", "192.168.2.50"), "eth0");
    assert_eq!(way(&site, "172.17.0.9", "192.168.1.50"), "br0");
    assert_eq!(way(&site, "fd00:2::7", "fd00:1::50"), "wlan0");
    // Everything else goes as before.
    assert_eq!(way(&site, "198.51.100.1", "192.168.1.50"), "eth0");
    assert_eq!(way(&site, "198.51.100.1", "192.168.2.50"), "wlan0");
    site.beam.expect(&[("maps:get(entries, gen_server:call(RM, status)).", &entries)]);
    // Someone deletes it.
    site.net.ip(&["rule", "del", "pref", "29999"]);
    eventually("it heals", || site.kernel() == on);
    // Adopted, with a state and without.
    let monitor = Monitor::start(&site.net);
    daemon.kill();
    daemon = start(&site, &["--local-networks-first=true"]);
    assert_eq!(monitor.since(), Vec::<String>::new());
    daemon.kill();
    std::fs::remove_dir_all(site.state_dir()).unwrap();
    daemon = start(&site, &["--local-networks-first"]);
    assert_eq!(monitor.since(), Vec::<String>::new());
    drop(monitor);
    assert!(!site.beam.ok("maps:get(orphaned, gen_server:call(RM, status)).").contains("suppress"));
    site.beam.expect(&[(&set("eth0", 1), "ok"), (&set("wlan0", 2), "ok"), (v6, "ok")]);
    daemon.kill();
    // Another priority, then switched off: nothing of it stays.
    daemon = start(&site, &["--local-networks-first", "--rule-priority", "20000"]);
    assert!(site.kernel().contains("19999:\tfrom all lookup main suppress_prefixlength 0 proto 110"));
    assert!(!site.kernel().contains("29999:"));
    daemon.kill();
    daemon = start(&site, &[]);
    let left =
        |text: &str| text.lines().filter(|line| !line.starts_with("32000:")).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(left(&site.kernel()), left(&off), "{}", daemon.log());
}
