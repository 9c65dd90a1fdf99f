//! What subscribers hear, and in what order (m); the reasons of nodedown, here and at BEAMs; letters as in
//! `net_kernel.rs`.

use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::net_kernel::{fresh_name, hears, rig, subscribe};
use crate::support::raw::{FLAGS, Raw};
use crate::support::{Beam, Daemon, Epmd, Netns, Talk, serial};

/// A BEAM whose net_ticktime is 4 s.
fn quick(epmd: &Epmd, daemon: &Daemon) -> Option<Beam> {
    let name = format!("quick{}x{}@127.0.0.1", std::process::id(), serial());
    let beam = Beam::named(&epmd.place(), &daemon.cookie, "-name", &name, &["-kernel", "net_ticktime", "4"])?;
    beam.know(daemon);
    Some(beam)
}

fn pid_of(beam: &Beam) -> Pid {
    Pid::from_raw(beam.ok("list_to_integer(os:getpid()).").parse().unwrap())
}

/// A newcomer's first message may come with the end of its handshake. Here it has another node disconnected: the same
/// subscriber hears that too.
#[test]
fn m7_nodeup_is_heard_before_what_the_newcomer_does() {
    let Some(rig) = rig(&["--admin", "all"]) else { return };
    subscribe(&rig.beam, "[{node_type, all}]");
    for round in 0..100 {
        let (newcomer, victim) = (format!("new{round}@127.0.0.1"), format!("victim{round}@127.0.0.1"));
        let _victim = Raw::connect(&rig.daemon, &victim);
        hears(&rig.beam, &format!("{{nodeup,'{victim}',[{{node_type,hidden}}]}}"));
        let mut raw = Raw::dial(&rig.daemon, &newcomer);
        assert_eq!(raw.send_name(FLAGS), "ok");
        let pid = raw.pid(1);
        let call = crate::support::talk::spoken(
            &format!("{{6, Me, '', rex}} {{Me, {{call, erlang, disconnect_node, ['{victim}'], Me}}}}"),
            &[("Me", &pid)],
        );
        assert!(raw.prove_and_send(&rig.daemon.cookie, &call).unwrap());
        hears(&rig.beam, &format!("{{nodeup,'{newcomer}',[{{node_type,hidden}}]}}"));
        hears(&rig.beam, &format!("{{nodedown,'{victim}',[{{node_type,hidden}}]}}"));
        drop(raw);
        hears(&rig.beam, &format!("{{nodedown,'{newcomer}',[{{node_type,hidden}}]}}"));
    }
}

#[test]
fn m8_nodedown_is_heard_after_all_that_the_node_had_said() {
    let Some(rig) = rig(&[]) else { return };
    subscribe(&rig.beam, "[{node_type, all}]");
    for round in 0..50 {
        let name = format!("last{round}@127.0.0.1");
        let mut raw = Raw::connect(&rig.daemon, &name);
        let pid = raw.pid(1);
        let cast = |status: &str| {
            let text =
                format!("{{6, Me, '', route_manager}} {{'$gen_cast', {{set_connection_status, eth0, {status}}}}}");
            crate::support::talk::spoken(&text, &[("Me", &pid)])
        };
        // Hundreds of messages and the end of the connection, in one write.
        let last = if round % 2 == 0 { "internet" } else { "lan" };
        let mut bytes = cast("disconnected").repeat(400);
        bytes.extend(cast(last));
        raw.send(&bytes);
        drop(raw);
        hears(&rig.beam, &format!("{{nodeup,'{name}',[{{node_type,hidden}}]}}"));
        // Asked in the moment that nodedown is heard.
        rig.beam.expect(&[(
            &format!(
                "{{nodedown, '{name}', _}} = driver:await(5000), gen_server:call(RM, {{get, [<<\"connection\">>]}})."
            ),
            last,
        )]);
    }
}

