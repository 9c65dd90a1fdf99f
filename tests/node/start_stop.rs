//! `start` and `stop`, and what a node answers that is not started; the letters are those of the statements about
//! net_kernel.

use std::net::TcpStream;
use std::num::NonZeroU32;
use std::time::Duration;

use beamroute::epmd::server::Serving;
use beamroute::epmd::{local_epmd, lookup};
use beamroute::node::{
    HostName, Ignored, Message, MonitorOptions, NetTicktime, Node, NodedownReason, NotFound, OptionsError, Process,
    Start, StartError,
};
use beamroute::term::{Term, atom};

use super::dialling::{A, B, builder, epmd};
use super::{ALL, PATIENCE, spawn_echo};

/// The next message of a process, which must come.
pub async fn next(process: &mut Process) -> Message {
    tokio::time::timeout(PATIENCE, process.receive()).await.expect("a message").expect("an end")
}

async fn port_of(epmd: &Serving, name: &str) -> Option<u16> {
    lookup(local_epmd(epmd.port), name).await.unwrap().map(|entry| entry.port)
}

fn not_started(epmd: &Serving, name: &str) -> (Node, Start) {
    builder(epmd, name, "c").build().unwrap()
}

#[tokio::test]
async fn t2_start_listens_registers_and_takes_a_new_creation() {
    let epmd = epmd();
    let (a, start) = not_started(&epmd, A);
    spawn_echo(&a);
    let kept = a.spawn();
    assert_eq!(
        (a.name(), kept.pid().node.name, kept.pid().creation),
        ("nonode@nohost".into(), "nonode@nohost".into(), 0)
    );
    let b = builder(&epmd, B, "c").start().await.unwrap();
    let watcher = b.spawn();
    let mut pids = Vec::new();
    for _ in 0..3 {
        assert_eq!(port_of(&epmd, "a").await, None);
        a.start(start.clone()).await.unwrap();
        assert!(a.is_alive());
        assert_eq!(port_of(&epmd, "a").await, a.address().await.map(|address| address.port()));
        assert!(matches!(a.start(start.clone()).await, Err(StartError::AlreadyStarted(name)) if name == A), "T1");
        assert_eq!(watcher.call(("echo", A), atom("x"), PATIENCE).await, Ok(atom("x")), "at once");
        pids.push(kept.pid());
        a.stop().await.unwrap();
    }
    a.start(start).await.unwrap();
    let mut creations: Vec<_> = pids.iter().map(|pid| pid.creation).collect();
    creations.dedup();
    assert_eq!(creations.len(), 3, "{creations:?}");
    let mut watcher = watcher;
    for old in &pids {
        watcher.monitor(old).await;
        assert!(matches!(next(&mut watcher).await, Message::Down { reason, .. } if reason == atom("noproc")));
    }
    watcher.monitor(kept.pid()).await;
    super::eventually(async || a.counts().monitored_by == 1).await;
    kept.exit(&atom("done"));
    assert!(matches!(next(&mut watcher).await, Message::Down { reason, .. } if reason == atom("done")));
}

#[tokio::test]
async fn t2_t2a_names_and_ticks() {
    let epmd = epmd();
    let (node, _) = not_started(&epmd, A);
    let host = HostName::of_this_host();
    node.start(Start { net_ticktime: NonZeroU32::new(7), ..Start::short("t2a") }).await.unwrap();
    assert_eq!(node.name(), format!("t2a@{}", host.short()));
    assert_eq!(node.get_net_ticktime(), Ok(NetTicktime::InForce(Duration::from_secs(7))));
    node.stop().await.unwrap();
    match (node.start(Start::long("t2a")).await, host.long()) {
        (Ok(()), Some(host)) => assert_eq!(node.name(), format!("t2a@{host}")),
        (Err(StartError::Name(_)), None) => return,
        other => panic!("{other:?}"),
    }
    assert_eq!(node.get_net_ticktime(), Ok(NetTicktime::InForce(Duration::from_secs(60))), "15,000 ms, four times");
}

#[tokio::test]
async fn t2_a_start_that_fails_changes_nothing() {
    let epmd = epmd();
    let (a, start) = not_started(&epmd, A);
    let taken = builder(&epmd, A, "c").start().await.unwrap();
    assert!(matches!(a.start(start.clone()).await, Err(StartError::Epmd(_))), "the name is taken");
    assert!(matches!(a.start(Start::long("a@b@c")).await, Err(StartError::Name(_))));
    assert_eq!((a.is_alive(), a.counts().tasks), (false, 0));
    taken.stop().await.unwrap();
    a.start(start).await.unwrap();
}

