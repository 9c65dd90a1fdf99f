//! Subscribers that start late, die, sleep or flood: what each hears replays to the present state, and none harms another.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{Beam, Daemon, Rig, eventually};

/// In the BEAM: `Listener()` is a process that subscribes and keeps what it hears; `Heard(Listener)` is all of that, up to
/// what was done before the question; `Replay(Events)` is what follows from it, if it has no hole and every old value is
/// the one before; `Present()` is what the daemon says itself. `Change(Times)` makes changes at random.
fn equip(beam: &Beam, daemon: &Daemon) {
    beam.know(daemon);
    for line in [
        "Names = [<<\"eth0\">>, <<\"wlan0\">>, <<\"ppp0\">>], Self = self(), Call = fun(R) -> gen_server:call(RM, R, 30000) end, ok.",
        // The answer to its call comes after all events of what was done before.
        "Drain = fun Drain(L) -> receive {route_manager, _, _} = E -> Drain([E | L]) after 0 -> L end end, \
         Keep = fun Keep(L) -> receive {route_manager, _, _} = E -> Keep([E | L]); \
           {heard, To} -> _ = Call({get, [<<\"connection\">>]}), All = Drain(L), To ! {self(), lists:reverse(All)}, Keep(All) end end, \
         Listener = fun() -> P = spawn(fun() -> ok = Call(subscribe), Self ! {self(), ready}, Keep([]) end), \
           receive {P, ready} -> P end end, \
         Heard = fun(P) -> P ! {heard, self()}, receive {P, Events} -> Events after 30000 -> timeout end end, ok.",
        "Put = fun(K, nil, M) -> maps:remove(K, M); (K, V, M) -> M#{K => V} end, \
         Foreign = fun({shadowed, If, By}, M) -> false = maps:is_key({shadow, If}, M), M#{{shadow, If} => By}; \
           ({unshadowed, If}, M) -> true = maps:is_key({shadow, If}, M), maps:remove({shadow, If}, M); \
           ({contested, If}, M) -> false = maps:is_key({fight, If}, M), M#{{fight, If} => true}; \
           ({uncontested, If}, M) -> true = maps:is_key({fight, If}, M), maps:remove({fight, If}, M) end, \
         Step = fun({route_manager, Node, E}, {Last, Props, Installs, Others}) when Node =:= N -> \
           Seq = Last + 1, {Seq, Seq} = {element(1, E), Seq}, \
           case E of \
             {_, property, Path, Old, New} -> {Path, Old} = {Path, maps:get(Path, Props, nil)}, false = Old =:= New, {Seq, Put(Path, New, Props), Installs, Others}; \
             {_, install, If, What} -> {If, false} = {If, maps:get(If, Installs, nil) =:= What}, {Seq, Props, Put(If, What, Installs), Others}; \
             {_, healed, If} -> true = lists:member(maps:get(If, Installs), [installed, {pending, held}]), {Seq, Props, Installs, Others}; \
             {_, foreign, What} -> {Seq, Props, Installs, Foreign(What, Others)} \
           end end, \
         Replay = fun(Events) -> {_, Props, Installs, Others} = lists:foldl(Step, {0, #{}, #{}, #{}}, Events), \
           {Props, Installs, maps:from_list([{If, By} || {{shadow, If}, By} <- maps:to_list(Others)])} end, ok.",
        "Present = fun() -> \
           Paths = [[<<\"connection\">>], [<<\"available_interfaces\">>] | [[<<\"interface\">>, If, <<\"connection\">>] || If <- Names]], \
           Props = maps:from_list([{P, V} || P <- Paths, V <- [Call({get, P})], V =/= nil]), \
           Interfaces = maps:get(interfaces, Call(status)), Says = fun(Key) -> maps:map(fun(_, I) -> maps:get(Key, I) end, Interfaces) end, \
           {Props, Says(install), maps:filter(fun(_, By) -> By =/= nil end, Says(shadowed_by))} end, ok.",
        "Pick = fun(L) -> lists:nth(rand:uniform(length(L)), L) end, \
         Third = fun(<<\"eth0\">>) -> 1; (<<\"wlan0\">>) -> 2; (_) -> 3 end, \
         Request = fun(If) -> case rand:uniform(8) of 1 -> {clear_route, If}; 2 -> {set_metric, If, Pick([3, 30, disabled, default])}; \
           X when X < 5 -> {set_route, If, [{{192,168,Third(If),50},24}], {192,168,Third(If),Pick([1, 2])}}; \
           _ -> {set_connection_status, If, Pick([disconnected, lan, internet])} end end, \
         Change = fun(Times) -> [ok = Call(Request(Pick(Names))) || _ <- lists:seq(1, Times)], ok end, ok.",
        // From several processes at once.
        "Storm = fun(Callers, Times) -> Ps = [spawn_monitor(fun() -> Change(Times) end) || _ <- lists:seq(1, Callers)], \
           [receive {'DOWN', R, _, P, Why} -> Why after 60000 -> timeout end || {P, R} <- Ps] end, ok.",
    ] {
        beam.expect(&[(line, "ok")]);
    }
}

