//! VintageNet 0.13.11's recorded answers (`tests/fixtures/oracle/README.md`), replayed against the real code.
//!
//! Every step is replayed. What VintageNet says is expected of us word for word, but for these differences, which are
//! ours on purpose and are asserted too:
//!
//! - We refuse prefix length 0 and names that no Linux interface can have; our state stays as it was. From then on
//!   VintageNet knows something of that interface that we do not, so that interface alone is left out of the comparison,
//!   until it is cleared or set again with something that both accept.
//! - Table numbers are freed by `clear_route`. So tables are compared through their interface: each of VintageNet's
//!   numbers stands for ours of the same interface, ours must be the lowest free number at the interface's first call, and
//!   as long as nothing was cleared or refused they must be the same numbers.
//! - Where VintageNet crashes because its tables are used up, we refuse only if that many interfaces are known at once.
//!   Where it crashes because of an unknown status, the word does not parse. Both start over empty after that, and only
//!   interfaces set since have properties to compare (its own are stale). An interface of which we refused everything
//!   has no property.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::net::IpAddr;

use beamroute::route::{
    Call, DesiredState, Effect, Entry, IfName, Ranking, Status, Subnet, TableName, WishError, World,
    available_interfaces, connection, entries, interface_connection,
};
use serde_json::Value;

const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/oracle/calc_public.jsonl.gz");

#[test]
fn every_recorded_answer() {
    let file = std::fs::File::open(VECTORS).unwrap();
    let mut counts = Counts::default();
    for line in BufReader::new(flate2::read::GzDecoder::new(file)).lines() {
        let vector: Value = serde_json::from_str(&line.unwrap()).unwrap();
        Replay::new(&vector).run(&vector, &mut counts);
        counts.vectors += 1;
    }
    println!("{counts:?}");
    assert_eq!((counts.vectors, counts.steps), (1262, 12875));
    assert_eq!((counts.ran_out_of_tables, counts.bad_status), (164, 53));
    assert!(counts.exact > 6_000, "compared down to the table numbers");
    assert!(counts.whole > 11_000, "compared with no interface left out");
    assert!(counts.entries > 80_000, "entries compared");
    assert!(counts.properties > 30_000, "properties of single interfaces compared");
    assert!(counts.quiet > 3_000, "steps where nothing may move");
    assert!(counts.refused > 100, "refusals");
    assert!(counts.too_many > 10, "one interface too many");
}

#[derive(Debug, Default)]
struct Counts {
    vectors: usize,
    steps: usize,
    ran_out_of_tables: usize,
    bad_status: usize,
    /// Steps where even the table numbers were the same.
    exact: usize,
    /// Steps where no interface was left out.
    whole: usize,
    entries: usize,
    properties: usize,
    quiet: usize,
    refused: usize,
    too_many: usize,
}

/// One vector on its way.
struct Replay {
    id: String,
    state: DesiredState,
    ranking: Ranking,
    world: World,
    step: u64,
    /// Interfaces, by VintageNet's spelling, of which VintageNet knows something that we refused.
    refused: BTreeSet<String>,
    /// Interfaces for which we accepted something since the start, or since VintageNet's last crash.
    heard: BTreeSet<String>,
    /// Interfaces named, but never with something that we accept.
    unheard: BTreeSet<String>,
    /// The tables that we should have given.
    given: BTreeMap<String, u32>,
    /// Whether our table numbers may differ from VintageNet's.
    tables_differ: bool,
}

enum Answer {
    Done(Effect),
    /// `WishError::TooManyInterfaces`.
    Full,
    /// Refused before the state saw it.
    BadArgument,
    BadStatus,
}

