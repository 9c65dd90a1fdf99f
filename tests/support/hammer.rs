//! Threads that look routes up in a tight loop, each on a netlink socket of its own, and note every wrong answer.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::thread::JoinHandle;

use beamroute::netlink::{Config, Netlink};

use super::Netns;

/// Looks up until dropped.
pub struct Hammer {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    links: BTreeMap<String, u32>,
    questions: usize,
}

struct Shared {
    /// By question, the links that may answer.
    allowed: RwLock<Vec<Vec<u32>>>,
    wrong: Mutex<Vec<String>>,
    asked: AtomicU64,
    missed: AtomicU64,
    ends: AtomicBool,
}

/// A packet: where to, and from which address, if that is decided already.
pub type Question = (IpAddr, Option<IpAddr>);

/// The packet that `text` names: `TO` or `TO from FROM`.
pub fn question(text: &str) -> Question {
    let (to, from) = text.split_once(" from ").map_or((text, None), |(to, from)| (to, Some(from)));
    (to.parse().unwrap(), from.map(|from| from.parse().unwrap()))
}

impl Hammer {
    /// Begins to ask: a thread for the even, and one for the odd questions. Any answer is right at first.
    pub fn start(net: &Netns, questions: &[&str]) -> Self {
        let config = Config { netns: Some(net.path()), event_queue_bytes: 4096, ..Config::default() };
        let shared = Arc::new(Shared {
            allowed: RwLock::new(Vec::new()),
            wrong: Mutex::new(Vec::new()),
            asked: AtomicU64::new(0),
            missed: AtomicU64::new(0),
            ends: AtomicBool::new(false),
        });
        let mut links = BTreeMap::new();
        let mut threads = Vec::new();
        for half in 0..2 {
            let (mut netlink, world) = Netlink::open(&config).unwrap();
            links = world.links.iter().map(|(index, link)| (link.name.to_string(), *index)).collect();
            let mine: Vec<(usize, Question)> =
                questions.iter().map(|text| question(text)).enumerate().skip(half).step_by(2).collect();
            let shared = Arc::clone(&shared);
            threads.push(std::thread::spawn(move || shared.ask(&mut netlink, &mine)));
        }
        Self { shared, threads, links, questions: questions.len() }
    }

    /// From now on these links may answer; a line for each question.
    pub fn allow(&self, links: &[&[&str]]) {
        assert_eq!(links.len(), self.questions);
        let links = links.iter().map(|names| names.iter().map(|name| self.links[*name]).collect());
        *self.shared.allowed.write().unwrap() = links.collect();
    }

    /// Waits until every question has been asked some more times, and panics if an answer was wrong.
    pub fn check(&self, after: &str) {
        let enough = self.asked() + 8 * self.questions as u64;
        while self.asked() < enough && self.threads.iter().all(|thread| !thread.is_finished()) {
            std::thread::yield_now();
        }
        assert!(self.threads.iter().all(|thread| !thread.is_finished()), "a thread has ended");
        let wrong = self.shared.wrong.lock().unwrap().clone();
        assert!(wrong.is_empty(), "{after}: {} wrong answers\n{}", wrong.len(), wrong[..wrong.len().min(9)].join("\n"));
    }

    /// Prints how many look-ups were made, and panics if the kernel missed more than it does by itself.
    pub fn sum_up(&self) {
        let (asked, missed) = (self.asked(), self.shared.missed.load(Ordering::Relaxed));
        println!("{asked} look-ups, {missed} of them missed by the kernel");
        assert!(missed <= 1 + asked / 10_000, "{missed} of {asked} look-ups failed");
    }

    /// How many look-ups were made.
    pub fn asked(&self) -> u64 {
        self.shared.asked.load(Ordering::Relaxed)
    }
}

impl Shared {
    fn ask(&self, netlink: &mut Netlink, questions: &[(usize, Question)]) {
        let allows = |number: usize, answer: Option<u32>| {
            let allowed = self.allowed.read().unwrap();
            allowed.get(number).is_none_or(|links| answer.is_some_and(|answer| links.contains(&answer)))
        };
        while !self.ends.load(Ordering::Relaxed) {
            for (number, (to, from)) in questions {
                let before = self.allowed.read().unwrap().get(*number).cloned();
                let mut answer = netlink.route_get(*to, *from).unwrap();
                if answer.is_none() && to.is_ipv6() {
                    // When an IPv6 route is deleted while a look-up holds it, that look-up fails, whatever else there is
                    // (`ip6_rt_pcpu_alloc` in net/ipv6/route.c). `ip` alone, which deletes one of three equivalent routes
                    // 8000 times beside this loop, makes 1 to 5 fail. The next look-up must not.
                    self.missed.fetch_add(1, Ordering::Relaxed);
                    answer = netlink.route_get(*to, *from).unwrap();
                }
                self.asked.fetch_add(1, Ordering::Relaxed);
                // What may answer may have changed while we asked.
                let was_allowed = before.is_none_or(|links| answer.is_some_and(|answer| links.contains(&answer)));
                if !was_allowed && !allows(*number, answer) {
                    self.wrong.lock().unwrap().push(format!("{to} from {from:?}: {answer:?}"));
                }
            }
        }
    }
}

impl Drop for Hammer {
    fn drop(&mut self) {
        self.shared.ends.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
