//! What `net_kernel` decides, without what it does: plain data and functions, no sockets, no tasks, no clock.
//!
//! | module | job |
//! | --- | --- |
//! | [`allow`] | who may connect |
//! | [`ticktime`] | the net_ticktime of the node and its change |
//! | [`monitor_options`], [`subscriptions`], [`reasons`] | `monitor_nodes`: who hears what of which nodes |
//! | [`socket_options`] | `getopts` and `setopts` |
//! | [`start`] | how to start a node |
//! | [`functions`] | a function's name and arguments → what is asked, and the right it needs |
//!
//! The meaning is that of OTP 25 to 29 (`lib/kernel/src/net_kernel.erl`); tests are named after the statements
//! they show. Where OTP lets a caller break its node (`setopts(Node, [binary])`, `getopts(Node, [nodelay | x])`), the answer here
//! is an error and nothing else.

pub mod allow;
pub mod functions;
pub mod monitor_options;
pub mod reasons;
pub mod socket_options;
pub mod start;
pub mod subscriptions;
pub mod ticktime;

pub use allow::AllowList;
pub use functions::{NetKernelCall, Right};
pub use monitor_options::{MonitorOptions, NodeType};
pub use reasons::{NodeEvent, NodedownReason};
pub use socket_options::{Defaults, Emulated, OptionName, SocketOption};
pub use start::Start;
pub use subscriptions::Subscriptions;
pub use ticktime::{TickTime, TickTimeChange};
