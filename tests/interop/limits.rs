//! `[limits]` and `[[cookie]]` in the file: who takes too much loses that, and nobody else anything; nodes with cookies of
//! their own.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::support::raw::{FLAGS, Raw, atom};
use crate::support::{Beam, Daemon, Epmd, Netns, eventually, serial};

const COOKIE: &str = "limited";

struct Site {
    daemon: Daemon,
    _dir: TempDir,
    _net: Netns,
    epmd: Epmd,
}

impl Site {
    /// A daemon with this file, in which `DIR` is a directory of ours.
    fn start(file: &str, prepare: impl FnOnce(&TempDir), flags: &[&str]) -> Option<Self> {
        let (epmd, net, dir) = (Epmd::start()?, Netns::two_interfaces()?, tempfile::tempdir().unwrap());
        prepare(&dir);
        let path = dir.path().join("beamroute.toml");
        fs::write(&path, file.replace("DIR", dir.path().to_str().unwrap())).unwrap();
        let name = format!("l{}x{}@127.0.0.1", std::process::id(), serial());
        let options = Daemon::options(&epmd.place()).netns(&net).naming("--name", &name).cookie(COOKIE);
        let daemon = options.flags(&[&["--config", path.to_str().unwrap()], flags].concat()).start();
        Some(Self { daemon, _dir: dir, _net: net, epmd })
    }

    fn dial(&self, host: u8, name: &str) -> Raw {
        Raw::dial_from(host, self.daemon.port, &format!("{name}@127.0.0.1"))
    }
}

fn let_in(raw: &mut Raw) -> bool {
    raw.prove(COOKIE).is_ok_and(|is_right| is_right)
}

#[test]
fn a_flood_of_one_address_leaves_the_others_their_way_in() {
    let Some(site) = Site::start("[limits]\nhalf_open = 16\nhalf_open_per_address = 12\n", |_| {}, &[]) else { return };
    let mut patient = site.dial(2, "patient");
    assert_eq!(patient.send_name(FLAGS), "ok");
    let mut flood: Vec<Raw> = (0..200).map(|n| site.dial(3, &format!("flood{n}"))).collect();
    let mut quick = site.dial(4, "quick");
    assert_eq!(quick.send_name(FLAGS), "ok");
    assert!(let_in(&mut quick) && let_in(&mut patient), "those of other addresses come in");
    let is_open = |raw: &mut Raw| !raw.is_closed_within(Duration::from_millis(50));
    assert!(flood.iter_mut().take(150).all(|raw| raw.is_closed_within(Duration::from_secs(5))));
    assert!(flood.iter_mut().rev().take(5).all(is_open), "and of the flood the last stay");
    let mut own = site.dial(3, "own");
    assert_eq!(own.send_name(FLAGS), "ok");
    assert!(let_in(&mut own), "whoever says its name at once comes in from there, too");
}

#[test]
fn no_more_connections_than_that() {
    let Some(site) = Site::start("[limits]\nconnections = 3\n", |_| {}, &[]) else { return };
    let connect = |name: &str| {
        let mut raw = site.dial(1, name);
        if raw.send_name(FLAGS) == "alive" {
            raw.send_message(b"strue");
        }
        let_in(&mut raw).then_some(raw)
    };
    let mut three: Vec<Raw> = ["a", "b", "c"].into_iter().map(|name| connect(name).unwrap()).collect();
    assert!(connect("d").is_none());
    site.daemon.await_log("all 3 places for connections are taken");
    three.push(connect("c").expect("one that is replaced takes no place more"));
    drop(three.remove(0));
    eventually("a place is free again", || connect("d").is_some());
}

