//! What callers want, kept for as long as they want it, whatever the kernel has at the moment.
//!
//! The meaning of the calls is VintageNet's (0.13 `lib/vintage_net/route_manager.ex`), checked against its recorded
//! answers in `tests/oracle_calc.rs`. Only the methods here change a wish; a call that fails changes nothing.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;

use super::subnet::is_unicast;
use super::taken::Taken;
use super::{IfName, Metric, Object, Ranking, Status, Subnet, World, tables};

/// The wishes of all interfaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DesiredState {
    interfaces: BTreeMap<IfName, Wish>,
    // Apart from the wishes: a DHCP client clears and sets its routes at every hiccup, and an administrator's metric
    // for the interface must outlive that.
    metrics: BTreeMap<IfName, Metric>,
    cleared: VecDeque<IfName>,
    /// The tables of the interfaces.
    taken: Taken,
    max_interfaces: usize,
}

/// What is wanted of one interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// How far it reaches.
    pub status: Status,
    /// Why the status is what it is, in its caller's words.
    pub why: Option<String>,
    /// When the status last changed, in Unix milliseconds.
    pub since_ms: u64,
    /// Whose call last changed any of this, if it said so. Who repeats what is there takes over only what is nobody's.
    pub set_by: Option<SetBy>,
    /// The node whose call last changed the addresses or the gateway, in the same way.
    pub route_owner: Option<String>,
    /// The node whose call last changed the status, in the same way; the reason is no part of it.
    pub status_owner: Option<String>,
    /// Its addresses, in the caller's order: the first one's network gets the on-link routes.
    pub subnets: Vec<Subnet>,
    /// The way out.
    pub gateway: Option<IpAddr>,
    /// Its routing table, its own for as long as it is known.
    pub table: u32,
}

impl Wish {
    /// Whether any caller has set its addresses and gateway.
    #[must_use]
    pub const fn has_route(&self) -> bool {
        self.route_owner.is_some() || !self.subnets.is_empty() || self.gateway.is_some()
    }

    /// Whether anything of it is the node's.
    #[must_use]
    pub fn is_of(&self, node: &str) -> bool {
        [&self.route_owner, &self.status_owner].into_iter().any(|owner| owner.as_deref() == Some(node))
    }

    /// Whether both make the same plan.
    #[must_use]
    pub fn is_planned_like(&self, other: &Self) -> bool {
        let planned = |wish: &Self| (wish.status, wish.gateway, wish.table);
        planned(self) == planned(other) && self.subnets == other.subnets
    }
}

/// The caller of a request.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SetBy {
    /// The caller's node.
    pub node: String,
    /// First number of the caller's pid.
    pub id: u32,
    /// Second number of the caller's pid.
    pub serial: u32,
    /// The incarnation of the node.
    pub creation: u32,
}

/// The circumstances of a call.
#[derive(Debug, Clone)]
pub struct Call<'a> {
    /// What the kernel has: a table that others use is not given away.
    pub world: &'a World,
    /// Objects of ours that no wish explains: nor is a table that they use.
    pub orphans: &'a BTreeSet<Object>,
    /// Unix time in milliseconds.
    pub now_ms: u64,
    /// Who calls.
    pub who: Option<SetBy>,
}

impl Call<'_> {
    fn node(&self) -> Option<String> {
        self.who.as_ref().map(|who| who.node.clone())
    }
}

/// What a call did to the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Effect {
    /// The state is as before: nothing to save, nothing to plan.
    Unchanged,
    /// Only who asked, or why, differs: something to save, nothing to plan.
    Noted,
    /// The state differs.
    Changed,
}

/// Why a call was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WishError {
    /// One interface more than allowed.
    #[error("more than {0} interfaces")]
    TooManyInterfaces(usize),
    /// No machine has such an address.
    #[error("gateway {0} is not a unicast address")]
    Gateway(IpAddr),
}

/// Why saved parts make no state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// Two interfaces with one table.
    #[error("table {0} belongs to two interfaces")]
    SharedTable(u32),
    /// A table that is never given to an interface.
    #[error("table {0} cannot belong to an interface")]
    BadTable(u32),
}

