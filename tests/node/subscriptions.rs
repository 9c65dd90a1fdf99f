//! `monitor_nodes` of the native API; the letters are those of the statements about net_kernel.

use beamroute::epmd::server::Serving;
use beamroute::node::{Message, MonitorOptions, Node, NodeNews, NodeType, NodedownReason, Process};

use super::dialling::{A, B, builder, epmd};
use super::start_stop::next;
use super::{ALL, PATIENCE};

const C: &str = "c@127.0.0.1";
const PLAIN: MonitorOptions =
    MonitorOptions { node_type: None, nodedown_reason: false, connection_id: false, as_map: false };

async fn visible(epmd: &Serving, name: &str) -> Node {
    builder(epmd, name, "c").visible().start().await.unwrap()
}

fn of(node_type: NodeType) -> MonitorOptions {
    MonitorOptions { node_type: Some(node_type), ..PLAIN }
}

fn all(process: &mut Process) -> Vec<Message> {
    std::iter::from_fn(|| process.try_receive()).collect()
}

fn news(message: &Message) -> &NodeNews {
    match message {
        Message::NodeUp(news) | Message::NodeDown(news) => news,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn m1_m2_m3_which_nodes_and_what_of_them() {
    let epmd = epmd();
    let (a, b, c) = (visible(&epmd, A).await, visible(&epmd, B).await, builder(&epmd, C, "c").start().await.unwrap());
    let subscriber = |options| {
        let process = a.spawn();
        assert!(process.monitor_nodes(options));
        process
    };
    let mut plain = subscriber(PLAIN);
    let mut kinds = [NodeType::Visible, NodeType::Hidden, NodeType::All].map(|kind| subscriber(of(kind)));
    let mut whole = subscriber(ALL);
    for peer in [B, C] {
        assert_eq!(a.connect_node(peer).await, Ok(true));
    }
    assert_eq!((a.nodes(|node| node.is_visible), a.nodes(|node| !node.is_visible)), (vec![B.into()], vec![C.into()]));
    b.stop().await.unwrap();
    c.disconnect(A);
    for _ in 0..2 {
        assert!(matches!(next(&mut whole).await, Message::NodeUp(NodeNews { nodedown_reason: None, .. })));
    }
    for _ in 0..2 {
        let Message::NodeDown(news) = next(&mut whole).await else { panic!("a nodedown") };
        let node_type = if news.node == B { NodeType::Visible } else { NodeType::Hidden };
        assert_eq!(news.node_type, Some(node_type));
        assert_eq!(news.nodedown_reason, Some(NodedownReason::ConnectionClosed));
        assert_eq!(news.connection_id, Some(if news.node == B { 1 } else { 2 }));
    }
    let told = all(&mut plain);
    let bare = NodeNews { node: B.to_owned(), ..NodeNews::default() };
    assert!(told.iter().all(|message| *news(message) == bare) && told.len() == 2, "{told:?}");
    let counted = kinds.each_mut().map(|process| all(process).len());
    assert_eq!(counted, [2, 2, 4]);
}

#[tokio::test]
async fn m4_subscriptions_nest_and_options_are_independent() {
    let epmd = epmd();
    let (a, b) = (visible(&epmd, A).await, visible(&epmd, B).await);
    let mut process = a.spawn();
    for options in [PLAIN, PLAIN, ALL, ALL, ALL] {
        assert!(process.monitor_nodes(options));
    }
    assert_eq!(a.connect_node(B).await, Ok(true));
    assert_eq!(all(&mut process).len(), 5);
    process.demonitor_nodes(ALL);
    process.demonitor_nodes(of(NodeType::Hidden));
    b.disconnect(A);
    for _ in 0..2 {
        assert!(matches!(next(&mut process).await, Message::NodeDown(NodeNews { node_type: None, .. })));
    }
    process.demonitor_nodes(PLAIN);
    assert_eq!(a.connect_node(B).await, Ok(true));
    assert_eq!((all(&mut process).len(), a.counts().subscribers), (0, 0));
}

#[tokio::test]
async fn m5_a_subscription_ends_with_its_process() {
    let epmd = epmd();
    let a = builder(&epmd, A, "c").start().await.unwrap();
    let process = a.spawn();
    assert!(process.monitor_nodes(ALL));
    assert_eq!(a.counts().subscribers, 1);
    drop(process);
    assert_eq!((a.counts().subscribers, a.counts().processes), (0, 0));
}

#[tokio::test]
async fn m7_nodeup_comes_before_anything_of_the_peer() {
    let epmd = epmd();
    let a = builder(&epmd, A, "c").start().await.unwrap();
    let mut process = a.spawn();
    assert!(process.register("service") && process.monitor_nodes(ALL));
    for round in 0..100 {
        let b = builder(&epmd, B, "c").start().await.unwrap();
        // It sends as soon as it can, without waiting for any answer.
        b.spawn().send(("service", A), beamroute::term::integer(round)).await.unwrap();
        assert!(matches!(next(&mut process).await, Message::NodeUp(_)), "round {round}");
        assert!(matches!(next(&mut process).await, Message::Info(_)), "round {round}");
        b.stop().await.unwrap();
        assert!(matches!(next(&mut process).await, Message::NodeDown(_)), "round {round}");
    }
}

#[tokio::test]
async fn m8_nodedown_comes_after_all_that_the_peer_had_sent() {
    let epmd = epmd();
    // So small a mailbox makes the connection's reader wait.
    let a = builder(&epmd, A, "c").configure(|config| config.mailbox_limit = 4).start().await.unwrap();
    let mut process = a.spawn();
    assert!(process.register("service") && process.monitor_nodes(ALL));
    let b = builder(&epmd, B, "c").start().await.unwrap();
    let sender = b.spawn();
    for n in 0..100 {
        sender.send(("service", A), beamroute::term::integer(n)).await.unwrap();
    }
    b.stop().await.unwrap();
    let mut received = 0;
    assert!(matches!(next(&mut process).await, Message::NodeUp(_)));
    loop {
        match next(&mut process).await {
            Message::Info(_) => received += 1,
            Message::NodeDown(_) => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(received, 100);
}

#[tokio::test]
async fn m12_who_does_not_read_delays_nobody_and_learns_what_it_missed() {
    let epmd = epmd();
    let a = builder(&epmd, A, "c").configure(|config| config.mailbox_limit = 10).start().await.unwrap();
    let mut idle = a.spawn();
    let mut reader = a.spawn();
    assert!(idle.monitor_nodes(ALL) && reader.monitor_nodes(ALL));
    let _b = builder(&epmd, B, "c").start().await.unwrap();
    for _ in 0..20 {
        assert_eq!(tokio::time::timeout(PATIENCE, a.connect_node(B)).await, Ok(Ok(true)));
        assert!(matches!(next(&mut reader).await, Message::NodeUp(_)));
        assert!(a.disconnect(B));
        assert!(matches!(next(&mut reader).await, Message::NodeDown(_)));
    }
    let told = all(&mut idle);
    let (kept, rest) = told.split_at(10);
    for (n, message) in kept.iter().enumerate() {
        let id = u32::try_from(n / 2).unwrap() + 1;
        assert_eq!(news(message).connection_id, Some(id), "in order");
    }
    assert!(matches!(rest, [Message::Lagged(30)]), "{rest:?}");
    assert_eq!(a.connect_node(B).await, Ok(true));
    assert!(matches!(all(&mut idle).as_slice(), [Message::NodeUp(_)]), "and hears again");
}
