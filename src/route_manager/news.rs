//! What has happened to the routes that nobody asked for: found by comparing what is with what was, and told where
//! [`super::server`] tells it.

use std::collections::{BTreeMap, BTreeSet};

use tracing::{info, warn};

use crate::route::{ForeignDefault, IfName};
use crate::term::{Term, atom, binary, tuple};

/// Something to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum News {
    /// Someone keeps undoing what we do for this interface, or what belongs to all or to none of ours.
    Contested(Option<IfName>),
    /// They have left it alone for a while.
    Uncontested(Option<IfName>),
    /// Another program's default route outranks those of these interfaces.
    Shadowed {
        /// The other program's route.
        by: ForeignDefault,
        /// Whose routes it outranks.
        ifnames: Vec<IfName>,
    },
    /// It does so no longer.
    Unshadowed {
        /// The other program's route.
        by: ForeignDefault,
        /// Whose routes it outranked.
        ifnames: Vec<IfName>,
    },
}

/// The foreign default routes that outrank ours, by our interface.
pub(super) type Shadows = BTreeMap<IfName, ForeignDefault>;

/// What was, the last time that someone looked.
#[derive(Debug, Default)]
pub(super) struct Watch {
    contested: BTreeSet<Option<IfName>>,
    shadows: Shadows,
}

impl Watch {
    /// What is new, the end of the old first. `shadows` tells of the interfaces for which that may have changed, each once,
    /// what outranks them.
    pub(super) fn compare(
        &mut self,
        contested: BTreeSet<Option<IfName>>,
        shadows: impl IntoIterator<Item = (IfName, Option<ForeignDefault>)>,
    ) -> Vec<News> {
        let mut news = Vec::new();
        news.extend(self.contested.difference(&contested).copied().map(News::Uncontested));
        news.extend(contested.difference(&self.contested).copied().map(News::Contested));
        self.contested = contested;
        let (mut ended, mut begun) = (Grouped::new(), Grouped::new());
        for (name, now) in shadows {
            let before = self.shadows.get(&name).copied();
            if before == now {
                continue;
            }
            before.into_iter().for_each(|by| ended.entry(by).or_default().push(name));
            now.into_iter().for_each(|by| begun.entry(by).or_default().push(name));
            match now {
                Some(by) => self.shadows.insert(name, by),
                None => self.shadows.remove(&name),
            };
        }
        news.extend(ended.into_iter().map(|(by, ifnames)| News::Unshadowed { by, ifnames }));
        news.extend(begun.into_iter().map(|(by, ifnames)| News::Shadowed { by, ifnames }));
        news
    }

    /// The foreign default routes that outrank ours, as they were last seen.
    pub(super) const fn shadows(&self) -> &Shadows {
        &self.shadows
    }

    /// All that has begun and not ended, as if it were new.
    pub(super) fn present(&self) -> Vec<News> {
        Self::default().compare(self.contested.clone(), self.shadows.iter().map(|(name, by)| (*name, Some(*by))))
    }
}

/// Interfaces by the foreign route.
type Grouped = BTreeMap<ForeignDefault, Vec<IfName>>;

impl News {
    /// As an event tells it, once for each interface. `foreign` shows the other program's route.
    pub(super) fn to_terms(&self, foreign: impl Fn(&ForeignDefault) -> Term) -> Vec<Term> {
        let name = |ifname: &IfName| binary(ifname.as_bytes());
        let all = |ifname: &Option<IfName>| ifname.as_ref().map_or_else(|| atom("nil"), name);
        match self {
            Self::Contested(ifname) => vec![tuple([atom("contested"), all(ifname)])],
            Self::Uncontested(ifname) => vec![tuple([atom("uncontested"), all(ifname)])],
            Self::Shadowed { by, ifnames } => {
                ifnames.iter().map(|ifname| tuple([atom("shadowed"), name(ifname), foreign(by)])).collect()
            }
            Self::Unshadowed { ifnames, .. } => {
                ifnames.iter().map(|ifname| tuple([atom("unshadowed"), name(ifname)])).collect()
            }
        }
    }

    /// A line in the log. `link` names a link by its ifindex.
    pub(super) fn log(&self, link: impl Fn(u32) -> Option<IfName>) {
        match self {
            Self::Contested(ifname) => {
                let ifname = ifname.map(tracing::field::display);
                warn!(ifname, "another program keeps undoing what we change; trying ever more rarely");
            }
            Self::Uncontested(ifname) => {
                let ifname = ifname.map(tracing::field::display);
                info!(ifname, "our routes and rules are left alone again");
            }
            Self::Shadowed { by, ifnames } => {
                let Shown { gateway, ifname, metric, protocol } = shown(by, link);
                let outranked = names(ifnames);
                warn!(gateway, ifname, metric, protocol, outranked, "another program's default route outranks ours");
            }
            Self::Unshadowed { by, ifnames } => {
                let Shown { gateway, ifname, metric, protocol } = shown(by, link);
                let outranked = names(ifnames);
                info!(gateway, ifname, metric, protocol, outranked, "that default route outranks ours no longer");
            }
        }
    }
}

struct Shown {
    gateway: Option<String>,
    ifname: Option<String>,
    metric: u32,
    protocol: u8,
}

fn shown(by: &ForeignDefault, link: impl Fn(u32) -> Option<IfName>) -> Shown {
    let (gateway, ifname) = (by.gateway.map(|ip| ip.to_string()), link(by.ifindex).map(|name| name.to_string()));
    Shown { gateway, ifname, metric: by.metric, protocol: by.protocol }
}

fn names(ifnames: &[IfName]) -> String {
    ifnames.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::Family;

    fn name(text: &str) -> IfName {
        text.parse().unwrap()
    }

    fn foreign(metric: u32) -> ForeignDefault {
        ForeignDefault { family: Family::V4, metric, ifindex: 2, gateway: None, protocol: 16 }
    }

    #[test]
    fn everything_is_told_once() {
        let mut watch = Watch::default();
        let (eth0, wlan0) = (name("eth0"), name("wlan0"));
        let both = [(eth0, Some(foreign(0))), (wlan0, Some(foreign(0)))];
        let fights = BTreeSet::from([Some(eth0)]);
        let told = watch.compare(fights.clone(), both);
        let shadowed = News::Shadowed { by: foreign(0), ifnames: vec![eth0, wlan0] };
        assert_eq!(told, [News::Contested(Some(eth0)), shadowed]);
        assert_eq!(watch.compare(fights, both), []);
        assert_eq!(watch.present(), told);
        // Another one takes its place for one of them.
        let told = watch.compare(BTreeSet::new(), [(wlan0, Some(foreign(15)))]);
        let over = News::Unshadowed { by: foreign(0), ifnames: vec![wlan0] };
        let begun = News::Shadowed { by: foreign(15), ifnames: vec![wlan0] };
        assert_eq!(told, [News::Uncontested(Some(eth0)), over, begun.clone()]);
        assert_eq!(watch.present(), [News::Shadowed { by: foreign(0), ifnames: vec![eth0] }, begun]);
        assert_eq!(watch.shadows(), &Shadows::from([(eth0, foreign(0)), (wlan0, foreign(15))]));
        assert_eq!(watch.compare(BTreeSet::new(), [(eth0, None), (wlan0, None)]).len(), 2);
        assert_eq!(watch.present(), []);
    }
}
