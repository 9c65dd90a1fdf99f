//! Choosing the way out: the ranking in the file, read again by SIGHUP and `refresh_route_metrics`, and what is held.

use std::fs;
use std::path::PathBuf;

use nix::sys::signal::Signal;
use rand::RngExt as _;
use tempfile::TempDir;

use crate::support::readme::blocks;
use crate::support::{Beam, Daemon, Epmd, Link, Monitor, Netns, eventually};

/// Four interfaces with a gateway each: `eth0`, `wlan0` and `wwan0` with internet, `usb0` with the LAN only. In the BEAM,
/// `Set(If, Status)` sets a status and `Says(If, Keys)` tells what `status` says.
struct Site {
    beam: Beam,
    daemon: Daemon,
    net: Netns,
    epmd: Epmd,
    dir: TempDir,
}

const NAMES: [&str; 4] = ["eth0", "wlan0", "wwan0", "usb0"];

impl Site {
    /// Starts with `text` as its file.
    fn new(text: &str) -> Option<Self> {
        let epmd = Epmd::start()?;
        let links: Vec<Link> =
            (1..).zip(NAMES).map(|(n, name)| Link::new(name, &[&format!("10.0.{n}.50/24")])).collect();
        let net = Netns::new(&links)?;
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("b.toml"), text).unwrap();
        let daemon = Self::options(&epmd, &net, &dir).start();
        let beam = Beam::start(&epmd.place(), &daemon.cookie)?;
        beam.know(&daemon);
        beam.ok("Set = fun(If, Status) -> gen_server:call(RM, {set_connection_status, If, Status}) end, ok.");
        beam.ok("Refresh = fun() -> gen_server:call(RM, refresh_route_metrics) end, ok.");
        for (n, name) in (1..).zip(NAMES) {
            let status = if name == "usb0" { "lan" } else { "internet" };
            beam.expect(&[
                (
                    &format!("gen_server:call(RM, {{set_route, {name}, [{{{{10,0,{n},50}},24}}], {{10,0,{n},1}}}})."),
                    "ok",
                ),
                (&format!("Set({name}, {status})."), "ok"),
            ]);
        }
        Some(Self { beam, daemon, net, epmd, dir })
    }

    fn options(epmd: &Epmd, net: &Netns, dir: &TempDir) -> crate::support::daemon::Options {
        let file = dir.path().join("b.toml");
        let options = Daemon::options(&epmd.place()).netns(net).cookie("SteeringSecret");
        options.state_dir(&dir.path().join("state")).flags(&["--config", file.to_str().unwrap()])
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("b.toml")
    }

    fn write(&self, text: &str) {
        fs::write(self.file(), text).unwrap();
    }

    /// Writes the file and has it read.
    #[track_caller]
    fn steer(&self, text: &str) {
        self.write(text);
        self.beam.expect(&[("Refresh().", "ok")]);
    }

    /// Main's default routes, as `ip` shows them.
    fn shown(&self) -> Vec<String> {
        let text = self.net.ip(&["-4", "route", "show", "default"]);
        text.lines().map(|line| line.trim_end().to_owned()).collect()
    }

    /// The same, in short: `eth0 10, wlan0 20`.
    fn ways(&self) -> String {
        let short = |line: &String| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let after = |word: &str| words[words.iter().position(|w| *w == word).unwrap() + 1];
            format!("{} {}", after("dev"), after("metric"))
        };
        self.shown().iter().map(short).collect::<Vec<_>>().join(", ")
    }

    /// Waits until the kernel has no more news of its own, which would wake the daemon.
    fn settle(&self) {
        eventually("addresses are settled", || {
            let links = self.net.ip(&["-6", "-o", "addr", "show", "scope", "link"]);
            links.lines().count() == NAMES.len() && !links.contains("tentative")
        });
    }

    /// `[Status, Metric, Install]` of an interface.
    #[track_caller]
    fn says(&self, name: &str, text: &str) {
        let ask = format!(
            "(fun(#{{interfaces := #{{<<\"{name}\">> := I}}}}) -> [maps:get(K, I) || K <- [status, metric, install]] end)\
             (gen_server:call(RM, status))."
        );
        self.beam.expect(&[(&ask, text)]);
    }
}

/// What has happened to routes and rules of ours. (The kernel has its own, when addresses settle.)
fn ours(monitor: &Monitor<'_>) -> Vec<String> {
    monitor.since().into_iter().filter(|line| line.contains("proto 110")).collect()
}

const DEFAULT: &str = "eth0 10, wlan0 20, wwan0 30, usb0 80";

