//! The page of `--metrics`: numbers that move as they should, and a server that nobody holds up.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use beamroute::metrics::{Kind, TABLE};
use nix::sys::signal::Signal;

use crate::http::{Page, connect, exchange, read};
use crate::support::epmd::Place;
use crate::support::raw::{FLAGS, Raw};
use crate::support::talk::Talk;
use crate::support::{Beam, Daemon, Epmd, Netns, eventually, port};

struct Rig {
    beam: Beam,
    daemon: Daemon,
    net: Netns,
    _epmd: Epmd,
    port: u16,
}

impl Rig {
    fn start(flags: &[&str]) -> Option<Self> {
        let epmd = Epmd::start()?;
        let net = Netns::two_interfaces()?;
        let port = port::free();
        let address = format!("127.0.0.1:{port}");
        let flags = [&["--metrics", &address], flags].concat();
        let options = Daemon::options(&epmd.place()).netns(&net).flags(&flags);
        let daemon = options.env("BEAMROUTE_SECCOMP", "enforce").start();
        let beam = Beam::start(&epmd.place(), &daemon.cookie)?;
        Some(Self { beam, daemon, net, _epmd: epmd, port })
    }

    fn page(&self) -> Page {
        Page::get(self.port)
    }

    /// Waits until a number is this.
    #[track_caller]
    fn becomes(&self, key: &str, number: f64) {
        eventually(&format!("{key} is {number}"), || (self.page().of(key) - number).abs() < 0.5);
    }

    /// Waits until the routes wanted, installed and pending are these, and the interfaces of which something waits.
    #[track_caller]
    fn routes(&self, expected: [f64; 4]) {
        let names = ["routes_wanted", "routes_installed", "routes_pending", "interfaces_pending"];
        let seen = || names.map(|name| self.page().of(&format!("beamroute_{name}")));
        eventually(&format!("{names:?} are {expected:?}"), || seen() == expected);
    }
}

#[test]
fn a_thousand_changes_that_wait_cost_one_batch() {
    let Some(rig) = Rig::start(&[]) else { return };
    rig.beam.know(&rig.daemon);
    rig.beam.expect(&[
        ("gen_server:call(RM, {set_route, eth0, [{{192,168,1,50},24}], {192,168,1,1}}).", "ok"),
        ("gen_server:call(RM, {set_connection_status, eth0, internet}).", "ok"),
    ]);
    let batches = || rig.page().of("beamroute_netlink_batches_total");
    let mut talk = Talk::start(&rig.daemon);
    let mut change = |metrics: std::ops::Range<u32>| {
        let call = |metric| {
            talk.frame(&format!(
                "{{6, Me, '', route_manager}} {{'$gen_call', {{Me, [alias | R1]}}, {{set_metric, <<\"eth0\">>, {metric}}}}}"
            ))
        };
        let (count, said, before) = (metrics.len(), metrics.flat_map(call).collect::<Vec<u8>>(), batches());
        rig.daemon.signal(Signal::SIGSTOP);
        talk.raw.send(&said);
        rig.daemon.signal(Signal::SIGCONT);
        for _ in 0..count {
            talk.hears("_ {[alias | R1], ok}");
        }
        batches() - before
    };
    let (one, thousand) = (change(900..901), change(1000..2000));
    assert!(one > 0.5 && thousand < 1.5 * one, "one: {one}, a thousand: {thousand}");
}

