//! The `status` map and the properties.

use crate::support::Rig;

const STATUS: &str = "S = gen_server:call(RM, status), is_map(S).";

#[test]
fn status_has_every_key_and_every_value_has_its_shape() {
    let Some(rig) = Rig::start() else { return };
    rig.beam.expect(&[
        ("at_node:set_route(N, eth0, [{{192,168,1,50},24}], {192,168,1,1}).", "ok"),
        ("at_node:set_connection_status(N, eth0, internet, <<\"checked\">>).", "ok"),
        ("at_node:set_connection_status(N, ppp3, lan).", "ok"),
        ("at_node:set_connection_status(N, wlan0, disconnected).", "ok"),
        (STATUS, "true"),
        ("[node, connection, available_interfaces, interfaces, entries, nodes, protocol, version, state, orphaned, ranking, owners, metrics] -- maps:keys(S).", "[]"),
        ("[K || K <- maps:keys(S), not is_atom(K)].", "[]"),
        ("maps:get(node, S) =:= N.", "true"),
        ("maps:get(connection, S).", "internet"),
        ("maps:get(available_interfaces, S).", "[<<\"eth0\">>]"),
        ("maps:get(nodes, S) =:= [node()].", "true"),
        ("maps:get(protocol, S).", "110"),
        ("is_binary(maps:get(version, S)).", "true"),
        ("maps:get(state, S).", "saved"),
        ("maps:get(orphaned, S).", "[]"),
        ("maps:get(entries, S).",
            "[{rule,100,{192,168,1,50}},\
              {local_route,<<\"eth0\">>,{192,168,1,50},24,0,100},\
              {local_route,<<\"eth0\">>,{192,168,1,50},24,10,main},\
              {default_route,<<\"eth0\">>,{192,168,1,1},0,100},\
              {default_route,<<\"eth0\">>,{192,168,1,1},10,main}]"),
        ("I = maps:get(interfaces, S), maps:keys(I).", "[<<\"eth0\">>,<<\"ppp3\">>,<<\"wlan0\">>]"),
        ("E = maps:get(<<\"eth0\">>, I), is_map(E).", "true"),
        ("Keys = [type, status, why, since, weight, metric, table, ip_subnets, default_gateway, ifindex, link, install, set_by, route_owner, status_owner, \
          held_until, shadowed_by], [{If, Keys -- maps:keys(V)} || {If, V} <- maps:to_list(I), Keys -- maps:keys(V) =/= []].", "[]"),
        ("maps:with([type, status, why, weight, metric, table, ip_subnets, default_gateway, install, held_until, shadowed_by], E) =:= \
          #{type => ethernet, status => internet, why => <<\"checked\">>, weight => 0, metric => 10, table => 100, \
            ip_subnets => [{{192,168,1,50},24}], default_gateway => {192,168,1,1}, install => installed, held_until => nil, \
            shadowed_by => nil} orelse E.", "true"),
        ("abs(erlang:system_time(millisecond) - maps:get(since, E)) < 60000.", "true"),
        ("{N1, P1} = maps:get(set_by, E), {N1 =:= node(), P1 =:= self()}.", "{true,true}"),
        ("is_integer(maps:get(ifindex, E)).", "true"),
        ("P = maps:get(<<\"ppp3\">>, I), [maps:get(K, P) || K <- [type, status, why, weight, metric, table, ip_subnets, default_gateway, ifindex]].",
            "[mobile,lan,nil,3,73,101,[],nil,nil]"),
        ("W = maps:get(<<\"wlan0\">>, I), [maps:get(K, W) || K <- [type, status, metric, table, install]].",
            "[wifi,disconnected,disabled,102,installed]"),
    ]);
    let index: u32 = rig.beam.ok("maps:get(ifindex, E).").parse().unwrap();
    assert!(rig.net.ip(&["-o", "link", "show", "eth0"]).starts_with(&format!("{index}: ")));
}

#[test]
fn types_and_weights_come_from_the_name() {
    let Some(rig) = Rig::with(&["--max-interfaces", "100"]) else { return };
    for (name, kind, weight) in [
        ("eth0", "ethernet", 0),
        ("eth12", "ethernet", 2),
        ("enp3s4", "ethernet", 4),
        ("wlan1", "wifi", 1),
        ("wlp2s0", "wifi", 0),
        ("ra7", "wifi", 7),
        ("ppp0", "mobile", 0),
        ("wwan9", "mobile", 9),
        ("lo", "local", 0),
        ("tap1", "local", 1),
        ("usb0", "unknown", 0),
        ("br0", "unknown", 0),
    ] {
        rig.beam.expect(&[
            (&format!("at_node:set_connection_status(N, <<\"{name}\">>, lan)."), "ok"),
            (
                &format!("(fun(#{{interfaces := #{{<<\"{name}\">> := #{{type := T, weight := W}}}}}}) -> {{T, W}} end)(gen_server:call(RM, status))."),
                &format!("{{{kind},{weight}}}"),
            ),
        ]);
    }
}

