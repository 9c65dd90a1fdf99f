//! The unit, as `systemd-analyze` sees it.

use std::fs;
use std::io::Write as _;
use std::process::Command;

use crate::support::{have, output, repository};

/// What it has reached (of 10, less is better); a change that makes it worse must say why here.
const WORST_EXPOSURE: &str = "1.7";

#[test]
fn systemd_finds_nothing_wrong_with_it() {
    if !have("systemd-analyze") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let unit = dir.path().join("beamroute.service");
    let text = fs::read_to_string(repository("packaging/beamroute.service")).unwrap();
    // Where the package puts it, there is none here.
    let text = text.replace("/usr/bin/beamroute", env!("CARGO_BIN_EXE_beamroute"));
    fs::write(&unit, text).unwrap();
    let mut verify = Command::new("systemd-analyze");
    let out = verify.args(["verify", "--man=no"]).arg(&unit).output().unwrap();
    let said = String::from_utf8([out.stdout, out.stderr].concat()).unwrap();
    // Other units of the machine may have faults of their own.
    assert!(out.status.success() && !said.contains("beamroute"), "{said}");
    // Newer systemds know more settings.
    assert!(!fs::read_to_string(&unit).unwrap().contains("notify-reload"));
}

#[test]
fn as_hardened_as_it_was() {
    if !have("systemd-analyze") {
        return;
    }
    let unit = repository("packaging/beamroute.service");
    let limit = WORST_EXPOSURE.replace('.', "");
    let mut security = Command::new("systemd-analyze");
    security.args(["security", "--offline=true", "--no-pager"]).args(["--threshold", &limit]).arg(&unit);
    let text = output(&mut security);
    let score = text.lines().last().unwrap_or_default();
    // Not by `println!`, which the test runner swallows when a test passes.
    let _ = writeln!(std::io::stderr(), "systemd-analyze security: {score}");
    assert!(score.contains("exposure level"), "{text}");
}
