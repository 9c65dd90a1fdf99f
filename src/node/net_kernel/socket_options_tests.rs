//! O1 to O7 against sockets of the kernel's; the values are those that OTP 25 tells in the same place.

use std::net::{TcpListener, TcpStream};

use eetf::ImproperList;
use socket2::{Domain, Socket, Type};

use super::*;

fn socket() -> TcpStream {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    TcpStream::connect(listener.local_addr().unwrap()).unwrap()
}

fn option(name: &str, value: Term) -> Term {
    tuple([atom(name), value])
}

fn names(names: &[&str]) -> Term {
    list(names.iter().map(|name| atom(name)).collect::<Vec<_>>())
}

fn getopts(asked: &[&str], stream: &TcpStream, emulated: &Emulated) -> Term {
    let asked = OptionName::parse_list(&names(asked)).unwrap();
    to_ok(&read(&asked, &SockRef::from(stream), emulated).unwrap())
}

fn setopts(options: Term, stream: &TcpStream, emulated: &mut Emulated) -> Result<(), Einval> {
    let options = SocketOption::parse_list(&options)?;
    apply(&options, &SockRef::from(stream), emulated)
}

fn ok(options: impl Into<Vec<Term>>) -> Term {
    tuple([atom("ok"), list(options)])
}

#[test]
fn o1_values_in_the_order_asked() {
    let (stream, emulated) = (socket(), Emulated::default());
    stream.set_nodelay(true).unwrap();
    let on = |name| option(name, boolean(true));
    let off = |name| option(name, boolean(false));
    assert_eq!(getopts(&[], &stream, &emulated), ok([]));
    assert_eq!(getopts(&["nodelay", "keepalive"], &stream, &emulated), ok([on("nodelay"), off("keepalive")]));
    assert_eq!(getopts(&["keepalive", "nodelay"], &stream, &emulated), ok([off("keepalive"), on("nodelay")]));
    assert_eq!(getopts(&["nodelay", "nodelay"], &stream, &emulated), ok([on("nodelay"), on("nodelay")]));
    let unset = [
        option("linger", tuple([boolean(false), integer(0)])),
        option("priority", integer(0)),
        option("tos", integer(0)),
        option("send_timeout", atom("infinity")),
        off("send_timeout_close"),
    ];
    let asked = ["linger", "priority", "tos", "send_timeout", "send_timeout_close"];
    assert_eq!(getopts(&asked, &stream, &emulated), ok(unset));
}

#[test]
fn o3_what_is_unknown_or_bad_is_einval() {
    let infinity = || atom("infinity");
    for bad in [
        option("foo", integer(1)),
        option("nodelay", atom("foo")),
        option("nodelay", integer(1)),
        option("linger", integer(5)),
        option("linger", tuple([boolean(true), integer(-5)])),
        option("linger", tuple([boolean(true), infinity()])),
        option("recbuf", integer(-1)),
        option("recbuf", integer(1 << 31)),
        option("sndbuf", infinity()),
        option("priority", integer(-1)),
        option("tos", integer(256)),
        option("send_timeout", integer(-1)),
        option("send_timeout", atom("foo")),
        atom("nodelay"),
        tuple([atom("nodelay")]),
        tuple([integer(1), integer(2)]),
    ] {
        assert_eq!(SocketOption::parse_list(&list([bad.clone()])), Err(Einval), "{bad:?}");
    }
    assert_eq!(OptionName::parse_list(&names(&["nodelay", "sndbuf", "foo"])), Err(Einval));
    assert_eq!(OptionName::parse_list(&list([integer(1)])), Err(Einval));
}

#[test]
fn o3_nothing_is_applied_partially() {
    let (stream, mut emulated) = (socket(), Emulated::default());
    let all = ["keepalive", "recbuf", "sndbuf", "priority", "linger", "send_timeout"];
    let before = getopts(&all, &stream, &emulated);
    for bad in [option("foo", integer(1)), option("linger", atom("foo")), option("active", boolean(true))] {
        let options = list([option("keepalive", boolean(true)), option("recbuf", integer(8192)), bad]);
        assert_eq!(setopts(options, &stream, &mut emulated), Err(Einval));
        assert_eq!(getopts(&all, &stream, &emulated), before);
    }
}

#[test]
fn o3_what_the_kernel_refuses_is_tried_first() {
    // Whether it refuses this priority depends on who runs the test; either way it is all or nothing.
    let (stream, mut emulated) = (socket(), Emulated::default());
    let options = list([option("keepalive", boolean(true)), option("priority", integer(7))]);
    let is_done = setopts(options, &stream, &mut emulated).is_ok();
    let priority = integer(if is_done { 7 } else { 0 });
    let told = ok([option("keepalive", boolean(is_done)), option("priority", priority)]);
    assert_eq!(getopts(&["keepalive", "priority"], &stream, &emulated), told);
}

#[test]
fn o3_what_the_kernel_refuses_is_einval() {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    let mut emulated = Emulated::default();
    let options = [SocketOption::Nodelay(true), SocketOption::SendTimeout(Some(1))];
    assert_eq!(apply(&options, &SockRef::from(&socket), &mut emulated), Err(Einval));
    assert_eq!(emulated, Emulated::default());
    assert_eq!(read(&[OptionName::Nodelay], &SockRef::from(&socket), &emulated), Err(Einval));
}

