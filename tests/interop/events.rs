//! `subscribe`, `unsubscribe` and `plan`: what a process on a BEAM is told, and when.

use crate::support::{Beam, Rig, eventually};

/// Subscribes the BEAM's driver process; `Next` gives the next event without its number, which must be the next one.
fn subscribed() -> Option<Rig> {
    let rig = Rig::start()?;
    listen(&rig.beam);
    Some(rig)
}

fn listen(beam: &Beam) {
    number(beam);
    beam.expect(&[("gen_server:call(RM, subscribe).", "ok")]);
}

fn number(beam: &Beam) {
    beam.ok("put(seq, 0), Next = fun() -> {route_manager, N, Event} = driver:await(5000), Seq = get(seq) + 1, \
         Seq = element(1, Event), put(seq, Seq), erlang:delete_element(1, Event) end, ok.");
}

const CONNECTION: &str = "{property,[<<\"connection\">>],";
const AVAILABLE: &str = "{property,[<<\"available_interfaces\">>],";

#[test]
fn a_subscriber_hears_the_present_first_and_then_every_change_in_order() {
    let Some(rig) = subscribed() else { return };
    rig.beam.expect(&[
        ("Next().", &format!("{CONNECTION}nil,disconnected}}")),
        ("Next().", &format!("{AVAILABLE}nil,[]}}")),
        ("gen_server:call(RM, {set_route, \"eth0\", [{{192,168,1,50}, 24}], {192,168,1,1}}).", "ok"),
        ("Next().", "{install,<<\"eth0\">>,installed}"),
        ("Next().", "{property,[<<\"interface\">>,<<\"eth0\">>,<<\"connection\">>],nil,lan}"),
        ("Next().", &format!("{CONNECTION}disconnected,lan}}")),
        ("Next().", &format!("{AVAILABLE}[],[<<\"eth0\">>]}}")),
        ("gen_server:call(RM, {set_connection_status, \"eth0\", internet}).", "ok"),
        ("Next().", "{property,[<<\"interface\">>,<<\"eth0\">>,<<\"connection\">>],lan,internet}"),
        ("Next().", &format!("{CONNECTION}lan,internet}}")),
        ("gen_server:call(RM, {set_connection_status, \"eth0\", internet}).", "ok"),
        ("driver:await(100).", "timeout"),
    ]);
    rig.net.ip(&["link", "set", "eth0", "down"]);
    rig.beam.expect(&[("Next().", "{install,<<\"eth0\">>,{pending,link_down}}")]);
    rig.net.ip(&["link", "set", "eth0", "up"]);
    rig.beam.expect(&[
        ("Next().", "{install,<<\"eth0\">>,installed}"),
        ("Next().", "{healed,<<\"eth0\">>}"),
        ("gen_server:call(RM, {clear_route, \"eth0\"}).", "ok"),
        ("Next().", "{install,<<\"eth0\">>,nil}"),
        ("Next().", "{property,[<<\"interface\">>,<<\"eth0\">>,<<\"connection\">>],internet,disconnected}"),
        ("Next().", &format!("{CONNECTION}internet,disconnected}}")),
        ("Next().", &format!("{AVAILABLE}[<<\"eth0\">>],[]}}")),
        ("gen_server:call(RM, unsubscribe).", "ok"),
        ("gen_server:call(RM, unsubscribe).", "ok"),
        ("gen_server:call(RM, {set_route, \"eth0\", [{{192,168,1,50}, 24}], {192,168,1,1}}).", "ok"),
        ("driver:await(100).", "timeout"),
    ]);
}

