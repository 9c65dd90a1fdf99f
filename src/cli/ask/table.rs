//! The `status` map and the plan as tables for a terminal.

use std::time::{Duration, SystemTime};

use super::words::{self, Rank};
use crate::term::{Show, Term, as_atom, as_integer, as_ip, as_list, as_text, as_tuple, list};

/// The interfaces, best first, and what there is to know besides.
pub(in crate::cli) fn status(answer: &Term) -> String {
    let mut text = format!("{} is {}\n", word(get(answer, "node")), word(get(answer, "connection")));
    text += &words::way_out(answer);
    let mut interfaces: Vec<(u64, String, Vec<String>, &Term)> = pairs(get(answer, "interfaces"))
        .map(|(name, about)| {
            let metric = get(about, "metric").and_then(number).unwrap_or(u64::MAX);
            (metric, word(Some(name)), interface(answer, name, about), about)
        })
        .collect();
    interfaces.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
    let mut rows = vec![HEADS.map(str::to_owned).to_vec()];
    rows.extend(interfaces.iter().map(|(_, _, row, _)| row.clone()));
    if !interfaces.is_empty() {
        text += &columns(&rows);
    }
    for (_, name, _, about) in &interfaces {
        text += &words::notes(name, about);
    }
    if let Some(state) = get(answer, "state").filter(|state| as_atom(state) != Some("saved")) {
        text += &format!("not saved: {}\n", Show(state));
    }
    for orphan in get(answer, "orphaned").and_then(as_list).unwrap_or_default() {
        text += &format!("left by an earlier run: {}\n", command(orphan));
    }
    text
}

const HEADS: [&str; 12] =
    ["INTERFACE", "TYPE", "STATUS", "SINCE", "RANK", "METRIC", "TABLE", "LINK", "GATEWAY", "INSTALL", "SET BY", "WHY"];

fn interface(answer: &Term, name: &Term, about: &Term) -> Vec<String> {
    let install = match get(about, "install").and_then(as_tuple::<2>) {
        Some([_, reason]) => format!("pending: {}", Show(reason)),
        None => word(get(about, "install")),
    };
    let none = || "-".to_owned();
    let gateway = get(about, "default_gateway").and_then(as_ip).map_or_else(none, |ip| ip.to_string());
    let rank = match words::rank(answer, name, about) {
        Rank::Line(line) => line.to_string(),
        Rank::Set => "set".to_owned(),
        Rank::None => none(),
    };
    let mut row = vec![word(Some(name)), word(get(about, "type")), word(get(about, "status"))];
    row.push(get(about, "since").and_then(number).map_or_else(none, since));
    row.push(rank);
    row.extend(["metric", "table", "link"].map(|key| word(get(about, key))));
    row.extend([gateway, install, words::set_by(about).unwrap_or_else(none), word(get(about, "why"))]);
    row
}

/// The entries, one a line.
pub(super) fn routes(answer: &Term) -> String {
    let entries = entries(answer);
    let lines = as_list(&entries).unwrap_or_default().iter().filter_map(entry);
    lines.map(|line| line + "\n").collect()
}

/// Both lists of entries in one.
pub(super) fn entries(answer: &Term) -> Term {
    let of = |key| get(answer, key).and_then(as_list).unwrap_or_default().to_vec();
    list([of("entries"), of("extra_entries")].concat())
}

/// As `ip` would show it.
fn entry(entry: &Term) -> Option<String> {
    let Term::Tuple(tuple) = entry else { return None };
    let ip = |term: &Term| as_ip(term).map_or_else(|| word(Some(term)), |ip| ip.to_string());
    let table =
        |term: &Term| if as_atom(term).is_some() { String::new() } else { format!(" table {}", word(Some(term))) };
    Some(match tuple.elements.as_slice() {
        [_, to, from] => format!("rule from {} lookup {}", ip(from), word(Some(to))),
        [_, name, from, bits, metric, to] => {
            let (name, bits, metric) = (word(Some(name)), word(Some(bits)), word(Some(metric)));
            format!("on link {}/{bits} dev {name} metric {metric}{}", ip(from), table(to))
        }
        [_, name, gateway, metric, to] => {
            let (name, metric) = (word(Some(name)), word(Some(metric)));
            format!("default via {} dev {name} metric {metric}{}", ip(gateway), table(to))
        }
        _ => return None,
    })
}

/// The commands, or that there are none.
pub(super) fn plan(answer: &Term) -> String {
    let changes = as_list(answer).unwrap_or_default();
    if changes.is_empty() {
        return "nothing to change\n".to_owned();
    }
    let commands = changes.iter().filter_map(as_tuple::<2>);
    commands.map(|[_, line]| command(line) + "\n").collect()
}

/// To be pasted into a shell, so its quotes stay as they are; what a terminal would obey does not.
fn command(line: &Term) -> String {
    let line = as_text(line).unwrap_or_default();
    let shown = |char| match char {
        '\'' | '"' | '\\' => vec![char],
        char => char.escape_debug().collect(),
    };
    String::from_utf8_lossy(&line).chars().flat_map(shown).collect()
}

pub(super) fn get<'a>(map: &'a Term, key: &str) -> Option<&'a Term> {
    pairs(Some(map)).find(|(name, _)| as_atom(name) == Some(key)).map(|(_, value)| value)
}

