//! Every control message, plain and with a trace token, and the forms that depend on what the peer offers.

use super::Alone;
use crate::support::Talk;
use crate::support::raw::FLAGS;
use crate::support::talk::Row;

const EXIT_PAYLOAD: u64 = 1 << 22;
const SEND_SENDER: u64 = 1 << 19;
const ALIAS: u64 = 1 << 35;
const SPAWN: u64 = 1 << 32;
const SEQTRACE: u64 = 1 << 20;

/// Binds `Gone`, `Old` and `Serial`: pids of the daemon that no process has, by id, creation and serial; and `Token`.
fn strangers(talk: &mut Talk) {
    let crate::support::etf::Etf::Bytes(rm) = talk.scope["Rm"].clone() else { panic!("a pid") };
    let end = rm.len();
    for (name, at) in [("Gone", end - 10), ("Serial", end - 5), ("Old", end - 1)] {
        let mut pid = rm.clone();
        pid[at] ^= 0x55;
        talk.bind(name, &pid);
    }
    talk.bind("Token", &[104, 2, 97, 1, 106]);
}

const CALL: &str = "{'$gen_call', {Me, R1}, {get, [<<\"nothing\">>]}}";

#[test]
fn every_operation_in_its_plain_and_its_token_form() {
    let Some(alone) = Alone::start(&[]) else { return };
    let mut talk = Talk::start(&alone.daemon);
    strangers(&mut talk);
    let call = |control: &str| format!("{control} {CALL}");
    let answered: &[&str] = &["{22, Rm, Me} {R1, nil}"];
    for control in [
        "{2, '', Rm}",
        "{2, a_cookie, Rm}",
        "{12, '', Rm, Token}",
        "{6, Me, '', route_manager}",
        "{6, Me, a_cookie, 'Elixir.VintageNet.RouteManager'}",
        "{16, Me, '', route_manager, Token}",
        "{22, Me, Rm}",
        "{23, Me, Rm, Token}",
    ] {
        talk.expect(&[(control, &[&call(control)], answered)]);
    }
    for silent in [
        "{3, Me, Rm, why}",
        "{3, Me, Rm, normal}",
        "{13, Me, Rm, Token, why}",
        "{6, Me, '', nobody} hello",
        "{16, Me, '', nobody, Token} hello",
        "{7, Me, Rm}",
        "{7, Rm, Gone}",
        "{8, Me, Rm, kill}",
        "{8, Me, Rm, normal}",
        "{18, Me, Rm, Token, kill}",
        "{20, Me, Rm, R3}",
        "{20, Me, nobody, R3}",
        "{21, Gone, Me, R3, why}",
        "{22, Me, Gone} hello",
        "{22, Me, Old} hello",
        "{23, Me, Gone, Token} hello",
        "{24, Me, Rm} why",
        "{25, Me, Rm, Token} why",
        "{26, Me, Rm} kill",
        "{26, Me, Rm} normal",
        "{26, Me, Rm} shutdown",
        "{26, Me, Gone} kill",
        "{27, Me, Rm, Token} kill",
        "{28, Gone, Me, R3} why",
        "{28, nobody, Me, R3} why",
        "{31, R3, Rm, 0, Me}",
        "{31, R3, Rm, 0, badopt}",
        "{32, R3, Rm, 3, Me, Token}",
        "{33, Me, R3} hello",
        "{34, Me, R3, Token} hello",
        "{36, 1, Me, Rm}",
    ] {
        talk.expect(&[(silent, &[silent], &[])]);
    }
}

#[test]
fn links_by_raw_bytes() {
    let Some(alone) = Alone::start(&[]) else { return };
    let mut talk = Talk::start(&alone.daemon);
    strangers(&mut talk);
    let call = format!("{{22, Me, Rm}} {CALL}");
    let rows: &[Row<'_>] = &[
        ("an unknown pid", &["{1, Me, Gone}"], &["{24, Gone, Me} noproc"]),
        ("a pid of an earlier life", &["{1, Me, Old}"], &["{24, Old, Me} noproc"]),
        ("another serial", &["{1, Me, Serial}"], &["{24, Serial, Me} noproc"]),
        ("a second link is no news", &["{1, Me, Rm}", "{1, Me, Rm}"], &[]),
        (
            "the ack comes before any answer",
            &["{35, 1, Me, Rm}", &call],
            &["{36, 1, Rm, Me}", "{22, Rm, Me} {R1, nil}"],
        ),
        ("an id of 32 bits", &["{35, 4294967295, Me, Rm}"], &["{36, 4294967295, Rm, Me}"]),
        ("the greatest id", &["{35, 18446744073709551615, Me, Rm}"], &["{36, 18446744073709551615, Rm, Me}"]),
        ("unlink of what was never linked", &["{35, 7, Other, Rm}"], &["{36, 7, Rm, Other}"]),
        ("unlink from nobody", &["{35, 8, Me, Gone}"], &["{36, 8, Gone, Me}"]),
        ("twice", &["{35, 9, Me, Rm}", "{35, 10, Me, Rm}"], &["{36, 9, Rm, Me}", "{36, 10, Rm, Me}"]),
        (
            "linked, and dead",
            &["{1, Other, Rm}", "{24, Other, Rm} boom", "{35, 11, Other, Rm}"],
            &["{36, 11, Rm, Other}"],
        ),
        ("net_kernel and rex", &["{1, Me, Net}", "{1, Me, Rex}", "{35, 12, Me, Net}"], &["{36, 12, Net, Me}"]),
    ];
    talk.expect(rows);
}

