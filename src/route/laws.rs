//! Laws of plan and diff, over histories of random wishes and a random world, against a model of the kernel.

mod kept;
mod kernel;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use self::kept::Kept;
use self::kernel::{Kernel, STATIC, Taker};
use super::*;

const NAMES: [&str; 5] = ["eth0", "eth10", "wlan0", "ppp0", "usb0"];

/// Several interfaces may have an address of the same network, and even the same address.
const ADDRESSES: [(&str, u32); 11] = [
    ("192.168.1.50", 24),
    ("192.168.1.51", 24),
    ("192.168.1.52", 24),
    ("192.168.2.50", 24),
    ("10.0.0.5", 8),
    ("10.64.64.64", 32),
    ("fd00:1::5", 64),
    ("fd00:1::6", 64),
    ("fd00:2::5", 64),
    ("fd00:3::5", 128),
    ("fe80::5", 64),
];

const GATEWAYS: [&str; 9] = [
    "192.168.1.1",
    "192.168.1.2",
    "192.168.2.1",
    "10.64.64.64",
    "8.8.4.4",
    "fd00:1::1",
    "fd00:2::1",
    "fe80::1",
    "2001:db8::1",
];

fn name(text: &str) -> IfName {
    text.parse().unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// What one interface is and should be at one time.
#[derive(Debug, Clone)]
struct Moment {
    /// `None`: the interface is not there.
    is_up: Option<bool>,
    /// Indices into [`ADDRESSES`], tentative, without prefix route, priority.
    addresses: Vec<(usize, bool, bool, u32)>,
    wish: Option<MomentWish>,
}

#[derive(Debug, Clone)]
struct MomentWish {
    status: Status,
    subnets: Vec<usize>,
    gateway: Option<&'static str>,
    metric: Option<Metric>,
}

/// What happens before the routes are looked at again.
#[derive(Debug, Clone)]
struct Phase {
    moments: Vec<Moment>,
    /// Routes of ours that someone deletes, by position.
    stolen: Vec<prop::sample::Index>,
    /// The state is lost: all of ours are orphans until their interface is set.
    forgets: bool,
}

fn moments() -> impl Strategy<Value = Vec<Moment>> {
    let flags = (prop::bool::weighted(0.2), prop::bool::weighted(0.1), select(vec![0, 0, 0, 0, 0, 0, 256, 600]));
    let address =
        (0..ADDRESSES.len(), flags).prop_map(|(index, (tentative, bare, priority))| (index, tentative, bare, priority));
    let wish = (
        select(vec![Status::Disconnected, Status::Lan, Status::Lan, Status::Internet]),
        prop::collection::vec(0..ADDRESSES.len(), 0..4),
        prop::option::weighted(0.8, select(GATEWAYS.to_vec())),
        select(vec![None, None, None, Metric::new(50), Metric::new(255), Metric::new(300), Some(Metric::Disabled)]),
    );
    let wish = wish.prop_map(|(status, subnets, gateway, metric)| MomentWish { status, subnets, gateway, metric });
    let fits = prop::bool::weighted(0.7);
    let moment = (
        select(vec![None, Some(false), Some(true), Some(true), Some(true), Some(true)]),
        prop::collection::vec(address, 0..4),
        prop::option::weighted(0.75, wish),
        fits,
    );
    let moment = moment.prop_map(|(is_up, mut addresses, wish, fits)| {
        if let (true, Some(wish)) = (fits, &wish) {
            // Most of the time callers know what they say.
            addresses.extend(wish.subnets.iter().map(|index| (*index, false, false, 0)));
        }
        Moment { is_up, addresses, wish }
    });
    prop::collection::vec(moment, NAMES.len())
}

fn history() -> impl Strategy<Value = (Vec<Phase>, bool)> {
    let stolen = prop::collection::vec(any::<prop::sample::Index>(), 0..3);
    let phase = (moments(), stolen, prop::bool::weighted(0.25));
    let phase = phase.prop_map(|(moments, stolen, forgets)| Phase { moments, stolen, forgets });
    let phases = prop::collection::vec(phase, 1..5).prop_flat_map(|phases| {
        // Often only few interfaces change from one phase to the next.
        let kept =
            prop::collection::vec(subsequence((0..NAMES.len()).collect::<Vec<_>>(), 0..NAMES.len()), phases.len());
        (Just(phases), kept).prop_map(|(mut phases, kept)| {
            for later in 1..phases.len() {
                for index in &kept[later] {
                    phases[later].moments[*index] = phases[later - 1].moments[*index].clone();
                }
            }
            phases
        })
    });
    (phases, prop::bool::weighted(0.9))
}

/// The daemon with its kernel.
struct Scene {
    kernel: Kernel,
    mirror: World,
    state: DesiredState,
    orphans: BTreeSet<Object>,
    foreign: Vec<(Route, u8)>,
    kept: Kept,
}

impl Scene {
    fn new(has_ipv6_rules: bool) -> Self {
        let kernel = Kernel { has_ipv6_rules, ..Kernel::default() };
        let mirror = kernel.world();
        Self {
            kernel,
            mirror,
            state: DesiredState::default(),
            orphans: BTreeSet::new(),
            foreign: Vec::new(),
            kept: Kept::new(),
        }
    }

    fn live(&mut self, phase: &Phase) {
        self.turn(phase);
        if phase.forgets {
            self.forget();
        }
        for (text, moment) in NAMES.iter().zip(&phase.moments) {
            self.wish(name(text), moment.wish.as_ref());
        }
        self.follow();
    }

    /// The world turns.
    fn turn(&mut self, phase: &Phase) {
        let before = self.kernel.world();
        self.kernel.links.clear();
        self.kernel.addresses.clear();
        for (ifindex, (text, moment)) in (2..).zip(NAMES.iter().zip(&phase.moments)) {
            let Some(is_up) = moment.is_up else { continue };
            self.kernel.links.insert(ifindex, Link { name: name(text), is_up });
            let mut given: BTreeMap<IpAddr, Address> = BTreeMap::new();
            for (index, is_tentative, has_no_prefix_route, priority) in &moment.addresses {
                let (ip, len) = (ip(ADDRESSES[*index].0), ADDRESSES[*index].1);
                let network = Prefix::of(ip, u8::try_from(len).unwrap()).unwrap();
                let is_tentative = *is_tentative && ip.is_ipv6();
                let (has_no_prefix_route, priority) = (*has_no_prefix_route, *priority);
                // The first of a network is its primary, and stays that as long as it is there.
                let is_primary = |a: &Address| a.network == network && !a.is_secondary;
                let was_primary = before.address(ifindex, ip).is_some_and(is_primary);
                let is_secondary = ip.is_ipv4() && !was_primary && {
                    let old = before.addresses_of(ifindex).filter(|a| is_primary(a)).map(|a| a.ip);
                    let is_given = |ip: IpAddr| moment.addresses.iter().any(|a| self::ip(ADDRESSES[a.0].0) == ip);
                    given.values().any(is_primary) || old.into_iter().any(is_given)
                };
                let address =
                    Address { ifindex, ip, network, is_tentative, has_no_prefix_route, is_secondary, priority };
                given.entry(ip).or_insert(address);
            }
            self.kernel.addresses.extend(given.into_values());
        }
        self.kernel.settle(&before);
        self.mirror.renew(self.kernel.world());
        for index in &phase.stolen {
            if !self.kernel.routes.is_empty() {
                self.kernel.steal(index.index(self.kernel.routes.len()));
            }
        }
        self.settle_foreign();
        self.mirror.renew(self.kernel.world());
    }

    /// A new daemon, which finds what there is.
    fn restart(&mut self) {
        self.kernel.forget_takers();
        self.mirror = self.kernel.world();
        self.mirror.adopt_stand_ins();
        self.kept.is_old = true;
    }

    /// A new daemon, which knows nothing of the wishes.
    fn forget(&mut self) {
        self.restart();
        self.state = DesiredState::default();
        self.orphans = self.mirror.ours.clone();
    }

    /// An administrator's default route over the first interface, with one of our numbers.
    fn settle_foreign(&mut self) {
        let gateway = Some(ip("192.168.1.254"));
        let dst = Prefix::default_route(Family::V4);
        let route = Route { table: MAIN_TABLE, dst, metric: 50, ifindex: 2, gateway, prefsrc: None, onlink: true };
        let _ = self.kernel.add(route, STATIC);
        self.foreign = self.kernel.routes.iter().filter(|(_, protocol)| *protocol == STATIC).copied().collect();
    }

    fn wish(&mut self, name: IfName, wish: Option<&MomentWish>) {
        self.kept.wished.insert(name);
        let Some(wish) = wish else {
            if self.state.clear_route(name) == Effect::Changed {
                self.release(name, &[]);
            }
            return;
        };
        let subnets: Vec<Subnet> = wish
            .subnets
            .iter()
            .map(|index| Subnet::new(ip(ADDRESSES[*index].0), ADDRESSES[*index].1).unwrap())
            .collect();
        let call = Call { world: &self.mirror, orphans: &self.orphans, now_ms: 0, who: None };
        let _ = self.state.set_route(name, subnets.clone(), wish.gateway.map(ip), &call).unwrap();
        let _ = self.state.set_status(name, wish.status, None, &call).unwrap();
        let _ = self.state.set_metric(name, wish.metric).unwrap();
        self.release(name, &subnets);
    }

    fn release(&mut self, name: IfName, subnets: &[Subnet]) {
        let released = orphans_of(name, subnets, &self.mirror, &self.orphans);
        for released in released.union(&useless_orphans(&self.mirror, &self.orphans)) {
            self.orphans.remove(released);
        }
    }

    fn plan(&self) -> Plan {
        plan(&self.state, &Ranking::default(), &self.mirror, &PlanOptions::default())
    }

    /// Plan, diff and apply, with all laws.
    fn follow(&mut self) {
        let plan = self.plan();
        let before = self.mirror.clone();
        let changes = diff(&before, &plan, &self.orphans);
        let by_touch = self.kept.changes(&self.state, &before, &self.orphans);
        assert_eq!((&self.kept.plan, &by_touch), (&plan, &changes), "as if everything had been looked at");
        obeys_order(&plan);
        is_minimal(&before, &plan, &changes, &self.orphans);
        let gaps = Gaps::new(&before, &plan);
        for change in changes.additions.iter().chain(&changes.deletions) {
            let command = change.command(&self.mirror, kernel::OURS);
            if is_replaced(change, &changes.additions) {
                self.mirror.apply(change);
                continue;
            }
            self.kernel.run(change).unwrap_or_else(|error| panic!("{command}: {error}\n{plan:#?}\n{before:#?}"));
            self.mirror.apply(change);
            gaps.watch(&self.mirror, &command);
        }
        self.kept.done(&changes, &self.mirror);
        self.has_sources(&plan);
        let dumped = self.kernel.world();
        let seen = World { removed: BTreeSet::new(), ..self.mirror.clone() };
        assert_eq!(seen, dumped, "the mirror is what a dump would show");
        self.is_as_planned(&plan, &changes);
        self.keeps_local_networks(&before, &plan);
        let now: Vec<_> = self.kernel.routes.iter().filter(|(_, protocol)| *protocol == STATIC).copied().collect();
        assert_eq!(now, self.foreign, "foreign routes are untouched");
    }

    fn is_as_planned(&mut self, plan: &Plan, changes: &Changes) {
        self.orphans.retain(|orphan| self.mirror.ours.contains(orphan));
        let wanted: BTreeSet<Object> = plan.objects().iter().copied().collect();
        let expected: BTreeSet<Object> = wanted.union(&self.orphans).copied().collect();
        assert_eq!(self.mirror.ours, expected);
        for connected in &self.mirror.connected {
            assert!(!plan.stand_ins().contains(&connected.place()), "{connected:?} is replaced");
        }
        for (queue, there) in &self.mirror.order {
            let there = there.iter().filter(|object| wanted.contains(object));
            assert!(plan.in_order(queue).eq(there), "{queue:?} is in the plan's order after {changes:#?}");
        }
        let again = self.plan();
        assert_eq!(again.objects(), plan.objects(), "the plan does not depend on its own effect");
        assert_eq!(diff(&self.mirror, &again, &self.orphans), Changes::default());
    }

    /// Traffic over a default route has an address to come from that its interface's caller named.
    fn has_sources(&self, plan: &Plan) {
        let routes = plan.wanted().filter_map(|object| if let Object::Route(r) = object { Some(r) } else { None });
        for route in routes.filter(|route| route.dst.is_default()) {
            let wish = &self.state.interfaces()[&self.kernel.links[&route.ifindex].name];
            let mut subnets = wish.subnets.iter().filter(|subnet| subnet.family() == route.dst.family());
            let is_usable = |a: &Address| !a.is_tentative;
            let is_there = |s: &Subnet| self.mirror.address(route.ifindex, s.ip()).is_some_and(is_usable);
            assert!(subnets.any(is_there), "{route:?} of {wish:?}");
        }
    }

    /// A network that the kernel had a link reach, and whose route nobody but us has removed, is reached.
    fn keeps_local_networks(&self, before: &World, plan: &Plan) {
        let links = links_in_main(&self.mirror);
        let connected = before.connected.iter().map(|c| (c.dst, c.ifindex));
        let ours = self.kernel.taken.iter().filter(|(_, taker)| **taker == Taker::Us).map(|(place, _)| *place);
        for (dst, ifindex) in connected.chain(ours) {
            if self.kernel.makes(dst, ifindex).is_some() {
                assert!(links.contains(&(dst, ifindex)), "{dst} on {ifindex} is lost: {plan:#?}");
            }
        }
    }
}

/// Rules, on-link routes in tables, on-link routes in main, defaults in tables, defaults in main; all distinct.
fn obeys_order(plan: &Plan) {
    let class = |object: &Object| match object {
        Object::Rule(_) | Object::LocalNetworks { .. } => 0,
        Object::Route(route) => 1 + u8::from(route.table == MAIN_TABLE) + 2 * u8::from(!route.is_on_link()),
    };
    assert!(plan.objects().is_sorted_by_key(class), "{:?}", plan.objects());
    assert_eq!(plan.objects().iter().collect::<BTreeSet<_>>().len(), plan.objects().len(), "{:?}", plan.objects());
    let in_main = |object: &&Object, family| matches!(object, Object::Route(r) if r.table == MAIN_TABLE && !r.is_on_link() && r.dst.family() == family);
    for family in [Family::V4, Family::V6] {
        let objects = plan.objects();
        let defaults = objects.iter().filter(|object| in_main(object, family));
        assert!(defaults.is_sorted_by_key(|object| if let Object::Route(r) = object { r.metric } else { 0 }));
    }
    let mut metrics = BTreeMap::new();
    for object in plan.objects() {
        let Object::Route(route) = object else { continue };
        assert!(route.dst.is_default() != route.is_on_link(), "{route:?}");
        if route.table == MAIN_TABLE && route.dst.family() == Family::V6 {
            let ifindex = *metrics.entry(route.metric).or_insert(route.ifindex);
            assert_eq!(ifindex, route.ifindex, "an IPv6 metric of two interfaces: {:?}", plan.objects());
        }
    }
}

/// Nothing that is right is touched, but for what has to move back in its queue or make room for its IPv6 twin.
fn is_minimal(before: &World, plan: &Plan, changes: &Changes, orphans: &BTreeSet<Object>) {
    let wanted: BTreeSet<Object> = plan.objects().iter().copied().collect();
    let mut queued: BTreeMap<Queue, usize> = BTreeMap::new();
    for queue in plan.objects().iter().filter_map(Object::queue) {
        *queued.entry(queue).or_default() += 1;
    }
    let may_move = |object: &Object| object.queue().is_some_and(|queue| queued.get(&queue).is_some_and(|n| *n > 1));
    for change in changes.additions.iter().chain(&changes.deletions) {
        match change {
            Change::Add(object) => {
                assert!(wanted.contains(object), "{change:?}");
                assert!(!before.ours.contains(object) || may_move(object), "{change:?}");
            }
            Change::Delete(object) => {
                assert!(before.ours.contains(object) || may_move(object), "{change:?}");
                assert!(!wanted.contains(object) || may_move(object), "{change:?}");
                let makes_room = matches!(object, Object::Route(r) if r.dst.family() == Family::V6);
                assert!(!orphans.contains(object) || wanted.contains(object) || makes_room, "{change:?}");
            }
            Change::RemoveConnected(connected) => assert!(before.connected.contains(connected)),
            Change::RestoreConnected(connected) => assert!(!before.connected.contains(connected)),
        }
    }
    assert!(changes.additions.iter().all(|change| !matches!(change, Change::RemoveConnected(_))));
    let is_moved = |object: &Object| changes.deletions.contains(&Change::Delete(*object));
    assert!(changes.deletions.iter().all(|c| !matches!(c, Change::Add(object) if !is_moved(object))));
}

/// Whether `change` deletes an IPv6 route that one of `additions` has replaced.
fn is_replaced(change: &Change, additions: &[Change]) -> bool {
    let Change::Delete(Object::Route(old)) = change else { return false };
    additions
        .iter()
        .any(|addition| matches!(addition, Change::Add(Object::Route(new)) if new != old && kernel::is_twin(new, old)))
}

/// What IPv4 has before and after it has all the time: a default route in main, and a way to each network on a link
/// (over whichever link: while one of two equal routes moves back in its queue, the other carries the traffic).
struct Gaps {
    default: bool,
    networks: BTreeSet<Prefix>,
}

impl Gaps {
    fn new(before: &World, plan: &Plan) -> Self {
        let planned = plan.wanted().filter_map(|object| match object {
            Object::Route(route) if route.table == MAIN_TABLE && route.dst.family() == Family::V4 => Some(*route),
            _ => None,
        });
        let planned: Vec<Route> = planned.collect();
        let linked = networks_in_main(before);
        let after = planned.iter().filter(|route| route.is_on_link()).map(|route| route.dst);
        Self {
            default: has_default(before) && planned.iter().any(|route| route.dst.is_default()),
            networks: after.filter(|network| linked.contains(network)).collect(),
        }
    }

    fn watch(&self, world: &World, command: &str) {
        assert!(!self.default || has_default(world), "no default route after {command}");
        assert!(self.networks.is_subset(&networks_in_main(world)), "no on-link route after {command}");
    }
}

fn has_default(world: &World) -> bool {
    world.ours.iter().any(|object| {
        matches!(object, Object::Route(r) if r.table == MAIN_TABLE && r.dst == Prefix::default_route(Family::V4))
    })
}

fn networks_in_main(world: &World) -> BTreeSet<Prefix> {
    links_in_main(world).into_iter().map(|(network, _)| network).collect()
}

fn links_in_main(world: &World) -> BTreeSet<(Prefix, u32)> {
    let connected = world.connected.iter().map(|c| (c.dst, c.ifindex));
    let in_main = world.ours.iter().filter_map(|object| match object {
        Object::Route(route) if route.table == MAIN_TABLE && route.is_on_link() => Some((route.dst, route.ifindex)),
        _ => None,
    });
    in_main.chain(connected).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_kernel_follows_every_history((phases, has_ipv6_rules) in history()) {
        let mut scene = Scene::new(has_ipv6_rules);
        for phase in &phases {
            scene.live(phase);
        }
    }

    /// The world half done, as after a restart in the middle of a batch: the rest is done, and nothing else.
    #[test]
    fn a_batch_cut_short_is_finished((phases, has_ipv6_rules) in history(), cut in any::<prop::sample::Index>()) {
        let mut scene = Scene::new(has_ipv6_rules);
        for phase in &phases {
            scene.turn(phase);
            for (text, moment) in NAMES.iter().zip(&phase.moments) {
                scene.wish(name(text), moment.wish.as_ref());
            }
            let changes = diff(&scene.mirror, &scene.plan(), &scene.orphans);
            let all: Vec<Change> = changes.additions.iter().chain(&changes.deletions).copied().collect();
            for change in all.iter().take(cut.index(all.len() + 1)) {
                scene.kernel.run(change).unwrap();
            }
            scene.restart();
            scene.follow();
        }
    }
}

/// The histories above are worth something only if much of the code's way is in them.
#[test]
fn histories_reach_every_corner() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for _ in 0..400 {
        let (phases, has_ipv6_rules) = history().new_tree(&mut runner).unwrap().current();
        let mut scene = Scene::new(has_ipv6_rules);
        for phase in &phases {
            scene.turn(phase);
            if phase.forgets {
                scene.forget();
            }
            for (text, moment) in NAMES.iter().zip(&phase.moments) {
                scene.wish(name(text), moment.wish.as_ref());
            }
            let plan = scene.plan();
            let changes = diff(&scene.mirror, &plan, &scene.orphans);
            for corner in corners(&plan, &changes, &scene.orphans) {
                *seen.entry(corner).or_default() += 1;
            }
            scene.follow();
        }
    }
    for corner in CORNERS {
        assert!(seen.get(corner).is_some_and(|n| *n >= 5), "{corner} in {seen:?}");
    }
}

