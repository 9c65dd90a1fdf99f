//! From single numbers to medians and spreads.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::metrics::{self, Goal, METRICS, OURS, Versus};

#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Number { metric: String, peer: String, round: u32, value: f64, unit: String },
    Fact { fact: String, value: String },
}

/// All that was measured in a run.
#[derive(Default)]
pub struct Run {
    pub facts: Vec<(String, String)>,
    pub measured: Vec<Measured>,
}

/// One metric, of all peers, in the order in which they were measured first.
pub struct Measured {
    pub metric: String,
    pub unit: String,
    pub peers: Vec<Peer>,
}

pub struct Peer {
    pub name: String,
    rounds: BTreeMap<u32, Vec<f64>>,
}

/// Of the rounds' numbers, each the median of what was noted in the round.
#[derive(Clone, Copy)]
pub struct Spread {
    pub median: f64,
    pub quartiles: [f64; 2],
    pub min: f64,
    pub max: f64,
    pub rounds: usize,
}

/// What has become of a goal.
pub struct Reached {
    pub text: String,
    /// What beamroute was to have at least, or at most.
    pub wanted: f64,
    pub is_met: bool,
}

impl Run {
    pub fn parse(text: &str) -> Result<Self> {
        let mut run = Self::default();
        for line in text.lines() {
            match serde_json::from_str(line).with_context(|| format!("a line that is no number: {line}"))? {
                Line::Fact { fact, value } => run.facts.push((fact, value)),
                Line::Number { metric, peer, round, value, unit } => run.add(metric, unit, peer, round, value),
            }
        }
        // Stable: what is not known stays in the order in which it was measured, behind what is.
        let place = |measured: &Measured| METRICS.iter().position(|metric| metric.id == measured.metric);
        run.measured.sort_by_key(|measured| place(measured).unwrap_or(METRICS.len()));
        Ok(run)
    }

    fn add(&mut self, metric: String, unit: String, peer: String, round: u32, value: f64) {
        let at = self.measured.iter().position(|known| known.metric == metric).unwrap_or_else(|| {
            self.measured.push(Measured { metric, unit, peers: Vec::new() });
            self.measured.len() - 1
        });
        let Some(measured) = self.measured.get_mut(at) else { return };
        let at = measured.peers.iter().position(|known| known.name == peer).unwrap_or_else(|| {
            measured.peers.push(Peer { name: peer, rounds: BTreeMap::new() });
            measured.peers.len() - 1
        });
        if let Some(peer) = measured.peers.get_mut(at) {
            peer.rounds.entry(round).or_default().push(value);
        }
    }
}

impl Measured {
    pub fn peer(&self, name: &str) -> Option<&Peer> {
        self.peers.iter().find(|peer| peer.name == name)
    }

    pub fn title(&self) -> &str {
        metrics::of(&self.metric).map_or(&self.metric, |metric| metric.title)
    }

    /// What beamroute has by what `peer` has, round by round.
    pub fn ratio(&self, peer: &Peer) -> Option<Spread> {
        let (ours, theirs) = (self.peer(OURS)?.by_round(), peer.by_round());
        let both = ours.iter().filter_map(|(round, ours)| Some(ours / theirs.get(round)?));
        Spread::of(both.collect())
    }

    /// What beamroute is to reach here, as far as it can be said.
    pub fn goals(&self) -> Vec<Reached> {
        let Some(metric) = metrics::of(&self.metric) else { return Vec::new() };
        metric.goals.iter().filter_map(|goal| self.reached(goal, metric.less_is_better)).collect()
    }

    fn reached(&self, goal: &Goal, less_is_better: bool) -> Option<Reached> {
        let ours = self.peer(OURS)?.spread()?.median;
        let bound = if less_is_better { "at most" } else { "at least" };
        let is_in = |value: f64, wanted: f64| if less_is_better { value <= wanted } else { value >= wanted };
        let peer = match goal.versus {
            Versus::Nobody => {
                let text = format!("{bound} {} {}", goal.factor, self.unit).trim_end().to_owned();
                return Some(Reached { text, wanted: goal.factor, is_met: is_in(ours, goal.factor) });
            }
            Versus::Peer(name) => self.peer(name)?,
            Versus::BestFloor => self.best_floor(less_is_better)?,
        };
        let ratio = self.ratio(peer)?.median;
        let text = format!("{bound} {} × {}: {ratio:.2}", goal.factor, peer.name);
        let wanted = goal.factor * peer.spread()?.median;
        Some(Reached { text, wanted, is_met: is_in(ratio, goal.factor) })
    }

    fn best_floor(&self, less_is_better: bool) -> Option<&Peer> {
        let rank = |peer: &Peer| {
            let median = peer.spread().map_or(f64::NAN, |spread| spread.median);
            if less_is_better { median } else { -median }
        };
        let floors = self.peers.iter().filter(|peer| peer.name.starts_with("floor"));
        floors.min_by(|one, other| rank(one).total_cmp(&rank(other)))
    }
}

impl Peer {
    fn by_round(&self) -> BTreeMap<u32, f64> {
        let medians = self.rounds.iter().map(|(round, values)| (*round, Spread::of(values.clone())));
        medians.filter_map(|(round, spread)| Some((round, spread?.median))).collect()
    }

    pub fn spread(&self) -> Option<Spread> {
        Spread::of(self.by_round().into_values().collect())
    }
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let at = |part: f64| {
            // Between two values where there is none.
            let place = part * (values.len().saturating_sub(1)) as f64;
            let (low, high) = (values.get(place.floor() as usize)?, values.get(place.ceil() as usize)?);
            Some(low + (high - low) * place.fract())
        };
        Some(Self {
            median: at(0.5)?,
            quartiles: [at(0.25)?, at(0.75)?],
            min: at(0.0)?,
            max: at(1.0)?,
            rounds: values.len(),
        })
    }
}
