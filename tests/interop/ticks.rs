//! net_ticktime in seconds that pass (s); letters as in `net_kernel.rs`.

use std::time::{Duration, Instant};

use crate::net_kernel::rig;
use crate::support::raw::Raw;
use crate::support::{Beam, Rig, serial};

/// What a peer hears that says nothing: when ticks came, and when it was dropped.
struct Silence {
    ticks: Vec<f64>,
    dropped: f64,
}

impl Silence {
    fn of(mut raw: Raw, since: Instant) -> std::thread::JoinHandle<Self> {
        std::thread::spawn(move || {
            let mut ticks = Vec::new();
            raw.set_patience(Duration::from_secs(30));
            while let Ok(frame) = raw.receive_frame() {
                assert!(frame.is_empty());
                ticks.push(since.elapsed().as_secs_f64());
            }
            Self { ticks, dropped: since.elapsed().as_secs_f64() }
        })
    }

    /// The longest time between two ticks before `end`.
    fn longest_gap(&self, end: f64) -> f64 {
        let ticks: Vec<_> = self.ticks.iter().copied().filter(|at| *at < end).collect();
        ticks.windows(2).map(|pair| pair[1] - pair[0]).fold(0.0, f64::max)
    }
}

/// A BEAM that ticks often enough, whatever time is in force.
fn ticking(flags: &[&str]) -> Option<(Rig, Beam)> {
    let rig = rig(flags)?;
    let name = format!("tick{}x{}@127.0.0.1", std::process::id(), serial());
    let beam = Beam::named(&rig.epmd.place(), &rig.daemon.cookie, "-name", &name, &["-kernel", "net_ticktime", "4"])?;
    beam.know(&rig.daemon);
    beam.ok("C = fun(F, Args) -> rpc:call(N, net_kernel, F, Args, 5000) end, ok.");
    beam.expect(&[("net_adm:ping(N).", "pong")]);
    Some((rig, beam))
}

#[test]
fn s4_s5_longer_applies_at_once_and_ticks_stay_fast_meanwhile() {
    let Some((rig, beam)) = ticking(&["--admin", "all", "--net-ticktime", "4"]) else { return };
    let raw = Raw::connect(&rig.daemon, "longer@127.0.0.1");
    let since = Instant::now();
    let silence = Silence::of(raw, since);
    beam.expect(&[
        ("C(set_net_ticktime, [8, 6]).", "change_initiated"),
        ("C(get_net_ticktime, []).", "{ongoing_change_to,8}"),
    ]);
    let silence = silence.join().unwrap();
    assert!((6.0..11.0).contains(&silence.dropped), "by the new time: {}", silence.dropped);
    // MTTI is a quarter of the shorter time.
    assert!(silence.longest_gap(6.0) < 1.6, "{:?}", silence.ticks);
    assert!(silence.ticks.iter().filter(|at| **at < 6.0).count() >= 5, "{:?}", silence.ticks);
    beam.expect(&[("C(get_net_ticktime, []).", "8"), ("nodes(hidden) =:= [N].", "true")]);
}

#[test]
fn s4_s5_s9_shorter_applies_when_the_period_ends() {
    let Some((rig, beam)) = ticking(&["--admin", "all", "--net-ticktime", "16"]) else { return };
    let before = Raw::connect(&rig.daemon, "before@127.0.0.1");
    let since = Instant::now();
    let before = Silence::of(before, since);
    beam.expect(&[("C(set_net_ticktime, [4, 7]).", "change_initiated")]);
    std::thread::sleep(Duration::from_millis(1500));
    let during = Silence::of(Raw::connect(&rig.daemon, "during@127.0.0.1"), since);
    std::thread::sleep(Duration::from_millis(4500));
    beam.expect(&[("C(get_net_ticktime, []).", "{ongoing_change_to,4}")]);
    for silence in [before.join().unwrap(), during.join().unwrap()] {
        // The old time would have let it live for 12 seconds at least, the new one for 5 at most.
        assert!((6.9..13.0).contains(&silence.dropped), "{}", silence.dropped);
        assert!(silence.longest_gap(7.5) < 1.6, "{:?}", silence.ticks);
        assert!(silence.ticks.iter().any(|at| (6.5..8.0).contains(at)), "one at the very end: {:?}", silence.ticks);
    }
    beam.expect(&[("C(get_net_ticktime, []).", "4"), ("nodes(hidden) =:= [N].", "true")]);
    let after = Instant::now();
    let silence = Silence::of(Raw::connect(&rig.daemon, "after@127.0.0.1"), after).join().unwrap();
    assert!((2.9..5.6).contains(&silence.dropped), "{}", silence.dropped);
}

#[test]
fn s10_real_beams_that_only_tick_stay_whoever_dialled() {
    let Some((rig, dialled_us)) = ticking(&["--net-ticktime", "4", "--admin", "all"]) else { return };
    let name = format!("tock{}x{}@127.0.0.1", std::process::id(), serial());
    let flags = ["-kernel", "net_ticktime", "4"];
    let Some(dialled) = Beam::named(&rig.epmd.place(), &rig.daemon.cookie, "-name", &name, &flags) else { return };
    dialled.know(&rig.daemon);
    dialled_us.expect(&[(&format!("C(connect_node, ['{name}'])."), "true")]);
    let watch = "net_kernel:monitor_nodes(true, [{node_type, all}, nodedown_reason]).";
    for beam in [&dialled_us, &dialled] {
        beam.expect(&[("nodes(hidden) =:= [N].", "true"), (watch, "ok")]);
    }
    // Twice the time in which silence is found out, either way.
    std::thread::sleep(Duration::from_secs(10));
    for beam in [&dialled_us, &dialled] {
        beam.expect(&[("driver:flush().", "[]"), ("nodes(hidden) =:= [N].", "true"), ("net_adm:ping(N).", "pong")]);
    }
    assert!(!rig.daemon.log().contains("net_tick_timeout"), "{}", rig.daemon.log());
}

#[test]
fn s10_only_data_keeps_a_peer_up() {
    let Some(rig) = rig(&["--net-ticktime", "4"]) else { return };
    let mut raw = Raw::connect(&rig.daemon, "data@127.0.0.1");
    let frame = crate::support::talk::spoken("{6, Me, '', nobody} hello", &[("Me", &raw.pid(1))]);
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(8) {
        raw.send(&frame);
        std::thread::sleep(Duration::from_millis(900));
    }
    raw.send(&raw.status_call());
    let mut answer = Vec::new();
    while answer.is_empty() {
        answer = raw.receive_frame().expect("still connected");
    }
}
