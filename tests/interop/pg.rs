//! `--pg-group`: OTP's own `pg` on `erl` nodes lists the daemon's route_manager, though the daemon is hidden.

use std::process::{Command, Stdio};

use nix::sys::signal::Signal;

use crate::support::{Beam, Daemon, Epmd, Netns, Rig, eventually, serial};

const COOKIE: &str = "discovery";
const GROUP: &[&str] = &["--pg-group", "route_managers"];

fn fresh(letter: char) -> String {
    format!("{letter}{}x{}@127.0.0.1", std::process::id(), serial())
}

/// An `erl` whose Kernel supervises a `pg`, and that has asked it for news of all groups.
fn erl(epmd: &Epmd, name: &str) -> Option<Beam> {
    erl_with(epmd, name, &[])
}

fn erl_with(epmd: &Epmd, name: &str, flags: &[&str]) -> Option<Beam> {
    let flags = [&["-kernel", "start_pg", "true"], flags].concat();
    let beam = Beam::named(&epmd.place(), COOKIE, "-name", name, &flags)?;
    beam.ok("{Ref, Before} = pg:monitor_scope(), Pg = whereis(pg), Members = fun() -> pg:get_members(route_managers) end, Before.");
    Some(beam)
}

fn daemon(epmd: &Epmd, net: &Netns, name: &str, flags: &[&str]) -> Daemon {
    Daemon::options(&epmd.place()).netns(net).naming("--name", name).cookie(COOKIE).flags(flags).start()
}

/// A daemon in the group, and an `erl` that is not connected to it yet. Dropped in this order.
struct Pair {
    beam: Beam,
    daemon: Daemon,
    net: Netns,
    epmd: Epmd,
}

impl Pair {
    fn start() -> Option<Self> {
        let (epmd, net) = (Epmd::start()?, Netns::two_interfaces()?);
        let daemon = daemon(&epmd, &net, &fresh('d'), GROUP);
        let beam = erl(&epmd, &fresh('e'))?;
        beam.know(&daemon);
        Some(Self { beam, daemon, net, epmd })
    }

    fn connect(&self) {
        self.beam.expect(&[("net_kernel:connect_node(N).", "true")]);
        is_member(&self.beam, 1);
    }
}

/// Waits until the group has so many members.
#[track_caller]
fn is_member(beam: &Beam, count: usize) {
    eventually("the group has its members", || beam.ok("length(Members()).") == count.to_string());
}

/// The only member can be called, and is the daemon's route_manager; `P` from now on.
#[track_caller]
fn is_usable(beam: &Beam) {
    beam.holds(&[
        "[P] = Members(), node(P) =:= N.",
        "P =:= rpc:call(N, erlang, whereis, [route_manager]).",
        "maps:get(node, gen_server:call(P, status)) =:= N.",
        "{[N], []} =:= {nodes(hidden), nodes()}.",
    ]);
}

#[test]
fn get_members_has_route_manager_when_erl_dials() {
    let Some(pair) = Pair::start() else { return };
    pair.beam.expect(&[("Members().", "[]")]);
    pair.connect();
    is_usable(&pair.beam);
    pair.beam.holds(&[
        "driver:await(5000) =:= {Ref, join, route_managers, [P]}.",
        "{pg:which_groups(), pg:which_local_groups(), pg:get_local_members(route_managers)} =:= {[route_managers], [], []}.",
        "ok =:= gen_server:call(P, {set_connection_status, eth0, internet}).",
    ]);
}

#[test]
fn get_members_has_route_manager_when_the_daemon_dials() {
    let (Some(epmd), Some(net)) = (Epmd::start(), Netns::two_interfaces()) else { return };
    let (ours, theirs) = (fresh('d'), fresh('e'));
    let Some(beam) = erl(&epmd, &theirs) else { return };
    let daemon = daemon(&epmd, &net, &ours, &["--pg-group", "route_managers", "--connect", &theirs]);
    beam.know(&daemon);
    is_member(&beam, 1);
    is_usable(&beam);
    beam.holds(&["driver:await(5000) =:= {Ref, join, route_managers, [P]}."]);
}

