//! The command line's terms beside `erl_scan` and `erl_parse`.

use beamroute::cli::syntax::{Flat, parse};
use beamroute::term::{Limits, Term, decode};

use crate::support::{Beam, Epmd};

/// What both read, to the same value, or refuse.
const SAME: &[&str] = &[
    "{set_route, \"eth0\", [{{192,168,1,50}, 24}], {192,168,1,1}}",
    "atom",
    "'quoted atom'",
    "a@b_C9",
    "'it\\'s'",
    "éa",
    "Var",
    "_",
    "''",
    "end",
    "'end'",
    "andalso",
    "fun",
    "a b",
    "{a,b",
    "[a|b|c]",
    "0",
    "-1",
    "+1",
    "- 1",
    "1_000",
    "1__0",
    "_1",
    "1_",
    "16#fF",
    "2#102",
    "36#zZ",
    "37#0",
    "1#0",
    "16#",
    "123456789012345678901234567890",
    "1.0",
    "1.5e3",
    "1.5E-3",
    "1.0e400",
    "-0.0",
    "1.e3",
    "0.1e+2",
    "1e3",
    "12ab",
    "$a",
    "$\\n",
    "$\\x41",
    "$\\x{3bb}",
    "$\\^A",
    "$\\101",
    "$λ",
    "-$a",
    "$ ",
    "$\\s",
    "\"\"",
    "\"abc\"",
    "\"a\\tb\\\\ \\\"q\\\"\"",
    "\"a\" \"b\"",
    "\"é λ\"",
    "\"\\x{1F600}\"",
    "\"\\d\\e\\b\"",
    "\"open",
    "'open",
    "\"\\400\"",
    "\"\\x{110000}\"",
    "\"\\xg1\"",
    "\"line\\\nnext\"",
    "<<>>",
    "<<1,2,255>>",
    "<<\"abc\">>",
    "<<\"é\">>",
    "<<\"λ\"/utf8>>",
    "<<\"a\",0,\"b\"/utf8>>",
    "<<5:3>>",
    "<<1:1,2:7>>",
    "<<1:12,3:4>>",
    "<<-1>>",
    "<<955/utf8>>",
    "<< 1 , 2 >>",
    "<<1,>>",
    "<<a>>",
    "<<258:16>>",
    "<<-2:16>>",
    "[]",
    "[1]",
    "[1,2|3]",
    "[1|[2|[3]]]",
    "[1|[2|3]]",
    "[|1]",
    "[1,]",
    "[ a , b ]",
    "{}",
    "{a}",
    "{a,}",
    "{ a , {b} }",
    "#{}",
    "#{a => 1}",
    "#{a => 1, b => #{c => []}}",
    "#{a => 1, a => 2}",
    "#{a => }",
    "#{a}",
    "#{1 => a, 1.0 => b}",
    "#{{1,2} => \"x\"}",
    "fun lists:map/2",
    "fun 'a b':c/0",
    "fun m:f/256",
    "% comment\na",
    "a % comment",
    "",
    "   ",
    "\u{a0}a",
];

/// What we refuse and Erlang reads: cut to eight bits without a word, types of segments, expressions.
const REFUSED: &[&str] = &["<<256>>", "<<\"λ\">>", "<<1/little>>", "<<1.5/float>>"];

/// Their values as Erlang has them.
fn erlang(beam: &Beam, texts: &[String]) -> Vec<Option<Term>> {
    let codes = |text: &String| format!("{:?}", text.chars().map(u32::from).collect::<Vec<_>>());
    let all = texts.iter().map(codes).collect::<Vec<_>>().join(",");
    let read = "fun(T) -> {ok, Ts, _} = erl_scan:string(T ++ \"\\n.\"), {ok, V} = erl_parse:parse_term(Ts), V end";
    let expression = format!(
        "lists:join($,, [try base64:encode_to_string(term_to_binary(({read})(T))) catch _:_ -> \"error\" end || T <- [{all}]])."
    );
    let answer = beam.json(&format!("iolist_to_binary({}).", expression.trim_end_matches('.')));
    let read = |word: &str| (word != "error").then(|| decode(&base64(word), Limits::default()).unwrap());
    answer.as_str().unwrap().split(',').map(read).collect()
}

fn base64(text: &str) -> Vec<u8> {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let values = text.bytes().filter_map(|byte| alphabet.iter().position(|other| *other == byte));
    let bits: String = values.map(|value| format!("{value:06b}")).collect();
    bits.as_bytes()
        .chunks_exact(8)
        .map(|byte| u8::from_str_radix(std::str::from_utf8(byte).unwrap(), 2).unwrap())
        .collect()
}

#[test]
fn terms_are_read_as_erlang_reads_them_and_printed_as_it_would_read_them() {
    let Some(epmd) = Epmd::start() else { return };
    let Some(beam) = Beam::start(&epmd.place(), "syntax") else { return };
    let texts: Vec<String> = SAME.iter().map(ToString::to_string).collect();
    let mut printed = Vec::new();
    for (text, theirs) in texts.iter().zip(erlang(&beam, &texts)) {
        let ours = parse(text);
        assert_eq!(ours.as_ref().ok(), theirs.as_ref(), "{text}: {ours:?}");
        printed.extend(theirs.map(|term| (Flat(&term).to_string(), term)));
    }
    assert!(printed.len() > 60, "most of them are terms");
    let texts: Vec<String> = printed.iter().map(|(text, _)| text.clone()).collect();
    for ((text, term), theirs) in printed.iter().zip(erlang(&beam, &texts)) {
        assert_eq!(theirs.as_ref(), Some(term), "{text}");
    }
    for text in REFUSED {
        assert!(parse(text).is_err(), "{text}");
    }
}

#[test]
fn what_erlang_prints_is_read() {
    let Some(epmd) = Epmd::start() else { return };
    let Some(beam) = Beam::start(&epmd.place(), "syntax") else { return };
    let term =
        "{a, 'B c', \"text\", [1.5, -2.0e-7], <<\"bin\">>, <<1,2,200>>, #{k => [{x,y}], 7 => 'end'}, [1|2], 1 bsl 70}";
    let forms = format!("[iolist_to_binary(io_lib:format(F, [{term}])) || F <- [\"~0tp\", \"~tp\", \"~w\"]].");
    let value = beam.json(&format!("base64:encode(term_to_binary({term}))."));
    let expected = decode(&base64(value.as_str().unwrap()), Limits::default()).unwrap();
    for form in beam.json(&forms).as_array().unwrap() {
        assert_eq!(parse(form.as_str().unwrap()).as_ref(), Ok(&expected), "{form}");
    }
}
