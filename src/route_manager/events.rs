//! What subscribers are told: the present state first, then every change, numbered without holes.
//!
//! Pure: pictures of the state come in, terms for each subscriber go out. Who has ended is told from outside.
//!
//! The last [`LAST`] events are kept, with their times, for whoever asks later.
//!
//! The numbers are each subscriber's own, from 1. Nothing is dropped and nothing waits here: what a node does not read is
//! bounded by its connection ([`NodeConfig::outbox_limit`](crate::node::NodeConfig::outbox_limit)), which is closed
//! when it is exceeded, and its subscriptions end with it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use eetf::{Pid, Reference};

use super::status::Install;
use crate::route::{IfName, Reason, Status};
use crate::term::{Term, atom, binary, integer, list, tuple};

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

/// All that events are about.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Picture {
    /// How the interfaces stand that are known.
    pub installs: BTreeMap<IfName, Install>,
    /// `["interface", IfName, "connection"]`, also of those that are known no more.
    pub statuses: BTreeMap<IfName, Status>,
    /// `["connection"]`
    pub connection: Option<Status>,
    /// `["available_interfaces"]`
    pub available: Option<Arc<[IfName]>>,
}

/// What happened, for all subscribers alike. Small, for it is kept: [`Self::words`] are for those who are told.
#[derive(Debug, Clone)]
enum Event {
    Install(IfName, Option<Install>),
    Healed(IfName),
    /// Of an interface, or of all: before and after.
    Connection(Option<IfName>, [Option<Status>; 2]),
    Available([Option<Arc<[IfName]>>; 2]),
    Foreign(Term),
}

/// A message and the process that it is for.
pub(super) type Told = (Pid, Term);

impl Event {
    /// What stands after the number.
    fn words(&self) -> Vec<Term> {
        let name_of = |name: &IfName| binary(name.as_bytes());
        let property = |path: Term, [old, new]: [Term; 2]| vec![atom("property"), path, old, new];
        match self {
            Self::Install(name, install) => {
                vec![atom("install"), name_of(name), install.map_or_else(nil, Install::to_term)]
            }
            Self::Healed(name) => vec![atom("healed"), name_of(name)],
            Self::Connection(name, values) => {
                let last = binary("connection");
                let path = match name {
                    Some(name) => list([binary("interface"), name_of(name), last]),
                    None => list([last]),
                };
                property(path, values.map(|status| status.map_or_else(nil, |status| atom(status.as_str()))))
            }
            Self::Available(values) => {
                let names = |names: &Arc<[IfName]>| list(names.iter().map(name_of).collect::<Vec<_>>());
                let values = values.each_ref().map(|value| value.as_ref().map_or_else(nil, names));
                property(list([binary("available_interfaces")]), values)
            }
            Self::Foreign(what) => vec![atom("foreign"), what.clone()],
        }
    }
}

