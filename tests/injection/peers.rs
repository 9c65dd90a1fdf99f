//! Who calls: processes of a real BEAM, and nodes written by hand. Neither gives up by itself while the node is up, so that
//! a call that is never answered is seen.

use std::collections::HashMap;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::support::beam::{QUIET, home_with};
use crate::support::etf::{Etf, Reader};
use crate::support::raw::{Raw, frame};
use crate::support::talk::spoken;
use crate::support::{Process, output, repository};
use crate::town::{TICKTIME, Town};

/// After so long a call hangs: far more than a node needs to notice that another is gone, and to give up a handshake.
pub const HANGS: Duration = Duration::from_secs(30);

/// How long a BEAM may take to start on a machine that has much else to do.
const STARTS: Duration = Duration::from_secs(120);

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The reply, without blanks.
    Reply(String),
    /// The node went down, or the caller did.
    Down(String),
    /// There was no connection, so nothing was sent.
    NotSent(String),
    Hung,
}

/// A BEAM node, whose processes call. It can be killed and started again.
pub struct BeamPeer {
    town: Arc<Town>,
    name: &'static str,
    running: Mutex<Option<Running>>,
    serial: AtomicU64,
    downs: Arc<AtomicU64>,
    home: TempDir,
}

struct Running {
    _process: Process,
    stdin: ChildStdin,
    waiting: Waiting,
}

/// Those who wait for an answer; nobody can once the BEAM is gone.
type Waiting = Arc<Mutex<Option<HashMap<u64, Sender<String>>>>>;

impl BeamPeer {
    pub fn start(town: &Arc<Town>, name: &'static str) -> Self {
        let peer = Self {
            town: Arc::clone(town),
            name,
            running: Mutex::default(),
            serial: AtomicU64::new(0),
            downs: Arc::default(),
            home: home_with(&town.cookie),
        };
        let file = repository("tests/injection/caller.erl");
        output(Command::new("erlc").args(["-Werror", "-o"]).arg(peer.home.path()).arg(file));
        peer.restart();
        peer
    }

    /// SIGKILL. Whoever waits for an answer is told.
    pub fn kill(&self) {
        *self.running.lock().unwrap() = None;
    }

    pub fn restart(&self) {
        let mut command = self.town.beam();
        command.args(["-noshell", "-name", self.name]).args(QUIET.split(' '));
        let ticktime = TICKTIME.to_string();
        command.args(["-kernel", "net_ticktime", &ticktime, "net_setuptime", &ticktime, "logger_level", "none"]);
        command.arg("-pa").arg(self.home.path()).args(["-eval", &format!("caller:start('{}').", self.town.node)]);
        command.env("HOME", self.home.path()).env("ERL_CRASH_DUMP_SECONDS", "0");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = Process::spawn(&mut command);
        let (stdin, stdout) = (process.0.stdin.take().unwrap(), process.0.stdout.take().unwrap());
        let waiting = Waiting::new(Mutex::new(Some(HashMap::new())));
        let (is_ready, ready) = channel();
        let (answers, downs) = (Arc::clone(&waiting), Arc::clone(&self.downs));
        std::thread::spawn(move || hand_out(stdout, &answers, &downs, &is_ready));
        ready.recv_timeout(STARTS).expect("the BEAM starts");
        *self.running.lock().unwrap() = Some(Running { _process: process, stdin, waiting });
    }

    /// How often a process that monitors the daemon's has been told that it went.
    pub fn downs(&self) -> u64 {
        self.downs.load(Ordering::SeqCst)
    }

    pub fn call(&self, term: &str) -> Answer {
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = channel();
        {
            let mut guard = self.running.lock().unwrap();
            let Some(running) = &mut *guard else { return Answer::NotSent("killed".to_owned()) };
            match &mut *running.waiting.lock().unwrap() {
                Some(waiting) => _ = waiting.insert(serial, sender),
                None => return Answer::NotSent("gone".to_owned()),
            }
            // If it is just being killed, the answer will not come.
            let _ = writeln!(running.stdin, "{serial} {term}.");
        }
        match answer.recv_timeout(HANGS) {
            Ok(text) => match text.strip_prefix("{reply,").and_then(|text| text.strip_suffix('}')) {
                Some(reply) => Answer::Reply(reply.to_owned()),
                None => Answer::Down(text),
            },
            Err(RecvTimeoutError::Disconnected) => Answer::Down("killed".to_owned()),
            Err(RecvTimeoutError::Timeout) => Answer::Hung,
        }
    }
}

