//! Calls to a daemon that is counted.

use anyhow::Result;
use beamroute::term::{Term, atom, binary, integer, list, tuple};

use crate::wire::{Client, call, set_status};

const CALLER: &str = "caller@127.0.0.1";

/// One call after the other, of which none but the first changes anything.
pub fn repeat(address: &str, node: &str, times: u32) -> Result<()> {
    let mut client = Client::connect(address, node, CALLER)?;
    for _ in 0..times {
        client.call(set_status("internet"))?;
    }
    Ok(())
}

/// Makes so many interfaces known, in a few batches, and then calls about one of the last ten after the other: these are the
/// last among their equals, so nobody has to move behind them. Each call changes something.
pub fn change(address: &str, node: &str, interfaces: u32, times: u32) -> Result<()> {
    let mut client = Client::connect(address, node, CALLER)?;
    let frames: Vec<u8> = (0..interfaces).flat_map(|n| call(CALLER, set_route(n))).collect();
    client.send(&frames)?;
    for _ in 0..interfaces {
        client.answer()?;
    }
    for time in 0..times {
        // Each rises and falls.
        let name = name(interfaces - 1 - time / 2 % interfaces.min(10));
        let status = if time % 2 == 0 { "internet" } else { "lan" };
        client.call(tuple([atom("set_connection_status"), name, atom(status)]))?;
    }
    Ok(())
}

/// One address and a gateway.
fn set_route(n: u32) -> Term {
    let [_, _, high, low] = n.to_be_bytes();
    let ip = |host: u8| tuple([10, high, low, host].map(|byte| integer(i64::from(byte))));
    let subnets = list([tuple([ip(2), integer(24)])]);
    tuple([atom("set_route"), name(n), subnets, ip(1)])
}

/// Sorted as the numbers are.
fn name(n: u32) -> Term {
    binary(format!("eth{n:04}"))
}
