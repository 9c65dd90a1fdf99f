//! Laws of the ranking: whatever it is, main's default routes stand in its order, and another ranking moves only what it must.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::select;

use super::fixture::{Fixture, name};
use super::*;

const NAMES: [&str; 6] = ["eth0", "eth1", "wlan0", "ppp0", "usb3", "tap0"];
const MATCHES: [&str; 6] = ["eth0", "eth*", "*0", "usb*", "w*n*", "*"];

/// What one interface is told: IPv6 or not, its status, and the metric that a caller asks for.
type Told = (bool, Status, Option<Metric>);

fn metrics() -> impl Strategy<Value = Option<Metric>> {
    // Few numbers, so that they meet each other and those of the ranks.
    select(vec![None, None, None, Metric::new(1), Metric::new(11), Metric::new(20), Some(Metric::Disabled)])
}

fn rankings() -> impl Strategy<Value = Ranking> {
    let kinds = InterfaceType::ALL.map(Some).into_iter().chain([None]);
    let statuses = [Some(Status::Internet), Some(Status::Lan), None];
    let all: Vec<Pattern> =
        kinds.flat_map(|interface_type| statuses.map(|status| Pattern { interface_type, status })).collect();
    let patterns = (Just(all).prop_shuffle(), 1..10usize).prop_map(|(mut patterns, n)| {
        patterns.truncate(n);
        patterns
    });
    let config = (
        select(MATCHES.to_vec()),
        prop::option::of(select(InterfaceType::ALL.to_vec())),
        prop::option::of(0..=MAX_WEIGHT),
        metrics(),
    );
    let config = config.prop_map(|(names, interface_type, weight, metric)| InterfaceConfig {
        names: names.parse().unwrap(),
        interface_type,
        weight,
        metric,
        hold_up: Duration::ZERO,
        hold_down: Duration::ZERO,
    });
    let interfaces = prop::collection::vec(config, 0..4);
    let patterns = prop_oneof![2 => patterns, 1 => Just(Ranking::default().patterns)];
    (patterns, interfaces).prop_map(|(patterns, interfaces)| Ranking { patterns, interfaces, ..Ranking::default() })
}

fn told() -> impl Strategy<Value = Vec<Told>> {
    let status = select(vec![Status::Disconnected, Status::Lan, Status::Internet, Status::Internet]);
    prop::collection::vec((any::<bool>(), status, metrics()), NAMES.len())
}

/// All links up, with all their addresses; each interface has a gateway.
fn scene(told: &[Told]) -> Fixture {
    let mut fixture = Fixture::new();
    for (index, text) in (1..).zip(NAMES) {
        let (v4, v6) = (format!("10.0.{index}.5/24"), format!("fd00:{index}::5/64"));
        fixture = fixture.link(index, text, &[&v4, &v6]);
    }
    for (index, (text, (is_v6, status, metric))) in (1..).zip(NAMES.iter().zip(told)) {
        let (address, gateway) = if *is_v6 {
            (format!("fd00:{index}::5/64"), format!("fd00:{index}::1"))
        } else {
            (format!("10.0.{index}.5/24"), format!("10.0.{index}.1"))
        };
        fixture.set_route(text, &[&address], Some(&gateway));
        fixture.set_status(text, *status);
        let _ = fixture.state.set_metric(name(text), *metric).unwrap();
    }
    fixture
}

/// What the ranking's words say of an interface: its place, smaller is better; `None` for no routes.
fn place(ranking: &Ranking, text: &str, status: Status, asked: Option<Metric>) -> Option<u32> {
    if status == Status::Disconnected {
        return None;
    }
    let config = ranking.interfaces.iter().find(|config| config.names.fits(name(text)));
    if let Some(fixed) = asked.or(config.and_then(|config| config.metric)) {
        return fixed.number();
    }
    let by_name = [("eth", "ethernet"), ("wlan", "wifi"), ("ppp", "mobile"), ("tap", "local"), ("usb", "unknown")];
    let by_name = by_name.iter().find(|(prefix, _)| text.starts_with(prefix)).unwrap().1;
    let kind = config.and_then(|config| config.interface_type).map_or(by_name, InterfaceType::as_str);
    let fits = |pattern: &Pattern| {
        let words = pattern.to_string();
        [kind, "*"].iter().any(|kind| ["*", status.as_str()].iter().any(|status| words == format!("{kind}:{status}")))
    };
    let line = ranking.patterns.iter().position(fits)?;
    let digit = text.chars().last().and_then(|last| last.to_digit(10)).unwrap();
    let weight = config.and_then(|config| config.weight).unwrap_or(digit);
    Some(u32::try_from(line + 1).unwrap() * 10 + weight)
}

