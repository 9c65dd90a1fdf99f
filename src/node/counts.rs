//! What a node holds at the moment: for metrics, and for tests that nothing is left behind.

use super::Node;

/// How many of each there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Nodes that are connected.
    pub connections: usize,
    /// Handshakes under way with nodes whose name is known.
    pub handshakes: usize,
    /// Tasks of the distribution: listeners, handshakes, connections, dialling.
    pub tasks: usize,
    /// Processes, without those that every node has.
    pub processes: usize,
    /// Monitors of others on our processes.
    pub monitored_by: usize,
    /// Monitors of our processes on others, and calls that wait.
    pub monitors: usize,
    /// Links, as our processes hold them.
    pub links: usize,
    /// Processes here and elsewhere that hear of nodes from us.
    pub subscribers: usize,
    /// Aliases of processes.
    pub aliases: usize,
}

impl Node {
    /// What the node holds at the moment.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut state = self.state();
        let mut counts = Counts {
            connections: state.infos().len(),
            handshakes: state.pending(),
            tasks: state.incarnation.tasks.len(),
            processes: state.processes.len(),
            subscribers: state.watchers.len(),
            aliases: state.processes.aliases(),
            ..Counts::default()
        };
        for (_, relations) in state.all_relations() {
            let [monitored_by, monitors, links] = relations.count();
            counts.monitored_by += monitored_by;
            counts.monitors += monitors;
            counts.links += links;
        }
        counts
    }
}
