//! `beamroute call`, `ping`, `names`, `check`, `debug bundle`, `completions` and `man`, beside a daemon and a BEAM.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::asking::{ask, error, text};
use crate::support::epmd::Place;
use crate::support::{Daemon, Monitor, Netns, Rig, Site, beam::home_with, repository};

fn json_of(out: &Output) -> Value {
    serde_json::from_str(&text(out)).unwrap()
}

#[test]
fn call_reaches_the_daemon_by_terms_and_by_functions() {
    let Some(rig) = Rig::start() else { return };
    let call = |words: &[&str]| ask(&rig, &[&["call", &rig.daemon.node], words].concat(), &rig.daemon.cookie);
    assert_eq!(text(&call(&["{set_route, \"eth0\", [{{192,168,1,50}, 24}], {192,168,1,1}}."])), "ok\n");
    assert_eq!(text(&call(&["route_manager:set_connection_status(<<\"eth0\">>, internet)"])), "ok\n");
    assert_eq!(text(&call(&["{get, [\"available_interfaces\"]}"])), "[<<\"eth0\">>]\n");
    assert_eq!(json_of(&call(&["{get, [\"available_interfaces\"]}", "--json"])), json!(["eth0"]));
    // What it prints it reads: the whole status map, pids and all.
    let status = beamroute::cli::syntax::parse(&text(&call(&["status"]))).unwrap();
    assert_eq!(text(&call(&["erlang:node()"])), format!("'{}'\n", rig.daemon.node));
    assert!(matches!(status, beamroute::term::Term::Map(_)));
    for (request, answer) in [
        ("{clear_route, \"a b\"}", "{error,{badarg,"),
        ("{no_such, request}", "{error,{unknown_request,{no_such,request}}}"),
        ("lists:reverse([])", "{badrpc,{'EXIT',{undef,"),
    ] {
        let out = call(&[request]);
        assert_eq!(out.status.code(), Some(6), "{out:?}");
        assert!(String::from_utf8_lossy(&out.stdout).starts_with(answer), "{out:?}");
    }
    let (code, why) = error(&call(&["{set_route, Eth0}"]));
    assert_eq!(code, Some(2));
    assert!(why.starts_with("beamroute: request: column 13: variables have no values"), "{why}");
}

#[test]
fn call_reaches_a_plain_beam() {
    let Some(rig) = Rig::start() else { return };
    let beam = rig.beam.node.as_str();
    let call = |words: &[&str]| ask(&rig, &[&["call", beam], words].concat(), &rig.daemon.cookie);
    assert_eq!(
        text(&call(&["lists:reverse([1, a, \"text\", <<\"λ\"/utf8>>, 2.5])"])),
        "[2.5,<<\"λ\"/utf8>>,\"text\",a,1]\n"
    );
    let pid = text(&call(&["erlang:whereis(rex)"]));
    assert_eq!(text(&call(&[&format!("erlang:is_process_alive({})", pid.trim_end())])), "true\n", "{pid}");
    assert_eq!(text(&call(&["count_children", "--to", "kernel_sup"])).split('{').count(), 5, "a gen_server call");
    let out = call(&["erlang:error(boom)"]);
    assert_eq!(out.status.code(), Some(6));
    assert!(String::from_utf8_lossy(&out.stdout).starts_with("{badrpc,{'EXIT',{boom,"), "{out:?}");
    let (code, why) = error(&call(&["hello", "--to", "nobody"]));
    assert!(code == Some(1) && why.contains("nobody on") && why.contains("noproc"), "{code:?} {why}");
    let (code, why) = error(&call(&["status"]));
    assert!(code == Some(1) && why.contains("is it a beamroute?"), "{code:?} {why}");
    let (code, why) = error(&call(&["timer:sleep(60000)", "--timeout", "300ms"]));
    assert!(code == Some(1) && why.contains("no reply in time"), "{code:?} {why}");
    assert!(text(&ask(&rig, &["ping", beam], &rig.daemon.cookie)).starts_with(&format!("pong from {beam} in ")));
}

