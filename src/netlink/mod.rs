//! The only place with `AF_NETLINK`. It decides nothing: it tells what the kernel has ([`World`]) and makes the
//! [`Changes`] it is given.
//!
//! Two sockets, both read without waiting. Commands are answered inside the call that sends them, since rtnetlink
//! works synchronously; events from others lie in the monitor's queue until [`Netlink::drain`]. rtnetlink's own
//! asynchronous requests are not used: they wake a task for each message, and offer neither batches nor all flags.
//!
//! ```text
//! Changes → batch, encode → socket ⇄ kernel ⇄ watch, snapshot → decode → fold → World
//!                 └── apply ──┘
//! ```
//!
//! [`Conntrack`] is apart: another protocol of netlink, on a socket of its own.

mod apply;
mod batch;
mod conntrack;
mod constants;
mod decode;
mod encode;
mod error;
mod fold;
#[cfg(feature = "fuzz")]
#[doc(hidden)]
pub mod fuzz;
mod meddling;
mod netns;
mod snapshot;
mod socket;
mod support;
mod watch;

use std::net::IpAddr;
use std::path::PathBuf;

use nix::libc;
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteMessage};

pub use apply::{Outcome, Prepared, Refused};
pub use conntrack::{Conntrack, Flushed};
pub use error::NetlinkError;
pub use meddling::{Doer, Meddling};
pub use netns::{path_of as namespace_path, within};
pub use support::{Missing, check_support};

use crate::route::{Changes, Family, Touched, World};
use constants::NLM_F_REPLACE;
use decode::{Fact, Message};
use fold::Folder;
use socket::{CommandSocket, Messages};
use watch::Monitor;

/// The protocol number of our routes and rules unless configured (`RTPROT_*`); unassigned in `rt_protos`.
pub const DEFAULT_PROTOCOL: u8 = 110;

/// Where and as what to work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The network namespace, by name (`/run/netns/NAME`) or path; ours, if none is given.
    pub netns: Option<PathBuf>,
    /// The protocol number of what is ours.
    pub protocol: u8,
    /// Room for events that wait to be read, in bytes.
    pub event_queue_bytes: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { netns: None, protocol: DEFAULT_PROTOCOL, event_queue_bytes: 4 * 1024 * 1024 }
    }
}

/// The kernel's routing, to look at and to change.
pub struct Netlink {
    commands: CommandSocket,
    monitor: Monitor,
    folder: Folder,
    protocol: u8,
    /// Whether the caller's world may be wrong, so that the next look must dump.
    is_stale: bool,
}

/// What a [`Netlink::drain`] found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Drained {
    /// The world is another one now (or was in between), and not only because a link is about to come up.
    pub changed: bool,
    /// Someone else changed a link, an address, a route or a rule: what was refused may now be accepted, although the
    /// world looks the same (it shows no foreign on-link routes in main, for one).
    pub may_heal: bool,
    /// The world was dumped anew, because events were lost or did not tell all.
    pub looked_again: bool,
    /// Some of the change was not told but inferred: to look again, in a while, is wise.
    pub inferred: bool,
    /// What others did to what is ours, or put in its way.
    pub meddling: Meddling,
    /// What may be different in the world.
    pub touched: Touched,
}

/// How often a world is dumped anew if something changes during the dump.
const TRIES: usize = 10;

/// The same in a drain, while others wait; the next one goes on.
const DRAIN_TRIES: usize = 2;

impl Netlink {
    /// Opens both sockets in the configured namespace, and takes a first look.
    ///
    /// # Errors
    /// If the namespace cannot be entered, or the kernel has no policy routing.
    pub fn open(config: &Config) -> Result<(Self, World), NetlinkError> {
        let (monitor, commands) = netns::within(config.netns.as_deref(), || {
            let commands = CommandSocket::open()?;
            Ok((Monitor::open(config.event_queue_bytes, commands.port())?, commands))
        })?;
        let folder = Folder::new(config.protocol);
        let mut netlink = Self { commands, monitor, folder, protocol: config.protocol, is_stale: true };
        let world = netlink.snapshot()?;
        Ok((netlink, world))
    }

