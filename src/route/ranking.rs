//! Which interface is preferred: the ranking of kinds of connection, and the metric that follows from it.
//!
//! The numbers are VintageNet's (0.13 `lib/vintage_net/route/default_metric.ex`, and
//! `lib/vintage_net/interface/name_utilities.ex` for the weight), so that a device that moves over keeps its metrics.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;

use super::{IfName, InterfaceConfig, Status};

/// The kind of an interface, guessed from its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum InterfaceType {
    /// A cable.
    Ethernet,
    /// A radio to a local network.
    Wifi,
    /// A modem.
    Mobile,
    /// Never leaves the machine.
    Local,
    /// None of these by its name.
    Unknown,
}

impl InterfaceType {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Ethernet, Self::Wifi, Self::Mobile, Self::Local, Self::Unknown];

    /// The kind that `name` stands for: the first prefix that fits.
    #[must_use]
    pub fn of(name: IfName) -> Self {
        let kind = PREFIXES.iter().find(|(prefix, _)| name.as_bytes().starts_with(prefix.as_bytes()));
        kind.map_or(Self::Unknown, |(_, kind)| *kind)
    }

    /// The word for it in answers and in configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ethernet => "ethernet",
            Self::Wifi => "wifi",
            Self::Mobile => "mobile",
            Self::Local => "local",
            Self::Unknown => "unknown",
        }
    }

    /// The type that `word` names.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// Name prefixes of VintageNet 0.13 (its `InterfaceType`), confirmed by its recorded answers.
const PREFIXES: [(&str, InterfaceType); 9] = [
    ("eth", InterfaceType::Ethernet),
    ("en", InterfaceType::Ethernet),
    ("wlan", InterfaceType::Wifi),
    ("wl", InterfaceType::Wifi),
    ("ra", InterfaceType::Wifi),
    ("ppp", InterfaceType::Mobile),
    ("wwan", InterfaceType::Mobile),
    ("lo", InterfaceType::Local),
    ("tap", InterfaceType::Local),
];

/// Puts interfaces of one type in order: all digits of the name read as one number, mod 10. That is the last digit.
#[must_use]
pub fn weight(name: IfName) -> u32 {
    let last = name.as_bytes().iter().rev().find(|byte| byte.is_ascii_digit());
    last.map_or(0, |digit| u32::from(digit - b'0'))
}

/// Where an interface stands in main; smaller is preferred.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Metric {
    /// The metric of its routes in main. Not 0: that is the kernel's own, and a wildcard when routes are deleted.
    Rank(NonZeroU32),
    /// It gets neither rules nor routes.
    Disabled,
}

impl Metric {
    /// The metric `number`; `None` for 0.
    #[must_use]
    pub fn new(number: u32) -> Option<Self> {
        NonZeroU32::new(number).map(Self::Rank)
    }

    /// The largest that anyone may choose. IPv6 metrics rise by one where they would be equal, and there must be room for
    /// that: the kernel merges equal ones into one route.
    pub const MAX: u32 = 4_000_000_000;

    /// The metric `number` as someone chose it; `None` for 0 and above [`Metric::MAX`].
    #[must_use]
    pub fn chosen(number: u32) -> Option<Self> {
        Self::new(number).filter(|_| number <= Self::MAX)
    }

    /// The number, unless disabled.
    #[must_use]
    pub const fn number(self) -> Option<u32> {
        match self {
            Self::Rank(number) => Some(number.get()),
            Self::Disabled => None,
        }
    }
}

/// One line of a ranking. `None` stands for any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pattern {
    /// The type of interface that the line is about.
    pub interface_type: Option<InterfaceType>,
    /// The status that the line is about.
    pub status: Option<Status>,
}

impl Pattern {
    fn fits(self, kind: InterfaceType, status: Status) -> bool {
        self.interface_type.is_none_or(|k| k == kind) && self.status.is_none_or(|s| s == status)
    }

    /// Whether all that fits `other` fits this one as well.
    #[must_use]
    pub fn covers(self, other: Self) -> bool {
        self.interface_type.is_none_or(|kind| other.interface_type == Some(kind))
            && self.status.is_none_or(|status| other.status == Some(status))
    }
}

