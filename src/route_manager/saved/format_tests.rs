use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use proptest::prelude::*;

use super::*;
use crate::route::{DesiredState, IfName, Metric, SetBy, Status, Subnet, Wish, is_unicast};
use crate::route_manager::owners::Policies;
use crate::route_manager::saved::image::Extent;

pub(in crate::route_manager::saved) fn names() -> impl Strategy<Value = IfName> {
    let few = prop::sample::select(vec!["eth0", "eth1", "wlan0", "ppp0"]).prop_map(|name| name.parse().unwrap());
    let any = prop::collection::vec(any::<u8>(), 1..16).prop_filter_map("a name", |bytes| IfName::new(&bytes).ok());
    prop_oneof![3 => few, 1 => any]
}

fn unicast() -> impl Strategy<Value = IpAddr> {
    let v4 = any::<u32>().prop_map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits)));
    let v6 = any::<u128>().prop_map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits)));
    let mapped = any::<u32>().prop_map(|bits| IpAddr::V6(Ipv4Addr::from_bits(bits).to_ipv6_mapped()));
    prop_oneof![v4, v6, mapped].prop_filter("unicast", |ip| is_unicast(*ip))
}

fn subnets() -> impl Strategy<Value = Vec<Subnet>> {
    let subnet = (unicast(), 1..129_u32).prop_filter_map("a subnet", |(ip, len)| Subnet::new(ip, len).ok());
    prop::collection::vec(subnet, 0..4)
}

fn wishes() -> impl Strategy<Value = Wish> {
    let statuses = prop::sample::select(vec![Status::Disconnected, Status::Lan, Status::Internet]);
    let set_by = ("\\PC{0,9}@h", any::<u32>(), any::<u32>(), any::<u32>())
        .prop_map(|(node, id, serial, creation)| SetBy { node, id, serial, creation });
    let owner = || prop::option::of(prop::sample::select(vec!["a@h".to_owned(), "b@h".to_owned()]));
    let (why, set_by, gateway) =
        (prop::option::of(any::<String>()), prop::option::of(set_by), prop::option::of(unicast()));
    (statuses, why, any::<u64>(), set_by, (owner(), owner()), subnets(), gateway).prop_map(
        |(status, why, since_ms, set_by, (route_owner, status_owner), subnets, gateway)| Wish {
            status,
            why,
            since_ms,
            set_by,
            route_owner,
            status_owner,
            subnets,
            gateway,
            table: 0,
        },
    )
}

/// A state such as the methods of [`DesiredState`] make.
pub(in crate::route_manager::saved) fn states() -> impl Strategy<Value = DesiredState> {
    let wishes = prop::collection::btree_map(names(), wishes(), 0..5);
    let metric = any::<u32>().prop_map(|number| Metric::new(number).unwrap_or(Metric::Disabled));
    let metrics = prop::collection::btree_map(names(), metric, 0..3);
    let cleared = prop::collection::vec(names(), 0..6);
    (wishes, metrics, cleared, 0..9_u32).prop_map(|(mut wishes, metrics, cleared, first)| {
        for (table, wish) in (100 + first..).zip(wishes.values_mut()) {
            wish.table = table;
        }
        let cleared: Vec<IfName> = cleared.into_iter().filter(|name| !wishes.contains_key(name)).collect();
        DesiredState::restore(8, wishes, metrics, cleared).unwrap()
    })
}

pub(in crate::route_manager::saved) fn owner() -> Owner {
    Owner { protocol: 110, netns: "blue".into() }
}

/// A state, and so many that follow; before each only its statuses.
fn histories(steps: Range<usize>) -> impl Strategy<Value = (DesiredState, Vec<DesiredState>)> {
    (states(), prop::collection::vec(states(), steps)).prop_map(|(first, others)| {
        let before = std::iter::once(&first).chain(&others);
        let steps = others.iter().zip(before).flat_map(|(state, before)| [reported(before, state), state.clone()]);
        let steps = steps.collect();
        (first, steps)
    })
}