impl Replay {
    fn new(vector: &Value) -> Self {
        let max = usize::try_from(vector["config"]["max_interface_count"].as_u64().unwrap()).unwrap();
        Self {
            id: vector["id"].as_str().unwrap().to_owned(),
            state: DesiredState::new(max),
            ranking: Ranking::default(),
            world: World::default(),
            step: 0,
            refused: BTreeSet::new(),
            heard: BTreeSet::new(),
            unheard: BTreeSet::new(),
            given: BTreeMap::new(),
            tables_differ: false,
        }
    }

    fn run(mut self, vector: &Value, counts: &mut Counts) {
        for step in vector["steps"].as_array().unwrap() {
            self.step += 1;
            counts.steps += 1;
            let before = (self.state.clone(), entries(&self.state, &self.ranking));
            let answer = self.call(&step["op"]);
            if !matches!(answer, Answer::Done(Effect::Changed)) {
                assert_eq!(self.state, before.0, "{}: no effect, but changed", self.at());
            }
            if step["reply"] == "ok" {
                self.both_answered(&step["op"], &answer, counts);
                self.compare(step, &before.1, counts);
            } else {
                self.vintage_net_crashed(step, &before.0, &answer, counts);
            }
        }
    }

    fn at(&self) -> String {
        format!("{} step {}", self.id, self.step)
    }

    /// The recorded operation, as the request layer would do it.
    fn call(&mut self, op: &Value) -> Answer {
        let Some(text) = op["if"].as_str() else {
            return Answer::Done(Effect::Unchanged); // refresh_route_metrics: the ranking is the same
        };
        let (Ok(name), orphans) = (text.parse::<IfName>(), BTreeSet::new()) else {
            return Answer::BadArgument;
        };
        let call = Call { world: &self.world, orphans: &orphans, now_ms: self.step, who: None };
        let result = match op["op"].as_str().unwrap() {
            "clear_route" => Ok(self.state.clear_route(name)),
            "set_connection_status" => match Status::parse(op["status"].as_str().unwrap()) {
                Some(status) => self.state.set_status(name, status, None, &call),
                None => return Answer::BadStatus,
            },
            "set_route" => match subnets(&op["subnets"]) {
                Some(subnets) => self.state.set_route(name, subnets, op["gw"].as_str().map(ip), &call),
                None => return Answer::BadArgument,
            },
            other => panic!("{}: operation {other}", self.at()),
        };
        match result {
            Ok(effect) => Answer::Done(effect),
            Err(WishError::TooManyInterfaces(_)) => Answer::Full,
            Err(error) => panic!("{}: {error}", self.at()),
        }
    }

    /// Notes where VintageNet accepted what we refuse.
    fn both_answered(&mut self, op: &Value, answer: &Answer, counts: &mut Counts) {
        let Some(name) = op["if"].as_str().map(str::to_owned) else { return };
        let clears = op["op"] == "clear_route";
        match answer {
            Answer::Done(_) if clears || op["op"] == "set_route" => _ = self.refused.remove(&name),
            Answer::Done(_) => {}
            Answer::BadArgument => {
                assert!(is_ours_to_refuse(op), "{}: refused {op}", self.at());
                counts.refused += 1;
                self.tables_differ = true;
                if clears {
                    self.refused.remove(&name)
                } else {
                    self.refused.insert(name.clone())
                };
            }
            // VintageNet has given out fewer tables ever than we may at once.
            Answer::Full | Answer::BadStatus => panic!("{}: VintageNet answers ok to {op}", self.at()),
        }
        self.tables_differ |= clears;
        self.give_tables(&name, answer, clears);
        if matches!(answer, Answer::Done(_)) && !clears {
            self.unheard.remove(&name);
            self.heard.insert(name);
        } else if !self.heard.contains(&name) {
            self.unheard.insert(name);
        }
    }