#[test]
fn the_file_counts_from_the_start_and_again_by_call_function_and_sighup() {
    let Some(site) = Site::new("ranking = [\"wifi:internet\", \"*:*\"]\n") else { return };
    assert_eq!(site.ways(), "wlan0 10, eth0 20, usb0 20, wwan0 20");
    site.beam.expect(&[("maps:get(ranking, gen_server:call(RM, status)).", "[<<\"wifi:internet\">>,<<\"*:*\">>]")]);
    site.steer("");
    assert_eq!(site.ways(), DEFAULT);
    site.write("ranking = [\"mobile:internet\", \"*:internet\"]");
    site.beam.expect(&[("rpc:call(N, 'Elixir.VintageNet.RouteManager', refresh_route_metrics, []).", "ok")]);
    assert_eq!(site.ways(), "wwan0 10, eth0 20, wlan0 20");
    site.says("usb0", "[lan,disabled,installed]");
    site.write("[[interface]]\nmatch = \"w*\"\ntype = \"mobile\"\nweight = 4\n");
    site.daemon.signal(Signal::SIGHUP);
    eventually("SIGHUP is obeyed", || site.ways() == "eth0 10, wlan0 34, wwan0 34, usb0 80");
    let says = "[[maps:get(K, maps:get(If, maps:get(interfaces, gen_server:call(RM, status)))) || K <- [type, weight]] \
                || If <- [<<\"wlan0\">>, <<\"usb0\">>]].";
    site.beam.expect(&[(says, "[[mobile,4],[unknown,0]]")]);
}

#[test]
fn a_caller_wins_over_the_file_which_wins_over_the_ranking() {
    let Some(site) = Site::new("[[interface]]\nmatch = \"*\"\nmetric = 15\n") else { return };
    assert_eq!(site.ways(), "eth0 15, usb0 15, wlan0 15, wwan0 15", "equal ones stand side by side, by name");
    site.beam.expect(&[("gen_server:call(RM, {set_metric, wwan0, 3}).", "ok")]);
    site.steer("[[interface]]\nmatch = \"w*\"\nmetric = \"disabled\"\n");
    assert_eq!(site.ways(), "wwan0 3, eth0 10, usb0 80");
    site.beam.expect(&[("gen_server:call(RM, {set_metric, wwan0, default}).", "ok")]);
    assert_eq!(site.ways(), "eth0 10, usb0 80");
}

#[test]
fn a_metric_function_on_the_beam_drives_the_order() {
    let Some(site) = Site::new("") else { return };
    site.beam.expect(&[
        ("Metric = fun(<<\"wwan0\">>, internet) -> 5; (<<\"eth0\">>, _) -> disabled; (_, _) -> default end, ok.", "ok"),
        (
            "Drive = fun Drive() -> receive {route_manager, _, {_, property, [<<\"interface\">>, If, _], _, Status}} -> \
               ok = gen_server:call(RM, {set_metric, If, Metric(If, Status)}), Drive(); _ -> Drive() end end, ok.",
            "ok",
        ),
        ("is_pid(spawn(fun() -> ok = gen_server:call(RM, subscribe), Drive() end)).", "true"),
    ]);
    eventually("it has seen the present", || site.ways() == "wwan0 5, wlan0 20, usb0 80");
    site.beam.expect(&[("Set(wwan0, lan).", "ok")]);
    eventually("it follows", || site.ways() == "wlan0 20, wwan0 70, usb0 80");
    site.says("eth0", "[internet,disabled,installed]");
    site.beam.expect(&[("Set(wwan0, internet).", "ok")]);
    eventually("and back", || site.ways() == "wwan0 5, wlan0 20, usb0 80");
}