pub(super) fn pairs(map: Option<&Term>) -> impl Iterator<Item = (&Term, &Term)> {
    let map = match map {
        Some(Term::Map(map)) => Some(&map.map),
        _ => None,
    };
    map.into_iter().flatten()
}

/// A value in one cell.
pub(super) fn word(value: Option<&Term>) -> String {
    let Some(value) = value.filter(|value| as_atom(value) != Some("nil")) else { return "-".to_owned() };
    match value {
        Term::Atom(atom) => atom.name.clone(),
        Term::Binary(_) => String::from_utf8_lossy(&as_text(value).unwrap_or_default()).escape_debug().to_string(),
        value => Show(value).to_string(),
    }
}

pub(super) fn number(term: &Term) -> Option<u64> {
    as_integer(term).and_then(|number| u64::try_from(number).ok())
}

/// How long ago it was.
pub(super) fn since(unix_ms: u64) -> String {
    let then = SystemTime::UNIX_EPOCH + Duration::from_millis(unix_ms);
    short(SystemTime::now().duration_since(then).unwrap_or_default())
}

/// How long it is until then.
pub(super) fn ahead(unix_ms: u64) -> String {
    let then = SystemTime::UNIX_EPOCH + Duration::from_millis(unix_ms);
    short(then.duration_since(SystemTime::now()).unwrap_or_default())
}

/// The largest unit of which there is at least one.
fn short(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// Left-aligned, two blanks between.
pub(in crate::cli) fn columns(rows: &[Vec<String>]) -> String {
    let width = |n: usize| rows.iter().filter_map(|row| row.get(n)).map(|cell| cell.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().enumerate().map(|(n, cell)| format!("{cell:<width$}", width = width(n)));
        text += cells.collect::<Vec<_>>().join("  ").trim_end();
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::term::{atom, binary, integer, map, tuple};

    fn ip(last: i64) -> Term {
        tuple([192, 168, 1, last].map(integer))
    }

    #[test]
    fn interfaces_best_first_with_what_is_wrong() {
        let about = |metric: i64, install: Term| {
            map([("metric", integer(metric)), ("install", install), ("default_gateway", ip(1)), ("why", atom("nil"))]
                .map(|(key, value)| (atom(key), value)))
        };
        let pending = tuple([atom("pending"), atom("link_down")]);
        let interfaces = map([(binary("wlan0"), about(20, pending)), (binary("eth0"), about(10, atom("installed")))]);
        let text = status(&map([
            (atom("node"), atom("gw@h")),
            (atom("connection"), atom("lan")),
            (atom("interfaces"), interfaces),
        ]));
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "gw@h is lan");
        assert_eq!(lines[1], "no interface has a default route");
        let lines = &lines[1..];
        assert!(lines[1].starts_with("INTERFACE  TYPE"));
        assert!(
            lines[2].starts_with("eth0 ")
                && lines[2].contains("192.168.1.1")
                && lines[2].ends_with("installed           -       -"),
            "{text}"
        );
        assert!(lines[3].starts_with("wlan0 ") && lines[3].contains("pending: link_down"), "{text}");
    }

    #[test]
    fn entries_as_ip_would_show_them() {
        let all = list([
            tuple([atom("rule"), integer(100), ip(50)]),
            tuple([atom("local_route"), binary("eth0"), ip(50), integer(24), integer(10), integer(100)]),
            tuple([atom("default_route"), binary("eth0"), ip(1), integer(10), atom("main")]),
        ]);
        let text = routes(&map([(atom("entries"), all)]));
        let expected = "rule from 192.168.1.50 lookup 100\non link 192.168.1.50/24 dev eth0 metric 10 table 100\n\
                        default via 192.168.1.1 dev eth0 metric 10\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn commands_can_be_pasted_and_do_nothing_to_a_terminal() {
        let line = r#"ip route del default dev 'it'\''s "x"' proto 110"#;
        let answer = list([tuple([atom("nothing"), binary(line)]), tuple([atom("nothing"), binary("ip \u{1b}[2J\n")])]);
        assert_eq!(plan(&answer), format!("{line}\nip \\u{{1b}}[2J\\n\n"));
        let text = status(&map([(atom("orphaned"), list([binary(line)]))]));
        assert!(text.ends_with(&format!("left by an earlier run: {line}\n")), "{text}");
    }

    #[test]
    fn what_is_held_says_how_long_and_what_counts() {
        let until = SystemTime::now() + Duration::from_secs(7 * 60 + 30);
        let until = until.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis();
        let about = map([
            (atom("held_until"), integer(i64::try_from(until).unwrap())),
            (atom("counts_as"), atom("lan")),
            (atom("status"), atom("internet")),
            (atom("install"), tuple([atom("pending"), atom("held")])),
        ]);
        let text = status(&map([(atom("interfaces"), map([(binary("eth0"), about)]))]));
        assert!(text.ends_with("\neth0: held for 7 min more, counts as lan\n"), "{text}");
    }

    #[test]
    fn times_in_one_unit() {
        for (seconds, text) in [(0, "0 s"), (59, "59 s"), (60, "1 min"), (7_199, "1 h"), (200_000, "2 d")] {
            assert_eq!(short(Duration::from_secs(seconds)), text);
        }
    }
}
