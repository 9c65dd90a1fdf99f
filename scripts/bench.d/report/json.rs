//! `target/bench.json`.

use serde_json::{Map, Value, json};

use crate::fold::{Measured, Run, Spread};
use crate::metrics::OURS;

pub fn json(run: &Run) -> String {
    let facts: Map<String, Value> = run.facts.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    let all = json!({ "run": facts, "metrics": run.measured.iter().map(metric).collect::<Vec<_>>() });
    format!("{all:#}\n")
}

fn metric(measured: &Measured) -> Value {
    let peers: Map<String, Value> =
        measured.peers.iter().filter_map(|peer| Some((peer.name.clone(), spread(&peer.spread()?)))).collect();
    let ours = measured.peer(OURS).and_then(|peer| peer.spread());
    let mut ratios = Map::new();
    for peer in measured.peers.iter().filter(|peer| peer.name != OURS) {
        let (Some(ours), Some(theirs), Some(ratio)) = (ours, peer.spread(), measured.ratio(peer)) else { continue };
        let ratio = json!({ "ours": ours.median, "theirs": theirs.median, "ratio": spread(&ratio) });
        ratios.insert(peer.name.clone(), ratio);
    }
    let goals = measured.goals();
    let goals = goals.iter().map(|goal| json!({ "goal": goal.text, "wanted": goal.wanted, "met": goal.is_met }));
    json!({
        "metric": measured.metric,
        "title": measured.title(),
        "unit": measured.unit,
        "peers": peers,
        "beamroute_by": ratios,
        "goals": goals.collect::<Vec<_>>(),
    })
}

fn spread(spread: &Spread) -> Value {
    let Spread { median, quartiles, min, max, rounds } = spread;
    json!({ "median": median, "quartiles": quartiles, "min": min, "max": max, "rounds": rounds })
}