#[test]
fn a_bad_file_changes_nothing_and_both_sides_are_told() {
    let Some(site) = Site::new("ranking = [\"wifi:*\", \"*:*\"]\n") else { return };
    let before = "wlan0 10, eth0 20, usb0 20, wwan0 20";
    let told = |reason: &str| format!("{{error,{{bad_config,<<\"{}: {reason}\">>}}}}", site.file().display());
    for (text, reason) in [
        ("ranking = [\"wify:lan\"]", "ranking: \\\"wify:lan\\\": unknown type wify (did you mean wifi?)"),
        ("rankin = []", "unknown key rankin (did you mean ranking?)"),
        ("ranking = [\"*:*\"]\nport = \"x\"", "port: invalid type: string \\\"x\\\", expected u16"),
    ] {
        site.write(text);
        site.beam.expect(&[
            ("Refresh().", &told(reason)),
            ("rpc:call(N, route_manager, refresh_route_metrics, []).", &told(reason)),
        ]);
        assert_eq!(site.ways(), before);
    }
    fs::remove_file(site.file()).unwrap();
    let count = || site.daemon.log().matches("No such file or directory").count();
    assert_eq!(count(), 0);
    site.daemon.signal(Signal::SIGHUP);
    eventually("the log says why", || count() == 1);
    assert!(site.daemon.log().contains("the ranking stays as it was"), "{}", site.daemon.log());
    site.beam.expect(&[
        ("{error, {bad_config, _}} = Refresh(), ok.", "ok"),
        ("maps:get(ranking, gen_server:call(RM, status)).", "[<<\"wifi:*\">>,<<\"*:*\">>]"),
    ]);
    assert_eq!(site.ways(), before);
    // Other keys wait for the next start.
    site.steer("max_interfaces = 1\n");
    assert_eq!(site.ways(), DEFAULT);
    site.daemon.await_log("these count from the next start on");
    assert!(site.daemon.log().contains("\"keys\":\"max_interfaces\""), "{}", site.daemon.log());
}

#[test]
fn without_a_file_nothing_is_read_and_sighup_is_harmless() {
    let Some(rig) = crate::support::Rig::start() else { return };
    rig.daemon.signal(Signal::SIGHUP);
    rig.daemon.await_log("reading the ranking again");
    rig.beam.expect(&[("gen_server:call(RM, refresh_route_metrics).", "ok")]);
}

#[test]
fn a_new_ranking_moves_only_what_it_must_and_without_a_gap() {
    let Some(site) = Site::new("") else { return };
    site.settle();
    let monitor = Monitor::start(&site.net);
    site.steer("");
    assert_eq!(ours(&monitor), [""; 0]);
    site.steer(
        "ranking = [\"wifi:internet\", \"ethernet:internet\", \"mobile:internet\", \"*:internet\", \"ethernet:lan\", \
                \"wifi:lan\", \"mobile:lan\", \"*:lan\"]",
    );
    assert_eq!(site.ways(), "wlan0 10, eth0 20, wwan0 30, usb0 80");
    let lines = ours(&monitor);
    let defaults: Vec<&String> = lines.iter().filter(|line| line.contains("default via")).collect();
    let gone = defaults.iter().position(|line| line.starts_with("Deleted")).unwrap();
    assert_eq!((gone, defaults.len()), (2, 4), "two go in before two go out: {lines:#?}");
    assert!(defaults[gone..].iter().all(|line| line.starts_with("Deleted")), "{lines:#?}");
    assert!(!lines.iter().any(|line| line.contains("wwan0") || line.contains("usb0")), "{lines:#?}");
    assert!(!lines.iter().any(|line| line.contains("lookup") || line.contains("table")), "{lines:#?}");
}

#[test]
fn who_comes_back_is_held_and_then_counts_by_itself() {
    let Some(site) = Site::new("[[interface]]\nmatch = \"eth*\"\nhold_up = \"1h\"\n") else { return };
    assert_eq!(site.ways(), DEFAULT, "eth0 was the only one when it came");
    site.settle();
    let hears = |install: &str| {
        format!("receive {{route_manager, N, {{_, install, <<\"eth0\">>, {install}}}}} -> ok after 20000 -> late end.")
    };
    site.beam.expect(&[
        ("gen_server:call(RM, subscribe).", "ok"),
        (&hears("installed"), "ok"),
        ("Set(eth0, lan).", "ok"),
        ("Set(eth0, internet).", "ok"),
        ("Before = erlang:system_time(millisecond), ok.", "ok"),
        ("Until = maps:get(held_until, maps:get(<<\"eth0\">>, maps:get(interfaces, gen_server:call(RM, status)))), is_integer(Until).", "true"),
        ("Until > Before andalso Until =< Before + 3600000.", "true"),
        ("maps:get(counts_as, maps:get(<<\"eth0\">>, maps:get(interfaces, gen_server:call(RM, status)))).", "lan"),
        // As it was reported.
        ("gen_server:call(RM, {get, [<<\"interface\">>, <<\"eth0\">>, <<\"connection\">>]}).", "internet"),
        ("gen_server:call(RM, {get, [<<\"available_interfaces\">>]}).",
            "[<<\"wlan0\">>,<<\"wwan0\">>,<<\"eth0\">>,<<\"usb0\">>]"),
    ]);
    site.says("eth0", "[internet,50,{pending,held}]");
    site.beam.expect(&[(&hears("{pending,held}"), "ok")]);
    assert_eq!(site.ways(), "wlan0 20, wwan0 30, eth0 50, usb0 80");
    site.steer("[[interface]]\nmatch = \"eth*\"\nhold_up = \"300ms\"\n");
    site.beam.expect(&[("Set(eth0, lan).", "ok"), ("Set(eth0, internet).", "ok")]);
    eventually("eth0 counts again, without a call", || site.ways() == DEFAULT);
    site.says("eth0", "[internet,10,installed]");
    site.beam.expect(&[
        (&hears("installed"), "ok"),
        (
            "maps:values(maps:with([held_until, counts_as], maps:get(<<\"eth0\">>, maps:get(interfaces, gen_server:call(RM, status))))).",
            "[nil,nil]",
        ),
        // Nothing was broken.
        ("receive {route_manager, N, {_, healed, What}} -> What after 0 -> none end.", "none"),
    ]);
}