#[test]
fn ping_and_names_and_what_stands_in_their_way() {
    let Some(rig) = Rig::start() else { return };
    let node = rig.daemon.node.as_str();
    let cookie = rig.daemon.cookie.as_str();
    let pong = json_of(&ask(&rig, &["ping", node, "--json"], cookie));
    assert_eq!((&pong["node"], &pong["pong"]), (&json!(node), &json!(true)));
    assert!(pong["answer_us"].as_u64().is_some() && pong["connect_us"].as_u64().is_some());
    let (name, _) = node.split_once('@').unwrap();
    for (peer, cookie, status, words) in [
        (node, "another", 6, "see --cookie-file"),
        ("nobody@127.0.0.1", cookie, 3, "no node of that name"),
        ("bad", cookie, 2, "not a node name: NODE@HOST"),
        (&*format!("{name}@localhost"), cookie, 6, "long and short names do not meet"),
    ] {
        let (code, why) = error(&ask(&rig, &["ping", peer], cookie));
        assert!(code == Some(status) && why.contains(words), "{peer}: {code:?} {why}");
    }
    let names = json_of(&ask(&rig, &["names", "--json"], cookie));
    assert!(names.as_array().unwrap().contains(&json!({"name": name, "port": rig.daemon.port})), "{names}");
    let table = text(&ask(&rig, &["names", "127.0.0.1"], cookie));
    assert!(table.lines().any(|line| line.split_whitespace().eq([name, &rig.daemon.port.to_string()])), "{table}");
    let nowhere = |what: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_beamroute"));
        let home = home_with(cookie);
        error(&Place::free().tell(&mut command).env("HOME", home.path()).args(what).output().unwrap())
    };
    for what in [&["names"][..], &["ping", node]] {
        let (code, why) = nowhere(what);
        assert!(code == Some(3) && why.contains("no epmd on 127.0.0.1:"), "{code:?} {why}");
    }
    let (code, why) = error(&ask(&rig, &["names", "no.such.host.invalid"], cookie));
    assert!(code == Some(3) && why.contains("no.such.host.invalid"), "{code:?} {why}");
}

#[test]
fn short_names_are_called_by_short_names() {
    let Some(rig) = Rig::start() else { return };
    let name = format!("sh{}@localhost", std::process::id());
    let options = Daemon::options(&rig.epmd.place()).netns(&rig.net).flags(&["--protocol", "111"]);
    let daemon = options.naming("--sname", &name).cookie(&rig.daemon.cookie).start();
    assert!(text(&ask(&rig, &["ping", &daemon.node], &daemon.cookie)).starts_with(&format!("pong from {name} in ")));
    let long = name.replace("localhost", "127.0.0.1");
    let (code, why) = error(&ask(&rig, &["call", &long, "status"], &daemon.cookie));
    assert!(code == Some(6) && why.contains("long and short names do not meet"), "{code:?} {why}");
}

/// `beamroute check` where the daemon of a site would run.
fn check(site: &Site, program: &[&str], flags: &[&str], cookie: Option<&str>) -> Output {
    let home = cookie.map_or_else(|| tempfile::tempdir().unwrap(), home_with);
    let words = [program, &[env!("CARGO_BIN_EXE_beamroute"), "check"]].concat();
    let mut command = site.net.outside(words[0]);
    command.args(&words[1..]).args(["--name", &site.name, "--netns", &site.net.argument()]);
    command.arg("--state-dir").arg(site.state_dir()).args(flags);
    site.place().tell(&mut command).env("HOME", home.path()).env_remove("XDG_CONFIG_HOME");
    let out = command.output().unwrap();
    let left: Vec<_> = fs::read_dir(home.path()).unwrap().collect();
    assert_eq!(left.len(), usize::from(cookie.is_some()), "it makes no cookie: {left:?}");
    out
}

#[test]
fn check_says_each_thing_and_changes_nothing() {
    let Some(site) = Site::new() else { return };
    let monitor = Monitor::start(&site.net);
    let out = check(&site, &[], &["--json"], Some("secret"));
    let all = json_of(&out);
    assert_eq!(all["ok"], true, "{all}");
    let checked: Vec<_> =
        all["checks"].as_array().unwrap().iter().map(|check| check["check"].as_str().unwrap()).collect();
    let wanted = ["configuration", "node name", "cookie", "privileges", "kernel", "kernel", "state", "listen", "epmd"];
    assert_eq!(checked, wanted, "{all}");
    assert!(text(&check(&site, &[], &[], None)).contains("none yet: ~/.erlang.cookie is made at the start"));
    assert!(!site.state_dir().exists());
    assert_eq!(monitor.since(), [""; 0]);
    // While a daemon runs that says so.
    let daemon = site.start();
    let table = text(&check(&site, &[], &[], Some(&daemon.cookie)));
    assert!(table.lines().any(|line| line.starts_with("warning  state") && line.contains("runs here")), "{table}");
}

