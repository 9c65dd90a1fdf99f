//! The tools of `scripts/bench` in compiled code; see the heads of the modules.

use anyhow::{Result, bail};

mod changes;
mod floor;
mod load;
mod note;
mod start;
mod wire;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.split_first().map(|(tool, args)| (tool.as_str(), args)) {
        Some(("load", args)) => load::run(args),
        Some(("floor", args)) => floor::run(args),
        Some(("start", args)) => start::run(args),
        Some(("setup", args)) => changes::set_up(args),
        Some(("failover", args)) => changes::failover(args),
        Some(("waiting", args)) => changes::waiting(args),
        _ => bail!("usage: bench_calls load|floor|start|setup|failover|waiting ..."),
    }
}
