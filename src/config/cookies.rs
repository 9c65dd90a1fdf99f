//! `[[cookie]]` in the file: nodes that have another cookie than the others. Where it is, not what it is.

use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::ConfigError;
use super::nodes::patterns;
use super::ranking::{Wrong, unknown};
use crate::node::{CookieSource, NodePattern};

/// The key of the file.
pub(super) const KEY: &str = "cookie";

const KEYS: [&str; 2] = ["nodes", "file"];

/// What the file's `table` says of cookies.
///
/// # Errors
///
/// [`ConfigError::CookieInFile`]; [`ConfigError::Value`] with the key and the reason.
pub(super) fn read(table: &Table, file: &Path) -> Result<Vec<(NodePattern, CookieSource)>, ConfigError> {
    match table.get(KEY) {
        None => Ok(Vec::new()),
        Some(Value::Array(tables)) if tables.iter().all(Value::is_table) => {
            cookies(tables).map_err(|(key, reason)| ConfigError::Value { file: file.to_owned(), key, reason })
        }
        Some(_) => Err(ConfigError::CookieInFile { file: file.to_owned() }),
    }
}

fn cookies(tables: &[Value]) -> Result<Vec<(NodePattern, CookieSource)>, Wrong> {
    let mut cookies: Vec<(NodePattern, CookieSource)> = Vec::new();
    for (index, table) in tables.iter().filter_map(Value::as_table).enumerate() {
        let at = |key: &str| format!("{KEY} {}: {key}", index.saturating_add(1));
        if let Some(odd) = table.keys().find(|key| !KEYS.contains(&key.as_str())) {
            return Err((at(odd), unknown("key", odd, &KEYS)));
        }
        let path = table.get("file").and_then(Value::as_str).filter(|path| !path.is_empty());
        let path = path.ok_or_else(|| (at("file"), "the path of a file with the cookie is wanted".to_owned()))?;
        for pattern in patterns(table.get("nodes")).map_err(|reason| (at("nodes"), reason))? {
            if let Some((before, _)) = cookies.iter().find(|(before, _)| before.covers(&pattern)) {
                return Err((at("nodes"), format!("\"{pattern}\" never counts: \"{before}\" stands before it")));
            }
            cookies.push((pattern, CookieSource::File(PathBuf::from(path))));
        }
    }
    Ok(cookies)
}