const CORNERS: [&str; 14] = [
    "add",
    "delete",
    "restore",
    "remove",
    "moved or made room",
    "onlink",
    "ipv6 default",
    "ipv6 beyond 256",
    "orphans",
    "no interface",
    "link down",
    "no address",
    "tentative",
    "gateway",
];

fn corners(plan: &Plan, changes: &Changes, orphans: &BTreeSet<Object>) -> BTreeSet<&'static str> {
    let routes = plan.wanted().filter_map(|object| match object {
        Object::Route(route) => Some(route),
        Object::Rule(_) | Object::LocalNetworks { .. } => None,
    });
    let of_routes = routes.flat_map(|route| {
        let is_v6 = route.dst.family() == Family::V6;
        [
            route.onlink.then_some("onlink"),
            (is_v6 && !route.is_on_link()).then_some("ipv6 default"),
            (is_v6 && route.metric > 256 && route.table == MAIN_TABLE).then_some("ipv6 beyond 256"),
        ]
    });
    let of_additions = changes.additions.iter().map(|change| match change {
        Change::Add(_) => Some("add"),
        Change::Delete(_) => Some("moved or made room"),
        Change::RestoreConnected(_) => Some("restore"),
        Change::RemoveConnected(_) => None,
    });
    let of_deletions = changes.deletions.iter().map(|change| match change {
        Change::Delete(_) => Some("delete"),
        Change::RemoveConnected(_) => Some("remove"),
        _ => None,
    });
    let of_reasons = plan.pending().values().map(|reason| match reason {
        Reason::NoInterface => Some("no interface"),
        Reason::LinkDown => Some("link down"),
        Reason::NoAddress(_) => Some("no address"),
        Reason::Tentative => Some("tentative"),
        Reason::Gateway(_) => Some("gateway"),
        _ => None,
    });
    let of_orphans = [(!orphans.is_empty()).then_some("orphans")];
    of_routes.chain(of_additions).chain(of_deletions).chain(of_reasons).chain(of_orphans).flatten().collect()
}
