use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use super::format::tests::{names, states};
use super::*;
use crate::route::{Call, IfName, Metric, Status, World};
use crate::route_manager::owners::OwnerPolicy;

const MAX: usize = 8;

fn open(dir: &Path) -> Restored {
    open_as(dir, None, 110, MAX)
}

/// Another test of this program may be starting a process at that moment, which has our lock until it is another program.
fn open_as(dir: &Path, netns: Option<&Path>, protocol: u8, max_interfaces: usize) -> Restored {
    for _ in 0..100 {
        match Journal::open(dir, netns, protocol, max_interfaces) {
            Err(JournalError::InUse(_)) => std::thread::sleep(std::time::Duration::from_millis(10)),
            opened => return opened.unwrap(),
        }
    }
    panic!("the journal stays in use")
}

fn reopened(dir: &Path) -> Option<DesiredState> {
    open(dir).state
}

fn file(dir: &Path) -> PathBuf {
    dir.join("routes-110")
}

fn set(state: &mut DesiredState, name: &str, why: &str) {
    let (world, orphans) = (&World::default(), &BTreeSet::new());
    let call = Call { world, orphans, now_ms: 0, who: None };
    let _ = state.set_status(name.parse().unwrap(), Status::Lan, Some(why.to_owned()), &call).unwrap();
}

fn aside(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.contains("damaged")).collect();
    names.sort();
    names
}

#[test]
fn state_survives_and_only_changes_are_written() {
    let dir = tempfile::tempdir().unwrap();
    let dir = &dir.path().join("made/for/us");
    let Restored { mut journal, state } = open(dir);
    assert_eq!(state, None);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode(dir), mode(&file(dir))), (0o700, 0o600));
    let mut state = DesiredState::new(MAX);
    set(&mut state, "eth0", "a");
    set(&mut state, "eth1", "a");
    journal.save(&state);
    let before = fs::metadata(file(dir)).unwrap().len();
    journal.save(&state);
    assert_eq!(fs::metadata(file(dir)).unwrap().len(), before);
    set(&mut state, "eth1", "b");
    journal.save(&state);
    let text = fs::read_to_string(file(dir)).unwrap();
    assert!(!text.lines().last().unwrap().contains("eth0"), "{text}");
    assert_eq!(journal.unsaved(), None);
    drop(journal);
    assert_eq!(reopened(dir), Some(state));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_is_saved_is_restored(states in prop::collection::vec((states(), any::<bool>()), 1..6)) {
        let dir = tempfile::tempdir().unwrap();
        for (state, is_compacted) in &states {
            let mut journal = open(dir.path()).journal;
            journal.save(state);
            if let (true, Some(tail)) = (is_compacted, &mut journal.tail) {
                tail.compact_at = 0;
                journal.compact();
            }
            drop(journal);
            prop_assert_eq!(reopened(dir.path()), Some(state.clone()));
        }
    }

    /// The batches that a loop makes of calls, of which many are about interfaces cleared before. Only what they touch is
    /// looked at; the file disappears now and then, which takes a save of everything.
    #[test]
    fn batches_of_calls_are_restored(
        batches in prop::collection::vec((prop::collection::vec((names(), 0..9_u32), 0..80), 0..9_u32), 0..12),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = open(dir.path()).journal;
        let mut state = DesiredState::new(64);
        let (world, orphans) = (&World::default(), &BTreeSet::new());
        let call = Call { world, orphans, now_ms: 0, who: None };
        for ((batch, mood), time) in batches.into_iter().zip(1..) {
            for (name, what) in batch {
                match what {
                    0 => _ = state.set_metric(name, None),
                    1 => _ = state.set_metric(name, Metric::new(7)),
                    2 | 3 => _ = state.set_route(name, Vec::new(), None, &call),
                    4 => _ = state.set_status(name, Status::Lan, Some("a cable".to_owned()), &call),
                    5 | 6 => _ = state.set_status(name, Status::Internet, None, &call),
                    _ => _ = state.clear_route(name),
                }
                journal.touch(name);
            }
            if mood == 0 {
                fs::remove_file(file(dir.path())).unwrap();
            }
            if mood < 2 {
                let policy = OwnerPolicy::ClearAfter(Duration::from_secs(time));
                journal.set_policies(&Policies::from([("a@h".to_owned(), policy)]));
            }
            prop_assert!(journal.is_due(Instant::now()) || state == journal.image.restore(64).unwrap());
            journal.save_touched(&state);
        }
        prop_assert!(!journal.is_due(Instant::now()));
        let policies = journal.policies().clone();
        drop(journal);
        let restored = open_as(dir.path(), None, 110, 64);
        prop_assert_eq!(restored.state, Some(state));
        prop_assert_eq!(restored.journal.policies(), &policies);
    }
}

