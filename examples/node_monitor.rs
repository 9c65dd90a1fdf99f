//! Prints nodeup and nodedown of every node that connects: `node_monitor [NODE]...` dials these, again and again.
//!
//! ```sh
//! cargo run --example node_monitor shop@127.0.0.1
//! ```

use beamroute::node::{Message, MonitorOptions, Node, NodeType};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let node = Node::builder("monitor@127.0.0.1").start().await?;
    let mut process = node.spawn();
    // Hidden nodes too, and why they go.
    let options = MonitorOptions { node_type: Some(NodeType::All), nodedown_reason: true, ..MonitorOptions::default() };
    process.monitor_nodes(options);
    for peer in std::env::args().skip(1) {
        node.keep_connected(&peer);
    }
    println!("{} is ready", node.name());
    while let Some(message) = process.receive().await {
        match message {
            Message::NodeUp(news) => println!("nodeup {}", news.node),
            Message::NodeDown(news) => {
                let reason = news.nodedown_reason.map_or_else(String::new, |reason| reason.to_string());
                println!("nodedown {} {reason}", news.node);
            }
            Message::Lagged(missed) => println!("{missed} missed; connected now: {:?}", node.nodes(|_| true)),
            _ => {}
        }
    }
    Ok(())
}
