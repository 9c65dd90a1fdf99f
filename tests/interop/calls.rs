//! `gen_server:call`, `cast` and plain sends, and every accepted form of each argument.

use crate::support::{Rig, eventually};

const MODULE: &str = "'Elixir.VintageNet.RouteManager'";

#[test]
fn gen_server_call_sets_the_routes_before_it_answers() {
    let Some(rig) = Rig::start() else { return };
    let call = "gen_server:call(RM, {set_route, <<\"eth0\">>, [{{192,168,1,50},24}], {192,168,1,1}}).";
    rig.beam.expect(&[(call, "ok")]);
    let routes = rig.net.ip(&["route", "show", "table", "all"]);
    for line in [
        "default via 192.168.1.1 dev eth0 table 100 proto 110",
        "192.168.1.0/24 dev eth0 table 100 proto 110 scope link src 192.168.1.50",
        "default via 192.168.1.1 dev eth0 proto 110 metric 50",
        "192.168.1.0/24 dev eth0 proto 110 scope link src 192.168.1.50 metric 50",
    ] {
        assert!(routes.lines().any(|l| l.trim_end() == line), "{line}\n{routes}");
    }
    assert!(!routes.contains("192.168.1.0/24 dev eth0 proto kernel"), "{routes}");
    assert!(rig.net.ip(&["rule"]).contains("30000:\tfrom 192.168.1.50 lookup 100"), "{}", rig.net.ip(&["rule"]));

    rig.beam.expect(&[
        ("gen_server:call(RM, {set_connection_status, <<\"eth0\">>, internet, <<\"ping works\">>}).", "ok"),
        ("gen_server:call(RM, {set_connection_status, <<\"eth0\">>, internet}).", "ok"),
        ("gen_server:call(RM, refresh_route_metrics).", "ok"),
    ]);
    assert!(rig.net.ip(&["route"]).contains("default via 192.168.1.1 dev eth0 proto 110 metric 10"));

    rig.beam.expect(&[
        ("gen_server:call(RM, {clear_route, <<\"eth0\">>}).", "ok"),
        ("gen_server:call(RM, {clear_route, <<\"eth0\">>}).", "ok"),
        ("gen_server:call(RM, {clear_route, <<\"never7\">>}).", "ok"),
    ]);
    let left = rig.net.ip(&["route", "show", "table", "all"]);
    assert!(!left.contains("proto 110"), "{left}");
    assert!(left.contains("192.168.1.0/24 dev eth0 proto kernel scope link src 192.168.1.50"), "{left}");
    assert!(!rig.net.ip(&["rule"]).contains("lookup 100"));
}

#[test]
fn failover_and_back() {
    let Some(rig) = Rig::start() else { return };
    rig.beam.expect(&[
        ("gen_server:call(RM, {set_route, \"eth0\", [{{192,168,1,50},24}], {192,168,1,1}}).", "ok"),
        ("gen_server:call(RM, {set_route, \"wlan0\", [{{192,168,2,50},24}], {192,168,2,1}}).", "ok"),
        ("gen_server:call(RM, {set_connection_status, \"wlan0\", internet}).", "ok"),
    ]);
    let way = || rig.net.ip(&["-o", "route", "get", "8.8.8.8"]);
    assert!(way().contains("via 192.168.2.1 dev wlan0"), "{}", way());
    rig.beam.expect(&[("gen_server:call(RM, {set_connection_status, \"eth0\", internet}).", "ok")]);
    assert!(way().contains("via 192.168.1.1 dev eth0"), "{}", way());
    rig.beam.expect(&[("gen_server:call(RM, {set_connection_status, \"eth0\", disconnected}).", "ok")]);
    assert!(way().contains("via 192.168.2.1 dev wlan0"), "{}", way());
}

#[test]
fn both_registered_names_lead_to_the_same_process() {
    let Some(rig) = Rig::start() else { return };
    rig.beam.expect(&[
        (&format!("gen_server:call({{{MODULE}, N}}, {{set_connection_status, <<\"eth0\">>, lan}})."), "ok"),
        ("gen_server:call(RM, {get, [<<\"interface\">>, <<\"eth0\">>, <<\"connection\">>]}).", "lan"),
        (&format!("gen_server:call({{{MODULE}, N}}, {{get, [<<\"connection\">>]}})."), "lan"),
    ]);
}

