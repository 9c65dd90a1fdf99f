//! How the interfaces stand, as far as events are about it, and what follows from all of them. Kept up to date interface by
//! interface: what one of thousands brings about costs no look at the others.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::status::Install;
use crate::route::{IfName, Reason, Status};
use crate::term::{Term, atom, binary, list};

/// How one interface stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Standing {
    /// Whether it is installed, if it is known.
    pub install: Option<Install>,
    /// `["interface", IfName, "connection"]`, also if it is known no more.
    pub status: Option<Status>,
    /// By which the available interfaces are ordered, if it is one of them.
    pub metric: Option<u32>,
}

/// All that events are about.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Picture {
    standings: BTreeMap<IfName, Standing>,
    /// How many interfaces have each status.
    counts: BTreeMap<Status, usize>,
    /// The available interfaces, in the order of their metrics, equal ones by name.
    ranked: Vec<IfName>,
    /// `["connection"]`
    connection: Option<Status>,
    /// `["available_interfaces"]`
    available: Option<Arc<[IfName]>>,
}

/// What happened, for all subscribers alike. Small, for it is kept: [`Self::words`] are for those who are told.
#[derive(Debug, Clone)]
pub(super) enum Event {
    Install(IfName, Option<Install>),
    Healed(IfName),
    /// Of an interface, or of all: before and after.
    Connection(Option<IfName>, [Option<Status>; 2]),
    Available([Option<Arc<[IfName]>>; 2]),
    Foreign(Term),
}

/// An interface, before and after.
type Change = (IfName, [Standing; 2]);

/// More changes at once than one for so many interfaces: then to sort all is less work than to move each to its place.
const MANY: usize = 16;

impl Picture {
    /// Takes in how these interfaces stand now; nothing is known of those of which nothing is to be said. Gives what leads there:
    /// the interfaces' own changes first, what follows from them last.
    pub(super) fn take_in(&mut self, seen: impl IntoIterator<Item = (IfName, Standing)>) -> Vec<Event> {
        let mut changes: Vec<Change> = Vec::new();
        for (name, after) in seen {
            let before = self.standings.get(&name).copied().unwrap_or_default();
            if before != after {
                changes.push((name, [before, after]));
            }
        }
        let has_moved = if changes.len() > self.standings.len() / MANY {
            self.note_many(&changes)
        } else {
            let mut has_moved = false;
            changes.iter().for_each(|change| has_moved |= self.note_one(change));
            has_moved
        };
        let mut events = of_interfaces(&changes);
        let connection = self.counts.keys().next_back().copied().or(Some(Status::Disconnected));
        let before = std::mem::replace(&mut self.connection, connection);
        if before != connection {
            events.push(Event::Connection(None, [before, connection]));
        }
        if has_moved || self.available.is_none() {
            let available = Some(Arc::from(self.ranked.as_slice()));
            let before = std::mem::replace(&mut self.available, available.clone());
            if before != available {
                events.push(Event::Available([before, available]));
            }
        }
        events
    }

    /// What leads from nothing to this.
    pub(super) fn present(&self) -> Vec<Event> {
        let changes: Vec<Change> =
            self.standings.iter().map(|(name, standing)| (*name, [Standing::default(), *standing])).collect();
        let mut events = of_interfaces(&changes);
        events.extend(self.connection.map(|connection| Event::Connection(None, [None, Some(connection)])));
        events.extend(self.available.clone().map(|available| Event::Available([None, Some(available)])));
        events
    }

    /// All interfaces of which anything is to be said.
    pub(super) fn names(&self) -> impl Iterator<Item = IfName> {
        self.standings.keys().copied()
    }

    /// The first of the available interfaces.
    pub(super) fn best(&self) -> Option<IfName> {
        self.ranked.first().copied()
    }