#[test]
fn the_last_events_are_kept_with_their_times_for_whoever_asks() {
    let Some(rig) = Rig::start() else { return };
    let set = "gen_server:call(RM, {set_route, \"eth0\", [{{192,168,1,50}, 24}], {192,168,1,1}}).";
    rig.beam.ok("Last = fun() -> gen_server:call(RM, {get, [<<\"events\">>]}) end, Now = fun() -> erlang:system_time(millisecond) end, ok.");
    rig.beam.expect(&[("Last().", "[]"), ("Begun = Now(), ok.", "ok"), (set, "ok")]);
    rig.net.ip(&["link", "set", "eth0", "down"]);
    eventually("it is seen", || rig.beam.ok("length(Last()).") == "5");
    rig.net.ip(&["link", "set", "eth0", "up"]);
    eventually("it is seen", || rig.beam.ok("length(Last()).") == "7");
    rig.beam.expect(&[
        ("gen_server:call(RM, {clear_route, eth0}).", "ok"),
        // Events follow the reply, and precede the next.
        ("_ = Last(), ok.", "ok"),
        ("Ended = Now(), ok.", "ok"),
        // Asking is no event, and neither is what changes nothing.
        ("gen_server:call(RM, {clear_route, eth0}).", "ok"),
        ("{Times, Events} = lists:unzip(Last()), ok.", "ok"),
        ("Times =:= lists:sort(Times) andalso hd(Times) >= Begun andalso lists:last(Times) =< Ended.", "true"),
        ("lists:last(Times) > hd(Times).", "true"),
    ]);
    let expected = [
        "{install,<<\"eth0\">>,installed}",
        "{property,[<<\"interface\">>,<<\"eth0\">>,<<\"connection\">>],nil,lan}",
        &format!("{CONNECTION}disconnected,lan}}"),
        &format!("{AVAILABLE}[],[<<\"eth0\">>]}}"),
        "{install,<<\"eth0\">>,{pending,link_down}}",
        "{install,<<\"eth0\">>,installed}",
        "{healed,<<\"eth0\">>}",
        "{install,<<\"eth0\">>,nil}",
        "{property,[<<\"interface\">>,<<\"eth0\">>,<<\"connection\">>],lan,disconnected}",
        &format!("{CONNECTION}lan,disconnected}}"),
        &format!("{AVAILABLE}[<<\"eth0\">>],[]}}"),
    ];
    rig.beam.expect(&[("Events.", &format!("[{}]", expected.join(",")))]);
    // A thousand more: the last 200 are there, and `status` knows nothing of them.
    rig.beam.expect(&[
        ("[ok = gen_server:call(RM, {set_connection_status, eth0, S}) || _ <- lists:seq(1, 250), S <- [lan, internet]], ok.", "ok"),
        ("Kept = rpc:call(N, route_manager, get, [[\"events\"]]), length(Kept).", "200"),
        ("lists:all(fun({Time, _}) -> Time >= Ended end, Kept).", "true"),
        ("element(2, lists:last(Kept)).", &format!("{CONNECTION}lan,internet}}")),
        ("lists:usort([element(1, E) || {_, E} <- Kept]).", "[property]"),
        ("maps:is_key(events, gen_server:call(RM, status)).", "false"),
    ]);
}

#[test]
fn a_cast_subscribes_the_process_that_it_names_and_no_other() {
    let Some(rig) = Rig::start() else { return };
    number(&rig.beam);
    // The events of what a call has done come before the next answer.
    let told = "is_map(gen_server:call(RM, status)) andalso driver:await(0).";
    rig.beam.expect(&[
        ("gen_server:cast(RM, subscribe).", "ok"),
        (told, "timeout"),
        ("gen_server:cast(RM, {subscribe, self()}).", "ok"),
        ("Next().", &format!("{CONNECTION}nil,disconnected}}")),
        ("Next().", &format!("{AVAILABLE}nil,[]}}")),
        ("gen_server:cast(RM, {subscribe, self()}).", "ok"),
        (told, "timeout"),
        ("gen_server:cast(RM, {set_connection_status, eth0, lan}).", "ok"),
        ("Next().", "{install,<<\"eth0\">>,installed}"),
        ("Next().", "{property,[<<\"interface\">>,<<\"eth0\">>,<<\"connection\">>],nil,lan}"),
        ("Next().", &format!("{CONNECTION}disconnected,lan}}")),
        ("gen_server:cast(RM, {unsubscribe, self()}).", "ok"),
        ("gen_server:call(RM, {clear_route, eth0}).", "ok"),
        (told, "timeout"),
    ]);
}