/// `ethernet:internet`, with `*` for any.
impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.interface_type.map_or("*", InterfaceType::as_str);
        write!(f, "{kind}:{}", self.status.map_or("*", Status::as_str))
    }
}

/// The order of preference, best first, and what is said of single interfaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ranking {
    /// The first pattern that fits gives the rank; an interface that none fits is disabled.
    pub patterns: Vec<Pattern>,
    /// The first whose names fit an interface counts for it, and no other.
    pub interfaces: Vec<InterfaceConfig>,
    /// The statuses that count for now in place of the reported ones.
    pub held: BTreeMap<IfName, Status>,
}

impl Ranking {
    /// What is configured for interface `name`.
    #[must_use]
    pub fn config(&self, name: IfName) -> Option<&InterfaceConfig> {
        self.interfaces.iter().find(|config| config.names.fits(name))
    }

    /// The type of interface `name`.
    #[must_use]
    pub fn interface_type(&self, name: IfName) -> InterfaceType {
        self.config(name).and_then(|config| config.interface_type).unwrap_or_else(|| InterfaceType::of(name))
    }

    /// The weight of interface `name`.
    #[must_use]
    pub fn weight(&self, name: IfName) -> u32 {
        self.config(name).and_then(|config| config.weight).unwrap_or_else(|| weight(name))
    }

    /// The metric of interface `name`. `asked` is what a caller set for it: it wins over the configured metric,
    /// which wins over the patterns. Disconnected is disabled whatever they say.
    #[must_use]
    pub fn metric(&self, name: IfName, status: Status, asked: Option<Metric>) -> Metric {
        let status = self.held.get(&name).copied().unwrap_or(status);
        if status == Status::Disconnected {
            return Metric::Disabled;
        }
        let fixed = asked.or_else(|| self.config(name)?.metric);
        fixed.unwrap_or_else(|| self.ranked(name, status))
    }

    /// `(rank + 1) * 10 + weight`, as VintageNet counts.
    fn ranked(&self, name: IfName, status: Status) -> Metric {
        let kind = self.interface_type(name);
        let rank = self.patterns.iter().position(|pattern| pattern.fits(kind, status));
        let class = rank.and_then(|rank| u32::try_from(rank).ok()?.checked_add(1)?.checked_mul(CLASS_SIZE));
        class.and_then(|class| Metric::new(class.saturating_add(self.weight(name)))).unwrap_or(Metric::Disabled)
    }
}

/// Metrics of one rank: one for each weight.
const CLASS_SIZE: u32 = 10;

