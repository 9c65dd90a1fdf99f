//! Peers that are slow, silent, broken or cut off.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::Site;
use super::peer::Peer;
use crate::support::{Daemon, eventually, within};
use nix::sys::signal::Signal;

/// Reads until the daemon closes; gives how long that took.
fn time_to_close(mut stream: TcpStream) -> Duration {
    let start = Instant::now();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut bytes = [0; 4096];
    while let Ok(1..) = stream.read(&mut bytes) {}
    start.elapsed()
}

fn is_served(daemon: &Daemon, files: &super::Files) {
    let mut peer = Peer::connect(daemon, files, true);
    let call = peer.call(10);
    peer.send(&call);
    assert!(peer.receive().unwrap().ends_with(b"xxxxxxxxxx"));
}

#[test]
fn garbage_is_closed_at_once() {
    let Some(site) = Site::new() else { return };
    let files = site.authority.issue();
    let mut daemon = site.daemon(&files, &[]).start();
    let records: [&[u8]; 6] = [
        b"GET / HTTP/1.0\r\n\r\n",
        &[0xff; 100],
        // Records that are too long, of another version, or hold nothing that TLS knows.
        &[22, 3, 1, 0xff, 0xff, 1, 0xff, 0xff, 0xff],
        &[22, 3, 1, 0, 5, 99, 0, 0, 1, 0],
        &[23, 3, 3, 0, 1, 0],
        // A ClientHello that says it is 16 MB long.
        &[22, 3, 1, 0, 6, 1, 0xff, 0xff, 0xff, 3, 3],
    ];
    for bytes in records {
        let mut stream = TcpStream::connect(("127.0.0.1", daemon.port)).unwrap();
        stream.write_all(bytes).unwrap();
        assert!(time_to_close(stream) < Duration::from_secs(5), "{bytes:?}");
    }
    for is_newer in [false, true] {
        // Behind TLS: a packet that is too long. Behind both handshakes: a record that nobody has encrypted.
        let mut peer = Peer::dial(&daemon, &files, is_newer);
        peer.send(&[0xff, 0xff, 0xff, 0xff, 0]);
        assert!(peer.receive().is_err());
        let mut peer = Peer::connect(&daemon, &files, is_newer);
        peer.send_below(&[23, 3, 3, 0, 40, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7]);
        peer.send_below(&[7; 20]);
        assert!(peer.read_to_end().is_err());
    }
    is_served(&daemon, &files);
    assert!(daemon.is_running());
}

#[test]
fn who_is_slow_in_the_tls_handshake_has_its_time_and_no_more() {
    let Some(site) = Site::new() else { return };
    let files = site.authority.issue();
    let daemon = site.daemon(&files, &[]).start();
    let connect = || TcpStream::connect(("127.0.0.1", daemon.port)).unwrap();
    let silent = connect();
    let mut begins = connect();
    begins.write_all(&[22, 3, 1, 2, 0, 1, 0]).unwrap();
    let mut drips = connect();
    let dripping = drips.try_clone().unwrap();
    let dripper = std::thread::spawn(move || {
        // A ClientHello of 512 bytes, one a second.
        for byte in [22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3, 0, 0, 0, 0, 0, 0] {
            if drips.write_all(&[byte]).is_err() {
                return;
            }
            std::thread::sleep(Duration::from_millis(700));
        }
    });
    // TLS is done, and then nothing comes.
    let mut secure = Peer::dial(&daemon, &files, true);
    let start = Instant::now();
    let times = std::thread::scope(|scope| {
        let times = [silent, begins, dripping].map(|stream| scope.spawn(move || time_to_close(stream)));
        times.map(|time| time.join().unwrap())
    });
    assert!(secure.read_to_end().is_err(), "cut off, without a good-bye");
    for time in times.into_iter().chain([start.elapsed()]) {
        assert!((6.0..12.0).contains(&time.as_secs_f64()), "the setup time is 7 s: {times:?}");
    }
    dripper.join().unwrap();
}

