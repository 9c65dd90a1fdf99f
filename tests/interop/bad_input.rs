//! What is refused changes nothing and says what is wrong.

use crate::support::Rig;

/// Requests as the arguments of `route_manager` functions, and a word that the message must have.
const BAD: &[(&str, &str)] = &[
    ("set_route, [<<\"eth0\">>, [{{192,168,1,50}, 33}], nil]", "33"),
    ("set_route, [<<\"eth0\">>, [{{192,168,1,50}, 0}], nil]", "prefix length 0"),
    ("set_route, [<<\"eth0\">>, [{{192,168,1,50}, -1}], nil]", "-1"),
    ("set_route, [<<\"eth0\">>, [{{192,168,1,50}, 1 bsl 70}], nil]", "prefix"),
    ("set_route, [<<\"eth0\">>, [{{192,168,1,50}, <<\"24\">>}], nil]", "prefix"),
    ("set_route, [<<\"eth0\">>, [{{64768,1,0,0,0,0,0,80}, 129}], nil]", "129"),
    ("set_route, [<<\"eth0\">>, [{{64768,1,0,0,0,0,0,80}, 0}], nil]", "prefix length 0"),
    ("set_route, [<<\"eth0\">>, [{{192,168,1,256}, 24}], nil]", "address"),
    ("set_route, [<<\"eth0\">>, [{{192,168,1}, 24}], nil]", "address"),
    ("set_route, [<<\"eth0\">>, [{{192,168,-1,1}, 24}], nil]", "address"),
    ("set_route, [<<\"eth0\">>, [{{65536,1,0,0,0,0,0,80}, 64}], nil]", "address"),
    ("set_route, [<<\"eth0\">>, [{<<\"192.168.1.500\">>, 24}], nil]", "address"),
    ("set_route, [<<\"eth0\">>, [{nil, 24}], nil]", "address"),
    ("set_route, [<<\"eth0\">>, [{{192,168,1,50}, 24} | tail], nil]", "list"),
    ("set_route, [<<\"eth0\">>, [{{192,168,1,50}, 24, 1}], nil]", ""),
    ("set_route, [<<\"eth0\">>, {{192,168,1,50}, 24}, nil]", "list"),
    ("set_route, [<<\"eth0\">>, eth0, nil]", "list"),
    ("set_route, [<<\"eth0\">>, [], {1,2,3}]", "gateway"),
    ("set_route, [<<\"eth0\">>, [], <<\"gw.example\">>]", "gateway"),
    ("set_route, [<<\"eth0\">>, [], 7]", "gateway"),
    ("set_route, [<<\"abcdefghijklmnop\">>, [], nil]", "name"),
    ("set_route, [<<>>, [], nil]", "name"),
    ("set_route, [\"\", [], nil]", "name"),
    ("set_route, [<<\"a/b\">>, [], nil]", "name"),
    ("set_route, [<<\"a:b\">>, [], nil]", "name"),
    ("set_route, [<<\" eth0\">>, [], nil]", "name"),
    ("set_route, [<<\"eth0\\n\">>, [], nil]", "name"),
    ("set_route, [<<\"e\\th\">>, [], nil]", "name"),
    ("set_route, [<<\".\">>, [], nil]", "name"),
    ("set_route, ['..', [], nil]", "name"),
    ("set_route, [<<\"a\", 0, \"b\">>, [], nil]", "name"),
    ("set_route, [7, [], nil]", "name"),
    ("set_route, [[101, 116 | 104], [], nil]", "name"),
    ("clear_route, [<<\"a/b\">>]", "name"),
    ("clear_route, [{eth0}]", "name"),
    ("set_connection_status, [<<\"eth0\">>, unknown]", "status"),
    ("set_connection_status, [<<\"eth0\">>, <<\"internet\">>]", "status"),
    ("set_connection_status, [<<\"eth0\">>, nil]", "status"),
    ("set_connection_status, [<<\"a:b\">>, lan]", "name"),
    ("set_connection_status, [<<\"eth0\">>, lan, 7]", "text"),
    ("set_connection_status, [<<\"eth0\">>, lan, {a, b}]", "text"),
    ("set_metric, [<<\"eth0\">>, 0]", "metric"),
    ("set_metric, [<<\"eth0\">>, -1]", "metric"),
    ("set_metric, [<<\"eth0\">>, best]", "metric"),
    ("set_metric, [<<\"eth0\">>, 1 bsl 32]", "metric"),
    ("set_metric, [<<\"eth0\">>, 4000000001]", "from 1 to 4000000000"),
    ("set_metric, [<<\"eth0\">>, 1 bsl 32 - 1]", "from 1 to 4000000000"),
    ("set_owner_policy, [burn]", "policy"),
    ("set_owner_policy, [{clear_after, -1}]", ""),
    ("set_owner_policy, [{clear_after, soon}]", ""),
];