#[tokio::test]
async fn t5_stop_ends_all_that_is_of_the_network() {
    let epmd = epmd();
    let a = builder(&epmd, A, "c").start().await.unwrap();
    let mut process = a.spawn();
    process.trap_exits(true);
    process.monitor_nodes(ALL);
    let mut peers = Vec::new();
    for name in [B, "c@127.0.0.1", "d@127.0.0.1"] {
        let peer = builder(&epmd, name, "c").start().await.unwrap();
        let theirs = peer.spawn();
        assert_eq!(a.connect(name).await, Ok(()));
        assert!(matches!(next(&mut process).await, Message::NodeUp(_)));
        process.link(&theirs.pid()).await;
        process.monitor(theirs.pid()).await;
        peers.push((peer, theirs));
    }
    let address = a.address().await.unwrap();
    assert_eq!(a.stop().await, Ok(()));
    assert_eq!(port_of(&epmd, "a").await, None);
    assert!(TcpStream::connect(address).is_err(), "nobody listens there");
    let (mut exits, mut downs, mut nodedowns) = (0, 0, 0);
    while let Some(message) = process.try_receive() {
        match message {
            Message::Exit { reason, .. } if reason == atom("noconnection") => exits += 1,
            Message::Down { reason, .. } if reason == atom("noconnection") => downs += 1,
            Message::NodeDown(news) if news.nodedown_reason == Some(NodedownReason::NetKernelTerminated) => {
                nodedowns += 1;
                assert!(exits >= nodedowns && downs >= nodedowns, "nodedown comes last (M8)");
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((exits, downs, nodedowns), (3, 3, 3), "before stop returns");
    let counts = a.counts();
    assert_eq!((counts.connections, counts.handshakes, counts.tasks), (0, 0, 0));
    assert_eq!((counts.monitors, counts.links, counts.monitored_by), (0, 0, 0));
    assert_eq!(a.stop().await, Err(NotFound));
}

#[tokio::test]
async fn c9_g3_o2_t6_a_node_that_is_not_started_ignores() {
    let epmd = epmd();
    let (a, start) = not_started(&epmd, A);
    let b = builder(&epmd, B, "c").start().await.unwrap();
    spawn_echo(&b);
    for _ in 0..2 {
        assert_eq!(a.connect_node(B).await, Err(Ignored));
        assert_eq!(a.connect_node("nonode@nohost").await, Err(Ignored));
        assert_eq!(a.allow([B]), Err(Ignored));
        assert_eq!(a.get_net_ticktime(), Err(Ignored));
        assert_eq!(a.set_net_ticktime(NonZeroU32::MIN, 0), Err(Ignored));
        assert_eq!(a.getopts(B, &[]), Err(OptionsError::Ignored(Ignored)));
        assert_eq!(a.setopts(B, &[]), Err(OptionsError::Ignored(Ignored)));
        assert_eq!(a.setopts_new(&[]), Err(OptionsError::Ignored(Ignored)));
        assert_eq!(a.stop().await, Err(NotFound));
        assert!(a.call(("echo", B), atom("x"), PATIENCE).await.is_err());
        a.start(start.clone()).await.unwrap();
        a.allow([B]).unwrap();
        assert_eq!(a.connect_node(B).await, Ok(true));
        assert_eq!(a.call(("echo", B), atom("x"), PATIENCE).await, Ok(atom("x")));
        assert_eq!(a.connect_node("c@127.0.0.1").await, Ok(false));
        a.stop().await.unwrap();
    }
}

#[tokio::test]
async fn t6_what_was_allowed_is_forgotten_with_the_end() {
    let epmd = epmd();
    let (a, start) = not_started(&epmd, A);
    let _b = builder(&epmd, B, "c").start().await.unwrap();
    a.start(start.clone()).await.unwrap();
    a.allow(["c@127.0.0.1"]).unwrap();
    assert_eq!(a.connect_node(B).await, Ok(false));
    a.stop().await.unwrap();
    a.start(start).await.unwrap();
    assert_eq!(a.connect_node(B).await, Ok(true), "an empty list allows everybody");
}

#[tokio::test]
async fn m13_subscriptions_hold_across_start_and_stop() {
    let epmd = epmd();
    let (a, start) = not_started(&epmd, A);
    let mut process = a.spawn();
    assert!(process.monitor_nodes(ALL), "before the start");
    let _b = builder(&epmd, B, "c").start().await.unwrap();
    for round in 1..=2 {
        a.start(start.clone()).await.unwrap();
        assert_eq!(a.connect_node(B).await, Ok(true));
        a.stop().await.unwrap();
        for _ in 0..round {
            assert!(matches!(next(&mut process).await, Message::NodeUp(news) if news.node == B));
        }
        for _ in 0..round {
            assert!(matches!(next(&mut process).await, Message::NodeDown(news) if news.node == B));
        }
        assert!(process.try_receive().is_none());
        assert!(process.monitor_nodes(ALL), "between stop and start");
    }
    process.demonitor_nodes(ALL);
    process.demonitor_nodes(MonitorOptions::default());
    a.start(start).await.unwrap();
    assert_eq!(a.connect_node(B).await, Ok(true));
    assert!(process.try_receive().is_none());
}

#[tokio::test]
async fn processes_monitors_and_links_of_a_node_hold_across_start_and_stop() {
    let epmd = epmd();
    let (a, start) = not_started(&epmd, A);
    let (mut one, other, third) = (a.spawn(), a.spawn(), a.spawn());
    one.trap_exits(true);
    assert!(other.register("other"));
    let before = one.monitor("other").await;
    one.link(&third.pid()).await;
    a.start(start).await.unwrap();
    let after = one.monitor(("other", A)).await;
    other.exit(&atom("done"));
    third.exit(&atom("gone"));
    let mut downs = vec![down(next(&mut one).await), down(next(&mut one).await)];
    downs.sort_by_key(|(reference, _)| reference.id.clone());
    assert_eq!(downs, [(before, atom("done")), (after, atom("done"))]);
    assert!(matches!(next(&mut one).await, Message::Exit { reason, .. } if reason == atom("gone")));
    assert_eq!((a.counts().monitors, a.counts().links), (0, 0));
}

fn down(message: Message) -> (beamroute::term::Reference, Term) {
    match message {
        Message::Down { reference, reason, .. } => (reference, reason),
        other => panic!("{other:?}"),
    }
}