#[test]
fn check_ends_as_run_would() {
    let Some(site) = Site::new() else { return };
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("bad.toml");
    fs::write(&file, "port = 7\nlissten = \"10.0.0.1\"\n").unwrap();
    let open = dir.path().join("cookie");
    fs::write(&open, "secret").unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o644)).unwrap();
    let [file, open] = [&file, &open].map(|path| path.to_str().unwrap());
    let unprivileged = ["setpriv", "--bounding-set", "-all,+sys_admin,+sys_ptrace", "--inh-caps", "-all"];
    for (program, flags, status, words) in [
        (&[][..], &["--config", file][..], 5, "unknown key lissten (did you mean listen?)"),
        (&[], &["--cookie-file", open], 5, "cookie"),
        (&[], &["--user", "nobody-of-this-name"], 5, "there is no user nobody-of-this-name"),
        (
            &unprivileged,
            &[],
            4,
            "cannot manage routes without the capability CAP_NET_ADMIN in this network namespace; check as the user that runs it",
        ),
    ] {
        let out = check(&site, program, flags, Some("secret"));
        let table = String::from_utf8(out.stdout.clone()).unwrap();
        assert_eq!(out.status.code(), Some(status), "{out:?}");
        assert!(table.lines().any(|line| line.starts_with("failed") && line.contains(words)), "{table}");
        assert!(String::from_utf8_lossy(&out.stderr).contains("`beamroute run` would not start here"), "{out:?}");
    }
}

/// The packets go to a host that is not there, and that nobody says is not there.
#[test]
fn who_hears_nothing_at_all_is_told_of_firewalls() {
    let Some(net) = Netns::two_interfaces() else { return };
    net.ip(&["link", "set", "lo", "up"]);
    net.ip(&["neigh", "add", "192.168.1.77", "lladdr", "02:00:00:00:00:77", "dev", "eth0"]);
    let mut ping = net.command(env!("CARGO_BIN_EXE_beamroute"));
    ping.args(["ping", "gw@192.168.1.77"]).env("BEAMROUTE_COOKIE", "secret");
    let (code, why) = error(&ping.output().unwrap());
    assert_eq!(code, Some(3), "{why}");
    assert!(why.contains("no answer within the setup time; does a firewall stand between?"), "{why}");
    // An end that is there says so at once.
    let mut ping = net.command(env!("CARGO_BIN_EXE_beamroute"));
    ping.args(["ping", "gw@192.168.1.50"]).env("BEAMROUTE_COOKIE", "secret");
    let (code, why) = error(&ping.output().unwrap());
    assert!(code == Some(3) && why.contains("is it running?"), "{why}");
}

#[test]
fn a_bundle_has_what_is_needed_and_no_secret() {
    let Some(rig) = Rig::start() else { return };
    rig.beam.expect(&[("gen_server:call(RM, {set_route, \"eth0\", [{{192,168,1,50}, 24}], {192,168,1,1}}).", "ok")]);
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("other.cookie"), "OtherSecret77").unwrap();
    fs::set_permissions(path("other.cookie"), fs::Permissions::from_mode(0o400)).unwrap();
    let netns = rig.net.path().display().to_string();
    let configuration = format!(
        "netns = {netns:?}\nadmin = \"none\"\n[[cookie]]\nnodes = \"ops@*\"\nfile = {:?}\n",
        path("other.cookie")
    );
    fs::write(path("beamroute.toml"), configuration).unwrap();
    let words =
        ["debug", "bundle", &path("b.tar"), "--node", &rig.daemon.node, "--config", &path("beamroute.toml"), "--json"];
    let mut command = rig.net.outside(env!("CARGO_BIN_EXE_beamroute"));
    rig.epmd.place().tell(&mut command).env("BEAMROUTE_COOKIE", &rig.daemon.cookie).args(words);
    let told = json_of(&command.output().unwrap());
    assert_eq!(told["file"], json!(path("b.tar")));
    assert_eq!(fs::metadata(path("b.tar")).unwrap().permissions().mode() & 0o777, 0o600);
    let archive = fs::read(path("b.tar")).unwrap();
    for secret in [rig.daemon.cookie.as_str(), "OtherSecret77"] {
        assert!(!archive.windows(secret.len()).any(|bytes| bytes == secret.as_bytes()), "a cookie is in it");
    }
    // What tar makes of it.
    let out = dir.path().join("out");
    fs::create_dir(&out).unwrap();
    assert!(Command::new("tar").arg("xf").arg(path("b.tar")).arg("-C").arg(&out).status().unwrap().success());
    let read = |name: &str| fs::read_to_string(out.join(name)).unwrap();
    for name in told["parts"].as_array().unwrap() {
        read(name.as_str().unwrap());
    }
    assert!(read("status.txt").contains("traffic goes by eth0"), "{}", read("status.txt"));
    assert_eq!(read("plan.txt"), "nothing to change\n");
    assert!(read("environment.txt").contains("BEAMROUTE_COOKIE=(left out)\n"));
    assert!(read("configuration.json").contains("ops@*"));
    // What was before, in order; nobody had subscribed.
    let events = read("events.txt");
    let words: Vec<_> = events.lines().map(|line| line.split_once("Z  ").unwrap().1).collect();
    let expected = [
        "eth0: installed",
        "interface eth0 connection: lan",
        "connection: disconnected -> lan",
        "available_interfaces: none -> eth0",
    ];
    assert_eq!(words, expected, "{events}");
    let routes: Value = serde_json::from_str(&read("ip/routes4.json")).unwrap();
    assert!(routes.as_array().unwrap().iter().any(|route| route["gateway"] == "192.168.1.1"), "{routes}");
    let again = error(&command.output().unwrap());
    assert!(again.0 == Some(1) && again.1.contains("name another file"), "{again:?}");
}