#[test]
fn a_call_gets_error_badarg_and_the_state_is_as_it_was() {
    let Some(rig) = Rig::start() else { return };
    rig.beam.expect(&[
        ("at_node:set_route(N, wlan0, [{{192,168,2,50},24}], {192,168,2,1}).", "ok"),
        ("Shown = fun() -> maps:with([interfaces, entries, connection, available_interfaces], gen_server:call(RM, status)) end, ok.", "ok"),
        ("Before = Shown(), is_map(Before).", "true"),
    ]);
    // Without the link-local addresses that IPv6 takes up a moment after a link is up.
    let kernel = || {
        let all = rig.net.ip(&["route", "show", "table", "all"]) + &rig.net.ip(&["rule"]);
        all.lines().filter(|line| !line.contains("fe80::")).collect::<Vec<_>>().join("\n")
    };
    let before = kernel();
    let mut wrong = Vec::new();
    for (call, word) in BAD {
        let (function, arguments) = call.split_once(", ").unwrap();
        let request = format!("list_to_tuple([{function} | {arguments}])");
        let refused = format!(
            "case gen_server:call(RM, {request}) of {{error, {{badarg, T}}}} when is_binary(T) -> T; Other -> {{accepted, Other}} end."
        );
        let message = rig.beam.ok(&format!("(fun() -> {} end)().", refused.trim_end_matches('.')));
        if !message.contains(&format!("{function}:")) || !message.contains(word) {
            wrong.push(format!("{call}: message {message}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    rig.beam.holds(&["Shown() == Before."]);
    assert_eq!(kernel(), before);
}

#[test]
fn an_rpc_gets_the_badarg_exception() {
    let Some(rig) = Rig::start() else { return };
    let mut wrong = Vec::new();
    for (call, _) in BAD {
        let by_erpc =
            format!("try erpc:call(N, route_manager, {call}) catch error:{{exception, badarg, _}} -> badarg end.");
        let by_rpc = format!(
            "case rpc:call(N, route_manager, {call}) of {{badrpc, {{'EXIT', {{badarg, _}}}}}} -> badarg; _ -> other end."
        );
        for expression in [by_erpc, by_rpc] {
            let value = rig.beam.eval(&expression);
            if value.as_deref() != Ok("badarg") {
                wrong.push(format!("{expression}: {value:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    rig.beam.expect(&[("maps:get(interfaces, gen_server:call(RM, status)).", "#{}")]);
}

#[test]
fn one_interface_too_many() {
    let Some(rig) = Rig::with(&["--max-interfaces", "2"]) else { return };
    rig.beam.expect(&[
        ("at_node:set_connection_status(N, eth0, lan).", "ok"),
        ("at_node:set_route(N, wlan0, [{{192,168,2,50},24}], nil).", "ok"),
        ("at_node:set_route(N, usb0, [{{192,168,5,50},24}], nil).", "{error,{too_many_interfaces,2}}"),
        ("at_node:set_connection_status(N, usb0, lan).", "{error,{too_many_interfaces,2}}"),
        ("maps:keys(maps:get(interfaces, gen_server:call(RM, status))).", "[<<\"eth0\">>,<<\"wlan0\">>]"),
        ("at_node:set_connection_status(N, wlan0, internet).", "ok"),
        ("at_node:clear_route(N, usb0).", "ok"),
        ("at_node:clear_route(N, eth0).", "ok"),
        ("at_node:set_connection_status(N, usb0, lan).", "ok"),
        (
            "[{If, maps:get(table, I)} || {If, I} <- maps:to_list(maps:get(interfaces, gen_server:call(RM, status)))].",
            "[{<<\"usb0\">>,100},{<<\"wlan0\">>,101}]",
        ),
    ]);
}
