//! Processes of ours and processes of a BEAM.

use std::time::Duration;

use beamroute::epmd::EpmdMode;
use beamroute::node::{
    CallError, Caller, GenServer, Message, MonitorOptions, Next, Node, NodeBuilder, NodeType, NodedownReason, Process,
};
use beamroute::term::{Pid, Term, as_atom, as_tuple, atom, integer, tuple};

use crate::support::epmd::Place;
use crate::support::{Beam, Epmd, PATIENCE, serial};

const COOKIE: &str = "library";

/// An epmd, a BEAM, and a runtime for our node, which is not connected.
struct Bench {
    runtime: tokio::runtime::Handle,
    node: Node,
    beam: Beam,
    _epmd: Epmd,
}

fn builder(place: Place) -> NodeBuilder {
    let name = format!("lib{}x{}@127.0.0.1", std::process::id(), serial());
    Node::builder(name).cookie(COOKIE).epmd(EpmdMode::External).epmd_port(place.0)
}

impl Bench {
    fn start() -> Option<Self> {
        Self::with(|builder| builder)
    }

    fn with(change: impl FnOnce(NodeBuilder) -> NodeBuilder) -> Option<Self> {
        let epmd = Epmd::start()?;
        let beam = Beam::start(&epmd.place(), COOKIE)?;
        let runtime = elsewhere();
        let node = runtime.block_on(change(builder(epmd.place())).start()).unwrap();
        beam.ok(&format!("N = '{}'.", node.name()));
        Some(Self { runtime, node, beam, _epmd: epmd })
    }

    /// Evaluates in the BEAM.
    #[track_caller]
    fn ok(&self, expression: &str) -> String {
        self.beam.ok(expression)
    }

    #[track_caller]
    fn expect(&self, table: &[(&str, &str)]) {
        self.beam.expect(table);
    }

    fn next(&self, process: &mut Process) -> Message {
        self.runtime.block_on(async { tokio::time::timeout(PATIENCE, process.receive()).await }).unwrap().unwrap()
    }

    /// A process of the BEAM, and its pid, which `name` is bound to there.
    fn spawn(&self, process: &mut Process, name: &str, body: &str) -> Pid {
        process.register("us");
        self.ok(&format!("{name} = spawn(fun() -> {body} end), {{us, N}} ! {{pid, {name}}}, ok."));
        let Message::Info(message) = self.next(process) else { panic!("a message") };
        match as_tuple::<2>(&message).unwrap() {
            [_, Term::Pid(pid)] => pid.clone(),
            other => panic!("{other:?}"),
        }
    }
}

/// A runtime on a thread that ends with the tests: the BEAM is asked by calls that block.
fn elsewhere() -> tokio::runtime::Handle {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let handle = runtime.handle().clone();
    std::thread::spawn(move || runtime.block_on(std::future::pending::<()>()));
    handle
}

#[test]
fn a_send_a_call_and_a_cast_connect_to_the_beam_first() {
    let Some(bench) = Bench::start() else { return };
    let mut us = bench.node.spawn();
    bench.ok("register(echo, spawn(fun F() -> receive {'$gen_call', From, Req} -> gen_server:reply(From, Req); {'$gen_cast', {Pid, M}} -> Pid ! {cast, M}; {Pid, M} -> Pid ! {info, M} end, F() end)).");
    bench.expect(&[("nodes(connected).", "[]")]);
    let echo = ("echo", bench.beam.node.as_str());
    bench.runtime.block_on(async {
        let pair = || tuple([us.pid().into(), integer(1)]);
        us.send(echo, pair()).await.unwrap();
        us.cast(echo, pair()).await.unwrap();
        assert_eq!(us.call(echo, integer(2), PATIENCE).await, Ok(integer(2)));
        assert_eq!(us.call(("nobody", echo.1), integer(2), PATIENCE).await, Err(CallError::Down(atom("noproc"))));
        let nobody = us.call(("echo", "nobody@127.0.0.1"), integer(2), PATIENCE).await;
        assert_eq!(nobody, Err(CallError::NotConnected("nobody@127.0.0.1".into())));
    });
    for kind in ["info", "cast"] {
        assert!(matches!(bench.next(&mut us), Message::Info(m) if m == tuple([atom(kind), integer(1)])), "{kind}");
    }
    bench.expect(&[("nodes(hidden) =:= [N].", "true"), ("erlang:monitor_node(N, false).", "true")]);
}

