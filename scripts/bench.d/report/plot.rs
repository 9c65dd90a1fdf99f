//! The plot: a row for each goal, with everybody's median by the goal, better to the right, on a logarithmic scale. The goal
//! is the line in the middle. Readable on a light and on a dark page.

use std::fmt::Write as _;

use crate::fold::{Measured, Peer, Reached, Run};
use crate::metrics::{self, OURS};
use crate::table::number;

const WIDTH: f64 = 1000.0;
const MARGIN: f64 = 10.0;
const LEFT: f64 = 330.0;
const RIGHT: f64 = 800.0;
const TOP: f64 = 96.0;
const ROW: f64 = 30.0;

/// How many times better or worse than the goal there is room for, as a power of two.
const MOST_DOUBLINGS: f64 = 6.0;

const STYLE: &str = "\
text { font: 13px system-ui, sans-serif; fill: #24292f } .small { font-size: 11px; fill: #57606a } \
.grid { stroke: #d0d7de } .goal { stroke: #cf222e; stroke-width: 2 } .spread { stroke: #0969da; stroke-width: 3 } \
.beamroute { fill: #0969da } .gen_server { fill: #bf8700 } .ei { fill: #1a7f37 } .floor { fill: #8250df } .other { fill: #6e7781 } \
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .small { fill: #9198a1 } .grid { stroke: #3d444d } \
.goal { stroke: #ff7b72 } .spread { stroke: #4493f8 } .beamroute { fill: #4493f8 } .gen_server { fill: #d29922 } \
.ei { fill: #3fb950 } .floor { fill: #ab7df8 } .other { fill: #9198a1 } }";

struct Row<'a> {
    measured: &'a Measured,
    goal: Reached,
    less_is_better: bool,
}

pub fn plot(run: &Run) -> String {
    let rows: Vec<Row<'_>> = run.measured.iter().filter_map(row).collect();
    let doublings = rows.iter().flat_map(|row| row.measured.peers.iter().filter_map(|peer| row.place(peer)));
    let span = doublings.fold(1.0, |most: f64, place| most.max(place.abs())).min(MOST_DOUBLINGS).ceil();
    let height = TOP + ROW * rows.len() as f64 + 24.0;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
         role=\"img\" aria-label=\"beamroute beside others, by its goals\">\n<style>{STYLE}</style>\n"
    );
    text(
        &mut out,
        0.0,
        18.0,
        "",
        "Medians by beamroute's goal (the line); better is to the right, each step is a factor of 2",
    );
    text(&mut out, MARGIN, 36.0, "small", &facts(run));
    legend(&mut out);
    grid(&mut out, span, height);
    for (n, row) in rows.iter().enumerate() {
        draw(&mut out, row, TOP + ROW * (n as f64 + 0.5), span);
    }
    out.push_str("</svg>\n");
    out
}

fn row(measured: &Measured) -> Option<Row<'_>> {
    let goal = measured.goals().into_iter().next()?;
    let less_is_better = metrics::of(&measured.metric)?.less_is_better;
    Some(Row { measured, goal, less_is_better })
}

impl Row<'_> {
    /// How many doublings better than the goal.
    fn doublings(&self, value: f64) -> f64 {
        let better = if self.less_is_better { self.goal.wanted / value } else { value / self.goal.wanted };
        better.log2()
    }

    fn place(&self, peer: &Peer) -> Option<f64> {
        Some(self.doublings(peer.spread()?.median))
    }
}

fn facts(run: &Run) -> String {
    let shown = ["date", "commit", "cpu", "cores", "kernel", "otp", "rounds"];
    let facts = run.facts.iter().filter(|(name, _)| shown.contains(&name.as_str()));
    facts.map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>().join(" · ")
}

fn legend(out: &mut String) {
    let mut x = LEFT;
    for peer in [OURS, "gen_server", "ei", "floor", "another floor", "others"] {
        mark(out, x, 60.0, peer);
        text(out, x + 10.0, 64.0, "small", peer);
        x += 30.0 + 6.5 * peer.len() as f64;
    }
}

