//! What the kernel must have of ours, by what stands in `status`: worked out here once more and in the plainest way, and
//! compared with what `ip -j` prints. For IPv4's rules and default routes; `support::model` has the rest.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::ledger::Fact;
use crate::support::{Netns, output};
use crate::town::LINKS;

/// What is missing in the kernel, or too much.
pub fn wrong(net: &Netns, status: &Value) -> Vec<String> {
    let mut wanted = BTreeSet::new();
    for link in LINKS {
        want(link, &Fact::told(status, link), &status["interfaces"][link]["table"], &mut wanted);
    }
    let there = there(net);
    let missing = wanted.difference(&there).map(|line| format!("not in the kernel: {line}"));
    let surplus = there.difference(&wanted).map(|line| format!("too much in the kernel: {line}"));
    missing.chain(surplus).collect()
}

fn want(link: &str, fact: &Fact, table: &Value, wanted: &mut BTreeSet<String>) {
    let Some(wish) = fact.wish.as_ref().filter(|wish| wish.status != "disconnected") else { return };
    let mut addresses = wish.subnets.iter().map(|(ip, _)| ip).filter(|ip| ip.contains('.')).peekable();
    let has_address = addresses.peek().is_some();
    wanted.extend(addresses.map(|ip| format!("rule from {ip} lookup {table} pref 30000")));
    let Some(gateway) = wish.gateway.as_ref().filter(|ip| ip.contains('.') && has_address) else { return };
    let metric = fact.metric.unwrap_or_else(|| metric(link, &wish.status));
    wanted.insert(format!("default via {gateway} dev {link} table {table} metric 0"));
    wanted.insert(format!("default via {gateway} dev {link} table main metric {metric}"));
}

/// VintageNet's: ethernet, wifi, mobile, others; all with internet before all with lan; then the number in the name.
fn metric(link: &str, status: &str) -> u32 {
    let class = match link.trim_end_matches(|c: char| c.is_ascii_digit()) {
        "eth" => 10,
        "wlan" => 20,
        "wwan" => 30,
        _ => 40,
    };
    let weight = u32::from(link.ends_with('1'));
    class + weight + if status == "internet" { 0 } else { 40 }
}

fn there(net: &Netns) -> BTreeSet<String> {
    let ask = |args: &[&str]| -> Vec<Value> {
        let text = output(net.ip_command().args(["-j", "-4"]).args(args));
        if text.trim().is_empty() { Vec::new() } else { serde_json::from_str(&text).unwrap() }
    };
    let word = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    let rules = ask(&["rule", "show"]);
    let rules = rules.iter().filter(|rule| rule["protocol"] == "110");
    let rules = rules.map(|rule| {
        format!("rule from {} lookup {} pref {}", word(&rule["src"]), word(&rule["table"]), rule["priority"])
    });
    let routes = ask(&["route", "show", "table", "all", "proto", "110"]);
    let routes = routes.iter().filter(|route| route["dst"] == "default").map(|route| {
        let table = route["table"].as_str().unwrap_or("main");
        let metric = route["metric"].as_u64().unwrap_or(0);
        format!("default via {} dev {} table {table} metric {metric}", word(&route["gateway"]), word(&route["dev"]))
    });
    rules.chain(routes).collect()
}