#[test]
fn nodedown_takes_it_out_and_nodeup_brings_it_back() {
    let Some(mut pair) = Pair::start() else { return };
    pair.connect();
    is_usable(&pair.beam);
    for _ in 0..3 {
        pair.beam.expect(&[("erlang:disconnect_node(N).", "true")]);
        is_member(&pair.beam, 0);
        pair.connect();
    }
    let news = "[{W, G, Ps =:= [P]} || {R, W, G, Ps} <- driver:flush(), R =:= Ref].";
    let (join, leave) = ("{join,route_managers,true}", "{leave,route_managers,true}");
    assert_eq!(pair.beam.ok(news), format!("[{join},{leave},{join},{leave},{join},{leave},{join}]"));
    let name = pair.daemon.node.clone();
    pair.daemon.kill();
    is_member(&pair.beam, 0);
    pair.beam.holds(&["driver:await(5000) =:= {Ref, leave, route_managers, [P]}."]);
    // It comes back under the same name, and its process is another one.
    pair.daemon = daemon(&pair.epmd, &pair.net, &name, GROUP);
    pair.connect();
    pair.beam.holds(&[
        "[Q] = Members(), Q =/= P andalso node(Q) =:= N.",
        "driver:await(5000) =:= {Ref, join, route_managers, [Q]}.",
        "is_map(gen_server:call(Q, status)).",
        "Pg =:= whereis(pg).",
    ]);
}

#[test]
fn sigterm_leaves_before_anything_else_ends() {
    let Some(mut pair) = Pair::start() else { return };
    pair.connect();
    is_usable(&pair.beam);
    // Here the very process that asks has the name, so that all that the daemon sends can be seen, and its order.
    let Some(bare) = Beam::start(&pair.epmd.place(), COOKIE) else { return };
    bare.know(&pair.daemon);
    bare.holds(&[
        "register(pg, self()), net_kernel:connect_node(N).",
        "{discover, Us} = driver:await(5000), node(Us) =:= N.",
        "Us =:= rpc:call(N, erlang, whereis, [pg]).",
        "Us ! {discover, self()}, {'$gen_cast', {sync, Us, Groups}} = driver:await(5000), true.",
        "{pg, N} ! {discover, self(), 1}, {'$gen_cast', {sync, Us, Groups}} = driver:await(5000), true.",
        "[{route_managers, [P]}] = Groups, P =:= rpc:call(N, erlang, whereis, [route_manager]).",
        "[monitor(process, X) || X <- [Us, P]], monitor_node(N, true).",
        "timer:sleep(500), driver:flush() =:= [].",
    ]);
    pair.daemon.signal(Signal::SIGTERM);
    bare.holds(&[
        "driver:await(5000) =:= {leave, Us, P, [route_managers]}.",
        "{'DOWN', _, process, Us, shutdown} = driver:await(5000), true.",
        "{'DOWN', _, process, P, shutdown} = driver:await(5000), true.",
        "driver:await(5000) =:= {nodedown, N}.",
    ]);
    assert_eq!(pair.daemon.exit_code(), Some(0));
    is_member(&pair.beam, 0);
    pair.beam.holds(&[
        "driver:await(5000) =:= {Ref, join, route_managers, [P]}.",
        "driver:await(5000) =:= {Ref, leave, route_managers, [P]}.",
        "[] =:= driver:flush().",
        "Pg =:= whereis(pg).",
        "pg:which_groups() =:= [].",
    ]);
}

#[test]
fn a_pg_that_starts_after_nodeup_is_found() {
    let Some(rig) = Rig::with(GROUP) else { return };
    rig.beam.holds(&[
        "net_kernel:connect_node(N).",
        "timer:sleep(1500), undefined =:= whereis(pg).",
        "{ok, Pg} = pg:start(pg), Members = fun() -> pg:get_members(route_managers) end, is_pid(Pg).",
    ]);
    is_member(&rig.beam, 1);
    is_usable(&rig.beam);
}

#[test]
fn a_pg_that_is_killed_and_restarted_finds_it_again() {
    let Some(pair) = Pair::start() else { return };
    pair.connect();
    is_usable(&pair.beam);
    for _ in 0..3 {
        pair.beam.expect(&[("put(old, whereis(pg)), exit(get(old), kill).", "true")]);
        eventually("it is restarted", || pair.beam.ok("lists:member(whereis(pg), [undefined, get(old)]).") == "false");
        is_member(&pair.beam, 1);
        pair.beam.holds(&["Members() =:= [P]."]);
    }
}

