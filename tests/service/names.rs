//! Names of metrics: those in the README and in the dashboard are those of the table.

use std::collections::BTreeSet;
use std::fs;

use beamroute::metrics::{Kind, TABLE, table_as_markdown};
use serde_json::Value;

use crate::support::repository;

#[test]
fn the_readme_has_the_table() {
    let readme = fs::read_to_string(repository("README.md")).unwrap();
    let table = table_as_markdown();
    assert!(readme.contains(&table), "the README's section Metrics must have this table:\n{table}");
}

#[test]
fn names_and_sentences_are_in_form() {
    for metric in TABLE {
        assert!(metric.name.starts_with("beamroute_") || metric.name.starts_with("process_"), "{}", metric.name);
        assert!(!metric.help.ends_with('.') && !metric.help.contains(['\n', '\\', '|']), "{}", metric.help);
    }
}

/// All values of `key`, wherever they are.
fn all<'a>(value: &'a Value, key: &str, found: &mut Vec<&'a Value>) {
    match value {
        Value::Object(map) => {
            found.extend(map.get(key));
            map.values().for_each(|value| all(value, key, found));
        }
        Value::Array(list) => list.iter().for_each(|value| all(value, key, found)),
        _ => {}
    }
}

/// The names of metrics in a query.
fn names(expr: &str) -> BTreeSet<String> {
    let words = expr.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.filter(|word| word.starts_with("beamroute_") || word.starts_with("process_")).map(str::to_owned).collect()
}

#[test]
fn the_dashboard_asks_for_what_there_is() {
    let text = fs::read_to_string(repository("packaging/grafana.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let mut known = BTreeSet::new();
    for metric in TABLE {
        match metric.kind {
            Kind::Histogram => known.extend(["_bucket", "_sum", "_count"].map(|part| format!("{}{part}", metric.name))),
            _ => _ = known.insert(metric.name.to_owned()),
        }
    }
    let mut exprs = Vec::new();
    all(&dashboard, "expr", &mut exprs);
    let mut asked = BTreeSet::new();
    for expr in exprs {
        let expr = expr.as_str().unwrap();
        let names = names(expr);
        assert!(!names.is_empty(), "{expr}");
        for name in names {
            assert!(known.contains(&name), "{expr}: there is no {name}");
            let is_counter = TABLE.iter().any(|metric| metric.kind == Kind::Counter && metric.name == name);
            let is_rated = expr.contains("rate(") || expr.contains("increase(");
            assert!(!is_counter || is_rated, "{expr}: {name} only grows");
            asked.insert(name);
        }
    }
    // Everything that the daemon itself counts is to be seen.
    for metric in TABLE.iter().filter(|metric| metric.kind != Kind::Histogram && metric.name.starts_with("beamroute_"))
    {
        assert!(asked.contains(metric.name), "{} is not on the dashboard", metric.name);
    }
}

#[test]
fn the_dashboard_imports_anywhere() {
    let text = fs::read_to_string(repository("packaging/grafana.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    assert!(dashboard["schemaVersion"].as_u64().unwrap() >= 36);
    // An id is one installation's; a uid is ours, so that a newer file replaces an older one.
    assert!(dashboard["id"].is_null() && dashboard["uid"].is_string() && dashboard["title"].is_string());
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let types: Vec<_> =
        variables.iter().map(|variable| (variable["name"].as_str(), variable["type"].as_str())).collect();
    assert!(types.contains(&(Some("datasource"), Some("datasource"))), "{types:?}");
    let mut sources = Vec::new();
    all(&dashboard, "datasource", &mut sources);
    assert!(sources.len() > 5);
    for source in sources {
        assert_eq!((source["type"].as_str(), source["uid"].as_str()), (Some("prometheus"), Some("${datasource}")));
    }
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len(), "each panel has an id of its own");
    for panel in panels {
        let place = &panel["gridPos"];
        assert!(place["x"].as_u64().unwrap() + place["w"].as_u64().unwrap() <= 24, "{place}");
    }
}
