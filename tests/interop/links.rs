//! Links, monitors, exit signals and group leaders between BEAM processes and `route_manager`, and what becomes of our pids
//! in a BEAM's hands: one test for each thing that a user types.

use nix::sys::signal::Signal;

use crate::support::{Beam, Rig};

/// A rig whose BEAM knows the pid of `route_manager`, and how to ask whether it serves.
fn rig_with(flags: &[&str]) -> Option<Rig> {
    let rig = Rig::with(flags)?;
    rig.beam.expect(&[
        ("net_adm:ping(N).", "pong"),
        ("Pid = rpc:call(N, erlang, whereis, [route_manager]), is_pid(Pid).", "true"),
        ("Serves = fun() -> gen_server:call(RM, {get, [<<\"connection\">>]}, 5000) =:= disconnected andalso rpc:call(N, erlang, whereis, [route_manager]) =:= Pid end, Serves().", "true"),
        // A process that does what it is told, and dies with what it is linked to.
        ("Loop = fun Loop() -> receive {F, From} -> From ! {self(), F()}, Loop(); stop -> ok; {exit, now, Why} -> exit(Why) end end, ok.", "ok"),
        ("Ask = fun(P, F) -> P ! {F, self()}, receive {P, V} -> V after 5000 -> hangs end end, ok.", "ok"),
        ("Fresh = fun() -> spawn_monitor(Loop) end, ok.", "ok"),
        ("Gone = fun({P, M}) -> receive {'DOWN', M, process, P, Why} -> Why after 5000 -> alive end end, ok.", "ok"),
    ]);
    Some(rig)
}

fn rig() -> Option<Rig> {
    rig_with(&[])
}

#[test]
fn link_and_unlink() {
    let Some(rig) = rig() else { return };
    rig.beam.holds(&[
        "link(Pid) andalso link(Pid) andalso lists:member(Pid, element(2, process_info(self(), links))).",
        "unlink(Pid) andalso unlink(Pid) andalso not lists:member(Pid, element(2, process_info(self(), links))).",
        // Over and over: each unlink has an id of its own.
        "[true] =:= lists:usort([link(Pid) andalso unlink(Pid) || _ <- lists:seq(1, 500)]).",
        "link(Pid) andalso Serves() andalso unlink(Pid).",
        "driver:flush() =:= [].",
    ]);
}

#[test]
fn link_to_a_pid_that_is_gone() {
    let Some(rig) = rig() else { return };
    rig.beam.holds(&[
        "process_flag(trap_exit, true) =:= false.",
        "Dead = spawn(N, erlang, node, []), timer:sleep(50), link(Dead).",
        "{'EXIT', Dead, noproc} =:= driver:await(5000).",
        "exit(Dead, kill) andalso Serves().",
    ]);
}

#[test]
fn a_linked_caller_that_dies_leaves_the_daemon_alone() {
    let Some(rig) = rig() else { return };
    for why in ["normal", "shutdown", "kill", "killed", "{a, reason}", "undef"] {
        let linked = format!("L{}", crate::support::serial());
        rig.beam.holds(&[
            &format!("{linked} = Fresh(), Ask(element(1, {linked}), fun() -> link(Pid) end)."),
            &format!("element(1, {linked}) ! {{exit, now, {why}}}, Gone({linked}) =:= {why}."),
            "Serves().",
        ]);
    }
    // And hundreds at once, in the middle of calls.
    rig.beam.holds(&[
        "Crowd = [spawn_monitor(fun() -> link(Pid), gen_server:call(Pid, {get, []}), exit(boom) end) || _ <- lists:seq(1, 200)], ok =:= ok.",
        "lists:usort([Gone(C) || C <- Crowd]) =:= [boom].",
        "Serves().",
    ]);
}

#[test]
fn the_daemon_ends_and_a_linked_process_gets_the_exit_signal() {
    let Some(mut rig) = rig() else { return };
    rig.beam.holds(&[
        "{P, _} = Linked = Fresh(), Ask(P, fun() -> link(Pid) end).",
        "{Q, _} = Unlinked = Fresh(), Ask(Q, fun() -> link(Pid), unlink(Pid) end).",
        "process_flag(trap_exit, true) =:= false andalso link(Pid).",
    ]);
    rig.daemon.signal(Signal::SIGTERM);
    rig.beam.holds(&[
        "Gone(Linked) =:= shutdown.",
        "{'EXIT', Pid, shutdown} =:= driver:await(5000).",
        "is_process_alive(Q) andalso driver:flush() =:= [].",
    ]);
    assert_eq!(rig.daemon.exit_code(), Some(0));
}

