//! One call after the other to a daemon.

use anyhow::Result;

use crate::wire::{Client, set_status};

pub fn run(address: &str, node: &str, times: u32) -> Result<()> {
    let mut client = Client::connect(address, node, "caller@127.0.0.1")?;
    for _ in 0..times {
        client.call(set_status("internet"))?;
    }
    Ok(())
}
