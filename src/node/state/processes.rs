//! Our processes: ids, names, exported modules, aliases, and what follows from an end.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use eetf::{Pid, Reference, Term};

use super::State;
use crate::dist::{Control, Target};
use crate::node::connection::Connection;
use crate::node::fast_path::{FastPath, FlatTaker};
use crate::node::mailbox::Mailbox;

/// A process's number, in a pid as id and serial: `id < 2^15`, `serial < 2^13`, which OTP 25 can take. Small numbers are
/// left to the processes every node has; none comes back before all others have been used.
const ID_BITS: u32 = 15;
const SERIAL_BITS: u32 = 13;
const FIRST: u32 = 100;
const END: u32 = 1 << (ID_BITS + SERIAL_BITS);

/// Id and serial of a process's pid.
pub(in crate::node) const fn pid_numbers(number: u32) -> (u32, u32) {
    (number & ((1 << ID_BITS) - 1), number >> ID_BITS)
}

/// The number of the process that has this pid; `None` if no process can have it.
pub(in crate::node) const fn process_number(pid: &Pid) -> Option<u32> {
    if pid.id >> ID_BITS != 0 || pid.serial >> SERIAL_BITS != 0 {
        return None;
    }
    Some(pid.serial << ID_BITS | pid.id)
}

/// The processes of the node.
#[derive(Debug, Default)]
pub(in crate::node) struct Processes {
    all: HashMap<u32, Entry>,
    names: BTreeMap<String, u32>,
    modules: HashMap<String, u32>,
    aliases: HashMap<Reference, u32>,
    last_id: u32,
}

/// A process.
#[derive(Debug)]
struct Entry {
    mailbox: Mailbox,
    manners: Manners,
    /// It decodes calls and casts itself.
    flat: Option<Arc<FlatTaker>>,
}

/// How a process takes what comes in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::node) struct Manners {
    /// Exit signals arrive as messages.
    pub traps_exits: bool,
    /// `kill` does not end it.
    pub is_shielded: bool,
}

/// A signal that the end of a process sends.
pub(in crate::node) enum EndSignal {
    /// To a process that watched it.
    Down { over: Way, target: Target, to: Pid, reference: Reference },
    /// To a process that was linked to it.
    Exit { over: Way, to: Pid },
    /// To a process that it watched.
    Demonitor { over: Way, target: Target, reference: Reference },
}

/// Over which connection a signal goes; `None` stays here.
pub(in crate::node) type Way = Option<Arc<Connection>>;

impl Processes {
    pub(in crate::node) fn fresh_id(&mut self) -> u32 {
        loop {
            self.last_id = if self.last_id + 1 < END { (self.last_id + 1).max(FIRST) } else { FIRST };
            if !self.all.contains_key(&self.last_id) {
                return self.last_id;
            }
        }
    }

    pub(in crate::node) fn add(&mut self, mailbox: Mailbox) -> u32 {
        let id = self.fresh_id();
        self.all.insert(id, Entry { mailbox, manners: Manners::default(), flat: None });
        id
    }

    pub(in crate::node) fn len(&self) -> usize {
        self.all.len()
    }

    pub(in crate::node) fn aliases(&self) -> usize {
        self.aliases.len()
    }

    pub(in crate::node) fn has(&self, id: u32) -> bool {
        self.all.contains_key(&id)
    }

    pub(in crate::node) fn mailbox(&self, id: u32) -> Option<Mailbox> {
        Some(self.all.get(&id)?.mailbox.clone())
    }

    /// The process that has this name, if it takes calls and casts flat.
    pub(in crate::node) fn flat_taker(&self, name: &str) -> Option<Arc<FlatTaker>> {
        self.all.get(&self.named(name)?)?.flat.clone()
    }

    /// Lets process `id` take calls and casts flat, but for those that `fast_path` has answers to.
    pub(in crate::node) fn take_flat(&mut self, id: u32, fast_path: Box<dyn FastPath>) {
        if let Some(entry) = self.all.get_mut(&id) {
            entry.flat = Some(Arc::new(FlatTaker { id, mailbox: entry.mailbox.clone(), fast_path }));
        }
    }

    pub(in crate::node) fn manners(&self, id: u32) -> Option<Manners> {
        Some(self.all.get(&id)?.manners)
    }

    pub(in crate::node) fn set_manners(&mut self, id: u32, change: impl FnOnce(&mut Manners)) {
        if let Some(entry) = self.all.get_mut(&id) {
            change(&mut entry.manners);
        }
    }

