//! What a running daemon may still do, read from `/proc/PID/task/*/status`: `CAP_NET_ADMIN`, and nothing else, on every
//! thread; under `--user`, with a read-only root file system, and started without root.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a panic is how a test fails")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;
use nix::unistd::{User, geteuid};
use support::{Daemon, Link, Site, eventually, skip};

/// The bit of `CAP_NET_ADMIN` (`include/uapi/linux/capability.h`), as the kernel writes a set of capabilities.
const NET_ADMIN: &str = "0000000000001000";
const NONE: &str = "0000000000000000";

/// What `--user` becomes in these tests; Debian has it, and so has everything else.
const USER: &str = "nobody";

/// `status` of every thread, by the thread's name.
fn threads(daemon: &Daemon) -> Vec<BTreeMap<String, String>> {
    let tasks = fs::read_dir(format!("/proc/{}/task", daemon.pid)).unwrap();
    let status = |task: fs::DirEntry| fs::read_to_string(task.path().join("status")).ok();
    let fields = |text: String| {
        let fields = text.lines().filter_map(|line| line.split_once(':'));
        fields.map(|(key, value)| (key.to_owned(), value.split_whitespace().collect::<Vec<_>>().join(" "))).collect()
    };
    // One that has just ended has none.
    tasks.filter_map(|task| status(task.unwrap())).map(fields).collect()
}

/// Every thread has at most `CAP_NET_ADMIN`, the first has it; `bounding` is what it should be.
fn check_threads(daemon: &Daemon, names: &[&str], bounding: Option<&str>) {
    let threads = threads(daemon);
    for name in names {
        assert!(threads.iter().any(|thread| thread["Name"] == *name), "no thread {name}: {threads:#?}");
    }
    for thread in &threads {
        let is_first = thread["Pid"] == thread["Tgid"];
        for set in ["CapPrm", "CapEff"] {
            let is_fine = thread[set] == NET_ADMIN || (!is_first && thread[set] == NONE);
            assert!(is_fine, "{set} of {}: {}", thread["Name"], thread[set]);
        }
        for set in ["CapInh", "CapAmb"] {
            assert_eq!(thread[set], NONE, "{set} of {}", thread["Name"]);
        }
        if let Some(bounding) = bounding {
            assert_eq!(thread["CapBnd"], bounding, "of {}", thread["Name"]);
        }
        assert_eq!(thread["NoNewPrivs"], "1", "of {}", thread["Name"]);
    }
}

/// Every thread is the user's, in no other groups than these.
fn check_user(daemon: &Daemon, groups: &str) {
    let user = User::from_name(USER).unwrap().unwrap();
    for thread in threads(daemon) {
        assert_eq!(thread["Uid"], [user.uid.to_string().as_str()].repeat(4).join(" "), "{}", thread["Name"]);
        assert_eq!(thread["Gid"], [user.gid.to_string().as_str()].repeat(4).join(" "), "{}", thread["Name"]);
        assert_eq!(thread["Groups"], groups, "{}", thread["Name"]);
    }
}

/// A site for what only root can do. Its state directory is one that others get through to.
fn site_of_root() -> Option<Site> {
    if !geteuid().is_root() {
        skip("only root can become another user");
        return None;
    }
    let site = Site::with(&[Link::new("eth0", &["192.168.1.50/24"]), Link::new("wlan0", &["192.168.2.50/24"])])?;
    fs::set_permissions(site.state_dir().parent().unwrap(), fs::Permissions::from_mode(0o755)).unwrap();
    Some(site)
}

fn start(site: &Site, flags: &[&str]) -> Daemon {
    let daemon = site.options().flags(flags).start();
    eventually("the BEAM sees the daemon", || site.beam.ok("net_adm:ping(N).") == "pong");
    daemon
}

/// The log of a daemon that does not start, without what `--log-format json` makes of it.
fn refusal(options: support::daemon::Options) -> String {
    let Err(log) = options.try_start() else { panic!("it has started") };
    log
}

fn owners(dir: &Path) -> Vec<(PathBuf, u32)> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut owners: Vec<_> = entries.chain([dir.to_path_buf()]).collect();
    owners.sort();
    owners.into_iter().map(|path| (path.clone(), fs::metadata(path).unwrap().uid())).collect()
}

