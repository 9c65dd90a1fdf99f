//! Our port mapper and our registration against OTP's: a real `epmd`, real `erl` nodes, and hostile bytes.

// clippy.toml lets test functions do this; their helpers are meant as well.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

#[path = "support/port.rs"]
mod port;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use beamroute::epmd::Limits;
use beamroute::epmd::codec::{Reply, Request};
use beamroute::epmd::server::{Server, Serving};
use beamroute::epmd::{Epmd, EpmdConfig, EpmdError, EpmdHandle, EpmdMode, EpmdState, NodeEntry, local_epmd, lookup};

/// Whether these programs can be run; says so when not, and fails under `BEAMROUTE_NO_SKIP=1`.
fn have(programs: &[&str]) -> bool {
    for program in programs {
        let found = std::env::var_os("PATH")
            .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).is_file()));
        if !found {
            assert!(std::env::var("BEAMROUTE_NO_SKIP").as_deref() != Ok("1"), "{program} is missing");
            eprintln!("SKIPPED: {program} is not installed");
            return false;
        }
    }
    true
}

/// A child process that does not outlive the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn epmd(port: u16) -> Running {
    let child = Command::new("epmd").args(["-port", &port.to_string()]).stderr(Stdio::null()).spawn().unwrap();
    let running = Running(child);
    let deadline = Instant::now() + Duration::from_secs(10);
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        assert!(Instant::now() < deadline, "epmd does not come up");
        std::thread::sleep(Duration::from_millis(20));
    }
    running
}

/// What `epmd -names` prints; through another thread, so that a mapper of ours can answer meanwhile.
async fn names_by_epmd(port: u16) -> String {
    tokio::task::spawn_blocking(move || {
        let out = Command::new("epmd").args(["-port", &port.to_string(), "-names"]).output().unwrap();
        String::from_utf8_lossy(&out.stdout).into_owned()
    })
    .await
    .unwrap()
}

fn config(mode: EpmdMode, port: u16) -> EpmdConfig {
    EpmdConfig { mode, addresses: Vec::new(), port, limits: Limits::default() }
}

async fn until(handle: &mut EpmdHandle, state: EpmdState) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(15);
    while handle.state() != state {
        tokio::time::timeout_at(deadline, handle.changed())
            .await
            .unwrap_or_else(|_| panic!("stays {:?}, not {state:?}", handle.state()));
    }
}

async fn raw(port: u16, bytes: &[u8]) -> Vec<u8> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut socket = tokio::net::TcpStream::connect(local_epmd(port)).await.unwrap();
    socket.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(5), socket.read_to_end(&mut answer)).await.expect("no end");
    answer
}

fn embedded() -> Serving {
    Server::bind(&[], 0).unwrap().serve()
}

#[tokio::test]
async fn a_real_epmd_lists_us_and_finds_us_again_after_its_restart() {
    if !have(&["epmd"]) {
        return;
    }
    let port = port::free();
    let first = epmd(port);
    let mut handle = Epmd::start(config(EpmdMode::Auto, port), "kept", 4711).await.unwrap();
    assert_eq!(handle.state(), EpmdState::Registered);
    let creation = handle.creation(Duration::ZERO).await;
    assert!(creation >= 4);
    assert!(names_by_epmd(port).await.contains("name kept at port 4711\n"));
    let entry = lookup(local_epmd(port), "kept").await.unwrap().unwrap();
    assert_eq!((entry.port, u8::from(entry.node_type), entry.highest_version, entry.lowest_version), (4711, 77, 6, 6));
    assert_eq!(lookup(local_epmd(port), "nobody").await.unwrap(), None);

    drop(first);
    until(&mut handle, EpmdState::Waiting).await;
    let second = epmd(port);
    until(&mut handle, EpmdState::Registered).await;
    assert!(names_by_epmd(port).await.contains("name kept at port 4711\n"));
    assert_eq!(handle.creation(Duration::ZERO).await, creation, "later creations are ignored");

    handle.stop().await;
    let deadline = Instant::now() + Duration::from_secs(5);
    while names_by_epmd(port).await.contains("kept") {
        assert!(Instant::now() < deadline, "still registered after stop");
    }
    drop(second);
}

#[tokio::test]
async fn a_name_that_is_taken_is_refused_with_a_sentence() {
    if !have(&["epmd"]) {
        return;
    }
    let port = port::free();
    let _epmd = epmd(port);
    let first = Epmd::start(config(EpmdMode::External, port), "twice", 1).await.unwrap();
    let error = Epmd::start(config(EpmdMode::Auto, port), "twice", 2).await.unwrap_err();
    assert!(matches!(error, EpmdError::NameTaken { .. }));
    assert!(error.to_string().starts_with("the name twice is taken: another node of that name is running"), "{error}");
    first.stop().await;
    let again = Epmd::start(config(EpmdMode::Auto, port), "twice", 2).await.unwrap();
    assert_eq!(again.state(), EpmdState::Registered);
}

