//! Lines for the journal.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::process::Stdio;

use crate::support::{Netns, Process, eventually, port};

/// The log of a daemon whose stderr is a file. `stream` gives the value of `JOURNAL_STREAM`.
fn log(net: &Netns, format: &str, stream: impl Fn(&File) -> String) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let file = File::create(&path).unwrap();
    let mut command = net.outside(env!("CARGO_BIN_EXE_beamroute"));
    let port = port::free().to_string();
    command.args(["run", "--epmd", "none", "--port", &port, "--netns", &net.argument(), "--log-format", format]);
    command.arg("--state-dir").arg(dir.path().join("state"));
    command.env("BEAMROUTE_COOKIE", "c").env("BEAMROUTE_LOG", "debug").env("JOURNAL_STREAM", stream(&file));
    let _daemon = Process::spawn(command.stdin(Stdio::null()).stderr(file));
    let read = || fs::read_to_string(&path).unwrap();
    eventually("it is ready", || read().contains("ready"));
    read()
}

#[test]
fn levels_and_no_times_only_where_stderr_is_the_journal() {
    let Some(net) = Netns::two_interfaces() else { return };
    let ours = |file: &File| {
        let about = file.metadata().unwrap();
        format!("{}:{}", about.dev(), about.ino())
    };
    let journal = log(&net, "text", ours);
    let has = |line: &str, text: &str| line.starts_with("<6>") && line.contains(text);
    assert!(journal.lines().any(|line| has(line, "ready node=")), "{journal}");
    assert!(journal.lines().any(|line| line.starts_with("<7>")), "{journal}");
    let is_bare = |line: &str| !line.contains(" INFO ") && !line.contains("T0") && !line.contains('\u{1b}');
    assert!(journal.lines().all(|line| line.starts_with('<') && is_bare(line)), "{journal}");
    // Whoever started us has led stderr elsewhere.
    let elsewhere = log(&net, "text", |file| format!("{}1", ours(file)));
    assert!(elsewhere.lines().any(|line| line.contains(" INFO ") && line.starts_with("20")), "{elsewhere}");
    let json = log(&net, "json", ours);
    assert!(json.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()), "{json}");
}
