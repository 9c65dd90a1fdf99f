//! The connected nodes, and whether there is a process of the scope: pure, told what time it is.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::term::Reference;

/// The first and the longest wait before a node is asked again.
const FIRST_DELAY: Duration = Duration::from_millis(200);
const LAST_DELAY: Duration = Duration::from_secs(30);

/// All connected nodes, by name.
#[derive(Debug, Default)]
pub(super) struct Peers {
    nodes: HashMap<String, Peer>,
}

#[derive(Debug)]
struct Peer {
    /// Of the name of the scope there; `None` while nobody has it.
    monitor: Option<Reference>,
    /// When it is asked, if nobody has.
    next: Instant,
    /// How long until it is asked once more.
    delay: Duration,
}

impl Peers {
    /// It is to be asked at once.
    pub(super) fn node_up(&mut self, node: &str, now: Instant) {
        self.nodes.insert(node.to_owned(), Peer { monitor: None, next: now, delay: FIRST_DELAY });
    }

    /// Its monitor has ended with the connection.
    pub(super) fn node_down(&mut self, node: &str) {
        self.nodes.remove(node);
    }

    /// News were lost; these nodes are connected. A monitor that has ended meanwhile is told of all the same.
    pub(super) fn see(&mut self, connected: &[String], now: Instant) {
        self.nodes.retain(|node, _| connected.contains(node));
        for node in connected {
            if !self.nodes.contains_key(node) {
                self.node_up(node, now);
            }
        }
    }

    /// When the next is to be asked.
    pub(super) fn due(&self) -> Option<Instant> {
        self.nodes.values().filter(|peer| peer.monitor.is_none()).map(|peer| peer.next).min()
    }

    /// Those who are to be asked now, and then ever more rarely.
    pub(super) fn due_now(&mut self, now: Instant) -> Vec<String> {
        let mut due = Vec::new();
        for (node, peer) in self.nodes.iter_mut().filter(|(_, peer)| peer.monitor.is_none() && peer.next <= now) {
            peer.next = now + peer.delay;
            peer.delay = (peer.delay * 2).min(LAST_DELAY);
            due.push(node.clone());
        }
        due
    }

    /// It has been asked, and will be heard of when nobody has the name, or no longer.
    pub(super) fn watch(&mut self, node: String, monitor: Reference) {
        if let Some(peer) = self.nodes.get_mut(&node) {
            peer.monitor = Some(monitor);
        }
    }

    /// A monitor has fired; gives the node. If somebody had the name, a supervisor may soon give it to another.
    pub(super) fn ended(&mut self, monitor: &Reference, was_there: bool, now: Instant) -> Option<&str> {
        let (node, peer) = self.nodes.iter_mut().find(|(_, peer)| peer.monitor.as_ref() == Some(monitor))?;
        peer.monitor = None;
        if was_there {
            (peer.next, peer.delay) = (now + FIRST_DELAY, FIRST_DELAY * 2);
        }
        Some(node)
    }

    /// The nodes where, as far as we know, somebody has the name.
    pub(super) fn watched(&self) -> impl Iterator<Item = &str> {
        self.nodes.iter().filter(|(_, peer)| peer.monitor.is_some()).map(|(node, _)| node.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference(id: u32) -> Reference {
        Reference { node: "us@h".into(), id: vec![id], creation: 1 }
    }

    fn asked(peers: &mut Peers, now: Instant, id: u32) {
        for node in peers.due_now(now) {
            peers.watch(node, reference(id));
        }
    }

    #[test]
    fn a_node_without_the_scope_is_asked_at_once_and_then_ever_more_rarely() {
        let (mut peers, start) = (Peers::default(), Instant::now());
        peers.node_up("a@h", start);
        let mut waits = Vec::new();
        let mut last = start;
        for id in 0..12 {
            let now = peers.due().unwrap();
            waits.push(now.duration_since(last).as_millis());
            asked(&mut peers, now, id);
            assert_eq!((peers.due(), peers.watched().next()), (None, Some("a@h")));
            assert_eq!(peers.ended(&reference(id), false, now), Some("a@h"));
            assert_eq!((peers.due_now(now), peers.watched().next()), (vec![], None));
            last = now;
        }
        assert_eq!(waits, [0, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000, 30000]);
    }

    #[test]
    fn a_scope_that_ends_is_soon_asked_for_again_but_never_without_a_pause() {
        let (mut peers, start) = (Peers::default(), Instant::now());
        peers.node_up("a@h", start);
        for id in 0..8 {
            let now = peers.due().unwrap();
            asked(&mut peers, now, id);
            assert_eq!(peers.ended(&reference(id), true, now), Some("a@h"));
            assert_eq!(peers.due(), Some(now + FIRST_DELAY));
        }
    }

    #[test]
    fn a_connection_that_goes_while_it_is_asked_is_waited_for() {
        let (mut peers, now) = (Peers::default(), Instant::now());
        peers.node_up("a@h", now);
        // No monitor could be set up.
        assert_eq!(peers.due_now(now), ["a@h"]);
        assert_eq!(peers.due(), Some(now + FIRST_DELAY));
        peers.node_down("a@h");
        peers.watch("a@h".to_owned(), reference(1));
        assert_eq!((peers.due(), peers.watched().next()), (None, None));
    }

    #[test]
    fn lost_news_are_made_up_for() {
        let (mut peers, now) = (Peers::default(), Instant::now());
        peers.node_up("b@h", now);
        asked(&mut peers, now, 1);
        peers.node_up("a@h", now);
        peers.see(&["b@h".to_owned(), "c@h".to_owned()], now);
        assert_eq!(peers.due_now(now), ["c@h"]);
        assert_eq!(peers.watched().collect::<Vec<_>>(), ["b@h"]);
        assert_eq!(peers.ended(&reference(2), true, now), None);
    }
}