#[tokio::test]
async fn the_same_with_our_own_mapper() {
    let port = port::free();
    let first = Epmd::start(config(EpmdMode::Auto, port), "twice", 1).await.unwrap();
    assert_eq!(first.state(), EpmdState::Serving);
    let error = Epmd::start(config(EpmdMode::External, port), "twice", 2).await.unwrap_err();
    assert!(matches!(error, EpmdError::NameTaken { .. }), "{error}");
    let error = Epmd::start(config(EpmdMode::Embedded, port), "other", 2).await.unwrap_err();
    assert!(error.to_string().contains("an epmd runs already? `--epmd auto` uses it"), "{error}");
    first.stop().await;
    let embedded = Epmd::start(config(EpmdMode::Embedded, port), "other", 2).await.unwrap();
    assert_eq!(embedded.state(), EpmdState::Serving);
}

#[tokio::test]
async fn external_waits_and_none_does_nothing() {
    let port = port::free();
    let begun = Instant::now();
    let mut waiting = Epmd::start(config(EpmdMode::External, port), "patient", 1).await.unwrap();
    assert_eq!(waiting.state(), EpmdState::Waiting);
    assert!(begun.elapsed() < Duration::from_secs(1), "a refusal is a decision; nothing to wait for");
    assert_eq!(waiting.first_creation(Duration::from_millis(50)).await, None);
    let creation = waiting.creation(Duration::ZERO).await;
    assert!(creation >= 4);
    let server = Server::bind(&[], port).unwrap().serve();
    until(&mut waiting, EpmdState::Registered).await;
    assert_eq!(lookup(local_epmd(port), "patient").await.unwrap().map(|e| e.port), Some(1));
    waiting.stop().await;
    server.stop().await;

    let mut none = Epmd::start(config(EpmdMode::None, port), "alone", 1).await.unwrap();
    assert_eq!(none.state(), EpmdState::Disabled);
    assert!(none.creation(Duration::from_secs(3600)).await >= 4, "at random, at once");
    assert!(TcpStream::connect(local_epmd(port)).is_err());
    none.stop().await;
}

#[tokio::test]
async fn when_the_mapper_goes_one_of_the_others_serves() {
    let port = port::free();
    let first = Epmd::start(config(EpmdMode::Auto, port), "first", 1).await.unwrap();
    assert_eq!(first.state(), EpmdState::Serving);
    let mut others = Vec::new();
    for name in ["second", "third"] {
        let other = Epmd::start(config(EpmdMode::Auto, port), name, 2).await.unwrap();
        assert_eq!(other.state(), EpmdState::Registered);
        others.push(other);
    }
    first.stop().await;
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let mut states: Vec<EpmdState> = others.iter().map(EpmdHandle::state).collect();
        states.sort_by_key(|state| *state == EpmdState::Serving);
        if states == [EpmdState::Registered, EpmdState::Serving] {
            break;
        }
        assert!(Instant::now() < deadline, "{states:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for name in ["second", "third"] {
        assert_eq!(lookup(local_epmd(port), name).await.unwrap().map(|e| e.port), Some(2));
    }
}

#[tokio::test]
async fn a_silent_listener_holds_nobody_up() {
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = silent.local_addr().unwrap().port();
    let begun = Instant::now();
    let mut handle = Epmd::start(config(EpmdMode::Auto, port), "n", 1).await.unwrap();
    assert_eq!(handle.state(), EpmdState::Waiting);
    assert_eq!(handle.first_creation(Duration::ZERO).await, None);
    assert!(begun.elapsed() < Duration::from_secs(5));
    handle.stop().await;
    assert!(begun.elapsed() < Duration::from_secs(5), "stopping does not wait for an answer either");
}

#[tokio::test]
async fn a_mapper_that_talks_without_end_is_cut_off() {
    let babbling = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let epmd = babbling.local_addr().unwrap();
    std::thread::spawn(move || {
        while let Ok((mut socket, _)) = babbling.accept() {
            let line = b"name a at port 1\n".repeat(4096);
            let _ = socket.write_all(&[0, 0, 0x11, 0x11]);
            while socket.write_all(&line).is_ok() {}
        }
    });
    let begun = Instant::now();
    let _ = beamroute::epmd::names(epmd).await;
    assert!(begun.elapsed() < Duration::from_secs(8), "ended by the size, not by the time");
}