#[test]
fn gen_server_cast_does_the_same_without_an_answer() {
    let Some(rig) = Rig::start() else { return };
    rig.beam.expect(&[
        ("gen_server:cast(RM, {set_route, eth0, [{{192,168,1,50},24}], {192,168,1,1}}).", "ok"),
        ("gen_server:cast(RM, {set_connection_status, eth0, internet, <<\"cast\">>}).", "ok"),
        ("gen_server:call(RM, {get, [<<\"connection\">>]}).", "internet"),
        ("gen_server:cast(RM, {clear_route, eth0}).", "ok"),
        ("gen_server:call(RM, {get, [<<\"connection\">>]}).", "disconnected"),
        // What nobody can make sense of hurts nobody.
        ("gen_server:cast(RM, {set_route, eth0, bad, worse}).", "ok"),
        ("gen_server:cast(RM, what_is_this).", "ok"),
        ("RM ! {what, is, <<\"this\">>}, RM ! 1.5, RM ! {'$gen_call', nonsense}, RM ! {'$gen_call', {self(), x}, y}, sent.", "sent"),
        ("gen_server:call(RM, {get, [<<\"connection\">>]}).", "disconnected"),
        ("nodes(hidden) == [N].", "true"),
    ]);
}

#[test]
fn a_plain_reference_as_tag_is_answered_with_a_plain_message() {
    let Some(rig) = Rig::start() else { return };
    rig.beam.expect(&[
        ("Ref = make_ref(), RM ! {'$gen_call', {self(), Ref}, {get, [<<\"connection\">>]}}, sent.", "sent"),
        ("driver:await(5000) == {Ref, disconnected}.", "true"),
    ]);
}

#[test]
fn gen_server_multi_call_and_send_request() {
    let Some(rig) = Rig::start() else { return };
    rig.beam.holds(&[
        "gen_server:multi_call([N], route_manager, {get, [<<\"connection\">>]}) == {[{N, disconnected}], []}.",
        "gen_server:multi_call([N], nobody, {get, [<<\"connection\">>]}) == {[], [N]}.",
        "R = gen_server:send_request(RM, {get, [<<\"connection\">>]}), gen_server:receive_response(R, 5000) == {reply, disconnected}.",
        "driver:flush() == [].",
    ]);
}

#[test]
fn a_hundred_callers_at_once() {
    let Some(rig) = Rig::start() else { return };
    rig.beam.ok("Self = self().");
    rig.beam.ok(
        "[spawn_link(fun() -> \
           Replies = [gen_server:call(RM, {set_connection_status, <<\"eth\", (integer_to_binary(I rem 2))/binary>>, \
                                           lists:nth(1 + (I + J) rem 3, [disconnected, lan, internet])}) || J <- lists:seq(1, 10)], \
           Got = gen_server:call(RM, {get, [<<\"interface\">>, <<\"none0\">>, <<\"connection\">>]}), \
           Self ! {done, lists:usort(Replies), Got} end) || I <- lists:seq(1, 100)], started.",
    );
    rig.beam.expect(&[("lists:usort([driver:await(30000) || _ <- lists:seq(1, 100)]).", "[{done,[ok],nil}]")]);
    rig.beam.expect(&[("driver:await(100).", "timeout"), ("nodes(hidden) == [N].", "true")]);
}

#[test]
fn call_time_outs_leave_no_message_behind() {
    let Some(rig) = Rig::start() else { return };
    let calls = "[catch gen_server:call(RM, status, T) || T <- [0, 1, 0, 1, 0, 0, 1], _ <- lists:seq(1, 30)], done.";
    rig.beam.expect(&[("net_adm:ping(N).", "pong"), (calls, "done")]);
    // The late answers have come by the time this later call is answered.
    rig.beam.holds(&["is_map(gen_server:call(RM, status)).", "driver:await(300) == timeout."]);
}

