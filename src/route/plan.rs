//! What of the wishes the kernel can hold now, as kernel objects, and why the rest has to wait.
//!
//! A rule needs nothing: the kernel takes it without the interface. A route needs its link up and its source address
//! there and not tentative; a default route needs one such address, and a way to its gateway. What is not possible is
//! pending with its reason and never keeps anything else out. Planning again after any event of links, addresses or routes heals it.
//!
//! A plan is the sum of the interfaces' shares ([`Site`]), and only those that something has [`Touched`] are made anew.
//! All that one interface's share has to do with the others is its IPv6 metric.

use std::collections::BTreeSet;
use std::collections::btree_map::{BTreeMap, Entry};
use std::net::IpAddr;

use super::object::IPV6_CONNECTED_METRIC;
use super::site::{Site, Turn, has_ipv6_in_main};
use super::{
    DesiredState, Family, IfName, MAIN_TABLE, Metric, Object, OnLink, Queue, Ranking, Route, Touched, Wish, World,
};

/// What is wanted, and what of it is possible.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// What the kernel should hold.
    wanted: BTreeMap<Object, Turn>,
    /// Of those, the ones whose place among others matters, in the order in which they should stand.
    queues: BTreeMap<Queue, Vec<(Turn, Object)>>,
    /// Where one of them takes the place of the kernel's connected route.
    stand_ins: BTreeSet<OnLink>,
    planned: BTreeMap<IfName, Planned>,
    /// The interfaces that take an IPv6 metric, by metric and name, with that.
    ipv6_metrics: BTreeMap<(u32, IfName), u32>,
    /// The tables of known interfaces, with the interface's ifindex if it is there.
    tables: BTreeMap<u32, Option<u32>>,
    /// The known interfaces that are there.
    names: BTreeMap<u32, IfName>,
    /// Interfaces of which something cannot be installed, and the first reason.
    pending: BTreeMap<IfName, Reason>,
    /// Those of them whose link is down.
    down: BTreeSet<IfName>,
    replanned: Replanned,
}

/// What was planned anew since somebody [took note](Plan::take_replanned). No part of what is planned: it makes no difference
/// between two plans.
#[derive(Debug, Clone, Default)]
struct Replanned(Touched);

impl PartialEq for Replanned {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Replanned {}

/// What was planned for one interface.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Planned {
    table: u32,
    ifindex: Option<u32>,
    /// Its metric, if it takes an IPv6 metric.
    ipv6: Option<u32>,
    objects: Vec<(Object, Turn)>,
}

/// What a plan is made from.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The callers' wishes.
    pub state: &'a DesiredState,
    /// The order among the interfaces.
    pub ranking: &'a Ranking,
    /// What is configured.
    pub options: &'a PlanOptions,
    /// Objects to do without for now, because others fight over them. The kernel's connected route is then not stood in
    /// for by one of these.
    pub contested: &'a BTreeSet<Object>,
}

/// Why something is not installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// There is no such interface.
    NoInterface,
    /// It is down.
    LinkDown,
    /// It does not have this address.
    NoAddress(IpAddr),
    /// Its IPv6 address is still being checked for duplicates.
    Tentative,
    /// The gateway cannot be reached; a POSIX error number.
    Gateway(i32),
    /// The kernel has no IPv6, or no policy rules for it.
    NoIpv6,
    /// Someone else keeps changing it. Never the plan's own finding.
    Contested,
    /// Its reported status does not count yet. Never the plan's own finding.
    Held,
    /// The kernel refused it; a POSIX error number. Never the plan's own finding.
    Netlink(i32),
}

/// What can be configured about the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlanOptions {
    /// The priority of our rules for addresses.
    pub rule_priority: u32,
    /// Whether traffic for other local networks goes there and not to a gateway: [`Object::LocalNetworks`], in front of
    /// the other rules.
    pub local_networks_first: bool,
}

impl Default for PlanOptions {
    /// In front of the kernel's own rule for main, 32766.
    fn default() -> Self {
        Self { rule_priority: 30_000, local_networks_first: false }
    }
}

/// Plans for `state` in `world`.
#[must_use]
pub fn plan(state: &DesiredState, ranking: &Ranking, world: &World, options: &PlanOptions) -> Plan {
    let mut plan = Plan::default();
    let contested = &BTreeSet::new();
    plan.update(&Wanted { state, ranking, options, contested }, world, &Touched::everything());
    plan
}

