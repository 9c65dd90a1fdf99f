//! What goes wrong only when much happens at once, or somebody gives up in the middle.

use std::time::{Duration, Instant};

use beamroute::epmd::server::Server;
use beamroute::epmd::{EpmdMode, local_epmd, names};
use beamroute::node::{Message, Node, Process, Start};
use beamroute::term::{Pid, Reference, Term, atom, binary, integer, tuple};

use super::dialling::{A, B, builder, epmd};
use super::start_stop::next;
use super::{PATIENCE, port, spawn_echo};

/// How long a race is looked for.
const LONG_ENOUGH: Duration = Duration::from_secs(2);

fn alone() -> Node {
    Node::builder(A).cookie("c").epmd(EpmdMode::None).build().unwrap().0
}

/// The tag of a gen call whose reply goes to an alias.
fn tag(alias: &Reference) -> Term {
    eetf::ImproperList { elements: vec![atom("alias")], last: Box::new(alias.clone().into()) }.into()
}

#[tokio::test]
async fn a_long_chain_of_links_ends_from_one_end_to_the_other() {
    let node = alone();
    let mut chain: Vec<Process> = (0..5_000).map(|_| node.spawn()).collect();
    for pair in chain.windows(2) {
        pair[0].link(&pair[1].pid()).await;
    }
    chain.remove(0).exit(&atom("boom"));
    assert!(chain.iter().all(|process| process.ended() == Some(&atom("boom"))));
    assert_eq!((node.counts().links, node.counts().processes), (0, 0));
}

