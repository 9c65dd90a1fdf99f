//! Every function with arguments that it takes and does not take, and the rights.

use eetf::{BigInteger, Float, ImproperList};
use num_bigint::BigInt;

use super::*;
use crate::node::NameKind;
use crate::term::{boolean, integer, map, string};

const OURS: &str = "n@h";
const CALLER: &str = "p@h";

fn parse(function: &str, args: impl Into<Vec<Term>>) -> Result<NetKernelCall, Answer> {
    NetKernelCall::parse(function, &args.into())
}

/// The reason of the exception, once its only frame has been found to name the call.
fn raised(function: &str, args: impl Into<Vec<Term>>) -> Term {
    let args = args.into();
    let Err(Answer::Error(reason, stack)) = NetKernelCall::parse(function, &args) else {
        panic!("{function} takes {args:?}");
    };
    assert_eq!(stack, list([tuple([atom("net_kernel"), atom(function), list(args), list([])])]));
    reason
}

fn float(value: f64) -> Term {
    Float { value }.into()
}

fn huge() -> Term {
    BigInteger { value: BigInt::from(1) << 80 }.into()
}

fn start(name: &str, domain: NameKind, net_ticktime: u32) -> NetKernelCall {
    NetKernelCall::Start(Start {
        domain,
        net_ticktime: NonZeroU32::new(net_ticktime),
        net_tickintensity: Some(4),
        ..Start::long(name)
    })
}

fn options(pairs: &[(&str, Term)]) -> Term {
    map(pairs.iter().map(|(key, value)| (atom(key), value.clone())))
}

#[test]
fn unknown_functions_and_arities_are_undef() {
    for (function, arity) in [
        ("foo", 0),
        ("allow", 0),
        ("allow", 2),
        ("connect_node", 2),
        ("get_net_ticktime", 1),
        ("set_net_ticktime", 0),
        ("set_net_ticktime", 3),
        ("getopts", 1),
        ("setopts", 3),
        ("monitor_nodes", 0),
        ("monitor_nodes", 3),
        ("start", 0),
        ("start", 3),
        ("stop", 1),
    ] {
        assert_eq!(raised(function, vec![atom("a"); arity]), atom("undef"), "{function}/{arity}");
    }
}

#[test]
fn a8_allow_takes_anything_and_judges_later() {
    let improper = Term::from(ImproperList { elements: vec![atom("a")], last: Box::new(atom("b")) });
    for nodes in [list([atom("a@h")]), atom("a"), improper, string("ab")] {
        assert_eq!(parse("allow", [nodes.clone()]), Ok(NetKernelCall::Allow(nodes)));
    }
}

#[test]
fn c5_connect_node_takes_any_atom_and_nothing_else() {
    for name in ["foo", "@", "a@", "@b", "a@b"] {
        assert_eq!(parse("connect_node", [atom(name)]), Ok(NetKernelCall::ConnectNode(name.to_owned())));
    }
    for bad in [string("a@b"), integer(1)] {
        assert_eq!(raised("connect_node", [bad]), atom("function_clause"));
    }
}

#[test]
fn s7_times_are_whole_seconds() {
    for bad in [integer(0), integer(-1), atom("a"), float(1.0), string("60")] {
        assert_eq!(raised("set_net_ticktime", [bad.clone()]), atom("function_clause"));
        assert_eq!(raised("set_net_ticktime", [bad, integer(1)]), atom("function_clause"));
    }
    for bad in [integer(-1), atom("a"), float(1.0)] {
        assert_eq!(raised("set_net_ticktime", [integer(60), bad]), atom("function_clause"));
    }
}

#[test]
fn s7_times_beyond_all_measure() {
    assert_eq!(raised("set_net_ticktime", [huge()]), atom("system_limit"));
    assert_eq!(raised("set_net_ticktime", [integer(1 << 32), integer(0)]), atom("system_limit"));
    assert_eq!(raised("set_net_ticktime", [huge(), atom("a")]), atom("function_clause"));
    let ticktime = NonZeroU32::new(8).unwrap();
    let call = NetKernelCall::SetNetTicktime { ticktime, transition: u32::MAX };
    assert_eq!(parse("set_net_ticktime", [integer(8), huge()]), Ok(call));
}

