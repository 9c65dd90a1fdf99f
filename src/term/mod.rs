//! The External Term Format as untrusted bytes.
//!
//! [`check`] walks a term without allocating and without recursion, and says how long it is; [`decode`] builds an
//! [`eetf::Term`] only from what passed the check; [`encode`] writes one. `eetf` 0.11 gives the type. Its codec does
//! not stand here, because it allocates declared counts, recurses without bound, panics on some tags, refuses Latin-1
//! atoms, writes `[-1]` as `[255]`, and truncates byte lists over 65,535: each of these a peer could reach.
//!
//! Terms are normalised as they are decoded, so that equal terms compare equal: an integer that fits is a
//! `FixInteger`, a list of bytes is a `List`, a proper list is never an `ImproperList`.
//!
//! Stands on nothing; must not allocate what a header claims.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

mod build;
mod check;
mod decode;
mod encode;
mod plain;
mod show;
mod tag;
mod view;

pub use build::{atom, binary, boolean, integer, list, map, string, tuple};
pub use check::{CheckError, Limits, check};
pub use decode::{DecodeError, decode, decode_prefix};
pub use encode::{encode, encode_atom};
pub use plain::{Plain, PlainPid, PlainReference, Reader};
pub use show::Show;
pub use view::{as_atom, as_integer, as_ip, as_list, as_text, as_tuple, is_nil};

pub use eetf::{Atom, Binary, List, Map, Pid, Reference, Term, Tuple};
