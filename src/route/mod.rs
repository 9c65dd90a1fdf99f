//! Pure planning: from what callers want and what the kernel has to what must change.
//!
//! Nothing here touches the kernel, the clock or the network; time and the state of the kernel ([`World`]) arrive as
//! arguments, and every function is total and deterministic.
//!
//! ```text
//! wishes (DesiredState) ─ ranking ─→ entries ─ World ─→ wanted objects ─ diff ─→ changes
//! ```

mod ifname;
mod object;
mod world;

pub use ifname::{IfName, IfNameError};
pub use object::{Change, Changes, Connected, Family, MAIN_TABLE, Object, Prefix, Route, Rule};
pub use world::{Address, ForeignDefault, Link, World};
