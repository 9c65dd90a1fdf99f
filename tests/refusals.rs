//! What the kernel refuses one interface harms no other: real kernel, real caller.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a panic is how a test fails")]

mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use support::{Link, Site};

/// The kernel takes no gateway that is one of the machine's own addresses.
const REFUSED: &str = "gen_server:call(RM, {set_route, eth0, [{{192,168,1,50},24}], {192,168,11,50}}).";

fn four() -> Option<Site> {
    let link = |n: &u32| Link::new(&format!("eth{n}"), &[&format!("192.168.{}.50/24", n + 1)]);
    Site::with(&[0, 10, 20, 30].iter().map(link).collect::<Vec<_>>())
}

#[test]
fn equals_stand_in_order_and_leave_without_the_one_that_is_refused() {
    let Some(site) = four() else { return };
    let _daemon = site.start();
    site.beam.expect(&[(REFUSED, "ok"), ("I(<<\"eth0\">>, install).", "{pending,{gateway,einval}}")]);
    site.beam.expect(&[("Set(eth30, 31).", "ok"), ("Set(eth20, 21).", "ok"), ("Set(eth10, 11).", "ok")]);
    let order = || {
        let shown = site.net.ip(&["route", "show", "default"]);
        shown.lines().map(|line| line.split_whitespace().nth(4).unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(order(), ["eth10", "eth20", "eth30"]);
    site.beam.expect(&[("gen_server:call(RM, {set_connection_status, eth10, disconnected}).", "ok")]);
    assert_eq!(order(), ["eth20", "eth30"]);
}

#[test]
fn a_fight_is_left_alone_while_another_is_refused() {
    let Some(site) = four() else { return };
    let _daemon = site.start();
    site.beam.expect(&[("Set(eth10, 11).", "ok"), (REFUSED, "ok")]);
    let (ends, mut done) = (AtomicBool::new(false), 0);
    let rival = || {
        let words = ["route", "add", "192.0.2.0/24", "via", "192.168.11.9", "dev", "eth10", "proto", "110"];
        while !ends.load(Ordering::Relaxed) {
            let output = site.net.command("ip").args(words).output().unwrap();
            done += usize::from(output.status.success());
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(rival);
        let contested = || site.beam.ok("I(<<\"eth10\">>, install).") == "{pending,contested}";
        support::eventually("the fight is given up", contested);
        std::thread::sleep(Duration::from_secs(1));
        ends.store(true, Ordering::Relaxed);
    });
    // Five times, and a few more after the first pauses: not once for each try.
    assert!((5..=9).contains(&done), "{done}");
}

#[test]
fn nobody_is_held_up_for_a_way_out_that_is_refused() {
    let Some(site) = four() else { return };
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("held.toml");
    let text = "ranking = [\"*:internet\"]\n[[interface]]\nmatch = \"*\"\nhold_up = \"5m\"\n";
    std::fs::write(&config, text).unwrap();
    let _daemon = site.options().flags(&["--config", config.to_str().unwrap()]).start();
    support::eventually("the BEAM sees the daemon", || site.beam.ok("net_adm:ping(N).") == "pong");
    let internet = |name: &str| format!("gen_server:call(RM, {{set_connection_status, {name}, internet}}).");
    site.beam.expect(&[(REFUSED, "ok"), (&internet("eth0"), "ok")]);
    site.beam.expect(&[("Set(eth10, 11).", "ok"), (&internet("eth10"), "ok")]);
    site.beam.expect(&[("I(<<\"eth10\">>, install).", "installed")]);
    site.beam.expect(&[("Set(eth20, 21).", "ok"), (&internet("eth20"), "ok")]);
    site.beam.expect(&[("I(<<\"eth20\">>, install).", "{pending,held}")]);
}
