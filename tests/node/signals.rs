//! Messages, monitors, links and exit signals between processes of two of our nodes, and of one.

use std::time::Duration;

use beamroute::epmd::server::Serving;
use beamroute::node::{AutoConnect, CallError, Destination, Message, Node, Process};
use beamroute::term::{Pid, Term, atom, integer, tuple};

use super::dialling::{A, B, builder, epmd};
use super::start_stop::next;
use super::{PATIENCE, spawn_echo};

/// Two nodes that are not connected.
async fn nodes() -> (Serving, Node, Node) {
    let epmd = epmd();
    let (a, b) = (builder(&epmd, A, "c").start().await.unwrap(), builder(&epmd, B, "c").start().await.unwrap());
    (epmd, a, b)
}

/// A process here, and others: on the same node, and on another one, to which it is not connected yet.
async fn pairs() -> (Serving, Vec<(Process, Process)>) {
    let (epmd, a, b) = nodes().await;
    let pair = |other: &Node| {
        let (one, other) = (a.spawn(), other.spawn());
        one.trap_exits(true);
        other.trap_exits(true);
        (one, other)
    };
    (epmd, vec![pair(&a), pair(&b)])
}

#[track_caller]
fn is_info(message: &Message, term: &Term) {
    assert!(matches!(message, Message::Info(info) if info == term), "{message:?}");
}

#[track_caller]
fn is_exit(message: &Message, of: &Pid, why: &str) {
    assert!(matches!(message, Message::Exit { from, reason } if from == of && *reason == atom(why)), "{message:?}");
}

#[track_caller]
fn is_down(message: &Message, of: &Destination, why: &str) {
    let Message::Down { process, reason, .. } = message else { panic!("{message:?}") };
    assert_eq!((process, reason), (of, &atom(why)));
}

#[tokio::test]
async fn send_by_pid_name_and_alias_keeps_the_order_and_connects_first() {
    let (_epmd, pairs) = pairs().await;
    for (one, mut other) in pairs {
        assert!(other.register("other") && !other.register("other") && !other.register("rex"));
        for n in 0..100 {
            let (by_name, pid) = (("other", other.node().name()), other.pid());
            match n % 2 {
                0 => one.send(by_name, integer(n)).await.unwrap(),
                _ => one.send(pid, integer(n)).await.unwrap(),
            }
        }
        for n in 0..100 {
            is_info(&next(&mut other).await, &integer(n));
        }
        one.cast(other.pid(), atom("hello")).await.unwrap();
        let pid = one.pid();
        assert!(matches!(next(&mut other).await, Message::Cast(from, request)
            if from.pid == Some(pid) && request == atom("hello")));
        assert!(other.unregister("other") && !other.unregister("other"));
        one.send(("other", other.node().name()), atom("nobody")).await.unwrap();
        one.send(other.pid(), atom("last")).await.unwrap();
        is_info(&next(&mut other).await, &atom("last"));
    }
}

#[tokio::test]
async fn a_call_to_a_pid_or_a_name_here_or_there() {
    let (_epmd, a, b) = nodes().await;
    for node in [&a, &b] {
        spawn_echo(node);
    }
    let caller = a.spawn();
    for to in [Destination::from("echo"), ("echo", A).into(), ("echo", B).into()] {
        assert_eq!(caller.call(to.clone(), integer(1), PATIENCE).await, Ok(integer(1)));
        assert_eq!(a.call(to, integer(2), PATIENCE).await, Ok(integer(2)), "from nobody in particular");
    }
    for name in [A, B] {
        let nobody = caller.call(("nobody", name), integer(1), PATIENCE).await;
        assert_eq!(nobody, Err(CallError::Down(atom("noproc"))));
    }
    assert_eq!((a.counts().monitors, a.counts().monitored_by, b.counts().monitored_by), (0, 0, 0));
}

#[tokio::test]
async fn a_call_in_vain_leaves_nothing_behind() {
    let (_epmd, a, b) = nodes().await;
    let mut slow = b.spawn();
    assert!(slow.register("slow"));
    let timed_out = a.call(("slow", B), integer(1), Duration::from_millis(50)).await;
    assert_eq!(timed_out, Err(CallError::Timeout));
    let dropped = tokio::time::timeout(Duration::from_millis(50), a.call(("slow", B), integer(2), PATIENCE)).await;
    assert!(dropped.is_err());
    assert_eq!(a.counts().monitors, 0);
    // Late replies go nowhere.
    for _ in 0..2 {
        let Message::Call(caller, request) = next(&mut slow).await else { panic!("a call") };
        caller.reply(request);
    }
    super::eventually(async || b.counts().monitored_by == 0).await;
    assert_eq!(
        a.call(("slow", "nobody@127.0.0.1"), integer(1), PATIENCE).await.unwrap_err().to_string(),
        "not connected to nobody@127.0.0.1"
    );
}

