//! The comparisons. Each gives what differs, as text.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde_json::{Value, json};

use super::kernel::{OURS, Route, State};
use super::model::Model;
use super::oracle::{Step, Vector};
use crate::support::Netns;

/// `--rule-priority`.
pub const PRIORITY: u64 = 30000;

/// Our entries are VintageNet's, and every interface has the table that the contract gives it.
pub fn entries(status: &Value, step: &Step, model: &Model) -> Result<(), String> {
    let interfaces = status["interfaces"].as_object().ok_or("status has no interfaces")?;
    let tables: BTreeMap<String, u64> =
        interfaces.iter().map(|(name, i)| (name.clone(), i["table"].as_u64().unwrap_or(0))).collect();
    same("tables", &tables, model.tables())?;
    if !model.recording_counts() {
        return Ok(());
    }
    let mut recorded = step.entries.as_array().ok_or("a recording without entries")?.clone();
    for entry in &mut recorded {
        let at = if entry[0] == "rule" { 1 } else { entry.as_array().map_or(0, |e| e.len() - 1) };
        if let Some(table) = entry[at].as_u64() {
            entry[at] = json!(model.translate(&table.to_string()).parse::<u64>().unwrap());
        }
    }
    // Erlang's order of `{rule, Table, Ip}`; only these come in the order of their tables.
    let rules = recorded.iter().take_while(|entry| entry[0] == "rule").count();
    recorded[..rules].sort_by_key(|entry| entry[1].as_u64());
    let ours = status["entries"].as_array().ok_or("status has no entries")?;
    let ours: Vec<Value> = ours
        .iter()
        .map(|entry| {
            let mut entry = entry.clone();
            entry[0] = match entry[0].as_str() {
                Some("local_route") => json!("local"),
                Some("default_route") => json!("default"),
                _ => entry[0].clone(),
            };
            entry
        })
        .collect();
    same("entries", &ours, &recorded)
}

/// The kernel holds exactly our entries, except those of pending interfaces; pending is what the kernel cannot do; and
/// what belongs to others is untouched.
pub fn kernel_holds_entries(status: &Value, kernel: &State, net: &Netns, foreign: &State) -> Result<(), String> {
    same("foreign objects", &kernel.foreign(), foreign)?;
    let world = World::read(net);
    let mut pending = BTreeSet::new();
    for (name, interface) in status["interfaces"].as_object().ok_or("status has no interfaces")? {
        let has_entries = interface["status"] != "disconnected"
            && interface["ip_subnets"].as_array().is_some_and(|subnets| !subnets.is_empty());
        let install = &interface["install"];
        if *install != "installed" {
            pending.insert(name.clone());
        }
        match world.obstacle(name, interface) {
            _ if !has_entries => {}
            Obstacle::None => same(&format!("{name} can be installed"), install, &json!("installed"))?,
            Obstacle::Reason(reason) => same(&format!("why {name} is pending"), install, &json!(["pending", reason]))?,
            Obstacle::Gateway => same(&format!("{name} is pending"), &install[0], &json!("pending"))?,
        }
    }

    objects(status, kernel, &pending)?;
    world.connected_routes(kernel)
}

/// Our objects in the kernel are our entries, at least those of interfaces that are not pending.
pub fn objects(status: &Value, kernel: &State, pending: &BTreeSet<String>) -> Result<(), String> {
    let interfaces = status["interfaces"].as_object().into_iter().flatten();
    let owner_of_table: BTreeMap<String, String> =
        interfaces.map(|(name, interface)| (interface["table"].to_string(), name.clone())).collect();
    let mut wanted = BTreeSet::new();
    let mut required = BTreeSet::new();
    let mut metrics = Vec::new();
    let all = [&status["entries"], &status["extra_entries"]];
    for entry in all.into_iter().filter_map(Value::as_array).flatten() {
        let (owner, object) = match entry[0].as_str() {
            Some("rule") => {
                let (table, src) = (entry[1].to_string(), text(&entry[2]));
                (owner_of_table[&table].clone(), Object::Rule { src, table })
            }
            Some("local_route") => (text(&entry[1]), local(entry)),
            Some("default_route") => (text(&entry[1]), default(entry)),
            _ => return Err(format!("what is {entry}?")),
        };
        if let (Object::Route(route), Some(metric)) =
            (&object, entry[entry.as_array().map_or(0, |e| e.len() - 2)].as_u64())
            && route.family == 6
            && route.table == "main"
            && route.dst == "default"
        {
            metrics.push((metric, owner.clone(), route.clone()));
        }
        if !pending.contains(&owner) {
            required.insert(object.clone());
        }
        wanted.insert(object);
    }
    let held: BTreeSet<Object> = kernel
        .routes
        .iter()
        .filter(|route| route.protocol == OURS)
        .map(|route| Object::Route(without_number(route)))
        .chain(
            kernel
                .rules
                .iter()
                .filter(|rule| rule.protocol == OURS)
                .map(|rule| Object::Rule { src: rule.src.clone(), table: rule.table.clone() }),
        )
        .collect();
    let missing: Vec<_> = required.difference(&held).collect();
    let extra: Vec<_> = held.difference(&wanted).collect();
    if !missing.is_empty() || !extra.is_empty() {
        return Err(format!("the kernel lacks {missing:#?}\nand has besides {extra:#?}\nstatus {status}"));
    }
    if let Some(rule) = kernel.rules.iter().find(|rule| rule.protocol == OURS && rule.priority != PRIORITY) {
        return Err(format!("{rule:?} is not at {PRIORITY}"));
    }
    ipv6_numbers_rise(kernel, metrics)
}