#[test]
fn every_thread_keeps_net_admin_alone() {
    let Some(site) = Site::new() else { return };
    let pipe = tempfile::tempdir().unwrap();
    let pipe = pipe.path().join("stdin");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    // It holds the other end itself: it waits for ever.
    let script = format!("exec \"$@\" <>'{}'", pipe.display());
    let flags = ["--exit-with-stdin", "--flush", "conntrack"];
    let options = site.options().flags(&flags).env("BEAMROUTE_LOG", "debug");
    let daemon = options.wrap(&["sh", "-c", &script, "sh"]).start();
    check_threads(&daemon, &["beamroute", "stdin", "log"], Some(NONE));
    daemon.await_log("privileges given up");
    // It has not given up too much.
    site.beam.expect(&[("net_adm:ping(N).", "pong"), ("Set(eth0, 1).", "ok")]);
    site.beam.expect(&[("I(<<\"eth0\">>, install).", "installed")]);
    check_threads(&daemon, &[], Some(NONE));
}

#[test]
fn a_user_of_its_own_and_restarts() {
    let Some(site) = site_of_root() else { return };
    let User { uid: user, gid, .. } = User::from_name(USER).unwrap().unwrap();
    let user = user.as_raw();
    let mut daemon = start(&site, &["--user", USER]);
    check_threads(&daemon, &[], Some(NONE));
    check_user(&daemon, &gid.to_string());
    site.beam.expect(&[
        ("Set(eth0, 1).", "ok"),
        ("Set(wlan0, 2).", "ok"),
        ("gen_server:call(RM, {set_connection_status, wlan0, internet}).", "ok"),
        ("maps:get(state, gen_server:call(RM, status)).", "saved"),
    ]);
    let (status, kernel) = (site.status(), site.kernel());
    assert!(kernel.contains("default via 192.168.1.1 dev eth0 proto 110"), "{kernel}");
    // A second one, root's, is told of the first: the name was claimed before the user was changed.
    let second = site.options().naming("--name", "second@127.0.0.1").state_dir(&site.state_dir().join("other"));
    assert!(refusal(second).contains("already manages routes"));
    // As the user again, as root, as the user: each time nothing is lost, and who runs has the files.
    for (flags, owner) in [(&["--user", USER][..], user), (&[], 0), (&["--user", USER], user)] {
        daemon.kill();
        daemon = start(&site, flags);
        assert_eq!((site.status(), site.kernel()), (status.clone(), kernel.clone()), "{flags:?} {}", daemon.log());
        let owners = owners(&site.state_dir());
        assert!(owners.len() == 2 && owners.iter().all(|(_, uid)| *uid == owner), "{flags:?} {owners:?}");
        check_threads(&daemon, &[], Some(NONE));
    }
    assert_eq!(site.aside(), Vec::<String>::new());
    site.beam.expect(&[("Clear(eth0).", "ok"), ("maps:get(state, gen_server:call(RM, status)).", "saved")]);
}

#[test]
fn a_configuration_that_only_root_can_read() {
    let Some(site) = site_of_root() else { return };
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let file = dir.path().join("beamroute.toml");
    let write = |first: &str, mode| {
        fs::write(&file, format!("[[interface]]\nmatch = \"{first}\"\nmetric = 7\n")).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
    };
    write("eth0", 0o600);
    let daemon = start(&site, &["--user", USER, "--config", file.to_str().unwrap()]);
    let metric = |of: &str| format!("I(<<\"{of}\">>, metric).");
    site.beam.expect(&[("Set(eth0, 1).", "ok"), ("Set(wlan0, 2).", "ok"), (&metric("eth0"), "7")]);
    write("wlan0", 0o600);
    daemon.signal(Signal::SIGHUP);
    daemon.await_log("beamroute.toml: Permission denied");
    site.beam.expect(&[(&metric("eth0"), "7")]);
    write("wlan0", 0o644);
    daemon.signal(Signal::SIGHUP);
    eventually("the new ranking counts", || site.beam.ok(&metric("wlan0")) == "7");
}

