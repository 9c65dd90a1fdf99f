//! Answers every `GenServer.call({:echo, :"echo@127.0.0.1"}, term)` with the term.
//!
//! ```sh
//! cargo run --example echo_server
//! iex --name me@127.0.0.1 -e 'IO.inspect(GenServer.call({:echo, :"echo@127.0.0.1"}, {:hello, 1}))'
//! ```

use beamroute::node::{Caller, GenServer, Next, Node, Process};
use beamroute::term::Term;

struct Echo;

impl GenServer for Echo {
    async fn call(&mut self, request: Term, caller: Caller, _: &Process) -> Next {
        caller.reply(request);
        Next::Continue
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let node = Node::builder("echo@127.0.0.1").start().await?;
    let process = node.spawn();
    process.register("echo");
    println!("{} is ready", node.name());
    process.serve(Echo).await;
    // Lets the last reply out.
    node.stop().await?;
    Ok(())
}
