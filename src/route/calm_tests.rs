use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::route::InterfaceConfig;

const NAMES: [&str; 3] = ["eth0", "wlan0", "ppp0"];

fn name(text: &str) -> IfName {
    text.parse().unwrap()
}

fn families(able: &BTreeSet<IfName>, name: IfName) -> Vec<Family> {
    able.contains(&name).then_some(Family::V4).into_iter().collect()
}

/// Some interfaces, with a clock of our own.
struct Scene {
    calm: Calm,
    ranking: Ranking,
    begin: Instant,
    ms: u64,
    /// Those that the kernel could give a default route.
    able: BTreeSet<IfName>,
}

impl Scene {
    fn new(holds: &[(&str, u64, u64)]) -> Self {
        let config = |(names, up, down): &(&str, u64, u64)| InterfaceConfig {
            hold_up: Duration::from_millis(*up),
            hold_down: Duration::from_millis(*down),
            ..InterfaceConfig::new(names.parse().unwrap())
        };
        let ranking = Ranking { interfaces: holds.iter().map(config).collect(), ..Ranking::default() };
        let able = NAMES.iter().map(|text| name(text)).collect();
        Self { calm: Calm::default(), ranking, begin: Instant::now(), ms: 0, able }
    }

    fn now(&self) -> Now {
        Now { at: self.begin + Duration::from_millis(self.ms), unix_ms: 1_000_000 + self.ms }
    }

    fn see(&mut self, text: &str, status: Status) {
        let now = self.now();
        self.calm.see(name(text), Some(status), &self.ranking, now);
    }

    /// What is held at `ms`, as words.
    fn held(&mut self, ms: u64) -> String {
        self.ms = ms;
        let (now, able) = (self.now().at, self.able.clone());
        let held = self.calm.settle(&self.ranking, now, |_| move |name| families(&able, name));
        held.iter().map(|(name, status)| format!("{name}={status}")).collect::<Vec<_>>().join(" ")
    }

    fn due(&self) -> Option<u64> {
        let due = self.calm.due(&self.ranking)?;
        Some(u64::try_from((due - self.begin).as_millis()).unwrap())
    }
}

#[test]
fn internet_counts_after_hold_up() {
    let mut scene = Scene::new(&[("eth0", 10_000, 0)]);
    scene.see("wlan0", Status::Internet);
    scene.see("eth0", Status::Disconnected);
    assert_eq!(scene.held(0), "");
    scene.see("eth0", Status::Internet);
    assert_eq!((scene.held(0), scene.due()), ("eth0=lan".into(), Some(10_000)));
    assert_eq!(scene.calm.held_until(name("eth0"), &scene.ranking), Some(1_010_000));
    assert_eq!(scene.held(9_999), "eth0=lan");
    assert_eq!((scene.held(10_000), scene.due()), (String::new(), None));
    assert_eq!(scene.calm.held_until(name("eth0"), &scene.ranking), None);
}

#[test]
fn each_loss_begins_hold_up_anew_even_if_nobody_has_looked_meanwhile() {
    let mut scene = Scene::new(&[("eth0", 10_000, 0)]);
    scene.see("wlan0", Status::Internet);
    scene.see("eth0", Status::Internet);
    assert_eq!(scene.held(9_000), "eth0=lan");
    scene.see("eth0", Status::Lan);
    scene.see("eth0", Status::Internet);
    assert_eq!((scene.held(18_999), scene.due()), ("eth0=lan".into(), Some(19_000)));
    scene.see("eth0", Status::Disconnected);
    assert_eq!(
        (scene.held(19_000), scene.due()),
        (String::new(), None),
        "what it loses before it counts it loses at once"
    );
}