    /// Dumps everything. Waiting events are read and dropped, for what they tell is in the dump: the world that was
    /// drained into until now is to be [renewed](World::renew) with this one.
    ///
    /// # Errors
    /// If the kernel does not answer.
    pub fn snapshot(&mut self) -> Result<World, NetlinkError> {
        self.dump(&mut Meddling::default(), TRIES)
    }

    /// As [`Netlink::snapshot`]; also notes which links the dropped events were about.
    fn dump(&mut self, meddling: &mut Meddling, max_tries: usize) -> Result<World, NetlinkError> {
        self.is_stale = true;
        meddling.has_gap |= !self.monitor.read(|message| meddling.upset.extend(link_of(&message)))?;
        let mut tries = 0;
        loop {
            tries += 1;
            let world = snapshot::snapshot(&mut self.commands, &mut self.folder, max_tries)?;
            // Whether what came in since is in the dump nobody can say.
            let mut is_old = false;
            let own_port = self.commands.port();
            let folder = &self.folder;
            let is_complete = self.monitor.read(|message| {
                let concerns = |fact| folder.concerns(&world, &fact, replaces(&message));
                is_old |= message.port != own_port && message.fact().is_ok_and(|fact| fact.is_some_and(concerns));
                meddling.upset.extend(link_of(&message));
            })?;
            meddling.has_gap |= !is_complete;
            self.is_stale = is_old || !is_complete;
            if !self.is_stale || tries == max_tries {
                return Ok(world);
            }
        }
    }

    /// Brings `world` up to date with what others did, without waiting: one system call if they did nothing. What we
    /// did ourselves is not looked at: `world` must have it already, from [`Outcome::applied`].
    ///
    /// # Errors
    /// If a new dump was needed and the kernel does not answer. `world` is then as good as the events were, and the next
    /// drain dumps.
    pub fn drain(&mut self, world: &mut World) -> Result<Drained, NetlinkError> {
        let mut drained = Drained::default();
        let (folder, own_port) = (&mut self.folder, self.commands.port());
        let mut look_again = self.is_stale;
        let is_complete = self.monitor.read(|message| {
            if message.port == own_port {
                return;
            }
            match message.fact() {
                Ok(Some(fact)) => {
                    // What is new on a link that is down here is told just before the link's own event.
                    let is_early = folder.is_early(world, &fact);
                    drained.may_heal |= !is_early;
                    drained.meddling.upset.extend(folder.upset(world, &fact));
                    let doer = if message.port == 0 { Doer::Unnamed } else { Doer::Program };
                    let undoing = folder.undoing(world, &fact, message.port);
                    undoing.into_iter().for_each(|change| drained.meddling.note(change, doer));
                    let effect = folder.event(world, fact, replaces(&message));
                    drained.changed |= effect.changed && !is_early;
                    look_again |= effect.look_again;
                    drained.inferred |= effect.inferred;
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(%error, "a route event");
                    look_again = true;
                }
            }
        })?;
        if !is_complete {
            tracing::warn!("route events were lost, looking again");
        }
        if look_again || !is_complete {
            drained.meddling.has_gap = !is_complete;
            let new = self.dump(&mut drained.meddling, DRAIN_TRIES)?;
            drained.meddling.compare(world, &new);
            drained.changed |= world.renew(new);
            drained.touched = Touched::everything();
            drained.may_heal = true;
            (drained.looked_again, drained.inferred) = (true, false);
        } else {
            drained.touched = self.folder.touched();
            world.forget_void_removals_on(drained.touched.links.iter().copied());
        }
        drained.meddling.excuse();
        Ok(drained)
    }

    /// Lets the next [`drain`](Self::drain) dump everything, whatever events tell.
    pub fn distrust(&mut self) {
        self.is_stale = true;
    }

    /// Whether the last look could not keep up with the changes, so that the next must dump.
    #[must_use]
    pub const fn is_stale(&self) -> bool {
        self.is_stale
    }