#[test]
fn two_erls_list_two_daemons_in_one_group() {
    let (Some(epmd), Some(nets)) = (Epmd::start(), two_nets()) else { return };
    // One of them is hidden, as the daemons are.
    let (Some(one), Some(two)) = (erl(&epmd, &fresh('e')), erl_with(&epmd, &fresh('e'), &["-hidden"])) else { return };
    let names = [fresh('d'), fresh('d')];
    // The daemons are connected to each other as well, and have nothing to say there.
    let a = daemon(&epmd, &nets[0], &names[0], &["--pg-group", "route_managers", "--connect", &names[1]]);
    let mut b = daemon(&epmd, &nets[1], &names[1], &["--pg-group", "route_managers", "--connect", &names[0]]);
    let bind = format!("A = '{}', B = '{}'.", a.node, b.node);
    for beam in [&one, &two] {
        beam.ok(&bind);
        beam.expect(&[("[net_kernel:connect_node(X) || X <- [A, B]].", "[true,true]")]);
        is_member(beam, 2);
        beam.holds(&[
            "lists:sort([node(P) || P <- Members()]) =:= lists:sort([A, B]).",
            "[ok = gen_server:call(P, {set_connection_status, eth0, lan}) || P <- Members()] =:= [ok, ok].",
        ]);
    }
    // One of the erls is in the group too.
    one.holds(&["pg:join(route_managers, self()) =:= ok.", "length(Members()) =:= 3."]);
    b.kill();
    is_member(&one, 2);
    is_member(&two, 1);
    two.holds(&["[P] = Members(), node(P) =:= A.", "Pg =:= whereis(pg)."]);
    one.holds(&["Pg =:= whereis(pg)."]);
}

fn two_nets() -> Option<[Netns; 2]> {
    Some([Netns::two_interfaces()?, Netns::two_interfaces()?])
}

#[test]
fn several_groups_in_a_scope_of_their_own() {
    let flags = ["--pg-scope", "fleet", "--pg-group", "gateways,site_7", "--pg-group", "Elixir.My.Routers"];
    let Some(rig) = Rig::with(&flags) else { return };
    rig.beam.holds(&[
        "{{ok, _}, {ok, _}} = {pg:start(pg), pg:start(fleet)}, net_kernel:connect_node(N).",
        "Members = fun() -> pg:get_members(fleet, site_7) end, true.",
    ]);
    is_member(&rig.beam, 1);
    rig.beam.holds(&[
        "[P] = Members(), is_map(gen_server:call(P, status)).",
        "lists:sort(pg:which_groups(fleet)) =:= lists:sort([gateways, site_7, 'Elixir.My.Routers']).",
        "[[P], [P]] =:= [pg:get_members(fleet, G) || G <- [gateways, 'Elixir.My.Routers']].",
        "{[], undefined} =:= {pg:which_groups(), rpc:call(N, erlang, whereis, [pg])}.",
        "{Ref, #{gateways := [P]}} = pg:monitor_scope(fleet), true.",
    ]);
    rig.daemon.signal(Signal::SIGTERM);
    rig.beam.holds(&[
        "Left = [driver:await(5000) || _ <- [1, 2, 3]], [leave] =:= lists:usort([W || {R, W, _, [Q]} <- Left, R =:= Ref, Q =:= P]).",
        "lists:sort([G || {_, leave, G, _} <- Left]) =:= lists:sort([gateways, site_7, 'Elixir.My.Routers']).",
        "pg:which_groups(fleet) =:= [].",
    ]);
}

#[test]
fn without_a_group_there_is_no_such_process() {
    let Some(rig) = Rig::start() else { return };
    rig.beam.holds(&[
        "{ok, _} = pg:start(pg), net_kernel:connect_node(N).",
        "rpc:call(N, erlang, whereis, [pg]) =:= undefined.",
        "not lists:member(pg, rpc:call(N, erlang, registered, [])).",
        "timer:sleep(500), pg:which_groups() =:= [].",
    ]);
}

#[test]
fn odd_groups_of_others_are_no_harm() {
    let Some(pair) = Pair::start() else { return };
    pair.beam.holds(&[
        "Odd = [fun() -> Ref end, fun lists:map/2, #{a => [1.5]}, <<1:3>>, 1 bsl 200, make_ref(), {}, [a | b], \"ü\", <<>>], true.",
        "[ok = pg:join(G, [self(), self()]) || G <- Odd] =/= [].",
        "ok =:= pg:join(crowd, [spawn(fun() -> receive stop -> ok end end) || _ <- lists:seq(1, 20000)]).",
        "ok =:= pg:join(route_managers, self()).",
    ]);
    pair.beam.expect(&[("net_kernel:connect_node(N).", "true")]);
    is_member(&pair.beam, 2);
    pair.beam.holds(&[
        "[P] = Members() -- [self()], is_map(gen_server:call(P, status)).",
        "[ok = pg:leave(G, self()) || G <- Odd] =/= [].",
        "[ok = pg:join(G, self()) || G <- Odd, _ <- lists:seq(1, 50)] =/= [].",
        "nodes(hidden) =:= [N].",
    ]);
}