#[test]
fn our_monitor_on_a_beam_process_fires_with_its_reason() {
    let Some(bench) = Bench::start() else { return };
    let mut us = bench.node.spawn();
    let pid = bench.spawn(&mut us, "P", "receive stop -> exit(enough) end");
    let by_pid = bench.runtime.block_on(us.monitor(&pid));
    bench.ok("register(named, P).");
    let by_name = bench.runtime.block_on(us.monitor(("named", bench.beam.node.as_str())));
    let gone = bench.runtime.block_on(us.monitor(("nobody", bench.beam.node.as_str())));
    let down = |us: &mut Process| match bench.next(us) {
        Message::Down { reference, reason, .. } => (reference, reason),
        other => panic!("{other:?}"),
    };
    assert_eq!(down(&mut us), (gone, atom("noproc")));
    crate::support::eventually("both monitors", || {
        bench.beam.ok("length(element(2, process_info(P, monitored_by))).") == "2"
    });
    bench.ok("P ! stop.");
    let mut downs = [down(&mut us), down(&mut us)];
    downs.sort_by_key(|(reference, _)| reference.id.clone());
    assert_eq!(downs, [(by_pid, atom("enough")), (by_name, atom("enough"))]);
    assert_eq!(bench.node.counts().monitors, 0);
}

#[test]
fn a_demonitor_and_the_end_of_our_process_take_the_monitor_back() {
    let Some(bench) = Bench::start() else { return };
    let mut us = bench.node.spawn();
    let pid = bench.spawn(&mut us, "P", "receive stop -> ok end");
    let reference = bench.runtime.block_on(us.monitor(&pid));
    let monitored = |count: &str| {
        crate::support::eventually(count, || {
            bench.beam.ok("length(element(2, process_info(P, monitored_by))).") == count
        });
    };
    monitored("1");
    assert!(us.demonitor(&reference));
    monitored("0");
    bench.runtime.block_on(us.monitor(&pid));
    bench.runtime.block_on(us.link(&pid));
    monitored("1");
    bench.ok("L = P, process_info(L, links).");
    us.exit(&atom("normal"));
    monitored("0");
    crate::support::eventually("the link is gone", || bench.beam.ok("process_info(L, links).") == "{links,[]}");
    assert_eq!((bench.node.counts().monitors, bench.node.counts().links), (0, 0));
}

#[track_caller]
fn is_exit(message: &Message, of: &Pid, why: &str) {
    assert!(matches!(message, Message::Exit { from, reason } if from == of && *reason == atom(why)), "{message:?}");
}

#[test]
fn links_between_us_and_a_beam_process_work_both_ways() {
    let Some(bench) = Bench::start() else { return };
    let mut us = bench.node.spawn();
    us.trap_exits(true);
    for (name, ends, reason) in [("A", "exit(boom)", "boom"), ("B", "ok", "normal")] {
        let pid = bench.spawn(&mut us, name, &format!("receive stop -> {ends} end"));
        bench.runtime.block_on(us.link(&pid));
        crate::support::eventually("the link", || {
            bench.beam.ok(&format!("length(element(2, process_info({name}, links))).")) == "1"
        });
        bench.ok(&format!("{name} ! stop."));
        is_exit(&bench.next(&mut us), &pid, reason);
    }
    let pid = bench.spawn(
        &mut us, "P",
        "process_flag(trap_exit, true), receive go -> {us, N} ! ready end, receive {'EXIT', _, Why} -> {us, N} ! {got, Why} end",
    );
    bench.ok("P ! go.");
    assert!(matches!(bench.next(&mut us), Message::Info(ready) if ready == atom("ready")));
    let other = bench.node.spawn();
    bench.runtime.block_on(other.link(&pid));
    crate::support::eventually("the link", || bench.beam.ok("length(element(2, process_info(P, links))).") == "1");
    // Unlinked: its end is not told.
    bench.runtime.block_on(us.link(&pid));
    us.unlink(&pid);
    crate::support::eventually("the unlink is acknowledged", || bench.node.counts().links == 1);
    other.exit(&atom("gone"));
    assert!(matches!(bench.next(&mut us), Message::Info(got) if got == tuple([atom("got"), atom("gone")])));
    bench.ok("spawn(fun() -> {us, N} ! last end), ok.");
    assert!(matches!(bench.next(&mut us), Message::Info(last) if last == atom("last")), "no exit signal");
    assert_eq!(bench.node.counts().links, 0);
}

