//! When the service manager is told what: ready, how things stand, that the owner of the routes lives, what became of a
//! reload.
//!
//! The watchdog is fed by `route_manager` answering: its mailbox is asked, as any caller asks, and no answer means no
//! food. A timer alone would feed it for ever while nobody is served.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tracing::warn;

use super::notify::{FOOD, Notifier, one_line};
use crate::deadline::reached;
use crate::epmd::EpmdState;
use crate::metrics::{self, Routes};
use crate::node::Node;
use crate::route_manager::{NAMES, counts_request};
use crate::term::{Term, as_integer, as_tuple};

/// Between two looks at a port mapper that is not there yet.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// Between two words on how things stand.
const PAUSE: Duration = Duration::from_secs(1);

/// How long an answer may take where no watchdog says how long.
const PATIENCE: Duration = Duration::from_secs(5);

/// What became of the files that are read again.
#[derive(Debug, Clone, Default)]
pub(super) struct Files {
    /// So many reloads have begun.
    begun: u64,
    /// So many are over.
    done: u64,
    /// What is wrong with the certificates, if anything.
    certificates: Option<String>,
    /// What is wrong with the configuration, if anything.
    configuration: Option<String>,
}

impl Files {
    /// A reload begins. The certificates have been read.
    pub(super) fn begin(&mut self, certificates: Option<String>) {
        self.begun = self.begun.saturating_add(1);
        self.certificates = certificates;
    }

    /// The configuration has been read, for a reload or because a caller wanted it.
    pub(super) fn end(&mut self, configuration: Option<String>) {
        self.done = self.begun;
        self.configuration = configuration;
    }
}

/// The service manager, told by a task of its own.
#[derive(Debug)]
pub(super) struct Supervision {
    notifier: Arc<Notifier>,
    task: JoinHandle<()>,
}

impl Supervision {
    /// Says that we are ready when the node is registered, and goes on from there.
    pub(super) fn begin(
        notifier: Arc<Notifier>,
        watchdog: Option<Duration>,
        node: Node,
        files: watch::Receiver<Files>,
    ) -> Self {
        let status = String::new();
        let supervisor = Supervisor { notifier: Arc::clone(&notifier), node, files, watchdog, ready_for: 0, status };
        Self { notifier, task: tokio::spawn(supervisor.run()) }
    }

    /// A reload begins.
    pub(super) fn reloading(&self) {
        self.notifier.tell_reloading();
    }

    /// The end begins.
    pub(super) fn stopping(self) {
        self.task.abort();
        stopping(&self.notifier);
    }
}

/// The end begins, perhaps of what was not ready.
pub(super) fn stopping(notifier: &Notifier) {
    notifier.tell("STOPPING=1\nSTATUS=stopping");
}

struct Supervisor {
    notifier: Arc<Notifier>,
    node: Node,
    files: watch::Receiver<Files>,
    watchdog: Option<Duration>,
    /// So many reloads were told to be over.
    ready_for: u64,
    /// What was last told.
    status: String,
}

