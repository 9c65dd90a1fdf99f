//! What each kind of caller puts on the wire, and the answer that it needs.

use super::Alone;
use crate::support::Talk;
use crate::support::talk::Row;

#[test]
fn ping_and_calls() {
    let Some(alone) = Alone::start(&[]) else { return };
    let mut talk = Talk::start(&alone.daemon);
    let ping = "{6, Me, '', net_kernel} {'$gen_call', {Me, [alias | R1]}, {is_auth, Node}}";
    let call = |request: &str| format!("{{22, Me, Rm}} {{'$gen_call', {{Me, R1}}, {request}}}");
    let rows: &[Row<'_>] = &[
        (
            "net_adm:ping",
            &["{19, Me, net_kernel, R1}", ping, "{20, Me, net_kernel, R1}"],
            &["{33, Net, R1} {[alias | R1], yes}"],
        ),
        (
            "a call to an unknown name",
            &["{19, Me, nobody, R1}", "{6, Me, '', nobody} {'$gen_call', {Me, [alias | R1]}, hello}"],
            &["{28, nobody, Me, R1} noproc"],
        ),
        ("an unknown request", &[&call("{a, [b]}")], &["{22, Rm, Me} {R1, {error, {unknown_request, {a, [b]}}}}"]),
        ("a bad argument", &[&call("{clear_route, 1}")], &["{22, Rm, Me} {R1, {error, {badarg, _}}}"]),
        (
            "a cast",
            &[
                "{6, Me, '', route_manager} {'$gen_cast', {set_connection_status, eth0, lan}}",
                &call("{get, [<<\"interface\">>, <<\"eth0\">>, <<\"connection\">>]}"),
            ],
            &["{22, Rm, Me} {R1, lan}"],
        ),
        ("a bare message", &["{22, Me, Rm} hello", "{6, Me, '', route_manager} {hello}"], &[]),
        ("a call of no known form", &["{22, Me, Rm} {'$gen_call', Me, status}", "{22, Me, Rm} {'$gen_call'}"], &[]),
        ("gen_event", &["{22, Me, Net} {'$gen_notify', hello}", "{22, Me, Rex} {notify, hello}"], &[]),
    ];
    talk.expect(rows);
}

#[test]
fn system_messages() {
    let Some(alone) = Alone::start(&[]) else { return };
    let mut talk = Talk::start(&alone.daemon);
    let system = |request: &str| format!("{{22, Me, Rm}} {{system, {{Me, R1}}, {request}}}");
    let status = "{status, Rm, {module, gen_server}, [_, running, _, [], _]}";
    let unknown = |request: &str| format!("{{22, Rm, Me}} {{R1, {{error, {{unknown_system_msg, {request}}}}}}}");
    let rows: &[Row<'_>] = &[
        ("get_state", &[&system("get_state")], &["{22, Rm, Me} {R1, {ok, _}}"]),
        ("get_status", &[&system("get_status")], &[&format!("{{22, Rm, Me}} {{R1, {status}}}")]),
        ("suspend", &[&system("suspend")], &[&unknown("suspend")]),
        ("replace_state", &[&system("{replace_state, 1}")], &[&unknown("{replace_state, 1}")]),
        ("terminate", &[&system("{terminate, normal}")], &["{22, Rm, Me} {R1, {error, not_allowed}}"]),
    ];
    talk.expect(rows);
}

/// `sys` and `gen_server:stop` of the two processes that every node has.
#[test]
fn system_messages_to_net_kernel_and_rex_are_refused_and_not_forgotten() {
    let Some(alone) = Alone::start(&["--admin", "all"]) else { return };
    let mut talk = Talk::start(&alone.daemon);
    for process in ["Net", "Rex"] {
        for (request, answer) in [
            ("get_state", "{ok, _}"),
            ("get_status", "{status, PROCESS, {module, _}, _}"),
            ("suspend", "{error, {unknown_system_msg, suspend}}"),
            ("{terminate, normal}", "{error, not_allowed}"),
        ] {
            let says = format!("{{22, Me, {process}}} {{system, {{Me, [alias | R1]}}, {request}}}");
            let answer = answer.replace("PROCESS", process);
            let hears = format!("{{33, {process}, R1}} {{[alias | R1], {answer}}}");
            talk.expect(&[(request, &[&says], &[&hears])]);
        }
    }
}

