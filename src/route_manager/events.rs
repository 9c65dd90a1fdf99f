//! What subscribers are told: the present state first, then every change, numbered without holes.
//!
//! Pure: what may have changed comes in, terms for each subscriber go out. Who has ended is told from outside.
//!
//! The last [`LAST`] events are kept, with their times, for whoever asks later.
//!
//! The numbers are each subscriber's own, from 1. Nothing is dropped and nothing waits here: what a node does not read is
//! bounded by its connection ([`NodeConfig::outbox_limit`](crate::node::NodeConfig::outbox_limit)), which is closed
//! when it is exceeded, and its subscriptions end with it.

use std::collections::VecDeque;

use eetf::{Pid, Reference};

use super::picture::{Event, Picture, Standing};
use crate::route::IfName;
use crate::term::{Term, atom, integer, list, tuple};

/// How many events are kept.
const LAST: usize = 200;

/// The subscribers, what they know, and what has happened lately.
#[derive(Debug, Default)]
pub(super) struct Events {
    subscribers: Vec<Subscriber>,
    picture: Picture,
    /// The oldest first, with Unix times in milliseconds.
    last: VecDeque<(u64, Event)>,
}

#[derive(Debug)]
struct Subscriber {
    pid: Pid,
    /// Our monitor on it.
    reference: Reference,
    last: i64,
}

/// A message and the process that it is for.
pub(super) type Told = (Pid, Term);

impl Events {
    /// These interfaces stand so, and that is no news.
    pub(super) fn begin(&mut self, seen: impl IntoIterator<Item = (IfName, Standing)>) {
        let _ = self.picture.take_in(seen);
    }

    /// How things stand, as far as those who listen have been told.
    pub(super) const fn picture(&self) -> &Picture {
        &self.picture
    }

    /// What has happened lately: a list of `{UnixMs, {Kind, ...}}`, the oldest first.
    pub(super) fn last(&self) -> Term {
        let timed =
            |(ms, event): &(u64, Event)| tuple([integer(i64::try_from(*ms).unwrap_or(i64::MAX)), tuple(event.words())]);
        list(self.last.iter().map(timed).collect::<Vec<_>>())
    }

    pub(super) fn has(&self, pid: &Pid) -> bool {
        self.subscribers.iter().any(|subscriber| subscriber.pid == *pid)
    }

    pub(super) fn count(&self) -> usize {
        self.subscribers.len()
    }

    /// Begins to tell `pid`, which has no subscription yet; `foreign` is what has happened and is not over. Gives what it is
    /// told at once: how things are, as all others have been told.
    pub(super) fn subscribe(&mut self, node: &str, pid: Pid, reference: Reference, foreign: Vec<Term>) -> Vec<Told> {
        let mut subscriber = Subscriber { pid, reference, last: 0 };
        let present = self.picture.present().into_iter().chain(foreign_events(foreign));
        let told = present.map(|event| subscriber.told(node, &event)).collect();
        self.subscribers.push(subscriber);
        told
    }

    /// Ends a subscription; gives our monitor, if there was one.
    pub(super) fn unsubscribe(&mut self, pid: &Pid) -> Option<Reference> {
        let at = self.subscribers.iter().position(|subscriber| subscriber.pid == *pid)?;
        Some(self.subscribers.remove(at).reference)
    }

    /// A subscriber has ended, or its node is gone.
    pub(super) fn ended(&mut self, reference: &Reference) {
        self.subscribers.retain(|subscriber| subscriber.reference != *reference);
    }

    /// These interfaces stand so now, at `now_ms`, and `foreign` has happened: what to tell whom.
    pub(super) fn changed(
        &mut self,
        node: &str,
        seen: impl IntoIterator<Item = (IfName, Standing)>,
        foreign: Vec<Term>,
        now_ms: u64,
    ) -> Vec<Told> {
        let mut events = self.picture.take_in(seen);
        events.extend(foreign_events(foreign));
        let mut told = Vec::new();
        for subscriber in &mut self.subscribers {
            told.extend(events.iter().map(|event| subscriber.told(node, event)));
        }
        for event in events {
            if self.last.len() >= LAST {
                self.last.pop_front();
            }
            self.last.push_back((now_ms, event));
        }
        told
    }
}

impl Subscriber {
    /// `{route_manager, Node, {Seq, ...}}`
    fn told(&mut self, node: &str, event: &Event) -> Told {
        self.last += 1;
        let numbered = std::iter::once(integer(self.last)).chain(event.words()).collect::<Vec<_>>();
        (self.pid.clone(), tuple([atom("route_manager"), atom(node), tuple(numbered)]))
    }
}

fn foreign_events(foreign: Vec<Term>) -> impl Iterator<Item = Event> {
    foreign.into_iter().map(Event::Foreign)
}

#[cfg(test)]
mod tests {
    use eetf::Atom;

    use super::*;
    use crate::route::{Reason, Status};
    use crate::route_manager::status::Install;
    use crate::term::{as_integer, as_tuple};

    const NODE: &str = "br@h";

    fn pid(id: u32) -> Pid {
        Pid { node: Atom::from("p@h"), id, serial: 0, creation: 1 }
    }

    fn reference(id: u32) -> Reference {
        Reference { node: Atom::from(NODE), id: vec![id], creation: 1 }
    }

