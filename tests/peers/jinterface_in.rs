//! A JInterface node that connects to us.

use nix::sys::signal::Signal;

use crate::program::{Ground, JavaPeer, QUICK_TICKS, Running, SILENCE, fresh};
use crate::support::output;

#[test]
fn otp_node_pings_and_otp_mbox_calls() {
    let Some(peer) = JavaPeer::compile() else { return };
    let Some(ground) = Ground::new() else { return };
    let daemon = ground.daemon(&[]);
    output(&mut peer.command(&ground, "calls", &daemon.node, &fresh('j')));
    assert!(ground.routes().contains("default via 192.168.1.1 dev eth0 proto 110"), "{}", ground.routes());
}

#[test]
fn otp_connection_rpc() {
    let Some(peer) = JavaPeer::compile() else { return };
    let Some(ground) = Ground::new() else { return };
    let daemon = ground.daemon(&[]);
    output(&mut peer.command(&ground, "rpc", &daemon.node, &fresh('j')));
    assert!(ground.routes().contains("default via 192.168.1.1 dev eth0 proto 110"), "{}", ground.routes());
}

#[test]
fn links_and_exits() {
    let Some(peer) = JavaPeer::compile() else { return };
    let Some(ground) = Ground::new() else { return };
    let mut daemon = ground.daemon(&[]);
    let mut peer = Running::start(&mut peer.command(&ground, "links", &daemon.node, &fresh('j')));
    peer.expect("linked");
    daemon.signal(Signal::SIGTERM);
    peer.expect("exit shutdown");
    peer.ends_well();
    assert_eq!(daemon.exit_code(), Some(0));
}

#[test]
fn ticks_keep_an_idle_node() {
    let Some(peer) = JavaPeer::compile() else { return };
    let Some(ground) = Ground::new() else { return };
    let daemon = ground.daemon(QUICK_TICKS);
    let name = fresh('j');
    let mut peer = Running::start(&mut peer.command(&ground, "stay", &daemon.node, &name));
    peer.expect("published");
    peer.nudge();
    peer.expect(&format!("up {}", daemon.node));
    peer.expect(&format!("connected ['{name}']"));
    std::thread::sleep(SILENCE);
    peer.nudge();
    // Nothing in between: it is the same connection.
    peer.expect(&format!("connected ['{name}']"));
    assert_eq!(daemon.log().matches("nodeup").count(), 1, "{}", daemon.log());
}