#[test]
fn monitors_by_raw_bytes_echo_what_was_named() {
    let Some(alone) = Alone::start(&[]) else { return };
    let mut talk = Talk::start(&alone.daemon);
    strangers(&mut talk);
    let five = talk.raw.reference(&[1, 2, 3, 4, 5]);
    talk.bind("Long", &five);
    let rows: &[Row<'_>] = &[
        ("an unknown name", &["{19, Me, nobody, R1}"], &["{28, nobody, Me, R1} noproc"]),
        ("the empty name", &["{19, Me, '', R1}"], &["{28, '', Me, R1} noproc"]),
        ("an unknown pid", &["{19, Me, Gone, R1}"], &["{28, Gone, Me, R1} noproc"]),
        ("a pid of an earlier life", &["{19, Me, Old, R1}"], &["{28, Old, Me, R1} noproc"]),
        ("a reference of five words", &["{19, Me, nobody, Long}"], &["{28, nobody, Me, Long} noproc"]),
        ("those who live", &["{19, Me, Rm, R1}", "{19, Me, net_kernel, R2}", "{19, Me, Rex, R3}"], &[]),
        ("demonitor has no answer", &["{20, Me, Rm, R1}", "{20, Me, net_kernel, R2}", "{20, Me, Rex, R3}"], &[]),
    ];
    talk.expect(rows);
}

/// Ends `route_manager` with links and monitors on it; what is heard then, sorted by kind.
fn end_of_route_manager(flags: u64, exit: &str, down: &str) {
    let Some(mut alone) = Alone::start(&["--admin", "all"]) else { return };
    let mut talk = Talk::with(&alone.daemon, flags);
    let rows: &[Row<'_>] = &[
        ("links", &["{1, Me, Rm}", "{1, Other, Rm}", "{35, 1, Other, Rm}"], &["{36, 1, Rm, Other}"]),
        ("monitors", &["{19, Me, Rm, R1}", "{19, Other, route_manager, R2}"], &[]),
        ("by its other name", &["{19, Me, 'Elixir.VintageNet.RouteManager', R3}"], &[]),
        ("no longer", &["{19, Me, Rm, R4}", "{20, Me, Rm, R4}"], &[]),
    ];
    talk.expect(rows);
    let tag = talk.raw.reference(&[8, 8, 8]);
    talk.bind("Tag", &tag);
    talk.say("{22, Me, Rm} {system, {Me, Tag}, {terminate, {bye, 1}}}");
    let send = if flags & SEND_SENDER == 0 { "{2, '', Me}" } else { "{22, Rm, Me}" };
    talk.hears(&format!("{send} {{Tag, ok}}"));
    // The link of the one process first, then the monitors in any order.
    talk.hears(exit);
    let mut downs: Vec<_> = (0..3).map(|_| talk.next()).collect();
    for (target, to, reference) in
        [("Rm", "Me", "R1"), ("route_manager", "Other", "R2"), ("'Elixir.VintageNet.RouteManager'", "Me", "R3")]
    {
        let down = down.replace("TARGET", target).replace("TO", to).replace("REF", reference);
        let patterns = crate::support::etf::Etf::parse(&down);
        let mut scope = talk.scope.clone();
        let found = downs.iter().position(|heard| {
            heard.len() == patterns.len() && heard.iter().zip(&patterns).all(|(t, p)| t.matches(p, &mut scope))
        });
        downs.remove(found.unwrap_or_else(|| panic!("no {down} in {downs:?}")));
    }
    assert_eq!(alone.daemon.exit_code(), Some(0));
}

#[test]
fn the_end_is_told_by_payload_to_those_who_know_it() {
    end_of_route_manager(FLAGS, "{24, Rm, Me} {bye, 1}", "{28, TARGET, TO, REF} {bye, 1}");
}

#[test]
fn the_end_is_told_inside_the_control_message_without_exit_payload() {
    end_of_route_manager(FLAGS & !EXIT_PAYLOAD, "{3, Rm, Me, {bye, 1}}", "{21, TARGET, TO, REF, {bye, 1}}");
}