/// Remounts everything read-only, in a mount namespace of its own, but for a tmpfs on `/run/beamroute`.
const READ_ONLY: &str = "
    set -e
    mkdir -p /run/beamroute
    mount -t tmpfs tmpfs /run/beamroute
    findmnt -rno TARGET | while read -r place; do
        case $place in /run/beamroute | /proc | /proc/* | /run/netns/*) ;; *) mount -o remount,bind,ro \"$place\" ;; esac
    done
    for place in / /tmp /run /run/netns /dev/shm; do
        if touch \"$place/beamroute-test\" 2>/dev/null; then echo \"$place is not read-only\"; exit 9; fi
    done
    exec \"$@\"";

#[test]
fn a_read_only_root_file_system() {
    let Some(site) = site_of_root() else { return };
    let (tmpfs, nowhere) = (PathBuf::from("/run/beamroute"), site.state_dir());
    for (dir, state, set) in [(tmpfs, "saved", "ok"), (nowhere, "{unsaved,erofs}", "{error,{not_saved,erofs}}")] {
        for flags in [&["--user", USER][..], &[]] {
            let options = site.options().flags(flags).state_dir(&dir);
            let daemon = options.wrap(&["unshare", "-m", "sh", "-c", READ_ONLY, "sh"]).start();
            eventually("the BEAM sees the daemon", || site.beam.ok("net_adm:ping(N).") == "pong");
            site.beam.expect(&[
                ("Set(eth0, 1).", set),
                ("I(<<\"eth0\">>, install).", "installed"),
                ("maps:get(state, gen_server:call(RM, status)).", state),
            ]);
            let dir = PathBuf::from(format!("/proc/{}/root{}", daemon.pid, dir.display()));
            assert_eq!(fs::read_dir(dir).is_ok_and(|dir| dir.count() == 1), state == "saved", "{}", daemon.log());
            check_threads(&daemon, &[], Some(NONE));
            site.beam.expect(&[("Clear(eth0).", set)]);
        }
    }
}

#[test]
fn users_that_cannot_be() {
    let Some(site) = site_of_root() else { return };
    let log = refusal(site.options().flags(&["--user", "no-such-user"]));
    assert_eq!(log, "beamroute: user: there is no user no-such-user on this machine\n");

    let mut command = site.net.outside(env!("CARGO_BIN_EXE_beamroute"));
    let status = command.args(["run", "--user", "no-such-user", "--netns", &site.net.argument()]).status().unwrap();
    assert_eq!(status.code(), Some(5));

    // It has what is not ours, so it is not given away.
    fs::create_dir(site.state_dir()).unwrap();
    fs::set_permissions(site.state_dir(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(site.state_dir().join("letters"), "").unwrap();
    let log = refusal(site.options().flags(&["--user", USER]));
    let dir = site.state_dir();
    let said = format!("the user nobody cannot use the state directory {} (Permission denied", dir.display());
    assert!(log.contains(&said), "{log}");
    assert!(owners(&dir).iter().all(|(_, uid)| *uid == 0));
    // Nor is what others can write, or what lies there under another name as well.
    fs::remove_file(dir.join("letters")).unwrap();
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o775)).unwrap();
    assert!(refusal(site.options().flags(&["--user", USER])).contains("cannot use the state directory"));
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(dir.join("routes-1"), "").unwrap();
    fs::hard_link(dir.join("routes-1"), dir.parent().unwrap().join("linked")).unwrap();
    std::os::unix::fs::symlink("/etc/hostname", dir.join("routes-2")).unwrap();
    let mut daemon = start(&site, &["--user", USER]);
    daemon.kill();
    assert_eq!(fs::metadata(dir.join("routes-1")).unwrap().uid(), 0);
    assert_eq!(fs::metadata("/etc/hostname").unwrap().uid(), 0);
}

#[test]
fn a_filter_on_every_thread() {
    let Some(site) = Site::new() else { return };
    // The numbers of seccomp(2) in `status`: 0 is none, 2 a filter.
    for (flags, mode) in [(&[][..], "0"), (&["--seccomp"], "2"), (&["--seccomp=log"], "2"), (&["--seccomp=off"], "0")] {
        let flags: Vec<&str> = flags.iter().chain(&["--flush", "conntrack"]).copied().collect();
        let daemon = site.options().flags(&flags).env("BEAMROUTE_SECCOMP", "off").start();
        eventually("the BEAM sees the daemon", || site.beam.ok("net_adm:ping(N).") == "pong");
        site.beam.expect(&[("Set(eth0, 1).", "ok"), ("I(<<\"eth0\">>, install).", "installed")]);
        for thread in threads(&daemon) {
            assert_eq!(thread["Seccomp"], mode, "{flags:?} {}", thread["Name"]);
        }
        site.beam.expect(&[("Clear(eth0).", "ok")]);
    }
}

/// The namespace cannot be entered again, and need not be.
#[test]
fn a_signal_while_the_node_starts() {
    let Some(site) = Site::new() else { return };
    let mut daemon = start(&site, &[]);
    site.beam.expect(&[("Set(eth0, 1).", "ok"), ("I(<<\"eth0\">>, install).", "installed")]);
    daemon.kill();
    // A port mapper that never answers.
    let epmd = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = epmd.local_addr().unwrap().port().to_string();
    let file = site.state_dir().with_file_name("pid");
    for (flag, keeps) in [("--on-exit=keep", true), ("--on-exit=clear", false)] {
        let script = format!("echo $$ >'{}'; exec \"$@\"", file.display());
        let options = site.options().flags(&[flag]).env("ERL_EPMD_PORT", &port).wrap(&["sh", "-c", &script, "sh"]);
        let log = std::thread::scope(|scope| {
            let daemon = scope.spawn(|| refusal(options));
            let _asks = epmd.accept().unwrap();
            assert!(site.kernel().contains("proto 110"), "what was saved is in the kernel before the node is up");
            let pid = fs::read_to_string(&file).unwrap().trim().parse().unwrap();
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), Signal::SIGTERM).unwrap();
            daemon.join().unwrap()
        });
        assert_eq!(site.kernel().contains("proto 110"), keeps, "{log}");
        assert!(!log.contains("ERROR") && !log.contains("panicked"), "{log}");
    }
}

/// As systemd starts it, with `User=` and `AmbientCapabilities=`.
#[test]
fn started_with_capabilities_and_without_root() {
    let Some(site) = site_of_root() else { return };
    let user = User::from_name(USER).unwrap().unwrap();
    let (uid, gid) = (user.uid.to_string(), user.gid.to_string());
    let setpriv = |caps: &'static str| -> Vec<String> {
        let words = ["setpriv", "--reuid", &uid, "--regid", &gid, "--clear-groups", "--inh-caps", caps];
        words.iter().chain(&["--ambient-caps", caps]).map(ToString::to_string).collect()
    };
    let wrapped = |caps, flags: &[&str]| {
        let words = setpriv(caps);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let options = site.options().flags(flags).no_cookie_file().env("BEAMROUTE_COOKIE", "RestartSecret");
        options.wrap(&words)
    };
    fs::create_dir(site.state_dir()).unwrap();
    chown(site.state_dir(), Some(user.uid.as_raw()), None).unwrap();
    for flags in [&[][..], &["--user", USER]] {
        let daemon = wrapped("+net_admin,+sys_admin", flags).start();
        eventually("the BEAM sees the daemon", || site.beam.ok("net_adm:ping(N).") == "pong");
        // The bounding set is not its to change.
        check_threads(&daemon, &[], None);
        check_user(&daemon, "");
        site.beam.expect(&[("Set(eth0, 1).", "ok"), ("I(<<\"eth0\">>, install).", "installed")]);
    }
    let log = refusal(wrapped("+net_admin,+sys_admin", &["--user", "root"]));
    assert!(log.contains("only root can become root"), "{log}");
    let log = refusal(wrapped("-all", &[]));
    assert!(log.contains("CAP_SYS_ADMIN is missing"), "{log}");
    let log = refusal(wrapped("+sys_admin", &[]));
    assert!(log.contains("cannot manage routes without the capability CAP_NET_ADMIN"), "{log}");
}
