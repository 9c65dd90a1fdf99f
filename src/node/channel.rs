//! The way to the processes of a node: over its connection, or none at all to our own.
//!
//! Signals among our own processes are control messages too, only never bytes: what answers a remote process answers
//! a local one.

use std::sync::Arc;

use eetf::{Pid, Term};

use super::Node;
use super::Rights;
use super::incarnation::Incarnation;
use super::state::{Way, pid_numbers};
use crate::dist::{self, Control, Flags};
use crate::term::PlainPid;

/// A way to a node. Every message that comes over it has one: cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Channel(Arc<Ends>);

#[derive(Debug)]
struct Ends {
    node: Node,
    us: Arc<Incarnation>,
    /// The connection; `None` to our own processes.
    way: Way,
}

impl Channel {
    pub(super) fn new(node: &Node, way: Way) -> Self {
        Self(Arc::new(Ends { node: node.clone(), us: node.incarnation(), way }))
    }

    /// The connection; `None` to our own processes.
    pub(super) fn way(&self) -> &Way {
        &self.0.way
    }

    /// What callers at the other end may do.
    pub(super) fn rights(&self) -> Rights {
        if self.is_local() { Rights::ALL } else { self.0.node.inner.config.permissions.of(self.peer()) }
    }

    pub(super) fn local(node: &Node) -> Self {
        Self::new(node, None)
    }

    pub(super) fn is_local(&self) -> bool {
        self.0.way.is_none()
    }

    /// The node at the other end.
    pub(super) fn peer(&self) -> &str {
        self.0.way.as_ref().map_or(&self.0.us.name, |connection| &connection.peer.name)
    }

    /// The pid of one of our processes, by its number.
    pub(super) fn pid(&self, number: u32) -> Pid {
        self.plain_pid(number).into()
    }

    /// The same, borrowed.
    pub(super) fn plain_pid(&self, number: u32) -> PlainPid<'_> {
        let (id, serial) = pid_numbers(number);
        PlainPid { node: &self.0.us.name, id, serial, creation: self.0.us.creation }
    }

    /// What both ends have.
    pub(super) fn flags(&self) -> Flags {
        self.0.way.as_ref().map_or(Flags::OFFERED, |connection| connection.peer.flags)
    }

    /// Sends a control message. To a connection that is closed it goes nowhere, as signals do. Never waits. To our own
    /// processes it must not be called under the lock of the state.
    pub(super) fn send(&self, control: Control, payload: Option<Term>) {
        match &self.0.way {
            Some(connection) => connection.send(&control, payload.as_ref()),
            None => {
                let message = dist::Message { control, token: None, payload };
                if let Some(delivery) = self.0.node.dispatch(self, message) {
                    delivery.now();
                }
            }
        }
    }

    /// Sends a message to a process that this end has heard of over the channel: to another node, if it lives there.
    pub(super) fn send_to(&self, us: Pid, to: Pid, message: Term) {
        self.reach(&to.node.name.clone(), move |channel| {
            channel.send(Control::send(channel.flags(), us, to), Some(message));
        });
    }

    /// Does something over the way to `node`, which is most often this one; connects to it first if need be.
    pub(super) fn reach(&self, node: &str, act: impl FnOnce(&Self) + Send + 'static) {
        if node == self.peer() {
            return act(self);
        }
        match self.0.node.channel(Some(node)) {
            Some(channel) => act(&channel),
            None => {
                let (us, node) = (self.0.node.clone(), node.to_owned());
                self.0.node.spawn_task(async move {
                    if let Ok(channel) = us.channel_to(Some(&node)).await {
                        act(&channel);
                    }
                });
            }
        }
    }

    /// Waits until what was sent before is on its way, if there is much of it.
    pub(super) async fn room(&self) {
        if let Some(connection) = &self.0.way {
            connection.room().await;
        }
    }

    /// How a process at the other end is called in our tables. Our own have one name there, whatever the node is called
    /// at the moment.
    pub(super) fn entry(&self, pid: Pid) -> Pid {
        if self.is_local() { Pid { node: eetf::Atom::from(""), creation: 0, ..pid } } else { pid }
    }
}

/// One of our own processes, whatever the node is called.
pub(super) fn here(number: u32) -> Pid {
    let (id, serial) = pid_numbers(number);
    Pid { node: eetf::Atom::from(""), id, serial, creation: 0 }
}
