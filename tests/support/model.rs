//! What callers asked for and were promised, and what the kernel must then have.

use std::collections::BTreeSet;
use std::net::IpAddr;

use beamroute::netlink::{Config, Netlink};
use beamroute::route::{
    Call, DesiredState, IfName, Metric, Object, OnLink, Plan, PlanOptions, Ranking, Route, Status, Subnet, World, plan,
};
use serde_json::Value;

use super::Netns;
use super::dice::Dice;

/// Interfaces that calls are about. `eth9` is what `eth1` is called at times, `usb0` comes and goes, `ppp0` never comes.
pub const NAMES: [&str; 6] = ["eth0", "eth1", "eth9", "wlan0", "usb0", "ppp0"];

/// Addresses that callers and the world use; several interfaces may have one network.
pub const ADDRESSES: [(&str, u32); 9] = [
    ("10.0.1.5", 24),
    ("10.0.1.6", 24),
    ("10.0.2.5", 24),
    ("10.0.3.5", 16),
    ("10.9.9.9", 32),
    ("fd00:1::5", 64),
    ("fd00:1::6", 64),
    ("fd00:2::5", 64),
    ("fd00:3::5", 128),
];

/// The two among [`ADDRESSES`] the kernel refuses while an interface has them.
const GATEWAYS: [&str; 9] =
    ["10.0.1.1", "10.0.1.2", "10.0.1.6", "10.0.2.1", "192.0.2.1", "fd00:1::1", "fd00:1::6", "fd00:2::1", "fe80::1"];

/// One request.
#[derive(Debug, Clone)]
pub enum Wanted {
    Route(IfName, Vec<Subnet>, Option<IpAddr>),
    Clear(IfName),
    Status(IfName, Status),
    Metric(IfName, Option<Metric>),
    Refresh,
}

impl Wanted {
    pub fn random(dice: &mut Dice) -> Self {
        let name = dice.pick(&NAMES).parse().unwrap();
        match dice.below(12) {
            0..=4 => {
                let subnets = (0..dice.below(4)).map(|_| {
                    let (ip, len) = *dice.pick(&ADDRESSES);
                    Subnet::new(ip.parse().unwrap(), len).unwrap()
                });
                let subnets = subnets.collect();
                let gateway = dice.percent(80).then(|| dice.pick(&GATEWAYS).parse().unwrap());
                Self::Route(name, subnets, gateway)
            }
            5..=8 => {
                Self::Status(name, *dice.pick(&[Status::Internet, Status::Internet, Status::Lan, Status::Disconnected]))
            }
            9 => Self::Clear(name),
            10 => {
                let metrics = [
                    None,
                    None,
                    Metric::new(7),
                    Metric::new(50),
                    Metric::new(256),
                    Metric::new(300),
                    Some(Metric::Disabled),
                ];
                Self::Metric(name, *dice.pick(&metrics))
            }
            _ => Self::Refresh,
        }
    }

    /// As an Erlang term.
    pub fn term(&self) -> String {
        match self {
            Self::Route(name, subnets, gateway) => {
                let subnets: Vec<String> =
                    subnets.iter().map(|s| format!("{{<<\"{}\">>,{}}}", s.ip(), s.prefix_len())).collect();
                let gateway = gateway.map_or_else(|| "nil".to_owned(), |ip| format!("<<\"{ip}\">>"));
                format!("{{set_route, {name}, [{}], {gateway}}}", subnets.join(","))
            }
            Self::Clear(name) => format!("{{clear_route, {name}}}"),
            Self::Status(name, status) => format!("{{set_connection_status, {name}, {}}}", status.as_str()),
            Self::Metric(name, metric) => {
                let metric = match metric {
                    None => "default".to_owned(),
                    Some(metric) => metric.number().map_or_else(|| "disabled".to_owned(), |number| number.to_string()),
                };
                format!("{{set_metric, {name}, {metric}}}")
            }
            Self::Refresh => "refresh_route_metrics".to_owned(),
        }
    }
}

/// The wishes, and a look at the world of its own.
pub struct Model {
    pub state: DesiredState,
    pub options: PlanOptions,
    netlink: Netlink,
    world: World,
    config: Config,
}

impl Model {
    pub fn new(net: &Netns) -> Self {
        let config = Config { netns: Some(net.path()), ..Config::default() };
        let (netlink, world) = Netlink::open(&config).unwrap();
        Self { state: DesiredState::new(256), options: PlanOptions::default(), netlink, world, config }
    }

    /// The state after `wanted`, which now is the time of.
    pub fn after(&mut self, wanted: &Wanted) -> DesiredState {
        self.netlink.drain(&mut self.world).unwrap();
        let (orphans, mut state) = (BTreeSet::new(), self.state.clone());
        let call = Call { world: &self.world, orphans: &orphans, now_ms: 0, who: None };
        let _ = match wanted.clone() {
            Wanted::Route(name, subnets, gateway) => state.set_route(name, subnets, gateway, &call).unwrap(),
            Wanted::Clear(name) => state.clear_route(name),
            Wanted::Status(name, status) => state.set_status(name, status, None, &call).unwrap(),
            Wanted::Metric(name, metric) => state.set_metric(name, metric).unwrap(),
            Wanted::Refresh => return state,
        };
        state
    }

    /// Deletes `object` as another program would. Whether that could be done does not matter.
    pub fn delete(&mut self, object: Object) {
        let deletions = vec![beamroute::route::Change::Delete(object)];
        let changes = beamroute::route::Changes { additions: Vec::new(), deletions };
        self.netlink.apply(&changes).unwrap();
    }

