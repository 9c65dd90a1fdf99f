//! `[[permission]]` in the file: who may do what.

use std::path::Path;

use toml::{Table, Value};

use super::ConfigError;
use super::ranking::{Wrong, shown, unknown};
use crate::node::{NodePattern, Permissions, Rights};

/// The key of the file.
pub(super) const KEY: &str = "permission";

const KEYS: [&str; 2] = ["nodes", "may"];
const WORDS: [&str; 3] = ["read", "route", "admin"];

/// What the file's `table` says of permissions.
///
/// # Errors
///
/// [`ConfigError::Value`] with the key and the reason.
pub(super) fn read(table: &Table, file: &Path) -> Result<Permissions, ConfigError> {
    let Some(value) = table.get(KEY) else { return Ok(Permissions::default()) };
    permissions(value).map_err(|(key, reason)| ConfigError::Value { file: file.to_owned(), key, reason })
}

fn permissions(value: &Value) -> Result<Permissions, Wrong> {
    let wrong = || (KEY.to_owned(), "written as [[permission]], with two brackets and keys below it".to_owned());
    let mut permissions = Permissions::default();
    for (index, table) in value.as_array().ok_or_else(wrong)?.iter().enumerate() {
        let table = table.as_table().ok_or_else(wrong)?;
        let at = |key: &str| format!("{KEY} {}: {key}", index + 1);
        if let Some(odd) = table.keys().find(|key| !KEYS.contains(&key.as_str())) {
            return Err((at(odd), unknown("key", odd, &KEYS)));
        }
        let rights = rights(table.get("may")).map_err(|reason| (at("may"), reason))?;
        for pattern in patterns(table.get("nodes")).map_err(|reason| (at("nodes"), reason))? {
            if let Some((before, _)) = permissions.rules.iter().find(|(before, _)| before.covers(&pattern)) {
                let reason = format!("\"{pattern}\" never counts: \"{before}\" stands before it");
                return Err((at("nodes"), reason));
            }
            permissions.rules.push((pattern, rights));
        }
    }
    Ok(permissions)
}

/// One text, or a list of them.
fn texts<'a>(value: Option<&'a Value>, example: &str) -> Result<Vec<&'a str>, String> {
    let value = value.ok_or_else(|| format!("missing; it is {example}"))?;
    let values = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
    let text =
        |value: &'a Value| value.as_str().ok_or_else(|| format!("{} is not a text; it is {example}", shown(value)));
    values.iter().map(text).collect()
}

fn patterns(value: Option<&Value>) -> Result<Vec<NodePattern>, String> {
    let texts = texts(value, "a node's name, or a pattern as \"ops@*\", or a list of them")?;
    if texts.is_empty() {
        return Err("empty; a node's name or a pattern is wanted".into());
    }
    let pattern = |text: &str| NodePattern::new(text).ok_or_else(|| format!("{text:?} can fit no node's name"));
    texts.into_iter().map(pattern).collect()
}

fn rights(value: Option<&Value>) -> Result<Rights, String> {
    let mut rights = Rights::default();
    for word in texts(value, "a list of \"read\", \"route\" and \"admin\"")? {
        match word {
            "read" => rights.read = true,
            "route" => rights.write = true,
            "admin" => rights.admin = true,
            odd => return Err(unknown("right", odd, &WORDS)),
        }
    }
    Ok(rights)
}