#[test]
fn numbers_move_as_they_should() {
    let Some(rig) = Rig::start(&[]) else { return };
    let first = rig.page();
    let counters = TABLE.iter().filter(|metric| metric.kind == Kind::Counter && metric.name.starts_with("beamroute"));
    for name in counters.filter(|metric| metric.labels.is_empty()).map(|metric| metric.name) {
        assert!(first.of(name).abs() < 0.5, "{name} begins at 0: {first:#?}");
    }
    rig.beam.know(&rig.daemon);
    rig.beam.expect(&[
        ("net_adm:ping(N).", "pong"),
        ("gen_server:call(RM, {set_route, eth0, [{{192,168,1,50},24}], {192,168,1,1}}).", "ok"),
        ("rpc:call(N, route_manager, set_connection_status, [eth0, internet]).", "ok"),
        // Once more, in the form that is answered without being decoded.
        ("gen_server:call(RM, {set_connection_status, <<\"eth0\">>, internet}).", "ok"),
        ("gen_server:call(RM, {set_route, wlan0, [{{192,168,2,50},24}], {192,168,2,1}}).", "ok"),
        ("element(1, gen_server:call(RM, {set_route, eth0, [{{1,2,3,4},33}], nil})).", "error"),
        ("element(1, gen_server:call(RM, dance)).", "error"),
        ("gen_server:call(RM, stop).", "{error,not_allowed}"),
        ("gen_server:call(RM, {get, [<<\"connection\">>]}).", "internet"),
        ("is_map(erpc:call(N, route_manager, status, [])).", "true"),
        ("element(1, rpc:call(N, route_manager, dance, [])).", "badrpc"),
        ("gen_server:cast(RM, {set_connection_status, wlan0, lan}).", "ok"),
    ]);
    let page = rig.page();
    for (request, outcome, number) in [
        ("set_route", "ok", 2.0),
        ("set_route", "badarg", 1.0),
        ("set_connection_status", "ok", 2.0),
        ("unknown", "unknown_request", 2.0),
        ("stop", "not_allowed", 1.0),
        ("get", "ok", 1.0),
        ("status", "ok", 1.0),
        ("clear_route", "ok", 0.0),
    ] {
        assert_eq!(page.calls(request, outcome), number, "{request} {outcome}: {page:#?}");
    }
    assert_eq!(page.of("beamroute_call_duration_seconds_count"), 10.0);
    let sum = page.of("beamroute_call_duration_seconds_sum");
    assert!(sum > 0.000_01 && sum < 5.0, "{sum}");
    assert_eq!([page.of("beamroute_connections"), page.of("beamroute_connections_total")], [1.0, 1.0]);
    rig.routes([10.0, 10.0, 0.0, 0.0]);
    assert!(page.of("beamroute_netlink_batches_total") >= 2.0, "{page:#?}");
    assert!(page.of("beamroute_netlink_changes_total") >= 10.0, "{page:#?}");
    assert_eq!(page.of("beamroute_netlink_batch_errors_total"), 0.0);
    assert_eq!(page.of("beamroute_interfaces"), 2.0);
}

#[test]
fn waiting_and_healing() {
    let Some(rig) = Rig::start(&[]) else { return };
    rig.beam.know(&rig.daemon);
    rig.beam.expect(&[
        ("gen_server:call(RM, {set_route, eth0, [{{192,168,1,50},24}], {192,168,1,1}}).", "ok"),
        ("gen_server:call(RM, {set_route, ppp0, [{{10,0,0,1},32}], {10,0,0,2}}).", "ok"),
    ]);
    // Of the interface that is not there, only the rule.
    rig.routes([10.0, 6.0, 4.0, 1.0]);
    assert_eq!(rig.page().of("beamroute_heals_total"), 0.0);
    // Somebody deletes a route of ours.
    rig.net.ip(&["route", "del", "default", "via", "192.168.1.1", "dev", "eth0"]);
    rig.becomes("beamroute_heals_total", 1.0);
    rig.routes([10.0, 6.0, 4.0, 1.0]);
    // A link goes and comes back.
    rig.net.ip(&["link", "set", "eth0", "down"]);
    rig.routes([10.0, 2.0, 8.0, 2.0]);
    rig.net.ip(&["link", "set", "eth0", "up"]);
    rig.routes([10.0, 6.0, 4.0, 1.0]);
    assert!(rig.page().of("beamroute_heals_total") >= 2.0);
    // What a caller asks for heals nothing.
    std::thread::sleep(Duration::from_millis(1500));
    let before = rig.page().of("beamroute_heals_total");
    rig.beam.expect(&[
        ("gen_server:call(RM, {clear_route, ppp0}).", "ok"),
        ("gen_server:call(RM, {set_route, eth0, [{{192,168,1,50},24}], nil}).", "ok"),
    ]);
    rig.routes([3.0, 3.0, 0.0, 0.0]);
    assert_eq!(rig.page().of("beamroute_heals_total"), before);
    // IPv6, with the kernel's own on-link route.
    rig.net.ip(&["addr", "add", "2001:db8::5/64", "dev", "eth0", "nodad"]);
    rig.beam.ok(
        "gen_server:call(RM, {set_route, eth0, [{{16#2001,16#db8,0,0,0,0,0,5},64}], {16#2001,16#db8,0,0,0,0,0,1}}).",
    );
    rig.routes([5.0, 5.0, 0.0, 0.0]);
    // A gateway that the kernel refuses.
    let before = rig.page().of("beamroute_netlink_refusals_total");
    rig.beam.ok("gen_server:call(RM, {set_route, eth0, [{{192,168,1,50},24}], {203,0,113,1}}).");
    rig.routes([5.0, 5.0, 0.0, 0.0]);
    assert_eq!(rig.page().of("beamroute_netlink_refusals_total"), before);
}