/// What VintageNet left in the kernel, where it was right.
pub fn recording(status: &Value, kernel: &State, vector: &Vector, step: &Step, model: &Model) -> Result<(), String> {
    if !vector.is_consistent || !model.recording_counts() {
        return Ok(());
    }
    for (question, answer) in &step.kernel.route_get {
        same(&format!("ip route get {question}"), kernel.route_get.get(question).unwrap_or(&None), answer)?;
    }
    if vector.tags.iter().any(|tag| tag.starts_with("foreign_") && tag != "foreign_default_higher_metric") {
        // It deletes what is not its own there, which we do not.
        return Ok(());
    }
    let extra: BTreeSet<Route> = status["extra_entries"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|entry| if let Object::Route(route) = local(entry) { Some(route) } else { None })
        .collect();
    let comparable = |routes: &BTreeSet<Route>, is_ours: bool| -> BTreeSet<Route> {
        let routes = routes.iter().filter(|route| route.protocol != "kernel").map(|route| Route {
            table: if is_ours { route.table.clone() } else { model.translate(&route.table) },
            protocol: String::new(),
            ..route.clone()
        });
        routes.filter(|route| !extra.contains(route)).collect()
    };
    same("routes", &comparable(&kernel.routes, true), &comparable(&step.kernel.routes, false))?;
    let rules = |state: &State, is_ours: bool| -> BTreeSet<(String, String)> {
        let rules = state.rules.iter();
        rules.map(|r| (r.src.clone(), if is_ours { r.table.clone() } else { model.translate(&r.table) })).collect()
    };
    same("rules", &rules(kernel, true), &rules(&step.kernel, false))
}

/// An object of ours, comparable: without protocol and priority, and in IPv6 main without its number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Object {
    Rule { src: String, table: String },
    Route(Route),
}

/// Why an interface's entries cannot be in the kernel.
enum Obstacle {
    None,
    Reason(Value),
    /// No address has the gateway's family; the word for it is not foretold.
    Gateway,
}

/// Links and addresses.
struct World(Vec<Value>);

impl World {
    fn read(net: &Netns) -> Self {
        Self(serde_json::from_str(&net.ip(&["-j", "addr"])).unwrap())
    }

    fn obstacle(&self, name: &str, interface: &Value) -> Obstacle {
        let Some(link) = self.0.iter().find(|link| link["ifname"] == name) else {
            return Obstacle::Reason(json!("no_interface"));
        };
        if !link["flags"].as_array().unwrap().contains(&json!("UP")) {
            return Obstacle::Reason(json!("link_down"));
        }
        let subnets = interface["ip_subnets"].as_array().unwrap();
        for subnet in subnets {
            if !link["addr_info"].as_array().unwrap().iter().any(|a| a["local"] == subnet[0]) {
                return Obstacle::Reason(json!(["no_address", subnet[0]]));
            }
        }
        let Some(gateway) = interface["default_gateway"].as_str() else { return Obstacle::None };
        let gateway: IpAddr = gateway.parse().unwrap();
        // Outside of all networks, as ppp has it, the `onlink` flag makes it work.
        let has_family = subnets.iter().any(|subnet| text(&subnet[0]).contains(':') == gateway.is_ipv6());
        if has_family { Obstacle::None } else { Obstacle::Gateway }
    }