    /// Waits until a [`drain`](Self::drain) is due. Dropping the future loses nothing.
    ///
    /// # Errors
    /// If the socket cannot be watched; needs a tokio runtime with I/O.
    pub async fn readable(&self) -> Result<(), NetlinkError> {
        if self.is_stale {
            return Ok(());
        }
        self.monitor.readable().await
    }

    /// Makes `changes`: the additions, then those deletions that no refused addition holds back.
    ///
    /// # Errors
    /// [`NetlinkError::MissingNetAdmin`] if nothing may be changed at all. After any other error some changes may have
    /// been made; the next drain dumps. So it does after a deletion of something that was not there.
    pub fn apply(&mut self, changes: &Changes) -> Result<Outcome, NetlinkError> {
        self.send(changes, &mut apply::messages(&changes.additions, self.protocol))
    }

    /// Has `changes` ready for [`Self::apply_prepared`].
    #[must_use]
    pub fn prepare(&self, changes: Changes) -> Prepared {
        let additions = apply::messages(&changes.additions, self.protocol);
        Prepared { changes, additions }
    }

    /// As [`Self::apply`].
    ///
    /// # Errors
    /// As [`Self::apply`].
    pub fn apply_prepared(&mut self, prepared: &mut Prepared) -> Result<Outcome, NetlinkError> {
        self.send(&prepared.changes, &mut prepared.additions)
    }

    fn send(&mut self, changes: &Changes, additions: &mut Messages) -> Result<Outcome, NetlinkError> {
        let result = apply::apply(&mut self.commands, self.protocol, changes, additions);
        self.is_stale |= result.as_ref().map_or(true, |(_, was_mistaken)| *was_mistaken);
        result.map(|(outcome, _)| outcome)
    }

    /// The interface by which a packet to `dst` leaves, from `src` if given; `None` if it does not.
    ///
    /// # Errors
    /// If the kernel does not answer.
    pub fn route_get(&mut self, dst: IpAddr, src: Option<IpAddr>) -> Result<Option<u32>, NetlinkError> {
        let doing = "look up a route";
        let mut request = RouteMessage::default();
        let family = Family::of(dst);
        request.header.address_family = snapshot::address_family(family);
        request.header.destination_prefix_length = family.bits();
        request.attributes.push(RouteAttribute::Destination(RouteAddress::from(dst)));
        if let Some(src) = src {
            request.header.source_prefix_length = family.bits();
            request.attributes.push(RouteAttribute::Source(RouteAddress::from(src)));
        }
        let mut ifindex = None;
        let refusal = self.commands.ask(doing, RouteNetlinkMessage::GetRoute(request), |message| {
            if let Ok(Some(Fact::Route(fact))) = message.fact() {
                ifindex = Some(fact.hop.ifindex);
            }
        })?;
        match refusal {
            None => Ok(ifindex),
            Some(refusal) if matches!(refusal.errno, libc::ENETUNREACH | libc::EHOSTUNREACH | libc::EACCES) => Ok(None),
            Some(refusal) => Err(NetlinkError::refused(doing, refusal.errno, refusal.text)),
        }
    }
}

impl std::fmt::Debug for Netlink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Netlink")
            .field("port", &self.commands.port())
            .field("protocol", &self.protocol)
            .field("is_stale", &self.is_stale)
            .finish_non_exhaustive()
    }
}

/// The link that the event is about, or whose address.
fn link_of(message: &Message<'_>) -> Option<u32> {
    match message.fact().ok()?? {
        Fact::Link { ifindex, .. } | Fact::LinkGone { ifindex } => Some(ifindex),
        Fact::Address(address) | Fact::AddressGone(address) => Some(address.ifindex),
        Fact::Route(_) | Fact::RouteGone(_) | Fact::Rule(_) | Fact::RuleGone(_) | Fact::NexthopGone => None,
    }
}

fn replaces(message: &Message<'_>) -> bool {
    message.flags & NLM_F_REPLACE != 0
}