#[test]
fn garbage_to_the_scope_is_ignored() {
    let Some(pair) = Pair::start() else { return };
    pair.connect();
    is_usable(&pair.beam);
    pair.beam.holds(&[
        "Us = rpc:call(N, erlang, whereis, [pg]), is_pid(Us).",
        "Dead = spawn(fun() -> ok end), D2 = spawn(fun() -> ok end), true.",
        "Junk = [x, {}, {discover}, {discover, x}, {discover, x, 1}, {discover, Dead, self(), 1}, {join, self(), g, P}, \
            {leave, Us, P, [route_managers]}, {leave, self(), x, y}, {sync, self(), x}, {nodeup, N}, {nodedown, node()}, \
            {'DOWN', make_ref(), process, self(), x}, {update, self(), x}, {local_data, self(), 1, #{}}, [1 | 2], \"abc\", \
            {'$gen_cast', x}, {'$gen_cast', {sync, x, []}}, {'$gen_call', x, y}, {'EXIT', Us, kill}, {system, x, y}, \
            {discover, Us}, {discover, P, 1}, {discover, Dead}, {discover, D2, 7}, {'$gen_cast', {sync, Dead, []}}], true.",
        "[{pg, N} ! J || J <- Junk, _ <- lists:seq(1, 20)] =/= [].",
        "exit(Us, kill), exit(Us, normal), exit(Us, shutdown), link(Us), unlink(Us), true.",
        "{error, {unknown_request, {join_local, g, self()}}} =:= gen_server:call({pg, N}, {join_local, g, self()}).",
        "lists:member(sys:get_state({pg, N}), [undefined, {ok, undefined}]).",
        "{'EXIT', _} = (catch gen_server:stop({pg, N}, normal, 2000)), true.",
        "{'EXIT', _} = (catch pg:join(pg, g, P)), true.",
        "Us =:= rpc:call(N, erlang, whereis, [pg]).",
        "Members() =:= [P].",
    ]);
    // It still knows whom to watch.
    pair.beam.expect(&[("exit(Pg, kill).", "true")]);
    is_member(&pair.beam, 1);
    let Some(other) = erl(&pair.epmd, &fresh('e')) else { return };
    other.know(&pair.daemon);
    other.expect(&[("net_kernel:connect_node(N).", "true")]);
    is_member(&other, 1);
    is_usable(&other);
}

#[test]
fn what_is_no_atom_is_refused_at_the_start() {
    let long = "x".repeat(256);
    for (flags, reason) in [
        (["--pg-group", &long], "longer than an atom can be, which is 255 characters"),
        (["--pg-group", ":routers"], "pg_group: \":routers\": not an atom name; leave the colon out"),
        (["--pg-group", "'a'"], "pg_group: \"'a'\": not an atom name; leave quotes"),
        (["--pg-scope", "a b"], "pg_scope: \"a b\": not an atom name"),
        (["--pg-scope", ""], "pg_scope: \"\": empty"),
        (["--pg-scope", "undefined"], "pg_scope: \"undefined\": no process can have that name"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_beamroute"));
        command.args(["run", "--sname", "x@h"]).args(flags).env("BEAMROUTE_COOKIE", "secret");
        let out = command.stdin(Stdio::null()).output().unwrap();
        let log = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(5), "{log}");
        assert!(log.contains(reason), "{log}");
    }
}

#[test]
fn a_scope_with_the_name_of_another_process_is_refused() {
    let (Some(epmd), Some(net)) = (Epmd::start(), Netns::two_interfaces()) else { return };
    for scope in ["route_manager", "Elixir.VintageNet.RouteManager", "net_kernel", "rex"] {
        let flags = ["--pg-scope", scope, "--pg-group", "g"];
        let log = Daemon::options(&epmd.place()).netns(&net).flags(&flags).try_start().err().expect("refused");
        assert!(log.contains(&format!("pg_scope: \"{scope}\": a process of this node has that name")), "{log}");
    }
}