/// Of an interface with one address and a gateway: a rule, and two routes in each table.
const USUAL_OBJECTS: usize = 5;

/// To look for one object takes as long as to pass by so many.
const PASSED_BY: usize = 16;

impl Plan {
    /// Plans anew for what is touched; gives the objects that came in, went out or got another turn, some perhaps twice; none
    /// if everything is touched.
    pub fn update(&mut self, wanted: &Wanted<'_>, world: &World, touched: &Touched) -> Vec<Object> {
        if touched.everything {
            *self = Self::anew(wanted, world);
            return Vec::new();
        }
        let mut names = self.names_of(world, touched);
        let shifted = self.rank_ipv6(wanted, &names);
        names.extend(shifted);
        if !self.replanned.0.everything {
            self.replanned.0.names.extend(&names);
        }
        let mut moved = Vec::with_capacity(2 * USUAL_OBJECTS);
        let mut shares = Vec::with_capacity(names.len());
        for name in names {
            let (planned, pending) = self.planned(name, wanted, world);
            self.take_out(name, planned.as_ref(), &mut moved);
            shares.push((name, planned, pending));
        }
        // When all that goes is out: tables pass from one to another.
        for (name, planned, pending) in shares {
            for (object, turn) in planned.iter().flat_map(|planned| &planned.objects) {
                self.put_in(*object, *turn, &mut moved);
            }
            self.take_in(name, planned, pending);
        }
        moved
    }

    /// Plans for everything; the large maps are made at once, which is several times as fast as one by one.
    fn anew(wanted: &Wanted<'_>, world: &World) -> Self {
        let mut plan = Self { replanned: Replanned(Touched::everything()), ..Self::default() };
        let names: BTreeSet<IfName> = wanted.state.interfaces().keys().copied().collect();
        let _ = plan.rank_ipv6(wanted, &names);
        let mut objects: Vec<(Object, Turn)> = Vec::with_capacity(names.len() * USUAL_OBJECTS);
        objects.extend(wanted.local_networks(world));
        for name in names {
            let (planned, pending) = plan.planned(name, wanted, world);
            objects.extend(planned.iter().flat_map(|planned| &planned.objects));
            plan.take_in(name, planned, pending);
        }
        plan.stand_ins = objects.iter().filter_map(|(object, _)| Some(object.as_stand_in()?.place())).collect();
        let mut waiting: Vec<(Queue, (Turn, Object))> =
            objects.iter().filter_map(|(object, turn)| Some((object.queue()?, (*turn, *object)))).collect();
        waiting.sort_unstable();
        // An address may be asked for twice, and needs one rule.
        waiting.dedup();
        plan.queues = waiting
            .chunk_by(|a, b| a.0 == b.0)
            .filter_map(|of_one| Some((of_one.first()?.0, of_one.iter().map(|(_, waiting)| *waiting).collect())))
            .collect();
        // In place: what becomes of it sorts again, but with a buffer of the same size if there is anything to sort.
        objects.sort_unstable();
        plan.wanted = objects.into_iter().collect();
        plan
    }

    /// What the kernel should hold, in the order of addition.
    #[must_use]
    pub fn objects(&self) -> Vec<Object> {
        let mut objects: Vec<(Turn, Object)> = self.wanted.iter().map(|(object, turn)| (*turn, *object)).collect();
        objects.sort_unstable();
        objects.into_iter().map(|(_, object)| object).collect()
    }

    /// Whether the kernel should hold `object`.
    #[must_use]
    pub fn wants(&self, object: &Object) -> bool {
        self.wanted.contains_key(object)
    }