#[test]
fn every_accepted_form_of_an_interface_name() {
    let Some(rig) = Rig::start() else { return };
    for name in ["<<\"eth0\">>", "\"eth0\"", "eth0", "'eth0'", "[$e, $t, $h, $0]"] {
        rig.beam.expect(&[
            (&format!("gen_server:call(RM, {{set_connection_status, {name}, lan}})."), "ok"),
            ("maps:keys(maps:get(interfaces, gen_server:call(RM, status))).", "[<<\"eth0\">>]"),
            (&format!("gen_server:call(RM, {{get, [<<\"interface\">>, {name}, <<\"connection\">>]}})."), "lan"),
            (&format!("gen_server:call(RM, {{clear_route, {name}}})."), "ok"),
            ("maps:keys(maps:get(interfaces, gen_server:call(RM, status))).", "[]"),
        ]);
    }
    for name in
        ["<<\"abcdefghijklmno\">>", "<<\"a\">>", "<<\"wlan0.100\">>", "<<\"br-lan\">>", "<<\"veth@x\">>", "<<\"...\">>"]
    {
        rig.beam.expect(&[
            (&format!("gen_server:call(RM, {{set_connection_status, {name}, lan}})."), "ok"),
            (&format!("maps:keys(maps:get(interfaces, gen_server:call(RM, status))) == [{name}]."), "true"),
            (&format!("gen_server:call(RM, {{clear_route, {name}}})."), "ok"),
        ]);
    }
}

#[test]
fn every_accepted_form_of_an_address_a_gateway_and_a_reason() {
    let Some(rig) = Rig::start() else { return };
    let entry = "[E || {default_route, _, _, _, main} = E <- maps:get(entries, gen_server:call(RM, status))].";
    let rules = "[Ip || {rule, _, Ip} <- maps:get(entries, gen_server:call(RM, status))].";
    for (address, gateway, rule, default) in [
        ("{192,168,1,50}", "{192,168,1,1}", "[{192,168,1,50}]", "{192,168,1,1}"),
        ("<<\"192.168.1.50\">>", "<<\"192.168.1.1\">>", "[{192,168,1,50}]", "{192,168,1,1}"),
        ("\"192.168.1.50\"", "\"192.168.1.1\"", "[{192,168,1,50}]", "{192,168,1,1}"),
        ("{64768,1,0,0,0,0,0,80}", "{64768,1,0,0,0,0,0,1}", "[{64768,1,0,0,0,0,0,80}]", "{64768,1,0,0,0,0,0,1}"),
        ("<<\"fd00:1::50\">>", "\"fd00:1::1\"", "[{64768,1,0,0,0,0,0,80}]", "{64768,1,0,0,0,0,0,1}"),
    ] {
        let bits = if rule.contains("64768") { 64 } else { 24 };
        rig.beam.expect(&[
            (&format!("gen_server:call(RM, {{set_route, eth0, [{{{address}, {bits}}}], {gateway}}})."), "ok"),
            (rules, rule),
            (entry, &format!("[{{default_route,<<\"eth0\">>,{default},50,main}}]")),
            ("gen_server:call(RM, {clear_route, eth0}).", "ok"),
        ]);
    }
    for gateway in ["nil", "undefined"] {
        rig.beam.expect(&[
            (&format!("gen_server:call(RM, {{set_route, eth0, [{{{{192,168,1,50}},24}}], {gateway}}})."), "ok"),
            (entry, "[]"),
            (
                "maps:get(default_gateway, maps:get(<<\"eth0\">>, maps:get(interfaces, gen_server:call(RM, status)))).",
                "nil",
            ),
        ]);
    }
    for (why, shown) in [
        ("<<\"because\">>", "<<\"because\">>"),
        ("\"because\"", "<<\"because\">>"),
        ("nil", "nil"),
        ("<<\"ü\"/utf8>>", "<<\"ü\"/utf8>>"),
    ] {
        rig.beam.expect(&[
            (&format!("gen_server:call(RM, {{set_connection_status, eth0, internet, {why}}})."), "ok"),
            ("maps:get(why, maps:get(<<\"eth0\">>, maps:get(interfaces, gen_server:call(RM, status)))).", shown),
        ]);
    }
}