fn planned(fixture: &Fixture, ranking: &Ranking) -> Plan {
    plan(&fixture.state, ranking, &fixture.world, &PlanOptions::default())
}

/// The default routes that main has, in the order in which the kernel looks at them.
fn defaults(world: &World, family: Family) -> Vec<String> {
    let routes = world.ours.iter().filter_map(|object| match object {
        Object::Route(r) if r.table == MAIN_TABLE && r.dst == Prefix::default_route(family) => Some((*r, *object)),
        _ => None,
    });
    let mut placed: Vec<(u32, usize, String)> = routes
        .map(|(route, object)| {
            let queue = object.queue().map(|queue| world.in_order(queue).position(|o| *o == object).unwrap());
            (route.metric, queue.unwrap_or(0), world.links[&route.ifindex].name.to_string())
        })
        .collect();
    placed.sort();
    placed.into_iter().map(|(_, _, name)| name).collect()
}

fn apply(fixture: &mut Fixture, ranking: &Ranking) {
    let changes = diff(&fixture.world, &planned(fixture, ranking), &BTreeSet::new());
    for change in changes.additions.iter().chain(&changes.deletions) {
        fixture.world.apply(change);
    }
}

fn stand_in_order(fixture: &Fixture, ranking: &Ranking, told: &[Told]) {
    for (family, is_v6) in [(Family::V4, false), (Family::V6, true)] {
        let its = NAMES.iter().zip(told).filter(|(_, (v6, _, _))| *v6 == is_v6);
        let mut expected: Vec<(u32, &str)> = its
            .filter_map(|(text, (_, status, asked))| Some((place(ranking, text, *status, *asked)?, *text)))
            .collect();
        expected.sort_unstable();
        let expected: Vec<&str> = expected.into_iter().map(|(_, text)| text).collect();
        assert_eq!(defaults(&fixture.world, family), expected, "{family:?} by {ranking:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn defaults_stand_in_the_order_of_the_ranking(ranking in rankings(), told in told()) {
        let mut fixture = scene(&told);
        apply(&mut fixture, &ranking);
        stand_in_order(&fixture, &ranking, &told);
    }

    #[test]
    fn another_ranking_moves_only_what_it_must(old in rankings(), new in rankings(), told in told()) {
        let mut fixture = scene(&told);
        apply(&mut fixture, &old);
        let (before, after) = (planned(&fixture, &old), planned(&fixture, &new));
        let changes = diff(&fixture.world, &after, &BTreeSet::new());
        let (was, will): (BTreeSet<Object>, BTreeSet<Object>) =
            (before.objects().iter().copied().collect(), after.objects().iter().copied().collect());
        // Who stands beside a newcomer may have to move behind it.
        let queues: BTreeSet<Queue> = will.difference(&was).filter_map(Object::queue).collect();
        let may_move = |object: &Object| object.queue().is_some_and(|queue| queues.contains(&queue));
        for change in changes.additions.iter().chain(&changes.deletions) {
            match change {
                Change::Add(object) => assert!(!was.contains(object) || may_move(object), "{change:?}"),
                Change::Delete(object) => assert!(!will.contains(object) || may_move(object), "{change:?}"),
                Change::RemoveConnected(_) | Change::RestoreConnected(_) => {}
            }
        }
        assert!(!changes.additions.iter().any(|change| matches!(change, Change::Delete(_))), "{changes:?}");
        let stays: Vec<Family> = [Family::V4, Family::V6].into_iter().filter(|family| {
            let has = |plan: &Plan| plan.objects().iter().any(|object| is_default_of(object, *family));
            has(&before) && has(&after)
        }).collect();
        let first = |world: &World, family: &Family| defaults(world, *family).into_iter().next();
        let mut done = fixture.world.clone();
        changes.additions.iter().chain(&changes.deletions).for_each(|change| done.apply(change));
        let ends = |world: &World| stays.iter().map(|family| first(world, family)).collect::<Vec<_>>();
        let (old_best, new_best) = (ends(&fixture.world), ends(&done));
        for change in changes.additions.iter().chain(&changes.deletions) {
            fixture.world.apply(change);
            for (n, family) in stays.iter().enumerate() {
                let best = first(&fixture.world, family);
                assert!(best.is_some(), "no default route after {change:?} of {changes:?}");
                let is_settled = best == old_best[n] || best == new_best[n];
                assert!(is_settled, "a third one after {change:?} of {changes:?}");
            }
        }
        stand_in_order(&fixture, &new, &told);
        assert_eq!(fixture.world.ours, will);
    }
}

fn is_default_of(object: &Object, of: Family) -> bool {
    matches!(object, Object::Route(r) if r.table == MAIN_TABLE && r.dst == Prefix::default_route(of))
}
