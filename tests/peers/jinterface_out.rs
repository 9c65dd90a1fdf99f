//! A JInterface node that we dial.

use crate::program::{Ground, JavaPeer, QUICK_TICKS, Running, SILENCE, fresh};
use crate::support::Beam;

#[test]
fn otp_node_is_dialled_kept_by_ticks_and_dialled_again_after_a_restart() {
    let Some(peer) = JavaPeer::compile() else { return };
    let Some(ground) = Ground::new() else { return };
    let (ours, theirs) = (fresh('b'), fresh('j'));
    let start = || Running::start(&mut peer.command(&ground, "stay", &ours, &theirs));
    let (up, connected) = (format!("up {ours}"), format!("connected ['{theirs}']"));
    let mut first = start();
    first.expect("published");
    let flags = [QUICK_TICKS, &["--connect", &theirs]].concat();
    let daemon = ground.options().naming("--name", &ours).flags(&flags).start();
    first.expect(&up);
    std::thread::sleep(SILENCE);
    first.nudge();
    // Nothing in between: it is the same connection.
    first.expect(&connected);
    assert_eq!(daemon.log().matches("nodeup").count(), 1, "{}", daemon.log());

    first.process.kill();
    daemon.await_log("nodedown");
    daemon.await_log("not connected; trying until it is");
    let mut second = start();
    second.expect("published");
    second.expect(&up);
    second.nudge();
    second.expect(&connected);
    daemon.await_log("connected at last");
}

#[test]
fn otp_self_accepts_when_a_beam_lets_us_connect() {
    let Some(peer) = JavaPeer::compile() else { return };
    let Some(ground) = Ground::new() else { return };
    let daemon = ground.daemon(&["--admin", "all"]);
    let Some(beam) = Beam::start(&ground.epmd.place(), &daemon.cookie) else { return };
    beam.know(&daemon);
    let theirs = fresh('j');
    beam.expect(&[(&format!("rpc:call(N, net_kernel, connect_node, ['{theirs}'])."), "false")]);
    let mut peer = Running::start(&mut peer.command(&ground, "accept", &daemon.node, &theirs));
    peer.expect("published");
    beam.expect(&[(&format!("rpc:call(N, net_kernel, connect_node, ['{theirs}'])."), "true")]);
    peer.expect("answered");
    let is_connected = format!("lists:member('{theirs}', rpc:call(N, erlang, nodes, [hidden])).");
    beam.expect(&[(&is_connected, "true")]);
    peer.nudge();
    peer.ends_well();
    crate::support::eventually("the closed node is gone", || beam.ok(&is_connected) == "false");
}