#[test]
fn the_daemon_is_stopped_and_links_and_monitors_hear_the_reason() {
    let Some(mut rig) = rig_with(&["--admin", "all"]) else { return };
    rig.beam.holds(&[
        "process_flag(trap_exit, true) =:= false andalso link(Pid).",
        "M1 = monitor(process, Pid), M2 = monitor(process, RM), M3 = monitor(process, {'Elixir.VintageNet.RouteManager', N}, [{tag, mine}]), true.",
        "gen_server:stop(RM, {shutdown, enough}, 5000) =:= ok.",
        "Why = {shutdown, enough}, Heard = [driver:await(5000) || _ <- [1, 2, 3, 4]], hd(Heard) =:= {'EXIT', Pid, Why}.",
        "lists:sort(Heard) =:= lists:sort([{'EXIT', Pid, Why}, {'DOWN', M1, process, Pid, Why}, {'DOWN', M2, process, RM, Why}, \
           {mine, M3, process, {'Elixir.VintageNet.RouteManager', N}, Why}]) orelse Heard.",
    ]);
    assert_eq!(rig.daemon.exit_code(), Some(0));
}

#[test]
fn kill_9_gives_linked_processes_noconnection() {
    let Some(mut rig) = rig() else { return };
    rig.beam.holds(&[
        "{P, _} = Linked = Fresh(), Ask(P, fun() -> link(Pid) end).",
        "process_flag(trap_exit, true) =:= false andalso link(Pid).",
    ]);
    rig.daemon.kill();
    rig.beam.holds(&["{'EXIT', Pid, noconnection} =:= driver:await(5000).", "Gone(Linked) =:= noconnection."]);
}

#[test]
fn exit_2_does_not_stop_route_manager() {
    let Some(rig) = rig() else { return };
    for why in ["kill", "normal", "shutdown", "{shutdown, x}", "boom", "killed"] {
        rig.beam.holds(&[&format!("exit(Pid, {why})."), "Serves()."]);
    }
    rig.beam.holds(&[
        "link(Pid) andalso exit(Pid, kill) andalso Serves() andalso unlink(Pid).",
        "[true] =:= lists:usort([exit(rpc:call(N, erlang, whereis, [Name]), kill) || Name <- [net_kernel, rex]]).",
        "Serves() andalso driver:flush() =:= [].",
    ]);
}

#[test]
fn monitor_with_alias_and_tag() {
    let Some(rig) = rig() else { return };
    rig.beam.holds(&[
        "A1 = monitor(process, Pid, [{alias, explicit_unalias}]), Pid ! {'$gen_call', {self(), [alias | A1]}, {get, [<<\"connection\">>]}}, {[alias | A1], disconnected} =:= driver:await(5000).",
        "unalias(A1) andalso demonitor(A1).",
        // The alias goes with the first reply: a second one is dropped.
        "A2 = monitor(process, RM, [{alias, reply_demonitor}]), [RM ! {'$gen_call', {self(), [alias | A2]}, {get, [<<\"connection\">>]}} || _ <- [1, 2]], {[alias | A2], disconnected} =:= driver:await(5000).",
        "Serves() andalso driver:flush() =:= [].",
        "A3 = monitor(process, RM, [{alias, demonitor}]), demonitor(A3), RM ! {'$gen_call', {self(), [alias | A3]}, {get, [<<\"connection\">>]}}, Serves() andalso driver:flush() =:= [].",
        "T1 = monitor(process, {nobody, N}, [{tag, {my, tag}}]), {{my, tag}, T1, process, {nobody, N}, noproc} =:= driver:await(5000).",
        "A4 = monitor(process, {nobody, N}, [{alias, reply_demonitor}, {tag, gone}]), {gone, A4, process, {nobody, N}, noproc} =:= driver:await(5000).",
        "A5 = alias([reply]), RM ! {'$gen_call', {self(), [[alias | A5] | make_ref()]}, {get, [<<\"connection\">>]}}, {[[alias | A5] | _], disconnected} = driver:await(5000), true.",
    ]);
}

