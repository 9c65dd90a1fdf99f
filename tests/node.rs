//! Two of our nodes on loopback.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

#[path = "node/dialling.rs"]
mod dialling;
#[path = "node/gen_server.rs"]
mod gen_server;
#[path = "node/hard.rs"]
mod hard;
#[path = "support/port.rs"]
mod port;
#[path = "node/signals.rs"]
mod signals;
#[path = "node/start_stop.rs"]
mod start_stop;
#[path = "node/statuses.rs"]
mod statuses;
#[path = "node/subscriptions.rs"]
mod subscriptions;

use std::net::SocketAddr;
use std::time::Duration;

use beamroute::epmd::EpmdMode;
use beamroute::node::{
    CallError, Message, MonitorOptions, NetTicktime, Node, NodeType, OptionName, OptionsError, Process, SocketOption,
    TickTimeChange,
};
use beamroute::term::{Term, atom, integer, tuple};

const PATIENCE: Duration = Duration::from_secs(5);

/// Waits until `probe` says yes.
async fn eventually(mut probe: impl AsyncFnMut() -> bool) {
    let end = tokio::time::Instant::now() + PATIENCE;
    while !probe().await {
        assert!(tokio::time::Instant::now() < end, "it never happens");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// A node that no epmd knows.
async fn node(name: &str, cookie: &str) -> (Node, SocketAddr) {
    let node = Node::builder(name).cookie(cookie).epmd(EpmdMode::None).start().await.unwrap();
    let address = node.address().await.unwrap();
    (node, address)
}

/// A process that answers every call with its request, and `stop` with its end.
fn spawn_echo(node: &Node) {
    let mut process = node.spawn();
    assert!(process.register("echo"));
    assert!(!node.spawn().register("echo"), "the name is taken");
    tokio::spawn(async move {
        while let Some(message) = process.receive().await {
            match message {
                Message::Call(_, request) if request == atom("stop") => return process.exit(&atom("stopped")),
                Message::Call(caller, request) => caller.reply(request),
                _ => {}
            }
        }
    });
}

#[tokio::test]
async fn calls_reach_a_process_and_its_end_is_told() {
    let ((a, _), (b, b_address)) = (node("a@127.0.0.1", "c").await, node("b@127.0.0.1", "c").await);
    spawn_echo(&b);
    a.dial("b@127.0.0.1", b_address).await.unwrap();
    a.dial("b@127.0.0.1", b_address).await.unwrap();
    assert_eq!(a.nodes(|info| !info.is_visible), ["b@127.0.0.1"]);
    let request = tuple([atom("hello"), integer(1)]);
    assert_eq!(a.call(("echo", "b@127.0.0.1"), request.clone(), PATIENCE).await, Ok(request));
    assert_eq!(call_all(&a, 200).await, 200);
    assert_eq!(a.call(("nobody", "b@127.0.0.1"), atom("x"), PATIENCE).await, Err(CallError::Down(atom("noproc"))));
    assert_eq!(a.call(("echo", "b@127.0.0.1"), atom("stop"), PATIENCE).await, Err(CallError::Down(atom("stopped"))));
    b.stop().await.unwrap();
    let down = a.call(("echo", "b@127.0.0.1"), atom("x"), PATIENCE).await.unwrap_err();
    assert!(matches!(down, CallError::NotConnected(_) | CallError::Down(_)), "{down}");
}

async fn call_all(a: &Node, callers: usize) -> usize {
    let call = |n: usize| {
        let (a, request) = (a.clone(), integer(i64::try_from(n).unwrap()));
        tokio::spawn(async move {
            a.call(("echo", "b@127.0.0.1"), request.clone(), PATIENCE).await == Ok::<Term, _>(request)
        })
    };
    let calls: Vec<_> = (0..callers).map(call).collect();
    let mut right = 0;
    for call in calls {
        right += usize::from(call.await.unwrap());
    }
    right
}

#[tokio::test]
async fn another_cookie_keeps_out() {
    let ((a, _), (b, b_address)) = (node("a@127.0.0.1", "c").await, node("b@127.0.0.1", "other").await);
    assert!(a.dial("b@127.0.0.1", b_address).await.is_err());
    assert_eq!((a.nodes(|_| true).len(), b.nodes(|_| true).len()), (0, 0));
}

#[tokio::test]
async fn a_name_that_connects_again_replaces_its_old_connection() {
    let (b, b_address) = node("b@127.0.0.1", "c").await;
    spawn_echo(&b);
    let (first, _) = node("a@127.0.0.1", "c").await;
    let (impostor, _) = node("a@127.0.0.1", "wrong").await;
    let (second, _) = node("a@127.0.0.1", "c").await;
    first.dial("b@127.0.0.1", b_address).await.unwrap();
    assert!(impostor.dial("b@127.0.0.1", b_address).await.is_err());
    assert!(first.call(("echo", "b@127.0.0.1"), atom("x"), PATIENCE).await.is_ok(), "the old connection still works");
    second.dial("b@127.0.0.1", b_address).await.unwrap();
    assert!(second.call(("echo", "b@127.0.0.1"), atom("x"), PATIENCE).await.is_ok());
    assert!(first.call(("echo", "b@127.0.0.1"), atom("x"), PATIENCE).await.is_err());
    assert_eq!(b.nodes(|_| true), ["a@127.0.0.1"]);
}

/// Hidden nodes too, and everything about them.
const ALL: MonitorOptions =
    MonitorOptions { node_type: Some(NodeType::All), nodedown_reason: true, connection_id: true, as_map: false };

/// The next message that is about a node, as text.
async fn news(process: &mut Process) -> String {
    let message = tokio::time::timeout(PATIENCE, process.receive()).await.unwrap();
    match message {
        Some(Message::NodeUp(news)) => format!("up {} {}", news.node, news.connection_id.unwrap()),
        Some(Message::NodeDown(news)) => {
            format!("down {} {} {}", news.node, news.connection_id.unwrap(), news.nodedown_reason.unwrap())
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn m8_m10_up_and_down_alternate_and_say_why() {
    let (b, b_address) = node("b@127.0.0.1", "c").await;
    let mut monitor = b.spawn();
    monitor.monitor_nodes(ALL);
    let (first, _) = node("a@127.0.0.1", "c").await;
    let (second, _) = node("a@127.0.0.1", "c").await;
    first.dial("b@127.0.0.1", b_address).await.unwrap();
    second.dial("b@127.0.0.1", b_address).await.unwrap();
    assert_eq!(news(&mut monitor).await, "up a@127.0.0.1 1");
    assert_eq!(news(&mut monitor).await, "down a@127.0.0.1 1 wait_pending");
    assert_eq!(news(&mut monitor).await, "up a@127.0.0.1 2");
    b.disconnect("a@127.0.0.1");
    assert_eq!(news(&mut monitor).await, "down a@127.0.0.1 2 disconnect");
    assert!(b.nodes(|_| true).is_empty(), "gone before it is told (M9)");
}

#[tokio::test]
async fn a4_a_node_that_is_not_allowed_is_not_dialled() {
    let ((a, _), (b, b_address)) = (node("a@127.0.0.1", "c").await, node("b@127.0.0.1", "c").await);
    let mut monitor = b.spawn();
    monitor.monitor_nodes(ALL);
    a.allow(["c@127.0.0.1", "127.0.0.1", "b@"]).unwrap();
    assert!(a.dial("b@127.0.0.1", b_address).await.is_err());
    a.allow(["b@127.0.0.1"]).unwrap();
    a.dial("b@127.0.0.1", b_address).await.unwrap();
    assert_eq!(news(&mut monitor).await, "up a@127.0.0.1 1", "the refused attempt opened no socket");
}

#[tokio::test]
async fn o4_o5_socket_options_of_one_connection_and_of_those_to_come() {
    let ((a, _), (b, b_address)) = (node("a@127.0.0.1", "c").await, node("b@127.0.0.1", "c").await);
    let names = [OptionName::Keepalive, OptionName::Nodelay];
    let told = |keepalive| Ok(vec![SocketOption::Keepalive(keepalive), SocketOption::Nodelay(true)]);
    assert_eq!(a.getopts("b@127.0.0.1", &names), Err(OptionsError::NotConnected));
    a.setopts_new(&[SocketOption::Keepalive(true)]).unwrap();
    a.dial("b@127.0.0.1", b_address).await.unwrap();
    assert_eq!(a.getopts("b@127.0.0.1", &names), told(true));
    assert_eq!(b.getopts("a@127.0.0.1", &names), told(false));
    a.setopts("b@127.0.0.1", &[SocketOption::Keepalive(false)]).unwrap();
    assert_eq!(a.getopts("b@127.0.0.1", &names), told(false));
}

#[tokio::test]
async fn t7_a_node_that_stops_during_a_change_of_the_ticktime_stops_at_once() {
    let ((a, _), (b, b_address)) = (node("a@127.0.0.1", "c").await, node("b@127.0.0.1", "c").await);
    let mut monitor = b.spawn();
    monitor.monitor_nodes(ALL);
    a.dial("b@127.0.0.1", b_address).await.unwrap();
    let seconds = |n| std::num::NonZeroU32::new(n).unwrap();
    assert_eq!(a.get_net_ticktime(), Ok(NetTicktime::InForce(Duration::from_secs(60))));
    assert_eq!(a.set_net_ticktime(seconds(60), 1), Ok(TickTimeChange::Unchanged));
    assert_eq!(a.set_net_ticktime(seconds(8), 60), Ok(TickTimeChange::ChangeInitiated));
    assert_eq!(a.get_net_ticktime(), Ok(NetTicktime::OngoingChangeTo(Duration::from_secs(8))));
    let start = std::time::Instant::now();
    a.stop().await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    assert_eq!(news(&mut monitor).await, "up a@127.0.0.1 1");
    assert_eq!(news(&mut monitor).await, "down a@127.0.0.1 1 connection_closed");
}
