//! `beamroute plan` when no daemon runs: from the saved state, reading only.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::SystemTime;

use nix::sys::signal::Signal;
use serde_json::json;
use tempfile::TempDir;

use crate::support::{Daemon, Monitor, Site, beam::home_with, within};

/// A site whose daemon is gone, `eth0` with internet and `wlan0` with the LAN.
struct Left {
    site: Site,
    daemon: Daemon,
    home: TempDir,
}

impl Left {
    fn new(flags: &[&str]) -> Option<Self> {
        let site = Site::new()?;
        let mut daemon = site.options().flags(flags).start();
        assert!(within(crate::support::PATIENCE, || site.beam.ok("net_adm:ping(N).") == "pong"));
        site.beam.expect(&[
            ("Set(eth0, 1).", "ok"),
            ("Set(wlan0, 2).", "ok"),
            ("gen_server:call(RM, {set_connection_status, eth0, internet}).", "ok"),
        ]);
        let home = home_with(&daemon.cookie);
        daemon.kill();
        Some(Self { site, daemon, home })
    }

    /// `beamroute plan FLAGS`, run by `program` if there is one.
    fn run(&self, program: &[&str], flags: &[&str]) -> Output {
        self.command(program, flags).output().unwrap()
    }

    fn command(&self, program: &[&str], flags: &[&str]) -> Command {
        let words = [program, &[env!("CARGO_BIN_EXE_beamroute"), "plan"]].concat();
        let mut command = self.site.net.outside(words[0]);
        command.args(&words[1..]).args(["--name", &self.site.name, "--netns", &self.site.net.argument()]);
        if !flags.contains(&"--state-dir") {
            command.arg("--state-dir").arg(self.site.state_dir());
        }
        self.site.place().tell(&mut command);
        command.env("HOME", self.home.path()).env_remove("XDG_CONFIG_HOME").args(flags);
        command
    }

    /// What it prints; it must not ask a daemon.
    #[track_caller]
    fn plan(&self, flags: &[&str]) -> String {
        let out = self.run(&[], flags);
        let told = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success() && told.contains("does not run") && told.lines().count() == 1, "{out:?}");
        String::from_utf8(out.stdout).unwrap()
    }

    /// The exit status and the sentence of a failure.
    fn fails(&self, program: &[&str], flags: &[&str]) -> (Option<i32>, String) {
        let out = self.run(program, flags);
        assert_eq!(out.stdout, b"", "{out:?}");
        (out.status.code(), String::from_utf8(out.stderr).unwrap())
    }

    /// What of ours the kernel has.
    fn ours(&self) -> Vec<String> {
        let lines = self.site.kernel();
        lines.lines().filter(|line| line.contains("proto 110")).map(str::to_owned).collect()
    }

    fn journal(&self) -> PathBuf {
        let names = fs::read_dir(self.site.state_dir()).unwrap().map(|entry| entry.unwrap().path());
        names.min().unwrap()
    }
}

/// Everything in a directory: inode, when it was changed, and what is in it.
fn contents(dir: &Path) -> BTreeMap<PathBuf, (u64, SystemTime, Vec<u8>)> {
    let about = fs::metadata(dir).unwrap();
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.map(|path| {
        let about = fs::metadata(&path).unwrap();
        let text = fs::read(&path).unwrap();
        (path, (about.ino(), about.modified().unwrap(), text))
    });
    let own = (about.ino(), about.modified().unwrap(), Vec::new());
    files.chain([(dir.to_path_buf(), own)]).collect()
}

const NOTHING: &str = "nothing to change\n";
const DEFAULT: &str = "ip route append default via 192.168.1.1 dev eth0 proto 110 metric 10";

/// Keeps every capability away but those to open and enter the namespace.
const UNPRIVILEGED: &[&str] = &["setpriv", "--bounding-set", "-all,+sys_admin,+sys_ptrace", "--inh-caps", "-all"];

