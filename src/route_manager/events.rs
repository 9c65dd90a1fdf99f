//! What subscribers are told: the present state first, then every change, numbered without holes.
//!
//! Pure: pictures of the state come in, terms for each subscriber go out. Who has ended is told from outside.
//!
//! The numbers are each subscriber's own, from 1. Nothing is dropped and nothing waits here: what a node does not read is
//! bounded by its connection ([`NodeConfig::outbox_limit`](crate::node::NodeConfig::outbox_limit)), which is closed
//! when it is exceeded, and its subscriptions end with it.

use std::collections::BTreeMap;

use eetf::{Pid, Reference};

use super::status::Install;
use crate::route::{IfName, Reason};
use crate::term::{Term, atom, binary, integer, list, tuple};

/// The subscribers, and what they know.
#[derive(Debug, Default)]
pub(super) struct Events {
    subscribers: Vec<Subscriber>,
    picture: Picture,
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
    /// VintageNet's properties, by path: what `{get, Path}` answers. In the order in which they are told.
    pub properties: BTreeMap<Path, Term>,
    /// How the interfaces stand that are known.
    pub installs: BTreeMap<IfName, Install>,
}

/// A property's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Path {
    /// `["interface", IfName, "connection"]`
    Interface(IfName),
    /// `["connection"]`
    Connection,
    /// `["available_interfaces"]`
    AvailableInterfaces,
}

/// What happened, for all subscribers alike; the number comes in front.
type Event = Vec<Term>;

/// A message and the process that it is for.
pub(super) type Told = (Pid, Term);

impl Path {
    pub(super) fn to_term(self) -> Term {
        match self {
            Self::AvailableInterfaces => list([binary("available_interfaces")]),
            Self::Connection => list([binary("connection")]),
            Self::Interface(name) => list([binary("interface"), binary(name.as_bytes()), binary("connection")]),
        }
    }
}

impl Events {
    /// Whether anybody listens. If not, pictures need not be taken.
    pub(super) fn is_heard(&self) -> bool {
        !self.subscribers.is_empty()
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
        let told = present.map(|event| subscriber.told(node, event)).collect();
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

    /// Things are as in `picture` now, and `foreign` has happened: what to tell whom.
    pub(super) fn changed(&mut self, node: &str, picture: Picture, foreign: Vec<Term>) -> Vec<Told> {
        let mut events = changes(&self.picture, &picture);
        events.extend(foreign_events(foreign));
        self.picture = picture;
        let mut told = Vec::new();
        for subscriber in &mut self.subscribers {
            told.extend(events.iter().map(|event| subscriber.told(node, event.clone())));
        }
        told
    }
}

impl Subscriber {
    /// `{route_manager, Node, {Seq, ...}}`
    fn told(&mut self, node: &str, event: Event) -> Told {
        self.last += 1;
        let numbered = std::iter::once(integer(self.last)).chain(event).collect::<Vec<_>>();
        (self.pid.clone(), tuple([atom("route_manager"), atom(node), tuple(numbered)]))
    }
}

fn foreign_events(foreign: Vec<Term>) -> impl Iterator<Item = Event> {
    foreign.into_iter().map(|what| vec![atom("foreign"), what])
}

/// What leads from one picture to another: the interfaces' own changes first, what follows from them last.
fn changes(old: &Picture, new: &Picture) -> Vec<Event> {
    let nil = || atom("nil");
    let mut events = Vec::new();
    for (name, install) in &new.installs {
        let before = old.installs.get(name);
        if before != Some(install) {
            events.push(vec![atom("install"), binary(name.as_bytes()), install.to_term()]);
        }
        if before.is_some_and(is_broken) && !is_broken(install) {
            events.push(vec![atom("healed"), binary(name.as_bytes())]);
        }
    }
    for name in old.installs.keys().filter(|name| !new.installs.contains_key(name)) {
        events.push(vec![atom("install"), binary(name.as_bytes()), nil()]);
    }
    let gone = old.properties.iter().filter(|(path, _)| !new.properties.contains_key(path));
    for (path, before) in gone {
        events.push(vec![atom("property"), path.to_term(), before.clone(), nil()]);
    }
    for (path, after) in &new.properties {
        let before = old.properties.get(path).cloned().unwrap_or_else(nil);
        if before != *after {
            events.push(vec![atom("property"), path.to_term(), before, after.clone()]);
        }
    }
    events
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
        let mut properties = BTreeMap::from([(Path::Connection, atom(connection))]);
        properties.extend(installs.iter().map(|(text, _)| (Path::Interface(name(text)), atom(connection))));
        Picture { properties, installs: installs.iter().map(|(text, install)| (name(text), *install)).collect() }
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
        let late = events.changed(NODE, up.clone(), vec![atom("something")]);
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
        assert!(events.changed(NODE, up, Vec::new()).is_empty());
        let cleared = events.changed(NODE, picture("disconnected", &[]), Vec::new());
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
            let told = heard(&events.changed(NODE, after, Vec::new()), &pid(1));
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
        assert!(events.has(&pid(1)) && events.is_heard());
        events.ended(&reference(1));
        assert_eq!(events.changed(NODE, picture("lan", &[]), Vec::new()).len(), 1);
        assert_eq!(events.unsubscribe(&pid(2)), Some(reference(2)));
        assert_eq!(events.unsubscribe(&pid(2)), None);
        assert!(!events.is_heard());
    }
}