/// `state` after calls that report the statuses of `other`.
fn reported(state: &DesiredState, other: &DesiredState) -> DesiredState {
    let mut wishes = state.interfaces().clone();
    for (name, wish) in &mut wishes {
        if let Some(Wish { status, why, since_ms, set_by, status_owner, .. }) = other.interfaces().get(name).cloned() {
            *wish = Wish { status, why, since_ms, set_by, status_owner, ..wish.clone() };
        }
    }
    DesiredState::restore(8, wishes, state.metrics().clone(), state.cleared()).unwrap()
}

/// A journal with `first` written anew and the others appended; also its length after each, whole batches only.
fn journal(first: &DesiredState, others: &[DesiredState]) -> (Vec<u8>, BTreeMap<usize, DesiredState>) {
    let mut image = Image::of(first, &Policies::default());
    let (mut text, mut chain) = write(&owner(), &image).unwrap();
    let mut states = BTreeMap::from([(text.len(), first.clone())]);
    for state in others {
        let records = image.missing(state, &Policies::default(), &Extent::All);
        chain.batch(&records, &mut text).unwrap();
        records.into_iter().for_each(|record| image.apply(record).unwrap());
        states.insert(text.len(), state.clone());
    }
    (text, states)
}

fn restored(text: &[u8]) -> Result<DesiredState, Damage> {
    let Content { image, whole_bytes, .. } = read(text, &owner())?;
    assert!(whole_bytes as usize <= text.len());
    Ok(image.restore(8)?)
}

proptest! {
    #[test]
    fn what_is_written_is_read((first, others) in histories(0..4)) {
        let (text, states) = journal(&first, &others);
        prop_assert_eq!(&restored(&text).unwrap(), states.values().last().unwrap());
        prop_assert!(text.is_ascii() || std::str::from_utf8(&text).is_ok());
        prop_assert!(Image::of(&first, &Policies::default()).missing(&first, &Policies::default(), &Extent::All).is_empty());
    }

}

proptest! {
    // Each case looks at every byte.
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn cut_anywhere_it_says_what_it_said_after_some_batch((first, others) in histories(0..2)) {
        let (text, states) = journal(&first, &others);
        for cut in 0..text.len() {
            let expected = states.range(..=cut).next_back();
            match (restored(&text[..cut]), expected) {
                (Ok(state), Some((len, expected))) => {
                    prop_assert_eq!(&state, expected);
                    prop_assert_eq!(read(&text[..cut], &owner()).unwrap().whole_bytes, *len as u64);
                }
                (Err(Damage::Cut), None) => {}
                (other, _) => prop_assert!(false, "cut at {}: {:?}", cut, other),
            }
        }
    }

    #[test]
    fn a_changed_byte_is_never_believed((first, others) in histories(0..2), change in 1..=255_u8) {
        let (mut text, states) = journal(&first, &others);
        for at in 0..text.len() {
            text[at] ^= change;
            // The end of the last line is not there any more: it looks torn.
            let is_torn = at + 1 == text.len();
            match restored(&text) {
                Ok(state) => {
                    let before = states.range(..text.len()).next_back().map(|(_, state)| state);
                    prop_assert!(is_torn && before == Some(&state), "byte {}: {:?}", at, state);
                }
                Err(Damage::Checksum(_)) => {}
                Err(Damage::Cut) => prop_assert!(is_torn),
                Err(other) => prop_assert!(false, "byte {}: {:?}", at, other),
            }
            text[at] ^= change;
        }
    }

}