#[test]
fn the_line_that_is_printed_heals_what_was_deleted() {
    let Some(mut left) = Left::new(&[]) else { return };
    assert_eq!(left.plan(&[]), NOTHING);
    let (kernel, before) = (left.ours(), contents(&left.site.state_dir()));
    left.site.net.ip(&["route", "del", "default", "via", "192.168.1.1", "dev", "eth0", "metric", "10"]);
    let monitor = Monitor::start(&left.site.net);
    assert_eq!(left.plan(&[]), format!("{DEFAULT}\n"));
    let change = json!(["add", ["default_route", "eth0", "192.168.1.1", 10, "main"]]);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&left.plan(&["--json"])).unwrap(), json!([[change, DEFAULT]]));
    // Where nothing can be changed it is the same.
    let out = left.run(UNPRIVILEGED, &[]);
    assert_eq!(String::from_utf8(out.stdout.clone()).unwrap(), format!("{DEFAULT}\n"), "{out:?}");
    assert_eq!(monitor.since(), [""; 0]);
    assert_eq!(contents(&left.site.state_dir()), before);
    left.site.net.ip(&DEFAULT.split(' ').skip(1).collect::<Vec<_>>());
    assert_eq!(left.plan(&[]), NOTHING);
    assert_eq!(left.plan(&["--json"]), "[]\n");
    assert_eq!(left.ours(), kernel);
    // All that can be wrong, pasted line by line.
    left.site.net.ip(&["rule", "del", "from", "192.168.1.50", "lookup", "100"]);
    left.site.net.ip(&["route", "flush", "table", "101"]);
    left.site.net.ip(&["route", "add", "10.8.0.0/16", "dev", "eth0", "proto", "110"]);
    let lines = left.plan(&[]);
    assert!(lines.contains("rule add from 192.168.1.50") && lines.contains("route del 10.8.0.0/16"), "{lines}");
    assert_eq!(lines.lines().count(), 4, "{lines}");
    lines.lines().for_each(|line| _ = left.site.net.ip(&line.split(' ').skip(1).collect::<Vec<_>>()));
    assert_eq!(left.plan(&[]), NOTHING);
    // The daemon finds nothing to do either, and is asked from now on.
    monitor.since();
    left.daemon = left.site.start();
    assert_eq!(monitor.since(), [""; 0], "{}", left.daemon.log());
    let out = left.run(&[], &[]);
    assert_eq!(String::from_utf8(out.stdout).unwrap(), NOTHING);
    assert!(
        String::from_utf8(out.stderr).unwrap().starts_with(&format!("beamroute: {} runs, and answers", left.site.name))
    );
}

#[test]
fn a_daemon_that_answers_is_not_told_the_options_and_offline_asks_none() {
    let Some(mut left) = Left::new(&[]) else { return };
    let (name, given) = (left.site.name.clone(), ["--rule-priority", "1000", "--local-networks-first"]);
    left.daemon = left.site.start();
    let out = left.run(&[], &given);
    assert_eq!(String::from_utf8(out.stdout).unwrap(), NOTHING);
    let unused = "not used: --netns, --state-dir, --local-networks-first, --rule-priority";
    let told = format!("beamroute: {name} runs, and answers by its own configuration; {unused}\n");
    assert_eq!(String::from_utf8(out.stderr).unwrap(), told);
    // By what is saved, with these options, and nothing is changed.
    let (kernel, before, monitor) = (left.ours(), contents(&left.site.state_dir()), Monitor::start(&left.site.net));
    let offline = |flags: &[&str]| {
        let out = left.run(&[], &[&["--offline"], flags].concat());
        let told = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(out.status.success() && told.starts_with(&format!("beamroute: {name} was not asked; ")), "{out:?}");
        assert_eq!(told.lines().count(), 1, "{told}");
        String::from_utf8(out.stdout).unwrap()
    };
    assert_eq!(offline(&[]), NOTHING);
    let lines = offline(&given);
    assert!(lines.contains("ip rule add from 192.168.1.50 lookup 100 priority 1000 protocol 110\n"), "{lines}");
    assert!(lines.contains("ip rule add lookup main suppress_prefixlength 0 priority 999 protocol 110\n"), "{lines}");
    assert_eq!((left.ours(), contents(&left.site.state_dir()), monitor.since()), (kernel, before, Vec::new()));
    left.site.beam.expect(&[("net_adm:ping(N).", "pong")]);
    // Without a cookie it cannot be asked, which is the fault of the configuration.
    let (code, why) = left.fails(&[], &["--cookie-file", "/nonexistent"]);
    assert!(code == Some(5) && why.contains("/nonexistent"), "{code:?} {why}");
    let (code, why) = left.fails(&[], &["--offline", "--node", &name]);
    assert!(code == Some(2) && why.contains("--node"), "{code:?} {why}");
    let empty = left.home.path().join("empty");
    let (code, why) = left.fails(&[], &["--offline", "--state-dir", empty.to_str().unwrap()]);
    assert!(code == Some(3) && why.contains("there is no saved state"), "{code:?} {why}");
}

