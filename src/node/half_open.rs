//! The handshakes under way on a listener, and whose turn it is to end when there are too many.
//!
//! Nobody is turned away: a newcomer ends an older handshake, of his own address if that has its share, else of the
//! address that has most. So a flood from one address costs the others nothing, and within one address those who say
//! their name at once come in between those who say nothing.

use std::collections::VecDeque;
use std::net::IpAddr;

use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::debug;

use crate::crowd::{Source, oldest_of_most};

/// See above.
#[derive(Debug)]
pub(super) struct HalfOpen {
    /// Oldest first.
    under_way: VecDeque<UnderWay>,
    limit: usize,
    limit_per_source: usize,
}

#[derive(Debug)]
struct UnderWay {
    source: Source,
    ended: CancellationToken,
    evicted: CancellationToken,
}

/// A handshake's place. When it is dropped, because the handshake is over or the cookie is proved, it is free.
#[derive(Debug)]
pub(super) struct Place {
    /// Cancelled when the handshake has to end.
    pub evicted: CancellationToken,
    _ended: DropGuard,
}

impl HalfOpen {
    /// So many at once, and so many of one source, at least one.
    pub(super) fn new(limit: usize, limit_per_source: usize) -> Self {
        let (limit, limit_per_source) = (limit.max(1), limit_per_source.max(1));
        Self { under_way: VecDeque::new(), limit, limit_per_source }
    }

    /// Makes room for one more.
    pub(super) fn begin(&mut self, address: IpAddr) -> Place {
        let source = Source::of(address);
        self.under_way.retain(|other| !other.ended.is_cancelled());
        let mut of_source = self.under_way.iter().enumerate().filter(|(_, other)| other.source == source);
        let oldest = of_source.next().map(|(place, _)| place);
        let too_many = match oldest {
            Some(place) if 1 + of_source.count() >= self.limit_per_source => Some(place),
            _ if self.under_way.len() >= self.limit => oldest_of_most(self.under_way.iter().map(|other| other.source)),
            _ => None,
        };
        if let Some(place) = too_many {
            self.end(place);
        }
        let (ended, evicted) = (CancellationToken::new(), CancellationToken::new());
        self.under_way.push_back(UnderWay { source, ended: ended.clone(), evicted: evicted.clone() });
        Place { evicted, _ended: ended.drop_guard() }
    }

    fn end(&mut self, place: usize) {
        if let Some(UnderWay { source, evicted, .. }) = self.under_way.remove(place) {
            debug!(%source, "too many handshakes under way; the oldest ends");
            evicted.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "192.0.2.1";
    const B: &str = "192.0.2.2";

    fn begin(half_open: &mut HalfOpen, address: &str) -> Place {
        half_open.begin(address.parse().unwrap())
    }

    fn alive(all: &[Place]) -> Vec<usize> {
        all.iter().enumerate().filter(|(_, place)| !place.evicted.is_cancelled()).map(|(at, _)| at).collect()
    }

    #[test]
    fn a_flood_ends_its_own() {
        let mut half_open = HalfOpen::new(4, 3);
        let mut all = vec![begin(&mut half_open, B)];
        all.extend((0..50).map(|_| begin(&mut half_open, A)));
        assert_eq!(alive(&all), [0, 48, 49, 50]);
    }

    #[test]
    fn when_all_is_taken_whoever_has_most_gives_way() {
        let mut half_open = HalfOpen::new(5, 4);
        let mut all: Vec<_> = [B, A, A, A, B].map(|address| begin(&mut half_open, address)).into();
        all.push(begin(&mut half_open, "192.0.2.3"));
        assert_eq!(alive(&all), [0, 2, 3, 4, 5]);
    }

    #[test]
    fn what_has_ended_takes_no_room() {
        let mut half_open = HalfOpen::new(2, 2);
        let first = begin(&mut half_open, A);
        for _ in 0..10 {
            drop(begin(&mut half_open, A));
        }
        assert!(!first.evicted.is_cancelled());
    }

    #[test]
    fn who_has_proved_the_cookie_is_not_ended() {
        let mut half_open = HalfOpen::new(2, 2);
        let Place { evicted, _ended } = begin(&mut half_open, A);
        drop(_ended);
        let _flood: Vec<_> = (0..10).map(|_| begin(&mut half_open, A)).collect();
        assert!(!evicted.is_cancelled());
    }

    #[test]
    fn one_ipv6_network_is_one_source() {
        let mut half_open = HalfOpen::new(10, 2);
        let addresses = ["2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8:0:1::1", "::ffff:192.0.2.1", A];
        let all: Vec<_> = addresses.map(|address| begin(&mut half_open, address)).into();
        assert_eq!(alive(&all), [1, 2, 3, 4, 5]);
        let _third_of_ipv4 = begin(&mut half_open, A);
        assert_eq!(alive(&all), [1, 2, 3, 5]);
    }
}