#[test]
fn server_call_and_multi_server_call() {
    let Some(alone) = Alone::start(&[]) else { return };
    let mut talk = Talk::start(&alone.daemon);
    let vintage_net = "'Elixir.VintageNet.RouteManager'";
    let get = "{get, [<<\"connection\">>]}";
    talk.expect(&[
        ("noproc", &["{19, Me, nobody, R1}", "{6, Me, '', nobody} {Me, hello}"], &["{28, nobody, Me, R1} noproc"]),
        (
            "route_manager",
            &[
                "{19, Me, route_manager, R1}",
                &format!("{{6, Me, '', route_manager}} {{Me, {get}}}"),
                "{20, Me, route_manager, R1}",
            ],
            &["{22, Rm, Me} {route_manager, N, disconnected}"],
        ),
        (
            "its other name",
            &[&format!("{{6, Me, '', {vintage_net}}} {{Me, {get}}}")],
            &[&format!("{{22, Rm, Me}} {{{vintage_net}, N, disconnected}}")],
        ),
        (
            "an unknown request",
            &["{6, Me, '', route_manager} {Me, hello}"],
            &["{22, Rm, Me} {route_manager, N, {error, {unknown_request, hello}}}"],
        ),
    ]);
}

#[test]
fn an_io_request_gets_enotsup() {
    let Some(alone) = Alone::start(&[]) else { return };
    let mut talk = Talk::start(&alone.daemon);
    for process in ["Rm", "Net", "Rex"] {
        let says = format!("{{22, Me, {process}}} {{io_request, Me, R1, {{put_chars, unicode, <<\"hi\">>}}}}");
        let hears = format!("{{22, {process}, Me}} {{io_reply, R1, {{error, enotsup}}}}");
        talk.expect(&[(process, &[&says], &[&hears])]);
    }
}

#[test]
fn execute_call_by_outcome() {
    let Some(alone) = Alone::start(&[]) else { return };
    let mut talk = Talk::start(&alone.daemon);
    for (call, outcome) in [
        ("erlang, node, []", "{res, return, N}"),
        ("erlang, whereis, [route_manager]", "{res, return, Rm}"),
        ("route_manager, clear_route, [<<\"eth0\">>]", "{res, return, ok}"),
        ("route_manager, clear_route, [1]", "{res, error, badarg, [{route_manager, clear_route, [1], []} | _]}"),
        ("erlang, whereis, [1]", "{res, error, badarg, [{erlang, whereis, [1], []} | _]}"),
        ("os, cmd, [a, b]", "{res, error, undef, [{os, cmd, [a, b], []} | _]}"),
        ("os, cmd, []", "{res, error, undef, [{os, cmd, [], []} | _]}"),
        ("route_manager, status, \"ab\"", "{res, error, undef, [{route_manager, status, [97, 98], []} | _]}"),
        ("net_kernel, connect_node, [1]", "{res, error, function_clause, [{net_kernel, connect_node, [1], []} | _]}"),
        ("net_kernel, get_net_ticktime, []", "{res, return, 60}"),
        ("erlang, node, no_list", "{res, error, badarg, _}"),
        ("erlang, node, [a | b]", "{res, error, badarg, _}"),
        ("1, node, []", "{res, error, badarg, _}"),
        ("erlang, \"node\", []", "{res, error, badarg, _}"),
    ] {
        for (op, token) in [(29, ""), (30, ", Token")] {
            talk.bind("Token", &[106]);
            let says = format!("{{{op}, R1, Me, Me, {{erpc, execute_call, 4}}, [monitor]{token}}} [res, {call}]");
            talk.say(&says);
            talk.scope.remove("P");
            talk.hears("{31, R1, Me, 2, P}");
            talk.hears(&format!("{{28, P, Me, R1}} {outcome}"));
            talk.is_served(call);
        }
    }
}