#[test]
fn m9_nodes_is_right_in_the_moment_of_the_news() {
    let Some(rig) = rig(&[]) else { return };
    rig.beam.expect(&[
        ("Node = 'm9@127.0.0.1', Connected = fun() -> lists:member(Node, rpc:call(N, erlang, nodes, [connected])) end, ok.", "ok"),
        ("Self = self(), Watch = fun Watch(0) -> Self ! done; Watch(K) -> receive {nodeup, Node, _} -> Self ! {up, Connected()}; \
           {nodedown, Node, _} -> Self ! {down, Connected()} end, Watch(K - 1) end, ok.", "ok"),
        ("spawn(fun() -> ok = gen_server:call({net_kernel, N}, {monitor_nodes, true, [{node_type, all}]}), Self ! ready, Watch(100) end), driver:await(5000).", "ready"),
    ]);
    for _ in 0..50 {
        let raw = Raw::connect(&rig.daemon, "m9@127.0.0.1");
        hears(&rig.beam, "{up,true}");
        drop(raw);
        hears(&rig.beam, "{down,false}");
    }
    hears(&rig.beam, "done");
}

#[test]
fn m3_m4_visible_hidden_or_all_and_each_as_often_as_asked() {
    let Some(rig) = rig(&[]) else { return };
    let change = |flag: bool, options: &str| {
        let call = format!("gen_server:call({{net_kernel, N}}, {{monitor_nodes, {flag}, {options}}}).");
        rig.beam.expect(&[(&call, "ok")]);
    };
    rig.beam.expect(&[("gen_server:call({net_kernel, N}, {monitor_nodes, true}).", "ok")]);
    change(true, "[{node_type, visible}]");
    change(true, "[{node_type, hidden}]");
    change(true, "[nodedown_reason, {node_type, all}]");
    change(true, "[{node_type, all}, nodedown_reason]");
    let news = |flags: u64| {
        drop(Raw::connect_with(&rig.daemon, "m3@127.0.0.1", flags));
        // All of one connection, in the order of the words.
        rig.beam
            .ok("lists:sort(fun Collect() -> case driver:await(400) of timeout -> []; M -> [M | Collect()] end end()).")
    };
    let all = |kind: &str, reason: &str| format!("[{reason}{{node_type,{kind}}}]");
    let hidden = all("hidden", "");
    let down = |kind: &str| all(kind, "{nodedown_reason,connection_closed},");
    assert_eq!(
        news(FLAGS),
        format!(
            "[{{nodedown,'m3@127.0.0.1',{1}}},{{nodedown,'m3@127.0.0.1',{0}}},{{nodedown,'m3@127.0.0.1',{0}}},\
             {{nodeup,'m3@127.0.0.1',{1}}},{{nodeup,'m3@127.0.0.1',{1}}},{{nodeup,'m3@127.0.0.1',{1}}}]",
            down("hidden"),
            hidden
        )
    );
    // Published on its side alone, it is as hidden as the other.
    assert_eq!(news(FLAGS | 1), news(FLAGS));
    // One false ends both copies of one option set, and no other.
    change(false, "[nodedown_reason, {node_type, all}]");
    assert_eq!(news(FLAGS), format!("[{{nodedown,'m3@127.0.0.1',{hidden}}},{{nodeup,'m3@127.0.0.1',{hidden}}}]"));
    change(false, "[nodedown_reason, {node_type, all}]");
}

#[test]
fn m10_hundreds_of_fast_reconnects_alternate_for_every_subscriber() {
    let Some(rig) = rig(&[]) else { return };
    let Some(other) = Beam::start(&rig.epmd.place(), &rig.daemon.cookie) else { return };
    other.know(&rig.daemon);
    // One is up already: its first news is a nodedown.
    let mut here = Raw::connect(&rig.daemon, "early@127.0.0.1");
    subscribe(&rig.beam, "[{node_type, all}]");
    subscribe(&other, "#{node_type => hidden, nodedown_reason => true}");
    for round in 0..300 {
        let name = if round % 3 == 0 { "early@127.0.0.1" } else { "late@127.0.0.1" };
        // At times it dials again before it has hung up, at times at once after, at times after a refusal.
        let next = match round % 5 {
            0 => {
                drop(here);
                Raw::connect_with(&rig.daemon, name, FLAGS)
            }
            1 => {
                let mut wrong = Raw::dial(&rig.daemon, name);
                let _ = wrong.send_name(FLAGS);
                drop(wrong);
                retry(&rig.daemon, name)
            }
            _ => retry(&rig.daemon, name),
        };
        here = next;
    }
    drop(here);
    for beam in [&rig.beam, &other] {
        beam.holds(&[
            "Heard = fun Collect() -> case driver:await(1000) of timeout -> []; M -> [M | Collect()] end end(), true.",
            "length(Heard) > 400 orelse length(Heard).",
            "Kinds = fun(Node) -> [element(1, M) || M <- Heard, element(2, M) =:= Node] end, true.",
            "Alternate = fun A([X, X | _]) -> {twice, X}; A([_ | T]) -> A(T); A([]) -> true end, true.",
            "Alternate(Kinds('early@127.0.0.1')).",
            "Alternate(Kinds('late@127.0.0.1')).",
            "{hd(Kinds('early@127.0.0.1')), hd(Kinds('late@127.0.0.1'))} =:= {nodedown, nodeup}.",
            "{lists:last(Kinds('early@127.0.0.1')), lists:last(Kinds('late@127.0.0.1'))} =:= {nodedown, nodedown}.",
        ]);
    }
}