/// The kernel takes such a name; pasted, its line must not run what stands in it.
#[test]
fn the_line_of_a_link_with_an_odd_name_can_be_pasted() {
    let Some(mut left) = Left::new(&[]) else { return };
    left.site.net.ip(&["link", "set", "eth0", "down"]);
    left.site.net.ip(&["link", "set", "eth0", "name", "it's;exit"]);
    left.site.net.ip(&["link", "set", "it's;exit", "up"]);
    left.daemon = left.site.start();
    left.site.beam.expect(&[("Clear(eth0).", "ok"), ("Set(<<\"it's;exit\">>, 1).", "ok")]);
    left.daemon.kill();
    left.site.net.ip(&["route", "add", "10.8.0.0/16", "dev", "it's;exit", "proto", "110"]);
    let lines = left.plan(&[]);
    let line = "ip route del 10.8.0.0/16 dev 'it'\\''s;exit' proto 110 scope link";
    assert!(lines.lines().any(|found| found == line), "{lines}");
    let out = left.site.net.command("sh").args(["-c", &format!("{line}\necho pasted")]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&out.stdout), "pasted\n", "{out:?}");
    assert!(out.stderr.is_empty() && !left.plan(&[]).contains("10.8.0.0"), "{out:?}");
}

#[test]
fn every_option_counts_as_for_run() {
    let Some(left) = Left::new(&["--protocol", "111", "--rule-priority", "1000", "--local-networks-first"]) else {
        return;
    };
    let own = ["--protocol", "111", "--rule-priority", "1000", "--local-networks-first"];
    assert_eq!(left.plan(&own), NOTHING);
    let lines = left.plan(&own[..4]);
    for rule in ["ip rule del lookup main", "ip -6 rule del lookup main"] {
        assert!(lines.contains(&format!("{rule} suppress_prefixlength 0 priority 999 protocol 111\n")), "{lines}");
    }
    let lines = left.plan(&["--protocol", "111", "--local-networks-first"]);
    assert!(lines.contains("ip rule add from 192.168.1.50 lookup 100 priority 30000 protocol 111\n"), "{lines}");
    assert!(lines.contains("ip rule del from 192.168.1.50 lookup 100 priority 1000 protocol 111\n"), "{lines}");
    // The file's keys, and its ranking.
    let file = left.home.path().join("b.toml");
    let keys = "protocol = 111\nrule_priority = 1000\nlocal_networks_first = true\n";
    let config = ["--config", file.to_str().unwrap()];
    fs::write(&file, keys).unwrap();
    assert_eq!(left.plan(&config), NOTHING);
    fs::write(&file, format!("{keys}ranking = [\"wifi:*\", \"*:*\"]\n")).unwrap();
    let lines = left.plan(&config);
    assert!(lines.contains("ip route append default via 192.168.2.1 dev wlan0 proto 111 metric 10\n"), "{lines}");
    assert!(lines.contains("ip route del default via 192.168.1.1 dev eth0 proto 111 metric 10\n"), "{lines}");
    // Nothing is known of routes with another number.
    let (code, why) = left.fails(&[], &[]);
    assert!(code == Some(3) && why.contains("there is no saved state") && why.contains("routes-110"), "{code:?} {why}");
}