#[test]
fn spawn_requests_by_option() {
    let Some(alone) = Alone::start(&[]) else { return };
    let mut talk = Talk::start(&alone.daemon);
    let undef = "{undef, [{lists, nothing, [1, a], []}]}";
    let (exit, down) = (format!("{{24, P, Me}} {undef}"), format!("{{28, P, Me, R1}} {undef}"));
    for (options, flags, ends) in [
        ("[]", 0, &[][..]),
        ("[link]", 1, &[&exit][..]),
        ("[monitor]", 2, &[&down]),
        ("[{monitor, [{tag, x}]}]", 2, &[&down]),
        ("[link, monitor]", 3, &[&exit, &down]),
        ("[monitor, link]", 3, &[&exit, &down]),
        ("[{priority, high}]", 0, &[]),
        ("[link, {priority, low}, {min_heap_size, 233}, {message_queue_data, off_heap}]", 1, &[&exit]),
        ("[{max_heap_size, 0}, {fullsweep_after, 5}, {min_bin_vheap_size, 9}, monitor]", 2, &[&down]),
    ] {
        talk.scope.remove("P");
        talk.say(&format!("{{29, R1, Me, Me, {{lists, nothing, 2}}, {options}}} [1, a]"));
        talk.hears(&format!("{{31, R1, Me, {flags}, P}}"));
        ends.iter().for_each(|end| talk.hears(end));
        talk.is_served(options);
    }
}

#[test]
fn spawn_requests_that_cannot_be() {
    let Some(alone) = Alone::start(&[]) else { return };
    let mut talk = Talk::start(&alone.daemon);
    for (arity, options, args, error) in [
        (0, "[unknown]", "[]", "badopt"),
        (0, "[link, {unknown, 1}]", "[]", "badopt"),
        (0, "[link, 1]", "[]", "badopt"),
        (0, "no_list", "[]", "badopt"),
        (0, "[link | monitor]", "[]", "badopt"),
        (1, "[link, monitor]", "[]", "badarg"),
        (0, "[monitor]", "[a]", "badarg"),
        (1, "[]", "[a | b]", "badarg"),
        (1, "[]", "a", "badarg"),
        (3, "[monitor]", "\"ab\"", "badarg"),
    ] {
        let says = format!("{{29, R1, Me, Me, {{erlang, node, {arity}}}, {options}}} {args}");
        talk.expect(&[(&says, &[&says], &[&format!("{{31, R1, Me, 0, {error}}}")])]);
    }
}

#[test]
fn spawn_requests_of_other_functions() {
    let Some(alone) = Alone::start(&[]) else { return };
    let mut talk = Talk::start(&alone.daemon);
    // fun erlang:node/0, and what erpc:call(Node, Fun) makes of one.
    talk.bind("Fun", &[&[113][..], &[119, 6], b"erlang", &[119, 4], b"node", &[97, 0]].concat());
    for (mfa, args, reason) in [
        ("{erlang, node, 0}", "[]", "normal"),
        ("{route_manager, clear_route, 1}", "[<<\"eth0\">>]", "normal"),
        ("{route_manager, clear_route, 1}", "[1]", "{badarg, [{route_manager, clear_route, [1], []} | _]}"),
        ("{erlang, apply, 2}", "[Fun, []]", "{undef, [{erlang, apply, [Fun, []], []}]}"),
        ("{lists, reverse, 2}", "\"ab\"", "{undef, [{lists, reverse, [97, 98], []}]}"),
        ("{erpc, execute_call, 3}", "[a, b, c]", "{undef, [{erpc, execute_call, [a, b, c], []}]}"),
    ] {
        talk.scope.remove("P");
        talk.say(&format!("{{29, R1, Me, Me, {mfa}, [monitor]}} {args}"));
        talk.hears("{31, R1, Me, 2, P}");
        talk.hears(&format!("{{28, P, Me, R1}} {reason}"));
        talk.is_served(mfa);
    }
    // A cast is told of nothing but its process.
    talk.say(
        "{29, R1, Me, Me, {erpc, execute_cast, 3}, []} [route_manager, set_connection_status, [<<\"eth0\">>, lan]]",
    );
    talk.hears("{31, R1, Me, 0, _}");
    talk.say("{22, Me, Rm} {'$gen_call', {Me, R1}, {get, [<<\"interface\">>, <<\"eth0\">>, <<\"connection\">>]}}");
    talk.hears("{22, Rm, Me} {R1, lan}");
    // A process that has ended is no process.
    talk.say("{19, Me, P, R2}");
    talk.hears("{28, P, Me, R2} noproc");
}

