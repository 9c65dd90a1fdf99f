//! The page: Prometheus's text format, 0.0.4.

use std::fmt::Write as _;

use super::{
    BATCHES, BATCHES_FAILED, CHANGES, CHANGES_REFUSED, CONNECTIONS, Counter, Gauges, HANDSHAKES_REFUSED, HEALS, Routes,
    TICKS_MISSED, calls,
};

/// What a number is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It grows, from 0 at each start.
    Counter,
    /// It rises and falls.
    Gauge,
    /// How many were how large.
    Histogram,
}

impl Kind {
    /// As the page has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// One name and what stands behind it.
#[derive(Debug)]
pub struct Metric {
    /// The name.
    pub name: &'static str,
    /// What the number is.
    pub kind: Kind,
    /// The labels, if there are any.
    pub labels: &'static [&'static str],
    /// A sentence without its point, for the page and the README.
    pub help: &'static str,
    value: Value,
}

#[derive(Debug)]
enum Value {
    Counted(&'static Counter),
    Seen(fn(&Gauges) -> Option<f64>),
    Calls,
    Latency,
    Build,
}

const fn counter(name: &'static str, counter: &'static Counter, help: &'static str) -> Metric {
    Metric { name, kind: Kind::Counter, labels: &[], help, value: Value::Counted(counter) }
}

const fn gauge(name: &'static str, seen: fn(&Gauges) -> Option<f64>, help: &'static str) -> Metric {
    Metric { name, kind: Kind::Gauge, labels: &[], help, value: Value::Seen(seen) }
}

/// Every metric there is.
pub const TABLE: &[Metric] = &[
    Metric {
        name: "beamroute_build_info",
        kind: Kind::Gauge,
        labels: &["version"],
        help: "1, with the version as its label",
        value: Value::Build,
    },
    gauge("beamroute_connections", |seen| float(seen.connections), "Nodes connected now"),
    counter("beamroute_connections_total", &CONNECTIONS, "Connections with nodes that came up"),
    counter(
        "beamroute_handshakes_refused_total",
        &HANDSHAKES_REFUSED,
        "Connections from outside that ended before the node was let in: wrong cookie, not allowed, no room, no answer",
    ),
    counter(
        "beamroute_ticks_missed_total",
        &TICKS_MISSED,
        "Connections that ended because nothing came from the node for net_ticktime",
    ),
    Metric {
        name: "beamroute_calls_total",
        kind: Kind::Counter,
        labels: &["request", "outcome"],
        help: "Calls of other nodes to route_manager that were answered, by request and outcome (ok, badarg, not_allowed, \
               unknown_request, error)",
        value: Value::Calls,
    },
    Metric {
        name: "beamroute_call_duration_seconds",
        kind: Kind::Histogram,
        labels: &["le"],
        help: "Time from a call's receipt to its answer, which follows the kernel's acknowledgement",
        value: Value::Latency,
    },
    counter(
        "beamroute_netlink_batches_total",
        &BATCHES,
        "Batches of changes that the kernel answered, perhaps refusing some of them",
    ),
    counter("beamroute_netlink_batch_errors_total", &BATCHES_FAILED, "Batches of changes that failed as a whole"),
    counter("beamroute_netlink_changes_total", &CHANGES, "Routes and rules added or deleted in the kernel"),
    counter("beamroute_netlink_refusals_total", &CHANGES_REFUSED, "Routes and rules that the kernel refused"),
    gauge(
        "beamroute_routes_wanted",
        |seen| routes(seen, |routes| routes.wanted),
        "Routes and rules that callers' wishes amount to",
    ),
    gauge(
        "beamroute_routes_installed",
        |seen| routes(seen, |routes| routes.installed),
        "Of the routes and rules wanted, those that the kernel has",
    ),
    gauge(
        "beamroute_routes_pending",
        |seen| routes(seen, Routes::pending),
        "Of the routes and rules wanted, those that wait, for a link, an address or a gateway",
    ),
    gauge(
        "beamroute_interfaces",
        |seen| routes(seen, |routes| routes.interfaces),
        "Interfaces that callers have spoken of",
    ),
    gauge(
        "beamroute_interfaces_pending",
        |seen| routes(seen, |routes| routes.interfaces_pending),
        "Of the interfaces, those of which something waits or does not count yet",
    ),
    counter(
        "beamroute_heals_total",
        &HEALS,
        "Times that routes were put right after something had happened in the kernel, and not because a caller asked",
    ),
    Metric {
        name: "process_cpu_seconds_total",
        kind: Kind::Counter,
        labels: &[],
        help: "CPU time spent, in seconds",
        value: Value::Seen(|seen| seen.process.cpu),
    },
    gauge("process_resident_memory_bytes", |seen| seen.process.resident.and_then(float), "Resident memory, in bytes"),
    gauge(
        "process_virtual_memory_bytes",
        |seen| seen.process.virtual_memory.and_then(float),
        "Virtual memory, in bytes",
    ),
    gauge("process_start_time_seconds", |seen| seen.process.start, "Unix time of the start, in seconds"),
    gauge("process_open_fds", |seen| seen.process.open_files.and_then(float), "Open files"),
    gauge("process_max_fds", |seen| seen.process.max_files.and_then(float), "Files that may be open at once"),
];

fn routes(seen: &Gauges, number: impl Fn(&Routes) -> u64) -> Option<f64> {
    float(number(seen.routes.as_ref()?))
}

#[allow(clippy::cast_precision_loss, reason = "a number this large is not seen")]
fn float(number: impl TryInto<u64>) -> Option<f64> {
    number.try_into().ok().map(|number| number as f64)
}

/// The whole page. What could not be seen is left out.
#[must_use]
pub fn page(gauges: &Gauges) -> String {
    let mut page = String::with_capacity(8192);
    for metric in TABLE {
        let lines = metric.lines(gauges);
        if !lines.is_empty() {
            let Metric { name, kind, help, .. } = metric;
            // Writing to a string does not fail.
            let _ = write!(page, "# HELP {name} {help}.\n# TYPE {name} {}\n{lines}", kind.as_str());
        }
    }
    page
}

impl Metric {
    fn lines(&self, gauges: &Gauges) -> String {
        let name = self.name;
        match &self.value {
            Value::Counted(counter) => format!("{name} {}\n", counter.get()),
            Value::Seen(seen) => seen(gauges).map_or_else(String::new, |value| format!("{name} {value}\n")),
            Value::Build => format!("{name}{{version=\"{}\"}} 1\n", env!("CARGO_PKG_VERSION")),
            Value::Calls => calls::counted()
                .into_iter()
                .map(|(asked, outcome, count)| {
                    let (request, outcome) = (asked.as_str(), outcome.as_str());
                    format!("{name}{{request=\"{request}\",outcome=\"{outcome}\"}} {count}\n")
                })
                .collect(),
            Value::Latency => {
                let (buckets, count, sum) = calls::latency();
                let bound = |bound: f64| if bound.is_finite() { bound.to_string() } else { "+Inf".to_owned() };
                let line = |(limit, count)| format!("{name}_bucket{{le=\"{}\"}} {count}\n", bound(limit));
                let lines: String = buckets.into_iter().map(line).collect();
                format!("{lines}{name}_sum {sum}\n{name}_count {count}\n")
            }
        }
    }
}

/// The table as the README has it.
#[must_use]
pub fn table_as_markdown() -> String {
    let row = |metric: &Metric| {
        let labels = metric.labels.iter().map(|label| format!("`{label}`")).collect::<Vec<_>>().join(", ");
        format!("| `{}` | {} | {labels} | {} |\n", metric.name, metric.kind.as_str(), metric.help)
    };
    let rows: String = TABLE.iter().map(row).collect();
    format!("| name | type | labels | what |\n| --- | --- | --- | --- |\n{rows}")
}
