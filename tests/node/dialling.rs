//! `connect_node/1` between two of our nodes that find each other through an epmd; the letters are those of the
//! statements about net_kernel.

use std::net::{Ipv4Addr, Ipv6Addr, ToSocketAddrs as _};
use std::time::{Duration, Instant};

use beamroute::epmd::EpmdMode;
use beamroute::epmd::client::{Registration, entry, register};
use beamroute::epmd::local_epmd;
use beamroute::epmd::server::{Server, Serving};
use beamroute::node::{
    AutoConnect, CallError, Ignored, Message, MonitorOptions, Node, NodeBuilder, NodeType, NotFound, Process,
};
use beamroute::term::atom;
use tokio::net::TcpListener;

use super::{PATIENCE, spawn_echo};

pub const A: &str = "a@127.0.0.1";
pub const B: &str = "b@127.0.0.1";

pub fn epmd() -> Serving {
    Server::bind(&[Ipv6Addr::LOCALHOST.into()], 0).unwrap().serve()
}

/// A node that registers with `epmd`, without having to look for one.
pub fn builder(epmd: &Serving, name: &str, cookie: &str) -> NodeBuilder {
    Node::builder(name).cookie(cookie).epmd(EpmdMode::External).epmd_port(epmd.port)
}

/// A node that listens and is registered, and its nodeups and nodedowns.
pub struct Peer {
    pub node: Node,
    events: Process,
}

impl Peer {
    pub async fn start(epmd: &Serving, name: &str) -> Self {
        Self::with(builder(epmd, name, "c")).await
    }

    pub async fn with(builder: NodeBuilder) -> Self {
        let (node, start) = builder.build().unwrap();
        let events = node.spawn();
        events.monitor_nodes(MonitorOptions { node_type: Some(NodeType::All), ..MonitorOptions::default() });
        node.start(start).await.unwrap();
        Self { node, events }
    }

    pub fn connected(&self) -> Vec<String> {
        self.node.nodes(|_| true)
    }

    /// The next event: `up b@h`.
    pub async fn event(&mut self) -> String {
        let message = tokio::time::timeout(PATIENCE, self.events.receive()).await.expect("an event").unwrap();
        told(&message)
    }

    /// Events that have come already.
    pub fn events(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.events.try_receive()).map(|message| told(&message)).collect()
    }
}

fn told(message: &Message) -> String {
    match message {
        Message::NodeUp(news) => format!("up {}", news.node),
        Message::NodeDown(news) => format!("down {}", news.node),
        other => panic!("{other:?}"),
    }
}

pub async fn announce(epmd: &Serving, name: &str, listener: &TcpListener) -> Registration {
    let port = listener.local_addr().unwrap().port();
    register(local_epmd(epmd.port), entry(name.split('@').next().unwrap(), port)).await.unwrap()
}

#[tokio::test]
async fn c1_to_c3_itself_again_and_a_peer() {
    let epmd = epmd();
    let (mut a, mut b) = (Peer::start(&epmd, A).await, Peer::start(&epmd, B).await);
    assert!(a.node.connect_node(A).await.unwrap());
    assert_eq!(a.connected(), [""; 0]);
    assert!(a.node.connect_node(B).await.unwrap());
    assert_eq!((a.connected(), a.events()), (vec![B.to_owned()], vec![format!("up {B}")]), "when it returns");
    assert_eq!(b.event().await, format!("up {A}"));
    assert!(a.node.connect_node(B).await.unwrap() && b.node.connect_node(A).await.unwrap());
    assert_eq!((a.events(), b.events()), (vec![], vec![]));
}

#[tokio::test]
async fn c2_a_connection_that_is_being_closed_does_not_count() {
    let epmd = epmd();
    let (mut a, _b) = (Peer::start(&epmd, A).await, Peer::start(&epmd, B).await);
    assert!(a.node.connect_node(B).await.unwrap() && a.node.disconnect(B));
    assert!(a.node.connect_node(B).await.unwrap());
    assert_eq!(a.events(), [format!("up {B}"), format!("down {B}"), format!("up {B}")]);
}