#[test]
fn what_other_programs_do_is_an_event_too() {
    let Some(rig) = subscribed() else { return };
    rig.beam.expect(&[
        ("gen_server:call(RM, {set_route, \"eth0\", [{{192,168,1,50}, 24}], {192,168,1,1}}).", "ok"),
        ("length([Next() || _ <- lists:seq(1, 6)]).", "6"),
    ]);
    rig.net.ip(&["route", "add", "default", "via", "192.168.2.1", "dev", "wlan0", "proto", "dhcp"]);
    rig.beam.expect(&[
        ("{foreign, {shadowed, <<\"eth0\">>, By}} = Next(), maps:get(gateway, By).", "{192,168,2,1}"),
        ("{maps:get(ifname, By), maps:get(metric, By), maps:get(protocol, By)}.", "{<<\"wlan0\">>,0,16}"),
    ]);
    rig.net.ip(&["route", "del", "default", "via", "192.168.2.1", "dev", "wlan0", "proto", "dhcp"]);
    rig.beam.expect(&[("Next().", "{foreign,{unshadowed,<<\"eth0\">>}}")]);
    // Nobody outranks the default route of an interface that is not there, or that wants none.
    rig.beam.expect(&[
        ("gen_server:call(RM, {set_route, \"ppp0\", [{{10,2,2,50}, 32}], {10,2,2,1}}).", "ok"),
        ("gen_server:call(RM, {set_route, \"wlan0\", [{{192,168,2,50}, 24}], <<\"fd00:2::1\">>}).", "ok"),
        // Events follow the reply, and precede the next.
        ("_ = gen_server:call(RM, status), _ = driver:flush(), ok.", "ok"),
    ]);
    rig.net.ip(&["route", "add", "default", "via", "192.168.2.1", "dev", "wlan0", "proto", "dhcp"]);
    rig.net.ip(&["-6", "route", "add", "default", "dev", "wlan0", "proto", "dhcp", "metric", "1"]);
    rig.beam.expect(&[
        ("{route_manager, N, {_, foreign, {shadowed, Whose, _}}} = driver:await(5000), Whose.", "<<\"eth0\">>"),
        ("driver:await(100).", "timeout"),
        ("Shadowed = fun() -> [If || {If, #{shadowed_by := By}} <- maps:to_list(maps:get(interfaces, gen_server:call(RM, status))), By =/= nil] end, \
          Shadowed().", "[<<\"eth0\">>]"),
    ]);
    // When it comes, it is outranked.
    rig.net.ip(&["link", "add", "ppp0", "type", "veth", "peer", "name", "other0"]);
    rig.beam.expect(&[
        ("(fun F() -> case driver:await(5000) of {route_manager, N, {_, foreign, {shadowed, If, _}}} -> If; timeout -> timeout; _ -> F() end end)().", "<<\"ppp0\">>"),
        ("Shadowed().", "[<<\"eth0\">>,<<\"ppp0\">>]"),
    ]);
}

#[test]
fn a_fight_over_a_route_is_an_event_too() {
    let Some(rig) = subscribed() else { return };
    rig.beam.expect(&[
        ("gen_server:call(RM, {set_route, \"eth0\", [{{192,168,1,50}, 24}], {192,168,1,1}}).", "ok"),
        ("length([Next() || _ <- lists:seq(1, 6)]).", "6"),
        (
            "Later = fun() -> receive {route_manager, N, E} -> Seq = get(seq) + 1, Seq = element(1, E), put(seq, Seq), \
           erlang:delete_element(1, E) after 60000 -> timeout end end, ok.",
            "ok",
        ),
    ]);
    for _ in 0..5 {
        let delete = ["rule", "del", "from", "192.168.1.50", "lookup", "100", "protocol", "110"];
        eventually("it is there, or there again", || rig.net.try_ip(&delete).status.success());
    }
    rig.beam.expect(&[
        ("Later().", "{install,<<\"eth0\">>,{pending,contested}}"),
        ("Later().", "{foreign,{contested,<<\"eth0\">>}}"),
        // So does one who comes in the middle of it, and does not know how it began.
        (
            "Self = self(), Late = spawn(fun() -> ok = gen_server:call(RM, subscribe), (fun F() -> \
            receive {route_manager, N, {_, foreign, What}} -> Self ! {late, What}; _ -> ok end, F() end)() end), \
          receive {late, Begun} -> Begun after 5000 -> timeout end.",
            "{contested,<<\"eth0\">>}",
        ),
        // It is put back after a while, and stays.
        ("Later().", "{install,<<\"eth0\">>,installed}"),
        ("Later().", "{healed,<<\"eth0\">>}"),
        ("Later().", "{foreign,{uncontested,<<\"eth0\">>}}"),
        ("receive {late, Ended} -> Ended after 5000 -> timeout end.", "{uncontested,<<\"eth0\">>}"),
    ]);
}

