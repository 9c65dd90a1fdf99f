//! Folds what the tools of `scripts/bench` measured: prints tables, writes JSON, draws a plot.
//!
//! Usage: `bench_report NUMBERS JSON [SVG]`. NUMBERS has a line of JSON for each number (`metric`, `peer`, `round`, `value`,
//! `unit`), and for each fact about the run (`fact`, `value`).

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

mod fold;
mod json;
mod metrics;
mod plot;
mod table;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (numbers, json, plot) = match args.as_slice() {
        [numbers, json] => (numbers, json, None),
        [numbers, json, plot] => (numbers, json, Some(plot)),
        _ => bail!("usage: bench_report NUMBERS JSON [SVG]"),
    };
    let text = fs::read_to_string(numbers).with_context(|| format!("read {numbers}"))?;
    let run = fold::Run::parse(&text)?;
    print!("{}", table::table(&run));
    write(json, &json::json(&run))?;
    if let Some(plot) = plot {
        write(plot, &plot::plot(&run))?;
    }
    Ok(())
}

fn write(path: impl AsRef<Path>, text: &str) -> Result<()> {
    let path = path.as_ref();
    fs::write(path, text).with_context(|| format!("write {}", path.display()))?;
    println!("written to {}", path.display());
    Ok(())
}