    /// The lowest free number at the first call about an interface, until it is cleared.
    fn give_tables(&mut self, name: &str, answer: &Answer, clears: bool) {
        if clears {
            self.given.remove(name);
        } else if matches!(answer, Answer::Done(_)) && !self.given.contains_key(name) {
            let lowest = (100..).find(|table| self.given.values().all(|given| given != table)).unwrap();
            self.given.insert(name.to_owned(), lowest);
        }
        let ours = self.state.interfaces().iter().map(|(name, wish)| (name.to_string(), wish.table));
        assert_eq!(ours.collect::<BTreeMap<_, _>>(), self.given, "{}: tables", self.at());
    }

    fn vintage_net_crashed(&mut self, step: &Value, before: &DesiredState, answer: &Answer, counts: &mut Counts) {
        let op = &step["op"];
        let is_known = op["if"]
            .as_str()
            .and_then(|name| name.parse().ok())
            .is_some_and(|name| before.interfaces().contains_key(&name));
        if step["exception"] == "RuntimeError" {
            counts.ran_out_of_tables += 1;
            let is_full = before.interfaces().len() >= before.max_interfaces() && !is_known;
            counts.too_many += usize::from(matches!(answer, Answer::Full));
            match answer {
                Answer::Full => assert!(is_full, "{}: refused although there is room", self.at()),
                Answer::Done(_) => assert!(!is_full, "{}: more interfaces than allowed", self.at()),
                Answer::BadArgument => assert!(is_ours_to_refuse(op), "{}: refused {op}", self.at()),
                // VintageNet looks for a table before it looks at the status.
                Answer::BadStatus => assert_eq!(op["op"], "set_connection_status", "{}", self.at()),
            }
        } else {
            counts.bad_status += 1;
            let is_refused = matches!(answer, Answer::BadStatus) || is_ours_to_refuse(op);
            assert!(is_refused && step["exception"] == "FunctionClauseError", "{}: {step}", self.at());
        }
        self.state = DesiredState::new(before.max_interfaces());
        self.refused.clear();
        self.heard.clear();
        self.unheard.clear();
        self.given.clear();
        self.tables_differ = false;
    }

    fn compare(&self, step: &Value, before: &[Entry], counts: &mut Counts) {
        let ours = entries(&self.state, &self.ranking);
        if step["n_changes"] == 0 {
            counts.quiet += 1;
            assert_eq!(ours, before, "{}: VintageNet moves nothing", self.at());
        }
        let tables = self.tables(step);
        let theirs = self.their_entries(step, &tables);
        let kept: Vec<Entry> = ours.iter().copied().filter(|entry| !self.is_left_out(*entry)).collect();
        assert_eq!(kept, theirs, "{}: {}", self.at(), step["op"]);
        counts.entries += kept.len();
        counts.whole += usize::from(kept == ours && self.refused.is_empty());
        counts.exact += usize::from(!self.tables_differ);
        self.compare_properties(step, counts);
    }

    /// VintageNet's table numbers, to the interface that has them and our number, if we know the interface.
    fn tables(&self, step: &Value) -> BTreeMap<u32, (String, Option<u32>)> {
        let mut tables = BTreeMap::new();
        for (name, number) in step["indices"].as_object().unwrap() {
            let number = u32::try_from(number.as_u64().unwrap()).unwrap();
            let table = name.parse().ok().and_then(|name| self.state.interfaces().get(&name)).map(|wish| wish.table);
            if !self.tables_differ {
                assert_eq!(table, Some(number), "{}: table of {name}", self.at());
            }
            tables.insert(number, (name.clone(), table));
        }
        tables
    }

    /// VintageNet's entries with our table numbers, without the interfaces that are left out. Rules are sorted by
    /// table, so they are sorted again.
    fn their_entries(&self, step: &Value, tables: &BTreeMap<u32, (String, Option<u32>)>) -> Vec<Entry> {
        let raw = step["entries"].as_array().unwrap();
        let theirs = raw.iter().filter_map(|entry| self.their_entry(entry, tables));
        let mut theirs: Vec<Entry> = theirs.collect();
        if self.tables_differ {
            theirs.sort();
        }
        theirs
    }