#[tokio::test]
async fn c4_nobody_there() {
    let epmd = epmd();
    let mut a = Peer::start(&epmd, A).await;
    let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let _closed = announce(&epmd, "closed@127.0.0.1", &closed).await;
    drop(closed);
    let mut b = Peer::with(builder(&epmd, B, "other")).await;
    for peer in ["nobody@127.0.0.1", "x@no-such-host.invalid", "closed@127.0.0.1", B] {
        assert!(!a.node.connect_node(peer).await.unwrap(), "{peer}");
    }
    assert!(!b.node.connect_node(A).await.unwrap());
    assert_eq!((a.events(), a.connected(), b.events(), b.connected()), (vec![], vec![], vec![], vec![]));
    // In the words of an operator.
    let error = a.node.connect("nobody@127.0.0.1").await.unwrap_err().to_string();
    assert!(error.contains("no node of that name"), "{error}");
}

#[tokio::test]
async fn c5_names_that_are_none() {
    let epmd = epmd();
    let a = Peer::start(&epmd, A).await;
    for peer in ["", "b", "@", "b@", "@127.0.0.1", "b@c@127.0.0.1", "b\n@127.0.0.1", "b@short"] {
        assert!(!a.node.connect_node(peer).await.unwrap(), "{peer:?}");
    }
}

/// A node that takes connections and never says a word; gives how many it has taken.
async fn silent(epmd: &Serving, name: &str) -> (Registration, std::sync::Arc<std::sync::atomic::AtomicUsize>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let registration = announce(epmd, name, &listener).await;
    let count = std::sync::Arc::<std::sync::atomic::AtomicUsize>::default();
    let taken = count.clone();
    tokio::spawn(async move {
        let mut streams = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            taken.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            streams.push(stream);
        }
    });
    (registration, count)
}

#[tokio::test]
async fn c6_and_c10_many_wait_for_one_slow_peer_and_nothing_else_does() {
    let epmd = epmd();
    let (_slow, sockets) = silent(&epmd, "slow@127.0.0.1").await;
    let setup_time = Duration::from_secs(1);
    let a = Peer::with(builder(&epmd, A, "c").configure(|config| config.setup_time = setup_time)).await;
    let b = Peer::start(&epmd, B).await;
    spawn_echo(&b.node);
    let began = Instant::now();
    let callers: Vec<_> = (0..100)
        .map(|_| {
            let node = a.node.clone();
            tokio::spawn(async move { node.connect_node("slow@127.0.0.1").await.unwrap() })
        })
        .collect();
    tokio::task::yield_now().await;
    assert!(a.node.connect_node(B).await.unwrap());
    assert_eq!(a.node.call(("echo", B), atom("x"), PATIENCE).await, Ok(atom("x")));
    assert!(began.elapsed() < setup_time, "a slow peer delays nobody");
    for caller in callers {
        assert!(!caller.await.unwrap());
    }
    assert!(began.elapsed() >= setup_time && began.elapsed() < setup_time * 3, "{:?}", began.elapsed());
    assert_eq!(sockets.load(std::sync::atomic::Ordering::SeqCst), 1, "one socket for all of them");
    let callers: Vec<_> = (0..100)
        .map(|_| {
            let node = b.node.clone();
            tokio::spawn(async move { node.connect_node(A).await.unwrap() })
        })
        .collect();
    for caller in callers {
        assert!(caller.await.unwrap());
    }
}

/// A runtime on a thread that ends with the tests.
fn elsewhere() -> tokio::runtime::Handle {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let handle = runtime.handle().clone();
    std::thread::spawn(move || runtime.block_on(std::future::pending::<()>()));
    handle
}

#[tokio::test]
async fn c7_both_dial_at_once_two_hundred_times() {
    let epmd = epmd();
    // Each node has a thread of its own.
    let (here, there) = (tokio::runtime::Handle::current(), elsewhere());
    let b = there.spawn(Peer::with(builder(&epmd, B, "c")));
    let (mut a, mut b) = (Peer::start(&epmd, A).await, b.await.unwrap());
    for round in 0..200 {
        let dial = |node: &Node, runtime: &tokio::runtime::Handle, peer: &'static str, late: u32| {
            let node = node.clone();
            runtime.spawn(async move {
                // One side is a bit behind, differently each time.
                tokio::time::sleep(Duration::from_micros(u64::from(late) * 50)).await;
                node.connect_node(peer).await.unwrap()
            })
        };
        let to_b = dial(&a.node, &here, B, round % 30);
        let to_a = dial(&b.node, &there, A, round / 7 % 30);
        assert_eq!((to_b.await.unwrap(), to_a.await.unwrap()), (true, true), "round {round}");
        assert_eq!((a.connected(), b.connected()), (vec![B.to_owned()], vec![A.to_owned()]), "round {round}");
        assert_eq!((a.event().await, b.event().await), (format!("up {B}"), format!("up {A}")), "round {round}");
        assert!(a.node.disconnect(B), "round {round}");
        assert_eq!((a.event().await, b.event().await), (format!("down {B}"), format!("down {A}")), "round {round}");
        assert_eq!((a.events(), b.events()), (vec![], vec![]), "round {round}");
    }
}