#[test]
fn s8_the_transition_period_is_sixty_seconds() {
    let with_period = parse("set_net_ticktime", [integer(8), integer(60)]);
    assert!(with_period.is_ok());
    assert_eq!(parse("set_net_ticktime", [integer(8)]), with_period);
}

#[test]
fn o5_new_is_no_node() {
    let options = || list([tuple([atom("nodelay"), boolean(true)])]);
    let new = NetKernelCall::SetoptsNew { options: options() };
    assert_eq!(parse("setopts", [atom("new"), options()]), Ok(new));
    let of_node = NetKernelCall::Setopts { node: CALLER.to_owned(), options: options() };
    assert_eq!(parse("setopts", [atom(CALLER), options()]), Ok(of_node));
}

#[test]
fn o7_an_atom_and_a_list() {
    let improper = Term::from(ImproperList { elements: vec![atom("nodelay")], last: Box::new(atom("x")) });
    for function in ["getopts", "setopts"] {
        assert_eq!(raised(function, [string("a"), list([])]), atom("function_clause"));
        assert_eq!(raised(function, [atom(CALLER), atom("foo")]), atom("function_clause"));
        assert_eq!(raised(function, [atom("new"), tuple([atom("foo")])]), atom("function_clause"));
        assert!(parse(function, [atom(CALLER), improper.clone()]).is_ok());
        assert!(parse(function, [atom(CALLER), list([])]).is_ok());
    }
}

#[test]
fn m6_monitor_nodes_takes_anything_and_judges_later() {
    let call = |options| Ok(NetKernelCall::MonitorNodes { flag: atom("foo"), options });
    assert_eq!(parse("monitor_nodes", [atom("foo")]), call(None));
    assert_eq!(parse("monitor_nodes", [atom("foo"), atom("bar")]), call(Some(atom("bar"))));
}

#[test]
fn m6_a_gen_call_asks_the_same() {
    let asked = |elements: &[Term]| NetKernelCall::from_gen_request(&tuple(elements));
    let words = [atom("monitor_nodes"), boolean(true), list([])];
    assert_eq!(asked(&words[..2]), parse("monitor_nodes", &words[1..2]).ok());
    assert_eq!(asked(&words), parse("monitor_nodes", &words[1..]).ok());
    assert_eq!(asked(&words[..1]), None);
    assert_eq!(asked(&[atom("is_auth"), atom(CALLER)]), None);
}

#[test]
fn t1_bad_options_of_start_are_named() {
    let invalid = |key: &str, value: Term| tuple([atom("invalid_option"), atom(key), value]);
    for (key, value) in [
        ("bad", integer(1)),
        ("name", atom("b")),
        ("name_domain", atom("foo")),
        ("net_ticktime", integer(0)),
        ("net_tickintensity", integer(3)),
        ("net_tickintensity", integer(1001)),
        ("dist_listen", atom("x")),
        ("hidden", integer(1)),
    ] {
        let reason = raised("start", [atom("a"), options(&[("hidden", boolean(true)), (key, value.clone())])]);
        assert_eq!(reason, invalid(key, value));
    }
    let two = options(&[("net_tickintensity", integer(3)), ("bad", integer(1))]);
    assert_eq!(raised("start", [atom("a"), two]), invalid("bad", integer(1)));
    assert_eq!(raised("start", [atom("a"), list([])]), atom("invalid_options"));
    assert_eq!(raised("start", [integer(1), list([])]), atom("invalid_options"));
    assert_eq!(raised("start", [integer(1), options(&[])]), atom("invalid_name"));
}

