//! The unit, as `systemd-analyze` sees it.

use std::fs;
use std::io::Write as _;
use std::process::Command;

use serde_json::Value;

use crate::support::{have, output, repository};

/// What it has reached (of 10, less is better); a change that makes it worse must say why here.
const WORST_EXPOSURE: &str = "1.7";

/// What it needs to keep routes, to talk to nodes anywhere and to epmd, and to give capabilities up.
const LEFT_OPEN: [&str; 11] = [
    "SystemCallFilter_privileged",
    "RootDirectoryOrRootImage",
    "AmbientCapabilities",
    "RestrictAddressFamilies_AF_NETLINK",
    "RestrictAddressFamilies_AF_UNIX",
    "RestrictAddressFamilies_AF_INET_INET6",
    "CapabilityBoundingSet_CAP_NET_ADMIN",
    "PrivateNetwork",
    "PrivateUsers",
    "DeviceAllow",
    "IPAddressDeny",
];

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

/// systemd gives up after five starts in ten seconds, unless told otherwise; under `[Service]` it would not hear of it.
#[test]
fn it_is_tried_for_ever() {
    let text = fs::read_to_string(repository("packaging/beamroute.service")).unwrap();
    let section = |name: &str| text.split("\n[").find_map(|part| part.strip_prefix(name)).unwrap().to_owned();
    let has = |name: &str, setting: &str| section(name).lines().any(|line| line == setting);
    assert!(has("Unit]", "StartLimitIntervalSec=0"), "{text}");
    assert!(has("Service]", "Restart=on-failure"), "{text}");
}

#[test]
fn as_hardened_as_it_was() {
    if !have("systemd-analyze") {
        return;
    }
    let unit = repository("packaging/beamroute.service");
    let limit = WORST_EXPOSURE.replace('.', "");
    let security = |args: &[&str]| {
        let mut security = Command::new("systemd-analyze");
        security.args(["security", "--offline=true", "--no-pager"]).args(args).arg(&unit);
        output(&mut security)
    };
    let text = security(&["--threshold", &limit]);
    let score = text.lines().last().unwrap_or_default();
    // Not by `println!`, which the test runner swallows when a test passes.
    let _ = writeln!(std::io::stderr(), "systemd-analyze security: {score}");
    assert!(score.contains("exposure level"), "{text}");
    // The score is rounded; this is not.
    let items: Value = serde_json::from_str(&security(&["--json=short"])).unwrap();
    let open = items.as_array().unwrap().iter().filter(|item| item["exposure"].is_string());
    let open: Vec<&str> = open.map(|item| item["json_field"].as_str().unwrap()).collect();
    let unknown: Vec<_> = open.iter().filter(|item| !LEFT_OPEN.contains(item)).collect();
    assert!(unknown.is_empty(), "less hardened than it was: {unknown:?}");
}