#[test]
fn who_is_the_only_way_out_is_not_held() {
    let Some(site) = Site::new("[[interface]]\nmatch = \"*\"\nhold_up = \"1h\"\n") else { return };
    // eth0 came first, the others were held behind it.
    assert_eq!(site.ways(), "eth0 10, wlan0 60, wwan0 70, usb0 80");
    site.beam.expect(&[("Set(wwan0, lan).", "ok")]);
    site.net.ip(&["link", "set", "eth0", "down"]);
    eventually("wlan0 is let through", || site.ways() == "wlan0 20, wwan0 70, usb0 80");
    site.net.ip(&["link", "set", "eth0", "up"]);
    eventually("eth0 is back", || site.ways() == "eth0 10, wlan0 20, wwan0 70, usb0 80");
    site.beam.expect(&[("Set(eth0, disconnected).", "ok"), ("Set(eth0, internet).", "ok")]);
    assert_eq!(site.ways(), "wlan0 20, eth0 50, wwan0 70, usb0 80");
    site.beam.expect(&[("gen_server:call(RM, {clear_route, wlan0}).", "ok")]);
    assert_eq!(site.ways(), "eth0 10, wwan0 70, usb0 80");
}

#[test]
fn failing_over_waits_and_a_return_or_a_clear_ends_the_wait() {
    let Some(site) = Site::new("[[interface]]\nmatch = \"eth0\"\nhold_down = \"1h\"\n") else { return };
    site.settle();
    let monitor = Monitor::start(&site.net);
    site.beam.expect(&[("Set(eth0, lan).", "ok")]);
    site.says("eth0", "[lan,10,{pending,held}]");
    site.beam.expect(&[("Set(eth0, disconnected).", "ok")]);
    site.says("eth0", "[disconnected,10,{pending,held}]");
    site.beam.expect(&[("Set(eth0, internet).", "ok")]);
    site.says("eth0", "[internet,10,installed]");
    assert_eq!(ours(&monitor), [""; 0], "nothing has moved");
    site.steer("[[interface]]\nmatch = \"eth0\"\nhold_down = \"200ms\"\n");
    site.beam.expect(&[("Set(eth0, lan).", "ok")]);
    eventually("eth0 falls back, without a call", || site.ways() == "wlan0 20, wwan0 30, eth0 50, usb0 80");
    site.steer("[[interface]]\nmatch = \"wlan0\"\nhold_down = \"1h\"\n");
    site.beam.expect(&[("Set(wlan0, disconnected).", "ok")]);
    assert_eq!(site.ways(), "wlan0 20, wwan0 30, eth0 50, usb0 80");
    site.beam.expect(&[("gen_server:call(RM, {clear_route, wlan0}).", "ok")]);
    assert_eq!(site.ways(), "wwan0 30, eth0 50, usb0 80");
}

#[test]
fn a_restart_forgets_what_was_held() {
    let Some(mut site) = Site::new("[[interface]]\nmatch = \"*\"\nhold_up = \"1h\"\nhold_down = \"1h\"\n") else {
        return;
    };
    site.beam.expect(&[("Set(eth0, lan).", "ok")]);
    assert!(site.ways().starts_with("eth0 10, "), "{}", site.ways());
    site.daemon.kill();
    site.daemon = Site::options(&site.epmd, &site.net, &site.dir).start();
    assert_eq!(site.ways(), "wlan0 20, wwan0 30, eth0 50, usb0 80", "each as it was last reported");
}

