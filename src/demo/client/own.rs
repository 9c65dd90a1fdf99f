//! A second node in this process, which dials the first over TCP.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::{Reply, Request, Syntax, Target};
use crate::node::{Node, NodeConfig, Start, StartError};
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
    pub async fn start(target: &Target, instead_of: Option<&str>) -> Result<Self, StartError> {
        let node = Node::new(NodeConfig::new(&target.cookie));
        // Nobody looks it up: it only dials.
        node.start(Start { dist_listen: Some(false), ..Start::long(super::beam::NAME) }).await?;
        let reason = instead_of.map(|reason| format!(" ({reason})")).unwrap_or_default();
        let description = format!("beamroute's own client{reason}");
        Ok(Self { node, peer: target.node.clone(), address: target.address, description })
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
                match self.node.call(("route_manager", &*self.peer), term, PATIENCE).await {
                    Ok(reply) => Show(&reply).to_string(),
                    Err(error) => format!("** {error}"),
                }
            }
        };
        Reply { text, took: began.elapsed() }
    }

    /// Closes its connection.
    pub async fn stop(self) {
        // Not started, if nothing was asked.
        let _ = self.node.stop().await;
    }
}

/// As long as `gen_server:call/2` waits.
const PATIENCE: Duration = Duration::from_secs(5);