#[test]
fn small_numbers_that_erlang_sends_as_a_string_are_lists_all_the_same() {
    let Some(rig) = Rig::start() else { return };
    // `[1]` and `""` in a request travel as STRING_EXT and NIL_EXT; IpSubnets of none is fine.
    rig.beam.expect(&[
        ("gen_server:call(RM, {set_route, eth0, [], nil}).", "ok"),
        ("gen_server:call(RM, {set_route, [101,116,104,48], \"\", nil}).", "ok"),
        ("gen_server:call(RM, {echo, [1,2,3]}).", "{error,{unknown_request,{echo,[1,2,3]}}}"),
        ("gen_server:call(RM, {echo, lists:duplicate(70000, 7)}) == {error, {unknown_request, {echo, lists:duplicate(70000, 7)}}}.", "true"),
        ("gen_server:call(RM, {echo, [-1, 255, 256]}).", "{error,{unknown_request,{echo,[-1,255,256]}}}"),
    ]);
    rig.beam.holds(&["{error, {badarg, B}} = gen_server:call(RM, {set_route, eth0, [1,2,3], nil}), is_binary(B)."]);
}

#[test]
fn unknown_requests_are_answered_with_themselves() {
    let Some(rig) = Rig::start() else { return };
    for term in [
        "nonsense",
        "{set_route}",
        "{set_route, a}",
        "{set_route, a, b, c, d}",
        "[]",
        "1.5",
        "-1",
        "1 bsl 100",
        "<<1:3>>",
        "#{a => {b, [c | d]}}",
        "\"text\"",
        "<<>>",
        "self()",
        "make_ref()",
        "fun erlang:node/0",
        "'ü'",
        "''",
        "{}",
    ] {
        let echoed = format!("(fun(X) -> gen_server:call(RM, X) =:= {{error, {{unknown_request, X}}}} end)({term}).");
        rig.beam.holds(&[&echoed]);
    }
    rig.beam.expect(&[("nodes(hidden) == [N].", "true")]);
}

#[test]
fn a_big_request_is_read_whole() {
    let Some(rig) = Rig::start() else { return };
    rig.beam.holds(&["B = binary:copy(<<7>>, 1000000), gen_server:call(RM, B) == {error, {unknown_request, B}}."]);
}

#[test]
fn set_metric_overrides_the_ranking() {
    let Some(rig) = Rig::start() else { return };
    let metric = "maps:get(metric, maps:get(<<\"eth0\">>, maps:get(interfaces, gen_server:call(RM, status)))).";
    rig.beam.expect(&[
        ("at_node:set_route(N, eth0, [{{192,168,1,50},24}], {192,168,1,1}).", "ok"),
        (metric, "50"),
        ("at_node:set_metric(N, eth0, 7).", "ok"),
        (metric, "7"),
    ]);
    assert!(rig.net.ip(&["route"]).contains("default via 192.168.1.1 dev eth0 proto 110 metric 7"));
    rig.beam.expect(&[
        ("at_node:set_metric(N, <<\"eth0\">>, disabled).", "ok"),
        (metric, "disabled"),
        // Of an interface that nobody knows yet, too.
        ("at_node:set_metric(N, ppp7, 12).", "ok"),
        ("maps:get(metrics, gen_server:call(RM, status)) =:= #{<<\"eth0\">> => disabled, <<\"ppp7\">> => 12}.", "true"),
        ("at_node:set_metric(N, ppp7, default).", "ok"),
        ("maps:get(metrics, gen_server:call(RM, status)) =:= #{<<\"eth0\">> => disabled}.", "true"),
    ]);
    assert!(!rig.net.ip(&["route"]).contains("default"));
    rig.beam.expect(&[("at_node:set_metric(N, \"eth0\", default).", "ok"), (metric, "50")]);
    assert!(rig.net.ip(&["route"]).contains("default via 192.168.1.1 dev eth0 proto 110 metric 50"));
}