#[test]
fn what_each_hears_replays_to_the_present_state_whenever_it_begins() {
    let Some(rig) = Rig::start() else { return };
    equip(&rig.beam, &rig.daemon);
    let Some(other) = Beam::start(&rig.epmd.place(), &rig.daemon.cookie) else { return };
    equip(&other, &rig.daemon);
    rig.beam.expect(&[("First = Listener(), is_pid(First).", "true")]);
    other.expect(&[("put(all, []), ok.", "ok")]);
    for _ in 0..5 {
        std::thread::scope(|scope| {
            // Links that flap and another program's default route, while routes change.
            let flaps = scope.spawn(|| {
                let ip = |words: &str| _ = rig.net.ip(&words.split(' ').collect::<Vec<_>>());
                for _ in 0..10 {
                    ip("link set eth0 down");
                    ip("link set eth0 up");
                    ip("route replace default via 192.168.2.9 dev wlan0 proto dhcp");
                    ip("route del default via 192.168.2.9 dev wlan0 proto dhcp");
                }
                // This one stays, and outranks all of ours.
                ip("route replace default via 192.168.2.9 dev wlan0 proto dhcp metric 1");
            });
            let late = scope.spawn(|| {
                // In the middle of it.
                other.expect(&[("put(all, [Listener() | get(all)]), ok.", "ok"), ("Storm(2, 30).", "[normal,normal]")]);
            });
            rig.beam.expect(&[("Storm(4, 50).", "[normal,normal,normal,normal]")]);
            flaps.join().unwrap();
            late.join().unwrap();
        });
        eventually("the link's last event has come", || rig.beam.ok("Replay(Heard(First)) =:= Present().") == "true");
    }
    rig.beam.holds(&["length(Heard(First)) > 300."]);
    // Outranked before the last one begins to listen. (`ppp0` is not there, so that nothing can outrank it.)
    rig.beam.expect(&[(
        "[Call(R) || If <- [eth0, ppp0], R <- [{set_route, If, [{{192,168,1,50},24}], {192,168,1,1}}, \
           {set_connection_status, If, lan}, {set_metric, If, default}]].",
        "[ok,ok,ok,ok,ok,ok]",
    )]);
    other.expect(&[("put(all, [Listener() | get(all)]), ok.", "ok")]);
    // Nothing happens any more, so one look is enough.
    other.expect(&[
        ("P = Present(), [Replay(Heard(L)) =:= P || L <- get(all)].", "[true,true,true,true,true,true]"),
        ("[maps:is_key(If, element(3, P)) || If <- [<<\"eth0\">>, <<\"ppp0\">>]].", "[true,false]"),
        ("length(lists:usort([length(Heard(L)) || L <- get(all)])) > 1.", "true"),
    ]);
}