/// What the words of a file mean, worked out anew: its lines, and `eth0`'s metric.
fn expected(lines: &[&str], eth0: Option<u32>) -> Vec<String> {
    let kinds = ["ethernet:internet", "wifi:internet", "mobile:internet", "unknown:lan"];
    let mut ways: Vec<(usize, &str)> = Vec::new();
    for (name, words) in NAMES.into_iter().zip(kinds) {
        let (kind, status) = words.split_once(':').unwrap();
        let fits = [words.to_owned(), format!("{kind}:*"), format!("*:{status}"), "*:*".to_owned()];
        let line = lines.iter().position(|line| fits.iter().any(|fits| fits == line));
        match (eth0, line) {
            (Some(metric), _) if name == "eth0" => ways.push((usize::try_from(metric).unwrap(), name)),
            (_, Some(line)) => ways.push(((line + 1) * 10, name)),
            _ => {}
        }
    }
    ways.sort_unstable();
    ways.into_iter().map(|(metric, name)| format!("{name} {metric}")).collect()
}

#[test]
fn any_ranking_orders_the_kernels_default_routes_and_the_change_leaves_no_gap() {
    let Some(site) = Site::new("") else { return };
    let monitor = Monitor::start(&site.net);
    let mut random = rand::rng();
    for _ in 0..40 {
        let mut lines = vec![
            "ethernet:internet",
            "wifi:internet",
            "mobile:internet",
            "wifi:*",
            "unknown:lan",
            "*:internet",
            "*:lan",
            "*:*",
        ];
        for index in (1..lines.len()).rev() {
            lines.swap(index, random.random_range(0..=index));
        }
        let everything = lines.iter().position(|line| *line == "*:*").unwrap();
        // A line that another one covers is refused.
        lines.truncate(everything + 1);
        let before = |lines: &[&str], wide: &str, narrow: &str| {
            let at = |word: &str| lines.iter().position(|line| *line == word);
            at(wide).is_some_and(|wide| at(narrow).is_some_and(|narrow| wide < narrow))
        };
        for (wide, narrow) in [
            ("*:internet", "ethernet:internet"),
            ("*:internet", "wifi:internet"),
            ("*:internet", "mobile:internet"),
            ("wifi:*", "wifi:internet"),
            ("*:lan", "unknown:lan"),
        ] {
            if before(&lines, wide, narrow) {
                lines.retain(|line| *line != narrow);
            }
        }
        let eth0 = random.random_bool(0.5).then(|| random.random_range(1..60));
        let metric = eth0.map_or_else(String::new, |n| format!("[[interface]]\nmatch = \"eth0\"\nmetric = {n}\n"));
        let mut ways = site.shown().len();
        site.steer(&format!("ranking = {lines:?}\n{metric}"));
        assert_eq!(site.ways(), expected(&lines, eth0).join(", "), "{lines:?} {eth0:?}");
        for line in monitor.since().iter().filter(|line| line.contains("default via") && !line.contains("table")) {
            if line.starts_with("Deleted") {
                ways -= 1
            } else {
                ways += 1
            }
            assert!(ways > 0, "no default route after {line}");
        }
        assert_eq!(ways, site.shown().len());
    }
}

#[test]
fn the_readme_is_right() {
    let Some(site) = Site::new("") else { return };
    let mut seen = (0, 0, 0);
    for (language, lines) in blocks("Choosing the way out") {
        match language.as_str() {
            "toml" => {
                site.steer(&lines.join("\n"));
                seen.0 += 1;
            }
            "console" => {
                assert_eq!(lines[0], "$ ip route show default");
                assert_eq!(site.shown(), lines[1..], "{lines:#?}");
                seen.1 += 1;
            }
            "erlang" => {
                for call in lines.chunks(2) {
                    let (_, expression) = call[0].split_once("> ").expect("a prompt");
                    assert_eq!(site.beam.ok(expression), call[1], "{expression}");
                    seen.2 += 1;
                }
            }
            other => panic!("a block of {other}"),
        }
    }
    assert!(seen.0 >= 5 && seen.1 >= 4 && seen.2 >= 5, "the default, three examples, damping, owners: {seen:?}");
}

#[test]
fn the_readmes_first_ranking_is_the_default() {
    let Some(site) = Site::new("") else { return };
    let ranking = "maps:get(ranking, gen_server:call(RM, status)).";
    let default = site.beam.ok(ranking);
    site.steer("ranking = [\"*:*\"]");
    assert_ne!(site.beam.ok(ranking), default);
    let (language, lines) = blocks("Choosing the way out").remove(0);
    assert_eq!(language, "toml");
    site.steer(&lines.join("\n"));
    assert_eq!(site.beam.ok(ranking), default);
}
