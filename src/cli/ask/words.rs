//! The `status` map in sentences: where traffic goes and why, and what is waited for.

use super::table::{get, number, pairs, since, word};
use crate::term::{Show, Term, as_atom, as_integer, as_ip, as_list, as_tuple};

/// Where traffic goes that has no better way, and why there.
pub(super) fn way_out(answer: &Term) -> String {
    let Some(first) = first(answer) else {
        return match get(answer, "available_interfaces").and_then(as_list).unwrap_or_default().first() {
            Some(name) => {
                format!("no default route of ours is in the kernel; {} would be the first\n", word(Some(name)))
            }
            None => "no interface has a default route\n".to_owned(),
        };
    };
    let First { name, about, gateway } = first;
    if let Some(by) = shadow(about) {
        return format!("traffic goes by another program's default{by}, before {name}\n");
    }
    let [kind, status, metric] = ["type", "status", "metric"].map(|key| word(get(about, key)));
    let rank = match rank(answer, name, about) {
        Rank::Line(line) => format!(", line {line} of the ranking"),
        Rank::Set => ", ranked by set_metric".to_owned(),
        Rank::None => String::new(),
    };
    let since =
        get(about, "since").and_then(number).map_or_else(String::new, |time| format!(", since {}", since(time)));
    let who = set_by(about).map_or_else(String::new, |node| format!(", set by {node}"));
    let why = get(about, "why").filter(|why| as_atom(why).is_none());
    let why = why.map_or_else(String::new, |why| format!(" ({})", word(Some(why))));
    let name = word(Some(name));
    format!("traffic goes by {name} via {gateway}: {kind} with {status}{rank}, metric {metric}{since}{who}{why}\n")
}

/// The interface whose default route the kernel takes before the others of ours.
struct First<'a> {
    name: &'a Term,
    about: &'a Term,
    gateway: String,
}

fn first(answer: &Term) -> Option<First<'_>> {
    let entries = get(answer, "entries").and_then(as_list).unwrap_or_default();
    let installed = entries.iter().filter_map(|entry| {
        let [kind, name, gateway, metric, table] = as_tuple::<5>(entry)?;
        let (_, about) = pairs(get(answer, "interfaces")).find(|(other, _)| *other == name)?;
        let is_installed = get(about, "install").and_then(as_atom) == Some("installed");
        let is_wanted = as_atom(kind) == Some("default_route") && as_atom(table) == Some("main");
        let first = First { name, about, gateway: as_ip(gateway)?.to_string() };
        (is_wanted && is_installed).then_some((as_integer(metric)?, first))
    });
    // Of equals the kernel takes the first.
    installed.min_by_key(|(metric, _)| *metric).map(|(_, first)| first)
}

/// What an interface's metric is made by.
pub(super) enum Rank {
    /// A line of the ranking, counted from 1.
    Line(i64),
    /// A caller, or the configuration, has said the metric itself.
    Set,
    /// It has none.
    None,
}

pub(super) fn rank(answer: &Term, name: &Term, about: &Term) -> Rank {
    let of = |key| get(about, key).and_then(as_integer);
    let Some((metric, weight)) = of("metric").zip(of("weight")) else { return Rank::None };
    let is_set = pairs(get(answer, "metrics")).any(|(other, _)| other == name);
    let lines = get(answer, "ranking").and_then(as_list).map_or(0, <[Term]>::len);
    let line = metric.saturating_sub(weight);
    // `(rank + 1) * 10 + weight`, as VintageNet has it.
    let is_line = line % 10 == 0 && (1..=lines).contains(&usize::try_from(line / 10).unwrap_or_default());
    if is_set || !is_line { Rank::Set } else { Rank::Line(line / 10) }
}

/// The node whose call it was.
pub(super) fn set_by(about: &Term) -> Option<String> {
    let [node, _] = get(about, "set_by").and_then(as_tuple::<2>)?;
    Some(word(Some(node)))
}

/// The foreign default route that goes before an interface's own.
fn shadow(about: &Term) -> Option<String> {
    let by = get(about, "shadowed_by").filter(|by| as_atom(by).is_none())?;
    let gateway = get(by, "gateway").and_then(as_ip).map_or_else(String::new, |ip| format!(" via {ip}"));
    let [dev, metric] = ["ifname", "metric"].map(|key| word(get(by, key)));
    Some(format!("{gateway} dev {dev} metric {metric}"))
}

/// What does not fit in a column.
pub(super) fn notes(name: &str, about: &Term) -> String {
    let mut text = String::new();
    if let Some(by) = shadow(about) {
        text += &format!("{name}: another program's default{by} goes before it\n");
    }
    let pending = get(about, "install").and_then(as_tuple::<2>);
    if let Some([_, reason]) = pending {
        text += &format!("{name}: {}\n", waits_for(name, about, reason));
    }
    if get(about, "metric").and_then(as_atom) == Some("disabled") {
        text += &format!("{name}: no line of the ranking fits, so it has no routes\n");
    }
    text
}

/// A pending reason in words.
fn waits_for(name: &str, about: &Term, reason: &Term) -> String {
    if let Some([tag, detail]) = as_tuple::<2>(reason) {
        let detail = as_ip(detail).map_or_else(|| word(Some(detail)), |ip| ip.to_string());
        return match as_atom(tag) {
            Some("no_address") => format!("waits for its address {detail}"),
            Some("gateway") => {
                let gateway =
                    get(about, "default_gateway").and_then(as_ip).map_or_else(String::new, |ip| ip.to_string());
                format!("waits for a way to its gateway {gateway} (the kernel says {detail})")
            }
            _ => format!("the kernel refuses it ({detail}); `beamroute plan` shows the command"),
        };
    }
    match as_atom(reason) {
        Some("no_interface") => format!("waits for an interface named {name}"),
        Some("link_down") => format!("waits for its link (`ip link set {name} up`)"),
        Some("tentative") => "waits until the kernel knows that nobody else has its IPv6 address".to_owned(),
        Some("no_ipv6") => "this kernel has no IPv6 policy rules (CONFIG_IPV6_MULTIPLE_TABLES)".to_owned(),
        Some("contested") => "another program keeps undoing it; tried again within a minute".to_owned(),
        Some("held") => {
            let left = get(about, "held_until").and_then(number).map_or_else(String::new, super::table::ahead);
            format!("held for {left} more, counts as {}", word(get(about, "counts_as")))
        }
        _ => format!("waits: {}", Show(reason)),
    }
}