/// More interfaces cleared in one batch than are remembered.
#[test]
fn what_is_forgotten_stays_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let Restored { mut journal, .. } = open_as(dir.path(), None, 110, 1000);
    let mut state = DesiredState::new(1000);
    let names: Vec<IfName> = (0..600).map(|n| format!("i{n}").parse().unwrap()).collect();
    names.iter().for_each(|name| set(&mut state, &name.to_string(), ""));
    journal.save(&state);
    for part in names.chunks(300) {
        part.iter().rev().for_each(|name| {
            let _ = state.clear_route(*name);
        });
        set(&mut state, "i7", "");
        journal.save(&state);
    }
    drop(journal);
    assert_eq!(open_as(dir.path(), None, 110, 1000).state, Some(state));
}

#[test]
fn a_torn_line_is_dropped_and_nothing_is_glued_to_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path()).journal;
    let mut state = DesiredState::new(MAX);
    set(&mut state, "eth0", "a");
    journal.save(&state);
    let kept = state.clone();
    set(&mut state, "eth0", "b");
    journal.save(&state);
    drop(journal);
    let text = fs::read(file(dir.path())).unwrap();
    fs::write(file(dir.path()), &text[..text.len() - 5]).unwrap();
    let Restored { mut journal, state: restored } = open(dir.path());
    assert_eq!(restored, Some(kept));
    set(&mut state, "eth1", "c");
    journal.save(&state);
    drop(journal);
    assert_eq!(reopened(dir.path()), Some(state));
    assert!(aside(dir.path()).is_empty());
}

#[test]
fn what_cannot_be_believed_is_set_aside_and_a_few_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    for round in 1..=12 {
        fs::write(file(dir.path()), format!("garbage {round}\n")).unwrap();
        assert_eq!(reopened(dir.path()), None);
    }
    let names = aside(dir.path());
    assert_eq!(names.len(), place::MAX_ASIDE);
    assert!(names.contains(&"routes-110.damaged-12".to_owned()) && !names.contains(&"routes-110.damaged-4".to_owned()));
    assert_eq!(fs::read_to_string(dir.path().join("routes-110.damaged-12")).unwrap(), "garbage 12\n");
    // What came instead is good.
    assert_eq!(reopened(dir.path()), Some(DesiredState::new(MAX)));
}

#[test]
fn what_is_not_even_a_file_is_set_aside() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(file(dir.path())).unwrap();
    assert_eq!(reopened(dir.path()), None);
    fs::remove_file(file(dir.path())).unwrap();
    std::os::unix::fs::symlink("/etc/hostname", file(dir.path())).unwrap();
    assert_eq!(reopened(dir.path()), None);
    fs::remove_file(file(dir.path())).unwrap();
    nix::unistd::mkfifo(&file(dir.path()), nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert_eq!(reopened(dir.path()), None);
    let large = fs::File::create(file(dir.path())).unwrap();
    large.set_len(MAX_BYTES + 1).unwrap();
    assert_eq!(reopened(dir.path()), None);
    assert_eq!(aside(dir.path()).len(), 4);
}

#[test]
fn a_long_journal_is_written_anew() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path()).journal;
    let mut state = DesiredState::new(MAX);
    // Left by a daemon that was killed while it wrote.
    fs::write(dir.path().join("routes-110.new"), "half a fi").unwrap();
    let mut longest = 0;
    for n in 0..2000 {
        set(&mut state, "eth0", &n.to_string());
        journal.save(&state);
        longest = longest.max(fs::metadata(file(dir.path())).unwrap().len());
        journal.compact();
        if n % 100 == 0 {
            drop(journal);
            journal = open(dir.path()).journal;
        }
    }
    assert!((COMPACT_FROM..COMPACT_FROM + 500).contains(&longest), "{longest}");
    drop(journal);
    assert_eq!(reopened(dir.path()), Some(state));
}