#[test]
fn set_owner_policy_keeps_or_clears_when_the_node_goes() {
    let Some(mut rig) = Rig::start() else { return };
    let Some(watcher) = crate::support::Beam::start(&rig.epmd.place(), &rig.daemon.cookie) else { return };
    watcher.know(&rig.daemon);
    rig.beam.expect(&[
        ("at_node:set_owner_policy(N, keep).", "ok"),
        ("at_node:set_owner_policy(N, {lan_after, 5}).", "ok"),
        ("at_node:set_owner_policy(N, {clear_after, 0}).", "ok"),
        ("at_node:set_connection_status(N, eth0, internet).", "ok"),
    ]);
    let connection = "at_node:get(N, [<<\"connection\">>]).";
    watcher.expect(&[("at_node:set_connection_status(N, wlan0, lan).", "ok"), (connection, "internet")]);
    rig.beam.kill();
    eventually("the gone node's wish is cleared", || watcher.ok(connection) == "lan");
}

#[test]
fn an_owner_that_returns_in_time_keeps_its_wishes() {
    let Some(mut rig) = Rig::start() else { return };
    let Some(owner) = crate::support::Beam::start(&rig.epmd.place(), &rig.daemon.cookie) else { return };
    owner.know(&rig.daemon);
    for (beam, name) in [(&owner, "eth0"), (&rig.beam, "wlan0")] {
        beam.expect(&[
            ("at_node:set_owner_policy(N, {clear_after, 5}).", "ok"),
            (&format!("at_node:set_connection_status(N, {name}, internet)."), "ok"),
        ]);
    }
    owner.expect(&[("erlang:disconnect_node(N).", "true"), ("net_adm:ping(N).", "pong")]);
    rig.beam.kill();
    let of = |name: &str| owner.ok(&format!("at_node:get(N, [<<\"interface\">>, {name}, <<\"connection\">>])."));
    // The other one's grace began later, and is over.
    eventually("the one that stays away is cleared", || of("wlan0") == "disconnected");
    assert_eq!(of("eth0"), "internet");
}

#[test]
fn a_policy_applies_at_every_absence_and_status_shows_it() {
    let Some(rig) = Rig::start() else { return };
    let Some(watcher) = crate::support::Beam::start(&rig.epmd.place(), &rig.daemon.cookie) else { return };
    watcher.know(&rig.daemon);
    let (owners, none) = ("maps:get(owners, gen_server:call(RM, status)) =:= ", "#{}.");
    rig.beam.expect(&[
        (&format!("{owners}{none}"), "true"),
        ("gen_server:call(RM, {set_owner_policy, {lan_after, 5}}).", "ok"),
        (&format!("{owners}#{{node() => {{lan_after, 5}}}}."), "true"),
        ("gen_server:call(RM, {set_owner_policy, {clear_after, 0}}).", "ok"),
    ]);
    for _ in 0..3 {
        rig.beam.expect(&[
            (&format!("{owners}#{{node() => {{clear_after, 0}}}}."), "true"),
            ("gen_server:call(RM, {set_connection_status, eth0, internet}).", "ok"),
            ("erlang:disconnect_node(N).", "true"),
        ]);
        eventually("what it set is cleared", || {
            watcher.ok("gen_server:call(RM, {get, [<<\"interface\">>, eth0, <<\"connection\">>]}).") == "disconnected"
        });
        rig.beam.ok("net_adm:ping(N).");
    }
    rig.beam.expect(&[("gen_server:call(RM, {set_owner_policy, keep}).", "ok"), (&format!("{owners}{none}"), "true")]);
}

