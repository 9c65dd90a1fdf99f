//! What the kernel holds: read by `ip`, or recorded.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::support::Netns;

/// Our protocol number (`--protocol`).
pub const OURS: &str = "110";

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    pub family: u8,
    pub dst: String,
    pub dev: Option<String>,
    pub gateway: Option<String>,
    pub table: String,
    pub metric: u64,
    pub scope: Option<String>,
    pub prefsrc: Option<String>,
    pub protocol: String,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    pub family: u8,
    pub src: String,
    pub table: String,
    pub priority: u64,
    pub protocol: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    pub routes: BTreeSet<Route>,
    pub rules: BTreeSet<Rule>,
    /// The question, and the interface that a packet would take.
    pub route_get: BTreeMap<String, Option<String>>,
}

impl State {
    /// Reads a namespace; `addresses` are those that `ip route get` asks from.
    pub fn read(net: &Netns, addresses: &[String]) -> Self {
        let mut state = Self::default();
        for (family, target, option) in [(4, "8.8.8.8", "-4"), (6, "2001:4860:4860::8888", "-6")] {
            let mut script = "route show table all\nrule show\n".to_owned();
            let mut questions = vec![target.to_owned()];
            let ours = addresses.iter().filter(|address| address.contains(':') == (family == 6));
            questions.extend(ours.map(|address| format!("{target} from {address}")));
            if family == 6 && questions.len() == 1 {
                questions.clear();
            }
            for question in &questions {
                script += &format!("route get {question}\n");
                state.route_get.insert(question.clone(), None);
            }
            let text = net.ip_batch(&[option, "-N", "-j"], &script);
            let mut answers = serde_json::Deserializer::from_str(&text).into_iter::<Value>().map(Result::unwrap);
            let routes = answers.next().unwrap();
            state.routes.extend(routes.as_array().unwrap().iter().filter_map(|route| Route::of_ip(family, route)));
            let rules = answers.next().unwrap();
            state.rules.extend(rules.as_array().unwrap().iter().filter_map(|rule| Rule::of_ip(family, rule)));
            for answer in answers {
                let answer = &answer[0];
                // IPv6 says `::` when nothing was asked.
                let from = answer["from"].as_str().filter(|ip| *ip != "::");
                let question = from.map_or_else(|| target.to_owned(), |ip| format!("{target} from {ip}"));
                let is_reachable = answer["type"].is_null() || answer["type"] == "unicast" || answer["type"] == "1";
                *state.route_get.get_mut(&question).unwrap() = text_of(&answer["dev"]).filter(|_| is_reachable);
            }
        }
        state
    }

    /// Reads a recorded state.
    pub fn of_recording(json: &Value) -> Self {
        let routes = json["routes"].as_array().unwrap().iter().map(|r| Route {
            family: family(r),
            dst: text_of(&r["dst"]).unwrap(),
            dev: text_of(&r["dev"]),
            gateway: text_of(&r["gateway"]),
            table: text_of(&r["table"]).unwrap(),
            metric: r["metric"].as_u64().unwrap(),
            scope: text_of(&r["scope"]),
            prefsrc: text_of(&r["prefsrc"]),
            protocol: text_of(&r["protocol"]).unwrap(),
        });
        let rules = json["rules"].as_array().unwrap().iter().map(|r| Rule {
            family: family(r),
            src: text_of(&r["src"]).unwrap(),
            table: text_of(&r["table"]).unwrap(),
            priority: r["priority"].as_u64().unwrap(),
            protocol: String::new(),
        });
        let route_get = json["route_get"].as_object().unwrap().iter().map(|(k, v)| (k.clone(), text_of(v)));
        Self { routes: routes.collect(), rules: rules.collect(), route_get: route_get.collect() }
    }

    /// The addresses that the recorded `route_get` asks from: those that the namespace had.
    pub fn addresses(&self) -> Vec<String> {
        self.route_get
            .keys()
            .filter_map(|question| question.split_once(" from "))
            .map(|(_, ip)| ip.to_owned())
            .collect()
    }

    /// What is neither ours nor the kernel's own.
    pub fn foreign(&self) -> Self {
        Self {
            routes: self.routes.iter().filter(|r| r.protocol != OURS && r.protocol != "kernel").cloned().collect(),
            rules: self.rules.iter().filter(|r| r.protocol != OURS).cloned().collect(),
            route_get: BTreeMap::new(),
        }
    }

    /// Table numbers that others use.
    pub fn foreign_tables(&self) -> BTreeSet<u64> {
        let Self { routes, rules, .. } = self.foreign();
        let tables = routes.into_iter().map(|r| r.table).chain(rules.into_iter().map(|r| r.table));
        tables.filter_map(|table| table.parse().ok()).collect()
    }
}

impl Route {
    /// A route as `ip -N -j` prints it; `None` for those that no recording has.
    fn of_ip(family: u8, json: &Value) -> Option<Self> {
        let table = match json["table"].as_str() {
            None | Some("254") => "main",
            Some("255") => return None,
            Some(table) => table,
        };
        let dst = text_of(&json["dst"]).unwrap();
        let kind = json["type"].as_str().unwrap_or("1");
        if !matches!(kind, "1" | "unicast") || dst.starts_with("fe80::") || dst.starts_with("ff00::") {
            return None;
        }
        Some(Self {
            family,
            dst,
            dev: text_of(&json["dev"]),
            gateway: text_of(&json["gateway"]).or_else(|| text_of(&json["via"]["host"])),
            table: table.to_owned(),
            metric: json["metric"].as_u64().unwrap_or(0),
            scope: match json["scope"].as_str() {
                None | Some("0" | "global") => None,
                Some("253") => Some("link".to_owned()),
                Some(scope) => Some(scope.to_owned()),
            },
            prefsrc: text_of(&json["prefsrc"]),
            protocol: match json["protocol"].as_str().unwrap_or("3") {
                "2" => "kernel".to_owned(),
                "3" => "boot".to_owned(),
                "4" => "static".to_owned(),
                "9" => "ra".to_owned(),
                number => number.to_owned(),
            },
        })
    }
}

impl Rule {
    /// A rule as `ip -N -j` prints it; `None` for the kernel's three.
    fn of_ip(family: u8, json: &Value) -> Option<Self> {
        let table = text_of(&json["table"]).unwrap();
        let priority = json["priority"].as_u64().unwrap();
        if matches!((priority, table.as_str()), (0, "255") | (32766, "254") | (32767, "253")) {
            return None;
        }
        Some(Self {
            family,
            src: text_of(&json["src"]).unwrap(),
            table: if table == "254" { "main".to_owned() } else { table },
            priority,
            protocol: text_of(&json["protocol"]).unwrap_or_default(),
        })
    }
}

fn family(json: &Value) -> u8 {
    u8::try_from(json["family"].as_u64().unwrap()).unwrap()
}

/// Text, also of a number.
fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}
