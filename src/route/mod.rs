//! Pure planning: from what callers want and what the kernel has to what must change.
//!
//! Nothing here touches the kernel, the clock or the network; time and the state of the kernel ([`World`]) arrive as
//! arguments, and every function is total and deterministic.
//!
//! ```text
//! wishes (DesiredState) ─ ranking ─→ entries ─ World ─→ wanted objects ─ diff ─→ changes
//! ```
//!
//! The ranking counts the reported statuses, or for a while others, as [`Calm`] decides.

mod calm;
mod command;
mod desired;
mod diff;
mod entry;
mod gap;
mod ifname;
mod interface_config;
mod links;
mod object;
mod one_link;
mod plan;
mod properties;
mod ranking;
mod site;
mod status;
mod subnet;
mod tables;
mod taken;
mod touched;
mod way_out;
mod world;

pub use calm::{Calm, Now};
pub use desired::{
    Call, DEFAULT_MAX_INTERFACES, DesiredState, Effect, MAX_CLEARED, RestoreError, SetBy, Wish, WishError,
};
pub use diff::{changes, diff};
pub use entry::{Entry, TableName, entries, extra_entries};
pub use gap::Gap;
pub use ifname::{IfName, IfNameError};
pub use interface_config::{InterfaceConfig, MAX_WEIGHT, NamePattern};
pub use links::Links;
pub use object::{Change, Changes, Connected, Family, Ipv6Key, MAIN_TABLE, Object, OnLink, Prefix, Queue, Route, Rule};
pub use one_link::{BroughtUp, OneLink};
pub use plan::{Plan, PlanOptions, Reason, Wanted, plan};
pub use properties::{available_at, available_interfaces, connection, interface_connection};
pub use ranking::{InterfaceType, Metric, Pattern, Ranking, weight};
pub use status::Status;
pub use subnet::{Subnet, SubnetError, is_unicast};
pub use tables::{FIRST_TABLE, orphans_of, useless_orphans};
pub use touched::{Scope, Touched};
pub use way_out::way_out;
pub use world::{Address, ForeignDefault, Link, World};

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod laws;
#[cfg(test)]
mod ranking_laws;