    fn note(&mut self, name: IfName, before: Standing, after: Standing) {
        if after == Standing::default() {
            self.standings.remove(&name);
        } else {
            self.standings.insert(name, after);
        }
        if let Some(status) = after.status {
            *self.counts.entry(status).or_default() += 1;
        }
        if let Some(status) = before.status {
            let count = self.counts.entry(status).or_default();
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.counts.remove(&status);
            }
        }
    }

    /// Takes in a change; says whether the order of the available interfaces is another one.
    fn note_one(&mut self, (name, [before, after]): &Change) -> bool {
        if before.metric == after.metric {
            self.note(*name, *before, *after);
            return false;
        }
        let from = before.metric.and_then(|metric| self.place(metric, *name).ok());
        from.map(|from| self.ranked.remove(from));
        self.note(*name, *before, *after);
        let to = after.metric.and_then(|metric| self.place(metric, *name).err());
        to.into_iter().for_each(|to| self.ranked.insert(to, *name));
        from != to
    }

    /// The same for many changes; says whether the order may be another one.
    fn note_many(&mut self, changes: &[Change]) -> bool {
        changes.iter().for_each(|(name, [before, after])| self.note(*name, *before, *after));
        let has_moved = changes.iter().any(|(_, [before, after])| before.metric != after.metric);
        if has_moved {
            let available = self.standings.iter().filter_map(|(name, standing)| Some((standing.metric?, *name)));
            let mut ranked: Vec<(u32, IfName)> = available.collect();
            ranked.sort_unstable();
            self.ranked = ranked.into_iter().map(|(_, name)| name).collect();
        }
        has_moved
    }

    /// Where among the available interfaces `name` is, or would be, with this metric.
    fn place(&self, metric: u32, name: IfName) -> Result<usize, usize> {
        let metric_of = |name: &IfName| self.standings.get(name).and_then(|standing| standing.metric);
        self.ranked.binary_search_by(|other| (metric_of(other), *other).cmp(&(Some(metric), name)))
    }
}

fn of_interfaces(changes: &[Change]) -> Vec<Event> {
    let mut events = Vec::new();
    for (name, [before, after]) in changes {
        if let Some(install) = after.install.filter(|_| before.install != after.install) {
            events.push(Event::Install(*name, Some(install)));
            if before.install.is_some_and(is_broken) && !is_broken(install) {
                events.push(Event::Healed(*name));
            }
        }
    }
    let is_gone = |[before, after]: &[Standing; 2]| before.install.is_some() && after.install.is_none();
    let gone = changes.iter().filter(|(_, change)| is_gone(change));
    events.extend(gone.map(|(name, _)| Event::Install(*name, None)));
    let statuses = changes.iter().map(|(name, change)| (*name, change.map(|standing| standing.status)));
    let changed = statuses.filter(|(_, [before, after])| before != after);
    let (gone, others): (Vec<_>, Vec<_>) = changed.partition(|(_, [_, after])| after.is_none());
    events.extend(gone.into_iter().chain(others).map(|(name, statuses)| Event::Connection(Some(name), statuses)));
    events
}

/// Whether the kernel lacks something. While an interface is held, what counts of it is in.
const fn is_broken(install: Install) -> bool {
    !matches!(install, Install::Installed | Install::Pending(Reason::Held))
}

impl Event {
    /// What stands after the number.
    pub(super) fn words(&self) -> Vec<Term> {
        let nil = || atom("nil");
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn standings() -> impl Strategy<Value = Standing> {
        let reasons = prop::sample::select(vec![Reason::LinkDown, Reason::Held]);
        let install = prop_oneof![Just(Install::Installed), reasons.prop_map(Install::Pending)];
        let status = prop::sample::select(vec![Status::Disconnected, Status::Lan, Status::Internet]);
        (prop::option::of(install), prop::option::of(status), prop::option::of(0..4_u32))
            .prop_map(|(install, status, metric)| Standing { install, status, metric })
    }

    fn name(n: u32) -> IfName {
        format!("e{n}").parse().unwrap()
    }

    proptest! {
        /// However the interfaces came to stand as they do, by ones or by many, it is the same picture.
        #[test]
        fn interface_by_interface_as_all_at_once(
            steps in prop::collection::vec(prop::collection::btree_map(0..60_u32, standings(), 0..4), 1..30),
        ) {
            let (mut picture, mut all) = (Picture::default(), BTreeMap::new());
            let start = (0..60).map(|n| (name(n), Standing { metric: Some(n % 3), ..Standing::default() }));
            for step in std::iter::once(start.collect()).chain(
                steps.into_iter().map(|step| step.into_iter().map(|(n, standing)| (name(n), standing)).collect::<BTreeMap<_, _>>()),
            ) {
                let before = picture.available.clone();
                all.extend(step.clone());
                let events = picture.take_in(step);
                let mut whole = Picture::default();
                whole.take_in(all.clone());
                prop_assert_eq!(&picture, &whole);
                let is_told = events.iter().any(|event| matches!(event, Event::Available(_)));
                prop_assert_eq!(is_told, before != picture.available);
                prop_assert!(picture.take_in(all.clone()).is_empty());
            }
        }
    }
}
