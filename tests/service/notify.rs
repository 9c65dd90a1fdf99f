//! What the service manager is told, and in which order.

use std::fs;
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::time::{ClockId, clock_gettime};

use crate::manager::Manager;
use crate::support::epmd::Place;
use crate::support::{Beam, Daemon, Epmd, Netns, eventually, port};

const BAD: &str = "ranking = [\"ethernet:internett\"]\n";
const GOOD: &str = "ranking = [\"wifi:*\", \"*:internet\", \"*:lan\"]\n";

fn monotonic() -> u128 {
    Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap()).as_micros()
}

#[test]
fn from_ready_to_stopping() {
    let Some(epmd) = Epmd::start() else { return };
    let Some(net) = Netns::two_interfaces() else { return };
    for manager in [Manager::at_path(), Manager::abstract_name()] {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("b.toml");
        fs::write(&file, "").unwrap();
        let mut daemon = Daemon::options(&epmd.place())
            .netns(&net)
            .flags(&["--config", file.to_str().unwrap()])
            .env("NOTIFY_SOCKET", &manager.address)
            .env("WATCHDOG_USEC", "300000")
            .env("BEAMROUTE_SECCOMP", "enforce")
            .start();
        manager.hears("ready", |text| text.starts_with("READY=1\n"));
        let first = &manager.told()[0].text;
        assert_eq!(first, "READY=1\nSTATUS=0 peers; 0 of 0 routes and rules installed", "nothing before that");
        let Some(beam) = Beam::start(&epmd.place(), &daemon.cookie) else { return };
        beam.know(&daemon);
        beam.expect(&[
            ("net_adm:ping(N).", "pong"),
            ("gen_server:call(RM, {set_route, eth0, [{{192,168,1,50},24}], {192,168,1,1}}).", "ok"),
            ("gen_server:call(RM, {set_route, ppp0, [{{10,0,0,1},32}], nil}).", "ok"),
        ]);
        let status = "STATUS=1 peer; 6 of 8 routes and rules installed, 1 of 2 interfaces pending";
        manager.hears(status, |text| text == status);
        // A feed every half of the time, and one at the start.
        let fed = || manager.told().iter().filter(|told| told.text == "WATCHDOG=1").count();
        let before = fed();
        eventually("the watchdog is fed", || fed() >= before + 4);
        reload(&manager, &daemon, &beam, &file);
        // What does not change is not told again.
        eventually("what has gone on is told", || {
            manager.forget();
            std::thread::sleep(Duration::from_millis(1100));
            manager.words().is_empty()
        });
        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.exit_code(), Some(0));
        manager.hears("the end", |text| text.starts_with("STOPPING=1"));
        assert_eq!(manager.words().last().unwrap(), "STOPPING=1\nSTATUS=stopping");
    }
}

/// SIGHUP with a good file, with a bad one, with the good one again.
fn reload(manager: &Manager, daemon: &Daemon, beam: &Beam, file: &std::path::Path) {
    let metric = "maps:get(metric, maps:get(<<\"eth0\">>, maps:get(interfaces, gen_server:call(RM, status)))).";
    for (text, metrics) in [(GOOD, "30"), (BAD, "30"), ("", "50")] {
        fs::write(file, text).unwrap();
        manager.forget();
        let before = monotonic();
        daemon.signal(Signal::SIGHUP);
        let ready = manager.hears("ready again", |text| text.starts_with("READY=1\n"));
        // How things stand may be told in between, if that is due.
        let words: Vec<_> = manager.words().into_iter().filter(|text| !text.starts_with("STATUS=")).collect();
        let (assignment, at) = words[0].split_once("\nMONOTONIC_USEC=").unwrap_or_else(|| panic!("{words:#?}"));
        assert_eq!(assignment, "RELOADING=1", "{words:#?}");
        assert!((before..=monotonic()).contains(&at.parse().unwrap()), "{words:#?}");
        assert!(words[1].starts_with("READY=1\n"), "{words:#?}");
        beam.expect(&[(metric, metrics)]);
        let is_refused = ready.text.contains("refused, what was before stays: ");
        assert_eq!(is_refused, text == BAD, "{}", ready.text);
        if is_refused {
            let reason = format!("{}: ranking: \"ethernet:internett\"", file.display());
            assert!(ready.text.contains(&reason), "{}", ready.text);
            daemon.await_log("ethernet:internett");
        }
    }
}