/// Connects, also while an earlier attempt under the name is still being forgotten.
fn retry(daemon: &Daemon, name: &str) -> Raw {
    let end = Instant::now() + Duration::from_secs(10);
    while Instant::now() < end {
        let mut raw = Raw::dial(daemon, name);
        raw.send_message(&crate::support::raw::name_message(name, FLAGS));
        let Ok(status) = raw.receive_message() else { continue };
        if status == b"salive" {
            raw.send_message(b"strue");
        }
        if raw.prove(&daemon.cookie).is_ok() {
            return raw;
        }
    }
    panic!("{name} does not get in")
}

#[test]
fn m11_no_failed_setup_is_told() {
    let Some(rig) = rig(&["--admin", "all"]) else { return };
    subscribe(&rig.beam, "[{node_type, all}]");
    let mut wrong = Raw::dial(&rig.daemon, "m11@127.0.0.1");
    assert_eq!(wrong.send_name(FLAGS), "ok");
    assert!(wrong.prove("wrong").is_err());
    let mut lacking = Raw::dial(&rig.daemon, "m11@127.0.0.1");
    assert_eq!(lacking.send_name(0), "not_allowed");
    let mut gone = Raw::dial(&rig.daemon, "m11@127.0.0.1");
    assert_eq!(gone.send_name(FLAGS), "ok");
    drop(gone);
    let Some(stranger) = Beam::start(&rig.epmd.place(), "anothercookie") else { return };
    stranger.know(&rig.daemon);
    stranger.expect(&[("net_adm:ping(N).", "pang")]);
    rig.beam.expect(&[
        (&format!("C(connect_node, ['{}']).", stranger.node), "false"),
        ("C(connect_node, ['nobody@127.0.0.1']).", "false"),
        ("C(connect_node, ['x@no-such-host.invalid']).", "false"),
        ("driver:await(300).", "timeout"),
    ]);
}

#[test]
fn c8_a_third_node_hears_down_and_up_when_a_dead_connection_is_replaced() {
    let Some(rig) = rig(&[]) else { return };
    subscribe(&rig.beam, "[{node_type, all}, nodedown_reason, connection_id]");
    let name = fresh_name();
    let mut old = Raw::connect(&rig.daemon, &name);
    let mut new = Raw::dial(&rig.daemon, &name);
    assert_eq!(new.send_name(FLAGS), "alive");
    new.send_message(b"strue");
    rig.beam.holds(&[
        &format!("{{nodeup, '{name}', [{{connection_id, Old}}, _]}} = driver:await(5000), is_integer(Old)."),
        "driver:await(100) =:= timeout.",
    ]);
    assert!(new.prove(&rig.daemon.cookie).unwrap());
    rig.beam.holds(&[
        &format!(
            "{{nodedown, '{name}', Down}} = driver:await(5000), \
             lists:sort(Down) =:= [{{connection_id, Old}}, {{node_type, hidden}}, {{nodedown_reason, wait_pending}}]."
        ),
        &format!("{{nodeup, '{name}', [{{connection_id, New}}, _]}} = driver:await(5000), New =/= Old."),
        "driver:await(100) =:= timeout.",
    ]);
    assert!(old.is_closed_within(Duration::from_secs(5)));
    new.send(&new.status_call());
    assert!(!new.receive_frame().unwrap().is_empty());
}