#[test]
fn more_terms_and_bytes_than_that_end_the_connection() {
    let Some(site) = Site::start("[limits]\nterms = 2000\nframe_bytes = 65536\n", |_| {}, &[]) else { return };
    let connect = |name: &str| {
        let mut raw = site.dial(1, name);
        assert_eq!(raw.send_name(FLAGS), "ok");
        assert!(let_in(&mut raw));
        raw
    };
    // A list of so many empty lists, to nobody.
    let message = |raw: &Raw, count: u32| {
        let control = [&[104, 4, 97, 6][..], &raw.pid(1), &[119, 0], &[119, 6], b"nobody"].concat();
        let list = [&[108][..], &count.to_be_bytes(), &vec![106; count as usize], &[106]].concat();
        let body = [&[112, 131][..], &control, &[131], &list].concat();
        [&u32::try_from(body.len()).unwrap().to_be_bytes()[..], &body].concat()
    };
    let (mut few, mut many, mut long) = (connect("few"), connect("many"), connect("long"));
    few.send(&message(&few, 1900));
    many.send(&message(&many, 2100));
    long.send(&65_537_u32.to_be_bytes());
    assert!(many.is_closed_within(Duration::from_secs(5)) && long.is_closed_within(Duration::from_secs(5)));
    few.send(&few.status_call());
    assert!(!few.receive_frame().unwrap().is_empty(), "the one within the limits is answered");
}

#[test]
fn who_reads_late_gets_every_answer() {
    let Some(site) = Site::start("", |_| {}, &[]) else { return };
    let mut raw = site.dial(1, "late");
    assert_eq!(raw.send_name(FLAGS), "ok");
    assert!(let_in(&mut raw));
    let call = raw.status_call();
    let calls = 4000;
    // Answers of some MiB wait, more than the kernel's buffers hold, until it has said all that it had to say.
    raw.send(&call.repeat(calls));
    let mut answers = 0;
    while answers < calls {
        answers += usize::from(!raw.receive_frame().expect("an answer").is_empty());
    }
}

const COOKIES: &str = r#"
[[cookie]]
nodes = "ops*@*"
file = "DIR/ops.cookie"
"#;

#[test]
fn nodes_with_cookies_of_their_own() {
    let prepare = |dir: &TempDir| {
        let file = dir.path().join("ops.cookie");
        fs::write(&file, "operators").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o400)).unwrap();
    };
    let beam_name = format!("ops{}x{}@127.0.0.1", std::process::id(), serial());
    let Some(site) = Site::start(COOKIES, prepare, &["--connect", &beam_name]) else { return };
    for (name, cookie, comes_in) in
        [("ops1", "operators", true), ("ops2", COOKIE, false), ("other1", COOKIE, true), ("other2", "operators", false)]
    {
        let mut raw = site.dial(1, name);
        assert_eq!(raw.send_name(FLAGS), "ok");
        assert_eq!(raw.prove(cookie).is_ok_and(|is_right| is_right), comes_in, "{name}");
    }
    // The daemon dials with them as well.
    let Some(beam) = Beam::named(&site.epmd.place(), "operators", "-name", &beam_name, &[]) else { return };
    beam.know(&site.daemon);
    eventually("the daemon has connected", || beam.eval("lists:member(N, nodes(hidden)).").as_deref() == Ok("true"));
    assert!(!site.daemon.log().contains("operators"));
}

#[test]
fn the_limit_on_open_files_is_raised_to_what_they_need() {
    let Some(site) = Site::start("[limits]\nconnections = 700\n", |_| {}, &[]) else { return };
    let limits = fs::read_to_string(format!("/proc/{}/limits", site.daemon.pid)).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let numbers: Vec<u64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [soft, hard] = numbers.as_slice() else { panic!("{line}") };
    assert!(*soft >= 2 * 700 + 4 * 256 + 512 + 64 || soft == hard, "{line}");
}

#[test]
fn what_waits_at_the_end_is_answered() {
    let Some(site) = Site::start("", |_| {}, &[]) else { return };
    let mut raws: Vec<Raw> = (0..40)
        .map(|n| {
            let mut raw = site.dial(1, &format!("last{n}"));
            assert_eq!(raw.send_name(FLAGS), "ok");
            assert!(let_in(&mut raw));
            raw
        })
        .collect();
    // It sleeps while all of this comes in: the calls of many nodes, and the end.
    site.daemon.signal(Signal::SIGSTOP);
    for raw in &mut raws {
        let call = raw.call(atom("refresh_route_metrics"));
        raw.send(&call);
    }
    site.daemon.signal(Signal::SIGTERM);
    site.daemon.signal(Signal::SIGCONT);
    let answered = raws.iter_mut().filter_map(|raw| raw.receive_frame().ok()).filter(|frame| !frame.is_empty()).count();
    assert_eq!(answered, 40);
}
