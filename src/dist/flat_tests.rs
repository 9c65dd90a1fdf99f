use super::*;
use crate::dist::{Control, Message};
use crate::term::{Limits, PlainPid, list};
use eetf::Atom;
use proptest::prelude::*;

const US: PlainPid<'_> = PlainPid { node: "gw1@h", id: 100, serial: 0, creation: 9 };

fn pid(node: &str) -> Pid {
    Pid { node: Atom::from(node), id: 77, serial: 1, creation: 5 }
}

fn reference(words: usize) -> Reference {
    Reference { node: Atom::from("a@h"), id: vec![3; words], creation: 5 }
}

fn alias(words: usize) -> Term {
    eetf::ImproperList { elements: vec![atom("alias")], last: Box::new(reference(words).into()) }.into()
}

fn frame(payload: &Term) -> Bytes {
    let mut out = Vec::new();
    Control::RegSend { from: pid("a@h"), name: "route_manager".into() }.encode(Some(payload), &mut out);
    Bytes::from(out).slice(4..)
}

fn call(tag: Term, request: Term) -> Bytes {
    frame(&tuple([atom("$gen_call"), tuple([Term::from(pid("a@h")), tag]), request]))
}

fn alias_in(tag: &Term) -> Option<Reference> {
    match tag {
        Term::ImproperList(tag) => match &*tag.last {
            Term::Reference(alias) => Some((**alias).clone()),
            _ => None,
        },
        _ => None,
    }
}

fn encoded(encode: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    encode(&mut out);
    out
}

/// What it is for everybody else, and the replies that they would make.
fn agrees(flat: &Flat, frame: &Bytes) {
    let flat = flat.first().unwrap();
    let message = Message::decode(frame, Limits::default()).unwrap();
    let (Control::RegSend { from, name }, Some(Term::Tuple(payload))) = (message.control, message.payload) else {
        panic!()
    };
    assert_eq!(flat.name(), name.name);
    let (request, rest) = payload.elements.split_last().unwrap();
    assert_eq!(flat.request().to_term(), *request);
    let [kind, caller @ ..] = rest else { panic!() };
    assert_eq!(*kind, atom(if flat.is_call() { CALL } else { CAST }));
    let [Term::Tuple(caller)] = caller else { return assert_eq!(flat.sender(), Some(from)) };
    let [Term::Pid(pid), tag] = caller.elements.as_slice() else { panic!() };
    assert_eq!((flat.sender().as_ref(), flat.tag().as_ref()), (Some(pid), Some(tag)));
    assert!(flat.is_of(&pid.node.name) && !flat.is_of("x@h"));
    for flags in [
        Flags::OFFERED,
        Flags::OFFERED.without(Flags::ALTACT_SIG),
        Flags::OFFERED.without(Flags::ALIAS),
        Flags::DEMANDED,
    ] {
        let control = match alias_in(tag) {
            Some(alias) if flags.contains(Flags::ALIAS) => Control::alias_send(flags, US.into(), alias),
            _ => Control::send(flags, US.into(), pid.clone()),
        };
        let (mut right, mut out) = (vec![1, 2], vec![1, 2]);
        control.encode(Some(&tuple([tag.clone(), atom("ok")])), &mut right);
        flat.reply(
            flags,
            &encoded(|out| US.encode(out)),
            &encoded(|out| crate::term::encode(&atom("ok"), out)),
            &mut out,
        );
        assert_eq!(out, right, "{flags:?}");
    }
}