proptest! {
    #[test]
    fn a_line_lost_doubled_or_moved_is_seen((first, others) in histories(1..3)) {
        let (text, _) = journal(&first, &others);
        let lines: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
        for at in 0..lines.len() - 1 {
            let (mut lost, mut doubled, mut moved) = (lines.clone(), lines.clone(), lines.clone());
            lost.remove(at);
            doubled.insert(at, lines[at]);
            moved.swap(at, at + 1);
            for text in [lost, doubled, moved].map(|lines| lines.concat()) {
                prop_assert!(restored(&text).is_err());
            }
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(restored(&bytes).is_err());
    }
}

#[test]
fn the_form_is_this() {
    let wish = Wish {
        status: Status::Lan,
        why: None,
        since_ms: 7,
        set_by: None,
        route_owner: None,
        status_owner: None,
        subnets: vec![Subnet::new("10.0.0.5".parse().unwrap(), 24).unwrap()],
        gateway: None,
        table: 100,
    };
    let name: IfName = "eth0".parse().unwrap();
    let state = |wishes, cleared: &[IfName]| {
        DesiredState::restore(8, wishes, BTreeMap::new(), cleared.iter().copied()).unwrap()
    };
    let internet = Wish { status: Status::Internet, since_ms: 8, ..wish.clone() };
    let state_of = |wish| state(BTreeMap::from([(name, wish)]), &[]);
    let (text, _) = journal(&state_of(wish), &[state_of(internet), state(BTreeMap::new(), &[name])]);
    let text = String::from_utf8(text).unwrap();
    let bodies: Vec<&str> = text.lines().map(|line| &line[9..]).collect();
    assert_eq!(
        bodies,
        [
            r#"{"beamroute":"desired state","version":1,"protocol":110,"netns":"blue","records":1}"#,
            r#"[{"wish":{"ifname":"eth0","status":"lan","why":null,"since_ms":7,"set_by":null,"subnets":["10.0.0.5/24"],"gateway":null,"table":100}}]"#,
            r#"[{"status":{"ifname":"eth0","status":"internet","why":null,"since_ms":8,"set_by":null,"owner":null}}]"#,
            r#"[{"clear":"eth0"}]"#,
        ]
    );
    // What zlib says, too.
    assert_eq!(&text[..9], "8392ff34 ");
}

#[test]
fn the_status_of_what_is_not_known_makes_no_sense() {
    let (mut text, mut chain) = write(&owner(), &Image::default()).unwrap();
    let status = r#"[{"status":{"ifname":"eth0","status":"lan","why":null,"since_ms":7,"set_by":null}}]"#;
    chain.line(&serde_json::from_str::<serde_json::Value>(status).unwrap(), &mut text).unwrap();
    let damage = restored(&text).unwrap_err().to_string();
    assert_eq!(damage, "line 2 makes no sense: nothing is known of eth0");
}

#[test]
fn what_is_about_something_else_is_refused_with_the_reason() {
    let header = |body: &str| {
        let (mut text, mut chain) = (Vec::new(), Chain::default());
        chain.line(&serde_json::from_str::<serde_json::Value>(body).unwrap(), &mut text).unwrap();
        restored(&text).map(|_| ()).map_err(|damage| damage.to_string())
    };
    let good = r#"{"beamroute":"desired state","version":1,"protocol":110,"netns":"blue","records":0}"#;
    assert_eq!(header(good), Ok(()));
    for (from, to, says) in [
        ("1,", "2,", "written in version 2"),
        ("110", "111", "protocol number 111"),
        ("blue", "red", "namespace \"red\""),
        ("\"records\":0", "\"records\":1", "ends early"),
        ("desired state", "history", "about \"history\""),
        ("netns", "colour", "makes no sense"),
        ("version", "edition", "makes no sense"),
    ] {
        let error = header(&good.replacen(from, to, 1)).unwrap_err();
        assert!(error.contains(says), "{to}: {error}");
    }
}

#[test]
fn two_interfaces_with_one_table_are_refused() {
    let wish = |name: &str| {
        let wish = Wish {
            status: Status::Lan,
            why: None,
            since_ms: 0,
            set_by: None,
            route_owner: None,
            status_owner: None,
            subnets: Vec::new(),
            gateway: None,
            table: 100,
        };
        Record::Wish(name.parse().unwrap(), wish)
    };
    let mut image = Image::default();
    image.apply(wish("eth0")).unwrap();
    image.apply(wish("eth1")).unwrap();
    let (text, _) = write(&owner(), &image).unwrap();
    assert!(matches!(restored(&text), Err(Damage::Tables(_))));
}