/// The table of reasons, as a subscriber at the daemon hears them of real BEAMs.
#[test]
fn s10_reasons_of_nodedown_that_a_subscriber_hears_of_beams() {
    let Some(rig) = rig(&["--admin", "all", "--net-ticktime", "4"]) else { return };
    subscribe(&rig.beam, "[{node_type, hidden}, nodedown_reason]");
    // Its own ticks must keep it connected.
    rig.beam.ok("net_kernel:set_net_ticktime(4, 0).");
    let up = |beam: &Beam| {
        beam.expect(&[("net_adm:ping(N).", "pong")]);
        hears(&rig.beam, &format!("{{nodeup,'{}',[{{node_type,hidden}}]}}", beam.node));
    };
    let down = |beam: &Beam, reason: &str| {
        rig.beam.expect(&[(
            "driver:await(9000).",
            &format!("{{nodedown,'{}',[{{nodedown_reason,{reason}}},{{node_type,hidden}}]}}", beam.node),
        )]);
    };
    let Some(mut beam) = quick(&rig.epmd, &rig.daemon) else { return };
    up(&beam);
    beam.expect(&[("erlang:disconnect_node(N).", "true")]);
    down(&beam, "connection_closed");
    up(&beam);
    rig.beam.expect(&[(&format!("rpc:call(N, erlang, disconnect_node, ['{}']).", beam.node), "true")]);
    down(&beam, "disconnect");
    beam.expect(&[("driver:await(0).", "timeout")]);
    up(&beam);
    // It says nothing any more, and its socket stays open.
    let pid = pid_of(&beam);
    let began = Instant::now();
    kill(pid, Signal::SIGSTOP).unwrap();
    down(&beam, "net_tick_timeout");
    assert!((2.9..6.5).contains(&began.elapsed().as_secs_f64()), "{:?}", began.elapsed());
    kill(pid, Signal::SIGCONT).unwrap();
    beam.ok("timer:sleep(200).");
    up(&beam);
    beam.kill();
    down(&beam, "connection_closed");
    let mut garbage = Raw::connect(&rig.daemon, &beam.node);
    hears(&rig.beam, &format!("{{nodeup,'{}',[{{node_type,hidden}}]}}", beam.node));
    garbage.send(&[0, 0, 0, 1, 0]);
    down(&beam, "killed");
    let _old = Raw::connect(&rig.daemon, &beam.node);
    hears(&rig.beam, &format!("{{nodeup,'{}',[{{node_type,hidden}}]}}", beam.node));
    let _new = Raw::connect_with(&rig.daemon, &beam.node, FLAGS);
    down(&beam, "wait_pending");
}

/// And the reasons that BEAMs see of us.
#[test]
fn s10_reasons_of_nodedown_that_beams_see_of_us() {
    let monitor = "net_kernel:monitor_nodes(true, [{node_type, hidden}, nodedown_reason]).";
    let Some(mut rig) = rig(&["--admin", "all"]) else { return };
    let Some(beam) = quick(&rig.epmd, &rig.daemon) else { return };
    beam.expect(&[(monitor, "ok")]);
    let up = || {
        beam.expect(&[(
            "{net_adm:ping(N), driver:await(5000)} =:= {pong, {nodeup, N, [{node_type, hidden}]}}.",
            "true",
        )])
    };
    let down = |reason: &str| {
        beam.expect(&[(
            &format!("driver:await(9000) =:= {{nodedown, N, [{{nodedown_reason, {reason}}}, {{node_type, hidden}}]}}."),
            "true",
        )]);
    };
    up();
    beam.expect(&[("erlang:disconnect_node(N).", "true")]);
    down("disconnect");
    up();
    beam.expect(&[("rpc:call(N, erlang, disconnect_node, [node()]).", "{badrpc,nodedown}")]);
    down("connection_closed");
    up();
    rig.daemon.signal(Signal::SIGSTOP);
    down("net_tick_timeout");
    rig.daemon.signal(Signal::SIGCONT);
    up();
    rig.daemon.signal(Signal::SIGTERM);
    down("connection_closed");
    assert_eq!(rig.daemon.exit_code(), Some(0));
}