#[test]
fn the_beam_links_unlinks_and_sends_exit_signals() {
    let Some(bench) = Bench::start() else { return };
    let mut us = bench.node.spawn();
    us.register("us");
    us.trap_exits(true);
    bench.ok("Us = rpc:call(N, erlang, whereis, [us]).");
    bench.expect(&[
        ("is_pid(Us).", "true"),
        ("link(Us).", "true"),
        ("unlink(Us).", "true"),
        ("exit(Us, normal).", "true"),
        ("exit(Us, {shutdown, why}).", "true"),
    ]);
    for reason in [atom("normal"), tuple([atom("shutdown"), atom("why")])] {
        assert!(matches!(bench.next(&mut us), Message::Exit { reason: why, .. } if why == reason));
    }
    assert_eq!(bench.node.counts().links, 0);
    bench.ok("Q = spawn(fun() -> link(Us), receive stop -> exit(its_end) end end).");
    crate::support::eventually("the link", || bench.node.counts().links == 1);
    bench.ok("Q ! stop.");
    assert!(matches!(bench.next(&mut us), Message::Exit { reason, .. } if reason == atom("its_end")));
    bench.expect(&[
        ("{R, M} = {make_ref(), erlang:monitor(process, Us)}, exit(Us, kill).", "true"),
        ("receive {'DOWN', M, process, Us, Why} -> Why after 5000 -> timeout end.", "killed"),
    ]);
    assert!(bench.runtime.block_on(us.receive()).is_none());
    assert_eq!(us.ended(), Some(&atom("killed")));
}

