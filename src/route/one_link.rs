//! What planning looks at of one link: to compare, and to foresee.

use std::net::IpAddr;

use super::{Address, Connected, Family, Link, OnLink, Prefix, World};

/// All that the routes over one link depend on, besides the wish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OneLink {
    link: Link,
    /// Of the addresses that were asked for, those that are there.
    addresses: Vec<Address>,
    connected: Vec<Connected>,
    lacking: Vec<Connected>,
}

/// What [`World::bring_up`] has changed.
#[derive(Debug)]
pub struct BroughtUp {
    ifindex: u32,
    link: Link,
    made: Vec<Connected>,
    removed: Vec<OnLink>,
}

impl World {
    /// What planning looks at for an interface with these addresses.
    #[must_use]
    pub fn one_link(&self, ifindex: u32, addresses: &[IpAddr]) -> Option<OneLink> {
        Some(OneLink {
            link: *self.links.get(&ifindex)?,
            addresses: addresses.iter().filter_map(|ip| self.address(ifindex, *ip)).copied().collect(),
            connected: self.connected_of(ifindex).copied().collect(),
            lacking: self.lacking_of(ifindex).collect(),
        })
    }

    /// Has link `ifindex` up, and the connected routes that the kernel makes then for the addresses that are there.
    #[must_use = "to let it down again"]
    pub fn bring_up(&mut self, ifindex: u32) -> Option<BroughtUp> {
        let link = *self.links.get(&ifindex)?;
        self.links.insert(ifindex, Link { is_up: true, ..link });
        let removed = self.removed_of(ifindex).collect();
        let places = self.addresses_of(ifindex).map(|address| OnLink { ifindex, dst: address.network });
        let mut made: Vec<Connected> = places.filter_map(|place| self.own_connected(place)).collect();
        made.retain(|connected| self.connect(*connected));
        self.forget_void_removals_on([ifindex]);
        Some(BroughtUp { ifindex, link, made, removed })
    }

    /// Has the link again as it was.
    pub fn let_down(&mut self, was: BroughtUp) {
        let BroughtUp { ifindex, link, made, removed } = was;
        self.links.insert(ifindex, link);
        made.iter().for_each(|connected| _ = self.connected.remove(connected));
        self.removed.extend(removed);
    }

    /// Where over link `ifindex` the kernel's connected route was removed.
    pub(super) fn removed_of(&self, ifindex: u32) -> impl Iterator<Item = OnLink> {
        let first = OnLink { ifindex, dst: Prefix::default_route(Family::V4) };
        self.removed.range(first..).take_while(move |place| place.ifindex == ifindex).copied()
    }
}