/// We come back while the BEAM holds a dead connection of ours to be alive: status `alive`, answered `true`.
#[test]
fn a_beam_sees_wait_pending_and_nodeup_when_we_dial_again() {
    let Some(epmd) = Epmd::start() else { return };
    let Some(net) = Netns::two_interfaces() else { return };
    let name = format!("d{}x{}@127.0.0.1", std::process::id(), serial());
    let options = Daemon::options(&epmd.place()).netns(&net).cookie("OfAnEarlierLife").flags(&["--connect", &name]);
    let Some(beam) = Beam::named(&epmd.place(), "OfAnEarlierLife", "-name", &name, &[]) else { return };
    beam.expect(&[("net_kernel:monitor_nodes(true, [{node_type, hidden}, nodedown_reason]).", "ok")]);
    // What is left of an earlier life of the daemon, under the name that it will have.
    let port: u16 = {
        let names = epmd.place().names();
        let short = name.split('@').next().unwrap();
        let line = names.lines().find(|line| line.contains(short)).unwrap().to_owned();
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    let ours = format!("again{}x{}@127.0.0.1", std::process::id(), serial());
    let mut left = Raw::dial_port(port, &ours);
    assert_eq!(left.send_name(FLAGS), "ok");
    assert!(left.prove("OfAnEarlierLife").unwrap());
    let daemon = options.naming("--name", &ours).start();
    beam.know(&daemon);
    beam.holds(&[
        "driver:await(5000) =:= {nodeup, N, [{node_type, hidden}]}.",
        "driver:await(9000) =:= {nodedown, N, [{nodedown_reason, wait_pending}, {node_type, hidden}]}.",
        "driver:await(5000) =:= {nodeup, N, [{node_type, hidden}]}.",
        "net_adm:ping(N) =:= pong.",
    ]);
    assert!(left.is_closed_within(Duration::from_secs(5)));
}

/// Nothing of a killed subscriber's node stays, and others hear of it.
#[test]
fn m5_a_subscriber_whose_node_is_frozen_and_dropped_is_forgotten() {
    let Some(rig) = rig(&["--net-ticktime", "4"]) else { return };
    rig.beam.ok("net_kernel:set_net_ticktime(4, 0).");
    let Some(beam) = quick(&rig.epmd, &rig.daemon) else { return };
    subscribe(&rig.beam, "[{node_type, all}]");
    subscribe(&beam, "[{node_type, all}]");
    hears(&rig.beam, &format!("{{nodeup,'{}',[{{node_type,hidden}}]}}", beam.node));
    let pid = pid_of(&beam);
    kill(pid, Signal::SIGSTOP).unwrap();
    rig.beam.expect(&[("driver:await(9000).", &format!("{{nodedown,'{}',[{{node_type,hidden}}]}}", beam.node))]);
    kill(pid, Signal::SIGCONT).unwrap();
    beam.ok("timer:sleep(200).");
    beam.expect(&[("net_adm:ping(N).", "pong"), ("driver:flush().", "[]")]);
    drop(Raw::connect(&rig.daemon, "m5@127.0.0.1"));
    beam.expect(&[("driver:await(300).", "timeout")]);
}

#[test]
fn m12_a_raw_subscriber_that_never_reads_holds_nobody_up() {
    let Some(rig) = rig(&[]) else { return };
    let mut deaf = Talk::under(&rig.daemon, "deaf@127.0.0.1", FLAGS);
    for _ in 0..1000 {
        deaf.say("{6, Me, '', net_kernel} {'$gen_call', {Me, R1}, {monitor_nodes, true, [{node_type, all}]}}");
    }
    subscribe(&rig.beam, "[{node_type, all}]");
    let began = Instant::now();
    for n in 0..30 {
        drop(Raw::connect(&rig.daemon, &format!("m{n}@127.0.0.1")));
        hears(&rig.beam, &format!("{{nodeup,'m{n}@127.0.0.1',[{{node_type,hidden}}]}}"));
        hears(&rig.beam, &format!("{{nodedown,'m{n}@127.0.0.1',[{{node_type,hidden}}]}}"));
    }
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}