impl Supervisor {
    async fn run(mut self) {
        while self.node.epmd_state().await == Some(EpmdState::Waiting) {
            if self.status.is_empty() {
                self.status = "routes are kept; waiting for epmd".to_owned();
                self.notifier.tell(&format!("STATUS={}", self.status));
            }
            sleep(LOOK_AGAIN).await;
            self.notifier.catch_up();
        }
        self.status = self.describe().await.1;
        self.notifier.tell(&format!("READY=1\nSTATUS={}", self.status));
        let mut feeding = self.watchdog.map(|time| interval((time / 2).max(Duration::from_millis(1))));
        if let Some(feeding) = &mut feeding {
            feeding.set_missed_tick_behavior(MissedTickBehavior::Delay);
        }
        let mut looked_at = Instant::now();
        let mut is_news = false;
        loop {
            let due = is_news.then(|| looked_at + PAUSE);
            let hunger = async {
                match &mut feeding {
                    Some(feeding) => _ = feeding.tick().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = hunger => is_news |= self.feed().await,
                () = metrics::NEWS.notified(), if !is_news => is_news = true,
                () = reached(due) => {
                    is_news = false;
                    looked_at = Instant::now();
                    self.tell_status().await;
                }
                Ok(()) = self.files.changed() => is_news |= self.reread().await,
                () = self.notifier.behind() => self.notifier.catch_up(),
            }
        }
    }

    /// Feeds the watchdog if the owner answers. Says whether anything else is known now.
    async fn feed(&mut self) -> bool {
        match self.describe().await {
            (true, status) => {
                self.notifier.tell(FOOD);
                status != self.status
            }
            (false, _) => {
                warn!("route_manager does not answer; the watchdog is not fed");
                true
            }
        }
    }

    async fn tell_status(&mut self) {
        let status = self.describe().await.1;
        if status != self.status {
            self.notifier.tell(&format!("STATUS={status}"));
            self.status = status;
        }
    }

    /// Says whether there is something to say that has not been said.
    async fn reread(&mut self) -> bool {
        let Files { begun, done, .. } = *self.files.borrow_and_update();
        if done == self.ready_for || done != begun {
            // Read because a caller wanted it, or still to be read.
            return done == begun;
        }
        self.ready_for = done;
        // Answered when the new ranking is in the kernel: it came first.
        self.status = self.describe().await.1;
        self.notifier.tell(&format!("READY=1\nSTATUS={}", self.status));
        false
    }

    /// Whether the owner has answered, and how things stand.
    async fn describe(&self) -> (bool, String) {
        let patience = self.watchdog.map_or(PATIENCE, |time| time / 2);
        let routes = routes(&self.node, patience).await;
        let peers = self.node.nodes(|_| true).len();
        let epmd = if self.node.epmd_state().await == Some(EpmdState::Waiting) { "waiting for epmd; " } else { "" };
        let peers = format!("{epmd}{peers} {}", if peers == 1 { "peer" } else { "peers" });
        let mut status = match routes {
            None => format!("{peers}; route_manager does not answer"),
            Some(routes) => {
                let pending = match routes.interfaces_pending {
                    0 => String::new(),
                    pending => format!(", {pending} of {} interfaces pending", routes.interfaces),
                };
                format!("{peers}; {} of {} routes and rules installed{pending}", routes.installed, routes.wanted)
            }
        };
        let files = self.files.borrow();
        for refused in [&files.certificates, &files.configuration].into_iter().flatten() {
            status += "; refused, what was before stays: ";
            status += refused;
        }
        (routes.is_some(), one_line(&status))
    }
}

/// What `route_manager` says of its routes, if it answers in time.
pub(super) async fn routes(node: &Node, patience: Duration) -> Option<Routes> {
    let [name, ..] = NAMES;
    let counts = node.call(name, counts_request(), patience).await.ok()?;
    let number = |term: &Term| as_integer(term).and_then(|number| u64::try_from(number).ok());
    let [wanted, installed, interfaces, pending] = as_tuple::<4>(&counts)?;
    Some(Routes {
        wanted: number(wanted)?,
        installed: number(installed)?,
        interfaces: number(interfaces)?,
        interfaces_pending: number(pending)?,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use super::super::notify::Surroundings;
    use super::*;
    use crate::node::{Cookie, Message, NodeConfig, Process};
    use crate::term::{integer, tuple};

    struct Rig {
        socket: UnixDatagram,
        owner: Process,
        node: Node,
        files: watch::Sender<Files>,
        supervision: Supervision,
        dir: tempfile::TempDir,
    }

    impl Rig {
        /// A process with the owner's name, whose body is the test.
        fn new(watchdog: Duration) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("notify");
            let socket = UnixDatagram::bind(&path).unwrap();
            socket.set_nonblocking(true).unwrap();
            let around = Surroundings { socket: Some(path.into()), ..Surroundings::default() };
            let notifier = Arc::new(Notifier::open(&around).unwrap());
            let node = Node::new(NodeConfig::new(&Cookie::parse(b"c", "test").unwrap()));
            let owner = node.spawn();
            assert!(owner.register("route_manager"));
            let files = watch::Sender::default();
            let supervision = Supervision::begin(notifier, Some(watchdog), node.clone(), files.subscribe());
            Self { socket, owner, node, files, supervision, dir }
        }

        /// The owner answers the next question.
        async fn answer(&mut self, installed: i64) {
            loop {
                if let Some(Message::Call(caller, request)) = self.owner.receive().await {
                    assert_eq!(request, counts_request());
                    return caller.reply(tuple([integer(5), integer(installed), integer(1), integer(0)]));
                }
            }
        }

        fn told(&self) -> Vec<String> {
            let mut buffer = [0; 1024];
            let next = || {
                let length = self.socket.recv(&mut buffer).ok()?;
                Some(String::from_utf8_lossy(buffer.get(..length)?).into_owned())
            };
            std::iter::from_fn(next).collect()
        }

        fn is_fed(&self) -> bool {
            self.told().iter().any(|text| text == "WATCHDOG=1")
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_watchdog_starves_when_the_owner_is_stuck() {
        let watchdog = Duration::from_secs(10);
        let mut rig = Rig::new(watchdog);
        rig.answer(5).await;
        rig.answer(5).await;
        sleep(Duration::from_secs(1)).await;
        let told = rig.told();
        assert_eq!(told, ["READY=1\nSTATUS=0 peers; 5 of 5 routes and rules installed", "WATCHDOG=1"]);
        for _ in 0..3 {
            rig.answer(5).await;
            sleep(Duration::from_millis(1)).await;
            assert!(rig.is_fed(), "its owner answers");
        }
        // Now it does not take its messages any more. The runtime, its timers and this node go on.
        sleep(watchdog * 20).await;
        let told = rig.told();
        assert!(!told.iter().any(|text| text == "WATCHDOG=1"), "{told:?}");
        assert_eq!(told, ["STATUS=0 peers; route_manager does not answer"], "said once");
        // And when it has ended.
        drop(rig.owner);
        sleep(watchdog * 20).await;
        assert_eq!(rig.socket.recv(&mut [0; 8]).map_err(|error| error.kind()), Err(std::io::ErrorKind::WouldBlock));
        rig.supervision.stopping();
        assert!(!rig.node.name().is_empty());
    }

    /// A manager that is busy for a while, during which a reload is told to begin, or to begin and end.
    #[tokio::test(start_paused = true)]
    async fn what_a_full_queue_did_not_take_is_told_later() {
        let mut rig = Rig::new(Duration::from_secs(1_000_000));
        rig.answer(5).await;
        rig.answer(5).await;
        sleep(Duration::from_secs(2)).await;
        let stranger = UnixDatagram::unbound().unwrap();
        stranger.set_nonblocking(true).unwrap();
        let fill = |rig: &Rig| {
            rig.told();
            let path = rig.dir.path().join("notify");
            while stranger.send_to(b"X=1", &path).is_ok() {}
        };
        let ours = |rig: &Rig| rig.told().into_iter().filter(|text| text != "X=1").collect::<Vec<_>>();
        fill(&rig);
        rig.supervision.reloading();
        rig.files.send_modify(|files| files.begin(None));
        sleep(Duration::from_secs(10)).await;
        assert_eq!(ours(&rig), [""; 0], "the queue was full");
        sleep(Duration::from_secs(2)).await;
        let told = ours(&rig);
        assert!(told.len() == 1 && told.concat().starts_with("RELOADING=1\nMONOTONIC_USEC="), "{told:?}");
        fill(&rig);
        rig.files.send_modify(|files| files.end(None));
        rig.answer(4).await;
        sleep(Duration::from_secs(10)).await;
        assert_eq!(ours(&rig), [""; 0], "the queue was full");
        sleep(Duration::from_secs(2)).await;
        assert_eq!(ours(&rig), ["READY=1\nSTATUS=0 peers; 4 of 5 routes and rules installed"]);
        // Both at once: that a reload had begun is no news any more. And what is told is told once.
        fill(&rig);
        rig.supervision.reloading();
        rig.files.send_modify(|files| files.begin(None));
        rig.files.send_modify(|files| files.end(None));
        rig.answer(5).await;
        sleep(Duration::from_secs(10)).await;
        assert_eq!(ours(&rig), [""; 0], "the queue was full");
        sleep(Duration::from_secs(60)).await;
        assert_eq!(ours(&rig), ["READY=1\nSTATUS=0 peers; 5 of 5 routes and rules installed"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reload_is_over_when_the_owner_has_answered() {
        let mut rig = Rig::new(Duration::from_secs(1_000_000));
        rig.answer(0).await;
        rig.answer(0).await;
        sleep(Duration::from_secs(2)).await;
        rig.told();
        rig.supervision.reloading();
        rig.files.send_modify(|files| files.begin(None));
        sleep(Duration::from_secs(3)).await;
        let told = rig.told();
        assert!(told.len() == 1 && told.concat().starts_with("RELOADING=1\nMONOTONIC_USEC="), "{told:?}");
        rig.files.send_modify(|files| files.end(Some("b.toml:\nSTOPPING=1".into())));
        sleep(Duration::from_secs(1)).await;
        assert_eq!(rig.told(), [""; 0], "the owner has not answered yet");
        rig.answer(5).await;
        sleep(Duration::from_secs(1)).await;
        let refused = "refused, what was before stays: b.toml: STOPPING=1";
        assert_eq!(rig.told(), [format!("READY=1\nSTATUS=0 peers; 5 of 5 routes and rules installed; {refused}")]);
        // A caller has had the file read again: no reload.
        rig.files.send_modify(|files| files.end(None));
        rig.answer(5).await;
        sleep(Duration::from_secs(1)).await;
        assert_eq!(rig.told(), ["STATUS=0 peers; 5 of 5 routes and rules installed"]);
    }
}
