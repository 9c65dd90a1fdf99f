//! Telling what happens: to subscribers as events, and of what nobody asked for, to the log.

use std::collections::BTreeMap;

use eetf::{Pid, Reference};

use super::events::{Events, Picture, Told};
use super::kernel::Kernel;
use super::news::{News, Watch};
use super::server::now_ms;
use super::status::{Install, View};
use crate::node::Process;
use crate::route::{Status, available_interfaces, connection};
use crate::term::{Term, as_list, as_text, atom, tuple};

/// The name of the property that has the last events.
pub const EVENTS: &str = "events";

/// Who is told, and what was told last.
#[derive(Debug, Default)]
pub(super) struct Teller {
    watch: Watch,
    events: Events,
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
        (atom("ok"), self.events.subscribe(&view.node.name(), pid, reference, picture(view), foreign))
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
        self.events.begin(picture(view));
    }

    /// The property that is ours: `["events"]`, what was told last, whether anybody listened or not.
    pub(super) fn property(&self, path: &Term) -> Option<Term> {
        let [word] = as_list(path)? else { return None };
        (as_text(word)? == EVENTS.as_bytes()).then(|| self.events.last())
    }

    /// Tells what is new.
    pub(super) fn tell(&mut self, process: &Process, view: &View<'_>) {
        let kernel: &Kernel = view.kernel;
        let news = self.watch.compare(kernel.contested(view.state), kernel.shadows(view.state, view.ranking));
        let links = &kernel.world().links;
        news.iter().for_each(|news| news.log(|ifindex| links.get(&ifindex).map(|link| link.name)));
        send(process, self.events.changed(&view.node.name(), picture(view), terms(&news, view), now_ms()));
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

fn picture(view: &View<'_>) -> Picture {
    let state = view.state;
    let pending = view.pending();
    let install = |name| pending.get(name).map_or(Install::Installed, |why| Install::Pending(*why));
    let installs = state.interfaces().keys().map(|name| (*name, install(name))).collect();
    let mut statuses: BTreeMap<_, _> = state.interfaces().iter().map(|(name, wish)| (*name, wish.status)).collect();
    for name in state.cleared() {
        statuses.entry(name).or_insert(Status::Disconnected);
    }
    let available = available_interfaces(state, view.ranking).into();
    Picture { installs, statuses, connection: Some(connection(state)), available: Some(available) }
}