#[tokio::test]
async fn monitors_fire_once_and_name_the_process_as_it_was_named() {
    let (_epmd, pairs) = pairs().await;
    for (mut one, other) in pairs {
        assert!(other.register("other"));
        let (by_name, by_pid) = (Destination::from(("other", other.node().name())), Destination::from(other.pid()));
        let kept = [one.monitor(by_name.clone()).await, one.monitor(by_pid.clone()).await];
        let ended = one.monitor(by_pid.clone()).await;
        assert!(one.demonitor(&ended) && !one.demonitor(&ended));
        // Signals keep their order: once this has come, the others have.
        one.send(other.pid(), atom("sync")).await.unwrap();
        let mut other = other;
        is_info(&next(&mut other).await, &atom("sync"));
        assert_eq!(other.node().counts().monitored_by, 2);
        let node = other.node().clone();
        other.exit(&atom("done"));
        let mut downs = [next(&mut one).await, next(&mut one).await];
        downs.sort_by_key(|down| matches!(down, Message::Down { reference, .. } if *reference == kept[1]));
        is_down(&downs[0], &by_name, "done");
        is_down(&downs[1], &by_pid, "done");
        for gone in [by_name, by_pid] {
            one.monitor(gone.clone()).await;
            is_down(&next(&mut one).await, &gone, "noproc");
        }
        assert!(one.try_receive().is_none());
        assert_eq!((one.node().counts().monitors, node.counts().monitored_by), (0, 0));
    }
}

#[tokio::test]
async fn links_tell_both_ends_and_an_unlink_keeps_silence() {
    let (_epmd, pairs) = pairs().await;
    for (mut one, mut other) in pairs {
        let (pid, other_pid) = (one.pid(), other.pid());
        one.link(&other_pid).await;
        other.link(&pid).await;
        one.unlink(&other_pid);
        one.link(&other_pid).await;
        one.send(&other_pid, atom("sync")).await.unwrap();
        is_info(&next(&mut other).await, &atom("sync"));
        other.send(&pid, atom("sync")).await.unwrap();
        is_info(&next(&mut one).await, &atom("sync"));
        assert_eq!(other.node().counts().links, if one.node().name() == other.node().name() { 2 } else { 1 });
        let node = other.node().clone();
        let third = node.spawn();
        one.link(&third.pid()).await;
        one.unlink(&third.pid());
        let third_pid = third.pid();
        third.exit(&atom("unheard"));
        other.exit(&atom("done"));
        is_exit(&next(&mut one).await, &other_pid, "done");
        for gone in [other_pid, third_pid] {
            one.link(&gone).await;
            is_exit(&next(&mut one).await, &gone, "noproc");
        }
        assert!(one.try_receive().is_none());
        super::eventually(async || one.node().counts().links + node.counts().links == 0).await;
    }
}

#[tokio::test]
async fn exit_signals_end_those_who_do_not_trap_them() {
    let (_epmd, a, b) = nodes().await;
    for node in [&a, &b] {
        let killer = a.spawn();
        let mut watcher = a.spawn();
        for (reason, traps, told) in [
            ("normal", false, None),
            ("shutdown", false, Some("shutdown")),
            ("kill", false, Some("killed")),
            ("kill", true, Some("killed")),
            ("shutdown", true, None),
        ] {
            let mut victim = node.spawn();
            victim.trap_exits(traps);
            let reference = watcher.monitor(victim.pid()).await;
            killer.send_exit(&victim.pid(), atom(reason)).await.unwrap();
            killer.send(victim.pid(), atom("after")).await.unwrap();
            match told {
                Some(told) => {
                    is_down(&next(&mut watcher).await, &victim.pid().into(), told);
                    assert!(victim.receive().await.is_none(), "it is dead");
                    assert_eq!(victim.ended(), Some(&atom(told)));
                }
                None => {
                    if traps {
                        is_exit(&next(&mut victim).await, &killer.pid(), reason);
                    }
                    is_info(&next(&mut victim).await, &atom("after"));
                    assert!(watcher.demonitor(&reference));
                }
            }
        }
        let shielded = b.spawn();
        shielded.shield();
        killer.send_exit(&shielded.pid(), atom("kill")).await.unwrap();
        shielded.trap_exits(true);
        assert_eq!(a.call("nobody", integer(1), PATIENCE).await, Err(CallError::Down(atom("noproc"))));
        assert!(shielded.ended().is_none());
    }
}