    /// The kernel's connected route is absent while ours stands in for it, and there otherwise.
    fn connected_routes(&self, kernel: &State) -> Result<(), String> {
        for link in &self.0 {
            if link["ifname"] == "lo" || !link["flags"].as_array().unwrap().contains(&json!("UP")) {
                continue;
            }
            for address in link["addr_info"].as_array().unwrap() {
                let bits = address["prefixlen"].as_u64().unwrap();
                if address["family"] != "inet" || bits == 32 || address["secondary"] == true {
                    continue;
                }
                let dst = destination(&text(&address["local"]), bits);
                let dev = link["ifname"].as_str();
                let on_link: Vec<&Route> = kernel
                    .routes
                    .iter()
                    .filter(|r| r.table == "main" && r.dst == dst && r.dev.as_deref() == dev && r.gateway.is_none())
                    .collect();
                if on_link.len() != 1 {
                    return Err(format!(
                        "one connected route for {dst} dev {dev:?}, ours or the kernel's: {on_link:#?}"
                    ));
                }
            }
        }
        Ok(())
    }
}

/// In main, IPv6 defaults have strictly rising numbers in the order of (metric, name).
fn ipv6_numbers_rise(kernel: &State, mut wanted: Vec<(u64, String, Route)>) -> Result<(), String> {
    wanted.sort();
    let number = |route: &Route| {
        let ours = kernel.routes.iter().filter(|held| held.protocol == OURS);
        ours.filter(|held| without_number(held) == *route).map(|held| held.metric).next()
    };
    let numbers: Vec<u64> = wanted.iter().filter_map(|(_, _, route)| number(route)).collect();
    let rises = numbers.is_sorted_by(|a, b| a < b);
    if rises { Ok(()) } else { Err(format!("IPv6 numbers {numbers:?} for {wanted:?}")) }
}

fn without_number(route: &Route) -> Route {
    let is_numbered = route.family == 6 && route.table == "main";
    Route { protocol: String::new(), metric: if is_numbered { 0 } else { route.metric }, ..route.clone() }
}

/// `{local_route, If, Ip, Bits, Metric, Table}` as the kernel shows it.
fn local(entry: &Value) -> Object {
    let ip = text(&entry[2]);
    let scope = (!ip.contains(':')).then(|| "link".to_owned());
    Object::Route(Route {
        dst: destination(&ip, entry[3].as_u64().unwrap()),
        scope,
        gateway: None,
        prefsrc: Some(ip.clone()),
        ..route(entry, &ip, &entry[4], &entry[5])
    })
}

/// `{default_route, If, Gw, Metric, Table}` as the kernel shows it.
fn default(entry: &Value) -> Object {
    let gateway = text(&entry[2]);
    Object::Route(route(entry, &gateway, &entry[3], &entry[4]))
}

fn route(entry: &Value, ip: &str, metric: &Value, table: &Value) -> Route {
    let table = table.as_str().map_or_else(|| table.to_string(), str::to_owned);
    let family = if ip.contains(':') { 6 } else { 4 };
    let metric = match (family, table.as_str(), metric.as_u64().unwrap()) {
        (6, "main", _) => 0,
        (6, _, 0) => 1024,
        (_, _, metric) => metric,
    };
    Route {
        family,
        dst: "default".to_owned(),
        dev: entry[1].as_str().map(str::to_owned),
        gateway: Some(ip.to_owned()),
        table,
        metric,
        scope: None,
        prefsrc: None,
        protocol: String::new(),
    }
}

/// A network as `ip` writes it.
fn destination(ip: &str, bits: u64) -> String {
    let ip: IpAddr = ip.parse().unwrap();
    let is_host = bits == if ip.is_ipv4() { 32 } else { 128 };
    if is_host { ip.to_string() } else { format!("{}/{bits}", network(ip, bits)) }
}

fn network(ip: IpAddr, bits: u64) -> IpAddr {
    let bits = u32::try_from(bits).unwrap();
    match ip {
        IpAddr::V4(ip) => Ipv4Addr::from_bits(ip.to_bits() & u32::MAX.checked_shl(32 - bits).unwrap_or(0)).into(),
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & u128::MAX.checked_shl(128 - bits).unwrap_or(0)).into(),
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, ours: &T, expected: &T) -> Result<(), String> {
    if ours == expected { Ok(()) } else { Err(format!("{what}\n ours     {ours:?}\n expected {expected:?}")) }
}
