//! What a peer that is dialled may answer, byte by byte: each status, and the ways to get a handshake wrong.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use beamroute::epmd::client::Registration;
use beamroute::epmd::server::Serving;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::PATIENCE;
use super::dialling::{A, B, Peer, announce, builder, epmd};

const FLAGS: u64 = 0xd_075f_5fbc;
const SETUP_TIME: Duration = Duration::from_millis(800);

/// A node that is to be dialled and answers what a test says.
struct Fake {
    listener: TcpListener,
    _registration: Registration,
}

/// One connection, in handshake packets.
struct Wire(TcpStream);

impl Fake {
    async fn start(epmd: &Serving, name: &str) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let registration = announce(epmd, name, &listener).await;
        Self { listener, _registration: registration }
    }

    /// Takes a connection and its name message, and answers with a status.
    async fn accept(&self, status: &str) -> Wire {
        let (stream, _) = tokio::time::timeout(PATIENCE, self.listener.accept()).await.unwrap().unwrap();
        let mut wire = Wire(stream);
        assert_eq!(wire.receive().await.unwrap().first(), Some(&b'N'));
        wire.send(format!("s{status}").as_bytes()).await;
        wire
    }
}

impl Wire {
    async fn send(&mut self, body: &[u8]) {
        let length = u16::try_from(body.len()).unwrap().to_be_bytes();
        self.0.write_all(&[&length[..], body].concat()).await.unwrap();
    }

    /// `None` when the other side has closed.
    async fn receive(&mut self) -> Option<Vec<u8>> {
        let length = tokio::time::timeout(PATIENCE, self.0.read_u16()).await.unwrap().ok()?;
        let mut body = vec![0; length.into()];
        self.0.read_exact(&mut body).await.ok()?;
        Some(body)
    }

    /// The acceptor's challenge, and the ack with the proof for `cookie`; false if the dialler closes before.
    async fn challenge(&mut self, name: &str, flags: u64, cookie: &str) -> bool {
        let body = [&b"N"[..], &flags.to_be_bytes(), &5_u32.to_be_bytes(), &7_u32.to_be_bytes(), &named(name)].concat();
        self.send(&body).await;
        let Some(reply) = self.receive().await else { return false };
        assert_eq!(reply[5..], digest("c", 5));
        let theirs = u32::from_be_bytes(reply[1..5].try_into().unwrap());
        self.send(&[&b"a"[..], &digest(cookie, theirs)].concat()).await;
        true
    }

    /// Dials `peer` under a name, and gives the status.
    async fn dial(epmd: &Serving, peer: &str, name: &str) -> (Self, String) {
        let epmd = beamroute::epmd::local_epmd(epmd.port);
        let short = peer.split('@').next().unwrap();
        let port = beamroute::epmd::lookup(epmd, short).await.unwrap().unwrap().port;
        let mut wire = Self(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap());
        wire.send(&[&b"N"[..], &FLAGS.to_be_bytes(), &7_u32.to_be_bytes(), &named(name)].concat()).await;
        let status = wire.receive().await.unwrap();
        (wire, String::from_utf8(status[1..].to_vec()).unwrap())
    }

    /// The dialler's proof; true if the acceptor proves itself too.
    async fn prove(&mut self, cookie: &str) -> bool {
        let challenge = self.receive().await.unwrap();
        let theirs = u32::from_be_bytes(challenge[9..13].try_into().unwrap());
        self.send(&[&b"r"[..], &5_u32.to_be_bytes(), &digest(cookie, theirs)].concat()).await;
        self.receive().await.is_some_and(|ack| ack[1..] == digest(cookie, 5))
    }
}

fn named(name: &str) -> Vec<u8> {
    [&u16::try_from(name.len()).unwrap().to_be_bytes()[..], name.as_bytes()].concat()
}

fn digest(cookie: &str, challenge: u32) -> [u8; 16] {
    md5::compute(format!("{cookie}{challenge}")).0
}