#[test]
fn who_dies_or_floods_harms_nobody() {
    let Some(rig) = Rig::start() else { return };
    equip(&rig.beam, &rig.daemon);
    let Some(mut other) = Beam::start(&rig.epmd.place(), &rig.daemon.cookie) else { return };
    equip(&other, &rig.daemon);
    let name = other.ok("node().");
    rig.beam.expect(&[
        ("First = Listener(), is_pid(First).", "true"),
        // Killed, ended, unsubscribed, and subscribed again, while all others go on.
        ("Dying = [Listener() || _ <- lists:seq(1, 50)], Storm(2, 20).", "[normal,normal]"),
        ("[exit(P, kill) || P <- Dying], Storm(2, 20).", "[normal,normal]"),
        ("Fickle = fun() -> [ok = Call(R) || _ <- lists:seq(1, 200), R <- [subscribe, unsubscribe]], ok end, Fickle().", "ok"),
        ("_ = driver:flush(), Storm(1, 20).", "[normal]"),
        ("driver:await(100).", "timeout"),
    ]);
    // It subscribes, and floods with requests that nobody answers, wrong ones, and noise.
    other.expect(&[
        ("Flooder = Listener(), is_pid(Flooder).", "true"),
        ("Flood = fun Flood() -> RM ! noise, gen_server:cast(RM, {set_connection_status, <<\"flood\">>, Pick([lan, internet])}), \
           RM ! {'$gen_call', {self(), make_ref()}, {subscribe, nobody}}, RM ! {'$gen_call', {self(), make_ref()}, status}, \
           RM ! binary:copy(<<0>>, 10000), Flood() end, [spawn(Flood) || _ <- lists:seq(1, 4)], ok.", "ok"),
    ]);
    rig.beam.expect(&[("Storm(2, 50).", "[normal,normal]"), ("Middle = Listener(), Storm(1, 20).", "[normal]")]);
    // Its node dies in the middle of it.
    other.kill();
    eventually("its node is gone", || {
        rig.beam.ok(&format!("lists:member({name}, rpc:call(N, erlang, nodes, [connected])).")) == "false"
    });
    rig.beam.expect(&[
        ("Call({clear_route, <<\"flood\">>}), Storm(2, 20).", "[normal,normal]"),
        // The flood's own interface is cleared, but known.
        ("Clean = fun({Props, Installs, By}) -> {maps:remove([<<\"interface\">>, <<\"flood\">>, <<\"connection\">>], Props), Installs, By} end, ok.", "ok"),
        ("Clean(Replay(Heard(First))) =:= Present().", "true"),
        ("Clean(Replay(Heard(Middle))) =:= Present().", "true"),
    ]);
}

/// The most memory that the daemon has had, in KiB.
fn peak(daemon: &Daemon) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid)).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn who_sleeps_is_dropped_before_it_grows_us_and_may_come_again() {
    let Some(rig) = Rig::start() else { return };
    equip(&rig.beam, &rig.daemon);
    let Some(sleeper) = Beam::start(&rig.epmd.place(), &rig.daemon.cookie) else { return };
    equip(&sleeper, &rig.daemon);
    let name = sleeper.ok("node().");
    let is_connected =
        || rig.beam.ok(&format!("lists:member({name}, rpc:call(N, erlang, nodes, [connected])).")) == "true";
    sleeper.expect(&[
        ("monitor_node(N, true).", "true"),
        ("Sleepers = [Listener() || _ <- lists:seq(1, 300)], length(Sleepers).", "300"),
    ]);
    rig.beam.expect(&[("First = Listener(), is_pid(First).", "true"), ("Storm(1, 50).", "[normal]")]);
    let before = peak(&rig.daemon);
    let process = Pid::from_raw(sleeper.pid());
    kill(process, Signal::SIGSTOP).unwrap();
    // Some 100 KiB for it with each change. It cannot hang up by itself.
    let mut changes = 0;
    while is_connected() {
        assert!(changes < 20_000, "it is never dropped");
        rig.beam.expect(&[("Storm(1, 100).", "[normal]")]);
        changes += 100;
    }
    rig.beam.expect(&[("Storm(2, 500).", "[normal,normal]"), ("Replay(Heard(First)) =:= Present().", "true")]);
    // 32 MiB may wait; what holds them may have grown by doubling.
    let grown = peak(&rig.daemon) - before;
    assert!(grown < 100 << 10, "{grown} KiB");
    assert!(changes > 50, "it was not dropped for nothing");
    kill(process, Signal::SIGCONT).unwrap();
    sleeper.expect(&[
        ("driver:await(30000) =:= {nodedown, N}.", "true"),
        // What they have heard until then has no hole.
        ("length([Replay(Heard(P)) || P <- Sleepers]).", "300"),
        ("Again = Listener(), Change(20).", "ok"),
        ("Replay(Heard(Again)) =:= Present().", "true"),
    ]);
}
