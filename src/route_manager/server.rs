//! The loop: messages in, one commit for all of them, replies out.

mod batch;

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant, SystemTime};

use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use self::batch::{QUESTION, REPETITION, SHARE, WISH};
use super::NAMES;
use super::audit::Audit;
use super::flush::Flush;
use super::kernel::Kernel;
use super::metered::{asked, asked_by, asked_in};
use super::owners::{Fate, Owners};
use super::planned::planned;
use super::repetitions::{Repetitions, all_repeat, repeating};
use super::replies::{error, raised, refused};
use super::request::{Refusal, Request};
use super::saved::Journal;
use super::status::{View, posix};
use super::steering::Steering;
use super::tell::{self, Teller};
use crate::deadline::Alarm;
use crate::metrics::{self, calls::Asked};
use crate::netlink::Conntrack;
use crate::node::{
    Answer, Caller, FlatMessage, Message, MonitorOptions, Node, NodeType, Process, Sender, refuse_io, system_reply,
};
use crate::route::{Call, DesiredState, Effect, FIRST_TABLE, IfName, SetBy, Status, Touched, Wish, WishError};
use crate::term::{Pid, Show, Term, atom, binary};

/// How long a batch that failed as a whole waits for its next try.
const RETRY: Duration = Duration::from_secs(1);

/// What the loop has to be told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How many interfaces may be known at once.
    pub max_interfaces: usize,
    /// How many processes may subscribe at once.
    pub max_subscribers: usize,
    /// Whether the kernel is cleared of all that is ours in the end. What callers asked for stays saved.
    pub clears_on_exit: bool,
}

/// Why the loop ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It was told to from inside the program.
    ShutDown,
    /// A caller asked for it.
    Stopped,
}

/// The process and all that it owns.
pub struct RouteManager {
    node: Node,
    process: Process,
    kernel: Kernel,
    state: DesiredState,
    steering: Steering,
    owners: Owners,
    settings: Settings,
    journal: Journal,
    teller: Teller,
    audit: Audit,
    /// What becomes of existing connections after a failover, if anything.
    flush: Option<Flush>,
    /// Callers whose requests are in the desired state, and not yet in the kernel.
    uncommitted: Vec<Waiting>,
    /// What came together and has to be looked at one by one; before all that is in the mailbox.
    parted: VecDeque<FlatMessage>,
    /// What has been done since the last turn of the others.
    effort: usize,
    repetitions: Repetitions,
    /// Statuses that were said again since the last commit.
    repeated: BTreeMap<IfName, Status>,
    /// The desired state or the kernel differ from what was last planned.
    is_dirty: bool,
    /// So many changes have been made since, because they had been foreseen.
    ahead: usize,
    /// What is left to be done for the last commits.
    after: FollowUp,
    /// A caller ended us, for this reason.
    stopped: Option<Term>,
    /// The atom `ok`.
    ok: Term,
}

/// What commits have left to be done when their callers have their replies.
#[derive(Debug, Default)]
struct FollowUp {
    /// Somebody may notice if it is put off.
    is_due: bool,
    /// Something was planned.
    is_new: bool,
    /// So many changes were made.
    changed: usize,
}

/// A caller, its reply, and whether that reply promises something that outlives us.
struct Waiting {
    caller: Caller,
    /// `ok` if there is none.
    reply: Option<Term>,
    is_promise: bool,
}

impl RouteManager {
    /// Registers the process on `node`. It goes on with `state`, which `kernel` has been brought to by the ranking of
    /// `steering`, and saves it in `journal`.
    #[must_use]
    pub fn new(
        node: Node,
        kernel: Kernel,
        state: DesiredState,
        steering: Steering,
        journal: Journal,
        settings: Settings,
    ) -> Self {
        let owners = Owners::restore(journal.policies().clone(), Instant::now());
        let process = node.spawn_fair(SHARE);
        for name in NAMES {
            process.register(name);
            process.export(name);
        }
        process.trap_exits(true);
        process.shield();
        let repetitions = Repetitions::default();
        process.take_flat(repetitions.clone());
        process.monitor_nodes(MonitorOptions { node_type: Some(NodeType::All), ..MonitorOptions::default() });
        Self {
            node,
            process,
            kernel,
            state,
            steering,
            owners,
            settings,
            journal,
            teller: Teller::default(),
            audit: Audit::default(),
            flush: None,
            uncommitted: Vec::new(),
            parted: VecDeque::new(),
            effort: 0,
            repetitions,
            repeated: BTreeMap::new(),
            // Nothing to change, but perhaps something to tell.
            is_dirty: true,
            ahead: 0,
            after: FollowUp::default(),
            stopped: None,
            ok: atom("ok"),
        }
    }