#[test]
fn late_dead_and_sleeping_subscribers_harm_nobody() {
    let Some(rig) = subscribed() else { return };
    rig.beam.expect(&[
        ("length([Next() || _ <- lists:seq(1, 2)]).", "2"),
        // One that sleeps, one that dies, and one that is named by another process.
        ("Sleeper = spawn(fun() -> ok = gen_server:call(RM, subscribe), timer:sleep(infinity) end), is_pid(Sleeper).", "true"),
        ("Dead = spawn(fun() -> ok = gen_server:call(RM, subscribe) end), is_pid(Dead).", "true"),
        ("Self = self(), Other = spawn(fun F() -> receive M -> Self ! {other, M}, F() end end), gen_server:call(RM, {subscribe, Other}).", "ok"),
        ("{other, {route_manager, N, {1, property, _, nil, disconnected}}} = driver:await(5000), ok.", "ok"),
        ("{other, {route_manager, N, {2, property, _, nil, []}}} = driver:await(5000), ok.", "ok"),
        ("gen_server:call(RM, {unsubscribe, Other}).", "ok"),
        ("Set = fun(S) -> gen_server:call(RM, {set_connection_status, \"eth0\", S}) end, ok.", "ok"),
        ("lists:usort([Set(lists:nth(1 + I rem 2, [lan, internet])) || I <- lists:seq(1, 500)]).", "[ok]"),
    ]);
    let Some(late) = Beam::start(&rig.epmd.place(), &rig.daemon.cookie) else { return };
    late.know(&rig.daemon);
    listen(&late);
    late.expect(&[
        ("Next().", "{install,<<\"eth0\">>,installed}"),
        ("Next().", "{property,[<<\"interface\">>,<<\"eth0\">>,<<\"connection\">>],nil,lan}"),
        ("Next().", &format!("{CONNECTION}nil,lan}}")),
    ]);
    // What the first one has heard leads to where things are.
    rig.beam
        .ok("All = fun F() -> case driver:flush() of [] -> []; L -> L ++ F() end end, Heard = All(), length(Heard).");
    rig.beam.expect(&[
        ("lists:last([New || {route_manager, _, {_, property, [<<\"connection\">>], _, New}} <- Heard]).", "lan"),
        ("[element(1, E) || {route_manager, _, E} <- Heard] =:= lists:seq(3, 2 + length(Heard)).", "true"),
    ]);
    // Those who have ended are forgotten with their monitors.
    drop(late);
    eventually("only the living are left", || {
        rig.beam.ok("element(2, process_info(Sleeper, monitored_by)) =/= [].") == "true"
    });
    rig.beam.expect(&[
        ("exit(Sleeper, kill), Set(internet).", "ok"),
        ("{route_manager, N, Event} = driver:await(5000), element(1, Event) =:= 3 + length(Heard).", "true"),
    ]);
}

#[test]
fn bad_subscribers_and_functions() {
    let Some(rig) = Rig::start() else { return };
    rig.beam.expect(&[
        ("element(1, element(2, gen_server:call(RM, {subscribe, nobody}))).", "badarg"),
        ("rpc:call(N, route_manager, subscribe, [self()]).", "ok"),
        ("rpc:call(N, route_manager, subscribe, [self()]).", "ok"),
        ("length(driver:flush()).", "2"),
        ("rpc:call(N, route_manager, unsubscribe, [self()]).", "ok"),
        ("gen_server:call(RM, plan).", "[]"),
        ("rpc:call(N, 'Elixir.VintageNet.RouteManager', plan, []).", "[]"),
    ]);
}
