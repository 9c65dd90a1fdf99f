//! What one caller has asked for, and what may therefore stand: all that was acknowledged, and of what was never answered
//! any part.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::support::dice::Dice;
use crate::town::number;

/// A request about one interface.
#[derive(Debug, Clone)]
pub enum Ask {
    Route { subnets: Vec<(String, u32)>, gateway: String },
    Clear,
    Status(&'static str, String),
    Metric(Option<u32>),
}

/// All that is remembered of an interface.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fact {
    pub wish: Option<Wished>,
    pub metric: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wished {
    pub status: String,
    pub why: Option<String>,
    pub subnets: Vec<(String, u32)>,
    pub gateway: Option<String>,
}

/// What moves most routes is twice as likely.
const STATUSES: [&str; 4] = ["internet", "internet", "lan", "disconnected"];

impl Ask {
    /// One of many; `serial` tells it from all others.
    pub fn random(dice: &mut Dice, link: &str, serial: u64) -> Self {
        let (n, last) = (number(link), 10 + serial % 200);
        match dice.below(20) {
            0..=8 => {
                let all = [(format!("10.{n}.0.5"), 24), (format!("10.{n}.1.5"), 24), (format!("fd00:{n}::5"), 64)];
                let subnets = match dice.below(4) {
                    0 => &all[..1],
                    1 => &all[..2],
                    2 => &all[..],
                    _ => &all[2..],
                };
                let is_v6 = subnets.len() == 1 && subnets[0].1 == 64;
                let gateway = if is_v6 { format!("fd00:{n}::{last}") } else { format!("10.{n}.0.{last}") };
                Self::Route { subnets: subnets.to_vec(), gateway }
            }
            9..=16 => Self::Status(STATUSES[dice.below(STATUSES.len())], format!("s{serial}")),
            17 => Self::Clear,
            18 => Self::Metric(None),
            _ => Self::Metric(Some(u32::try_from(300 + serial % 1000).unwrap())),
        }
    }

    /// As an Erlang term.
    pub fn term(&self, link: &str) -> String {
        match self {
            Self::Route { subnets, gateway } => {
                let subnets: Vec<String> = subnets.iter().map(|(ip, len)| format!("{{<<\"{ip}\">>, {len}}}")).collect();
                format!("{{set_route, <<\"{link}\">>, [{}], <<\"{gateway}\">>}}", subnets.join(", "))
            }
            Self::Clear => format!("{{clear_route, <<\"{link}\">>}}"),
            Self::Status(status, why) => {
                format!("{{set_connection_status, <<\"{link}\">>, {status}, <<\"{why}\">>}}")
            }
            Self::Metric(metric) => {
                let metric = metric.map_or_else(|| "default".to_owned(), |metric| metric.to_string());
                format!("{{set_metric, <<\"{link}\">>, {metric}}}")
            }
        }
    }

    fn after(&self, fact: &Fact) -> Fact {
        let mut fact = fact.clone();
        let new = |status: &str| Wished { status: status.into(), why: None, subnets: Vec::new(), gateway: None };
        match self {
            Self::Route { subnets, gateway } => {
                let wish = fact.wish.get_or_insert_with(|| new("lan"));
                (wish.subnets, wish.gateway) = (subnets.clone(), Some(gateway.clone()));
            }
            Self::Clear => fact.wish = None,
            Self::Status(status, why) => {
                let wish = fact.wish.get_or_insert_with(|| new(status));
                (wish.status, wish.why) = ((*status).to_owned(), Some(why.clone()));
            }
            Self::Metric(metric) => fact.metric = *metric,
        }
        fact
    }
}

impl Fact {
    /// What `status` says of an interface.
    pub fn told(status: &Value, link: &str) -> Self {
        let told = &status["interfaces"][link];
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let number = |value: &Value| u32::try_from(value.as_u64().unwrap()).unwrap();
        let subnet = |value: &Value| (text(&value[0]).unwrap(), number(&value[1]));
        let wish = told.is_object().then(|| Wished {
            status: text(&told["status"]).unwrap(),
            why: text(&told["why"]),
            subnets: told["ip_subnets"].as_array().unwrap().iter().map(subnet).collect(),
            gateway: text(&told["default_gateway"]),
        });
        Self { wish, metric: status["metrics"].get(link).map(number) }
    }
}

/// How a call ended, for the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Acknowledged,
    /// It counts as long as the daemon lives, and may be saved at any time.
    NotSaved,
    Unanswered,
}