impl Events {
    /// Things are as in `picture`, and that is no news.
    pub(super) fn begin(&mut self, picture: Picture) {
        self.picture = picture;
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

    /// Begins to tell `pid`, which has no subscription yet; `picture` is how things are, and `foreign` what has happened and
    /// is not over. Gives what it is told at once.
    pub(super) fn subscribe(
        &mut self,
        node: &str,
        pid: Pid,
        reference: Reference,
        picture: Picture,
        foreign: Vec<Term>,
    ) -> Vec<Told> {
        // Those who listen already have been told all of it.
        self.picture = picture;
        let mut subscriber = Subscriber { pid, reference, last: 0 };
        let present = changes(&Picture::default(), &self.picture).into_iter().chain(foreign_events(foreign));
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

    /// Things are as in `picture` now, at `now_ms`, and `foreign` has happened: what to tell whom.
    pub(super) fn changed(&mut self, node: &str, picture: Picture, foreign: Vec<Term>, now_ms: u64) -> Vec<Told> {
        let mut events = changes(&self.picture, &picture);
        events.extend(foreign_events(foreign));
        self.picture = picture;
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

/// What leads from one picture to another: the interfaces' own changes first, what follows from them last.
fn changes(old: &Picture, new: &Picture) -> Vec<Event> {
    let mut events = Vec::new();
    for (name, install) in &new.installs {
        let before = old.installs.get(name);
        if before != Some(install) {
            events.push(Event::Install(*name, Some(*install)));
        }
        if before.is_some_and(is_broken) && !is_broken(install) {
            events.push(Event::Healed(*name));
        }
    }
    let gone = old.installs.keys().filter(|name| !new.installs.contains_key(name));
    events.extend(gone.map(|name| Event::Install(*name, None)));
    let gone = old.statuses.iter().filter(|(name, _)| !new.statuses.contains_key(name));
    events.extend(gone.map(|(name, before)| Event::Connection(Some(*name), [Some(*before), None])));
    for (name, after) in &new.statuses {
        let before = old.statuses.get(name).copied();
        if before != Some(*after) {
            events.push(Event::Connection(Some(*name), [before, Some(*after)]));
        }
    }
    if old.connection != new.connection {
        events.push(Event::Connection(None, [old.connection, new.connection]));
    }
    if old.available != new.available {
        events.push(Event::Available([old.available.clone(), new.available.clone()]));
    }
    events
}

fn nil() -> Term {
    atom("nil")
}

/// Whether the kernel lacks something. While an interface is held, what counts of it is in.
const fn is_broken(install: &Install) -> bool {
    !matches!(install, Install::Installed | Install::Pending(Reason::Held))
}

#[cfg(test)]
mod tests {
    use eetf::Atom;

    use super::*;
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

    fn picture(connection: &str, installs: &[(&str, Install)]) -> Picture {
        let connection = Status::parse(connection).unwrap();
        let statuses = installs.iter().map(|(text, _)| (name(text), connection)).collect();
        let installs = installs.iter().map(|(text, install)| (name(text), *install)).collect();
        Picture { installs, statuses, connection: Some(connection), available: None }
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
        let told = events.subscribe(NODE, pid(1), reference(1), picture("lan", &[("eth0", down)]), Vec::new());
        let present = [
            "install <<\"eth0\">> {pending,link_down}",
            "property [<<\"interface\">>,<<\"eth0\">>,<<\"connection\">>] nil lan",
            "property [<<\"connection\">>] nil lan",
        ];
        let numbered = |from: i64, words: &[&str]| -> Vec<(i64, String)> {
            (from..).zip(words.iter().map(ToString::to_string)).collect()
        };
        assert_eq!(heard(&told, &pid(1)), numbered(1, &present));
        let up = picture("internet", &[("eth0", Install::Installed)]);
        let late = events.changed(NODE, up.clone(), vec![atom("something")], 7);
        let change = [
            "install <<\"eth0\">> installed",
            "healed <<\"eth0\">>",
            "property [<<\"interface\">>,<<\"eth0\">>,<<\"connection\">>] lan internet",
            "property [<<\"connection\">>] lan internet",
            "foreign something",
        ];
        assert_eq!(heard(&late, &pid(1)), numbered(4, &change));
        let second = events.subscribe(NODE, pid(2), reference(2), up.clone(), vec![atom("something")]);
        let present = heard(&second, &pid(2));
        assert_eq!(present.len(), 4, "its own numbers, from 1");
        assert_eq!(present[3], (4, "foreign something".to_owned()), "what is not over, last");
        assert!(events.changed(NODE, up, Vec::new(), 7).is_empty());
        let cleared = events.changed(NODE, picture("disconnected", &[]), Vec::new(), 8);
        let gone = "property [<<\"interface\">>,<<\"eth0\">>,<<\"connection\">>] internet nil".to_owned();
        let end = ["install <<\"eth0\">> nil", gone.as_str(), "property [<<\"connection\">>] internet disconnected"];
        assert_eq!(heard(&cleared, &pid(1)), numbered(9, &end));
        assert_eq!(heard(&cleared, &pid(2)), numbered(5, &end));
    }

    #[test]
    fn only_what_was_broken_heals() {
        let mut events = Events::default();
        let install = |why: Option<Reason>| why.map_or(Install::Installed, Install::Pending);
        let mut is_healed = |before, after| {
            let [before, after] = [before, after].map(|why| picture("lan", &[("eth0", install(why))]));
            events.subscribe(NODE, pid(1), reference(1), before, Vec::new());
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
            events.subscribe(NODE, pid(id), reference(id), Picture::default(), Vec::new());
        }
        assert!(events.has(&pid(1)));
        events.ended(&reference(1));
        assert_eq!(events.changed(NODE, picture("lan", &[]), Vec::new(), 7).len(), 1);
        assert_eq!(events.unsubscribe(&pid(2)), Some(reference(2)));
        assert_eq!(events.unsubscribe(&pid(2)), None);
        assert!(events.changed(NODE, picture("internet", &[]), Vec::new(), 8).is_empty());
        assert_eq!(crate::term::as_list(&events.last()).unwrap().len(), 2, "kept all the same");
    }
}
