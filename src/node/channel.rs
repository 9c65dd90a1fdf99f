//! The way to the processes of a node: over its connection, or none at all to our own.
//!
//! Signals among our own processes are control messages too, only never bytes: what answers a remote process answers
//! a local one.

use std::sync::Arc;

use eetf::{Pid, Term};

use super::Node;
use super::connection::Connection;
use super::incarnation::Incarnation;
use super::state::Way;
use crate::dist::{self, Control, Flags};

/// A way to a node.
#[derive(Debug, Clone)]
pub(super) enum Channel {
    /// To our own processes.
    Local { node: Node, us: Arc<Incarnation> },
    /// To a peer.
    Remote(Arc<Connection>),
}

impl Channel {
    pub(super) fn new(node: &Node, way: Way) -> Self {
        way.map_or_else(|| Self::local(node), Self::Remote)
    }

    pub(super) fn local(node: &Node) -> Self {
        Self::Local { node: node.clone(), us: node.incarnation() }
    }

    /// The node at the other end.
    pub(super) fn peer(&self) -> &str {
        match self {
            Self::Local { us, .. } => &us.name,
            Self::Remote(connection) => &connection.peer.name,
        }
    }

    /// What both ends have.
    pub(super) fn flags(&self) -> Flags {
        match self {
            Self::Local { .. } => Flags::OFFERED,
            Self::Remote(connection) => connection.peer.flags,
        }
    }

    /// Sends a control message. To a connection that is closed it goes nowhere, as signals do. Never waits, and must not
    /// be called under the lock of the state.
    pub(super) fn send(&self, control: Control, payload: Option<Term>) {
        match self {
            Self::Remote(connection) => connection.send(&control, payload.as_ref()),
            Self::Local { node, .. } => {
                let message = dist::Message { control, token: None, payload };
                if let Some(delivery) = node.dispatch(self, message) {
                    delivery.now();
                }
            }
        }
    }

    /// How a process at the other end is called in our tables. Our own have one name there, whatever the node is called
    /// at the moment.
    pub(super) fn entry(&self, pid: Pid) -> Pid {
        match self {
            Self::Local { .. } => here(pid.id),
            Self::Remote(_) => pid,
        }
    }
}

/// One of our own processes, whatever the node is called.
fn here(id: u32) -> Pid {
    Pid { node: eetf::Atom::from(""), id, serial: 0, creation: 0 }
}
