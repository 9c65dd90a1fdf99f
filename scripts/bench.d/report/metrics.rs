//! What the metrics mean, and what beamroute is to reach in them.

/// A kind of number that is measured.
pub struct Metric {
    pub id: &'static str,
    pub title: &'static str,
    pub less_is_better: bool,
    pub goals: &'static [Goal],
}

/// `factor` times what `versus` has, or `factor` itself.
pub struct Goal {
    pub versus: Versus,
    pub factor: f64,
}

pub enum Versus {
    Peer(&'static str),
    /// The best of the floors of the same run.
    BestFloor,
    Nobody,
}

/// Who is measured against all others.
pub const OURS: &str = "beamroute";

const fn at(peer: &'static str, factor: f64) -> Goal {
    Goal { versus: Versus::Peer(peer), factor }
}

const fn at_floor(factor: f64) -> Goal {
    Goal { versus: Versus::BestFloor, factor }
}

const fn alone(factor: f64) -> Goal {
    Goal { versus: Versus::Nobody, factor }
}

const fn less(id: &'static str, title: &'static str, goals: &'static [Goal]) -> Metric {
    Metric { id, title, less_is_better: true, goals }
}

const fn more(id: &'static str, title: &'static str, goals: &'static [Goal]) -> Metric {
    Metric { id, title, less_is_better: false, goals }
}

/// The first goal is the one that is drawn. In this order they are shown; whatever else was measured comes after them.
pub const METRICS: [Metric; 17] = [
    less("c_1_us", "compiled client, 1 call in flight, one core", &[at("floor", 1.1)]),
    more("c_64_rate", "the same, 64 calls in flight", &[at("floor", 0.5), at("ei", 4.0)]),
    more("c_8x8_rate", "compiled client, 8 connections × 8 calls", &[at("floor", 0.85)]),
    more("c_200_rate", "compiled client, 200 connections", &[at("floor", 1.0)]),
    less("beam_1_us", "BEAM client, sequential, one core", &[at("gen_server", 0.75), at_floor(1.05)]),
    more("beam_64_rate", "BEAM client, 64 callers", &[at("gen_server", 1.2), at_floor(0.95)]),
    more("beam_flood_rate", "BEAM client, 200,000 messages one way", &[at("gen_server", 1.6), at_floor(0.95)]),
    less("beam_64_cpu", "server's CPU per 100,000 calls, 64 BEAM callers", &[at("gen_server", 0.45)]),
    less("c_64_cpu", "the same, compiled client, 64 in flight", &[alone(0.15)]),
    less("start_ms", "start to first answer", &[alone(8.0)]),
    less("rss_idle", "memory (VmRSS), idle", &[alone(3.0)]),
    less("rss_200", "memory (VmRSS), 200 connections", &[alone(6.0)]),
    less("failover_us", "failover, request to reply, one core, 5 ms apart", &[at("raw_and_trip", 2.0)]),
    less("failovers_us", "the same, one after the other", &[at("raw_and_trip", 2.0)]),
    less("recompute_4096", "4,096 interfaces: plan and diff, by the kernel's batch", &[at("raw_apply", 0.1)]),
    less("own_4096", "4,096 interfaces: ours of a failover", &[alone(100.0)]),
    less("batches", "batches for 1,000 changes that wait", &[alone(1.0)]),
];

/// What is known of a metric.
pub fn of(id: &str) -> Option<&'static Metric> {
    METRICS.iter().find(|metric| metric.id == id)
}