#[tokio::test]
async fn c9_c10_a_node_that_is_not_started_ignores() {
    let epmd = epmd();
    let (a, b) = (Peer::start(&epmd, A).await, Peer::start(&epmd, B).await);
    let (_slow, _) = silent(&epmd, "slow@127.0.0.1").await;
    let dialling = tokio::spawn({
        let node = a.node.clone();
        async move { node.connect_node("slow@127.0.0.1").await }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    let began = Instant::now();
    assert_eq!(a.node.stop().await, Ok(()));
    assert_eq!(dialling.await.unwrap(), Ok(false));
    assert_eq!((a.node.connect_node(B).await, a.node.connect_node(A).await), (Err(Ignored), Err(Ignored)));
    assert_eq!(b.node.connect_node(A).await, Ok(false));
    assert_eq!(a.node.stop().await, Err(NotFound));
    assert!(began.elapsed() < Duration::from_secs(2), "a dial under way does not hold the end up");
}

#[tokio::test]
async fn a_call_connects_first_as_dist_auto_connect_says() {
    let epmd = epmd();
    let b = Peer::start(&epmd, B).await;
    spawn_echo(&b.node);
    let caller = async |name: &str, auto_connect| {
        let node = Peer::with(builder(&epmd, name, "c").auto_connect(auto_connect)).await;
        let first = node.node.call(("echo", B), atom("x"), PATIENCE).await;
        (node, first)
    };
    let refused = Err(CallError::NotConnected(B.to_owned()));
    let lose = async |peer: &mut Peer| {
        assert_eq!(peer.event().await, format!("up {B}"));
        assert!(peer.node.disconnect(B));
        assert_eq!(peer.event().await, format!("down {B}"));
        peer.node.call(("echo", B), atom("x"), PATIENCE).await
    };
    let (mut always, first) = caller("always@127.0.0.1", AutoConnect::Always).await;
    assert_eq!((first, lose(&mut always).await), (Ok(atom("x")), Ok(atom("x"))));
    let (mut once, first) = caller("once@127.0.0.1", AutoConnect::Once).await;
    assert_eq!((first, lose(&mut once).await), (Ok(atom("x")), refused.clone()));
    assert!(once.node.connect_node(B).await.unwrap(), "an explicit connect lifts the bar");
    assert_eq!(once.node.call(("echo", B), atom("x"), PATIENCE).await, Ok(atom("x")));
    let (never, first) = caller("never@127.0.0.1", AutoConnect::Never).await;
    assert_eq!(first, refused);
    assert!(never.node.connect_node(B).await.unwrap());
    assert_eq!(never.node.call(("echo", B), atom("x"), PATIENCE).await, Ok(atom("x")));
}

#[tokio::test]
async fn keep_connected_dials_again_and_stops_with_the_node() {
    let epmd = epmd();
    let mut a = Peer::start(&epmd, A).await;
    a.node.keep_connected(B);
    a.node.keep_connected(A);
    for _ in 0..2 {
        let b = Peer::start(&epmd, B).await;
        assert_eq!(a.event().await, format!("up {B}"));
        b.node.stop().await.unwrap();
        assert_eq!(a.event().await, format!("down {B}"));
        drop(b);
    }
    let began = Instant::now();
    a.node.stop().await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(1));
}

#[tokio::test]
async fn a_node_that_listens_on_ipv6_only() {
    let Ok(listener) = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).await else { return };
    let epmd = epmd();
    drop(listener);
    let long = |name| builder(&epmd, name, "c");
    let short = |name| builder(&epmd, name, "c").short_name();
    // The second host, where it has both addresses, is 127.0.0.1 first, and only the epmd listens there.
    for (peer, ours) in [(long("six@::1"), long("a@::1")), (short("seven@localhost"), short("a@localhost"))] {
        let six = peer.listen([Ipv6Addr::LOCALHOST.into()]).start().await.unwrap();
        let name = six.name();
        let host = name.split_once('@').unwrap().1;
        if (host, 0).to_socket_addrs().unwrap().any(|address| address.is_ipv6()) {
            let a = ours.dial_only().start().await.unwrap();
            assert_eq!(a.connect(&name).await, Ok(()));
        }
    }
}
