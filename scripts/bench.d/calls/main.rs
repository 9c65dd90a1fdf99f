//! Caller and least possible server of `scripts/bench calls`; see the heads of the modules.

use anyhow::{Result, bail};

mod floor;
mod load;
mod wire;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.split_first() {
        Some((role, args)) if role == "load" => load::run(args),
        Some((role, args)) if role == "floor" => floor::run(args),
        _ => bail!("usage: bench_calls load|floor ..."),
    }
}