#[test]
fn at_most_one_word_a_second_on_how_things_stand() {
    let Some(epmd) = Epmd::start() else { return };
    let Some(net) = Netns::two_interfaces() else { return };
    let manager = Manager::at_path();
    let daemon = Daemon::options(&epmd.place()).netns(&net).env("NOTIFY_SOCKET", &manager.address).start();
    let Some(beam) = Beam::start(&epmd.place(), &daemon.cookie) else { return };
    beam.know(&daemon);
    beam.ok("Loop = fun Loop(T) -> case erlang:monotonic_time(millisecond) < T of false -> ok; true -> \
            ok = gen_server:call(RM, {set_route, eth0, [{{192,168,1,50},24}], {192,168,1,1}}), \
            ok = gen_server:call(RM, {clear_route, eth0}), Loop(T) end end, \
         Loop(erlang:monotonic_time(millisecond) + 3300), \
         gen_server:call(RM, {set_route, eth0, [{{192,168,1,50},24}], {192,168,1,1}}).");
    // Whatever came in between, the last word is true.
    let last = "STATUS=1 peer; 5 of 5 routes and rules installed";
    eventually(last, || manager.words().last().is_some_and(|text| text == last));
    let told = manager.told();
    for pair in told.windows(2).skip(1) {
        let apart = pair[1].at - pair[0].at;
        // The clock here is read when the message is received, a little late or not.
        assert!(apart > Duration::from_millis(700), "{apart:?} apart: {told:#?}");
    }
    assert!(told.iter().all(|told| told.text != "WATCHDOG=1"), "nobody has asked for that: {told:#?}");
}

#[test]
fn not_ready_before_epmd_knows_the_node() {
    let Some(net) = Netns::two_interfaces() else { return };
    if !crate::support::have("epmd") {
        return;
    }
    let place = Place::free();
    let manager = Manager::at_path();
    let _daemon = Daemon::options(&place).netns(&net).env("NOTIFY_SOCKET", &manager.address).start();
    manager.hears("waiting", |text| text == "STATUS=routes are kept; waiting for epmd");
    manager.is_quiet_for(Duration::from_millis(700));
    let _epmd = Epmd::start_at(place);
    manager.hears("ready", |text| text.starts_with("READY=1\n"));
    assert!(place.names().contains(" at port "));
}

#[test]
fn nobody_is_told_who_has_not_asked_and_a_watchdog_of_another_process_is_not_fed() {
    let Some(net) = Netns::two_interfaces() else { return };
    let alone = |name: &str, value: &str| {
        let options =
            Daemon::options(&Place::free()).netns(&net).epmd("none").flags(&["--port", &port::free().to_string()]);
        options.env("BEAMROUTE_LOG", "debug").env(name, value).start()
    };
    let told = "told the service manager";
    let mut quiet = alone("WATCHDOG_USEC", "200000");
    quiet.signal(Signal::SIGTERM);
    assert_eq!(quiet.exit_code(), Some(0));
    assert!(!quiet.log().contains(told), "{}", quiet.log());
    let manager = Manager::at_path();
    let other = Daemon::options(&Place::free())
        .netns(&net)
        .epmd("none")
        .flags(&["--port", &port::free().to_string()])
        .env("BEAMROUTE_LOG", "debug")
        .env("NOTIFY_SOCKET", &manager.address)
        .env("WATCHDOG_USEC", "200000")
        .env("WATCHDOG_PID", "1")
        .start();
    manager.hears("ready", |text| text.starts_with("READY=1\n"));
    manager.is_quiet_for(Duration::from_millis(500));
    // This is how it would look.
    other.await_log(told);
    // A manager that has gone keeps nobody waiting.
    drop(manager);
    other.signal(Signal::SIGHUP);
    other.await_log("the service manager cannot be told");
    other.await_log("reading the ranking again");
}