/// What may be so, by interface.
#[derive(Debug, Default)]
pub struct Ledger {
    entries: BTreeMap<&'static str, Entry>,
}

#[derive(Debug, Clone)]
struct Entry {
    live: BTreeSet<Fact>,
    /// After the death of the daemon.
    saved: BTreeSet<Fact>,
}

impl Ledger {
    pub fn new(links: &[&'static str]) -> Self {
        let nothing = BTreeSet::from([Fact::default()]);
        let entry = Entry { live: nothing.clone(), saved: nothing };
        Self { entries: links.iter().map(|link| (*link, entry.clone())).collect() }
    }

    pub fn note(&mut self, link: &str, ask: &Ask, end: End) {
        let entry = self.entries.get_mut(link).unwrap();
        let after = |facts: &BTreeSet<Fact>| facts.iter().map(|fact| ask.after(fact)).collect::<BTreeSet<Fact>>();
        match end {
            End::Acknowledged => {
                entry.live = after(&entry.live);
                entry.saved = entry.live.clone();
            }
            End::NotSaved => {
                entry.live = after(&entry.live);
                entry.saved.extend(entry.live.clone());
            }
            End::Unanswered => {
                entry.live.extend(after(&entry.live));
                entry.saved.extend(entry.live.clone());
                entry.saved.extend(after(&entry.saved));
            }
        }
    }

    /// The daemon has died.
    pub fn died(&mut self) {
        self.entries.values_mut().for_each(|entry| entry.live = entry.saved.clone());
    }

    /// Interfaces that are not as they may be; of the others it is known from now on how they are.
    pub fn compare(&mut self, status: &Value, is_saved: bool) -> Vec<String> {
        let mut wrong = Vec::new();
        for (link, entry) in &mut self.entries {
            let told = Fact::told(status, link);
            if !entry.live.contains(&told) {
                wrong.push(format!("{link}: {told:?} is none of {:?}", entry.live));
                continue;
            }
            entry.live = BTreeSet::from([told]);
            if is_saved {
                entry.saved = entry.live.clone();
            }
        }
        wrong
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(why: &str) -> Ask {
        Ask::Status("internet", why.to_owned())
    }

    fn told(why: &str) -> Value {
        serde_json::json!({
            "interfaces": {"eth0": {"status": "internet", "why": why, "ip_subnets": [], "default_gateway": null}},
            "metrics": {}
        })
    }

    #[test]
    fn what_was_acknowledged_must_be_there() {
        let mut ledger = Ledger::new(&["eth0"]);
        ledger.note("eth0", &status("a"), End::Acknowledged);
        ledger.note("eth0", &status("b"), End::Acknowledged);
        assert_eq!(ledger.compare(&told("a"), true).len(), 1, "a lost call is found");
        assert_eq!(ledger.compare(&told("b"), true), [""; 0]);
        ledger.died();
        assert_eq!(ledger.compare(&told("b"), true), [""; 0]);
    }

    #[test]
    fn what_was_not_answered_may_be_there() {
        for there in ["a", "b", "c"] {
            let mut ledger = Ledger::new(&["eth0"]);
            ledger.note("eth0", &status("a"), End::Acknowledged);
            ledger.note("eth0", &status("b"), End::Unanswered);
            ledger.note("eth0", &status("c"), End::Unanswered);
            ledger.died();
            assert_eq!(ledger.compare(&told(there), true), [""; 0]);
            assert_eq!(ledger.compare(&told(there), true), [""; 0]);
            assert_eq!(ledger.compare(&told("d"), true).len(), 1);
        }
    }

    #[test]
    fn what_was_not_saved_counts_while_the_daemon_lives() {
        for (dies, there, is_right) in [(false, "a", false), (false, "b", true), (true, "a", true), (true, "b", true)] {
            let mut ledger = Ledger::new(&["eth0"]);
            ledger.note("eth0", &status("a"), End::Acknowledged);
            ledger.note("eth0", &status("b"), End::NotSaved);
            if dies {
                ledger.died();
            }
            assert_eq!(ledger.compare(&told(there), false).is_empty(), is_right, "{dies} {there}");
        }
    }
}
