//! The registered process `route_manager`.
//!
//! ```text
//! message ─ Request ─→ desired state ─ commit: save, plan, diff, netlink ─→ reply
//! ```
//!
//! All requests that wait in the mailbox are folded into the desired state and committed together: saved, then brought to
//! the kernel; their replies follow the kernel's acknowledgement. What the kernel cannot hold yet stays wanted, and is
//! tried again on the event that may heal it.
//!
//! What happens is told to subscribers, and the last 200 events are kept with their times: `{get, [<<"events">>]}`.
//!
//! Stands on [`crate::node`], [`crate::route`] and [`crate::netlink`]; parses terms, not bytes.

mod adopt;
mod arguments;
mod audit;
mod contest;
mod events;
mod flush;
mod growth;
mod hindrances;
mod kernel;
mod metered;
mod news;
mod owners;
mod picture;
mod planned;
mod recheck;
mod repetitions;
mod replies;
mod request;
mod saved;
mod server;
mod status;
mod steering;
mod tell;

pub use kernel::Kernel;
pub use metered::counts_request;
pub use planned::preview;
pub use request::{Refusal, Request};
#[cfg(feature = "fuzz")]
#[doc(hidden)]
pub use saved::rewrite;
pub use saved::{Journal, JournalError, Restored};
pub use server::{Ended, RouteManager, Settings};
pub use steering::{ReadRanking, Steering};
pub use tell::EVENTS;

/// The names under which the process is registered, and the modules whose functions it answers.
pub const NAMES: [&str; 2] = ["route_manager", "Elixir.VintageNet.RouteManager"];