#[tokio::test]
async fn many_processes_have_pids_of_their_own_which_do_not_come_back_soon() {
    let node = alone();
    let pids = |processes: &[Process]| {
        processes.iter().map(|process| (process.pid().id, process.pid().serial)).collect::<Vec<_>>()
    };
    let many: Vec<Process> = (0..40_000).map(|_| node.spawn()).collect();
    let mut all = pids(&many);
    drop(many);
    let more: Vec<Process> = (0..10_000).map(|_| node.spawn()).collect();
    all.extend(pids(&more));
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 50_000);
    assert!(all.iter().all(|(id, serial)| *id < 1 << 15 && *serial < 1 << 13), "as OTP 25 can take them");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_monitor_or_link_that_meets_the_end_of_its_process_still_fires() {
    let epmd = epmd();
    let (a, b) = (builder(&epmd, A, "c").start().await.unwrap(), builder(&epmd, B, "c").start().await.unwrap());
    let mut watcher = a.spawn();
    watcher.trap_exits(true);
    let end = Instant::now() + LONG_ENOUGH;
    while Instant::now() < end {
        for node in [&a, &b] {
            let victim = node.spawn();
            let pid = victim.pid();
            let ended = tokio::spawn(async move { victim.exit(&atom("done")) });
            watcher.monitor(&pid).await;
            watcher.link(&pid).await;
            ended.await.unwrap();
            let told = [next(&mut watcher).await, next(&mut watcher).await];
            assert!(told.iter().any(|message| matches!(message, Message::Down { .. })), "{told:?}");
            assert!(told.iter().any(|message| matches!(message, Message::Exit { .. })), "{told:?}");
        }
    }
    super::eventually(async || a.counts().links + b.counts().links + b.counts().monitored_by == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn stop_ends_also_what_comes_up_meanwhile() {
    let epmd = epmd();
    let (a, start) = builder(&epmd, A, "c").build().unwrap();
    let peers: Vec<_> = (0..4).map(|n| builder(&epmd, &format!("p{n}@127.0.0.1"), "c")).collect();
    for peer in peers {
        let peer = peer.dial_only().start().await.unwrap();
        tokio::spawn(async move {
            loop {
                let _ = peer.connect(A).await;
                tokio::time::sleep(Duration::from_micros(300)).await;
            }
        });
    }
    let (end, mut rounds) = (Instant::now() + LONG_ENOUGH, 0);
    while Instant::now() < end {
        a.start(start.clone()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(rounds % 7)).await;
        tokio::time::timeout(PATIENCE, a.stop()).await.expect("it stops").unwrap();
        assert_eq!((a.counts().connections, a.counts().tasks), (0, 0));
        rounds += 1;
    }
    assert!(rounds > 10, "{rounds}");
}

#[tokio::test]
async fn a_start_that_nobody_waits_for_any_more_leaves_no_name_behind() {
    let port = port::free();
    let (node, start) = Node::builder(A).cookie("c").epmd(EpmdMode::External).epmd_port(port).build().unwrap();
    let given_up = tokio::time::timeout(Duration::from_millis(100), node.start(start.clone())).await;
    assert!(given_up.is_err() && !node.is_alive(), "there is no epmd yet");
    let _epmd = Server::bind(&[], port).unwrap().serve();
    // Longer than between two attempts.
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert_eq!(names(local_epmd(port)).await.unwrap(), []);
    node.start(start).await.unwrap();
    assert_eq!(names(local_epmd(port)).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_call_under_way_among_our_own_is_answered_across_start_and_stop() {
    let epmd = epmd();
    let (a, start) = builder(&epmd, A, "c").build().unwrap();
    let (mut slow, client) = (a.spawn(), a.spawn());
    assert!(slow.register("slow"));
    for _ in 0..2 {
        let call = async { client.call("slow", integer(1), PATIENCE).await };
        let answer = async {
            let Message::Call(caller, request) = next(&mut slow).await else { panic!("a call") };
            if a.is_alive() {
                a.stop().await.unwrap();
            } else {
                a.start(start.clone()).await.unwrap();
            }
            caller.reply(request);
        };
        assert_eq!(tokio::join!(call, answer).0, Ok(integer(1)));
        assert_eq!((a.counts().monitors, a.counts().monitored_by), (0, 0));
    }
}

#[tokio::test]
async fn a_burst_of_messages_waits_for_a_reader_and_loses_nothing() {
    let epmd = epmd();
    let limit = |config: &mut beamroute::node::NodeConfig| config.outbox_limit = 4 << 20;
    let a = builder(&epmd, A, "c").configure(limit).start().await.unwrap();
    let b = builder(&epmd, B, "c").start().await.unwrap();
    let (sender, mut receiver) = (a.spawn(), b.spawn());
    assert!(receiver.register("receiver"));
    let text = binary(vec![b'x'; 1_000]);
    let send = async {
        for _ in 0..20_000 {
            sender.send(("receiver", B), text.clone()).await.unwrap();
        }
    };
    let receive = async {
        for n in 0..20_000 {
            assert!(matches!(next(&mut receiver).await, Message::Info(_)), "{n}");
        }
    };
    tokio::join!(send, receive);
}

#[tokio::test]
async fn a_call_that_another_node_passes_on_is_answered_to_whoever_called() {
    let epmd = epmd();
    let (a, b) = (builder(&epmd, A, "c").start().await.unwrap(), builder(&epmd, B, "c").start().await.unwrap());
    let c = builder(&epmd, "c@127.0.0.1", "c").start().await.unwrap();
    spawn_echo(&c);
    let (mut caller, proxy) = (a.spawn(), b.spawn());
    let alias = caller.alias();
    // What a proxy on b would send on. c has no connection to a.
    let passed_on = tuple([atom("$gen_call"), tuple([caller.pid().into(), tag(&alias)]), integer(7)]);
    for _ in 0..2 {
        proxy.send(("echo", "c@127.0.0.1"), passed_on.clone()).await.unwrap();
        assert!(matches!(next(&mut caller).await, Message::Info(reply) if reply == tuple([tag(&alias), integer(7)])));
    }
}

#[tokio::test]
async fn times_and_numbers_beyond_all_measure() {
    let epmd = epmd();
    let forever = |config: &mut beamroute::node::NodeConfig| {
        config.setup_time = Duration::MAX;
        config.net_tickintensity = 0;
    };
    let (a, start) = builder(&epmd, A, "c").configure(forever).build().unwrap();
    a.start(Start { net_tickintensity: Some(u16::MAX), ..start }).await.unwrap();
    let b = builder(&epmd, B, "c").start().await.unwrap();
    spawn_echo(&b);
    assert_eq!(a.call(("echo", B), integer(1), Duration::MAX).await, Ok(integer(1)));
}

#[tokio::test]
async fn a_process_that_sends_itself_an_exit_signal_obeys_it() {
    let node = alone();
    let process = node.spawn();
    let pid: Pid = process.pid();
    process.link(&pid).await;
    assert_eq!(node.counts().links, 0, "a link to itself is none");
    process.send_exit(&pid, atom("normal")).await.unwrap();
    assert_eq!(process.ended(), Some(&atom("normal")));
}