#[test]
fn since_moves_only_when_the_status_does() {
    let Some(rig) = Rig::start() else { return };
    rig.beam.expect(&[
        ("Since = fun() -> #{interfaces := #{<<\"eth0\">> := #{since := T}}} = gen_server:call(RM, status), T end, ok.", "ok"),
        ("at_node:set_connection_status(N, eth0, lan).", "ok"),
        ("T1 = Since(), timer:sleep(20), at_node:set_connection_status(N, eth0, lan).", "ok"),
        ("T1 =:= Since().", "true"),
        ("at_node:set_connection_status(N, eth0, internet).", "ok"),
        ("Since() > T1.", "true"),
    ]);
}

#[test]
fn get_answers_the_bare_value_of_a_property() {
    let Some(rig) = Rig::start() else { return };
    let get = |property: &str| format!("at_node:get(N, {property}).");
    rig.beam.expect(&[
        (&get("[<<\"available_interfaces\">>]"), "[]"),
        (&get("[<<\"connection\">>]"), "disconnected"),
        (&get("[<<\"interface\">>, <<\"eth0\">>, <<\"connection\">>]"), "nil"),
        ("at_node:set_route(N, eth0, [{{192,168,1,50},24}], {192,168,1,1}).", "ok"),
        ("at_node:set_route(N, wlan0, [{{192,168,2,50},24}], {192,168,2,1}).", "ok"),
        (&get("[<<\"available_interfaces\">>]"), "[<<\"eth0\">>,<<\"wlan0\">>]"),
        (&get("[<<\"connection\">>]"), "lan"),
        ("at_node:set_connection_status(N, wlan0, internet).", "ok"),
        (&get("[<<\"available_interfaces\">>]"), "[<<\"wlan0\">>,<<\"eth0\">>]"),
        (&get("[<<\"connection\">>]"), "internet"),
        (&get("[<<\"interface\">>, <<\"wlan0\">>, <<\"connection\">>]"), "internet"),
        ("at_node:clear_route(N, wlan0).", "ok"),
        (&get("[<<\"interface\">>, <<\"wlan0\">>, <<\"connection\">>]"), "disconnected"),
        (&get("[<<\"available_interfaces\">>]"), "[<<\"eth0\">>]"),
        (&get("[<<\"interface\">>, <<\"eth0\">>, <<\"type\">>]"), "nil"),
        (&get("[<<\"nothing\">>]"), "nil"),
        ("maps:is_key(<<\"wlan0\">>, maps:get(interfaces, gen_server:call(RM, status))).", "false"),
    ]);
}

#[test]
fn install_says_what_is_missing() {
    let Some(rig) = Rig::start() else { return };
    let install = |name: &str| {
        format!("maps:get(install, maps:get(<<\"{name}\">>, maps:get(interfaces, gen_server:call(RM, status)))).")
    };
    rig.net.ip(&["link", "set", "wlan0", "down"]);
    rig.beam.expect(&[
        ("at_node:set_route(N, eth0, [{{192,168,1,51},24}], {192,168,1,1}).", "ok"),
        (&install("eth0"), "{pending,{no_address,{192,168,1,51}}}"),
        ("at_node:set_route(N, wlan0, [{{192,168,2,50},24}], {192,168,2,1}).", "ok"),
        (&install("wlan0"), "{pending,link_down}"),
        ("at_node:set_route(N, usb0, [{{192,168,5,50},24}], {192,168,5,1}).", "ok"),
        (&install("usb0"), "{pending,no_interface}"),
        ("at_node:set_route(N, eth0, [{{192,168,1,50},24}], {192,168,1,1}).", "ok"),
        (&install("eth0"), "installed"),
    ]);
    assert!(rig.net.ip(&["route"]).contains("default via 192.168.1.1 dev eth0 proto 110 metric 50"));
}