#[test]
fn what_is_flat_and_what_is_not() {
    let status = || tuple([atom("set_connection_status"), binary("eth0"), atom("internet")]);
    let is_flat = |frame: &Bytes| Flat::of(frame).inspect(|flat| agrees(flat, frame)).is_some();
    for tag in [alias(3), Term::from(reference(3)), reference(1).into(), alias(5)] {
        for request in [status(), atom("status"), tuple([atom("set_metric"), atom("grüße"), integer(-5), integer(255)])]
        {
            assert!(is_flat(&call(tag.clone(), request)));
        }
    }
    assert!(is_flat(&frame(&tuple([atom("$gen_cast"), status()]))));
    for request in [
        tuple([]),
        integer(1),
        binary("x"),
        tuple([binary("x")]),
        tuple([atom("a"), list([integer(1)])]),
        tuple(vec![atom("a"); 9]),
    ] {
        assert!(!is_flat(&call(alias(3), request.clone())), "{request:?}");
    }
    let mut three = status();
    if let Term::Tuple(fields) = &mut three {
        fields.elements.push(integer(1 << 40));
    }
    for payload in
        [three, tuple([atom("$gen_call"), status()]), tuple([atom("$gen_cast"), status(), status()]), atom("x")]
    {
        assert!(!is_flat(&frame(&payload)), "{payload:?}");
    }
    for tag in [
        atom("x"),
        tuple([]),
        eetf::ImproperList { elements: vec![atom("other")], last: Box::new(reference(3).into()) }.into(),
    ] {
        assert!(!is_flat(&call(tag, status())));
    }
    assert!(!is_flat(&call(alias(3), tuple([atom("why"), binary(vec![0; MAX_FRAME])]))));
}

#[test]
fn those_to_one_name_come_together() {
    let cast = |n| frame(&tuple([atom("$gen_cast"), tuple([atom("a"), integer(n)])]));
    let frames = [cast(1), call(alias(3), atom("status")), cast(256), call(reference(3).into(), atom("grüße"))];
    let mut other = Vec::new();
    Control::RegSend { from: pid("a@h"), name: "other".into() }
        .encode(Some(&tuple([atom("$gen_cast"), atom("a")])), &mut other);
    let mut gathering = Gathering::default();
    for frame in &frames {
        assert!(gathering.take(frame, 500) && gathering.name() == Some("route_manager"));
        assert!(!gathering.take(&other[4..], 0) && !gathering.take(b"p", 0));
    }
    let flat = gathering.finish();
    assert!(gathering.is_empty() && gathering.name().is_none());
    assert_eq!(flat.len(), 4);
    for (one, frame) in flat.split().zip(&frames) {
        agrees(&one, frame);
    }
    assert!((0..Gathering::MOST).all(|_| gathering.take(&other[4..], 0)) && !gathering.take(&other[4..], 0));
}

#[test]
fn words() {
    let frame = call(alias(3), tuple([atom("clear_route"), binary("eth0")]));
    let flat = Flat::of(&frame).unwrap();
    let flat = flat.first().unwrap();
    assert_eq!(flat.request().words(), Some(("clear_route", [Plain::Binary(b"eth0")])));
    assert_eq!(flat.request().words::<0>(), None);
    assert_eq!(flat.request().words::<2>(), None);
    let frame = call(alias(3), atom("status"));
    assert_eq!(Flat::of(&frame).unwrap().first().unwrap().request().words(), Some(("status", [])));
}

proptest! {
    /// Whatever a peer makes of such a frame: what is taken flat is what it would be otherwise.
    #[test]
    fn never_something_else(
        changes in proptest::collection::vec((0_usize..130, any::<u8>()), 0..3),
        cut in 0_usize..200,
        is_cast: bool,
    ) {
        let request = tuple([atom("set_connection_status"), binary("eth0"), atom("internet")]);
        let whole = if is_cast { frame(&tuple([atom("$gen_cast"), request])) } else { call(alias(3), request) };
        let mut bytes = whole.to_vec();
        for (at, byte) in changes {
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
        }
        bytes.truncate(bytes.len().min(cut));
        let changed = Bytes::from(bytes);
        // It is the same behind one that is nearly like it.
        let mut gathering = Gathering::default();
        prop_assert!(gathering.take(&whole, 0));
        let _ = gathering.finish();
        let behind = gathering.take(&changed, 0).then(|| gathering.finish());
        let alone = Flat::of(&changed);
        prop_assert_eq!(&behind, &alone);
        if let Some(flat) = alone {
            agrees(&flat, &changed);
        }
    }
}