#[test]
fn a_file_or_directory_that_disappears_is_made_again() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("state");
    let mut journal = open(&dir).journal;
    let mut state = DesiredState::new(MAX);
    for (n, lose) in [|dir: &Path| fs::remove_file(file(dir)), |dir: &Path| fs::remove_dir_all(dir)].iter().enumerate()
    {
        set(&mut state, "eth0", &n.to_string());
        journal.save(&state);
        lose(&dir).unwrap();
        set(&mut state, "eth1", &n.to_string());
        journal.save(&state);
        assert_eq!(journal.unsaved(), None);
    }
    // What someone else has put there is not overwritten.
    fs::rename(file(&dir), dir.join("moved")).unwrap();
    fs::write(file(&dir), "theirs").unwrap();
    set(&mut state, "eth1", "last");
    journal.save(&state);
    drop(journal);
    assert_eq!(reopened(&dir), Some(state));
    assert_eq!(fs::read_to_string(dir.join("routes-110.damaged-1")).unwrap(), "theirs");
}

#[test]
fn failures_are_told_and_end() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("state");
    let mut journal = open(&dir).journal;
    let mut state = DesiredState::new(MAX);
    fs::remove_dir_all(&dir).unwrap();
    fs::write(&dir, "in the way").unwrap();
    set(&mut state, "eth0", "a");
    journal.save(&state);
    assert_eq!(journal.unsaved(), Some(nix::libc::ENOTDIR));
    assert!(journal.retry_at().unwrap() > Instant::now());
    fs::remove_file(&dir).unwrap();
    // Also when nothing has changed since.
    journal.save(&state);
    assert_eq!((journal.unsaved(), journal.retry_at()), (None, None));
    drop(journal);
    assert_eq!(reopened(&dir), Some(state));
}

#[test]
fn a_directory_that_cannot_be_made_is_not_fatal() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("file");
    fs::write(&dir, "").unwrap();
    let Restored { journal, state } = open(&dir);
    assert_eq!((journal.unsaved(), state), (Some(nix::libc::ENOTDIR), None));
}

#[test]
fn each_protocol_and_namespace_has_its_own_file() {
    let dir = tempfile::tempdir().unwrap();
    let long = format!("/proc/{}", "x".repeat(300));
    let owners = [(None, 110), (None, 111), (Some("/run/netns/blue"), 110), (Some("blue/x"), 110), (Some(&long), 110)];
    let mut states = states().prop_map(|mut state| {
        set(&mut state, "eth0", "");
        state
    });
    let mut runner = TestRunner::deterministic();
    let all: Vec<_> = owners
        .iter()
        .map(|(netns, protocol)| {
            let Restored { mut journal, state } = open_as(dir.path(), netns.map(Path::new), *protocol, 16);
            assert_eq!(state, None);
            let state = states_value(&mut states, &mut runner);
            journal.save(&state);
            (netns, protocol, state)
        })
        .collect();
    for (netns, protocol, saved) in all {
        let restored = open_as(dir.path(), netns.map(Path::new), *protocol, MAX);
        assert_eq!(restored.state, Some(saved));
    }
    assert!(dir.path().join("routes-110@blue").exists() && dir.path().join("routes-110@blue%2Fx").exists());
}

fn states_value(states: &mut impl Strategy<Value = DesiredState>, runner: &mut TestRunner) -> DesiredState {
    states.new_tree(runner).unwrap().current()
}

#[test]
fn a_file_in_use_is_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path());
    let JournalError::InUse(path) = Journal::open(dir.path(), None, 110, MAX).unwrap_err() else { panic!() };
    assert_eq!(path, file(dir.path()));
    drop(first);
    assert_eq!(reopened(dir.path()), Some(DesiredState::new(MAX)));
}
