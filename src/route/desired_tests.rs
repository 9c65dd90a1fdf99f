use super::*;
use crate::route::{DesiredState, interface_connection};

fn name(text: &str) -> IfName {
    text.parse().unwrap()
}

fn subnet(ip: &str, len: u32) -> Subnet {
    Subnet::new(ip.parse().unwrap(), len).unwrap()
}

/// Runs `f` with an empty world at `now_ms`.
fn at<R>(now_ms: u64, f: impl FnOnce(&Call<'_>) -> R) -> R {
    f(&Call { world: &World::default(), orphans: &BTreeSet::new(), now_ms, who: None })
}

fn table(state: &DesiredState, text: &str) -> Option<u32> {
    state.interfaces().get(&name(text)).map(|wish| wish.table)
}

#[test]
fn a_new_interface_is_lan_and_a_known_one_keeps_its_status() {
    let mut state = DesiredState::default();
    let set = |state: &mut DesiredState, now_ms| {
        at(now_ms, |call| state.set_route(name("eth0"), vec![subnet("10.0.0.5", 24)], None, call))
    };
    assert_eq!(set(&mut state, 1), Ok(Effect::Changed));
    assert_eq!(state.interfaces()[&name("eth0")].status, Status::Lan);
    assert_eq!(set(&mut state, 2), Ok(Effect::Unchanged));
    let status = |state: &mut DesiredState, status, now_ms| {
        at(now_ms, |call| state.set_status(name("eth0"), status, Some("because".into()), call))
    };
    assert_eq!(status(&mut state, Status::Disconnected, 3), Ok(Effect::Changed));
    assert_eq!(status(&mut state, Status::Disconnected, 4), Ok(Effect::Unchanged));
    assert_eq!(set(&mut state, 5), Ok(Effect::Unchanged));
    let wish = &state.interfaces()[&name("eth0")];
    assert_eq!((wish.status, wish.since_ms, wish.why.as_deref()), (Status::Disconnected, 3, Some("because")));
}

#[test]
fn since_is_of_the_status_and_not_of_its_reason() {
    let mut state = DesiredState::default();
    for (now_ms, why, since_ms) in [(1, None, 1), (2, Some("ping"), 1), (3, Some("ping"), 1)] {
        let why = why.map(String::from);
        let _ = at(now_ms, |call| state.set_status(name("eth0"), Status::Internet, why.clone(), call)).unwrap();
        let wish = &state.interfaces()[&name("eth0")];
        assert_eq!((wish.since_ms, &wish.why), (since_ms, &why));
    }
}

#[test]
fn who_repeats_a_wish_takes_over_only_what_is_nobody_s() {
    let mut state = DesiredState::default();
    let (world, orphans) = (World::default(), BTreeSet::new());
    let mut says = |id: u32, why: &str| {
        let who = (id > 0).then(|| SetBy { node: "a@b".into(), id, serial: 0, creation: 4 });
        let call = Call { world: &world, orphans: &orphans, now_ms: 1, who };
        let repeats = state.repeats_status(name("eth0"), Status::Lan, Some(why));
        let effect = state.set_status(name("eth0"), Status::Lan, Some(why.into()), &call).unwrap();
        assert!(!repeats || effect == Effect::Unchanged, "what repeats changes nothing");
        let set_by = state.interfaces()[&name("eth0")].set_by.as_ref().map_or(0, |who| who.id);
        (effect, repeats, set_by)
    };
    assert_eq!(says(0, "x"), (Effect::Changed, false, 0));
    assert_eq!(says(1, "x"), (Effect::Noted, false, 1), "it was nobody's");
    assert_eq!(says(1, "x"), (Effect::Unchanged, true, 1));
    assert_eq!(says(2, "x"), (Effect::Unchanged, true, 1));
    assert_eq!(says(2, "y"), (Effect::Noted, false, 2));
    assert!(!state.repeats_status(name("eth0"), Status::Internet, Some("y")));
    assert!(!state.repeats_status(name("eth0"), Status::Lan, None));
    assert!(!state.repeats_status(name("eth1"), Status::Lan, Some("y")));
}

#[test]
fn who_last_changed_the_route_or_the_status_owns_it() {
    let mut state = DesiredState::default();
    let (world, orphans) = (World::default(), BTreeSet::new());
    let eth0 = name("eth0");
    let gateway = |text: &str| Some(text.parse().unwrap());
    let call = |node: &str| {
        let who = (!node.is_empty()).then(|| SetBy { node: node.into(), id: 1, serial: 0, creation: 4 });
        Call { world: &world, orphans: &orphans, now_ms: 1, who }
    };
    let owners = |state: &DesiredState| {
        let wish = &state.interfaces()[&eth0];
        let owner = |owner: &Option<String>| owner.clone().unwrap_or_default();
        (owner(&wish.route_owner), owner(&wish.status_owner), wish.set_by.as_ref().unwrap().node.clone())
    };
    let route = |state: &mut DesiredState, node: &str, ip: &str| {
        let _ = state.set_route(eth0, vec![], gateway(ip), &call(node)).unwrap();
        owners(state)
    };
    let is = |route: &str, status: &str, last: &str| (route.to_owned(), status.to_owned(), last.to_owned());
    assert_eq!(route(&mut state, "a@h", "10.0.0.1"), is("a@h", "", "a@h"), "nobody has spoken of its status");
    assert_eq!(route(&mut state, "b@h", "10.0.0.1"), is("a@h", "", "a@h"), "a repetition");
    let mut status = |node: &str, status, why: &str| {
        let _ = state.set_status(eth0, status, Some(why.into()), &call(node)).unwrap();
        owners(&state)
    };
    assert_eq!(status("b@h", Status::Lan, "x"), is("a@h", "b@h", "b@h"), "what is nobody's is taken");
    assert_eq!(status("a@h", Status::Lan, "x"), is("a@h", "b@h", "b@h"), "a repetition");
    assert_eq!(status("a@h", Status::Lan, "y"), is("a@h", "b@h", "a@h"), "the reason alone");
    assert_eq!(status("a@h", Status::Internet, "y"), is("a@h", "a@h", "a@h"));
    assert_eq!(route(&mut state, "c@h", "10.0.0.2"), is("c@h", "a@h", "c@h"));
    let wish = &state.interfaces()[&eth0];
    assert!(wish.is_of("a@h") && wish.is_of("c@h") && !wish.is_of("b@h") && wish.has_route());
}

#[test]
fn tables_are_kept_while_known_and_freed_by_clear() {
    let mut state = DesiredState::default();
    for text in ["eth0", "wlan0", "ppp0"] {
        let _ = at(1, |call| state.set_status(name(text), Status::Lan, None, call)).unwrap();
    }
    assert_eq!(state.clear_route(name("wlan0")), Effect::Changed);
    let _ = at(1, |call| state.set_route(name("ppp0"), vec![], None, call)).unwrap();
    assert_eq!((table(&state, "eth0"), table(&state, "wlan0"), table(&state, "ppp0")), (Some(100), None, Some(102)));
    let _ = at(1, |call| state.set_route(name("usb0"), vec![], None, call)).unwrap();
    assert_eq!(table(&state, "usb0"), Some(101));
}

#[test]
fn one_interface_too_many_changes_nothing() {
    let mut state = DesiredState::new(2);
    for text in ["eth0", "wlan0"] {
        let _ = at(1, |call| state.set_status(name(text), Status::Lan, None, call)).unwrap();
    }
    let before = state.clone();
    let full = Err(WishError::TooManyInterfaces(2));
    assert_eq!(at(2, |call| state.set_route(name("ppp0"), vec![], None, call)), full);
    assert_eq!(at(2, |call| state.set_status(name("ppp0"), Status::Lan, None, call)), full);
    assert_eq!(state, before);
    let _ = state.clear_route(name("eth0"));
    assert_eq!(at(2, |call| state.set_route(name("ppp0"), vec![], None, call)), Ok(Effect::Changed));
}

#[test]
fn a_gateway_that_is_no_machine_changes_nothing() {
    let mut state = DesiredState::default();
    for ip in ["0.0.0.0", "::", "224.0.0.1", "255.255.255.255", "127.0.0.1", "::1", "::ffff:10.1.0.1"] {
        let ip: IpAddr = ip.parse().unwrap();
        let refused = at(1, |call| state.set_route(name("eth0"), vec![], Some(ip), call));
        assert_eq!(refused, Err(WishError::Gateway(ip)));
    }
    assert_eq!(state, DesiredState::default());
}

#[test]
fn cleared_interfaces_answer_disconnected_and_unknown_ones_nothing() {
    let mut state = DesiredState::default();
    assert_eq!(state.clear_route(name("eth0")), Effect::Unchanged);
    assert_eq!(interface_connection(&state, name("eth0")), None);
    let _ = at(1, |call| state.set_status(name("eth0"), Status::Internet, None, call)).unwrap();
    assert_eq!(interface_connection(&state, name("eth0")), Some(Status::Internet));
    assert_eq!(state.clear_route(name("eth0")), Effect::Changed);
    assert_eq!(state.clear_route(name("eth0")), Effect::Unchanged);
    assert_eq!(interface_connection(&state, name("eth0")), Some(Status::Disconnected));
}

#[test]
fn the_memory_of_cleared_interfaces_is_bounded() {
    let mut state = DesiredState::default();
    for number in 0..=MAX_CLEARED {
        let _ = at(1, |call| state.set_status(name(&format!("if{number}")), Status::Lan, None, call)).unwrap();
        let _ = state.clear_route(name(&format!("if{number}")));
    }
    assert_eq!(state.cleared().len(), MAX_CLEARED);
    assert_eq!(interface_connection(&state, name("if0")), None);
    assert_eq!(interface_connection(&state, name("if1")), Some(Status::Disconnected));
}

#[test]
fn an_override_outlives_a_clear_and_is_bounded() {
    let mut state = DesiredState::new(1);
    let ranking = Ranking::default();
    assert_eq!(state.set_metric(name("eth0"), Metric::new(5)), Ok(Effect::Changed));
    assert_eq!(state.set_metric(name("eth0"), Metric::new(5)), Ok(Effect::Unchanged));
    assert_eq!(state.metric(name("eth0"), &ranking), Metric::Disabled, "not known yet");
    let _ = at(1, |call| state.set_status(name("eth0"), Status::Lan, None, call)).unwrap();
    assert_eq!(state.metric(name("eth0"), &ranking).number(), Some(5));
    assert_eq!(state.set_metric(name("eth1"), Metric::new(5)), Err(WishError::TooManyInterfaces(1)));
    let _ = state.clear_route(name("eth0"));
    assert_eq!(state.set_metric(name("eth0"), Some(Metric::Disabled)), Ok(Effect::Changed));
    let _ = at(1, |call| state.set_status(name("eth0"), Status::Lan, None, call)).unwrap();
    assert_eq!(state.metric(name("eth0"), &ranking), Metric::Disabled);
    assert_eq!(state.set_metric(name("eth0"), None), Ok(Effect::Changed));
    assert_eq!(state.metric(name("eth0"), &ranking).number(), Some(50));
}

#[test]
fn a_state_is_rebuilt_from_its_parts() {
    let mut state = DesiredState::default();
    for text in ["eth0", "wlan0", "ppp0"] {
        let _ = at(1, |call| state.set_status(name(text), Status::Lan, None, call)).unwrap();
    }
    let _ = state.clear_route(name("wlan0"));
    let _ = state.set_metric(name("ppp0"), Metric::new(3)).unwrap();
    let rebuild = |interfaces| DesiredState::restore(8, interfaces, state.metrics().clone(), state.cleared());
    assert_eq!(rebuild(state.interfaces().clone()), Ok(state.clone()));
    for (table, error) in [(100, RestoreError::SharedTable(100)), (254, RestoreError::BadTable(254))] {
        let mut interfaces = state.interfaces().clone();
        interfaces.get_mut(&name("ppp0")).unwrap().table = table;
        assert_eq!(rebuild(interfaces), Err(error));
    }
}