/// The limit under which VintageNet 0.13 was recorded (`max_interface_count` in `tests/fixtures/oracle`).
pub const DEFAULT_MAX_INTERFACES: usize = 8;

/// How many cleared interfaces are remembered, so that names that come and go cannot grow the state for ever.
pub const MAX_CLEARED: usize = 256;

impl Default for DesiredState {
    fn default() -> Self {
        Self::new(DEFAULT_MAX_INTERFACES)
    }
}

impl DesiredState {
    /// No wishes yet, and room for `max_interfaces`.
    #[must_use]
    pub const fn new(max_interfaces: usize) -> Self {
        Self {
            interfaces: BTreeMap::new(),
            metrics: BTreeMap::new(),
            cleared: VecDeque::new(),
            taken: Taken::new(),
            max_interfaces,
        }
    }

    /// A state from saved parts. More interfaces than `max_interfaces` are kept: the limit refuses new ones only.
    ///
    /// # Errors
    /// [`RestoreError`] if the tables are such that these methods would never have given them.
    pub fn restore(
        max_interfaces: usize,
        interfaces: BTreeMap<IfName, Wish>,
        metrics: BTreeMap<IfName, Metric>,
        cleared: impl IntoIterator<Item = IfName>,
    ) -> Result<Self, RestoreError> {
        let mut taken = Taken::new();
        for table in interfaces.values().map(|wish| wish.table) {
            if !tables::is_assignable(table) {
                return Err(RestoreError::BadTable(table));
            }
            if !taken.insert(table) {
                return Err(RestoreError::SharedTable(table));
            }
        }
        let mut state = Self { interfaces, metrics, cleared: VecDeque::new(), taken, max_interfaces };
        for name in cleared {
            state.remember_cleared(name);
        }
        Ok(state)
    }

    /// Replaces the interface's addresses and gateway. Its status stays; an unknown interface starts as lan.
    ///
    /// # Errors
    /// [`WishError`]; nothing has changed then.
    pub fn set_route(
        &mut self,
        name: IfName,
        subnets: Vec<Subnet>,
        gateway: Option<IpAddr>,
        call: &Call<'_>,
    ) -> Result<Effect, WishError> {
        if let Some(ip) = gateway.filter(|ip| !is_unicast(*ip)) {
            return Err(WishError::Gateway(ip));
        }
        self.change(name, Status::Lan, call, |wish| {
            if wish.route_owner.is_none() || wish.subnets != subnets || wish.gateway != gateway {
                wish.route_owner = call.node();
            }
            wish.subnets = subnets;
            wish.gateway = gateway;
        })
    }

    /// Sets the interface's status, also before any route is set.
    ///
    /// # Errors
    /// [`WishError::TooManyInterfaces`]; nothing has changed then.
    pub fn set_status(
        &mut self,
        name: IfName,
        status: Status,
        why: Option<String>,
        call: &Call<'_>,
    ) -> Result<Effect, WishError> {
        self.change(name, status, call, |wish| {
            if wish.status_owner.is_none() || wish.status != status {
                wish.status_owner = call.node();
            }
            if wish.status != status {
                wish.status = status;
                wish.since_ms = call.now_ms;
            }
            wish.why = why;
        })
    }

    /// Whether [`Self::set_status`] would leave the state as it is, whoever calls. Most calls are such, and nothing is allocated
    /// to see that.
    #[must_use]
    pub fn repeats_status(&self, name: IfName, status: Status, why: Option<&str>) -> bool {
        self.interfaces.get(&name).is_some_and(|wish| {
            let has_owner = wish.status_owner.is_some() && wish.set_by.is_some();
            has_owner && wish.status == status && wish.why.as_deref() == why
        })
    }

    /// Forgets the interface and frees its table; its connection property stays `disconnected` ([`MAX_CLEARED`] of
    /// these are remembered, the oldest goes first). As in VintageNet, clearing a name that was never known leaves no trace.
    pub fn clear_route(&mut self, name: IfName) -> Effect {
        let Some(wish) = self.interfaces.remove(&name) else { return Effect::Unchanged };
        self.taken.remove(wish.table);
        self.remember_cleared(name);
        Effect::Changed
    }