#[test]
fn a_late_reply_after_a_timeout_is_not_delivered() {
    let Some(rig) = rig() else { return };
    rig.daemon.signal(Signal::SIGSTOP);
    rig.beam.holds(&["{'EXIT', {timeout, _}} = (catch gen_server:call(RM, status, 50)), true."]);
    rig.daemon.signal(Signal::SIGCONT);
    rig.beam.holds(&["Serves() andalso driver:flush() =:= []."]);
}

#[test]
fn group_leader_2_on_our_pid_changes_nothing() {
    let Some(rig) = rig() else { return };
    rig.beam.holds(&[
        "group_leader(self(), Pid) andalso Serves().",
        "group_leader(self(), spawn(N, erlang, node, [])) andalso Serves().",
    ]);
}

#[test]
fn a_process_with_our_pid_as_its_group_leader_gets_an_error_and_does_not_hang() {
    let Some(rig) = rig() else { return };
    for call in [
        "io:format(\"hello~n\")",
        "io:put_chars(<<\"hello\">>)",
        "io:get_line(\"\")",
        "io:setopts([binary])",
        "io:columns()",
        "io:read(\"\")",
    ] {
        let variable = format!("V{}", crate::support::serial());
        rig.beam.holds(&[&format!(
            "{{_, _}} = {variable} = spawn_monitor(fun() -> group_leader(Pid, self()), {call}, exit(done) end), Gone({variable}) =/= alive."
        )]);
    }
    rig.beam.holds(&[
        "[{error, enotsup}] =:= lists:usort([io:request(P, {put_chars, unicode, <<\"x\">>}) || P <- [Pid, rpc:call(N, erlang, whereis, [rex])]]).",
        "Serves().",
    ]);
}

#[test]
fn process_info_process_flag_and_their_like_are_undef() {
    let Some(rig) = rig() else { return };
    for call in [
        "process_info, [Pid]",
        "process_info, [Pid, links]",
        "process_flag, [trap_exit, true]",
        "processes, []",
        "garbage_collect, [Pid]",
        "suspend_process, [Pid]",
        "group_leader, []",
        "spawn, [lists, nothing, []]",
        "exit, [Pid, kill]",
        "unregister, [route_manager]",
        "register, [other, Pid]",
        "send, [route_manager, x]",
        "set_cookie, [x]",
        "get_cookie, []",
        "apply, [erlang, node, []]",
    ] {
        rig.beam.holds(&[&format!(
            "(fun() -> {{badrpc, {{'EXIT', {{undef, [{{erlang, _, _, []}} | _]}}}}}} = rpc:call(N, erlang, {call}, 5000), true end)()."
        )]);
    }
    rig.beam.holds(&[
        "{'EXIT', {badarg, _}} = (catch process_info(Pid)), true.",
        "{'EXIT', {badarg, _}} = (catch is_process_alive(Pid)), true.",
        "rpc:call(N, erlang, is_process_alive, [Pid]) andalso Serves().",
    ]);
}

#[test]
fn our_pids_are_pids_like_any_other() {
    let Some(rig) = rig() else { return };
    rig.beam.holds(&[
        "node(Pid) =:= N andalso is_pid(Pid) andalso Pid =/= self().",
        "list_to_pid(pid_to_list(Pid)) =:= Pid.",
        "hd(lists:flatten(io_lib:format(\"~p\", [Pid]))) =:= $<.",
        "binary_to_term(term_to_binary(Pid)) =:= Pid.",
        "gen_server:call(binary_to_term(term_to_binary(Pid)), {get, [<<\"connection\">>]}) =:= disconnected.",
        // Sent to us and back, with pids, references and ports of others.
        "Terms = {Pid, self(), make_ref(), hd(erlang:ports()), monitor(process, Pid), spawn(N, erlang, node, []), fun erlang:node/0, fun() -> Pid end}, true.",
        "gen_server:call(Pid, {echo, Terms}) =:= {error, {unknown_request, {echo, Terms}}}.",
        "#{Pid => 1} =:= maps:from_list([{element(1, element(2, element(2, element(2, gen_server:call(Pid, {echo, {Pid}}))))), 1}]).",
        "Many = [spawn(N, erlang, node, []) || _ <- lists:seq(1, 300)], length(lists:usort([Pid | Many])) =:= 301.",
        "lists:member(Pid, lists:sort([self(), Pid | Many])) andalso erlang:phash2(Pid) =:= erlang:phash2(binary_to_term(term_to_binary(Pid))).",
        "Net = rpc:call(N, erlang, whereis, [net_kernel]), Rex = rpc:call(N, erlang, whereis, [rex]), length(lists:usort([Net, Rex, Pid])) =:= 3.",
    ]);
}