    /// When those of `objects` are added that are wanted.
    pub(super) fn turns_of<'a>(&self, objects: &'a BTreeSet<Object>) -> Vec<(Turn, &'a Object)> {
        if objects.len() < self.wanted.len() / PASSED_BY {
            return objects.iter().filter_map(|object| Some((*self.wanted.get(object)?, object))).collect();
        }
        let mut wanted = self.wanted.iter().peekable();
        let turn_of = |object| {
            while wanted.next_if(|(there, _)| *there < object).is_some() {}
            wanted.next_if(|(there, _)| *there == object).map(|(_, turn)| (*turn, object))
        };
        objects.iter().filter_map(turn_of).collect()
    }

    /// What is wanted, sorted.
    pub(super) fn wanted(&self) -> impl Iterator<Item = &Object> {
        self.wanted.keys()
    }

    /// What should stand in `queue`, in order.
    pub(super) fn in_order(&self, queue: &Queue) -> impl Iterator<Item = &Object> + Clone {
        self.queues.get(queue).into_iter().flatten().map(|(_, object)| object)
    }

    /// The queues in which more than one should stand.
    pub(super) fn queues(&self) -> impl Iterator<Item = Queue> {
        self.queues.iter().filter(|(_, waiting)| waiting.len() > 1).map(|(queue, _)| *queue)
    }

    /// Networks and links where one of the objects in main takes the place of the kernel's connected route.
    #[must_use]
    pub const fn stand_ins(&self) -> &BTreeSet<OnLink> {
        &self.stand_ins
    }

    /// The tables of known interfaces, with the interface's ifindex if it is there.
    #[must_use]
    pub const fn tables(&self) -> &BTreeMap<u32, Option<u32>> {
        &self.tables
    }

    /// Interfaces of which something cannot be installed, and the first reason.
    #[must_use]
    pub const fn pending(&self) -> &BTreeMap<IfName, Reason> {
        &self.pending
    }

    /// Those of them of which the reason is that the link is down.
    #[must_use]
    pub const fn down(&self) -> &BTreeSet<IfName> {
        &self.down
    }

    /// The interfaces that were planned anew since this was last called: what is [pending](Self::pending) of others is as it
    /// was.
    pub fn take_replanned(&mut self) -> Touched {
        std::mem::take(&mut self.replanned.0)
    }

    /// The interfaces that must be planned anew.
    fn names_of(&self, world: &World, touched: &Touched) -> BTreeSet<IfName> {
        let before = touched.links.iter().filter_map(|ifindex| self.names.get(ifindex).copied());
        let now = touched.links.iter().filter_map(|ifindex| world.links.get(ifindex)).map(|link| link.name);
        touched.names.iter().copied().chain(before).chain(now).collect()
    }

    /// Takes in the IPv6 metrics of `names`; gives those whose metric is another one now.
    ///
    /// Equal IPv6 metrics would merge into one multipath route, so they rise strictly. Interfaces without IPv6 take none.
    fn rank_ipv6(&mut self, wanted: &Wanted<'_>, names: &BTreeSet<IfName>) -> Vec<IfName> {
        let mut is_new = false;
        for name in names {
            let old = self.planned.get(name).and_then(|planned| planned.ipv6);
            let has_ipv6 = wanted.state.interfaces().get(name).is_some_and(has_ipv6_in_main);
            let new = if has_ipv6 { wanted.active(*name).map(|(_, metric)| metric) } else { None };
            if old != new {
                is_new = true;
                old.map(|metric| self.ipv6_metrics.remove(&(metric, *name)));
                new.map(|metric| self.ipv6_metrics.insert((metric, *name), 0));
            }
        }
        let mut shifted = Vec::new();
        if !is_new {
            return shifted;
        }
        let mut last = 0;
        for ((metric, name), ipv6_metric) in &mut self.ipv6_metrics {
            let mut free = (*metric).max(last + 1);
            if free == IPV6_CONNECTED_METRIC {
                // The same network, link and metric as the kernel's own route: ours would be taken for it.
                free += 1;
            }
            last = free.min(u32::MAX - 1);
            if *ipv6_metric != free {
                *ipv6_metric = free;
                shifted.push(*name);
            }
        }
        shifted
    }

    /// Takes out what was planned for `name`, but for the objects that its new share has, too, unless that is at another place
    /// in a queue.
    fn take_out(&mut self, name: IfName, new: Option<&Planned>, moved: &mut Vec<Object>) {
        self.pending.remove(&name);
        self.down.remove(&name);
        let Some(planned) = self.planned.remove(&name) else { return };
        self.tables.remove(&planned.table);
        planned.ifindex.map(|ifindex| self.names.remove(&ifindex));
        // What is in no queue gets another turn where it is.
        let stays = |at, object: &Object, turn| {
            let there = new.and_then(|new| new.objects.get(at)).filter(|(there, _)| there == object);
            there.is_some_and(|(_, there)| *there == turn || object.queue().is_none())
        };
        for (at, (object, turn)) in planned.objects.into_iter().enumerate() {
            if stays(at, &object, turn) {
                continue;
            }
            self.wanted.remove(&object);
            object.as_stand_in().map(|route| self.stand_ins.remove(&route.place()));
            if let Some(Entry::Occupied(mut waiting)) = object.queue().map(|queue| self.queues.entry(queue)) {
                waiting.get_mut().retain(|there| *there != (turn, object));
                if waiting.get().is_empty() {
                    waiting.remove();
                }
            }
            moved.push(object);
        }
    }

    /// Puts in one object of a share, unless it is there.
    fn put_in(&mut self, object: Object, turn: Turn, moved: &mut Vec<Object>) {
        if self.wanted.insert(object, turn) == Some(turn) {
            return;
        }
        object.as_stand_in().map(|route| self.stand_ins.insert(route.place()));
        if let Some(queue) = object.queue() {
            let waiting = self.queues.entry(queue).or_default();
            if let Err(place) = waiting.binary_search(&(turn, object)) {
                waiting.insert(place, (turn, object));
            }
        }
        moved.push(object);
    }

    /// The default routes in main that `name` would have. (Their IPv6 metrics may be others in a whole plan.)
    #[must_use]
    pub fn default_routes(name: IfName, wanted: &Wanted<'_>, world: &World) -> Vec<Route> {
        let (planned, _) = Self::default().planned(name, wanted, world);
        let objects = planned.into_iter().flat_map(|planned| planned.objects);
        let is_default = |route: &Route| route.table == MAIN_TABLE && route.dst.is_default();
        objects
            .filter_map(|(object, _)| if let Object::Route(route) = object { Some(route) } else { None })
            .filter(is_default)
            .collect()
    }

    /// What is planned for `name`, if it is known, and why not more.
    fn planned(&self, name: IfName, wanted: &Wanted<'_>, world: &World) -> (Option<Planned>, Option<Reason>) {
        let Some(wish) = wanted.state.interfaces().get(&name) else { return (None, None) };
        let link = world.links.named(name);
        let ifindex = link.map(|(ifindex, _)| ifindex);
        let mut planned = Planned { table: wish.table, ifindex, ipv6: None, objects: Vec::new() };
        let Some((wish, metric)) = wanted.active(name) else { return (Some(planned), None) };
        planned.ipv6 = has_ipv6_in_main(wish).then_some(metric);
        let ipv6_metric = self.ipv6_metrics.get(&(metric, name)).copied().unwrap_or(metric);
        let share = Site { name, wish, metric, ipv6_metric, link, world }.share(wanted.options);
        planned.objects = share.objects;
        let before = planned.objects.len();
        planned.objects.retain(|(object, _)| !wanted.contested.contains(object));
        let is_contested = planned.objects.len() < before;
        (Some(planned), if is_contested { Some(Reason::Contested) } else { share.pending })
    }

    fn take_in(&mut self, name: IfName, planned: Option<Planned>, pending: Option<Reason>) {
        let Some(planned) = planned else { return };
        pending.map(|reason| self.pending.insert(name, reason));
        if pending == Some(Reason::LinkDown) {
            self.down.insert(name);
        }
        self.tables.insert(planned.table, planned.ifindex);
        planned.ifindex.map(|ifindex| self.names.insert(ifindex, name));
        self.planned.insert(name, planned);
    }
}

impl<'a> Wanted<'a> {
    /// The rules that need no interface, if they are wanted.
    fn local_networks(&self, world: &World) -> impl Iterator<Item = (Object, Turn)> {
        let families = if world.has_ipv6_rules { &[Family::V4, Family::V6][..] } else { &[Family::V4] };
        let priority = self.options.rule_priority.saturating_sub(1);
        let wanted = families.iter().filter(|_| self.options.local_networks_first);
        let rules = wanted.map(move |family| (Object::LocalNetworks { family: *family, priority }, *family));
        rules
            .filter(|(rule, _)| !self.contested.contains(rule))
            .map(|(rule, family)| (rule, Turn::LocalNetworks(family)))
    }

    /// The wish for `name` and its metric, if it should have routes: it has an address and a metric.
    fn active(&self, name: IfName) -> Option<(&'a Wish, u32)> {
        let wish = self.state.interfaces().get(&name).filter(|wish| !wish.subnets.is_empty())?;
        Some((wish, Metric::number(self.state.metric(name, self.ranking))?))
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
