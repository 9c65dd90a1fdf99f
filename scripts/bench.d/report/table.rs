//! The tables for people.

use std::fmt::Write as _;

use crate::fold::{Measured, Run, Spread};
use crate::metrics::OURS;

pub fn table(run: &Run) -> String {
    let mut out = String::new();
    for (name, value) in &run.facts {
        let _ = writeln!(out, "{name:<10} {value}");
    }
    let (numbers, ratios) = ("median (min to max)", "beamroute's by it");
    let _ = writeln!(out, "\n{:<16} {numbers:>32} {ratios:>28}", "");
    run.measured.iter().for_each(|measured| rows(measured, &mut out));
    out.push('\n');
    out
}

fn rows(measured: &Measured, out: &mut String) {
    let unit = if measured.unit == "us" { "µs" } else { &measured.unit };
    let unit = if unit.is_empty() { String::new() } else { format!(" ({unit})") };
    let _ = writeln!(out, "\n{}{unit}  [{}]", measured.title(), measured.metric);
    for peer in &measured.peers {
        let Some(spread) = peer.spread() else { continue };
        let ratio = measured.ratio(peer).filter(|_| peer.name != OURS);
        let ratio = ratio.map_or(String::new(), |ratio| format!("x {}", shown(&ratio)));
        let line = format!("  {:<14} {:>32} {ratio:>28}", peer.name, shown(&spread));
        let _ = writeln!(out, "{}", line.trim_end());
    }
    for goal in measured.goals() {
        let _ = writeln!(out, "  goal: {}, {}", goal.text, if goal.is_met { "met" } else { "NOT MET" });
    }
}

fn shown(spread: &Spread) -> String {
    format!("{} ({} to {})", number(spread.median), number(spread.min), number(spread.max))
}

/// With three digits or so.
pub fn number(value: f64) -> String {
    let decimals = match value.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        _ => 2,
    };
    format!("{value:.decimals$}")
}