#[test]
fn o4_what_is_set_is_read_back() {
    let (stream, mut emulated) = (socket(), Emulated::default());
    let other = socket();
    let all = ["nodelay", "keepalive", "priority", "tos", "linger", "send_timeout", "send_timeout_close"];
    let untouched = getopts(&all, &other, &Emulated::default());
    let options = [
        option("nodelay", boolean(true)),
        option("keepalive", boolean(true)),
        option("priority", integer(3)),
        option("tos", integer(16)),
        option("linger", tuple([boolean(true), integer(5)])),
        option("send_timeout", integer(100)),
        option("send_timeout_close", boolean(true)),
    ];
    assert_eq!(setopts(list(options.clone()), &stream, &mut emulated), Ok(()));
    assert_eq!(getopts(&all, &stream, &emulated), ok(options));
    assert_eq!(getopts(&all, &other, &Emulated::default()), untouched);
}

#[test]
fn o4_buffers_are_told_as_the_kernel_has_them() {
    let (stream, mut emulated) = (socket(), Emulated::default());
    let options = list([option("recbuf", integer(4096)), option("sndbuf", integer(8192))]);
    assert_eq!(setopts(options, &stream, &mut emulated), Ok(()));
    let told = ok([option("recbuf", integer(8192)), option("sndbuf", integer(16384))]);
    assert_eq!(getopts(&["recbuf", "sndbuf"], &stream, &emulated), told);
}

#[test]
fn o4_the_last_of_two_counts_and_tos_keeps_the_priority() {
    let (stream, mut emulated) = (socket(), Emulated::default());
    let options = [
        option("priority", integer(2)),
        option("keepalive", boolean(true)),
        option("priority", integer(5)),
        option("keepalive", boolean(false)),
        option("tos", integer(8)),
    ];
    assert_eq!(setopts(list(options), &stream, &mut emulated), Ok(()));
    let told = ok([option("keepalive", boolean(false)), option("priority", integer(5)), option("tos", integer(8))]);
    assert_eq!(getopts(&["keepalive", "priority", "tos"], &stream, &emulated), told);
}

#[test]
fn o5_new_options_replace_those_of_their_name() {
    let mut defaults = Defaults::default();
    defaults.add(&[SocketOption::Keepalive(true), SocketOption::Nodelay(false)]);
    defaults.add(&[SocketOption::Keepalive(false)]);
    let wanted = vec![SocketOption::Nodelay(false), SocketOption::Keepalive(false)];
    assert_eq!(defaults, Defaults { listen: wanted.clone(), connect: wanted });
}

#[test]
fn o5_the_defaults_go_onto_a_listener_too() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let options = [SocketOption::Keepalive(true), SocketOption::Recbuf(4096), SocketOption::Linger(Some(3))];
    let mut defaults = Defaults::default();
    defaults.add(&options);
    let mut emulated = Emulated::default();
    assert_eq!(apply(&defaults.listen, &SockRef::from(&listener), &mut emulated), Ok(()));
    let told = read(&[OptionName::Recbuf], &SockRef::from(&listener), &emulated);
    assert_eq!(told, Ok(vec![SocketOption::Recbuf(8192)]));
}

#[test]
fn o5a_configured_options_come_on_top_of_ours() {
    let parse = |text: &str| text.parse::<SocketOption>();
    let listen: Vec<_> = ["recbuf=8192", "linger=5"].into_iter().map(|text| parse(text).unwrap()).collect();
    let connect: Vec<_> = ["nodelay=false", "send_timeout=infinity"].map(|text| parse(text).unwrap()).into();
    let mut defaults = Defaults::new(&listen, &connect);
    let nodelay = SocketOption::Nodelay;
    assert_eq!(defaults.listen, [nodelay(true), SocketOption::Recbuf(8192), SocketOption::Linger(Some(5))]);
    assert_eq!(defaults.connect, [nodelay(false), SocketOption::SendTimeout(None)]);
    defaults.add(&[SocketOption::Priority(1)]);
    assert!(defaults.listen.contains(&SocketOption::Priority(1)));
    assert!(defaults.connect.contains(&SocketOption::Priority(1)));
    assert_eq!(parse("linger=off"), Ok(SocketOption::Linger(None)));
    for bad in ["nodelay", "nodelay=1", "recbuf=", "foo=1", "linger=on", "active=true", ""] {
        assert_eq!(parse(bad), Err(Einval), "{bad}");
    }
}

#[test]
fn o6_options_that_would_break_framing_are_refused() {
    for name in ["active", "packet", "mode", "header", "deliver"] {
        assert_eq!(OptionName::parse_list(&names(&[name])), Err(Einval), "{name}");
        for value in [boolean(true), boolean(false), integer(4), atom("list"), atom("port")] {
            assert_eq!(SocketOption::parse_list(&list([option(name, value)])), Err(Einval), "{name}");
        }
    }
    assert_eq!(SocketOption::parse_list(&names(&["binary"])), Err(Einval));
    assert_eq!(SocketOption::parse_list(&names(&["list"])), Err(Einval));
}

#[test]
fn o6_sockets_of_the_other_family_know_them_too() {
    let Ok(listener) = TcpListener::bind(("::1", 0)) else {
        eprintln!("skipped, there is no IPv6 here");
        return;
    };
    let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let mut emulated = Emulated::default();
    let options = [option("tos", integer(16)), option("priority", integer(3))];
    assert_eq!(setopts(list(options.clone()), &stream, &mut emulated), Ok(()));
    assert_eq!(getopts(&["tos", "priority"], &stream, &emulated), ok(options));
}

#[test]
fn o7_an_improper_list_is_a_list_and_bad() {
    let improper = ImproperList { elements: vec![atom("nodelay")], last: Box::new(atom("x")) };
    assert_eq!(OptionName::parse_list(&improper.clone().into()), Err(Einval));
    assert_eq!(SocketOption::parse_list(&improper.into()), Err(Einval));
}