async fn a(epmd: &Serving) -> Peer {
    Peer::with(builder(epmd, A, "c").configure(|config| config.setup_time = SETUP_TIME)).await
}

fn connect(a: &Peer, peer: &'static str) -> JoinHandle<bool> {
    let node = a.node.clone();
    tokio::spawn(async move { node.connect_node(peer).await.unwrap() })
}

#[tokio::test]
async fn ok_and_ok_simultaneous_go_on() {
    let epmd = epmd();
    let (mut a, b) = (a(&epmd).await, Fake::start(&epmd, B).await);
    for status in ["ok", "ok_simultaneous"] {
        let connected = connect(&a, B);
        let mut wire = b.accept(status).await;
        assert!(wire.challenge(B, FLAGS, "c").await);
        assert!(connected.await.unwrap());
        assert_eq!(a.event().await, format!("up {B}"));
        drop(wire);
        assert_eq!(a.event().await, format!("down {B}"));
    }
}

#[tokio::test]
async fn alive_is_answered_true_and_the_connection_is_made_anew() {
    // The peer has not noticed that its old connection is dead.
    let epmd = epmd();
    let (a, b) = (a(&epmd).await, Fake::start(&epmd, B).await);
    let connected = connect(&a, B);
    let mut wire = b.accept("alive").await;
    assert_eq!(wire.receive().await.unwrap(), b"strue");
    assert!(wire.challenge(B, FLAGS, "c").await);
    assert!(connected.await.unwrap());
}

#[tokio::test]
async fn c4_refused_or_wrong_in_any_way() {
    let epmd = epmd();
    let (mut a, b) = (a(&epmd).await, Fake::start(&epmd, B).await);
    let began = Instant::now();
    for status in ["not_allowed", "bogus", "named:", ""] {
        let connected = connect(&a, B);
        let mut wire = b.accept(status).await;
        assert_eq!(wire.receive().await, None, "{status}: it closes");
        assert!(!connected.await.unwrap(), "{status}");
    }
    let lacking = FLAGS & !(1 << 26) & !(1 << 24);
    for (what, name, flags, cookie) in [
        ("another node answers", "c@127.0.0.1", FLAGS, "c"),
        ("mandatory flags are missing", B, lacking, "c"),
        ("its cookie is another", B, FLAGS, "other"),
    ] {
        let connected = connect(&a, B);
        let mut wire = b.accept("ok").await;
        wire.challenge(name, flags, cookie).await;
        assert_eq!(wire.receive().await, None, "{what}: it closes");
        assert!(!connected.await.unwrap(), "{what}");
    }
    assert!(began.elapsed() < SETUP_TIME * 5, "none of these waits for the timer");
    assert_eq!((a.events(), a.connected()), (vec![], vec![]));
}

#[tokio::test]
async fn c4_the_setup_time_holds_for_the_whole() {
    // Each step comes in time, but they are too many.
    let epmd = epmd();
    let (mut a, b) = (a(&epmd).await, Fake::start(&epmd, B).await);
    let began = Instant::now();
    let connected = connect(&a, B);
    tokio::time::sleep(SETUP_TIME / 2).await;
    let _wire = b.accept("ok").await;
    assert!(!connected.await.unwrap());
    assert!(began.elapsed() >= SETUP_TIME && began.elapsed() < SETUP_TIME * 2, "{:?}", began.elapsed());
    assert_eq!((a.events(), a.connected()), (vec![], vec![]));
}

#[tokio::test]
async fn c7_nok_waits_for_the_peer_that_dials_us() {
    let epmd = epmd();
    let (mut a, b) = (a(&epmd).await, Fake::start(&epmd, B).await);
    let connected = connect(&a, B);
    let mut refused = b.accept("nok").await;
    assert_eq!(refused.receive().await, None, "this socket is given up");
    let late = connect(&a, B);
    let (mut wire, status) = Wire::dial(&epmd, A, B).await;
    assert_eq!(status, "ok_simultaneous");
    assert!(wire.prove("c").await);
    assert!(connected.await.unwrap() && late.await.unwrap());
    assert_eq!((a.events(), a.connected()), (vec![format!("up {B}")], vec![B.to_owned()]));
    drop(wire);
    assert_eq!(a.event().await, format!("down {B}"));
    // And one that says so and never dials is waited for no longer than the setup time.
    let connected = connect(&a, B);
    b.accept("nok").await;
    assert!(!connected.await.unwrap());
    assert_eq!(a.events(), [""; 0]);
}

