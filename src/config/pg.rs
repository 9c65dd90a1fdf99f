//! `--pg-group` and `--pg-scope`: atoms, as text.

use super::{ConfigError, words};
use crate::pg::DEFAULT_SCOPE;

/// Characters in an atom.
const MAX_ATOM: usize = 255;

/// The groups, each once.
pub(super) fn groups(given: &[String]) -> Result<Vec<String>, ConfigError> {
    let mut groups: Vec<String> = Vec::new();
    for word in words(given) {
        let group = atom_name("pg_group", word)?;
        if !groups.contains(&group) {
            groups.push(group);
        }
    }
    Ok(groups)
}

/// The scope, which is also the name of a process.
pub(super) fn scope(given: Option<&str>) -> Result<String, ConfigError> {
    match given {
        Some("undefined") => Err(refused("pg_scope", "undefined", "no process can have that name")),
        Some(name) => atom_name("pg_scope", name),
        None => Ok(DEFAULT_SCOPE.to_owned()),
    }
}

/// The characters of an atom, without quotes: what has a sign of Erlang's or Elixir's syntax was meant otherwise.
fn atom_name(key: &'static str, name: &str) -> Result<String, ConfigError> {
    let is_odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '\'' | '"' | '\\' | ',');
    let reason = if name.is_empty() {
        "empty; a name is wanted"
    } else if name.chars().count() > MAX_ATOM {
        "longer than an atom can be, which is 255 characters"
    } else if name.starts_with(':') {
        "not an atom name; leave the colon out"
    } else if name.contains(is_odd) {
        "not an atom name; leave quotes, blanks and commas out"
    } else {
        return Ok(name.to_owned());
    };
    Err(refused(key, name, reason))
}

fn refused(key: &'static str, name: &str, reason: &'static str) -> ConfigError {
    ConfigError::Pg { key, name: name.to_owned(), reason }
}
