//! A second node in this process, which dials the first over TCP.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::{Reply, Request, Syntax, Target};
use crate::node::{Node, NodeConfig};
use crate::term::Show;

/// Our own client.
#[derive(Debug)]
pub struct Own {
    node: Node,
    peer: String,
    address: SocketAddr,
    description: String,
}

impl Own {
    /// A node that is not connected yet; `instead_of` says why there is no BEAM.
    pub fn start(target: &Target, instead_of: Option<&str>) -> Self {
        let cookie = target.cookie.as_bytes().to_vec().into();
        let config = NodeConfig::new(super::beam::NAME, cookie);
        // Nobody looks it up, so epmd does not know it: any creation will do.
        let node = Node::new(config, rand::random_range(4..=u32::MAX));
        let reason = instead_of.map(|reason| format!(" ({reason})")).unwrap_or_default();
        let description = format!("beamroute's own client{reason}");
        Self { node, peer: target.node.clone(), address: target.address, description }
    }

    /// What it is, and why.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// Makes one call. What goes wrong is written as Erlang's shell would.
    pub async fn call(&self, request: &Request) -> Reply {
        let began = Instant::now();
        let text = match request {
            Request::Connect => match self.node.dial(&self.peer, self.address).await {
                Ok(()) => "true".into(),
                Err(error) => format!("false ({error})"),
            },
            request => {
                let term = request.term(Syntax::Erlang);
                match self.node.call(&self.peer, "route_manager", term, PATIENCE).await {
                    Ok(reply) => Show(&reply).to_string(),
                    Err(error) => format!("** {error}"),
                }
            }
        };
        Reply { text, took: began.elapsed() }
    }

    /// Closes its connection.
    pub async fn stop(self) {
        self.node.stop().await;
    }
}

/// As long as `gen_server:call/2` waits.
const PATIENCE: Duration = Duration::from_secs(5);