#[test]
fn completions_load_and_the_manual_is_whole() {
    let program = env!("CARGO_BIN_EXE_beamroute");
    let run = |args: &[&str]| text(&Command::new(program).args(args).output().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("beamroute.bash");
    fs::write(&script, run(&["completions", "bash"])).unwrap();
    let complete = "source $0; COMP_WORDS=(beamroute watch --j); COMP_CWORD=2; _beamroute beamroute --j watch; echo ${COMPREPLY[@]}";
    let out = Command::new("bash").args(["--norc", "-c", complete]).arg(&script).output().unwrap();
    assert_eq!((text(&out).as_str(), out.stderr.as_slice()), ("--json\n", &b""[..]));
    assert!(run(&["completions", "zsh"]).starts_with("#compdef beamroute"));
    assert!(run(&["completions", "fish"]).contains("complete -c beamroute"));
    assert_eq!(Command::new(program).args(["completions", "csh"]).output().unwrap().status.code(), Some(2));
    let pages = run(&["man", dir.path().join("man").to_str().unwrap()]);
    assert!(pages.lines().count() > 12, "{pages}");
    // groff itself warns of what it cannot read, where it is installed.
    for page in pages.lines().filter(|_| std::path::Path::new("/usr/bin/man").exists()) {
        let out = Command::new("man").args(["--warnings", "-l", page]).env("MANWIDTH", "200").output().unwrap();
        assert!(out.status.success() && out.stderr.is_empty(), "{out:?}");
    }
    let version = run(&["--version"]);
    let tls = if cfg!(feature = "tls") { "tls" } else { "none" };
    assert_eq!(version, format!("beamroute {}\nfeatures: {tls}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn the_commit_is_that_of_this_repository_or_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("build-script");
    let rustc =
        Command::new("rustc").args(["--edition", "2024", "-o"]).arg(&script).arg(repository("build.rs")).status();
    assert!(rustc.unwrap().success());
    let root = dir.path().join("package");
    fs::create_dir_all(root.join("inner")).unwrap();
    let says = |root: &Path, profile: &str, path: &str| {
        let mut command = Command::new(&script);
        command.env("CARGO_MANIFEST_DIR", root).env("PROFILE", profile).env("PATH", path);
        let said = text(&command.output().unwrap());
        said.lines().find_map(|line| line.strip_prefix("cargo::rustc-env=BEAMROUTE_COMMIT=").map(str::to_owned))
    };
    let path = std::env::var("PATH").unwrap();
    assert_eq!(says(&root, "release", &path), None, "no repository");
    let git = |args: &[&str]| {
        let mut command = Command::new("git");
        command.arg("-C").arg(&root).args(["-c", "user.name=a", "-c", "user.email=a@b"]).args(args);
        text(&command.output().unwrap())
    };
    git(&["init", "--quiet"]);
    fs::write(root.join("file"), "1").unwrap();
    git(&["add", "file"]);
    git(&["commit", "--quiet", "--message", "one"]);
    let commit = git(&["rev-parse", "--short=12", "HEAD"]).trim_end().to_owned();
    assert_eq!(says(&root, "release", &path), Some(commit.clone()));
    assert_eq!(says(&root, "debug", &path), None);
    assert_eq!(says(&root, "release", ""), None, "no git");
    assert_eq!(says(&root.join("inner"), "release", &path), None, "a package in another's repository");
    fs::write(root.join("file"), "2").unwrap();
    assert_eq!(says(&root, "release", &path), Some(format!("{commit}, changed")));
}