#[tokio::test]
async fn c7_a_smaller_name_gets_nok_while_we_dial_and_ours_goes_on() {
    let epmd = epmd();
    let smaller = "A@127.0.0.1";
    let (mut a, b) = (a(&epmd).await, Fake::start(&epmd, smaller).await);
    let connected = connect(&a, "A@127.0.0.1");
    let mut wire = b.accept("ok").await;
    let (mut theirs, status) = Wire::dial(&epmd, A, smaller).await;
    assert_eq!((status.as_str(), theirs.receive().await), ("nok", None));
    assert!(wire.challenge(smaller, FLAGS, "c").await);
    assert!(connected.await.unwrap());
    assert_eq!(a.events(), [format!("up {smaller}")]);
}

#[tokio::test]
async fn c7_a_peer_that_we_only_look_for_may_come_in() {
    // Its host's epmd says nothing, so it cannot know that we want it: whatever its name, its attempt is the one.
    let epmd = epmd();
    let silent = TcpListener::bind((Ipv4Addr::new(127, 0, 0, 3), epmd.port)).await.unwrap();
    let mut a = a(&epmd).await;
    let connected = connect(&a, "A@127.0.0.3");
    let (_asked, _) = silent.accept().await.unwrap();
    let (mut wire, status) = Wire::dial(&epmd, A, "A@127.0.0.3").await;
    assert_eq!(status, "ok");
    assert!(wire.prove("c").await);
    assert!(connected.await.unwrap());
    assert_eq!(a.events(), ["up A@127.0.0.3"]);
}

#[tokio::test]
async fn c7_an_attempt_of_the_peer_that_fails_leaves_the_way_to_ours() {
    let epmd = epmd();
    let (a, b) = (a(&epmd).await, Fake::start(&epmd, B).await);
    let connected = connect(&a, B);
    let mut ours = b.accept("ok").await;
    let (mut impostor, status) = Wire::dial(&epmd, A, B).await;
    assert_eq!(status, "ok_simultaneous");
    assert_eq!(ours.receive().await, None);
    assert!(!impostor.prove("wrong").await);
    let mut wire = b.accept("ok").await;
    assert!(wire.challenge(B, FLAGS, "c").await);
    assert!(connected.await.unwrap());
}

#[tokio::test]
async fn c8_a_newcomer_that_has_proved_itself_replaces_a_dead_connection() {
    let epmd = epmd();
    let mut a = a(&epmd).await;
    let (mut old, status) = Wire::dial(&epmd, A, B).await;
    assert!(status == "ok" && old.prove("c").await);
    let (mut new, status) = Wire::dial(&epmd, A, B).await;
    assert_eq!(status, "alive");
    new.send(b"strue").await;
    assert!(a.node.connect_node(B).await.unwrap(), "the old one counts until then");
    assert!(new.prove("c").await);
    let events = [a.event().await, a.event().await, a.event().await];
    assert_eq!(events, [format!("up {B}"), format!("down {B}"), format!("up {B}")]);
    // The old one dies by itself while a newcomer is heard: that one keeps its place, and is waited for.
    let (mut newest, status) = Wire::dial(&epmd, A, B).await;
    assert_eq!(status, "alive");
    newest.send(b"strue").await;
    drop(new);
    assert_eq!(a.event().await, format!("down {B}"));
    let connected = connect(&a, B);
    assert!(newest.prove("c").await);
    assert!(connected.await.unwrap());
    assert_eq!(a.events(), [format!("up {B}")]);
}