#[test]
fn a_flap_within_one_batch_is_a_flap() {
    let mut scene = Scene::new(&[("eth0", 10_000, 0), ("wlan0", 0, 2_000)]);
    scene.see("eth0", Status::Internet);
    scene.see("wlan0", Status::Internet);
    assert_eq!(scene.held(10_000), "");
    scene.see("eth0", Status::Lan);
    scene.see("eth0", Status::Internet);
    assert_eq!((scene.held(10_000), scene.due()), ("eth0=lan".into(), Some(20_000)));
    scene.see("wlan0", Status::Lan);
    assert_eq!(scene.held(10_000), "eth0=lan wlan0=internet", "wlan0 counts as having internet");
    scene.see("wlan0", Status::Internet);
    assert_eq!(scene.held(10_200), "eth0=lan", "nothing has happened");
    scene.see("wlan0", Status::Lan);
    assert_eq!(scene.held(12_199), "eth0=lan wlan0=internet");
    assert_eq!((scene.held(12_200), scene.due()), (String::new(), None), "eth0 is the only one now");
    scene.see("wlan0", Status::Internet);
    scene.see("wlan0", Status::Lan);
    assert_eq!((scene.held(12_200), scene.due()), ("wlan0=internet".into(), Some(14_200)));
}

#[test]
fn ipv4_and_ipv6_go_apart() {
    let mut scene = Scene::new(&[("*", 10_000, 0)]);
    for text in ["eth0", "wlan0", "ppp0"] {
        scene.see(text, Status::Internet);
    }
    let families = |name: IfName| match name.to_string().as_str() {
        "eth0" => vec![Family::V6],
        "wlan0" => vec![Family::V4],
        _ => vec![Family::V4, Family::V6],
    };
    let now = scene.now().at;
    let held = scene.calm.settle(&scene.ranking, now, |_| families);
    assert_eq!(held, BTreeMap::new(), "at first nobody counts");
    scene.see("ppp0", Status::Lan);
    scene.see("ppp0", Status::Internet);
    let held = scene.calm.settle(&scene.ranking, now, |_| families);
    assert_eq!(held, BTreeMap::from([(name("ppp0"), Status::Lan)]), "each of its families has another");
    scene.see("eth0", Status::Lan);
    let held = scene.calm.settle(&scene.ranking, now, |_| families);
    assert_eq!(held, BTreeMap::new(), "IPv6 has no other");
}

#[test]
fn nobody_is_held_up_who_is_the_only_way_out() {
    let mut scene = Scene::new(&[("*", 10_000, 0)]);
    scene.see("eth0", Status::Internet);
    assert_eq!(scene.held(0), "");
    scene.see("wlan0", Status::Internet);
    assert_eq!(scene.held(1_000), "wlan0=lan");
    scene.see("eth0", Status::Lan);
    assert_eq!(scene.held(2_000), "", "the other one has lost internet");
    scene.see("eth0", Status::Internet);
    assert_eq!(scene.held(3_000), "eth0=lan", "who was let through stays");
    scene.able.remove(&name("wlan0"));
    assert_eq!(scene.held(4_000), "", "the other one has lost its link");
    scene.see("ppp0", Status::Internet);
    scene.able.clear();
    assert_eq!(scene.held(5_000), "ppp0=lan", "it could not be used anyway");
    scene.calm.see(name("ppp0"), None, &scene.ranking, scene.now());
    assert_eq!(scene.held(5_000), "");
}

#[test]
fn failing_over_waits_for_hold_down_and_a_return_cancels_it() {
    let mut scene = Scene::new(&[("eth*", 10_000, 2_000)]);
    scene.see("eth0", Status::Internet);
    scene.see("wlan0", Status::Internet);
    assert_eq!(scene.held(0), "eth0=lan", "wlan0 has none to wait for");
    assert_eq!(scene.held(10_000), "");
    scene.see("eth0", Status::Lan);
    assert_eq!((scene.held(10_500), scene.due()), ("eth0=internet".into(), Some(12_000)));
    scene.see("eth0", Status::Disconnected);
    assert_eq!((scene.held(11_000), scene.due()), ("eth0=internet".into(), Some(12_000)), "not begun anew");
    scene.see("eth0", Status::Internet);
    assert_eq!((scene.held(11_500), scene.due()), (String::new(), None), "nothing has happened");
    scene.see("eth0", Status::Lan);
    assert_eq!(scene.held(13_500), "");
    scene.see("eth0", Status::Internet);
    assert_eq!(scene.held(13_600), "eth0=lan");
}

