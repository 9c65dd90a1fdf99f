//! Telling what happens: to subscribers as events, and of what nobody asked for, to the log.

use std::borrow::Cow;
use std::collections::BTreeSet;

use eetf::{Pid, Reference};

use super::events::{Events, Told};
use super::hindrances::Hindrances;
use super::news::{News, Watch};
use super::picture::{Picture, Standing};
use super::server::now_ms;
use super::status::View;
use crate::node::Process;
use crate::route::{ForeignDefault, IfName, Touched, available_at, interface_connection};
use crate::term::{Term, as_list, as_text, atom, tuple};

/// The name of the property that has the last events.
pub const EVENTS: &str = "events";

/// Who is told, and what was told last.
#[derive(Debug, Default)]
pub(super) struct Teller {
    watch: Watch,
    events: Events,
    /// As they were then.
    hindrances: Hindrances,
    cleared: Vec<IfName>,
    foreign: BTreeSet<ForeignDefault>,
}

impl Teller {
    /// Begins to tell `pid`, if not `most` are told already. Gives the reply, and what it has to hear after that.
    pub(super) fn subscribe(&mut self, process: &Process, pid: Pid, most: usize, view: &View<'_>) -> (Term, Vec<Told>) {
        let refused = |why| (tuple([atom("error"), atom(why)]), Vec::new());
        if self.events.has(&pid) {
            return (atom("ok"), Vec::new());
        }
        if self.events.count() >= most {
            return refused("system_limit");
        }
        // Its end must be heard of, so its node must be there.
        let Some(reference) = process.monitor_now(&pid) else { return refused("noconnection") };
        // What the others were told last: what has changed since then, all will be told.
        let foreign = terms(&self.watch.present(), view);
        (atom("ok"), self.events.subscribe(&view.node.name(), pid, reference, foreign))
    }

    /// Ends the subscription of `pid`, if it has one.
    pub(super) fn unsubscribe(&mut self, process: &Process, pid: &Pid) {
        if let Some(reference) = self.events.unsubscribe(pid) {
            process.demonitor(&reference);
        }
    }

    /// A monitor of ours has fired.
    pub(super) fn ended(&mut self, reference: &Reference) {
        self.events.ended(reference);
    }

    /// How things are when there is nothing to tell yet.
    pub(super) fn begin(&mut self, view: &View<'_>) {
        let names = self.names(view, Touched::everything());
        self.events.begin(standings(view, &names, &self.hindrances));
    }

    /// The best of the available interfaces, as was told last.
    pub(super) fn best(&self) -> Option<IfName> {
        self.events.picture().best()
    }

    /// The property that is ours: `["events"]`, what was told last, whether anybody listened or not.
    pub(super) fn property(&self, path: &Term) -> Option<Term> {
        let [word] = as_list(path)? else { return None };
        (as_text(word)? == EVENTS.as_bytes()).then(|| self.events.last())
    }

    /// Tells what is new. Since the last time, only the interfaces `touched` were planned anew.
    pub(super) fn tell(&mut self, process: &Process, view: &View<'_>, touched: Touched) {
        let names = self.names(view, touched);
        let shadowed = self.shadowed(view, &names);
        let news = self.watch.compare(view.kernel.contested(view.state), shadows(view, &shadowed));
        let links = &view.kernel.world().links;
        news.iter().for_each(|news| news.log(|ifindex| links.get(&ifindex).map(|link| link.name)));
        let standings = standings(view, &names, &self.hindrances);
        send(process, self.events.changed(&view.node.name(), standings, terms(&news, view), now_ms()));
        if cfg!(debug_assertions) {
            self.check(view);
        }
    }

    /// The interfaces that may stand otherwise than was told last: those `touched`, those that something has come in the way of,
    /// or has gone out of it, and those that are too long cleared to be remembered.
    fn names(&mut self, view: &View<'_>, touched: Touched) -> BTreeSet<IfName> {
        let hindrances = view.kernel.hindrances(view.state);
        let before = std::mem::replace(&mut self.hindrances, hindrances);
        let forgotten = self.forgotten(view);
        if touched.everything || before.fault != self.hindrances.fault {
            return all(view, self.events.picture());
        }
        let mut names = touched.names;
        names.extend(before.names().chain(self.hindrances.names()).chain(forgotten));
        names
    }

    /// The interfaces that were still remembered as cleared.
    fn forgotten(&mut self, view: &View<'_>) -> Vec<IfName> {
        if view.state.cleared().eq(self.cleared.iter().copied()) {
            return Vec::new();
        }
        let now: BTreeSet<IfName> = view.state.cleared().collect();
        let before = std::mem::replace(&mut self.cleared, view.state.cleared().collect());
        before.into_iter().filter(|name| !now.contains(name)).collect()
    }

    /// The interfaces that something else may outrank than before: of those that stand as before only if there is something else.
    fn shadowed<'a>(&mut self, view: &View<'_>, names: &'a BTreeSet<IfName>) -> Cow<'a, BTreeSet<IfName>> {
        let foreign = &view.kernel.world().foreign_defaults;
        if *foreign == self.foreign {
            return Cow::Borrowed(names);
        }
        self.foreign.clone_from(foreign);
        Cow::Owned(all(view, self.events.picture()))
    }

    /// Panics if a look at everything would come to something else.
    fn check(&self, view: &View<'_>) {
        let mut picture = Picture::default();
        let _ = picture.take_in(standings(view, &all(view, &picture), &self.hindrances));
        assert_eq!(*self.events.picture(), picture, "what was told is not how things stand");
        assert_eq!(*self.watch.shadows(), view.kernel.shadows(view.state, view.ranking), "and what outranks them");
    }
}

/// Sends events on their way.
pub(super) fn send(process: &Process, told: Vec<Told>) {
    for (pid, message) in told {
        process.send_now(&pid, message);
    }
}

fn terms(news: &[News], view: &View<'_>) -> Vec<Term> {
    news.iter().flat_map(|news| news.to_terms(|by| view.foreign(by))).collect()
}

/// All interfaces of which there is anything to say, or was.
fn all(view: &View<'_>, picture: &Picture) -> BTreeSet<IfName> {
    view.state.interfaces().keys().copied().chain(view.state.cleared()).chain(picture.names()).collect()
}

/// How they stand.
fn standings<'a>(
    view: &'a View<'_>,
    names: &'a BTreeSet<IfName>,
    hindrances: &'a Hindrances,
) -> impl Iterator<Item = (IfName, Standing)> + 'a {
    names.iter().map(|name| {
        let is_known = view.state.interfaces().contains_key(name);
        let install = is_known.then(|| view.install(*name, hindrances));
        let status = interface_connection(view.state, *name);
        (*name, Standing { install, status, metric: available_at(view.state, view.ranking, *name) })
    })
}

/// What outranks them.
fn shadows<'a>(
    view: &'a View<'_>,
    names: &'a BTreeSet<IfName>,
) -> impl Iterator<Item = (IfName, Option<ForeignDefault>)> + 'a {
    let shadow = |name: IfName| {
        let wish = view.state.interfaces().get(&name)?;
        view.kernel.shadow_of(name, wish, view.state.metric(name, view.ranking)).copied()
    };
    names.iter().map(move |name| (*name, shadow(*name)))
}
