//! Callers that call without a pause, and write down what they were told at the moment they are.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;

use crate::ledger::{Ask, End, Ledger};
use crate::peers::{Answer, BeamPeer, RawPeer};
use crate::support::dice::Dice;
use crate::support::within;
use crate::town::{LINKS, Town};

/// Two processes of a BEAM, and two nodes of their own; each has two interfaces that nobody else speaks for.
const CALLERS: usize = 4;

pub struct Load {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    pub beam: Arc<BeamPeer>,
    crashes: [Arc<AtomicBool>; 2],
}

struct Shared {
    callers: [Caller; CALLERS],
    is_paused: AtomicBool,
    ends: AtomicBool,
    /// The daemon's life in which we are.
    life: AtomicU64,
    serial: AtomicU64,
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Caller {
    ledger: Mutex<Ledger>,
    /// Held during a call.
    calling: Mutex<()>,
    acknowledged: AtomicU64,
}

/// What became of the calls.
#[derive(Debug, Clone, Default)]
pub struct Counts {
    pub made: u64,
    pub acknowledged: u64,
    pub not_saved: u64,
    /// Nodedown, or a caller that was killed itself.
    pub down: u64,
    pub hung: u64,
    /// Replies that there is no reason for.
    pub strange: Vec<String>,
}

enum Voice {
    Beam(Arc<BeamPeer>),
    Raw(RawPeer),
}

impl Load {
    /// Starts the callers, who wait until they are told to [go on](Self::go_on).
    pub fn start(town: &Arc<Town>, seed: u64) -> Self {
        let links = |n: usize| -> [&'static str; 2] { [LINKS[2 * n], LINKS[2 * n + 1]] };
        let caller = |n| Caller { ledger: Mutex::new(Ledger::new(&links(n))), ..Caller::default() };
        let shared = Arc::new(Shared {
            callers: [0, 1, 2, 3].map(caller),
            is_paused: AtomicBool::new(true),
            ends: AtomicBool::default(),
            life: AtomicU64::default(),
            serial: AtomicU64::default(),
            counts: Mutex::default(),
        });
        let beam = Arc::new(BeamPeer::start(town, "beam@10.77.0.2"));
        let crashes: [Arc<AtomicBool>; 2] = Default::default();
        let voice = |n: usize| match n {
            0 | 1 => Voice::Beam(Arc::clone(&beam)),
            _ => Voice::Raw(RawPeer::new(town, format!("raw{n}@10.77.0.2"), Arc::clone(&crashes[n - 2]))),
        };
        let threads = (0..CALLERS).map(|n| {
            let (shared, town, voice) = (Arc::clone(&shared), Arc::clone(town), voice(n));
            std::thread::spawn(move || {
                town.enter_peers();
                shared.run(n, &links(n), voice, &mut Dice::new(seed * 100 + n as u64));
            })
        });
        Self { threads: threads.collect(), shared, beam, crashes }
    }

    pub fn go_on(&self) {
        self.shared.is_paused.store(false, Ordering::SeqCst);
    }

    /// Lets everybody wait for the answer to the present call, and make no other.
    pub fn pause(&self) {
        self.shared.is_paused.store(true, Ordering::SeqCst);
        self.shared.callers.iter().for_each(|caller| drop(caller.calling.lock()));
        assert!(self.threads.iter().all(|thread| !thread.is_finished()), "a caller has ended");
    }

    /// Whether in this time everybody has had a call acknowledged.
    pub fn is_served(&self, time: Duration) -> bool {
        let acknowledged = |caller: &Caller| caller.acknowledged.load(Ordering::SeqCst);
        let before: Vec<u64> = self.shared.callers.iter().map(acknowledged).collect();
        let callers = &self.shared.callers;
        within(time, || callers.iter().zip(&before).all(|(caller, before)| acknowledged(caller) > *before))
    }

    /// From now on what is answered by this daemon counts no longer as by the next.
    pub fn ends_life(&self) {
        self.shared.life.fetch_add(1, Ordering::SeqCst);
    }

    /// The daemon is dead, and no other has been started yet.
    pub fn died(&self) {
        self.shared.callers.iter().for_each(|caller| caller.ledger().died());
    }

    /// Resets the connection of one of the nodes written by hand.
    pub fn crash(&self, which: usize) {
        self.crashes[which].store(true, Ordering::SeqCst);
    }

    /// Interfaces that are not as they may be. While everybody waits.
    pub fn compare(&self, status: &Value, is_saved: bool) -> Vec<String> {
        self.shared.callers.iter().flat_map(|caller| caller.ledger().compare(status, is_saved)).collect()
    }

    pub fn counts(&self) -> Counts {
        self.shared.counts.lock().unwrap().clone()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.shared.ends.store(true, Ordering::SeqCst);
        self.shared.is_paused.store(false, Ordering::SeqCst);
        self.beam.kill();
        self.crashes.iter().for_each(|crash| crash.store(true, Ordering::SeqCst));
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Caller {
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap()
    }
}

impl Shared {
    fn run(&self, n: usize, links: &[&'static str], mut voice: Voice, dice: &mut Dice) {
        while !self.ends.load(Ordering::SeqCst) {
            let calling = self.callers[n].calling.lock().unwrap();
            if self.is_paused.load(Ordering::SeqCst) {
                drop(calling);
                std::thread::sleep(Duration::from_millis(5));
                continue;
            }
            let link = *dice.pick(links);
            let ask = Ask::random(dice, link, self.serial.fetch_add(1, Ordering::Relaxed));
            let life = self.life.load(Ordering::SeqCst);
            let answer = match &mut voice {
                Voice::Beam(beam) => beam.call(&ask.term(link)),
                Voice::Raw(raw) => raw.call(&ask.term(link)),
            };
            let end = self.count(answer, life);
            if let Some(end) = end {
                self.callers[n].ledger().note(link, &ask, end);
            }
            let is_acknowledged = end == Some(End::Acknowledged);
            self.callers[n].acknowledged.fetch_add(is_acknowledged.into(), Ordering::SeqCst);
            drop(calling);
            let pause = if is_acknowledged { dice.below(4) as u64 } else { 20 };
            std::thread::sleep(Duration::from_millis(pause));
        }
    }

    /// How the call ended, unless nothing was sent.
    fn count(&self, answer: Answer, life: u64) -> Option<End> {
        let mut counts = self.counts.lock().unwrap();
        counts.made += u64::from(!matches!(answer, Answer::NotSent(_)));
        match answer {
            Answer::NotSent(_) => return None,
            Answer::Reply(reply) if reply == "ok" => {
                counts.acknowledged += 1;
                return Some(End::Acknowledged);
            }
            Answer::Reply(reply) if reply.starts_with("{error,{not_saved,") => {
                counts.not_saved += 1;
                // That daemon may be dead already, and what it had not saved with it.
                if self.life.load(Ordering::SeqCst) == life {
                    return Some(End::NotSaved);
                }
            }
            Answer::Reply(reply) => counts.strange.push(reply),
            Answer::Down(_) => counts.down += 1,
            Answer::Hung => counts.hung += 1,
        }
        Some(End::Unanswered)
    }
}