    /// Overrides the ranking for one interface, known or not; `None` returns to the ranking. It outlives
    /// [`Self::clear_route`].
    ///
    /// # Errors
    /// [`WishError::TooManyInterfaces`] if as many other interfaces have an override already.
    pub fn set_metric(&mut self, name: IfName, metric: Option<Metric>) -> Result<Effect, WishError> {
        let before = self.metrics.get(&name).copied();
        if before == metric {
            return Ok(Effect::Unchanged);
        }
        let Some(metric) = metric else {
            self.metrics.remove(&name);
            return Ok(Effect::Changed);
        };
        if before.is_none() && self.metrics.len() >= self.max_interfaces {
            return Err(WishError::TooManyInterfaces(self.max_interfaces));
        }
        self.metrics.insert(name, metric);
        Ok(Effect::Changed)
    }

    /// The wishes by interface name.
    #[must_use]
    pub const fn interfaces(&self) -> &BTreeMap<IfName, Wish> {
        &self.interfaces
    }

    /// The overrides that callers have set.
    #[must_use]
    pub const fn metrics(&self) -> &BTreeMap<IfName, Metric> {
        &self.metrics
    }

    /// Interfaces that were known once, the longest cleared first.
    pub fn cleared(&self) -> impl ExactSizeIterator<Item = IfName> {
        self.cleared.iter().copied()
    }

    /// How many interfaces there may be.
    #[must_use]
    pub const fn max_interfaces(&self) -> usize {
        self.max_interfaces
    }

    /// The metric of interface `name`; disabled if it is not known.
    #[must_use]
    pub fn metric(&self, name: IfName, ranking: &Ranking) -> Metric {
        let asked = self.metrics.get(&name).copied();
        self.interfaces.get(&name).map_or(Metric::Disabled, |wish| ranking.metric(name, wish.status, asked))
    }

    /// Changes the wish for `name`, made with `status` if there is none.
    fn change(
        &mut self,
        name: IfName,
        status: Status,
        call: &Call<'_>,
        change: impl FnOnce(&mut Wish),
    ) -> Result<Effect, WishError> {
        let before = self.interfaces.get(&name);
        let mut wish = match before {
            Some(wish) => wish.clone(),
            None => self.new_wish(name, status, call)?,
        };
        change(&mut wish);
        // Whoever repeats a wish is no news: a program that reports every second must not make the state be saved each time.
        if wish.set_by.is_none() || before != Some(&wish) {
            wish.set_by.clone_from(&call.who);
        }
        let effect = match before {
            Some(before) if *before == wish => return Ok(Effect::Unchanged),
            Some(before) if before.is_planned_like(&wish) => Effect::Noted,
            _ => Effect::Changed,
        };
        self.taken.insert(wish.table);
        self.interfaces.insert(name, wish);
        self.cleared.retain(|cleared| *cleared != name);
        Ok(effect)
    }

    fn new_wish(&self, name: IfName, status: Status, call: &Call<'_>) -> Result<Wish, WishError> {
        let full = WishError::TooManyInterfaces(self.max_interfaces);
        if self.interfaces.len() >= self.max_interfaces {
            return Err(full);
        }
        let table = tables::lowest_free(name, &self.taken, call.world, call.orphans).ok_or(full)?;
        Ok(Wish {
            status,
            why: None,
            since_ms: call.now_ms,
            set_by: None,
            route_owner: None,
            status_owner: None,
            subnets: Vec::new(),
            gateway: None,
            table,
        })
    }

    fn remember_cleared(&mut self, name: IfName) {
        self.cleared.retain(|cleared| *cleared != name);
        self.cleared.push_back(name);
        if self.cleared.len() > MAX_CLEARED {
            self.cleared.pop_front();
        }
    }
}

#[cfg(test)]
#[path = "desired_tests.rs"]
mod tests;
