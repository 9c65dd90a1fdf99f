//! `[[permission]]` in the file: who may do what.

use std::path::Path;

use toml::{Table, Value};

use super::ConfigError;
use super::nodes::{patterns, texts};
use super::ranking::{Wrong, unknown};
use crate::node::{Permissions, Rights};

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
        let at = |key: &str| format!("{KEY} {}: {key}", index.saturating_add(1));
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