    /// Registers `name`; says whether it was free.
    pub(in crate::node) fn register(&mut self, name: &str, id: u32) -> bool {
        if self.names.contains_key(name) || !self.has(id) {
            return false;
        }
        self.names.insert(name.to_owned(), id);
        true
    }

    /// Takes a name from process `id`; says whether it had it.
    pub(in crate::node) fn unregister(&mut self, name: &str, id: u32) -> bool {
        let has = self.named(name) == Some(id);
        if has {
            self.names.remove(name);
        }
        has
    }

    pub(in crate::node) fn named(&self, name: &str) -> Option<u32> {
        self.names.get(name).copied()
    }

    pub(in crate::node) fn names(&self) -> Vec<String> {
        self.names.keys().cloned().collect()
    }

    /// Lets process `id` answer `Module:F(Args)`.
    pub(in crate::node) fn export(&mut self, module: &str, id: u32) {
        if self.has(id) {
            self.modules.insert(module.to_owned(), id);
        }
    }

    pub(in crate::node) fn exporter(&self, module: &str) -> Option<Mailbox> {
        self.mailbox(*self.modules.get(module)?)
    }

    /// Whether process `id` answers functions.
    pub(in crate::node) fn is_exporter(&self, id: u32) -> bool {
        self.modules.values().any(|exporter| *exporter == id)
    }

    pub(in crate::node) fn add_alias(&mut self, alias: Reference, id: u32) {
        if self.has(id) {
            self.aliases.insert(alias, id);
        }
    }

    /// Takes an alias from process `id`; says whether it had it.
    pub(in crate::node) fn remove_alias(&mut self, alias: &Reference, id: u32) -> bool {
        self.alias(alias) == Some(id) && self.aliases.remove(alias).is_some()
    }

    pub(in crate::node) fn alias(&self, alias: &Reference) -> Option<u32> {
        self.aliases.get(alias).copied()
    }

    fn remove(&mut self, id: u32) -> Option<Mailbox> {
        let entry = self.all.remove(&id)?;
        self.names.retain(|_, named| *named != id);
        self.modules.retain(|_, exporter| *exporter != id);
        self.aliases.retain(|_, owner| *owner != id);
        Some(entry.mailbox)
    }
}

impl State {
    /// Ends a process for `reason`; says who must hear of it. `None` if it has ended before.
    pub(in crate::node) fn end_process(&mut self, id: u32, reason: &Term) -> Option<Vec<EndSignal>> {
        self.processes.remove(id)?.end(reason.clone());
        self.watchers.process_ended(id);
        let mut signals = Vec::new();
        for (over, relations) in self.all_relations() {
            let bonds = relations.end(id);
            // OTP sends the exit of a link before the DOWN of a monitor.
            signals.extend(bonds.linked.into_iter().map(|to| EndSignal::Exit { over: over.clone(), to }));
            signals.extend(bonds.monitors.into_iter().filter_map(|monitor| match monitor.to_control()? {
                Control::MonitorP { from: to, target, reference } => {
                    Some(EndSignal::Down { over: over.clone(), target, to, reference })
                }
                _ => None,
            }));
            let watched = bonds.watched.into_iter();
            signals.extend(watched.map(|(reference, target)| EndSignal::Demonitor {
                over: over.clone(),
                target,
                reference,
            }));
        }
        Some(signals)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::mailbox::mailbox;

    #[test]
    fn pids_have_their_number_in_id_and_serial_and_come_back_last() {
        let mut processes = Processes::default();
        let first = processes.fresh_id();
        assert_eq!(pid_numbers(first), (100, 0));
        processes.last_id = (1 << ID_BITS) - 1;
        let kept = processes.add(mailbox(1, None).0);
        assert_eq!(pid_numbers(kept), (0, 1));
        processes.last_id = END - 1;
        assert_eq!(processes.fresh_id(), FIRST, "around");
        processes.last_id = kept - 1;
        assert_eq!(processes.fresh_id(), kept + 1, "not one that lives");
        for number in [FIRST, kept, END - 1] {
            let (id, serial) = pid_numbers(number);
            let pid = Pid { node: eetf::Atom::from("n@h"), id, serial, creation: 1 };
            assert_eq!(process_number(&pid), Some(number));
        }
        let strange = Pid { node: eetf::Atom::from("n@h"), id: 1 << ID_BITS, serial: 0, creation: 1 };
        assert_eq!(process_number(&strange), None);
    }
}
