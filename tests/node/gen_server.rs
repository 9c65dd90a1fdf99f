//! Servers behind the `GenServer` trait, called by another of our nodes.

use beamroute::node::{CallError, Caller, Function, GenServer, Message, Next, Node, Process, Sender};
use beamroute::term::{Term, as_atom, as_integer, as_tuple, atom, integer, tuple};
use tokio::sync::mpsc;

use super::PATIENCE;
use super::dialling::{A, B, builder, epmd};

/// Counts, answers late when asked to, and tells of its end.
struct Counter {
    count: i64,
    waiting: Vec<Caller>,
    ended: mpsc::UnboundedSender<Term>,
}

impl GenServer for Counter {
    async fn call(&mut self, request: Term, caller: Caller, process: &Process) -> Next {
        match as_atom(&request) {
            Some("get") => caller.reply(integer(self.count)),
            Some("whoami") => caller.reply(Term::from(process.pid())),
            Some("wait") => self.waiting.push(caller),
            Some("stop") => {
                caller.reply(atom("stopping"));
                return Next::Stop(atom("asked"));
            }
            _ => caller.reply(tuple([atom("error"), request])),
        }
        Next::Continue
    }

    async fn cast(&mut self, request: Term, _from: Sender, _: &Process) -> Next {
        self.count += as_integer(&request).unwrap_or(0);
        for caller in self.waiting.drain(..) {
            caller.reply(integer(self.count));
        }
        Next::Continue
    }

    async fn info(&mut self, message: Message, _: &Process) -> Next {
        match message {
            Message::Info(text) if text == atom("reset") => self.count = 0,
            Message::Exit { reason, .. } => return Next::Stop(reason),
            _ => {}
        }
        Next::Continue
    }

    async fn apply(&mut self, function: Function, caller: Caller, _: &Process) -> Next {
        caller.reply(tuple([atom(&function.name.name), integer(self.count)]));
        Next::Continue
    }

    fn state(&self) -> Term {
        integer(self.count)
    }

    fn terminate(&mut self, reason: &Term) {
        let _ = self.ended.send(reason.clone());
    }
}

async fn serve(node: &Node, traps_exits: bool) -> mpsc::UnboundedReceiver<Term> {
    let (ended, ends) = mpsc::unbounded_channel();
    let process = node.spawn();
    assert!(process.register("counter"));
    process.trap_exits(traps_exits);
    tokio::spawn(process.serve(Counter { count: 0, waiting: Vec::new(), ended }));
    ends
}

#[tokio::test]
async fn call_cast_info_and_a_late_reply() {
    let epmd = epmd();
    let (a, b) = (builder(&epmd, A, "c").start().await.unwrap(), builder(&epmd, B, "c").start().await.unwrap());
    let mut ends = serve(&b, false).await;
    let client = a.spawn();
    let call = async |request: Term| client.call(("counter", B), request, PATIENCE).await;
    assert_eq!(call(atom("get")).await, Ok(integer(0)));
    client.cast(("counter", B), integer(5)).await.unwrap();
    assert_eq!(call(atom("get")).await, Ok(integer(5)));
    client.send(("counter", B), atom("reset")).await.unwrap();
    assert_eq!(call(atom("get")).await, Ok(integer(0)));
    let waiting = tokio::spawn({
        let a = a.clone();
        async move { a.call(("counter", B), atom("wait"), PATIENCE).await }
    });
    tokio::task::yield_now().await;
    super::eventually(async || b.counts().monitored_by == 1).await;
    assert_eq!(call(integer(7)).await, Ok(tuple([atom("error"), integer(7)])), "others are served meanwhile");
    client.cast(("counter", B), integer(3)).await.unwrap();
    assert_eq!(waiting.await.unwrap(), Ok(integer(3)));
    assert_eq!(call(atom("stop")).await, Ok(atom("stopping")));
    assert_eq!(ends.recv().await, Some(atom("asked")));
    assert_eq!(call(atom("get")).await, Err(CallError::Down(atom("noproc"))));
}

#[tokio::test]
async fn exit_signals_and_what_terminate_hears() {
    let epmd = epmd();
    let a = builder(&epmd, A, "c").start().await.unwrap();
    for (traps_exits, sent, told) in
        [(false, "shutdown", "shutdown"), (true, "shutdown", "shutdown"), (true, "kill", "killed")]
    {
        let mut ends = serve(&a, traps_exits).await;
        let client = a.spawn();
        let Ok(Term::Pid(pid)) = client.call("counter", atom("whoami"), PATIENCE).await else { panic!("a pid") };
        client.send_exit(&pid, atom(sent)).await.unwrap();
        assert_eq!(ends.recv().await, Some(atom(told)));
        super::eventually(async || a.counts().processes == 1).await;
    }
}

#[tokio::test]
async fn system_messages_are_answered_for_it() {
    let epmd = epmd();
    let a = builder(&epmd, A, "c").start().await.unwrap();
    let mut ends = serve(&a, false).await;
    let mut client = a.spawn();
    let alias = client.alias();
    let mut ask = async |request: Term| {
        let tag = eetf::ImproperList { elements: vec![atom("alias")], last: Box::new(alias.clone().into()) };
        let from = tuple([client.pid().into(), tag.into()]);
        client.send("counter", tuple([atom("system"), from, request])).await.unwrap();
        let Message::Info(reply) = super::start_stop::next(&mut client).await else { panic!("a reply") };
        let [_, reply] = as_tuple::<2>(&reply).unwrap();
        reply.clone()
    };
    assert_eq!(ask(atom("get_state")).await, tuple([atom("ok"), integer(0)]));
    let unknown = tuple([atom("error"), tuple([atom("unknown_system_msg"), atom("suspend")])]);
    assert_eq!(ask(atom("suspend")).await, unknown);
    assert_eq!(ask(tuple([atom("terminate"), atom("enough")])).await, atom("ok"));
    assert_eq!(ends.recv().await, Some(atom("enough")));
}