#[tokio::test]
async fn the_epmd_program_reads_our_mapper() {
    if !have(&["epmd"]) {
        return;
    }
    let serving = embedded();
    let port = serving.port;
    let _kept = Epmd::start(config(EpmdMode::External, port), "ours", 4712).await.unwrap();
    let names = names_by_epmd(port).await;
    assert_eq!(names, format!("epmd: up and running on port {port} with data:\nname ours at port 4712\n"));
    // A second mapper finds the port in use and leaves; asked to kill ours, the program has no success.
    for argument in ["-daemon", "-kill"] {
        let run = move || Command::new("epmd").args(["-port", &port.to_string(), argument]).output().unwrap();
        tokio::task::spawn_blocking(run).await.unwrap();
    }
    assert!(names_by_epmd(port).await.contains("name ours at port 4712\n"));
}

#[tokio::test]
async fn two_erlang_nodes_find_each_other_through_our_mapper() {
    if !have(&["erl"]) {
        return;
    }
    let port = port::free();
    let mapper = Epmd::start(config(EpmdMode::Auto, port), "beside", 4713).await.unwrap();
    assert_eq!(mapper.state(), EpmdState::Serving);
    let erl = move |name: &str, eval: &str| {
        Command::new("erl")
            .args(["-noinput", "-sname", name, "-setcookie", "epmdtest", "-start_epmd", "false", "-eval", eval])
            .env("ERL_EPMD_PORT", port.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let _one = Running(erl("one", "receive stop -> ok end."));
    let deadline = Instant::now() + Duration::from_secs(30);
    while lookup(local_epmd(port), "one").await.unwrap().is_none() {
        assert!(Instant::now() < deadline, "the first node does not register");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let eval = "[_, Host] = string:split(atom_to_list(node()), \"@\"), \
                io:format(\"~p ~p ~p~n\", [net_adm:ping(list_to_atom(\"one@\" ++ Host)), \
                                         element(2, net_adm:names()), \
                                         erlang:system_info(creation) >= 4]), halt().";
    let two = erl("two", eval);
    let out = tokio::task::spawn_blocking(move || two.wait_with_output().unwrap()).await.unwrap();
    let said = String::from_utf8_lossy(&out.stdout);
    let errors = String::from_utf8_lossy(&out.stderr);
    assert!(said.starts_with("pong ") && said.trim_end().ends_with("true"), "{said}{errors}");
    for name in ["\"beside\",4713", "\"one\",", "\"two\","] {
        assert!(said.contains(name), "{said}{errors}");
    }
    // The node that has ended is forgotten, the other is not.
    let deadline = Instant::now() + Duration::from_secs(10);
    while lookup(local_epmd(port), "two").await.unwrap().is_some() {
        assert!(Instant::now() < deadline, "the ended node stays registered");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(lookup(local_epmd(port), "one").await.unwrap().is_some());
    mapper.stop().await;
}

#[tokio::test]
async fn hostile_bytes_are_closed_upon_and_harm_nobody() {
    let serving = embedded();
    let port = serving.port;
    let _kept = Epmd::start(config(EpmdMode::External, port), "kept", 7).await.unwrap();
    let huge = [&[0x0b, 0xf1][..], &[b'z'; 3057]].concat();
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("no body", vec![0, 0]),
        ("one byte too long", vec![0x0b, 0xf2, b'n']),
        ("as long as can be", vec![0xff; 70_000]),
        ("unknown op", b"\x00\x01q".to_vec()),
        ("surplus", b"\x00\x01n\x00\x01n".to_vec()),
        ("longest body, no name", huge),
        ("kill", b"\x00\x01k".to_vec()),
        ("stop", b"\x00\x05skept".to_vec()),
        ("NUL in a name", b"\x00\x10x\x10\x00M\x00\x00\x06\x00\x05\x00\x03a\0b\x00\x00".to_vec()),
        ("line end in a name", b"\x00\x10x\x10\x00M\x00\x00\x06\x00\x05\x00\x03a\nb\x00\x00".to_vec()),
        ("HTTP", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
    ];
    for (what, bytes) in cases {
        // What is closed with bytes unread may end in a reset: no answer either way.
        assert_eq!(raw(port, &bytes).await, b"", "{what}");
    }
    assert_eq!(raw(port, &Request::Port2("nope".into()).encode().unwrap()).await, [119, 1]);
    let dump = raw(port, &Request::Dump.encode().unwrap()).await;
    let Some(Reply::Listing { text, .. }) = Reply::decode(&dump, true).unwrap() else { panic!() };
    assert!(text.starts_with("active name     <kept> at port 7, fd = "), "{text}");
    // A request cut off in the middle, then the end.
    let mut cut = TcpStream::connect(local_epmd(port)).unwrap();
    cut.write_all(b"\x00\x05zk").unwrap();
    drop(cut);
    assert_eq!(beamroute::epmd::names(local_epmd(port)).await.unwrap(), [("kept".to_owned(), 7)]);
}

#[tokio::test]
async fn a_registration_ends_with_its_connection_or_with_a_word_on_it() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let serving = embedded();
    let epmd = local_epmd(serving.port);
    let alive = Request::Alive2(NodeEntry::new("n", 9)).encode().unwrap();
    let mut creations = Vec::new();
    for ending in [&b""[..], b"!"] {
        let mut socket = tokio::net::TcpStream::connect(epmd).await.unwrap();
        for byte in &alive {
            socket.write_all(&[*byte]).await.unwrap();
        }
        let mut answer = [0; 6];
        socket.read_exact(&mut answer).await.unwrap();
        let Some(Reply::Alive2X { result: 0, creation }) = Reply::decode(&answer, false).unwrap() else { panic!() };
        creations.push(creation);
        let refused = raw(serving.port, &alive).await;
        assert_eq!(Reply::decode(&refused, true), Ok(Some(Reply::Alive2X { result: 1, creation: 99 })));
        if ending.is_empty() {
            drop(socket);
        } else {
            socket.write_all(ending).await.unwrap();
            assert_eq!(socket.read(&mut answer).await.unwrap_or(0), 0, "closed");
        }
        let deadline = Instant::now() + Duration::from_secs(5);
        while lookup(epmd, "n").await.unwrap().is_some() {
            assert!(Instant::now() < deadline, "still there");
        }
    }
    assert_ne!(creations[0], creations[1]);
}

#[tokio::test]
async fn floods_push_out_only_the_silent() {
    let serving = embedded();
    let port = serving.port;
    let epmd: SocketAddr = local_epmd(port);
    let kept = Epmd::start(config(EpmdMode::External, port), "kept", 7).await.unwrap();
    // Half-open connections, some with half a request.
    let mut silent = Vec::new();
    for n in 0..Limits::default().seats * 4 {
        let mut socket = tokio::net::TcpStream::connect(epmd).await.unwrap();
        if n % 2 == 0 {
            tokio::io::AsyncWriteExt::write_all(&mut socket, b"\x00\x10x").await.unwrap();
        }
        silent.push(socket);
    }
    assert_eq!(lookup(epmd, "kept").await.unwrap().map(|e| e.port), Some(7));
    assert_eq!(kept.state(), EpmdState::Registered);
    let open = silent
        .iter()
        .filter(|socket| matches!(socket.try_read(&mut [0; 8]), Err(e) if e.kind() == std::io::ErrorKind::WouldBlock))
        .count();
    assert!(open <= Limits::default().seats, "{open} silent connections are still open");
    drop(silent);

    // More names than fit: the surplus is refused, the others stay.
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut held = Vec::new();
    let mut refused = 0;
    for n in 0..Limits::default().names + 3 {
        let mut socket = tokio::net::TcpStream::connect(epmd).await.unwrap();
        let alive = Request::Alive2(NodeEntry::new(&format!("n{n}"), 1)).encode().unwrap();
        socket.write_all(&alive).await.unwrap();
        let mut answer = [0; 6];
        socket.read_exact(&mut answer).await.unwrap();
        refused += usize::from(answer[1] != 0);
        held.push(socket);
    }
    assert_eq!(refused, 4, "one seat is held by `kept`");
    assert_eq!(lookup(epmd, "kept").await.unwrap().map(|e| e.port), Some(7));
    assert_eq!(beamroute::epmd::names(epmd).await.unwrap().len(), Limits::default().names);
    serving.stop().await;
    let mut byte = [0];
    assert_eq!(held[0].read(&mut byte).await.unwrap_or(0), 0, "stopping closes what is held");
}

#[tokio::test]
async fn only_this_machine_registers() {
    // The own non-loopback address counts as this machine; there may be none in a bare namespace.
    let probe = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    let own = probe.connect("192.0.2.1:9").ok().and_then(|()| probe.local_addr().ok()).map(|a| a.ip());
    let Some(own) = own.filter(|ip| !ip.is_loopback()) else {
        eprintln!("SKIPPED: this machine has no address besides loopback");
        return;
    };
    let serving = Server::bind(&[own], 0).unwrap().serve();
    let alive = Request::Alive2(NodeEntry::new("own", 9)).encode().unwrap();
    let port = serving.port;
    let answer = tokio::task::spawn_blocking(move || {
        let mut socket = TcpStream::connect((own, port)).unwrap();
        socket.write_all(&alive).unwrap();
        let mut answer = [0; 6];
        socket.read_exact(&mut answer).unwrap();
        answer
    })
    .await
    .unwrap();
    assert_eq!(answer[..2], [118, 0]);
}