    /// What is ours in the kernel now.
    pub fn ours(&mut self) -> Vec<Object> {
        self.netlink.distrust();
        self.netlink.drain(&mut self.world).unwrap();
        self.world.ours.iter().copied().collect()
    }

    /// What is wrong in the kernel, if `state` is what is wanted and the daemon says `status`.
    pub fn wrong(&mut self, status: &Value) -> Vec<String> {
        let (_, mut world) = Netlink::open(&self.config).unwrap();
        world.adopt_stand_ins();
        let plan = plan(&self.state, &Ranking::default(), &world, &self.options);
        let excused = self.excused(status, &world);
        let wanted: BTreeSet<Object> = plan.objects().iter().copied().collect();
        let mut wrong = Vec::new();
        for (what, object) in wanted
            .difference(&world.ours)
            .map(|o| ("missing", o))
            .chain(world.ours.difference(&wanted).map(|o| ("too much", o)))
        {
            if !is_refused_onlink(object, &world)
                && !excused.iter().any(|name| is_about(*name, object, &self.state, &world))
            {
                wrong.push(format!("{what}: {object:?}"));
            }
        }
        wrong.extend(connected(&plan, &world, &excused));
        let objects = plan.objects();
        for (queue, there) in &world.order {
            let is_there = |object: &&Object| world.ours.contains(*object) && object.queue() == Some(*queue);
            let planned: Vec<&Object> = objects.iter().filter(is_there).collect();
            let there: Vec<&Object> = there.iter().filter(|object| wanted.contains(object)).collect();
            if planned != there {
                wrong.push(format!("order: {there:?} instead of {planned:?}"));
            }
        }
        wrong.extend(says(&self.state, status));
        wrong
    }

    /// Interfaces of which the daemon says that the kernel refuses something, or of which it may say another reason first:
    /// the kernel takes no gateway that is one of its own addresses. What that was to replace stays.
    fn excused(&self, status: &Value, world: &World) -> Vec<IfName> {
        let is_refused = |name: &IfName| {
            let install = &status["interfaces"][name.to_string()]["install"];
            matches!(install[1][0].as_str(), Some("gateway" | "netlink"))
        };
        let leads_to_us = |gateway| world.addresses.iter().any(|address| address.ip == gateway);
        let interfaces = self.state.interfaces().iter();
        let excused = interfaces.filter(|(name, wish)| is_refused(name) || wish.gateway.is_some_and(leads_to_us));
        excused.map(|(name, _)| *name).collect()
    }
}

fn is_about(name: IfName, object: &Object, state: &DesiredState, world: &World) -> bool {
    let table = state.interfaces().get(&name).map(|wish| wish.table);
    match object {
        Object::Route(route) => world.links.get(&route.ifindex).is_some_and(|link| link.name == name),
        Object::Rule(rule) => Some(rule.table) == table,
        Object::LocalNetworks { .. } => false,
    }
}

/// IPv6 refuses the `onlink` flag for a gateway that a route leads to over another link (`ip6_route_check_nh_onlink`).
fn is_refused_onlink(object: &Object, world: &World) -> bool {
    let Object::Route(Route { onlink: true, gateway: Some(gateway), ifindex, .. }) = object else { return false };
    let elsewhere = world.addresses.iter().filter(|address| address.ifindex != *ifindex);
    gateway.is_ipv6() && elsewhere.map(|address| address.network).any(|network| network.contains(*gateway))
}

/// Where the kernel's connected routes are not as they should be: there, unless one of ours stands in.
fn connected(plan: &Plan, world: &World, excused: &[IfName]) -> Vec<String> {
    let mut wrong = Vec::new();
    // The loopback interface, always the first, has local routes only.
    let addresses = world.addresses.iter().filter(|address| address.ifindex != 1);
    let places = addresses.map(|a| (a.network, a.ifindex)).collect::<BTreeSet<_>>();
    for (dst, ifindex) in places {
        let Some(own) = world.own_connected(OnLink { ifindex, dst }) else { continue };
        if world.links.get(&ifindex).is_some_and(|link| excused.contains(&link.name)) {
            continue;
        }
        let is_there = world.connected.iter().any(|c| (c.dst, c.ifindex) == (dst, ifindex));
        if is_there == plan.stand_ins().contains(&OnLink { ifindex, dst }) {
            wrong.push(format!("{} is {}there", own.dst, if is_there { "" } else { "not " }));
        }
    }
    wrong
}

/// Where `status` differs from the wishes.
pub fn says(state: &DesiredState, status: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    let told = status["interfaces"].as_object().unwrap();
    let names: BTreeSet<String> = state.interfaces().keys().map(ToString::to_string).collect();
    if names != told.keys().cloned().collect() {
        wrong.push(format!("interfaces {:?} instead of {names:?}", told.keys()));
    }
    for (name, wish) in state.interfaces() {
        let told = &told.get(&name.to_string()).cloned().unwrap_or_default();
        let subnets: Vec<Value> =
            wish.subnets.iter().map(|s| serde_json::json!([s.ip().to_string(), s.prefix_len()])).collect();
        let wanted =
            serde_json::json!([wish.status.as_str(), wish.table, subnets, wish.gateway.map(|ip| ip.to_string())]);
        let metric = state.metric(*name, &Ranking::default()).number().map_or_else(|| "disabled".into(), Value::from);
        let said = serde_json::json!([told["status"], told["table"], told["ip_subnets"], told["default_gateway"]]);
        if (&said, &told["metric"]) != (&wanted, &metric) {
            wrong.push(format!("{name}: said {said} {}, wanted {wanted} {metric}", told["metric"]));
        }
    }
    if status["orphaned"].as_array().is_none_or(|orphans| !orphans.is_empty()) {
        wrong.push(format!("orphans {}", status["orphaned"]));
    }
    wrong
}