    fn their_entry(&self, entry: &Value, tables: &BTreeMap<u32, (String, Option<u32>)>) -> Option<Entry> {
        let owner = |table: &Value| tables[&number(table)].clone();
        let ifname = match entry[0].as_str().unwrap() {
            "rule" => owner(&entry[1]).0,
            _ => entry[1].as_str().unwrap().to_owned(),
        };
        if self.refused.contains(&ifname) {
            return None;
        }
        let name = |table: &Value| match table.as_str() {
            Some(main) => {
                assert_eq!(main, "main");
                TableName::Main
            }
            None => TableName::Number(owner(table).1.unwrap()),
        };
        let ifname = ifname.parse().unwrap();
        Some(match entry[0].as_str().unwrap() {
            "rule" => Entry::Rule { table: owner(&entry[1]).1.unwrap(), ip: ip(entry[2].as_str().unwrap()) },
            "local" => Entry::Local {
                ifname,
                ip: ip(entry[2].as_str().unwrap()),
                prefix_len: u8::try_from(number(&entry[3])).unwrap(),
                metric: number(&entry[4]),
                table: name(&entry[5]),
            },
            "default" => Entry::Default {
                ifname,
                gateway: ip(entry[2].as_str().unwrap()),
                metric: number(&entry[3]),
                table: name(&entry[4]),
            },
            other => panic!("{}: entry {other}", self.at()),
        })
    }

    fn is_left_out(&self, entry: Entry) -> bool {
        let ifname = match entry {
            Entry::Local { ifname, .. } | Entry::Default { ifname, .. } => ifname,
            Entry::Rule { table, .. } => {
                *self.state.interfaces().iter().find(|(_, wish)| wish.table == table).unwrap().0
            }
        };
        self.refused.contains(&ifname.to_string())
    }

    fn compare_properties(&self, step: &Value, counts: &mut Counts) {
        let props = &step["props"];
        let is_kept = |name: &String| !self.refused.contains(name);
        let ours = available_interfaces(&self.state, &self.ranking);
        let ours: Vec<String> = ours.iter().map(IfName::to_string).filter(is_kept).collect();
        let theirs = props["available_interfaces"].as_array().unwrap().iter().map(|n| n.as_str().unwrap().to_owned());
        assert_eq!(ours, theirs.filter(is_kept).collect::<Vec<_>>(), "{}: available_interfaces", self.at());
        if self.refused.is_empty() {
            assert_eq!(connection(&self.state).as_str(), props["connection"], "{}: connection", self.at());
        }
        let property = |name: &String| {
            let known = name.parse().ok().and_then(|name| interface_connection(&self.state, name));
            known.map(Status::as_str)
        };
        for name in self.heard.iter().filter(|name| is_kept(name)) {
            assert_eq!(property(name), props["interfaces"][name].as_str(), "{}: {name}", self.at());
            counts.properties += 1;
        }
        for name in &self.unheard {
            assert_eq!(property(name), None, "{}: {name}", self.at());
        }
    }
}

/// What design refuses and VintageNet accepts; nothing else may be refused.
fn is_ours_to_refuse(op: &Value) -> bool {
    let is_zero = |subnet: &Value| subnet[1] == 0;
    is_name_refused(op["if"].as_str().unwrap()) || op["subnets"].as_array().is_some_and(|s| s.iter().any(is_zero))
}

/// By hand, so that the names are not judged by the code under test.
fn is_name_refused(name: &str) -> bool {
    [" eth0", "eth0 ", "99999999999999999999"].contains(&name)
}

fn subnets(subnets: &Value) -> Option<Vec<Subnet>> {
    let subnet = |s: &Value| Subnet::new(ip(s[0].as_str().unwrap()), number(&s[1])).ok();
    subnets.as_array().unwrap().iter().map(subnet).collect()
}

fn number(value: &Value) -> u32 {
    u32::try_from(value.as_u64().unwrap()).unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}
