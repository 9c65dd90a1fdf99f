//! What must not harm the callers: a stop under load, a log that nobody reads, silent strangers, other tick times.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::support::{Beam, Daemon, Epmd, Netns, Rig, serial};

#[test]
fn sigterm_with_many_busy_callers_still_tells_monitors_why() {
    let Some(mut rig) = Rig::start() else { return };
    rig.beam.expect(&[
        ("M = monitor(process, RM), ok.", "ok"),
        ("Self = self(), Busy = fun Busy() -> gen_server:call(RM, refresh_route_metrics), Busy() end, ok.", "ok"),
        ("[spawn(fun() -> Self ! {ended, element(2, (catch Busy()))} end) || _ <- lists:seq(1, 40)], ok.", "ok"),
        ("timer:sleep(300), ok.", "ok"),
    ]);
    rig.daemon.signal(Signal::SIGTERM);
    rig.beam.holds(&[
        "Got = [driver:await(8000) || _ <- lists:seq(1, 41)], lists:member(timeout, Got) =:= false.",
        "[R || {'DOWN', _, process, _, R} <- Got] =:= [shutdown].",
        "[E || {ended, E} <- Got, not is_tuple(E)] =:= [].",
    ]);
    assert_eq!(rig.daemon.exit_code(), Some(0));
}

/// A daemon whose stderr is treated so after the ready line; a shell command that reads it.
fn with_stderr(reader: &str) -> Option<(Beam, Daemon, Netns, Epmd)> {
    let epmd = Epmd::start()?;
    let net = Netns::two_interfaces()?;
    let script = format!("exec \"$@\" 2> >({reader})");
    let daemon = Daemon::options(&epmd.place()).netns(&net).wrap(&["bash", "-c", &script, "bash"]).start();
    let beam = Beam::start(&epmd.place(), &daemon.cookie)?;
    beam.know(&daemon);
    Some((beam, daemon, net, epmd))
}

fn serves_a_thousand_changes(beam: &Beam, daemon: &mut Daemon) {
    beam.expect(&[
        ("net_adm:ping(N).", "pong"),
        ("gen_server:call(RM, {set_route, eth0, [{{192,168,1,50},24}], {192,168,1,1}}).", "ok"),
        ("[ok = gen_server:call(RM, {set_connection_status, eth0, S}) || _ <- lists:seq(1, 500), S <- [lan, internet]], ok.", "ok"),
        ("maps:get(connection, gen_server:call(RM, status)).", "internet"),
    ]);
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.exit_code(), Some(0));
}

#[test]
fn a_log_whose_reader_has_gone_stops_nothing() {
    let Some((beam, mut daemon, _net, _epmd)) = with_stderr("sed -u '/\"ready\"/q' >&2") else { return };
    serves_a_thousand_changes(&beam, &mut daemon);
}

#[test]
fn a_log_that_nobody_reads_stops_nothing() {
    let Some((beam, mut daemon, _net, _epmd)) = with_stderr("sed -u '/\"ready\"/q' >&2; exec sleep 60") else { return };
    serves_a_thousand_changes(&beam, &mut daemon);
}

#[test]
fn an_idle_peer_with_a_short_net_ticktime_stays() {
    let Some(rig) = Rig::start() else { return };
    let name = format!("quick{}x{}@127.0.0.1", std::process::id(), serial());
    let flags = ["-kernel", "net_ticktime", "4"];
    let quick = Beam::named(&rig.epmd.place(), &rig.daemon.cookie, "-name", &name, &flags).unwrap();
    quick.know(&rig.daemon);
    quick.expect(&[
        ("net_adm:ping(N).", "pong"),
        ("erlang:monitor_node(N, true), driver:await(8000).", "timeout"),
        ("nodes(hidden) =:= [N].", "true"),
    ]);
}

#[test]
fn a_crowd_of_silent_strangers_keeps_nobody_out() {
    let Some(rig) = Rig::start() else { return };
    let crowd: Vec<TcpStream> = (0..600).map(|_| TcpStream::connect(("127.0.0.1", rig.daemon.port)).unwrap()).collect();
    let start = Instant::now();
    rig.beam.expect(&[("net_adm:ping(N).", "pong")]);
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    drop(crowd);
}

#[test]
fn nobody_sets_the_policy_of_another_node() {
    let Some(rig) = Rig::start() else { return };
    let place = rig.epmd.place();
    let (Some(mut victim), Some(liar)) =
        (Beam::start(&place, &rig.daemon.cookie), Beam::start(&place, &rig.daemon.cookie))
    else {
        return;
    };
    victim.know(&rig.daemon);
    liar.know(&rig.daemon);
    victim.expect(&[("gen_server:call(RM, {set_connection_status, eth0, internet}).", "ok")]);
    let name = victim.ok("node().");
    liar.expect(&[
        (&format!("Forged = rpc:call({name}, erlang, whereis, [init]), node(Forged) =:= {name}."), "true"),
        ("RM ! {'$gen_call', {Forged, make_ref()}, {set_owner_policy, {clear_after, 0}}}, ok.", "ok"),
        ("net_adm:ping(N).", "pong"),
    ]);
    let eth0 = "gen_server:call(RM, {get, [<<\"interface\">>, eth0, <<\"connection\">>]}).";
    rig.beam.expect(&[(eth0, "internet")]);
    victim.kill();
    rig.beam.expect(&[("timer:sleep(500).", "ok"), (eth0, "internet")]);
}
