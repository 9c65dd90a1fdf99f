//! An Erlang node in Rust that serves `route_manager` and keeps the kernel's routes.
//!
//! Data goes down this list and never back up; the reply is built from what came out at the bottom.
//!
//! ```text
//! socket bytes → frame → control message → mailbox → request → desired state → plan → diff → netlink batch → reply
//!     node        dist         dist          node    route_manager  route       route  route    netlink
//! ```
//!
//! | module | job |
//! | --- | --- |
//! | [`term`] | the External Term Format as untrusted bytes |
//! | [`epmd`] | port mapper: codec, client that keeps a registration alive, embedded server |
//! | [`dist`] | one connection's protocol without I/O: handshake, frames, control messages, ticks |
//! | [`node`] | sockets and tasks: an Erlang node that knows nothing of routes |
//! | [`pg`] | a process of ours in OTP's process groups |
//! | [`route`] | pure: desired state, ranking, plan, diff, properties |
//! | [`netlink`] | the only place with `AF_NETLINK` |
//! | [`route_manager`] | the registered process: term → request, the loop, outcome → term |
//! | [`metrics`] | what is counted on the way, under the names that the page of `--metrics` has |
//! | [`service`], [`cli`], [`config`] | the program around it |
//! | [`demo`] | all of it shown at work, in network namespaces of its own |

pub mod cli;
pub mod config;
mod crowd;
mod deadline;
pub mod demo;
pub mod dist;
pub mod epmd;
mod glob;
mod listening;
pub mod metrics;
pub mod netlink;
pub mod node;
pub mod pg;
pub mod route;
pub mod route_manager;
pub mod service;
pub mod term;
