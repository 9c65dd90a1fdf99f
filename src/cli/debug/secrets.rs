//! What of the configuration may be shown: known keys and no others, since anything may stand under a name that nobody knows.

use std::path::Path;

use serde_json::{Map, Value, json};
use toml::Table;

use crate::config::{Variables, options};

/// What is known of the tables that only the file has. Paths are shown, what is in those files is not.
const TABLES: [(&str, &[&str]); 4] = [
    ("interface", &["match", "type", "weight", "metric", "hold_up", "hold_down"]),
    ("permission", &["nodes", "may"]),
    ("cookie", &["nodes", "file"]),
    ("limits", &[]),
];

const LEFT_OUT: &str = "(left out)";

/// The file as JSON, without what is none of ours.
pub(super) fn file(path: &Path) -> String {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => return format!("{}: {error}\n", path.display()),
    };
    match toml::from_str::<Table>(&text) {
        Ok(table) => format!("{:#}\n", json!({"file": path, "keys": shown(&table)})),
        // Its message may have the line in it.
        Err(_) => format!("{}: not TOML; its text is left out\n", path.display()),
    }
}

fn shown(table: &Table) -> Value {
    let keys = options::keys();
    let entries = table.iter().map(|(key, value)| {
        let known = TABLES.iter().find(|(name, _)| name == key);
        let value = match (known, value) {
            (Some((_, known)), value) => inner(value, known),
            (None, value) if key == "ranking" || keys.contains(key) => plain(value),
            _ => LEFT_OUT.into(),
        };
        (key.clone(), value)
    });
    Value::Object(entries.collect())
}

/// A table, or a list of tables; no other value is what belongs there.
fn inner(value: &toml::Value, known: &[&str]) -> Value {
    match value {
        toml::Value::Array(tables) => tables.iter().map(|table| inner(table, known)).collect(),
        toml::Value::Table(table) => {
            let entries = table.iter().map(|(key, value)| {
                let is_known = known.contains(&key.as_str()) || value.is_integer();
                (key.clone(), if is_known { plain(value) } else { LEFT_OUT.into() })
            });
            Value::Object(entries.collect::<Map<_, _>>())
        }
        _ => LEFT_OUT.into(),
    }
}

fn plain(value: &toml::Value) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

/// Our variables, those that are no options by their names alone.
pub(super) fn environment(variables: &Variables) -> String {
    let keys: Vec<_> = options::keys().iter().map(|key| options::variable(key)).collect();
    let others = ["BEAMROUTE_CONFIG", "BEAMROUTE_LOG", "ERL_EPMD_PORT", "ERL_EPMD_ADDRESS"];
    let ours = variables.iter().filter_map(|(name, value)| {
        let name = name.to_str().filter(|name| name.starts_with("BEAMROUTE_") || name.starts_with("ERL_"))?;
        let is_known = keys.iter().any(|key| key == name) || others.contains(&name);
        let value = if is_known { value.to_string_lossy().escape_debug().to_string() } else { LEFT_OUT.to_owned() };
        Some(format!("{name}={value}\n"))
    });
    ours.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_known_keys() {
        let text = r#"
            name = "gw@192.0.2.7"
            cookie_file = "/etc/beamroute/cookie"
            cookei = "SECRET1"
            ranking = ["*:lan"]
            [limits]
            connections = 7
            password = "SECRET2"
            [[cookie]]
            nodes = "ops@*"
            file = "/etc/ops"
            value = "SECRET3"
            [[interface]]
            match = "eth*"
            metric = 5
            [tls_password]
            x = "SECRET4"
        "#;
        let json = shown(&toml::from_str(text).unwrap());
        let expected = json!({
            "name": "gw@192.0.2.7", "cookie_file": "/etc/beamroute/cookie", "cookei": LEFT_OUT, "ranking": ["*:lan"],
            "limits": {"connections": 7, "password": LEFT_OUT},
            "cookie": [{"nodes": "ops@*", "file": "/etc/ops", "value": LEFT_OUT}],
            "interface": [{"match": "eth*", "metric": 5}],
            "tls_password": LEFT_OUT,
        });
        assert_eq!(json, expected);
        assert_eq!(shown(&toml::from_str("cookie = \"SECRET\"").unwrap()), json!({"cookie": LEFT_OUT}));
    }

    #[test]
    fn the_variable_with_the_cookie_is_named_only() {
        let variables = [("BEAMROUTE_COOKIE", "SECRET"), ("BEAMROUTE_PORT", "7"), ("HOME", "/root")];
        let shown = environment(&variables.map(|(name, value)| (name.into(), value.into())).into_iter().collect());
        assert_eq!(shown, "BEAMROUTE_COOKIE=(left out)\nBEAMROUTE_PORT=7\n");
    }
}