#[test]
fn t1_good_options_of_start() {
    let given = options(&[
        ("name_domain", atom("shortnames")),
        ("net_ticktime", integer(8)),
        ("net_tickintensity", integer(1000)),
        ("dist_listen", boolean(false)),
        ("hidden", boolean(true)),
    ]);
    let request = Start {
        name: "a".to_owned(),
        domain: NameKind::Short,
        net_ticktime: NonZeroU32::new(8),
        net_tickintensity: Some(1000),
        dist_listen: Some(false),
        hidden: Some(true),
    };
    assert_eq!(parse("start", [atom("a"), given]), Ok(NetKernelCall::Start(request)));
    let plain = NetKernelCall::Start(Start::long("a"));
    assert_eq!(parse("start", [atom("a"), options(&[])]), Ok(plain));
}

#[test]
fn t1_the_answer_of_a_node_that_is_started() {
    let pid = Pid { node: Atom::from(OURS), id: 58, serial: 0, creation: 4 };
    let reason = tuple([atom("already_started"), pid.clone().into()]);
    assert_eq!(already_started(&pid), tuple([atom("error"), reason]));
}

#[test]
fn t2_tick_is_an_interval() {
    for (tick_ms, net_ticktime) in [(15_000, 60), (1, 1), (250, 1), (251, 2), (1_000, 4), (1_100, 5)] {
        let call = parse("start", [list([atom("a"), atom("shortnames"), integer(tick_ms)])]);
        assert_eq!(call, Ok(start("a", NameKind::Short, net_ticktime)), "{tick_ms}");
    }
    assert_eq!(raised("start", [list([atom("a"), atom("longnames"), huge()])]), atom("system_limit"));
}

#[test]
fn t2a_long_names_and_fifteen_seconds() {
    assert_eq!(parse("start", [list([atom("a")])]), Ok(start("a", NameKind::Long, 60)));
    let short = parse("start", [list([atom("a"), atom("shortnames")])]);
    assert_eq!(short, Ok(start("a", NameKind::Short, 60)));
}

#[test]
fn t3_bad_lists() {
    let improper = Term::from(ImproperList { elements: vec![atom("a")], last: Box::new(atom("b")) });
    for parts in [
        list([]),
        list([integer(1)]),
        list([string("a")]),
        list([atom("a"), atom("foo")]),
        list([atom("a"), integer(1)]),
        list([atom("a"), atom("longnames"), integer(0)]),
        list([atom("a"), atom("longnames"), integer(-1)]),
        list([atom("a"), atom("longnames"), float(1.0)]),
        list([atom("a"), atom("foo"), integer(0)]),
        list([atom("a"), atom("longnames"), integer(15_000), integer(1)]),
        string("abc"),
        atom("foo"),
        improper,
    ] {
        assert_eq!(raised("start", [parts]), atom("function_clause"));
    }
}

#[test]
fn t4_nobody_stops_us_from_elsewhere() {
    assert_eq!(parse("stop", []).map(|call| call.right(OURS, CALLER)), Ok(Right::Never));
    assert_eq!(not_allowed(), tuple([atom("error"), atom("not_allowed")]));
}

#[test]
fn r1_reading_is_free_and_changing_is_not() {
    let nodelay = || list([atom("nodelay")]);
    for (function, args, right) in [
        ("get_net_ticktime", vec![], Right::Read),
        ("getopts", vec![atom(CALLER), nodelay()], Right::Read),
        ("monitor_nodes", vec![boolean(true)], Right::Read),
        ("connect_node", vec![atom(OURS)], Right::Read),
        ("connect_node", vec![atom(CALLER)], Right::Read),
        ("connect_node", vec![atom("third@h")], Right::Admin),
        ("allow", vec![list([])], Right::Admin),
        ("set_net_ticktime", vec![integer(60)], Right::Admin),
        ("setopts", vec![atom(CALLER), nodelay()], Right::Admin),
        ("setopts", vec![atom("new"), nodelay()], Right::Admin),
        ("start", vec![list([atom("a")])], Right::Admin),
        ("start", vec![atom("a"), options(&[])], Right::Admin),
    ] {
        let call = parse(function, args).unwrap();
        assert_eq!(call.right(OURS, CALLER), right, "{call:?}");
    }
    assert_eq!(right_towards("third@h", OURS, CALLER), Right::Admin);
    assert_eq!(right_towards(CALLER, OURS, CALLER), Right::Read);
}
