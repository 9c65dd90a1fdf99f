//! The harness itself, without the daemon: what the other tests stand on must hold first.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a panic is how a test fails")]

mod support;

use support::{Beam, Epmd, Link, Netns};

#[test]
fn two_erl_nodes_meet_at_our_epmd() {
    let Some(epmd) = Epmd::start() else { return };
    let (Some(a), Some(b)) = (Beam::start(&epmd.place(), "harness"), Beam::start(&epmd.place(), "harness")) else {
        return;
    };
    assert_eq!(a.ok(&format!("net_adm:ping('{}').", b.node)), "pong");
    assert_eq!(a.ok("X = 1, X + 1."), "2");
    assert_eq!(a.ok("X."), "1", "bindings stay");
    assert_eq!(a.error("X = 2."), "{error,{badmatch,2}}");
    assert_eq!(
        a.json("#{a => [<<\"b\">>, {1, nil}, {10, 0, 0, 1}]}"),
        serde_json::json!({"a": ["b", [1, null], "10.0.0.1"]})
    );
    assert!(epmd.place().names().contains(a.node.split('@').next().unwrap()));
}

#[test]
fn an_elixir_node_meets_an_erl_node() {
    let Some(epmd) = Epmd::start() else { return };
    let (Some(a), Some(x)) = (Beam::start(&epmd.place(), "harness"), Beam::elixir(&epmd.place(), "harness")) else {
        return;
    };
    assert_eq!(x.ok(&format!("Node.ping(:\"{}\")", a.node)), ":pong");
}

#[test]
fn namespaces_have_the_links_asked_for() {
    let mut down = Link::new("wlan0", &[]);
    down.is_up = false;
    let Some(net) = Netns::new(&[Link::new("eth0", &["192.168.1.50/24", "fd00:1::50/64"]), down]) else { return };
    let links = net.ip(&["-br", "addr"]);
    assert!(links.contains("192.168.1.50/24 fd00:1::50/64"), "{links}");
    assert!(net.ip(&["-br", "link", "show", "wlan0"]).contains("DOWN"));
    assert!(net.path().exists());
}
