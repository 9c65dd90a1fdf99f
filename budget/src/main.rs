//! `scripts/budget` runs this under callgrind: each path N times and 2N times, so that starting up cancels out.
//!
//! Usage: `beamroute-budget list`, or `beamroute-budget PATH TIMES`, or, to call a daemon that is counted itself,
//! `beamroute-budget calls ADDRESS:PORT NODE TIMES` or `beamroute-budget changes ADDRESS:PORT NODE INTERFACES TIMES`.

use std::hint::black_box;

use anyhow::{Context as _, Result, bail};

mod calls;
mod paths;
#[path = "../../scripts/bench.d/calls/wire.rs"]
#[allow(dead_code, reason = "the benches use the rest")]
mod wire;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["list"] => paths::ALL.iter().for_each(|(name, _)| println!("{name}")),
        ["calls", address, node, times] => calls::repeat(address, node, times.parse()?)?,
        ["changes", address, node, interfaces, times] => {
            calls::change(address, node, interfaces.parse()?, times.parse()?)?;
        }
        [name, times] => {
            let (_, start) = paths::ALL.iter().find(|(known, _)| known == name).context("no such path")?;
            let mut path = start()?;
            for _ in 0..times.parse::<u32>()? {
                black_box(path());
            }
        }
        _ => bail!("usage: see the head of this file"),
    }
    Ok(())
}