fn grid(out: &mut String, span: f64, height: f64) {
    let bottom = height - 16.0;
    let mut doublings = -span;
    while doublings <= span {
        let x = x_of(doublings, span);
        let class = if doublings == 0.0 { "goal" } else { "grid" };
        let _ = writeln!(out, "<line class=\"{class}\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{bottom}\"/>");
        let label = match doublings {
            0.0 => "goal".to_owned(),
            better if better > 0.0 => format!("{}×", 2_f64.powf(better)),
            worse => format!("1/{}", 2_f64.powf(-worse)),
        };
        let _ = writeln!(
            out,
            "<text class=\"small\" text-anchor=\"middle\" x=\"{x:.1}\" y=\"{:.1}\">{label}</text>",
            TOP - 8.0
        );
        doublings += 1.0;
    }
}

fn draw(out: &mut String, row: &Row<'_>, y: f64, span: f64) {
    text(out, MARGIN, y + 4.0, "", row.measured.title());
    let x_at = |value: f64| x_of(row.doublings(value), span);
    // Ours last, on top of all others.
    let is_ours = |peer: &&Peer| peer.name == OURS;
    for peer in row.measured.peers.iter().filter(|peer| !is_ours(peer)) {
        if let Some(place) = row.place(peer) {
            mark(out, x_of(place, span), y, &peer.name);
        }
    }
    let Some(ours) = row.measured.peer(OURS).and_then(Peer::spread) else { return };
    let (from, to) = (x_at(ours.min), x_at(ours.max));
    let _ = writeln!(out, "<line class=\"spread\" x1=\"{from:.1}\" x2=\"{to:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>");
    mark(out, x_at(ours.median), y, OURS);
    let unit = if row.measured.unit == "us" { "µs" } else { &row.measured.unit };
    let label = format!("{} {unit}", number(ours.median));
    let label = format!("{}, goal {}", label.trim_end(), number(row.goal.wanted));
    text(out, RIGHT + 16.0, y + 4.0, "", &label);
}

fn x_of(doublings: f64, span: f64) -> f64 {
    LEFT + 8.0 + (doublings.clamp(-span, span) / span + 1.0) / 2.0 * (RIGHT - LEFT - 8.0)
}

/// Each peer has its own shape, for those who do not tell the colours apart.
fn mark(out: &mut String, x: f64, y: f64, peer: &str) {
    let (class, shape) = match peer {
        OURS => ("beamroute", format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"6\"/>")),
        "gen_server" => {
            ("gen_server", format!("<rect x=\"{:.1}\" y=\"{:.1}\" width=\"9\" height=\"9\"/>", x - 4.5, y - 4.5))
        }
        "ei" => ("ei", polygon(x, y, &[(0.0, -6.0), (6.0, 0.0), (0.0, 6.0), (-6.0, 0.0)])),
        "floor" => ("floor", polygon(x, y, &[(0.0, -6.0), (6.0, 5.0), (-6.0, 5.0)])),
        floor if floor.contains("floor") => ("floor", polygon(x, y, &[(0.0, 6.0), (6.0, -5.0), (-6.0, -5.0)])),
        _ => ("other", polygon(x, y, &[(-2.0, -6.0), (2.0, -6.0), (2.0, 6.0), (-2.0, 6.0)])),
    };
    let _ = writeln!(out, "<g class=\"{class}\"><title>{peer}</title>{shape}</g>");
}

fn polygon(x: f64, y: f64, corners: &[(f64, f64)]) -> String {
    let points: Vec<String> = corners.iter().map(|(dx, dy)| format!("{:.1},{:.1}", x + dx, y + dy)).collect();
    format!("<polygon points=\"{}\"/>", points.join(" "))
}

fn text(out: &mut String, x: f64, y: f64, class: &str, text: &str) {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(out, "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{text}</text>");
}