impl Default for Ranking {
    /// VintageNet's list: internet before lan, and in each ethernet, wifi, mobile, others.
    fn default() -> Self {
        let kinds = [Some(InterfaceType::Ethernet), Some(InterfaceType::Wifi), Some(InterfaceType::Mobile), None];
        let patterns = [Status::Internet, Status::Lan]
            .into_iter()
            .flat_map(|status| kinds.map(|interface_type| Pattern { interface_type, status: Some(status) }))
            .collect();
        Self { patterns, interfaces: Vec::new(), held: BTreeMap::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> IfName {
        text.parse().unwrap()
    }

    #[test]
    fn types_and_weights_by_name() {
        use InterfaceType::{Ethernet, Local, Mobile, Unknown, Wifi};
        for (text, kind, weighs) in [
            ("eth0", Ethernet, 0),
            ("eth12", Ethernet, 2),
            ("eth1.20", Ethernet, 0),
            ("enp0s31f6", Ethernet, 6),
            ("enabled7", Ethernet, 7),
            ("wlan10", Wifi, 0),
            ("wl", Wifi, 0),
            ("rax1", Wifi, 1),
            ("ppp1", Mobile, 1),
            ("wwan11", Mobile, 1),
            ("wwp0s20u4", Unknown, 4),
            ("lo", Local, 0),
            ("lowpan0", Local, 0),
            ("tap10", Local, 0),
            ("tun3", Unknown, 3),
            ("Eth0", Unknown, 0),
            ("9", Unknown, 9),
        ] {
            assert_eq!((InterfaceType::of(name(text)), weight(name(text))), (kind, weighs), "{text}");
            assert_eq!(InterfaceType::parse(kind.as_str()), Some(kind));
        }
    }

    #[test]
    fn vintage_nets_numbers() {
        let ranking = Ranking::default();
        for (text, status, metric) in [
            ("eth0", Status::Internet, Some(10)),
            ("wlan1", Status::Internet, Some(21)),
            ("ppp2", Status::Internet, Some(32)),
            ("tap3", Status::Internet, Some(43)),
            ("eth9", Status::Lan, Some(59)),
            ("wlan0", Status::Lan, Some(60)),
            ("wwan0", Status::Lan, Some(70)),
            ("usb0", Status::Lan, Some(80)),
            ("eth0", Status::Disconnected, None),
        ] {
            assert_eq!(ranking.metric(name(text), status, None).number(), metric, "{text} {status}");
        }
    }

    #[test]
    fn callers_win_over_configuration_and_configuration_over_patterns() {
        let disabled =
            InterfaceConfig { metric: Some(Metric::Disabled), ..InterfaceConfig::new("eth0".parse().unwrap()) };
        let mut ranking = Ranking { interfaces: vec![disabled], ..Ranking::default() };
        let metric = |asked| ranking.metric(name("eth0"), Status::Lan, asked);
        assert_eq!(metric(None), Metric::Disabled);
        assert_eq!(metric(Metric::new(7)).number(), Some(7));
        assert_eq!(ranking.metric(name("eth0"), Status::Disconnected, Metric::new(7)), Metric::Disabled);
        ranking.patterns.clear();
        assert_eq!(ranking.metric(name("eth1"), Status::Lan, None), Metric::Disabled);
        assert_eq!(Metric::new(0), None);
        assert_eq!((Metric::chosen(0), Metric::chosen(Metric::MAX + 1)), (None, None));
        assert_eq!(Metric::chosen(Metric::MAX), Metric::new(4_000_000_000));
    }

    #[test]
    fn a_pattern_for_any_status_leaves_disconnected_disabled() {
        let ranking = Ranking { patterns: vec![Pattern { interface_type: None, status: None }], ..Ranking::default() };
        assert_eq!(ranking.metric(name("eth0"), Status::Lan, None).number(), Some(10));
        assert_eq!(ranking.metric(name("eth0"), Status::Disconnected, None), Metric::Disabled);
    }

    #[test]
    fn the_first_configuration_that_fits_counts_alone() {
        let config = |names: &str, interface_type, weight| InterfaceConfig {
            interface_type,
            weight,
            ..InterfaceConfig::new(names.parse().unwrap())
        };
        let interfaces = vec![
            config("eth1", None, Some(7)),
            config("eth*", Some(InterfaceType::Mobile), Some(3)),
            config("*", Some(InterfaceType::Wifi), None),
        ];
        let ranking = Ranking { interfaces, ..Ranking::default() };
        for (text, kind, weighs, metric) in [
            ("eth1", InterfaceType::Ethernet, 7, 17),
            ("eth0", InterfaceType::Mobile, 3, 33),
            ("usb2", InterfaceType::Wifi, 2, 22),
        ] {
            let name = name(text);
            assert_eq!((ranking.interface_type(name), ranking.weight(name)), (kind, weighs), "{text}");
            assert_eq!(ranking.metric(name, Status::Internet, None).number(), Some(metric), "{text}");
        }
    }

    #[test]
    fn patterns_in_words_and_what_they_cover() {
        let words: Vec<String> = Ranking::default().patterns.iter().map(Pattern::to_string).collect();
        assert_eq!(
            words.join(" "),
            "ethernet:internet wifi:internet mobile:internet *:internet ethernet:lan wifi:lan mobile:lan *:lan"
        );
        let pattern = |interface_type, status| Pattern { interface_type, status };
        let any = pattern(None, None);
        let wired = pattern(Some(InterfaceType::Ethernet), Some(Status::Lan));
        let lan = pattern(None, Some(Status::Lan));
        assert!(any.covers(wired) && lan.covers(wired) && wired.covers(wired) && any.covers(any));
        assert!(!wired.covers(lan) && !lan.covers(any) && !lan.covers(pattern(None, Some(Status::Internet))));
    }
}
