//! Two daemons that keep a connection to each other, watched and disturbed from a BEAM.

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::support::{Beam, Daemon, Epmd, Netns, eventually, serial};

const COOKIE: &str = "two_daemons";

/// Both, each in a namespace of its own, and a BEAM that knows them as `A` and `B` and hears from each of nodes.
struct Pair {
    beam: Beam,
    a: Daemon,
    b: Daemon,
    names: [String; 2],
    nets: [Netns; 2],
    epmd: Epmd,
}

fn daemon(epmd: &Epmd, net: &Netns, name: &str, peer: &str) -> Daemon {
    let flags = ["--connect", peer, "--net-ticktime", "4", "--admin", "all"];
    Daemon::options(&epmd.place()).netns(net).naming("--name", name).cookie(COOKIE).flags(&flags).start()
}

impl Pair {
    fn start() -> Option<Self> {
        let (epmd, nets) = (Epmd::start()?, [Netns::two_interfaces()?, Netns::two_interfaces()?]);
        let fresh = |letter| format!("{letter}{}x{}@127.0.0.1", std::process::id(), serial());
        let names = [fresh('a'), fresh('b')];
        let (a, b) = (daemon(&epmd, &nets[0], &names[0], &names[1]), daemon(&epmd, &nets[1], &names[1], &names[0]));
        let name = fresh('w');
        let beam = Beam::named(&epmd.place(), COOKIE, "-name", &name, &["-kernel", "net_ticktime", "4"])?;
        beam.ok(&format!("A = '{}', B = '{}'.", names[0], names[1]));
        beam.ok("Sees = fun(X, Y) -> lists:member(Y, rpc:call(X, erlang, nodes, [connected])) end, ok.");
        beam.ok(
            "Tell = fun(X) -> gen_server:call({net_kernel, X}, {monitor_nodes, true, [{node_type, all}]}) end, ok.",
        );
        let pair = Self { beam, a, b, names, nets, epmd };
        pair.are_connected();
        Some(pair)
    }

    /// Each sees the other.
    fn are_connected(&self) {
        eventually("they are connected", || self.beam.ok("Sees(A, B) andalso Sees(B, A).") == "true");
    }

    /// What the BEAM has been told of `B`, as `up` and `down`.
    fn news(&self) -> String {
        self.beam.ok("[case E of nodeup -> up; nodedown -> down end || {E, X, _} <- driver:flush(), X =:= B].")
    }
}

#[test]
fn two_daemons_call_and_dial_each_other_and_tick() {
    let Some(pair) = Pair::start() else { return };
    pair.beam.expect(&[
        ("[rpc:call(A, net_adm, ping, [B]), rpc:call(B, net_adm, ping, [A])].", "[pong,pong]"),
        ("[rpc:call(A, net_kernel, connect_node, [B]), rpc:call(B, net_kernel, connect_node, [A])].", "[true,true]"),
        ("Tell(A), driver:flush().", "[]"),
        (
            "[rpc:call(X, net_kernel, getopts, [Y, [nodelay]]) || {X, Y} <- [{A, B}, {B, A}]].",
            "[{ok,[{nodelay,true}]},{ok,[{nodelay,true}]}]",
        ),
    ]);
    // Half as long again as a silent peer may last.
    std::thread::sleep(Duration::from_secs(6));
    pair.beam.expect(&[("driver:flush().", "[]"), ("Sees(A, B) andalso Sees(B, A).", "true")]);
}

#[test]
fn two_daemons_that_are_cut_off_dial_at_the_same_time_again_and_again() {
    let Some(pair) = Pair::start() else { return };
    pair.beam.expect(&[("Tell(A).", "ok")]);
    for _ in 0..6 {
        assert_eq!(pair.beam.ok("rpc:call(A, erlang, disconnect_node, [B])."), "true");
        pair.are_connected();
    }
    let news = pair.news();
    let expected = ["down,up"; 6].join(",");
    assert_eq!(news, format!("[{expected}]"), "strictly in turns");
}

#[test]
fn two_daemons_one_of_which_is_killed_or_frozen_find_each_other_again() {
    let Some(mut pair) = Pair::start() else { return };
    pair.beam.expect(&[("Tell(A).", "ok")]);
    pair.b.kill();
    eventually("its end is heard of", || pair.beam.ok("Sees(A, B).") == "false");
    pair.b = daemon(&pair.epmd, &pair.nets[1], &pair.names[1], &pair.names[0]);
    pair.are_connected();
    assert_eq!(pair.news(), "[down,up]");
    pair.b.signal(Signal::SIGSTOP);
    eventually("its silence is noticed", || pair.beam.ok("Sees(A, B).") == "false");
    pair.a.await_log("net_tick_timeout");
    pair.b.signal(Signal::SIGCONT);
    pair.are_connected();
    let news = pair.news();
    // When it wakes up, it may take the old connection for alive for a moment.
    assert!(news.starts_with("[down,up") && news.ends_with("up]"), "{news}");
}
