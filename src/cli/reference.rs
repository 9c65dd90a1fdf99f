//! All that can be configured, from the options' own help: the table in the README, and the man page of the file.

use clap::{Arg, CommandFactory as _};

use super::Cli;
use crate::config::{file_keys, limits_with_defaults, options};

/// Something that can be set.
pub(super) struct Setting {
    /// The key in the file: an option's name with underscores, else one that only the file has.
    pub key: String,
    /// The flag, as it is typed.
    pub flag: Option<String>,
    /// What it is if nobody says it.
    pub default: String,
    /// In a sentence.
    pub meaning: String,
}

impl Setting {
    /// Its environment variable, if it has one.
    pub(super) fn variable(&self) -> Option<String> {
        self.flag.as_ref().map(|_| options::variable(&self.key))
    }
}

/// The options, in the order of the help, then the keys that only the file has.
pub(super) fn settings() -> Vec<Setting> {
    let cli = Cli::command();
    let keys = options::keys();
    let run = cli.get_subcommands().find(|command| command.get_name() == "run");
    let options = run.into_iter().flat_map(clap::Command::get_arguments);
    let mut settings: Vec<_> =
        options.filter(|option| keys.iter().any(|key| option.get_id() == key.as_str())).map(of_option).collect();
    settings.extend(file_keys().iter().filter(|key| **key != "limits").map(|key| of_file(key)));
    settings.extend(limits_with_defaults().into_iter().map(|(key, default)| Setting {
        key: format!("limits.{key}"),
        flag: None,
        default: default.to_string(),
        meaning: limit(key).to_owned(),
    }));
    settings
}

fn of_option(option: &Arg) -> Setting {
    let key = option.get_id().to_string();
    let names: Vec<_> = option.get_value_names().unwrap_or_default().iter().map(ToString::to_string).collect();
    let takes = option.get_num_args().unwrap_or_default();
    let value =
        if takes.min_values() == 0 { format!("[={}]", names.join(" ")) } else { format!(" {}", names.join(" ")) };
    let help = option.get_help().map(ToString::to_string).unwrap_or_default();
    let (meaning, default) =
        match help.split_once(" [default: ").and_then(|(text, rest)| Some((text, rest.strip_suffix(']')?))) {
            Some((meaning, default)) => (meaning.to_owned(), default.to_owned()),
            None => (help, if names == ["BOOL"] { "false" } else { "none" }.to_owned()),
        };
    Setting { flag: Some(format!("--{}{value}", key.replace('_', "-"))), key, default, meaning }
}

/// The keys that only the file has, but for limits.
fn of_file(key: &str) -> Setting {
    let (default, meaning) = match key {
        "ranking" => ("VintageNet's", "The order of the ways out: a list of type:status, the best first"),
        "interface" => (
            "none",
            "[[interface]] tables: match names interfaces; type, weight, metric, hold_up and hold_down are theirs",
        ),
        "permission" => {
            ("all may read and route", "[[permission]] tables: what nodes may do; the first that fits counts")
        }
        "cookie" => ("none", "[[cookie]] tables: nodes, and the file with the cookie that is theirs"),
        _ => ("", ""),
    };
    Setting { key: key.to_owned(), flag: None, default: default.to_owned(), meaning: meaning.to_owned() }
}

fn limit(key: &str) -> &'static str {
    match key {
        "frame_bytes" => "The longest message of a peer, in bytes",
        "terms" => "The terms in one message",
        "unread_bytes" => "Bytes that wait for a peer that does not read, before it is dropped",
        "connections" => "Connections",
        "half_open" => "Handshakes under way, on each address that it listens on",
        "half_open_per_address" => "Of these, from one address; half of them if half_open alone is given",
        "subscribers" => "Processes that subscribe",
        "epmd_names" => "Names that an epmd of its own takes",
        "epmd_connections" => "Connections of an epmd of its own",
        _ => "",
    }
}

/// Variables that are no options.
pub(super) const VARIABLES: [(&str, &str); 5] = [
    ("BEAMROUTE_CONFIG", "The configuration file, as --config"),
    ("BEAMROUTE_COOKIE", "The cookie, if there is no cookie_file; no flag and no key has its value"),
    ("BEAMROUTE_LOG", "Filter of the log, as debug or beamroute::node=trace"),
    ("ERL_EPMD_PORT", "The port of port mappers, as for erl [default: 4369]"),
    ("ERL_EPMD_ADDRESS", "Where an epmd of its own listens, as for epmd"),
];

/// The table for the README.
#[must_use]
pub fn markdown() -> String {
    let mut text = String::from("| option or key | variable | default | meaning |\n| --- | --- | --- | --- |\n");
    for setting in settings() {
        let name = setting.flag.as_deref().unwrap_or(&setting.key);
        let variable = setting.variable().map_or_else(String::new, |variable| format!("`{variable}`"));
        let cells = [format!("`{name}`"), variable, setting.default.clone(), setting.meaning.clone()];
        text += &row(&cells);
    }
    for (variable, meaning) in VARIABLES {
        let (meaning, default) = match meaning.split_once(" [default: ") {
            Some((meaning, default)) => (meaning, default.trim_end_matches(']')),
            None => (meaning, ""),
        };
        text += &row(&[String::new(), format!("`{variable}`"), default.to_owned(), meaning.to_owned()]);
    }
    text
}

fn row(cells: &[String]) -> String {
    let cells: Vec<_> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
    format!("| {} |\n", cells.join(" | "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_without_meaning_or_default() {
        for setting in settings() {
            assert!(!setting.meaning.is_empty() && !setting.default.is_empty(), "{}", setting.key);
            assert!(!setting.meaning.contains("[default"), "{}: {}", setting.key, setting.meaning);
        }
    }

    #[test]
    fn the_readme_has_this_table() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
        let readme = std::fs::read_to_string(file).unwrap();
        let (begin, end) =
            ("<!-- options: made by `UPDATE_README=1 cargo test the_readme_has` -->\n", "<!-- /options -->");
        let (before, rest) = readme.split_once(begin).expect("the marker where the table begins");
        let (shown, after) = rest.split_once(end).expect("the marker where it ends");
        if std::env::var_os("UPDATE_README").is_some() {
            std::fs::write(file, [before, begin, &markdown(), end, after].concat()).unwrap();
            return;
        }
        assert!(shown == markdown(), "it has changed: UPDATE_README=1 cargo test the_readme_has writes it anew");
    }
}