/// Two nodes with one policy each in their turn: what a node has changed goes with it, and no repetition takes it away.
#[test]
fn an_interface_goes_with_who_changed_it_and_not_with_who_repeats_it() {
    let Some(rig) = Rig::start() else { return };
    let Some(other) = crate::support::Beam::start(&rig.epmd.place(), &rig.daemon.cookie) else { return };
    other.know(&rig.daemon);
    let route = |n: u8| {
        format!(
            "gen_server:call(RM, {{set_route, {}, [{{{{192,168,{n},50}},24}}], {{192,168,{n},1}}}}).",
            ["eth0", "wlan0"][usize::from(n) - 1]
        )
    };
    let status = |name: &str, status: &str, why: &str| {
        format!("gen_server:call(RM, {{set_connection_status, {name}, {status}, <<\"{why}\">>}}).")
    };
    let says = "Says = fun(If, Keys) -> #{interfaces := Is} = gen_server:call(RM, status), \
                [maps:get(K, maps:get(If, Is, #{}), gone) || K <- Keys] end, ok.";
    let (mine, theirs) = (rig.beam.ok("node()."), other.ok("node()."));
    rig.beam.expect(&[
        ("gen_server:call(RM, {set_owner_policy, {clear_after, 0}}).", "ok"),
        (&route(1), "ok"),
        (&status("eth0", "internet", "mine"), "ok"),
    ]);
    other.expect(&[
        (says, "ok"),
        // Repetitions, and then something new.
        (&route(1), "ok"),
        (&status("eth0", "internet", "theirs"), "ok"),
        ("Says(<<\"eth0\">>, [why]).", "[<<\"theirs\">>]"),
        ("[{By, _}] = Says(<<\"eth0\">>, [set_by]), By =:= node().", "true"),
        ("Says(<<\"eth0\">>, [route_owner, status_owner]).", &format!("[{mine},{mine}]")),
        (&route(2), "ok"),
    ]);
    rig.beam.expect(&[(&status("wlan0", "internet", "mine"), "ok"), (&status("usb0", "disconnected", "mine"), "ok")]);
    other.expect(&[("Says(<<\"wlan0\">>, [route_owner, status_owner]).", &format!("[{theirs},{mine}]"))]);
    rig.beam.ok("erlang:disconnect_node(N).");
    eventually("its route is cleared", || other.ok("Says(<<\"eth0\">>, [status]).") == "[gone]");
    other.expect(&[
        ("Says(<<\"usb0\">>, [status]).", "[gone]"),
        ("Says(<<\"wlan0\">>, [status, default_gateway, status_owner]).", "[disconnected,{192,168,2,1},nil]"),
        (&status("wlan0", "internet", "theirs"), "ok"),
    ]);
    rig.beam.expect(&[
        ("net_adm:ping(N).", "pong"),
        ("gen_server:call(RM, {set_owner_policy, {lan_after, 0}}).", "ok"),
        (&route(1), "ok"),
        (&status("eth0", "internet", "mine"), "ok"),
        (&status("wlan0", "internet", "mine"), "ok"),
    ]);
    other.expect(&[(&status("eth0", "internet", "theirs"), "ok")]);
    rig.beam.ok("erlang:disconnect_node(N).");
    eventually("its status falls", || other.ok("Says(<<\"eth0\">>, [status]).") == "[lan]");
    other.expect(&[
        ("Says(<<\"eth0\">>, [install, route_owner, status_owner]).", &format!("[installed,{mine},nil]")),
        ("Says(<<\"wlan0\">>, [status, status_owner]).", &format!("[internet,{theirs}]")),
    ]);
}

#[test]
fn set_owner_policy_lets_the_internet_fall_back_to_lan_and_nothing_else() {
    let Some(mut rig) = Rig::start() else { return };
    let Some(watcher) = crate::support::Beam::start(&rig.epmd.place(), &rig.daemon.cookie) else { return };
    watcher.know(&rig.daemon);
    rig.beam.expect(&[
        ("at_node:set_owner_policy(N, {lan_after, 1}).", "ok"),
        ("at_node:set_connection_status(N, eth0, internet).", "ok"),
        ("at_node:set_connection_status(N, wlan0, disconnected).", "ok"),
    ]);
    watcher.ok("at_node:set_connection_status(N, usb0, internet).");
    rig.beam.kill();
    let of = |name: &str| watcher.ok(&format!("at_node:get(N, [<<\"interface\">>, {name}, <<\"connection\">>])."));
    eventually("its Internet becomes lan", || of("eth0") == "lan");
    assert_eq!((of("wlan0").as_str(), of("usb0").as_str()), ("disconnected", "internet"));
}