#[tokio::test]
async fn what_a_process_does_after_its_end_leaves_nothing() {
    let (_epmd, a, b) = nodes().await;
    let (victim, killer, other) = (a.spawn(), a.spawn(), b.spawn());
    killer.send_exit(&victim.pid(), atom("kill")).await.unwrap();
    assert!(victim.ended().is_some() && !victim.register("victim") && !victim.monitor_nodes(super::ALL));
    victim.export("victim");
    let alias = victim.alias();
    assert!(!victim.unalias(&alias));
    victim.monitor(other.pid()).await;
    victim.link(&other.pid()).await;
    drop((victim, killer, other));
    super::eventually(async || b.counts().links + b.counts().monitored_by == 0).await;
    let counts = a.counts();
    assert_eq!((counts.processes, counts.aliases, counts.subscribers), (0, 0, 0));
    assert_eq!((counts.monitors, counts.links), (0, 0));
}

#[tokio::test]
async fn an_exit_runs_along_a_chain_of_links_over_both_nodes() {
    let (_epmd, a, b) = nodes().await;
    let chain: Vec<Process> = (0..6).map(|n| if n % 2 == 0 { a.spawn() } else { b.spawn() }).collect();
    for pair in chain.windows(2) {
        pair[0].link(&pair[1].pid()).await;
        // The link must be there before the first end comes along.
        assert_eq!(a.connect(B).await, Ok(()));
    }
    super::eventually(async || a.counts().links == 5 && b.counts().links == 5).await;
    let mut chain = chain;
    chain.remove(0).exit(&atom("boom"));
    for mut process in chain {
        assert!(tokio::time::timeout(PATIENCE, process.receive()).await.unwrap().is_none());
        assert_eq!(process.ended(), Some(&atom("boom")));
    }
    assert_eq!((a.counts().links, b.counts().links), (0, 0));
}

#[tokio::test]
async fn what_refers_to_a_node_that_cannot_be_reached_hears_noconnection() {
    let epmd = epmd();
    let a = builder(&epmd, A, "c").auto_connect(AutoConnect::Never).start().await.unwrap();
    let b = builder(&epmd, B, "c").start().await.unwrap();
    let (mut one, other) = (a.spawn(), b.spawn());
    one.trap_exits(true);
    assert!(one.send(other.pid(), atom("x")).await.is_err());
    one.monitor(other.pid()).await;
    is_down(&next(&mut one).await, &other.pid().into(), "noconnection");
    one.link(&other.pid()).await;
    is_exit(&next(&mut one).await, &other.pid(), "noconnection");
    assert!(matches!(one.call(other.pid(), atom("x"), PATIENCE).await, Err(CallError::NotConnected(_))));
    assert_eq!(a.connect_node(B).await, Ok(true));
    one.monitor(other.pid()).await;
    one.link(&other.pid()).await;
    b.disconnect(A);
    let (first, second) = (next(&mut one).await, next(&mut one).await);
    is_down(&first, &other.pid().into(), "noconnection");
    is_exit(&second, &other.pid(), "noconnection");
}

#[tokio::test]
async fn an_alias_works_until_it_is_taken_back() {
    let (_epmd, pairs) = pairs().await;
    for (one, mut other) in pairs {
        let alias = other.alias();
        let tag = |alias: &beamroute::term::Reference| {
            beamroute::term::Term::from(eetf::ImproperList {
                elements: vec![atom("alias")],
                last: Box::new(alias.clone().into()),
            })
        };
        // A gen call with our own alias as the place for the reply.
        let request = tuple([atom("$gen_call"), tuple([other.pid().into(), tag(&alias)]), integer(5)]);
        spawn_echo(one.node());
        other.send(("echo", one.node().name()), request.clone()).await.unwrap();
        is_info(&next(&mut other).await, &tuple([tag(&alias), integer(5)]));
        assert!(other.unalias(&alias) && !other.unalias(&alias));
        other.send(("echo", one.node().name()), request).await.unwrap();
        assert_eq!(other.call(("echo", one.node().name()), integer(6), PATIENCE).await, Ok(integer(6)));
        assert!(other.try_receive().is_none());
        assert_eq!(
            other.call(("echo", one.node().name()), atom("stop"), PATIENCE).await,
            Err(CallError::Down(atom("stopped")))
        );
    }
}
