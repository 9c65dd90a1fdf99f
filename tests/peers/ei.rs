//! A C node on libei.

use std::process::{Command, Stdio};

use crate::program::{EiPeer, Ground, QUICK_TICKS, Running, fresh};
use crate::support::output;

#[test]
fn ei_rpc_and_a_gen_server_call_by_hand() {
    let Some(peer) = EiPeer::compile() else { return };
    let Some(ground) = Ground::new() else { return };
    let daemon = ground.daemon(&[]);
    output(&mut peer.command(&ground, "calls", &daemon.node, &fresh('c')));
    assert!(ground.routes().contains("default via 192.168.1.1 dev eth0 proto 110"), "{}", ground.routes());
}

#[test]
fn answered_ticks_keep_the_connection() {
    let Some(peer) = EiPeer::compile() else { return };
    let Some(ground) = Ground::new() else { return };
    let daemon = ground.daemon(QUICK_TICKS);
    // A tick each second: twice the net_ticktime.
    output(peer.command(&ground, "ticks", &daemon.node, &fresh('c')).arg("8"));
    assert_eq!(daemon.log().matches("nodeup").count(), 1, "{}", daemon.log());
}

#[test]
fn we_dial_a_node_that_accepts() {
    let Some(peer) = EiPeer::compile() else { return };
    let Some(ground) = Ground::new() else { return };
    let (ours, theirs) = (fresh('b'), fresh('c'));
    let mut peer = Running::start(&mut peer.command(&ground, "accept", &ours, &theirs));
    peer.expect("published");
    let daemon = ground.options().naming("--name", &ours).flags(&["--connect", &theirs]).start();
    peer.expect("answered");
    peer.ends_well();
    daemon.await_log("nodedown");
}

#[test]
fn another_cookie_is_refused() {
    let Some(peer) = EiPeer::compile() else { return };
    let Some(ground) = Ground::new() else { return };
    let daemon = ground.options().cookie("NobodyElseHasThis").start();
    let mut command: Command = peer.command(&ground, "calls", &daemon.node, &fresh('c'));
    let out = command.stdin(Stdio::null()).output().unwrap();
    let error = String::from_utf8_lossy(&out.stderr);
    assert!(error.contains("cannot connect"), "{error}");
    daemon.await_log("the peer has another cookie");
}
