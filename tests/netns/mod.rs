//! A network namespace for one test, so that no test touches the host's routes.

use std::ffi::OsStr;
use std::io::Write;
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use nix::sched::{CloneFlags, unshare};

/// Set in the child that runs a test again as root of a user namespace.
const INSIDE: &str = "BEAMROUTE_TEST_USERNS";
const NO_SKIP: &str = "BEAMROUTE_NO_SKIP";

/// Runs `test` on a thread of its own, in a fresh network namespace with `lo` up. Without root, runs the whole test
/// again in a user namespace; if there are none, skips it and says so (fails if `BEAMROUTE_NO_SKIP` is 1).
pub fn in_netns(test: impl FnOnce() + Send + 'static) {
    let name = thread::current().name().unwrap_or_default().to_owned();
    let body = move || match unshare(CloneFlags::CLONE_NEWNET) {
        Ok(()) => {
            ip("link set lo up");
            test();
        }
        Err(errno) if std::env::var_os(INSIDE).is_some() => skip(&format!("no network namespace: {errno}")),
        Err(_) => again_in_user_namespace(&name),
    };
    if let Err(panic) = thread::spawn(body).join() {
        resume_unwind(panic);
    }
}

/// Says loudly that a test does not run here.
pub fn skip(why: &str) {
    assert!(std::env::var(NO_SKIP).as_deref() != Ok("1"), "{NO_SKIP}=1, but: {why}");
    eprintln!("SKIPPED: {why}");
}

/// Runs `ip` with these words in the thread's namespace, which must succeed.
pub fn ip(words: &str) {
    ip_args(words.split_whitespace());
}

/// As [`ip`], for words that are not text.
pub fn ip_args(words: impl IntoIterator<Item = impl AsRef<OsStr>>) {
    let mut command = Command::new("ip");
    let output = command.args(words).output().expect("ip");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Runs `ip` commands, one a line, whether they succeed or not.
pub fn ip_script(script: &str) {
    let mut command = Command::new("ip");
    command.args(["-force", "-batch", "-"]).stdin(Stdio::piped()).stderr(Stdio::null());
    let mut ip = command.spawn().expect("ip");
    ip.stdin.take().expect("a pipe").write_all(script.as_bytes()).expect("ip reads");
    ip.wait().expect("ip ends");
}

/// Waits until IPv6 addresses may be used: even without duplicate address detection the kernel makes them ready, and
/// tells of them, in the background.
pub fn wait_for_addresses() {
    for _ in 0..1000 {
        let output = Command::new("ip").args(["-6", "addr", "show", "tentative"]).output().expect("ip");
        if output.stdout.is_empty() {
            return;
        }
        thread::sleep(Duration::from_millis(2));
    }
    panic!("addresses stay tentative");
}

/// The file of the calling thread's network namespace.
pub fn path() -> PathBuf {
    format!("/proc/{}/task/{}/ns/net", std::process::id(), nix::unistd::gettid()).into()
}

fn again_in_user_namespace(name: &str) {
    let test = std::env::current_exe().expect("the test's own path");
    let status = Command::new("unshare")
        .args(["--user", "--map-root-user", "--net"])
        .arg(test)
        .args(["--exact", name, "--nocapture"])
        .env(INSIDE, "1")
        .status();
    match status.map(|s| s.code()) {
        Ok(Some(0)) => {}
        Ok(Some(101)) => panic!("{name} failed in its user namespace"),
        other => skip(&format!("neither root nor user namespaces ({other:?})")),
    }
}
