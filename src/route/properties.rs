//! VintageNet's properties that follow from the desired state (0.13 `lib/vintage_net/route/properties.ex`).

use super::{DesiredState, IfName, Ranking, Status, entry};

/// `["available_interfaces"]`: the interfaces with an address and a metric, best first, equal ones by name.
#[must_use]
pub fn available_interfaces(state: &DesiredState, ranking: &Ranking) -> Vec<IfName> {
    let mut ranked: Vec<(u32, IfName)> =
        entry::active(state, ranking).map(|(name, _, metric)| (metric, name)).collect();
    ranked.sort_unstable();
    ranked.into_iter().map(|(_, name)| name).collect()
}

/// By which [`available_interfaces`] are ordered; `None` if `name` is not among them.
#[must_use]
pub fn available_at(state: &DesiredState, ranking: &Ranking, name: IfName) -> Option<u32> {
    entry::metric_of_active(state, ranking, name, state.interfaces().get(&name)?)
}

/// `["connection"]`: the best status of all interfaces.
#[must_use]
pub fn connection(state: &DesiredState) -> Status {
    state.interfaces().values().map(|wish| wish.status).max().unwrap_or(Status::Disconnected)
}

/// `["interface", name, "connection"]`: disconnected after a clear, `None` if the interface was never known (or is
/// among more cleared ones than [`MAX_CLEARED`](super::MAX_CLEARED)).
#[must_use]
pub fn interface_connection(state: &DesiredState, name: IfName) -> Option<Status> {
    let known = state.interfaces().get(&name).map(|wish| wish.status);
    known.or_else(|| state.cleared().any(|cleared| cleared == name).then_some(Status::Disconnected))
}