#[test]
fn a_crowd_that_begins_tls_keeps_nobody_out() {
    let Some(site) = Site::new() else { return };
    let files = site.authority.issue();
    let daemon = site.daemon(&files, &[]).start();
    let Some(beam) = site.erl(&daemon.cookie, &files.optfile(""), &[]) else { return };
    beam.know(&daemon);
    let crowd: Vec<TcpStream> = (0..600)
        .map(|_| {
            let mut stream = TcpStream::connect(("127.0.0.1", daemon.port)).unwrap();
            let _ = stream.write_all(&[22, 3, 1, 2, 0, 1, 0, 1, 252]);
            stream
        })
        .collect();
    let start = Instant::now();
    beam.expect(&[("net_adm:ping(N).", "pong")]);
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    // One more than may be under way ends the oldest, long before its time is up.
    assert!(within(Duration::from_secs(3), || daemon.open_files() < 300), "{} open files", daemon.open_files());
    drop(crowd);
}

#[test]
fn a_peer_that_is_cut_off_within_a_record_is_down_and_what_was_whole_counts() {
    let Some(site) = Site::new() else { return };
    let files = site.authority.issue();
    let daemon = site.daemon(&files, &[]).start();
    for is_newer in [false, true] {
        let peer = Peer::connect(&daemon, &files, is_newer);
        let downs = daemon.log().matches("\"nodedown\"").count();
        let call = peer.call(40_000);
        peer.send_cut_off(&call);
        eventually("nodedown", || daemon.log().matches("\"nodedown\"").count() == downs + 1);
    }
    assert!(daemon.log().contains("connection_closed"));
    is_served(&daemon, &files);
}

#[test]
fn an_orderly_end_says_good_bye() {
    let Some(site) = Site::new() else { return };
    let files = site.authority.issue();
    let mut daemon = site.daemon(&files, &["--admin", "all"]).start();
    let Some(beam) = site.erl(&daemon.cookie, &files.optfile(""), &[]) else { return };
    beam.know(&daemon);
    for is_newer in [false, true] {
        let mut peer = Peer::connect(&daemon, &files, is_newer);
        beam.holds(&[
            "[rpc:call(N, erlang, disconnect_node, [Peer]) || Peer <- rpc:call(N, erlang, nodes, [hidden]), Peer =/= node()] =:= [true].",
        ]);
        peer.read_to_end().expect("disconnected with a good-bye");
    }
    let mut peers = [false, true].map(|is_newer| Peer::connect(&daemon, &files, is_newer));
    daemon.signal(Signal::SIGTERM);
    for peer in &mut peers {
        peer.read_to_end().expect("stopped with a good-bye");
    }
    drop(peers);
    assert_eq!(daemon.exit_code(), Some(0));
}

/// Of `/proc/PID/status`, in KiB.
fn memory(daemon: &Daemon, key: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid)).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(key)).unwrap();
    line.trim_matches([':', ' ', '\t']).trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn a_peer_that_does_not_read_is_dropped_and_costs_no_more_than_over_tcp() {
    let Some(site) = Site::new() else { return };
    let files = site.authority.issue();
    let daemon = site.daemon(&files, &[]).start();
    is_served(&daemon, &files);
    let before = memory(&daemon, "VmHWM");
    let mut peer = Peer::connect(&daemon, &files, true);
    let call = peer.call(1 << 20);
    let is_dropped = || daemon.log().contains("peer does not read");
    let calls = (1..=200).take_while(|_| {
        peer.send(&call);
        !is_dropped()
    });
    let calls = calls.count();
    assert!(within(Duration::from_secs(10), is_dropped), "after {calls} calls: {} KiB", memory(&daemon, "VmHWM"));
    // 32 MiB may wait; what holds them may have grown by doubling.
    let grown = memory(&daemon, "VmHWM") - before;
    assert!(calls > 30 && grown < 110 << 10, "{calls} calls, {grown} KiB");
    drop(peer);
    is_served(&daemon, &files);
    assert!(within(Duration::from_secs(5), || daemon.log().contains("\"busy\"")), "{}", daemon.log());
}