#[test]
fn without_exit_payload_op_3_and_21() {
    let Some(alone) = Alone::start(&[]) else { return };
    let mut talk = Talk::with(&alone.daemon, FLAGS & !EXIT_PAYLOAD);
    strangers(&mut talk);
    let undef = "{undef, [{lists, nothing, [], []}]}";
    let spawn = "{29, R1, Me, Me, {lists, nothing, 0}, [link, monitor]} []";
    talk.expect(&[
        ("link", &["{1, Me, Gone}"], &["{3, Gone, Me, noproc}"]),
        ("monitor by name", &["{19, Me, nobody, R1}"], &["{21, nobody, Me, R1, noproc}"]),
        ("monitor by pid", &["{19, Me, Gone, R1}"], &["{21, Gone, Me, R1, noproc}"]),
        (
            "spawned",
            &[spawn],
            &["{31, R1, Me, 3, P}", &format!("{{3, P, Me, {undef}}}"), &format!("{{21, P, Me, R1, {undef}}}")],
        ),
    ]);
}

#[test]
fn without_send_sender_op_2_and_without_alias_no_33() {
    let Some(alone) = Alone::start(&[]) else { return };
    let asks = |tag: &str| format!("{{6, Me, '', net_kernel}} {{'$gen_call', {{Me, {tag}}}, {{is_auth, Node}}}}");
    let rex = "{6, Me, '', rex} {Me, {call, erlang, node, [], user}}";
    for (flags, plain, alias) in [
        (FLAGS, "{22, _, Me}", Some("{33, _, R1}")),
        (FLAGS & !SEND_SENDER, "{2, '', Me}", Some("{33, _, R1}")),
        (FLAGS & !ALIAS, "{22, _, Me}", None),
        (FLAGS & !(ALIAS | SEND_SENDER | SPAWN | EXIT_PAYLOAD | SEQTRACE), "{2, '', Me}", None),
    ] {
        let mut talk = Talk::with(&alone.daemon, flags);
        let alias = alias.unwrap_or(plain);
        talk.expect(&[
            ("plain", &[&asks("R1")], &[&format!("{plain} {{R1, yes}}")]),
            ("alias", &[&asks("[alias | R1]")], &[&format!("{alias} {{[alias | R1], yes}}")]),
            ("multi_call", &[&asks("[[alias | R1] | R2]")], &[&format!("{alias} {{[[alias | R1] | R2], yes}}")]),
            ("rex", &[rex], &[&format!("{plain} {{rex, N}}")]),
        ]);
    }
}

#[test]
fn a_c_node_as_erl_call_is_one() {
    // What erl_call of OTP 25 to 29 offers, and the rpc that it does.
    let Some(alone) = Alone::start(&[]) else { return };
    let mut talk = Talk::with(&alone.daemon, 0x4_0707_4f9c);
    talk.say("{6, Me, '', rex} {Me, {call, erlang, node, [], user}}");
    talk.hears("{2, '', Me} {rex, N}");
    talk.say("{6, Me, '', rex} {Me, {call, erlang, halt, [], user}}");
    talk.hears("{2, '', Me} {rex, {error, not_allowed}}");
}

/// OTP 28 and later: a message or an exit signal to a pid, a name or an alias, as the bits say.
#[test]
fn op_37_in_all_its_forms() {
    let Some(alone) = Alone::start(&[]) else { return };
    let mut talk = Talk::with(&alone.daemon, FLAGS | 1 << 37);
    strangers(&mut talk);
    for control in [
        "{37, 0, Me, Rm}",
        "{37, 1, Me, Rm}",
        "{37, 2, Me, Rm, Token}",
        "{37, 3, Me, Rm, Token}",
        "{37, 8, Me, route_manager}",
        "{37, 10, Me, 'Elixir.VintageNet.RouteManager', Token}",
        // Bits and fields of versions to come.
        "{37, 32, Me, Rm}",
        "{37, 1032, Me, route_manager}",
        "{37, 0, Me, Rm, more, fields}",
        "{37, 2, Me, Rm, Token, more}",
    ] {
        talk.expect(&[(control, &[&format!("{control} {CALL}")], &["{22, Rm, Me} {R1, nil}"])]);
    }
    for silent in [
        "{37, 0, Me, Gone} hello",
        "{37, 0, Me, Old} hello",
        "{37, 8, Me, nobody} hello",
        "{37, 4, Me, R3} hello",
        "{37, 5, Me, R3} hello",
        "{37, 16, Me, Rm} kill",
        "{37, 17, Me, Rm} boom",
        "{37, 18, Me, Rm, Token} kill",
        "{37, 16, Me, Gone} kill",
        "{37, 20, Me, R3} kill",
        "{37, 24, Me, route_manager} kill",
    ] {
        talk.expect(&[(silent, &[silent], &[])]);
    }
    let ask = |tag: &str| format!("{{6, Me, '', net_kernel}} {{'$gen_call', {{Me, {tag}}}, {{is_auth, Node}}}}");
    talk.expect(&[
        ("alias", &[&ask("[alias | R1]")], &["{37, 4, Net, R1} {[alias | R1], yes}"]),
        ("multi_call", &[&ask("[[alias | R1] | R2]")], &["{37, 4, Net, R1} {[[alias | R1] | R2], yes}"]),
        ("plain", &[&ask("R1")], &["{22, Net, Me} {R1, yes}"]),
    ]);
    talk.say("{37, 0, Me}");
    assert!(talk.raw.is_closed_within(std::time::Duration::from_secs(5)), "too short");
}