#[test]
fn a_gateway_outside_of_the_subnet_is_taken_to_be_on_the_link() {
    let Some(rig) = Rig::start() else { return };
    rig.beam.expect(&[
        ("at_node:set_route(N, eth0, [{{192,168,1,50},24}], {8,8,4,4}).", "ok"),
        ("maps:get(install, maps:get(<<\"eth0\">>, maps:get(interfaces, gen_server:call(RM, status)))).", "installed"),
    ]);
    for table in ["main", "100"] {
        let routes = rig.net.ip(&["route", "show", "table", table]);
        let default = routes.lines().find(|line| line.starts_with("default via 8.8.4.4 dev eth0 proto 110"));
        assert!(default.is_some_and(|line| line.contains("onlink")), "{routes}");
    }
}

#[test]
fn a_gateway_of_a_family_without_an_address_is_accepted_and_pending() {
    let Some(rig) = Rig::start() else { return };
    rig.beam.expect(&[
        ("at_node:set_route(N, eth0, [{{192,168,1,50},24}], <<\"fd00:1::1\">>).", "ok"),
        ("[E || E <- maps:get(entries, gen_server:call(RM, status)), element(1, E) =:= default_route].",
            "[{default_route,<<\"eth0\">>,{64768,1,0,0,0,0,0,1},0,100},{default_route,<<\"eth0\">>,{64768,1,0,0,0,0,0,1},50,main}]"),
        ("element(1, maps:get(install, maps:get(<<\"eth0\">>, maps:get(interfaces, gen_server:call(RM, status))))).", "pending"),
    ]);
    let routes = rig.net.ip(&["route", "show", "table", "100"]);
    assert!(routes.contains("192.168.1.0/24 dev eth0"), "the rest is in: {routes}");
}

#[test]
fn a_foreign_default_that_outranks_ours_is_shown_and_left_alone() {
    let Some(rig) = Rig::start() else { return };
    rig.net.ip(&["route", "add", "default", "via", "192.168.2.9", "dev", "wlan0", "proto", "static", "metric", "5"]);
    rig.beam.expect(&[
        ("at_node:set_route(N, eth0, [{{192,168,1,50},24}], {192,168,1,1}).", "ok"),
        ("#{interfaces := #{<<\"eth0\">> := #{shadowed_by := By}}} = gen_server:call(RM, status), By =/= nil.", "true"),
        ("at_node:clear_route(N, eth0).", "ok"),
    ]);
    let by = rig.beam.ok("By.");
    for part in ["{192,168,2,9}", "<<\"wlan0\">>", "5"] {
        assert!(by.contains(part), "{by}");
    }
    assert!(rig.net.ip(&["route"]).contains("default via 192.168.2.9 dev wlan0 proto static metric 5"));
}

#[test]
fn a_second_network_of_an_interface_is_listed_apart() {
    let Some(rig) = Rig::start() else { return };
    rig.net.ip(&["addr", "add", "10.9.0.1/16", "dev", "eth0"]);
    rig.beam.expect(&[
        ("at_node:set_route(N, eth0, [{{192,168,1,50},24}, {{10,9,0,1},16}], {192,168,1,1}).", "ok"),
        ("[E || E <- maps:get(entries, gen_server:call(RM, status)), element(1, E) =:= local_route, element(6, E) =:= 100].",
            "[{local_route,<<\"eth0\">>,{192,168,1,50},24,0,100}]"),
        ("[E || E <- maps:get(extra_entries, gen_server:call(RM, status)), element(6, E) =:= 100].",
            "[{local_route,<<\"eth0\">>,{10,9,0,1},16,0,100}]"),
    ]);
    assert!(
        rig.net
            .ip(&["route", "show", "table", "100"])
            .contains("10.9.0.0/16 dev eth0 proto 110 scope link src 10.9.0.1")
    );
}

#[test]
fn a_table_that_others_use_is_not_taken() {
    let Some(rig) = Rig::start() else { return };
    rig.net.ip(&["rule", "add", "from", "10.1.1.1", "lookup", "100", "pref", "100"]);
    rig.net.ip(&["route", "add", "default", "via", "192.168.2.1", "dev", "wlan0", "table", "101", "proto", "static"]);
    crate::support::eventually("tables of others are seen", || {
        rig.beam.ok("at_node:clear_route(N, eth0).");
        rig.beam.ok("at_node:set_route(N, eth0, [{{192,168,1,50},24}], {192,168,1,1}).");
        rig.beam.ok("maps:get(table, maps:get(<<\"eth0\">>, maps:get(interfaces, gen_server:call(RM, status)))).")
            == "102"
    });
    rig.beam.expect(&[("at_node:clear_route(N, eth0).", "ok")]);
    assert!(rig.net.ip(&["rule"]).contains("from 10.1.1.1 lookup 100"));
    assert!(rig.net.ip(&["route", "show", "table", "101"]).contains("default via 192.168.2.1"));
}
