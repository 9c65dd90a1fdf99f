//! What was worked out beforehand, and fails when it is done.

use std::cell::Cell;
use std::thread::sleep;
use std::time::Duration;

use nix::errno::Errno;

use crate::shim::{Call, Shim};
use crate::support::{Site, eventually};

/// A failover is worked out when nothing has happened for a while.
const WHILE: Duration = Duration::from_millis(30);

#[test]
fn what_was_foreseen_and_fails_is_made_good() {
    let (Some(site), Some(shim)) = (Site::new(), Shim::compile()) else { return };
    let mut options = site.options().env("BEAMROUTE_LOG", "debug");
    for (name, value) in shim.environment() {
        options = options.env(name, value.to_str().unwrap());
    }
    let mut daemon = options.start();
    let set = |name: &str, status: &str| {
        site.beam.expect(&[(&format!("gen_server:call(RM, {{set_connection_status, {name}, {status}}})."), "ok")]);
    };
    site.beam.expect(&[("Set(eth0, 1).", "ok"), ("Set(wlan0, 2).", "ok")]);
    set("eth0", "internet");
    set("wlan0", "internet");
    let routes = || site.net.ip(&["route", "show", "table", "all", "proto", "110"]);
    let foreseen = || daemon.log().matches("another status counts").count();
    let accepted = |status: &str| daemon.log().matches(&format!("set_connection_status eth0 {status}")).count();
    let rises = Cell::new(1);
    let fall_and_rise = || {
        let before = foreseen();
        for status in ["lan", "internet"] {
            set("eth0", status);
            sleep(WHILE);
        }
        rises.set(rises.get() + 1);
        // It may be told of later than it is answered; and with it all that was before.
        eventually("what has risen is told of", || accepted("internet") == rises.get());
        foreseen() == before + 2
    };
    set("eth0", "lan");
    let expected = routes();
    // The additions, the deletions; the look before, the answers to both. Then additions that are refused one by one.
    let failures = [(Call::Send, 0), (Call::Send, 1), (Call::Receive, 0), (Call::Receive, 1), (Call::Receive, 2)];
    for failure in failures.into_iter().map(Some).chain([None]) {
        eventually("a fall is foreseen", fall_and_rise);
        let before = (foreseen(), shim.done());
        let falls = accepted("lan");
        match failure {
            Some((call, skip)) => shim.fail(call, skip, 1, Errno::ENOMEM),
            None => shim.take_power(1),
        }
        set("eth0", "lan");
        eventually("the routes are as they should be", || routes() == expected);
        assert_ne!(shim.done(), before.1, "{failure:?} has not come");
        eventually("what has fallen is told of", || accepted("lan") > falls);
        // Who cannot look does not know that nothing else has happened.
        let is_blind = failure == Some((Call::Receive, 0));
        let told = before.0 + usize::from(!is_blind);
        eventually(&format!("{failure:?}: {told} are told of"), || foreseen() == told);
    }
    assert!(daemon.is_running());
}