    fn name(text: &str) -> IfName {
        text.parse().unwrap()
    }

    /// That `eth0` stands so.
    fn eth0(status: &str, install: Install) -> [(IfName, Standing); 1] {
        let standing = Standing { install: Some(install), status: Status::parse(status), metric: None };
        [(name("eth0"), standing)]
    }

    /// The numbers and the words of what one subscriber is told.
    fn heard(told: &[Told], by: &Pid) -> Vec<(i64, String)> {
        let its = told.iter().filter(|(pid, _)| pid == by);
        its.map(|(_, message)| {
            let [_, _, event] = as_tuple::<3>(message).unwrap();
            let Term::Tuple(event) = event else { panic!("{event:?}") };
            let words: Vec<_> = event.elements[1..].iter().map(|word| crate::term::Show(word).to_string()).collect();
            (as_integer(&event.elements[0]).unwrap(), words.join(" "))
        })
        .collect()
    }

    #[test]
    fn the_present_first_and_then_every_change_without_holes() {
        let mut events = Events::default();
        let down = Install::Pending(Reason::LinkDown);
        events.begin(eth0("lan", down));
        let told = events.subscribe(NODE, pid(1), reference(1), Vec::new());
        let present = [
            "install <<\"eth0\">> {pending,link_down}",
            "property [<<\"interface\">>,<<\"eth0\">>,<<\"connection\">>] nil lan",
            "property [<<\"connection\">>] nil lan",
            "property [<<\"available_interfaces\">>] nil []",
        ];
        let numbered = |from: i64, words: &[&str]| -> Vec<(i64, String)> {
            (from..).zip(words.iter().map(ToString::to_string)).collect()
        };
        assert_eq!(heard(&told, &pid(1)), numbered(1, &present));
        let up = Standing { metric: Some(10), ..eth0("internet", Install::Installed)[0].1 };
        let late = events.changed(NODE, [(name("eth0"), up)], vec![atom("something")], 7);
        let change = [
            "install <<\"eth0\">> installed",
            "healed <<\"eth0\">>",
            "property [<<\"interface\">>,<<\"eth0\">>,<<\"connection\">>] lan internet",
            "property [<<\"connection\">>] lan internet",
            "property [<<\"available_interfaces\">>] [] [<<\"eth0\">>]",
            "foreign something",
        ];
        assert_eq!(heard(&late, &pid(1)), numbered(5, &change));
        let second = events.subscribe(NODE, pid(2), reference(2), vec![atom("something")]);
        let present = heard(&second, &pid(2));
        assert_eq!(present.len(), 5, "its own numbers, from 1");
        assert_eq!(present[4], (5, "foreign something".to_owned()), "what is not over, last");
        assert!(events.changed(NODE, [(name("eth0"), up)], Vec::new(), 7).is_empty());
        let cleared = events.changed(NODE, [(name("eth0"), Standing::default())], Vec::new(), 8);
        let gone = "property [<<\"interface\">>,<<\"eth0\">>,<<\"connection\">>] internet nil".to_owned();
        let end = [
            "install <<\"eth0\">> nil",
            gone.as_str(),
            "property [<<\"connection\">>] internet disconnected",
            "property [<<\"available_interfaces\">>] [<<\"eth0\">>] []",
        ];
        assert_eq!(heard(&cleared, &pid(1)), numbered(11, &end));
        assert_eq!(heard(&cleared, &pid(2)), numbered(6, &end));
    }

    #[test]
    fn only_what_was_broken_heals() {
        let mut events = Events::default();
        let install = |why: Option<Reason>| why.map_or(Install::Installed, Install::Pending);
        let mut is_healed = |before, after| {
            let [before, after] = [before, after].map(|why| eth0("lan", install(why)));
            events.begin(before);
            events.subscribe(NODE, pid(1), reference(1), Vec::new());
            let told = heard(&events.changed(NODE, after, Vec::new(), 7), &pid(1));
            events.unsubscribe(&pid(1));
            told.iter().any(|(_, words)| words.starts_with("healed"))
        };
        let (held, down) = (Some(Reason::Held), Some(Reason::LinkDown));
        assert!(!is_healed(held, None) && !is_healed(None, held) && !is_healed(held, down));
        assert!(is_healed(down, None) && is_healed(down, held) && !is_healed(down, Some(Reason::Contested)));
    }

    #[test]
    fn who_has_ended_is_told_nothing_more() {
        let mut events = Events::default();
        for id in [1, 2] {
            events.subscribe(NODE, pid(id), reference(id), Vec::new());
        }
        assert!(events.has(&pid(1)));
        events.ended(&reference(1));
        events.begin(eth0("lan", Install::Installed));
        assert_eq!(events.changed(NODE, eth0("lan", Install::Pending(Reason::Held)), Vec::new(), 7).len(), 1);
        assert_eq!(events.unsubscribe(&pid(2)), Some(reference(2)));
        assert_eq!(events.unsubscribe(&pid(2)), None);
        assert!(events.changed(NODE, eth0("lan", Install::Installed), Vec::new(), 8).is_empty());
        assert_eq!(crate::term::as_list(&events.last()).unwrap().len(), 2, "kept all the same");
    }
}