/// Reads what a BEAM says, until it ends.
fn hand_out(stdout: ChildStdout, waiting: &Waiting, downs: &AtomicU64, is_ready: &Sender<()>) {
    for line in BufReader::new(stdout).lines().map_while(Result::ok) {
        if let Some((serial, text)) = line.strip_prefix("#call ").and_then(|line| line.split_once(' ')) {
            let mut waiting = waiting.lock().unwrap();
            let sender = waiting.as_mut().and_then(|waiting| waiting.remove(&serial.parse().unwrap()));
            let _ = sender.unwrap().send(text.replace(' ', ""));
        } else if line.starts_with("#down") {
            downs.fetch_add(1, Ordering::SeqCst);
        } else if line == "#ready" {
            let _ = is_ready.send(());
        }
    }
    *waiting.lock().unwrap() = None;
}

/// A node written by hand, which calls. For a thread among the peers.
pub struct RawPeer {
    town: Arc<Town>,
    name: String,
    raw: Option<Raw>,
    serial: u32,
    /// When it was set, the connection is reset in the midst of whatever goes on.
    crash: Arc<AtomicBool>,
}

impl RawPeer {
    pub fn new(town: &Arc<Town>, name: String, crash: Arc<AtomicBool>) -> Self {
        Self { town: Arc::clone(town), name, raw: None, serial: 0, crash }
    }

    pub fn call(&mut self, term: &str) -> Answer {
        match self.ask(term) {
            Ok(term) => Answer::Reply(term.to_string().replace([' ', '\''], "")),
            Err(answer) => answer,
        }
    }

    /// The reply, or how it came to none.
    pub fn ask(&mut self, term: &str) -> Result<Etf, Answer> {
        if self.raw.is_none() {
            let connected = self.town.connect(&self.name);
            self.raw = Some(connected.map_err(|error| Answer::NotSent(error.to_string()))?);
        }
        self.serial += 1;
        let answer = self.talk(term);
        if answer.is_err() {
            self.raw = None;
        }
        answer
    }

    fn talk(&mut self, term: &str) -> Result<Etf, Answer> {
        let raw = self.raw.as_mut().unwrap();
        let (me, tag) = (raw.pid(1), raw.reference(&[self.serial, 0, 0]));
        let text = format!("{{6, Me, '', route_manager}} {{'$gen_call', {{Me, Tag}}, {term}}}");
        raw.send(&spoken(&text, &[("Me", &me), ("Tag", &tag)]));
        let tag = Etf::Bytes(tag);
        let (begin, mut heard, mut said) = (Instant::now(), Instant::now(), Instant::now());
        let ticktime = Duration::from_secs(TICKTIME.into());
        while begin.elapsed() < HANGS {
            if self.crash.swap(false, Ordering::SeqCst) {
                self.raw.take().unwrap().reset();
                return Err(Answer::Down("crashed".to_owned()));
            }
            let raw = self.raw.as_mut().unwrap();
            match raw.poll_frame(Duration::from_millis(50)) {
                Ok(Some(body)) => {
                    heard = Instant::now();
                    if let Some(reply) = reply_in(&body, &tag) {
                        return Ok(reply);
                    }
                }
                Ok(None) => {}
                Err(error) => return Err(Answer::Down(error.to_string())),
            }
            if said.elapsed() > ticktime / 4 {
                raw.send(&frame(&[]));
                said = Instant::now();
            }
            if heard.elapsed() > ticktime * 5 / 4 {
                return Err(Answer::Down("net_tick_timeout".to_owned()));
            }
        }
        Err(Answer::Hung)
    }
}

/// What is said behind `tag` in a frame, if it is that.
fn reply_in(body: &[u8], tag: &Etf) -> Option<Etf> {
    let mut reader = Reader(body.get(1..)?);
    let mut terms = Vec::new();
    while let Some((131, rest)) = reader.0.split_first() {
        reader.0 = rest;
        terms.push(reader.term());
    }
    match terms.pop()? {
        Etf::Tuple(elements) if elements.len() == 2 && elements[0] == *tag => elements.into_iter().nth(1),
        _ => None,
    }
}

/// Asks the daemon for its status as a new node would: by epmd, a handshake and a call.
pub fn knock(town: &Arc<Town>) -> io::Result<serde_json::Value> {
    let town = Arc::clone(town);
    let asking = std::thread::spawn(move || {
        town.enter_peers();
        let mut peer = RawPeer::new(&town, "knocking@10.77.0.2".to_owned(), Arc::default());
        peer.ask("status").map(|status| status.json())
    });
    asking.join().unwrap().map_err(|answer| io::Error::other(format!("{answer:?}")))
}