    /// Its pid, which each start of the node makes anew.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.process.pid()
    }

    /// Deletes the connections of an interface that was the best way out, when another one has become it.
    pub fn flush_connections(&mut self, conntrack: Conntrack) {
        self.flush = Flush::new(conntrack);
    }

    /// Serves until `shutdown` is cancelled or a caller stops it. What is in the mailbox then is still answered, and
    /// monitors and links are told.
    pub async fn run(mut self, shutdown: CancellationToken) -> Ended {
        let mut teller = std::mem::take(&mut self.teller);
        teller.begin(&self.view());
        self.teller = teller;
        // What others had done before we came is news to us.
        self.turn(None).await;
        // These last from one round to the next: to begin to wait costs more than to answer a call.
        let (asker, mut alarm) = (self.steering.asked(), Alarm::new());
        let (ends, asked) = (shutdown.cancelled(), asker.notified());
        tokio::pin!(ends, asked);
        while self.stopped.is_none() {
            let due = self.due();
            let first = tokio::select! {
                biased;
                () = &mut ends => break,
                () = std::future::ready(()), if !self.parted.is_empty() => None,
                () = self.kernel.changed() => None,
                () = &mut asked => {
                    asked.set(asker.notified());
                    // As if a caller had asked; the log says what became of it.
                    self.write(Request::RefreshRouteMetrics, None, None);
                    None
                }
                () = alarm.reached(due.map(Into::into)) => None,
                message = self.process.receive() => message,
            };
            self.turn(first).await;
            // One who may has killed it.
            self.stopped = self.stopped.take().or_else(|| self.process.ended().cloned());
            // The writers first: what has been stirred up in the kernel can wait, the callers cannot.
            tokio::task::yield_now().await;
        }
        self.finish().await;
        // Before anyone is told that we have ended.
        if self.settings.clears_on_exit {
            self.kernel.clear();
        }
        let ended = if self.stopped.is_some() { Ended::Stopped } else { Ended::ShutDown };
        let reason = self.stopped.take().unwrap_or_else(|| atom("shutdown"));
        self.process.exit(&reason);
        ended
    }

    /// When a turn is due although nothing has happened.
    fn due(&self) -> Option<Instant> {
        let retry = self.kernel.wants_retry().then(|| Instant::now() + RETRY);
        let deadlines = [self.journal.retry_at(), self.owners.deadline(), self.kernel.due(), self.steering.due()];
        deadlines.into_iter().chain([retry]).flatten().min()
    }

    fn message(&mut self, message: Message) {
        match message {
            Message::Flat(messages) if self.repeats(&messages) => {
                self.effort += messages.count() * REPETITION;
                let waiting = |caller| Waiting { caller, reply: None, is_promise: true };
                self.uncommitted.extend(repeating(messages).map(waiting));
            }
            // One by one, each with its own effort.
            Message::Flat(messages) if messages.count() > 1 => self.parted.extend(messages.split()),
            Message::Flat(message) => message.open().for_each(|message| self.act(message)),
            message => self.act(message),
        }
    }

    fn act(&mut self, message: Message) {
        self.effort += WISH;
        match message {
            Message::Call(caller, request) => match Request::from_call(&request) {
                Ok(request) => self.request(request, caller),
                Err(Refusal::BadArgument(what)) => {
                    debug!(node = caller.node(), what, "refused a call");
                    caller.about(asked_in(&what)).reply(Answer::Value(error([atom("badarg"), binary(what)])));
                }
                Err(Refusal::Unknown) => {
                    caller.about(Asked::Unknown).reply(Answer::Value(error([atom("unknown_request"), request])))
                }
            },
            Message::Apply { caller, module, function, args } => match Request::from_function(&function.name, &args) {
                Ok(request) => self.request(request, caller),
                Err(refusal) => caller.about(asked_by(&refusal)).reply(raised(&refusal, &module, &function, &args)),
            },
            Message::Cast(from, request) => self.cast(&from, &request),
            Message::System(caller, request) => self.system(caller, &request),
            Message::Info(message) => self.info(&message),
            Message::NodeUp(news) => self.owners.node_up(&news.node),
            Message::NodeDown(news) => self.owners.node_down(&news.node, Instant::now()),
            Message::Lagged(_) => self.owners.see(&self.node.nodes(|_| true), Instant::now()),
            Message::Down { reference, .. } => self.teller.ended(&reference),
            // Whoever links to it or sends it exit signals is not obeyed. And what is flat has been opened.
            Message::Exit { .. } | Message::Flat(_) => {}
        }
    }

    /// Whether callers on `node` may ask that.
    fn permits(&self, request: &Request, node: &str) -> bool {
        let rights = self.node.rights_of(node);
        match request {
            Request::Stop => rights.admin,
            request if request.is_read() => rights.read,
            _ => rights.write,
        }
    }

    /// Whether all say what is known of an interface's status, and their node may say so: there is nothing to do but to answer.
    fn repeats(&mut self, messages: &FlatMessage) -> bool {
        let (state, repeated) = (&self.state, &mut self.repeated);
        all_repeat(messages, |name, status| {
            let is_known = state.repeats_status(name, status, None);
            if is_known {
                repeated.insert(name, status);
            }
            is_known
        })
    }

    fn request(&mut self, request: Request, caller: Caller) {
        let caller = caller.about(asked(&request));
        if !self.permits(&request, caller.node()) {
            let refusal = not_allowed(&request, caller.node());
            return caller.reply(Answer::Value(refusal));
        }
        if request.is_read() {
            self.effort += QUESTION;
            // What was asked before must be seen; what is asked later must not.
            self.commit_all();
            return self.read(request, caller);
        }
        let from = caller.sender();
        self.write(request, Some(&from), Some(caller));
    }

    fn cast(&mut self, from: &Sender, request: &Term) {
        match Request::from_call(request) {
            Ok(request) if !self.permits(&request, &from.node) => _ = not_allowed(&request, &from.node),
            // Without a pid it would be for whoever sent it, and a cast is nobody's.
            Ok(Request::Subscribe(Some(pid))) => {
                self.commit_all();
                self.subscribe(pid, |reply| debug!(reply = %Show(&reply), "subscribed by a cast"));
            }
            Ok(Request::Unsubscribe(Some(pid))) => {
                self.commit_all();
                self.teller.unsubscribe(&self.process, &pid);
            }
            Ok(request) if !request.is_read() => self.write(request, Some(from), None),
            _ => debug!(request = %Show(request), "a cast that means nothing"),
        }
    }

    fn read(&mut self, request: Request, caller: Caller) {
        match request {
            Request::Get(path) => {
                let ours = self.teller.property(&path);
                caller.reply(ours.unwrap_or_else(|| self.view().property(&path)));
            }
            Request::Plan => {
                let changes = self.kernel.planned();
                caller.reply(planned(&changes, self.kernel.world(), self.kernel.protocol()));
            }
            Request::Subscribe(pid) => match pid.or_else(|| caller.sender().pid) {
                Some(pid) => self.subscribe(pid, |reply| caller.reply(reply)),
                None => caller.reply(error([atom("badarg")])),
            },
            Request::Unsubscribe(pid) => {
                if let Some(pid) = pid.or_else(|| caller.sender().pid) {
                    self.teller.unsubscribe(&self.process, &pid);
                }
                caller.reply(atom("ok"));
            }
            _ => caller.reply(self.view().status()),
        }
    }

    /// The answer first, then the present state.
    fn subscribe(&mut self, pid: Pid, answer: impl FnOnce(Term)) {
        let mut teller = std::mem::take(&mut self.teller);
        let (reply, told) = teller.subscribe(&self.process, pid, self.settings.max_subscribers, &self.view());
        self.teller = teller;
        answer(reply);
        tell::send(&self.process, told);
    }

    /// Folds a request into the desired state. Its caller is answered after the commit, or at once if it is refused.
    fn write(&mut self, request: Request, from: Option<&Sender>, caller: Option<Caller>) {
        let (is_saved, about) = (is_saved(&request), request.about());
        self.repetitions.forget(about);
        self.repeated.clear();
        let accepted = from.map(|from| (from, request.clone()));
        let result = self.fold(request, from);
        if let (Ok(Effect::Changed | Effect::Noted), Some((from, request))) = (&result, accepted) {
            self.audit.note(from, request);
        }
        if result == Ok(Effect::Changed) {
            // What was refused for the old wishes may be taken for the new ones.
            self.kernel.forget_refusals();
            self.is_dirty = true;
            self.kernel.touch(about.map_or_else(Touched::everything, |name| Touched::names([name])));
            if let Some(name) = about {
                self.steering.see(name, &self.state, now_ms());
            }
        }
        if let (Ok(Effect::Changed | Effect::Noted), Some(name)) = (&result, about.filter(|_| is_saved)) {
            self.journal.touch(name);
        }
        if let Some(caller) = caller {
            let is_promise = is_saved && result.is_ok();
            let reply = result.err();
            self.uncommitted.push(Waiting { caller, reply, is_promise });
        }
    }

    fn fold(&mut self, request: Request, from: Option<&Sender>) -> Result<Effect, Term> {
        let who = from.and_then(set_by);
        debug!(?request, from = from.map(|from| from.node.as_str()), "request");
        match request {
            Request::SetRoute { ifname, subnets, gateway } => {
                let addresses = subnets.clone();
                let effect = self.wish(ifname, who, |state, call| state.set_route(ifname, addresses, gateway, call))?;
                // Not before the wish is taken: a refusal must leave what an earlier run left.
                self.is_dirty |= self.kernel.release_orphans(ifname, &subnets);
                Ok(effect)
            }
            Request::ClearRoute(ifname) => {
                self.is_dirty |= self.kernel.release_orphans(ifname, &[]);
                Ok(self.state.clear_route(ifname))
            }
            Request::SetConnectionStatus { ifname, status, why } => {
                self.wish(ifname, who, |state, call| state.set_status(ifname, status, why, call))
            }
            Request::SetMetric { ifname, metric } => self.state.set_metric(ifname, metric).map_err(refused),
            Request::RefreshRouteMetrics => match self.steering.read() {
                Ok(()) => Ok(Effect::Changed),
                Err(reason) => Err(error([atom("bad_config"), binary(reason)])),
            },
            Request::SetOwnerPolicy(policy) => {
                let wishes = self.state.interfaces();
                let owns = |node: &str| wishes.values().any(|wish| wish.is_of(node));
                let is_set = from.is_some_and(|from| self.owners.set(&from.node, policy, Instant::now(), owns));
                self.journal.set_policies(self.owners.policies());
                if is_set { Ok(Effect::Noted) } else { Err(error([atom("system_limit")])) }
            }
            Request::Stop => {
                self.stopped = Some(atom("normal"));
                Ok(Effect::Unchanged)
            }
            Request::Status | Request::Get(_) | Request::Plan | Request::Subscribe(_) | Request::Unsubscribe(_) => {
                Ok(Effect::Unchanged)
            }
        }
    }

    fn wish(
        &mut self,
        ifname: IfName,
        who: Option<SetBy>,
        change: impl FnOnce(&mut DesiredState, &Call<'_>) -> Result<Effect, WishError>,
    ) -> Result<Effect, Term> {
        let (world, orphans) = (self.kernel.world(), self.kernel.orphans());
        let call = Call { world, orphans, now_ms: now_ms(), who };
        let was_known = self.state.interfaces().contains_key(&ifname);
        let effect = change(&mut self.state, &call).map_err(refused)?;
        if let Some(wish) = self.state.interfaces().get(&ifname).filter(|_| !was_known) {
            let in_use: Vec<u32> = (FIRST_TABLE..wish.table).filter(|table| world.is_foreign_table(*table)).collect();
            if !in_use.is_empty() {
                info!(%ifname, table = wish.table, ?in_use, "tables in use by other programs are not taken");
            }
        }
        Ok(effect)
    }

    /// Saves the desired state, brings the kernel to it, and answers those who asked for it. In this order: see
    /// [`super::saved`].
    fn commit(&mut self) {
        if self.journal.is_due(Instant::now()) {
            self.journal.save_touched(&self.state);
        }
        let is_new = std::mem::take(&mut self.is_dirty);
        let changed = if is_new {
            let changed = self.settle_and_commit();
            // What the kernel has refused just now is no way out that anybody could be held up for.
            let is_in_doubt = self.steering.is_holding() && self.kernel.has_refused();
            changed + std::mem::take(&mut self.ahead) + if is_in_doubt { self.settle_and_commit() } else { 0 }
        } else {
            0
        };
        metrics::clock::tick();
        let not_saved = self.journal.unsaved().map(|errno| error([atom("not_saved"), posix(errno)]));
        if not_saved.is_none() && self.kernel.is_well() {
            self.repetitions.learn(std::mem::take(&mut self.repeated));
        } else {
            self.repetitions.forget(None);
            self.repeated.clear();
        }
        for Waiting { caller, reply, is_promise } in self.uncommitted.drain(..) {
            let failed = not_saved.as_ref().filter(|_| is_promise).or(reply.as_ref());
            caller.reply_value(failed.unwrap_or(&self.ok));
        }
        self.after.is_due |= is_new || self.audit.has_news();
        self.after.is_new |= is_new;
        self.after.changed += changed;
    }

    /// A commit and all that follows it.
    fn commit_all(&mut self) {
        self.commit();
        self.follow_up();
    }

    /// What follows a commit, and no caller should wait for: the log, the subscribers, and what may be needed next.
    fn follow_up(&mut self) {
        let FollowUp { is_new, changed, .. } = std::mem::take(&mut self.after);
        self.kernel.catch_up(&self.state, self.steering.ranking());
        self.audit.tell(self.journal.unsaved());
        if is_new {
            metrics::NEWS.notify_one();
            self.tell(changed);
            if let Some(flush) = &mut self.flush {
                flush.see(self.kernel.world(), &self.state);
            }
        }
        self.journal.compact();
        if is_new {
            self.kernel.expect(&self.state, self.steering.ranking());
        }
    }

    fn settle_and_commit(&mut self) -> usize {
        let recounted = self.steering.settle(&self.state, &self.kernel);
        self.kernel.touch(Touched::names(recounted));
        self.kernel.commit(&self.state, self.steering.ranking())
    }

    /// Tells what is new: the one place where events come out.
    fn tell(&mut self, changed: usize) {
        let touched = self.kernel.take_replanned();
        let mut teller = std::mem::take(&mut self.teller);
        teller.tell(&self.process, &self.view(), touched);
        self.teller = teller;
        if changed > 0 {
            info!(changed, best = self.teller.best().map(tracing::field::display), "routes changed");
        }
    }

    /// `sys`: reads what was asked before, and ends for those who may.
    fn system(&mut self, caller: Caller, request: &Term) {
        self.commit_all();
        let (pid, rights) = (self.process.pid(), self.node.rights_of(caller.node()));
        let state = || if rights.read { self.view().status() } else { atom("not_allowed") };
        let answer = system_reply(request, pid, state, rights.admin);
        caller.reply(answer.reply);
        self.stopped = self.stopped.take().or(answer.terminate);
    }

    /// A message of no known form. Nobody may hang on an I/O request.
    fn info(&self, message: &Term) {
        match refuse_io(message) {
            Some((to, refusal)) => self.process.send_now(&to, refusal),
            None => debug!(message = %Show(message), "a message that means nothing"),
        }
    }

    fn end_grace_times(&mut self) {
        for (node, policy) in self.owners.due(Instant::now()) {
            let fate = |(name, wish): (&IfName, &Wish)| policy.fate(&node, wish).map(|fate| (*name, fate));
            for (name, fate) in self.state.interfaces().iter().filter_map(fate).collect::<Vec<_>>() {
                info!(ifname = %name, owner = node, "the owner is away; its policy applies");
                let why = Some(format!("{node} is down"));
                let request = match fate {
                    Fate::Clear => Request::ClearRoute(name),
                    Fate::Fall(status) => Request::SetConnectionStatus { ifname: name, status, why },
                };
                self.write(request, None, None);
            }
        }
    }

    fn view(&self) -> View<'_> {
        View {
            state: &self.state,
            ranking: self.steering.ranking(),
            steering: &self.steering,
            policies: self.owners.policies(),
            kernel: &self.kernel,
            node: &self.node,
            unsaved: self.journal.unsaved().map(posix),
        }
    }
}

/// Whether the journal has what the request changes.
const fn is_saved(request: &Request) -> bool {
    matches!(
        request,
        Request::SetRoute { .. }
            | Request::ClearRoute(_)
            | Request::SetConnectionStatus { .. }
            | Request::SetMetric { .. }
            | Request::SetOwnerPolicy(_)
    )
}

/// What a caller without the right is told, and the log.
fn not_allowed(request: &Request, node: &str) -> Term {
    info!(node, %request, "not allowed");
    error([atom("not_allowed")])
}

fn set_by(from: &Sender) -> Option<SetBy> {
    let pid = from.pid.as_ref()?;
    Some(SetBy { node: from.node.clone(), id: pid.id, serial: pid.serial, creation: pid.creation })
}

pub(super) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
