//! Telling what happens: to subscribers as events, and of what nobody asked for, to the log.

use std::collections::BTreeMap;

use eetf::{Pid, Reference};

use super::events::{Events, Path, Picture, Told};
use super::kernel::Kernel;
use super::news::{News, Watch};
use super::status::{Install, View};
use crate::node::Process;
use crate::term::{Term, atom, tuple};

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

    /// Tells what is new. Costs little when nobody listens.
    pub(super) fn tell(&mut self, process: &Process, view: &View<'_>) {
        let kernel: &Kernel = view.kernel;
        let news = self.watch.compare(kernel.contested(view.state), kernel.shadows(view.state, view.ranking));
        let links = &kernel.world().links;
        news.iter().for_each(|news| news.log(|ifindex| links.get(&ifindex).map(|link| link.name)));
        if self.events.is_heard() {
            send(process, self.events.changed(&view.node.name(), picture(view), terms(&news, view)));
        }
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
    let names = state.interfaces().keys().copied().chain(state.cleared());
    let paths = [Path::Connection, Path::AvailableInterfaces].into_iter().chain(names.map(Path::Interface));
    let properties: BTreeMap<Path, Term> = paths.map(|path| (path, view.property(&path.to_term()))).collect();
    Picture { properties, installs }
}
