//! Reads two of the layers: the file and the environment. (Flags are clap's.)
//!
//! Errors name their source and the option, never the value of anything that may be a cookie.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use clap::Parser as _;
use clap::error::{ContextKind, ContextValue};

use super::options::{Alone, Options, PREFIX, keys, variable};
use super::{ConfigError, Limits, cookies, limits, permission, ranking};
use crate::node::{CookieSource, NodePattern, Permissions};
use crate::route::Ranking;

/// Environment variables, as given to the program.
pub type Variables = BTreeMap<OsString, OsString>;

/// Variables of ours that are no options, without the prefix.
const OTHER_VARIABLES: [&str; 4] = ["CONFIG", "COOKIE", "LOG", "NO_SKIP"];

/// A variable's value; set but empty counts as not set, as service files like to have it.
pub(super) fn get<'a>(variables: &'a Variables, name: &str) -> Option<&'a OsStr> {
    variables.get(OsStr::new(name)).map(OsString::as_os_str).filter(|value| !value.is_empty())
}

/// What the environment says.
///
/// # Errors
///
/// [`ConfigError::Variable`] for a value that the flag of that name would refuse.
pub fn from_environment(variables: &Variables) -> Result<Options, ConfigError> {
    let mut options = Options::default();
    for key in keys() {
        let variable = variable(key);
        let Some(value) = get(variables, &variable) else { continue };
        let mut flag = OsString::from(format!("--{}=", key.replace('_', "-")));
        flag.push(value);
        let parsed = Alone::try_parse_from([flag])
            .map_err(|error| ConfigError::Variable { variable, reason: reason(&error) })?;
        if parsed.options.sname.is_some() && options.name.is_some() {
            return Err(ConfigError::BothNames { whence: "the environment (BEAMROUTE_NAME, BEAMROUTE_SNAME)".into() });
        }
        options = parsed.options.over(options);
    }
    Ok(options)
}

/// One sentence for each variable that looks like ours and is none.
pub fn unknown_variables(variables: &Variables) -> Vec<String> {
    let others = OTHER_VARIABLES.map(str::to_owned);
    let known: Vec<String> = keys().iter().map(|key| key.to_ascii_uppercase()).chain(others).collect();
    let names = variables.keys().filter_map(|name| name.to_str()?.strip_prefix(PREFIX));
    names
        .filter(|name| !known.iter().any(|known| known == name))
        .map(|name| {
            // Without the prefix: it would make any two names alike.
            let suggestion = nearest(name, &known).map(|near| format!(" (did you mean {PREFIX}{near}?)"));
            let suggestion = suggestion.unwrap_or_default();
            format!("the environment variable {PREFIX}{name} means nothing to beamroute{suggestion}")
        })
        .collect()
}

/// The keys of the file that no flag has, besides those of the ranking.
const ONLY_HERE: [&str; 3] = [permission::KEY, cookies::KEY, limits::KEY];

/// The keys of the file that no flag has.
#[must_use]
pub fn file_keys() -> Vec<&'static str> {
    ranking::KEYS.into_iter().chain(ONLY_HERE).collect()
}

/// What a file says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FileLayer {
    /// What flags could say as well.
    pub options: Options,
    /// The order of the ways out.
    pub ranking: Ranking,
    /// Who may do what.
    pub permissions: Permissions,
    /// The nodes with cookies of their own.
    pub cookies: Vec<(NodePattern, CookieSource)>,
    /// How much others may take.
    pub limits: Limits,
    /// All but the ranking, as it was written.
    pub others: toml::Table,
}

/// Reads a file.
///
/// # Errors
///
/// A [`ConfigError`] with the file, the line or the key, and the reason.
pub fn from_file(path: &Path) -> Result<FileLayer, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read { file: path.to_owned(), source })?;
    from_text(&text, path)
}

/// Takes the text of a file.
pub(super) fn from_text(text: &str, path: &Path) -> Result<FileLayer, ConfigError> {
    let file = || path.to_owned();
    let mut table: toml::Table = toml::from_str(text).map_err(|error| ConfigError::Syntax {
        file: file(),
        line: line_of(text, error.span().map_or(0, |span| span.start)),
        // Not the whole error: that shows the line itself.
        reason: error.message().to_owned(),
    })?;
    let ranking = ranking::take(&mut table, path)?;
    let permissions = permission::read(&table, path)?;
    let cookies = cookies::read(&table, path)?;
    let limits = limits::read(&table, path)?;
    let others = table.clone();
    for key in ONLY_HERE {
        table.remove(key);
    }
    let keys = keys();
    for (key, value) in &table {
        if !keys.contains(key) {
            let all: Vec<String> =
                keys.iter().cloned().chain(ranking::KEYS.into_iter().chain(ONLY_HERE).map(str::to_owned)).collect();
            let suggestion = nearest(key, &all).map(|near| format!(" (did you mean {near}?)")).unwrap_or_default();
            return Err(ConfigError::UnknownKey { file: file(), key: key.clone(), suggestion });
        }
        let alone = toml::Table::from_iter([(key.clone(), value.clone())]);
        alone.try_into::<Options>().map_err(|error| ConfigError::Value {
            file: file(),
            key: key.clone(),
            reason: error.message().to_owned(),
        })?;
    }
    let options: Options = table.try_into().map_err(|error: toml::de::Error| ConfigError::Value {
        file: file(),
        key: String::new(),
        reason: error.message().to_owned(),
    })?;
    if options.name.is_some() && options.sname.is_some() {
        return Err(ConfigError::BothNames { whence: path.display().to_string() });
    }
    Ok(FileLayer { options, ranking, permissions, cookies, limits, others })
}

/// The file that was asked for.
pub(super) fn asked_file(flag: Option<&Path>, variables: &Variables) -> Option<PathBuf> {
    flag.map(Path::to_owned).or_else(|| get(variables, "BEAMROUTE_CONFIG").map(PathBuf::from))
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count().saturating_add(1)
}

/// The name that resembles most, if it does at all.
pub(super) fn nearest<'a>(name: &str, known: &'a [String]) -> Option<&'a str> {
    known
        .iter()
        .map(|candidate| (strsim::jaro_winkler(&name.to_lowercase(), &candidate.to_lowercase()), candidate))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .filter(|(likeness, _)| *likeness > 0.7)
        .map(|(_, candidate)| candidate.as_str())
}

/// Why clap refuses a value, without its talk of flags.
fn reason(error: &clap::Error) -> String {
    if let Some(source) = std::error::Error::source(error) {
        return source.to_string();
    }
    match error.get(ContextKind::ValidValue) {
        Some(ContextValue::Strings(valid)) if !valid.is_empty() => format!("must be one of {}", valid.join(", ")),
        _ => error.kind().to_string(),
    }
}
