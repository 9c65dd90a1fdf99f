//! What is measured, in the one format of all tools of `scripts/bench`: a line of JSON each. And where it is read from.

use std::fs;

use anyhow::{Context as _, Result};

/// Prints what was measured, for the round in `BENCH_ROUND`.
pub fn note(metric: &str, peer: &str, value: f64, unit: &str) {
    let round: u32 = std::env::var("BENCH_ROUND").ok().and_then(|round| round.parse().ok()).unwrap_or(0);
    let line = serde_json::json!({"metric": metric, "peer": peer, "round": round, "value": value, "unit": unit});
    println!("{line}");
}

/// Processor time of all threads of a process until now, system calls included, in microseconds.
pub fn cpu_us(pid: &str) -> Result<f64> {
    let mut sum = 0.0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = fs::read_to_string(task?.path().join("schedstat"))?;
        sum += text.split(' ').next().context("an empty schedstat")?.parse::<f64>()?;
    }
    Ok(sum / 1e3)
}

/// `VmRSS` of a process in MiB.
pub fn rss_mib(pid: u32) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
}
