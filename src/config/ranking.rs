//! The part of the file that orders the ways out: `ranking` and `[[interface]]`. It can be read again while the daemon
//! runs; the other keys count from the next start on.

use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::{Table, Value};

use super::ConfigError;
use super::layers::{self, nearest};
use super::value::Seconds;
use crate::route::{InterfaceConfig, InterfaceType, MAX_WEIGHT, Metric, NamePattern, Pattern, Ranking, Status};

/// The keys of the file that no flag has.
pub const KEYS: [&str; 2] = ["ranking", "interface"];

/// The keys of an `[[interface]]`.
const INTERFACE_KEYS: [&str; 6] = ["match", "type", "weight", "metric", "hold_up", "hold_down"];

/// Whoever wants more means something else.
const MAX_HOLD: Duration = Duration::from_secs(24 * 3600);

/// A file that is larger is none of ours.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// What a value cannot be: its key, and why not.
pub(super) type Wrong = (String, String);

/// Takes `ranking` and `[[interface]]` out of a file's `table`.
///
/// # Errors
///
/// [`ConfigError::Value`] with the key and the reason.
pub fn take(table: &mut Table, file: &Path) -> Result<Ranking, ConfigError> {
    let mut ranking = Ranking::default();
    let mut read = || {
        if let Some(value) = table.remove("ranking") {
            ranking.patterns = patterns(&value).map_err(|reason| ("ranking".to_owned(), reason))?;
        }
        if let Some(value) = table.remove("interface") {
            ranking.interfaces = interfaces(value)?;
        }
        Ok(())
    };
    read().map_err(|(key, reason): Wrong| ConfigError::Value { file: file.to_owned(), key, reason })?;
    Ok(ranking)
}

fn patterns(value: &Value) -> Result<Vec<Pattern>, String> {
    let lines = value.as_array().ok_or("not a list, as [\"ethernet:internet\", \"*:lan\"]")?;
    if lines.is_empty() {
        return Err("empty, so that no interface would have a route; leave it out for the default".into());
    }
    let mut patterns: Vec<Pattern> = Vec::new();
    for line in lines {
        let text = line.as_str().ok_or_else(|| format!("{} is not a text, as \"ethernet:internet\"", shown(line)))?;
        let pattern = pattern(text).map_err(|reason| format!("{text:?}: {reason}"))?;
        if let Some(before) = patterns.iter().find(|before| before.covers(pattern)) {
            return Err(format!("{text:?} never counts: {:?} stands before it", before.to_string()));
        }
        patterns.push(pattern);
    }
    Ok(patterns)
}

fn pattern(text: &str) -> Result<Pattern, String> {
    let (kind, status) = text.split_once(':').ok_or("not type:status, as ethernet:internet or *:lan")?;
    let interface_type = if kind == "*" { None } else { Some(interface_type(kind)?) };
    let status = match status {
        "*" => None,
        "disconnected" => return Err("a disconnected interface never has routes".into()),
        word => Some(Status::parse(word).ok_or_else(|| unknown("status", word, &["internet", "lan", "*"]))?),
    };
    Ok(Pattern { interface_type, status })
}

fn interface_type(word: &str) -> Result<InterfaceType, String> {
    let known = InterfaceType::ALL.map(InterfaceType::as_str);
    InterfaceType::parse(word).ok_or_else(|| unknown("type", word, &known))
}

/// With the word that was meant, or else with all that there are.
pub(super) fn unknown(what: &str, word: &str, known: &[&str]) -> String {
    let owned: Vec<String> = known.iter().map(ToString::to_string).collect();
    match nearest(word, &owned) {
        Some(near) => format!("unknown {what} {word} (did you mean {near}?)"),
        None => format!("unknown {what} {word} (one of {})", known.join(", ")),
    }
}

fn interfaces(value: Value) -> Result<Vec<InterfaceConfig>, Wrong> {
    let wrong = |reason: &str| ("interface".to_owned(), reason.to_owned());
    let Value::Array(tables) = value else { return Err(wrong("written as [[interface]], with two brackets")) };
    let mut interfaces: Vec<InterfaceConfig> = Vec::new();
    for (index, table) in tables.into_iter().enumerate() {
        let Value::Table(table) = table else { return Err(wrong("written as [[interface]], with keys below it")) };
        let names =
            names(&table).map_err(|reason| (format!("interface {}: match", index.saturating_add(1)), reason))?;
        let key = format!("interface {:?}", names.to_string());
        if let Some(before) = interfaces.iter().find(|before| before.names.covers(&names)) {
            let before = before.names.to_string();
            return Err((key, format!("never counts: the [[interface]] of {before:?} stands before it")));
        }
        let mut config = InterfaceConfig::new(names);
        for (name, value) in &table {
            if !INTERFACE_KEYS.contains(&name.as_str()) {
                return Err((key, unknown("key", name, &INTERFACE_KEYS)));
            }
            set(&mut config, name, value).map_err(|reason| (format!("{key}: {name}"), reason))?;
        }
        interfaces.push(config);
    }
    Ok(interfaces)
}