#[test]
fn those_who_do_not_come_in_and_those_who_fall_silent() {
    let Some(rig) = Rig::start(&["--net-ticktime", "2"]) else { return };
    let mut liar = Raw::dial(&rig.daemon, "liar@127.0.0.1");
    assert_eq!(liar.send_name(FLAGS), "ok");
    assert!(liar.prove("wrong").is_err());
    rig.becomes("beamroute_handshakes_refused_total", 1.0);
    drop(connect(rig.daemon.port));
    rig.becomes("beamroute_handshakes_refused_total", 2.0);
    // It says nothing more, and does not tick.
    let silent = Raw::connect(&rig.daemon, "silent@127.0.0.1");
    rig.becomes("beamroute_connections", 1.0);
    rig.becomes("beamroute_ticks_missed_total", 1.0);
    rig.becomes("beamroute_connections", 0.0);
    assert_eq!(rig.page().of("beamroute_connections_total"), 1.0);
    drop(silent);
    rig.beam.know(&rig.daemon);
    rig.beam.expect(&[("net_adm:ping(N).", "pong"), ("erlang:disconnect_node(N).", "true")]);
    rig.becomes("beamroute_connections_total", 2.0);
    rig.becomes("beamroute_connections", 0.0);
    assert_eq!(rig.page().of("beamroute_ticks_missed_total"), 1.0);
}