#[test]
fn a_pid_of_an_earlier_life_is_dead() {
    let Some(rig) = rig() else { return };
    let Rig { beam, mut daemon, net, epmd } = rig;
    beam.holds(&["Old = Pid, is_pid(Old)."]);
    let (node, cookie) = (daemon.node.clone(), daemon.cookie.clone());
    daemon.kill();
    let _daemon =
        crate::support::Daemon::options(&epmd.place()).netns(&net).naming("--name", &node).cookie(&cookie).start();
    beam.holds(&[
        "net_adm:ping(N) =:= pong.",
        "New = rpc:call(N, erlang, whereis, [route_manager]), New =/= Old andalso node(New) =:= node(Old).",
        "M = monitor(process, Old), {'DOWN', M, process, Old, noproc} =:= driver:await(5000) orelse driver:flush().",
        "process_flag(trap_exit, true) =:= false andalso link(Old) andalso {'EXIT', Old, noproc} =:= driver:await(5000).",
        "{'EXIT', {noproc, _}} = (catch gen_server:call(Old, status)), true.",
        "gen_server:call(New, {get, [<<\"connection\">>]}) =:= disconnected.",
    ]);
}

#[test]
fn monitor_node_and_monitor_nodes_see_a_hidden_node() {
    let Some(rig) = Rig::start() else { return };
    rig.beam.holds(&[
        "net_kernel:monitor_nodes(true) =:= ok andalso net_kernel:monitor_nodes(true, [{node_type, hidden}]) =:= ok andalso net_kernel:monitor_nodes(true, [{node_type, visible}]) =:= ok.",
        "monitor_node(N, true) andalso net_adm:ping(N) =:= pong.",
        "driver:await(5000) =:= {nodeup, N, [{node_type, hidden}]} andalso driver:await(100) =:= timeout.",
        "nodes() =:= [] andalso nodes(hidden) =:= [N] andalso nodes(connected) =:= [N].",
        "erlang:disconnect_node(N) andalso lists:sort([driver:await(5000), driver:await(5000)]) =:= [{nodedown, N}, {nodedown, N, [{node_type, hidden}]}].",
        "driver:await(100) =:= timeout.",
    ]);
}

#[test]
fn process_link_exit_and_monitor_from_elixir() {
    let Some(rig) = Rig::start() else { return };
    let Some(elixir) = Beam::elixir(&rig.epmd.place(), &rig.daemon.cookie) else { return };
    elixir.expect(&[
        (&format!("n = :\"{}\"; Node.connect(n)", rig.daemon.node), "true"),
        ("pid = :rpc.call(n, :erlang, :whereis, [:route_manager]); is_pid(pid)", "true"),
        ("Process.flag(:trap_exit, true)", "false"),
        ("{Process.link(pid), Process.unlink(pid), Process.link(pid)}", "{true, true, true}"),
        ("{Process.exit(pid, :kill), Process.exit(pid, :normal), Process.exit(pid, :shutdown)}", "{true, true, true}"),
        ("GenServer.call(pid, {:get, [\"connection\"]})", ":disconnected"),
        ("ref = Process.monitor(pid); Process.group_leader(pid, self())", "true"),
        ("match?(%ArgumentError{}, try do Process.alive?(pid) rescue e -> e end)", "true"),
        ("match?(%ArgumentError{}, try do Process.info(pid) rescue e -> e end)", "true"),
        ("inspect(pid) =~ ~r/^#PID<\\d+\\.\\d+\\.\\d+>$/", "true"),
        ("Node.monitor(n, true)", "true"),
    ]);
    rig.daemon.signal(Signal::SIGTERM);
    elixir.expect(&[
        ("receive do {:EXIT, ^pid, why} -> why after 5000 -> :nothing end", ":shutdown"),
        ("receive do {:DOWN, ^ref, :process, ^pid, why} -> why after 5000 -> :nothing end", ":shutdown"),
        ("receive do {:nodedown, ^n} -> :down after 5000 -> :nothing end", ":down"),
    ]);
}
