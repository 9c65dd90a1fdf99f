//! Calls a `GenServer` on a BEAM: `gen_server_client NODE NAME ATOM` prints the reply to `GenServer.call({NAME, NODE}, ATOM)`.
//!
//! ```sh
//! iex --name shop@127.0.0.1
//! cargo run --example gen_server_client shop@127.0.0.1 my_server status
//! ```

use std::time::Duration;

use anyhow::Context as _;
use beamroute::node::Node;
use beamroute::term::{Show, atom};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let mut next =
        |what| args.next().with_context(|| format!("usage: gen_server_client NODE NAME ATOM; {what} is missing"));
    let (peer, name, request) = (next("NODE")?, next("NAME")?, next("ATOM")?);
    let us = format!("client{}@127.0.0.1", std::process::id());
    let node = Node::builder(us).dial_only().start().await?;
    // The node is not connected yet: calling it connects to it.
    let reply = node.call((name, peer), atom(&request), Duration::from_secs(5)).await?;
    println!("{}", Show(&reply));
    node.stop().await?;
    Ok(())
}