fn names(table: &Table) -> Result<NamePattern, String> {
    let value = table.get("match").ok_or("missing; it is a name, or a pattern as \"eth*\"")?;
    let text = value.as_str().ok_or_else(|| format!("{} is not a text, as \"eth0\" or \"eth*\"", shown(value)))?;
    text.parse().map_err(|error| format!("{text:?} {error}"))
}

fn set(config: &mut InterfaceConfig, key: &str, value: &Value) -> Result<(), String> {
    match key {
        "type" => {
            let word = value.as_str().ok_or_else(|| format!("{} is not a text, as \"mobile\"", shown(value)))?;
            config.interface_type = Some(interface_type(word)?);
        }
        "weight" => {
            let weight = value.as_integer().and_then(|n| u32::try_from(n).ok()).filter(|n| *n <= MAX_WEIGHT);
            config.weight =
                Some(weight.ok_or_else(|| format!("{} is not a number from 0 to {MAX_WEIGHT}", shown(value)))?);
        }
        "metric" => config.metric = Some(metric(value)?),
        "hold_up" => config.hold_up = hold(value)?,
        "hold_down" => config.hold_down = hold(value)?,
        _ => {}
    }
    Ok(())
}

fn metric(value: &Value) -> Result<Metric, String> {
    let number = || value.as_integer().and_then(|n| u32::try_from(n).ok()).and_then(Metric::chosen);
    let metric = if value.as_str() == Some("disabled") { Some(Metric::Disabled) } else { number() };
    metric.ok_or_else(|| format!("{} is not a number from 1 to {}, or \"disabled\"", shown(value), Metric::MAX))
}

fn hold(value: &Value) -> Result<Duration, String> {
    let Seconds(hold) = value.clone().try_into().map_err(|error: toml::de::Error| error.message().to_owned())?;
    if hold > MAX_HOLD { Err(format!("{} is longer than a day", shown(value))) } else { Ok(hold) }
}

/// As it was written, if that is short.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => format!("{text:?}"),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Boolean(truth) => truth.to_string(),
        Value::Datetime(_) => "a date".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Table(_) => "a table".to_owned(),
    }
}

/// Where the ranking is read from, again and again.
#[derive(Debug, Clone, PartialEq)]
pub struct RankingFile {
    /// The file that was asked for.
    asked: Option<PathBuf>,
    /// The one that is read when none was, if it is there.
    default: PathBuf,
    /// What it said of other things when the daemon started.
    others: Table,
    /// The keys of those that differ now, as last told.
    told: Vec<String>,
}

// Numbers that equal themselves: a file with a NaN is refused.
impl Eq for RankingFile {}

/// What reading the ranking again has brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reread {
    /// The new ranking.
    pub ranking: Ranking,
    /// Other keys that differ from what the daemon was started with, if that is news.
    pub needs_restart: Vec<String>,
}

impl RankingFile {
    /// The file that was `asked` for, else the `default` one; `others` is what it says besides the ranking.
    pub(super) const fn new(asked: Option<PathBuf>, default: PathBuf, others: Table) -> Self {
        Self { asked, default, others, told: Vec::new() }
    }

    /// Reads the file again; the default ranking if there is none and none was asked for.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if anything in the file is wrong, also what is no part of the ranking.
    pub fn read(&mut self) -> Result<Reread, ConfigError> {
        // One that we may not look for is not one that is missing.
        let is_there = || self.default.try_exists();
        let unknown = |source| ConfigError::Read { file: self.default.clone(), source };
        let path = match &self.asked {
            Some(path) => Some(path.clone()),
            None => is_there().map_err(unknown)?.then(|| self.default.clone()),
        };
        let (ranking, others) = match path {
            None => (Ranking::default(), Table::new()),
            Some(path) => {
                is_readable(&path)?;
                let layer = layers::from_file(&path)?;
                (layer.ranking, layer.others)
            }
        };
        let mut differs: Vec<String> = self.others.keys().chain(others.keys()).cloned().collect();
        differs.sort_unstable();
        differs.dedup();
        differs.retain(|key| self.others.get(key) != others.get(key));
        let needs_restart = if differs == self.told { Vec::new() } else { differs.clone() };
        self.told = differs;
        Ok(Reread { ranking, needs_restart })
    }
}

/// Not what could keep the daemon waiting: at the start, a pipe is fine.
fn is_readable(path: &Path) -> Result<(), ConfigError> {
    let refused = |source| ConfigError::Read { file: path.to_owned(), source };
    let metadata = std::fs::metadata(path).map_err(refused)?;
    if !metadata.is_file() {
        return Err(refused(std::io::Error::other("not a regular file")));
    }
    if metadata.len() > MAX_FILE_BYTES {
        return Err(refused(std::io::Error::other(format!("longer than {MAX_FILE_BYTES} bytes"))));
    }
    Ok(())
}