#[test]
fn clearing_forgets_and_a_new_configuration_counts_at_once() {
    let mut scene = Scene::new(&[("eth*", 10_000, 2_000)]);
    scene.see("wlan0", Status::Internet);
    scene.see("eth0", Status::Internet);
    assert_eq!(scene.held(0), "eth0=lan");
    scene.ranking = Ranking::default();
    assert_eq!(scene.held(1), "");
    scene.ranking = Scene::new(&[("eth*", 0, 2_000)]).ranking;
    scene.see("eth0", Status::Lan);
    assert_eq!(scene.held(2), "eth0=internet");
    scene.calm.see(name("eth0"), None, &scene.ranking, scene.now());
    assert_eq!((scene.held(3), scene.due()), (String::new(), None));
}

#[derive(Debug, Clone)]
struct Step {
    ms: u64,
    index: usize,
    status: Option<Status>,
    able: [bool; 3],
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let status = select(vec![
        None,
        Some(Status::Disconnected),
        Some(Status::Lan),
        Some(Status::Internet),
        Some(Status::Internet),
        Some(Status::Internet),
    ]);
    let step = (0..40u64, 0..NAMES.len(), status, any::<[bool; 3]>()).prop_map(|(ms, index, status, able)| Step {
        ms,
        index,
        status,
        able,
    });
    prop::collection::vec(step, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn holds_end_in_time_and_never_keep_the_only_way_out(
        up in select(vec![0, 30]), down in select(vec![0, 20]), steps in steps()
    ) {
        let mut scene = Scene::new(&[("*", up, down)]);
        // Since when each has had internet, or has ceased to have it.
        let mut reported: BTreeMap<&str, (Status, u64)> = BTreeMap::new();
        for step in steps {
            let text = NAMES[step.index];
            scene.ms += step.ms;
            let (ms, now) = (scene.ms, scene.now());
            scene.calm.see(name(text), step.status, &scene.ranking, now);
            match step.status {
                None => { reported.remove(text); }
                Some(status) => {
                    let entry = reported.entry(text).or_insert((status, ms));
                    if (entry.0 == Status::Internet) != (status == Status::Internet) {
                        entry.1 = ms;
                    }
                    entry.0 = status;
                }
            }
            scene.able = NAMES.iter().zip(step.able).filter(|(_, able)| *able).map(|(text, _)| name(text)).collect();
            let able = scene.able.clone();
            let held = scene.calm.settle(&scene.ranking, now.at, |_| move |name| families(&able, name));
            prop_assert_eq!(scene.due().is_some(), !held.is_empty());
            let counts = |text: &str| reported.get(text).is_some_and(|(status, _)| {
                let counted = held.get(&name(text)).unwrap_or(status);
                *counted == Status::Internet && scene.able.contains(&name(text))
            });
            let is_out = NAMES.iter().any(|text| counts(text));
            for (held, counted) in &held {
                let text = NAMES.into_iter().find(|text| name(text) == *held).unwrap();
                let (status, since) = reported[text];
                match (status == Status::Internet, counted) {
                    (true, Status::Lan) => {
                        prop_assert!(ms - since < up, "{text} for {} ms", ms - since);
                        prop_assert!(is_out || !scene.able.contains(held), "{text} is the only way out");
                    }
                    (false, Status::Internet) => prop_assert!(ms - since < down, "{text} for {} ms", ms - since),
                    other => prop_assert!(false, "{text}: {other:?}"),
                }
            }
        }
    }
}