#[test]
fn the_loss_of_the_beam_fires_everything_once_and_then_nodedown() {
    let Some(mut bench) = Bench::start() else { return };
    let mut us = bench.node.spawn();
    us.trap_exits(true);
    let pid = bench.spawn(&mut us, "P", "receive stop -> ok end");
    us.monitor_nodes(MonitorOptions {
        node_type: Some(NodeType::All),
        nodedown_reason: true,
        ..MonitorOptions::default()
    });
    bench.runtime.block_on(us.link(&pid));
    let reference = bench.runtime.block_on(us.monitor(&pid));
    bench.beam.kill();
    let (mut down, mut exit) = (0, 0);
    let nodedown = loop {
        match bench.next(&mut us) {
            Message::Down { reference: r, reason, .. } if r == reference && reason == atom("noconnection") => down += 1,
            Message::Exit { from, reason } if from == pid && reason == atom("noconnection") => exit += 1,
            Message::NodeDown(news) => break news,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((down, exit), (1, 1), "before the nodedown (M8)");
    assert_eq!(
        (nodedown.node, nodedown.nodedown_reason),
        (bench.beam.node.clone(), Some(NodedownReason::ConnectionClosed))
    );
    assert!(us.try_receive().is_none());
}

#[test]
fn m1_m3_visible_nodes_see_each_other_and_a_beam_subscribes_through_us() {
    let Some(bench) = Bench::with(NodeBuilder::visible) else { return };
    let Some(other) = Beam::start(&bench._epmd.place(), COOKIE) else { return };
    other.ok(&format!("N = '{}'.", bench.node.name()));
    bench.expect(&[
        ("net_kernel:connect_node(N).", "true"),
        ("nodes() =:= [N].", "true"),
        ("nodes(hidden).", "[]"),
        ("gen_server:call({net_kernel, N}, {monitor_nodes, true}).", "ok"),
        ("gen_server:call({net_kernel, N}, {monitor_nodes, true}).", "ok"),
    ]);
    other.expect(&[("net_adm:ping(N).", "pong")]);
    let event = |what: &str| format!("{{{what},'{}'}}", other.node);
    for _ in 0..2 {
        assert_eq!(bench.ok("driver:await(5000)."), event("nodeup"));
    }
    let is_listed = format!("lists:member('{}', rpc:call(N, erlang, nodes, [])).", other.node);
    bench.expect(&[(&is_listed, "true")]);
    drop(other);
    for _ in 0..2 {
        assert!(bench.ok("driver:await(5000).").starts_with("{nodedown,"));
    }
    bench.expect(&[
        (&is_listed, "false"),
        ("gen_server:call({net_kernel, N}, {monitor_nodes, false}).", "ok"),
        ("driver:flush().", "[]"),
    ]);
}

/// Gives its state to whoever asks, and ends when told.
struct Box(i64);

impl GenServer for Box {
    async fn call(&mut self, request: Term, caller: Caller, _: &Process) -> Next {
        match as_atom(&request) {
            Some("next") => {
                self.0 += 1;
                caller.reply(integer(self.0));
            }
            // No answer: the caller's own time-out.
            _ => drop(caller),
        }
        Next::Continue
    }

    fn state(&self) -> Term {
        tuple([atom("box"), integer(self.0)])
    }
}

#[test]
fn a_gen_server_of_ours_behaves_for_callers_on_a_beam() {
    let Some(bench) = Bench::start() else { return };
    let process = bench.node.spawn();
    process.register("box");
    let served = bench.runtime.spawn(process.serve(Box(0)));
    bench.expect(&[
        ("B = {box, N}, gen_server:call(B, next).", "1"),
        ("gen_server:call(B, next, 1000).", "2"),
        ("{'EXIT', {timeout, _}} = (catch gen_server:call(B, silence, 50)), driver:flush().", "[]"),
        ("element(1, sys:get_status(B)).", "status"),
        ("lists:member(sys:get_state(B), [{box, 2}, {ok, {box, 2}}]).", "true"),
        ("sys:suspend(B).", "{error,{unknown_system_msg,suspend}}"),
        ("length([ok || {_, X} <- element(1, gen_server:multi_call([N], box, next)), X =:= 3]).", "1"),
        ("Ref = erlang:monitor(process, B), gen_server:stop(B).", "ok"),
        ("receive {'DOWN', Ref, process, B, Why} -> Why after 5000 -> timeout end.", "normal"),
    ]);
    let reason = bench.runtime.block_on(async { tokio::time::timeout(Duration::from_secs(5), served).await });
    assert_eq!(reason.unwrap().unwrap(), atom("normal"));
}

/// OTP 28 and later send these with op 37; the functions are not there before.
#[test]
fn priority_signals_of_otp_28_arrive_like_others() {
    let Some(bench) = Bench::start() else { return };
    let mut us = bench.node.spawn();
    us.trap_exits(true);
    assert!(us.register("us"));
    bench.ok("register(relay, self()), Us = rpc:call(N, erlang, whereis, [us]), is_pid(Us).");
    let alias = us.alias();
    bench.runtime.block_on(us.send(("relay", bench.beam.node.as_str()), Term::from(alias))).unwrap();
    bench.expect(&[("Alias = driver:await(5000), is_reference(Alias).", "true")]);
    let is_new = bench.ok("erlang:function_exported(erlang, exit, 3).") == "true";
    assert_eq!(bench.ok("list_to_integer(erlang:system_info(otp_release)) >= 28."), is_new.to_string());
    if is_new {
        bench.expect(&[
            ("erlang:apply(erlang, exit, [Us, why, [priority]]).", "true"),
            ("erlang:send(Alias, by_alias, [priority]).", "ok"),
            ("erlang:apply(erlang, exit, [Alias, by_alias, [priority]]).", "true"),
        ]);
        assert!(matches!(bench.next(&mut us), Message::Exit { reason, .. } if reason == atom("why")));
        assert!(matches!(bench.next(&mut us), Message::Info(message) if message == atom("by_alias")));
        assert!(matches!(bench.next(&mut us), Message::Exit { reason, .. } if reason == atom("by_alias")));
    }
    bench.ok("Alias ! plain, Us ! last.");
    for text in ["plain", "last"] {
        assert!(matches!(bench.next(&mut us), Message::Info(message) if message == atom(text)));
    }
}

#[test]
fn functions_of_a_process_that_ends_with_calls_in_its_mailbox_end_with_noproc() {
    let Some(bench) = Bench::start() else { return };
    let process = bench.node.spawn();
    process.export("module");
    bench.ok("K = rpc:async_call(N, module, function, []), {_, M} = spawn_monitor(N, module, function, []), ok.");
    let queued = || bench.node.counts().processes;
    assert_eq!(queued(), 1);
    bench.expect(&[("rpc:call(N, erlang, node, []) =:= N.", "true"), ("rpc:nb_yield(K).", "timeout")]);
    drop(process);
    bench.expect(&[
        ("rpc:yield(K).", "{badrpc,{'EXIT',noproc}}"),
        ("receive {'DOWN', M, process, _, Why} -> Why after 5000 -> timeout end.", "noproc"),
        ("element(1, rpc:call(N, module, function, [])).", "badrpc"),
    ]);
}