#[test]
fn what_is_in_the_way_is_said_and_stays_where_it_is() {
    let Some(mut left) = Left::new(&[]) else { return };
    let empty = left.home.path().join("empty");
    let (code, why) = left.fails(&[], &["--state-dir", empty.to_str().unwrap()]);
    assert!(code == Some(3) && why.contains("there is no saved state"), "{code:?} {why}");
    assert!(!empty.exists());
    // A node that is named is asked, and nothing else is done.
    let (code, why) = left.fails(&[], &["--node", "nobody@127.0.0.1"]);
    assert!(code == Some(3) && !why.contains("saved"), "{code:?} {why}");
    let (code, why) = left.fails(&[], &["--config", "/nonexistent"]);
    assert!(code == Some(5) && why.contains("/nonexistent"), "{code:?} {why}");
    let (code, why) = left.fails(&[], &["--netns", "no-such-namespace"]);
    assert!(code == Some(2) && why.contains("--netns"), "given twice: {code:?} {why}");
    // Not even root may read it without the capability.
    let (journal, state) = (left.journal(), left.site.state_dir());
    fs::set_permissions(&journal, fs::Permissions::from_mode(0o000)).unwrap();
    let (code, why) = left.fails(UNPRIVILEGED, &[]);
    assert!(code == Some(4) && why.contains("cannot be read: Permission denied"), "{code:?} {why}");
    fs::set_permissions(&journal, fs::Permissions::from_mode(0o600)).unwrap();
    let powerless = ["setpriv", "--bounding-set", "-all,+sys_ptrace", "--inh-caps", "-all"];
    let (code, why) = left.fails(&powerless, &[]);
    assert!(code == Some(4) && why.contains("CAP_SYS_ADMIN"), "{code:?} {why}");
    // A state that cannot be believed is left for the daemon to set aside.
    let good = fs::read(&journal).unwrap();
    let mut bad = good.clone();
    let middle = bad.len() / 2;
    bad[middle] ^= 1;
    fs::write(&journal, &bad).unwrap();
    let before = contents(&state);
    let (code, why) = left.fails(&[], &[]);
    assert!(code == Some(1) && why.contains("does not fit its checksum"), "{code:?} {why}");
    assert_eq!(contents(&state), before);
    // A torn last line was promised to nobody.
    fs::write(&journal, [&good[..], b"0123"].concat()).unwrap();
    assert_eq!(left.plan(&[]), NOTHING);
    fs::write(&journal, &good).unwrap();
    // A daemon that runs under another name knows better.
    let other = format!("other{}@127.0.0.1", std::process::id());
    left.daemon = left.site.options().naming("--name", &other).start();
    let (code, why) = left.fails(&[], &[]);
    assert!(code == Some(3) && why.contains("under another name"), "{code:?} {why}");
    let out = left.run(&[], &["--node", &other]);
    assert_eq!(String::from_utf8(out.stdout.clone()).unwrap(), NOTHING, "{out:?}");
    left.daemon.signal(Signal::SIGTERM);
    assert_eq!(left.daemon.exit_code(), Some(0));
    assert_eq!(left.plan(&[]), NOTHING);
}

#[test]
fn no_cookie_is_needed_and_a_daemon_may_start_meanwhile() {
    let Some(mut left) = Left::new(&[]) else { return };
    let cookie = left.home.path().join(".erlang.cookie");
    fs::set_permissions(&cookie, fs::Permissions::from_mode(0o444)).unwrap();
    assert_eq!(left.plan(&[]), NOTHING);
    let mut command = left.command(&[], &[]);
    std::thread::scope(|scope| {
        let asked = scope.spawn(move || (0..20).map(|_| command.output().unwrap()).collect::<Vec<_>>());
        for _ in 0..5 {
            // It would be refused if someone else had its name, or its file.
            let mut daemon = left.site.options().start();
            daemon.kill();
        }
        for out in asked.join().unwrap() {
            let why = String::from_utf8_lossy(&out.stderr);
            assert!(
                out.status.success() || (out.status.code() == Some(5) && why.contains("manages routes")),
                "{out:?}"
            );
        }
    });
    left.daemon = left.site.start();
    let (code, why) = left.fails(&[], &[]);
    assert!(code == Some(5) && why.contains("owner only") && why.contains("manages routes"), "{code:?} {why}");
}
