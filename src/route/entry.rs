//! VintageNet's own list of what it wants in the kernel, before the kernel is looked at.
//!
//! Callers compare it with VintageNet's, so shape and order are those of its 0.13 `lib/vintage_net/route/calculator.ex`.

use std::net::IpAddr;

use super::{DesiredState, IfName, Prefix, Ranking, Wish};

/// A table as entries name it. Numbers sort before `main`, as Erlang sorts integers before atoms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TableName {
    /// An interface's own table.
    Number(u32),
    /// The main table.
    Main,
}

/// Something that the kernel should have. The derived order is VintageNet's: rules, on-link routes, default routes,
/// and in each by its fields from first to last, as Erlang sorts tuples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Entry {
    /// Traffic from `ip` looks at `table` first.
    Rule {
        /// The interface's table.
        table: u32,
        /// The interface's address.
        ip: IpAddr,
    },
    /// The network of `ip` is on the link.
    Local {
        /// The interface.
        ifname: IfName,
        /// The interface's address: the network is what its `prefix_len` leaves of it.
        ip: IpAddr,
        /// Leading bits of the network.
        prefix_len: u8,
        /// 0 in the interface's table, its rank in main.
        metric: u32,
        /// The table of the route.
        table: TableName,
    },
    /// Everything else goes to the gateway.
    Default {
        /// The interface.
        ifname: IfName,
        /// The gateway.
        gateway: IpAddr,
        /// 0 in the interface's table, its rank in main.
        metric: u32,
        /// The table of the route.
        table: TableName,
    },
}

/// All entries, in VintageNet's order. An address given twice has its rule twice, as there.
#[must_use]
pub fn entries(state: &DesiredState, ranking: &Ranking) -> Vec<Entry> {
    let mut entries: Vec<Entry> =
        active(state, ranking).flat_map(|(name, wish, metric)| of(name, wish, metric)).collect();
    entries.sort_unstable();
    entries
}

/// The on-link routes, in the interface's table only, for its further networks: without them, traffic from the second
/// address to its own network would leave through the gateway. VintageNet has none, so they are listed apart.
#[must_use]
pub fn extra_entries(state: &DesiredState, ranking: &Ranking) -> Vec<Entry> {
    let mut extra: Vec<Entry> = active(state, ranking).flat_map(|(name, wish, _)| extra_of(name, wish)).collect();
    extra.sort_unstable();
    extra
}

/// The interfaces that have an address and a metric.
pub(super) fn active<'a>(
    state: &'a DesiredState,
    ranking: &'a Ranking,
) -> impl Iterator<Item = (IfName, &'a Wish, u32)> {
    let metric = |name, wish| metric_of_active(state, ranking, name, wish);
    state.interfaces().iter().filter_map(move |(name, wish)| Some((*name, wish, metric(*name, wish)?)))
}

/// The metric of interface `name`, if its `wish` has an address.
pub(super) fn metric_of_active(state: &DesiredState, ranking: &Ranking, name: IfName, wish: &Wish) -> Option<u32> {
    if wish.subnets.is_empty() { None } else { state.metric(name, ranking).number() }
}

fn of(ifname: IfName, wish: &Wish, metric: u32) -> Vec<Entry> {
    let places = [(0, TableName::Number(wish.table)), (metric, TableName::Main)];
    let rules = wish.subnets.iter().map(|subnet| Entry::Rule { table: wish.table, ip: subnet.ip() });
    let locals = wish.subnets.first().into_iter().flat_map(|subnet| {
        let (ip, prefix_len) = (subnet.ip(), subnet.prefix_len());
        places.map(|(metric, table)| Entry::Local { ifname, ip, prefix_len, metric, table })
    });
    let defaults = wish
        .gateway
        .into_iter()
        .flat_map(|gateway| places.map(|(metric, table)| Entry::Default { ifname, gateway, metric, table }));
    rules.chain(locals).chain(defaults).collect()
}

fn extra_of(ifname: IfName, wish: &Wish) -> Vec<Entry> {
    let mut networks: Vec<Prefix> = Vec::new();
    let mut extra = Vec::new();
    for subnet in &wish.subnets {
        if networks.contains(&subnet.network()) {
            continue;
        }
        if !networks.is_empty() {
            let table = TableName::Number(wish.table);
            extra.push(Entry::Local { ifname, ip: subnet.ip(), prefix_len: subnet.prefix_len(), metric: 0, table });
        }
        networks.push(subnet.network());
    }
    extra
}