#[test]
fn the_page_has_what_the_table_has_and_the_process() {
    let Some(rig) = Rig::start(&[]) else { return };
    let page = rig.page();
    let expected: BTreeSet<String> = TABLE
        .iter()
        .flat_map(|metric| match metric.kind {
            Kind::Histogram => ["_bucket", "_count", "_sum"].map(|part| format!("{}{part}", metric.name)).to_vec(),
            _ => vec![metric.name.to_owned()],
        })
        .collect();
    assert_eq!(page.names(), expected);
    let status = std::fs::read_to_string(format!("/proc/{}/status", rig.daemon.pid)).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    let resident: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    let told = page.of("process_resident_memory_bytes") / 1024.0;
    assert!((told - resident).abs() < resident / 10.0, "{told} KiB, {resident} KiB");
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
    let age = now - page.of("process_start_time_seconds");
    assert!((0.0..60.0).contains(&age), "{age}");
    let open = f64::from(u32::try_from(rig.daemon.open_files()).unwrap());
    // The one that asks is among those of the page.
    assert!((page.of("process_open_fds") - open).abs() <= 2.0, "{} {open}", page.of("process_open_fds"));
    assert!(page.of("process_cpu_seconds_total") > 0.0);
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Where it is not, the reader of this test must do.
    if std::env::split_paths(&path).any(|dir| dir.join("promtool").is_file()) {
        let reply = exchange(rig.port, "GET /metrics HTTP/1.1\r\n\r\n");
        let mut promtool = Command::new("promtool");
        promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut promtool = promtool.spawn().unwrap();
        promtool.stdin.take().unwrap().write_all(reply.body.as_bytes()).unwrap();
        let out = promtool.wait_with_output().unwrap();
        let said = [out.stdout, out.stderr].concat();
        assert!(out.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
    }
}

#[test]
fn requests_of_other_kinds() {
    let Some(rig) = Rig::start(&[]) else { return };
    for (head, status) in [
        ("GET / HTTP/1.1\r\n\r\n", "404 Not Found"),
        ("GET /metric HTTP/1.1\r\n\r\n", "404 Not Found"),
        ("POST /metrics HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", "405 Method Not Allowed"),
        ("nonsense\r\n\r\n", "400 Bad Request"),
        ("GET /metrics HTTP/1.0\r\n\r\n", "200 OK"),
        ("GET /metrics?x HTTP/1.1\r\nHost: h\r\n\r\n", "200 OK"),
    ] {
        assert_eq!(exchange(rig.port, head).status, status, "{head:?}");
    }
    let refused = exchange(rig.port, "DELETE /metrics HTTP/1.1\r\n\r\n");
    assert_eq!(refused.headers["allow"], "GET, HEAD");
    let head = exchange(rig.port, "HEAD /metrics HTTP/1.1\r\n\r\n");
    assert_eq!((head.status.as_str(), head.body.as_str()), ("200 OK", ""));
    assert!(head.headers["content-length"].parse::<usize>().unwrap() > 1000);
    let long = format!("GET /metrics HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(9000));
    assert_eq!(exchange(rig.port, &long).status, "431 Request Header Fields Too Large");
    // In pieces.
    let mut slow = connect(rig.port);
    for piece in ["GET /met", "rics HTTP/1.1\r\n", "\r", "\n"] {
        slow.write_all(piece.as_bytes()).unwrap();
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(read(&mut slow).status, "200 OK");
}

#[test]
fn nobody_holds_it_up() {
    let Some(rig) = Rig::start(&[]) else { return };
    rig.beam.know(&rig.daemon);
    rig.beam.expect(&[("net_adm:ping(N).", "pong")]);
    let files = rig.daemon.open_files();
    let began = Instant::now();
    // Those who say nothing, those who stop in the middle, and those who do not read.
    let mut held: Vec<_> = (0..60).map(|_| connect(rig.port)).collect();
    for (number, stream) in held.iter_mut().enumerate() {
        let request = ["", "GET /metrics HTTP/1.1\r\n", "GET /metrics HTTP/1.1\r\n\r\n"][number % 3];
        // The oldest have been ended.
        let _ = stream.write_all(request.as_bytes());
    }
    let page = rig.page();
    assert!(began.elapsed() < Duration::from_secs(4), "they were waited for");
    assert!(page.of("process_open_fds") < f64::from(u32::try_from(files).unwrap()) + 30.0, "{page:#?}");
    rig.beam.expect(&[("gen_server:call(RM, {set_route, eth0, [{{192,168,1,50},24}], nil}).", "ok")]);
    // Those who are left have their time.
    let mut last = held.pop().unwrap();
    let mut rest = Vec::new();
    let _ = last.read_to_end(&mut rest);
    eventually("all is let go", || rig.daemon.open_files() <= files);
    assert!(began.elapsed() < Duration::from_secs(15));
}

#[test]
fn a_port_that_is_taken_is_said() {
    let Some(net) = Netns::two_interfaces() else { return };
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let port = port::free().to_string();
    let options =
        Daemon::options(&Place::free()).netns(&net).epmd("none").flags(&["--port", &port, "--metrics", &address]);
    let Err(log) = options.try_start() else { panic!("it has started") };
    let expected = format!(
        "metrics: cannot listen on {address}: Address already in use (os error 98); choose another address or port with --metrics"
    );
    assert!(log.contains(&expected), "{log}");
}

#[test]
fn off_unless_asked_for() {
    let Some(net) = Netns::two_interfaces() else { return };
    let port = port::free().to_string();
    let daemon = Daemon::options(&Place::free()).netns(&net).epmd("none").flags(&["--port", &port]).start();
    // The node's own port, and the socket of the claim, which is no TCP.
    let sockets = std::fs::read_dir(format!("/proc/{}/fd", daemon.pid)).unwrap();
    let inodes: BTreeSet<String> = sockets
        .filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok())
        .filter_map(|link| Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
        .collect();
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let ports: Vec<u16> = table
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|words| words[3] == "0A" && inodes.contains(words[9]))
        .map(|words| u16::from_str_radix(words[1].split_once(':').unwrap().1, 16).unwrap())
        .collect();
    assert_eq!(ports, [daemon.port]);
}