#[test]
fn rex_by_its_three_forms() {
    let Some(alone) = Alone::start(&[]) else { return };
    let mut talk = Talk::start(&alone.daemon);
    let undef = "{badrpc, {'EXIT', {undef, [{os, cmd, [a], []}]}}}";
    for (call, result) in [
        ("erlang, node, []", "N"),
        ("route_manager, get, [[<<\"connection\">>]]", "disconnected"),
        ("os, cmd, [a]", undef),
        (
            "route_manager, clear_route, [1]",
            "{badrpc, {'EXIT', {badarg, [{route_manager, clear_route, [1], []} | _]}}}",
        ),
        ("erlang, node, a", "{badrpc, {'EXIT', {badarg, _}}}"),
        ("erlang, node, [a | b]", "{badrpc, {'EXIT', {badarg, _}}}"),
    ] {
        for (control, says, hears) in [
            ("{6, Me, '', rex}", "{Me, {call, CALL, Me}}", "{22, Rex, Me} {rex, RESULT}"),
            ("{22, Me, Rex}", "{Me, {call, CALL, user}}", "{22, Rex, Me} {rex, RESULT}"),
            ("{22, Me, Rex}", "{'$gen_call', {Me, R1}, {call, CALL, Me}}", "{22, Rex, Me} {R1, RESULT}"),
            (
                "{6, Me, '', rex}",
                "{'$gen_call', {Me, [alias | R1]}, {block_call, CALL, Me}}",
                "{33, Rex, R1} {[alias | R1], RESULT}",
            ),
        ] {
            let (says, hears) = (format!("{control} {}", says.replace("CALL", call)), hears.replace("RESULT", result));
            talk.expect(&[(&says, &[&says], &[&hears])]);
        }
    }
    talk.expect(&[
        ("features", &["{6, Me, '', rex} {Me, features_request}"], &["{22, Rex, Me} {features_reply, N, [erpc]}"]),
        ("a cast", &["{6, Me, '', rex} {'$gen_cast', {cast, erlang, node, [], Me}}"], &[]),
        ("unknown", &["{6, Me, '', rex} {Me, hello}", "{6, Me, '', rex} hello", "{6, Me, '', rex} {a, b, c}"], &[]),
        (
            "an unknown call",
            &["{6, Me, '', rex} {'$gen_call', {Me, R1}, hello}"],
            &["{22, Rex, Me} {R1, {error, {unknown_request, hello}}}"],
        ),
    ]);
}

#[test]
fn what_a_published_peer_says_unasked() {
    // As a BEAM does to every visible node; none of it wants an answer.
    let Some(alone) = Alone::start(&[]) else { return };
    let mut talk = Talk::with(&alone.daemon, crate::support::raw::FLAGS | 1);
    let locker = "{'$gen_cast', {init_connect, {5, {1, Me}}, Node, {locker, no_longer_a_pid, [], Me}}}";
    talk.expect(&[
        ("global", &[&format!("{{6, Me, '', global_name_server}} {locker}")], &[]),
        ("pg", &["{6, Me, '', pg} {discover, Me}", "{6, Me, '', pg} {discover, Me, 1}"], &[]),
        ("rex", &["{6, Me, '', rex} {Me, features_request}"], &["{22, Rex, Me} {features_reply, N, [erpc]}"]),
        ("logger_proxy", &["{6, Me, '', logger_proxy} {log, error}"], &[]),
    ]);
}
